import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Gpu } from '../gpu/device.ts'
import { testGpu } from '../gpu/testing.ts'
import { isRelaxed } from './descent.ts'
import { goldenCases } from './golden/golden.ts'
import { quantease } from './quantease.ts'
import { anyGrid, anyLayer, expectGrid, goldenLayer, solve } from './testing.ts'

let gpu: Gpu
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
    const { iters = 30, relax = true, actorder = false, static: fixed = false, sym, mse } = one.params
    const got = await solve(gpu, quantease, layer, { ...options, iterations: iters, relax, actOrder: actorder, staticGroups: fixed })
    expectGrid(one, expected, got)
    expect(Math.abs(got.relativeError / one.rel_error - 1)).toBeLessThan(0.01)
    const trace = expected.get(`${one.name}/trace`)!.data
    expect(got.trace.length).toBe(trace.length)
    trace.forEach((value, t) => {
      expect(Math.abs(got.trace[t] / value - 1), `sweep ${t}`).toBeLessThan(0.01)
    })
    const codes = expected.get(`${one.name}/codes`)!.data
    const different = codes.reduce((count, code, i) => count + Number(code !== got.codes[i]), 0)
    const exact = (one.dataset === 'exact8x16' && !sym && !mse) || one.tie_margin! > 1e-4
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
        expect(Math.abs(got.trace.at(-1)! - got.relativeError)).toBeLessThan(1e-3 * got.relativeError + 2e-6)
        if (layer.dead) expect(got.notes.join()).toContain('always zero')
      }),
      { numRuns: 25, seed: 20260101 },
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
              code |= ((one.packed.codes[(bit >> 5) * q + row] >>> (bit & 31)) & 1) << b
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

describe('relaxation', () => {
  it('skips rounding in sweeps 1, 4, … 25 of 30 and never in the last', () => {
    const of = (iterations: number) => Array.from({ length: iterations }, (_, t) => t).filter((t) => isRelaxed(t, iterations))
    expect(of(30)).toEqual([1, 4, 7, 10, 13, 16, 19, 22, 25])
    expect(of(2)).toEqual([])
    expect(of(40)).toEqual([1, 4, 7, 10, 13, 16, 19, 22, 25])
  })
})
