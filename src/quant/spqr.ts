/**
 * SpQR (Dettmers et al., arXiv 2306.03078): GPTQ's pass over the columns, with outliers H kept in float wherever rounding would increase
 * the output error most,
 *   D_j (β_ij − Q(β_ij))² > τ,   τ = threshold · mean_j (D_j Var_i W_ij),   D_j = 1 / U_jj² for H⁻¹ = UᵀU,
 * and with grids of small groups (real zero points, zero need not be on them) whose scales and zero points are rounded to 3 bits
 * themselves, 16 rows sharing the statistics of that. Stored are: b bits of code for every weight (the code of 0 for an outlier); 3 + 3
 * bits a group; four 16-bit numbers for 16 groups; H in 16 bits, and its column in 16.
 */
import { targetOptions } from './aim.ts'
import type { Device } from '../gpu/device.ts'
import { factorWork } from '../gpu/linalg.ts'
import { diagonalOf, gatherRows } from '../gpu/ops.ts'
import type { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { choices, type OptionSpec, type OptionsOf, pick } from '../options.ts'
import { BLOCK, rowsFrom, SWEEP_FLOPS } from './descent.ts'
import { compensatedWork, dampingOption, factor, Pass, PASS_PRODUCTS, solveQuantease, withoutDead, zeroedNote } from './gptq.ts'
import { type Grid, maxCode } from './grids/grid.ts'
import { gridOf } from './grids/index.ts'
import { real } from './grids/real.ts'
import { searchFlops, searchNorm, shrinks } from './grids/search.ts'
import { type Layout, layoutOf } from './layout.ts'
import { objective } from './rounding.ts'
import { orderOptions } from './quantease.ts'
import { defineSolver, gridOptions, type LinearProblem, type Outliers, type QuantizedLinear } from './solver.ts'

/** Columns per GEMM that collects earlier errors: the largest group. */
const OUTER = 128
/** Rows that share the statistics of their scales and zero points; fixed by `spqr_fit.wgsl`. */
const RUN = 16
/** Bits of a scale or a zero point then. */
const STATISTIC_BITS = 3
/** Operations per weight: the range, two more grids and their errors. */
const FIT_FLOPS = 50

const spqrOptions = [
  ...pick(gridOptions, 'bits'),
  {
    key: 'groupSize',
    perLinear: true,
    flag: 'groupsize',
    label: 'Group size',
    type: 'choice',
    default: 16,
    choices: choices([16, 32, 64, 128]),
    help: 'How many weights of a row share one scale and zero point.',
    cost: 'Smaller groups: a smaller error and more bits, 10 for each group.',
    symbol: 'g',
  },
  {
    key: 'threshold',
    flag: 'outlier',
    label: 'Outlier threshold',
    type: 'number',
    default: 0.2,
    min: 0.01,
    max: 1e6,
    help: 'Keep a weight in float16 when rounding it would add more error than this multiple of the average weight’s contribution to the output.',
    cost: 'Lower: more outliers (32 bits each) and a smaller error. 0.2 keeps about 1 % at 3 bits; use 1 at 2 bits, 0.05 at 4; a million keeps none.',
    symbol: 'τ',
    byBits: { 2: 1, 4: 0.05 },
  },
  {
    key: 'simplified',
    flag: 'simplified',
    label: 'Skip leave-one-out',
    type: 'bool',
    default: false,
    help: 'Let each grid span its likely outliers as well, instead of testing for every weight whether the grid is better without it.',
    cost: 'Hardly faster; usually a larger error.',
    advanced: true,
  },
  {
    key: 'bilevel',
    flag: 'bilevel',
    label: 'Compressed scales',
    type: 'bool',
    default: true,
    help: 'Round scales and zero points to 3 bits, sixteen rows sharing their statistics.',
    cost: 'Saves 22 bits per group, which makes small groups affordable; a slightly larger error.',
    advanced: true,
  },
  ...pick(gridOptions, 'grid'),
  ...pick(orderOptions, 'actOrder'),
  dampingOption,
  ...targetOptions,
] as const satisfies readonly OptionSpec[]

type SpqrOptions = OptionsOf<typeof spqrOptions>

export const spqr = defineSolver({
  id: 'spqr',
  label: 'SpQR',
  summary: 'GPTQ on small groups with quantized scales; the weights with the largest rounding errors are kept as outliers.',
  advice:
    'When accuracy matters more than a packed file: near-lossless at 4 to 5 bits per weight, but it cannot be exported in a packed format.',
  options: spqrOptions,
  gridOf: realGrid,
  work(q, p, options) {
    const compensation = q * p * (p - Math.min(BLOCK, options.groupSize))
    return (
      factorWork(p) + compensation + compensatedWork(q, p, options.groupSize) + q * p * (SWEEP_FLOPS + fitFlops(options)) + 2 * q * p * p
    )
  },
  sharedWork: factorWork,
  products: () => PASS_PRODUCTS,
  outliers: (q, p, options) => ({ count: Math.round(expectedShare(options) * q * p), kind: 'entries' }),
  async solve(problem, options) {
    const { gramDiagonal, weight } = problem
    const layout = layoutOf(gramDiagonal, options.groupSize, options.actOrder, false)
    const made = await factor(problem, layout.order, dampedDiagonal(gramDiagonal, layout.order), options.damping, 'SpQR')
    const { vt, trouble } = made
    if (!vt) {
      const result = await solveQuantease(problem, options)
      return { ...result, notes: [...trouble, ...result.notes] }
    }
    const rounded = await roundColumns(problem, layout, vt, options)
    if (problem.last) problem.derived.drop(made)
    const result = decode(problem, layout, rounded, realGrid(options))
    const ragged = options.bilevel && weight.cols % RUN
    const shorter = `${RUN} does not divide the ${weight.cols} outputs: the last ${ragged} rows share statistics among themselves.`
    return { ...result, iterations: 1, notes: [...trouble, ...zeroedNote(gramDiagonal), ...(ragged ? [shorter] : [])] }
  },
})

/** Real zero points; compressed, scales and zero points take the same few bits and two numbers for every run of rows. */
function realGrid({ bits, groupSize, grid, bilevel }: SpqrOptions): Grid {
  const plain = gridOf({ bits, groupSize, grid, symmetric: false, kind: real.id })
  if (!bilevel) return plain
  return {
    ...plain,
    cellBits(q, p) {
      const each = Math.ceil(p / groupSize) * (q * STATISTIC_BITS + Math.ceil(q / RUN) * 32)
      return { scales: each, zeros: each }
    },
  }
}

/**
 * Expected fraction of outliers for planning; the actual number depends on the weights. Fitted to the demo model, 2 to 4 bits and
 * thresholds from 0.05 to 1: within a factor of 2.
 */
const expectedShare = ({ bits, threshold }: SpqrOptions) => 0.3 * Math.exp(-0.9 * maxCode(bits) * Math.sqrt(threshold))

/** diag H / 2 for H = 2Σ by position: the damping comes first, then inputs that are always zero get H_jj = 1. */
function dampedDiagonal(gramDiagonal: Float32Array, order: Uint32Array): (damping: number) => Float64Array {
  const mean = gramDiagonal.reduce((sum, value) => sum + value, 0) / gramDiagonal.length
  return (damping) => Float64Array.from(order, (j) => (gramDiagonal[j] > 0 ? gramDiagonal[j] + damping * mean : 0.5))
}

/** Operations per weight of the choice of the grids. */
const fitFlops = ({ simplified, grid }: SpqrOptions) => (simplified ? 4 : FIT_FLOPS) + searchFlops({ grid, symmetric: false })

/** In processing order: codes, H and W − Ŵ − H, each `[p, q]`; the cells `[groups, q, 2]`; how many entries of H there are. */
interface Rounded {
  codes: Tensor
  h: Tensor
  r: Tensor
  cells: Tensor
  count: Reading<number>
}

async function roundColumns(problem: LinearProblem, layout: Layout, vt: Tensor, options: SpqrOptions): Promise<Rounded> {
  const { gpu, weight, gramDiagonal, halfScales } = problem
  const [p, q] = [weight.rows, weight.cols]
  const { groupSize, groups } = layout
  const grid = realGrid(options)
  const clean = withoutDead(gpu, weight, gramDiagonal)
  const order = gpu.upload(layout.order, [p])
  const x = gatherRows(gpu, clean, order)
  order.dispose()
  if (clean !== weight) clean.dispose()
  const fits = new Fits(problem, grid, x, vt, options)
  const codes = gpu.empty([p, q], 'u32')
  const cells = gpu.empty([groups, q, 2])
  const counts = gpu.zeros([q], 'u32')
  const pass = new Pass(gpu, layout, x, vt, OUTER)

  for (let j0 = 0; j0 < p; ) {
    if (j0 % OUTER === 0) pass.begin(j0)
    const group = Math.floor(j0 / groupSize)
    const end = Math.min((group + 1) * groupSize, p)
    if (j0 === group * groupSize) {
      const w = pass.compensated(j0, end, cells)
      fits.fit(w, cells, j0, group)
      w.dispose()
    }
    const width = Math.min(BLOCK, end - j0)
    const { r, g } = pass.state(j0, width)
    const { n, n0 } = rowsFrom(gpu, vt, j0, width)
    const place = { q, p, j0, n0, width, group, most: grid.most, relative: fits.relative, half: Number(halfScales) }
    const bindings = { x, r, g, n, grid: cells, total: fits.total, codes, counts }
    gpu.run1d(grid.kernel('spqr_sweep'), bindings, place, q / 4, { flops: q * width * SWEEP_FLOPS })
    pass.spread(j0, width)
    await gpu.pace()
    j0 += width
  }
  const count = (gpu.read(counts, 1) as Reading<Uint32Array>).map((each) => each.reduce((sum, some) => sum + some, 0))
  for (const tensor of [fits, counts, pass]) tensor.dispose()
  return { codes, h: x, r: pass.r, cells, count }
}

/** The choice of the cells, group by group: by which weights they have to span, and by a search. */
class Fits {
  /** Σ_j D_j Var_i W_ij `[1]`. τ stays on the GPU: kernels take it as this times `relative`. */
  readonly total: Tensor
  readonly relative: number
  /** √D_j, `[p]` */
  readonly #root: Tensor
  readonly #shrink: Tensor
  readonly #norm: ReturnType<typeof searchNorm>
  readonly #candidates: number

  /** `x` `[p, q]` is W in processing order, `vt` has √D on its diagonal. */
  constructor(
    readonly problem: LinearProblem,
    readonly grid: Grid,
    x: Tensor,
    vt: Tensor,
    readonly options: SpqrOptions,
  ) {
    const { gpu } = problem
    this.#root = gpu.empty([x.rows])
    diagonalOf(gpu, vt, this.#root)
    this.total = variances(gpu, x, this.#root)
    this.relative = options.threshold / x.rows
    const pairs = shrinks(grid)
    this.#candidates = pairs.length
    this.#shrink = gpu.upload(Float32Array.from(pairs.length ? pairs.flat() : [1, 1]), [Math.max(1, pairs.length), 2])
    this.#norm = searchNorm(gpu, grid.grid)
  }

  /** Puts the cells of a group into `cells`, for its weights as they are now: `w` `[size, q]`, columns j0 .. j0 + size. */
  fit(w: Tensor, cells: Tensor, j0: number, group: number): void {
    const { grid, options } = this
    const [size, q] = [w.rows, w.cols]
    const bindings = { w, root: this.#root, total: this.total, shrink: this.#shrink, powers: this.#norm.powers, grid: cells }
    const how = { leave_out: Number(!options.simplified), bilevel: Number(options.bilevel), half: Number(this.problem.halfScales) }
    const params = { q, j0, size, group, most: grid.most, relative: this.relative, candidates: this.#candidates, ...how }
    const { constants } = this.#norm
    this.problem.gpu.run1d(grid.kernel('spqr_fit'), bindings, params, q, { constants, flops: size * q * fitFlops(options) })
  }

  dispose(): void {
    for (const tensor of [this.total, this.#root, this.#shrink, this.#norm.powers]) tensor.dispose()
  }
}

/** Σ_j D_j Var_i(W_ij), `[1]`; `root` are the √D_j. */
function variances(gpu: Device, x: Tensor, root: Tensor): Tensor {
  const [p, q] = [x.rows, x.cols]
  const scores = gpu.empty([p])
  gpu.run1d('spqr_variance', { x, root, scores }, { q, p }, 64 * p, { flops: 4 * q * p })
  const total = gpu.empty([1])
  gpu.run('sum', { x: scores, out: total }, { n: p, index: 0 }, [1])
  scores.dispose()
  return total
}

/** Converts from processing order to the result and measures its error. Takes ownership of its arguments. */
function decode(
  { gpu, weight, gram }: LinearProblem,
  layout: Layout,
  { codes: y, h, r, cells, count }: Rounded,
  grid: Grid,
): Omit<QuantizedLinear, 'iterations' | 'notes'> {
  const [p, q] = [weight.rows, weight.cols]
  const { groupSize, groups, groupIndex } = layout
  const order = gpu.upload(layout.order, [p])
  const codes = gpu.empty([p, q], 'u32')
  const what = gpu.empty([p, q])
  gpu.run1d(grid.kernel('spqr_decode'), { y, order, grid: cells, codes, what }, { q, p, size: groupSize }, p * q)
  y.dispose()
  const ordered = (x: Tensor) => {
    const y = gpu.empty([p, q])
    gpu.run1d('scatter_rows', { x, order, y }, { rows: p, cols: q, half: 0 }, p * q)
    x.dispose()
    return y
  }
  const outliers: Outliers = { h: ordered(h), count, kind: 'entries' }
  const rest = ordered(r)
  const error = objective(gpu, rest, gram)
  for (const tensor of [rest, order]) tensor.dispose()
  return { codes, what, grid: cells, groupSize, groups, groupIndex, outliers, error }
}
