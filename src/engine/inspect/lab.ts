/** The layer lab: one linear solved again by any method with any options, on the Σ that a run left in memory or a Gram store holds. The model does not run. */
import { WorkbenchError } from '../../errors.ts'
import type { Device } from '../../gpu/device.ts'
import { add, subtract } from '../../gpu/ops.ts'
import { Reading } from '../../gpu/reading.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { loadLinear } from '../../models/weights.ts'
import type { OpenModel } from '../../models/open.ts'
import { type AskedAim, askedAim } from '../../quant/aim.ts'
import { type Chosen, chooseAim } from '../../quant/choice.ts'
import { optionsFor } from '../../quant/grids/index.ts'
import { solvers } from '../../quant/index.ts'
import { objective } from '../../quant/rounding.ts'
import { solveLinear } from '../../quant/slices.ts'
import { Derived, disposeQuantized, type LinearProblem, type ObjectivePoint, type Solver } from '../../quant/solver.ts'
import { aimed, type InputSums } from '../../quant/target.ts'
import { type Options, resolveOptions } from '../../options.ts'
import type { LayerResult } from '../job/result.ts'
import type { KeptStage, KeptSums } from '../grams.ts'
import { linearBits } from '../plan/plan.ts'
import { curveOf } from '../run/linears.ts'
import type { Session } from '../session.ts'
import { notInMemory, placeOf } from './linear.ts'

export { notInMemory }

export interface LabSetting {
  method: string
  options: Options
}

/**
 * What a method makes of the linear of this full name, as a run with these options would.
 * @throws WorkbenchError `journal-mismatch` when another model is open by now, `plan-invalid` for options that are not valid, for a method that rescales whole blocks, and for a target that
 * needs sums that the run did not make
 */
export async function tryLinear(session: Session, name: string, stage: KeptStage, setting: LabSetting): Promise<LayerResult> {
  const { solver, options } = understood(setting)
  if (stage.opened !== session.model)
    throw new WorkbenchError(
      'journal-mismatch',
      'A model was opened since Σ was summed up, so its weights may be others.',
      'Run the job again on the model that is open now.',
    )
  const gpu = await session.gpu()
  const mark = gpu.mark()
  try {
    return await new Trial(gpu, session.model, name, stage).solve(solver, options)
  } finally {
    gpu.releaseSince(mark)
    gpu.trim()
  }
}

function understood({ method, options: given }: LabSetting): { solver: Solver; options: Options } {
  const solver = solvers.find(({ id }) => id === method)
  if (!solver) throw new WorkbenchError('plan-invalid', `There is no algorithm ${JSON.stringify(method)}.`)
  if (solver.transform)
    throw new WorkbenchError('plan-invalid', `${solver.label} rescales whole blocks, so it cannot be tried on a single linear.`)
  const { options, problems } = resolveOptions(solver.options, given)
  if (problems.length) throw new WorkbenchError('plan-invalid', problems.map(({ message }) => message).join(' '))
  return { solver, options: options as Options }
}

class Trial {
  readonly #place: ReturnType<typeof placeOf>

  constructor(
    readonly gpu: Device,
    readonly opened: OpenModel,
    readonly name: string,
    readonly stage: KeptStage,
  ) {
    this.#place = placeOf(opened, name)
  }

  async solve(solver: Solver, given: Options): Promise<LayerResult> {
    const { gpu, opened, stage, name } = this
    const { k, linear } = this.#place
    const [q, p] = [linear.q, linear.p]
    const options = optionsFor(given, p)
    const grid = solver.gridOf(options)
    const weight = await loadLinear(gpu, opened, name, linear)
    const sums = { seen: this.#upload(stage.seen), heldOut: stage.heldOut && this.#upload(stage.heldOut) }
    const gramDiagonal = Float32Array.from({ length: p }, (_, j) => stage.seen.gram[j * p + j])
    const base = await objective(gpu, weight, sums.seen.gram)
    const derived = new Derived()
    const problem = { gpu, weight, gram: sums.seen.gram, gramDiagonal, derived, halfScales: true, scoring: linear.scoring }
    const started = performance.now()
    const asked = this.#asked(options)
    const aim = asked && (await this.#choose(asked, options, problem, sums))
    const own = aim ? await aimed(problem, sums.seen, aim, asked!.damps) : null
    const curve = new Map<number, ObjectivePoint>()
    const hooks = {
      report: (points: ObjectivePoint[]) => {
        for (const { changed, value, ...point } of points) {
          const share = base > 0 ? value / base : 0
          curve.set(point.iteration, { ...point, value: share, ...(changed !== undefined && { changed: changed / (q * p) }) })
        }
      },
    }
    const result = await solveLinear(solver, own?.problem ?? problem, options, hooks)
    // From here on Σ is as it was.
    own?.dispose()
    const { outliers = null, what } = result
    if (outliers) add(gpu, what, outliers.h)
    const [, lost, heldOut] = await Reading.all([result.error, this.#lost(weight, what, sums.seen.gram), this.#heldOut(weight, what, sums)])
    const kept = outliers && (await outliers.count) ? { count: await outliers.count, kind: outliers.kind } : null
    const seconds = (performance.now() - started) / 1000
    disposeQuantized(result)
    return {
      name,
      block: k,
      shape: [q, p],
      relativeError: base > 0 ? lost / base : 0,
      ...(heldOut !== undefined && { heldOutError: heldOut }),
      seconds,
      iterations: result.iterations,
      products: solver.products?.(options) ?? 0,
      ...(aim && { aim }),
      bits: linearBits({ q, p }, grid, !(options.actOrder === true && options.staticGroups !== true && grid.groupSize !== -1), kept),
      ...(curve.size && { objective: curveOf([...curve.values()]) }),
      notes: [...(own?.trouble ?? []), ...result.notes],
    }
  }

  #upload({ gram, cross, drift }: KeptSums): InputSums {
    const tensor = (values: Float32Array<ArrayBuffer> | null) => values && this.gpu.upload(values, [this.stage.p, this.stage.p])
    return { gram: tensor(gram)!, cross: tensor(cross), drift: tensor(drift) }
  }

  #asked(options: Options): AskedAim | null {
    const asked = askedAim(options, this.stage.heldOut !== null)
    if (asked?.alpha && !this.stage.seen.cross && !this.stage.fullInputs)
      throw new WorkbenchError(
        'plan-invalid',
        'These inputs were not compared with those in full precision, which a corrected target needs.',
        'Choose the original target, or try on the inputs of a run with a corrected one.',
      )
    return asked
  }

  /** By the rows of all linears of the stage, as in a run. */
  async #choose(
    asked: AskedAim,
    options: Options,
    { gramDiagonal, weight }: LinearProblem,
    { seen, heldOut }: { seen: InputSums; heldOut: InputSums | null },
  ): Promise<Chosen> {
    const { gpu, opened, stage, name } = this
    const weights: Tensor[] = []
    const chooses = asked.damping === 'auto' || asked.alpha === 'auto'
    for (const other of chooses ? stage.linears : [name])
      weights.push(other === name ? weight : await loadLinear(gpu, opened, other, placeOf(opened, other).linear))
    const chosen = await chooseAim({ gpu, gramDiagonal, halfScales: true, weights, seen, heldOut }, asked, options)
    for (const one of weights) if (one !== weight) one.dispose()
    return chosen
  }

  /** tr(D Σ Dᵀ), D = W − Ŵ. */
  #lost(weight: Tensor, what: Tensor, gram: Tensor): Reading<number> {
    const { gpu } = this
    const d = gpu.empty(weight.shape)
    gpu.copy(weight, d)
    subtract(gpu, d, what)
    const value = objective(gpu, d, gram)
    d.dispose()
    return value
  }

  #heldOut(weight: Tensor, what: Tensor, { heldOut }: { heldOut: InputSums | null }): Reading<number | undefined> {
    if (!heldOut) return Reading.of(undefined)
    const both = Reading.all([objective(this.gpu, weight, heldOut.gram), this.#lost(weight, what, heldOut.gram)])
    return both.map(([whole, lost]) => (whole > 0 ? lost / whole : 0))
  }
}
