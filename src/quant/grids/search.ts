/** Grid search: candidates for shrinking a cell's range below that of its weights. */
import type { Device } from '../../gpu/device.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import type { GridOptions } from './grid.ts'

/**
 * Factors (a, b) for the two ends of a range that a search tries, in this order: one factor for both ends by steps of 1 %, or
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

/** Kernels that search take `constants` and bind `powers`, the table of lib/power.wgsl for the norm with an exponent other than 2. */
export function searchNorm(gpu: Device, grid: GridOptions['grid']): { powers: Tensor; constants: { POWER: number } } {
  const table = () =>
    Uint32Array.from({ length: 5 * 2049 }, (_, at) => Math.round(2 ** (27 + Math.floor(at / 2049) / 5) * (1 + (at % 2049) / 2048) ** 2.4))
  const squares = grid !== 'mse'
  return { powers: squares ? gpu.empty([4], 'u32') : gpu.upload(table(), [5, 2049]), constants: { POWER: Number(!squares) } }
}

/** Operations per weight of a search. */
export const searchFlops = (options: Pick<GridOptions, 'grid' | 'symmetric'>) => shrinks(options).length * candidateFlops(options.grid)

/** Operations per weight and candidate. */
export const candidateFlops = (grid: GridOptions['grid']) => (grid === 'mse' ? 24 : 10)
