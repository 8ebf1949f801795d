import { beforeAll, describe, expect, it } from 'vitest'
import { random } from '../data/corpus.ts'
import type { Device } from '../gpu/device.ts'
import { diagonal } from '../gpu/ops.ts'
import { type Matrix, matrix, product, transposed } from '../gpu/reference.ts'
import { testGpu } from '../gpu/testing.ts'
import { askedAim } from './aim.ts'
import { chooseAim, handicapOf } from './choice.ts'
import { Derived } from './solver.ts'
import { aimed, type InputSums, outputLosses } from './target.ts'
import { flip } from './testing.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

const [q, p] = [24, 96]

/** A linear with its inputs in the full-precision model, and those, a little off, that it gets. Inputs `[p, tokens]`. */
function layer(tokens: number, seed: number, drift: number) {
  const next = random(seed)
  const noise = () => next() + next() + next() - 1.5
  const mixing = matrix(p, p, (i, j) => (i === j ? 1 : 0.15 * noise()))
  const w = matrix(q, p, noise)
  const draw = () => {
    const x = product(
      mixing,
      matrix(p, tokens, (i) => noise() * (1 + (i % 7))),
    )
    return { x, xt: matrix(p, tokens, (i, j) => x.data[i * tokens + j] * 0.97 + drift * noise()) }
  }
  return { w, seen: draw(), heldOut: draw() }
}

type Inputs = ReturnType<typeof layer>['seen']

const minus = (a: Matrix, b: Matrix) => matrix(a.rows, a.cols, (i, j) => a.data[i * a.cols + j] - b.data[i * a.cols + j])
const squared = (a: Matrix) => a.data.reduce((sum, value) => sum + value * value, 0)
const upload = (a: Matrix) => gpu.upload(Float32Array.from(a.data), [a.rows, a.cols])

function sumsOf({ x, xt }: Inputs): InputSums & { dispose(): void } {
  const e = minus(x, xt)
  const [gram, cross, drift] = [product(xt, transposed(xt)), product(xt, transposed(e)), product(e, transposed(e))].map(upload)
  return { gram, cross, drift, dispose: () => [gram, cross, drift].forEach((tensor) => void tensor.dispose()) }
}

async function problemOf(w: Matrix, { gram }: InputSums) {
  const weight = gpu.upload(flip(w.data, q, p), [p, q])
  return { gpu, weight, gram, gramDiagonal: await diagonal(gpu, gram), derived: new Derived(), halfScales: false }
}

/** Solves A X = B for a positive definite A, by elimination. */
function solved(a: Matrix, b: Matrix): Matrix {
  const n = a.rows
  const [left, right] = [Float64Array.from(a.data), Float64Array.from(b.data)]
  for (let k = 0; k < n; k++) {
    for (let i = 0; i < n; i++) {
      if (i === k) continue
      const share = left[i * n + k] / left[k * n + k]
      for (let j = k; j < n; j++) left[i * n + j] -= share * left[k * n + j]
      for (let j = 0; j < b.cols; j++) right[i * b.cols + j] -= share * right[k * b.cols + j]
    }
  }
  return matrix(n, b.cols, (i, j) => right[i * b.cols + j] / left[i * n + i])
}

describe('the target', () => {
  it.each([
    [0.01, 0.5],
    [0.3, 1],
  ])('is the minimizer in float64, with λ = %d of the mean and α = %d', async (damping, alpha) => {
    const { w, seen } = layer(300, 5, 0.3)
    const sums = sumsOf(seen)
    const problem = await problemOf(w, sums)
    const own = await aimed(problem, sums, { damping, alpha }, true)
    const gram = product(seen.xt, transposed(seen.xt))
    const mean = Array.from({ length: p }, (_, j) => gram.data[j * p + j]).reduce((a, b) => a + b, 0) / p
    const ridged = matrix(p, p, (i, j) => gram.data[i * p + j] + (i === j ? damping * mean : 0))
    // P = W (αC + (1 − α)Σ̃ + λI), C = X X̃ᵀ.
    const wanted = matrix(
      p,
      p,
      (i, j) => alpha * product0(seen, i, j) + (1 - alpha) * gram.data[i * p + j] + (i === j ? damping * mean : 0),
    )
    const t = transposed(solved(ridged, transposed(product(w, wanted))))
    const got = await gpu.read(own.problem.weight)
    // Float32 through a factor of condition up to some thousands.
    expect(got).toBeClose(flip(t.data, q, p), { ofLargest: 2e-4 })
    expect(await gpu.read(own.problem.gram)).toBeClose(Float32Array.from(ridged.data), { ofLargest: 1e-6 })
    expect(own.problem.gramDiagonal).toBeClose(
      Float32Array.from({ length: p }, (_, j) => ridged.data[j * p + j]),
      { relative: 1e-5 },
    )
    own.dispose()
    problem.derived.dispose()
    sums.dispose()

    function product0({ x, xt }: Inputs, i: number, j: number): number {
      let sum = 0
      for (let t = 0; t < x.cols; t++) sum += x.data[i * x.cols + t] * xt.data[j * x.cols + t]
      return sum
    }
  })

  it('is W itself, and Σ itself, where nothing is asked for', async () => {
    const { w, seen } = layer(200, 6, 0.3)
    const sums = sumsOf(seen)
    const problem = await problemOf(w, sums)
    const own = await aimed(problem, sums, { damping: 0, alpha: 0 }, true)
    expect(own.problem.weight).toBe(problem.weight)
    expect(own.problem.gram).toBe(problem.gram)
    expect(askedAim({ target: 'original', targetAlpha: 'auto', ridge: 0 }, true)).toBeNull()
    expect(askedAim({ target: 'corrected', targetAlpha: 'auto', ridge: 'auto' }, false)).toBeNull()
    expect(askedAim({ target: 'original', targetAlpha: 1, damping: 0.01 }, true)).toBeNull()
    sums.dispose()
  })

  it('is compared by ‖WX − ŴX̃‖²', async () => {
    const { w, heldOut } = layer(150, 7, 0.4)
    const sums = sumsOf(heldOut)
    const what = matrix(q, p, (i, j) => w.data[i * p + j] + 0.05 * Math.sin(i + 3 * j))
    const [weight, other] = [w, what].map((x) => gpu.upload(flip(x.data, q, p), [p, q]))
    const expected = squared(minus(product(w, heldOut.x), product(what, heldOut.xt)))
    expect(await (await outputLosses(gpu, weight, [other], sums))[0]).toBeClose(expected, { relative: 1e-4 })
    const plain = squared(minus(product(w, heldOut.xt), product(what, heldOut.xt)))
    expect(await (await outputLosses(gpu, weight, [other], { gram: sums.gram, cross: null, drift: null }))[0]).toBeClose(plain, {
      relative: 1e-4,
    })
    sums.dispose()
  })
})

describe('the choice', () => {
  it.each([
    // Few tokens are fitted too closely even at 0.1; with many the usual stays, since less has to earn more than it can here.
    { tokens: 40, damping: 0.3 },
    { tokens: 6000, damping: 0.1 },
  ])('of the damping is the least held-out error times its handicap, with $tokens tokens', async ({ tokens, damping }) => {
    const { w, seen, heldOut } = layer(tokens, 8, 0)
    const [sums, held] = [sumsOf(seen), sumsOf(heldOut)]
    const { weight, derived: _, ...problem } = await problemOf(w, sums)
    const stage = {
      ...problem,
      weights: [weight],
      seen: { gram: sums.gram, cross: null },
      heldOut: { gram: held.gram, cross: null, drift: null },
    }
    const asked = { damping: 'auto', alpha: 0, damps: true } as const
    const chosen = await chooseAim(stage, asked, { bits: 3, groupSize: -1, symmetric: false, grid: 'weighted' })
    expect(chosen.trials.map(({ damping }) => damping)).toEqual([0.1, 0.3, 1, 0.01, 0])
    const score = (trial: (typeof chosen.trials)[0]) => trial.error * handicapOf({ ...trial, alpha: 0.5 })
    const best = chosen.trials.reduce((a, b) => (score(b) < score(a) ? b : a))
    expect(chosen.damping).toBe(best.damping)
    expect(chosen.damping, JSON.stringify(chosen.trials)).toBe(damping)
    expect(await chooseAim(stage, asked, { bits: 3, groupSize: -1, symmetric: false, grid: 'weighted' })).toEqual(chosen)
    sums.dispose()
    held.dispose()
  })

  it('of the strength corrects inputs that drifted, and does not without held-out tokens', async () => {
    const { w, seen, heldOut } = layer(2000, 9, 0.5)
    const [sums, held] = [sumsOf(seen), sumsOf(heldOut)]
    const { weight, derived: _, ...problem } = await problemOf(w, sums)
    const stage = { ...problem, weights: [weight], seen: sums, heldOut: held }
    const asked = { damping: 0.01, alpha: 'auto', damps: true } as const
    const options = { bits: 4, groupSize: -1, symmetric: false, grid: 'weighted' }
    const chosen = await chooseAim(stage, asked, options)
    expect(chosen.trials.map(({ alpha }) => alpha)).toEqual([0.5, 0.25, 0])
    // Inputs that shrank by 3 % are stretched again.
    expect(chosen.alpha).toBeGreaterThan(0)
    const without = chosen.trials.find(({ alpha }) => alpha === 0)!
    expect(Math.min(...chosen.trials.map(({ error }) => error))).toBeLessThan(without.error)
    expect(await chooseAim({ ...stage, heldOut: null }, { ...asked, alpha: 0.5 }, options)).toEqual({
      damping: 0.01,
      alpha: 0.5,
      trials: [],
    })
    sums.dispose()
    held.dispose()
  })
})
