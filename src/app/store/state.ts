/** The page's state, and functions of it that several parts use. */
import type { HubAccount, JobFile, PushProgress, StoreSummary } from '../../engine/hosts/client.ts'
import type { Catalog } from '../../engine/job/catalog.ts'
import type { JobCheck } from '../../engine/job/check.ts'
import type { GpuSummary } from '../../engine/job/device.ts'
import type { CacheInfo, HubModel, Traffic } from '../../engine/job/hub.ts'
import type { CalibrationSpec, Job } from '../../engine/job/job.ts'
import type { KeptJob, KeptRun } from '../../engine/job/kept.ts'
import type { Budget, Mix } from '../../engine/job/mix.ts'
import type { ModelSummary, Problem } from '../../engine/job/model.ts'
import type { LayerResult } from '../../engine/job/result.ts'
import type { TextSource } from '../../engine/job/texts.ts'
import type { ErrorData } from '../../errors.ts'
import type { ErrorUnit } from '../format.ts'
import type { Check } from '../check.ts'
import type { NewRun } from '../plan.ts'
import type { JobView } from '../reduce.ts'

export const steps = ['model', 'plan', 'run', 'results'] as const
export type Step = (typeof steps)[number]

export type Theme = 'system' | 'light' | 'dark'

/** Kept in the browser between visits. */
export interface Preferences {
  theme: Theme
  errorUnit: ErrorUnit
  /** Single keys such as `?` act on the page. */
  keys: boolean
}

/** A model on the Hub, as it was asked for. */
export interface HubPlace {
  repo: string
  revision: string
}

/** What is known of a model on the Hub before it is opened. */
export type Look =
  | ({ state: 'asking' } & HubPlace)
  | ({ state: 'known'; model: HubModel } & HubPlace)
  | ({ state: 'failed'; error: ErrorData } & HubPlace)

export type Saving =
  | { state: 'saving'; bytes: number; total: number }
  | { state: 'saved'; as: string }
  | { state: 'failed'; error: ErrorData }

/** The upload of a checkpoint to the Hub. */
export type Upload =
  | { state: 'sending'; progress: PushProgress | null }
  | { state: 'sent'; repo: string; url: string; public: boolean }
  | { state: 'failed'; error: ErrorData }

/** What the person is asked before something is done that cannot be undone. */
export interface Question {
  title: string
  lines: string[]
  /** The button that does it. */
  action: string
}

/**
 * Of the run of this id; `of`: the job that it is found for. `measuring`: seconds left are null where they are not known yet; `stopping`:
 * the plan became another one meanwhile. `stopped`: for that reason.
 */
export type Mixing = { run: string; of: Job } & (
  | {
      state: 'measuring'
      stopping: boolean
      place: { stage: string; block: number | null } | null
      progress: { done: number; eta: number | null } | null
    }
  | { state: 'stopped' }
  | { state: 'found'; found: Mix }
  | { state: 'failed'; budget: Budget; error: ErrorData }
)

/** Something failed that belongs to no panel. `title`: what was tried; `hub`: the place on the Hub that it was tried with. */
export type Fault = ErrorData & { title?: string; hub?: HubPlace | null }

/** A model's folder that the browser cannot open by itself: of a kept job, to do this with it (`look`: at its linears and texts), or of a job file, to plan by it. */
export interface Lack {
  job: string | null
  name: string
  wanted: 'resume' | 'formats' | 'plan' | 'look'
}

/** A job file that the plan is made from; `missing`: its texts that are not here; `problems`: in what things are not as in the file. */
export interface Replay {
  name: string
  file: JobFile
  missing: string[]
  problems: Problem[]
  /** Whether model and texts could be compared with those of the file. */
  compared: boolean
}

/** Which kept jobs the results on the page are of, and which run of them each run there is. A measurement is of none. */
export interface Shown {
  jobs: string[]
  runs: Record<string, KeptRun>
}

/** Results of elsewhere: the recording that comes with the page, or a report, with the file of its job. */
export type Recorded = { kind: 'demo' } | { kind: 'report'; name: string; file: JobFile }

/** What the results say of the model that they are of; `tensors`: none where that is not known. */
export type Ran = Pick<ModelSummary, 'name' | 'familyLabel' | 'parameters' | 'source' | 'bytes' | 'quantized' | 'tensors'>

/** A linear that is looked at by itself, by its module path; `run`: the one that it was opened of, null where it stands for all. */
export interface Looked {
  name: string
  run: string | null
}

export const nothingShown: Shown = { jobs: [], runs: {} }

/** A setting that was tried on linears of the Gram store, and what it made of each; `adding`: it is at work. */
export interface StoreTrial {
  number: number
  setting: NewRun
  results: LayerResult[]
  wanted: number
  state: 'solving' | 'done' | 'stopped' | ErrorData
}

export interface State {
  step: Step
  preferences: Preferences
  gpu: { state: 'opening' } | { state: 'ready'; summary: GpuSummary } | { state: 'missing'; error: ErrorData }
  catalog: Catalog | null
  model:
    | { state: 'none' }
    /** `next`: the step that is shown when it is read, null for the present one; `before`: bytes that had come over the network when reading began. */
    | { state: 'reading'; name: string; hub: HubPlace | null; next: Step | null; before: number }
    | { state: 'ready'; summary: ModelSummary; demo: boolean }
    | { state: 'refused'; name: string; hub: HubPlace | null; error: ErrorData }
  look: Look | null
  account: HubAccount | null
  /** The form for a token is shown. */
  signingIn: boolean
  /** Over the network since the page was opened. */
  traffic: Traffic | null
  /** As it was when it was last looked at. */
  cache: CacheInfo | null
  /** What did not go the plain way outside of jobs. */
  networkNotices: Problem[]
  texts: TextSource[]
  /** What was picked last and cannot be a text: said at the field that it was picked for. */
  refusedText: Problem | null
  /** The job file that the plan was made from, until that is dismissed or another model is opened. */
  replay: Replay | null
  /** The plan is as it was left at an earlier visit. */
  recalled: boolean
  /** The job being planned; null until a model is open. */
  job: Job | null
  /** The run whose options are shown. */
  chosen: string | null
  check: Check
  /** Fields that hold what is no number, by their place in the job: nothing starts on a value that nobody sees. */
  unread: string[]
  /** A mixture of widths for one of the runs, or what is under way towards it. */
  mix: Mixing | null
  /** The jobs that the browser keeps, the newest first. */
  jobs: KeptJob[]
  /** A folder that has to be given again. */
  lacks: Lack | null
  /** Those that were deleted and can be brought back, the newest first. */
  discarded: KeptJob[]
  /** The kept job that is shown with the formats that it may be written in next, and what those are to it, once that is known. */
  again: { job: Job; check: JobCheck | null } | null
  /** The job that runs or ran, or the runs of several, and the model that they are of. */
  view: JobView | null
  ran: Ran | null
  /** What of the kept jobs that is. */
  shown: Shown
  /** Nothing of it was computed here. */
  recorded: Recorded | null
  /** Runs that charts leave out, and those that come first wherever runs are listed. */
  hidden: string[]
  pinned: string[]
  linear: Looked | null
  /** What the live region says: everything announced since the page was last redrawn. */
  spoken: string
  /** The Gram store that is open for the model, and what was tried by it. */
  grams: { summary: StoreSummary; trials: StoreTrial[] } | null
  /** A control that was pressed and has not taken effect yet. */
  asked: 'pause' | 'resume' | 'cancel' | null
  saving: Record<string, Saving>
  /** By `uploadKey`. */
  uploads: Record<string, Upload>
  fault: Fault | null
  question: Question | null
  /** A text that was dropped without a word on what it is for; until it is settled, what the job calibrated on before. */
  dropped: { text: TextSource; before: CalibrationSpec | null } | null
  /** The text that was removed last, and the plan that may have used it; null once another was chosen. */
  removed: { text: TextSource; job: Job } | null
}

/** As the page is opened. */
export const firstState = (): State => ({
  step: 'model',
  preferences: readPreferences(),
  gpu: { state: 'opening' },
  catalog: null,
  model: { state: 'none' },
  look: null,
  account: null,
  signingIn: false,
  traffic: null,
  cache: null,
  networkNotices: [],
  texts: [],
  refusedText: null,
  replay: null,
  recalled: false,
  job: null,
  chosen: null,
  check: { state: 'pending' },
  unread: [],
  mix: null,
  jobs: [],
  lacks: null,
  discarded: [],
  again: null,
  view: null,
  ran: null,
  shown: nothingShown,
  recorded: null,
  hidden: [],
  pinned: [],
  linear: null,
  grams: null,
  spoken: '',
  asked: null,
  saving: {},
  uploads: {},
  fault: null,
  question: null,
  dropped: null,
  removed: null,
})

/** As the views of another job begin. */
export const firstLook = { hidden: [], pinned: [], linear: null } satisfies Partial<State>

export function isBusy({ view }: Pick<State, 'view'>): boolean {
  return view !== null && view.phase !== 'over'
}

/** Of a checkpoint: its run, and its folder among the run’s files. */
export const uploadKey = (run: string, folder: string) => `${run}/${folder}`

export function isOpen(state: State, step: Step): boolean {
  switch (step) {
    case 'model':
      return true
    case 'plan':
      return (
        state.job !== null && state.gpu.state !== 'missing' && state.model.state === 'ready' && !state.model.summary.problems.some(isError)
      )
    case 'run':
      return state.view !== null
    case 'results':
      return state.view !== null && (state.view.phase === 'over' || state.view.runs.some((run) => run.result))
  }
}

export function isError({ severity }: { severity: string }): boolean {
  return severity === 'error'
}

const defaults: Preferences = { theme: 'system', errorUnit: 'fraction', keys: true }
const storageKey = 'quantease-workbench'

/** Private windows may refuse storage; the page then simply forgets. */
function readPreferences(): Preferences {
  try {
    const kept: Preferences = { ...defaults, ...JSON.parse(localStorage.getItem(storageKey) ?? '{}') }
    return kept.errorUnit === 'percent' ? kept : { ...kept, errorUnit: defaults.errorUnit }
  } catch {
    return defaults
  }
}

export function writePreferences(preferences: Preferences) {
  try {
    localStorage.setItem(storageKey, JSON.stringify(preferences))
  } catch {
    // See above.
  }
}
