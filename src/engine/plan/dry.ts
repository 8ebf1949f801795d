/**
 * Forecasts of runs, made by running the engine itself on a device that computes nothing and only counts (gpu/dry.ts). So no algorithm or
 * family has to state a second time how much memory it takes and how much it reads.
 */
import type { TextFacts } from '../../data/text-facts.ts'
import type { Passage } from '../../data/lambada.ts'
import type { ErrorData } from '../../errors.ts'
import type { Device } from '../../gpu/device.ts'
import { type DeviceFacts, DryDevice } from '../../gpu/dry.ts'
import type { Store } from '../../io/bytes.ts'
import { hollow } from '../../models/blank.ts'
import { kindsOf, linearsOf, type Model } from '../../models/family.ts'
import { blockName, type OpenModel } from '../../models/open.ts'
import { claims, type Override } from '../../overrides.ts'
import { BLOCK, panelOf, usePanel as takePanel } from '../../quant/descent.ts'
import { resolveOptions, type Options } from '../../options.ts'
import { trialsOf } from '../../quant/choice.ts'
import { solvers } from '../../quant/index.ts'
import type { Solver } from '../../quant/solver.ts'
import { examine } from './check.ts'
import { heldOutOf } from './draw.ts'
import type { PlannedRun } from './plan.ts'
import { gibibytes } from './remarks.ts'
import { baselineWork, passagesWork, runWork } from './work.ts'
import { Control } from '../control.ts'
import type { JobCheck } from '../job/check.ts'
import type { GpuSummary, Holding } from '../job/device.ts'
import type { DryRun, DryRunSpec, Forecast, StagePeaks } from '../job/forecast.ts'
import type { Job, RunSpec, Stage } from '../job/job.ts'
import type { Problem } from '../job/model.ts'
import { BLOCK_WEIGHTS } from '../run/forward.ts'
import { runJob } from '../run/run.ts'
import { type AdapterTraits, Session } from '../session.ts'
import { Texts, type TokenStream } from '../texts.ts'

/** Assumed time of a dispatch on a GPU that is not present, s: about what drivers take to encode and start one. */
const DISPATCH_SECONDS = 1e-5
/** Assumed read rate of weights, bytes per second: a usual SSD through a browser. */
const READ_RATE = 1e9
/** Assumed different tokens of a text of n: 20 · n^0.55, about those of WikiText-2, whose 300 thousand have some 20 thousand. */
const different = (n: number) => Math.ceil(20 * n ** 0.55)
/** Assumed evaluation windows when there is no text: about those of WikiText-2 with 2048 tokens each. */
const WINDOWS = 160

/** Most times that the host waits for the GPU per linear. */
const WAITS = 2
/** For a trial of damping or target: two factorizations and its error. */
const TRIAL_WAITS = 3

const has = ({ options }: Solver, key: string) => options.some((option) => option.key === key)

interface Windows {
  windows: number
  length: number
  heldOut?: number
}

interface Counts {
  calibration: Windows
  evaluation: Windows
  passages: Passage[]
}

const noFacts: TextFacts = { files: [], form: '', column: null, rows: 0, blank: 0, start: '' }

/** Placeholder tokens for texts that do not exist. */
class BlankTexts extends Texts {
  constructor(
    readonly counts: Counts,
    readonly model: Model,
  ) {
    super([], null)
  }

  override async tokens(_: unknown, purpose: 'calibration' | 'evaluation'): Promise<TokenStream> {
    const { windows, length, heldOut = 0 } = this.counts[purpose]
    const tokens = new Int32Array((windows + heldOut) * length)
    const { perLayer, shape } = this.model
    const count = perLayer ? Math.min(shape.vocab, different(tokens.length)) : 1
    const step = Math.floor(shape.vocab / count)
    // In another order, so that no overlap of the texts is reported; one token has none.
    const back = purpose === 'evaluation'
    for (let i = 0; count > 1 && i < tokens.length; i++) tokens[i] = step * (back ? count - 1 - (i % count) : i % count)
    return { tokens: count > 1 ? tokens : tokens.fill(Number(back)), cut: false, facts: noFacts }
  }

  override async passages(): Promise<{ passages: Passage[]; facts: TextFacts }> {
    return { passages: this.counts.passages, facts: noFacts }
  }

  override windows(): number {
    return 0
  }
}

/** A session with a device that only counts. */
class DrySession extends Session {
  override readonly texts: Texts

  constructor(
    readonly device: DryDevice,
    readonly blank: OpenModel,
    counts: Counts,
  ) {
    super(undefined)
    this.texts = new BlankTexts(counts, blank.model)
  }

  override async gpu(): Promise<Device> {
    return this.device
  }

  override async gpuSummary(): Promise<GpuSummary> {
    const { facts, memoryBudget } = this.device
    const { told, ...info } = this.device.info
    return {
      ...info,
      memoryBudget,
      fitsParameters: 0,
      hourParameters: null,
      gflops: facts.gflops ?? 0,
      gemmKernel: this.device.gemm,
      gemmLabel: '',
      sweepPanel: panelOf(this.device),
    }
  }

  override async adapterTraits(): Promise<AdapterTraits> {
    return { told: '', arithmetic: [], browser: '' }
  }

  override get model(): OpenModel {
    return this.blank
  }
}

/** Time stands still in a dry run, so that its result is the same on every machine. */
class Standstill extends Control {
  override get clock(): number {
    return 0
  }
}

/** A journal that stores nothing. */
const nowhere: Store = {
  edit: async () => ({
    size: 0,
    read: async () => new Uint8Array(0),
    write: async () => {},
    resize: async () => {},
    flush: async () => {},
    close: async () => {},
  }),
  remove: async () => {},
  list: async () => [],
}

type Place = Stage | 'load'

/** Memory and bytes read of one run, or the error that stopped it. */
interface Trial {
  stages: Map<Place, StagePeaks>
  read: number
  dispatches: number
  error: ErrorData | null
}

/** The device, and its settings of the sweeps. */
type SweepingDevice = DeviceFacts & { sweepPanel: number }

/** A model of some of its blocks only, by their numbers. */
function shortened({ model }: OpenModel, picked: number[]): Model {
  return {
    ...model,
    shape: { ...model.shape, blocks: picked.length },
    layouts: picked.map((k) => model.layouts[k]),
    blockPath: (k) => model.blockPath(picked[k]),
    block: (gpu, weights, x, windows, k) => model.block(gpu, weights, x, windows, picked[k]),
  }
}

/** Dry runs of some blocks of a model, on a counting device. `''` is the baseline before them. */

async function attempt(
  opened: OpenModel,
  picked: number[],
  runs: RunSpec[],
  counts: Counts,
  device: SweepingDevice,
): Promise<Map<string, Trial>> {
  const gpu = new DryDevice(device)
  takePanel(gpu, device.sweepPanel)
  const trials = new Map(
    ['', ...runs.map(({ id }) => id)].map((id): [string, Trial] => [id, { stages: new Map(), read: 0, dispatches: 0, error: null }]),
  )
  let trial = trials.get('')!
  let stage: Place = 'baseline'
  let dispatches = 0
  const note = (place: Place) => {
    trial.dispatches += gpu.dispatches - dispatches
    dispatches = gpu.dispatches
    const { held, holdings, transfer } = gpu.lap()
    const known = trial.stages.get(place) ?? { gpuBytes: 0, hostBytes: 0, holdings: [] }
    const hostBytes = Math.max(known.hostBytes, gpu.memory.parked + transfer)
    trial.stages.set(place, held > known.gpuBytes ? { gpuBytes: held, hostBytes, holdings } : { ...known, hostBytes })
  }
  const model = hollow(opened, (bytes) => {
    trial.read += bytes
    note('load')
  })
  // The number of parameters decides whether blocks stay on the GPU, so it remains that of the whole model.
  const short = { ...model, model: shortened(model, picked) }
  const { runs: results } = await runJob(jobOf(runs, counts), {
    session: new DrySession(gpu, short, counts),
    control: new Standstill(),
    journal: nowhere,
    sink: async () => {
      throw new Error('A dry run writes nothing.')
    },
    emit: (event) => {
      // Only a few samples are read before, for the fingerprint.
      if (event.type === 'job-start') trial.read = 0
      if (event.type !== 'stage' && event.type !== 'run-start') return
      note(stage)
      // A run begins by embedding its texts, with the first block.
      stage = event.type === 'stage' ? event.stage : 'load'
      trial = trials.get(event.run ?? '')!
    },
  })
  note(stage)
  for (const { run, error = null } of results) trials.get(run)!.error = error
  return trials
}

function jobOf(runs: RunSpec[], { calibration, evaluation, passages }: Counts): Job {
  return {
    runs,
    calibration: {
      text: 'calibration',
      samples: calibration.windows,
      length: calibration.length,
      sampling: 'consecutive',
      heldOut: (calibration.heldOut ?? 0) / calibration.windows,
    },
    evaluation: { text: 'evaluation', samples: evaluation.windows, length: evaluation.length },
    ...(passages.length && { lambada: { text: 'passages', passages: passages.length } }),
    seed: 0,
    perplexityEvery: 0,
    save: false,
  }
}

/** Memory and bytes read of a run, and bytes read of the baseline. */
type Foreseen = Omit<Forecast, 'flops' | 'seconds'> & {
  dispatches: number
  baselineReadBytes: number
  baselineDispatches: number
  error: ErrorData | null
}

/** Cached forecasts: a plan is checked again after every edit. */
const known = new WeakMap<OpenModel, Map<string, Foreseen>>()

/** Memory and bytes read of runs, by id. Blocks of a kind are alike: each further one adds what its third adds. */
async function foresee(opened: OpenModel, runs: PlannedRun[], counts: Counts, device: SweepingDevice): Promise<Map<string, Foreseen>> {
  const before = known.get(opened) ?? new Map<string, Foreseen>()
  known.set(opened, before)
  const specs = runs.map(({ spec, solver }): RunSpec => {
    const options: Options = { ...spec.options, blocks: 0 }
    // No sweep needs more memory than the first.
    if (has(solver, 'iterations')) options.iterations = 1
    return { ...spec, options }
  })
  const key = ({ method, options, overrides = [] }: RunSpec) => JSON.stringify([method, options, overrides, counts, device])
  const fresh = specs.filter((spec) => !before.has(key(spec)))
  if (fresh.length) {
    const kinds = alikeBlocks(
      opened.model,
      runs.filter(({ spec }) => fresh.some(({ id }) => id === spec.id)),
    )
    const first = kinds.flatMap((blocks) => blocks.slice(0, 2))
    const tryBlocks = (picked: number[]) =>
      attempt(
        opened,
        [...picked].sort((a, b) => a - b),
        fresh.map((spec) => withinBlocks(opened, spec, picked)),
        counts,
        device,
      )
    const base = await tryBlocks(first)
    const further: Further[] = []
    for (const blocks of kinds) {
      if (blocks.length > 2) further.push({ trials: await tryBlocks([...first, blocks[2]]), times: blocks.length - 2 })
    }
    for (const spec of fresh) before.set(key(spec), extended(base, further, spec.id))
  }
  return new Map(specs.map((spec) => [spec.id, before.get(key(spec))!]))
}

/** The numbers of the blocks, those that are of one kind and that overrides treat alike together. */
function alikeBlocks({ layouts }: Model, runs: PlannedRun[]): number[][] {
  const kinds = new Map<string, number[]>()
  const distinct = [...new Set(layouts)]
  for (const [k, layout] of layouts.entries()) {
    const own = runs.map(({ linears }) => k < linears.length && [...linears[k]].map(([name, one]) => [name, one.own]))
    const key = JSON.stringify([distinct.indexOf(layout), own])
    kinds.set(key, [...(kinds.get(key) ?? []), k])
  }
  return [...kinds.values()]
}

/** A run on some blocks only: without the overrides that say nothing of these. */
function withinBlocks(opened: OpenModel, spec: RunSpec, picked: number[]): RunSpec {
  const { overrides = [] } = spec
  const paths = picked.flatMap((k) => linearsOf(opened.model.layouts[k]).map(({ name }) => blockName(opened, k, name)))
  const claimed = new Set(claims(overrides, paths))
  return { ...spec, overrides: overrides.filter((_, i) => claimed.has(i)) }
}

/** Runs with one more block of a kind, and how many more of it there are. */
interface Further {
  trials: Map<string, Trial>
  times: number
}

/** Extrapolates from runs of the first blocks of each kind, and those with one more. */
function extended(short: Map<string, Trial>, further: Further[], id: string): Foreseen {
  const [base, run] = ['', id].map((one) => ({
    trial: short.get(one)!,
    more: further.map(({ trials, times }) => ({ trial: trials.get(one)!, times })),
  }))
  type Side = typeof base
  /** A figure of a trial, and what the blocks that were left out add. */
  const grown = ({ trial, more }: Side, figure: (trial: Trial) => number | undefined) => {
    const own = figure(trial) ?? 0
    return more.reduce((sum, { trial: longer, times }) => sum + times * ((figure(longer) ?? own) - own), own)
  }
  // Blocks add to the memory only where they stay; else trials of several lengths differ by what happens to be kept for reuse.
  const stays = run.trial.read === 0
  const held = (side: Side, figure: (trial: Trial) => number | undefined) =>
    stays ? grown(side, figure) : Math.max(...[side.trial, ...side.more.map(({ trial }) => trial)].map((one) => figure(one) ?? 0))
  const stages = [base, run].flatMap((side) =>
    [...side.trial.stages.keys()].flatMap((stage) => {
      // The baseline is loaded before the run and needs less memory. Nothing is written.
      if ((side === base && stage === 'load') || stage === 'write') return []
      const [gpuBytes, hostBytes] = (['gpuBytes', 'hostBytes'] as const).map((what) =>
        held(side, ({ stages }) => stages.get(stage)?.[what]),
      )
      return { stage, gpuBytes, hostBytes, holdings: holdingsOf(side, stage, gpuBytes) }
    }),
  )
  return {
    stages,
    gpuBytes: Math.max(...stages.map(({ gpuBytes }) => gpuBytes)),
    hostBytes: Math.max(...stages.map(({ hostBytes }) => hostBytes)),
    readBytes: grown(run, ({ read }) => read),
    dispatches: grown(run, ({ dispatches }) => dispatches),
    baselineReadBytes: grown(base, ({ read }) => read),
    baselineDispatches: grown(base, ({ dispatches }) => dispatches),
    error: run.trial.error ?? run.more.find(({ trial }) => trial.error)?.trial.error ?? null,
  }
}

/** Who holds the memory of a stage: what the trials that were made do not show is weights of the blocks that were left out. */
function holdingsOf({ trial, more }: { trial: Trial; more: { trial: Trial }[] }, stage: Place, gpuBytes: number): Holding[] {
  const seen = [trial, ...more.map(({ trial }) => trial)].flatMap(({ stages }) => stages.get(stage) ?? [])
  const { holdings, gpuBytes: shown } = seen.reduce((most, one) => (one.gpuBytes > most.gpuBytes ? one : most))
  if (gpuBytes <= shown) return holdings
  const weights = holdings.find(({ holder }) => holder === BLOCK_WEIGHTS)?.bytes ?? 0
  const others = holdings.filter(({ holder }) => holder !== BLOCK_WEIGHTS)
  return [...others, { holder: BLOCK_WEIGHTS, bytes: weights + gpuBytes - shown }].sort((a, b) => b.bytes - a.bytes)
}

/** Seconds; null when the rate of the device is unknown. */
function duration(
  device: DeviceFacts,
  { flops, bytes, dispatches, waits }: { flops: number; bytes: number; dispatches: number; waits: number },
) {
  if (!device.gflops) return null
  return flops / (device.gflops * 1e9) + bytes / READ_RATE + dispatches * device.dispatchSeconds + waits * device.tick
}

/** Dispatches of the sweeps that a dry run skips: a product and a walk for every column block. */
function sweepDispatches({ solver, options, spec, blocks }: PlannedRun, { model }: OpenModel): number {
  const tried = resolveOptions(solver.options, { ...spec.options, ...(has(solver, 'iterations') && { iterations: 1 }) }).options
  const more = (solver.sweeps?.(options) ?? 0) - (solver.sweeps?.(tried) ?? 0)
  const linears = model.layouts.slice(0, blocks).flatMap(linearsOf)
  return more * linears.reduce((sum, { p }) => sum + 2 * Math.ceil(p / BLOCK), 0)
}

/** A forecast, its time not yet corrected by earlier runs. */
function forecast(opened: OpenModel, run: PlannedRun, held: Foreseen, counts: Counts, every: number, device: DeviceFacts): Forecast {
  const { forward, solve } = runWork(run, opened, counts.calibration, counts.evaluation, every)
  const { stages, gpuBytes, hostBytes, readBytes } = held
  const { heldOut = 0 } = counts.calibration
  const flops = { forward: forward + passagesWork(opened, counts.passages), solve }
  const seconds = duration(device, {
    flops: flops.forward + solve,
    bytes: readBytes,
    dispatches: held.dispatches + sweepDispatches(run, opened),
    waits: opened.model.layouts
      .slice(0, run.blocks)
      .reduce((sum, layout) => sum + WAITS * linearsOf(layout).length + TRIAL_WAITS * trialsOf(run.aim, heldOut) * layout.stages.length, 0),
  })
  return { flops, stages, gpuBytes, hostBytes, readBytes, seconds }
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

/** Checks a job completely: `examine`, and the forecast of each run on the present device. */
export async function checkJob(job: Job, session: Session): Promise<JobCheck> {
  const device = await deviceAtHand(session)
  const { model } = session
  const { check, plan } = model.folder.blank ? await examineBlank(job, model, device) : await examine(job, session)
  if (!plan || !check.calibration || !check.evaluation) return check
  const counts = { calibration: check.calibration, evaluation: check.evaluation, passages: plan.passages }
  const foreseen = await foresee(model, plan.runs, counts, device)
  for (const [i, run] of plan.runs.entries()) {
    const held = foreseen.get(run.spec.id)!
    if (held.error) check.problems.push({ severity: 'error', ...held.error, field: `runs.${i}.method` })
    else {
      const made = forecast(model, run, held, counts, job.perplexityEvery, device)
      const foreseenRun = foreseenBy(made, run, model)
      if (foreseenRun) session.pace.expect(run.spec.id, foreseenRun)
      check.runs[i].forecast = corrected(session, run, made, model)
    }
  }
  const heavy = memoryProblem(check.runs, device.memoryBudget)
  if (heavy) check.problems.push(heavy)
  return check
}

/** Without weights there is no tokenizer: the requested number of tokens is assumed. */
function examineBlank(job: Job, model: OpenModel, device: DeviceFacts) {
  const counts: Counts = {
    calibration: { windows: job.calibration.samples, length: job.calibration.length, heldOut: heldOutOf(job.calibration) },
    evaluation: { windows: job.evaluation.samples || WINDOWS, length: job.evaluation.length },
    passages: [],
  }
  const { calibration, evaluation } = jobOf(job.runs, counts)
  const blank: Job = { ...job, calibration, evaluation, lambada: undefined }
  return examine(blank, new DrySession(new DryDevice(device), model, counts))
}

/** The warning for runs that will need more GPU memory than the device probably has. */
export function memoryProblem(runs: JobCheck['runs'], memoryBudget: number): Problem | null {
  const stages = runs.flatMap(({ forecast }) => forecast?.stages ?? [])
  const worst = stages.reduce<StagePeaks | null>((most, stage) => (most && most.gpuBytes >= stage.gpuBytes ? most : stage), null)
  if (!worst || worst.gpuBytes <= memoryBudget) return null
  const linear = worst.holdings.flatMap(({ holder }) => holder.match(/^the solver of (.+)$/)?.[1] ?? []).at(0)
  const needed = `about ${gibibytes(worst.gpuBytes)} of GPU memory`
  return {
    severity: 'warning',
    code: 'note',
    message: `${linear ? `Solving ${linear} takes ${needed}` : `This needs ${needed}`}; this GPU probably has about ${gibibytes(memoryBudget)}.`,
    hint: linear
      ? 'Leave that linear as it is by an override, choose a method that takes less, or a smaller model.'
      : 'Use fewer or shorter samples, or a smaller model.',
    field: 'calibration.samples',
  }
}

async function deviceAtHand(session: Session): Promise<SweepingDevice> {
  const { name, kind, maxBinding, maxBuffer, memoryBudget, gflops, sweepPanel } = await session.gpuSummary()
  const { dispatchSeconds, tick } = await session.gpu()
  return { name, kind, maxBinding, maxBuffer, memoryBudget, sweepPanel, ...session.pace.counted({ gflops, dispatchSeconds, tick }) }
}

/** One run of every algorithm, with those of the options that it has. */
const specsOf = (options: Options, overrides: Override[]) =>
  solvers.map(({ id, label, options: own }): RunSpec => {
    const known = (some: Options) => Object.fromEntries(Object.entries(some).filter(([key]) => own.some((spec) => spec.key === key)))
    const each = overrides.map(({ pattern, options: given }) => ({ pattern, ...(given && { options: known(given) }) }))
    return { id, label, method: id, options: known(options), overrides: each }
  })

/** The forecast of every algorithm on a model, or of given runs, for the given device or that of the session. */
export async function dryRun(
  opened: OpenModel,
  { options, overrides = [], calibration, evaluation, device, runs: asked }: DryRunSpec,
  session: Session,
): Promise<DryRun> {
  // Of the column panels that a GPU may use, the widest take the most memory.
  const facts: SweepingDevice = device
    ? { ...device, name: device.label, kind: 'gpu', dispatchSeconds: DISPATCH_SECONDS, tick: 0, sweepPanel: 512 }
    : await deviceAtHand(session)
  const { model, folder, family, parameters, dtype } = opened
  const most = model.shape.maxPositions ?? Number.POSITIVE_INFINITY
  const counts: Counts = {
    calibration: { windows: calibration.samples, length: Math.min(calibration.length, most), heldOut: heldOutOf(calibration) },
    evaluation: { windows: evaluation.samples || WINDOWS, length: Math.min(evaluation.length, most) },
    passages: [],
  }
  const linears = kindsOf(model).flatMap(linearsOf)
  const largest = (bytes: (linear: (typeof linears)[0]) => number) =>
    linears.map((linear) => ({ name: linear.name, bytes: bytes(linear) })).reduce((a, b) => (b.bytes > a.bytes ? b : a))
  const baseline = { flops: baselineWork(opened, counts.evaluation).forward, readBytes: 0, dispatches: 0, seconds: null as number | null }
  const specs = asked ?? specsOf(options, overrides)
  // One by one, so that an error of one method does not affect the others.
  const plans = await Promise.all(specs.map((spec) => examine(jobOf([spec], counts), new DrySession(new DryDevice(facts), opened, counts))))
  const runs = plans.flatMap(({ plan }) => plan?.runs ?? [])
  const foreseen = await foresee(opened, runs, counts, facts)
  const methods = plans.map(({ check, plan }, i): DryRun['methods'][number] => {
    const { id, label } = specs[i]
    const held = foreseen.get(id)
    const wrong = held?.error ?? check.problems.find(({ severity }) => severity === 'error')
    const problem = wrong ? { code: wrong.code as ErrorData['code'], message: wrong.message, hint: wrong.hint } : null
    const { bitsPerWeight = null, checkpointBytes = null } = check.runs.at(0) ?? {}
    if (held) Object.assign(baseline, { readBytes: held.baselineReadBytes, dispatches: held.baselineDispatches })
    const raw = held && plan && !problem ? forecast(opened, plan.runs[0], held, counts, 0, facts) : null
    // Corrections from this device do not apply to another.
    const made = raw && !device ? corrected(session, plan!.runs[0], raw, opened) : raw
    return { id, label, bitsPerWeight, checkpointBytes, forecast: made, problem }
  })
  baseline.seconds = duration(facts, { ...baseline, bytes: baseline.readBytes, waits: 0 })
  const { maxBinding, maxBuffer, memoryBudget, gflops } = facts
  return {
    model: { name: folder.name, family: family.label, parameters, blocks: model.shape.blocks, dtype, weights: !folder.blank },
    device: {
      label: facts.name,
      maxBinding,
      maxBuffer,
      memoryBudget,
      gflops,
      from: device?.from ?? 'Measured on this device; memory is estimated from the limits.',
    },
    tensors: { count: folder.checkpoint.tensors.size, bytes: folder.checkpoint.bytes },
    largest: { weight: largest(({ q, p }) => q * p * 4), gram: largest(({ p }) => p * p * 4) },
    calibration: counts.calibration,
    evaluation: counts.evaluation,
    baseline: { flops: baseline.flops, readBytes: baseline.readBytes, seconds: baseline.seconds },
    methods,
  }
}
