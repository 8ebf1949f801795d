/**
 * The one block loop. For every run: embed, then block by block gather Σ stage by stage, solve the linears, put the
 * dequantized weights back, and carry the hidden states of calibration and evaluation text through the quantized block.
 * One block is on the GPU at a time (all of them when the model is small); results are written as they appear.
 */
import type { TokenBatch } from '../../eval/perplexity.ts'
import { absSum, diagonal, gramUpper, mirror } from '../../gpu/ops.ts'
import { Reading } from '../../gpu/reading.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import type { BlockWeights, LinearShape, StageInput } from '../../models/family.ts'
import { blockName } from '../../models/weights.ts'
import { cutWeight } from '../../quant/slices.ts'
import { Derived } from '../../quant/solver.ts'
import type { Judgement } from '../host.ts'
import type { PlannedRun } from '../plan/plan.ts'
import { stageWork } from '../plan/work.ts'
import { ForwardPass, last } from './forward.ts'
import type { Hidden } from './hidden.ts'
import { FORWARD } from './pulse.ts'
import { Linears } from './linears.ts'
import { linearNames, restoreBlock } from './restore.ts'
import { Settling } from './settling.ts'
import type { Run } from './single.ts'
import { fold } from './transform.ts'

/**
 * Solves the linears of a stage; without Σ all of them are in the journal. `outputs`: what a transform divided the outputs
 * of some of them by.
 */
type SolveStage = (
  stage: number,
  gram: Tensor | null,
  diagonal: PromiseLike<Float32Array> | null,
  outputs?: ReadonlyMap<string, Tensor>,
) => Promise<void>

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

    const { seen, judged, passages, from } = await this.#states(solved)
    run.reach(solved, from, known)
    let score: Judgement | null = null
    for (let k = from; k < blocks; k++) {
      await this.#quantizeBlock(this.#linears, k, solved, seen, [judged, passages])
      if (measured.includes(k + 1)) {
        score = journal.score(k + 1) ?? (await this.#measure(run, k, judged, passages))
        run.tellPerplexity(k + 1, score)
      }
      run.reach(
        Math.max(solved, k + 1),
        k + 1,
        measured.filter((m) => m <= k + 1 || known.includes(m)),
      )
      if (k >= solved && k + 1 < blocks) await journal.keepStates(k + 1, blocks, [seen, judged, passages])
    }
    for (const hidden of [seen, judged, passages]) hidden.dispose()
    // What this run's method left for reuse is of little use to the next, and would count beside what that takes.
    this.gpu.trim()
    if (!score) throw new Error('The quantized model was never measured.')
    return score
  }

  /** Quantizes block k, or takes it from the journal that has all before `solved`, and carries the states of all texts through it. */
  async #quantizeBlock(linears: Linears, k: number, solved: number, seen: Hidden, others: Hidden[]): Promise<void> {
    const { plan } = linears.run
    const full = await this.load(k)
    const weights: BlockWeights = new Map(full)
    if (k < solved) {
      this.stage(plan, 'restore', k)
      await this.restoreBlock(k, weights)
      await this.advance(seen, weights, k)
    } else await this.#solveBlock(linears, k, seen, full, weights)
    this.stage(plan, 'propagate', k)
    for (const hidden of others) await this.advance(hidden, weights, k)
    for (const [name, tensor] of weights) if (full.get(name) !== tensor) tensor.dispose()
    this.unload(full)
  }

  /** Puts quantized weights in the place of `full` ones in `weights`, and carries the calibration text through the block. */
  async #solveBlock(linears: Linears, k: number, seen: Hidden, full: BlockWeights, weights: BlockWeights): Promise<void> {
    const { run } = linears
    const { model } = this.opened
    const { solver } = run.plan
    const kept = await this.journal.linears(linearNames(this.opened, k))
    const knownOf = ({ name }: LinearShape) => kept.get(blockName(this.opened, k, name))
    const solve: SolveStage = async (stage, gram, diagonal, outputs) => {
      const derived = new Derived()
      const shared = gram && diagonal && { gram, gramDiagonal: await diagonal, derived }
      const before = model.before[stage]
      const note = solver.transform && before.kind === 'none' ? `Its inputs are left unscaled: ${before.why}.` : null
      const settle = new Settling(this.host.control)
      for (const linear of model.stages[stage]) {
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
      const left = model.stages[stage].filter((linear) => !knownOf(linear))
      this.progress.credit(solver.id, stageWork(run.plan, model.stages[stage]) - stageWork(run.plan, left))
      derived.dispose()
      this.progress.enter(FORWARD)
    }
    const open = model.stages.map((stage) => stage.some((linear) => !knownOf(linear)))
    if (run.plan.trueSequential) await this.#sequential(run.plan, k, seen, weights, open, solve)
    else await this.#atOnce(run, k, seen, weights, open, solve)
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
  async #states(solved: number): Promise<{ seen: Hidden; judged: Hidden; passages: Hidden; from: number }> {
    const texts = [this.calibration, this.evaluation, this.passages]
    const kept = texts.map((batches) => this.hidden(batches))
    const from = await this.journal.states(kept)
    if (from && from <= solved) {
      return { seen: kept[0], judged: kept[1], passages: kept[2], from }
    }
    for (const hidden of kept) hidden.dispose()
    const [seen, judged, passages] = [await this.embed(texts[0]), await this.embed(texts[1]), await this.embed(texts[2])]
    return { seen, judged, passages, from: 0 }
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
  async #atOnce(run: Run, k: number, seen: Hidden, weights: BlockWeights, open: boolean[], solve: SolveStage): Promise<void> {
    const { stages } = this.opened.model
    const { transform } = run.plan.solver
    this.stage(run.plan, 'calibrate', k)
    const grams = stages.map((stage, s) => (transform || open[s] ? this.#zeroGram(stage) : null))
    const sums = transform ? stages.map(([{ p }]) => this.gpu.zeros([p])) : null
    for (let i = 0; i < seen.batches.length; i++) {
      const x = seen.take(i)
      for await (const { stage, input } of this.opened.model.block(this.gpu, weights, x, seen.batches[i], k)) {
        const gram = grams[stage]
        if (gram) this.#accumulate(gram, input, seen.batches[i], sums?.[stage])
        await this.gpu.pace()
        if (stage === stages.length - 1) break
      }
      await seen.give(i, x)
    }
    for (const gram of grams) if (gram) mirror(this.gpu, gram)
    const outputs = sums ? await this.#transform(run, k, weights, grams as Tensor[], sums) : undefined
    const diagonals = grams.map((gram) => gram && diagonal(this.gpu, gram))
    for (const [stage, gram] of grams.entries()) {
      await solve(stage, gram, diagonals[stage], outputs)
      gram?.dispose()
    }
    for (const tensor of outputs?.values() ?? []) tensor.dispose()
    this.stage(run.plan, 'propagate', k)
    await this.advance(seen, weights, k)
  }

  /** Searches the scales of all stages on the block as it is, then folds them into it. `sums`: Σ |x_j|, disposed here. */
  async #transform(run: Run, k: number, weights: BlockWeights, grams: Tensor[], sums: Tensor[]): Promise<Map<string, Tensor>> {
    const { gpu, opened } = this
    const { model } = opened
    const { solver, options } = run.plan
    const tokens = this.calibration.reduce((sum, { windows, length }) => sum + windows * length, 0)
    this.progress.enter(solver.id)
    const means = await Reading.all(
      sums.map((sum) => gpu.read(sum).map((values) => (values as Float32Array).map((value) => value / tokens))),
    )
    for (const sum of sums) sum.dispose()
    const searched: Reading<Float32Array<ArrayBuffer> | null>[] = []
    for (const [stage, linears] of model.stages.entries()) {
      if (model.before[stage].kind === 'none') {
        searched.push(Reading.of(null))
        continue
      }
      this.stage(run.plan, 'solve', k, blockName(opened, k, linears[0].name))
      const whole = linears.map(({ name }) => weights.get(`${name}.weight`)!)
      // The scales look at sums over rows: those of slices add up.
      const parts = whole.flatMap((weight) => cutWeight(gpu, weight))
      const problem = { gpu, weights: parts, gram: grams[stage], meanAbs: means[stage], halfScales: true }
      searched.push((await solver.transform!.scales(problem, options)).scales)
      for (const part of parts) if (!whole.includes(part)) part.dispose()
    }
    const scales = await Reading.all(searched)
    const stored = (vector: string) => opened.folder.checkpoint.tensors.get(blockName(opened, k, vector))!.dtype
    const { vectors, outputs } = await fold(gpu, model, weights, grams, scales, stored)
    const changed = new Map([...vectors].map(([name, bytes]) => [blockName(opened, k, name), bytes]))
    await this.journal.keepVectors(k, changed)
    await run.output.vectors(changed)
    return outputs
  }

  /**
   * Stage by stage, each seeing what the quantized stages before it put out. Blocks pause at each stage; when the paused
   * batches fit on the GPU they simply go on, otherwise each stage starts the block again.
   */
  async #sequential(run: PlannedRun, k: number, seen: Hidden, weights: BlockWeights, open: boolean[], solve: SolveStage): Promise<void> {
    const { model } = this.opened
    const { shape } = model
    const tokens = seen.batches.reduce((sum, { windows, t }) => sum + windows * t, 0)
    const holds = tokens * 4 * (3 * shape.hidden + Math.max(shape.ffn, shape.heads * shape.headDim)) <= this.budget
    const paused: { x: Tensor; steps: AsyncGenerator<StageInput, Tensor> }[] = []
    if (holds) {
      for (let i = 0; i < seen.batches.length; i++) {
        const x = seen.take(i)
        paused.push({ x, steps: model.block(this.gpu, weights, x, seen.batches[i], k) })
      }
    }
    for (const [s, stage] of model.stages.entries()) {
      this.stage(run, 'calibrate', k)
      const gram = open[s] ? this.#zeroGram(stage) : null
      for (const [i, batch] of seen.batches.entries()) {
        if (holds) {
          const step = await paused[i].steps.next()
          if (step.done) throw new Error(`The block ended before stage ${s}.`)
          if (gram) this.#accumulate(gram, step.value.input, batch)
        } else if (gram) {
          const x = seen.take(i)
          for await (const { stage: at, input } of model.block(this.gpu, weights, x, batch, k)) {
            if (at < s) continue
            this.#accumulate(gram, input, batch)
            break
          }
          await seen.give(i, x)
        }
        await this.gpu.pace()
      }
      if (gram) mirror(this.gpu, gram)
      await solve(s, gram, gram && diagonal(this.gpu, gram))
      gram?.dispose()
    }
    this.stage(run, 'propagate', k)
    if (!holds) return this.advance(seen, weights, k)
    for (const [i, { x, steps }] of paused.entries()) {
      const y = await last(steps)
      x.dispose()
      await seen.give(i, y)
    }
  }

  #zeroGram(stage: LinearShape[]): Tensor {
    const [{ p, name }] = stage
    const gram = this.gpu.empty([p, p], 'f32', `The Gram matrix of ${name}`)
    this.gpu.clear(gram)
    return gram
  }

  /** Window by window, so that no float32 sum gets longer than a sequence before it is added to the rest. */
  #accumulate(gram: Tensor, input: Tensor, { windows, t, length }: TokenBatch, sums?: Tensor): void {
    for (let w = 0; w < windows; w++) {
      gramUpper(this.gpu, input, gram, w * t, length)
      if (sums) absSum(this.gpu, input, sums, w * t, length)
    }
  }
}
