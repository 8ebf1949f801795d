/**
 * Products of forward passes with their inputs in f16, and sums in f32: x is rounded row by row, each by a scale of its own, and so are
 * weights in f32; those of 16 bits are read as they are stored. Not for what Gram matrices are summed from, nor for solvers.
 */
import type { Device } from '../device.ts'
import { narrowFactored } from '../kernel.ts'
import { rowPanels, rowsOf } from '../panels.ts'
import type { Products } from '../products.ts'
import { isHalf, type Tensor } from '../tensor.ts'
import { matmul, type MatmulOptions } from './gemm.ts'

/** Rows of x as f16 `[rows, cols]`, and what each is to be multiplied by `[rows]`: powers of two, with which nothing overflows. */
export interface Narrowed {
  values: Tensor
  scales: Tensor
}

/** The most workgroups along one side of a grid that `narrow` is run with. */
const FOLD = 32768

/** @param x `[rows, cols]` f32, `cols` a multiple of 4 @param factors `[cols]`: what columns are multiplied by first */
export function narrow(gpu: Device, x: Tensor, factors?: Tensor): Narrowed {
  const [rows, cols] = [x.rows, x.cols]
  const values = gpu.empty([rows, cols], 'f16')
  const scales = gpu.empty([rows])
  for (const panel of rowPanels(gpu, rows, [cols, cols / 2, 1])) {
    const { count } = panel
    const seen = { x: rowsOf(x, panel), y: rowsOf(values, panel), scales: rowsOf(scales, panel), ...(factors && { factors }) }
    const across = Math.min(count, FOLD)
    const grid: [number, number] = [across, Math.ceil(count / across)]
    gpu.run(factors ? narrowFactored() : 'narrow', seen, { rows: count, cols }, grid, { flops: 4 * count * cols })
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
  // The scales of w's rows go into the columns of x: powers of two, which change no digit.
  const weights = isHalf(w.dtype) ? null : narrow(gpu, w)
  const inputs = narrow(gpu, x, weights?.scales)
  const product = matmul(gpu, inputs.values, weights?.values ?? w, { ...options, scales: inputs.scales })
  for (const one of [inputs, weights]) if (one) disposeNarrowed(one)
  return product
}
