/** The writing side of the local Hub: new repositories, large files by Xet or by plain PUT, and commits. */
import { createHash } from 'node:crypto'
import { bodyOf, end, type Exchange, json, refuse, type StoredFile, tokenOf } from './answers.ts'
import { chunksOf, filesOf } from './xet.ts'

/** What the Hub is, as far as a push changes it. */
export interface Received {
  url: string
  storageUrl: string
  /** By SHA-256. */
  storage: Map<string, StoredFile>
  /** Whether large files go through Xet; else by plain PUT. */
  xet: boolean
  /** Token -> namespaces that it may write. */
  writers: Record<string, string[]>
  /** The files of a repository's main branch; null where there is none. */
  filesOf(name: string): Map<string, StoredFile> | null
  create(name: string, isPrivate: boolean): void
  commit(name: string, files: Map<string, StoredFile>): string
  isLarge(path: string, size: number): boolean
}

const xetToken = 'xet-write'
const attributes = '*.safetensors filter=lfs diff=lfs merge=lfs -text\n'

export function receiver(hub: Received) {
  const xorbs = new Map<string, Buffer[]>()
  /** Commits in their order. */
  const commits: { repo: string; title: string; paths: string[] }[] = []

  /** Answers a request of a push; false for any other. */
  async function answer(exchange: Exchange, path: string): Promise<boolean> {
    const { request, entry } = exchange
    if (entry.host === 'storage') return answerStorage(exchange, path)
    if (request.method === 'POST' && path === '/api/repos/create') return done(createRepo(exchange))
    const [, name, verb] =
      /^\/api\/models\/([^/]+\/[^/]+)\/(preupload|commit|xet-write-token)\/main$/.exec(path) ??
      /^\/([^/]+\/[^/]+)\.git\/info\/lfs\/objects\/(batch)$/.exec(path) ??
      []
    if (!verb) return false
    if (!mayWrite(exchange, name.split('/')[0])) return true
    const files = hub.filesOf(name)
    if (!files) refuse(exchange, 404, 'RepoNotFound')
    else if (verb === 'preupload') await preupload(exchange)
    else if (verb === 'batch') await batch(exchange, name)
    else if (verb === 'commit') await commit(exchange, name, files)
    else json(exchange, { accessToken: xetToken, casUrl: hub.storageUrl, exp: Math.floor(Date.now() / 1000) + 900 })
    return true
  }

  function mayWrite(exchange: Exchange, namespace: string): boolean {
    const namespaces = hub.writers[tokenOf(exchange.request) ?? '']
    if (namespaces?.includes(namespace)) return true
    exchange.response.setHeader('x-error-message', `You don't have the rights to write to ${namespace}`)
    refuse(exchange, namespaces ? 403 : 401)
    return false
  }

  async function createRepo(exchange: Exchange): Promise<void> {
    const { name, organization, type, visibility } = JSON.parse((await bodyOf(exchange)).toString())
    if (!mayWrite(exchange, organization)) return
    const whole = `${organization}/${name}`
    if (type !== 'model' || hub.filesOf(whole)) return refuse(exchange, 409)
    hub.create(whole, visibility === 'private')
    hub.commit(whole, new Map([['.gitattributes', small(Buffer.from(attributes))]]))
    json(exchange, { url: `${hub.url}/${whole}`, id: createHash('sha1').update(whole).digest('hex').slice(0, 24) })
  }

  async function preupload(exchange: Exchange): Promise<void> {
    const { files } = JSON.parse((await bodyOf(exchange)).toString()) as { files: { path: string; size: number }[] }
    json(exchange, { files: files.map(({ path, size }) => ({ path, uploadMode: hub.isLarge(path, size) ? 'lfs' : 'regular' })) })
  }

  async function batch(exchange: Exchange, name: string): Promise<void> {
    const { objects, transfers } = JSON.parse((await bodyOf(exchange)).toString())
    const byXet = hub.xet && transfers.includes('xet')
    const header = {
      'X-Xet-Cas-Url': hub.storageUrl,
      'X-Xet-Access-Token': xetToken,
      'X-Xet-Token-Expiration': String(Math.floor(Date.now() / 1000) + 900),
      'X-Xet-Session-Id': 'session',
    }
    const actionOf = (oid: string) =>
      byXet
        ? { href: `${hub.url}/api/models/${name}/xet-write-token/main`, header }
        : { href: `${hub.storageUrl}/upload/${oid}?signature=secret` }
    json(exchange, {
      transfer: byXet ? 'xet' : 'basic',
      objects: objects.map(({ oid, size }: { oid: string; size: number }) => ({
        oid,
        size,
        ...(!hub.storage.has(oid) && { actions: { upload: actionOf(oid) } }),
      })),
    })
  }

  async function commit(exchange: Exchange, name: string, before: Map<string, StoredFile>): Promise<void> {
    const lines = (await bodyOf(exchange)).toString().split('\n')
    const files = new Map(before)
    const paths: string[] = []
    let title = ''
    for (const { key, value } of lines.map((line) => JSON.parse(line))) {
      if (key === 'header') title = value.summary
      else paths.push(value.path)
      if (key === 'file') files.set(value.path, small(Buffer.from(value.content, value.encoding)))
      if (key !== 'lfsFile') continue
      const file = hub.storage.get(value.oid)
      if (file?.size !== value.size) return refuse(exchange, 400)
      files.set(value.path, file!)
    }
    const commitOid = hub.commit(name, files)
    commits.push({ repo: name, title, paths })
    json(exchange, { success: true, commitOid, commitUrl: `${hub.url}/${name}/commit/${commitOid}`, hookOutput: '' })
  }

  async function answerStorage(exchange: Exchange, path: string): Promise<boolean> {
    const { request } = exchange
    const [, kind, hash = ''] = /^\/(upload|v1\/xorbs\/default|v1\/shards|v1\/chunks\/default)(?:\/(\w+))?$/.exec(path) ?? []
    if (!kind) return false
    const body = await bodyOf(exchange)
    if (kind === 'upload') {
      // As real storage does: its links are signed, a second credential is refused, and so is a body of unknown length.
      if (request.headers.authorization || !request.headers['content-length']) return done(refuse(exchange, 400))
      return done(keep(body) === hash ? end(exchange, 200) : refuse(exchange, 400))
    }
    if (request.headers.authorization !== `Bearer ${xetToken}`) return done(refuse(exchange, 401))
    if (kind === 'v1/xorbs/default') xorbs.set(hash, chunksOf(body))
    else if (kind === 'v1/shards') {
      for (const { sha256, terms } of filesOf(body)) {
        const parts = terms.flatMap(({ xorb, begin, end }) => xorbs.get(xorb)!.slice(begin, end))
        if (keep(Buffer.concat(parts)) !== sha256) return done(refuse(exchange, 400))
      }
    } else return done(refuse(exchange, 404))
    json(exchange, { result: 1 })
    return true
  }

  /** Puts a large file into the storage, by what it really holds. */
  function keep(bytes: Buffer): string {
    const hash = createHash('sha256').update(bytes).digest('hex')
    hub.storage.set(hash, { size: bytes.length, hash, large: true, read: (begin, end) => bytes.subarray(begin, end) })
    return hash
  }

  return { answer, commits }
}

/** A file that is kept in the repository itself. */
function small(bytes: Buffer): StoredFile {
  const hash = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
  return { size: bytes.length, hash, large: false, read: (begin, end) => bytes.subarray(begin, end) }
}

/** The request was one of a push, whatever became of it. */
async function done(work: void | Promise<void>): Promise<true> {
  await work
  return true
}
