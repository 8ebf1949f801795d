/**
 * Client of the Hugging Face Hub or a mirror: search, information about a repository, and its files as `Bytes`. The library
 * `@huggingface/hub` does listing, information and Xet; plain ranges, retries and the token are done here (`network.ts`).
 */
import { z } from '../zod.ts'
import { WorkbenchError } from '../../errors.ts'
import type { ByteRange, Files } from '../bytes.ts'
import { escapes } from '../names.ts'
import { isObject } from '../json.ts'
import { Cache, type CacheFolder } from './cache.ts'
import { explain, nonsense } from './explain.ts'
import { HttpError } from './trouble.ts'
import { Network, type NetworkOptions, publicHub } from './network.ts'
import { HubSource, Lookahead, RemoteFile } from './remote.ts'
import {
  type Repo,
  type Hit,
  commit,
  repoFacts,
  type RepoFacts,
  type Ref,
  whoami,
  type Account,
  repoRefs,
  type Refs,
  hubFile,
  type HubFile,
  weightBytes,
  sizesOf,
  count,
  date,
} from './answers.ts'
import { checkUrl } from './addresses.ts'

/** The library, which most visits do without. */
export const loadHubLibrary = () => import('@huggingface/hub')

export interface HubOptions extends NetworkOptions {
  /** Address of the Hub or a mirror. */
  url?: string
  /** Where the cache is kept, and its size in bytes. */
  cache?: { store: CacheFolder; budget: number }
}

const maxPulls = 30
/** A repository with more files than this is not listed completely. */
const maxFiles = 100_000

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
      if (!success) throw nonsense(this.network)
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
        if (typeof name !== 'string') throw nonsense(this.network)
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
    if (!success) throw nonsense(this.network)
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
    if (!isObject(answer)) throw nonsense(this.network)
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
        if (!success) throw nonsense(this.network)
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
      new HubSource({
        network: this.network,
        url,
        size,
        hash,
        cache: this.cache,
        get xet() {
          return xet && hub.#xetWorks ? byXet : null
        },
        explain: (error) => explain(error, `${path} of ${repo.name}`, this.network),
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
      throw explain(error, what, this.network)
    }
  }
}

const titleOf = ({ type, name }: Repo, revision?: string) =>
  `The ${type === 'model' ? 'model' : 'data set'} ${name}${revision && revision !== 'main' ? ` at ${revision.slice(0, 40)}` : ''}`
