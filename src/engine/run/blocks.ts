/**
 * The one block loop. For every run: embed, then block by block gather Σ stage by stage, solve the linears, put the
 * dequantized weights back, and carry the hidden states of calibration and evaluation text through the quantized block.
 * One block is on the GPU at a time (all of them when the model is small); results are written as they appear.
 */
import type { TokenBatch } from '../../eval/perplexity.ts'
import { absSum, add, diagonal, gramUpper, mirror, roundTo, scale, subtract, transpose } from '../../gpu/ops.ts'
import { Reading } from '../../gpu/reading.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { bf16ToF32, f16ToF32 } from '../../io/half.ts'
import type { BlockWeights, LinearShape, StageInput } from '../../models/family.ts'
import { blockName } from '../../models/weights.ts'
import { objective } from '../../quant/rounding.ts'
import { collect, restore, scaleNotes, type SolvedLinear } from '../../quant/linear.ts'
import { cutWeight, solveLinear } from '../../quant/slices.ts'
import { Derived, type LinearProblem } from '../../quant/solver.ts'
import type { Judgement } from '../host.ts'
import type { LayerResult, ObjectiveCurve, RunEvent } from '../job.ts'
import type { KeptLinear } from '../keep/journal.ts'
import { linearBits, type PlannedRun } from '../plan/plan.ts'
import { stageWork } from '../plan/work.ts'
import { ForwardPass, last } from './forward.ts'
import type { Hidden } from './hidden.ts'
import { FORWARD } from './pulse.ts'
import { type Settle, Settling } from './settling.ts'
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

type ObjectivePoint = Extract<RunEvent, { type: 'objective' }>['points'][number]

export class BlockLoop extends ForwardPass {
  /** The run at hand, whose quantized blocks the journal has. */
  #run: Run | null = null

  // ---------------------------------------------------------------- one run

  /** Quantizes block by block; what the journal has is taken from there. */
  async quantize(run: Run): Promise<Judgement> {
    const { blocks, solver } = run.plan
    const { model } = this.opened
    const { journal, host } = this
    this.#run = run
    this.progress.enter(FORWARD)
    let solved = 0
    while (solved < blocks && (await this.#recallBlock(run, solved))) solved++
    const { measured } = run.work
    const known = measured.filter((k) => k <= solved && journal.score(k))
    for (const k of known) run.tellPerplexity(k, journal.score(k)!)
    const last = journal.score(blocks)
    if (last && solved === blocks) return last

    const { seen, judged, passages, from } = await this.#states(solved)
    run.reach(solved, from, known)
    let score: Judgement | null = null
    for (let k = from; k < blocks; k++) {
      const full = await this.load(k)
      const weights: BlockWeights = new Map(full)
      if (k < solved) {
        this.stage(run.plan, 'restore', k)
        await this.restoreBlock(k, weights)
        await this.advance(seen, weights, k)
      } else {
        const kept = await journal.linears(this.#names(k))
        const solve: SolveStage = async (stage, gram, diagonal, outputs) => {
          const derived = new Derived()
          const shared = gram && diagonal && { gram, gramDiagonal: await diagonal, derived }
          const before = model.before[stage]
          const note = solver.transform && before.kind === 'none' ? `Its inputs are left unscaled: ${before.why}.` : null
          const settle = new Settling(host.control)
          for (const linear of model.stages[stage]) {
            const scaled = weights.get(`${linear.name}.weight`)!
            const known = kept.get(blockName(this.opened, k, linear.name))
            if (known) {
              await this.#recall(run, known)
              weights.set(`${linear.name}.weight`, this.#restore(known.stored))
            } else {
              const settled = await this.#solve(run, k, linear, shared!, weights, note, outputs?.get(linear.name))
              // Codes and weights, four bytes each, and what the error is measured by.
              await settle.after(settled, 12 * linear.q * linear.p)
            }
            if (scaled !== full.get(`${linear.name}.weight`)) scaled.dispose()
          }
          await settle.all()
          const left = model.stages[stage].filter(({ name }) => !kept.has(blockName(this.opened, k, name)))
          this.progress.credit(solver.id, stageWork(run.plan, model.stages[stage]) - stageWork(run.plan, left))
          derived.dispose()
          this.progress.enter(FORWARD)
        }
        const open = model.stages.map((stage) => stage.some(({ name }) => !kept.has(blockName(this.opened, k, name))))
        if (run.plan.trueSequential) await this.#sequential(run.plan, k, seen, weights, open, solve)
        else await this.#atOnce(run, k, seen, weights, open, solve)
      }
      this.stage(run.plan, 'propagate', k)
      await this.advance(judged, weights, k)
      await this.advance(passages, weights, k)
      for (const [name, tensor] of weights) if (full.get(name) !== tensor) tensor.dispose()
      this.unload(full)
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

  #names(k: number): string[] {
    return this.opened.model.stages.flat().map(({ name }) => blockName(this.opened, k, name))
  }

  /** Tells and writes what was solved of block k in earlier times. Whether that is all of it. */
  async #recallBlock(run: Run, k: number): Promise<boolean> {
    const names = this.#names(k)
    const kept = await this.journal.linears(names)
    const vectors = run.plan.solver.transform ? await this.journal.vectors(k) : new Map()
    if (kept.size < names.length || !vectors) return false
    if (vectors.size) await run.output.vectors(vectors)
    for (const linear of kept.values()) await this.#recall(run, linear)
    await this.gpu.pace()
    return true
  }

  async #recall(run: Run, known: KeptLinear): Promise<void> {
    run.tell(known.layer)
    await this.#write(run, known.layer.name, known.stored)
  }

  /** Puts the quantized weights of block k, and vectors that a transform changed, in place of the full ones. */
  protected async restoreBlock(k: number, weights: BlockWeights): Promise<void> {
    const { gpu, opened, journal } = this
    const kept = await journal.linears(this.#names(k))
    for (const { name } of opened.model.stages.flat()) {
      weights.set(`${name}.weight`, this.#restore(kept.get(blockName(opened, k, name))!.stored))
    }
    const changed = await journal.vectors(k)
    for (const { name, plus = 0 } of opened.model.vectors) {
      const full = blockName(opened, k, name)
      const bytes = changed?.get(full)
      if (!bytes) continue
      const values = floatsOf(bytes, opened.folder.checkpoint.tensors.get(full)!.dtype).map((value) => value + plus)
      weights.set(name, gpu.upload(values, [values.length]))
    }
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

  /** tr(D Σ Dᵀ), D = W or W − Ŵ, with outputs as they were before a transform divided them by `outputs`. */
  #lost(weight: Tensor, what: Tensor | null, gram: Tensor, outputs?: Tensor): Reading<number> {
    const { gpu } = this
    if (!what && !outputs) return objective(gpu, weight, gram)
    const d = gpu.empty(weight.shape)
    gpu.copy(weight, d)
    if (what) subtract(gpu, d, what)
    if (outputs) scale(gpu, d, { cols: outputs })
    const value = objective(gpu, d, gram)
    d.dispose()
    return value
  }

  /** Ŵ + H as the checkpoint will hold it, where that rounds weights; whether it does. */
  #roundStored({ plan: { measured, output } }: Run, what: Tensor): boolean {
    const dtype = measured.rounds(output.settings)
    if (dtype) roundTo(this.gpu, dtype, what)
    return dtype !== null
  }

  /** A linear from the journal as the run used it. */
  #restore(stored: SolvedLinear): Tensor {
    const what = restore(this.gpu, stored)
    this.#roundStored(this.#run!, what)
    return what
  }

  /** Solves a linear, up to what has to come back from the GPU: the returned function waits for that, tells and keeps it. */
  async #solve(
    run: Run,
    k: number,
    { name, q, p, scoring }: LinearShape,
    shared: Pick<LinearProblem, 'gram' | 'gramDiagonal' | 'derived'>,
    weights: BlockWeights,
    note: string | null,
    outputs?: Tensor,
  ): Promise<Settle> {
    const { gpu, host } = this
    const { solver, options, grid, output } = run.plan
    const { gram } = shared
    const full = blockName(this.opened, k, name)
    const started = host.control.clock
    this.stage(run.plan, 'solve', k, full)
    this.progress.enter(solver.id)
    const weight = weights.get(`${name}.weight`)!
    const base = this.#lost(weight, null, gram, outputs)
    const relative = base.map((whole) => (value: number) => (whole > 0 ? value / whole : 0))
    const iterations = solver.sweeps?.(options) ?? 0
    const problem = { gpu, weight, ...shared, halfScales: true, scoring }
    const curve = new Map<number, ObjectivePoint>()
    const result = await solveLinear(solver, problem, options, {
      report: async (points) => {
        const share = await relative
        const shown = points.map((point) => ({ ...point, value: share(point.value) }))
        if (host.control.stopped) return
        for (const point of shown) curve.set(point.iteration, point)
        host.emit({ type: 'objective', run: run.id, linear: full, points: shown, iterations })
      },
    })
    const { outliers = null } = result
    const collected = collect(gpu, result, grid)
    if (outliers) add(gpu, result.what, outliers.h)
    const rounds = this.#roundStored(run, result.what)
    const lost = outputs || rounds ? this.#lost(weight, result.what, gram, outputs) : result.error
    const dense = run.output.storesWeights ? this.#rows(result.what) : null
    weights.set(`${name}.weight`, result.what)
    for (const tensor of [result.codes, result.grid, outliers?.h]) tensor?.dispose()
    const seconds = host.control.clock - started
    return async () => {
      // One wait for all that is known of this linear; the report of its objective ends before.
      const waiting = host.control.clock
      const counted = Reading.of(0).map(() => outliers?.count ?? 0)
      const [stored, share, , error, count] = await Reading.all([collected, relative, result.error, lost, counted])
      if (!Number.isFinite(await base)) throw await this.overflow(this.calibration, k, `the sum of squares that ${full} puts out`, k + 1)
      const { beyond, below } = scaleNotes(stored)
      if (beyond) {
        const problem = {
          severity: 'warning',
          code: 'note',
          message: `${full}: ${beyond}`,
          hint: 'More bits make smaller scales.',
        } as const
        host.emit({ type: 'notice', run: run.id, problem })
      }
      const kept = outliers && count ? { count, kind: outliers.kind } : null
      const layer: LayerResult = {
        name: full,
        block: k,
        shape: [q, p],
        relativeError: share(error),
        seconds: seconds + host.control.clock - waiting,
        iterations: result.iterations,
        bits: {
          ...linearBits({ q, p }, grid, !output.settings.actOrder, kept),
        },
        ...(curve.size && { objective: curveOf([...curve.values()]) }),
        notes: [...result.notes, note, beyond, below].filter((one) => one !== null),
      }
      await this.journal.keepLinear(layer, stored, run.seconds)
      await this.#write(run, full, stored, dense)
      run.tell(layer)
    }
  }

  /** A weight `[p, q]` as checkpoints have it, `[q, p]`, on the host. */
  #rows(weight: Tensor): Reading<Float32Array<ArrayBuffer>> {
    const rows = transpose(this.gpu, weight)
    const values = this.gpu.read(rows) as Reading<Float32Array<ArrayBuffer>>
    rows.dispose()
    return values
  }

  /** Into the checkpoint; `rows`: Ŵ + H where it was read already. */
  async #write(run: Run, name: string, stored: SolvedLinear, rows: Reading<Float32Array<ArrayBuffer>> | null = null): Promise<void> {
    await run.output.linear(name, stored, () => {
      if (rows) return rows
      const what = this.#restore(stored)
      const read = this.#rows(what)
      what.dispose()
      return read
    })
  }
}

/** Six digits are more than a chart shows, and keep the journal small. */
function curveOf(points: ObjectivePoint[]): ObjectiveCurve {
  const sorted = points.sort((a, b) => a.iteration - b.iteration)
  return {
    iterations: sorted.map(({ iteration }) => iteration),
    values: sorted.map(({ value }) => Number(value.toPrecision(6))),
    relaxed: sorted.filter(({ relaxed }) => relaxed).map(({ iteration }) => iteration),
  }
}

/** What a checkpoint stores of a vector, as f32. */
function floatsOf(bytes: Uint8Array<ArrayBuffer>, dtype: string): Float32Array<ArrayBuffer> {
  if (dtype === 'F32') return new Float32Array(bytes.slice().buffer)
  const halves = new Uint16Array(bytes.slice().buffer)
  return dtype === 'F16' ? f16ToF32(halves) : bf16ToF32(halves)
}
