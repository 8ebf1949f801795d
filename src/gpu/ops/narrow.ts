/**
 * Products of forward passes with their inputs in f16, and sums in f32: x is rounded row by row, each by a scale of its own, weights are
 * read as they are stored. Not for what Gram matrices are summed from, nor for solvers.
 */
import type { Device } from '../device.ts'
import { rowPanels, rowsOf } from '../panels.ts'
import type { Products } from '../products.ts'
import type { Tensor } from '../tensor.ts'
import { matmul, type MatmulOptions } from './gemm.ts'

/** Rows of x as f16 `[rows, cols]`, and what each is to be multiplied by `[rows]`: powers of two, with which nothing overflows. */
export interface Narrowed {
  values: Tensor
  scales: Tensor
}

/** The most workgroups along one side of a grid that `narrow` is run with. */
const FOLD = 32768

/** @param x `[rows, cols]` f32, `cols` a multiple of 4 */
export function narrow(gpu: Device, x: Tensor): Narrowed {
  const [rows, cols] = [x.rows, x.cols]
  const values = gpu.empty([rows, cols], 'f16')
  const scales = gpu.empty([rows])
  for (const panel of rowPanels(gpu, rows, [cols, cols / 2, 1])) {
    const { count } = panel
    const seen = { x: rowsOf(x, panel), y: rowsOf(values, panel), scales: rowsOf(scales, panel) }
    const across = Math.min(count, FOLD)
    gpu.run('narrow', seen, { rows: count, cols }, [across, Math.ceil(count / across)], { flops: 4 * count * cols })
  }
  return { values, scales }
}

export function disposeNarrowed({ values, scales }: Narrowed): void {
  values.dispose()
  scales.dispose()
}

/** x · w of a forward pass, as `matmul`; shapes that 4 does not divide are multiplied in f32. x: `[m, k]`, w: `[k, n]` */
export function forwardProduct(gpu: Device, x: Tensor, w: Tensor, products: Products, options: MatmulOptions = {}): Tensor {
  if (products === 'f32' || x.cols % 4 || w.cols % 4) return matmul(gpu, x, w, options)
  const { values, scales } = narrow(gpu, x)
  const product = matmul(gpu, values, w, { ...options, scales })
  disposeNarrowed({ values, scales })
  return product
}
