import { beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../gpu/device.ts'
import { testGpu } from '../gpu/testing.ts'
import { goldenCases } from './golden/golden.ts'
import { rtn } from './rtn.ts'
import { expectGrid, goldenLayer, solve } from './testing.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

describe('golden vectors', async () => {
  const cases = await goldenCases('rtn')

  it('are all there', () => {
    expect(cases.length).toBe(40)
  })

  it.each(cases.map((one) => [`${one.dataset} ${one.name}`, one] as const))('%s', async (_, one) => {
    const { layer, expected, options } = await goldenLayer(one)
    const got = await solve(gpu, rtn, layer, options)
    const ties = expectGrid(one, expected, got, layer)
    // Symmetric grids put the row's extreme on an exact tie: one step is allowed there, and only there.
    let off = 0
    expected.get(`${one.name}/codes`)!.data.forEach((code, i) => {
      if (ties.has(got.groupIndex[i % layer.p] * layer.q + Math.floor(i / layer.p))) return
      const step = Math.abs(code - got.codes[i])
      expect(step).toBeLessThanOrEqual(one.params.sym ? 1 : 0)
      off += step
    })
    expect(off).toBeLessThanOrEqual(one.params.sym ? got.scales.length : 0)
    expect(got.relativeError).toBeClose(one.rel_error, { relative: off ? 0.05 : ties.size ? 1e-3 : 1e-4 })
  })
})
