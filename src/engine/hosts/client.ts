/** The page's only door to the engine: a dedicated worker that owns the GPU, spoken to as plain async calls. */
import * as Comlink from 'comlink'
import { type ErrorData, fromErrorData } from '../../errors.ts'
import type {
  CacheInfo,
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
  NamedFile,
  RunEvent,
  TextSource,
  Traffic,
} from '../job.ts'
import { publicHub } from '../../io/hub/network.ts'
import { exportedFile, jobLock } from './opfs.ts'
import { finishSignIn, pageOf, type SignIn, signInUrl } from './signin.ts'
import type { WorkerApi } from './worker.ts'
import workerUrl from './worker.ts?worker&url'

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

/** Only there when the user asked for it. */
const tokenKey = 'hub-token'
const budgetKey = 'hub-cache-bytes'

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
  /**
   * Leaves for the Hub to sign in there and comes back to this address; null where the page is not registered at the Hub,
   * and only a pasted token can be used.
   */
  readonly hubSignIn: (() => Promise<void>) | null
  /**
   * The account signed in: by a pasted token, one remembered from an earlier visit, or by coming back from `hubSignIn`.
   * Rejects once when that failed.
   */
  hubAccount(): Promise<HubAccount | null>
  /** Done once the page is back from signing in, if that is where it comes from: its address is its own only then. */
  readonly arrived: Promise<void>
  /** How much of the Hub's files is kept in this browser. */
  cacheInfo(): Promise<CacheInfo>
  /** Bytes at most, now and in later visits; what is over goes at once. 0 keeps nothing. */
  setCacheBudget(bytes: number): Promise<void>
  clearCache(): Promise<void>
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
   * takes the place of the job in the journal and its checkpoints, finished or not: `replacing` names that one by
   * `JournalSummary.started`, null where there is none. May reject with `journal-busy`, and with `journal-kept` when
   * another job than the one named is there.
   */
  start(job: Job, onEvent: (event: RunEvent) => void, replacing: string | null): Promise<JobReport>
  pause(): Promise<void>
  resume(): Promise<void>
  /** Takes effect within one GPU submit. */
  cancel(): Promise<void>
  /** A file of a finished run's checkpoint, from the private file system, without a copy in memory. */
  exportFile(run: string, path: string): Promise<File>
  /** The job in the journal, interrupted or over; `busy`: another tab is at work on it. */
  journal(): Promise<{ busy: boolean; summary: JournalSummary | null }>
  /** Texts that the person brought to that job; from now on they can be asked for by their ids. */
  journalTexts(): Promise<TextSource[]>
  /**
   * Goes on with that job, on the model that is open, once its texts are there. A finished run whose checkpoint could not be written
   * (`RunResult.exportError`) gets it now, without solving anything again. May reject with `journal-mismatch`, `journal-busy`.
   */
  goOn(job: Job, onEvent: (event: RunEvent) => void): Promise<JobReport>
  /**
   * Forgets the job that was started then (`JournalSummary.started`) and frees the storage of its checkpoints. May reject
   * with `journal-busy`, and with `journal-kept` when it is another one by now.
   */
  discard(started: string): Promise<void>
  /** Resolves when no tab is at work. */
  idle(): Promise<void>
}

/** The browser's storage, as far as it lets the page have any. */
const keptBy = (storage: () => Storage) => ({
  get: (key: string) => attempt(() => storage().getItem(key)),
  set: (key: string, value: string) => attempt(() => storage().setItem(key, value)),
  remove: (key: string) => attempt(() => storage().removeItem(key)),
})
const kept = keptBy(() => localStorage)

function attempt<T>(work: () => T): T | null {
  try {
    return work()
  } catch {
    return null
  }
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
  const remembered = kept.get(tokenKey)
  if (remembered) call(remote.setHubToken(remembered)).catch(() => kept.remove(tokenKey))
  const accountOf = (found: { name: string } | null): HubAccount | null => found && { ...found, remembered: kept.get(tokenKey) !== null }
  const clientId: string | undefined = import.meta.env.VITE_HUB_CLIENT_ID
  const place = clientId ? { hubUrl, clientId, keep: keptBy(() => sessionStorage) } : null
  let returned = place && comeBack(place)
  async function comeBack(place: SignIn): Promise<void> {
    const { href } = location
    try {
      const found = await finishSignIn(place, href)
      if (!found) return
      history.replaceState(null, '', found.href)
      await call(remote.setHubToken(found.token))
    } catch (error) {
      // The code of an attempt that failed is of no use in the address.
      history.replaceState(null, '', pageOf(href))
      throw error
    }
  }
  returned?.catch(() => {}) // told by hubAccount
  /** A call that may need the token, made once it is there. */
  const signedIn = <T>(work: () => Promise<T>) => (returned ?? Promise.resolve()).catch(() => {}).then(() => call(work()))
  const budget = kept.get(budgetKey)
  if (budget) call(remote.setCacheBudget(Number(budget))).catch(() => kept.remove(budgetKey))
  return {
    catalog: () => call(remote.catalog()),
    gpu: () => call(remote.gpu()),
    open: (source) => {
      if (source.kind === 'demo') return call(remote.openDemo())
      if (source.kind === 'hub') {
        // So that the browser does not clear the cache while it is short of space; it may ask, or decide by itself.
        navigator.storage.persist().catch(() => {})
        return signedIn(() => remote.openHub(source.repo, source.revision))
      }
      return call(remote.open(source.files, source.name))
    },
    stopHub: () => call(remote.stopHub()),
    hubSearch: (query) => call(remote.hubSearch(query)),
    hubModel: (repo, revision) => signedIn(() => remote.hubModel(repo, revision)),
    async setHubToken(token, remember = false) {
      kept.remove(tokenKey)
      await call(remote.setHubToken(token))
      if (!token) return null
      try {
        const account = await call(remote.hubAccount())
        if (remember) kept.set(tokenKey, token)
        return accountOf(account)
      } catch (error) {
        await call(remote.setHubToken(null))
        throw error
      }
    },
    arrived: returned?.catch(() => {}) ?? Promise.resolve(),
    hubSignIn: place && (async () => location.assign(await signInUrl(place, location.href))),
    async hubAccount() {
      const coming = returned
      returned = null
      await coming
      return accountOf(await call(remote.hubAccount()))
    },
    cacheInfo: () => call(remote.cacheInfo()),
    async setCacheBudget(bytes) {
      await call(remote.setCacheBudget(bytes))
      kept.set(budgetKey, String(bytes))
    },
    clearCache: () => call(remote.clearCache()),
    watchNetwork: (watcher) => {
      const hear: Parameters<WorkerApi['watchNetwork']>[0] = (event) =>
        'traffic' in event ? watcher.traffic(event.traffic) : watcher.notice(event.notice.message, event.notice.hint)
      call(remote.watchNetwork(Comlink.proxy(hear))).catch(() => {}) // the next call reports a dead engine
    },
    addText: (file, origin) => call(remote.addText(file, origin)),
    check: (job) => call(remote.check(job)),
    dryRun: (spec) => call(remote.dryRun(spec)),
    start: (job, onEvent, replacing) => call(remote.start(job, Comlink.proxy(onEvent), replacing)),
    pause: () => call(remote.pause()),
    resume: () => call(remote.resume()),
    cancel: () => call(remote.cancel()),
    exportFile: exportedFile,
    journal: () => call(remote.journal()),
    journalTexts: () => call(remote.journalTexts()),
    goOn: (job, onEvent) => call(remote.goOn(job, Comlink.proxy(onEvent))),
    discard: (started) => call(remote.discard(started)),
    idle: () => navigator.locks.request(jobLock, { mode: 'shared' }, async () => {}),
  }
}
