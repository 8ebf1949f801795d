/**
 * Quantization grids: what weights are rounded to. A grid defines its codes, how kernels round, how its cells are computed from weights
 * and refitted to codes, and their size in a file; solvers use only this interface. On the GPU it has a cell for every group and row of
 * W, `[groups, q, 2]`: two numbers, of which the first is a scale, interpreted only by the kernels of that kind of grid.
 */
import type { Device } from '../../gpu/device.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import type { Layout } from '../layout.ts'

/** Options of a grid. */
export interface GridOptions {
  bits: 2 | 3 | 4 | 5 | 6 | 8
  groupSize: number
  symmetric: boolean
  /** How the range of a cell is found. */
  grid: 'minmax' | 'mse' | 'weighted'
  /** `GridKind.id`; default: uniform integers. */
  kind?: string
  /** The largest absolute weight of all linears that share a scale, of grids that have `spans`; default: of the linear alone. */
  span?: number
}

/** Weights and quantized weights, for a refit of the cells. All in the original order of the inputs. */
export interface Fit {
  gpu: Device
  /** Σ `[p, p]` */
  gram: Tensor
  /** The part of the weights that is on the grid, `[p, q]`. */
  what: Tensor
  /** W minus everything that represents it, `[p, q]`. */
  rest: Tensor
  halfScales: boolean
}

export interface Grid extends Readonly<GridOptions> {
  /** `GridKind.id` of the kind with the same meaning of codes and cells in a file: its own, or an equivalent one. */
  readonly levels: string
  /** Largest code. */
  readonly most: number
  /** Cells have a number in common, which linears with the same inputs share. */
  readonly spans?: boolean
  /** Its kind's shader code. */
  kernel(name: string): string
  /** The cells of W `[p, q]`, from W itself: `[groups, q, 2]`. `halfScales`: scales are rounded to float16, as checkpoints store them. */
  make(gpu: Device, weight: Tensor, layout: Layout, halfScales: boolean): Tensor
  /** Cells `[groups, q, 2]` with the scale times each of the multiples, side by side: `[groups, multiples · q, 2]`. */
  multiples(gpu: Device, cells: Tensor, multiples: number[], halfScales: boolean): Tensor
  /** Cells with the scales of each row times the third of its four numbers, `rows` `[q, 4]`. */
  rescaled(gpu: Device, cells: Tensor, rows: Tensor, halfScales: boolean): Tensor
  /** New cells with the smallest error for fixed codes. Groups are consecutive original inputs. */
  refit(fit: Fit, cells: Tensor, layout: Layout): Promise<Tensor>
  /** Bits that the cells of a linear `[q, p]` take in a file. */
  cellBits(q: number, p: number): { scales: number; zeros: number }
  /** Floating-point operations of making the cells, and of rounding to them and measuring that. */
  work(q: number, p: number): number
  /** Floating-point operations of a refit. */
  refitWork(q: number, p: number): number
}

/** What a kind of grid decides by itself. */
export type Fixed = Partial<Pick<GridOptions, 'bits' | 'groupSize' | 'symmetric' | 'grid'>>

/** One kind of grid, of any number of bits unless it is `fixed`. */
export interface GridKind {
  id: string
  /** Its name, of kinds that are offered. */
  label?: string
  fixed?: Fixed
  /** `Grid.spans` */
  spans?: boolean
  /** Rows of what it takes, and the kind that takes others. */
  divides?: { by: number; fallback: string }
  /** Name of a kernel for this kind of grid; kernels that include `lib/grid` are compiled with its functions. */
  kernel(name: string): string
  of(options: GridOptions): Grid
}

/** Largest code. */
export const maxCode = (bits: number) => 2 ** bits - 1

/** Groups of a row of `p` inputs. */
export const groupsOf = (p: number, groupSize: number) => (groupSize === -1 ? 1 : Math.ceil(p / groupSize))
