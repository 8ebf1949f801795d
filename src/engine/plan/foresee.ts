/** Memory and traffic of runs: the engine itself runs on a device that only counts, on a few blocks of each kind. */
import type { ErrorData } from '../../errors.ts'
import { DryDevice } from '../../gpu/dry.ts'
import { hollow } from '../../models/blank.ts'
import { linearsOf, type Model } from '../../models/family.ts'
import { blockName, type OpenModel } from '../../models/open.ts'
import type { Options } from '../../options.ts'
import { claims } from '../../overrides.ts'
import { usePanel as takePanel } from '../../quant/descent.ts'
import type { Holding } from '../job/device.ts'
import type { DryProgress, Forecast, StagePeaks } from '../job/forecast.ts'
import type { RunSpec, Stage } from '../job/job.ts'
import { BLOCK_WEIGHTS } from '../passes/forward.ts'
import { runJob } from '../run/run.ts'
import { type Counts, DrySession, jobOf, nowhere, Standstill, type SweepingDevice } from './dry-session.ts'
import type { PlannedRun } from './plan.ts'

type Place = Stage | 'load'

/** What adds up over a run: bytes of weights read, bytes between host and GPU and to and from files, and dispatches. */
const COUNTED = ['read', 'moved', 'fileTraffic', 'dispatches'] as const
export type Counted = Record<(typeof COUNTED)[number], number>

/** Memory and traffic of one run, or the error that stopped it. */
interface Trial extends Counted {
  stages: Map<Place, StagePeaks>
  /** Most bytes in files. */
  filed: number
  error: ErrorData | null
}

const nothing = (): Trial => ({ stages: new Map(), read: 0, moved: 0, fileTraffic: 0, dispatches: 0, filed: 0, error: null })

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
  begun: (run: string) => void,
): Promise<Map<string, Trial>> {
  const gpu = new DryDevice(device)
  takePanel(gpu, device.sweepPanel)
  const trials = new Map(['', ...runs.map(({ id }) => id)].map((id): [string, Trial] => [id, nothing()]))
  let trial = trials.get('')!
  let stage: Place = 'baseline'
  let before = { dispatches: 0, moved: 0, fileTraffic: 0 }
  const note = (place: Place) => {
    const { dispatches, moved } = gpu
    const { fileTraffic } = gpu.host
    trial.dispatches += dispatches - before.dispatches
    trial.moved += moved - before.moved
    trial.fileTraffic += fileTraffic - before.fileTraffic
    before = { dispatches, moved, fileTraffic }
    const { held, holdings, transfer } = gpu.lap()
    const waiting = gpu.host.lap()
    trial.filed = Math.max(trial.filed, waiting.filed)
    const hostBytes = waiting.held + transfer
    const hostHoldings = [...waiting.holdings, { holder: 'on the way between host and GPU', bytes: transfer }]
    const known = trial.stages.get(place) ?? { gpuBytes: 0, holdings: [], hostBytes: 0, hostHoldings: [] }
    trial.stages.set(place, {
      ...(held > known.gpuBytes ? { gpuBytes: held, holdings } : { gpuBytes: known.gpuBytes, holdings: known.holdings }),
      ...(hostBytes > known.hostBytes ? { hostBytes, hostHoldings } : { hostBytes: known.hostBytes, hostHoldings: known.hostHoldings }),
    })
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
      if (event.type === 'run-start') begun(event.run)
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

/** Memory and traffic of a run, and traffic of the baseline. */
export interface Foreseen extends Pick<Forecast, 'stages' | 'gpuBytes' | 'hostBytes' | 'fileBytes'>, Counted {
  baseline: Counted
  error: ErrorData | null
}

/** Cached forecasts: a plan is checked again after every edit. */
const known = new WeakMap<OpenModel, Map<string, Foreseen>>()

/** Memory and bytes read of runs, by id. Blocks of a kind are alike: each further one adds what its third adds. */
export async function foresee(
  opened: OpenModel,
  runs: PlannedRun[],
  counts: Counts,
  device: SweepingDevice,
  hear: (progress: DryProgress) => void = () => {},
): Promise<Map<string, Foreseen>> {
  const before = known.get(opened) ?? new Map<string, Foreseen>()
  known.set(opened, before)
  const specs = runs.map(({ spec, solver }): RunSpec => {
    const options: Options = { ...spec.options, blocks: 0 }
    // No sweep needs more memory than the first.
    if (solver.options.some(({ key }) => key === 'iterations')) options.iterations = 1
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
    const longer = kinds.filter(({ length }) => length > 2)
    let done = 0
    const begun = (run: string) =>
      hear({ done: done++, all: fresh.length * (1 + longer.length), label: fresh.find(({ id }) => id === run)!.label })
    const tryBlocks = (picked: number[]) =>
      attempt(
        opened,
        [...picked].sort((a, b) => a - b),
        fresh.map((spec) => withinBlocks(opened, spec, picked)),
        counts,
        device,
        begun,
      )
    const base = await tryBlocks(first)
    const further: Further[] = []
    for (const blocks of longer) further.push({ trials: await tryBlocks([...first, blocks[2]]), times: blocks.length - 2 })
    for (const spec of fresh) before.set(key(spec), extended(base, further, spec.id))
  }
  return new Map(specs.map((spec) => [spec.id, before.get(key(spec))!]))
}

/** Dry runs that a search for the least memory takes at most; the second usually is the last. */
const TRIES = 8

/**
 * The least memory with which a run would do, and the linear that takes it. With more memory a run takes as much or more, so what it
 * takes with too little is no more than the least.
 */
export async function leastMemory(opened: OpenModel, run: PlannedRun, counts: Counts, device: SweepingDevice): Promise<Forecast['least']> {
  let memoryBudget = device.memoryBudget
  for (let tries = 0; ; tries++) {
    const { gpuBytes, stages } = (await foresee(opened, [run], counts, { ...device, memoryBudget })).get(run.spec.id)!
    if (gpuBytes > memoryBudget && tries < TRIES) memoryBudget = gpuBytes
    else return { bytes: Math.max(memoryBudget, gpuBytes), linear: solvedAt(stages) }
  }
}

/** The linear whose solver holds memory at the peak of a run, if that is when one is solved. */
function solvedAt(stages: Forecast['stages']): string | null {
  const worst = stages.reduce((most, stage) => (stage.gpuBytes > most.gpuBytes ? stage : most))
  if (worst.stage !== 'solve') return null
  return worst.holdings.flatMap(({ holder }) => holder.match(/^the solver of (.+)$/)?.[1] ?? []).at(0) ?? null
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
  const counted = (side: Side) => Object.fromEntries(COUNTED.map((what) => [what, grown(side, (trial) => trial[what])])) as Counted
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
      const hostHoldings = worstOf(side, stage, 'hostBytes').hostHoldings
      return { stage, gpuBytes, hostBytes, holdings: holdingsOf(side, stage, gpuBytes), hostHoldings }
    }),
  )
  return {
    stages,
    gpuBytes: Math.max(...stages.map(({ gpuBytes }) => gpuBytes)),
    hostBytes: Math.max(...stages.map(({ hostBytes }) => hostBytes)),
    fileBytes: held(run, ({ filed }) => filed),
    ...counted(run),
    baseline: counted(base),
    error: run.trial.error ?? run.more.find(({ trial }) => trial.error)?.trial.error ?? null,
  }
}

interface Trials {
  trial: Trial
  more: { trial: Trial }[]
}

/** Of the trials that were made, the peaks of a stage where it took the most. */
function worstOf({ trial, more }: Trials, stage: Place, what: 'gpuBytes' | 'hostBytes'): StagePeaks {
  const seen = [trial, ...more.map(({ trial }) => trial)].flatMap(({ stages }) => stages.get(stage) ?? [])
  return seen.reduce((most, one) => (one[what] > most[what] ? one : most))
}

/** Who holds the memory of a stage: what the trials that were made do not show is weights of the blocks that were left out. */
function holdingsOf(side: Trials, stage: Place, gpuBytes: number): Holding[] {
  const { holdings, gpuBytes: shown } = worstOf(side, stage, 'gpuBytes')
  if (gpuBytes <= shown) return holdings
  const weights = holdings.find(({ holder }) => holder === BLOCK_WEIGHTS)?.bytes ?? 0
  const others = holdings.filter(({ holder }) => holder !== BLOCK_WEIGHTS)
  return [...others, { holder: BLOCK_WEIGHTS, bytes: weights + gpuBytes - shown }].sort((a, b) => b.bytes - a.bytes)
}
