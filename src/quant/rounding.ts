/** The final step of every solver: rounding to codes, and measuring the error. */
import type { Device } from '../gpu/device.ts'
import { add, dot, matmul, subtract } from '../gpu/ops.ts'
import type { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { Grid } from './grids/grid.ts'
import type { Layout } from './layout.ts'
import type { LinearProblem, Outliers, QuantizedLinear } from './solver.ts'

/**
 * Rounds `x` (`[p, q]`, processing order) to the grid, whose cells are `[groups, q, 2]`, and returns to the original order; also measures
 * the error. Takes ownership of `cells`. `outliers.h`, in processing order as well, counts as part of the weight; the result has its own.
 * `spent`: disposed as soon as there are codes, since measuring the error takes room.
 */
export function finish(
  problem: LinearProblem,
  x: Tensor,
  layout: Layout,
  cells: Tensor,
  grid: Grid,
  outliers: Outliers | null = null,
  spent: readonly { dispose(): void }[] = [],
): Omit<QuantizedLinear, 'iterations' | 'notes'> {
  const { gpu, weight, gram, halfScales } = problem
  const [p, q] = [weight.rows, weight.cols]
  const codes = gpu.empty([p, q], 'u32')
  const what = gpu.empty([p, q])
  const rest = gpu.empty([p, q])
  const order = gpu.upload(layout.order, [p])
  const group = gpu.upload(
    Uint32Array.from(layout.order, (j) => layout.groupIndex[j]),
    [p],
  )
  const bindings = { x, w: weight, order, group, grid: cells, codes, what, rest }
  gpu.run1d(grid.kernel('encode'), bindings, { q, p, most: grid.most }, p * q)
  let kept: Outliers | null = null
  if (outliers) {
    const h = gpu.empty([p, q])
    gpu.run1d('scatter_rows', { x: outliers.h, order, y: h }, { rows: p, cols: q, half: Number(halfScales) }, p * q)
    gpu.run1d('subtract', { x: rest, y: h }, { n: p * q }, (p * q) / 4)
    kept = { ...outliers, h }
  }
  for (const one of [order, group, ...spent]) one.dispose()
  const error = objective(gpu, rest, gram)
  rest.dispose()
  const { groupSize, groups, groupIndex } = layout
  return { codes, what, grid: cells, groupSize, groups, groupIndex, outliers: kept, error }
}

/** Every weight rounded to the nearest on the grid of a result, its outliers kept: Ŵ + H `[p, q]`, original order. */
export function nearest(
  gpu: Device,
  weight: Tensor,
  { grid: cells, groupIndex, outliers }: Pick<QuantizedLinear, 'grid' | 'groupIndex' | 'outliers'>,
  grid: Grid,
): Tensor {
  const [p, q] = [weight.rows, weight.cols]
  const x = gpu.empty([p, q])
  gpu.copy(weight, x)
  if (outliers) subtract(gpu, x, outliers.h)
  const [codes, what, rest] = [gpu.empty([p, q], 'u32'), gpu.empty([p, q]), gpu.empty([p, q])]
  const order = gpu.upload(
    Uint32Array.from({ length: p }, (_, j) => j),
    [p],
  )
  const group = gpu.upload(Uint32Array.from(groupIndex), [p])
  gpu.run1d(grid.kernel('encode'), { x, w: weight, order, group, grid: cells, codes, what, rest }, { q, p, most: grid.most }, p * q)
  if (outliers) add(gpu, what, outliers.h)
  for (const tensor of [x, codes, rest, order, group]) tensor.dispose()
  return what
}

/** tr(D Σ Dᵀ) for `d` = Dᵀ `[p, q]`: one GEMM, the sum finished in float64. */
export function objective(gpu: Device, d: Tensor, gram: Tensor): Reading<number> {
  const product = matmul(gpu, gram, d)
  const value = dot(gpu, product, d)
  product.dispose()
  return value
}

/** A note on the number of dead inputs (Σ_jj = 0), which never change the error. */
export function deadNote(diagonal: Float32Array): string[] {
  const dead = diagonal.reduce((count, value) => count + Number(value <= 0), 0)
  return dead ? [`${dead} of ${diagonal.length} inputs are always zero in the calibration text; their weights are rounded to nearest.`] : []
}
