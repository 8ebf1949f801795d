import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../gpu/device.ts'
import { testGpu } from '../gpu/testing.ts'
import { goldenCases } from './golden/golden.ts'
import { gptq } from './gptq.ts'
import { gptqQuantease } from './gptq_quantease.ts'
import { anyGrid, anyLayer, expectGrid, expectRepresentable, goldenLayer, solve } from './testing.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

describe('golden vectors', async () => {
  const cases = await goldenCases('gptq_quantease')

  it('are all there', () => {
    expect(cases.length).toBe(16)
  })

  it.each(cases.map((one) => [`${one.dataset} ${one.name}`, one] as const))('%s', async (_, one) => {
    const { layer, expected, options } = await goldenLayer(one)
    const { iters = 10, relax = false, actorder = false, static: fixed = false } = one.params
    const got = await solve(gpu, gptqQuantease, layer, {
      ...options,
      iterations: iters,
      relax,
      actOrder: actorder,
      staticGroups: fixed,
      freshGroups: false,
    })
    expectGrid(one, expected, got)
    expect(got.relativeError).toBeClose(one.rel_error, { relative: 0.01 })
    const trace = expected.get(`${one.name}/trace`)!.data
    expect(got.trace.length).toBe(trace.length)
    trace.forEach((value, t) => {
      expect(got.trace[t], `sweep ${t}`).toBeClose(value, { relative: 0.01 })
      // Non-increasing; the recurrence is off by a few roundings of f.
      if (t) expect(got.trace[t]).toBeLessThanOrEqual(got.trace[t - 1] * (1 + 1e-4))
    })
    const codes = expected.get(`${one.name}/codes`)!.data
    const different = codes.reduce((count, code, i) => count + Number(code !== got.codes[i]), 0)
    // Descent may flip a code at a near-tie, and others after it.
    expect(different / codes.length).toBeLessThanOrEqual(one.dataset === 'exact8x16' ? 0 : 0.03)
  })
})

describe('on random layers', () => {
  it('never ends above GPTQ, on its grid, relaxed or not', async () => {
    await fc.assert(
      fc.asyncProperty(anyLayer, anyGrid, fc.boolean(), async (layer, options, relax) => {
        const start = await solve(gpu, gptq, layer, options, true)
        const got = await solve(gpu, gptqQuantease, layer, { ...options, iterations: 6, relax }, true)
        expect(got.relativeError).toBeLessThanOrEqual(start.relativeError)
        expect(got.scales).toEqual(start.scales)
        expect(got.zeros).toEqual(start.zeros)
        expect(got.groupIndex).toEqual(start.groupIndex)
        expectRepresentable(got, layer.q)
        if (!relax) {
          expect(got.trace[0]).toBeLessThanOrEqual(start.relativeError * (1 + 1e-4) + 1e-9)
          for (let t = 1; t < got.trace.length; t++) expect(got.trace[t]).toBeLessThanOrEqual(got.trace[t - 1] * (1 + 1e-4) + 1e-9)
        }
      }),
      { numRuns: 20, seed: 20260105 },
    )
  })
})
