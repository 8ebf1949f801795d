/**
 * What a linear loses on each of several grids, without solving it: 64 of its rows, spread over it, by the short solver of `choice.ts`,
 * damped by a tenth of the mean diagonal, which is near the best nearly everywhere.
 */
import type { Device } from '../gpu/device.ts'
import { copyColumns, inFloats, subtract } from '../gpu/ops.ts'
import { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { Options } from '../options.ts'
import { someRows, trialOptions } from './choice.ts'
import { optionsFor } from './grids/index.ts'
import { gptqQuantease } from './gptq_quantease.ts'
import { layoutOf } from './layout.ts'
import { nearest, objective } from './rounding.ts'
import { rtn } from './rtn.ts'
import { cutWeight } from './slices.ts'
import { type Derived, disposeQuantized } from './solver.ts'
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

/** A linear rounded to a grid, `[p, q]`; `gramDiagonal`: of its Σ. */
export function roundedTo(gpu: Device, held: Tensor, gramDiagonal: Float32Array, given: Options): Tensor {
  const weight = inFloats(gpu, held)
  const options = optionsFor(given, weight.rows)
  const grid = rtn.gridOf(options)
  const layout = layoutOf(gramDiagonal, grid.groupSize, false, true)
  const what = gpu.empty(weight.shape)
  let from = 0
  for (const part of cutWeight(gpu, weight)) {
    const cells = grid.make(gpu, part, layout, true)
    const rounded = nearest(gpu, part, { grid: cells, groupIndex: layout.groupIndex }, grid)
    copyColumns(gpu, rounded, 0, what, from, part.cols)
    from += part.cols
    for (const tensor of [cells, rounded, ...(part === weight ? [] : [part])]) tensor.dispose()
  }
  if (weight !== held) weight.dispose()
  return what
}

/** Relative error of weights `[p, q]` in the place of others. */
export async function errorOf({ gpu, judge }: Pick<WidthProblem, 'gpu' | 'judge'>, held: Tensor, what: Tensor): Promise<number> {
  const weight = inFloats(gpu, held)
  const asked = Reading.all([objective(gpu, weight, judge), off(gpu, weight, what, judge)])
  if (weight !== held) weight.dispose()
  const [base, loss] = await asked
  return base > 0 ? loss / base : 0
}

function off(gpu: Device, weight: Tensor, what: Tensor, gram: Tensor): Reading<number> {
  const d = gpu.empty(weight.shape)
  gpu.copy(weight, d)
  subtract(gpu, d, what)
  const value = objective(gpu, d, gram)
  d.dispose()
  return value
}
