/** Which run loses least: differences are judged on the same windows, and only runs of equal storage are ranked. */
import type { RunResult } from '../engine/job/result.ts'
import * as format from './format.ts'
import type { JobView, RunView } from './reduce.ts'

/** Storage that differs by no more than this is called equal. */
const equalStorage = 0.02
/** A difference of at most so many of its standard errors is a tie: about 95 % of those that are none by themselves. */
const tieErrors = 2

export interface Difference {
  value: number
  /** Standard error of the mean; null with a single window. */
  error: number | null
}

/** Mean of a − b over the same windows. Null where they cannot be paired. */
export function paired(a: number[] | undefined, b: number[] | undefined): Difference | null {
  if (!a?.length || a.length !== b?.length) return null
  const each = a.map((value, i) => value - b[i])
  const value = each.reduce((sum, one) => sum + one, 0) / each.length
  if (each.length === 1) return { value, error: null }
  const variance = each.reduce((sum, one) => sum + (one - value) ** 2, 0) / (each.length - 1)
  return { value, error: Math.sqrt(variance / each.length) }
}

/** Whether two models measured on the same windows cannot be told apart. Without the windows, only equals are a tie. */
export function isTie(a: number[] | undefined, b: number[] | undefined): boolean {
  const difference = paired(a, b)
  return difference?.error != null && Math.abs(difference.value) <= tieErrors * difference.error
}

/** Standard error of a difference of perplexities, to first order: that of the mean of e^(mean loss) · loss, window by window. */
export function perplexityChangeError(full: number[] | undefined, quantized: number[] | undefined): number | null {
  if (!full || !quantized) return null
  const weighted = (losses: number[]) => {
    const perplexity = Math.exp(losses.reduce((sum, loss) => sum + loss, 0) / losses.length)
    return losses.map((loss) => perplexity * loss)
  }
  return paired(weighted(quantized), weighted(full))?.error ?? null
}

export interface Change {
  /** "+0.0049", and its standard error. */
  text: string
  error: string | null
  verdict: 'better' | 'worse' | 'tie'
}

/** Of the perplexity against full precision; within twice its standard error it is a tie. */
export function perplexityChange(
  { fpPerplexity, fpWindows }: Pick<JobView, 'fpPerplexity' | 'fpWindows'>,
  result: Pick<RunResult, 'perplexity' | 'windows'> | null,
): Change | null {
  if (fpPerplexity === null || !result || result.perplexity === null) return null
  const change = result.perplexity - fpPerplexity
  const error = perplexityChangeError(fpWindows?.loss, result.windows?.loss)
  const told = format.perplexityChange(change, error)
  const tie = error === null ? /^0\.0+$/.test(told.text) : Math.abs(change) <= tieErrors * error
  return { ...told, verdict: tie ? 'tie' : change > 0 ? 'worse' : 'better' }
}

/** What something stored and what came of it; null where there is nothing to compare. */
export interface Figure {
  run: string
  bitsPerWeight: number
  value: number | null
  /** The value window by window, where it has an error. */
  windows?: number[]
}

const storeEqually = (a: number, b: number) => Math.abs(a / b - 1) <= equalStorage

/**
 * The runs with the smallest value, ties included, among those that store as many bits per weight, within 2 %: a better value bought
 * with more bits is no better method. A run without an equal, or that ties with all of them, is not among them.
 */
export function bestAtEqualStorage(figures: Figure[]): Set<string> {
  const known = figures.flatMap(({ value, ...rest }) => (value === null || !rest.bitsPerWeight ? [] : [{ ...rest, value }]))
  const beats = (a: (typeof known)[number], b: (typeof known)[number]) => a.value < b.value && !isTie(a.windows, b.windows)
  const equalsOf = (one: (typeof known)[number]) => known.filter((other) => storeEqually(other.bitsPerWeight, one.bitsPerWeight))
  const unbeaten = known.filter((one) => !equalsOf(one).some((other) => beats(other, one)))
  const best = unbeaten.filter((one) => equalsOf(one).some((other) => !unbeaten.includes(other)))
  return new Set(best.map(({ run }) => run))
}

/** The runs that none beats by value with as little storage; in order of storage. */
export function frontOf<T extends { bits: number; value: number }>(points: T[]): T[] {
  const beaten = (one: T) =>
    points.some(
      (other) =>
        (other.bits <= one.bits * (1 + equalStorage) && other.value < one.value) ||
        (other.bits * (1 + equalStorage) < one.bits && other.value <= one.value),
    )
  return points.filter((one) => !beaten(one)).sort((a, b) => a.bits - b.bits)
}

/** A finished run as it is compared. */
interface Measured {
  run: RunView
  bits: number
  value: number
  windows?: number[]
}

/** Finished runs by bits per weight and KL. */
export function measuredOf({ runs }: Pick<JobView, 'runs'>): Measured[] {
  return runs.flatMap((run) => {
    const { result, state } = run
    if (state !== 'finished' || !result || result.kl === null || !result.bitsPerWeight) return []
    return [{ run, bits: result.bitsPerWeight, value: result.kl, windows: result.windows?.kl }]
  })
}

/** What the figures say, in a sentence or two. Null while no run is finished. */
export function answerOf(view: JobView): string | null {
  const all = measuredOf(view)
  if (!all.length) return null
  const equalsOf = (one: Measured) => all.filter((other) => storeEqually(other.bits, one.bits))
  const most = Math.max(...all.map((one) => equalsOf(one).length))
  if (most === 1 && all.length > 1) return answerOfApart(view, all)
  // Where most runs can be compared; of equals, the least storage.
  const anchor = all.filter((one) => equalsOf(one).length === most).sort((a, b) => a.bits - b.bits)[0]
  const group = equalsOf(anchor).sort((a, b) => a.value - b.value)
  const [best] = group
  const known = all.length < 2 || all.every(({ windows }) => (windows?.length ?? 0) > 1)
  return [
    `At ${format.bitsPerWeight(best.bits)} bits per weight, ${ofGroup(view, group)}`,
    ...elsewhere(
      best,
      all.filter((one) => !group.includes(one)),
      frontOf(all),
    ),
  ]
    .join('; ')
    .concat('.', known ? '' : ' Without figures of several windows these differences have no error, so ties are not told.')
}

/** Where no two runs store as much: who loses least, and the front of those that are smaller. */
function answerOfApart(view: JobView, all: Measured[]): string {
  const front = frontOf(all)
  const best = front.at(-1)!
  const smaller = front
    .slice(0, -1)
    .reverse()
    .map(({ run, bits, value }) => `${run.label} loses KL ${format.divergence(value)} at ${format.bitsPerWeight(bits)}`)
  const first = `${best.run.label} loses least, at ${format.bitsPerWeight(best.bits)}: ${lossOf(view, best.run)}`
  return `No two runs take as many bits per weight. ${[first, ...smaller].join('; ')}.`
}

/** A sentence for a mixture of widths that a uniform run of the same method beats with no more bits; null where none does. */
export function uniformAnswer(view: Pick<JobView, 'job' | 'runs'>): string | null {
  const specOf = (one: Measured) => view.job.runs.find(({ id }) => id === one.run.id)
  const all = measuredOf(view)
  for (const mixed of all) {
    const spec = specOf(mixed)
    if (!spec?.overrides?.length) continue
    const uniform = all.filter((one) => specOf(one)?.method === spec.method && !specOf(one)!.overrides?.length)
    const within = uniform.filter((one) => one.bits <= mixed.bits * (1 + equalStorage) && one.value < mixed.value)
    const [best] = within.sort((a, b) => a.value - b.value)
    if (!best) continue
    const by = paired(mixed.windows, best.windows)
    const apart = by?.error == null ? '' : `, by ${format.divergence(by.value)} ± ${format.divergence(by.error)}`
    return `${best.run.label}, with one width for all linears, is better than ${mixed.run.label} at no more bits${apart}: take that one.`
  }
  return null
}

/** Of runs with equal storage, the best first. */
function ofGroup(view: JobView, group: Measured[]): string {
  const [best, ...others] = group
  const ties = [best, ...others.filter(({ windows, value }) => value === best.value || isTie(windows, best.windows))]
  const names = inWords(ties.map(({ run }) => run.label))
  if (ties.length === 1) return `${names}${group.length > 1 ? ' loses least' : ' loses'}: ${lossOf(view, best.run)}`
  const ends = [best.value, Math.max(...ties.map(({ value }) => value))].map(format.divergence)
  const values = `KL ${ends[0] === ends[1] ? ends[0] : ends.join(' to ')}`
  const between = ties.length === 2 ? paired(ties[1].windows, best.windows) : null
  const apart =
    between?.error != null ? `, apart by ${format.divergence(Math.abs(between.value))} ± ${format.divergence(between.error)}` : ''
  return `${names} tie${ties.length < group.length ? ' for the least loss' : ''}: ${values}${apart}`
}

/** "KL 0.28, perplexity +7.15 ± 3.50". */
function lossOf(view: JobView, { result }: RunView): string {
  const kl = `KL ${format.divergence(result!.kl)}`
  const change = perplexityChange(view, result)
  return change ? `${kl}, perplexity ${withError(change)}` : kl
}

/** "+0.0049 ± 0.0021" */
export const withError = ({ text, error }: Change) => (error === null ? text : `${text} ± ${error}`)

/** Runs with more bits that are better, and those with less that are no worse. */
function elsewhere(best: Measured, others: Measured[], front: Measured[]): string[] {
  const by = (one: Measured) => `${format.bitsPerWeight(Math.abs(one.bits - best.bits))} bits ${one.bits > best.bits ? 'more' : 'less'}`
  const tie = (one: Measured) => one.value === best.value || isTie(one.windows, best.windows)
  const said = others.filter((one) => one.bits < best.bits || front.includes(one)).sort((a, b) => a.bits - b.bits)
  const better = said.filter((one) => one.value < best.value && !tie(one))
  const equal = said.filter((one) => one.bits < best.bits && tie(one))
  return [
    ...(better.length > 1 ? [`better are ${inWords(better.map((one) => `${one.run.label} (${by(one)})`))}`] : []),
    ...(better.length === 1 ? [`${better[0].run.label} is better with ${by(better[0])}`] : []),
    ...equal.map((one) => `${one.run.label} ties with it at ${by(one)}`),
  ]
}

function inWords(names: string[]): string {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}
