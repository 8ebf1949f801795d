/** What a job would give, told before it begins: its problems, the sizes of its results, and who could load them. */
import type { TextFacts } from '../../data/text-facts.ts'
import type { Options } from '../../options.ts'
import type { Forecast } from './forecast.ts'
import type { Problem } from './model.ts'
import type { TokenCounts } from './texts.ts'

export interface JobCheck {
  /** Without errors, the job may start. */
  problems: Problem[]
  calibration: TokenCounts | null
  evaluation: TokenCounts | null
  /** For last-word accuracy, if requested. */
  passages?: number
  /** What was found in the text. */
  passagesFrom?: TextFacts
  runs: {
    id: string
    /** Over the linears of the quantized blocks: codes + scales + zero points (+ group index and outliers, if stored). */
    bitsPerWeight: number
    /** Linears that overrides give something else than the run has, in their order. */
    own: OwnGrid[]
    /** As in its result. */
    weightBytes: number
    /** Predicted size of its whole checkpoints, bytes. */
    checkpointBytes: number
    /** What keeping the solved linears takes, outliers left out, bytes. */
    solvedBytes: number
    formats: FormatCheck[]
    /** Forecast of time and memory; null when the run has errors. */
    forecast: Forecast | null
  }[]
}

/** A linear by its module path, and what an override gives it in place of the run's options; null: it stays in full precision. */
export interface OwnGrid {
  name: string
  options: Options | null
}

/** What a format is to a run. */
export interface FormatCheck {
  id: string
  /** The checkpoint is written in it. */
  written: boolean
  /** Why it cannot be, and what would help. */
  refusal: { why: string; instead: string } | null
  /** Of the weights in it; null where it cannot be. */
  bytes: number | null
  loadsIn: LoadsIn[]
}

/** A program that reads checkpoints, and whether it reads this one. */
export interface LoadsIn {
  runtime: string
  loads: boolean
  /** On what condition, or why not. */
  note: string
  /** What to type to run it there; `{folder}` stands for the checkpoint's folder. */
  command?: string
}
