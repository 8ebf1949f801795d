/**
 * Grids defined by the shader functions of `lib/grid` alone: implementing these is enough for a kind that every solver can use, with
 * range search, multiples of scales and refit.
 */
import type { Device } from '../../gpu/device.ts'
import { kernelVariant } from '../../gpu/kernel.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { byGroup, type Layout } from '../layout.ts'
import { type Fixed, type Grid, type GridKind, type GridOptions, maxCode } from './grid.ts'
import { refitScales, refitWork } from './refit.ts'
import { candidateFlops, searchFlops, searchNorm, shrinks } from './search.ts'

/** What distinguishes one kind from another. */
export interface CellKind {
  id: string
  label?: string
  fixed?: Fixed
  /** The functions of `lib/grid` (shaders/lib/grid.wgsl says which); default: that file unchanged. */
  wgsl?: string
  /** What tells its kernels from others'; default: its own id. Kinds with the same functions share it. */
  variant?: string
  /** `Grid.levels`; default: its own id. */
  levels?: string
  /** `Grid.cellBits` */
  cellBits(q: number, p: number, options: GridOptions): { scales: number; zeros: number }
}

export function cellKind({ id, label, fixed, wgsl, variant = id, levels = id, cellBits }: CellKind): GridKind {
  const kernel = (name: string) => (wgsl === undefined ? name : kernelVariant(name, variant, { 'lib/grid': wgsl }))
  return {
    id,
    label,
    fixed,
    kernel,
    of(given): Grid {
      const options = { ...given, ...fixed }
      const grid: Grid = {
        ...options,
        levels,
        most: maxCode(options.bits),
        kernel,
        make: (gpu, weight, layout, halfScales) => spanning(gpu, grid, weight, layout, halfScales),
        multiples: (gpu, cells, multiples, halfScales) => multiplied(gpu, grid, cells, multiples, halfScales),
        rescaled: (gpu, cells, rows, halfScales) => rescaled(gpu, grid, cells, rows, halfScales),
        refit: (fit, cells, layout) => refitScales(fit, cells, layout, kernel),
        cellBits: (q, p) => cellBits(q, p, options),
        work: (q, p) => q * p * (4 + searchFlops(options)) + 2 * q * p * p,
        refitWork: (q, p) => refitWork(q, p, options.groupSize === -1 ? p : options.groupSize),
      }
      return grid
    },
  }
}

/** Candidates that one dispatch of `grid_search.wgsl` tries. */
const CANDIDATES = 20

/** `Grid.make`: cells that span the weights (grid.wgsl), or the best of smaller ones (grid_search.wgsl). */
function spanning(gpu: Device, grid: Grid, weight: Tensor, layout: Layout, halfScales: boolean): Tensor {
  const [p, q] = [weight.rows, weight.cols]
  const { groups, groupSize: size } = layout
  const order = gpu.upload(byGroup(layout), [p])
  const range = gpu.empty([groups, q, 2])
  const cells = gpu.empty([groups, q, 2])
  const params = { q, p, size, groups, most: grid.most, symmetric: Number(grid.symmetric), half: Number(halfScales) }
  const bindings = { w: weight, order, range, grid: cells }
  gpu.run1d(grid.kernel('grid'), bindings, params, groups * q, { flops: 4 * p * q })
  if (grid.grid !== 'minmax') search(gpu, grid, bindings, params, layout.diagonal)
  order.dispose()
  range.dispose()
  return cells
}

/** Writes the best cell of the shrunk ranges into `grid`. */
function search(
  gpu: Device,
  grid: Grid,
  bindings: { w: Tensor; order: Tensor; range: Tensor; grid: Tensor },
  params: { q: number; p: number; groups: number },
  diagonal: Float32Array,
): void {
  const { q, p, groups } = params
  const pairs = shrinks(grid)
  const padded = Math.ceil(pairs.length / CANDIDATES) * CANDIDATES
  // The last dispatch is padded by repeating the last pair, which cannot win.
  const shrink = gpu.upload(
    Float32Array.from({ length: 2 * padded }, (_, i) => (pairs[i >> 1] ?? pairs.at(-1)!)[i & 1]),
    [padded, 2],
  )
  const weight = gpu.upload(grid.grid === 'mse' ? new Float32Array(p).fill(1) : Float32Array.from(diagonal), [p])
  const least = gpu.upload(new Float32Array(groups * q).fill(3e38), [groups * q])
  const { powers, constants } = searchNorm(gpu, grid.grid)
  // One dispatch for all would keep a weak GPU busy for seconds.
  for (let start = 0; start < padded; start += CANDIDATES) {
    gpu.run1d(grid.kernel('grid_search'), { ...bindings, weight, shrink, powers, least }, { ...params, start }, groups * q, {
      constants,
      flops: CANDIDATES * candidateFlops(grid.grid) * p * q,
    })
  }
  for (const tensor of [shrink, weight, powers, least]) tensor.dispose()
}

/** `Grid.multiples` */
function multiplied(gpu: Device, grid: Grid, cells: Tensor, multiples: number[], halfScales: boolean): Tensor {
  const [groups, q] = cells.shape
  const copies = multiples.length
  const multiple = gpu.upload(Float32Array.from(multiples), [copies])
  const candidates = gpu.empty([groups, copies * q, 2])
  const params = { q, groups, copies, half: Number(halfScales) }
  gpu.run1d(grid.kernel('grid_multiples'), { grid: cells, multiple, candidates }, params, groups * copies * q)
  multiple.dispose()
  return candidates
}

/** `Grid.rescaled` */
function rescaled(gpu: Device, grid: Grid, cells: Tensor, best: Tensor, halfScales: boolean): Tensor {
  const [groups, q] = cells.shape
  const refitted = gpu.empty(cells.shape)
  gpu.run1d(grid.kernel('plus_rescale'), { grid: cells, best, refitted }, { q, groups, half: Number(halfScales) }, groups * q)
  return refitted
}
