/**
 * Client of the Hugging Face Hub or a mirror: search, information about a repository, and its files as `Bytes`. The library
 * `@huggingface/hub` does listing, information and Xet; plain ranges, retries and the token are done here (`network.ts`).
 */
import { z } from '../zod.ts'
import { WorkbenchError } from '../../errors.ts'
import type { ByteRange, Files } from '../bytes.ts'
import { escapes } from '../names.ts'
import { isObject } from '../json.ts'
import { dtypeBits } from '../safetensors.ts'
import { Cache, type CacheFolder } from './cache.ts'
import { HttpError, Network, type NetworkOptions, publicHub } from './network.ts'
import { hubSource, Lookahead, RemoteFile } from './remote.ts'

/** The library, which most visits do without. */
export const loadHubLibrary = () => import('@huggingface/hub')

export interface Repo {
  type: 'model' | 'dataset'
  /** `owner/name`; a few old ones have no owner. */
  name: string
}

export interface HubOptions extends NetworkOptions {
  /** Address of the Hub or a mirror. */
  url?: string
  /** Where the cache is kept, and its size in bytes. */
  cache?: { store: CacheFolder; budget: number }
}

export interface Hit {
  name: string
  downloads: number
  likes: number
  gated: boolean
  private: boolean
  /** ISO date. */
  updated: string
  /** By the Hub's own count over the safetensors; null where there are none. */
  parameters: number | null
  /** Their size in bytes. */
  bytes: number | null
}

const commit = z.string().regex(/^[0-9a-f]{40}$/)

const repoFacts = z.object({
  name: z.string(),
  /** The commit that the revision points to now. */
  sha: commit,
  private: z.boolean(),
  gated: z.literal([false, 'auto', 'manual']),
  downloads: z.number(),
  likes: z.number(),
  updated: z.string(),
  license: z.string().nullable(),
  /** `model_type` of config.json, as the Hub read it. */
  modelType: z.string().nullable(),
  /** By the Hub's own count over the safetensors. */
  parameters: z.number().nullable(),
})
export type RepoFacts = z.infer<typeof repoFacts>

const ref = z.object({
  /** Short name to show: `main`, `v1.0`, `refs/pr/3`. */
  name: z.string(),
  sha: z.string(),
})
export type Ref = z.infer<typeof ref>

/** Of the answer about a token, what is used. */
const whoami = z.object({
  name: z.string(),
  orgs: z.array(z.object({ name: z.string() })).default([]),
  auth: z.object({ accessToken: z.object({ role: z.string().optional() }).optional() }).optional(),
})

export interface Account {
  name: string
  organizations: string[]
  /** The token is one for reading. A fine-grained one says what it may when it is used. */
  readOnly: boolean
}

const repoRefs = z.object({ branches: z.array(ref), tags: z.array(ref), pulls: z.array(ref) })
export type Refs = z.infer<typeof repoRefs>

const hubFile = z.object({
  path: z.string().refine((path) => escapes(path) === null),
  size: z.int().nonnegative(),
  /** SHA-256 of a large file, git's blob id of a small one. */
  hash: z.string(),
  xet: z.boolean(),
})
export type HubFile = z.infer<typeof hubFile>

/** How many pull requests are searched for a conversion to safetensors, newest first. */
const maxPulls = 30
/** A repository with more files than this is not listed completely. */
const maxFiles = 100_000
const repoPart = '[A-Za-z0-9][A-Za-z0-9._-]{0,95}'

/** `owner/name`, `owner/name@revision`, or the address of its page. @throws WorkbenchError `option-invalid` */
export function parseRepo(text: string): { name: string; revision: string | null } {
  const trimmed = text.trim()
  const page = /^https?:\/\/[^/]+\/(?:models\/|datasets\/)?([^/?#]+\/[^/?#]+)(?:\/(?:tree|blob|resolve)\/([^?#]+))?/.exec(trimmed)
  // A path after the revision is ignored; the revision itself contains slashes only as refs/pr/N.
  const fromPage = page?.[2] && (/^refs(?:\/|%2F)(?:pr|convert)(?:\/|%2F)[^/]+/i.exec(page[2])?.[0] ?? page[2].split('/')[0])
  const [name, revision = null] = page ? [page[1], fromPage ? decodeURIComponent(fromPage) : null] : trimmed.split(/@(.*)/s, 2)
  if (!new RegExp(`^(${repoPart}/)?${repoPart}$`).test(name) || name.includes('..')) {
    throw new WorkbenchError(
      'option-invalid',
      `“${text}” is not a repository name of the Hub.`,
      'Write owner/name, or owner/name@revision.',
    )
  }
  return { name, revision: checkRevision(revision) }
}

function checkRevision(revision: string | null): string | null {
  if (revision === null || (/^[\w./-]{1,200}$/.test(revision) && !revision.includes('..') && !revision.startsWith('/'))) return revision
  throw new WorkbenchError(
    'option-invalid',
    `“${revision}” is not a revision.`,
    'Write a branch, a tag, a commit, or refs/pr/ and a number.',
  )
}

/** @throws WorkbenchError `option-invalid` when the address is not valid. */
export function openHub(options: HubOptions = {}): Hub {
  return new Hub(options)
}

export class Hub {
  /** Without a trailing slash. */
  readonly url: string
  readonly network: Network
  readonly cache: Cache | null
  readonly #lookahead = new Lookahead()
  #xetWorks = true
  /** Whether the user was told that answers are from an earlier visit. */
  #saidOld = false

  constructor({ url = publicHub, cache, ...network }: HubOptions) {
    this.url = checkUrl(url)
    this.network = new Network(this.url, network)
    this.cache = cache ? new Cache(cache.store, cache.budget, (...notice) => this.network.notice(...notice)) : null
  }

  /** The token's account. @throws WorkbenchError `hub-denied` when the Hub rejects it */
  async account(): Promise<Account> {
    try {
      const answer = await this.#json('/api/whoami-v2')
      const { success, data } = whoami.safeParse(answer)
      if (!success) throw this.#nonsense()
      const organizations = data.orgs.map(({ name }) => name)
      return { name: data.name, organizations, readOnly: data.auth?.accessToken?.role === 'read' }
    } catch (error) {
      if (!(error instanceof HttpError)) throw error
      throw new WorkbenchError(
        'hub-denied',
        `The Hub at ${this.network.host} does not accept this token.`,
        'It may have expired or be incomplete; create a new one with read access in your account settings.',
      )
    }
  }

  /** Models whose name holds the query, the most downloaded first. */
  async search(query: string, limit = 10, signal?: AbortSignal): Promise<Hit[]> {
    return this.explained('The search', async () => {
      const hits: Hit[] = []
      const { listModels } = await loadHubLibrary()
      const found = listModels({
        search: { query },
        limit,
        sort: 'downloads',
        additionalFields: ['safetensors'],
        hubUrl: this.url,
        fetch: this.network.fetcher(signal),
      })
      for await (const { name, downloads, likes, gated, private: secret, updatedAt, safetensors } of found) {
        if (typeof name !== 'string') throw this.#nonsense()
        hits.push({
          name,
          downloads: count(downloads),
          likes: count(likes),
          gated: Boolean(gated),
          private: Boolean(secret),
          updated: date(updatedAt),
          ...sizesOf(safetensors),
        })
      }
      return hits
    })
  }

  /** What the Hub says about a repository at a revision. */
  async facts(repo: Repo, revision = 'main'): Promise<RepoFacts> {
    const question = (at: string) => `facts of ${repo.type} ${repo.name} at ${at}`
    const facts = await this.#orAsHeard(question(revision), repoFacts, () => this.#facts(repo, revision))
    // A job that is resumed asks for the commit.
    if (facts.sha !== revision) await this.#remember(question(facts.sha), facts)
    return facts
  }

  async #facts({ type, name }: Repo, revision: string): Promise<RepoFacts> {
    const shared = { name, revision, hubUrl: this.url, fetch: this.network.fetcher() }
    const info: Record<string, unknown> = await this.explained(titleOf({ type, name }, revision), async () => {
      const { datasetInfo, modelInfo } = await loadHubLibrary()
      return type === 'model'
        ? { ...(await modelInfo({ ...shared, additionalFields: ['sha', 'cardData', 'config', 'safetensors', 'tags'] })) }
        : { ...(await datasetInfo({ ...shared, additionalFields: ['sha', 'cardData', 'tags'] })) }
    })
    const { success, data: sha } = commit.safeParse(info.sha)
    if (!success) throw this.#nonsense()
    const { cardData, config, safetensors, tags, gated } = info
    const tag = Array.isArray(tags) ? tags.find((one) => typeof one === 'string' && one.startsWith('license:')) : undefined
    const license = isObject(cardData) ? (cardData.license_name ?? cardData.license) : undefined
    return {
      name: typeof info.name === 'string' ? info.name : name,
      sha,
      private: Boolean(info.private),
      gated: gated === 'auto' || gated === 'manual' ? gated : false,
      downloads: count(info.downloads),
      likes: count(info.likes),
      updated: date(info.updatedAt),
      license: typeof license === 'string' ? license : (tag?.slice('license:'.length) ?? null),
      modelType: isObject(config) && typeof config.model_type === 'string' ? config.model_type : null,
      parameters: sizesOf(safetensors).parameters,
    }
  }

  /** Branches, tags and pull requests (the newest first). */
  async refs(repo: Repo): Promise<Refs> {
    return this.#orAsHeard(`refs of ${repo.type} ${repo.name}`, repoRefs, () => this.#refs(repo))
  }

  async #refs(repo: Repo): Promise<Refs> {
    const answer = await this.explained(titleOf(repo), () => this.#json(`/api/${repo.type}s/${repo.name}/refs?include_prs=1`))
    if (!isObject(answer)) throw this.#nonsense()
    const read = (list: unknown, name: (ref: { ref: string; name: string }) => string): Ref[] =>
      (Array.isArray(list) ? list : [])
        .filter((one) => isObject(one) && typeof one.ref === 'string' && typeof one.targetCommit === 'string')
        .map((one) => ({ name: name(one), sha: one.targetCommit }))
    const number = ({ name }: Ref) => Number(name.split('/').at(-1))
    return {
      branches: read(answer.branches, ({ name }) => name),
      tags: read(answer.tags, ({ name }) => name),
      pulls: read(answer.pullRequests, ({ ref }) => ref).sort((a, b) => number(b) - number(a)),
    }
  }

  /** The files of a commit; only those in a folder when `path` is given. */
  async list(repo: Repo, sha: string, where: { path?: string; recursive?: boolean } = {}): Promise<HubFile[]> {
    const question = `files of ${repo.type} ${repo.name} at ${sha} ${JSON.stringify(where)}`
    return this.#orAsHeard(question, z.array(hubFile), () => this.#list(repo, sha, where))
  }

  async #list(repo: Repo, sha: string, { path, recursive = true }: { path?: string; recursive?: boolean }): Promise<HubFile[]> {
    return this.explained(titleOf(repo, sha), async () => {
      const files: HubFile[] = []
      const { listFiles } = await loadHubLibrary()
      const found = listFiles({ repo, revision: sha, path, recursive, hubUrl: this.url, fetch: this.network.fetcher() })
      for await (const { type, path, size, oid, lfs, xetHash } of found) {
        if (type !== 'file') continue
        const why = escapes(path)
        if (why) {
          const hint = 'A file of that name could be written outside its folder. Use another repository, and report this one to the Hub.'
          throw new WorkbenchError('hub-answer', `${repo.name} has a file named ${JSON.stringify(path)}, which is refused: ${why}.`, hint)
        }
        const { success, data } = hubFile.safeParse({ path, size: lfs?.size ?? size, hash: lfs?.oid ?? oid, xet: Boolean(xetHash) })
        if (!success) throw this.#nonsense()
        files.push(data)
        if (files.length > maxFiles)
          throw new WorkbenchError('hub-answer', `${repo.name} has more than ${maxFiles} files.`, 'Name a folder inside it.')
      }
      return files
    })
  }

  /** The listed files as `Bytes`; nothing is read yet. */
  files(repo: Repo, sha: string, listed: readonly HubFile[]): Files {
    this.cache?.begin()
    return new Map(listed.map((file) => [file.path, this.#remote(repo, sha, file)]))
  }

  /** Pull requests that hold the weights as safetensors, the newest first. */
  async conversions(repo: Repo, pulls: readonly Ref[]): Promise<(Ref & { bytes: number })[]> {
    const listed = await Promise.all(
      pulls.slice(0, maxPulls).map(async (ref) => ({ ...ref, bytes: weightBytes(await this.list(repo, ref.sha, { recursive: false })) })),
    )
    return listed.filter(({ bytes }) => bytes > 0)
  }

  // ---------------------------------------------------------------- inside

  #remote(repo: Repo, sha: string, { path, size, hash, xet }: HubFile): RemoteFile {
    const url = `${this.url}${repo.type === 'dataset' ? '/datasets' : ''}/${repo.name}/resolve/${sha}/${path.split('/').map(encodeURIComponent).join('/')}`
    const hub = this
    let blob: Promise<Blob | null> | null = null
    const byXet = {
      async read({ begin, end }: ByteRange) {
        blob ??= loadHubLibrary().then(({ downloadFile }) =>
          downloadFile({ repo, path, revision: sha, hubUrl: hub.url, fetch: hub.network.fetcher() }),
        )
        // Without the Xet headers the library falls back to plain reading without checks; ours has them.
        const file = await blob
        if (!file || !('reconstructionUrl' in file)) throw new Error('the Hub offers no Xet access to it')
        return file.slice(begin, end).arrayBuffer()
      },
      failed(error: unknown) {
        if (!hub.#xetWorks) return
        hub.#xetWorks = false
        const why =
          error instanceof Error
            ? error.message
                .split('. URL:')[0]
                .replace(/https?:\S+/g, '')
                .replace(/\.$/, '')
            : String(error)
        hub.network.notice(
          'note',
          `${path} could not be read through Xet (${why}).`,
          'Files are read by plain HTTP ranges from now on; only the speed may differ.',
        )
      },
    }
    return new RemoteFile(
      hubSource({
        network: this.network,
        url,
        size,
        hash,
        cache: this.cache,
        get xet() {
          return xet && hub.#xetWorks ? byXet : null
        },
        explain: (error) => this.#explain(error, `${path} of ${repo.name}`),
      }),
      this.#lookahead,
    )
  }

  /** The answer of the Hub or, when it cannot be reached, its last answer: the files may be in the cache. */
  async #orAsHeard<T>(question: string, shape: z.ZodType<T>, ask: () => Promise<T>): Promise<T> {
    try {
      const answer = await ask()
      await this.#remember(question, answer)
      this.#saidOld = false
      return answer
    } catch (error) {
      if (!(error instanceof WorkbenchError) || !(error.code === 'offline' || error.code === 'hub-unreachable')) throw error
      const heard = shape.safeParse(await this.cache?.recall(`${this.url} ${question}`))
      if (!heard.success) throw error
      if (!this.#saidOld) {
        this.#saidOld = true
        this.network.notice(
          'note',
          `${error.message} The information about the repository is from the last visit.`,
          'Files that were read then are in the cache; anything else needs a connection.',
        )
      }
      return heard.data
    }
  }

  async #remember(question: string, answer: unknown): Promise<void> {
    await this.cache?.remember(`${this.url} ${question}`, answer)
  }

  async #json(path: string): Promise<unknown> {
    const response = await this.network.fetcher()(this.url + path, { headers: { accept: 'application/json' } })
    return response.json()
  }

  /** Does something about `what`, a subject of sentences, with HTTP errors explained. */
  async explained<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw this.#explain(error, what)
    }
  }

  /** An HTTP error as an error about `what` was requested; bugs are returned unchanged. */
  #explain(error: unknown, what: string): unknown {
    if (error instanceof SyntaxError) return this.#nonsense(error)
    if (!(error instanceof HttpError)) return error
    const { status, reason } = error
    const { host, signedIn } = this.network
    const inside = what.replace(/^The /, 'the ')
    const access = signedIn ? 'Check which account the token belongs to, and that it has access.' : 'Sign in, or paste an access token.'
    if (reason === 'GatedRepo') {
      return new WorkbenchError(
        'hub-denied',
        signedIn ? `${what} is gated, and this account has no access yet.` : `${what} is gated: its owner grants access on request.`,
        `Request access on its page at ${host}${signedIn ? ', then try again.' : `. ${access}`}`,
      )
    }
    if (reason === 'RevisionNotFound')
      return new WorkbenchError(
        'hub-missing',
        `${what} does not exist: no such revision.`,
        'Choose a branch, a tag or a commit of this repository.',
      )
    if (reason === 'EntryNotFound') return new WorkbenchError('hub-missing', `${what} does not exist.`, 'Open the repository again.')
    // The Hub tells nobody without access that a private repository exists.
    if (status === 404 || reason === 'RepoNotFound')
      return new WorkbenchError('hub-missing', `${what} is not on ${host}, or it is private.`, `Check the name. ${access}`)
    if (status === 401 || status === 403)
      return new WorkbenchError(
        'hub-denied',
        `The Hub at ${host} denies access to ${inside}${error.said && `: ${error.said}`}.`,
        signedIn ? `The token may have expired. ${access}` : access,
      )
    if (status === 416)
      return new WorkbenchError('hub-changed', `${what} is shorter than the Hub's listing says.`, 'Open the repository again.')
    return new WorkbenchError(
      'hub-answer',
      `The Hub at ${host} answered ${status} about ${inside}${error.said && `: ${error.said}`}.`,
      'Try again later, or check the address of the Hub.',
    )
  }

  #nonsense(cause?: unknown): WorkbenchError {
    return new WorkbenchError(
      'hub-answer',
      `The answer of ${this.network.host} is not that of a Hub.`,
      'Check that this is the address of a Hub.',
      { cause },
    )
  }
}

/** Size of the safetensors that would be read: one file, or shards. */
export function weightBytes(files: readonly HubFile[]): number {
  const weights = files.filter(({ path }) => /^[^/]+\.safetensors$/.test(path))
  const single = weights.find(({ path }) => path === 'model.safetensors')
  const shards = weights.filter(({ path }) => /^model-\d+-of-\d+\.safetensors$/.test(path))
  return (single ? [single] : shards.length ? shards : weights).reduce((sum, { size }) => sum + size, 0)
}

/** Parameters and their bytes from the Hub's count of them by data type. */
function sizesOf(safetensors: unknown): { parameters: number | null; bytes: number | null } {
  if (!isObject(safetensors) || !Number.isSafeInteger(safetensors.total)) return { parameters: null, bytes: null }
  const counts = isObject(safetensors.parameters) ? Object.entries(safetensors.parameters) : []
  const bytes = counts.reduce(
    (sum, [dtype, count]) => sum + (Number(count) * ((dtypeBits as Record<string, number>)[dtype] ?? Number.NaN)) / 8,
    0,
  )
  return { parameters: safetensors.total as number, bytes: counts.length && Number.isFinite(bytes) ? bytes : null }
}

function checkUrl(text: string): string {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw new WorkbenchError('option-invalid', `“${text}” is not the address of a Hub.`, `Write it like ${publicHub}.`)
  }
  if (!/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash)
    throw new WorkbenchError(
      'option-invalid',
      'The address of a Hub consists of a host and an optional path.',
      `Write it like ${publicHub}.`,
    )
  return url.href.replace(/\/+$/, '')
}

const titleOf = ({ type, name }: Repo, revision?: string) =>
  `The ${type === 'model' ? 'model' : 'data set'} ${name}${revision && revision !== 'main' ? ` at ${revision.slice(0, 40)}` : ''}`
const count = (value: unknown) => (Number.isSafeInteger(value) ? (value as number) : 0)
const date = (value: unknown) => (value instanceof Date && Number.isFinite(value.getTime()) ? value.toISOString() : '')
