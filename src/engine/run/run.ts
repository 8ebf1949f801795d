/** A job from its plan to its report: the baseline, then run by run, with what is kept, recovered and told on the way. */
import { type ErrorCode, type ErrorData, toErrorData, WorkbenchError } from '../../errors.ts'
import { memoryStore } from '../../io/memory.ts'
import { usePanel } from '../../quant/descent.ts'
import type { Host } from '../host.ts'
import type { Job } from '../job/job.ts'
import type { HubOrigin, ModelOrigin, Problem } from '../job/model.ts'
import type { JobReport, ReportHead } from '../job/report.ts'
import type { LastWords, ProductsUsed, RunResult, WindowMeans } from '../job/result.ts'
import { CheckpointExport } from '../keep/export.ts'
import { codeVersion, version } from '../keep/fingerprint.ts'
import type { PlannedRun } from '../plan/plan.ts'
import { BlockLoop } from './blocks.ts'
import { outOfRange } from '../passes/peaks.ts'
import { type Prepared, prepare } from './prepare.ts'
import { Pulse, FORWARD } from '../passes/pulse.ts'
import { Recovery } from './recovery.ts'
import { finiteOrNull, Run } from './single.ts'
import { follow, trafficSince } from './traffic.ts'
import { figure } from '../../figure.ts'

/** What the next run would fail of as well. */
const deviceErrors = new Set<ErrorCode>(['gpu-lost', 'gpu-failed', 'gpu-out-of-memory', 'gpu-missing'])

interface JobOptions {
  /** Go on with the journal instead of beginning a new one. */
  resume?: boolean
  /** Resumed: write the checkpoints of finished runs again, as what was written is no longer whole. */
  rewrite?: boolean
  /** Where the open model came from, when that was not the Hub, for whoever resumes the job. */
  origin?: ModelOrigin
}

/**
 * Runs a job. A run that fails or is cancelled ends with what it had; only a job that cannot start, or whose baseline
 * fails, throws. Whatever is not finished stays in the journal, and the linears of a run whose checkpoint could not be
 * written: resuming then writes it without solving anything again.
 * @throws WorkbenchError `plan-invalid` and what else stands against the plan; `journal-mismatch`
 */
export async function runJob(asked: Job, given: Host, { resume = false, rewrite = false, origin }: JobOptions = {}): Promise<JobReport> {
  // A measurement is soon made again, and must not take the place of an unfinished job.
  const host = asked.runs.length ? given : { ...given, journal: memoryStore() }
  const prepared = await prepare(asked, host, resume, origin)
  const { journal, beginning, opened } = prepared
  const offline = host.network && follow(host.network, host)
  const before = host.network?.traffic
  const going = new Going(prepared, host, rewrite)
  try {
    if (!resume) await journal.keepBeginning(beginning)
    host.emit(resume ? { ...beginning, resumed: { started: journal.head.started, layers: await journal.solved() } } : beginning)
    await going.baseline()
    await going.runs()
    going.devices.drop()
    // Its last look at the memory belongs into the report.
    going.pulse.tell()
    const network = before && host.network ? trafficSince(before, host.network.traffic) : null
    const report = reportOf(prepared, host, going.figures, { runs: going.results, memory: going.pulse.memory, network })
    if (report.runs.length === asked.runs.length && report.runs.every(({ state }) => state === 'finished')) await journal.keepReport(report)
    host.emit({ type: 'job-end', report })
    return report
  } finally {
    offline?.()
    opened.folder.checkpoint.ahead([])
    going.devices.drop()
    await journal.close()
  }
}

/** A job under way: what of its plan is over, and what came of it. */
class Going {
  readonly results: RunResult[] = []
  /** Of the model as it is. */
  readonly figures = {
    fpPerplexity: null as number | null,
    fpPerplexityError: null as number | null,
    fpWindows: undefined as WindowMeans | undefined,
    fpLambada: undefined as LastWords | undefined,
    products: undefined as ProductsUsed | undefined,
  }
  readonly pulse: Pulse
  readonly devices: Recovery<BlockLoop>
  /** Operations of the plan that are over, by kind. */
  readonly #over = new Map<string, number>()
  /** Largest magnitude that the model puts out, for checkpoints with a narrow range. */
  #peak = 0

  constructor(
    readonly prepared: Prepared,
    readonly host: Host,
    readonly rewrite: boolean,
  ) {
    const { opened, plan, journal, work } = prepared
    this.pulse = new Pulse(host, work.planned, { baseline: work.baseline.forward, runs: plan.runs.map(({ spec }) => spec.id) })
    this.devices = new Recovery(host, (gpu, halvings) => {
      this.pulse.attach(gpu)
      // Sums come out the same only in the same form: what was begun with one is ended with it.
      gpu.gemm = journal.head.gemmKernel
      usePanel(gpu, journal.head.sweepPanel)
      return new BlockLoop(gpu, opened, plan, host, journal, this.pulse.progress, halvings)
    })
  }

  /** Measures the model as it is. A cancelled job goes on to its end, which tells what is known. */
  async baseline(): Promise<void> {
    const { journal, plan, work } = this.prepared
    const { control, emit } = this.host
    try {
      const kept = journal.baseline
      const { perplexity, perplexityError, windows, lambada, peak, products } =
        kept ?? (await this.devices.do((engine) => engine.baseline()))
      this.#peak = peak?.value ?? 0
      const fpPerplexityError = finiteOrNull(perplexityError)
      Object.assign(this.figures, { fpPerplexity: perplexity, fpPerplexityError, fpWindows: windows, fpLambada: lambada, products })
      this.#pass(FORWARD, work.baseline.forward)
      emit({ type: 'baseline', perplexity, perplexityError: fpPerplexityError, windows, lambada })
      for (const problem of [...(products ? [productsNote(products)] : []), ...(peak ? outOfRange(peak, plan) : [])])
        emit({ type: 'notice', run: null, problem })
    } catch (error) {
      if (!control.cancelled) throw error
    }
  }

  /** All runs, up to one after which nothing more can come. */
  async runs(): Promise<void> {
    const { journal, plan, work } = this.prepared
    const { control, emit } = this.host
    for (const [i, run] of plan.runs.entries()) {
      const known = journal.result(run.spec.id)
      if (control.stopped && !known) return
      emit({ type: 'run-start', run: run.spec.id, blocks: run.blocks })
      const result = control.stopped || (known && !this.#unwritten(known, run)) ? known : await this.#run(i, known)
      if (!result) return
      // Of a run that failed nothing more will come.
      if (result.state !== 'cancelled') {
        this.#pass(FORWARD, work.runs[i].forward)
        this.#pass(run.solver.id, work.runs[i].solve)
      }
      this.pulse.leave(run.spec.id)
      this.results.push(result)
      emit({ type: 'run-end', result })
      const trouble = result.error ?? result.exportError
      if (trouble && deviceErrors.has(trouble.code)) return
    }
  }

  /** Solves and writes one run; `known`, its result from the journal, is only written. */
  async #run(i: number, known: RunResult | null): Promise<RunResult> {
    const { journal, plan, opened, work } = this.prepared
    const { host, pulse, devices } = this
    const planned = plan.runs[i]
    if (known && !known.exportError) {
      await journal.requireLinears(known, planned.spec.label)
      // What was written makes room for what will be: until that is there, there is nothing.
      await journal.keepResult(withoutCheckpoint(known, interrupted))
    }
    pulse.enter(planned.spec.id, work.runs[i])
    const before = { forward: this.#over.get(FORWARD) ?? 0, solve: this.#over.get(planned.solver.id) ?? 0 }
    const head = headOf(this.prepared, host, this.figures)
    const output = new CheckpointExport(planned, opened, plan, host, this.#peak, head)
    const run = new Run(planned, work.runs[i], before, host, journal, pulse, output)
    const made = await run.quantize(() => devices.do((loop) => loop.quantize(run)), this.figures.fpPerplexity)
    const result = known && made.exportError ? { ...made, ...earlierOf(known) } : made
    if (result.state === 'finished') await journal.keepResult(result)
    else devices.drop()
    // Whatever came of the files, the figures are as they were.
    return known && result.state !== 'finished' ? withoutCheckpoint(known, result.error ?? interrupted) : result
  }

  /** Whether a result that is known has a checkpoint yet to be written. */
  #unwritten(known: RunResult, planned: PlannedRun): boolean {
    return known.exportError !== undefined || (this.prepared.job.save && (this.rewrite || !holds(known, planned)))
  }

  #pass(kind: string, operations: number): void {
    this.#over.set(kind, (this.#over.get(kind) ?? 0) + operations)
    this.pulse.progress.reach(kind, this.#over.get(kind)!)
  }
}

type Measured = Pick<JobReport, 'fpPerplexity' | 'fpPerplexityError' | 'fpWindows' | 'fpLambada' | 'products'>
type Outcome = Pick<JobReport, 'runs' | 'memory' | 'network'>

function headOf({ job, beginning, journal, ...prepared }: Prepared, { session }: Host, measured: Measured): ReportHead {
  const { folder, family, parameters } = prepared.opened
  return {
    workbench: { version, code: codeVersion },
    adapter: prepared.adapter,
    model: {
      name: folder.name,
      family: family.id,
      parameters,
      // A dry run opens no files.
      bytes: session.summary?.bytes ?? 0,
      sha256: prepared.sha256,
      quantized: session.summary?.quantized ?? null,
      source: sourceOf(journal.head.origin) ?? session.source,
    },
    job,
    texts: beginning.texts,
    calibration: prepared.calibration,
    evaluation: prepared.evaluation,
    blocks: beginning.blocks,
    linears: beginning.layers,
    ...measured,
  }
}

/** A resumed job opens the commit that it began with, and still names the branch or tag that led there. */
function sourceOf(origin: ModelOrigin): HubOrigin | null {
  if (origin.kind !== 'hub') return null
  const { kind: _, ...source } = origin
  return source
}

function reportOf(prepared: Prepared, host: Host, measured: Measured, outcome: Outcome): JobReport {
  const { journal, seconds } = prepared
  const ended = new Date().toISOString()
  const { started, origin } = journal.head
  return { ...headOf(prepared, host, measured), started, ended, origin, ...outcome, seconds: seconds + journal.seconds }
}

function productsNote({ used, kl, tokens }: ProductsUsed): Problem {
  const found = `with inputs in f16, the model as it is diverges by ${figure(kl)} nats from itself in f32 (${tokens} tokens)`
  return used === 'f16'
    ? { severity: 'note', code: 'note', message: `Evaluation takes inputs in f16: ${found}.`, hint: '' }
    : { severity: 'warning', code: 'note', message: `Evaluation stays in f32: ${found}.`, hint: '' }
}

const interrupted = toErrorData(new WorkbenchError('cancelled', 'Writing was interrupted.', 'Write it again.'))

function withoutCheckpoint(result: RunResult, exportError: ErrorData): RunResult {
  return { ...result, ...earlierOf(result), export: null, exportError }
}

/** In what a result was written before it is written again. */
function earlierOf({ export: made, earlierFormats }: RunResult): Pick<RunResult, 'earlierFormats'> | undefined {
  const formats = made?.checkpoints.map(({ format }) => format) ?? earlierFormats
  return formats && { earlierFormats: formats }
}

/** Whether a result was written in all of these formats. */
function holds({ export: made }: RunResult, { formats }: PlannedRun): boolean {
  return formats.every(({ id }) => made?.checkpoints.some(({ format }) => format === id))
}
