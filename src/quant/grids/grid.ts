/**
 * What weights are rounded to. A grid knows its codes, how its kernels round, how its cells are made from weights and fitted
 * to codes, and what they take in a file; solvers ask it and know no more. On the GPU it has a cell for every group and row of
 * W, two numbers of which the first is a scale, `[groups, q, 2]`, made by one kind of grid and read by the kernels of that kind alone.
 */
import type { Device } from '../../gpu/device.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import type { Layout } from '../layout.ts'

/** What a grid is made by. */
export interface GridOptions {
  bits: 2 | 3 | 4 | 8
  groupSize: number
  symmetric: boolean
  /** How the range of a cell is found. */
  grid: 'minmax' | 'mse' | 'weighted'
  /** `GridKind.id`; not given: uniform integers. */
  kind?: string
}

/** Weights and what was made of them, for cells to be fitted to. All in the original order of the inputs. */
export interface Fit {
  gpu: Device
  /** Σ `[p, p]` */
  gram: Tensor
  /** The part of the weights that is on the grid, `[p, q]`. */
  what: Tensor
  /** W less all that stands for it, `[p, q]`. */
  rest: Tensor
  halfScales: boolean
}

export interface Grid extends Readonly<GridOptions> {
  /** `GridKind.id` of the kind that reads codes and cells in a file as this one does: its own, or one with the same values. */
  readonly levels: string
  /** Largest code. */
  readonly most: number
  /** As that of its kind. */
  kernel(name: string): string
  /** The cells of W `[p, q]`, from W itself: `[groups, q, 2]`. `halfScales`: what a checkpoint stores of them is float16 numbers. */
  make(gpu: Device, weight: Tensor, layout: Layout, halfScales: boolean): Tensor
  /** Cells `[groups, q, 2]` with the scale times each of the multiples, side by side: `[groups, multiples · q, 2]`. */
  multiples(gpu: Device, cells: Tensor, multiples: number[], halfScales: boolean): Tensor
  /** Cells of the least error for the codes as they are, a new tensor. Groups are runs of the original inputs. */
  refit(fit: Fit, cells: Tensor, layout: Layout): Promise<Tensor>
  /** Bits that the cells of a linear `[q, p]` take in a file. */
  cellBits(q: number, p: number): { scales: number; zeros: number }
  /** Floating-point operations of making the cells, and of rounding to them and measuring that. */
  work(q: number, p: number): number
  /** Floating-point operations of a refit. */
  refitWork(q: number, p: number): number
}

/** One kind of grid, of any number of bits. */
export interface GridKind {
  id: string
  /** The name by which a kernel runs on such grids: those that include `lib/grid` know a grid by its functions alone. */
  kernel(name: string): string
  of(options: GridOptions): Grid
}

/** Largest code. */
export const maxCode = (bits: number) => 2 ** bits - 1

/** Groups of a row of `p` inputs. */
export const groupsOf = (p: number, groupSize: number) => (groupSize === -1 ? 1 : Math.ceil(p / groupSize))
