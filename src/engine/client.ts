/** The page's only door to the engine: a dedicated worker that owns the GPU, spoken to as plain async calls. */
import * as Comlink from 'comlink'
import { type ErrorData, fromErrorData } from '../errors.ts'
import type {
  Catalog,
  DryRun,
  DryRunSpec,
  GpuSummary,
  HubHit,
  HubModel,
  Job,
  JobCheck,
  JobReport,
  JournalSummary,
  ModelSummary,
  RunEvent,
  TextSource,
  Traffic,
} from './job.ts'
import { publicHub } from '../io/hub/network.ts'
import { exportedFile, jobLock } from './opfs.ts'
import type { WorkerApi } from './worker.ts'
import workerUrl from './worker.ts?worker&url'

/** A dropped or picked file with its path inside the folder. */
export interface NamedFile {
  path: string
  file: Blob
}

/** `name`: of the folder, where there was one; paths do not repeat it. */
export type ModelSource =
  | { kind: 'demo' }
  | { kind: 'files'; name?: string; files: NamedFile[] }
  /** `repo`: `owner/name`, `owner/name@revision`, or the address of its page; `revision`: a branch, tag, commit or `refs/pr/N`. */
  | { kind: 'hub'; repo: string; revision?: string }

export interface NetworkWatcher {
  traffic(traffic: Traffic): void
  /** Something that did not go the plain way, e.g. Xet failed and plain ranges are used. */
  notice(message: string, hint: string): void
}

/** The Hub that the page was built for. */
export const hubUrl: string = import.meta.env.VITE_HUB_URL?.replace(/\/+$/, '') || publicHub

/** Who is signed in, and whether the browser keeps the token. */
export interface HubAccount {
  name: string
  remembered: boolean
}

/** The token of somebody who asked for it to be kept. Private windows may refuse storage; nothing is kept then. */
const keptToken = {
  key: 'hub-token',
  read: () => attempt(() => localStorage.getItem(keptToken.key)) ?? null,
  write: (token: string) => attempt(() => localStorage.setItem(keptToken.key, token)),
  remove: () => attempt(() => localStorage.removeItem(keptToken.key)),
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}

/** Every call may reject with a WorkbenchError (code, message, hint). */
export interface Engine {
  catalog(): Promise<Catalog>
  /** Opens the device on first use. */
  gpu(): Promise<GpuSummary>
  /** Reads headers and configuration only; replaces the model opened before. */
  open(source: ModelSource): Promise<ModelSummary>
  /** Ends whatever is being asked of the Hub, an opening too, with `cancelled`. */
  stopHub(): Promise<void>
  /** Models whose name holds the query. A newer search ends the one before it with `cancelled`. */
  hubSearch(query: string): Promise<HubHit[]>
  /** What the Hub tells of a model, and whether it can be opened; `repo` as in `open`. */
  hubModel(repo: string, revision?: string): Promise<HubModel>
  /**
   * The access token for gated and private models, or null to sign out. It stays in memory, and in this browser when
   * `remember` is set; it is checked with the Hub first. Resolves to the account it belongs to.
   */
  setHubToken(token: string | null, remember?: boolean): Promise<HubAccount | null>
  /** The account signed in, also by a token remembered from an earlier visit. */
  hubAccount(): Promise<HubAccount | null>
  /** Everything that is read over the network from now on, in jobs and outside of them. */
  watchNetwork(watcher: NetworkWatcher): void
  /** Registers a .txt, .jsonl or .parquet file as a text; the returned id goes into the Job. */
  addText(file: File, origin?: 'file' | 'paste'): Promise<TextSource>
  /** Tokenizes, counts, predicts, and finds what is wrong, before anything is started. */
  check(job: Job): Promise<JobCheck>
  /** What every algorithm would take on the open model, which needs no weights for that. */
  dryRun(spec: DryRunSpec): Promise<DryRun>
  /**
   * Runs the job; resolves when it is over, cancelled or not. Failed runs are in the report. Unless it only measures, it
   * takes the place of the job in the journal. May reject with `journal-busy`.
   */
  start(job: Job, onEvent: (event: RunEvent) => void): Promise<JobReport>
  pause(): Promise<void>
  resume(): Promise<void>
  /** Takes effect within one GPU submit. */
  cancel(): Promise<void>
  /** A file of a finished run's checkpoint, from the private file system, without a copy in memory. */
  exportFile(run: string, path: string): Promise<File>
  /** The job in the journal, interrupted or over; `busy`: another tab is at work on it. */
  journal(): Promise<{ busy: boolean; summary: JournalSummary | null }>
  /** Goes on with that job, on the model that is open. May reject with `journal-mismatch`, `journal-busy`. */
  goOn(job: Job, onEvent: (event: RunEvent) => void): Promise<JobReport>
  /** Forgets that job and frees the storage of its checkpoints. May reject with `journal-busy`. */
  discard(): Promise<void>
  /** Resolves when no tab is at work. */
  idle(): Promise<void>
}

/** Starts the engine. The page has one for its whole life. */
export function connect(): Engine {
  // From a blob, because a worker with an address of its own is not bound by the page's content security policy.
  const script = new Blob([`import ${JSON.stringify(new URL(workerUrl, document.baseURI).href)}`], { type: 'text/javascript' })
  // The worker's name tells it where the page lies; its own address does not, once it is built.
  const worker = new Worker(URL.createObjectURL(script), { type: 'module', name: document.baseURI })
  const remote = Comlink.wrap<WorkerApi>(worker)
  const dead = new Promise<never>((_, reject) => {
    worker.onerror = (event) => {
      event.preventDefault()
      reject(new Error(`The engine stopped: ${event.message || 'its worker could not be loaded'}.`))
    }
  })
  dead.catch(() => {}) // reported by whichever call is waiting, or the next one
  const call = async <T>(answer: Promise<T>): Promise<T> => {
    try {
      return await Promise.race([answer, dead])
    } catch (error) {
      throw error instanceof Error ? error : fromErrorData(error as ErrorData)
    }
  }
  const remembered = keptToken.read()
  if (remembered) call(remote.setHubToken(remembered)).catch(keptToken.remove)
  const accountOf = (found: { name: string } | null): HubAccount | null => found && { ...found, remembered: keptToken.read() !== null }
  return {
    catalog: () => call(remote.catalog()),
    gpu: () => call(remote.gpu()),
    open: (source) => {
      if (source.kind === 'demo') return call(remote.openDemo())
      if (source.kind === 'hub') return call(remote.openHub(source.repo, source.revision))
      return call(remote.open(source.files, source.name))
    },
    stopHub: () => call(remote.stopHub()),
    hubSearch: (query) => call(remote.hubSearch(query)),
    hubModel: (repo, revision) => call(remote.hubModel(repo, revision)),
    async setHubToken(token, remember = false) {
      keptToken.remove()
      await call(remote.setHubToken(token))
      if (!token) return null
      try {
        const account = await call(remote.hubAccount())
        if (remember) keptToken.write(token)
        return accountOf(account)
      } catch (error) {
        await call(remote.setHubToken(null))
        throw error
      }
    },
    hubAccount: async () => accountOf(await call(remote.hubAccount())),
    watchNetwork: (watcher) => {
      const hear: Parameters<WorkerApi['watchNetwork']>[0] = (event) =>
        'traffic' in event ? watcher.traffic(event.traffic) : watcher.notice(event.notice.message, event.notice.hint)
      call(remote.watchNetwork(Comlink.proxy(hear))).catch(() => {}) // the next call reports a dead engine
    },
    addText: (file, origin) => call(remote.addText(file, origin)),
    check: (job) => call(remote.check(job)),
    dryRun: (spec) => call(remote.dryRun(spec)),
    start: (job, onEvent) => call(remote.start(job, Comlink.proxy(onEvent))),
    pause: () => call(remote.pause()),
    resume: () => call(remote.resume()),
    cancel: () => call(remote.cancel()),
    exportFile: exportedFile,
    journal: () => call(remote.journal()),
    goOn: (job, onEvent) => call(remote.goOn(job, Comlink.proxy(onEvent))),
    discard: () => call(remote.discard()),
    idle: () => navigator.locks.request(jobLock, async () => {}),
  }
}
