/** A job from its plan to its report: the baseline, then run by run, with what is kept, recovered and told on the way. */
import { type ErrorCode, type ErrorData, toErrorData, WorkbenchError } from '../../errors.ts'
import type { Store } from '../../io/bytes.ts'
import { formatsFor } from '../../io/formats/index.ts'
import type { Network } from '../../io/hub/network.ts'
import { memoryStore } from '../../io/memory.ts'
import { type OpenModel, blockName } from '../../models/weights.ts'
import { usePanel } from '../../quant/descent.ts'
import type { Host } from '../host.ts'
import type { Job, JobReport, LastWords, ModelOrigin, Problem, RunEvent, RunResult, Traffic } from '../job.ts'
import { CheckpointExport } from '../keep/export.ts'
import { codeVersion, fingerprintOf, usedTexts, version } from '../keep/fingerprint.ts'
import { Journal, readJournal } from '../keep/journal.ts'
import { planJob } from '../plan/check.ts'
import type { Plan, PlannedRun } from '../plan/plan.ts'
import { roundingRemarks } from '../plan/remarks.ts'
import { baselineWork, passagesWork, runWork } from '../plan/work.ts'
import type { Session } from '../session.ts'
import { today } from '../texts.ts'
import { BlockLoop } from './blocks.ts'
import { outOfRange } from './peaks.ts'
import { Pulse, FORWARD } from './pulse.ts'
import { Recovery } from './recovery.ts'
import { finiteOrNull, Run } from './single.ts'

/** What the next run would fail of as well. */
const deviceErrors = new Set<ErrorCode>(['gpu-lost', 'gpu-failed', 'gpu-out-of-memory', 'gpu-missing'])

type JobStart = Extract<RunEvent, { type: 'job-start' }>

interface JobOptions {
  /** Go on with the journal instead of beginning a new one. */
  resume?: boolean
  /** Resumed: write the checkpoints of finished runs again, as what was written is no longer whole. */
  rewrite?: boolean
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
export async function runJob(asked: Job, given: Host, { resume = false, rewrite = false, origin }: JobOptions = {}): Promise<JobReport> {
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
  const first = journal.head.job
  const begunWith = (id: string) => first.runs.find((run) => run.id === id)?.formats ?? first.formats
  const runs = asPlanned.runs.map((run) => ({ ...run, measured: formatsFor(run.output, begunWith(run.spec.id))[0] }))
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
    return new BlockLoop(gpu, opened, plan, host, journal, progress, halvings)
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
      const { id } = planned.spec
      const known = journal.result(id)
      if (control.stopped && !known) break
      emit({ type: 'run-start', run: id, blocks: planned.blocks })
      let result = known
      const unwritten = known?.exportError !== undefined || (job.save && known !== null && (rewrite || !holds(known, planned)))
      if (!control.stopped && (!known || unwritten)) {
        if (known && !known.exportError) {
          await journal.requireLinears(known, planned.spec.label)
          // What was written makes room for what will be: until that is there, there is nothing.
          await journal.keepResult(withoutCheckpoint(known, interrupted))
        }
        pulse.enter(id, works[i])
        const before = { forward: reached.get(FORWARD) ?? 0, solve: reached.get(planned.solver.id) ?? 0 }
        const run = new Run(planned, works[i], before, host, journal, pulse, new CheckpointExport(planned, opened, plan, host, peak))
        result = await run.quantize(() => devices.do((loop) => loop.quantize(run)), fpPerplexity)
        if (result.state === 'finished') await journal.keepResult(result)
        else devices.drop()
        // Whatever came of the files, the figures are as they were.
        if (known && result.state !== 'finished') result = withoutCheckpoint(known, result.error ?? interrupted)
      }
      if (!result) break
      // Of a run that failed nothing more will come.
      if (result.state !== 'cancelled') {
        pass(FORWARD, works[i].forward)
        pass(planned.solver.id, works[i].solve)
      }
      results.push(result)
      emit({ type: 'run-end', result })
      const trouble = result.error ?? result.exportError
      if (trouble && deviceErrors.has(trouble.code)) break
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

const interrupted = toErrorData(new WorkbenchError('cancelled', 'Writing was interrupted.', 'Write it again.'))

function withoutCheckpoint(result: RunResult, exportError: ErrorData): RunResult {
  return { ...result, export: null, exportError }
}

/** Whether a result was written in all of these formats. */
function holds({ export: made }: RunResult, { formats }: PlannedRun): boolean {
  return formats.every(({ id }) => made?.checkpoints.some(({ format }) => format === id))
}

function layerNames(opened: OpenModel, blocks: number): string[] {
  return Array.from({ length: blocks }, (_, k) => opened.model.stages.flat().map(({ name }) => blockName(opened, k, name))).flat()
}
