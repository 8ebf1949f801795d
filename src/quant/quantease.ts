/**
 * QuantEase (arXiv 2309.01885), Algorithm 1: cyclic coordinate descent over the columns of W on
 *   f(Ŵ) = ‖WX − ŴX‖² = tr((W − Ŵ) Σ (W − Ŵ)ᵀ)
 * each column taking its closed-form minimiser Ŵ_j ← Q(β_j), β_j = Ŵ_j + [(W − Ŵ) Σ]_j / Σ_jj. No inverse, no damping.
 *
 * The columns go in blocks of 32, left-looking: a GEMM forms [(W − Ŵ) Σ] for the block afresh, one kernel walks the
 * block. The iterates are those of the column-by-column algorithm.
 */
import { gatherRows, gemm } from '../gpu/ops.ts'
import { type Layout, deadNote, finish, layoutOf, makeGrid } from './grid.ts'
import { type GridOptions, type LinearProblem, type Solver, type SolverHooks, gridOptions, gridWork, maxCode } from './solver.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { OptionSpec } from '../options.ts'

/** Columns per block; fixed by `quantease_sweep.wgsl`. */
export const BLOCK = 32
/** Operations per weight of the in-block walk: half a block of updates, and the rounding itself. */
const SWEEP_FLOPS = BLOCK + 16
/** Iterations between two reports of the objective; a report waits for the GPU but never inside an iteration. */
const REPORT_EVERY = 5

export const orderOptions: OptionSpec[] = [
  {
    key: 'actOrder',
    flag: 'act-order',
    label: 'Act-order',
    type: 'bool',
    default: false,
    help: 'Process the columns by descending activation size (diagonal of Σ) instead of left to right.',
    cost: 'Free to compute. With groups that are not static, the file needs a group index and runs slower.',
    advanced: true,
  },
  {
    key: 'staticGroups',
    flag: 'static-groups',
    label: 'Static groups',
    type: 'bool',
    default: false,
    help: 'Keep groups as runs of the original columns, also under act-order.',
    cost: 'Free; makes act-order checkpoints as fast as others.',
    advanced: true,
  },
]

const options: OptionSpec[] = [
  ...gridOptions,
  {
    key: 'iterations',
    flag: 'num-iter',
    label: 'Iterations',
    type: 'int',
    default: 30,
    min: 1,
    max: 1000,
    help: 'Sweeps over all columns. 15 come within 1 % of 30.',
    cost: 'Each costs one matrix product of the layer with Σ.',
    symbol: 'T',
  },
  {
    key: 'relax',
    flag: 'relax',
    label: 'Relaxed sweeps',
    type: 'bool',
    default: true,
    help: 'Leave every third sweep up to the 26th unrounded, which helps the descent out of poor minima.',
    cost: 'Free; usually 2 to 12 % less error.',
  },
  ...orderOptions,
]

export interface QuantEaseOptions extends GridOptions {
  iterations: number
  relax: boolean
  actOrder: boolean
  staticGroups: boolean
}

/** Sweep t (from 0) skips rounding iff t mod 3 = 1, t ≤ 25 and it is not the last. */
export const isRelaxed = (t: number, iterations: number) => t % 3 === 1 && t <= 25 && t !== iterations - 1

export const quantease: Solver = {
  id: 'quantease',
  label: 'QuantEase',
  summary:
    'Coordinate descent on the error of the layer’s output: rounds one column at a time, again and again, each time making up for all the others.',
  advice: 'The method to start with: no matrix inverse, so it never breaks down, and it beats RTN and plain GPTQ at 2 to 4 bits.',
  options,
  work: (q, p, given) => gridWork(q, p, given) + (given.iterations as number) * (2 * q * p * p + q * p * SWEEP_FLOPS),
  async solve(problem, given, hooks) {
    const options = given as unknown as QuantEaseOptions
    const { gpu, weight, gramDiagonal } = problem
    const layout = layoutOf(gramDiagonal, options.groupSize, options.actOrder, options.staticGroups)
    const grid = makeGrid(gpu, weight, layout, options, problem.halfScales)
    const what = await descend(problem, layout, grid, options, hooks)
    const result = await finish(problem, what, layout, grid, options.bits)
    what.dispose()
    return { ...result, iterations: options.iterations, notes: deadNote(gramDiagonal) }
  },
}

/** The sweeps. Returns Ŵ `[p, q]` in processing order. */
async function descend(
  { gpu, weight, gram, gramDiagonal }: LinearProblem,
  layout: Layout,
  grid: Tensor,
  { bits, iterations, relax }: QuantEaseOptions,
  { report }: SolverHooks,
): Promise<Tensor> {
  const [p, q] = [weight.rows, weight.cols]
  const order = gpu.upload(layout.order, [p])
  const normalised = gpu.empty([p, p], 'f32', 'The Gram matrix')
  const triangle = gpu.empty([p, BLOCK])
  gpu.run1d('quantease_setup', { sigma: gram, order, n: normalised, triangle }, { p }, p * p)
  const columns = gpu.upload(columnTable(layout, gramDiagonal), [p, 2])
  const what = gatherRows(gpu, weight, order)
  const r = gpu.zeros([p, q])
  const g = gpu.empty([BLOCK, q])
  const objective = gpu.zeros([q])
  const history = gpu.zeros([iterations])
  const state = { what, r, g, triangle, columns, grid, objective }

  let reported = 0
  for (let t = 0; t < iterations; t++) {
    const relaxed = relax && isRelaxed(t, iterations)
    for (let j0 = 0; j0 < p; j0 += BLOCK) {
      const m = Math.min(BLOCK, p - j0)
      gemm(gpu, { a: normalised, b: r, c: g, m, n: q, k: p, lda: p, ldb: q, ldc: q, a0: j0 * p })
      gpu.run1d('quantease_sweep', state, { q, p, j0, most: maxCode(bits), relaxed: Number(relaxed) }, q, { flops: q * m * SWEEP_FLOPS })
      await gpu.pace()
    }
    gpu.run('sum', { x: objective, out: history }, { n: q, index: t }, [1])
    if (report && ((t + 1) % REPORT_EVERY === 0 || t === iterations - 1)) {
      const values = await gpu.read(history)
      report(
        Array.from({ length: t + 1 - reported }, (_, i) => {
          const iteration = reported + i
          // The recurrence starts at 0 and only adds differences: rounding may leave it a hair below.
          return { iteration, value: Math.max(0, values[iteration]), relaxed: relax && isRelaxed(iteration, iterations) }
        }),
      )
      reported = t + 1
    }
  }
  for (const tensor of [order, normalised, triangle, columns, r, g, objective, history]) tensor.dispose()
  return what
}

/** Per processed column: its group, and Σ_jj as bits. */
function columnTable(layout: Layout, diagonal: Float32Array): Uint32Array<ArrayBuffer> {
  const table = new Uint32Array(layout.order.length * 2)
  const floats = new Float32Array(table.buffer)
  layout.order.forEach((column, i) => {
    table[2 * i] = layout.groupIndex[column]
    floats[2 * i + 1] = diagonal[column]
  })
  return table
}
