/**
 * What weights are rounded to. A grid knows its codes, how its kernels round, how its cells are made from weights, and what
 * they take in a file; solvers ask it and know no more. On the GPU it has a cell (scale, zero) for every group and row of W,
 * `[groups, q, 2]`, made by one kind of grid and read by the kernels of that kind alone.
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
  levels?: string
}

export interface Grid extends Readonly<GridOptions> {
  readonly levels: string
  /** Largest code. */
  readonly most: number
  /** As that of its kind. */
  kernel(name: string): string
  /** The cells of W `[p, q]`, from W itself: `[groups, q, 2]`. `halfScales`: scales are float16 numbers. */
  make(gpu: Device, weight: Tensor, layout: Layout, halfScales: boolean): Tensor
  /** Bits that the cells of a linear `[q, p]` take in a file. */
  cellBits(q: number, p: number): { scales: number; zeros: number }
  /** Floating-point operations of making the cells, and of rounding to them and measuring that. */
  work(q: number, p: number): number
}

/** One kind of grid, of any number of bits. */
export interface GridKind {
  id: string
  /**
   * The name by which a kernel runs on such grids: those that include `lib/grid` (code_of, value_of, quantized, quantized4)
   * round by them.
   */
  kernel(name: string): string
  of(options: GridOptions): Grid
}

/** Largest code. */
export const maxCode = (bits: number) => 2 ** bits - 1

/** Groups of a row of `p` inputs. */
export const groupsOf = (p: number, groupSize: number) => (groupSize === -1 ? 1 : Math.ceil(p / groupSize))
