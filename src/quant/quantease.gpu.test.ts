import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../gpu/device.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { testGpu } from '../gpu/testing.ts'
import { diagonal } from '../gpu/ops.ts'
import { Descent, fastestPanel, isRelaxed } from './descent.ts'
import { goldenCases } from './golden/golden.ts'
import { quantease } from './quantease.ts'
import { gridOf } from './grids/index.ts'
import { layoutOf } from './layout.ts'
import { Derived } from './solver.ts'
import { anyGrid, anyLayer, expectGrid, flip, goldenLayer, type Layer, solve } from './testing.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

describe('golden vectors', async () => {
  const cases = await goldenCases('quantease')

  it('are all there', () => {
    expect(cases.length).toBe(68)
  })

  it.each(cases.map((one) => [`${one.dataset} ${one.name}`, one] as const))('%s', async (_, one) => {
    const { layer, expected, options } = await goldenLayer(one)
    const { iters = 30, relax = true, actorder = false, static: fixed = false } = one.params
    const got = await solve(gpu, quantease, layer, { ...options, iterations: iters, relax, actOrder: actorder, staticGroups: fixed })
    expectGrid(one, expected, got, layer)
    expect(got.relativeError).toBeClose(one.rel_error, { relative: 0.01 })
    const trace = expected.get(`${one.name}/trace`)!.data
    expect(got.trace.length).toBe(trace.length)
    trace.forEach((value, t) => {
      expect(got.trace[t], `sweep ${t}`).toBeClose(value, { relative: 0.01 })
    })
    const codes = expected.get(`${one.name}/codes`)!.data
    const different = codes.reduce((count, code, i) => count + Number(code !== got.codes[i]), 0)
    const exact = one.dataset === 'exact8x16' || one.tie_margin! > 1e-4
    expect(different / codes.length).toBeLessThanOrEqual(exact ? 0 : 0.03)
  })
})

describe('promises of the paper, on random layers', () => {
  it('a quantized sweep never raises the objective without relaxation', async () => {
    await fc.assert(
      fc.asyncProperty(anyLayer, anyGrid, async (layer, options) => {
        const got = await solve(gpu, quantease, layer, { ...options, iterations: 6, relax: false })
        for (let t = 1; t < got.trace.length; t++) expect(got.trace[t]).toBeLessThanOrEqual(got.trace[t - 1] * (1 + 1e-4) + 1e-9)
        // The recurrence of the objective ends where an independent product says.
        expect(got.trace.at(-1)!).toBeClose(got.relativeError, { absolute: 1e-3 * got.relativeError + 2e-6 })
        if (layer.dead) expect(got.notes.join()).toContain('always zero')
      }),
      { numRuns: 25, seed: 20260101 },
    )
  })

  it('a sweep that begins on the grid tells how many codes it changes', async () => {
    const differing = (one: ArrayLike<number>, two: ArrayLike<number>) =>
      Array.from(one).reduce((count, code, i) => count + Number(code !== two[i]), 0)
    await fc.assert(
      fc.asyncProperty(anyLayer, anyGrid, fc.constantFrom(0, 0.02), async (layer, options, outlier) => {
        const sweeps = (iterations: number, relax: boolean) =>
          solve(gpu, quantease, layer, { ...options, outlier, outlierMode: 'masked', iterations, relax })
        const [two, three] = [await sweeps(2, false), await sweeps(3, false)]
        const kept = (at: number) => three.outliers && three.outliers.h[at] !== 0
        const grid = (codes: ArrayLike<number>) => Array.from(codes).filter((_, i) => !kept(i))
        expect(three.changed).toEqual([undefined, expect.any(Number), differing(grid(two.codes), grid(three.codes))])
        // The second sweep is relaxed, so what the third changes are no codes.
        expect((await sweeps(5, true)).changed.map((count) => count !== undefined)).toEqual([false, false, false, true, true])
      }),
      { numRuns: 4, seed: 20260104 },
    )
  })

  it('codes stay in range, pack and unpack to themselves, and are the same from run to run', async () => {
    await fc.assert(
      fc.asyncProperty(anyLayer, anyGrid, async (layer, options) => {
        const { q, p } = layer
        const one = await solve(gpu, quantease, layer, { ...options, iterations: 3 }, true)
        const two = await solve(gpu, quantease, layer, { ...options, iterations: 3 }, true)
        expect(two.codes).toEqual(one.codes)
        expect(one.codes.every((code) => Number.isInteger(code) && code >= 0 && code < 2 ** options.bits)).toBe(true)
        for (let row = 0; row < q; row++) {
          for (let k = 0; k < p; k++) {
            let code = 0
            for (let b = 0; b < options.bits; b++) {
              const bit = k * options.bits + b
              code |= ((one.solved.codes[(bit >> 5) * q + row] >>> (bit & 31)) & 1) << b
            }
            expect(code).toBe(one.codes[row * p + k])
          }
        }
        // Scales are float16 values: rounding them again changes nothing.
        const view = new DataView(new ArrayBuffer(4))
        for (const scale of one.scales) {
          view.setFloat32(0, scale)
          expect(scale).toBeGreaterThan(0)
          if (scale >= 2 ** -14) expect(view.getUint32(0) & 0x1fff).toBe(0)
        }
      }),
      { numRuns: 10, seed: 20260102 },
    )
  })
})

describe('sweeps on two levels', () => {
  /** Sweeps of a layer in panels of so many columns: Ŵ and the objective of every row. */
  async function descend({ w, sigma, q, p }: Layer, panel: number, relaxed: boolean) {
    const weight = gpu.upload(flip(w, q, p), [p, q])
    const gram = gpu.upload(Float32Array.from(sigma), [p, p])
    const gramDiagonal = await diagonal(gpu, gram)
    const derived = new Derived()
    const layout = layoutOf(gramDiagonal, -1, true, true)
    const grid = gridOf({ bits: 3, groupSize: -1, symmetric: false, grid: 'minmax' })
    const cells = grid.make(gpu, weight, layout, false)
    const descent = new Descent({ gpu, weight, gram, gramDiagonal, derived, halfScales: false }, layout, cells, grid)
    for (let t = 0; t < 3; t++) await descent.sweep(relaxed && t === 1, panel)
    const read = async (tensor: Tensor) => (await gpu.read(tensor)) as Float32Array
    const result = { what: await read(descent.what), objective: await read(descent.objective) }
    for (const tensor of [weight, gram, cells, descent.what, descent]) tensor.dispose()
    return result
  }

  it('are those on one level, bit for bit where float32 is exact', async () => {
    // Weights and scales are multiples of 1/8, Σ has powers of two on its diagonal and small integers elsewhere.
    const [q, p] = [12, 196]
    const w = Float32Array.from({ length: q * p }, (_, i) => (i % p === 0 ? -3 / 8 : i % p === 1 ? 4 / 8 : (((i * 37) % 29) - 14) / 64))
    const sigma = Float32Array.from({ length: p * p }, (_, i) => {
      const [a, b] = [Math.floor(i / p), i % p].sort((x, y) => x - y)
      return a === b ? [64, 128][a % 2] : ((a * 7 + b * 3) % 5) - 2
    })
    const one = await descend({ w, sigma, q, p }, 32, false)
    expect(new Set(one.what).size).toBe(8)
    for (const panel of [64, 96, 256]) expect(await descend({ w, sigma, q, p }, panel, false)).toEqual(one)
  })

  it('end where those on one level end, on random layers, relaxed sweeps included', async () => {
    await fc.assert(
      fc.asyncProperty(anyLayer, fc.constantFrom(64, 256), fc.boolean(), async (layer, panel, relaxed) => {
        const [one, two] = [await descend(layer, 32, relaxed), await descend(layer, panel, relaxed)]
        // Sums in another order: a value within a few roundings of a tie may go the other way, and others of its row follow.
        const different = one.what.reduce((count, value, i) => count + Number(Math.abs(value - two.what[i]) > 1e-3), 0)
        expect(different / one.what.length).toBeLessThan(0.05)
      }),
      { numRuns: 10, seed: 20260103 },
    )
  })

  it('are tried by measuring', async () => {
    expect([32, 256, 512]).toContain(await fastestPanel(gpu, { q: 32, p: 288 }))
  })
})

describe('relaxation', () => {
  it('skips rounding in sweeps 1, 4, … 25 of 30 and never in the last', () => {
    const of = (iterations: number) => Array.from({ length: iterations }, (_, t) => t).filter((t) => isRelaxed(t, iterations))
    expect(of(30)).toEqual([1, 4, 7, 10, 13, 16, 19, 22, 25])
    expect(of(2)).toEqual([])
    expect(of(40)).toEqual([1, 4, 7, 10, 13, 16, 19, 22, 25])
  })
})
