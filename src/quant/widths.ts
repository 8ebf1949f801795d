/**
 * What a linear loses on each of several grids, before a run solves it: by the run's own method on some of its rows. What errors cost the
 * model is found from whole linears, by a method of the same kind that is quick: the same relative error costs about twice as much where
 * feedback has minimized it as where it comes of rounding.
 */
import type { Device } from '../gpu/device.ts'
import { add, inFloats, subtract } from '../gpu/ops.ts'
import { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { Options } from '../options.ts'
import type { Aim, AskedAim } from './aim.ts'
import { ROWS, someRows, trialOptions, USUAL_DAMPING } from './choice.ts'
import { optionsFor } from './grids/index.ts'
import { gptqQuantease } from './gptq_quantease.ts'
import { objective } from './rounding.ts'
import { rtn } from './rtn.ts'
import { solveLinear, solveWork } from './slices.ts'
import type { Derived, Solver } from './solver.ts'
import { aimed } from './target.ts'

/** How linears are put on a grid. */
export interface Way {
  solver: Solver
  /** Of that solver, for options of the run and linears with `p` inputs. */
  optionsFor(given: Options, p: number): Options
  aim: Aim
  /** As in `AskedAim`. */
  damps: boolean
}

const rounding: Way = { solver: rtn, optionsFor, aim: { damping: 0, alpha: 0 }, damps: false }
/** The short solver of `choice.ts`, damped by a tenth of the mean diagonal, which is near the best nearly everywhere. */
const short: Way = {
  solver: gptqQuantease,
  optionsFor: (given, p) => trialOptions(optionsFor(given, p)),
  aim: { damping: USUAL_DAMPING, alpha: 0 },
  damps: true,
}

/** For whole linears. */
export const quickWay = ({ solver }: Pick<PlannedMethod, 'solver'>): Way => (solver.id === rtn.id ? rounding : short)

/** A method, and what is asked for beside it. */
interface PlannedMethod {
  solver: Solver
  aim: AskedAim | null
}

/** The method itself, for a few rows; of one that rescales a block first, what is quick. */
export function ownWay({ solver, aim }: PlannedMethod): Way {
  if (solver.transform) return short
  const damping = aim?.damping === 'auto' ? USUAL_DAMPING : (aim?.damping ?? 0)
  return { solver, optionsFor, aim: { damping, alpha: 0 }, damps: aim?.damps ?? false }
}

export interface WidthProblem {
  gpu: Device
  /** Σ `[p, p]` and its diagonal. */
  gram: Tensor
  gramDiagonal: Float32Array
  derived: Derived
  /** What errors are measured by, `[p, p]`: of held-out tokens where there are some. */
  judge: Tensor
}

/** Relative errors ‖(W−Ŵ)X‖² / ‖WX‖² of some rows of a linear, spread over it, for each of these options. `held`: W transposed `[p, q]`. */
export async function errorsOn(problem: WidthProblem, held: Tensor, grids: readonly Options[], way: Way): Promise<number[]> {
  const some = someRows(problem.gpu, [held])
  const lost: Reading<number>[] = []
  for (const options of grids) {
    const what = await solved(problem, some, options, way)
    lost.push(off(problem, some, what))
    what.dispose()
    await problem.gpu.pace()
  }
  const losses = relative(objective(problem.gpu, some, problem.judge), lost)
  some.dispose()
  return losses
}

/** A whole linear on a grid, Ŵ `[p, q]`, and its relative error. `held`: W transposed `[p, q]`. */
export async function linearOn(problem: WidthProblem, held: Tensor, options: Options, way: Way): Promise<{ what: Tensor; error: number }> {
  const weight = inFloats(problem.gpu, held)
  const what = await solved(problem, weight, options, way)
  const errors = relative(objective(problem.gpu, weight, problem.judge), [off(problem, weight, what)])
  if (weight !== held) weight.dispose()
  return { what, error: (await errors)[0] }
}

/** Floating-point operations of `errorsOn` for a linear `[q, p]`; `first`: of those with its Σ. */
export function errorsWork(q: number, p: number, grids: readonly Options[], way: Way, first: boolean): number {
  const rows = Math.min(ROWS, q)
  const each = grids.map((given) => way.solver.work(rows, p, way.optionsFor(given, p)) + 2 * rows * p * p)
  return each.reduce((sum, one) => sum + one, 2 * rows * p * p) - (grids.length - (first ? 1 : 0)) * sharedOf(p, grids[0], way)
}

/** The same of `linearOn`. */
export const linearWork = (q: number, p: number, options: Options, way: Way, first: boolean, maxBinding: number): number =>
  solveWork(way.solver, q, p, way.optionsFor(options, p), maxBinding) + 4 * q * p * p - (first ? 0 : sharedOf(p, options, way))

const sharedOf = (p: number, options: Options, { solver, optionsFor }: Way) => solver.sharedWork?.(p, optionsFor(options, p)) ?? 0

/** Ŵ + H `[p, q]` */
async function solved({ gpu, gram, gramDiagonal, derived }: WidthProblem, weight: Tensor, options: Options, way: Way): Promise<Tensor> {
  const asked = { gpu, weight, gram, gramDiagonal, derived, halfScales: true }
  const { problem, dispose } = await aimed(asked, null, way.aim, way.damps)
  const { what, codes, grid, outliers } = await solveLinear(way.solver, problem, way.optionsFor(options, weight.rows), {})
  dispose()
  if (outliers) add(gpu, what, outliers.h)
  for (const tensor of [codes, grid, outliers?.h]) tensor?.dispose()
  return what
}

async function relative(whole: Reading<number>, lost: Reading<number>[]): Promise<number[]> {
  const [base, ...losses] = await Reading.all([whole, ...lost])
  return losses.map((loss) => (base > 0 ? loss / base : 0))
}

function off({ gpu, judge }: WidthProblem, weight: Tensor, what: Tensor): Reading<number> {
  const d = gpu.empty(weight.shape)
  gpu.copy(weight, d)
  subtract(gpu, d, what)
  const value = objective(gpu, d, judge)
  d.dispose()
  return value
}
