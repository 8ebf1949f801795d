/** Grids whose levels are a table: every weight goes to the nearest level of its cell, and scales are what the formats hold. */
import { expect, it } from 'vitest'
import { random } from '../../data/corpus.ts'
import { testGpu } from '../../gpu/testing.ts'
import { resolveOptions } from '../../options.ts'
import { rtn } from '../rtn.ts'
import { Derived } from '../solver.ts'

const [q, p] = [16, 128]
const draw = random(3)
// A block of zeros, and one of equal weights.
const w = Float32Array.from({ length: p * q }, (_, i) => {
  const block = Math.floor(i / q / 32)
  return i % q === 0 && block < 2 ? block * 0.3 : (draw() - 0.4) ** 3 * 2 ** -(i % 7)
})
const e2m1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
const iq4nl = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
const half = (x: number) => Number.isInteger(x / 2 ** Math.max(-24, Math.floor(Math.log2(Math.abs(x))) - 10))

it.each<[string, number[], (scale: number) => boolean]>([
  ['iq4_nl', iq4nl, half],
  ['mxfp4', [...e2m1, ...e2m1.map((value) => -value)], (scale) => Number.isInteger(Math.log2(scale))],
])('%s', async (kind, table, holds) => {
  const gpu = await testGpu()
  const [weight, gram] = [gpu.upload(w, [p, q]), gpu.upload(new Float32Array(p * p).fill(1), [p, p])]
  const problem = { gpu, weight, gram, gramDiagonal: new Float32Array(p).fill(1), derived: new Derived(), halfScales: true }
  for (const grid of ['minmax', 'mse', 'weighted']) {
    const result = await rtn.solve(problem, resolveOptions(rtn.options, { kind, grid }).options, {})
    const [codes, what, cells] = [await gpu.read(result.codes), await gpu.read(result.what), await gpu.read(result.grid)]
    for (const [i, value] of what.entries()) {
      const scale = cells[2 * (Math.floor(i / q / 32) * q + (i % q))]
      expect(holds(scale), `scale ${scale}`).toBe(true)
      expect(value === scale * table[codes[i]], `weight ${i}`).toBe(true)
      const best = Math.min(...table.map((level) => Math.abs(scale * level - w[i])))
      expect(Math.abs(value - w[i]), `weight ${i}: ${w[i]} as ${value}`).toBeLessThanOrEqual(best * (1 + 1e-5) + 1e-12)
    }
    expect(new Set(codes).size).toBeGreaterThan(12)
    // No −0.
    if (kind === 'mxfp4') expect(codes.includes(8)).toBe(false)
  }
})
