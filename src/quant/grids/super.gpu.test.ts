/** Super-blocks on the GPU: what fits, rescales and refits them, against the formulas in float64. */
import { beforeAll, describe, expect, it } from 'vitest'
import { random } from '../../data/corpus.ts'
import type { Device } from '../../gpu/device.ts'
import { testGpu } from '../../gpu/testing.ts'
import { resolveOptions } from '../../options.ts'
import { awq } from '../awq.ts'
import { gptq } from '../gptq.ts'
import { layoutOf } from '../layout.ts'
import { collect, restore } from '../linear.ts'
import { quanteasePlus } from '../plus.ts'
import { quantease } from '../quantease.ts'
import { rtn } from '../rtn.ts'
import { Derived, type Solver } from '../solver.ts'
import { optionsFor } from './index.ts'
import { superTypes } from './super.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

const [q, p] = [8, 256]
const draw = random(5)
const bell = () => draw() + draw() + draw() - 1.5
/** W `[p, q]` with a few large inputs, and Σ of inputs that resemble each other. */
const w = Float32Array.from({ length: p * q }, (_, i) => bell() * (Math.floor(i / q) % 61 ? 0.02 : 0.2))
const sigma = new Float64Array(p * p)
for (let token = 0; token < 300; token++) {
  const common = bell()
  const x = Float64Array.from({ length: p }, (_, j) => bell() * (j % 37 ? 1 : 5) + common)
  for (let i = 0; i < p; i++) for (let j = 0; j < p; j++) sigma[i * p + j] += x[i] * x[j]
}

/** tr((W − Ŵ) Σ (W − Ŵ)ᵀ) */
function lost(what: ArrayLike<number>): number {
  let sum = 0
  for (let row = 0; row < q; row++) {
    const d = Float64Array.from({ length: p }, (_, j) => w[j * q + row] - what[j * q + row])
    for (let i = 0; i < p; i++) for (let j = 0; j < p; j++) sum += d[i] * sigma[i * p + j] * d[j]
  }
  return sum
}

async function solved(solver: Solver, kind: string, given: Record<string, string | number | boolean> = {}) {
  const [weight, gram] = [gpu.upload(w, [p, q]), gpu.upload(Float32Array.from(sigma), [p, p])]
  const gramDiagonal = Float32Array.from({ length: p }, (_, j) => sigma[j * p + j])
  const problem = { gpu, weight, gram, gramDiagonal, derived: new Derived(), halfScales: true }
  const { options, problems } = resolveOptions(solver.options, { kind, ...given })
  expect(problems).toEqual([])
  const grid = solver.gridOf(options)
  const result = await solver.solve(problem, options, {})
  const what = (await gpu.read(result.what)) as Float32Array
  const kept = await collect(gpu, result, grid)
  expect((await gpu.read(restore(gpu, kept))) as Float32Array).toEqual(what)
  return { grid, result, gram, what, error: await result.error, kept }
}

describe.each(superTypes)('$id', (type) => {
  it('is rounded to, at its size, by every method better than the one before', async () => {
    const { what, kept, error, grid } = await solved(rtn, type.id)
    expect(kept.levels).toBe(type.id)
    expect(error).toBeClose(lost(what), { relative: 1e-3 })
    const { scales, zeros } = grid.cellBits(q, p)
    expect(grid.bits + (scales + zeros) / (p * q)).toBe(type.bytes / 32)
    const sequential = await solved(gptq, type.id, { actOrder: true })
    expect(sequential.error).toBeLessThan(0.7 * error)
    const descended = await solved(quanteasePlus, type.id)
    expect(descended.error).toBeLessThan(0.9 * sequential.error)
  })

  it('is refitted: no group, d or m changes but to a smaller error', async () => {
    const { grid, result, gram, what } = await solved(gptq, type.id)
    const rest = gpu.upload(
      w.map((value, i) => value - what[i]),
      [p, q],
    )
    const codes = (await gpu.read(result.codes)) as Uint32Array
    const layout = layoutOf(new Float32Array(p).fill(1), type.size, false, true)
    const refit = await grid.refit({ gpu, gram, what: result.what, rest, halfScales: true }, result.grid, layout)
    const cells = (await gpu.read(refit)) as Float32Array
    const held = (i: number) => {
      const at = 2 * (Math.floor(i / q / type.size) * q + (i % q))
      return Math.fround(cells[at] * codes[i] + cells[at + 1])
    }
    expect(lost(Float64Array.from(codes, (_, i) => held(i)))).toBeLessThan(lost(what))
    // The new cells are multiples of float16 numbers again: rescaled by one they are found as they are.
    const same = await gpu.read(grid.multiples(gpu, refit, [1], true))
    expect(same).toEqual(cells)
  })
})

it('the best multiples of a group are those that float64 finds among all', async () => {
  const type = superTypes.find(({ id }) => id === 'q2_k')!
  const { grid, result, gram, what } = await solved(rtn, type.id)
  const [codes, before] = [(await gpu.read(result.codes)) as Uint32Array, (await gpu.read(result.grid)) as Float32Array]
  const rest = gpu.upload(
    w.map((value, i) => value - what[i]),
    [p, q],
  )
  const layout = layoutOf(new Float32Array(p).fill(1), type.size, false, true)
  const refit = await grid.refit({ gpu, gram, what: result.what, rest, halfScales: true }, result.grid, layout)
  const after = (await gpu.read(refit)) as Float32Array
  const unit = (of: (k: number) => number) => {
    const largest = Math.max(...Array.from({ length: 16 }, (_, k) => of(k)))
    for (let times = 15; times > 0; times--)
      if (Array.from({ length: 16 }, (_, k) => (of(k) * times) / largest).every((one) => Math.abs(one - Math.round(one)) < 1e-4))
        return largest / times
    return 0
  }
  // The first group of a row is moved before anything else: the others are as they were, and d and m are rescaled only later.
  for (let row = 0; row < q; row++) {
    const [d, m] = [unit((k) => before[2 * (k * q + row)]), unit((k) => -before[2 * (k * q + row) + 1])]
    const errorOf = (s: number, t: number) => {
      const own = Float64Array.from(
        { length: p },
        (_, j) => w[j * q + row] - (j < 16 ? d * s * codes[j * q + row] - m * t : what[j * q + row]),
      )
      let sum = 0
      for (let i = 0; i < p; i++) for (let j = 0; j < p; j++) sum += own[i] * sigma[i * p + j] * own[j]
      return sum
    }
    let best = { error: Number.POSITIVE_INFINITY, s: 0, t: 0 }
    for (let s = 0; s <= 15; s++) for (let t = 0; t <= 15; t++) if (errorOf(s, t) < best.error) best = { error: errorOf(s, t), s, t }
    const [newD, newM] = [unit((k) => after[2 * (k * q + row)]), unit((k) => -after[2 * (k * q + row) + 1])]
    const found = { s: Math.round(after[2 * row] / newD), t: newM ? Math.round(-after[2 * row + 1] / newM) : 0 }
    expect(errorOf(found.s, found.t), `row ${row}: ${JSON.stringify(found)} instead of ${JSON.stringify(best)}`).toBeClose(best.error, {
      relative: 1e-4,
    })
  }
})

it('rows that super-blocks do not divide take the type that llama.cpp does', () => {
  const kind = (one: string, inputs: number) => optionsFor(resolveOptions(quantease.options, { kind: one }).options, inputs)
  expect(superTypes.map(({ id }) => kind(id, 512).kind)).toEqual(['q2_k', 'q3_k', 'q4_k', 'q5_k', 'q6_k'])
  expect(superTypes.map(({ id }) => kind(id, 288).kind)).toEqual(['iq4_nl', 'iq4_nl', 'q5_0', 'q5_1', 'q8_0'])
  expect(kind('q5_k', 288)).toMatchObject({ bits: 5, groupSize: 32, symmetric: false })
  expect(awq.options.some(({ key }) => key === 'kind')).toBe(false)
})
