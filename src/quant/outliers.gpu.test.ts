import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../gpu/device.ts'
import { testGpu } from '../gpu/testing.ts'
import { goldenCases } from './golden/golden.ts'
import { largestEigenvalue, outlierCount, TopK } from './outliers.ts'
import { quantease } from './quantease.ts'
import { anyGrid, anyLayer, expectGrid, expectRepresentable, goldenLayer, type Layer, type Solved, solve } from './testing.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

/** Flat positions where H is not 0. */
const support = ({ outliers }: Solved) => Array.from(outliers!.h.keys()).filter((i) => outliers!.h[i] !== 0)

/** f(Ŵ + H) / f(0) in float64. */
function relativeError({ w, sigma, q, p }: Layer, { what, outliers }: Solved): number {
  const energy = (d: Float64Array) => {
    let sum = 0
    for (let row = 0; row < q; row++) {
      for (let i = 0; i < p; i++) for (let j = 0; j < p; j++) sum += d[row * p + i] * sigma[i * p + j] * d[row * p + j]
    }
    return sum
  }
  return energy(Float64Array.from(w, (v, i) => v - what[i] - outliers!.h[i])) / energy(Float64Array.from(w))
}

/** Whether every number is a float16. */
function allHalf(values: Float32Array): boolean {
  const view = new DataView(new ArrayBuffer(4))
  return values.every((value) => {
    view.setFloat32(0, value)
    return Math.abs(value) >= 2 ** -14 ? (view.getUint32(0) & 0x1fff) === 0 : Number.isInteger(value * 2 ** 24)
  })
}

describe('golden vectors', async () => {
  const cases = await goldenCases('quantease_outlier')

  it('are all there', () => {
    expect(cases.length).toBe(24)
  })

  it.each(cases.map((one) => [`${one.dataset} ${one.name}`, one] as const))('%s', async (_, one) => {
    const { layer, expected, options } = await goldenLayer(one)
    const { fraction = 0, structured = false, actorder = false } = one.params
    const got = await solve(gpu, quantease, layer, { ...options, actOrder: actorder, outlier: fraction, structureOutlier: structured })
    expectGrid(one, expected, got)
    const index = Array.from(expected.get(`${one.name}/H_index`)!.data)
    const values = expected.get(`${one.name}/H_value`)!.data
    const most = Math.max(...values.map(Math.abs))
    expect(support(got)).toEqual(index)
    index.forEach((at, i) => {
      expect(Math.abs(got.outliers!.h[at] - values[i]) / most).toBeLessThan(1e-4)
    })
    expect(got.relativeError).toBeClose(one.rel_error, { relative: 0.01 })
    if (one.dataset === 'exact8x16') expect(Array.from(got.codes)).toEqual(Array.from(expected.get(`${one.name}/codes`)!.data))
    const trace = expected.get(`${one.name}/trace`)!.data
    expect(got.trace.length).toBe(trace.length)
    trace.forEach((value, t) => {
      expect(got.trace[t], `sweep ${t}`).toBeClose(value, { relative: 0.01 })
    })
  })
})

const anyOutliers = fc.record({
  outlier: fc.constantFrom(0.001, 0.01, 0.07, 0.3),
  structureOutlier: fc.boolean(),
  outlierMode: fc.constantFrom('iht', 'masked'),
  outlierRange: fc.constantFrom('exclude', 'trimmed', 'whole'),
})

describe('promises, on random layers', () => {
  it('exactly round(F·q·p) entries or round(F·p) columns, as float16, beside codes on the grid, with the error that they have', async () => {
    await fc.assert(
      fc.asyncProperty(anyLayer, anyGrid, anyOutliers, async (layer, grid, outliers) => {
        const { q, p } = layer
        const got = await solve(gpu, quantease, layer, { ...grid, ...outliers, iterations: 4 }, true)
        const { count, kind } = outlierCount(q, p, outliers)!
        expect(count).toBe(Math.max(1, Math.round(outliers.outlier * (outliers.structureOutlier ? p : q * p))))
        expect(got.outliers).toMatchObject({ count, kind })
        const where = support(got)
        const kept = kind === 'columns' ? new Set(where.map((i) => i % p)).size : where.length
        // A weight that happens to lie on the grid has nothing to keep when only the rest of it is kept.
        if (outliers.outlierMode === 'masked') expect(kept).toBeLessThanOrEqual(count)
        else expect(kept).toBe(count)
        expect(allHalf(got.outliers!.h)).toBe(true)
        expectRepresentable(got, q)
        const twin = relativeError(layer, got)
        expect(got.relativeError).toBeClose(twin, { absolute: 1e-3 * twin + 2e-6 })
        if (layer.dead) {
          expect(got.notes.join()).toContain('always zero')
          for (let row = 0; row < q; row++) {
            if (got.outliers!.h[row * p + 1] !== 0) continue
            const at = got.groupIndex[1] * q + row
            const off = Math.abs(got.what[row * p + 1] - layer.w[row * p + 1])
            const code = got.codes[row * p + 1]
            expect(off <= got.scales[at] * 0.5001 || code === 0 || code === 2 ** grid.bits - 1).toBe(true)
          }
        }
      }),
      { numRuns: 25, seed: 20260301 },
    )
  })

  it('without relaxation neither a sweep nor a step raises the objective', async () => {
    await fc.assert(
      fc.asyncProperty(anyLayer, anyGrid, anyOutliers, fc.constantFrom(0.25, 1), async (layer, grid, outliers, alpha) => {
        const got = await solve(gpu, quantease, layer, { ...grid, ...outliers, alpha, iterations: 6, relax: false })
        expect(got.trace.length).toBe(6)
        for (let t = 1; t < got.trace.length; t++) expect(got.trace[t]).toBeLessThanOrEqual(got.trace[t - 1] * (1 + 1e-4) + 2e-6)
      }),
      { numRuns: 20, seed: 20260302 },
    )
  })

  it('results are the same from run to run', async () => {
    await fc.assert(
      fc.asyncProperty(anyLayer, anyGrid, anyOutliers, async (layer, grid, outliers) => {
        const options = { ...grid, ...outliers, iterations: 4 }
        const one = await solve(gpu, quantease, layer, options)
        const two = await solve(gpu, quantease, layer, options)
        expect(two.codes).toEqual(one.codes)
        expect(two.outliers!.h).toEqual(one.outliers!.h)
      }),
      { numRuns: 8, seed: 20260303 },
    )
  })

  it('a layer that never sees anything keeps its largest weights and rounds the rest', async () => {
    const layer = { w: Float32Array.from({ length: 64 }, (_, i) => (i - 31) / 10), sigma: new Float32Array(64), q: 8, p: 8 }
    for (const outlierMode of ['iht', 'masked']) {
      const got = await solve(gpu, quantease, layer, { bits: 2, outlier: 0.05, outlierMode, iterations: 3 })
      expect(got.what.every(Number.isFinite)).toBe(true)
      const at = [0, 62, 63]
      expect(support(got)).toEqual(at)
      for (const i of at) expect(got.what[i] + got.outliers!.h[i]).toBeCloseTo(layer.w[i], 6)
    }
  })
})

describe('what outliers gain', async () => {
  const base = (await goldenCases('quantease_outlier')).filter(({ name }) => /b\d_pc_free$/.test(name))

  it.each(base.map((one) => [`${one.dataset}, ${one.params.bits} bits`, one] as const))('%s', async (_, one) => {
    const { layer, options } = await goldenLayer(one)
    const error = async (more: object) => (await solve(gpu, quantease, layer, { ...options, ...more })).relativeError
    const plain = await error({})
    const outlier = one.params.fraction!
    const free = await error({ outlier })
    const masked = await error({ outlier, outlierMode: 'masked' })
    const columns = await error({ outlier, outlierMode: 'masked', structureOutlier: true })
    expect(free).toBeLessThan(plain)
    expect(masked).toBeLessThan(plain)
    expect(columns).toBeLessThan(plain)
    // The variant is as good as the algorithm.
    expect(masked / free).toBeLessThan(1.1)
    const trimmed = await error({ outlier, outlierRange: 'trimmed' })
    const whole = await error({ outlier, outlierRange: 'whole' })
    expect(free).toBeLessThan(Math.min(trimmed, whole))
  })
})

describe('the trimmed range', () => {
  it('drops what sorting says, row by row and group by group', async () => {
    await fc.assert(
      fc.asyncProperty(anyLayer, fc.constantFrom(-1, 32), fc.constantFrom(0.03, 0.1, 0.4), async (layer, groupSize, outlier) => {
        const { w, q, p } = layer
        const got = await solve(gpu, quantease, layer, { bits: 3, groupSize, outlier, outlierRange: 'trimmed', iterations: 1 })
        for (let row = 0; row < q; row++) {
          for (let g = 0; g <= Math.max(...got.groupIndex); g++) {
            const x = Array.from({ length: p }, (_, j) => w[row * p + j])
              .filter((_, j) => got.groupIndex[j] === g)
              .sort((a, b) => a - b)
            const m = Math.round((x.length * outlier) / 2)
            const range = m ? x.slice(m - 1, x.length - m) : x
            const [lo, hi] = [Math.min(0, ...range), Math.max(0, ...range)]
            expect(got.scales[g * q + row] / ((hi - lo) / 7)).toBeCloseTo(1, 5)
          }
        }
      }),
      { numRuns: 15, seed: 20260304 },
    )
  })
})

describe('the k largest', () => {
  /** By sorting: magnitude down, index up. */
  const twin = (scores: Float32Array, k: number) =>
    Array.from(scores.keys())
      .sort((i, j) => Math.abs(scores[j]) - Math.abs(scores[i]) || i - j)
      .slice(0, k)
      .sort((i, j) => i - j)

  /** What the state says of each item, as `chosen` in lib/topk.wgsl. */
  async function chosen(top: TopK, scores: Float32Array): Promise<number[]> {
    const [kth, least] = await gpu.read(top.state)
    const bits = new Uint32Array(scores.buffer).map((word) => word & 0x7fffffff)
    return Array.from(scores.keys()).filter((e) => bits[e] > kth || (bits[e] === kth && ~e >>> 0 >= least))
  }

  it('agree with a sort, ties and zeros included, from all items or from a list', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(1, 2, 7, 255, 256, 257, 1000, 4097, 20011),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.constantFrom(1, 3, 200, 2 ** 20),
        fc.integer(),
        async (n, part, levels, seed) => {
          const k = Math.max(1, Math.round(part * n))
          let state = seed >>> 0
          const noise = () => {
            state = (Math.imul(state, 1664525) + 1013904223) >>> 0
            return state / 2 ** 31 - 1
          }
          const scores = Float32Array.from({ length: n }, () => Math.round(noise() * levels) / 64)
          const top = new TopK(gpu, n, k, true)
          const tensor = gpu.upload(scores, [n])
          top.select(tensor)
          expect(await chosen(top, scores)).toEqual(twin(scores, k))
          // Next time, slightly different scores and a list of those above the floor, in no order.
          for (let i = 0; i < n; i++) if (noise() < -0.9) scores[i] *= 1.05
          gpu.write(tensor, scores)
          const floor = (await gpu.read(top.state))[4]
          const listed = Array.from(scores.keys()).filter((e) => (new Uint32Array(scores.buffer)[e] & 0x7fffffff) > floor)
          for (const items of [listed.reverse(), listed.slice(0, k - 1)]) {
            const list = new Uint32Array(1 + top.capacity)
            list.set([items.length, ...items.slice(0, top.capacity)])
            gpu.write(top.list, list)
            top.select(tensor)
            expect(await chosen(top, scores)).toEqual(twin(scores, k))
          }
          tensor.dispose()
          top.dispose()
        },
      ),
      { numRuns: 20, seed: 20260305 },
    )
  })
})

describe('the largest eigenvalue', () => {
  it('is within 2 % of float64, and never short of it', async () => {
    await fc.assert(
      fc.asyncProperty(anyLayer, async ({ sigma, p }) => {
        const stored = Float32Array.from(sigma)
        let v = Float64Array.from({ length: p }, (_, i) => 1 + (i % 7) / 5)
        let lambda = 0
        for (let step = 0; step < 5000; step++) {
          const u = new Float64Array(p)
          for (let i = 0; i < p; i++) for (let j = 0; j < p; j++) u[i] += stored[i * p + j] * v[j]
          lambda = Math.hypot(...u)
          v = u.map((value) => value / lambda)
        }
        const gram = gpu.upload(stored, [p, p])
        const diagonal = Float32Array.from({ length: p }, (_, i) => stored[i * p + i])
        const found = largestEigenvalue(gpu, gram, diagonal)
        const [got] = await gpu.read(found)
        expect(got / lambda).toBeGreaterThan(1 - 1e-4)
        expect(got / lambda).toBeLessThan(1.02)
        gram.dispose()
        found.dispose()
      }),
      { numRuns: 20, seed: 20260306 },
    )
  })
})
