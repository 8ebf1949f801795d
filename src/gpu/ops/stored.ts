/** Conversions between stored weights and f32. */
import type { Device } from '../device.ts'
import { kernelFor } from '../kernel.ts'
import { byRows, elementsOf, rowPanels, rowsOf } from '../panels.ts'
import { elementBytes, type HalfType, isHalf, type Tensor } from '../tensor.ts'

export type StoredDType = 'F32' | 'F16' | 'BF16'

/** The element type in which stored weights of these extents can be multiplied as they are; f32: they have to be converted. */
export function heldAs(dtype: StoredDType, rows: number, cols: number): 'f32' | HalfType {
  if (dtype === 'F32' || rows % 4 || cols % 4) return 'f32'
  return dtype === 'BF16' ? 'bf16' : 'f16'
}

/** Weights in f32: x itself where it is, else a tensor of the caller's. */
export function inFloats(gpu: Device, x: Tensor): Tensor {
  if (!isHalf(x.dtype)) return x
  const y = gpu.empty(x.shape, 'f32', x.label)
  const name = kernelFor('widen', x.dtype)
  for (const panel of rowPanels(gpu, x.rows, [x.cols, x.cols / 2])) {
    const [b, to] = [rowsOf(x, panel), rowsOf(y, panel)]
    gpu.run1d(name, { b, y: to }, { n: b.size / 4 }, b.size / 4)
  }
  return y
}

/**
 * Weights as stored to `out` (`[rows, cols]`, or `[cols, rows]` when transposed), of f32 or as `heldAs` says, `raw` holding the rows from
 * `row0` on. `bad[0]` counts the Inf and NaN met.
 */
export function convert(
  gpu: Device,
  raw: Tensor,
  dtype: StoredDType,
  out: Tensor,
  {
    rows,
    cols,
    row0,
    totalRows,
    transposed,
    bad,
  }: { rows: number; cols: number; row0: number; totalRows: number; transposed: boolean; bad: Tensor },
): void {
  const kind = { BF16: 0, F16: 1, F32: 2 }[dtype]
  const half = isHalf(out.dtype)
  // The columns (or rows, when not transposed) that each panel of `out` takes.
  for (const { first, count } of rowPanels(gpu, out.rows, [((out.size / out.rows) * elementBytes(out.dtype)) / 4])) {
    const y = rowsOf(out, { first, count })
    const from = transposed ? { row: 0, col: first } : { row: Math.max(0, first - row0), col: 0 }
    const some = transposed ? { rows, cols: count } : { rows: Math.min(rows, first + count - row0) - from.row, cols }
    if (some.rows <= 0) continue
    const place = { to_row: transposed ? row0 : row0 + from.row - first, total_rows: totalRows, kind, transposed: Number(transposed) }
    const shape = { ...some, row0: from.row, col0: from.col, ld: cols }
    const items = some.rows * some.cols
    gpu.run1d(half ? 'stored' : 'convert', { x: raw, y, bad }, { ...shape, ...place }, half ? items / 2 : items)
  }
}

/** Codes `[p, q]` u32 as a stream of `bits` each down the inputs, one stream per output: `[ceil(p·bits/32), q]` u32. */
export function packCodes(gpu: Device, codes: Tensor, bits: number): Tensor {
  const [p, q] = [codes.rows, codes.cols]
  const packed = gpu.empty([Math.ceil((p * bits) / 32), q], 'u32')
  // 32 codes fill whole words, whatever their bits.
  for (const panel of rowPanels(gpu, p, [q], 32)) {
    const first = (panel.first / 32) * bits
    const words = Math.ceil((panel.count * bits) / 32)
    const to = elementsOf(gpu, packed, first * q, (first + words) * q)
    const shape = { q, p: panel.count, bits, words, start: first * q - to.start }
    gpu.run1d('pack', { codes: rowsOf(codes, panel), packed: to.tensor }, shape, words * q)
  }
  return packed
}

/**
 * What `kernel` makes of code and cell, scale · (code − zero) by `unpack` itself; input-major `[p, q]` f32, from host arrays: codes as `packCodes` leaves them, the grid
 * `[groups, q, 2]`, the group of each input `[p]`.
 */
export function unpack(
  gpu: Device,
  linear: { bits: number; q: number; p: number; groups: number; codes: Uint32Array; grid: Float32Array; groupIndex: Int32Array },
  kernel: string,
): Tensor {
  const { bits, q, p, groups } = linear
  const packed = gpu.upload(linear.codes as Uint32Array<ArrayBuffer>, [linear.codes.length])
  const group = gpu.upload(Uint32Array.from(linear.groupIndex), [p])
  const grid = gpu.upload(linear.grid as Float32Array<ArrayBuffer>, [groups, q, 2])
  const w = gpu.empty([p, q])
  byRows(
    gpu,
    kernel,
    { w },
    { packed, group, grid },
    ({ first, count }) => ({ q, rows: count, bits, row0: first }),
    (rows) => rows * q,
  )
  for (const tensor of [packed, group, grid]) tensor.dispose()
  return w
}
