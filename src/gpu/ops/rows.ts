/** Kernels that take every row of a matrix by itself, or move rows and columns about. */
import type { Device } from '../device.ts'
import { kernelFor } from '../kernel.ts'
import { byRows, panelPairs, type RowPanel, rowsOf } from '../panels.ts'
import type { Tensor } from '../tensor.ts'

export function rmsnorm(gpu: Device, x: Tensor, weight: Tensor, eps: number, y = gpu.empty(x.shape)): Tensor {
  byRows(
    gpu,
    'rmsnorm',
    { x, y },
    { weight },
    ({ count }) => ({ rows: count, cols: x.cols, eps }),
    (rows) => rows,
    {
      flops: (rows) => 4 * rows * x.cols,
    },
  )
  return y
}

export function layernorm(gpu: Device, x: Tensor, weight: Tensor, bias: Tensor, eps: number, y = gpu.empty(x.shape)): Tensor {
  byRows(
    gpu,
    'layernorm',
    { x, y },
    { weight, bias },
    ({ count }) => ({ rows: count, cols: x.cols, eps }),
    (rows) => rows,
    { flops: (rows) => 8 * rows * x.cols },
  )
  return y
}

/** x += bias in every row, in place. */
export function addBias(gpu: Device, x: Tensor, bias: Tensor): void {
  addRows(gpu, x, bias.view([1, bias.size]), { window: 1, from: 0 })
}

/** x[t] += table[from + t mod window], in place; rows past the end of the table (padding) take its last. */
export function addRows(gpu: Device, x: Tensor, table: Tensor, { window, from }: { window: number; from: number }): void {
  const used = table.view([Math.min(table.rows, from + window), x.cols])
  const shape = ({ first, count }: RowPanel) => ({ rows: count, cols: x.cols, first, window, offset: from, count: used.rows })
  byRows(gpu, 'add_rows', { x }, { table: used }, shape, (rows) => (rows * x.cols) / 4)
}

/** Rotates the first dimensions of each head of x `[tokens, heads · d]` in place; `table` holds (cos, sin) `[window, rotating / 2, 2]`. */
export function rope(gpu: Device, x: Tensor, table: Tensor, heads: number, d: number, window: number): void {
  const rotating = 2 * table.shape[1]
  const shape = ({ first, count }: RowPanel) => ({ tokens: count, heads, d, rotating, window, first })
  byRows(gpu, 'rope', { x }, { table }, shape, (rows) => (rows * heads * rotating) / 2)
}

/**
 * Takes the output of a fused projection apart: `x` `[tokens, kvHeads · (heads / kvHeads + 2) · d]` holds per key/value
 * head its query heads, its key and its value.
 * @returns q `[tokens, heads · d]`, k and v `[tokens, kvHeads · d]`
 */
export function splitQkv(gpu: Device, x: Tensor, heads: number, kvHeads: number, d: number): [Tensor, Tensor, Tensor] {
  const [q, k, v] = [heads, kvHeads, kvHeads].map((count) => gpu.empty([x.rows, count * d]))
  const shape = ({ count }: RowPanel) => ({ rows: count, kv: kvHeads, share: heads / kvHeads, d })
  byRows(gpu, 'split_qkv', { x, q, k, v }, {}, shape, (rows) => (rows * x.cols) / 4)
  return [q, k, v]
}

export function transpose(gpu: Device, x: Tensor): Tensor {
  const y = gpu.empty([x.cols, x.rows])
  for (const [from, to] of panelPairs(gpu, x, y)) {
    const shape = { rows: from.count, cols: to.count, row0: from.first, col0: to.first, ldx: x.cols, ldy: x.rows }
    gpu.run1d('transpose', { x: rowsOf(x, from), y: rowsOf(y, to) }, shape, from.count * to.count)
  }
  return y
}

/** `count` columns of x from column `x0` on become those of y from `y0` on; same number of rows, any element type. */
export function copyColumns(gpu: Device, x: Tensor, x0: number, y: Tensor, y0: number, count: number): void {
  const words = { x: x.view(x.shape, 0, 'u32'), y: y.view(y.shape, 0, 'u32') }
  const shape = ({ count: rows }: RowPanel) => ({ rows, cols: count, x0, ldx: x.cols, y0, ldy: y.cols })
  byRows(gpu, 'copy_columns', words, {}, shape, (rows) => rows * count)
}

/** Rows `order` of x: `[order, cols]`. */
export function gatherRows(gpu: Device, x: Tensor, order: Tensor): Tensor {
  const y = gpu.empty([order.size, x.cols])
  gpu.run1d('gather_rows', { x, order, y }, { rows: y.rows, cols: y.cols }, y.size)
  return y
}

/** A matrix `[rows, cols]` cut into panels of whole rows that each fit a binding. */
export interface Panels {
  rows: number
  cols: number
  parts: { first: number; tensor: Tensor }[]
}

/** Rows `ids` of the embedding: `[ids, d]`. */
export function embed(gpu: Device, table: Panels, ids: Uint32Array<ArrayBuffer>): Tensor {
  const index = gpu.upload(ids, [ids.length])
  const y = gpu.empty([ids.length, table.cols])
  for (const { first, tensor } of table.parts) {
    gpu.run1d(
      kernelFor('embed', tensor.dtype),
      { b: tensor, ids: index, y },
      { tokens: ids.length, d: table.cols, first, count: tensor.rows },
      y.size,
    )
  }
  index.dispose()
  return y
}
