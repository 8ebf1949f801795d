/** Set-up for tests of solvers: one linear from host arrays to the solver and back, golden cases, random layers. */
import fc from 'fast-check'
import { expect } from 'vitest'
import type { Device } from '../gpu/device.ts'
import { diagonal } from '../gpu/ops.ts'
import { type Options, resolveOptions } from '../options.ts'
import { type Arrays, type Golden, goldenArrays } from './golden/golden.ts'
import { objective } from './rounding.ts'
import { Derived, disposeQuantized, type ObjectivePoint, type Solver } from './solver.ts'
import { collect } from './linear.ts'

/** A matrix `[rows, cols]` transposed. */
export const flip = (data: ArrayLike<number>, rows: number, cols: number) =>
  Float32Array.from({ length: rows * cols }, (_, i) => data[(i % rows) * cols + Math.floor(i / rows)])

export interface Layer {
  /** W `[q, p]` */
  w: ArrayLike<number>
  /** Σ `[p, p]` */
  sigma: ArrayLike<number>
  q: number
  p: number
}

export type Solved = Awaited<ReturnType<typeof solve>>

/** Solves one layer and brings everything to the host; matrices `[q, p]`, tables `[groups, q]`. */
export async function solve(gpu: Device, solver: Solver, { w, sigma, q, p }: Layer, given: Options, halfScales = false) {
  const weight = gpu.upload(flip(w, q, p), [p, q])
  const gram = gpu.upload(Float32Array.from(sigma), [p, p])
  const points: ObjectivePoint[] = []
  const { options, problems } = resolveOptions(solver.options, given)
  // The golden sets have groups of 8 and 16, which no option offers.
  expect(problems.filter(({ key }) => key !== 'groupSize')).toEqual([])
  const derived = new Derived()
  const problem = { gpu, weight, gram, gramDiagonal: await diagonal(gpu, gram), derived, halfScales }
  const result = await solver.solve(problem, options, { report: (more) => void points.push(...more) })
  const base = await objective(gpu, weight, gram)
  const error = await result.error
  const count = (await result.outliers?.count) ?? 0
  const grid = await gpu.read(result.grid)
  const host = {
    codes: flip(await gpu.read(result.codes), p, q),
    what: flip(await gpu.read(result.what), p, q),
    outliers: result.outliers && count ? { ...result.outliers, count, h: flip(await gpu.read(result.outliers.h), p, q) } : null,
    scales: Float32Array.from({ length: result.groups * q }, (_, i) => grid[2 * i]),
    zeros: Float32Array.from({ length: result.groups * q }, (_, i) => grid[2 * i + 1]),
    groupIndex: result.groupIndex,
    relativeError: error / base,
    trace: points.map(({ value }) => value / base),
    changed: points.map(({ changed }) => changed),
    solved: await collect(gpu, result, solver.gridOf(options)),
    notes: result.notes,
  }
  disposeQuantized(result)
  derived.dispose()
  weight.dispose()
  gram.dispose()
  return host
}

/** Inputs and expected arrays of a golden case, with the options that every grid has. */
export async function goldenLayer(one: Golden): Promise<{ layer: Layer; expected: Arrays; options: Options }> {
  const inputs = await goldenArrays(`${one.dataset}.inputs`)
  const [q, p] = inputs.get('W')!.shape
  const { bits, group, sym = false, mse = false } = one.params
  return {
    layer: { w: inputs.get('W')!.data, sigma: inputs.get('Sigma')!.data, q, p },
    expected: await goldenArrays(`${one.dataset}.cases`),
    options: { bits, groupSize: group, symmetric: sym, grid: mse ? 'mse' : 'minmax' },
  }
}

/**
 * Scales, zeros and groups as expected, and codes that stand for exactly the weights that were measured. With the `layer`, a
 * search by MSE may end at another grid that is as good to a millionth, less than float32 tells apart: those cells are returned.
 */
export function expectGrid(one: Golden, expected: Arrays, got: Solved, layer?: Layer): Set<number> {
  const ties = new Set<number>()
  const scale = expected.get(`${one.name}/scale`)!
  const zero = expected.get(`${one.name}/zero`)!
  const [q, groups] = scale.shape
  for (let row = 0; row < q; row++) {
    for (let g = 0; g < groups; g++) {
      const mine = { scale: got.scales[g * q + row], zero: got.zeros[g * q + row] }
      const theirs = { scale: scale.data[row * groups + g], zero: zero.data[row * groups + g] }
      const same = Math.abs(mine.scale / theirs.scale - 1) < 1e-6
      if (layer && !same && one.params.mse) {
        const columns = [...got.groupIndex.keys()].filter((j) => got.groupIndex[j] === g)
        const error = (cell: typeof mine) =>
          columns.reduce((sum, j) => sum + powerOfError(layer.w[row * layer.p + j], cell, 2 ** one.params.bits - 1), 0)
        expect(error(mine)).toBeClose(error(theirs), { relative: 1e-6 })
        ties.add(g * q + row)
        continue
      }
      expect(same).toBe(true)
      expect(got.zeros[g * q + row]).toBe(zero.data[row * groups + g])
    }
  }
  expect(Array.from(got.groupIndex)).toEqual(Array.from(expected.get(`${one.name}/g_idx`)!.data))
  expectRepresentable(got, q)
  return ties
}

/** What a search by MSE sums, in float64. */
function powerOfError(w: number, { scale, zero }: { scale: number; zero: number }, most: number): number {
  const code = Math.min(most, Math.max(0, Math.round(w / scale) + zero))
  return Math.abs(scale * (code - zero) - w) ** 2.4
}

/** Codes, scales and zeros dequantize to exactly Ŵ. */
export function expectRepresentable(got: Solved, q: number): void {
  const p = got.groupIndex.length
  got.what.forEach((value, i) => {
    const at = got.groupIndex[i % p] * q + Math.floor(i / p)
    expect(value).toBe(Math.fround(got.scales[at] * Math.fround(got.codes[i] - got.zeros[at])))
  })
}

/** Random layers of awkward shapes, with and without a dead input. */
export const anyLayer = fc
  .record({
    q: fc.integer({ min: 1, max: 12 }).map((n) => 4 * n),
    p: fc.integer({ min: 1, max: 21 }).map((n) => 4 * n),
    n: fc.integer({ min: 1, max: 60 }),
    seed: fc.integer(),
    dead: fc.boolean(),
  })
  .map(({ q, p, n, seed, dead }): Layer & { dead: boolean } => {
    let state = seed >>> 0
    const noise = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return Math.fround(state / 2 ** 31 - 1)
    }
    const w = Float32Array.from({ length: q * p }, noise)
    const x = Float32Array.from({ length: n * p }, (_, i) => (dead && i % p === 1 ? 0 : noise() * (1 + (i % p) / 4)))
    const sigma = new Float64Array(p * p)
    for (let t = 0; t < n; t++) for (let i = 0; i < p; i++) for (let j = 0; j < p; j++) sigma[i * p + j] += x[t * p + i] * x[t * p + j]
    return { w, sigma, q, p, dead }
  })

/** Options of grid and order that every combination of must work. */
export const anyGrid = fc.record({
  bits: fc.constantFrom(2, 3, 4, 8),
  groupSize: fc.constantFrom(-1, 32),
  symmetric: fc.boolean(),
  actOrder: fc.boolean(),
  staticGroups: fc.boolean(),
})
