/**
 * The one block loop. For every run: embed, then block by block gather Σ stage by stage, solve the linears, put the
 * dequantized weights back, and carry the hidden states of calibration and evaluation text through the quantized block.
 * One block is on the GPU at a time (all of them when the model is small); results are written as they appear.
 */
import type { TokenBatch } from '../../eval/perplexity.ts'
import { absSum, diagonal } from '../../gpu/ops.ts'
import { Reading } from '../../gpu/reading.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { type BlockWeights, type LinearShape, linearsOf, type StageInput } from '../../models/family.ts'
import { blockName } from '../../models/weights.ts'
import { type Chosen, chooseAim } from '../../quant/choice.ts'
import { cutWeight } from '../../quant/slices.ts'
import { Derived } from '../../quant/solver.ts'
import type { Judgement } from '../host.ts'
import { runKey } from '../grams.ts'
import type { PlannedRun } from '../plan/plan.ts'
import { stageWork } from '../plan/work.ts'
import { ForwardPass, last } from './forward.ts'
import type { Hidden } from './hidden.ts'
import { FORWARD } from './pulse.ts'
import { Linears } from './linears.ts'
import { linearNames, restoreBlock } from './restore.ts'
import { Settling } from './settling.ts'
import type { Run } from './single.ts'
import { StageSums } from './sums.ts'
import { fold } from './transform.ts'

/**
 * Solves the linears of a stage; without Σ all of them are in the journal. `outputs`: what a transform divided the outputs
 * of some of them by.
 */
type SolveStage = (
  stage: number,
  sums: StageSums | null,
  diagonal: PromiseLike<Float32Array> | null,
  outputs?: ReadonlyMap<string, Tensor>,
) => Promise<void>

/** The calibration and held-out windows on their way through the blocks. */
interface Streams {
  /** Through the quantized blocks. */
  seen: Hidden
  /** The same through those of the full-precision model, where a run compares with it; else empty. */
  original: Hidden
}

/** A block that is being solved. */
interface OpenBlock {
  k: number
  streams: Streams
  full: BlockWeights
  weights: BlockWeights
  /** By stage: whether any of its linears is unsolved. */
  open: boolean[]
}

export class BlockLoop extends ForwardPass {
  /** Of the run at hand, whose quantized blocks the journal has. */
  #linears: Linears | null = null

  // ---------------------------------------------------------------- one run

  /** Quantizes block by block; what the journal has is taken from there. */
  async quantize(run: Run): Promise<Judgement> {
    const { journal } = this
    const { blocks } = run.plan
    this.#linears = new Linears(run, this)
    this.progress.enter(FORWARD)
    let solved = 0
    while (solved < blocks && (await this.#recallBlock(this.#linears, solved))) solved++
    const { measured } = run.work
    const known = measured.filter((k) => k <= solved && journal.score(k))
    for (const k of known) run.tellPerplexity(k, journal.score(k)!)
    const last = journal.score(blocks)
    if (last && solved === blocks) return last

    const { seen, original, judged, passages, from } = await this.#states(run, solved)
    run.reach(solved, from, known)
    let score: Judgement | null = null
    for (let k = from; k < blocks; k++) {
      await this.#quantizeBlock(this.#linears, k, solved, { seen, original }, [judged, passages])
      if (measured.includes(k + 1)) {
        score = journal.score(k + 1) ?? (await this.#measure(run, k, judged, passages))
        run.tellPerplexity(k + 1, score)
      }
      run.reach(
        Math.max(solved, k + 1),
        k + 1,
        measured.filter((m) => m <= k + 1 || known.includes(m)),
      )
      if (k >= solved && k + 1 < blocks) await journal.keepStates(k + 1, blocks, [seen, judged, passages, original])
    }
    for (const hidden of [seen, judged, passages, original]) hidden.dispose()
    // What this run's method left for reuse is of little use to the next, and would count beside what that takes.
    this.gpu.trim()
    if (!score) throw new Error('The quantized model was never measured.')
    return score
  }

  /** Quantizes block k, or takes it from the journal that has all before `solved`, and carries the states of all texts through it. */
  async #quantizeBlock(linears: Linears, k: number, solved: number, calibration: Streams, others: Hidden[]): Promise<void> {
    const { plan } = linears.run
    const { seen, original } = calibration
    const full = await this.load(k)
    const weights: BlockWeights = new Map(full)
    if (k < solved) {
      this.stage(plan, 'restore', k)
      await this.restoreBlock(k, weights)
      await this.advance(seen, weights, k)
      await this.advance(original, full, k)
    } else await this.#solveBlock(linears, k, calibration, full, weights)
    this.stage(plan, 'propagate', k)
    for (const hidden of others) await this.advance(hidden, weights, k)
    for (const [name, tensor] of weights) if (full.get(name) !== tensor) tensor.dispose()
    this.unload(full)
  }

  /** Puts quantized weights in the place of `full` ones in `weights`, and carries the calibration text through the block. */
  async #solveBlock(linears: Linears, k: number, streams: Streams, full: BlockWeights, weights: BlockWeights): Promise<void> {
    const { run } = linears
    const layout = this.opened.model.layouts[k]
    const { solver } = run.plan
    const kept = await this.journal.linears(linearNames(this.opened, k))
    const knownOf = ({ name }: LinearShape) => kept.get(blockName(this.opened, k, name))
    const solve: SolveStage = async (stage, sums, diagonal, outputs) => {
      const derived = new Derived()
      const gramDiagonal = await diagonal
      const shared = sums &&
        gramDiagonal && { sums, gramDiagonal, derived, aim: await this.#chooseAim(linears, k, stage, { sums, gramDiagonal }, full) }
      const before = layout.before[stage]
      const note = solver.transform && before.kind === 'none' ? `Its inputs are left unscaled: ${before.why}.` : null
      // Of scaled inputs they would say nothing of the model's own weights.
      if (sums && !solver.transform) this.#keepSums(run, k, stage, sums)
      const settle = new Settling(this.host.control)
      for (const linear of layout.stages[stage]) {
        const weight = `${linear.name}.weight`
        const scaled = weights.get(weight)!
        const known = knownOf(linear)
        if (known) {
          await linears.recall(known)
          weights.set(weight, linears.restore(known.stored))
        } else {
          const settled = await linears.solve({ k, linear, shared: shared!, note, outputs: outputs?.get(linear.name) }, weights)
          // Codes and weights, four bytes each, and what the error is measured by.
          await settle.after(settled, 12 * linear.q * linear.p)
        }
        if (scaled !== full.get(weight)) scaled.dispose()
      }
      await settle.all()
      const left = layout.stages[stage].filter((linear) => !knownOf(linear))
      this.progress.credit(solver.id, stageWork(run.plan, layout.stages[stage]) - stageWork(run.plan, left))
      derived.dispose()
      this.progress.enter(FORWARD)
    }
    const open = layout.stages.map((stage) => stage.some((linear) => !knownOf(linear)))
    const block = { k, streams, full, weights, open }
    if (run.plan.trueSequential) await this.#sequential(run.plan, block, solve)
    else await this.#atOnce(run, block, solve)
  }

  #keepSums({ id }: Run, k: number, stage: number, { seen, heldOut }: StageSums): void {
    const names = this.opened.model.layouts[k].stages[stage].map(({ name }) => blockName(this.opened, k, name))
    this.host.grams?.keep(this.gpu, runKey(this.journal.head.started, id), names, { seen, heldOut })
  }

  /** Damping and target of a stage, by what a run asks for; null for those that are published. */
  async #chooseAim(
    { run: { plan } }: Linears,
    k: number,
    stage: number,
    { sums: { seen, heldOut }, gramDiagonal }: { sums: StageSums; gramDiagonal: Float32Array },
    full: BlockWeights,
  ): Promise<Chosen | null> {
    if (!plan.aim) return null
    const { gpu } = this
    const linears = this.opened.model.layouts[k].stages[stage]
    this.stage(plan, 'solve', k, blockName(this.opened, k, linears[0].name))
    this.progress.enter(plan.solver.id)
    const weights = linears.map(({ name }) => full.get(`${name}.weight`)!)
    return chooseAim({ gpu, gram: seen.gram, gramDiagonal, halfScales: true, weights, cross: seen.cross, heldOut }, plan.aim, plan.options)
  }

  /** Tells and writes what was solved of block k in earlier times. Whether that is all of it. */
  async #recallBlock(linears: Linears, k: number): Promise<boolean> {
    const names = linearNames(this.opened, k)
    const kept = await this.journal.linears(names)
    const { run } = linears
    const vectors = run.plan.solver.transform ? await this.journal.vectors(k) : new Map()
    if (kept.size < names.length || !vectors) return false
    if (vectors.size) await run.output.vectors(vectors)
    for (const linear of kept.values()) await linears.recall(linear)
    await this.gpu.pace()
    return true
  }

  /** Puts the quantized weights of block k, and vectors that a transform changed, in place of the full ones. */
  protected restoreBlock(k: number, weights: BlockWeights): Promise<void> {
    return restoreBlock(this.gpu, this.opened, this.journal, k, weights, (stored) => this.#linears!.restore(stored))
  }

  /** Hidden states of all texts, past as many blocks as the journal knows them; at most `solved`. */
  async #states({ plan }: Run, solved: number): Promise<Streams & { judged: Hidden; passages: Hidden; from: number }> {
    const windows = [...this.calibration, ...this.heldOut]
    const texts = [windows, this.evaluation, this.passages, plan.compared ? windows : []]
    const kept = texts.map((batches) => this.hidden(batches))
    const from = await this.journal.states(kept)
    if (from && from <= solved) {
      const [seen, judged, passages, original] = kept
      return { seen, judged, passages, original, from }
    }
    for (const hidden of kept) hidden.dispose()
    const [seen, judged, passages] = [await this.embed(texts[0]), await this.embed(texts[1]), await this.embed(texts[2])]
    return { seen, judged, passages, original: await this.embed(texts[3]), from: 0 }
  }

  /** The model with its blocks up to and including k quantized. The passages are measured, and given up, at the last. */
  async #measure(run: Run, k: number, judged: Hidden, passages: Hidden): Promise<Judgement> {
    const full = await this.full()
    this.stage(run.plan, 'evaluate', k)
    const final = k + 1 === run.plan.blocks
    const judgement = final ? judged : await judged.fork()
    await this.carry(final ? [judgement, passages] : [judgement], k + 1)
    const score = { ...(await this.score(judgement, full, k + 1)), ...(final && { lambada: await this.lastWords(passages, k + 1) }) }
    if (!final) judgement.dispose()
    await this.journal.keepScore(k + 1, score)
    return score
  }

  /** All Gram matrices in one pass of the block as it is; then all linears; then the pass with the new weights. */
  async #atOnce(run: Run, block: OpenBlock, solve: SolveStage): Promise<void> {
    const { k, streams, full, weights, open } = block
    const { seen, original } = streams
    const { stages } = this.opened.model.layouts[k]
    const { transform } = run.plan.solver
    this.stage(run.plan, 'calibrate', k)
    const sums = stages.map((stage, s) => (transform || open[s] ? this.#zeroSums(run.plan, stage) : null))
    const sizes = transform ? stages.map(([{ p }]) => this.gpu.zeros([p])) : null
    for (const [i, batch] of seen.batches.entries()) {
      const x = seen.take(i)
      const beside = original.batches.length ? this.#pass(original, full, i, k) : null
      for await (const { stage, input } of this.opened.model.block(this.gpu, weights, x, batch, k)) {
        this.#add(sums[stage], i, input, (await beside?.input(stage)) ?? null, batch)
        if (sizes && !this.#isHeldOut(i))
          for (let w = 0; w < batch.windows; w++) absSum(this.gpu, input, sizes[stage], w * batch.t, batch.length)
        await this.gpu.pace()
        if (stage === stages.length - 1) break
      }
      await seen.give(i, x)
      await beside?.end()
    }
    for (const one of sums) one?.finish()
    const outputs = sizes ? await this.#transform(run, k, weights, sums as StageSums[], sizes) : undefined
    const diagonals = sums.map((one) => one && diagonal(this.gpu, one.seen.gram))
    for (const [stage, one] of sums.entries()) {
      await solve(stage, one, diagonals[stage], outputs)
      one?.dispose()
    }
    for (const tensor of outputs?.values() ?? []) tensor.dispose()
    this.stage(run.plan, 'propagate', k)
    await this.advance(seen, weights, k)
  }

  /** Searches the scales of all stages on the block as it is, then folds them into it. `sums`: Σ |x_j|, disposed here. */
  async #transform(run: Run, k: number, weights: BlockWeights, stages: StageSums[], sums: Tensor[]): Promise<Map<string, Tensor>> {
    const { gpu, opened } = this
    const layout = opened.model.layouts[k]
    const { solver, options } = run.plan
    const tokens = this.calibration.reduce((sum, { windows, length }) => sum + windows * length, 0)
    this.progress.enter(solver.id)
    const means = await Reading.all(
      sums.map((sum) => gpu.read(sum).map((values) => (values as Float32Array).map((value) => value / tokens))),
    )
    for (const sum of sums) sum.dispose()
    const searched: Reading<Float32Array<ArrayBuffer> | null>[] = []
    for (const [stage, linears] of layout.stages.entries()) {
      if (layout.before[stage].kind === 'none') {
        searched.push(Reading.of(null))
        continue
      }
      this.stage(run.plan, 'solve', k, blockName(opened, k, linears[0].name))
      const whole = linears.map(({ name }) => weights.get(`${name}.weight`)!)
      // The scales look at sums over rows: those of slices add up.
      const parts = whole.flatMap((weight) => cutWeight(gpu, weight))
      const problem = { gpu, weights: parts, gram: stages[stage].seen.gram, meanAbs: means[stage], halfScales: true }
      searched.push((await solver.transform!.scales(problem, options)).scales)
      for (const part of parts) if (!whole.includes(part)) part.dispose()
    }
    const scales = await Reading.all(searched)
    const grams = stages.map(({ seen, heldOut }) => [seen.gram, ...(heldOut ? [heldOut.gram] : [])])
    const stored = (vector: string) => opened.folder.checkpoint.tensors.get(blockName(opened, k, vector))!.dtype
    const { vectors, outputs } = await fold(gpu, layout, weights, grams, scales, stored)
    const changed = new Map([...vectors].map(([name, bytes]) => [blockName(opened, k, name), bytes]))
    await this.journal.keepVectors(k, changed)
    await run.output.vectors(changed)
    return outputs
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
      sums?.finish()
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

  #zeroSums({ compared }: PlannedRun, [linear]: LinearShape[]): StageSums {
    return new StageSums(this.gpu, linear, { heldOut: this.heldOut.length > 0, compared })
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
