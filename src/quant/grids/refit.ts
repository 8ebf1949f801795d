/**
 * Scales by least squares. With the codes fixed, f is quadratic in the scales of a row: (A Σ Aᵀ) s = A Σ wᵀ, A being the values of unit
 * scale split by group. Written for the factor 1 + δ on each scale, so that float32 solves for a small correction. Solved on the GPU,
 * since for small groups the systems of all rows are too large to transfer (128 groups of 4096 rows: 256 MiB), and a step of the
 * elimination is one short dispatch for all rows.
 */
import { gemm } from '../../gpu/ops.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import type { Layout } from '../layout.ts'
import type { Fit } from './grid.ts'

/** Most elements of the systems that are solved together. */
const SYSTEMS = 2 ** 24

/** Operations of the elimination, for groups of `size`, and of the products. */
export const refitWork = (q: number, p: number, size: number) =>
  2 * q * p * p + q * Math.ceil(p / size) ** 3 + 4 * q * p * Math.ceil(p / size)

/**
 * `Grid.refit` for grids whose values grow with the scale of their cell. Rows are solved so many at a time as systems of
 * theirs `[groups, groups + 1, rows]` fit a binding.
 */
export async function refitScales(fit: Fit, cells: Tensor, layout: Layout, kernel: (name: string) => string): Promise<Tensor> {
  const { gpu, halfScales } = fit
  const [p, q] = [fit.what.rows, fit.what.cols]
  const { groups } = layout
  const refitted = gpu.empty(cells.shape)
  const most = Math.min(q, Math.max(64, Math.floor(Math.min(SYSTEMS, gpu.info.maxBinding / 4) / (groups * (groups + 1)) / 64) * 64))
  const product = gpu.empty([p, most])
  const system = gpu.empty([groups, groups + 1, most])
  for (let row0 = 0; row0 < q; row0 += most) {
    const rows = Math.min(most, q - row0)
    await normalEquations(fit, layout, { product, system, row0, rows })
    for (let k = 0; k + 1 < groups; k++) {
      const items = (groups - k - 1) * (groups - k) * rows
      gpu.run1d('refit_eliminate', { system }, { groups, k, rows }, items, { flops: 3 * items })
      await gpu.pace()
    }
    const params = { q, groups, row0, rows, half: Number(halfScales) }
    gpu.run1d(kernel('refit_scales'), { system, grid: cells, refitted }, params, rows, { flops: 4 * groups * groups * rows })
  }
  for (const tensor of [product, system]) tensor.dispose()
  return refitted
}

/** Fills `system` for the rows row0 .. row0 + rows of W; `product` `[p, rows]` holds Σ Ŵ of one group at a time. */
async function normalEquations(
  { gpu, gram, what, rest }: Fit,
  { groups, groupSize: size }: Layout,
  { product, system, row0, rows }: { product: Tensor; system: Tensor; row0: number; rows: number },
): Promise<void> {
  const [p, q] = [what.rows, what.cols]
  for (let g = 0; g < groups; g++) {
    const k = Math.min(size, p - g * size)
    gemm(gpu, { a: gram, b: what, c: product, m: p, n: rows, k, lda: p, ldb: q, ldc: rows, a0: g * size, b0: g * size * q + row0 })
    const wide = groups + 1 - g
    gpu.run1d('refit_normal', { product, what, rest, system }, { q, p, size, groups, g, row0, rows }, wide * rows, { flops: 4 * p * rows })
    await gpu.pace()
  }
}
