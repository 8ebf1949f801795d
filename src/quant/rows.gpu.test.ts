/**
 * Given Σ, rows of W are problems of their own: a layer may be cut into tiles of rows, for memory or for pace, and nothing
 * changes. Not so where the whole layer decides: outliers chosen among all weights (QuantEase, SpQR), statistics that rows
 * share (SpQR), and the choice between GPTQ's weights and relaxed sweeps that ended above them.
 */
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../gpu/device.ts'
import { testGpu } from '../gpu/testing.ts'
import type { Options } from '../options.ts'
import { solvers } from './index.ts'
import { anyGrid, anyLayer, type Layer, solve } from './testing.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

/** What to ask of each method so that its rows are separable; SpQR's never are. */
const separable: Record<string, Options> = {
  rtn: {},
  quantease: { iterations: 5 },
  gptq: {},
  gptq_quantease: { iterations: 4, relax: false },
  quantease_plus: { iterations: 8 },
  awq: {},
}

const rowsOf = ({ w, sigma, p }: Layer, from: number, to: number): Layer => ({
  w: Float32Array.from({ length: (to - from) * p }, (_, i) => w[from * p + i]),
  sigma,
  q: to - from,
  p,
})

describe('tiles of rows, solved apart, are the layer solved at once', () => {
  it('for every method but SpQR', () => {
    expect(Object.keys(separable).sort()).toEqual(
      solvers
        .map(({ id }) => id)
        .filter((id) => id !== 'spqr')
        .sort(),
    )
  })

  it.each(Object.entries(separable))('%s', async (id, more) => {
    const solver = solvers.find((one) => one.id === id)!
    await fc.assert(
      fc.asyncProperty(anyLayer, anyGrid, fc.nat(), async (layer, grid, cut) => {
        const known = Object.entries(grid).filter(([key]) => solver.options.some((spec) => spec.key === key))
        const options = { ...Object.fromEntries(known), ...more }
        const { q, p } = layer
        const middle = 4 * (cut % (q / 4 + 1))
        const whole = await solve(gpu, solver, layer, options, true)
        for (const [from, to] of [
          [0, middle],
          [middle, q],
        ]) {
          if (from === to) continue
          const part = await solve(gpu, solver, rowsOf(layer, from, to), options, true)
          expect(part.codes).toEqual(whole.codes.slice(from * p, to * p))
          expect(part.what).toEqual(whole.what.slice(from * p, to * p))
        }
      }),
      { numRuns: 8, seed: 20261101 },
    )
  })
})
