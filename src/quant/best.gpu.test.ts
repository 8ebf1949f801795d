/**
 * The search of QuantEase+ against a float64 twin of it: passes for multiples of a row's scale, of which each row keeps the best by what its
 * codes promise, then the scale that fits those codes, and a sweep on it.
 */
import { expect, test } from 'vitest'
import { diagonal } from '../gpu/ops.ts'
import { testGpu } from '../gpu/testing.ts'
import { Best, weightTimesGram } from './best.ts'
import { factor } from './gptq.ts'
import { gridOf } from './grids/index.ts'
import { layoutOf } from './layout.ts'
import { Derived } from './solver.ts'
import { flip } from './testing.ts'

const [q, p, tokens, damping] = [32, 24, 40, 0.01]
const bits = 3
const MULTIPLES = [0.82, 0.91, 1, 1.1, 1.24]
const most = 2 ** bits - 1

interface Cell {
  scale: number
  zero: number
}

/** A row while it is searched. */
interface Candidate {
  what: number[]
  cell: Cell
  objective: number
  promise: number
  /** The best common multiple of its scale. */
  multiple: number
}

const round = (value: number, { scale, zero }: Cell) => scale * (Math.min(most, Math.max(0, Math.round(value / scale) + zero)) - zero)
const times = (matrix: number[][], x: number[]) => matrix.map((line) => line.reduce((sum, one, j) => sum + one * x[j], 0))
const dot = (x: number[], y: number[]) => x.reduce((sum, one, j) => sum + one * y[j], 0)

function inverse(a: number[][]): number[][] {
  const both = a.map((line, i) => [...line, ...a.map((_, j) => Number(i === j))])
  for (const [k, pivot] of both.entries()) {
    const by = pivot[k]
    for (const [j, value] of pivot.entries()) pivot[j] = value / by
    for (const line of both) {
      const share = line[k]
      if (line !== pivot) for (const [j, value] of pivot.entries()) line[j] -= share * value
    }
  }
  return both.map((line) => line.slice(a.length))
}

/** Columns one after the other, each error made up for by those that are left as (Σ + λI)⁻¹ has it. */
function passOver(w: number[], damped: number[][], order: Iterable<number>, cell: Cell): number[] {
  const left = [...w]
  const what = w.map(() => 0)
  let inv = inverse(damped)
  for (const i of order) {
    what[i] = round(left[i], cell)
    const off = (left[i] - what[i]) / inv[i][i]
    const row = inv[i]
    for (const j of left.keys()) left[j] -= off * row[j]
    inv = inv.map((line) => line.map((value, j) => value - (line[i] * row[j]) / row[i]))
    // What is fixed takes part no more.
    inv[i][i] = 1
  }
  return what
}

function judge(w: number[], sigma: number[][], what: number[], cell: Cell): Candidate {
  const rest = w.map((value, j) => value - what[j])
  const objective = dot(rest, times(sigma, rest))
  const [cross, own] = [dot(what, times(sigma, rest)), dot(what, times(sigma, what))]
  const fits = own > 0 && Math.abs(cross) < own / 4
  return { what, cell, objective, promise: fits ? objective - cross ** 2 / own : objective, multiple: fits ? 1 + cross / own : 1 }
}

/** One sweep: every column to the level nearest to its minimizer, given all others. */
function sweep(w: number[], sigma: number[][], from: number[], order: Iterable<number>, cell: Cell): number[] {
  const what = [...from]
  for (const j of order) {
    const rest = w.map((value, i) => value - what[i])
    what[j] = round(what[j] + dot(sigma[j], rest) / sigma[j][j], cell)
  }
  return what
}

/** A layer whose inputs hang together. */
function layer() {
  let state = 11
  const noise = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.fround(state / 2 ** 31 - 1)
  }
  const w = Array.from({ length: q }, () => Array.from({ length: p }, noise))
  const x = Array.from({ length: tokens }, () => {
    const shared = noise()
    return Array.from({ length: p }, (_, j) => (noise() + shared) * (1 + (j % 5)))
  })
  const sigma = Array.from({ length: p }, (_, i) =>
    Array.from({ length: p }, (_, j) => Math.fround(x.reduce((sum, one) => sum + one[i] * one[j], 0))),
  )
  return { w, sigma }
}

test('starts, the best of each row, and a sweep on its scale are those of float64', async () => {
  const gpu = await testGpu()
  const { w, sigma } = layer()
  const weight = gpu.upload(flip(w.flat(), q, p), [p, q])
  const gram = gpu.upload(Float32Array.from(sigma.flat()), [p, p])
  const gramDiagonal = await diagonal(gpu, gram)
  const problem = { gpu, weight, gram, gramDiagonal, derived: new Derived(), halfScales: false }
  const grid = gridOf({ bits, groupSize: -1, symmetric: false, grid: 'weighted' })
  const layout = layoutOf(gramDiagonal, -1, true, true)
  const cells = grid.make(gpu, weight, layout, false)
  const found = await gpu.read(cells)
  const begun = w.map((_, row): Cell => ({ scale: found[2 * row], zero: found[2 * row + 1] }))

  const lambda = (damping * gramDiagonal.reduce((sum, value) => sum + value, 0)) / p
  const raised = (share: number) => Float64Array.from(layout.order, (j) => gramDiagonal[j] + (share / damping) * lambda)
  const { vt } = await factor(problem, layout.order, raised, damping, 'a twin')
  const best = new Best({ problem, grid, support: null, product: weightTimesGram(problem) }, cells)
  await best.starts({ layout, vt: vt!, lambda }, MULTIPLES)
  const started = flip(await gpu.read(best.what), p, q)

  const damped = sigma.map((line, i) => line.map((value, j) => value + (i === j ? lambda : 0)))
  const twins = w.map((row, n) => {
    const each = MULTIPLES.map((multiple) => {
      const cell = { ...begun[n], scale: begun[n].scale * multiple }
      return judge(row, sigma, passOver(row, damped, layout.order, cell), cell)
    })
    return each.reduce((a, b) => (b.promise < a.promise ? b : a))
  })
  // A tie of float32 may go the other way in a row; in most of them every weight is the same.
  const alike = (got: Float32Array, wanted: Candidate[]) =>
    wanted.filter(({ what, cell }, n) => what.every((value, j) => Math.abs(value - got[n * p + j]) < 1e-4 * cell.scale)).length
  expect(alike(started, twins)).toBeGreaterThan(0.9 * q)
  // Not all rows keep the same multiple, or the search would be none.
  expect(new Set(twins.map(({ cell }, n) => (cell.scale / begun[n].scale).toFixed(2))).size).toBeGreaterThan(2)
  expect(await best.objective()).toBeClose(
    twins.reduce((sum, { objective }) => sum + objective, 0),
    { relative: 2e-2 },
  )

  await best.descend(layout, 1, false, false)
  const swept = flip(await gpu.read(best.what), p, q)
  const after = twins.map((one, n) => {
    const cell = { ...one.cell, scale: one.cell.scale * one.multiple }
    const next = judge(w[n], sigma, sweep(w[n], sigma, one.what, layout.order, cell), cell)
    return next.objective < one.objective ? next : one
  })
  expect(alike(swept, after)).toBeGreaterThan(0.85 * q)
  const total = after.reduce((sum, { objective }) => sum + objective, 0)
  expect(await best.objective()).toBeClose(total, { relative: 2e-2 })
  expect(total).toBeLessThan(twins.reduce((sum, { objective }) => sum + objective, 0))
})
