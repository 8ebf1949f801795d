import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../gpu/device.ts'
import { feedback } from '../gpu/linalg.ts'
import { testGpu } from '../gpu/testing.ts'
import { resolveOptions } from '../options.ts'
import { goldenCases } from './golden/golden.ts'
import { gptq } from './gptq.ts'
import { layoutOf } from './layout.ts'
import { quantease } from './quantease.ts'
import { Derived, disposeQuantized } from './solver.ts'
import { anyGrid, anyLayer, expectGrid, expectRepresentable, goldenLayer, type Layer, solve } from './testing.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

describe('golden vectors', async () => {
  const cases = await goldenCases('gptq')

  it('are all there', () => {
    expect(cases.length).toBe(60)
  })

  it.each(cases.map((one) => [`${one.dataset} ${one.name}`, one] as const))('%s', async (_, one) => {
    const { layer, expected, options } = await goldenLayer(one)
    const { group, actorder = false, static: fixed = false } = one.params
    const order = { actOrder: actorder, staticGroups: fixed }
    const got = await solve(gpu, gptq, layer, { ...options, ...order, freshGroups: false })
    expectGrid(one, expected, got)
    // One pass has no time to drift: float32 takes every code of the float64 reference.
    expect(Array.from(got.codes)).toEqual(Array.from(expected.get(`${one.name}/codes`)!.data))
    expect(got.relativeError).toBeClose(one.rel_error, { relative: 1e-5 })
    if (group === -1 || fixed) {
      const blocks = await solve(gpu, gptq, layer, { ...options, ...order, blockSize: 32 })
      expect(blocks.codes).toEqual(got.codes)
    }
  })

  const factored = cases.filter(
    ({ dataset, params }) => ['exact8x16', 's16x32'].includes(dataset) && params.bits === 3 && params.group === -1,
  )
  it.each(factored.map((one) => [`${one.dataset} ${one.name}`, one] as const))('%s: the factor U', async (_, one) => {
    const { layer, expected } = await goldenLayer(one)
    const u = expected.get(`${one.name}/U`)!.data
    const { p } = layer
    const diagonal = Float32Array.from({ length: p }, (_, j) => layer.sigma[j * p + j] || 0.5)
    const mean = diagonal.reduce((sum, value) => sum + value, 0) / p
    const { order } = layoutOf(diagonal, -1, one.params.actorder!, false)
    const vt = await feedback(gpu, {
      gram: gpu.upload(Float32Array.from(layer.sigma), [p, p]),
      order,
      diagonal: Float64Array.from(order, (j) => diagonal[j] + 0.01 * mean),
    })
    const n = await gpu.read(vt!)
    // U is recorded for H = 2Σ, with UᵀU its inverse: √2 U V √D is a matrix whose inverse is its transpose, and upper: 1.
    for (let i = 0; i < p; i++) {
      for (let k = i; k < p; k++) {
        let sum = u[i * p + k]
        for (let j = i; j < k; j++) sum += u[i * p + j] * n[k * p + j]
        expect(Math.abs(Math.SQRT2 * sum * n[k * p + k] - Number(i === k))).toBeLessThan(1e-4)
      }
    }
  })
})

/** U `[p, p]`, upper, with UᵀU = H⁻¹, as the published code has it: the inverse, then its Cholesky factor. */
function inverseFactor(h: Float64Array, p: number): Float64Array {
  const inverse = new Float64Array(p * p)
  const work = h.slice()
  for (let i = 0; i < p; i++) inverse[i * p + i] = 1
  // Gauss and Jordan; a positive definite matrix needs no pivoting.
  for (let k = 0; k < p; k++) {
    const pivot = work[k * p + k]
    for (let c = 0; c < p; c++) {
      work[k * p + c] /= pivot
      inverse[k * p + c] /= pivot
    }
    for (let i = 0; i < p; i++) {
      const f = work[i * p + k]
      if (i === k || f === 0) continue
      for (let c = 0; c < p; c++) {
        work[i * p + c] -= f * work[k * p + c]
        inverse[i * p + c] -= f * inverse[k * p + c]
      }
    }
  }
  const u = new Float64Array(p * p)
  for (let i = 0; i < p; i++) {
    for (let k = i; k < p; k++) {
      let sum = inverse[i * p + k]
      for (let j = 0; j < i; j++) sum -= u[j * p + i] * u[j * p + k]
      u[i * p + k] = i === k ? Math.sqrt(sum) : sum / u[i * p + i]
    }
  }
  return u
}

/** The published loop in float64, column by column, for min/max grids in the natural order. Returns the codes `[q, p]`. */
function reference({ w, sigma, q, p }: Layer, bits: number, groupSize: number, blockSize: number, fresh: boolean) {
  const most = 2 ** bits - 1
  const mean = Array.from({ length: p }, (_, j) => sigma[j * p + j]).reduce((sum, value) => sum + value, 0) / p
  const order = Uint32Array.from({ length: p }, (_, j) => j)
  const u = inverseFactor(
    Float64Array.from(sigma, (value, i) => value + (i % (p + 1) ? 0 : 0.01 * mean)),
    p,
  )
  const codes: number[] = []
  for (let row = 0; row < q; row++) {
    const now = Float64Array.from(order, (j) => w[row * p + j])
    let atBlock = now.slice()
    let [scale, zero] = [1, 0]
    for (let j = 0; j < p; j++) {
      if (j % blockSize === 0) atBlock = now.slice()
      if (j % groupSize === 0) {
        const range = (fresh ? now : atBlock).subarray(j, j + groupSize)
        const [lo, hi] = [Math.min(0, ...range), Math.max(0, ...range)]
        scale = (hi - lo) / most
        zero = Math.round(-lo / scale)
      }
      const code = Math.min(most, Math.max(0, Math.round(now[j] / scale) + zero))
      codes.push(code)
      const e = (now[j] - scale * (code - zero)) / u[j * p + j]
      for (let k = j; k < p; k++) now[k] -= e * u[j * p + k]
    }
  }
  return codes
}

describe('against float64, over several blocks of everything', () => {
  it.each([
    [260, 32, 64, true],
    [260, 128, 32, true],
    [260, 32, 64, false],
    [260, 32, 128, false],
    [196, 64, 256, true],
  ])('p = %i, groups of %i, blocks of %i, fresh: %s', async (p, groupSize, blockSize, freshGroups) => {
    const q = 24
    const w = Float32Array.from({ length: q * p }, (_, i) => Math.sin(12.9898 * i) + 0.3 * Math.sin(78.233 * i))
    // Neighbouring inputs are alike, and their sizes differ tenfold.
    const size = (i: number) => 1 + (9 * ((7 * i) % p)) / p
    const sigma = Float32Array.from({ length: p * p }, (_, i) => {
      const [a, b] = [Math.floor(i / p), i % p]
      return size(a) * size(b) * Math.exp(-Math.abs(a - b) / 20)
    })
    const layer = { w, sigma, q, p }
    const got = await solve(gpu, gptq, layer, { bits: 3, groupSize, blockSize, freshGroups })
    const codes = reference(layer, 3, groupSize, blockSize, freshGroups)
    // A value within about 1e-5 steps of a tie may round the other way and take the rest of its row with it.
    const rows = new Set(codes.flatMap((code, i) => (code === got.codes[i] ? [] : [Math.floor(i / p)])))
    expect(rows.size).toBeLessThanOrEqual(2)
  })
})

describe('on random layers', () => {
  it('codes stand for the weights that were measured, whatever the rank of the inputs, and repeat themselves', async () => {
    await fc.assert(
      fc.asyncProperty(anyLayer, anyGrid, fc.constantFrom(0.0001, 0.01), async (layer, options, damping) => {
        const got = await solve(gpu, gptq, layer, { ...options, damping }, true)
        expectRepresentable(got, layer.q)
        expect(got.codes.every((code) => Number.isInteger(code) && code >= 0 && code < 2 ** options.bits)).toBe(true)
        expect(Number.isFinite(got.relativeError)).toBe(true)
        const again = await solve(gpu, gptq, layer, { ...options, damping }, true)
        expect(again.codes).toEqual(got.codes)
        if (layer.dead) {
          expect(got.notes.join()).toContain('set to zero')
          for (let row = 0; row < layer.q; row++) expect(got.what[row * layer.p + 1]).toBe(0)
        }
      }),
      { numRuns: 20, seed: 20260103 },
    )
  })

  it('the block size hardly matters when groups are fresh', async () => {
    await fc.assert(
      fc.asyncProperty(anyLayer, anyGrid, async (layer, options) => {
        const one = await solve(gpu, gptq, layer, { ...options, blockSize: 32 })
        const two = await solve(gpu, gptq, layer, { ...options, blockSize: 1024 })
        // The same sums in another order: a rounded value within 1e-4 steps of a tie may flip, and others after it in its row.
        const different = one.codes.reduce((count, code, i) => count + Number(code !== two.codes[i]), 0)
        expect(different / one.codes.length).toBeLessThan(0.05)
        expect(one.relativeError).toBeClose(two.relativeError, { absolute: 0.02 * two.relativeError + 1e-6 })
      }),
      { numRuns: 20, seed: 20260104 },
    )
  })

  it('fresh groups repair the published behaviour where groups are smaller than a block', async () => {
    const cases = (await goldenCases('gptq')).filter(({ name }) => name === 'gptq_b3_g32_actorder')
    for (const one of cases) {
      const { layer, options } = await goldenLayer(one)
      const got = await solve(gpu, gptq, layer, { ...options, actOrder: true })
      expect(got.relativeError).toBeLessThan(one.rel_error)
    }
  })
})

describe('when H cannot be factored', () => {
  /** Four inputs of variance 1, the first two with this covariance: no Gram matrix once it exceeds 1. */
  const layer = (covariance: number): Layer => ({
    w: Float32Array.from({ length: 16 }, (_, i) => Math.sin(i + 1)),
    sigma: Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : i === 1 || i === 4 ? covariance : 0)),
    q: 4,
    p: 4,
  })

  it('raises the damping and says so', async () => {
    const got = await solve(gpu, gptq, layer(1.05), {})
    expect(got.notes).toEqual(['Damping was raised from 1 % to 10 %, because this layer’s inputs are nearly linearly dependent.'])
    expectRepresentable(got, 4)
  })

  it('goes from the GPU to float64 and says so', async () => {
    // Damped by 100 % the covariance is 1 − 2⁻²⁴ of the variance: a pivot of 1.2e-7, all noise in float32.
    const got = await solve(gpu, gptq, layer(2 - 2 ** -23), {})
    expect(got.notes).toEqual([
      'The factorization failed on the GPU at every damping up to 100 %; it was done in double precision on the CPU, at 100 %.',
    ])
    expectRepresentable(got, 4)
  })

  it('goes to QuantEase and says so', async () => {
    const got = await solve(gpu, gptq, layer(3), { bits: 4 })
    expect(got.notes.length).toBe(1)
    expect(got.notes[0]).toContain('QuantEase, which needs no factorization, was used instead of GPTQ')
    expect(got.codes).toEqual((await solve(gpu, quantease, layer(3), { bits: 4 })).codes)
    expectRepresentable(got, 4)
  })
})

describe('the factor', () => {
  it('is made once for all linears that share Σ', async () => {
    const [q, p] = [32, 256]
    const { options } = resolveOptions(gptq.options, {})
    const gram = gpu.upload(
      Float32Array.from({ length: p * p }, (_, i) => (i % (p + 1) === 0 ? 1 : 0.5)),
      [p, p],
    )
    const derived = new Derived()
    const problem = { gpu, gram, gramDiagonal: new Float32Array(p).fill(1), derived, halfScales: false }
    const work: number[] = []
    for (const seed of [1, 2]) {
      const weight = gpu.upload(
        Float32Array.from({ length: p * q }, (_, i) => Math.sin(seed * i)),
        [p, q],
      )
      const before = gpu.flops
      const shared = await gptq.solve({ ...problem, weight }, options, {})
      work.push(gpu.flops - before)
      const own = new Derived()
      const alone = await gptq.solve({ ...problem, weight, derived: own }, options, {})
      expect(await gpu.read(shared.codes)).toEqual(await gpu.read(alone.codes))
      for (const result of [shared, alone]) disposeQuantized(result)
      for (const thing of [weight, own]) thing.dispose()
    }
    expect((work[0] - work[1]) / gptq.sharedWork!(p, options)).toBeCloseTo(1, 2)
    for (const thing of [derived, gram]) thing.dispose()
  })
})

describe('work', () => {
  it.each([-1, 32])('is announced as it is done, groups of %i', async (groupSize) => {
    const [q, p] = [128, 320]
    const { options } = resolveOptions(gptq.options, { groupSize })
    const gram = gpu.upload(
      Float32Array.from({ length: p * p }, (_, i) => Number(i % (p + 1) === 0)),
      [p, p],
    )
    const derived = new Derived()
    const problem = { gpu, weight: gpu.zeros([p, q]), gram, gramDiagonal: new Float32Array(p).fill(1), derived, halfScales: false }
    const before = gpu.flops
    disposeQuantized(await gptq.solve(problem, options, {}))
    const ratio = (gpu.flops - before) / gptq.work(q, p, options)
    expect(ratio).toBeGreaterThan(0.9)
    expect(ratio).toBeLessThan(1.1)
    problem.weight.dispose()
    derived.dispose()
    gram.dispose()
  })
})

describe('options', () => {
  it('refuse bad values in sentences that name the valid ones', () => {
    const { problems } = resolveOptions(gptq.options, { damping: 2, blockSize: 100 })
    expect(problems.map(({ message }) => message)).toEqual([
      'Damping is a number from 0.0001 to 1, not 2.',
      'Block size can be 32, 64, 128, 256, 512 or 1024, not 100.',
    ])
  })
})
