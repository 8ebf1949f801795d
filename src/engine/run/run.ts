/**
 * The one block loop. For every run: embed, then block by block gather Σ stage by stage, solve the linears, put the
 * dequantized weights back, and carry the hidden states of calibration and evaluation text through the quantized block.
 * One block is on the GPU at a time (all of them when the model is small); results are written as they appear.
 */
import { type ErrorCode, toErrorData } from '../../errors.ts'
import { batchedPassages, countRight, type PassageBatch } from '../../eval/lambada.ts'
import { batched, flatIds, type Score, scoreOf, scoreWindows, type TokenBatch, type WindowScore } from '../../eval/perplexity.ts'
import type { Gpu } from '../../gpu/device.ts'
import { absSum, add, diagonal, embed, gramUpper, mirror, roundTo, scale, subtract, transpose } from '../../gpu/ops.ts'
import { Reading } from '../../gpu/reading.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import type { Store } from '../../io/bytes.ts'
import type { Network } from '../../io/hub/network.ts'
import { bf16ToF32, f16ToF32 } from '../../io/half.ts'
import { formatsFor } from '../../io/formats/index.ts'
import { memoryStore } from '../../io/memory.ts'
import type { BlockWeights, LinearShape, StageInput } from '../../models/family.ts'
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
} from '../../models/weights.ts'
import { objective } from '../../quant/grid.ts'
import { usePanel } from '../../quant/descent.ts'
import { cutWeight, solveLinear } from '../../quant/slices.ts'
import { Derived, type LinearProblem } from '../../quant/solver.ts'
import { collect, restore, scaleNotes, type SolvedLinear } from '../../quant/linear.ts'
import {
  baselineWork,
  linearBits,
  passagesWork,
  type Plan,
  type PlannedRun,
  type PlannedWork,
  planJob,
  roundingRemarks,
  type RunWork,
  runWork,
  stageWork,
} from '../plan/check.ts'
import { CheckpointExport } from '../keep/export.ts'
import type { Control } from '../control.ts'
import { overflow } from './finite.ts'
import { codeVersion, fingerprintOf, usedTexts, version } from '../keep/fingerprint.ts'
import { Hidden } from './hidden.ts'
import type { Baseline, Host, Judgement } from '../host.ts'
import {
  type Job,
  type JobReport,
  type LastWords,
  type LayerResult,
  type MemoryPoint,
  type ModelOrigin,
  type ObjectiveCurve,
  type Problem,
  type RunEvent,
  type RunResult,
  type Stage,
  type Traffic,
  bitsPerWeight,
  sampleMemory,
} from '../job.ts'
import { Journal, type KeptLinear, readJournal } from '../keep/journal.ts'
import { outOfRange, Peaks } from './peaks.ts'
import { Progress, type Work } from './progress.ts'
import { Recovery } from './recovery.ts'
import type { Session } from '../session.ts'
import { today } from '../texts.ts'
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

/** Floats of scratch that one batch of tokens may take: bounds the activations on the GPU. */
const BATCH_FLOATS = 24 * 2 ** 20
/** Kind of work beside the solvers' own. */
const FORWARD = 'forward'
/** What the next run would fail of as well. */
const deviceErrors = new Set<ErrorCode>(['gpu-lost', 'gpu-failed', 'gpu-out-of-memory', 'gpu-missing'])
/** Between two progress events. */
const EVENT_SECONDS = 0.25

type JobStart = Extract<RunEvent, { type: 'job-start' }>
type ObjectivePoint = Extract<RunEvent, { type: 'objective' }>['points'][number]

/** A single window has no standard error, and JSON no NaN. */
const finiteOrNull = (value: number) => (Number.isFinite(value) ? value : null)

interface JobOptions {
  /** Go on with the journal instead of beginning a new one. */
  resume?: boolean
  /** Where the open model came from, when that was not the Hub, for whoever resumes the job. */
  origin?: ModelOrigin
}

/** One day for a whole job, though it may be resumed on another. */
async function withDate(job: Job, { texts }: Session, resumed: Store | null): Promise<Job> {
  const chosen = [job.calibration, job.evaluation, ...(job.lambada ? [job.lambada] : [])]
  if (job.date !== undefined || !chosen.some((choice) => texts.usesDate(choice))) return job
  return { ...job, date: (resumed && (await readJournal(resumed, false))?.job.date) ?? today() }
}

/**
 * Runs a job. A run that fails or is cancelled ends with what it had; only a job that cannot start, or whose baseline
 * fails, throws. Whatever is not finished stays in the journal, and the linears of a run whose checkpoint could not be
 * written: resuming then writes it without solving anything again.
 * @throws WorkbenchError `plan-invalid` and what else stands against the plan; `journal-mismatch`
 */
export async function runJob(asked: Job, given: Host, { resume = false, origin }: JobOptions = {}): Promise<JobReport> {
  const started = given.control.clock
  const begun = new Date().toISOString()
  // A measurement is soon made again, and must not take the place of an unfinished job.
  const host = asked.runs.length ? given : { ...given, journal: memoryStore() }
  const { session, control, emit } = host
  const job = await withDate(asked, session, resume ? host.journal : null)
  const asPlanned = await planJob(job, session)
  const opened = session.model
  const counts = asPlanned.check.evaluation!
  const calibrationCounts = asPlanned.check.calibration ?? { text: 0, windows: 0, length: 0 }
  const adapter = await session.gpuSummary()
  const fingerprint = await fingerprintOf(opened, session.source, asPlanned, await session.adapterTraits())
  const { folder } = opened
  const chosen = [job.calibration, job.evaluation, ...(job.lambada ? [job.lambada] : [])]
  const texts = [...new Set(chosen.map(({ text }) => text))].flatMap((id) => session.texts.file(id) ?? [])
  const journal = resume
    ? await Journal.resume(host, fingerprint)
    : await Journal.begin(host, texts, {
        started: begun,
        fingerprint,
        job,
        model: session.summary!,
        sweepPanel: adapter.sweepPanel,
        gemmKernel: adapter.gemmKernel,
        origin: session.source ? { kind: 'hub', ...session.source } : (origin ?? { kind: 'files', name: folder.name }),
      })

  // What was begun with the weights of one format is measured with them to the end, whatever formats it is then written in.
  const runs = asPlanned.runs.map((run) => ({ ...run, measured: formatsFor(run.output, journal.head.job.formats)[0] }))
  const plan: Plan = { ...asPlanned, runs }
  const moved = runs.filter(({ measured }, i) => measured !== asPlanned.runs[i].measured)
  const elsewhere = moved.flatMap(roundingRemarks).map((remark): Problem => ({ code: 'note', ...remark }))

  const prepared = control.clock - started
  const works = plan.runs.map((run) => runWork(run, opened, calibrationCounts, counts, job.perplexityEvery))
  const baseline = baselineWork(opened, counts)
  const words = passagesWork(opened, plan.passages)
  for (const work of [baseline, ...works]) work.forward += words
  const planned = new Map([[FORWARD, baseline.forward]])
  for (const [i, run] of plan.runs.entries()) {
    planned.set(FORWARD, planned.get(FORWARD)! + works[i].forward)
    planned.set(run.solver.id, (planned.get(run.solver.id) ?? 0) + works[i].solve)
  }
  const pulse = new Pulse(host, planned)
  const { progress } = pulse
  /** Of the plan, what is over. */
  const reached = new Map<string, number>()
  const pass = (kind: string, operations: number) => {
    reached.set(kind, (reached.get(kind) ?? 0) + operations)
    progress.reach(kind, reached.get(kind)!)
  }
  const devices = new Recovery(host, (gpu, halvings) => {
    pulse.attach(gpu)
    // Sums come out the same only in the same form: what was begun with one is ended with it.
    gpu.gemm = journal.head.gemmKernel
    usePanel(gpu, journal.head.sweepPanel)
    return new Engine(gpu, opened, plan, host, journal, progress, halvings)
  })
  const offline = host.network && follow(host.network, host)
  const before = host.network?.traffic
  const results: RunResult[] = []
  let fpPerplexity: number | null = null
  let fpPerplexityError: number | null = null
  let fpLambada: LastWords | undefined
  let peak = 0
  const beginning: JobStart = {
    type: 'job-start',
    calibration: calibrationCounts,
    evaluation: counts,
    blocks: opened.model.shape.blocks,
    layers: layerNames(opened, Math.max(0, ...plan.runs.map((run) => run.blocks))),
    texts: await usedTexts(plan, (id) => session.texts.file(id)?.label ?? id),
    notices: [...plan.check.problems, ...elsewhere],
    resumed: null,
  }
  try {
    if (!resume) await journal.keepBeginning(beginning)
    emit(resume ? { ...beginning, resumed: { started: journal.head.started, layers: await journal.solved() } } : beginning)
    try {
      const kept = journal.baseline
      const whole = kept ?? (await devices.do((engine) => engine.baseline()))
      const { perplexity, perplexityError, lambada } = whole
      peak = whole.peak?.value ?? 0
      fpPerplexity = perplexity
      fpPerplexityError = finiteOrNull(perplexityError)
      fpLambada = lambada
      pass(FORWARD, baseline.forward)
      emit({ type: 'baseline', perplexity, perplexityError: fpPerplexityError, lambada })
      for (const problem of whole.peak ? outOfRange(whole.peak, plan) : []) emit({ type: 'notice', run: null, problem })
    } catch (error) {
      if (!control.cancelled) throw error
    }
    for (const [i, planned] of plan.runs.entries()) {
      if (control.stopped) break
      const { id } = planned.spec
      emit({ type: 'run-start', run: id, blocks: planned.blocks })
      let result = journal.result(id)
      const unwritten = result?.exportError !== undefined || (job.save && result !== null && !holds(result, planned))
      if (!result || unwritten) {
        if (result && !result.exportError) await journal.requireLinears(result, planned.spec.label)
        pulse.enter(id, works[i])
        const before = { forward: reached.get(FORWARD) ?? 0, solve: reached.get(planned.solver.id) ?? 0 }
        const run = new Run(planned, works[i], before, host, journal, pulse, new CheckpointExport(planned, opened, plan, host, peak))
        result = await run.quantize(devices, fpPerplexity)
        if (result.state === 'finished') await journal.keepResult(result)
        else devices.drop()
      }
      // Of a run that failed nothing more will come.
      if (result.state !== 'cancelled') {
        pass(FORWARD, works[i].forward)
        pass(planned.solver.id, works[i].solve)
      }
      results.push(result)
      emit({ type: 'run-end', result })
      if (result.error && deviceErrors.has(result.error.code)) break
    }
    const report: JobReport = {
      workbench: { version, code: codeVersion },
      started: journal.head.started,
      ended: new Date().toISOString(),
      adapter,
      model: {
        name: folder.name,
        family: opened.family.id,
        parameters: opened.parameters,
        // A dry run opens no files.
        bytes: session.summary?.bytes ?? 0,
        sha256: fingerprint.model,
        quantized: session.summary?.quantized ?? null,
        source: session.source,
      },
      job,
      texts: beginning.texts,
      calibration: calibrationCounts,
      evaluation: counts,
      blocks: beginning.blocks,
      linears: beginning.layers,
      fpPerplexity,
      fpPerplexityError,
      fpLambada,
      runs: results,
      memory: pulse.memory,
      seconds: prepared + journal.seconds,
      network: before && host.network ? trafficSince(before, host.network.traffic) : null,
    }
    if (results.length === job.runs.length && results.every(({ state }) => state === 'finished')) await journal.keepReport(report)
    devices.drop()
    pulse.tell()
    emit({ type: 'job-end', report })
    return report
  } finally {
    offline?.()
    folder.checkpoint.ahead([])
    devices.drop()
    await journal.close()
  }
}

/** Reports what the network does, lets cancelling reach it, and has it wait out a lost connection. Undone by the result. */
function follow(network: Network, { control, emit }: Host): () => void {
  const interrupt = () => network.interrupt()
  control.signal.addEventListener('abort', interrupt)
  network.patient = true
  const before = network.traffic
  const deaf = network.listen((event) => {
    if (event.type === 'traffic') emit({ type: 'network', traffic: { ...event.traffic, ...trafficSince(before, event.traffic) } })
    else emit({ type: 'notice', run: null, problem: { severity: 'note', code: event.code, message: event.message, hint: event.hint } })
  })
  return () => {
    control.signal.removeEventListener('abort', interrupt)
    network.patient = false
    deaf()
  }
}

function trafficSince(before: Traffic, now: Traffic): NonNullable<JobReport['network']> {
  return { fetched: now.fetched - before.fetched, cached: now.cached - before.cached, requests: now.requests - before.requests }
}

/** Whether a result was written in all of these formats. */
function holds({ export: made }: RunResult, { formats }: PlannedRun): boolean {
  return formats.every(({ id }) => made?.checkpoints.some(({ format }) => format === id))
}

function layerNames(opened: OpenModel, blocks: number): string[] {
  return Array.from({ length: blocks }, (_, k) => opened.model.stages.flat().map(({ name }) => blockName(opened, k, name))).flat()
}

/** The heartbeat of a job: called between submits, lets pause and cancel in and says how far things are. */
class Pulse {
  readonly progress: Progress
  /** Held on the GPU over time. */
  memory: MemoryPoint[] = []
  #gpu: Gpu | null = null
  /** Operations on devices before this one. */
  #before = 0
  #last = 0
  #run: string | null = null
  #runStart = 0
  #runPlanned = 0

  constructor(
    readonly host: Host,
    planned: Work,
  ) {
    this.progress = new Progress(
      planned,
      () => this.#before + (this.#gpu?.flops ?? 0),
      () => host.control.clock,
    )
  }

  /** Beats on this device from now on. */
  attach(gpu: Gpu): void {
    this.#before += (this.#gpu?.flops ?? 0) - gpu.flops
    this.#gpu = gpu
    gpu.memory.mostHeld() // before this job
    gpu.gate = () => this.beat()
  }

  enter(run: string, work: RunWork): void {
    this.#run = run
    this.#runStart = this.progress.work
    this.#runPlanned = work.forward + work.solve
  }

  async beat(): Promise<void> {
    const { control, emit } = this.host
    if (control.paused && !control.stopped) {
      emit({ type: 'paused', storage: null })
      await control.check().finally(() => emit({ type: 'resumed' }))
    }
    await control.check()
    const now = performance.now() / 1000
    if (now - this.#last < EVENT_SECONDS) return
    this.#last = now
    this.tell()
  }

  tell(): void {
    const runDone = this.#runPlanned ? Math.max(0, Math.min(1, (this.progress.work - this.#runStart) / this.#runPlanned)) : 0
    this.host.emit({ type: 'progress', ...this.progress.read(), run: this.#run, runDone })
    this.tellMemory()
  }

  tellMemory(): void {
    if (!this.#gpu) return
    const { held } = this.#gpu.memory
    const most = this.#gpu.memory.mostHeld()
    this.memory = sampleMemory(this.memory, { seconds: this.progress.read().elapsed, held: most })
    this.host.emit({ type: 'memory', held, most })
  }
}

/** One run, across the devices that it may take: what is solved and told, and the checkpoint that it goes into. */
class Run {
  readonly layers: LayerResult[] = []
  readonly #started: number
  readonly #told = new Set<string>()
  readonly #perplexities: RunResult['perplexities'] = []

  constructor(
    readonly plan: PlannedRun,
    readonly work: RunWork,
    /** Of the plan, what was over before this run. */
    readonly before: PlannedWork,
    readonly host: Host,
    readonly journal: Journal,
    readonly pulse: Pulse,
    readonly output: CheckpointExport,
  ) {
    this.#started = host.control.clock
  }

  get id(): string {
    return this.plan.spec.id
  }

  /** Seconds so far, those before an interruption included and pauses not. */
  get seconds(): number {
    return this.journal.secondsBefore + this.host.control.clock - this.#started
  }

  async quantize(devices: Recovery<Engine>, fpPerplexity: number | null): Promise<RunResult> {
    const { output, layers } = this
    const result: RunResult = {
      run: this.id,
      options: this.plan.options,
      state: 'finished',
      fpPerplexity,
      perplexity: null,
      perplexityError: null,
      kl: null,
      top1: null,
      perplexities: this.#perplexities,
      bitsPerWeight: 0,
      meanRelativeError: null,
      worst: null,
      seconds: 0,
      layers,
      export: null,
    }
    try {
      await this.journal.enter(this.id)
      await output.begin()
      const { perplexity, perplexityError, kl, top1, lambada } = await devices.do((engine) => engine.quantize(this))
      Object.assign(result, { perplexity, perplexityError: finiteOrNull(perplexityError), kl, top1, lambada })
      this.host.emit({ type: 'stage', run: this.id, stage: 'write', block: null, linear: null })
      result.export = await output.finish(() => this.pulse.beat())
    } catch (error) {
      result.state = this.host.control.cancelled ? 'cancelled' : 'failed'
      result.error = toErrorData(error)
      await output.abandon()
    }
    if (output.error) result.exportError = output.error
    result.seconds = this.seconds
    // Resumed, its time is that of several sittings.
    if (result.state === 'finished' && !this.journal.secondsBefore) this.host.session.pace.learn(this.id, result.seconds)
    result.bitsPerWeight = bitsPerWeight(layers)
    if (layers.length) {
      result.meanRelativeError = layers.reduce((sum, layer) => sum + layer.relativeError, 0) / layers.length
      const worst = layers.reduce((a, b) => (b.relativeError > a.relativeError ? b : a))
      result.worst = { name: worst.name, relativeError: worst.relativeError }
    }
    return result
  }

  /** A linear has its result; what is told already, before a device was lost, is not told again. */
  tell(layer: LayerResult): boolean {
    if (this.#told.has(layer.name)) return false
    this.#told.add(layer.name)
    this.layers.push(layer)
    this.host.emit({ type: 'layer', run: this.id, layer })
    return true
  }

  tellPerplexity(blocks: number, { perplexity }: Score): void {
    if (this.#perplexities.some((point) => point.blocks === blocks)) return
    this.#perplexities.push({ blocks, value: perplexity })
    this.host.emit({ type: 'perplexity', run: this.id, blocks, value: perplexity })
  }

  /** So many blocks are solved, and hidden states have passed so many of them; `measured`: after how many blocks perplexity is known. */
  reach(solved: number, passed: number, measured: number[]): void {
    const { plan, work, before } = this
    const { progress } = this.pulse
    const measuring = (blocks: number[]) => blocks.reduce((sum, k) => sum + work.measure(k), 0)
    const passing = work.forward - measuring(work.measured)
    progress.reach(FORWARD, before.forward + (passing * passed) / plan.blocks + measuring(measured))
    progress.reach(plan.solver.id, before.solve + (work.solve * solved) / plan.blocks)
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
  /** Sees what passes through the blocks. */
  #peaks: Peaks | null = null
  /** The run at hand, whose quantized blocks the journal has. */
  #run: Run | null = null

  constructor(
    readonly gpu: Gpu,
    readonly opened: OpenModel,
    readonly plan: Plan,
    readonly host: Host,
    readonly journal: Journal,
    readonly progress: Progress,
    halvings: number,
  ) {
    const { shape } = opened.model
    const part = 2 ** -halvings
    this.#budget = (gpu.memoryBudget / 4) * part
    this.#keepsBlocks = opened.parameters * 4 <= this.#budget
    const perToken = 4 * shape.hidden + 2 * shape.ffn + (shape.heads + 2 * shape.kvHeads) * shape.headDim
    const tokens = Math.min(
      (BATCH_FLOATS * part) / perToken,
      ((gpu.info.maxBinding / 4) * part) / Math.max(shape.ffn, shape.hidden, shape.heads * shape.headDim),
    )
    const many = (windows: Int32Array[]) =>
      windows.length ? batched(windows, Math.max(1, Math.floor(tokens / (windows[0].length + 3)))) : []
    this.#calibration = many(plan.calibration)
    this.#evaluation = many(plan.evaluation)
    this.#passages = batchedPassages(plan.passages, tokens)
  }

  // ---------------------------------------------------------------- the model as it is

  async baseline(): Promise<Baseline> {
    const passages = await this.#embed(this.#passages)
    this.#peaks = this.plan.job.save ? new Peaks(this.gpu, this.opened) : null
    const full = await this.#full(passages)
    const peak = (await this.#peaks?.read()) ?? null
    this.#peaks = null
    const judgement = { ...(await this.#score(full, null, 0)), lambada: await this.#lastWords(passages, 0), peak }
    await this.journal.keepBaseline(judgement)
    return judgement
  }

  /**
   * The full-precision states after the last block: from the journal, or by a pass through the model, which takes the
   * passages along.
   */
  async #full(passages?: Hidden): Promise<Hidden> {
    if (this.#reference) return this.#reference
    this.#stage(null, 'baseline', null)
    this.progress.enter(FORWARD)
    let hidden = this.#hidden(this.#evaluation)
    if (passages || !(await this.journal.reference(hidden))) {
      hidden.dispose()
      hidden = await this.#embed(this.#evaluation)
      await this.#carry(passages ? [hidden, passages] : [hidden], 0, (k) => this.#stage(null, 'baseline', k))
      if (this.plan.runs.length) await this.journal.keepReference(hidden)
    }
    this.#reference = hidden
    return hidden
  }

  #hidden(batches: TokenBatch[]): Hidden {
    return new Hidden(this.gpu, batches, this.opened.model.shape.hidden, this.#budget)
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

  /**
   * Perplexity of hidden states after the last block, and how far they are from the full-precision ones; `quantized`: blocks
   * that are, from the first. @throws WorkbenchError `activations-not-finite`
   */
  async #score(hidden: Hidden, full: Hidden | null, quantized: number): Promise<Score> {
    const outer = await this.#outer()
    const scores: WindowScore[] = []
    for (const [i, batch] of hidden.batches.entries()) {
      const states = hidden.take(i)
      const reference = full?.take(i) ?? null
      const some = await scoreWindows(this.gpu, this.opened.model, outer, states, batch, reference)
      await hidden.give(i, states)
      if (reference) await full!.give(i, reference)
      if (!some.every(({ loss }) => Number.isFinite(loss))) throw await this.#overflow([batch], quantized, 'the loss')
      scores.push(...some)
    }
    const score = scoreOf(scores)
    if (!Number.isFinite(score.perplexity)) throw await this.#overflow(hidden.batches, quantized, 'the perplexity')
    return score
  }

  /** The error for numbers that are not finite. `blocks`: how many of the model to look at, from the first. */
  async #overflow(batches: TokenBatch[], quantized: number, found: string, blocks = this.opened.model.shape.blocks) {
    const full = new Map<number, BlockWeights>()
    const start = async (batch: TokenBatch) => (await this.#embed([batch])).take(0)
    const enter = async (k: number) => {
      full.set(k, await this.#load(k))
      const weights: BlockWeights = new Map(full.get(k))
      if (k < quantized) await this.#restoreBlock(k, weights)
      return weights
    }
    const leave = (k: number, weights: BlockWeights) => {
      for (const [name, tensor] of weights) if (full.get(k)!.get(name) !== tensor) tensor.dispose()
      this.#unload(full.get(k)!)
    }
    const { gpu, opened } = this
    return overflow({ gpu, opened, blocks, quantized, start, enter, leave }, batches, found)
  }

  /** Last-word accuracy from the hidden states of the passages after the last block, which are given up. */
  async #lastWords(hidden: Hidden, quantized: number): Promise<LastWords | undefined> {
    if (!this.#passages.length) return
    const outer = await this.#outer()
    let right = 0
    for (const [i, batch] of this.#passages.entries()) {
      const states = hidden.take(i)
      right += await countRight(this.gpu, this.opened.model, outer, states, batch)
      states.dispose()
      if (Number.isNaN(right)) throw await this.#overflow([batch], quantized, 'the loss of a passage')
      await this.gpu.pace()
    }
    return { passages: this.plan.passages.length, right }
  }

  /** One block for all batches. */
  async #advance(hidden: Hidden, weights: BlockWeights, k: number): Promise<void> {
    for (let i = 0; i < hidden.batches.length; i++) {
      const x = hidden.take(i)
      const steps = this.opened.model.block(this.gpu, weights, x, hidden.batches[i], k)
      const y = await last(steps, ({ stage, input }) => this.#peaks?.see(input, k, stage))
      this.#peaks?.see(y, k, null)
      x.dispose()
      await hidden.give(i, y)
      await this.gpu.pace()
    }
  }

  async #embed(batches: TokenBatch[]): Promise<Hidden> {
    const { gpu, opened } = this
    const hidden = this.#hidden(batches)
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
    // With what follows, so that a far checkpoint stays busy while the last tensors of this block are read.
    checkpoint.ahead([...blockTensors(this.opened, k), ...this.#after(k)])
    const weights = await loadBlock(this.gpu, this.opened, k)
    if (this.#keepsBlocks) this.#blocks.set(k, weights)
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
      const full = await this.#load(k)
      const weights: BlockWeights = new Map(full)
      if (k < solved) {
        this.#stage(run.plan, 'restore', k)
        await this.#restoreBlock(k, weights)
        await this.#advance(seen, weights, k)
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
            } else await settle.after(await this.#solve(run, k, linear, shared!, weights, note, outputs?.get(linear.name)))
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
      this.#stage(run.plan, 'propagate', k)
      await this.#advance(judged, weights, k)
      await this.#advance(passages, weights, k)
      for (const [name, tensor] of weights) if (full.get(name) !== tensor) tensor.dispose()
      this.#unload(full)
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
  async #restoreBlock(k: number, weights: BlockWeights): Promise<void> {
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
    const texts = [this.#calibration, this.#evaluation, this.#passages]
    const kept = texts.map((batches) => this.#hidden(batches))
    const from = await this.journal.states(kept)
    if (from && from <= solved) {
      return { seen: kept[0], judged: kept[1], passages: kept[2], from }
    }
    for (const hidden of kept) hidden.dispose()
    const [seen, judged, passages] = [await this.#embed(texts[0]), await this.#embed(texts[1]), await this.#embed(texts[2])]
    return { seen, judged, passages, from: 0 }
  }

  /** The model with its blocks up to and including k quantized. The passages are measured, and given up, at the last. */
  async #measure(run: Run, k: number, judged: Hidden, passages: Hidden): Promise<Judgement> {
    const full = await this.#full()
    this.#stage(run.plan, 'evaluate', k)
    const final = k + 1 === run.plan.blocks
    const judgement = final ? judged : await judged.fork()
    await this.#carry(final ? [judgement, passages] : [judgement], k + 1)
    const score = { ...(await this.#score(judgement, full, k + 1)), ...(final && { lambada: await this.#lastWords(passages, k + 1) }) }
    if (!final) judgement.dispose()
    await this.journal.keepScore(k + 1, score)
    return score
  }

  /** All Gram matrices in one pass of the block as it is; then all linears; then the pass with the new weights. */
  async #atOnce(run: Run, k: number, seen: Hidden, weights: BlockWeights, open: boolean[], solve: SolveStage): Promise<void> {
    const { stages } = this.opened.model
    const { transform } = run.plan.solver
    this.#stage(run.plan, 'calibrate', k)
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
    this.#stage(run.plan, 'propagate', k)
    await this.#advance(seen, weights, k)
  }

  /** Searches the scales of all stages on the block as it is, then folds them into it. `sums`: Σ |x_j|, disposed here. */
  async #transform(run: Run, k: number, weights: BlockWeights, grams: Tensor[], sums: Tensor[]): Promise<Map<string, Tensor>> {
    const { gpu, opened } = this
    const { model } = opened
    const { solver, options } = run.plan
    const tokens = this.#calibration.reduce((sum, { windows, length }) => sum + windows * length, 0)
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
      this.#stage(run.plan, 'solve', k, blockName(opened, k, linears[0].name))
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
    this.#stage(run.plan, 'solve', k, full)
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
    const collected = collect(gpu, result, grid.bits)
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
      if (!Number.isFinite(await base)) throw await this.#overflow(this.#calibration, k, `the sum of squares that ${full} puts out`, k + 1)
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
          ...linearBits({ q, p }, result.groups, grid, !output.settings.actOrder, kept),
          ...solver.gridBits?.(q, p, options),
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

  #stage(run: PlannedRun | null, stage: Stage, block: number | null, linear: string | null = null): void {
    this.host.emit({ type: 'stage', run: run?.spec.id ?? null, stage, block, linear })
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

/** Waits for the result of a solved linear, tells it and keeps it. */
type Settle = () => Promise<void>

/** Linears wait for their results together, but none longer than this, s. */
const SETTLE_SECONDS = 1

/** The linears of a stage that are solved and not yet settled. */
class Settling {
  #waiting: Settle[] = []
  #since: number

  constructor(readonly control: Control) {
    this.#since = control.clock
  }

  async after(settle: Settle): Promise<void> {
    this.#waiting.push(settle)
    if (this.control.clock - this.#since >= SETTLE_SECONDS) await this.all()
  }

  async all(): Promise<void> {
    for (const settle of this.#waiting.splice(0)) await settle()
    this.#since = this.control.clock
  }
}

/** Runs a block to its end. */
async function last<T>(steps: AsyncGenerator<StageInput, T>, see: (pause: StageInput) => void = () => {}): Promise<T> {
  let step = await steps.next()
  for (; !step.done; step = await steps.next()) see(step.value)
  return step.value
}

/** What a checkpoint stores of a vector, as f32. */
function floatsOf(bytes: Uint8Array<ArrayBuffer>, dtype: string): Float32Array<ArrayBuffer> {
  if (dtype === 'F32') return new Float32Array(bytes.slice().buffer)
  const halves = new Uint16Array(bytes.slice().buffer)
  return dtype === 'F16' ? f16ToF32(halves) : bf16ToF32(halves)
}
