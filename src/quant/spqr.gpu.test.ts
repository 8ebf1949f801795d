import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../gpu/device.ts'
import { testGpu } from '../gpu/testing.ts'
import { type Options, resolveOptions } from '../options.ts'
import { type Golden, goldenCases } from './golden/golden.ts'
import { Derived, disposeQuantized } from './solver.ts'
import { spqr } from './spqr.ts'
import { anyLayer, expectRepresentable, flip, goldenLayer, type Layer, type Solved, solve } from './testing.ts'
import { shrinks } from './grids/search.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

const kept = ({ outliers }: Solved) => (outliers ? [...outliers.h.keys()].filter((i) => outliers.h[i] !== 0) : [])

/** What a float16 number looks like in float32, below its smallest normal one left out. */
function expectHalf(value: number): void {
  const view = new DataView(new ArrayBuffer(4))
  view.setFloat32(0, value)
  if (Math.abs(value) >= 2 ** -14) expect(view.getUint32(0) & 0x1fff).toBe(0)
}

describe('golden vectors', async () => {
  const cases = await goldenCases('spqr')

  it('are all there', () => {
    expect(cases.length).toBe(24)
  })

  it.each(cases.map((one) => [`${one.dataset} ${one.name}`, one] as const))('%s', async (_, one) => {
    const { layer, expected } = await goldenLayer(one)
    const { bits, group, threshold, simplified, qq_bits } = one.params as Golden['params'] & {
      threshold: number | 'inf'
      simplified: boolean
      qq_bits: number | null
    }
    const options = { bits, groupSize: group, threshold: threshold === 'inf' ? 1e6 : threshold, simplified, bilevel: qq_bits !== null }
    const got = await solve(gpu, spqr, layer, options)
    // One pass has no time to drift: float32 takes every code and every outlier of the float64 reference.
    expect(Array.from(got.codes)).toEqual(Array.from(expected.get(`${one.name}/codes`)!.data))
    expect(kept(got)).toEqual(Array.from(expected.get(`${one.name}/mask_index`)!.data))
    expect(got.outliers?.count ?? 0).toBe(kept(got).length)
    expect(got.relativeError).toBeClose(one.rel_error, { relative: 1e-4 })
    const scale = expected.get(`${one.name}/scale`)!
    const [q, groups] = scale.shape
    const zero = expected.get(`${one.name}/zero`)!.data
    expect(flip(got.scales, groups, q)).toBeClose(scale.data, { relative: 1e-4 })
    expect(flip(got.zeros, groups, q)).toBeClose(zero, { absolute: 1e-3 })
    const used = got.what.map((value, i) => value + (got.outliers?.h[i] ?? 0))
    expect(used).toBeClose(expected.get(`${one.name}/What`)!.data, { absolute: 1e-4 })
    expectRepresentable(got, q)
  })
})

const anySpqr = fc.record({
  bits: fc.constantFrom(2, 3, 4, 8),
  groupSize: fc.constantFrom(16, 32, 64, 128),
  threshold: fc.constantFrom(0.05, 0.2, 1),
  simplified: fc.boolean(),
  bilevel: fc.boolean(),
  actOrder: fc.boolean(),
  grid: fc.constantFrom('minmax', 'mse', 'weighted'),
})

/** ‖(W−Ŵ−H)X‖² / ‖WX‖² in float64. */
function relativeError({ w, sigma, p }: Layer, got: Solved): number {
  const energy = (d: (i: number) => number) => {
    let sum = 0
    for (let row = 0; row < w.length; row += p)
      for (let i = 0; i < p; i++) for (let j = 0; j < p; j++) sum += d(row + i) * sigma[i * p + j] * d(row + j)
    return sum
  }
  return energy((i) => w[i] - got.what[i] - (got.outliers?.h[i] ?? 0)) / energy((i) => w[i])
}

describe('on random layers', () => {
  it('Ŵ and H are what is stored, and the same from run to run', async () => {
    await fc.assert(
      fc.asyncProperty(anyLayer, anySpqr, async (layer, options) => {
        const { q, p } = layer
        const got = await solve(gpu, spqr, layer, options, true)
        const again = await solve(gpu, spqr, layer, options, true)
        expect(again.codes).toEqual(got.codes)
        expect(kept(again)).toEqual(kept(got))
        expect(got.codes.every((code) => Number.isInteger(code) && code >= 0 && code < 2 ** options.bits)).toBe(true)
        expectRepresentable(got, q)
        expect(got.outliers?.count ?? 0).toBe(kept(got).length)
        for (const i of kept(got)) {
          expectHalf(got.outliers!.h[i])
          // An outlier’s code is that of 0.
          const at = got.groupIndex[i % p] * q + Math.floor(i / p)
          const zero = got.zeros[at] - Math.floor(got.zeros[at])
          if (Math.abs(zero - 0.5) > 1e-6)
            expect(got.codes[i]).toBe(Math.min(2 ** options.bits - 1, Math.max(0, Math.round(got.zeros[at]))))
        }
        for (const table of [got.scales, got.zeros]) {
          if (!options.bilevel) table.forEach(expectHalf)
          else
            for (let g = 0; g < table.length / q; g++)
              for (let row = 0; row < q; row += 16) {
                // Eight levels, evenly spaced.
                const levels = [...new Set(table.slice(g * q + row, g * q + Math.min(row + 16, q)))].sort((a, b) => a - b)
                expect(levels.length).toBeLessThanOrEqual(8)
                const gaps = levels.slice(1).map((level, i) => level - levels[i])
                const spread = levels.at(-1)! - levels[0]
                const even = Array.from({ length: 7 }, (_, i) => spread / (i + 1)).some((step) =>
                  gaps.every((gap) => Math.abs(gap / step - Math.round(gap / step)) < 1e-2),
                )
                expect(even || spread === 0).toBe(true)
              }
        }
        expect(Math.abs(got.relativeError - relativeError(layer, got))).toBeLessThan(1e-3 * got.relativeError + 2e-6)
        expect(got.notes.join().includes('always zero')).toBe(layer.dead)
        expect(got.notes.join().includes('does not divide')).toBe(options.bilevel && q % 16 > 0)
      }),
      { numRuns: 30, seed: 20260301 },
    )
  })

  it('a lower threshold keeps more, and a very high one nothing', async () => {
    let strictly = false
    await fc.assert(
      fc.asyncProperty(anyLayer, anySpqr, async (layer, options) => {
        const count = async (threshold: number) => (await solve(gpu, spqr, layer, { ...options, threshold })).outliers?.count ?? 0
        const [none, few, many] = [await count(1e6), await count(0.5), await count(0.02)]
        expect(none).toBe(0)
        expect(many).toBeGreaterThanOrEqual(few)
        strictly ||= many > few && few > 0
      }),
      { numRuns: 20, seed: 20260302 },
    )
    expect(strictly).toBe(true)
  })

  it('act-order is the same as columns sorted beforehand', async () => {
    await fc.assert(
      fc.asyncProperty(anyLayer, anySpqr, async (layer, options) => {
        const { w, sigma, q, p } = layer
        const order = Array.from({ length: p }, (_, j) => j).sort(
          (a, b) => Math.fround(sigma[b * p + b]) - Math.fround(sigma[a * p + a]) || a - b,
        )
        const sorted = {
          w: Float32Array.from({ length: q * p }, (_, i) => w[Math.floor(i / p) * p + order[i % p]]),
          sigma: Float64Array.from({ length: p * p }, (_, i) => sigma[order[Math.floor(i / p)] * p + order[i % p]]),
          q,
          p,
        }
        const got = await solve(gpu, spqr, layer, { ...options, actOrder: true })
        const plain = await solve(gpu, spqr, sorted, { ...options, actOrder: false })
        expect(order.map((j) => got.groupIndex[j])).toEqual(Array.from(plain.groupIndex))
        expect(Array.from({ length: q * p }, (_, i) => got.codes[Math.floor(i / p) * p + order[i % p]])).toEqual(Array.from(plain.codes))
      }),
      { numRuns: 10, seed: 20260303 },
    )
  })
})

describe('a searched grid', () => {
  it.each(['mse', 'weighted'] as const)('(%s) is the best that float64 finds in the shrunk ranges', async (grid) => {
    const damping = 0.01
    let [cells, ties] = [0, 0]
    await fc.assert(
      fc.asyncProperty(anyLayer, fc.constantFrom(2, 3, 4), async ({ w, sigma, q, p }, bits) => {
        // With Σ diagonal no column disturbs another, so every grid is that of the weights themselves.
        const diagonal = Float64Array.from(sigma).map((value, i) => (i % (p + 1) ? 0 : value))
        const given = { bits, groupSize: 16, damping, simplified: true, bilevel: false, grid, threshold: 1e6 }
        const got = await solve(gpu, spqr, { w, sigma: diagonal, q, p }, given)
        const variance = (j: number) => diagonal[j * (p + 1)]
        const mean = Array.from({ length: p }, (_, j) => variance(j)).reduce((sum, value) => sum + value, 0) / p
        for (let row = 0; row < q; row++) {
          for (let start = 0; start < p; start += 16) {
            const columns = Array.from({ length: Math.min(16, p - start) }, (_, i) => start + i)
            // An input that is always zero has its weights set to zero first.
            const x = columns.map((j) => (variance(j) > 0 ? w[row * p + j] : 0))
            const much = columns.map((j) => (variance(j) > 0 ? variance(j) + damping * mean : 0.5))
            const error = (scale: number, zero: number) =>
              x.reduce((sum, v, i) => {
                const code = Math.min(2 ** bits - 1, Math.max(0, Math.round(v / scale + zero)))
                const off = Math.abs(scale * (code - zero) - v)
                return sum + (grid === 'mse' ? off ** 2.4 : much[i] * off ** 2)
              }, 0)
            const [lo, hi] = [Math.min(...x), Math.max(...x)]
            if (lo === hi) continue
            const middle = (lo + hi) / 2
            const least = shrinks({ grid, symmetric: false }).reduce((least, [a, b]) => {
              const [low, high] = [middle + a * (lo - middle), middle + b * (hi - middle)]
              const scale = (high - low) / (2 ** bits - 1)
              return Math.min(least, error(scale, -low / scale))
            }, Number.POSITIVE_INFINITY)
            const at = (start / 16) * q + row
            const chosen = error(got.scales[at], got.zeros[at])
            cells++
            if (chosen > least * (1 + 1e-4) + 1e-12) ties++
            expect(chosen).toBeLessThanOrEqual(least * 1.05 + 1e-9)
          }
        }
      }),
      { numRuns: 20, seed: 20260304 },
    )
    expect(cells).toBeGreaterThan(400)
    // Where float32 takes the other side of a tie, another range is as good.
    expect(ties / cells).toBeLessThan(0.02)
  })
})

describe('flat weights', () => {
  const sigma = Float64Array.from({ length: 1024 }, (_, i) => Number(i % 33 === 0))
  it.each<[string, (i: number) => number, Options]>([
    ['that are all zero', () => 0, {}],
    ['that are all alike', () => 0.02, {}],
    ['of one value in each row', (i) => (Math.floor(i / 32) - 7) / 64, { bilevel: false }],
  ])('%s come out exact', async (_, value, options) => {
    const w = Float32Array.from({ length: 16 * 32 }, (_, i) => value(i))
    const got = await solve(gpu, spqr, { w, sigma, q: 16, p: 32 }, options)
    expect(got.what.map((v, i) => v + (got.outliers?.h[i] ?? 0))).toBeClose(w, { absolute: 1e-6 })
  })
})

describe('what it takes', () => {
  const [q, p] = [256, 512]
  let state = 1
  const noise = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  }
  const layer = {
    w: Float32Array.from({ length: q * p }, noise),
    sigma: Float32Array.from({ length: p * p }, (_, i) => (i % (p + 1) ? 0.1 : 1)),
    q,
    p,
  }

  it.each([
    [16, 'minmax'],
    [128, 'weighted'],
  ])('is the work that was announced, in groups of %i on a %s grid', async (groupSize, grid) => {
    const { options } = resolveOptions(spqr.options, { groupSize, grid })
    const weight = gpu.upload(flip(layer.w, q, p), [p, q])
    const gram = gpu.upload(layer.sigma, [p, p])
    const before = gpu.flops
    const problem = { gpu, weight, gram, gramDiagonal: new Float32Array(p).fill(1), derived: new Derived(), halfScales: true }
    disposeQuantized(await spqr.solve(problem, options, {}))
    const ratio = (gpu.flops - before) / spqr.work(q, p, options)
    expect(ratio).toBeGreaterThan(0.9)
    expect(ratio).toBeLessThan(1.1)
    weight.dispose()
    gram.dispose()
  })

  it('is 6 / g + 64 / 16g bits for a grid, 32 / g uncompressed', () => {
    const bits = (given: Options, rows = q) => {
      const { scales, zeros } = spqr.gridOf(resolveOptions(spqr.options, given).options).cellBits(rows, p)
      return (scales + zeros) / (rows * p)
    }
    expect(bits({})).toBe(6 / 16 + 64 / 256)
    expect(bits({ groupSize: 64 })).toBe(6 / 64 + 64 / 1024)
    expect(bits({ bilevel: false })).toBe(32 / 16)
    // A short last run has statistics as large as the others.
    expect(bits({}, 20)).toBe(6 / 16 + (2 * 64) / (20 * 16))
  })
})
