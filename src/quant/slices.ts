/**
 * Solves linears larger than a binding in slices of rows. Given Σ, the rows of W are independent of each other, and so is everything that
 * the solvers do to them: such a linear is solved as several of fewer rows (columns of the `[p, q]` that lies on the GPU), one after the
 * other, each small enough for one binding. Codes and weights are the same as without slices, except that outliers, which a method
 * chooses among all weights of a linear, are chosen slice by slice.
 */
import type { Device } from '../gpu/device.ts'
import { copyColumns } from '../gpu/ops.ts'
import { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { Options } from '../options.ts'
import { optionsFor } from './grids/index.ts'
import { disposeQuantized, type LinearProblem, type OutlierKind, type QuantizedLinear, type Solver, type SolverHooks } from './solver.ts'

/** Slices start at multiples of this: whole words of masks, whole runs of SpQR. */
const UNIT = 64

/** Rows of W in each slice of a linear `[q, p]`; all of them when it fits a binding of `most` bytes. */
export function sliceRows(q: number, p: number, most: number): number {
  if (q * p * 4 <= most) return q
  return Math.max(UNIT, Math.floor((most / 4 - 2048) / p / UNIT) * UNIT)
}

/** The sizes of all slices. */
export function slices(q: number, p: number, most: number): number[] {
  const each = sliceRows(q, p, most)
  return Array.from({ length: Math.ceil(q / each) }, (_, i) => Math.min(each, q - i * each))
}

/** Why a method cannot solve a linear in slices with these options, or null. */
export function sliceProblem(solver: Solver, q: number, p: number, options: Options): string | null {
  return solver.outliers?.(q, p, options)?.kind === 'columns' ? 'structured outliers can only be chosen from all rows at once' : null
}

/** The slices of a weight `[p, q]`, each a tensor of its own; the weight itself when it needs none. */
export function cutWeight(gpu: Device, weight: Tensor): Tensor[] {
  const [p, q] = [weight.rows, weight.cols]
  const sizes = slices(q, p, gpu.info.maxBinding)
  if (sizes.length === 1) return [weight]
  let from = 0
  return sizes.map((rows) => {
    const part = gpu.empty([p, rows])
    copyColumns(gpu, weight, from, part, 0, rows)
    from += rows
    return part
  })
}

/** Floating-point operations of solving a linear, in slices where a binding of `most` bytes asks for them. */
export function solveWork(solver: Solver, q: number, p: number, given: Options, most: number): number {
  const options = optionsFor(given, p)
  const each = slices(q, p, most)
  return each.reduce((sum, rows) => sum + solver.work(rows, p, options), 0) - (each.length - 1) * (solver.sharedWork?.(p, options) ?? 0)
}

/** Solves a linear, in slices when it is larger than a binding. */
export async function solveLinear(solver: Solver, problem: LinearProblem, given: Options, hooks: SolverHooks): Promise<QuantizedLinear> {
  const { gpu, weight } = problem
  const [p, q] = [weight.rows, weight.cols]
  const options = optionsFor(given, p)
  const sizes = slices(q, p, gpu.info.maxBinding)
  if (sizes.length === 1) return solver.solve(problem, options, hooks)
  const reports = new SummedReports(sizes.length, hooks)
  const codes = gpu.empty([p, q], 'u32', 'The codes')
  const what = gpu.empty([p, q], 'f32', 'The quantized weights')
  let whole: QuantizedLinear | null = null
  let error = 0
  let kept: { h: Tensor; count: number; kind: OutlierKind } | null = null
  let from = 0
  for (const [i, rows] of sizes.entries()) {
    const part = gpu.empty([p, rows])
    copyColumns(gpu, weight, from, part, 0, rows)
    const result = await solver.solve({ ...problem, weight: part, last: problem.last && i === sizes.length - 1 }, options, {
      report: reports.of(i),
    })
    part.dispose()
    // Awaited slice by slice, since the report of the next one includes this one's result.
    error += await result.error
    copyColumns(gpu, result.codes, 0, codes, from, rows)
    copyColumns(gpu, result.what, 0, what, from, rows)
    if (whole) {
      whole.iterations = Math.max(whole.iterations, result.iterations)
      whole.notes.push(...result.notes.filter((note) => !whole!.notes.includes(note)))
    } else whole = { ...result, codes, what, grid: gpu.empty([result.groups, q, 2]), outliers: null, notes: [...result.notes] }
    const { groups } = result
    copyColumns(gpu, result.grid.view([groups, 2 * rows]), 0, whole.grid.view([groups, 2 * q]), 2 * from, 2 * rows)
    if (result.outliers) {
      kept ??= { h: gpu.zeros([p, q]), count: 0, kind: result.outliers.kind }
      kept.count += await result.outliers.count
      copyColumns(gpu, result.outliers.h, 0, kept.h, from, rows)
    }
    disposeQuantized(result)
    from += rows
    await gpu.pace()
  }
  if (!whole) throw new Error(`A linear of ${q} rows has no slices.`)
  if (kept)
    whole.notes.push(
      `Solved in ${sizes.length} slices of rows, since it is larger than a binding: outliers were chosen in each slice separately.`,
    )
  return { ...whole, error: Reading.of(error), outliers: kept }
}

type Report = NonNullable<SolverHooks['report']>

/** The objective of a linear is the sum over its slices: known, and reported, while the last one is solved. */
class SummedReports {
  readonly #points: Parameters<Report>[0][]

  constructor(
    count: number,
    readonly hooks: SolverHooks,
  ) {
    this.#points = Array.from({ length: count }, () => [])
  }

  of(slice: number): Report | undefined {
    const { report } = this.hooks
    if (!report) return undefined
    if (slice + 1 < this.#points.length) return (points) => void this.#points[slice].push(...points)
    const before = this.#points.slice(0, slice)
    // A slice that ended early keeps its last value.
    const at = (points: Parameters<Report>[0], iteration: number) =>
      (points.findLast((point) => point.iteration <= iteration) ?? points[0])?.value ?? 0
    const changedAt = (points: Parameters<Report>[0], iteration: number) => points.find((point) => point.iteration === iteration)?.changed
    const summed = ({ changed, ...point }: Parameters<Report>[0][number]) => {
      const counts = [changed, ...before.map((one) => changedAt(one, point.iteration))]
      const value = before.reduce((sum, one) => sum + at(one, point.iteration), point.value)
      const whole = counts.every((count) => count !== undefined)
      return { ...point, value, ...(whole && { changed: counts.reduce((sum, count) => sum + count, 0) }) }
    }
    return (points) => report(points.map(summed))
  }
}
