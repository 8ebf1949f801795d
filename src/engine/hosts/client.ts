/** The page's only interface to the engine: async calls to a dedicated worker that owns the GPU. */
import * as Comlink from 'comlink'
import { type ErrorData, fromErrorData } from '../../errors.ts'
import type { Catalog } from '../job/catalog.ts'
import type { JobCheck } from '../job/check.ts'
import type { GpuSummary } from '../job/device.ts'
import type { RunEvent } from '../job/events.ts'
import type { DryProgress, DryRun, DryRunSpec } from '../job/forecast.ts'
import type { Foretold } from '../job/foretold.ts'
import type { CacheInfo, HubHit, HubModel, Traffic } from '../job/hub.ts'
import type { Job } from '../job/job.ts'
import type { JournalSummary, KeptJob, KeptRun } from '../job/kept.ts'
import type { Budget, Mix, MixWidths } from '../job/mix.ts'
import type { ModelSummary, NamedFile } from '../job/model.ts'
import type { JobReport } from '../job/report.ts'
import type { LayerResult } from '../job/result.ts'
import type { TextSource } from '../job/texts.ts'
import type { JobFile } from '../job-file.ts'
import type { Account } from '../../io/hub/answers.ts'
import { publicHub } from '../../io/hub/network.ts'
import type { Pushed, PushPlace, PushProgress } from '../../io/hub/push.ts'
import type { LabSetting } from '../inspect/lab.ts'
import type { PlanOfFile } from '../keep/replay.ts'
import type { StoreSummary } from '../inspect/store.ts'
import type { LinearLook } from '../inspect/linear.ts'
import type { Answer, Conversation, TextQuestion } from '../inspect/text.ts'
import { exportedFile, jobLock } from './opfs.ts'
import { finishSignIn, pageOf, type SignIn, signInUrl } from './signin.ts'
import type { PushedCheckpoint, WorkerApi } from './worker.ts'
import workerUrl from './worker.ts?worker&url'

export type { Pushed, PushPlace, PushProgress } from '../../io/hub/push.ts'
export type { LinearLook, Seen, SigmaLook } from '../inspect/linear.ts'
export type { Answer, Conversation, TextQuestion } from '../inspect/text.ts'
export type { LabSetting } from '../inspect/lab.ts'
export type { StoreSummary } from '../inspect/store.ts'
export type { SolvedLook, Spread } from '../inspect/solved.ts'
export type { Histogram, TileMap, WeightsLook } from '../inspect/weights.ts'
export type { PushedCheckpoint } from './worker.ts'
export type { JobFile } from '../job-file.ts'

/** `name`: of the folder, if any; paths do not include it. */
export type ModelSource =
  | { kind: 'demo' }
  | { kind: 'files'; name?: string; files: NamedFile[] }
  /** `repo`: `owner/name`, `owner/name@revision`, or the address of its page; `revision`: a branch, tag, commit or `refs/pr/N`. */
  | { kind: 'hub'; repo: string; revision?: string }

export interface NetworkWatcher {
  traffic(traffic: Traffic): void
  /** A notice, e.g. that Xet failed and plain ranges are used. */
  notice(message: string, hint: string): void
}

/** The Hub that the page was built to use. */
export const hubUrl: string = import.meta.env.VITE_HUB_URL?.replace(/\/+$/, '') || publicHub

/** Who is signed in, and whether the browser keeps the token. */
export interface HubAccount extends Account {
  remembered: boolean
}

/** Present only when the user asked for it. */
const tokenKey = 'hub-token'
const budgetKey = 'hub-cache-bytes'

/** The engine as the page calls it. Every call may reject with a WorkbenchError (code, message, hint). */
export interface Engine {
  /** Loads what the engine does not start with, so that from then on it works without a network. */
  load(): Promise<void>
  catalog(): Promise<Catalog>
  /** Opens the device on first use. */
  gpu(): Promise<GpuSummary>
  /** Reads headers and configuration only; replaces the model opened before. */
  open(source: ModelSource): Promise<ModelSummary>
  /** Cancels all requests to the Hub, including opening a model; they reject with `cancelled`. */
  stopHub(): Promise<void>
  /** Models whose name contains the query. A newer search rejects the previous one with `cancelled`. */
  hubSearch(query: string): Promise<HubHit[]>
  /** The Hub's information about a model, and whether it can be opened; `repo` as in `open`. */
  hubModel(repo: string, revision?: string): Promise<HubModel>
  /**
   * The access token for gated and private models, or null to sign out. It stays in memory, and in this browser when
   * `remember` is set; it is checked with the Hub first. Resolves to the account it belongs to.
   */
  setHubToken(token: string | null, remember?: boolean): Promise<HubAccount | null>
  /**
   * Navigates to the Hub to sign in, and back to this address; null when the page is not registered at the Hub, so that only a pasted
   * token can be used.
   */
  readonly hubSignIn: (() => Promise<void>) | null
  /**
   * The account signed in: by a pasted token, one remembered from an earlier visit, or by returning from `hubSignIn`. Rejects once when
   * that failed.
   */
  hubAccount(): Promise<HubAccount | null>
  /** Resolves once a return from signing in is handled; until then the page's address contains the sign-in parameters. */
  readonly arrived: Promise<void>
  /** State of the cache of Hub files in this browser. */
  cacheInfo(): Promise<CacheInfo>
  /** Sets the largest size of the cache in bytes, now and for later visits; the excess is removed at once. 0 keeps nothing. */
  setCacheBudget(bytes: number): Promise<void>
  clearCache(): Promise<void>
  /** Reports everything that is read over the network from now on, in jobs and outside. */
  watchNetwork(watcher: NetworkWatcher): void
  /** Registers a file as a text; the returned id is used in the Job. */
  addText(file: File, origin?: 'file' | 'paste'): Promise<TextSource>
  /** Checks a job before it is started: tokenizes its texts, predicts sizes and times, and finds problems. */
  check(job: Job): Promise<JobCheck>
  /** What a dropped file plans, where it is a job file or a report; null where it is neither. May reject with `plan-invalid`. */
  readJobFile(file: Blob, name: string): Promise<JobFile | null>
  /** The report that a dropped file of a job is, if it is that of a sweep; null for any other. May reject with `plan-invalid`. */
  readReport(file: Blob, name: string): Promise<JobReport | null>
  /**
   * The job of a file with the texts that are registered here, once its model is open. `missing`: names of files that it takes and that
   * are not; `problems`: in what model, texts and program differ from those of the file, once nothing is missing.
   */
  planOfFile(file: JobFile): Promise<PlanOfFile>
  /** The file of a plan on the open model, or of a kept job. */
  jobFile(of: Job | { kept: string }): Promise<JobFile>
  /** Forecast of every algorithm on the open model; needs no weights. */
  dryRun(spec: DryRunSpec, hear: (progress: DryProgress) => void): Promise<DryRun>
  /** What the linears of a job's only run may all be, for budgets; needs no pass. May reject with `option-invalid`. */
  widths(job: Job): Promise<MixWidths>
  /**
   * The best mixture of widths for a job's only run within a budget. The first for a run measures its linears and is as long as a
   * calibration, `cancel` ends it; further budgets are filled at once. May reject with `option-invalid`, `plan-invalid`, `cancelled`.
   */
  mix(job: Job, budget: Budget, onEvent: (event: RunEvent) => void): Promise<Mix>
  /**
   * Runs the job; resolves when it ends, also when cancelled. Failed runs are in the report. Unless it only measures, it is kept as `id`,
   * which has to be new (`newJobId`). May reject with `journal-busy`.
   */
  start(id: string, job: Job, onEvent: (event: RunEvent) => void): Promise<JobReport>
  pause(): Promise<void>
  resume(): Promise<void>
  /** Takes effect within one GPU submit. */
  cancel(): Promise<void>
  /** A file of a finished run's checkpoint, from the browser's private file system, not copied into memory. */
  exportFile(kept: KeptRun, path: string): Promise<File>
  /**
   * Uploads a checkpoint to a repository of the Hub, new or with a part of the same checkpoint. May reject with `option-invalid` (name,
   * other contents), `hub-denied`, `cancelled`, and `journal-kept` while another is being uploaded.
   */
  push(checkpoint: PushedCheckpoint, place: PushPlace, onProgress: (progress: PushProgress) => void): Promise<Pushed>
  /** Ends the upload with `cancelled`; what was committed stays, and the next one goes on from there. */
  stopPush(): Promise<void>
  /** All kept jobs, interrupted, finished or deleted, the newest first. */
  jobs(): Promise<KeptJob[]>
  /** One of them whole, null where it is gone; `busy`: a tab is running it. */
  journal(id: string): Promise<{ busy: boolean; summary: JournalSummary | null }>
  /** The user's own texts in that job; afterwards they can be used by their ids. */
  journalTexts(id: string): Promise<TextSource[]>
  /**
   * Resumes that job on the open model, once its texts are registered. A finished run whose checkpoint could not be written
   * (`RunResult.exportError`) is written now, without solving again. May reject with `journal-mismatch`, `journal-busy`.
   */
  goOn(id: string, job: Job, onEvent: (event: RunEvent) => void): Promise<JobReport>
  /** Takes a job out of those that are kept; `restore` brings it back until `sweep` frees its storage. May reject with `journal-busy`. */
  discard(id: string): Promise<void>
  restore(id: string): Promise<void>
  /** Frees the storage of discarded jobs, and of what never came to be a job. */
  sweep(ids: string[]): Promise<void>
  /** Frees the storage of a finished job's checkpoints and of what it solved; its figures stay. May reject with `journal-busy`. */
  dropCheckpoints(id: string): Promise<void>
  /**
   * What can still be seen of a linear of the model that is open, and of what these runs made of it, by any ids. Missing parts come with
   * the reason.
   */
  linear(name: string, runs: Record<string, KeptRun>): Promise<LinearLook>
  /**
   * Continues a prompt with runs of kept jobs, and with the model in full precision, one after the other; `tell` hears each token. `kept`:
   * of what job and run each of the question's runs is. A newer text, or `stopText`, rejects it with `cancelled`. May reject with
   * `journal-busy`, `journal-mismatch` where a run is not kept, `config-unsupported` for models that see whole windows only,
   * `gpu-too-small`, `plan-invalid`.
   */
  continueText(question: TextQuestion, kept: Record<string, KeptRun>, tell: (answer: Answer) => void): Promise<Conversation>
  stopText(): Promise<void>
  /**
   * What a method with some options makes of a linear, on the inputs that a kept run saw, while their Σ is in memory. May reject with
   * `journal-mismatch`, `journal-busy`, `plan-invalid`.
   */
  tryLinear(name: string, kept: KeptRun, setting: LabSetting): Promise<LayerResult>
  /**
   * Opens the files of a Gram store for the open model, in the place of an earlier one; null closes it. May reject with `file-missing`,
   * `file-header`, and `plan-invalid` for the store of another model.
   */
  openStore(picked: { files: NamedFile[]; name: string } | null): Promise<StoreSummary | null>
  /** The same as `tryLinear` by the sums of the Gram store. May reject with `file-missing`, `file-truncated`, `plan-invalid`. */
  tryStored(name: string, setting: LabSetting): Promise<LayerResult>
  /**
   * What a run of a kept job says after a prompt by our own forward pass, where another program said the tokens
   * `said`. Needs what the run solved, and the model open that it ran on. May reject with `journal-mismatch`, `journal-busy`.
   */
  foretell(kept: KeptRun, prompt: string, said: number[]): Promise<Foretold>
  /** Resolves when no tab is running a job. */
  idle(): Promise<void>
}

/** The browser's storage for this page, if it allows any. */
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

type Call = <T>(answer: Promise<T>) => Promise<T>

/** Waits for an answer of the worker, or for its end. */
function callsTo(worker: Worker): Call {
  const dead = new Promise<never>((_, reject) => {
    worker.onerror = (event) => {
      event.preventDefault()
      reject(new Error(`The engine stopped: ${event.message || 'its worker could not be loaded'}.`))
    }
  })
  dead.catch(() => {}) // reported by the pending call, or the next one
  return async (answer) => {
    try {
      return await Promise.race([answer, dead])
    } catch (error) {
      throw error instanceof Error ? error : fromErrorData(error as ErrorData)
    }
  }
}

const accountOf = (found: Account | null): HubAccount | null => found && { ...found, remembered: kept.get(tokenKey) !== null }

/** A call that may need the token of the Hub, made once the token is known. */
type SignedIn = <T>(work: () => Promise<T>) => Promise<T>

/** The token of the Hub: remembered, typed, or from signing in. */
function signInOf(
  remote: Comlink.Remote<WorkerApi>,
  call: Call,
): { signedIn: SignedIn; account: Pick<Engine, 'setHubToken' | 'arrived' | 'hubSignIn' | 'hubAccount'> } {
  const remembered = kept.get(tokenKey)
  if (remembered) call(remote.setHubToken(remembered)).catch(() => kept.remove(tokenKey))
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
      // Removes the code of a failed attempt from the address.
      history.replaceState(null, '', pageOf(href))
      throw error
    }
  }
  returned?.catch(() => {}) // reported by hubAccount
  const signedIn = <T>(work: () => Promise<T>) => (returned ?? Promise.resolve()).catch(() => {}).then(() => call(work()))
  const account: Pick<Engine, 'setHubToken' | 'arrived' | 'hubSignIn' | 'hubAccount'> = {
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
  }
  return { signedIn, account }
}

/** Models of the Hub, the cache of their files, and the traffic. */
function hubOf(
  remote: Comlink.Remote<WorkerApi>,
  call: Call,
  signedIn: SignedIn,
): Pick<Engine, 'open' | 'stopHub' | 'hubSearch' | 'hubModel' | 'cacheInfo' | 'setCacheBudget' | 'clearCache' | 'watchNetwork'> {
  const budget = kept.get(budgetKey)
  if (budget) call(remote.setCacheBudget(Number(budget))).catch(() => kept.remove(budgetKey))
  return {
    open: (source) => {
      if (source.kind === 'demo') return call(remote.openDemo())
      if (source.kind === 'hub') {
        // Asks the browser not to clear the cache when it is short of space; it may ask the user or decide itself.
        navigator.storage.persist().catch(() => {})
        return signedIn(() => remote.openHub(source.repo, source.revision))
      }
      return call(remote.open(source.files, source.name))
    },
    stopHub: () => call(remote.stopHub()),
    hubSearch: (query) => call(remote.hubSearch(query)),
    hubModel: (repo, revision) => signedIn(() => remote.hubModel(repo, revision)),
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
  }
}

/** Starts the engine. The page uses one for its whole lifetime. */
export function connect(): Engine {
  // From a blob, because a worker loaded from a URL is not bound by the page's content security policy.
  const script = new Blob([`import ${JSON.stringify(new URL(workerUrl, document.baseURI).href)}`], { type: 'text/javascript' })
  // The worker's name passes the page's address; in a build, the worker cannot derive it from its own.
  const worker = new Worker(URL.createObjectURL(script), { type: 'module', name: document.baseURI })
  const remote = Comlink.wrap<WorkerApi>(worker)
  const call = callsTo(worker)
  const { signedIn, account } = signInOf(remote, call)
  return {
    load: () => call(remote.load()),
    catalog: () => call(remote.catalog()),
    gpu: () => call(remote.gpu()),
    ...account,
    ...hubOf(remote, call, signedIn),
    addText: (file, origin) => call(remote.addText(file, origin)),
    check: (job) => call(remote.check(job)),
    readJobFile: (file, name) => call(remote.readJobFile(file, name)),
    readReport: (file, name) => call(remote.readReport(file, name)),
    planOfFile: (file) => call(remote.planOfFile(file)),
    jobFile: (of) => call(remote.jobFile(of)),
    dryRun: (spec, hear) => call(remote.dryRun(spec, Comlink.proxy(hear))),
    widths: (job) => call(remote.widths(job)),
    mix: (job, budget, onEvent) => call(remote.mix(job, budget, Comlink.proxy(onEvent))),
    start: (id, job, onEvent) => call(remote.start(id, job, Comlink.proxy(onEvent))),
    pause: () => call(remote.pause()),
    resume: () => call(remote.resume()),
    cancel: () => call(remote.cancel()),
    exportFile: ({ job, run }, path) => exportedFile(job, run, path),
    push: (checkpoint, place, onProgress) => signedIn(() => remote.push(checkpoint, place, Comlink.proxy(onProgress))),
    stopPush: () => call(remote.stopPush()),
    jobs: () => call(remote.jobs()),
    journal: (id) => call(remote.journal(id)),
    journalTexts: (id) => call(remote.journalTexts(id)),
    goOn: (id, job, onEvent) => call(remote.goOn(id, job, Comlink.proxy(onEvent))),
    discard: (id) => call(remote.discard(id)),
    restore: (id) => call(remote.restore(id)),
    sweep: (ids) => call(remote.sweep(ids)),
    dropCheckpoints: (id) => call(remote.dropCheckpoints(id)),
    continueText: (question, kept, tell) => call(remote.continueText(question, kept, Comlink.proxy(tell))),
    stopText: () => call(remote.stopText()),
    tryLinear: (name, kept, setting) => call(remote.tryLinear(name, kept, setting)),
    linear: (name, runs) => call(remote.linear(name, runs)),
    openStore: (picked) => call(remote.openStore(picked)),
    tryStored: (name, setting) => call(remote.tryStored(name, setting)),
    foretell: (kept, prompt, said) => call(remote.foretell(kept, prompt, said)),
    idle: () => navigator.locks.request(jobLock, { mode: 'shared' }, async () => {}),
  }
}
