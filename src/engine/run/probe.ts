/**
 * What the linears of a model lose at each of several widths, and what that does to the model, before any is solved: from one calibration of
 * the full-precision model. Errors at few bits add up faster than one by one, so the price of a stage's errors is the mean of two: of what
 * it costs when it is rounded first, all others being as they are, and last, all others being rounded to the width next to the budget.
 */
import { batched } from '../../eval/perplexity.ts'
import type { BlockWeights } from '../../models/family.ts'
import { Derived } from '../../quant/solver.ts'
import { errorOf, errorsOn, roundedTo } from '../../quant/widths.ts'
import type { Options } from '../../options.ts'
import type { PlannedRun } from '../plan/plan.ts'
import type { Hidden } from '../passes/hidden.ts'
import { StagePass } from '../passes/stages.ts'
import type { StageSums } from '../passes/sums.ts'

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
  /** Σ of what each stage costs as the last to be rounded, as a multiple of `kl`: 1 where errors add up, more where they grow faster. */
  growth: number
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

  /** Puts down what an error of each stage costs. All texts go through a block together, two for each stage before it. */
  async #price(stages: ProbedStage[], roughs: Rough[], rounding: Options): Promise<Pick<Probed, 'kl' | 'spent' | 'growth'>> {
    const texts = (this.plan.heldOut.length ? this.plan.heldOut : this.plan.calibration).slice(0, WINDOWS)
    const few = batched(
      texts.map((window) => window.subarray(0, LENGTH)),
      1,
    )
    const [reference, all] = await this.embedAll([few, few])
    const [alone, without]: Hidden[][] = [[], []]
    for (let k = 0; k < this.opened.model.shape.blocks; k++) {
      this.stage(null, 'baseline', k)
      const full = await this.load(k)
      const rounded: BlockWeights = new Map(full)
      const here = stages.flatMap((stage, i) => (stage.k === k ? [roughs[i]] : []))
      for (const { names, gramDiagonal } of here)
        for (const name of names) rounded.set(`${name}.weight`, roundedTo(this.gpu, full.get(`${name}.weight`)!, gramDiagonal, rounding))
      for (const hidden of alone) await this.advance(hidden, full, k)
      for (const hidden of without) await this.advance(hidden, rounded, k)
      for (const { names } of here) {
        alone.push(await this.#apart(reference, full, rounded, names, k))
        without.push(await this.#apart(all, rounded, full, names, k))
      }
      await this.advance(reference, full, k)
      await this.advance(all, rounded, k)
      for (const [name, tensor] of rounded) if (full.get(name) !== tensor) tensor.dispose()
      this.unload(full)
    }
    const { kl } = await this.score(all, reference, 0)
    let [spent, last] = [0, 0]
    for (const [i, { error }] of roughs.entries()) {
      const [first, rest] = [await this.score(alone[i], reference, 0), await this.score(without[i], reference, 0)]
      const gain = Math.max(0, kl - rest.kl)
      const cost = (Math.max(0, first.kl) + gain) / 2
      stages[i].price = error > 0 ? cost / error : 0
      spent += cost
      last += gain
    }
    for (const hidden of [reference, all, ...alone, ...without]) hidden.dispose()
    return { kl, spent, growth: kl > 0 ? last / kl : 1 }
  }

  /** States after block k with the linears of one stage from other weights. */
  async #apart(states: Hidden, weights: BlockWeights, others: BlockWeights, names: string[], k: number): Promise<Hidden> {
    const fork = await states.fork()
    const mixed: BlockWeights = new Map(weights)
    for (const name of names) mixed.set(`${name}.weight`, others.get(`${name}.weight`)!)
    await this.advance(fork, mixed, k)
    return fork
  }

  protected async restoreBlock(): Promise<void> {
    throw new Error('Nothing is quantized in a probe.')
  }
}
