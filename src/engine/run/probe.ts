/**
 * What the linears of a model lose at each of several widths, and what that does to the model, before a run solves them: from one
 * calibration of the full-precision model. Errors at few bits add up faster than one by one, so the price of a stage's errors is the mean
 * of two: of what it costs when it is rounded first, all others being as they are, and last, all others being rounded to the width next to
 * the budget.
 */
import { batched, type TokenBatch } from '../../eval/perplexity.ts'
import type { BlockWeights } from '../../models/family.ts'
import type { Options } from '../../options.ts'
import { Derived } from '../../quant/solver.ts'
import { errorsOn, linearOn, ownWay, quickWay } from '../../quant/widths.ts'
import type { Hidden } from '../passes/hidden.ts'
import { FORWARD } from '../passes/pulse.ts'
import { StagePass } from '../passes/stages.ts'
import type { StageSums } from '../passes/sums.ts'
import type { PlannedRun } from '../plan/plan.ts'
import { pricedCounts } from '../plan/work.ts'

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

/** A stage, and the texts that tell what its errors cost. */
interface Priced extends ProbedStage {
  /** Σ of the relative errors of its linears as they are rounded. */
  error: number
  /** With this stage alone rounded, and with all others. */
  alone: Hidden
  without: Hidden
}

/** What is asked of each linear. */
interface Question {
  run: PlannedRun
  /** The run with all linears at each width. */
  widths: readonly PlannedRun[]
  /** The one that linears are rounded to for the prices. */
  rounding: Options
}

export class ProbeLoop extends StagePass {
  async probe(planned: PlannedRun, widths: readonly PlannedRun[], rounding: Options): Promise<Probed> {
    const run = { ...planned, trueSequential: false, fullInputs: true, compared: false }
    this.progress.enter(FORWARD)
    const streams = { seen: await this.embed([...this.calibration, ...this.heldOut]), original: this.hidden([]) }
    const few = this.#few()
    const [reference, all] = await this.embedAll([few, few])
    const priced: Priced[] = []
    for (let k = 0; k < this.opened.model.shape.blocks; k++) {
      const full = await this.load(k)
      const rounded: BlockWeights = new Map(full)
      const stages =
        k < run.blocks ? await this.#errors({ run, widths, rounding }, { k, streams, full, weights: new Map(full) }, rounded) : []
      this.progress.enter(FORWARD)
      for (const { alone, without } of priced) {
        await this.advance(alone, full, k)
        await this.advance(without, rounded, k)
      }
      for (const stage of stages) {
        const alone = await this.#apart(reference, full, rounded, stage)
        priced.push({ ...stage, alone, without: await this.#apart(all, rounded, full, stage) })
      }
      await this.advance(reference, full, k)
      await this.advance(all, rounded, k)
      for (const [name, tensor] of rounded) if (full.get(name) !== tensor) tensor.dispose()
      this.unload(full)
    }
    for (const hidden of [streams.seen, streams.original]) hidden.dispose()
    return this.#price(priced, reference, all)
  }

  /** The errors of a block's linears on all grids; those that they are rounded to for the prices go into `rounded`. */
  async #errors({ run, widths, rounding }: Question, block: Omit<Parameters<StagePass['calibrate']>[1], 'open'>, rounded: BlockWeights) {
    const { k, full } = block
    const { stages } = this.opened.model.layouts[k]
    const [own, quick] = [ownWay(run), quickWay(run)]
    const found: Omit<Priced, 'alone' | 'without'>[] = []
    const look = async (stage: number, sums: StageSums | null, diagonal: PromiseLike<Float32Array> | null) => {
      const names = stages[stage].map(({ name }) => name).filter((name) => run.linears[k].has(name))
      if (!sums || !diagonal || !names.length) return
      // Large sums wait on the host until their stage is looked at.
      await sums.fetch('gram', 'heldOut.gram')
      const derived = new Derived()
      const { gram } = sums.seen
      const problem = { gpu: this.gpu, gram, gramDiagonal: await diagonal, derived, judge: sums.heldOut?.gram ?? gram }
      const one = { k, linears: names, errors: [] as number[][], price: 0, error: 0 }
      this.stage(run, 'solve', k)
      this.progress.enter(run.solver.id)
      for (const name of names) {
        const weight = full.get(`${name}.weight`)!
        const grids = widths.map(({ linears }) => linears[k].get(name)!.options)
        one.errors.push(await errorsOn(problem, weight, grids, own))
        const { what, error } = await linearOn(problem, weight, rounding, quick)
        rounded.set(`${name}.weight`, what)
        one.error += error
        await this.gpu.pace()
      }
      found.push(one)
      derived.dispose()
    }
    await this.calibrate(run, { ...block, open: stages.map(() => true) }, look, null)
    return found
  }

  /** A few windows, on which divergences are measured: held-out ones as far as there are some. */
  #few(): TokenBatch[] {
    const { windows, length } = pricedCounts(this.opened.model)
    const texts = [...this.plan.heldOut, ...this.plan.calibration].slice(0, windows)
    return batched(
      texts.map((window) => window.subarray(0, length)),
      1,
    )
  }

  /** States after block k with the linears of one stage from other weights. */
  async #apart(states: Hidden, weights: BlockWeights, others: BlockWeights, { k, linears }: Pick<ProbedStage, 'k' | 'linears'>) {
    const fork = await states.fork()
    const mixed: BlockWeights = new Map(weights)
    for (const name of linears) mixed.set(`${name}.weight`, others.get(`${name}.weight`)!)
    await this.advance(fork, mixed, k)
    return fork
  }

  /** What an error of each stage costs at the end of the model. */
  async #price(priced: Priced[], reference: Hidden, all: Hidden): Promise<Probed> {
    const { kl } = await this.score(all, reference, 0)
    const stages: ProbedStage[] = []
    let [spent, last] = [0, 0]
    for (const { alone, without, error, ...stage } of priced) {
      const [first, rest] = [await this.score(alone, reference, 0), await this.score(without, reference, 0)]
      const gain = Math.max(0, kl - rest.kl)
      const cost = (Math.max(0, first.kl) + gain) / 2
      stages.push({ ...stage, price: error > 0 ? cost / error : 0 })
      spent += cost
      last += gain
      for (const hidden of [alone, without]) hidden.dispose()
    }
    for (const hidden of [reference, all]) hidden.dispose()
    return { stages, kl, spent, growth: kl > 0 ? last / kl : 1 }
  }

  protected async restoreBlock(): Promise<void> {
    throw new Error('Nothing is quantized in a probe.')
  }
}
