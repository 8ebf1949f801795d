/** A kind of grid that is added in one file and one line, and taken away again: powers of two, ± scale · 2^−e. */
import { expect, it } from 'vitest'
import { kernelVariant } from '../../gpu/kernel.ts'
import { scale } from '../../gpu/ops.ts'
import { testGpu } from '../../gpu/testing.ts'
import { random } from '../../data/corpus.ts'
import { collect, restore } from '../linear.ts'
import { quantease } from '../quantease.ts'
import { rtn } from '../rtn.ts'
import { Derived } from '../solver.ts'
import type { GridKind } from './grid.ts'
import { gridKinds } from './index.ts'
import { uniform } from './uniform.ts'

/** Codes 0 .. n − 1 stand for −s, −s/2, …, codes n .. 2n − 1 for …, s/2, s, with n = zero = (most + 1) / 2, s the scale. */
const wgsl = `
fn code_of(v: f32, grid: vec2f, most: f32) -> f32 {
  var e = 0.0;
  // The middle between a level and the next one is three quarters of it.
  while (e < grid.y - 1.0 && abs(v) < 0.75 * grid.x * exp2(-e)) { e += 1.0; }
  return select(most - e, e, v < 0.0);
}
fn value_of(code: f32, grid: vec2f) -> f32 {
  let most = 2.0 * grid.y - 1.0;
  return select(-grid.x * exp2(-code), grid.x * exp2(code - most), code >= grid.y);
}
fn quantized(v: f32, grid: vec2f, most: f32) -> f32 { return value_of(code_of(v, grid, most), grid); }
fn quantized4(v: vec4f, cells: mat2x4f, most: f32) -> vec4f {
  return vec4f(quantized(v.x, cells[0].xy, most), quantized(v.y, cells[0].zw, most),
    quantized(v.z, cells[1].xy, most), quantized(v.w, cells[1].zw, most));
}`

const powers: GridKind = {
  id: 'powers',
  kernel: (name) => kernelVariant(name, 'powers', { 'lib/grid': wgsl }),
  of(options) {
    const even = uniform.of({ ...options, symmetric: true })
    return {
      ...even,
      levels: 'powers',
      kernel: powers.kernel,
      // From the step of a symmetric grid to its end: half of all steps.
      make(gpu, weight, layout, halfScales) {
        const cells = even.make(gpu, weight, layout, halfScales)
        const factor = gpu.upload(Float32Array.of(even.most / 2, 1), [2])
        scale(gpu, cells.view([cells.size / 2, 2]), { cols: factor })
        factor.dispose()
        return cells
      },
    }
  },
}

const [q, p] = [16, 64]

it('powers of two are one line in the list: solvers round to them, and what they solve is restored', async () => {
  gridKinds.push(powers)
  try {
    const gpu = await testGpu()
    const draw = random(11)
    const w = Float32Array.from({ length: p * q }, () => draw() ** 3 * (draw() < 0.5 ? -1 : 1))
    const sigma = Float32Array.from({ length: p * p }, (_, i) => (i % (p + 1) ? 0.5 : 1))
    const [weight, gram] = [gpu.upload(w, [p, q]), gpu.upload(sigma, [p, p])]
    const problem = { gpu, weight, gram, gramDiagonal: new Float32Array(p).fill(1), derived: new Derived(), halfScales: true }
    const options = { bits: 3, groupSize: 32, symmetric: false, grid: 'minmax', levels: 'powers' }
    const grid = rtn.gridOf(options)
    const nearest = await rtn.solve(problem, options, {})
    const solved = await collect(gpu, nearest, grid)
    expect(solved.levels).toBe('powers')
    const what = (await gpu.read(nearest.what)) as Float32Array
    expect(await gpu.read(restore(gpu, solved))).toEqual(what)
    for (const [i, value] of what.entries()) {
      const end = solved.grid[2 * (Math.floor(i / q / 32) * q + (i % q))]
      const levels = [1, 0.5, 0.25, 0.125].flatMap((power) => [power * end, -power * end])
      const best = levels.reduce((a, b) => (Math.abs(b - w[i]) < Math.abs(a - w[i]) ? b : a))
      expect(Math.abs(value - w[i]), `weight ${i}`).toBeLessThanOrEqual(Math.abs(best - w[i]) * (1 + 1e-6))
    }
    const better = await quantease.solve(problem, { ...defaults(quantease.options), ...options }, {})
    const values = new Set(((await gpu.read(better.what)) as Float32Array).map(Math.abs))
    const scales = solved.grid.filter((_, i) => !(i & 1))
    expect([...values].every((value) => [...scales].some((scale) => Number.isInteger(Math.log2(value / scale))))).toBe(true)
    expect(await better.error).toBeLessThan(0.5 * (await nearest.error))
  } finally {
    gridKinds.pop()
  }
  expect(() => rtn.gridOf({ bits: 3, groupSize: -1, symmetric: false, grid: 'minmax', levels: 'powers' })).toThrow('no grid "powers"')
})

const defaults = (specs: readonly { key: string; default: number | string | boolean }[]) =>
  Object.fromEntries(specs.map((spec) => [spec.key, spec.default]))
