/**
 * The passes of the calibration text through a block that is being solved: Σ of its stages, all from one pass, or stage by stage from the
 * quantized ones before; in between, the linears are solved.
 */
import type { TokenBatch } from '../../eval/perplexity.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { type BlockWeights, type LinearShape, linearsOf, type StageInput, stateWidth } from '../../models/family.ts'
import type { PlannedRun } from '../plan/plan.ts'
import { ForwardPass, last } from './forward.ts'
import type { Hidden } from './hidden.ts'
import { StageSums } from './sums.ts'
import { disposeFolds, type Fold } from './transform.ts'

/** Solves the linears of a stage; without Σ all of them are in the journal. `folds`: what a transform makes of their weights. */
export type SolveStage = (
  stage: number,
  sums: StageSums | null,
  diagonal: PromiseLike<Float32Array> | null,
  folds?: ReadonlyMap<string, Fold>,
) => Promise<void>

/** The calibration and held-out windows on their way through the blocks. */
export interface Streams {
  /** Through the quantized blocks. */
  seen: Hidden
  /** The same through those of the full-precision model, where a run compares with it; else empty. */
  original: Hidden
}

/** Rescales a block before any of it is rounded, as a solver's transform asks. */
export type Rescale = (sums: StageSums[]) => Promise<Map<string, Fold>>

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
  protected async calibrate(run: PlannedRun, block: OpenBlock, solve: SolveStage, rescale: Rescale | null): Promise<void> {
    await this.listen()
    return run.trueSequential ? this.#sequential(run, block, solve) : this.#atOnce(run, block, solve, rescale)
  }

  /** All Gram matrices of the block as it is, in one pass where they fit; then all linears; then the pass with the new weights. */
  async #atOnce(run: PlannedRun, block: OpenBlock, solve: SolveStage, rescale: Rescale | null): Promise<void> {
    const { k, streams, weights, open } = block
    const { stages } = this.opened.model.layouts[k]
    this.stage(run, 'calibrate', k)
    const sums: (StageSums | null)[] = stages.map(() => null)
    // Scales are searched for all stages before one is solved.
    const needed = open.map((one) => one || rescale !== null)
    const groups = this.#together(run, stages, needed)
    for (const group of groups) {
      for (const stage of group) sums[stage] = needed[stage] ? this.#zeroSums(run, stages[stage]) : null
      await this.#gather(run, block, group, sums, group === groups.at(-1))
      for (const stage of group) {
        await this.#finish(sums[stage], k, stage)
        await sums[stage]?.shelve()
      }
    }
    const folds = await rescale?.(sums as StageSums[])
    for (const [stage, one] of sums.entries()) {
      await solve(stage, one, one?.diagonal ?? null, folds)
      one?.dispose()
    }
    if (folds) disposeFolds(folds)
    this.stage(run, 'propagate', k)
    if (!run.fullInputs) await this.advance(streams.seen, weights, k)
  }

  /** The stages of a block, as many at a time as their sums may take of the memory. */
  #together({ compared }: PlannedRun, stages: LinearShape[][], open: boolean[]): number[][] {
    const groups: number[][] = [[]]
    let held = 0
    for (const [stage, [{ p }]] of stages.entries()) {
      const bytes = open[stage] ? StageSums.bytes(this.gpu, p, compared) : 0
      if (held && held + bytes > this.budget) {
        groups.push([])
        held = 0
      }
      groups.at(-1)!.push(stage)
      held += bytes
    }
    return groups
  }

  /** Adds to the sums of some stages what all batches put in; `final`: for the last stages, after which the full-precision stream goes on. */
  async #gather(
    { fullInputs }: PlannedRun,
    { k, streams: { seen, original }, full, weights }: OpenBlock,
    group: number[],
    sums: (StageSums | null)[],
    final: boolean,
  ): Promise<void> {
    for (const [i, batch] of seen.batches.entries()) {
      if (this.#turns(i)) for (const stage of group) await sums[stage]?.turn()
      const pass = await this.#pass(seen, weights, i, k)
      const beside = original.batches.length ? await this.#pass(original, full, i, k) : null
      for (const stage of group) {
        const input = await pass.input(stage)
        sums[stage]?.add(input, (await beside?.input(stage)) ?? null, batch)
        await this.gpu.pace()
      }
      // What is solved does not change what the next block sees.
      await (final && fullInputs ? pass.end() : pass.undo())
      await (final ? beside?.end() : beside?.undo())
    }
  }

  /**
   * Stage by stage, each seeing what the quantized stages before it put out. Blocks pause at each stage; when the paused
   * batches fit on the GPU they simply go on, otherwise each stage starts the block again.
   */
  async #sequential(run: PlannedRun, { k, streams, full, weights, open }: OpenBlock, solve: SolveStage): Promise<void> {
    const { stages } = this.opened.model.layouts[k]
    const { seen, original } = streams
    const both = [{ hidden: seen, of: weights }, ...(original.batches.length ? [{ hidden: original, of: full }] : [])]
    const begin = async (i: number) => {
      const passes: BlockPass[] = []
      for (const { hidden, of } of both) passes.push(await this.#pass(hidden, of, i, k))
      return passes
    }
    const holds = this.#pausedBytes(seen.batches, k) * both.length <= this.budget / 2
    const paused: BlockPass[][] | null = holds ? [] : null
    if (paused) for (const i of seen.batches.keys()) paused.push(await begin(i))
    for (const [s, stage] of stages.entries()) {
      this.stage(run, 'calibrate', k)
      const sums = open[s] ? this.#zeroSums(run, stage) : null
      for (const [i, batch] of seen.batches.entries()) {
        if (!paused && !sums) continue
        if (this.#turns(i)) await sums?.turn()
        const passes = paused?.[i] ?? (await begin(i))
        const [input, wanted = null] = [await passes[0].input(s), await passes[1]?.input(s)]
        sums?.add(input, wanted, batch)
        if (!paused) for (const pass of passes) await pass.undo()
        await this.gpu.pace()
      }
      await this.#finish(sums, k, s)
      await solve(s, sums, sums?.diagonal ?? null)
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
    return tokens * 4 * (2 * shape.hidden + stateWidth(shape) + widest)
  }

  async #pass(hidden: Hidden, weights: BlockWeights, i: number, k: number): Promise<BlockPass> {
    const x = await hidden.take(i)
    return new BlockPass(hidden, i, x, this.opened.model.block(this.gpu, weights, x, hidden.batches[i], k))
  }

  #zeroSums({ compared, solver }: PlannedRun, [linear]: LinearShape[]): StageSums {
    const { elsewhere } = this.host
    const sizes = solver.transform !== undefined || elsewhere !== undefined
    // What goes elsewhere is needed whole.
    return new StageSums(this.gpu, linear, { compared, sizes, parking: elsewhere ? null : this.parking })
  }

  /** Completes the sums of a stage, and hands them to who solves its linears elsewhere. */
  async #finish(sums: StageSums | null, k: number, stage: number): Promise<void> {
    sums?.finish()
    if (sums) await this.host.elsewhere?.keep?.(k, stage, sums)
  }

  /** Whether batch i is the first of held-out windows. */
  #turns(i: number): boolean {
    return i === this.calibration.length
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
    await this.hidden.giveBack(this.i, this.x)
  }
}
