/** Every kind of grid under every solver, and one that is added in one file and one line: powers of two, ± scale · 2^−e. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { random } from '../../data/corpus.ts'
import type { Device } from '../../gpu/device.ts'
import { testGpu } from '../../gpu/testing.ts'
import { resolveOptions } from '../../options.ts'
import { gptqQuantease } from '../gptq_quantease.ts'
import { solvers } from '../index.ts'
import { collect, restore } from '../linear.ts'
import { rtn } from '../rtn.ts'
import { Derived, type Solver } from '../solver.ts'
import { cellKind } from './cells.ts'
import { gridKinds } from './index.ts'
import { uniform } from './uniform.ts'

/** Codes 0 .. n − 1 stand for −s, −s/2, …, codes n .. 2n − 1 for …, s/2, s, with n = zero = (most + 1) / 2, s the scale. */
const powers = cellKind({
  id: 'powers',
  cellBits: (q, p, options) => uniform.of({ ...options, symmetric: true }).cellBits(q, p),
  wgsl: `//#include lib/half
//#include lib/quantized
fn code_of(v: f32, cell: vec2f, most: f32) -> f32 {
  var e = 0.0;
  // The middle between a level and the next one is three quarters of it.
  while (e < cell.y - 1.0 && abs(v) < 0.75 * cell.x * exp2(-e)) { e += 1.0; }
  return select(most - e, e, v < 0.0);
}
fn value_of(code: f32, cell: vec2f) -> f32 {
  let most = 2.0 * cell.y - 1.0;
  return select(-cell.x * exp2(-code), cell.x * exp2(code - most), code >= cell.y);
}
fn range_of(lo: f32, hi: f32, symmetric: bool) -> vec2f { return max(-lo, hi) * vec2f(-1.0, 1.0); }
fn shrunk(range: vec2f, factors: vec2f) -> vec2f { return factors * range; }
fn cell_of(range: vec2f, most: f32, symmetric: bool, half: bool) -> vec2f {
  return vec2f(stored_scale(max(max(-range.x, range.y), 1e-9), half), (most + 1.0) / 2.0);
}
fn rescaled(cell: vec2f, scale: f32, half: bool) -> vec2f { return vec2f(stored_scale(scale, half), cell.y); }`,
})

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
  gridKinds.push(powers)
})
afterAll(() => {
  gridKinds.pop()
})

const [q, p] = [16, 64]
const draw = random(11)
const w = Float32Array.from({ length: p * q }, () => draw() ** 3 * (draw() < 0.5 ? -1 : 1))

/** Options that do not name a kind reach it all the same: they are spread to `gridOf`. */
const given = { bits: 3, groupSize: 32, symmetric: false }

async function solved(solver: Solver, kind: string, grid: string) {
  const sigma = Float32Array.from({ length: p * p }, (_, i) => (i % (p + 1) ? 0.9 : 1))
  const [weight, gram] = [gpu.upload(w, [p, q]), gpu.upload(sigma, [p, p])]
  const problem = { gpu, weight, gram, gramDiagonal: new Float32Array(p).fill(1), derived: new Derived(), halfScales: true }
  const fixed = gridKinds.find(({ id }) => id === kind)!.fixed
  const options = { ...resolveOptions(solver.options, { ...given, grid }).options, symmetric: false, kind, ...fixed }
  const result = await solver.solve(problem, options, {})
  const kept = await collect(gpu, result, solver.gridOf(options))
  return {
    kept,
    error: await result.error,
    what: (await gpu.read(result.what)) as Float32Array,
    restored: await gpu.read(restore(gpu, kept)),
  }
}

it('powers of two are told from others, and every weight goes to the nearest of its row and group', async () => {
  const { kept, what, restored } = await solved(rtn, 'powers', 'minmax')
  expect(kept.levels).toBe('powers')
  expect(restored).toEqual(what)
  for (const [i, value] of what.entries()) {
    const end = kept.grid[2 * (Math.floor(i / q / 32) * q + (i % q))]
    const levels = [1, 0.5, 0.25, 0.125].flatMap((power) => [power * end, -power * end])
    const best = levels.reduce((a, b) => (Math.abs(b - w[i]) < Math.abs(a - w[i]) ? b : a))
    expect(Math.abs(value - w[i]), `weight ${i}`).toBeLessThanOrEqual(Math.abs(best - w[i]) * (1 + 1e-6))
  }
})

describe.each(['uniform', 'real', 'affine', 'q4_0', 'powers'])('a grid of kind %s', (kind) => {
  /** SpQR has a grid of its own. */
  const free = solvers.filter(({ id }) => id !== 'spqr')

  it.each(free.map((solver) => [solver.id, solver] as const))('under %s', async (_, solver) => {
    for (const grid of ['minmax', 'mse', 'weighted']) {
      const { kept, what, restored, error } = await solved(solver, kind, grid)
      expect(restored, grid).toEqual(what)
      const nearest = await solved(rtn, kind, grid)
      // What looks at Σ ends below what does not.
      if (solver !== rtn && solver.id !== 'awq') expect(error, grid).toBeLessThan(0.9 * nearest.error)
      expect(error, grid).toBeLessThan(2 * nearest.error)
      if (kind !== 'powers') continue
      const scales = new Set(kept.grid.filter((_, i) => !(i & 1)))
      expect([...new Set(what.map(Math.abs))].every((value) => [...scales].some((s) => Number.isInteger(Math.log2(value / s))))).toBe(true)
    }
  })
})

it('is not there any more once the line is gone', () => {
  gridKinds.pop()
  const options = { bits: 3, groupSize: -1, symmetric: false, grid: 'minmax', kind: 'powers' } as const
  expect(() => rtn.gridOf(options)).toThrow('no grid "powers"')
  expect(() => gptqQuantease.gridOf(options)).toThrow('no grid "powers"')
  gridKinds.push(powers)
})
