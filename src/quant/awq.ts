/**
 * AWQ (arXiv 2306.00978): scales up the weights of inputs that are large on average, so that they are rounded more finely.
 *   c_j = mean|x_j|^α, normalised;   Ŵ = Q(W diag c) diag c⁻¹
 * α is searched jointly for the linears that share an input; c is a transform, which the engine folds into the preceding norm or linear,
 * so that inference costs nothing extra. The scaled weights are rounded to nearest on a clipped range, searched per row and group.
 */
import { type OptionSpec, type OptionsOf, pick } from '../options.ts'
import type { Device } from '../gpu/device.ts'
import { dotParts, gemm, matmul, PARTS } from '../gpu/ops.ts'
import type { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { Grid } from './grids/grid.ts'
import { gridOf } from './grids/index.ts'
import { type Layout, layoutOf } from './layout.ts'
import { deadNote, finish } from './rounding.ts'
import { defineSolver, gridOptions, type LinearProblem, type StageProblem } from './solver.ts'

const ALPHAS = Array.from({ length: 20 }, (_, i) => i / 20)
/** Fractions of the largest weight at which a range may be clipped. */
const KEEPS = Array.from({ length: 10 }, (_, i) => 1 - i / 20)
/** Smallest mean |x_j| relative to the average: a dead input would get the scale 0. */
const LEAST = 1e-4

const awqOptions = [
  ...pick(gridOptions, 'bits', 'groupSize'),
  {
    key: 'clip',
    flag: 'clip',
    label: 'Clip search',
    type: 'bool',
    default: true,
    help: 'Clip the largest weights of a group when that reduces the error, except in query and key projections.',
    cost: 'Costs ten roundings of each layer, cheap with groups; usually a smaller error.',
    idle: [{ key: 'grid', is: ['mse', 'weighted'] }],
  },
  ...pick(gridOptions, 'grid'),
] as const satisfies readonly OptionSpec[]

/** Groups of any size: the options offer some. */
export type AwqOptions = Omit<OptionsOf<typeof awqOptions>, 'groupSize'> & { groupSize: number }

const asymmetric = (options: AwqOptions) => gridOf({ ...options, symmetric: false })

export const awq = defineSolver({
  id: 'awq',
  label: 'AWQ',
  summary: 'Scales up the weights of inputs that are large on average, clips ranges, then rounds to nearest.',
  advice: 'Fast and reliable at 4 bits with groups, and not sensitive to the calibration text; asymmetric grids only. Not for 2 bits.',
  options: awqOptions,
  gridOf: asymmetric,
  work: (q, p, options) => {
    const { groupSize, clip, grid } = options
    const span = groupSize === -1 ? p : Math.min(groupSize, p)
    return asymmetric(options).work(q, p) + (clip && grid === 'minmax' ? KEEPS.length * q * p * (12 + 2 * span) : 0)
  },
  // Clipping costs as many for full rows, and little in groups.
  products: ({ clip, grid, groupSize }) => ALPHAS.length + (clip && grid === 'minmax' && groupSize === -1 ? KEEPS.length : 0),
  transform: {
    async scales(stage, options) {
      const { found } = await searchScale(stage, options)
      return { scales: found.map(({ scale }) => scale) }
    },
    work: (q, p) => ALPHAS.length * q * p * (10 + 2 * p),
  },
  async solve(problem, options) {
    const { gramDiagonal } = problem
    const layout = layoutOf(gramDiagonal, options.groupSize, false, true)
    const round = options.grid === 'minmax' ? roundClipped : roundSearched
    return { ...(await round(problem, layout, options)), iterations: 0, notes: deadNote(gramDiagonal) }
  },
})

async function roundClipped(problem: LinearProblem, layout: Layout, options: AwqOptions) {
  const { gpu, weight } = problem
  const clip = await searchClip(problem, layout, options)
  const x = gpu.empty(weight.shape)
  const grid = asymmetric(options)
  const cells = gpu.empty([layout.groups, weight.cols, 2])
  const shape = shapeOf(problem, weight, layout, grid)
  gpu.run1d(grid.kernel('awq_grid'), { w: weight, clip, x, grid: cells }, shape, cells.size / 2, { flops: 4 * weight.size })
  return finish(problem, x, layout, cells, grid, null, [clip, x])
}

/** The grid search also shrinks ranges; clipping in addition would ignore the error of what it cuts off. */
function roundSearched(problem: LinearProblem, layout: Layout, options: AwqOptions) {
  const grid = asymmetric(options)
  const cells = grid.make(problem.gpu, problem.weight, layout, problem.halfScales)
  return finish(problem, problem.weight, layout, cells, grid)
}

type Runs = Pick<Layout, 'groupSize' | 'groups'>

const shapeOf = ({ halfScales }: { halfScales: boolean }, weight: Tensor, { groupSize, groups }: Runs, { most }: Grid) => ({
  q: weight.cols,
  p: weight.rows,
  size: groupSize,
  groups,
  most,
  half: Number(halfScales),
})

/** c for one α, normalised to max c · min c = 1. */
function scaleFor(meanAbs: Float32Array, alpha: number): Float32Array<ArrayBuffer> {
  const average = meanAbs.reduce((sum, a) => sum + a, 0) / meanAbs.length
  if (average <= 0) return new Float32Array(meanAbs.length).fill(1)
  const c = Float64Array.from(meanAbs, (a) => Math.max(a, LEAST * average) ** alpha)
  const middle = Math.sqrt(Math.max(...c) * Math.min(...c))
  return Float32Array.from(c, (value) => value / middle)
}

/** The α of least output error, summed over the linears; α = 0 changes nothing. */
export async function searchScale(stage: StageProblem, options: AwqOptions) {
  const { gpu, weights, gram, meanAbs } = stage
  const p = gram.rows
  const groupSize = options.groupSize === -1 ? p : options.groupSize
  const runs = { groupSize, groups: Math.ceil(p / groupSize) }
  const grid = asymmetric(options)
  const parts = gpu.empty([ALPHAS.length * weights.length, PARTS])
  for (const [i, alpha] of ALPHAS.entries()) {
    const c = gpu.upload(scaleFor(meanAbs, alpha), [p])
    for (const [k, weight] of weights.entries()) {
      const d = residual(gpu, stage, weight, c, 1, runs, grid)
      const product = matmul(gpu, gram, d)
      dotParts(gpu, product, d, parts.view([PARTS], (i * weights.length + k) * PARTS))
      for (const tensor of [d, product]) tensor.dispose()
      await gpu.pace()
    }
    c.dispose()
  }
  const sums = gpu.read(parts) as Reading<Float32Array>
  parts.dispose()
  const each = weights.length * PARTS
  const found = sums.map((all) => {
    const errors = ALPHAS.map((_, i) => all.subarray(i * each, (i + 1) * each).reduce((sum, part) => sum + part, 0))
    const best = errors.indexOf(Math.min(...errors))
    return { alpha: ALPHAS[best], scale: scaleFor(meanAbs, ALPHAS[best]), errors }
  })
  return { found }
}

/** Thresholds m `[groups, q]`: weights of a group are clamped to ±m. Chosen per group by the error dᵀ Σ[g, g] d. */
export async function searchClip(problem: LinearProblem, layout: Runs, options: AwqOptions): Promise<Tensor> {
  const { gpu, weight, gram } = problem
  const cells = layout.groups * weight.cols
  const clip = gpu.upload(new Float32Array(cells).fill(3e38), [layout.groups, weight.cols])
  if (!options.clip || problem.scoring) return clip
  const least = gpu.upload(new Float32Array(cells).fill(3e38), [cells])
  const ones = gpu.upload(new Float32Array(weight.rows).fill(1), [weight.rows])
  const grid = asymmetric(options)
  const shape = shapeOf(problem, weight, layout, grid)
  for (const keep of KEEPS) {
    const d = residual(gpu, problem, weight, ones, keep, layout, grid)
    const product = groupProducts(gpu, gram, d, layout.groupSize)
    gpu.run1d('awq_clip', { w: weight, d, product, least, clip }, { ...shape, keep }, cells, { flops: 4 * weight.size })
    for (const tensor of [d, product]) tensor.dispose()
    await gpu.pace()
  }
  for (const tensor of [least, ones]) tensor.dispose()
  return clip
}

function residual(gpu: Device, rounding: { halfScales: boolean }, w: Tensor, c: Tensor, keep: number, runs: Runs, grid: Grid) {
  const d = gpu.empty(w.shape)
  const cells = runs.groups * w.cols
  gpu.run1d(grid.kernel('awq_residual'), { w, c, d }, { ...shapeOf(rounding, w, runs, grid), keep }, cells, { flops: 8 * w.size })
  return d
}

/** Σ[g, g] d[g] for each run g of `size` inputs, the last of which may be short. */
function groupProducts(gpu: Device, gram: Tensor, d: Tensor, size: number): Tensor {
  const [p, q] = [d.rows, d.cols]
  const product = gpu.empty([p, q])
  const some = (first: number, size: number, outer: number) =>
    gemm(gpu, {
      a: gram,
      b: d,
      c: product,
      m: size,
      n: q,
      k: size,
      // Σ is symmetric; this way any size will do.
      ta: true,
      lda: p,
      ldb: q,
      ldc: q,
      a0: first * (p + 1),
      b0: first * q,
      c0: first * q,
      batch: { outer, inner: 1, share: 1, a: [size * (p + 1), 0], b: [size * q, 0], c: [size * q, 0] },
    })
  const whole = Math.floor(p / size)
  if (whole) some(0, size, whole)
  if (p % size) some(whole * size, p % size, 1)
  return product
}
