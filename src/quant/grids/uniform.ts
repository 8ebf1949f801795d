/**
 * Uniform integers: W = scale · (code − zero), codes 0 .. 2^bits − 1, the zero point one of them. The range is that of the
 * weights (grid.wgsl), or searched in smaller ones (grid_search.wgsl).
 */
import type { Device } from '../../gpu/device.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { byGroup, type Layout } from '../layout.ts'
import { type GridKind, type GridOptions, groupsOf, maxCode } from './grid.ts'

export const uniform: GridKind = {
  id: 'uniform',
  // The kernels as they stand.
  kernel: (name) => name,
  of: (options) => ({
    ...options,
    levels: 'uniform',
    most: maxCode(options.bits),
    kernel: uniform.kernel,
    make: (gpu, weight, layout, halfScales) => makeCells(gpu, weight, layout, options, halfScales),
    cellBits(q, p) {
      const cells = q * groupsOf(p, options.groupSize)
      // A symmetric grid has its zero point in the middle: there is nothing to store.
      return { scales: 16 * cells, zeros: options.symmetric ? 0 : options.bits * cells }
    },
    work: (q, p) => q * p * (4 + shrinks(options).length * candidateFlops(options.grid)) + 2 * q * p * p,
  }),
}

/**
 * Shrunk ranges (a·lo, b·hi) that a search of the grid tries, in this order: one factor for both ends by steps of 1 %, or
 * one for each end by steps of 5 %. A symmetric grid has one range to shrink.
 */
export function shrinks({ grid, symmetric }: Pick<GridOptions, 'grid' | 'symmetric'>): [a: number, b: number][] {
  const steps = (count: number, of: number) => Array.from({ length: count }, (_, i) => (of - i) / of)
  const both = (f: number): [number, number] => [f, f]
  if (grid === 'minmax') return []
  if (grid === 'mse') return steps(80, 100).map(both)
  const ends = steps(17, 20)
  return symmetric ? ends.map(both) : ends.flatMap((a) => ends.map((b): [number, number] => [a, b]))
}

/** Kernels that search take `constants` and bind `powers`, the table of lib/power.wgsl for the norm that is no square. */
export function searchNorm(gpu: Device, grid: GridOptions['grid']): { powers: Tensor; constants: { POWER: number } } {
  const table = () =>
    Uint32Array.from({ length: 5 * 2049 }, (_, at) => Math.round(2 ** (27 + Math.floor(at / 2049) / 5) * (1 + (at % 2049) / 2048) ** 2.4))
  const squares = grid !== 'mse'
  return { powers: squares ? gpu.empty([4], 'u32') : gpu.upload(table(), [5, 2049]), constants: { POWER: Number(!squares) } }
}

/** Operations per weight and candidate of a search. */
export const candidateFlops = (grid: GridOptions['grid']) => (grid === 'mse' ? 24 : 10)

/** Candidates that one dispatch of `grid_search.wgsl` tries. */
const CANDIDATES = 20

function makeCells(gpu: Device, weight: Tensor, layout: Layout, options: GridOptions, halfScales: boolean): Tensor {
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
