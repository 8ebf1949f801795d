/** Sums, extremes and diagonals. */
import type { Device } from '../device.ts'
import { byRows, rowPanels, rowsOf } from '../panels.ts'
import type { Reading } from '../reading.ts'
import type { Tensor } from '../tensor.ts'

/** Partial sums of a dot product. */
export const PARTS = 1024

/** Σ x ⊙ y, finished in float64. */
export function dot(gpu: Device, x: Tensor, y: Tensor): Reading<number> {
  const out = gpu.empty([PARTS])
  dotParts(gpu, x, y, out)
  const parts = gpu.read(out) as Reading<Float32Array>
  out.dispose()
  return parts.map((values) => values.reduce((sum, part) => sum + part, 0))
}

/** The partial sums of Σ x ⊙ y, left on the GPU in `out` `[PARTS]`. */
export function dotParts(gpu: Device, x: Tensor, y: Tensor, out: Tensor): void {
  for (const panel of rowPanels(gpu, x.rows, [x.size / x.rows])) {
    const some = { x: rowsOf(x, panel), y: rowsOf(y, panel), out }
    const n = some.x.size
    gpu.run('dot_partial', some, { n, parts: PARTS, further: Number(panel.first > 0) }, [PARTS / 64], { flops: 2 * n })
  }
}

/** sums += Σ_t |x_t| over `count` rows of x from row `first`. x: [.., p], sums: [p] */
export function absSum(gpu: Device, x: Tensor, sums: Tensor, first: number, count: number): void {
  for (const panel of rowPanels(gpu, x.rows, [x.cols])) {
    const from = Math.max(first, panel.first)
    const some = Math.min(first + count, panel.first + panel.count) - from
    if (some <= 0) continue
    const shape = { first: from - panel.first, count: some, cols: x.cols }
    gpu.run1d('abs_sum', { x: rowsOf(x, panel), sums }, shape, x.cols, { flops: 2 * some * x.cols })
  }
}

/** peaks[slot] = max(peaks[slot], max |x|), as the bits of an f32. x: [.., a multiple of 4]; peaks: [..] u32 */
export function maxAbs(gpu: Device, x: Tensor, peaks: Tensor, slot: number): void {
  for (const panel of rowPanels(gpu, x.rows, [x.cols])) {
    const some = rowsOf(x, panel)
    // Not counted as work: it reads once what products read many times.
    gpu.run('max_abs', { x: some, peaks }, { n: some.size, lanes: PARTS, slot }, [PARTS / 64], { flops: 0 })
  }
}

/** d = diag(s) */
export function diagonalOf(gpu: Device, s: Tensor, d: Tensor): void {
  byRows(
    gpu,
    'diagonal',
    { s },
    { d },
    ({ first, count }) => ({ p: s.cols, row0: first, rows: count }),
    (rows) => rows,
  )
}

/** d `[p]` becomes the diagonal of s `[p, p]`. */
export function putDiagonal(gpu: Device, s: Tensor, d: Tensor): void {
  byRows(
    gpu,
    'put_diagonal',
    { s },
    { d },
    ({ first, count }) => ({ p: s.cols, row0: first, rows: count }),
    (rows) => rows,
  )
}

/** Adds a number to the diagonal of a square matrix. */
export function addDiagonal(gpu: Device, s: Tensor, value: number): void {
  byRows(
    gpu,
    'add_diagonal',
    { s },
    {},
    ({ first, count }) => ({ p: s.cols, row0: first, rows: count, value }),
    (rows) => rows,
  )
}

/** The diagonal of a square matrix, on the host. */
export function diagonal(gpu: Device, s: Tensor): Reading<Float32Array> {
  const d = gpu.empty([s.rows])
  diagonalOf(gpu, s, d)
  const values = gpu.read(d)
  d.dispose()
  return values as Reading<Float32Array>
}
