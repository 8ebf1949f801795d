/**
 * What the linears of a model lose at each of several widths, and what that does to the model, before any is solved: from one calibration of
 * the full-precision model. Each stage of each block is rounded once, alone, and the divergence that follows at the model's end, divided by
 * the stage's error, is the price of its errors.
 */
import { batched } from '../../eval/perplexity.ts'
import type { BlockWeights } from '../../models/family.ts'
import { Derived } from '../../quant/solver.ts'
import { errorsOn, roundedTo, type WidthProblem } from '../../quant/widths.ts'
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

export class ProbeLoop extends StagePass {
  /** `grids`: options of the run with each width; `rounding`: the one that stages are rounded to. */
  async probe(planned: PlannedRun, grids: readonly Options[], rounding: Options): Promise<ProbedStage[]> {
    const run = { ...planned, trueSequential: false, fullInputs: true, compared: false }
    const texts = (this.plan.heldOut.length ? this.plan.heldOut : this.plan.calibration).slice(0, WINDOWS)
    const few = batched(
      texts.map((window) => window.subarray(0, LENGTH)),
      1,
    )
    const reference = await this.embed(few)
    await this.carry([reference], 0)
    const judged = await this.embed(few)
    const seen = await this.embed([...this.calibration, ...this.heldOut])
    const original = this.hidden([])
    const found: ProbedStage[] = []
    for (let k = 0; k < run.blocks; k++) {
      const full = await this.load(k)
      const { stages } = this.opened.model.layouts[k]
      const forks: Hidden[] = []
      const roughs: number[] = []
      const look = async (stage: number, sums: StageSums | null, diagonal: PromiseLike<Float32Array> | null) => {
        const linears = stages[stage].filter(({ name }) => run.linears[k].has(name))
        if (!sums || !diagonal || !linears.length) return
        const derived = new Derived()
        const { gram } = sums.seen
        const problem = { gpu: this.gpu, gram, gramDiagonal: await diagonal, derived, judge: sums.heldOut?.gram ?? gram }
        const errors: number[][] = []
        const names = linears.map(({ name }) => name)
        for (const name of names) errors.push(await errorsOn(problem, full.get(`${name}.weight`)!, grids))
        const { fork, rough } = await this.#disturbed(k, problem, names, rounding, full, judged)
        forks.push(fork)
        roughs.push(rough)
        found.push({ k, linears: names, errors, price: 0 })
        derived.dispose()
      }
      const open = stages.map(() => true)
      await this.calibrate(run, { k, streams: { seen, original }, full, weights: new Map(full), open }, look, null)
      await this.advance(judged, full, k)
      this.unload(full)
      await this.#priced(found.slice(-forks.length), forks, roughs, k, reference)
    }
    for (const hidden of [reference, judged, seen, original]) hidden.dispose()
    return found
  }

  /** The states after a block one of whose stages is rounded, and the sum of its linears' relative errors. */
  async #disturbed(k: number, problem: WidthProblem, names: string[], rounding: Options, full: BlockWeights, judged: Hidden) {
    const weights: BlockWeights = new Map(full)
    let rough = 0
    for (const name of names) {
      const { what, error } = await roundedTo(problem, full.get(`${name}.weight`)!, rounding)
      weights.set(`${name}.weight`, what)
      rough += error
    }
    const fork = await judged.fork()
    await this.advance(fork, weights, k)
    for (const name of names) weights.get(`${name}.weight`)!.dispose()
    return { fork, rough }
  }

  /** Carries the disturbed states to the end, all at once, and puts down what an error costs there. */
  async #priced(stages: ProbedStage[], forks: Hidden[], roughs: number[], k: number, reference: Hidden): Promise<void> {
    await this.carry(forks, k + 1)
    for (const [i, fork] of forks.entries()) {
      const { kl } = await this.score(fork, reference, 0)
      stages[i].price = roughs[i] > 0 ? Math.max(0, kl) / roughs[i] : 0
      fork.dispose()
    }
  }

  protected async restoreBlock(): Promise<void> {
    throw new Error('Nothing is quantized in a probe.')
  }
}
