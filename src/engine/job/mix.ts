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
  /** The budget is more than any mixture takes. */
  largest: boolean
  /** Divergence from full precision by the prices alone, nats, and the least that any mixture within the budget has by them. */
  predicted: number
  bound: number
  /** The same of all linears at each width. `foreseenKl` makes figures of these. */
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

/** A divergence before it is measured, nats. */
export interface ForeseenKl {
  kl: number
  /** What prices foretell, as it is: right to about a factor of two; or by what uniform runs of the same method and texts were measured at. */
  by: 'prices' | 'measured'
}

/** A width's uniform run, measured. */
export interface MeasuredWidth {
  options: Options
  /** Nats; null where it was not measured. */
  kl: number | null
}

const sameWidth = (a: Options, b: Options) => a.kind === b.kind && a.bits === b.bits

/**
 * What prices foretell is off by about the same factor for all mixtures of a run: by what uniform runs were measured at, over what was
 * foreseen for them, their geometric mean. `of`: a divergence by prices.
 */
export function foreseenKl({ foreseen }: Pick<Mix, 'foreseen'>, of: number, measured: readonly MeasuredWidth[] = []): ForeseenKl {
  const logs = measured.flatMap(({ options, kl }) => {
    const told = foreseen.find((one) => sameWidth(one.options, options))?.kl ?? 0
    return (kl ?? 0) > 0 && told > 0 ? [Math.log(kl! / told)] : []
  })
  const factor = Math.exp(logs.reduce((sum, one) => sum + one, 0) / Math.max(1, logs.length))
  return { kl: factor * of, by: logs.length ? 'measured' : 'prices' }
}

/** The same of a width's uniform run; null where it was not probed. */
export function foreseenAt(mix: Pick<Mix, 'foreseen'>, options: Options): ForeseenKl | null {
  const found = mix.foreseen.find((one) => sameWidth(one.options, options))
  return found ? foreseenKl(mix, found.kl) : null
}

/** "3 bits", "Q4_K". */
export const widthInWords = ({ kind, bits }: Options) => (kind === undefined ? `${bits} bits` : String(kind).toUpperCase())

/** "12 linears at 3 bits, 16 at 4 bits". */
export function mixInWords({ parts }: Pick<Mix, 'parts'>): string {
  const counts = new Map<string, number>()
  // In the order of the widths, the smallest first.
  for (const { options } of parts[0].errors) counts.set(widthInWords(options), 0)
  for (const { linears, options } of parts) counts.set(widthInWords(options), counts.get(widthInWords(options))! + linears.length)
  const some = [...counts].filter(([, count]) => count)
  return some.map(([width, count], i) => `${count}${i ? '' : count === 1 ? ' linear' : ' linears'} at ${width}`).join(', ')
}
