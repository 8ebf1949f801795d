import { beforeAll, describe, expect, it } from 'vitest'
import type { Gpu } from './device.ts'
import { inverseFactor, inverseFactor64, type Symmetric } from './linalg.ts'
import { type Matrix, matrix, product, transposed } from './reference.ts'
import { testGpu } from './testing.ts'

let gpu: Gpu
beforeAll(async () => {
  gpu = await testGpu()
})

const pace = async () => {}

/** XᵀX of `tokens` random rows whose columns differ in size by up to 100, and a shuffled order of its columns. */
function problem(p: number, tokens: number, damping: number) {
  let state = p
  const noise = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  }
  const sizes = Array.from({ length: p }, () => 10 ** (2 * noise()))
  const x = matrix(tokens, p, (_, j) => sizes[j] * noise())
  const gram = Float32Array.from(product(transposed(x), x).data)
  const order = Uint32Array.from({ length: p }, (_, i) => (i * 5 + 3) % p)
  if (new Set(order).size !== p) order.forEach((_, i) => (order[i] = p - 1 - i))
  const diagonal = Float64Array.from(order, (j) => gram[j * p + j] * (1 + damping))
  const h = matrix(p, p, (i, j) => (i === j ? diagonal[i] : gram[order[i] * p + order[j]]))
  return { gram, order, diagonal, h }
}

const onGpu = ({ gram, order, diagonal }: ReturnType<typeof problem>): Symmetric => ({
  gram: gpu.upload(gram, [order.length, order.length]),
  order,
  diagonal,
})

/** Largest |Uᵀ U H − I| given Uᵀ, each row and column measured in units of √H_jj. */
function distance(ut: ArrayLike<number>, h: Matrix): number {
  const p = h.rows
  const factor = matrix(p, p, (i, j) => ut[i * p + j])
  const unit = product(product(factor, transposed(factor)), h)
  let most = 0
  for (let i = 0; i < p; i++) {
    for (let j = 0; j < p; j++) {
      const scale = Math.sqrt(h.data[i * p + i] / h.data[j * p + j])
      most = Math.max(most, Math.abs(unit.data[i * p + j] - Number(i === j)) * scale)
    }
  }
  return most
}

describe('the factor of an inverse', () => {
  // 64 is the block; 4, 36 and 68 leave short ones, 132 a short one after two whole ones. Four make an outer panel: 324 is one and a bit.
  it.each([4, 36, 64, 68, 132, 324])('of order %i satisfies UᵀU H = I on the GPU and on the host', async (p) => {
    const one = problem(p, 3 * p, 0.05)
    const ut = await inverseFactor(gpu, onGpu(one))
    const values = await gpu.read(ut!)
    // Condition numbers are about 100 here, and a product of p terms is off by about √p roundings.
    expect(distance(values, one.h)).toBeLessThan(100 * 1.2e-7 * (4 + Math.sqrt(p)))
    for (let k = 0; k < p; k++) for (let i = k + 1; i < p; i++) expect(values[k * p + i]).toBe(0)
    const exact = await inverseFactor64(one.gram, one.order, one.diagonal, pace)
    expect(distance(exact!, one.h)).toBeLessThan(1e-12)
    for (let i = 0; i < p; i++) {
      // A row of U is as exact as its own diagonal is large, in units of the columns.
      for (let k = i; k < p; k++) {
        const unit = exact![i * p + i] * Math.sqrt(one.diagonal[i] / one.diagonal[k])
        expect(Math.abs(values[k * p + i] - exact![k * p + i])).toBeLessThan(1e-4 * unit)
      }
    }
  })

  it('is the same with the GEMM of real GPUs, whose tiles are larger', async () => {
    const own = gpu.gemm
    try {
      gpu.gemm = 'tiled'
      const one = problem(276, 600, 0.05)
      const ut = await inverseFactor(gpu, onGpu(one))
      expect(distance(await gpu.read(ut!), one.h)).toBeLessThan(100 * 1.2e-7 * (4 + Math.sqrt(276)))
    } finally {
      gpu.gemm = own
    }
  })

  it('is refused where a pivot is not positive, not finite, or lost in float32', async () => {
    const singular = problem(100, 10, 0)
    expect(await inverseFactor(gpu, onGpu(singular))).toBeNull()
    const indefinite = problem(36, 100, -0.9)
    expect(await inverseFactor(gpu, onGpu(indefinite))).toBeNull()
    expect(await inverseFactor64(indefinite.gram, indefinite.order, indefinite.diagonal, pace)).toBeNull()
    const broken = problem(36, 100, 0.1)
    broken.gram.fill(Number.NaN, 36 * 20, 36 * 21)
    expect(await inverseFactor(gpu, onGpu(broken))).toBeNull()
    expect(await inverseFactor64(broken.gram, broken.order, broken.diagonal, pace)).toBeNull()
  })

  it('survives inputs without any rank once they are damped', async () => {
    const one = problem(132, 5, 0.01)
    const ut = await inverseFactor(gpu, onGpu(one))
    // Condition number about 132 / 0.01.
    expect(distance(await gpu.read(ut!), one.h)).toBeLessThan(132e2 * 1.2e-7 * (4 + Math.sqrt(132)))
  })
})
