/**
 * Outlier-aware QuantEase (arXiv 2309.01885, Algorithm 3): a few weights H are kept as outliers,
 *   min ‖W X − (Ŵ + H) X‖²,  at most k entries (or whole columns) of H not 0,
 * by sweeps toward the target W − H and one step of iterative hard thresholding after each,
 *   H ← P_k(H + α/λ · (W − H − Ŵ) Σ),  λ = λ_max(Σ);
 * or with the entries of H fixed from the start (masked), taking their unrounded minimizer inside the sweeps.
 */
import type { Device } from '../gpu/device.ts'
import { gatherRows, gemm } from '../gpu/ops.ts'
import { rowPanels, rowsOf } from '../gpu/panels.ts'
import { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { type OptionSpec, type OptionsOf, choices } from '../options.ts'
import { Descent, isRelaxed, REPORT_EVERY, sweeps } from './descent.ts'
import type { Grid } from './grids/grid.ts'
import { byGroup, type Layout } from './layout.ts'
import type { ObjectiveReport } from './report.ts'
import type { LinearProblem, OutlierKind } from './solver.ts'

export const outlierOptions = [
  {
    key: 'outlier',
    flag: 'outlier',
    label: 'Outliers',
    type: 'number',
    default: 0,
    min: 0,
    max: 0.49,
    help: 'Fraction of the weights kept in float16 as outliers, e.g. 0.01: the grid then need not span the few largest ones.',
    cost: '32 bits for each outlier (0.32 bits per weight at 1 %), twice the time, and a checkpoint of plain weights, as large as the model.',
    symbol: 's/(qp)',
  },
  {
    key: 'structureOutlier',
    flag: 'structure-outlier',
    label: 'Whole columns',
    type: 'bool',
    default: false,
    help: 'Keep whole input columns instead of single weights.',
    cost: 'Half the bits (16 for each outlier) and simpler kernels; a larger error.',
    idle: [{ key: 'outlier', is: [0] }],
  },
  {
    key: 'outlierMode',
    flag: 'outlier-mode',
    label: 'Outlier method',
    type: 'choice',
    default: 'iht',
    choices: choices(['iht', 'masked']),
    help: 'iht: the paper’s Algorithm 3, which chooses the outliers again after every sweep. masked: our own variant, which keeps the first choice and never rounds those weights.',
    cost: 'iht: two matrix products a sweep. masked: one; usually the same error.',
    idle: [{ key: 'outlier', is: [0] }],
    advanced: true,
  },
  {
    key: 'outlierRange',
    flag: 'outlier-range',
    label: 'Range of the grid',
    type: 'choice',
    default: 'exclude',
    choices: choices(['exclude', 'trimmed', 'whole']),
    help: 'Which weights the grid has to span: all but the outliers (exclude), each row without its tails as in the published code (trimmed), or all (whole).',
    cost: 'No extra time. The other choices lose most of what outliers gain.',
    idle: [{ key: 'outlier', is: [0] }],
    advanced: true,
  },
  {
    key: 'alpha',
    flag: 'alpha',
    label: 'Step of the outliers',
    type: 'number',
    default: 1,
    min: 0.1,
    max: 2,
    help: 'Length of the gradient step for the outliers after a sweep, in units of 1/(2λ); up to 1 it never increases the error.',
    cost: 'No extra time; has little effect.',
    idle: [
      { key: 'outlier', is: [0] },
      { key: 'outlierMode', is: ['masked'] },
    ],
    symbol: 'α',
    advanced: true,
  },
] as const satisfies readonly OptionSpec[]

export type OutlierOptions = OptionsOf<typeof outlierOptions>

/** How many outliers a linear keeps: at least one when any are asked for. */
export function outlierCount(
  q: number,
  p: number,
  { outlier, structureOutlier }: Pick<OutlierOptions, 'outlier' | 'structureOutlier'>,
): { count: number; kind: OutlierKind } | null {
  if (!outlier) return null
  const of = structureOutlier ? p : q * p
  return { count: Math.max(1, Math.round(outlier * of)), kind: structureOutlier ? 'columns' : 'entries' }
}

/** Work of outliers beside the sweeps: a GEMM and a few passes over H in each, and λ once. */
export function outlierWork(q: number, p: number, iterations: number, { outlier, outlierMode }: OutlierOptions): number {
  if (!outlier) return 0
  const options = { outlier, outlierMode }
  return outlierMode === 'masked' ? 10 * q * p : iterations * q * p * (2 * p + 8) + eigenvalueWork(p, options)
}

/** The part of it that λ takes. */
export function eigenvalueWork(p: number, { outlier, outlierMode }: Pick<OutlierOptions, 'outlier' | 'outlierMode'>): number {
  return outlier && outlierMode === 'iht' ? POWER_STEPS * 2 * p * p : 0
}

// ---------------------------------------------------------------- the k largest

/** Most workgroups of one count, and fewest items for each: starting one is expensive on a software adapter. */
const COUNT_GROUPS = 256
const COUNT_ITEMS = 65536

/**
 * The k largest of n scores by magnitude, equals by index, found on the GPU by a radix select, which leaves a threshold in `state`
 * (`lib/topk.wgsl`) instead of a list.
 */
export class TopK {
  readonly state: Tensor
  /** Candidates for the next selection, which then skips all others. */
  readonly list: Tensor
  readonly capacity: number
  readonly #bins: Tensor

  /** `listing`: the producer of the scores lists candidates; otherwise all n are examined. */
  constructor(
    readonly gpu: Device,
    readonly n: number,
    readonly k: number,
    listing: boolean,
  ) {
    this.capacity = listing ? Math.min(n, 4 * k + 1024) : 0
    this.state = gpu.zeros([8], 'u32')
    this.list = gpu.zeros([1 + this.capacity], 'u32')
    this.#bins = gpu.zeros([256], 'u32')
  }

  select(scores: Tensor): void {
    const { gpu, n, k, capacity, state, list } = this
    const bins = this.#bins
    const groups = Math.max(1, Math.min(COUNT_GROUPS, Math.ceil(n / COUNT_ITEMS)))
    for (const half of [0, 1]) {
      for (const shift of [24, 16, 8, 0]) {
        gpu.run('topk_count', { scores, list, state, bins }, { n, k, capacity, shift, half }, [groups])
        gpu.run('topk_pick', { bins, list, state }, { k, shift, half }, [1])
      }
    }
  }

  dispose(): void {
    for (const tensor of [this.state, this.list, this.#bins]) tensor.dispose()
  }
}

function columnNorms(gpu: Device, x: Tensor, norms: Tensor): void {
  const [p, q] = [x.rows, x.cols]
  gpu.run1d('column_norms', { c: x, norms }, { q, p }, 64 * p, { flops: 2 * q * p })
}

// ---------------------------------------------------------------- λ

const POWER_STEPS = 64
const POWER_ROWS = 64

/**
 * The largest eigenvalue of Σ by power iteration, `[1]`, left on the GPU. Practically never an underestimate: it is the Rayleigh quotient
 * plus the residual, a margin of a few per cent for flat spectra that vanishes as the iteration converges.
 */
export function largestEigenvalue(gpu: Device, gram: Tensor, diagonal: Float32Array): Tensor {
  const p = gram.rows
  const parts = Math.ceil(p / POWER_ROWS)
  const v = gpu.upload(startVector(diagonal), [p])
  const [u, sums, lambda] = [gpu.empty([p]), gpu.empty([parts, p]), gpu.empty([1])]
  for (let step = 0; step < POWER_STEPS; step++) {
    for (const panel of rowPanels(gpu, p, [p], POWER_ROWS)) {
      const shape = { p, rows: POWER_ROWS, row0: panel.first, panel: panel.count }
      const items = Math.ceil(panel.count / POWER_ROWS) * p
      gpu.run1d('power_multiply', { sigma: rowsOf(gram, panel), v, parts: sums }, shape, items, { flops: 2 * panel.count * p })
    }
    gpu.run('power_normalise', { parts: sums, v, u, lambda }, { p, parts }, [1])
  }
  for (const tensor of [v, u, sums]) tensor.dispose()
  return lambda
}

/** A fixed random start vector of norm 1, scaled by the diagonal of Σ, so that no eigenvector is missed by symmetry. */
function startVector(diagonal: Float32Array): Float32Array<ArrayBuffer> {
  let state = 1
  const v = Float64Array.from(diagonal, (value) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state / 2 ** 31 - 1) * Math.sqrt(Math.max(0, value))
  })
  const norm = Math.hypot(...v)
  return Float32Array.from(v, (value) => (norm > 0 ? value / norm : 0))
}

// ---------------------------------------------------------------- solving

/** The first choice of outliers, in the original order of the inputs. */
export interface Support {
  /** P_k(W) `[p, q]` */
  h: Tensor
  /** W − P_k(W) `[p, q]` */
  rest: Tensor
  /** The selection that found them. */
  top: TopK
  count: number
  kind: OutlierKind
}

/** The k largest weights, or columns by their norm. */
export function largestWeights({ gpu, weight }: LinearProblem, { count, kind }: { count: number; kind: OutlierKind }): Support {
  const [p, q] = [weight.rows, weight.cols]
  const columns = kind === 'columns'
  const norms = gpu.empty([p])
  if (columns) columnNorms(gpu, weight, norms)
  const top = columns ? new TopK(gpu, p, count, false) : new TopK(gpu, q * p, count, true)
  top.select(columns ? norms : weight)
  const h = gpu.empty([p, q])
  gpu.run1d('outlier_select', { w: weight, norms, state: top.state, h }, { q, p, columns: Number(columns) }, q * p)
  const rest = gpu.empty([p, q])
  gpu.copy(weight, rest)
  gpu.run1d('subtract', { x: rest, y: h }, { n: q * p }, (q * p) / 4)
  norms.dispose()
  return { h, rest, top, count, kind }
}

export function disposeSupport({ h, rest, top }: Support): void {
  for (const part of [h, rest, top]) part.dispose()
}

/** The weights that the grid has to span, the others 0 (which every grid holds): a tensor of its own, or one of those given. */
export function spanned({ gpu, weight }: LinearProblem, support: Support, layout: Layout, options: OutlierOptions): Tensor {
  if (options.outlierRange === 'exclude') return support.rest
  if (options.outlierRange === 'whole') return weight
  const [p, q] = [weight.rows, weight.cols]
  const trimmed = gpu.empty([p, q])
  const order = gpu.upload(byGroup(layout), [p])
  const { groupSize: size, groups } = layout
  gpu.run1d('trim', { x: weight, order, y: trimmed }, { q, p, size, groups, fraction: options.outlier }, groups * q, { flops: 256 * q * p })
  order.dispose()
  return trimmed
}

export interface SweepOptions extends OutlierOptions {
  iterations: number
  relax: boolean
}

/**
 * Sweeps with outliers; both results `[p, q]` in processing order. Reports f after every iteration but, for iht, the
 * last: that one is the error that `finish` measures.
 */
export function sweepsWithOutliers(
  problem: LinearProblem,
  layout: Layout,
  cells: Tensor,
  grid: Grid,
  support: Support,
  options: SweepOptions,
  report: ObjectiveReport,
): Promise<{ what: Tensor; h: Tensor }> {
  const how = options.outlierMode === 'masked' ? masked : thresholding
  return how(problem, layout, cells, grid, support, options, report)
}

async function masked(
  problem: LinearProblem,
  layout: Layout,
  cells: Tensor,
  grid: Grid,
  support: Support,
  { iterations, relax }: SweepOptions,
  report: ObjectiveReport,
): Promise<{ what: Tensor; h: Tensor }> {
  const { gpu, weight } = problem
  const [p, q] = [weight.rows, weight.cols]
  const order = gpu.upload(layout.order, [p])
  const h = gatherRows(gpu, support.h, order)
  const words = Math.ceil(q / 32)
  const mask = gpu.empty([p, words], 'u32')
  gpu.run1d('outlier_mask', { h, mask }, { q, p, words }, p * words)
  const descent = new Descent(problem, layout, cells, grid, undefined, mask)
  await sweeps(descent, iterations, relax, report)
  const { what, columns } = descent
  gpu.run1d(grid.kernel('outlier_split'), { v: what, mask, columns, grid: cells, h }, { q, p, words, most: grid.most }, q * p)
  descent.dispose()
  for (const tensor of [order, mask]) tensor.dispose()
  return { what, h }
}

async function thresholding(
  problem: LinearProblem,
  layout: Layout,
  cells: Tensor,
  grid: Grid,
  support: Support,
  { iterations, relax, alpha }: SweepOptions,
  report: ObjectiveReport,
): Promise<{ what: Tensor; h: Tensor }> {
  const { gpu, weight, gram, gramDiagonal, derived } = problem
  const [p, q] = [weight.rows, weight.cols]
  const byColumn = support.kind === 'columns'
  const order = gpu.upload(layout.order, [p])
  const h = gatherRows(gpu, support.h, order)
  // With the target as weight, R = W − H − Ŵ starts at 0, as in a plain descent.
  const descent = new Descent({ ...problem, weight: support.rest }, layout, cells, grid)
  const { what, r, normalised, columns } = descent
  const lambda = await derived.get('λ', () => largestEigenvalue(gpu, gram, gramDiagonal))
  const { top } = support
  const { state, list, capacity } = top
  gpu.copy(lambda, state, 1, 0, 5)
  const norms = gpu.empty([p])
  const c = gpu.empty([p, q])
  const parts = Math.min(16384, Math.ceil((q * p) / 64))
  const objective = gpu.empty([parts])
  const [change, before] = [gpu.zeros([iterations]), gpu.zeros([iterations])]
  const constants = { COLUMNS: Number(byColumn), DEAD: Number(gramDiagonal.some((value) => !(value > 0))) }
  let reported = 0
  for (let t = 0; t < iterations; t++) {
    descent.restart()
    await descent.sweep(relax && isRelaxed(t, iterations))
    gpu.run('sum', { x: descent.objective, out: change }, { n: q, index: t }, [1])
    gemm(gpu, { a: normalised, b: r, c, m: p, n: q, k: p, lda: p, ldb: q, ldc: q })
    await gpu.pace()
    gpu.run1d('outlier_step', { c, h, r, columns, state, list, objective }, { q, p, alpha, parts, capacity }, parts, { flops: 4 * q * p })
    gpu.run('sum', { x: objective, out: before }, { n: parts, index: t }, [1])
    if (byColumn) columnNorms(gpu, c, norms)
    top.select(byColumn ? norms : c)
    gpu.run1d('outlier_apply', { c, h, r, what, columns, norms, state }, { q, p }, (q * p) / 4, {
      flops: 2 * q * p,
      constants,
    })
    await gpu.pace()
    if (report.wanted && ((t + 1) % REPORT_EVERY === 0 || t === iterations - 1)) {
      const since = Array.from({ length: t - reported }, (_, i) => reported + i)
      // What a sweep started from is what the step before it had left: no product is needed to know it.
      report.add(
        Reading.all([gpu.read(change), gpu.read(before)]).map(([changes, values]) =>
          since.map((at) => ({
            iteration: at,
            value: Math.max(0, values[at + 1] - changes[at + 1]),
            relaxed: relax && isRelaxed(at, iterations),
          })),
        ),
      )
      reported = t
    }
  }
  descent.dispose()
  for (const tensor of [order, norms, c, objective, change, before]) tensor.dispose()
  return { what, h }
}
