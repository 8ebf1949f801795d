/** Mixtures of widths within a budget. */
import type { Options } from '../../options.ts'
import type { Override } from '../../overrides.ts'

/** What the linears of a run may take together: one of the two. */
export interface Budget {
  bitsPerWeight?: number
  /** Of the checkpoint in the first of its formats. */
  bytes?: number
}

/** A mixture of widths within a budget. */
export interface Mix {
  budget: Budget
  /** Of the run; linears that they do not name are as the run says. */
  overrides: Override[]
  parts: MixPart[]
  /** Bits per weight or bytes, as the budget. */
  size: number
  /** Divergence from full precision that is foreseen, nats; by the same prices no mixture within the budget has less than `bound`. */
  predicted: number
  bound: number
  /** The same of all linears at each width. */
  foreseen: { options: Options; kl: number }[]
  /** The widths whose uniform runs are nearest to the budget: the largest within it, and, where that is smaller, the next one. */
  uniform: { options: Options; size: number }[]
  /** What the run makes of embedding and head, for the uniform runs: empty where it leaves both as they are. */
  ends: Options
}

/** The widths that a run's linears may all have, by what they take of either kind of budget; the smallest first. */
export type MixWidths = Record<'bitsPerWeight' | 'bytes', { options: Options; size: number }[]>

/** Linears that have the same width in a mixture. */
export interface MixPart {
  linears: string[]
  options: Options
  /** Mean relative error of these linears at each width, by a short solver on some rows. */
  errors: { options: Options; error: number }[]
  /** Divergence, nats, per relative error of one of these linears, among others that are rounded or not. */
  price: number
}
