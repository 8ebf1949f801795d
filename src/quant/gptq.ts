/**
 * GPTQ (Frantar et al., arXiv 2210.17323, Algorithm 1): one pass over the columns, each rounded in turn, its error distributed over the
 * columns not yet rounded. With H = V D Vᵀ, V unit upper triangular, that is (Chee et al., arXiv 2307.13304, theorem 6)
 *   β_k = W_k + Σ_{j<k} (W_j − Ŵ_j) V_jk,  Ŵ_k = Q(β_k)
 * which is one sweep of coordinate descent with Vᵀ in place of Σ and needs no inverse. Earlier blocks contribute by one GEMM per block of
 * `blockSize` columns; within the block, by one kernel per 32 columns and GEMMs between them.
 */
import type { Device } from '../gpu/device.ts'
import { factorWork, feedback, feedback64 } from '../gpu/linalg.ts'
import { gatherRows, gemm } from '../gpu/ops.ts'
import { rowsOf } from '../gpu/panels.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { choices, type OptionSpec, type Options, type OptionsOf, resolveOptions } from '../options.ts'
import { targetOptions } from './aim.ts'
import { BLOCK, columnTable, hasWholeBlocks, SWEEP_FLOPS, walk } from './descent.ts'
import type { Grid } from './grids/grid.ts'
import { gridOf } from './grids/index.ts'
import { type Layout, layoutOf } from './layout.ts'
import { finish } from './rounding.ts'
import { orderOptions, quantease } from './quantease.ts'
import { defineSolver, gridOptions, type LinearProblem, type QuantizedLinear } from './solver.ts'

/** Products with Σ that a pass comes to: each column takes in those before it. */
export const PASS_PRODUCTS = 0.5
/** Largest damping that is tried, as a fraction of the mean diagonal. */
const MOST_DAMPING = 1

export const dampingOption = {
  key: 'damping',
  flag: 'percdamp',
  label: 'Damping',
  type: 'number',
  default: 0.01,
  min: 0.0001,
  max: 1,
  help: 'What is added to the diagonal of the Hessian before it is factored, as a fraction of the mean diagonal.',
  cost: 'No extra time. If it is too small for a layer, it is raised tenfold, with a note on that layer.',
  advanced: true,
} as const satisfies OptionSpec

export const gptqOptions = [
  ...gridOptions,
  orderOptions[0],
  // Also without act-order, groups are then those of the weights before anything is rounded.
  { ...orderOptions[1], idle: [{ key: 'groupSize', is: [-1] }] },
  dampingOption,
  {
    key: 'blockSize',
    flag: 'blocksize',
    label: 'Block size',
    type: 'choice',
    default: 128,
    choices: choices([32, 64, 128, 256, 512, 1024]),
    help: 'Columns whose errors are collected before one matrix product applies them to the remaining columns.',
    cost: 'Affects the speed, hardly the result.',
    advanced: true,
  },
  {
    key: 'freshGroups',
    flag: 'fresh-groups',
    label: 'Up-to-date groups',
    type: 'bool',
    default: true,
    help: 'Take the range of each group from weights updated by all errors so far; when off, as in the published code, only by those of earlier blocks.',
    cost: 'No extra time; a smaller error when groups are smaller than a block.',
    idle: [
      { key: 'groupSize', is: [-1] },
      { key: 'staticGroups', is: [true] },
    ],
    advanced: true,
  },
  ...targetOptions,
] as const satisfies readonly OptionSpec[]

export type GptqOptions = OptionsOf<typeof gptqOptions>

export const gptq = defineSolver({
  id: 'gptq',
  label: 'GPTQ',
  summary: 'Rounds the columns one after the other in a single pass, each time distributing the error over the columns not yet rounded.',
  advice: 'Fast and widely used; turn on act-order, which often makes it as good as QuantEase at 3 and 4 bits.',
  options: gptqOptions,
  gridOf,
  work(q, p, options) {
    const compensation = moves(options) ? compensatedWork(q, p, options.freshGroups ? options.groupSize : blockOf(options)) : 0
    return gridOf(options).work(q, p) + factorWork(p) + q * p * (p - BLOCK + SWEEP_FLOPS) + compensation
  },
  sharedWork: factorWork,
  products: () => PASS_PRODUCTS,
  solve: async (problem, options) => (await solveGptq(problem, options)).result,
})

/** GPTQ's result, and its notes on problems of the factorization. */
export async function solveGptq(problem: LinearProblem, options: GptqOptions): Promise<{ result: QuantizedLinear; trouble: string[] }> {
  const { gramDiagonal } = problem
  const diagonal = liveDiagonal(gramDiagonal)
  const layout = { ...layoutOf(diagonal, options.groupSize, options.actOrder, options.staticGroups), diagonal: gramDiagonal }
  const mean = diagonal.reduce((sum, value) => sum + value, 0) / diagonal.length
  const damped = (damping: number) => Float64Array.from(layout.order, (j) => diagonal[j] + damping * mean)
  const made = await factor(problem, layout.order, damped, options.damping, 'GPTQ')
  const { vt, trouble } = made
  if (!vt) {
    const result = await solveQuantease(problem, options)
    return { result: { ...result, notes: [...trouble, ...result.notes] }, trouble }
  }
  const grid = gridOf(options)
  const { x, cells } = await roundColumns(problem, layout, vt, options, grid)
  if (problem.last) problem.derived.drop(made)
  const result = finish(problem, x, layout, cells, grid, null, [x])
  return { result: { ...result, iterations: 1, notes: [...trouble, ...zeroedNote(gramDiagonal)] }, trouble }
}

/** diag H / 2 for H = 2Σ, where inputs that are always zero have H_jj = 1. `[p]` */
const liveDiagonal = (gramDiagonal: Float32Array) => gramDiagonal.map((value) => (value > 0 ? value : 0.5))

export function zeroedNote(diagonal: Float32Array): string[] {
  const dead = diagonal.reduce((count, value) => count + Number(value <= 0), 0)
  return dead ? [`${dead} of ${diagonal.length} inputs are always zero in the calibration text; their weights are set to zero.`] : []
}

const percent = (share: number) => `${Number((100 * share).toPrecision(3))} %`

/** Vᵀ `[p, p]` with √D on its diagonal (null when no factorization succeeded), and how it was obtained. */
export interface Factor {
  vt: Tensor | null
  /** What was added to the diagonal in the end, as a fraction of its mean. */
  damping: number
  trouble: string[]
  dispose(): void
}

/**
 * Vᵀ of H in processing order (of H / 2, to be exact: V does not feel the factor), once for all linears that share Σ. On the GPU with
 * damping ten times higher on every failure, then in float64 on the host likewise; null when nothing helps.
 * `damped` is diag H / 2 by position, with the reported damping. `method` and `order` are the same for all linears of a run.
 */
export function factor(
  problem: LinearProblem,
  order: Uint32Array,
  damped: (damping: number) => Float64Array,
  asked: number,
  method: string,
): Promise<Factor> {
  return problem.derived.get(`${method} ${asked} ${order}`, async () => {
    const found = await climb(problem, order, damped, asked, method)
    return { ...found, dispose: () => found.vt?.dispose() }
  })
}

async function climb(
  { gpu, gram }: LinearProblem,
  order: Uint32Array,
  damped: (damping: number) => Float64Array,
  asked: number,
  method: string,
): Promise<Omit<Factor, 'dispose'>> {
  const p = order.length
  const ladder = [asked]
  while (ladder.at(-1)! < MOST_DAMPING) ladder.push(Math.min(MOST_DAMPING, 10 * ladder.at(-1)!))
  const raised = (damping: number) =>
    damping > asked
      ? [`Damping was raised from ${percent(asked)} to ${percent(damping)}, because this layer’s inputs are nearly linearly dependent.`]
      : []
  for (const damping of ladder) {
    const vt = await feedback(gpu, { gram, order, diagonal: damped(damping) })
    if (vt) return { vt, damping, trouble: raised(damping) }
  }
  const values = await gpu.read(gram)
  const pace = async () => {
    // Yields to the event loop, so that the job can be cancelled.
    await new Promise((done) => setTimeout(done))
    await gpu.pace()
  }
  for (const damping of ladder) {
    const vt = await feedback64(values, order, damped(damping), pace)
    if (!vt) continue
    const moved = `The factorization failed on the GPU at every damping up to ${percent(MOST_DAMPING)}; it was done in double precision on the CPU, at ${percent(damping)}.`
    // Counted in the progress like GPU work.
    gpu.flops += factorWork(p)
    return { vt: gpu.upload(Float32Array.from(vt), [p, p]), damping, trouble: [moved] }
  }
  const replaced = `The Hessian of this layer cannot be factored, even in double precision; QuantEase, which needs no factorization, was used instead of ${method}.`
  return { vt: null, damping: MOST_DAMPING, trouble: [replaced] }
}

/** The fallback: QuantEase with its defaults, for a layer whose H cannot be factored. */
export function solveQuantease(problem: LinearProblem, given: Options): Promise<QuantizedLinear> {
  const shared = [...gridOptions, ...orderOptions].map(({ key }) => [key, given[key]])
  return quantease.solve(problem, resolveOptions(quantease.options, Object.fromEntries(shared)).options, {})
}

/** Whether grids are computed from the updated weights when the pass reaches their group. */
const moves = ({ groupSize, staticGroups }: GptqOptions) => groupSize !== -1 && !staticGroups

/** Columns of a block; a multiple or a divisor of the group size. */
const blockOf = (options: GptqOptions) => (moves(options) ? Math.max(options.blockSize, options.groupSize) : options.blockSize)

/** The loop over the columns. Returns Ŵ `[p, q]` in processing order and the cells of the grid `[groups, q, 2]`. */
async function roundColumns(
  { gpu, weight, gramDiagonal, halfScales }: LinearProblem,
  layout: Layout,
  vt: Tensor,
  options: GptqOptions,
  grid: Grid,
): Promise<{ x: Tensor; cells: Tensor }> {
  const [p, q] = [weight.rows, weight.cols]
  const { groupSize, groups } = layout
  const clean = withoutDead(gpu, weight, gramDiagonal)
  // As in the published code, ranges of full rows are taken before dead inputs are zeroed, those of groups after.
  const moving = moves(options)
  const cells = moving ? gpu.empty([groups, q, 2]) : grid.make(gpu, options.groupSize === -1 ? weight : clean, layout, halfScales)
  const order = gpu.upload(layout.order, [p])
  const x = gatherRows(gpu, clean, order)
  if (clean !== weight) clean.dispose()
  const block = blockOf(options)
  const pass = new Pass(gpu, layout, x, vt, block)

  /** Grids of the groups that start in columns from .. to, from the weights updated so far. */
  const refreshGrid = (from: number, to: number) => {
    const first = Math.ceil(from / groupSize)
    const last = Math.ceil(to / groupSize)
    if (first >= last) return
    const columns = layout.order.subarray(first * groupSize, last * groupSize)
    const diagonal = Float32Array.from(columns, (j) => gramDiagonal[j])
    const weights = pass.compensated(from, first * groupSize + columns.length, cells)
    const own = weights.view([columns.length, q], (first * groupSize - from) * q)
    const part = grid.make(gpu, own, layoutOf(diagonal, groupSize, false, false), halfScales)
    gpu.copy(part, cells, part.size, 0, first * q * 2)
    part.dispose()
    weights.dispose()
  }

  const before = (from: number, to: number, starts: boolean) => {
    if (moving && options.freshGroups !== starts) refreshGrid(from, to)
  }
  await pass.round(cells, grid, { before })
  for (const tensor of [order, pass, pass.r]) tensor.dispose()
  return { x, cells }
}

/** What the errors of rounded columns add to the columns not yet rounded. */
export class Pass {
  /** W − Ŵ of the columns that are done `[p, q]`, in processing order, zero for the others. */
  readonly r: Tensor
  /** Σ_{j<k} R_j V_jk of the columns k of the block at hand, over the rounded columns j: `[block, q]` */
  readonly #g: Tensor
  readonly #columns: Tensor
  readonly #oneGroup: boolean
  /** Σ_k D_k (Ŵ_k − β_k)² = (W − Ŵ) H (W − Ŵ)ᵀ of every row, over the rounded columns k: `[q]` */
  readonly loss: Tensor
  #b0 = 0

  /** `x` `[p, q]`: W in processing order, replaced by Ŵ in rounded columns. */
  constructor(
    readonly gpu: Device,
    layout: Layout,
    readonly x: Tensor,
    readonly vt: Tensor,
    readonly block: number,
  ) {
    const [p, q] = [x.rows, x.cols]
    this.r = gpu.zeros([p, q])
    this.#g = gpu.zeros([Math.min(block, p), q])
    this.#columns = gpu.upload(columnTable(layout), [p, 2])
    this.#oneGroup = hasWholeBlocks(layout)
    this.loss = gpu.zeros([q])
  }

  /**
   * Rounds all columns. `before` is called with every column block (`starts`) and with every 32 columns, from .. to, before they are
   * rounded. Entries whose bit of `mask` is set are not rounded.
   */
  async round(
    cells: Tensor,
    grid: Grid,
    { before, mask }: { before?: (from: number, to: number, starts: boolean) => void; mask?: Tensor },
  ): Promise<void> {
    const { gpu, block } = this
    const p = this.x.rows
    for (let b0 = 0; b0 < p; b0 += block) {
      const b1 = Math.min(b0 + block, p)
      this.begin(b0)
      before?.(b0, b1, true)
      for (let j0 = b0; j0 < b1; j0 += BLOCK) {
        const width = Math.min(BLOCK, b1 - j0)
        before?.(j0, j0 + width, false)
        walk(gpu, { ...this.state(j0, width), grid: cells, mask }, { j0, at: j0, width }, grid)
        this.spread(j0, width)
        await gpu.pace()
      }
    }
  }

  /** Starts the column block at b0. */
  begin(b0: number): void {
    this.#b0 = b0
    const [p, q] = [this.x.rows, this.x.cols]
    const shape = { m: Math.min(this.block, p - b0), n: q, k: b0, lda: p, ldb: q, ldc: q }
    if (b0) gemm(this.gpu, { a: this.vt, b: this.r, c: this.#g, ...shape, a0: b0 * p })
  }

  /** What `walk` takes, but the grid, for columns of the block. */
  state(j0: number, width: number) {
    return {
      what: this.x,
      r: this.r,
      g: rowsOf(this.#g, { first: j0 - this.#b0, count: width }),
      n: this.vt,
      columns: this.#columns,
      oneGroup: this.#oneGroup,
      objective: this.loss,
      sequential: true,
    }
  }

  /** Adds what `width` columns from j0 on do to the rest of the block. */
  spread(j0: number, width: number): void {
    const end = Math.min(this.#b0 + this.block, this.x.rows)
    const rest = rowsOf(this.#g, { first: j0 - this.#b0, count: end - j0 })
    this.#spread(rowsOf(this.r, { first: j0, count: width }), rest, j0)
  }

  /** Adds what R of the columns from `at` on, `r`, does to the later ones of those whose G is `g`, that of `at` first. */
  #spread(r: Tensor, g: Tensor, at: number): void {
    const [p, q] = [this.x.rows, this.x.cols]
    const width = r.rows
    const from = at + width
    if (g.rows === width) return
    const shape = { m: g.rows - width, n: q, k: width, lda: p, ldb: q, ldc: q }
    gemm(this.gpu, { a: this.vt, b: r, c: g, ...shape, a0: from * p + at, c0: width * q, beta: 1 })
  }

  /**
   * The weights of the columns from .. to of the block, none of them done, as GPTQ has them now: the best ones given the
   * errors so far. A relaxed walk finds them. `[to − from, q]`
   */
  compensated(from: number, to: number, grid: Tensor): Tensor {
    const { gpu } = this
    const q = this.x.cols
    const count = to - from
    const own = (source: Tensor, first: number) => {
      const copy = gpu.empty([count, q])
      gpu.copy(source, copy, copy.size, first * q)
      return copy
    }
    const what = own(this.x, from)
    const g = own(this.#g, from - this.#b0)
    const r = gpu.zeros([count, q])
    for (let j0 = 0; j0 < count; j0 += BLOCK) {
      const width = Math.min(BLOCK, count - j0)
      const at = from + j0
      const rest = rowsOf(g, { first: j0, count: count - j0 })
      const state = { ...this.state(at, width), what, r, g: rowsOf(rest, { first: 0, count: width }), grid }
      // Does not round, so the cells are unused.
      walk(gpu, state, { j0, at, width }, null)
      this.#spread(rowsOf(r, { first: j0, count: width }), rest, at)
    }
    g.dispose()
    r.dispose()
    return what
  }

  /** Does not free `r`. */
  dispose(): void {
    for (const tensor of [this.#g, this.#columns, this.loss]) tensor.dispose()
  }
}

/** Work of `compensated` over all columns, in blocks. */
export const compensatedWork = (q: number, p: number, columns: number) => q * p * (SWEEP_FLOPS + Math.max(0, Math.min(columns, p) - BLOCK))

/** W with the rows of dead inputs set to zero, `[p, q]`; `weight` itself when there are none. */
export function withoutDead(gpu: Device, weight: Tensor, gramDiagonal: Float32Array): Tensor {
  const q = weight.cols
  const dead = [...gramDiagonal.keys()].filter((j) => !(gramDiagonal[j] > 0))
  if (!dead.length) return weight
  const clean = gpu.empty(weight.shape)
  gpu.copy(weight, clean)
  const zeros = gpu.zeros([q])
  for (const j of dead) gpu.copy(zeros, clean, q, 0, j * q)
  zeros.dispose()
  return clean
}
