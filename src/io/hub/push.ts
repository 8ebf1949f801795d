/**
 * Uploads a checkpoint to a repository of the Hub. The library `@huggingface/hub` implements the protocol (preupload, the batch of
 * large files, Xet, commit); which files go into which commit, what may be in the repository before, and going on are decided here.
 *
 * The report of the run is committed first and names the checkpoint from then on; each large file is a commit of its own; the small
 * files, among them config.json and the model card, come last, so that nobody loads half a model. An upload that broke goes on where
 * the repository has the same report: what it has already is not sent again.
 */
import { inWords, WorkbenchError } from '../../errors.ts'
import type { Bytes } from '../bytes.ts'
import { hex, sha256 } from '../digest.ts'
import type { Hub } from './hub.ts'
import type { HubFile } from './answers.ts'
import { loadHubLibrary } from './hub.ts'
import { HttpError } from './trouble.ts'

/** A file of a checkpoint; the library wants its content as a `Blob` or, in Node, as a `file:` address. */
export interface PushFile {
  /** Inside the repository. */
  path: string
  bytes: Bytes
  content: Blob | URL
}

export interface PushPlace {
  /** `owner/name` */
  repo: string
  /** Everybody may see the repository; else its owner alone. */
  public: boolean
}

export interface PushProgress {
  phase: 'checking' | 'hashing' | 'sending' | 'committing'
  /** The file at work; null where there is none or several. */
  path: string | null
  /** Bytes of files that are in the repository or in its storage. */
  done: number
  total: number
}

export interface Pushed {
  /** Address of the repository's page. */
  url: string
  /** Files committed now, and those that were there before. */
  sent: number
  kept: number
}

/** What an upload is told, and how it is stopped. */
export interface PushWatch {
  tell?(progress: PushProgress): void
  signal?: AbortSignal
}

/** The file that tells one checkpoint from another: what was quantized, how, and every figure. */
const reportName = 'quantization_report.json'
/** Made by the Hub itself with the repository, and changed by it with each large file. */
const ownOfHub = '.gitattributes'
/** A file of more bytes than this is a commit of its own. */
const apart = 10 << 20

/**
 * Whether the repository can be written, as far as that is known before there is a checkpoint: the token, the name, and what is there.
 * `going`: an upload may have begun, so that files in the repository are no reason against it.
 * @throws {WorkbenchError} `option-invalid`, `hub-denied`, or of the network
 */
export async function checkPush(hub: Hub, place: PushPlace, going: boolean): Promise<void> {
  const { listed } = await look(hub, place)
  if (!going && listed.length) throw occupied(place.repo, listed)
}

/**
 * Uploads the files, into a new repository or one that has a part of them.
 * @throws {WorkbenchError} `option-invalid`, `hub-denied`, `cancelled`, or of the network
 */
export async function push(hub: Hub, place: PushPlace, files: readonly PushFile[], { tell, signal }: PushWatch = {}): Promise<Pushed> {
  const total = files.reduce((sum, { bytes }) => sum + bytes.size, 0)
  tell?.({ phase: 'checking', path: null, done: 0, total })
  const standing = await look(hub, place)
  const kept = await keptOf(place.repo, standing.listed, files)
  if (!standing.exists) await create(hub, place)
  let done = files.reduce((sum, { path, bytes }) => sum + (kept.has(path) ? bytes.size : 0), 0)
  let sent = 0
  // What goes on after an error would be sent in vain.
  const stop = new AbortController()
  const ended = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal
  try {
    for (const batch of batchesOf(files.filter(({ path }) => !kept.has(path)))) {
      const there = batch.length === 1 ? standing.listed.find(({ path }) => path === batch[0].path) : undefined
      const size = batch.reduce((sum, { bytes }) => sum + bytes.size, 0)
      const before = done
      const progress = (phase: PushProgress['phase'], path: string | null, share: number) =>
        tell?.({ phase, path, done: before + share, total })
      if (await commit(hub, place.repo, batch, there?.hash ?? null, progress, ended)) sent += batch.length
      done += size
    }
  } finally {
    stop.abort()
  }
  tell?.({ phase: 'committing', path: null, done: total, total })
  return { url: `${hub.url}/${place.repo}`, sent, kept: files.length - sent }
}

/** The repository as it is. @throws {WorkbenchError} where it may not be written, or its visibility is another */
async function look(hub: Hub, place: PushPlace): Promise<{ exists: boolean; listed: HubFile[] }> {
  checkName(place.repo)
  const { host, signedIn } = hub.network
  if (!signedIn)
    throw new WorkbenchError(
      'hub-denied',
      `Uploading to ${host} needs an access token, and there is none.`,
      'Create one with write access in your account settings, and sign in with it (the command line reads $HF_TOKEN).',
    )
  const { name, organizations, readOnly } = await hub.account()
  if (readOnly)
    throw new WorkbenchError(
      'hub-denied',
      `The access token of ${name} is for reading only.`,
      'Create one with write access in your account settings.',
    )
  const owner = place.repo.split('/')[0]
  if (![name, ...organizations].some((one) => one.toLowerCase() === owner.toLowerCase()))
    throw new WorkbenchError(
      'hub-denied',
      `${owner} is neither ${name} nor one of this account’s organizations.`,
      `Choose a name that starts with ${inWords([name, ...organizations].slice(0, 5), 'or')}.`,
    )
  const repo = { type: 'model' as const, name: place.repo }
  const facts = await hub.facts(repo).catch((error) => {
    if (error instanceof WorkbenchError && error.code === 'hub-missing') return null
    throw error
  })
  if (!facts) return { exists: false, listed: [] }
  if (facts.private === place.public)
    throw new WorkbenchError(
      'option-invalid',
      `${place.repo} exists and is ${facts.private ? 'private' : 'public'}.`,
      `Choose another name, upload it as ${facts.private ? 'private' : 'public'}, or change the repository’s visibility on its page at ${host}.`,
    )
  const listed = (await hub.list(repo, facts.sha)).filter(({ path }) => path !== ownOfHub)
  return { exists: true, listed }
}

/** @throws {WorkbenchError} `option-invalid` for a name that the Hub does not allow */
function checkName(repo: string): void {
  const [owner = '', name = '', ...more] = repo.split('/')
  const legal = (part: string) => /^[A-Za-z0-9][\w.-]{0,95}$/.test(part) && !/--|\.\.|[.-]$|\.git$|\.ipynb$/i.test(part)
  if (!more.length && legal(owner) && legal(name) && repo.length <= 96) return
  throw new WorkbenchError(
    'option-invalid',
    `“${repo}” cannot be the name of a repository.`,
    'Write owner/name with letters, digits, “-”, “_” and “.”, 96 characters at most; no part begins or ends with “-” or “.”, or has two of them in a row.',
  )
}

/** Paths that the repository has with the same bytes already. @throws {WorkbenchError} `option-invalid` where it has anything else */
async function keptOf(repo: string, listed: readonly HubFile[], files: readonly PushFile[]): Promise<Set<string>> {
  const ours = new Map(files.map((file) => [file.path, file]))
  const kept = new Set<string>()
  const strange: HubFile[] = []
  for (const found of listed) {
    const file = ours.get(found.path)
    if (!file || file.bytes.size !== found.size) strange.push(found)
    // The library hashes large files, which do not fit into memory.
    else if (found.size <= apart) {
      if ((await hashLike(found.hash, file.bytes)) === found.hash) kept.add(found.path)
      else strange.push(found)
    }
  }
  if (strange.length || (listed.length && !kept.has(reportName))) throw occupied(repo, strange.length ? strange : listed)
  return kept
}

/** As the Hub gives it: SHA-256 of a large file, git's blob id of a small one. */
async function hashLike(hash: string, bytes: Bytes): Promise<string> {
  const content = new Uint8Array(await bytes.arrayBuffer())
  if (hash.length === 64) return sha256(content)
  const blob = await new Blob([`blob ${content.length}\0`, content]).arrayBuffer()
  return hex(new Uint8Array(await crypto.subtle.digest('SHA-1', blob)))
}

function occupied(repo: string, files: readonly HubFile[]): WorkbenchError {
  const [first, ...others] = files.map(({ path }) => path)
  const what = others.length ? `${first} and ${others.length} more` : first
  return new WorkbenchError(
    'option-invalid',
    `${repo} holds something else already: ${what}.`,
    'Nothing in it was changed. Choose another name, or delete that repository first.',
  )
}

/** Does something that takes the right to write, with its errors explained. */
async function writing<T>(hub: Hub, what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await hub.explained(what, work)
  } catch (error) {
    if (!(error instanceof WorkbenchError) || error.code !== 'hub-denied') throw error
    const hint = 'The token needs write access to this repository; one from signing in on the page may only read.'
    throw new WorkbenchError(error.code, error.message, hint, { cause: error })
  }
}

async function create(hub: Hub, place: PushPlace): Promise<void> {
  const { createRepo } = await loadHubLibrary()
  await writing(hub, `The repository ${place.repo}`, async () => {
    try {
      await createRepo({
        repo: { type: 'model', name: place.repo },
        visibility: place.public ? 'public' : 'private',
        hubUrl: hub.url,
        fetch: hub.network.fetcher(),
        // Added by the network, which alone has it.
        accessToken: '',
      })
    } catch (error) {
      // The answer to an earlier attempt was lost.
      if (!(error instanceof HttpError && error.status === 409)) throw error
    }
  })
  // Whoever made it, it has to be what was asked for.
  const { listed } = await look(hub, place)
  if (listed.length) throw occupied(place.repo, listed)
}

/** The report, each large file, and everything else. */
function batchesOf(files: readonly PushFile[]): PushFile[][] {
  const report = files.filter(({ path }) => path === reportName)
  const large = files.filter((file) => file.bytes.size > apart && !report.includes(file))
  const small = files.filter((file) => !large.includes(file) && !report.includes(file))
  return [report, ...large.map((file) => [file]), small].filter(({ length }) => length)
}

/** The library has hashed a file, and the repository has it. */
class Unchanged extends Error {}

/**
 * One commit. `there`: hash of the file in the repository with the path of the only file.
 * @returns whether there was anything to commit
 */
async function commit(
  hub: Hub,
  repo: string,
  files: readonly PushFile[],
  there: string | null,
  progress: (phase: PushProgress['phase'], path: string | null, done: number) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const { commitIter } = await loadHubLibrary()
  const sizes = new Map(files.map(({ path, bytes }) => [path, bytes.size]))
  const shares = new Map<string, number>()
  const done = () => [...shares].reduce((sum, [path, share]) => sum + share * (sizes.get(path) ?? 0), 0)
  const title = files.length > 1 ? `Add ${files.length} files of the checkpoint` : `Add ${files[0].path}`
  const steps = commitIter({
    repo: { type: 'model', name: repo },
    operations: files.map(({ path, content }) => ({ operation: 'addOrUpdate', path, content })),
    title,
    hubUrl: hub.url,
    fetch: fetchOf(hub, there, signal),
    abortSignal: signal,
  })
  return writing(hub, `The upload to ${repo}`, async () => {
    try {
      for (let step = await steps.next(); !step.done; step = await steps.next()) {
        const { value } = step
        if (value.event === 'phase') {
          if (value.phase === 'committing') progress('committing', null, done())
          continue
        }
        if (value.state === 'uploading') shares.set(value.path, value.progress)
        progress(value.state === 'hashing' ? 'hashing' : 'sending', value.path, done())
      }
      return true
    } catch (error) {
      if (error instanceof Unchanged) return false
      signal.throwIfAborted()
      throw refusalOf(error)
    }
  })
}

/** How the library sends. */
function fetchOf(hub: Hub, there: string | null, signal: AbortSignal): typeof fetch {
  const send = hub.network.fetcher(signal)
  return async (input, init) => {
    const url = String(input instanceof Request ? input.url : input)
    if (there !== null && url.endsWith('/info/lfs/objects/batch')) {
      const { objects } = JSON.parse(String(init?.body)) as { objects: { oid: string }[] }
      if (objects.every(({ oid }) => oid === there)) throw new Unchanged()
    }
    if (init?.body || url.startsWith(hub.network.origin)) return send(input, init)
    // What the storage has already is only looked up, to send less.
    return send(input, init).catch(() => new Response(null, { status: 503 }))
  }
}

/** What the library itself says of a single large file; bugs are returned unchanged. */
function refusalOf(error: unknown): unknown {
  if (!(error instanceof Error) || !('statusCode' in error)) return error
  const said = error.message.split(' - Request ID')[0].split('. URL:')[0]
  return new WorkbenchError('hub-answer', `The Hub refused a file: ${said.slice(0, 300)}.`, 'Try again; what was committed is kept.')
}
