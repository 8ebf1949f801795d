/** Grids, processing order, and the way from real weights to codes: shared by all solvers. */
import type { Gpu } from '../gpu/device.ts'
import { dot, matmul } from '../gpu/ops.ts'
import type { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import {
  type GridOptions,
  type LinearProblem,
  type Outliers,
  type QuantizedLinear,
  candidateFlops,
  maxCode,
  searchNorm,
  shrinks,
} from './solver.ts'

/** Which group each column belongs to, and the order in which columns are processed. */
export interface Layout {
  /** Column processed i-th. `[p]` */
  order: Uint32Array<ArrayBuffer>
  /** Group of column j, in the original order. `[p]` */
  groupIndex: Int32Array
  groupSize: number
  groups: number
  /** Σ_jj of column j, in the original order. */
  diagonal: Float32Array
}

/**
 * Order by descending Σ_jj (stable) under act-order; groups are runs of the original columns when `staticGroups`, else
 * runs of the processing order.
 */
export function layoutOf(diagonal: Float32Array, groupSize: number, actOrder: boolean, staticGroups: boolean): Layout {
  const p = diagonal.length
  const order = Uint32Array.from(diagonal, (_, j) => j)
  if (actOrder) order.sort((i, j) => diagonal[j] - diagonal[i] || i - j)
  const size = groupSize === -1 ? p : groupSize
  const groupIndex = new Int32Array(p)
  for (let i = 0; i < p; i++) groupIndex[staticGroups ? i : order[i]] = Math.floor(i / size)
  return { order, groupIndex, groupSize: size, groups: Math.ceil(p / size), diagonal }
}

/** Columns sorted by group: runs of this list are the groups. */
export function byGroup({ groupIndex }: Layout): Uint32Array<ArrayBuffer> {
  return Uint32Array.from(groupIndex, (_, j) => j).sort((i, j) => groupIndex[i] - groupIndex[j] || i - j)
}

/** Candidates that one dispatch of `grid_search.wgsl` tries. */
const CANDIDATES = 20

/** (scale, zero) of every group and row of W, from W itself. Returns `[groups, q, 2]`. */
export function makeGrid(gpu: Gpu, weight: Tensor, layout: Layout, options: GridOptions, halfScales: boolean): Tensor {
  const [p, q] = [weight.rows, weight.cols]
  const cells = layout.groups * q
  const order = gpu.upload(byGroup(layout), [p])
  const range = gpu.empty([layout.groups, q, 2])
  const grid = gpu.empty([layout.groups, q, 2])
  const params = {
    q,
    p,
    size: layout.groupSize,
    groups: layout.groups,
    most: maxCode(options.bits),
    symmetric: Number(options.symmetric),
    half: Number(halfScales),
  }
  gpu.run1d('grid', { w: weight, order, range, grid }, params, cells, { flops: 4 * p * q })
  if (options.grid !== 'minmax') {
    const pairs = shrinks(options)
    const padded = Math.ceil(pairs.length / CANDIDATES) * CANDIDATES
    // The last dispatch is filled up with the last pair: repeated, it cannot win.
    const shrink = gpu.upload(
      Float32Array.from({ length: 2 * padded }, (_, i) => (pairs[i >> 1] ?? pairs.at(-1)!)[i & 1]),
      [padded, 2],
    )
    const mse = options.grid === 'mse'
    const columns = gpu.upload(mse ? new Float32Array(p).fill(1) : Float32Array.from(layout.diagonal), [p])
    const least = gpu.upload(new Float32Array(cells).fill(3e38), [cells])
    const { powers, constants } = searchNorm(gpu, options.grid)
    const bindings = { w: weight, order, weight: columns, range, shrink, powers, least, grid }
    // One dispatch for all would keep a weak GPU busy for seconds.
    for (let start = 0; start < padded; start += CANDIDATES) {
      gpu.run1d('grid_search', bindings, { ...params, start }, cells, {
        constants,
        flops: CANDIDATES * candidateFlops(options.grid) * p * q,
      })
    }
    for (const tensor of [shrink, columns, powers, least]) tensor.dispose()
  }
  order.dispose()
  range.dispose()
  return grid
}

/**
 * Rounds `x` (`[p, q]`, processing order) to the grid and goes back to the original order; also measures the error.
 * Takes over `grid`. `outliers.h`, in processing order as well, counts as part of the weight; the result has its own.
 */
export function finish(
  problem: LinearProblem,
  x: Tensor,
  layout: Layout,
  grid: Tensor,
  bits: number,
  outliers: Outliers | null = null,
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
  gpu.run1d('encode', { x, w: weight, order, group, grid, codes, what, rest }, { q, p, most: maxCode(bits) }, p * q)
  let kept: Outliers | null = null
  if (outliers) {
    const h = gpu.empty([p, q])
    gpu.run1d('scatter_rows', { x: outliers.h, order, y: h }, { rows: p, cols: q, half: Number(halfScales) }, p * q)
    gpu.run1d('subtract', { x: rest, y: h }, { n: p * q }, (p * q) / 4)
    kept = { ...outliers, h }
  }
  const error = objective(gpu, rest, gram)
  for (const tensor of [rest, order, group]) tensor.dispose()
  const { groupSize, groups, groupIndex } = layout
  return { codes, what, grid, groupSize, groups, groupIndex, outliers: kept, error }
}

/** tr(D Σ Dᵀ) for `d` = Dᵀ `[p, q]`: one GEMM, the sum finished in float64. */
export function objective(gpu: Gpu, d: Tensor, gram: Tensor): Reading<number> {
  const product = matmul(gpu, gram, d)
  const value = dot(gpu, product, d)
  product.dispose()
  return value
}

/** Dead inputs (Σ_jj = 0): they never change the error, and a result should say how many there were. */
export function deadNote(diagonal: Float32Array): string[] {
  const dead = diagonal.reduce((count, value) => count + Number(value <= 0), 0)
  return dead ? [`${dead} of ${diagonal.length} inputs are always zero in the calibration text; their weights are rounded to nearest.`] : []
}
