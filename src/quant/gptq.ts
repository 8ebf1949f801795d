/**
 * GPTQ (Frantar et al., arXiv 2210.17323, Algorithm 1): one pass over the columns, each rounded in turn, its error spread
 * over the columns still to come by the factor U of the inverse, H⁻¹ = UᵀU:
 *   Ŵ_j = Q(W_j),  e_j = (W_j − Ŵ_j) / U_jj,  W_k −= e_j U_jk  for k > j
 * in blocks of 32 columns by one kernel, inside blocks of `blockSize` columns by GEMMs.
 */
import type { Gpu } from '../gpu/device.ts'
import { factorWork, inverseFactor, inverseFactor64 } from '../gpu/linalg.ts'
import { gatherRows, gemm } from '../gpu/ops.ts'
import { elementsOf } from '../gpu/panels.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { type OptionSpec, type Options, resolveOptions } from '../options.ts'
import { finish, type Layout, layoutOf, makeGrid } from './grid.ts'
import { orderOptions, quantease } from './quantease.ts'
import { type GridOptions, gridOptions, gridWork, type LinearProblem, maxCode, type QuantizedLinear, type Solver } from './solver.ts'

/** Columns that one kernel walks; fixed by `gptq_sweep.wgsl`. */
const BLOCK = 32
/** Operations per weight of that walk: half a block of updates, and the rounding itself. */
const SWEEP_FLOPS = BLOCK + 16
/** The most damping that is tried before the factorization is given up, as a share of the mean diagonal. */
const MOST_DAMPING = 1
/** Inputs up to which the host's float64 factor fits beside everything else: two matrices, 256 MiB. */
const MOST_ON_HOST = 4096

export const dampingOption: OptionSpec = {
  key: 'damping',
  flag: 'percdamp',
  label: 'Damping',
  type: 'number',
  default: 0.01,
  min: 0.0001,
  max: 1,
  help: 'How much is added to the diagonal of Σ, as a share of its mean, so that it can be inverted.',
  cost: 'Free. Where it is too little it is raised tenfold, with a note on that layer.',
  advanced: true,
}

export const gptqOptions: OptionSpec[] = [
  ...gridOptions,
  ...orderOptions,
  dampingOption,
  {
    key: 'blockSize',
    flag: 'blocksize',
    label: 'Block size',
    type: 'choice',
    default: 128,
    choices: [32, 64, 128, 256, 512, 1024].map((value) => ({ value, label: String(value) })),
    help: 'Columns whose errors are gathered before one matrix product spreads them over the rest.',
    cost: 'Changes the speed, hardly the result.',
    advanced: true,
  },
  {
    key: 'freshGroups',
    flag: 'fresh-groups',
    label: 'Fresh groups',
    type: 'bool',
    default: true,
    help: 'Take the range of each group from weights that carry all errors so far; off, as in the published code, only those of earlier blocks.',
    cost: 'Free; a smaller error where groups are smaller than a block.',
    advanced: true,
  },
]

export interface GptqOptions extends GridOptions {
  actOrder: boolean
  staticGroups: boolean
  damping: number
  blockSize: number
  freshGroups: boolean
}

export const gptq: Solver = {
  id: 'gptq',
  label: 'GPTQ',
  summary: 'Rounds the columns one after the other in a single pass, each time spreading the error over the columns still to come.',
  advice: 'Fast and widely used; switch on act-order, which often brings it level with QuantEase at 3 and 4 bits.',
  options: gptqOptions,
  work: (q, p, given) => gridWork(q, p, given) + factorWork(p) + q * p * (p - BLOCK + SWEEP_FLOPS),
  sharedWork: factorWork,
  solve: async (problem, given) => (await solveGptq(problem, given)).result,
}

/** GPTQ's result, and those of its notes that tell of trouble with the factorization. */
export async function solveGptq(problem: LinearProblem, given: Options): Promise<{ result: QuantizedLinear; trouble: string[] }> {
  const options = given as unknown as GptqOptions
  const { gramDiagonal } = problem
  const diagonal = liveDiagonal(gramDiagonal)
  const layout = { ...layoutOf(diagonal, options.groupSize, options.actOrder, options.staticGroups), diagonal: gramDiagonal }
  const mean = diagonal.reduce((sum, value) => sum + value, 0) / diagonal.length
  const damped = (damping: number) => Float64Array.from(layout.order, (j) => diagonal[j] + damping * mean)
  const { ut, trouble } = await factor(problem, layout.order, damped, options.damping, 'GPTQ')
  if (!ut) {
    const result = await solveQuantease(problem, given)
    return { result: { ...result, notes: [...trouble, ...result.notes] }, trouble }
  }
  const { x, grid } = await roundColumns(problem, layout, ut, options)
  const result = await finish(problem, x, layout, grid, options.bits)
  x.dispose()
  return { result: { ...result, iterations: 1, notes: [...trouble, ...zeroedNote(gramDiagonal)] }, trouble }
}

/** diag H / 2 for H = 2Σ, where inputs that are always zero have H_jj = 1. `[p]` */
const liveDiagonal = (gramDiagonal: Float32Array) => gramDiagonal.map((value) => (value > 0 ? value : 0.5))

export function zeroedNote(diagonal: Float32Array): string[] {
  const dead = diagonal.reduce((count, value) => count + Number(value <= 0), 0)
  return dead ? [`${dead} of ${diagonal.length} inputs are always zero in the calibration text; their weights are set to zero.`] : []
}

const percent = (share: number) => `${Number((100 * share).toPrecision(3))} %`

/** Uᵀ `[p, p]`, null when nothing helped, and what it took to get it. */
interface Factor {
  ut: Tensor | null
  trouble: string[]
  dispose(): void
}

/**
 * Uᵀ of H in processing order (of H / 2, to be exact: GPTQ does not feel the factor), once for all linears that share Σ. On
 * the GPU with damping ten times higher on every failure, then in float64 on the host likewise; null when nothing helps.
 * `damped` is diag H / 2 by position, as damped as told. `method` and `order` are the same for all linears of a run.
 */
export function factor(
  problem: LinearProblem,
  order: Uint32Array,
  damped: (damping: number) => Float64Array,
  asked: number,
  method: string,
): Promise<Factor> {
  return problem.derived.get(`${method} ${asked} ${order}`, async () => {
    const { ut, trouble } = await climb(problem, order, damped, asked, method)
    return { ut, trouble, dispose: () => ut?.dispose() }
  })
}

async function climb(
  { gpu, gram }: LinearProblem,
  order: Uint32Array,
  damped: (damping: number) => Float64Array,
  asked: number,
  method: string,
): Promise<Pick<Factor, 'ut' | 'trouble'>> {
  const p = order.length
  const ladder = [asked]
  while (ladder.at(-1)! < MOST_DAMPING) ladder.push(Math.min(MOST_DAMPING, 10 * ladder.at(-1)!))
  const raised = (damping: number) =>
    damping > asked
      ? [`Damping was raised from ${percent(asked)} to ${percent(damping)}, because this layer’s inputs nearly determine each other.`]
      : []
  // A software adapter runs on the processor too, and there float64 is the faster of the two (`npm run bench` shows both).
  const hostFirst = gpu.info.kind === 'software' && p <= MOST_ON_HOST
  for (const damping of hostFirst ? [] : ladder) {
    const ut = await inverseFactor(gpu, { gram, order, diagonal: damped(damping) })
    if (ut) return { ut, trouble: raised(damping) }
  }
  const values = await gpu.read(gram)
  const pace = async () => {
    // Lets messages in, such as the one that cancels.
    await new Promise((done) => setTimeout(done))
    await gpu.pace()
  }
  for (const damping of ladder) {
    const ut = await inverseFactor64(values, order, damped(damping), pace)
    if (!ut) continue
    const moved = `The factorization failed on the GPU at every damping up to ${percent(MOST_DAMPING)}; it was done in double precision on the processor, at ${percent(damping)}.`
    // Progress counts it like work of the GPU.
    gpu.flops += factorWork(p)
    return { ut: gpu.upload(Float32Array.from(ut), [p, p]), trouble: hostFirst ? raised(damping) : [moved] }
  }
  const replaced = `This layer’s inputs admit no factorization, even in double precision; QuantEase, which needs none, took the place of ${method}.`
  return { ut: null, trouble: [replaced] }
}

/** QuantEase with its defaults, for a layer whose H cannot be factored. */
export function solveQuantease(problem: LinearProblem, given: Options): Promise<QuantizedLinear> {
  const shared = [...gridOptions, ...orderOptions].map(({ key }) => [key, given[key]])
  return quantease.solve(problem, resolveOptions(quantease.options, Object.fromEntries(shared)).options, {})
}

/** The loop over the columns. Returns Ŵ `[p, q]` in processing order and the grid `[groups, q, 2]`. */
async function roundColumns(
  { gpu, weight, gramDiagonal, halfScales }: LinearProblem,
  layout: Layout,
  ut: Tensor,
  options: GptqOptions,
): Promise<{ x: Tensor; grid: Tensor }> {
  const [p, q] = [weight.rows, weight.cols]
  const { groupSize, groups } = layout
  const clean = withoutDead(gpu, weight, gramDiagonal)
  // Ranges of whole rows are taken before dead inputs are zeroed, those of groups after: as the published code does.
  const moving = options.groupSize !== -1 && !options.staticGroups
  const grid = moving ? gpu.empty([groups, q, 2]) : makeGrid(gpu, options.groupSize === -1 ? weight : clean, layout, options, halfScales)
  const order = gpu.upload(layout.order, [p])
  const x = gatherRows(gpu, clean, order)
  if (clean !== weight) clean.dispose()
  const group = gpu.upload(
    Uint32Array.from(layout.order, (j) => layout.groupIndex[j]),
    [p],
  )
  const e = gpu.empty([Math.min(options.blockSize, p), q])

  /** Grids of the groups that start in columns from .. to, from the weights as they are now. */
  const refreshGrid = (from: number, to: number) => {
    const first = Math.ceil(from / groupSize)
    const last = Math.ceil(to / groupSize)
    if (first >= last) return
    const columns = layout.order.subarray(first * groupSize, last * groupSize)
    const run = layoutOf(
      Float32Array.from(columns, (j) => gramDiagonal[j]),
      groupSize,
      false,
      false,
    )
    const part = makeGrid(gpu, x.view([columns.length, q], first * groupSize * q), run, options, halfScales)
    gpu.copy(part, grid, part.size, 0, first * q * 2)
    part.dispose()
  }
  /** W[from .. to] −= Σ_j U[j, from .. to] e_j over the columns j = j0 .. j1 of the block that starts at b0. */
  const spread = (b0: number, j0: number, j1: number, from: number, to: number) => {
    if (from >= to) return
    const shape = { m: to - from, n: q, k: j1 - j0, lda: p, ldb: q, ldc: q }
    gemm(gpu, { a: ut, b: e, c: x, ...shape, a0: from * p + j0, b0: (j0 - b0) * q, c0: from * q, alpha: -1, beta: 1 })
  }

  for (let b0 = 0; b0 < p; b0 += options.blockSize) {
    const b1 = Math.min(b0 + options.blockSize, p)
    if (moving && !options.freshGroups) refreshGrid(b0, b1)
    for (let j0 = b0; j0 < b1; j0 += BLOCK) {
      const j1 = Math.min(j0 + BLOCK, b1)
      if (moving && options.freshGroups) refreshGrid(j0, j1)
      const rows = elementsOf(gpu, ut, j0 * p, j1 * p)
      const place = { q, p, j0, u0: j0 * p - rows.start, e0: j0 - b0, most: maxCode(options.bits) }
      gpu.run1d('gptq_sweep', { x, ut: rows.tensor, group, grid, e }, place, q, {
        flops: q * (j1 - j0) * SWEEP_FLOPS,
      })
      spread(b0, j0, j1, j1, b1)
      await gpu.pace()
    }
    spread(b0, b0, b1, b1, p)
    await gpu.pace()
  }
  for (const tensor of [order, group, e]) tensor.dispose()
  return { x, grid }
}

/** W with the rows of dead inputs set to zero, `[p, q]`: `weight` itself when there are none. */
export function withoutDead(gpu: Gpu, weight: Tensor, gramDiagonal: Float32Array): Tensor {
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
