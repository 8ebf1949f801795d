/** What happens during a job: RunEvents are all that a view needs to follow it. */
import type { WindowMeans } from '../../eval/perplexity.ts'
import type { Holding } from '../../gpu/memory.ts'
import type { Traffic } from '../../io/hub/traffic.ts'
import type { ErrorData } from '../../errors.ts'
import type { Stage } from './job.ts'
import type { Problem } from './model.ts'
import type { JobReport } from './report.ts'
import type { LastWords, LayerResult, RunResult } from './result.ts'
import type { TokenCounts, UsedTexts } from './texts.ts'

export type RunEvent =
  /**
   * `layers`: module paths of all linears that a run solves, in order (the x axis of the charts). `resumed`: when the job was first started, and how many linears were already solved.
   */
  | {
      type: 'job-start'
      calibration: TokenCounts
      evaluation: TokenCounts
      blocks: number
      layers: string[]
      texts: UsedTexts
      notices: Problem[]
      resumed: { started: string; layers: number } | null
    }
  | { type: 'baseline'; perplexity: number; perplexityError: number | null; windows?: WindowMeans; lambada?: LastWords }
  | { type: 'run-start'; run: string; blocks: number }
  | { type: 'stage'; run: string | null; stage: Stage; block: number | null; linear: string | null }
  /** Of the whole job: fraction of work done, seconds so far, seconds left (null until it can be estimated). */
  | { type: 'progress'; done: number; elapsed: number; eta: number | null; run: string | null; runDone: number }
  /** Relative objective f(Ŵ)/f(0) after each iteration; relaxed iterations are marked. */
  | {
      type: 'objective'
      run: string
      linear: string
      points: { iteration: number; value: number; relaxed: boolean; changed?: number }[]
      iterations: number
    }
  | { type: 'layer'; run: string; layer: LayerResult }
  /** Perplexity with the first `blocks` blocks quantized. */
  | { type: 'perplexity'; run: string; blocks: number; value: number }
  /** GPU memory in use and the peak since the previous event, bytes, and who holds what is in use. */
  | { type: 'memory'; held: number; most: number; holdings: Holding[] }
  | { type: 'network'; traffic: Traffic }
  | { type: 'notice'; run: string | null; problem: Problem }
  /** Paused by the user or because of `storage`, until the user resumes. */
  | { type: 'paused'; storage: StorageNeed | null }
  | { type: 'resumed' }
  /** The device was lost, or out of memory, for the `losses`-th time and is replaced; the job ends at `most`. */
  | { type: 'device'; state: 'lost' | 'back'; cause: 'lost' | 'memory'; losses: number; most: number }
  | { type: 'run-end'; result: RunResult }
  | { type: 'job-end'; report: JobReport }

/** What the job waits for while a disk is full. */
export interface StorageNeed {
  /** What cannot be written, e.g. "the checkpoint of run-1". */
  what: string
  /** Bytes still missing. */
  needed: number
  /** How full the storage is, as a sentence. */
  problem: ErrorData
}
