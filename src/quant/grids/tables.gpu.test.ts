/** Grids whose levels are a table: every weight goes to the nearest level of its cell, and scales are what the formats hold. */
import { expect, it } from 'vitest'
import { random } from '../../data/corpus.ts'
import { testGpu } from '../../gpu/testing.ts'
import { resolveOptions } from '../../options.ts'
import { layoutOf } from '../layout.ts'
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

/** Whether E4M3 has a number, times the power of two that the tensor has. */
const eight = (scale: number, unit: number) => {
  const x = scale / unit
  return Number.isInteger(Math.log2(unit)) && x <= 448 && x > 0 && Number.isInteger(x / 2 ** (Math.max(-6, Math.floor(Math.log2(x))) - 3))
}

it.each<[string, number[], (scale: number, unit: number) => boolean]>([
  ['iq4_nl', iq4nl, half],
  ['mxfp4', [...e2m1, ...e2m1.map((value) => -value)], (scale) => Number.isInteger(Math.log2(scale))],
  ['nvfp4', [...e2m1, ...e2m1.map((value) => -value)], eight],
])('%s', async (kind, table, holds) => {
  const gpu = await testGpu()
  const [weight, gram] = [gpu.upload(w, [p, q]), gpu.upload(new Float32Array(p * p).fill(1), [p, p])]
  const problem = { gpu, weight, gram, gramDiagonal: new Float32Array(p).fill(1), derived: new Derived(), halfScales: true }
  for (const grid of ['minmax', 'mse', 'weighted']) {
    const result = await rtn.solve(problem, resolveOptions(rtn.options, { kind, grid }).options, {})
    const [codes, what, cells] = [await gpu.read(result.codes), await gpu.read(result.what), await gpu.read(result.grid)]
    for (const [i, value] of what.entries()) {
      const [scale, unit] = cells.subarray(2 * (Math.floor(i / q / result.groupSize) * q + (i % q)))
      expect(holds(scale, unit), `scale ${scale} of ${unit}`).toBe(true)
      expect(value === scale * table[codes[i]], `weight ${i}`).toBe(true)
      const best = Math.min(...table.map((level) => Math.abs(scale * level - w[i])))
      expect(Math.abs(value - w[i]), `weight ${i}: ${w[i]} as ${value}`).toBeLessThanOrEqual(best * (1 + 1e-5) + 1e-12)
    }
    expect(new Set(codes).size).toBeGreaterThan(12)
    // No −0.
    if (kind !== 'iq4_nl') expect(codes.includes(8)).toBe(false)
  }
  if (kind !== 'nvfp4') return
  // Linears that have a larger weight in common have its scale.
  const shared = await rtn.solve(problem, { ...resolveOptions(rtn.options, { kind }).options, span: 700 }, {})
  const cells = await gpu.read(shared.grid)
  expect(new Set(cells.filter((_, i) => i & 1))).toEqual(new Set([1]))
})

it.each<[string, (unit: number) => number[]]>([
  ['mxfp4', () => Array.from({ length: 60 }, (_, i) => 2 ** (i - 40))],
  [
    'nvfp4',
    (unit) => Array.from({ length: 126 }, (_, i) => unit * (i < 7 ? (i + 1) / 512 : (1 + ((i + 1) % 8) / 8) * 2 ** (((i + 1) >> 3) - 7))),
  ],
])('a refit of %s gives each block the best scale that there is, given all others', async (kind, scales) => {
  const gpu = await testGpu()
  const sigma = new Float32Array(p * p)
  for (let token = 0; token < 2 * p; token++) {
    const x = Float32Array.from({ length: p }, (_, j) => (draw() - 0.5) * (j % 7 ? 1 : 4))
    for (let i = 0; i < p * p; i++) sigma[i] += x[Math.floor(i / p)] * x[i % p]
  }
  const gramDiagonal = Float32Array.from({ length: p }, (_, j) => sigma[j * p + j])
  const [weight, gram] = [gpu.upload(w, [p, q]), gpu.upload(sigma, [p, p])]
  const { options } = resolveOptions(rtn.options, { kind })
  const result = await rtn.solve({ gpu, weight, gram, gramDiagonal, derived: new Derived(), halfScales: true }, options, {})
  const before = (await gpu.read(result.what)) as Float32Array
  const rest = gpu.upload(
    w.map((value, i) => value - before[i]),
    [p, q],
  )
  const { groupSize, grid } = result
  const layout = layoutOf(gramDiagonal, groupSize, false, true)
  const cells = (await gpu.read(grid)) as Float32Array
  const refit = await rtn.gridOf(options).refit({ gpu, gram, what: result.what, rest, halfScales: true }, grid, layout)
  const next = (await gpu.read(refit)) as Float32Array
  for (const row of [5]) {
    // Ŵ of the row while its blocks are moved one by one.
    const what = Float64Array.from({ length: p }, (_, j) => before[j * q + row])
    const lost = (of: Float64Array) => {
      const d = of.map((value, j) => value - w[j * q + row])
      return d.reduce((sum, left, i) => sum + left * d.reduce((all, right, j) => all + right * sigma[i * p + j], 0), 0)
    }
    for (let group = 0; group < p / groupSize; group++) {
      const at = 2 * (group * q + row)
      const scaled = (x: number) => what.map((value, j) => (Math.floor(j / groupSize) === group ? (value / cells[at]) * x : value))
      const found = scaled(next[at])
      const best = Math.min(lost(what), ...scales(next[at + 1]).map((x) => lost(scaled(x))))
      expect(lost(found), `row ${row}, block ${group}`).toBeClose(best, { relative: 1e-4 })
      what.set(found)
    }
  }
})
