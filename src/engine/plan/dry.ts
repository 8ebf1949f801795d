/**
 * Forecasts of runs, made by running the engine itself on a device that computes nothing and only counts (gpu/dry.ts). So no algorithm or
 * family has to state a second time how much memory it takes and how much it reads.
 */
import type { ErrorData } from '../../errors.ts'
import { type DeviceFacts, DryDevice } from '../../gpu/dry.ts'
import { kindsOf, linearsOf, type Model } from '../../models/family.ts'
import type { OpenModel } from '../../models/open.ts'
import { resolveOptions, type Options } from '../../options.ts'
import type { Override } from '../../overrides.ts'
import { trialsOf } from '../../quant/choice.ts'
import { BLOCK } from '../../quant/descent.ts'
import { solvers } from '../../quant/index.ts'
import type { JobCheck } from '../job/check.ts'
import type { GpuSummary } from '../job/device.ts'
import type { DryProgress, DryRun, DryRunSpec, Forecast } from '../job/forecast.ts'
import type { Job, RunSpec } from '../job/job.ts'
import type { Problem } from '../job/model.ts'
import type { Session } from '../session.ts'
import { examine } from './check.ts'
import { heldOutOf } from './draw.ts'
import { type Counts, DrySession, jobOf, type SweepingDevice } from './dry-session.ts'
import { type Counted, type Foreseen, foresee, leastMemory } from './foresee.ts'
import type { PlannedRun } from './plan.ts'
import { mebibytes } from './remarks.ts'
import { baselineWork, passagesWork, runWork } from './work.ts'
import { runOptions } from '../run-options.ts'

/** Assumed time of a dispatch on a GPU that is not present, s: about what drivers take to encode and start one. */
const DISPATCH_SECONDS = 1e-5
/** Assumed rate of files, bytes per second: a usual SSD through a browser. */
const FILE_RATE = 1e9
/** Assumed evaluation windows when there is no text: about those of WikiText-2 with 2048 tokens each. */
const WINDOWS = 160

/** Most times that the host waits for the GPU per linear. */
const WAITS = 2
/** For a trial of damping or target: two factorizations and its error. */
const TRIAL_WAITS = 3

/** Seconds; null when the rate of the device is unknown. */
function duration(
  { gflops, transferRate, dispatchSeconds, tick }: DeviceFacts,
  { flops, read, moved, fileTraffic, dispatches, waits }: Counted & { flops: number; waits: number },
) {
  if (!gflops) return null
  const transfers = transferRate ? moved / transferRate : 0
  return flops / (gflops * 1e9) + transfers + (read + fileTraffic) / FILE_RATE + dispatches * dispatchSeconds + waits * tick
}

/** Dispatches of the sweeps that a dry run skips: a product and a walk for every column block. */
function sweepDispatches({ solver, options, spec, blocks }: PlannedRun, { model }: OpenModel): number {
  const sweeps = solver.options.some(({ key }) => key === 'iterations')
  const tried = resolveOptions(solver.options, { ...spec.options, ...(sweeps && { iterations: 1 }) }).options
  const more = (solver.sweeps?.(options) ?? 0) - (solver.sweeps?.(tried) ?? 0)
  const linears = model.layouts.slice(0, blocks).flatMap(linearsOf)
  return more * linears.reduce((sum, { p }) => sum + 2 * Math.ceil(p / BLOCK), 0)
}

/** A forecast, its time not yet corrected by earlier runs. */
function forecast(opened: OpenModel, run: PlannedRun, held: Foreseen, counts: Counts, every: number, device: DeviceFacts): Forecast {
  const { forward, solve } = runWork(run, opened, counts.calibration, counts.evaluation, every)
  const { stages, gpuBytes, hostBytes, fileBytes, read, moved, fileTraffic } = held
  const { heldOut = 0 } = counts.calibration
  const flops = { forward: forward + passagesWork(opened, counts.passages), solve }
  const seconds = duration(device, {
    flops: flops.forward + solve,
    read,
    moved,
    fileTraffic,
    dispatches: held.dispatches + sweepDispatches(run, opened),
    waits: opened.model.layouts
      .slice(0, run.blocks)
      .reduce((sum, layout) => sum + WAITS * linearsOf(layout).length + TRIAL_WAITS * trialsOf(run.aim, heldOut) * layout.stages.length, 0),
  })
  return { flops, stages, gpuBytes, hostBytes, fileBytes, readBytes: read, movedBytes: moved, fileTraffic, seconds }
}

/** What a run takes by its forecast; null where no rate is known. */
function foreseenBy({ seconds }: Forecast, { solver, blocks }: PlannedRun, { model }: OpenModel) {
  const linears = model.layouts.slice(0, blocks).flatMap(linearsOf).length
  return seconds === null ? null : { method: solver.id, seconds, linears }
}

/** Corrects a forecast by what ran on this device before. */
function corrected({ pace }: Session, run: PlannedRun, made: Forecast, opened: OpenModel): Forecast {
  const foreseen = foreseenBy(made, run, opened)
  return { ...made, seconds: foreseen && pace.seconds(foreseen) }
}

/** A forecast with the least memory that would do, where there is less than it takes. */
async function weighed(
  made: Forecast,
  run: PlannedRun,
  { opened, counts, device }: { opened: OpenModel; counts: Counts; device: SweepingDevice },
): Promise<Forecast> {
  if (made.gpuBytes <= device.memoryBudget) return made
  return { ...made, least: await leastMemory(opened, run, counts, device) }
}

/** Checks a job completely: `examine`, and the forecast of each run on the present device. */
export async function checkJob(job: Job, session: Session): Promise<JobCheck> {
  const device = await deviceAtHand(session)
  const { model } = session
  const { check, plan } = model.folder.blank ? await examineBlank(job, model, device) : await examine(job, session)
  if (!plan || !check.calibration || !check.evaluation) return check
  const counts = {
    calibration: check.calibration,
    evaluation: { ...check.evaluation, products: job.evaluation.products },
    passages: plan.passages,
  }
  const foreseen = await foresee(model, plan.runs, counts, device)
  for (const [i, run] of plan.runs.entries()) {
    const held = foreseen.get(run.spec.id)!
    if (held.error) check.problems.push({ severity: 'error', ...held.error, field: `runs.${i}.method` })
    else {
      const made = forecast(model, run, held, counts, job.perplexityEvery, device)
      const foreseenRun = foreseenBy(made, run, model)
      if (foreseenRun) session.pace.expect(run.spec.id, foreseenRun)
      check.runs[i].forecast = await weighed(corrected(session, run, made, model), run, { opened: model, counts, device })
    }
  }
  const heavy = memoryProblem(check.runs, await session.gpuSummary())
  if (heavy) check.problems.push(heavy)
  return check
}

/** Without weights there is no tokenizer: the requested number of tokens is assumed. */
function examineBlank(job: Job, model: OpenModel, device: DeviceFacts) {
  const counts: Counts = {
    calibration: { windows: job.calibration.samples, length: job.calibration.length, heldOut: heldOutOf(job.calibration) },
    evaluation: { windows: job.evaluation.samples || WINDOWS, length: job.evaluation.length, products: job.evaluation.products },
    passages: [],
  }
  const { calibration, evaluation } = jobOf(job.runs, counts)
  const blank: Job = { ...job, calibration, evaluation, lambada: undefined }
  return examine(blank, new DrySession(new DryDevice(device), model, counts))
}

type Least = NonNullable<Forecast['least']>

/** What stands against runs that need more GPU memory than there is: an error, or a warning where that is an estimate. */
export function memoryProblem(
  runs: JobCheck['runs'],
  { memoryBudget, memoryKnown = false }: Pick<GpuSummary, 'memoryBudget' | 'memoryKnown'>,
): Problem | null {
  const worst = runs
    .flatMap(({ forecast }) => forecast?.least ?? [])
    .reduce((a, b) => (b.bytes > (a?.bytes ?? 0) ? b : a), null as Least | null)
  if (!worst) return null
  const { bytes, linear } = worst
  const needed = `at least ${mebibytes(bytes)} of GPU memory`
  const there = memoryKnown ? `a run may use ${mebibytes(memoryBudget)} here` : `this GPU probably has about ${mebibytes(memoryBudget)}`
  return {
    severity: memoryKnown ? 'error' : 'warning',
    code: memoryKnown ? 'gpu-too-small' : 'note',
    message: `${linear ? `Solving ${linear} takes ${needed}` : `This needs ${needed}`}; ${there}.`,
    hint: linear
      ? 'Leave that linear as it is by an override, choose a method that takes less, or a smaller model.'
      : 'Use fewer or shorter samples, or a smaller model.',
    field: 'calibration.samples',
  }
}

async function deviceAtHand(session: Session): Promise<SweepingDevice> {
  const { name, kind, f16, maxBinding, maxBuffer, memoryBudget, gflops, sweepPanel } = await session.gpuSummary()
  const { dispatchSeconds, tick, transferRate } = await session.gpu()
  const hostMemory = session.parking.limit
  const rates = session.pace.counted({ gflops, dispatchSeconds, tick, transferRate })
  return { name, kind, f16, maxBinding, maxBuffer, memoryBudget, hostMemory, sweepPanel, ...rates }
}

/** Whether a method, or every run, has an option. */
const takes = (method: string, key: string) =>
  [...solvers.find(({ id }) => id === method)!.options, ...runOptions].some((spec) => spec.key === key)

/** Labels of options that a method does not have. */
function lacking(method: string, options: Options): string[] {
  const known = solvers.flatMap((one) => one.options)
  return Object.keys(options).flatMap((key) => (takes(method, key) ? [] : (known.find((spec) => spec.key === key)?.label ?? key)))
}

/** One run of every algorithm, with those of the options that it has. */
const specsOf = (options: Options, overrides: Override[]) =>
  solvers.map(({ id, label }): RunSpec => {
    const known = (some: Options) => Object.fromEntries(Object.entries(some).filter(([key]) => takes(id, key)))
    const each = overrides.map(({ pattern, options: given }) => ({ pattern, ...(given && { options: known(given) }) }))
    return { id, label, method: id, options: known(options), overrides: each }
  })

/** The windows that are asked for, none longer than the model takes. */
function countsOf({ calibration, evaluation }: DryRunSpec, { shape: { maxPositions } }: Model): Counts {
  const length = (asked: number) => Math.min(asked, maxPositions ?? Number.POSITIVE_INFINITY)
  return {
    calibration: { windows: calibration.samples, length: length(calibration.length), heldOut: heldOutOf(calibration) },
    evaluation: { windows: evaluation.samples || WINDOWS, length: length(evaluation.length), products: evaluation.products },
    passages: [],
  }
}

/** The forecast of every algorithm on a model, or of given runs, for the given device or that of the session. */
export async function dryRun(
  opened: OpenModel,
  asking: DryRunSpec,
  session: Session,
  hear?: (progress: DryProgress) => void,
): Promise<DryRun> {
  const { options, overrides = [], device, runs: asked, formats } = asking
  // Of the column panels that a GPU may use, the widest take the most memory.
  const facts: SweepingDevice = device
    ? { ...device, name: device.label, kind: 'gpu', f16: true, dispatchSeconds: DISPATCH_SECONDS, tick: 0, sweepPanel: 512 }
    : await deviceAtHand(session)
  const { model, folder, family, parameters, dtype } = opened
  const counts = countsOf(asking, model)
  const linears = kindsOf(model).flatMap(linearsOf)
  const largest = (bytes: (linear: (typeof linears)[0]) => number) =>
    linears.map((linear) => ({ name: linear.name, bytes: bytes(linear) })).reduce((a, b) => (b.bytes > a.bytes ? b : a))
  const flops = baselineWork(opened, counts.evaluation).forward
  let base: Counted = { read: 0, moved: 0, fileTraffic: 0, dispatches: 0 }
  const specs = asked ?? specsOf(options, overrides)
  // One by one, so that an error of one method does not affect the others.
  const jobs = specs.map((spec) => ({ ...jobOf([spec], counts), ...(formats && { save: true, formats }) }))
  const plans = await Promise.all(jobs.map((job) => examine(job, new DrySession(new DryDevice(facts), opened, counts))))
  const runs = plans.flatMap(({ plan }) => plan?.runs ?? [])
  const foreseen = await foresee(opened, runs, counts, facts, hear)
  const methods: DryRun['methods'] = []
  for (const [i, { check, plan }] of plans.entries()) {
    const { id, label } = specs[i]
    const held = foreseen.get(id)
    const wrong = held?.error ?? check.problems.find(({ severity }) => severity === 'error')
    const problem = wrong ? { code: wrong.code as ErrorData['code'], message: wrong.message, hint: wrong.hint } : null
    const { bitsPerWeight = null, checkpointBytes = null } = check.runs.at(0) ?? {}
    if (held) base = held.baseline
    const raw = held && plan && !problem ? forecast(opened, plan.runs[0], held, counts, 0, facts) : null
    // Corrections from this device do not apply to another.
    const given = raw && !device ? corrected(session, plan!.runs[0], raw, opened) : raw
    // Searched for where a run is meant, not for a survey of all methods.
    const made = given && asked ? await weighed(given, plan!.runs[0], { opened, counts, device: facts }) : given
    const fits = made && made.gpuBytes <= facts.memoryBudget
    const without = asked ? [] : lacking(id, options)
    methods.push({ id, label, bitsPerWeight, checkpointBytes, forecast: made, fits, problem, without })
  }
  const { name, maxBinding, maxBuffer, memoryBudget, gflops, transferRate, hostMemory } = facts
  const from = device?.from ?? 'Measured on this device; memory is estimated from the limits.'
  return {
    model: { name: folder.name, family: family.label, parameters, blocks: model.shape.blocks, dtype, weights: !folder.blank },
    device: { label: name, maxBinding, maxBuffer, memoryBudget, gflops, transferRate, hostMemory, from },
    tensors: { count: folder.checkpoint.tensors.size, bytes: folder.checkpoint.bytes },
    largest: { weight: largest(({ q, p }) => q * p * 4), gram: largest(({ p }) => p * p * 4) },
    calibration: counts.calibration,
    evaluation: counts.evaluation,
    baseline: {
      flops,
      readBytes: base.read,
      movedBytes: base.moved,
      fileTraffic: base.fileTraffic,
      seconds: duration(facts, { ...base, flops, waits: 0 }),
    },
    methods,
  }
}
