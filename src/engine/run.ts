/**
 * The one block loop. For every run: embed, then block by block gather Σ stage by stage, solve the linears, put the
 * dequantized weights back, and carry the hidden states of calibration and evaluation text through the quantized block.
 * One block is on the GPU at a time (all of them when the model is small); results are written as they appear.
 */
import { toErrorData } from '../errors.ts'
import { batchedPassages, countRight, type PassageBatch } from '../eval/lambada.ts'
import { batched, flatIds, type Score, scoreOf, scoreWindows, type TokenBatch, type WindowScore } from '../eval/perplexity.ts'
import type { Gpu } from '../gpu/device.ts'
import { absSum, add, diagonal, embed, gramUpper, mirror, scale, subtract, transpose } from '../gpu/ops.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { Sink } from '../io/bytes.ts'
import type { Network } from '../io/hub/network.ts'
import type { BlockWeights, LinearShape, StageInput } from '../models/family.ts'
import {
  type OpenModel,
  type Outer,
  blockName,
  blockTensors,
  disposeBlock,
  disposePanels,
  loadBlock,
  loadOuter,
  loadPanels,
  outerTensors,
} from '../models/weights.ts'
import { objective, pack } from '../quant/grid.ts'
import { cutWeight, solveLinear } from '../quant/slices.ts'
import { Derived, type LinearProblem } from '../quant/solver.ts'
import {
  baselineWork,
  linearBits,
  measuredBlocks,
  passagesWork,
  type Plan,
  type PlannedRun,
  planJob,
  type RunWork,
  runWork,
} from './check.ts'
import { CheckpointExport } from './export.ts'
import type { Control } from './control.ts'
import { Hidden } from './hidden.ts'
import {
  type Job,
  type JobReport,
  type LastWords,
  type LayerResult,
  type RunEvent,
  type RunResult,
  type Stage,
  type Traffic,
  bitsPerWeight,
} from './job.ts'
import { Progress } from './progress.ts'
import type { Session } from './session.ts'
import { fold } from './transform.ts'

export interface Host {
  session: Session
  control: Control
  emit(event: RunEvent): void
  /** Where a run's checkpoint goes. */
  sink(run: string): Promise<Sink>
  /** What the model's files come over, when they come over a network. */
  network?: Network
}

type Judgement = Score & { lambada?: LastWords }

/** Solves the linears of a stage; `outputs`: what a transform divided the outputs of some of them by. */
type SolveStage = (stage: number, gram: Tensor, outputs?: ReadonlyMap<string, Tensor>) => Promise<void>

/** Floats of scratch that one batch of tokens may take: bounds the activations on the GPU. */
const BATCH_FLOATS = 24 * 2 ** 20
/** Kind of work beside the solvers' own. */
const FORWARD = 'forward'
/** Between two progress events. */
const EVENT_SECONDS = 0.25

/**
 * Runs a job. A run that fails or is cancelled ends with what it had; only a job that cannot start, or whose baseline
 * fails, throws.
 */
export async function runJob(job: Job, host: Host): Promise<JobReport> {
  const started = performance.now()
  const { session, control, emit } = host
  const plan = await planJob(job, session)
  const gpu = await session.gpu()
  const opened = session.model
  const counts = plan.check.evaluation!
  const calibrationCounts = plan.check.calibration ?? { text: 0, windows: 0, length: 0 }
  emit({
    type: 'job-start',
    calibration: calibrationCounts,
    evaluation: counts,
    blocks: opened.model.shape.blocks,
    layers: layerNames(opened, Math.max(0, ...plan.runs.map((run) => run.blocks))),
    notices: plan.check.problems,
  })

  const works = plan.runs.map((run) => runWork(run, opened, calibrationCounts, counts, job.perplexityEvery))
  const baseline = baselineWork(opened, counts)
  const words = passagesWork(opened, plan.passages)
  for (const work of [baseline, ...works]) work.forward += words
  const planned = new Map([[FORWARD, baseline.forward]])
  for (const [i, run] of plan.runs.entries()) {
    planned.set(FORWARD, planned.get(FORWARD)! + works[i].forward)
    planned.set(run.solver.id, (planned.get(run.solver.id) ?? 0) + works[i].solve)
  }
  const progress = new Progress(planned, () => gpu.flops)
  const pulse = new Pulse(gpu, progress, host)
  const mark = gpu.mark()
  gpu.gate = () => pulse.beat()
  const offline = host.network && follow(host.network, host)
  const before = host.network?.traffic
  const results: RunResult[] = []
  let fpPerplexity: number | null = null
  let fpLambada: LastWords | undefined
  try {
    const engine = new Engine(gpu, opened, plan, host, progress)
    try {
      const { perplexity, lambada } = await engine.baseline()
      fpPerplexity = perplexity
      fpLambada = lambada
      emit({ type: 'baseline', perplexity, lambada })
    } catch (error) {
      if (!control.cancelled) throw error
    }
    const between = gpu.mark()
    for (const [i, run] of plan.runs.entries()) {
      if (control.cancelled) break
      pulse.enter(run.spec.id, works[i])
      const result = await engine.quantize(run, fpPerplexity)
      results.push(result)
      gpu.releaseSince(between)
      gpu.trim()
      emit({ type: 'run-end', result })
      if (result.error?.code === 'gpu-lost') break
    }
  } finally {
    offline?.()
    opened.folder.checkpoint.ahead([])
    gpu.gate = null
    gpu.releaseSince(mark)
    gpu.trim()
  }
  emit({ type: 'memory', held: gpu.held, peak: gpu.peak })
  const report: JobReport = {
    adapter: await session.gpuSummary(),
    model: { name: opened.folder.name, family: opened.family.id, parameters: opened.parameters, source: session.source },
    job,
    calibration: calibrationCounts,
    evaluation: counts,
    fpPerplexity,
    fpLambada,
    runs: results,
    seconds: (performance.now() - started) / 1000,
    network: before && host.network ? trafficSince(before, host.network.traffic) : null,
  }
  emit({ type: 'job-end', report })
  return report
}

/** Reports what the network does, lets cancelling reach it, and has it wait out a lost connection. Undone by the result. */
function follow(network: Network, { control, emit }: Host): () => void {
  const interrupt = () => network.interrupt()
  control.signal.addEventListener('abort', interrupt)
  network.patient = true
  const deaf = network.listen((event) => {
    if (event.type === 'traffic') emit({ type: 'network', traffic: event.traffic })
    else emit({ type: 'notice', run: null, problem: { severity: 'note', code: event.code, message: event.message, hint: event.hint } })
  })
  return () => {
    control.signal.removeEventListener('abort', interrupt)
    network.patient = false
    deaf()
  }
}

function trafficSince(before: Traffic, now: Traffic): JobReport['network'] {
  return { fetched: now.fetched - before.fetched, cached: now.cached - before.cached, requests: now.requests - before.requests }
}

function layerNames(opened: OpenModel, blocks: number): string[] {
  return Array.from({ length: blocks }, (_, k) => opened.model.stages.flat().map(({ name }) => blockName(opened, k, name))).flat()
}

/** The heartbeat of a job: called between submits, lets pause and cancel in and says how far things are. */
class Pulse {
  #last = 0
  #run: string | null = null
  #runFlops = 0
  #runPlanned = 0

  constructor(
    readonly gpu: Gpu,
    readonly progress: Progress,
    readonly host: Host,
  ) {}

  enter(run: string, work: RunWork): void {
    this.#run = run
    this.#runFlops = this.gpu.flops
    this.#runPlanned = work.forward + work.solve
  }

  async beat(): Promise<void> {
    const { control, emit } = this.host
    if (control.paused && !control.cancelled) {
      emit({ type: 'paused' })
      const before = performance.now()
      await control.check().finally(() => {
        this.progress.skip((performance.now() - before) / 1000)
        emit({ type: 'resumed' })
      })
    }
    await control.check()
    const now = performance.now() / 1000
    if (now - this.#last < EVENT_SECONDS) return
    this.#last = now
    const runDone = this.#runPlanned ? Math.min(1, (this.gpu.flops - this.#runFlops) / this.#runPlanned) : 0
    emit({ type: 'progress', ...this.progress.read(), run: this.#run, runDone })
    emit({ type: 'memory', held: this.gpu.held, peak: this.gpu.peak })
  }
}

class Engine {
  readonly #budget: number
  readonly #calibration: TokenBatch[]
  readonly #evaluation: TokenBatch[]
  readonly #passages: PassageBatch[]
  /** Full-precision blocks, kept while the whole model is small beside the budget. */
  readonly #blocks = new Map<number, BlockWeights>()
  readonly #keepsBlocks: boolean
  #outerWeights: Outer | null = null
  /** Final hidden states of the full-precision model on the evaluation text. */
  #reference: Hidden | null = null

  constructor(
    readonly gpu: Gpu,
    readonly opened: OpenModel,
    readonly plan: Plan,
    readonly host: Host,
    readonly progress: Progress,
  ) {
    const { shape } = opened.model
    this.#budget = gpu.memoryBudget / 4
    this.#keepsBlocks = opened.parameters * 4 <= this.#budget
    const perToken = 4 * shape.hidden + 2 * shape.ffn + (shape.heads + 2 * shape.kvHeads) * shape.headDim
    const tokens = Math.min(
      BATCH_FLOATS / perToken,
      gpu.info.maxBinding / 4 / Math.max(shape.ffn, shape.hidden, shape.heads * shape.headDim),
    )
    const many = (windows: Int32Array[]) =>
      windows.length ? batched(windows, Math.max(1, Math.floor(tokens / (windows[0].length + 3)))) : []
    this.#calibration = many(plan.calibration)
    this.#evaluation = many(plan.evaluation)
    this.#passages = batchedPassages(plan.passages, tokens)
  }

  // ---------------------------------------------------------------- the model as it is

  async baseline(): Promise<Judgement> {
    this.#stage(null, 'baseline', null)
    this.progress.enter(FORWARD)
    const hidden = await this.#embed(this.#evaluation)
    const passages = await this.#embed(this.#passages)
    await this.#carry([hidden, passages], 0, (k) => this.#stage(null, 'baseline', k))
    const score = await this.#score(hidden)
    if (this.plan.runs.length) this.#reference = hidden
    else hidden.dispose()
    return { ...score, lambada: await this.#lastWords(passages) }
  }

  /** Carries hidden states from block `from` to the end in full precision. */
  async #carry(states: Hidden[], from: number, entering: (k: number) => void = () => {}): Promise<void> {
    for (let k = from; k < this.opened.model.shape.blocks; k++) {
      entering(k)
      const weights = await this.#load(k)
      for (const hidden of states) await this.#advance(hidden, weights, k)
      this.#unload(weights)
    }
  }

  /** Perplexity of hidden states after the last block, and how far they are from the full-precision ones. */
  async #score(hidden: Hidden): Promise<Score> {
    const outer = await this.#outer()
    const scores: WindowScore[] = []
    for (const [i, batch] of hidden.batches.entries()) {
      const states = hidden.take(i)
      const reference = this.#reference?.take(i) ?? null
      scores.push(...(await scoreWindows(this.gpu, this.opened.model, outer, states, batch, reference)))
      await hidden.give(i, states)
      if (reference) await this.#reference!.give(i, reference)
    }
    return scoreOf(scores)
  }

  /** Last-word accuracy from the hidden states of the passages after the last block, which are given up. */
  async #lastWords(hidden: Hidden): Promise<LastWords | undefined> {
    if (!this.#passages.length) return
    const outer = await this.#outer()
    let right = 0
    for (const [i, batch] of this.#passages.entries()) {
      const states = hidden.take(i)
      right += await countRight(this.gpu, this.opened.model, outer, states, batch)
      states.dispose()
      await this.gpu.pace()
    }
    return { passages: this.plan.passages.length, right }
  }

  /** One block for all batches. */
  async #advance(hidden: Hidden, weights: BlockWeights, k: number): Promise<void> {
    for (let i = 0; i < hidden.batches.length; i++) {
      const x = hidden.take(i)
      const steps = this.opened.model.block(this.gpu, weights, x, hidden.batches[i], k)
      const y = await last(steps)
      x.dispose()
      await hidden.give(i, y)
      await this.gpu.pace()
    }
  }

  async #embed(batches: TokenBatch[]): Promise<Hidden> {
    const { gpu, opened } = this
    const hidden = new Hidden(gpu, batches, opened.model.shape.hidden, this.#budget)
    if (!batches.length) return hidden
    const shared = opened.embedding === opened.head
    const { weights, head } = await this.#outer()
    const table = shared ? head : await loadPanels(gpu, opened, opened.embedding)
    for (const [i, batch] of batches.entries()) {
      await hidden.give(i, opened.model.start(gpu, weights, embed(gpu, table, flatIds(batch)), batch))
    }
    if (!shared) disposePanels(table)
    return hidden
  }

  async #outer(): Promise<Outer> {
    this.#outerWeights ??= await loadOuter(this.gpu, this.opened)
    return this.#outerWeights
  }

  async #load(k: number): Promise<BlockWeights> {
    const kept = this.#blocks.get(k)
    if (kept) return kept
    const { checkpoint } = this.opened.folder
    checkpoint.ahead(blockTensors(this.opened, k))
    const weights = await loadBlock(this.gpu, this.opened, k)
    if (this.#keepsBlocks) this.#blocks.set(k, weights)
    checkpoint.ahead(this.#after(k))
    return weights
  }

  /** Tensors that will be wanted once the GPU is done with block k. */
  #after(k: number): string[] {
    if (k + 1 < this.opened.model.shape.blocks) return this.#blocks.has(k + 1) ? [] : blockTensors(this.opened, k + 1)
    return this.#outerWeights ? [] : outerTensors(this.opened)
  }

  #unload(weights: BlockWeights): void {
    if (!this.#keepsBlocks) disposeBlock(weights)
  }

  // ---------------------------------------------------------------- one run

  async quantize(run: PlannedRun, fpPerplexity: number | null): Promise<RunResult> {
    const { emit, control } = this.host
    const started = performance.now()
    const layers: LayerResult[] = []
    const result: RunResult = {
      run: run.spec.id,
      state: 'finished',
      fpPerplexity,
      perplexity: null,
      perplexityError: null,
      kl: null,
      top1: null,
      bitsPerWeight: 0,
      meanRelativeError: null,
      worst: null,
      seconds: 0,
      layers,
      export: null,
    }
    emit({ type: 'run-start', run: run.spec.id, blocks: run.blocks })
    const output = await CheckpointExport.start(run, this.opened, this.plan, this.host)
    try {
      const { perplexity, perplexityError, kl, top1, lambada } = await this.#quantizeBlocks(run, layers, output)
      Object.assign(result, { perplexity, perplexityError: Number.isFinite(perplexityError) ? perplexityError : null, kl, top1, lambada })
      this.#stage(run, 'write', null)
      result.export = await output.finish(() => this.gpu.pace())
    } catch (error) {
      result.state = control.cancelled ? 'cancelled' : 'failed'
      result.error = toErrorData(error)
      await output.abandon()
    }
    if (output.error) result.exportError = output.error
    result.seconds = (performance.now() - started) / 1000
    result.bitsPerWeight = bitsPerWeight(layers)
    if (layers.length) {
      result.meanRelativeError = layers.reduce((sum, layer) => sum + layer.relativeError, 0) / layers.length
      const worst = layers.reduce((a, b) => (b.relativeError > a.relativeError ? b : a))
      result.worst = { name: worst.name, relativeError: worst.relativeError }
    }
    return result
  }

  async #quantizeBlocks(run: PlannedRun, layers: LayerResult[], output: CheckpointExport): Promise<Judgement> {
    this.progress.enter(FORWARD)
    const seen = await this.#embed(this.#calibration)
    const judged = await this.#embed(this.#evaluation)
    const passages = await this.#embed(this.#passages)
    const measured = new Set(measuredBlocks(run.blocks, this.plan.job.perplexityEvery))
    let score: Judgement | null = null
    for (let k = 0; k < run.blocks; k++) {
      const full = await this.#load(k)
      const weights: BlockWeights = new Map(full)
      const solve: SolveStage = async (stage, gram, outputs) => {
        const shared = { gram, gramDiagonal: await diagonal(this.gpu, gram), derived: new Derived() }
        const before = this.opened.model.before[stage]
        for (const linear of this.opened.model.stages[stage]) {
          const scaled = weights.get(`${linear.name}.weight`)!
          const layer = await this.#solve(run, k, linear, shared, weights, output, outputs?.get(linear.name))
          if (scaled !== full.get(`${linear.name}.weight`)) scaled.dispose()
          if (run.solver.transform && before.kind === 'none') layer.notes.push(`Its inputs are left unscaled: ${before.why}.`)
          layers.push(layer)
          this.host.emit({ type: 'layer', run: run.spec.id, layer })
        }
        shared.derived.dispose()
        this.progress.enter(FORWARD)
      }
      if (run.trueSequential) await this.#sequential(run, k, seen, weights, solve)
      else await this.#atOnce(run, k, seen, weights, output, solve)
      this.#stage(run, 'propagate', k)
      await this.#advance(judged, weights, k)
      await this.#advance(passages, weights, k)
      for (const [name, tensor] of weights) if (full.get(name) !== tensor) tensor.dispose()
      this.#unload(full)
      if (measured.has(k + 1)) {
        this.#stage(run, 'evaluate', k)
        const final = k + 1 === run.blocks
        const judgement = final ? judged : await judged.fork()
        await this.#carry(final ? [judgement, passages] : [judgement], k + 1)
        score = { ...(await this.#score(judgement)), ...(final && { lambada: await this.#lastWords(passages) }) }
        judgement.dispose()
        this.host.emit({ type: 'perplexity', run: run.spec.id, blocks: k + 1, value: score.perplexity })
      }
    }
    seen.dispose()
    if (!score || !Number.isFinite(score.perplexity))
      throw new Error(`The perplexity of the quantized model came out as ${score?.perplexity}.`)
    return score
  }

  /** All Gram matrices in one pass of the block as it is; then all linears; then the pass with the new weights. */
  async #atOnce(
    run: PlannedRun,
    k: number,
    seen: Hidden,
    weights: BlockWeights,
    output: CheckpointExport,
    solve: SolveStage,
  ): Promise<void> {
    const { stages } = this.opened.model
    this.#stage(run, 'calibrate', k)
    const grams = stages.map((stage) => this.#zeroGram(stage))
    const sums = run.solver.transform ? stages.map(([{ p }]) => this.gpu.zeros([p])) : null
    for (let i = 0; i < seen.batches.length; i++) {
      const x = seen.take(i)
      for await (const { stage, input } of this.opened.model.block(this.gpu, weights, x, seen.batches[i], k)) {
        this.#accumulate(grams[stage], input, seen.batches[i], sums?.[stage])
        await this.gpu.pace()
        if (stage === stages.length - 1) break
      }
      await seen.give(i, x)
    }
    for (const gram of grams) mirror(this.gpu, gram)
    const outputs = sums ? await this.#transform(run, k, weights, grams, sums, output) : undefined
    for (const [stage, gram] of grams.entries()) {
      await solve(stage, gram, outputs)
      gram.dispose()
    }
    for (const tensor of outputs?.values() ?? []) tensor.dispose()
    this.#stage(run, 'propagate', k)
    await this.#advance(seen, weights, k)
  }

  /** Searches the scales of all stages on the block as it is, then folds them into it. `sums`: Σ |x_j|, disposed here. */
  async #transform(
    run: PlannedRun,
    k: number,
    weights: BlockWeights,
    grams: Tensor[],
    sums: Tensor[],
    output: CheckpointExport,
  ): Promise<Map<string, Tensor>> {
    const { gpu, opened } = this
    const { model } = opened
    const tokens = this.#calibration.reduce((sum, { windows, length }) => sum + windows * length, 0)
    this.progress.enter(run.solver.id)
    const scales: (Float32Array<ArrayBuffer> | null)[] = []
    for (const [stage, linears] of model.stages.entries()) {
      const meanAbs = ((await gpu.read(sums[stage])) as Float32Array).map((sum) => sum / tokens)
      sums[stage].dispose()
      if (model.before[stage].kind === 'none') {
        scales.push(null)
        continue
      }
      this.#stage(run, 'solve', k, blockName(opened, k, linears[0].name))
      const whole = linears.map(({ name }) => weights.get(`${name}.weight`)!)
      // The scales look at sums over rows: those of slices add up.
      const parts = whole.flatMap((weight) => cutWeight(gpu, weight))
      const problem = { gpu, weights: parts, gram: grams[stage], meanAbs, halfScales: true }
      scales.push(await run.solver.transform!.scales(problem, run.options))
      for (const part of parts) if (!whole.includes(part)) part.dispose()
    }
    const stored = (vector: string) => opened.folder.checkpoint.tensors.get(blockName(opened, k, vector))!.dtype
    const { vectors, outputs } = await fold(gpu, model, weights, grams, scales, stored)
    await output.vectors([...vectors].map(([name, bytes]) => [blockName(opened, k, name), bytes]))
    return outputs
  }

  /**
   * Stage by stage, each seeing what the quantized stages before it put out. Blocks pause at each stage; when the paused
   * batches fit on the GPU they simply go on, otherwise each stage starts the block again.
   */
  async #sequential(run: PlannedRun, k: number, seen: Hidden, weights: BlockWeights, solve: SolveStage): Promise<void> {
    const { model } = this.opened
    const { shape } = model
    const tokens = seen.batches.reduce((sum, { windows, t }) => sum + windows * t, 0)
    const holds = tokens * 4 * (3 * shape.hidden + Math.max(shape.ffn, shape.heads * shape.headDim)) <= this.#budget
    const paused: { x: Tensor; steps: AsyncGenerator<StageInput, Tensor> }[] = []
    if (holds) {
      for (let i = 0; i < seen.batches.length; i++) {
        const x = seen.take(i)
        paused.push({ x, steps: model.block(this.gpu, weights, x, seen.batches[i], k) })
      }
    }
    for (const [s, stage] of model.stages.entries()) {
      this.#stage(run, 'calibrate', k)
      const gram = this.#zeroGram(stage)
      for (const [i, batch] of seen.batches.entries()) {
        if (holds) {
          const step = await paused[i].steps.next()
          if (step.done) throw new Error(`The block ended before stage ${s}.`)
          this.#accumulate(gram, step.value.input, batch)
        } else {
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
      mirror(this.gpu, gram)
      await solve(s, gram)
      gram.dispose()
    }
    this.#stage(run, 'propagate', k)
    if (!holds) return this.#advance(seen, weights, k)
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

  /** tr(D Σ Dᵀ), D = W or W − Ŵ with outputs as they were before a transform divided them by `outputs`. */
  async #unfolded(weight: Tensor, what: Tensor | null, gram: Tensor, outputs: Tensor): Promise<number> {
    const { gpu } = this
    const d = gpu.empty(weight.shape)
    gpu.copy(weight, d)
    if (what) subtract(gpu, d, what)
    scale(gpu, d, { cols: outputs })
    const value = await objective(gpu, d, gram)
    d.dispose()
    return value
  }

  async #solve(
    run: PlannedRun,
    k: number,
    { name, q, p, scoring }: LinearShape,
    shared: Pick<LinearProblem, 'gram' | 'gramDiagonal' | 'derived'>,
    weights: BlockWeights,
    output: CheckpointExport,
    outputs?: Tensor,
  ): Promise<LayerResult> {
    const { gpu, host } = this
    const { gram } = shared
    const full = blockName(this.opened, k, name)
    const started = performance.now()
    this.#stage(run, 'solve', k, full)
    this.progress.enter(run.solver.id)
    const weight = weights.get(`${name}.weight`)!
    const base = outputs ? await this.#unfolded(weight, null, gram, outputs) : await objective(gpu, weight, gram)
    const relative = (value: number) => (base > 0 ? value / base : 0)
    const iterations = run.solver.sweeps?.(run.options) ?? (run.options.iterations as number | undefined) ?? 0
    const problem = { gpu, weight, ...shared, halfScales: true, scoring }
    const result = await solveLinear(run.solver, problem, run.options, {
      report: (points) => {
        const shown = points.map((point) => ({ ...point, value: relative(point.value) }))
        host.emit({ type: 'objective', run: run.spec.id, linear: full, points: shown, iterations })
      },
    })
    const { outliers = null } = result
    if (outliers) add(gpu, result.what, outliers.h)
    await output.linear(full, {
      packed: () => pack(gpu, result, run.grid),
      dense: async () => {
        const rows = transpose(gpu, result.what)
        const weights = (await gpu.read(rows)) as Float32Array<ArrayBuffer>
        rows.dispose()
        return { q, p, weights }
      },
    })
    const error = outputs ? await this.#unfolded(weight, result.what, gram, outputs) : result.error
    weights.set(`${name}.weight`, result.what)
    for (const tensor of [result.codes, result.grid, outliers?.h]) tensor?.dispose()
    return {
      name: full,
      block: k,
      shape: [q, p],
      relativeError: relative(error),
      seconds: (performance.now() - started) / 1000,
      iterations: result.iterations,
      bits: {
        ...linearBits({ q, p }, result.groups, run.grid, !run.settings.actOrder, outliers),
        ...run.solver.gridBits?.(q, p, run.options),
      },
      notes: result.notes,
    }
  }

  #stage(run: PlannedRun | null, stage: Stage, block: number | null, linear: string | null = null): void {
    this.host.emit({ type: 'stage', run: run?.spec.id ?? null, stage, block, linear })
  }
}

/** Runs a generator to its end. */
async function last<T>(steps: AsyncGenerator<unknown, T>): Promise<T> {
  let step = await steps.next()
  while (!step.done) step = await steps.next()
  return step.value
}
