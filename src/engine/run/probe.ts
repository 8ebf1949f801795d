/**
 * What the linears of a model lose at each of several widths, and what that does to the model, before any is solved: from one calibration of
 * the full-precision model. Errors at few bits add up faster than one by one, so the price of a stage's errors is found where all others
 * are rounded too, near the budget: the divergence at the model's end that goes when this stage alone is left as it is, divided by its error.
 */
import { batched } from '../../eval/perplexity.ts'
import type { BlockWeights } from '../../models/family.ts'
import { Derived } from '../../quant/solver.ts'
import { errorOf, errorsOn, roundedTo } from '../../quant/widths.ts'
import type { Options } from '../job.ts'
import type { PlannedRun } from '../plan/plan.ts'
import type { Hidden } from './hidden.ts'
import { StagePass } from './stages.ts'
import type { StageSums } from './sums.ts'

/** Windows that the divergence is measured on, and tokens of each. */
const WINDOWS = 4
const LENGTH = 128

export interface ProbedStage {
  k: number
  /** Names inside the block. */
  linears: string[]
  /** Relative error of each linear, by grid. */
  errors: number[][]
  /** Divergence, nats, per relative error of a linear. */
  price: number
}

/** What a probe finds. */
export interface Probed {
  stages: ProbedStage[]
  /** Divergence, nats, of the model with every linear rounded. */
  kl: number
  /** What the prices say of that: Σ price × error of the rounded linears. */
  spent: number
}

/** A stage as it is rounded. */
interface Rough {
  names: string[]
  gramDiagonal: Float32Array
  /** Σ of the relative errors of its linears. */
  error: number
}

export class ProbeLoop extends StagePass {
  /** `grids`: options of the run with each width; `rounding`: the one that linears are rounded to for the prices. */
  async probe(planned: PlannedRun, grids: readonly Options[], rounding: Options): Promise<Probed> {
    const run = { ...planned, trueSequential: false, fullInputs: true, compared: false }
    const { stages, roughs } = await this.#errors(run, grids, rounding)
    return { stages, ...(await this.#price(stages, roughs, rounding)) }
  }

  /** The errors of all linears on all grids. */
  async #errors(run: PlannedRun, grids: readonly Options[], rounding: Options): Promise<{ stages: ProbedStage[]; roughs: Rough[] }> {
    const seen = await this.embed([...this.calibration, ...this.heldOut])
    const original = this.hidden([])
    const found: ProbedStage[] = []
    const roughs: Rough[] = []
    for (let k = 0; k < run.blocks; k++) {
      const full = await this.load(k)
      const { stages } = this.opened.model.layouts[k]
      const look = async (stage: number, sums: StageSums | null, diagonal: PromiseLike<Float32Array> | null) => {
        const names = stages[stage].map(({ name }) => name).filter((name) => run.linears[k].has(name))
        if (!sums || !diagonal || !names.length) return
        const derived = new Derived()
        const { gram } = sums.seen
        const gramDiagonal = await diagonal
        const problem = { gpu: this.gpu, gram, gramDiagonal, derived, judge: sums.heldOut?.gram ?? gram }
        const errors: number[][] = []
        let error = 0
        for (const name of names) {
          const weight = full.get(`${name}.weight`)!
          errors.push(await errorsOn(problem, weight, grids))
          const what = roundedTo(this.gpu, weight, gramDiagonal, rounding)
          error += await errorOf(problem, weight, what)
          what.dispose()
        }
        roughs.push({ names, gramDiagonal, error })
        found.push({ k, linears: names, errors, price: 0 })
        derived.dispose()
      }
      const open = stages.map(() => true)
      await this.calibrate(run, { k, streams: { seen, original }, full, weights: new Map(full), open }, look, null)
      this.unload(full)
    }
    for (const hidden of [seen, original]) hidden.dispose()
    return { stages: found, roughs }
  }

  /** Puts down what an error of each stage costs. All texts go through a block together, one for each stage before it. */
  async #price(stages: ProbedStage[], roughs: Rough[], rounding: Options): Promise<Pick<Probed, 'kl' | 'spent'>> {
    const texts = (this.plan.heldOut.length ? this.plan.heldOut : this.plan.calibration).slice(0, WINDOWS)
    const few = batched(
      texts.map((window) => window.subarray(0, LENGTH)),
      1,
    )
    const [reference, all] = await this.embedAll([few, few])
    await this.carry([reference], 0)
    const without: Hidden[] = []
    for (let k = 0; k < this.opened.model.shape.blocks; k++) {
      this.stage(null, 'baseline', k)
      const full = await this.load(k)
      const weights: BlockWeights = new Map(full)
      const here = stages.flatMap((stage, i) => (stage.k === k ? [roughs[i]] : []))
      for (const { names, gramDiagonal } of here)
        for (const name of names) weights.set(`${name}.weight`, roundedTo(this.gpu, full.get(`${name}.weight`)!, gramDiagonal, rounding))
      for (const hidden of without) await this.advance(hidden, weights, k)
      for (const { names } of here) {
        const fork = await all.fork()
        const but: BlockWeights = new Map(weights)
        for (const name of names) but.set(`${name}.weight`, full.get(`${name}.weight`)!)
        await this.advance(fork, but, k)
        without.push(fork)
      }
      await this.advance(all, weights, k)
      for (const [name, tensor] of weights) if (full.get(name) !== tensor) tensor.dispose()
      this.unload(full)
    }
    const { kl } = await this.score(all, reference, 0)
    let spent = 0
    for (const [i, fork] of without.entries()) {
      const gain = Math.max(0, kl - (await this.score(fork, reference, 0)).kl)
      stages[i].price = roughs[i].error > 0 ? gain / roughs[i].error : 0
      spent += gain
    }
    for (const hidden of [reference, all, ...without]) hidden.dispose()
    return { kl, spent }
  }

  protected async restoreBlock(): Promise<void> {
    throw new Error('Nothing is quantized in a probe.')
  }
}
