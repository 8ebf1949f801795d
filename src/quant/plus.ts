/**
 * QuantEase+ (`quantease_plus`), our own extension of the paper: at 2 and 3 bits the grid, not the descent, limits QuantEase, so this
 * method searches the grid by the error of the layer's output.
 *
 * 1. The weighted grid: ranges shrunk to the least Σ_j Σ_jj (w_j − Q(w_j))² (grid_search.wgsl). 2. GPTQ passes over several multiples of
 * every row's scale, in several orders of the columns; each costs half a product with Σ, and tells its error. A row keeps the best
 * (best.ts), with its scale refitted, and sweeps follow. Thorough: the same several times, around the best grid so far. 3. The scales
 * refitted by least squares, given the codes, then two plain sweeps; per row only where the error falls.
 *
 * With outliers, the largest weights are kept: the grid is searched for the others, and in every pass and sweep outliers take their
 * unrounded minimizer.
 *
 * The result is stored like any other: one scale and integer zero per row and group, groups of consecutive inputs.
 */
import { factorWork } from '../gpu/linalg.ts'
import { type OptionSpec, type OptionsOf, pick, resolveOptions } from '../options.ts'
import { ridgeOption, targetOptions } from './aim.ts'
import { Reading } from '../gpu/reading.ts'
import { Best, type Feedback, type Task, weightTimesGram } from './best.ts'
import { BLOCK, SWEEP_FLOPS, sweepWork } from './descent.ts'
import { type Factor, factor, PASS_PRODUCTS } from './gptq.ts'
import { gridOf } from './grids/index.ts'
import { type Layout, layoutOf } from './layout.ts'
import { deadNote, finish } from './rounding.ts'
import { disposeSupport, largestWeights, outlierCount, outlierOptions } from './outliers.ts'
import { quantease, sweepOptions } from './quantease.ts'
import { ObjectiveReport } from './report.ts'
import { defineSolver, gridOptions, isLarge, type LinearProblem, type QuantizedLinear } from './solver.ts'

/** Orders of the columns: as they are, by falling Σ_jj, and by rising. */
type Order = 'given' | 'falling' | 'rising'

/** Passes for multiples of the best scales so far, round by round, then sweeps from the best of them in an order of their own. */
interface Chain {
  starts: { order: Order; multiples: number[] }[]
  sweeps: Order
}

const WIDE = [0.82, 0.91, 1, 1.1, 1.24]
const NARROW = [0.95, 0.98, 1, 1.02, 1.05]
const NARROWER = [0.97, 0.99, 1, 1.01, 1.03]

const QUICK: Chain[] = [
  { starts: [{ order: 'falling', multiples: WIDE }], sweeps: 'falling' },
  { starts: [{ order: 'rising', multiples: [0.96, 1, 1.04] }], sweeps: 'given' },
]
const THOROUGH: Chain[] = [
  { starts: [{ order: 'falling', multiples: [0.76, 0.84, 0.92, 1, 1.09, 1.2, 1.34] }], sweeps: 'falling' },
  { starts: [{ order: 'given', multiples: NARROW }], sweeps: 'given' },
  { starts: [{ order: 'rising', multiples: NARROWER }], sweeps: 'falling' },
  { starts: [{ order: 'given', multiples: NARROWER }], sweeps: 'falling' },
  { starts: [{ order: 'falling', multiples: NARROWER }], sweeps: 'given' },
]
/** Plain sweeps after a refit, in falling order: the codes follow the new scales. */
const REFIT_SWEEPS = 2
/** What is added to the diagonal of Σ before it is factored, as a fraction of the mean diagonal. */
const DAMPING = 0.01

const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)
const passesIn = (chains: Chain[]) => sum(chains.flatMap(({ starts }) => starts.map(({ multiples }) => multiples.length)))
const searchOf = (chains: Chain[]) => `${passesIn(chains)} passes and ${chains.length} descents`

const plusOptions = [
  ...pick(gridOptions, 'kind', 'bits', 'groupSize', 'symmetric'),
  ...pick(gridOptions, 'grid').map((option) => ({ ...option, default: 'weighted' as const })),
  {
    key: 'quick',
    flag: 'quick',
    label: 'Quick',
    type: 'bool',
    default: true,
    help: `Search the scales of every row by ${searchOf(QUICK)}; when off, by ${searchOf(THOROUGH)}.`,
    cost: 'Solving takes about half as long as QuantEase; when off, a little longer than QuantEase, for about 2 % less error.',
  },
  {
    key: 'iterations',
    flag: 'num-iter',
    label: 'Iterations per descent',
    type: 'int',
    default: 4,
    min: 1,
    max: 1000,
    help: `Sweeps of each descent: ${QUICK.length} descents in a quick search, else ${THOROUGH.length}. A refit adds ${REFIT_SWEEPS} sweeps.`,
    cost: 'Each costs one matrix product of the layer with Σ; from a good start, more than 4 gain little.',
    symbol: 'T',
  },
  ...pick(sweepOptions, 'relax'),
  {
    key: 'rounds',
    flag: 'rounds',
    label: 'Refit rounds',
    type: 'int',
    default: 1,
    min: 0,
    max: 10,
    help: 'How often the scales are refitted to the codes at the end; a row keeps a refit only if its error decreases.',
    cost: 'Each costs two matrix products of the layer with Σ, three with groups.',
    advanced: true,
  },
  // The outliers chosen first are kept (`masked`): choosing again would cost a matrix product per sweep and changes hardly any.
  ...pick(outlierOptions, 'outlier', 'structureOutlier'),
  { ...ridgeOption, default: 'auto' },
  { ...targetOptions[0], default: 'corrected' },
  targetOptions[1],
] as const satisfies readonly OptionSpec[]

type PlusOptions = OptionsOf<typeof plusOptions>

const chainsOf = ({ quick }: PlusOptions) => (quick ? QUICK : THOROUGH)
const startsOf = (options: PlusOptions) => chainsOf(options).flatMap(({ starts }) => starts)
const ordersOf = (options: PlusOptions) => [...new Set(startsOf(options).map(({ order }) => order))]
const passesOf = (options: PlusOptions) => passesIn(chainsOf(options))
/** With several groups or with outliers, a refit needs a product with Σ; else the one with W is enough for all. */
const refitsExactly = ({ groupSize, outlier }: PlusOptions) => groupSize !== -1 || outlier > 0

const totalSweeps = (options: PlusOptions) => chainsOf(options).length * options.iterations + options.rounds * REFIT_SWEEPS

/** W Σ, half a product a pass, one a sweep, and those of refits. */
const productsOf = (options: PlusOptions) =>
  PASS_PRODUCTS * passesOf(options) + totalSweeps(options) + (refitsExactly(options) ? options.rounds : 1)

export const quanteasePlus = defineSolver({
  id: 'quantease_plus',
  label: 'QuantEase+',
  recommended: true,
  own: true,
  summary:
    'Our own extension of the paper: the scale of every row is chosen among several by GPTQ passes, improved by QuantEase sweeps, and refitted to the codes.',
  advice:
    'The method to start with at 2 to 4 bits: on the models that we measured, its layer error was the smallest of all methods here at the same size. Solving takes half as long as QuantEase; choosing damping and the target on held-out tokens, and running the text through the full-precision model as well, make a whole job about one and a half times as long.',
  options: plusOptions,
  gridOf,
  work(q, p, options) {
    const grid = gridOf(options)
    const pass = q * p * (p - BLOCK + SWEEP_FLOPS)
    const refits = refitsExactly(options) ? options.rounds * grid.refitWork(q, p) : 0
    const product = options.outlier ? 0 : 2 * q * p * p
    return (
      grid.work(q, p) +
      ordersOf(options).length * factorWork(p) +
      product +
      passesOf(options) * pass +
      totalSweeps(options) * sweepWork(q, p) +
      refits
    )
  },
  sharedWork: (p, options) => ordersOf(options).length * factorWork(p),
  products: productsOf,
  sweeps: totalSweeps,
  outliers: outlierCount,
  async solve(problem, options, hooks) {
    const { gpu, weight, gramDiagonal, halfScales } = problem
    const layouts = layoutsOf(gramDiagonal, options.groupSize)
    const feedbacks = new Feedbacks(
      problem,
      layouts,
      startsOf(options).map(({ order }) => order),
    )
    const trouble = await feedbacks.make()
    if (feedbacks.failed) return fallback(problem, options, trouble)
    const kept = outlierCount(weight.cols, weight.rows, options)
    const support = kept && largestWeights(problem, kept)
    const grid = gridOf(options)
    const cells = grid.make(gpu, support?.rest ?? weight, layouts.given, halfScales)
    const task: Task = { problem, grid, support, product: support ? null : weightTimesGram(problem) }
    const best = new Best(task, cells)
    let done = 0
    const report = new ObjectiveReport(gpu, hooks)
    const say = (since: number, last: { changed: Reading<number | undefined> }) => {
      done += since
      const iteration = done - 1
      const told = ([value, changed]: readonly [number, number | undefined]) => {
        const point = { iteration, value: Math.max(0, value), relaxed: false }
        return [changed === undefined ? point : { ...point, changed }]
      }
      report.add(Reading.all([best.objective(), last.changed] as const).map(told))
    }
    for (const [i, chain] of chainsOf(options).entries()) {
      const one = i ? best.again() : best
      for (const { order, multiples } of chain.starts) {
        const feedback = await feedbacks.next(order)
        if (feedback) await one.starts(feedback, multiples)
      }
      feedbacks.rest()
      const changed = await one.descend(layouts[chain.sweeps], options.iterations, options.relax, false)
      if (i) {
        best.take(one, layouts.given)
        for (const over of [one.cells, one]) over.dispose()
      }
      say(options.iterations, changed)
    }
    for (let round = 0; round < options.rounds; round++) {
      say(REFIT_SWEEPS, await best.descend(layouts.falling, REFIT_SWEEPS, false, refitsExactly(options)))
    }
    task.product?.dispose()
    const outliers = best.outliers(layouts.given)
    if (support) disposeSupport(support)
    const result = finish(problem, best.what, layouts.given, cells, grid, outliers, [best, ...(outliers ? [outliers.h] : [])])
    return { ...result, error: report.before(result.error), iterations: done, notes: [...trouble, ...deadNote(gramDiagonal)] }
  },
})

/** Groups are runs of the original columns in all of them. */
function layoutsOf(diagonal: Float32Array, groupSize: number): Record<Order, Layout> {
  const falling = layoutOf(diagonal, groupSize, true, true)
  return { given: layoutOf(diagonal, groupSize, false, true), falling, rising: { ...falling, order: falling.order.toReversed() } }
}

/** Factors of Σ in the orders of the passes; those of a large Σ one after the other, where no other linear needs them. */
class Feedbacks {
  failed = false
  readonly #made = new Map<Order, Factor>()

  constructor(
    readonly problem: LinearProblem,
    readonly layouts: Record<Order, Layout>,
    /** Of the passes that are left. */
    readonly left: Order[],
  ) {}

  /** The factors that are kept until they are needed; what there is to say of them. */
  async make(): Promise<string[]> {
    const orders = this.#oneByOne ? this.left.slice(0, 1) : [...new Set(this.left)]
    // Together, so that one wait tells whether they succeeded.
    const made = await Promise.all(orders.map((order) => this.#factor(order)))
    const bad = made.find(({ vt }) => !vt)
    this.failed = bad !== undefined
    return (bad ?? made[0]).trouble
  }

  /** For the next pass; null when Σ cannot be factored in this order. */
  async next(order: Order): Promise<Feedback | null> {
    if (!this.#made.has(order)) this.rest()
    this.left.shift()
    const { vt, damping } = this.#made.get(order) ?? (await this.#factor(order))
    return vt && { layout: this.layouts[order], vt, lambda: damping * meanOf(this.problem.gramDiagonal) }
  }

  /** No pass follows before a descent, or one in another order: gives up the factor of a large Σ. */
  rest(): void {
    if (!this.#oneByOne) return
    for (const made of this.#made.values()) this.problem.derived.drop(made)
    this.#made.clear()
  }

  get #oneByOne(): boolean {
    return this.problem.last === true && isLarge(this.problem.gpu, this.problem.gram.rows)
  }

  async #factor(order: Order): Promise<Factor> {
    const { gramDiagonal } = this.problem
    const mean = meanOf(gramDiagonal)
    const layout = this.layouts[order]
    const damped = (damping: number) => Float64Array.from(layout.order, (j) => gramDiagonal[j] + damping * mean)
    const made = await factor(this.problem, layout.order, damped, DAMPING, 'QuantEase+')
    this.#made.set(order, made)
    return made
  }
}

const meanOf = (values: Float32Array) => sum([...values]) / values.length || 1

/** QuantEase on the same grid, for a layer whose Σ cannot be factored. */
async function fallback(problem: LinearProblem, options: PlusOptions, trouble: string[]): Promise<QuantizedLinear> {
  const { iterations, relax } = resolveOptions(quantease.options, {}).options
  const defaults = { actOrder: false, staticGroups: false, outlierMode: 'masked', outlierRange: 'exclude' }
  const result = await quantease.solve(problem, { ...options, ...defaults, iterations, relax }, {})
  return { ...result, notes: [...trouble, ...result.notes] }
}
