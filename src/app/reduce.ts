/** The page's view of a job: a pure function of its events. No clock, no engine, no React. */
import type { ErrorData } from '../errors.ts'
import { type Holding, sampleMemory } from '../engine/job/device.ts'
import type { RunEvent, StorageNeed } from '../engine/job/events.ts'
import type { Traffic } from '../engine/job/hub.ts'
import type { Job, Stage } from '../engine/job/job.ts'
import type { Problem } from '../engine/job/model.ts'
import type { JobReport } from '../engine/job/report.ts'
import {
  type BitsBreakdown,
  type LastWords,
  type LayerResult,
  type RunResult,
  type WindowMeans,
  bitsByContent,
} from '../engine/job/result.ts'
import type { TokenCounts, UsedTexts } from '../engine/job/texts.ts'

export interface Objective {
  linear: string
  /** Planned in all. */
  iterations: number
  points: { iteration: number; value: number; relaxed: boolean }[]
}

export interface RunView {
  id: string
  label: string
  method: string
  /** `skipped`: the job was over before it began. */
  state: 'waiting' | 'running' | 'skipped' | RunResult['state']
  /** Work done in [0, 1]. */
  done: number
  layers: LayerResult[]
  perplexity: { blocks: number; value: number }[]
  /** Of the linear solved last. */
  objective: Objective | null
  result: RunResult | null
}

export interface JobView {
  job: Job
  phase: 'starting' | 'running' | 'paused' | 'recovering' | 'over'
  /** What a paused job waits for. */
  storage: StorageNeed | null
  /** The last time that the device went away. */
  loss: { cause: 'lost' | 'memory'; losses: number; most: number } | null
  /** Set when the job goes on from a journal. */
  resumed: { started: string; layers: number } | null
  calibration: TokenCounts | null
  evaluation: TokenCounts | null
  texts: UsedTexts | null
  blocks: number
  /** Module paths of the linears in the order they are solved. */
  layers: string[]
  fpPerplexity: number | null
  fpPerplexityError: number | null
  fpWindows?: WindowMeans
  fpLambada?: LastWords
  stage: { run: string | null; stage: Stage; block: number | null; linear: string | null } | null
  progress: { done: number; elapsed: number; eta: number | null }
  runs: RunView[]
  memory: { held: number; holdings: Holding[]; peak: number; series: { seconds: number; held: number }[] }
  /** Since the job started. Null while nothing is read over the network. */
  network: Traffic | null
  notices: { run: string | null; problem: Problem }[]
  /** For the live region: stage changes and finished runs, nothing that ticks. */
  announcement: string
  report: JobReport | null
  /** Why the whole job stopped, where it did not end by itself. */
  error: ErrorData | null
}

export function begin(job: Job): JobView {
  return {
    job,
    phase: 'starting',
    storage: null,
    loss: null,
    resumed: null,
    calibration: null,
    evaluation: null,
    texts: null,
    blocks: 0,
    layers: [],
    fpPerplexity: null,
    fpPerplexityError: null,
    stage: null,
    progress: { done: 0, elapsed: 0, eta: null },
    runs: job.runs.map(({ id, label, method }) => ({
      id,
      label,
      method,
      state: 'waiting',
      done: 0,
      layers: [],
      perplexity: [],
      objective: null,
      result: null,
    })),
    memory: { held: 0, holdings: [], peak: 0, series: [] },
    network: null,
    notices: [],
    announcement: 'Starting.',
    report: null,
    error: null,
  }
}

export function reduce(view: JobView, event: RunEvent): JobView {
  switch (event.type) {
    case 'job-start':
      return startJob(view, event)
    case 'baseline':
      return {
        ...view,
        fpPerplexity: event.perplexity,
        fpPerplexityError: event.perplexityError,
        fpWindows: event.windows,
        fpLambada: event.lambada,
      }
    case 'run-start':
      return {
        ...updateRun(view, event.run, (run) => ({ ...run, state: 'running' })),
        stage: null,
        blocks: Math.max(view.blocks, event.blocks),
        announcement: `${labelOf(view, event.run)} started.`,
      }
    case 'stage':
      return enterStage(view, event)
    case 'progress': {
      const progress = { done: event.done, elapsed: event.elapsed, eta: event.eta }
      const next = { ...view, progress }
      return event.run === null ? next : updateRun(next, event.run, (run) => ({ ...run, done: event.runDone }))
    }
    case 'objective':
      return updateRun(view, event.run, (run) => ({ ...run, objective: mergeObjective(run.objective, event) }))
    case 'layer':
      return updateRun(view, event.run, (run) => ({ ...run, layers: [...run.layers, event.layer] }))
    case 'perplexity':
      return updateRun(view, event.run, (run) => ({
        ...run,
        perplexity: [...run.perplexity.filter((point) => point.blocks !== event.blocks), { blocks: event.blocks, value: event.value }],
      }))
    case 'memory':
      return { ...view, memory: seeMemory(view, event) }
    case 'network': {
      const { waiting } = event.traffic
      const announcement = waiting && !view.network?.waiting ? waiting : view.network?.waiting && !waiting ? 'Reading continues.' : null
      return { ...view, network: event.traffic, announcement: announcement ?? view.announcement }
    }
    case 'notice':
      return { ...view, notices: [...view.notices, { run: event.run, problem: event.problem }] }
    case 'paused':
      return { ...view, phase: 'paused', storage: event.storage, announcement: event.storage ? 'Paused: the storage is full.' : 'Paused.' }
    case 'resumed':
      return { ...view, phase: 'running', storage: null, announcement: 'Resumed.' }
    case 'device':
      return seeDevice(view, event)
    case 'run-end':
      return endRun(view, event.result)
    case 'job-end':
      return end(event.report.runs.reduce(endRun, view), event.report)
  }
}

/** What becomes of a run without a result when the job is over. */
const endState = (run: RunView, running: 'cancelled' | 'failed') =>
  run.state === 'running' ? running : run.state === 'waiting' ? 'skipped' : run.state

/** Whether everything that was asked for is there. */
const isWhole = (runs: RunView[], fpPerplexity: number | null) =>
  runs.every((run) => run.state === 'finished') && (runs.length > 0 || fpPerplexity !== null)

const hasResults = (runs: RunView[], fpPerplexity: number | null) =>
  runs.length ? runs.some((run) => run.layers.length > 0) : fpPerplexity !== null

/** The job is over with this report. */
export function end(view: JobView, report: JobReport): JobView {
  // The journal may hold a report of an earlier version, which knew less.
  const { blocks = view.blocks, linears = view.layers, memory = view.memory.series, texts = view.texts, fpPerplexityError = null } = report
  const fpPerplexity = report.fpPerplexity ?? view.fpPerplexity
  const runs = view.runs.map((run) => ({ ...run, state: endState(run, 'cancelled') }))
  return {
    ...view,
    phase: 'over',
    report,
    runs,
    fpPerplexity,
    fpPerplexityError,
    fpWindows: report.fpWindows ?? view.fpWindows,
    fpLambada: report.fpLambada ?? view.fpLambada,
    calibration: report.calibration,
    evaluation: report.evaluation,
    texts,
    blocks,
    layers: linears,
    memory: { ...view.memory, peak: Math.max(view.memory.peak, ...memory.map(({ held }) => held)), series: memory },
    // Of a local model nothing is read over it.
    network: report.network?.requests || report.network?.cached ? { ...report.network, underWay: 0, rate: 0, waiting: null } : null,
    progress: { done: isWhole(runs, fpPerplexity) ? 1 : view.progress.done, elapsed: report.seconds, eta: null },
    announcement: `${outcome({ error: null, runs, fpPerplexity })}. ${hasResults(runs, fpPerplexity) ? 'The results are ready.' : 'Nothing was solved.'}`,
  }
}

/** The job stopped with an error of its own; what was computed stays. */
export function abort(view: JobView, error: ErrorData): JobView {
  const state = error.code === 'cancelled' ? 'cancelled' : 'failed'
  return {
    ...view,
    phase: 'over',
    error,
    progress: { ...view.progress, eta: null },
    runs: view.runs.map((run) => ({ ...run, state: endState(run, state) })),
    announcement: error.message,
  }
}

/** How the job ended, in a word or two. */
export function outcome({ error, runs, fpPerplexity }: Pick<JobView, 'error' | 'runs' | 'fpPerplexity'>): string {
  if (error && error.code !== 'cancelled') return 'Stopped'
  const failed = runs.filter((run) => run.state === 'failed').length
  if (failed) return failed === 1 ? 'Finished, one run failed' : `Finished, ${failed} runs failed`
  return isWhole(runs, fpPerplexity) && !error ? 'Finished' : 'Cancelled'
}

const bitsWords: Record<keyof BitsBreakdown, string> = {
  codes: 'codes',
  scales: 'scales',
  zeros: 'zero points',
  groupIndex: 'group index',
  outliers: 'outliers',
  kept: 'full precision',
}

/** Bits per weight by what they hold, without what is not stored at all. */
export function bitsParts(layers: Pick<LayerResult, 'shape' | 'bits'>[]): { name: string; bits: number }[] {
  const bits = bitsByContent(layers)
  return (Object.keys(bitsWords) as (keyof BitsBreakdown)[])
    .map((part) => ({ name: bitsWords[part], bits: bits[part] }))
    .filter(({ bits }) => bits > 0)
}

// ---------------------------------------------------------------- parts

/** Stages of the whole model: they have no block and are always announced. */
const wide = new Set<Stage>(['baseline', 'write'])

type Of<T extends RunEvent['type']> = Extract<RunEvent, { type: T }>

function startJob(view: JobView, event: Of<'job-start'>): JobView {
  return {
    ...view,
    phase: 'running',
    calibration: event.calibration,
    evaluation: event.evaluation,
    blocks: event.blocks,
    layers: event.layers,
    texts: event.texts,
    notices: [...view.notices, ...event.notices.map((problem) => ({ run: null, problem }))],
    resumed: event.resumed,
    announcement: event.resumed ? `Resumed with ${event.resumed.layers} solved linears.` : view.announcement,
  }
}

function enterStage(view: JobView, event: Of<'stage'>): JobView {
  const { run, stage, block, linear } = event
  const moved = !view.stage || view.stage.run !== run || view.stage.block !== block || wide.has(stage)
  return {
    ...view,
    stage: { run, stage, block, linear },
    announcement: moved && (block !== null || wide.has(stage)) ? sayStage(view, event) : view.announcement,
  }
}

function seeMemory(view: JobView, event: Of<'memory'>): JobView['memory'] {
  return {
    held: event.held,
    holdings: event.holdings,
    peak: Math.max(view.memory.peak, event.most),
    series: sampleMemory(view.memory.series, { seconds: view.progress.elapsed, held: event.most }),
  }
}

function seeDevice(view: JobView, event: Of<'device'>): JobView {
  const { cause, losses, most } = event
  const what = cause === 'lost' ? 'The GPU was lost' : 'The GPU has no memory left'
  return event.state === 'lost'
    ? { ...view, phase: 'recovering', loss: { cause, losses, most }, announcement: `${what}. Opening it again.` }
    : {
        ...view,
        phase: 'running',
        announcement: 'The GPU is available again. Continuing after the last finished linear.',
        notices: [...view.notices, { run: null, problem: lossNote(event) }],
      }
}

function updateRun(view: JobView, id: string, change: (run: RunView) => RunView): JobView {
  return { ...view, runs: view.runs.map((run) => (run.id === id ? change(run) : run)) }
}

function labelOf(view: JobView, id: string): string {
  return view.runs.find((run) => run.id === id)?.label ?? id
}

function endRun(view: JobView, result: RunResult): JobView {
  const known = view.runs.find((run) => run.id === result.run)
  if (known?.result) return updateRun(view, result.run, (run) => ({ ...run, result }))
  const words = { finished: 'finished', cancelled: 'was cancelled', failed: 'failed' }
  const next = updateRun(view, result.run, (run) => ({
    ...run,
    state: result.state,
    done: result.state === 'finished' ? 1 : run.done,
    layers: result.layers.length >= run.layers.length ? result.layers : run.layers,
    perplexity: (result.perplexities?.length ?? 0) >= run.perplexity.length ? (result.perplexities ?? []) : run.perplexity,
    result,
  }))
  return {
    ...next,
    fpPerplexity: view.fpPerplexity ?? result.fpPerplexity,
    announcement: `${labelOf(view, result.run)} ${words[result.state]}.`,
  }
}

/** Events may bring single points or the whole curve again. */
function mergeObjective(known: Objective | null, event: Extract<RunEvent, { type: 'objective' }>): Objective {
  const points = new Map(known?.linear === event.linear ? known.points.map((point) => [point.iteration, point]) : [])
  for (const point of event.points) points.set(point.iteration, point)
  return {
    linear: event.linear,
    iterations: event.iterations,
    points: [...points.values()].sort((a, b) => a.iteration - b.iteration),
  }
}

function lossNote({ cause, losses, most }: Extract<RunEvent, { type: 'device' }>): Problem {
  return {
    severity: 'note',
    code: 'note',
    message: `${cause === 'lost' ? 'The GPU was lost' : 'The GPU had no memory left'} (${losses} of ${most}); the run continued after the last finished linear.`,
    hint:
      cause === 'lost'
        ? 'Close other programs that use the GPU heavily if it happens again.'
        : 'It continues in pieces half as large. Close other programs that use the GPU.',
  }
}

function sayStage(view: JobView, event: Extract<RunEvent, { type: 'stage' }>): string {
  const who = event.run === null ? '' : `${labelOf(view, event.run)}: `
  if (event.stage === 'baseline') return 'Measuring the perplexity of the unquantized model.'
  if (event.stage === 'write') return `${who}writing the checkpoint.`
  return `${who}block ${(event.block ?? 0) + 1} of ${view.blocks}.`
}
