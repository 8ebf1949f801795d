/**
 * QuantEase+ (`quantease_plus`), our own extension of the paper: at 2 and 3 bits the grid, not the descent, limits QuantEase, so this
 * method searches the grid by the error of the layer's output.
 *
 * 1. The weighted grid: ranges shrunk to the least Σ_j Σ_jj (w_j − Q(w_j))² (grid_search.wgsl). 2. Rows are independent given Σ, so every
 * row tries several multiples of its scale, each by a short QuantEase descent from W, and keeps the grid and codes with the smallest
 * error; then again with finer multiples around the best, in reverse column order. 3. The scales refitted by least squares, given the
 * codes, then two plain sweeps; per row only where the error falls.
 *
 * With outliers, the largest weights are kept: the grid is searched for the others, and in every sweep outliers take their unrounded
 * minimizer.
 *
 * The result is stored like any other: one scale and integer zero per row and group, groups of consecutive inputs.
 *
 * Measured on the golden sets against the float64 prototype, which spends its products with Σ on ten multiples × 7 sweeps and one descent
 * of 30 sweeps: fifteen short descents in three narrowing rounds end 7 % lower at about the same work, since a second start in the other
 * order is worth more than sweeps 8 to 30 of the first.
 */
import type { Device } from '../gpu/device.ts'
import { gatherRows } from '../gpu/ops.ts'
import type { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { type OptionSpec, type OptionsOf, pick } from '../options.ts'
import { ridgeOption, targetOptions } from './aim.ts'
import { Descent, sweeps, sweepWork } from './descent.ts'
import type { Grid } from './grids/grid.ts'
import { gridOf } from './grids/index.ts'
import { type Layout, layoutOf } from './layout.ts'
import { deadNote, finish } from './rounding.ts'
import { disposeSupport, largestWeights, outlierCount, outlierOptions, type Support } from './outliers.ts'
import { sweepOptions } from './quantease.ts'
import { ObjectiveReport } from './report.ts'
import { defineSolver, gridOptions, type LinearProblem, type Outliers } from './solver.ts'

/** Multiples of the scale that each round tries around the best so far. In all: 15 × 7 sweeps and the refits, 115 products. */
const SEARCH = [
  { actOrder: false, multiples: [0.8, 0.9, 1, 1.1, 1.2, 1.35] },
  { actOrder: true, multiples: [0.96, 0.98, 1, 1.02, 1.04] },
  { actOrder: false, multiples: [0.985, 0.995, 1.005, 1.015] },
]
/** 4 × 7 sweeps and the refits: 38 products, and on the whole the error of the prototype. */
const QUICK = [
  { actOrder: false, multiples: [1, 1.1] },
  { actOrder: true, multiples: [0.96, 1.04] },
]
/** Plain sweeps after a refit, in act-order: the codes follow the new scales. */
const REFIT_SWEEPS = 2
/** Elements of Ŵ of all candidates that descend together. */
const BATCH = 2 ** 25

const plusOptions = [
  ...pick(gridOptions, 'bits', 'groupSize', 'symmetric'),
  ...pick(gridOptions, 'grid').map((option) => ({ ...option, default: 'weighted' as const })),
  {
    key: 'iterations',
    flag: 'num-iter',
    label: 'Iterations',
    type: 'int',
    default: 30,
    min: 1,
    max: 1000,
    help: 'Sweeps as in QuantEase: each short descent of the scale search takes a quarter of them, at least one (7 of 30).',
    cost: 'The time grows proportionally; more than 30 gains little.',
    symbol: 'T',
  },
  ...pick(sweepOptions, 'relax'),
  {
    key: 'quick',
    flag: 'quick',
    label: 'Quick',
    type: 'bool',
    default: false,
    help: 'Try only four scales per row instead of fifteen.',
    cost: 'A third of the time, about as long as QuantEase; about 7 % more error.',
  },
  {
    key: 'rounds',
    flag: 'rounds',
    label: 'Refit rounds',
    type: 'int',
    default: 3,
    min: 0,
    max: 10,
    help: 'How often the scales are refitted to the codes; a row keeps a refit only if its error decreases.',
    cost: 'Each costs three matrix products of the layer with Σ.',
    advanced: true,
  },
  // The outliers chosen first are kept (`masked`): choosing again would cost a matrix product per sweep and changes hardly any.
  ...pick(outlierOptions, 'outlier', 'structureOutlier'),
  { ...ridgeOption, default: 'auto' },
  { ...targetOptions[0], default: 'corrected' },
  targetOptions[1],
] as const satisfies readonly OptionSpec[]

type PlusOptions = OptionsOf<typeof plusOptions>

/** Rounds of the search and the sweeps of one descent. */
function planOf({ quick, iterations }: PlusOptions) {
  const search = quick ? QUICK : SEARCH
  const descents = search.reduce((sum, { multiples }) => sum + multiples.length, 0)
  return { search, descents, each: Math.max(1, Math.floor(iterations / 4)) }
}

const totalSweeps = (options: PlusOptions) => {
  const { descents, each } = planOf(options)
  return descents * each + options.rounds * REFIT_SWEEPS
}

export const quanteasePlus = defineSolver({
  id: 'quantease_plus',
  label: 'QuantEase+',
  summary: 'Our own extension of the paper: QuantEase with the scale of every row chosen among several and refitted to the codes.',
  advice: 'The smallest error at 2 and 3 bits for the same file; takes about four times as long as QuantEase, or as long with Quick.',
  options: plusOptions,
  gridOf,
  work(q, p, options) {
    const grid = gridOf(options)
    return grid.work(q, p) + totalSweeps(options) * sweepWork(q, p) + options.rounds * grid.refitWork(q, p)
  },
  sweeps: totalSweeps,
  outliers: outlierCount,
  async solve(problem, options, hooks) {
    const { gpu, weight, gramDiagonal, halfScales } = problem
    const layouts = {
      given: layoutOf(gramDiagonal, options.groupSize, false, true),
      act: layoutOf(gramDiagonal, options.groupSize, true, true),
    }
    const { search, each } = planOf(options)
    const kept = outlierCount(weight.cols, weight.rows, options)
    const support = kept && largestWeights(problem, kept)
    const grid = gridOf(options)
    const cells = grid.make(gpu, support?.rest ?? weight, layouts.given, halfScales)
    const best = new Best(problem, cells, grid, support)
    let done = 0
    const report = new ObjectiveReport(gpu, hooks)
    const say = () => {
      const iteration = done - 1
      report.add(best.objective().map((value) => [{ iteration, value: Math.max(0, value), relaxed: false }]))
    }
    for (const { actOrder, multiples } of search) {
      await best.search(actOrder ? layouts.act : layouts.given, multiples, each, options.relax)
      done += multiples.length * each
      say()
    }
    for (let round = 0; round < options.rounds; round++) {
      await best.refit(layouts.act)
      done += REFIT_SWEEPS
      say()
    }
    const outliers = best.outliers(layouts.given)
    const result = finish(problem, best.what, layouts.given, cells, grid, outliers)
    outliers?.h.dispose()
    best.dispose()
    if (support) disposeSupport(support)
    return { ...result, error: report.before(result.error), iterations: done, notes: deadNote(gramDiagonal) }
  },
})

/** The best Ŵ (outliers included) and grid of every row so far. */
class Best {
  /** `[p, q]` in the original order of the inputs */
  readonly what: Tensor
  /** Objective of every row: `[q]` */
  #rows: Tensor

  /** Takes over nothing: `cells` stays the caller's, and is written to. */
  constructor(
    readonly problem: LinearProblem,
    /** `[groups, q, 2]` */
    readonly cells: Tensor,
    readonly grid: Grid,
    readonly support: Support | null,
  ) {
    const { gpu, weight } = problem
    this.what = gpu.empty(weight.shape)
    this.#rows = gpu.upload(new Float32Array(weight.cols).fill(3e38), [weight.cols])
  }

  /** Objective of the layer, summed in float64. */
  objective(): Reading<number> {
    return (this.problem.gpu.read(this.#rows) as Reading<Float32Array>).map((rows) => rows.reduce((sum, row) => sum + row, 0))
  }

  /** One descent from W for every multiple of the scales. */
  async search(layout: Layout, multiples: number[], iterations: number, relax: boolean): Promise<void> {
    const { problem, grid } = this
    const { gpu, weight, halfScales } = problem
    const [p, q] = [weight.rows, weight.cols]
    const around = gpu.empty(this.cells.shape)
    gpu.copy(this.cells, around)
    // Together the candidates are one tall matrix, which fills a GPU that the few rows of a layer would not.
    const together = Math.max(1, Math.floor(Math.min(BATCH, gpu.info.maxBinding / 4) / (p * q)))
    for (let first = 0; first < multiples.length; first += together) {
      const some = multiples.slice(first, first + together)
      const copies = some.length
      const tall = gpu.empty([p, copies * q])
      gpu.run1d('plus_repeat', { x: weight, y: tall }, { q, p, copies }, tall.size)
      const candidates = grid.multiples(gpu, around, some, halfScales)
      const descent = new Descent({ ...problem, weight: tall }, layout, candidates, grid, undefined, this.#mask(layout, copies))
      await sweeps(descent, iterations, relax)
      this.#keep(descent, copies)
      for (const tensor of [tall, candidates, descent.what, descent.mask, descent]) tensor?.dispose()
    }
    around.dispose()
  }

  /** Scales fitted to the codes, then plain sweeps from there. */
  async refit(layout: Layout): Promise<void> {
    const { problem, what, support, grid } = this
    const { gpu, weight, gram, halfScales } = problem
    const rest = difference(gpu, weight, what)
    const rounded = support ? gpu.empty(what.shape) : what
    if (support) gpu.run1d('plus_unmask', { x: what, h: support.h, y: rounded }, { n: what.size }, what.size)
    const refitted = await grid.refit({ gpu, gram, what: rounded, rest, halfScales }, this.cells, layout)
    rest.dispose()
    if (support) rounded.dispose()
    // Ŵ is a little off the new grid; the first sweep rounds it, and counts from the error that Ŵ has.
    const descent = new Descent(problem, layout, refitted, grid, what, this.#mask(layout, 1))
    gpu.copy(this.#rows, descent.objective)
    await sweeps(descent, REFIT_SWEEPS, false)
    this.#keep(descent, 1)
    for (const tensor of [refitted, descent.what, descent.mask, descent]) tensor?.dispose()
  }

  /** Takes over the rows in which one of the `copies` candidates of a descent is better. */
  #keep({ what: fresh, cells: candidates, objective, layout }: Descent, copies: number): void {
    const { gpu, weight } = this.problem
    const [p, q] = [weight.rows, weight.cols]
    const order = gpu.upload(layout.order, [p])
    const next = gpu.empty([q])
    const { what, cells } = this
    const bindings = { fresh, order, candidates, objective, best: this.#rows, next, what, grid: cells }
    gpu.run1d('plus_keep', bindings, { q, p, groups: layout.groups, copies }, p * q)
    this.#rows.dispose()
    this.#rows = next
    order.dispose()
  }

  /** The bits that `Descent` takes for weights that are not rounded, once per candidate. */
  #mask({ order }: Layout, copies: number): Tensor | undefined {
    if (!this.support) return undefined
    const { gpu } = this.problem
    const [p, q] = [this.support.h.rows, copies * this.support.h.cols]
    const places = gpu.upload(order, [p])
    const h = gatherRows(gpu, this.support.h, places)
    const tall = gpu.empty([p, q])
    gpu.run1d('plus_repeat', { x: h, y: tall }, { q: h.cols, p, copies }, tall.size)
    const words = Math.ceil(q / 32)
    const mask = gpu.empty([p, words], 'u32')
    gpu.run1d('outlier_mask', { h: tall, mask }, { q, p, words }, p * words)
    for (const tensor of [places, h, tall]) tensor.dispose()
    return mask
  }

  /** The values of the outliers. `layout` is that of the original order. */
  outliers(layout: Layout): Outliers | null {
    const { support, grid, cells } = this
    const mask = this.#mask(layout, 1)
    if (!support || !mask) return null
    const { gpu } = this.problem
    const [p, q] = [support.h.rows, support.h.cols]
    const h = gpu.empty([p, q])
    const columns = gpu.upload(
      Uint32Array.from({ length: 2 * p }, (_, i) => (i & 1 ? 0 : layout.groupIndex[i >> 1])),
      [p, 2],
    )
    const words = Math.ceil(q / 32)
    const bindings = { v: this.what, mask, columns, grid: cells, h }
    gpu.run1d(grid.kernel('outlier_split'), bindings, { q, p, words, most: grid.most }, q * p)
    for (const tensor of [mask, columns]) tensor.dispose()
    return { h, count: support.count, kind: support.kind }
  }

  /** Frees all but the cells. */
  dispose(): void {
    this.what.dispose()
    this.#rows.dispose()
  }
}

/** x − y */
function difference(gpu: Device, x: Tensor, y: Tensor): Tensor {
  const out = gpu.empty(x.shape)
  gpu.copy(x, out)
  gpu.run1d('subtract', { x: out, y }, { n: x.size }, x.size / 4)
  return out
}
