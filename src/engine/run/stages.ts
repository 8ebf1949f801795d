/**
 * The passes of the calibration text through a block that is being solved: Σ of its stages, all from one pass, or stage by stage from the
 * quantized ones before; in between, the linears are solved.
 */
import type { TokenBatch } from '../../eval/perplexity.ts'
import { diagonal } from '../../gpu/ops.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { type BlockWeights, type LinearShape, linearsOf, type StageInput } from '../../models/family.ts'
import type { PlannedRun } from '../plan/plan.ts'
import { ForwardPass, last } from './forward.ts'
import type { Hidden } from './hidden.ts'
import { StageSums } from './sums.ts'

/**
 * Solves the linears of a stage; without Σ all of them are in the journal. `outputs`: what a transform divided the outputs
 * of some of them by.
 */
export type SolveStage = (
  stage: number,
  sums: StageSums | null,
  diagonal: PromiseLike<Float32Array> | null,
  outputs?: ReadonlyMap<string, Tensor>,
) => Promise<void>

/** The calibration and held-out windows on their way through the blocks. */
export interface Streams {
  /** Through the quantized blocks. */
  seen: Hidden
  /** The same through those of the full-precision model, where a run compares with it; else empty. */
  original: Hidden
}

/** Rescales a block before any of it is rounded, as a solver's transform asks. */
export type Rescale = (sums: StageSums[]) => Promise<Map<string, Tensor>>

/** A block that is being solved. */
export interface OpenBlock {
  k: number
  streams: Streams
  full: BlockWeights
  weights: BlockWeights
  /** By stage: whether any of its linears is unsolved. */
  open: boolean[]
}

export abstract class StagePass extends ForwardPass {
  /**
   * Gathers Σ of the open stages of a block, has their linears solved, and carries the calibration text through what comes of it.
   * `rescale`: between the two, where the solver has a transform.
   */
  protected calibrate(run: PlannedRun, block: OpenBlock, solve: SolveStage, rescale: Rescale | null): Promise<void> {
    return run.trueSequential ? this.#sequential(run, block, solve) : this.#atOnce(run, block, solve, rescale)
  }

  /** All Gram matrices in one pass of the block as it is; then all linears; then the pass with the new weights. */
  async #atOnce(run: PlannedRun, block: OpenBlock, solve: SolveStage, rescale: Rescale | null): Promise<void> {
    const { k, streams, full, weights, open } = block
    const { seen, original } = streams
    const { stages } = this.opened.model.layouts[k]
    this.stage(run, 'calibrate', k)
    const sums = stages.map((stage, s) => (rescale || open[s] ? this.#zeroSums(run, stage) : null))
    for (const [i, batch] of seen.batches.entries()) {
      const x = seen.take(i)
      const beside = original.batches.length ? this.#pass(original, full, i, k) : null
      for await (const { stage, input } of this.opened.model.block(this.gpu, weights, x, batch, k)) {
        this.#add(sums[stage], i, input, (await beside?.input(stage)) ?? null, batch)
        await this.gpu.pace()
        if (stage === stages.length - 1) break
      }
      await seen.give(i, x)
      await beside?.end()
    }
    for (const [stage, one] of sums.entries()) await this.#finish(one, k, stage)
    const outputs = await rescale?.(sums as StageSums[])
    const diagonals = sums.map((one) => one && diagonal(this.gpu, one.seen.gram))
    for (const [stage, one] of sums.entries()) {
      await solve(stage, one, diagonals[stage], outputs)
      one?.dispose()
    }
    for (const tensor of outputs?.values() ?? []) tensor.dispose()
    this.stage(run, 'propagate', k)
    await this.advance(seen, run.fullInputs ? full : weights, k)
  }

  /**
   * Stage by stage, each seeing what the quantized stages before it put out. Blocks pause at each stage; when the paused
   * batches fit on the GPU they simply go on, otherwise each stage starts the block again.
   */
  async #sequential(run: PlannedRun, { k, streams, full, weights, open }: OpenBlock, solve: SolveStage): Promise<void> {
    const { stages } = this.opened.model.layouts[k]
    const { seen, original } = streams
    const both = [{ hidden: seen, of: weights }, ...(original.batches.length ? [{ hidden: original, of: full }] : [])]
    const begin = (i: number) => both.map(({ hidden, of }) => this.#pass(hidden, of, i, k))
    const holds = this.#pausedBytes(seen.batches, k) * both.length <= this.budget
    const paused = holds ? seen.batches.map((_, i) => begin(i)) : null
    for (const [s, stage] of stages.entries()) {
      this.stage(run, 'calibrate', k)
      const sums = open[s] ? this.#zeroSums(run, stage) : null
      for (const [i, batch] of seen.batches.entries()) {
        if (!paused && !sums) continue
        const passes = paused?.[i] ?? begin(i)
        const [input, wanted = null] = [await passes[0].input(s), await passes[1]?.input(s)]
        this.#add(sums, i, input, wanted, batch)
        if (!paused) for (const pass of passes) await pass.undo()
        await this.gpu.pace()
      }
      await this.#finish(sums, k, s)
      await solve(s, sums, sums && diagonal(this.gpu, sums.seen.gram))
      sums?.dispose()
    }
    this.stage(run, 'propagate', k)
    for (const passes of paused ?? []) for (const pass of passes) await pass.end()
    if (!paused) for (const { hidden, of } of both) await this.advance(hidden, of, k)
  }

  /** What all batches of a stream hold on the GPU while they pause inside a block. */
  #pausedBytes(batches: TokenBatch[], k: number): number {
    const { shape, layouts } = this.opened.model
    const widest = Math.max(...linearsOf(layouts[k]).map(({ p }) => p))
    const tokens = batches.reduce((sum, { windows, t }) => sum + windows * t, 0)
    return tokens * 4 * (3 * shape.hidden + widest)
  }

  #pass(hidden: Hidden, weights: BlockWeights, i: number, k: number): BlockPass {
    const x = hidden.take(i)
    return new BlockPass(hidden, i, x, this.opened.model.block(this.gpu, weights, x, hidden.batches[i], k))
  }

  #zeroSums({ compared, solver }: PlannedRun, [linear]: LinearShape[]): StageSums {
    const sizes = solver.transform !== undefined || this.host.elsewhere !== undefined
    return new StageSums(this.gpu, linear, { heldOut: this.heldOut.length > 0, compared, sizes })
  }

  /** Completes the sums of a stage, and hands them to who solves its linears elsewhere. */
  async #finish(sums: StageSums | null, k: number, stage: number): Promise<void> {
    sums?.finish()
    if (sums) await this.host.elsewhere?.keep?.(k, stage, sums)
  }

  #isHeldOut(i: number): boolean {
    return i >= this.calibration.length
  }

  /** Adds batch i of the calibration stream to the sums of a stage, held-out windows to their own. */
  #add(sums: StageSums | null, i: number, input: Tensor, full: Tensor | null, batch: TokenBatch): void {
    sums?.add(this.#isHeldOut(i) ? sums.heldOut! : sums.seen, input, full, batch)
  }
}

/** One batch on its way through a block, paused at the stages in turn. */
class BlockPass {
  constructor(
    readonly hidden: Hidden,
    readonly i: number,
    readonly x: Tensor,
    readonly steps: AsyncGenerator<StageInput, Tensor>,
  ) {}

  /** The input of a stage, valid until the pass goes on. */
  async input(stage: number): Promise<Tensor> {
    for (;;) {
      const step = await this.steps.next()
      if (step.done) throw new Error(`The block ended before stage ${stage}.`)
      if (step.value.stage === stage) return step.value.input
    }
  }

  /** Runs to the end of the block and puts its output in the place of the input. */
  async end(): Promise<void> {
    const y = await last(this.steps)
    this.x.dispose()
    await this.hidden.give(this.i, y)
  }

  /** Leaves the block, with the input as it was. */
  async undo(): Promise<void> {
    await this.steps.return(this.x)
    await this.hidden.give(this.i, this.x)
  }
}
