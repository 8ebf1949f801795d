/**
 * Chooses damping and the strength of the target's correction for the linears of a stage, by the error on held-out tokens. Each value is
 * tried on 64 rows of every linear, spread over it, by a short solver that reaches within a few per cent of the long ones: GPTQ with
 * act-order on the run's grid, then four sweeps. The damping first, with half of the correction where one is asked for; then the strength.
 */
import type { Device } from '../gpu/device.ts'
import { copyColumns, inFloats } from '../gpu/ops.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { type Options, resolveOptions } from '../options.ts'
import type { Aim, AskedAim } from './aim.ts'
import { gptqQuantease } from './gptq_quantease.ts'
import { optionsFor } from './grids/index.ts'
import { objective } from './rounding.ts'
import { Derived, disposeQuantized, gridOptions, isTight, type LinearProblem } from './solver.ts'
import { aimed, type InputSums, outputLosses, type Shelf, targetWork } from './target.ts'

/**
 * Values, each with what its error is multiplied with before errors are compared. What is usually best comes first, and the first of
 * equals is kept, as in a dry run. A few held-out windows tell no differences of 5 %. Less damping has to halve the error: even where it lowers
 * the layers' error on held-out tokens by a third, as for down projections, whose sums a few large tokens fill, the model's divergence
 * rises. On the demo at 2 to 4 bits KL is 10 to 30 % lower with 0.1 everywhere than with the least held-out error of each stage; at 4 bits
 * one down projection with 37 % less error made it 12 % higher.
 */
const DAMPINGS = new Map([
  [0.1, 1],
  [0.3, 1.05],
  [1, 1.05],
  [0.01, 2],
  [0, 2],
])
/**
 * Half of the correction at most: beyond, the layers' error on held-out tokens still falls, but the model's divergence rises. Measured on
 * stories260K at 3 bits, KL with λ = 0.1: 0.264 at a half, 0.283 at 1; chosen from up to 1, 0.268, from up to a half, 0.266.
 */
const ALPHAS = new Map([
  [0.5, 1],
  [0.25, 1.05],
  [0, 1.05],
])

/** What the error of an aim is multiplied with before the least is taken; 1 for values that are never tried. */
export const handicapOf = ({ damping, alpha }: Aim): number => (DAMPINGS.get(damping) ?? 1) * (ALPHAS.get(alpha) ?? 1)

/** Near the best nearly everywhere. */
export const USUAL_DAMPING = 0.1

/** Rows of each linear that are tried, in runs of RUN. */
export const ROWS = 64
const RUN = 8
const SWEEPS = 4

/** What was tried, and its relative error on the held-out tokens. */
export interface Trial extends Aim {
  error: number
}

export interface Chosen extends Aim {
  /** None where nothing was to choose. */
  trials: Trial[]
}

/** Linears with the same inputs. */
export interface ChoiceProblem extends Pick<LinearProblem, 'gpu' | 'gramDiagonal' | 'halfScales'> {
  /** `[p, q]` of each linear */
  weights: Tensor[]
  /** Of the calibration windows. */
  seen: Pick<InputSums, 'gram' | 'cross'>
  /** Sums of the held-out windows; null where there are none. */
  heldOut: InputSums | null
  /** Takes what a solver does not look at off the GPU, and brings it back. */
  shelf?: Shelf
}

/** Values that are tried for an aim. */
const valuesOf = ({ damping, alpha }: AskedAim) => ({
  dampings: damping === 'auto' ? [...DAMPINGS.keys()] : [],
  alphas: alpha === 'auto' ? [...ALPHAS.keys()] : [],
})

/** Trials that a choice takes, at most; none where nothing is held out. */
export function trialsOf(asked: AskedAim | null, heldOut: number): number {
  if (!asked || !heldOut) return 0
  const { dampings, alphas } = valuesOf(asked)
  return dampings.length + alphas.length
}

/** Floating-point operations of `chooseAim` for linears with `p` inputs, `each` their outputs. */
export function choiceWork(each: number[], p: number, asked: AskedAim): number {
  const { dampings, alphas } = valuesOf(asked)
  const trials = dampings.length + alphas.length
  if (!trials) return 0
  const q = each.reduce((sum, rows) => sum + Math.min(rows, ROWS), 0)
  const corrected = asked.alpha !== 0
  const one = gptqQuantease.work(q, p, trialOptions({})) + (corrected ? 2 : 1) * 2 * q * p * p + (corrected ? targetWork(q, p) : 0)
  // The factor is made once for each damping.
  const shared = gptqQuantease.sharedWork!(p, trialOptions({}))
  return trials * one - (trials - Math.max(1, dampings.length)) * shared
}

export async function chooseAim(stage: ChoiceProblem, asked: AskedAim, options: Options): Promise<Chosen> {
  const { dampings, alphas } = valuesOf(asked)
  const first = { damping: asked.damping === 'auto' ? 0 : asked.damping, alpha: asked.alpha === 'auto' ? 0.5 : asked.alpha }
  if (!stage.heldOut || dampings.length + alphas.length === 0) return { ...first, trials: [] }
  await stage.shelf?.fetch('heldOut.gram')
  const trying = new Trying(stage, stage.heldOut, asked, trialOptions(optionsFor(options, stage.seen.gram.rows)))
  const { damping } = (await trying.least(dampings.map((damping) => ({ ...first, damping })))) ?? first
  const { alpha } = (await trying.least(alphas.map((alpha) => ({ damping, alpha })))) ?? first
  trying.dispose()
  return { damping, alpha, trials: trying.trials }
}

/** The short solver on the grid of a run. */
export function trialOptions(options: Options) {
  const shared = gridOptions.flatMap(({ key }) => (options[key] === undefined ? [] : [[key, options[key]]]))
  const given = { ...Object.fromEntries(shared), actOrder: true, staticGroups: true, iterations: SWEEPS, relax: false }
  return resolveOptions(gptqQuantease.options, given).options as Options
}

class Trying {
  readonly trials: Trial[] = []
  readonly #weight: Tensor
  /** Of the damping that is being tried: one at a time is kept. */
  #derived = new Derived()
  #damping = Number.NaN
  readonly #base: PromiseLike<number>

  constructor(
    readonly stage: ChoiceProblem,
    readonly heldOut: InputSums,
    readonly asked: AskedAim,
    readonly options: Options,
  ) {
    this.#weight = someRows(stage.gpu, stage.weights)
    this.#base = objective(stage.gpu, this.#weight, heldOut.gram)
  }

  /** Tries all, and returns the one of the least error by its handicap; undefined of none. */
  async least(aims: Aim[]): Promise<Aim | undefined> {
    let best: Aim | undefined
    let least = Number.POSITIVE_INFINITY
    for (const aim of aims) {
      const { error } = this.#tried(aim) ?? (await this.#attempt(aim))
      const score = error * handicapOf(aim)
      if (score < least) [best, least] = [aim, score]
    }
    return best
  }

  #tried = (aim: Aim) => this.trials.find(({ damping, alpha }) => damping === aim.damping && alpha === aim.alpha)

  async #attempt(aim: Aim): Promise<Trial> {
    if (aim.damping !== this.#damping) {
      this.#derived.dispose()
      this.#derived = new Derived()
      this.#damping = aim.damping
    }
    const { gpu, gramDiagonal, halfScales, seen, shelf } = this.stage
    await shelf?.shelve('gram')
    await shelf?.fetch('gram')
    // Where there is little room, factors are made again for each strength of the correction.
    const last = isTight(gpu, seen.gram.rows)
    const problem = { gpu, gram: seen.gram, gramDiagonal, halfScales, weight: this.#weight, derived: this.#derived, last }
    const own = await aimed(problem, seen, aim, this.asked.damps, shelf)
    const result = await gptqQuantease.solve(own.problem, this.options, {})
    own.dispose()
    const [loss] = await outputLosses(gpu, this.#weight, [result.what], this.heldOut, shelf)
    disposeQuantized(result)
    const whole = await this.#base
    const error = whole > 0 ? (await loss) / whole : 0
    const trial = { ...aim, error: Number(error.toPrecision(6)) }
    this.trials.push(trial)
    return trial
  }

  dispose(): void {
    this.#weight.dispose()
    this.#derived.dispose()
  }
}

/** Rows spread over each linear, side by side: `[p, rows]` */
export function someRows(gpu: Device, weights: Tensor[]): Tensor {
  const counts = weights.map(({ cols }) => Math.floor(Math.max(1, Math.min(ROWS, cols) / RUN)) * Math.min(RUN, cols))
  const some = gpu.empty([weights[0].rows, counts.reduce((sum, rows) => sum + rows, 0)])
  let at = 0
  for (const [i, weight] of weights.entries()) {
    const wide = inFloats(gpu, weight)
    const rows = Math.min(RUN, weight.cols)
    const runs = counts[i] / rows
    for (let run = 0; run < runs; run++, at += rows) {
      const from = Math.floor((run * (weight.cols - rows)) / Math.max(1, runs - 1) / 4) * 4
      copyColumns(gpu, wide, Math.max(0, from), some, at, rows)
    }
    if (wide !== weight) wide.dispose()
  }
  return some
}
