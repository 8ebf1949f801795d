import { beforeAll, describe, expect, it } from 'vitest'
import type { Device } from './device.ts'
import { feedback, feedback64, solveFactored, type Symmetric } from './linalg.ts'
import { type Matrix, matrix, product, transposed } from './reference.ts'
import { testGpu, testSource } from './testing.ts'
import { WebGpuDevice } from './webgpu.ts'

let gpu: Device
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

const onGpu = ({ gram, order, diagonal }: ReturnType<typeof problem>, device = gpu): Symmetric => ({
  gram: device.upload(gram, [order.length, order.length]),
  order,
  diagonal,
})

/** Largest |V D Vᵀ − H| given Vᵀ with √D on its diagonal, each row and column measured in units of √H_jj. */
function distance(vt: ArrayLike<number>, h: Matrix): number {
  const p = h.rows
  const root = (i: number) => vt[i * p + i]
  const factor = matrix(p, p, (i, j) => (i > j ? 0 : i === j ? 1 : vt[j * p + i]) * root(j))
  const again = product(factor, transposed(factor))
  let most = 0
  for (let i = 0; i < p; i++) {
    for (let j = 0; j < p; j++) {
      const scale = Math.sqrt(h.data[i * p + i] * h.data[j * p + j])
      most = Math.max(most, Math.abs(again.data[i * p + j] - h.data[i * p + j]) / scale)
    }
  }
  return most
}

describe('the factor V D Vᵀ', () => {
  // 64 is the block; 4, 36 and 68 leave short ones, 132 a short one after two whole ones. Four make an outer panel: 324 is one and a bit.
  it.each([4, 36, 64, 68, 132, 324])('of order %i gives H back, on the GPU and on the host', async (p) => {
    const one = problem(p, 3 * p, 0.05)
    const vt = await feedback(gpu, onGpu(one))
    const values = await gpu.read(vt!)
    // Cholesky is backward stable: whatever the condition of H, an entry is off by a few roundings of sums of up to p terms.
    expect(distance(values, one.h)).toBeLessThan(1.2e-7 * (4 + Math.sqrt(p)))
    for (let k = 0; k < p; k++) for (let i = k + 1; i < p; i++) expect(values[k * p + i]).toBe(0)
    const exact = await feedback64(one.gram, one.order, one.diagonal, pace)
    expect(distance(exact!, one.h)).toBeLessThan(1e-14 * p)
    // Condition numbers are about 100 here, for the entries themselves; V[i, k] in units of the columns.
    const unit = (k: number, i: number) => (i === k ? exact![k * p + k] : Math.sqrt(one.diagonal[i] / one.diagonal[k]))
    const inUnits = (vt: ArrayLike<number>) => matrix(p, p, (k, i) => (i > k ? 0 : vt[k * p + i] / unit(k, i))).data
    expect(inUnits(values)).toBeClose(inUnits(exact!), { absolute: 1e-4 })
  })

  it('is the same with the GEMM of real GPUs, whose tiles are larger', async () => {
    const own = gpu.gemm
    try {
      gpu.gemm = 'tiled'
      const one = problem(276, 600, 0.05)
      const vt = await feedback(gpu, onGpu(one))
      expect(distance(await gpu.read(vt!), one.h)).toBeLessThan(1.2e-7 * (4 + Math.sqrt(276)))
    } finally {
      gpu.gemm = own
    }
  })

  it('gives H back where no binding holds it', async () => {
    const one = problem(324, 600, 0.05)
    // 75 of its rows.
    const small = await WebGpuDevice.open(testSource(), { binding: 97280 })
    small.gemm = gpu.gemm
    const values = await small.read((await feedback(small, onGpu(one, small)))!)
    expect(distance(values, one.h)).toBeLessThan(1.2e-7 * (4 + Math.sqrt(324)))
    for (let k = 0; k < 324; k++) expect(values.subarray(k * 324 + k + 1, (k + 1) * 324).every((value) => value === 0)).toBe(true)
    small.destroy()
  })

  it('is refused where a pivot is not positive, not finite, or lost in float32', async () => {
    const singular = problem(100, 10, 0)
    expect(await feedback(gpu, onGpu(singular))).toBeNull()
    const indefinite = problem(36, 100, -0.9)
    expect(await feedback(gpu, onGpu(indefinite))).toBeNull()
    expect(await feedback64(indefinite.gram, indefinite.order, indefinite.diagonal, pace)).toBeNull()
    const broken = problem(36, 100, 0.1)
    broken.gram.fill(Number.NaN, 36 * 20, 36 * 21)
    expect(await feedback(gpu, onGpu(broken))).toBeNull()
    expect(await feedback64(broken.gram, broken.order, broken.diagonal, pace)).toBeNull()
  })

  it('survives inputs without any rank once they are damped', async () => {
    const one = problem(132, 5, 0.01)
    const vt = await feedback(gpu, onGpu(one))
    expect(distance(await gpu.read(vt!), one.h)).toBeLessThan(1.2e-7 * (4 + Math.sqrt(132)))
  })
})

describe('a system with that factor', () => {
  // Less than a block, whole blocks, and blocks with a rest.
  it.each([36, 64, 132, 324])('of order %i is solved in place', async (p) => {
    const one = problem(p, 3 * p, 0.3)
    const vt = await feedback(gpu, onGpu(one))
    const expected = matrix(p, 8, (i, j) => Math.sin(i + 2 * j) / Math.sqrt(one.diagonal[i]))
    const x = gpu.upload(Float32Array.from(product(one.h, expected).data), [p, 8])
    await solveFactored(gpu, vt!, x)
    const roots = matrix(p, 8, (i) => Math.sqrt(one.diagonal[i]))
    const unit = (values: ArrayLike<number>) => Float32Array.from(values, (value, i) => value * roots.data[i])
    // Scaled to unit diagonal, H has a condition of at most p (1 + 1 / 0.3).
    expect(unit(await gpu.read(x))).toBeClose(unit(expected.data), { absolute: 4 * p * 6e-8 * (4 + Math.sqrt(p)) })
  })
})
