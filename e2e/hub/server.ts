/**
 * A small local Hub over real HTTP: search, information, refs, listing, files by redirect to storage on another origin, gated and private
 * repositories, Xet; new repositories and commits (`receiver.ts`). Network faults are turned on per path, by `fault`, by
 * `POST /control/fault` or by an `x-fault` header. Every request is logged with the headers that it came with.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, relative } from 'node:path'
import {
  end,
  type Exchange,
  type Fault,
  faults,
  json,
  type Logged,
  pause,
  rangeOf,
  refuse,
  send,
  type StoredFile,
  textOf,
  tokenOf,
  xetChunk,
  xorb,
} from './answers.ts'
import { receiver } from './receiver.ts'

export { type Fault, faults, type Logged } from './answers.ts'

/** A file's bytes, or a rule to make them; `hash` must then be given. */
export type Content = Uint8Array | { size: number; hash: string; read(begin: number, end: number): Uint8Array | Promise<Uint8Array> }
export type Contents = ReadonlyMap<string, Content>

export interface ServedRepo {
  type?: 'model' | 'dataset'
  name: string
  /** `main`, other branches, `refs/pr/3`, `refs/convert/parquet` -> files. */
  revisions: Record<string, Contents>
  tags?: Record<string, Contents>
  gated?: 'auto' | 'manual'
  private?: boolean
  /** Large files are also offered through Xet. */
  xet?: boolean
  license?: string
  downloads?: number
  /** As the Hub counts them; null for a repository that it did not look into. */
  parameters?: number | null
}

export interface HubServerOptions {
  repos: ServedRepo[]
  /** Token -> names of the gated and private repositories that it opens. */
  tokens?: Record<string, string[]>
  /** Token -> organizations whose repositories it may write, beside those of its own account. */
  writers?: Record<string, string[]>
  /** Uploads go through Xet, or by plain PUT. */
  uploads?: 'xet' | 'put'
  port?: number
  /** Entries on one page of a listing. */
  pageSize?: number
  /** A network that is far away: milliseconds before each answer, and bytes per second of each body. */
  network?: { latency: number; rate: number }
}

export type HubServer = Awaited<ReturnType<typeof startHub>>

/** Larger files, and weights of any size, lie in the storage behind the Hub. */
const largeFrom = 1 << 20
const largeNames = /\.(safetensors|bin|parquet|gz|zst)$/
const exposed =
  'X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,ETag,Link,Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag,X-Xet-Hash'

/** Every file below a folder. */
export async function folderContents(folder: string): Promise<Map<string, Uint8Array>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return new Map(await Promise.all(paths.sort().map(async (path) => [relative(folder, path), await readFile(path)] as const)))
}

class Repo {
  readonly type: 'model' | 'dataset'
  /** Name or commit -> commit and files. */
  readonly revisions = new Map<string, { sha: string; files: Map<string, StoredFile> }>()

  constructor(readonly spec: ServedRepo) {
    this.type = spec.type ?? 'model'
    for (const [name, contents] of [...Object.entries(spec.revisions), ...Object.entries(spec.tags ?? {})]) this.commit(name, contents)
  }

  /** Has a revision point to these files, and gives the commit; equal files are the same commit. */
  commit(name: string, contents: Contents): string {
    return this.set(name, new Map([...contents].map(([path, content]) => [path, stored(path, content)])))
  }

  set(name: string, files: Map<string, StoredFile>): string {
    const sha = createHash('sha1')
      .update(JSON.stringify([this.spec.name, [...files].map(([path, { hash }]) => [path, hash])]))
      .digest('hex')
    this.revisions.set(name, { sha, files })
    this.revisions.set(sha, { sha, files })
    return sha
  }
}

const isLarge = (path: string, size: number) => size >= largeFrom || largeNames.test(path)

function stored(path: string, content: Content): StoredFile {
  const size = content instanceof Uint8Array ? content.length : content.size
  const large = isLarge(path, size)
  if (!(content instanceof Uint8Array)) return { size, large: true, hash: content.hash, read: (begin, end) => content.read(begin, end) }
  const hash = large
    ? createHash('sha256').update(content).digest('hex')
    : createHash('sha1').update(`blob ${size}\0`).update(content).digest('hex')
  return { size, large, hash, read: (begin, end) => content.subarray(begin, end) }
}

export async function startHub({
  repos: specs,
  tokens = {},
  writers = {},
  uploads = 'xet',
  port = 0,
  pageSize = 1000,
  network,
}: HubServerOptions) {
  const repos = specs.map((spec) => new Repo(spec))
  const storage = new Map<string, StoredFile>()
  const keep = ({ revisions }: Repo) => {
    for (const { files } of revisions.values()) for (const file of files.values()) storage.set(file.hash, file)
  }
  repos.forEach(keep)
  const log: Logged[] = []
  const accounts = [...Object.keys(tokens), ...Object.keys(writers)]
  const nameOf = (token: string) => `user-${accounts.indexOf(token)}`
  const pending: { fault: Fault; match: RegExp; method: string; left: number; retryAfter: string }[] = []
  /** Ends what stalls or trickles when the server closes. */
  const closing = new AbortController()

  /** The next `times` requests whose path matches go wrong. */
  function fault(kind: Fault, { match = '/resolve/', method = 'GET', times = 1, retryAfter = '1' } = {}): void {
    pending.push({ fault: kind, match: new RegExp(match), method, left: times, retryAfter })
  }

  /** Moves a revision of a repository on, and gives its commit; the commit that it was is still there. */
  function push(name: string, revision: string, contents: Contents): string {
    const repo = repos.find(({ spec }) => spec.name === name)!
    const sha = repo.commit(revision, contents)
    keep(repo)
    return sha
  }

  /** Forgets a commit, as when history was squashed. */
  function forget(name: string, sha: string): void {
    repos.find(({ spec }) => spec.name === name)!.revisions.delete(sha)
  }

  /** From here on all goes well again. */
  function clear(): void {
    pending.length = 0
  }

  const hub = createServer((request, response) => answer('hub', request, response))
  const cdn = createServer((request, response) => answer('storage', request, response))
  const [url, storageUrl] = await Promise.all([listen(hub, port), listen(cdn, port && port + 1)])

  const mainOf = (name: string) => repos.find((one) => one.spec.name === name)
  const receiving = receiver({
    url,
    storageUrl,
    storage,
    xet: uploads === 'xet',
    writers: Object.fromEntries(Object.entries(writers).map(([token, organizations]) => [token, [...organizations, nameOf(token)]])),
    filesOf: (name) => mainOf(name)?.revisions.get('main')?.files ?? null,
    create: (name, isPrivate) => void repos.push(new Repo({ name, private: isPrivate, revisions: {} })),
    commit: (name, files) => mainOf(name)!.set('main', files),
    isLarge,
  })

  async function answer(host: Logged['host'], request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', url)
    const path = decodeURIComponent(pathname)
    const entry: Logged = {
      host,
      method: request.method ?? 'GET',
      path: request.url ?? '/',
      range: request.headers.range ?? null,
      authorization: request.headers.authorization ?? null,
      sent: 0,
      received: 0,
    }
    log.push(entry)
    const at = pending.findIndex(({ match, method, left }) => left > 0 && match.test(path) && request.method === method)
    const set = at < 0 ? null : pending[at]
    if (set && --set.left === 0) pending.splice(at, 1)
    const wrong = set?.fault ?? (faults.find((one) => one === request.headers['x-fault']) as Fault | undefined) ?? null
    if (wrong !== 'cors') {
      response.setHeader('access-control-allow-origin', '*')
      response.setHeader('access-control-expose-headers', exposed)
    }
    const exchange: Exchange = { request, response, entry, wrong, stop: closing.signal, rate: network?.rate ?? Number.POSITIVE_INFINITY }
    try {
      if (network) await pause(network.latency)
      if (request.method === 'OPTIONS') {
        response.setHeader('access-control-allow-headers', 'authorization,range,accept,content-type,x-request-id,x-xet-session-id,x-fault')
        response.setHeader('access-control-allow-methods', 'GET,HEAD,POST,PUT,OPTIONS')
        return end(exchange, 204)
      }
      if (wrong === 'refused') return void request.socket.destroy()
      if (wrong === 'busy') {
        response.setHeader('retry-after', set?.retryAfter ?? '1')
        return end(exchange, 429)
      }
      if (wrong === 'broken') return end(exchange, 500)
      if (wrong === 'expired') return refuse(exchange, 403)
      if (wrong === 'nonsense') return end(exchange, 200, '<html>Not a Hub</html>')
      if (request.method === 'POST' && path === '/control/fault') {
        const { kind, ...options } = JSON.parse(await textOf(request))
        fault(kind, options)
        return end(exchange, 204)
      }
      if (host === 'hub' && /^\/(oauth|\.well-known)\//.test(path)) return await answerOauth(exchange, path, searchParams)
      if (await receiving.answer(exchange, path)) return
      if (host === 'storage') await answerStorage(exchange, path)
      else if (path.startsWith('/api/')) await answerApi(exchange, path, searchParams)
      else await answerFile(exchange, path)
    } catch (error) {
      if (!closing.signal.aborted) console.error(error)
      response.destroy()
    }
  }

  // ---------------------------------------------------------------- the API

  async function answerApi(exchange: Exchange, path: string, query: URLSearchParams): Promise<void> {
    const { request } = exchange
    if (path === '/api/whoami-v2') {
      const token = tokenOf(request) ?? ''
      if (!accounts.includes(token)) return refuse(exchange, 401)
      const role = writers[token] ? 'write' : 'read'
      return json(exchange, {
        type: 'user',
        id: String(accounts.indexOf(token)),
        name: nameOf(token),
        orgs: (writers[token] ?? []).map((name) => ({ type: 'org', name })),
        auth: { type: 'access_token', accessToken: { displayName: 'token', role } },
      })
    }
    const list = /^\/api\/(model|dataset)s$/.exec(path)
    if (list) {
      const wanted = query.get('search')?.toLowerCase() ?? ''
      const found = repos
        .filter((repo) => repo.type === list[1] && repo.spec.name.toLowerCase().includes(wanted) && mayRead(repo, request, 'know'))
        .sort((a, b) => (b.spec.downloads ?? 0) - (a.spec.downloads ?? 0))
      return json(
        exchange,
        found.slice(0, Number(query.get('limit') ?? 100)).map((repo) => facts(repo, 'main')),
      )
    }
    const [, type, name, verb, rest = ''] =
      /^\/api\/(model|dataset)s\/([^/]+\/[^/]+)\/(revision|tree|refs|xet-read-token)(?:\/(.*))?$/.exec(path) ?? []
    const repo = repos.find((one) => one.type === type && one.spec.name === name)
    if (!repo || !mayRead(repo, request, 'know')) return refuse(exchange, tokenOf(request) ? 404 : 401, 'RepoNotFound')
    if (verb === 'refs') return json(exchange, refsOf(repo))
    // A revision may hold slashes, and so may what follows it.
    const revision =
      [...repo.revisions.keys()].find((one) => rest === one || rest.startsWith(`${one}/`)) ?? (rest === 'HEAD' ? 'main' : null)
    if (revision === null) return refuse(exchange, 404, 'RevisionNotFound')
    if (verb === 'revision') return json(exchange, facts(repo, revision))
    if (verb === 'xet-read-token') {
      if (!mayRead(repo, request, 'read')) return refuse(exchange, 403, 'GatedRepo')
      return json(exchange, { accessToken: 'xet-access', casUrl: storageUrl, exp: Math.floor(Date.now() / 1000) + 900 })
    }
    const folder = rest.slice(revision.length + 1)
    const entries = [...repo.revisions.get(revision)!.files].filter(([file]) => !folder || file.startsWith(`${folder}/`))
    const shown =
      query.get('recursive') === 'true' ? entries : entries.filter(([file]) => !file.slice(folder ? folder.length + 1 : 0).includes('/'))
    const from = Number(query.get('cursor') ?? 0)
    if (from + pageSize < shown.length) {
      const next = new URL(exchange.request.url!, url)
      next.searchParams.set('cursor', String(from + pageSize))
      exchange.response.setHeader('link', `<${next.href}>; rel="next"`)
    }
    json(
      exchange,
      shown.slice(from, from + pageSize).map(([file, { size, hash, large }]) => ({
        type: 'file',
        path: file,
        size,
        oid: large ? createHash('sha1').update(hash).digest('hex') : hash,
        ...(large && { lfs: { oid: hash, size, pointerSize: 134 }, ...(repo.spec.xet && { xetHash: hash }) }),
      })),
    )
  }

  function facts(repo: Repo, revision: string) {
    const { spec } = repo
    const { sha, files } = repo.revisions.get(revision)!
    const config = files.get('config.json')
    const { model_type, architectures } = config ? JSON.parse(Buffer.from(config.read(0, config.size) as Uint8Array).toString()) : {}
    return {
      _id: createHash('sha1').update(spec.name).digest('hex').slice(0, 24),
      id: spec.name,
      sha,
      private: spec.private ?? false,
      gated: spec.gated ?? false,
      downloads: spec.downloads ?? 0,
      likes: 1,
      lastModified: '2025-01-02T03:04:05.000Z',
      tags: spec.license ? [`license:${spec.license}`] : [],
      ...(spec.license && { cardData: { license: spec.license } }),
      ...(model_type && { config: { model_type, architectures } }),
      ...(typeof spec.parameters === 'number' && { safetensors: { parameters: { F32: spec.parameters }, total: spec.parameters } }),
    }
  }

  function refsOf({ spec, revisions }: Repo) {
    const list = (names: string[], prefix: string) =>
      names.map((name) => ({ name: name.replace(/^refs\/\w+\//, ''), ref: prefix + name, targetCommit: revisions.get(name)!.sha }))
    const names = Object.keys(spec.revisions)
    return {
      branches: list(
        names.filter((name) => !name.startsWith('refs/')),
        'refs/heads/',
      ),
      converts: list(
        names.filter((name) => name.startsWith('refs/convert/')),
        '',
      ),
      tags: list(Object.keys(spec.tags ?? {}), 'refs/tags/'),
      pullRequests: list(
        names.filter((name) => name.startsWith('refs/pr/')),
        '',
      ),
    }
  }

  /** Private repositories are known only to those who may read them; gated ones are known to all. */
  function mayRead({ spec }: Repo, request: IncomingMessage, what: 'know' | 'read'): boolean {
    if (!spec.private && (what === 'know' || !spec.gated)) return true
    const token = tokenOf(request) ?? ''
    const owns = [...(writers[token] ?? []), nameOf(token)].includes(spec.name.split('/')[0])
    return owns || (tokens[token]?.includes(spec.name) ?? false)
  }

  // ---------------------------------------------------------------- signing in

  /** Code -> the challenge that its tab has to meet. */
  const codes = new Map<string, string>()

  /** Whoever comes agrees at once, and is the owner of the first token. */
  async function answerOauth(exchange: Exchange, path: string, query: URLSearchParams): Promise<void> {
    const endpoint = (name: string) => `${url}/oauth/${name}`
    if (path === '/.well-known/openid-configuration') {
      return json(exchange, {
        authorization_endpoint: endpoint('authorize'),
        token_endpoint: endpoint('token'),
        userinfo_endpoint: endpoint('userinfo'),
      })
    }
    if (path === '/oauth/authorize') {
      const code = `code-${codes.size}`
      codes.set(code, query.get('code_challenge') ?? '')
      const back = new URL(query.get('redirect_uri')!)
      back.search = new URLSearchParams({ code, state: query.get('state')! }).toString()
      exchange.response.setHeader('location', back.href)
      return end(exchange, 302)
    }
    if (path === '/oauth/token') {
      const form = new URLSearchParams(await textOf(exchange.request))
      const challenge = createHash('sha256')
        .update(form.get('code_verifier') ?? '')
        .digest('base64url')
      if (codes.get(form.get('code') ?? '') !== challenge) return refuse(exchange, 400)
      codes.delete(form.get('code')!)
      return json(exchange, { access_token: Object.keys(tokens)[0], expires_in: 28800, id_token: '', scope: '', token_type: 'bearer' })
    }
    json(exchange, { sub: '1', name: 'user-0', preferred_username: 'user-0' })
  }

  // ---------------------------------------------------------------- files

  async function answerFile(exchange: Exchange, path: string): Promise<void> {
    const { request, response } = exchange
    const [, set, name, rest] = /^\/(datasets\/)?([^/]+\/[^/]+)\/resolve\/(.*)$/.exec(path) ?? []
    const repo = repos.find((one) => one.spec.name === name && (one.type === 'dataset') === Boolean(set))
    if (!repo || !mayRead(repo, request, 'know')) return refuse(exchange, tokenOf(request) ? 404 : 401, 'RepoNotFound')
    if (!mayRead(repo, request, 'read')) return refuse(exchange, tokenOf(request) ? 403 : 401, 'GatedRepo')
    const revision = [...repo.revisions.keys()].find((one) => rest.startsWith(`${one}/`))
    if (!revision) return refuse(exchange, 404, 'RevisionNotFound')
    const { sha, files } = repo.revisions.get(revision)!
    const file = files.get(rest.slice(revision.length + 1))
    if (!file) return refuse(exchange, 404, 'EntryNotFound')
    response.setHeader('x-repo-commit', sha)
    if (!file.large) return send(exchange, file, file.hash)
    response.setHeader('x-linked-size', file.size)
    response.setHeader('x-linked-etag', `"${file.hash}"`)
    if (repo.spec.xet && request.headers.accept?.includes('xet-fileinfo')) {
      response.setHeader('content-type', 'application/vnd.xet-fileinfo+json')
      response.setHeader('x-xet-hash', file.hash)
      response.setHeader(
        'link',
        `<${url}/api/${repo.type}s/${name}/xet-read-token/${sha}>; rel="xet-auth", <${storageUrl}/v1/reconstructions/${file.hash}>; rel="xet-reconstruction-info"`,
      )
      return end(exchange, 200, JSON.stringify({ hash: file.hash }))
    }
    if (exchange.wrong && exchange.wrong !== 'cors') return send(exchange, file, file.hash)
    response.setHeader('location', `${storageUrl}/files/${file.hash}?signature=secret`)
    end(exchange, 302)
  }

  async function answerStorage(exchange: Exchange, path: string): Promise<void> {
    const { request } = exchange
    const [, kind, hash] = /^\/(files|v2\/reconstructions|xorbs)\/(\w+)$/.exec(path) ?? []
    const file = storage.get(hash)
    if (!file) return refuse(exchange, 404, 'EntryNotFound')
    // As real storage does: its links are signed, and a second credential is refused.
    if (kind === 'files') return request.headers.authorization ? refuse(exchange, 400) : send(exchange, file, file.hash)
    if (kind === 'xorbs') return send(exchange, xorb(file), file.hash)
    if (request.headers.authorization !== 'Bearer xet-access') return refuse(exchange, 401)
    // One block holds the whole file in chunks of equal length, each behind its header.
    const { begin, end: stop } = rangeOf(request.headers.range, file.size) ?? { begin: 0, end: file.size }
    const chunks = { start: Math.floor(begin / xetChunk), end: Math.ceil(stop / xetChunk) }
    const packed = (chunk: number) => Math.min(file.size, chunk * xetChunk) + chunk * 8
    json(exchange, {
      terms: [{ hash, unpacked_length: Math.min(file.size, chunks.end * xetChunk) - chunks.start * xetChunk, range: chunks }],
      xorbs: {
        [hash]: [
          { url: `${storageUrl}/xorbs/${hash}`, ranges: [{ chunks, bytes: { start: packed(chunks.start), end: packed(chunks.end) - 1 } }] },
        ],
      },
      offset_into_first_range: begin - chunks.start * xetChunk,
    })
  }

  const close = async () => {
    closing.abort()
    for (const server of [hub, cdn]) server.closeAllConnections()
    await Promise.all([hub, cdn].map((server) => new Promise((resolve) => server.close(resolve))))
  }
  /** Bytes of bodies that the Hub and its storage sent for requests whose path matches. */
  const sent = (match = /./) => log.filter(({ path }) => match.test(path)).reduce((sum, one) => sum + one.sent, 0)
  /** The files of a repository's main branch, and whether it is private; null where there is none. */
  const pushed = async (name: string) => {
    const repo = mainOf(name)
    const files = repo?.revisions.get('main')?.files
    if (!files) return null
    const read = async ([path, file]: [string, StoredFile]) => [path, Buffer.from(await file.read(0, file.size))] as const
    return { private: repo.spec.private ?? false, files: new Map(await Promise.all([...files].map(read))) }
  }
  /** Bytes of bodies that came with requests whose path matches. */
  const received = (match = /./) => log.filter(({ path }) => match.test(path)).reduce((sum, one) => sum + one.received, 0)
  return { url, storageUrl, log, fault, clear, push, forget, sent, received, pushed, commits: receiving.commits, close }
}

async function listen(server: Server, port: number): Promise<string> {
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
