/**
 * The one block loop. For every run: embed, then block by block gather Σ stage by stage, solve the linears, put the
 * dequantized weights back, and carry the hidden states of calibration and evaluation text through the quantized block.
 * One block is on the GPU at a time (all of them when the model is small); results are written as they appear.
 */
import { inFloats, maxAbs } from '../../gpu/ops.ts'
import { Reading } from '../../gpu/reading.ts'
import type { BlockWeights, LinearShape } from '../../models/family.ts'
import { blockName } from '../../models/open.ts'
import { type Chosen, chooseAim } from '../../quant/choice.ts'
import { cutWeight } from '../../quant/slices.ts'
import { Derived } from '../../quant/solver.ts'
import type { Judgement, SolvedElsewhere } from '../host.ts'
import { runKey } from '../grams.ts'
import type { PlannedRun } from '../plan/plan.ts'
import { stageWork } from '../plan/work.ts'
import type { Hidden } from '../passes/hidden.ts'
import { FORWARD } from '../passes/pulse.ts'
import { Linears, type SolvingRun } from './linears.ts'
import { linearNames, restoreBlock } from '../passes/restore.ts'
import { Settling } from '../passes/settling.ts'
import type { Run } from './single.ts'
import { EndPass } from './ends.ts'
import type { SolveStage, Streams } from '../passes/stages.ts'
import type { StageSums } from '../passes/sums.ts'
import { type Fold, fold } from '../passes/transform.ts'

/** A stage whose linears are being solved. */
interface StageAtHand {
  k: number
  stage: number
  full: BlockWeights
  weights: BlockWeights
  /** What is solved already. */
  known: (linear: LinearShape) => SolvedElsewhere | undefined
  /** Its linears, or parts of them: all if missing. */
  chosen?: LinearShape[]
}

/** Of the hidden states of a run, in the order in which the journal keeps them. */
const HOLDERS = ['calibration states', 'evaluation states', 'states of passages', 'full-precision calibration states']

export class BlockLoop extends EndPass {
  /** Of the run at hand, whose quantized blocks the journal has. */
  #linears: Linears | null = null

  // ---------------------------------------------------------------- one run

  /** Quantizes block by block; what the journal has is taken from there. */
  async quantize(run: Run): Promise<Judgement> {
    const { journal } = this
    const { blocks } = run.plan
    this.#linears = new Linears(run, this)
    await this.enterEnds(this.#linears)
    this.progress.enter(FORWARD)
    if (this.host.elsewhere?.solved) for (let k = 0; k < blocks; k++) await this.#adoptBlock(run, k)
    let solved = 0
    while (solved < blocks && (await this.#recallBlock(this.#linears, solved))) solved++
    const { measured } = run.work
    const known = measured.filter((k) => k <= solved && journal.score(k))
    for (const k of known) run.tellPerplexity(k, journal.score(k)!)
    const last = journal.score(blocks)
    if (last && solved === blocks && !this.endsLeft.length) return last
    await this.solveTable()

    const { seen, original, judged, passages, from } = await this.#states(run, solved)
    run.reach(solved, from, known)
    let score: Judgement | null = null
    for (let k = from; k < blocks; k++) {
      await this.#quantizeBlock(this.#linears, k, solved, { seen, original }, [judged, passages])
      if (k + 1 === blocks) await this.solveHead({ seen, original }, blocks)
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
      await this.advance(seen, plan.fullInputs ? full : weights, k)
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
    const { stages } = this.opened.model.layouts[k]
    const kept = await this.journal.linears(linearNames(this.opened, run.plan.spec, k))
    const nameOf = ({ name }: LinearShape) => blockName(this.opened, k, name)
    const solvedOf = (stage: number) => stages[stage].filter(({ name }) => run.plan.linears[k].has(name))
    const solve: SolveStage = async (stage, sums, diagonal, folds) => {
      // Of scaled inputs they would say nothing of the model's own weights.
      if (sums && !run.plan.solver.transform) await this.#keepSums(run, k, stage, sums)
      if (sums && this.host.elsewhere?.wait) {
        const others = await this.host.elsewhere.wait(
          solvedOf(stage)
            .map(nameOf)
            .filter((name) => !kept.has(name)),
        )
        for (const one of others.values()) await this.#adopt(run, one)
        for (const [name, one] of others) kept.set(name, one)
      }
      await this.solveStage(linears, { k, stage, full, weights, known: (linear) => kept.get(nameOf(linear)) }, sums, diagonal, folds)
    }
    const open = stages.map((_, stage) => solvedOf(stage).some((linear) => !kept.has(nameOf(linear))))
    const block = { k, streams, full, weights, open }
    const rescale = run.plan.solver.transform ? (sums: StageSums[]) => this.rescale(run, k, weights, sums, this.#tokens) : null
    await this.calibrate(run.plan, block, solve, rescale)
  }

  /** Solves what is not known of some linears of a stage, by default all, and puts their quantized weights in place. */
  protected async solveStage(
    linears: Linears,
    { k, stage, full, weights, known: knownOf, chosen = this.opened.model.layouts[k].stages[stage] }: StageAtHand,
    sums: StageSums | null,
    diagonal: PromiseLike<Float32Array> | null,
    folds?: ReadonlyMap<string, Fold>,
  ): Promise<void> {
    const { plan } = linears.run
    const { solver } = plan
    const derived = new Derived()
    const gramDiagonal = await diagonal
    await sums?.fetch('gram')
    const shared = sums &&
      gramDiagonal && {
        sums,
        gramDiagonal,
        derived,
        aim: await this.#chooseAim(linears, k, stage, { sums, gramDiagonal }, full),
        span: await this.#span(plan, k, stage, full),
      }
    const before = this.opened.model.layouts[k].before[stage]
    const note = solver.transform && before.kind === 'none' ? `Its inputs are left unscaled: ${before.why}.` : null
    const settle = new Settling(this.host.control)
    // Others stay in full precision.
    const solved = chosen.filter(({ name }) => plan.linears[k].has(name))
    for (const linear of solved) {
      const weight = `${linear.name}.weight`
      const scaled = weights.get(weight)!
      const known = knownOf(linear)
      const last = linear === chosen.at(-1)
      if (known) {
        await linears.recall(known)
        weights.set(weight, linears.restore(known.stored))
      } else {
        const settled = await linears.solve({ k, linear, shared: shared!, note, last, fold: folds?.get(linear.name) }, weights)
        // Codes and weights, four bytes each, and what the error is measured by.
        await settle.after(settled, 12 * linear.q * linear.p)
      }
      if (scaled !== full.get(weight)) scaled.dispose()
    }
    await settle.all()
    const left = solved.filter((linear) => !knownOf(linear))
    this.progress.credit(solver.id, stageWork(plan, k, solved) - stageWork(plan, k, left))
    derived.dispose()
    this.progress.enter(FORWARD)
  }

  /** Takes over what others have solved of block k. */
  async #adoptBlock(run: SolvingRun, k: number): Promise<void> {
    const { journal, host } = this
    const names = linearNames(this.opened, run.plan.spec, k)
    const kept = await journal.linears(names)
    const others = await host.elsewhere!.solved!(names.filter((name) => !kept.has(name)))
    for (const one of others.values()) await this.#adopt(run, one)
    if (!run.plan.solver.transform || (await journal.vectors(k))) return
    const vectors = await host.elsewhere!.vectors?.(k)
    if (vectors) await journal.keepVectors(k, vectors)
  }

  async #adopt(run: SolvingRun, { layer, stored }: SolvedElsewhere): Promise<void> {
    await this.journal.keepLinear(layer, stored, run.seconds)
  }

  async #keepSums({ id, plan: { fullInputs } }: SolvingRun, k: number, stage: number, sums: StageSums): Promise<void> {
    if (!this.host.grams?.fits(sums)) return
    await sums.fetch('gram', 'cross', 'heldOut')
    const names = this.opened.model.layouts[k].stages[stage].map(({ name }) => blockName(this.opened, k, name))
    this.host.grams.keep(this.gpu, this.opened, runKey(this.journal.head.started, id), { linears: names, fullInputs }, sums)
  }

  /** The largest absolute weight of the linears of a stage, where they have a scale in common; else null. */
  async #span({ linears }: PlannedRun, k: number, stage: number, full: BlockWeights): Promise<number | null> {
    const names = this.opened.model.layouts[k].stages[stage].map(({ name }) => name).filter((name) => linears[k].get(name)?.grid.spans)
    if (!names.length) return null
    const span = this.gpu.zeros([1], 'u32')
    for (const name of names) {
      const held = full.get(`${name}.weight`)!
      const weight = inFloats(this.gpu, held)
      maxAbs(this.gpu, weight, span, 0)
      if (weight !== held) weight.dispose()
    }
    const read = this.gpu.read(span)
    span.dispose()
    return new Float32Array(new Uint32Array(await read).buffer)[0]
  }

  /** Damping and target of a stage, by what a run asks for; null for those that are published. */
  async #chooseAim(
    { run: { plan } }: Linears,
    k: number,
    stage: number,
    { sums, gramDiagonal }: { sums: StageSums; gramDiagonal: Float32Array },
    full: BlockWeights,
  ): Promise<Chosen | null> {
    if (!plan.aim) return null
    const { gpu } = this
    const linears = this.opened.model.layouts[k].stages[stage].filter(({ name }) => plan.linears[k].has(name))
    // They have one aim together: it is tried where the grid is coarsest.
    const { options } = linears.map(({ name }) => plan.linears[k].get(name)!).reduce((a, b) => (b.grid.bits < a.grid.bits ? b : a))
    this.stage(plan, 'solve', k, blockName(this.opened, k, linears[0].name))
    this.progress.enter(plan.solver.id)
    const weights = linears.map(({ name }) => full.get(`${name}.weight`)!)
    const { seen, heldOut } = sums
    return chooseAim({ gpu, gramDiagonal, halfScales: true, weights, seen, heldOut, shelf: sums }, plan.aim, options)
  }

  /** Tells and writes what was solved of block k in earlier times. Whether that is all of it. */
  async #recallBlock(linears: Linears, k: number): Promise<boolean> {
    const { run } = linears
    const names = linearNames(this.opened, run.plan.spec, k)
    const kept = await this.journal.linears(names)
    const vectors = run.plan.solver.transform ? await this.journal.vectors(k) : new Map()
    if (kept.size < names.length || !vectors) return false
    if (vectors.size) await run.output.vectors(vectors)
    for (const linear of kept.values()) await linears.recall(linear)
    await this.gpu.pace()
    return true
  }

  /** Puts the quantized weights of block k, and vectors that a transform changed, in place of the full ones. */
  protected restoreBlock(k: number, weights: BlockWeights): Promise<void> {
    const linears = this.#linears!
    return restoreBlock(this.gpu, this.opened, this.journal, { k, spec: linears.run.plan.spec }, weights, (stored) =>
      linears.restore(stored),
    )
  }

  /** Hidden states of all texts, past as many blocks as the journal knows them; at most `solved`. */
  async #states({ plan }: Run, solved: number): Promise<Streams & { judged: Hidden; passages: Hidden; from: number }> {
    const windows = [...this.calibration, ...this.heldOut]
    const texts = [windows, this.evaluation, this.passages, plan.compared ? windows : []]
    const fresh = () => texts.map((batches, n) => this.hidden(batches, HOLDERS[n], n === 0 || n === 3))
    const kept = fresh()
    const from = await this.journal.states(kept)
    if (from && from <= solved) {
      const [seen, judged, passages, original] = kept
      return { seen, judged, passages, original, from }
    }
    for (const hidden of kept) hidden.dispose()
    // Where all is solved, nothing is left to calibrate.
    if (solved === plan.blocks && !this.endsLeft.length) texts[0] = texts[3] = []
    const [seen, judged, passages, original] = await this.embedAll(texts, fresh(), [!plan.fullInputs, true, true, false])
    return { seen, judged, passages, original, from: 0 }
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

  get #tokens(): number {
    return this.calibration.reduce((sum, { windows, length }) => sum + windows * length, 0)
  }

  /** Searches the scales of all stages on the block as it is, then folds them into it. `tokens`: how many were summed up. */
  protected async rescale(
    { plan, output }: Pick<SolvingRun, 'plan' | 'output'>,
    k: number,
    weights: BlockWeights,
    stages: StageSums[],
    tokens: number,
  ): Promise<Map<string, Fold>> {
    const { gpu, opened } = this
    const layout = opened.model.layouts[k]
    const { solver, linears: planned } = plan
    this.progress.enter(solver.id)
    const means = await Reading.all(
      stages.map(({ sizes }) => gpu.read(sizes!).map((values) => (values as Float32Array<ArrayBuffer>).map((value) => value / tokens))),
    )
    const searched: Reading<Float32Array<ArrayBuffer> | null>[] = []
    for (const [stage, linears] of layout.stages.entries()) {
      if (layout.before[stage].kind === 'none') {
        searched.push(Reading.of(null))
        continue
      }
      this.stage(plan, 'solve', k, blockName(opened, k, linears[0].name))
      const held = linears.map(({ name }) => weights.get(`${name}.weight`)!)
      const whole = held.map((weight) => inFloats(gpu, weight))
      // The scales look at sums over rows: those of slices add up.
      const parts = whole.flatMap((weight) => cutWeight(gpu, weight))
      await stages[stage].fetch('gram')
      const problem = { gpu, weights: parts, gram: stages[stage].seen.gram, meanAbs: means[stage], halfScales: true }
      // Linears of a stage are planned alike here.
      const { options } = planned[k].get(linears[0].name)!
      searched.push((await solver.transform!.scales(problem, options)).scales)
      for (const part of new Set([...whole, ...parts])) if (!held.includes(part)) part.dispose()
      await stages[stage].shelve()
    }
    const scales = await Reading.all(searched)
    const stored = (vector: string) => opened.folder.checkpoint.tensors.get(blockName(opened, k, vector))!.dtype
    const { vectors, folds } = await fold(gpu, layout, weights, scales, stored, (stage, by) => stages[stage].rescale(by))
    const changed = new Map([...vectors].map(([name, bytes]) => [blockName(opened, k, name), bytes]))
    await this.journal.keepVectors(k, changed)
    await output.vectors(changed)
    return folds
  }
}
