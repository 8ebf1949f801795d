/** What is asked for: a job, its runs, and the stages that it goes through. Plain JSON, which can be saved, shared and repeated. */
import type { Products } from '../../gpu/products.ts'
import type { Options } from '../../options.ts'
import type { Override } from '../../overrides.ts'
import type { TextChoice, Sampling } from './texts.ts'

export interface Job {
  runs: RunSpec[]
  calibration: CalibrationSpec
  evaluation: EvaluationSpec
  /** Also measure last-word accuracy, on at most this many passages of a text; 0 = all. */
  lambada?: TextChoice & { passages: number }
  seed: number
  /** Today's date for chat templates that write it, as `2026-11-30`. Default: the day of the start. */
  date?: string
  /** Measure perplexity of the partly quantized model after every so many blocks; 0 = only at the end. */
  perplexityEvery: number
  /** Write a checkpoint for each run. */
  save: boolean
  /** Ids of the formats to write, each in its own folder if there are several; missing or empty: the first that can store the result. */
  formats?: string[]
  /** Keep the solved linears after writing, so that the job can be resumed and written in other formats without solving. */
  keepSolved?: boolean
}

export interface RunSpec {
  id: string
  /** Label that the user sees, e.g. "QuantEase 3-bit". */
  label: string
  method: string
  /** Options of the solver and of the run by key; missing ones have their default. */
  options: Options
  /** Other bits, group sizes or symmetry for some linears, or full precision. */
  overrides?: Override[]
  /** As those of the job, for this run alone. */
  formats?: string[]
}

export interface CalibrationSpec extends TextChoice {
  samples: number
  length: number // tokens per sample
  sampling: Sampling
  /**
   * Windows drawn beside the samples, from other places of the text, as a share of their number, at least one: the methods do not see
   * them, and every linear's error is measured on them too. 0 or missing: none.
   */
  heldOut?: number
}

/** What the page and the command line hold out unless asked otherwise. */
export const heldOutShare = 1 / 6

export interface EvaluationSpec extends TextChoice {
  /** Most windows; the text may have fewer. 0 = all. */
  samples: number
  length: number
  /**
   * f16: linears and head take the inputs of passes over this text, and over passages, in f16 and sum in f32, where that was found to
   * make no difference (`ProductsUsed`). Default: f32.
   */
  products?: Products
}

export const productTypes = ['f32', 'f16'] as const satisfies readonly Products[]

/** `restore`: passing activations through blocks solved before an interruption. */
export type Stage = 'baseline' | 'restore' | 'calibrate' | 'solve' | 'propagate' | 'evaluate' | 'write'
