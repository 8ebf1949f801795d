/** Jobs that are kept: their journals, and the list of them. */
import type { ErrorData } from '../../errors.ts'
import type { RunEvent } from './events.ts'
import type { Job, RunSpec } from './job.ts'
import type { ModelSummary, ModelOrigin } from './model.ts'
import type { JobReport } from './report.ts'
import type { RunResult } from './result.ts'
import type { UsedTexts } from './texts.ts'

/** A job in its journal, interrupted or finished. */
export interface JournalSummary {
  job: Job
  model: ModelSummary
  origin: ModelOrigin
  /** ISO time of its start. */
  started: string
  /** Solved linears of all runs, and their total number. */
  layers: { done: number; all: number }
  /** Results of finished runs. */
  results: RunResult[]
  /** Events so far, for a view, including linears and perplexities of unfinished runs. */
  events: RunEvent[]
  /** Size of the job's journal and checkpoints, bytes. */
  bytes: number
  /** Set when the job has ended. */
  report: JobReport | null
  /** Why it cannot be resumed. */
  problem: ErrorData | null
  /** As in its report. */
  modelSha256: string
}

/** An id for a job that begins now, under which it is kept; a folder is called after it. */
export const newJobId = () => `${new Date().toISOString().replace(/\D/g, '').slice(0, 14)}-${crypto.randomUUID().slice(0, 8)}`

/** A run of a kept job. */
export interface KeptRun {
  job: string
  run: string
}

/** A kept job as a list shows it. */
export interface KeptJob {
  /** Names it to the engine. */
  id: string
  /** A tab is at work on it. */
  busy: boolean
  /** It was deleted, and can be brought back until its storage is freed. */
  deleted: boolean
  /** ISO time of its start. */
  started: string
  model: { name: string; sha256: string }
  origin: ModelOrigin
  /** Figures are null where the run has no result; `written`: it has a checkpoint. */
  runs: (Pick<RunSpec, 'id' | 'label' | 'method'> & {
    state: RunResult['state'] | null
    kl: number | null
    perplexity: number | null
    perplexityError: number | null
    bitsPerWeight: number | null
    written: boolean
  })[]
  fpPerplexity: number | null
  fpPerplexityError: number | null
  texts: UsedTexts | null
  layers: JournalSummary['layers']
  /** What it takes, bytes. */
  bytes: number
  finished: boolean
  /** A checkpoint could not be written. */
  unwritten: boolean
  /** ISO time at which its checkpoints were deleted to make room. */
  dropped: string | null
  /** It is finished, and can be written in other formats. */
  keepsSolved: boolean
  /** Why it cannot be resumed. */
  problem: ErrorData | null
}
