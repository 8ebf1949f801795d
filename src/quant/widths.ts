/**
 * What a linear loses on each of several grids, without solving it: 64 of its rows, spread over it, by the short solver of `choice.ts`,
 * damped by a tenth of the mean diagonal, which is near the best nearly everywhere.
 */
import type { Device } from '../gpu/device.ts'
import { inFloats, subtract } from '../gpu/ops.ts'
import { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { Options } from '../options.ts'
import { someRows, trialOptions } from './choice.ts'
import { optionsFor } from './grids/index.ts'
import { gptqQuantease } from './gptq_quantease.ts'
import { objective } from './rounding.ts'
import { rtn } from './rtn.ts'
import { solveLinear } from './slices.ts'
import { type Derived, disposeQuantized, type LinearProblem } from './solver.ts'
import { aimed } from './target.ts'

const AIM = { damping: 0.1, alpha: 0 }

export interface WidthProblem {
  gpu: Device
  /** Σ `[p, p]` and its diagonal. */
  gram: Tensor
  gramDiagonal: Float32Array
  derived: Derived
  /** What errors are measured by, `[p, p]`: of held-out tokens where there are some. */
  judge: Tensor
}

/** Relative errors ‖(W−Ŵ)X‖² / ‖WX‖² of a linear, its W transposed `[p, q]`, for each of these options of a grid. */
export async function errorsOn({ judge, ...stage }: WidthProblem, weight: Tensor, grids: readonly Options[]): Promise<number[]> {
  const { gpu } = stage
  const some = someRows(gpu, [weight])
  const { problem, dispose } = await aimed({ ...stage, weight: some, halfScales: true }, null, AIM, true)
  const whole = objective(gpu, some, judge)
  const lost: Reading<number>[] = []
  for (const options of grids) {
    const result = await gptqQuantease.solve(problem, trialOptions(optionsFor(options, some.rows)), {})
    lost.push(off(gpu, some, result.what, judge))
    disposeQuantized(result)
    await gpu.pace()
  }
  dispose()
  some.dispose()
  const [base, ...losses] = await Reading.all([whole, ...lost])
  return losses.map((loss) => (base > 0 ? loss / base : 0))
}

/** A linear rounded to a grid, `[p, q]`, and its relative error. */
export async function roundedTo({ judge, ...stage }: WidthProblem, held: Tensor, options: Options) {
  const { gpu } = stage
  const weight = inFloats(gpu, held)
  const problem: LinearProblem = { ...stage, weight, halfScales: true }
  const own = Object.fromEntries(rtn.options.flatMap(({ key }) => (options[key] === undefined ? [] : [[key, options[key]]])))
  const { what, ...rest } = await solveLinear(rtn, problem, own, {})
  disposeQuantized({ ...rest, what: rest.codes })
  const [base, loss] = await Reading.all([objective(gpu, weight, judge), off(gpu, weight, what, judge)])
  if (weight !== held) weight.dispose()
  return { what, error: base > 0 ? loss / base : 0 }
}

function off(gpu: Device, weight: Tensor, what: Tensor, gram: Tensor): Reading<number> {
  const d = gpu.empty(weight.shape)
  gpu.copy(weight, d)
  subtract(gpu, d, what)
  const value = objective(gpu, d, gram)
  d.dispose()
  return value
}
