/**
 * Everything that crosses between the engine and whoever drives it (the page, the terminal): plain JSON, no GPU,
 * no files. A Job can be saved, shared and replayed; a RunEvent is all that a view needs to follow it.
 */
import type { TextFacts } from '../data/documents.ts'
import type { ErrorCode, ErrorData } from '../errors.ts'
import type { Refs } from '../io/hub/hub.ts'
import type { Traffic } from '../io/hub/network.ts'
import type { Options, OptionSpec, SolverInfo } from '../options.ts'

// ---------------------------------------------------------------- catalog

export type { Options, OptionSpec, OptionValue, SolverInfo } from '../options.ts'
export { optionProblem, resolveOptions } from '../options.ts'
export { isDatasetId } from '../data/datasets.ts'
export type { TextFacts } from '../data/documents.ts'

export interface Catalog {
  solvers: SolverInfo[]
  /** Options that every run has, whatever its algorithm (true-sequential, number of blocks). */
  runOptions: readonly OptionSpec[]
  families: { id: string; label: string; modelTypes: string[] }[]
  formats: { id: string; label: string; summary: string }[]
  /** Built-in texts and known data sets, usable as calibration or evaluation text. */
  texts: TextSource[]
  /** Devices that a dry run can be made for. */
  devices: DryDevice[]
}

// ---------------------------------------------------------------- device

export interface GpuSummary {
  vendor: string
  architecture: string
  /** Best human name for the adapter. */
  name: string
  kind: 'gpu' | 'software'
  f16: boolean
  subgroups: boolean
  /** Largest storage binding and buffer, bytes. */
  maxBinding: number
  maxBuffer: number
  /** What the engine may use at most; an estimate, since WebGPU does not tell, bytes. */
  memoryBudget: number
  /** Parameters of the largest model that fits, by the engine's own memory model. */
  fitsParameters: number
  /** On a software adapter: those of a model that takes about an hour, by the measured rate. Null on others, where memory decides. */
  hourParameters: number | null
  /** Measured at start: f32 GEMM, GFLOP/s. */
  gflops: number
  gemmKernel: 'direct' | 'tiled'
  /** Columns of a panel in the sweeps of QuantEase, chosen by measurement at start; 32 = one block, one level. */
  sweepPanel: number
}

// ---------------------------------------------------------------- model and text

export interface TensorInfo {
  name: string
  dtype: string
  shape: number[]
  bytes: number
  file: string
}

/** Something wrong or noteworthy about a model, a plan or a result. */
export interface Problem {
  severity: 'error' | 'warning' | 'note'
  code: ErrorCode | 'note'
  message: string
  hint: string
  /** Path of the offending field in the Job, e.g. `runs.0.options.groupSize`, or the file name. */
  field?: string
}

/** Where a model came from, when that was the Hub. */
export interface HubOrigin {
  repo: string
  /** What was asked for: a branch, a tag, `refs/pr/3`, a commit. */
  ref: string
  /** The commit that it meant. */
  revision: string
}

export interface ModelSummary {
  name: string
  source: HubOrigin | null
  family: string
  familyLabel: string
  parameters: number
  /** Parameters inside the linears of the blocks: what gets quantized. */
  quantizable: number
  dtype: string
  blocks: number
  hidden: number
  heads: number
  kvHeads: number
  ffn: number
  vocab: number
  /** Longest window; null: any. */
  maxPositions: number | null
  tiedHead: boolean
  bytes: number
  /** Null for a config.json alone, which has no weights either: it can be checked, not run. */
  tokenizer: { kind: string; vocab: number } | null
  /** The tokenizer's files hold a chat template that can be used. */
  chatTemplate: boolean
  license: string | null
  /** Set when the folder is an already quantized checkpoint. */
  quantized: { format: string; bits: number; groupSize: number; symmetric: boolean; actOrder: boolean; method: string | null } | null
  /** Linears of one block with `[out, in]`, in the order they are solved. */
  linears: { name: string; shape: [number, number] }[]
  tensors: TensorInfo[]
  /** Files that travel along unchanged into the export. */
  otherFiles: { name: string; bytes: number }[]
  problems: Problem[]
}

/** A dropped or picked file with its path inside the folder. */
export interface NamedFile {
  path: string
  file: Blob
}

// ---------------------------------------------------------------- hub

export type { Hit as HubHit } from '../io/hub/hub.ts'
export type { Traffic } from '../io/hub/network.ts'

/** What the Hub tells of a model before it is opened. */
export interface HubModel {
  source: HubOrigin
  /** Of our families; null when the model is of none. */
  familyLabel: string | null
  /** `model_type` of config.json, when there is one. */
  modelType: string | null
  parameters: number | null
  /** The safetensors at this revision; 0 when there are none. */
  bytes: number
  license: string | null
  gated: false | 'auto' | 'manual'
  private: boolean
  downloads: number
  likes: number
  /** ISO date. */
  updated: string
  revisions: Refs
  /** Pull requests with safetensors, looked for when this revision has none: open one by its `name` as revision. */
  conversions: (Refs['pulls'][number] & { bytes: number })[]
  /** What stands against opening it (errors) or should be known before. */
  problems: Problem[]
}

/** What is kept of files read from the Hub. Bytes. */
export interface CacheInfo {
  bytes: number
  /** At most, as the user set it. */
  budget: number
  /** Why nothing is added any more; null when all is well. */
  full: string | null
  /** Of everything that this page keeps in the browser, and what the browser allows. */
  usage: number
  quota: number
  /** Whether the browser promised not to clear it by itself. */
  persisted: boolean
}

/** A calibration or evaluation text that the engine can read by id. */
/** The built-in stories are in words that small children know; a model with more tokens than this knows others. */
export const storyVocabulary = 8192

export interface TextSource {
  id: string
  label: string
  /** Null until it is asked for over the network. */
  bytes: number | null
  origin: 'builtin' | 'dataset' | 'file' | 'paste'
  /** Of a data set: which split serves for what. */
  about?: string
  /** Of a data set: how its calibration samples are drawn in the published code. */
  sampling?: Sampling
}

/** Windows anywhere in the text, the first ones end to end, or one from each of some documents. */
export type Sampling = 'random' | 'consecutive' | 'documents'

// ---------------------------------------------------------------- job

export interface RunSpec {
  id: string
  /** What the user calls it; e.g. "QuantEase 3-bit". */
  label: string
  method: string
  /** The solver's and the run's own options by key; missing ones take their default. */
  options: Options
  /** As those of the job, for this run alone. */
  formats?: string[]
}

export interface TextChoice {
  /** `TextSource.id`, or a data set of the Hub: `owner/name[:config[:split[:column]]]`. */
  text: string
  /** Column or field that holds the text; found when not given. */
  column?: string
  /** Apply the model's chat template to the text's conversations. */
  chat?: boolean
}

export interface CalibrationSpec extends TextChoice {
  samples: number
  length: number // tokens per sample
  sampling: Sampling
}

export interface EvaluationSpec extends TextChoice {
  /** Windows at most; the text may hold fewer. 0 = all. */
  samples: number
  length: number
}

export interface Job {
  runs: RunSpec[]
  calibration: CalibrationSpec
  evaluation: EvaluationSpec
  /** Measure last-word accuracy too, on the first so many passages of a text; 0 = all. */
  lambada?: TextChoice & { passages: number }
  seed: number
  /** What a chat template takes for today, where it writes the date: `2026-11-30`. The day of the start when not given. */
  date?: string
  /** Measure perplexity with the first k blocks quantized after every so many blocks; 0 = only at the end. */
  perplexityEvery: number
  /** Write a checkpoint for each run. */
  save: boolean
  /** Ids of the formats that it is written in, several in a folder each; not given or empty: the first that holds the result. */
  formats?: string[]
  /** Keep what is solved when it is written, so that the job, resumed, can be written in other formats without solving. */
  keepSolved?: boolean
}

export interface JobCheck {
  /** Empty of errors = may start. */
  problems: Problem[]
  calibration: TokenCounts | null
  evaluation: TokenCounts | null
  /** For last-word accuracy, where it is asked for. */
  passages?: number
  /** What was found in their text. */
  passagesFrom?: TextFacts
  runs: {
    id: string
    /** Over the quantized linears: codes + scales + zeros (+ group index and outliers where stored). */
    bitsPerWeight: number
    /** Predicted size of the whole checkpoint, bytes. */
    checkpointBytes: number
    /** What keeping the solved linears takes, outliers left out, bytes. */
    solvedBytes: number
    formats: FormatCheck[]
    /** What the run will take; null when something stands against it. */
    forecast: Forecast | null
  }[]
}

/** What a format is to a run. */
export interface FormatCheck {
  id: string
  /** The checkpoint is written in it. */
  written: boolean
  /** Why it cannot be, and what would help. */
  refusal: { why: string; instead: string } | null
  /** Of a checkpoint in it; null where it cannot be. */
  bytes: number | null
  loadsIn: LoadsIn[]
}

/** A program that reads checkpoints, and whether it reads this one. */
export interface LoadsIn {
  runtime: string
  loads: boolean
  /** On what condition, or why not. */
  note: string
  /** What to type to run it there; `{folder}` stands for the checkpoint's folder. */
  command?: string
}

// ---------------------------------------------------------------- forecast

/** What a run will take, the full-precision baseline before it not included. */
export interface Forecast {
  /** Floating-point operations of forward passes and Gram matrices, and of solving. */
  flops: { forward: number; solve: number }
  /** Bytes of weights read from disk. */
  readBytes: number
  /**
   * Operations at the rate of matrix products, dispatches and waits at what they were measured to take, reading at a gigabyte a
   * second, all of it corrected by what earlier runs took; null when no rate is known.
   */
  seconds: number | null
  /** Most GPU memory held in live and pooled buffers, readings on their way to the host included, bytes. */
  gpuBytes: number
  /** Most bytes of states that wait on the host, and the largest transfer beside them. */
  hostBytes: number
  stages: (StagePeaks & { stage: Stage | 'load' })[]
}

export interface StagePeaks {
  gpuBytes: number
  hostBytes: number
}

/** A device known by its figures. */
export interface DryDevice {
  id: string
  label: string
  maxBinding: number
  maxBuffer: number
  memoryBudget: number
  /** f32 matrix products, GFLOP/s; null when unknown. */
  gflops: number | null
  /** Where the figures come from. */
  from: string
}

export interface DryRunSpec {
  /** For each algorithm that has them; the others, and all else, as by default. */
  options: Options
  calibration: { samples: number; length: number }
  /** 0 samples: about as many as a usual text has. */
  evaluation: { samples: number; length: number }
  /** One by its figures, or null for the device at hand. */
  device: DryDevice | null
}

/** Every algorithm with its defaults on a model, foreseen. */
export interface DryRun {
  model: { name: string; family: string; parameters: number; blocks: number; dtype: string; weights: boolean }
  device: Omit<DryDevice, 'id'>
  tensors: { count: number; bytes: number }
  /** The linear with the largest of these. */
  largest: { weight: { name: string; bytes: number }; gram: { name: string; bytes: number } }
  calibration: { windows: number; length: number }
  evaluation: { windows: number; length: number }
  /** The model as it is, measured once before all runs. */
  baseline: { flops: number; readBytes: number; seconds: number | null }
  methods: {
    id: string
    label: string
    /** Null when the options are not for this algorithm. */
    bitsPerWeight: number | null
    checkpointBytes: number | null
    forecast: Forecast | null
    /** Why there is no forecast. */
    problem: ErrorData | null
  }[]
}

export interface TokenCounts {
  /** Tokens in the whole text; null where it was read only as far as needed. */
  text: number | null
  windows: number
  length: number
  /** What was found in the text. */
  from?: TextFacts
}

/** What was found in a text, in words: files, how they are read, the column, the rows, and the first words. */
export function describeText({ files, form, column, rows, blank, start }: TextFacts): string {
  const count = (n: number, what: string) => `${n.toLocaleString('en')} ${what}${n === 1 ? '' : 's'}`
  const name = files.length > 1 ? `${files[0]} and ${count(files.length - 1, 'more file')}` : files[0]
  const table = form.startsWith('plain text')
    ? []
    : [
        column === null ? 'rows that are texts themselves' : `column ${column}`,
        count(rows, 'row') + (blank ? `, ${blank.toLocaleString('en')} without text` : ''),
      ]
  return [`${name}: ${form}`, ...table, `begins “${start}”`].join('; ')
}

// ---------------------------------------------------------------- results

/** Bits stored per quantized linear, by what they hold. Sum / (q·p) = bits per weight. */
export interface BitsBreakdown {
  codes: number
  scales: number
  zeros: number
  groupIndex: number
  /** Values and positions of the weights kept beside the grid. */
  outliers: number
}

/** The relative objective f(Ŵ)/f(0) of one linear, iteration by iteration: what its curve is drawn from. */
export interface ObjectiveCurve {
  iterations: number[]
  /** One for each of `iterations`. */
  values: number[]
  /** Those of `iterations` that were relaxed. */
  relaxed: number[]
}

export interface LayerResult {
  /** Module path, e.g. `model.layers.0.self_attn.q_proj`. */
  name: string
  block: number
  /** [out, in] */
  shape: [number, number]
  /** ‖(W−Ŵ)X‖² / ‖WX‖², Ŵ with its outliers */
  relativeError: number
  seconds: number
  iterations: number
  bits: BitsBreakdown
  /** Of methods that iterate. */
  objective?: ObjectiveCurve
  /** Dead columns, fallbacks, damping: anything that did not go the plain way. */
  notes: string[]
}

/** How often the model would have said the last word of a passage. */
export interface LastWords {
  passages: number
  right: number
}

export interface ExportFile {
  path: string
  bytes: number
}

/** One of the formats that a result was written in. */
export interface ExportedCheckpoint {
  format: string
  /** Where it lies among the files, with a slash at its end; empty where it is the only one. */
  folder: string
  loadsIn: LoadsIn[]
}

export interface RunResult {
  run: string
  /** Every option of the run, those at their default included. */
  options: Options
  state: 'finished' | 'cancelled' | 'failed'
  error?: ErrorData
  fpPerplexity: number | null
  perplexity: number | null
  /** Standard error of the perplexity over the evaluation windows. */
  perplexityError: number | null
  /** KL(full precision ‖ quantized), mean over the evaluation positions, nats. */
  kl: number | null
  /** Share of evaluation positions where both models would pick the same token. */
  top1: number | null
  /** Last-word accuracy, where it was asked for. */
  lambada?: LastWords
  /** With the first `blocks` blocks quantized, as often as the job asked for it. */
  perplexities: { blocks: number; value: number }[]
  bitsPerWeight: number
  meanRelativeError: number | null
  worst: { name: string; relativeError: number } | null
  seconds: number
  layers: LayerResult[]
  /** The checkpoint, when it was written whole and read back correctly. */
  export: { files: ExportFile[]; bytes: number; checkpoints: ExportedCheckpoint[] } | null
  /** Why there is no checkpoint although one was asked for. */
  exportError?: ErrorData
}

/** A text as a job used it. */
export interface UsedText {
  /** What the page or the terminal calls it; for a data set of the Hub its id. */
  name: string
  /** SHA-256 of the token ids that were used, window after window, as int32 in little-endian order. */
  tokensSha256: string
  /** Tokens that were used. */
  tokens: number
}

/** The texts of a job; a measurement calibrates on none. */
export interface UsedTexts {
  calibration?: UsedText
  evaluation: UsedText
  lambada?: UsedText
}

/** GPU memory at one moment, bytes. */
export interface MemoryPoint {
  seconds: number
  held: number
}

/** Everything that the page shows of a job, and what is needed to compute it again. */
export interface JobReport {
  /** `code`: SHA-256 of the sources of the engine. */
  workbench: { version: string; code: string }
  /** ISO times. */
  started: string
  ended: string
  adapter: GpuSummary
  /** `sha256`: of configuration, tensor headers and samples of every tensor; of a model of the Hub, of its commit. */
  model: {
    name: string
    family: string
    parameters: number
    bytes: number
    sha256: string
    quantized: ModelSummary['quantized']
    source: HubOrigin | null
  }
  job: Job
  texts: UsedTexts
  calibration: TokenCounts
  evaluation: TokenCounts
  /** Blocks of the model, and module paths of the linears that runs solve, in order. */
  blocks: number
  linears: string[]
  /** Of the model as it was loaded, which may be quantized already. */
  fpPerplexity: number | null
  /** Standard error of that over the evaluation windows. */
  fpPerplexityError: number | null
  fpLambada?: LastWords
  runs: RunResult[]
  memory: MemoryPoint[]
  seconds: number
  /** What the job read over the network; null when its files are local. */
  network: { fetched: number; cached: number; requests: number } | null
}

// ---------------------------------------------------------------- journal

/** Where a model came from, as far as that can be asked for again. */
export type ModelOrigin = { kind: 'demo' } | { kind: 'files'; name: string } | ({ kind: 'hub' } & HubOrigin)

/** A job in the journal: one that was interrupted, or the last one that was finished. */
export interface JournalSummary {
  job: Job
  model: ModelSummary
  origin: ModelOrigin
  /** ISO time of its start. */
  started: string
  /** Linears solved, of all runs, and how many there will be. */
  layers: { done: number; all: number }
  /** Of the runs that are finished. */
  results: RunResult[]
  /** What happened so far, for a view: linears and perplexities of runs that are not finished are in it. */
  events: RunEvent[]
  /** What the journal and the checkpoints of the job take, bytes. */
  bytes: number
  /** Set when the job is over. */
  report: JobReport | null
  /** Why it cannot be gone on with. */
  problem: ErrorData | null
}

// ---------------------------------------------------------------- events

/** `restore`: passing activations through blocks that were solved before. */
export type Stage = 'baseline' | 'restore' | 'calibrate' | 'solve' | 'propagate' | 'evaluate' | 'write'

/** What the job waits for while a disk is full. */
export interface StorageNeed {
  /** What cannot be written, e.g. "the checkpoint of run-1". */
  what: string
  /** Bytes that it still takes. */
  needed: number
  /** How full the storage is, in words. */
  problem: ErrorData
}

export type RunEvent =
  /**
   * `layers`: module paths of all linears that a run will solve, in order (the x axis of the charts). `resumed`: when the
   * job was first started and how many linears it finds solved.
   */
  | {
      type: 'job-start'
      calibration: TokenCounts
      evaluation: TokenCounts
      blocks: number
      layers: string[]
      texts: UsedTexts
      notices: Problem[]
      resumed: { started: string; layers: number } | null
    }
  | { type: 'baseline'; perplexity: number; perplexityError: number | null; lambada?: LastWords }
  | { type: 'run-start'; run: string; blocks: number }
  | { type: 'stage'; run: string | null; stage: Stage; block: number | null; linear: string | null }
  /** Whole job: work done in [0, 1], seconds so far, seconds left (null until it can be told). */
  | { type: 'progress'; done: number; elapsed: number; eta: number | null; run: string | null; runDone: number }
  /** Relative objective f(Ŵ)/f(0) after each QuantEase iteration; relaxed iterations are marked. */
  | { type: 'objective'; run: string; linear: string; points: { iteration: number; value: number; relaxed: boolean }[]; iterations: number }
  | { type: 'layer'; run: string; layer: LayerResult }
  /** Perplexity with the first `blocks` blocks quantized. */
  | { type: 'perplexity'; run: string; blocks: number; value: number }
  /** GPU memory held now, and the most since the event before, bytes. */
  | { type: 'memory'; held: number; most: number }
  | { type: 'network'; traffic: Traffic }
  | { type: 'notice'; run: string | null; problem: Problem }
  /** By the person, or because of `storage`; either way until the person resumes it. */
  | { type: 'paused'; storage: StorageNeed | null }
  | { type: 'resumed' }
  /** The device went away or had no memory left, for the `losses`-th time of `most` that end the job; then there is a new one. */
  | { type: 'device'; state: 'lost' | 'back'; cause: 'lost' | 'memory'; losses: number; most: number }
  | { type: 'run-end'; result: RunResult }
  | { type: 'job-end'; report: JobReport }

/** A chart shows no more points than this. */
export const maxPoints = 300

/** Memory over time: the peak of each slice of time, slices doubling in width as the job gets longer. */
export function sampleMemory(series: MemoryPoint[], next: MemoryPoint): MemoryPoint[] {
  let width = 0.25
  while (next.seconds / width >= maxPoints) width *= 2
  const sampled: MemoryPoint[] = []
  for (const point of [...series, next]) {
    const last = sampled.at(-1)
    const same = last && Math.floor(last.seconds / width) === Math.floor(point.seconds / width)
    if (!same) sampled.push(point)
    else if (point.held >= last.held) sampled[sampled.length - 1] = point
  }
  return sampled
}

type Counted = { shape: [number, number]; bits: BitsBreakdown }[]

/** Bits per weight of these layers together, by what they hold. */
export function bitsByContent(layers: Counted): BitsBreakdown {
  const weights = layers.reduce((sum, { shape: [q, p] }) => sum + q * p, 0)
  const mean = (content: keyof BitsBreakdown) => (weights ? layers.reduce((sum, { bits }) => sum + bits[content], 0) / weights : 0)
  return {
    codes: mean('codes'),
    scales: mean('scales'),
    zeros: mean('zeros'),
    groupIndex: mean('groupIndex'),
    outliers: mean('outliers'),
  }
}

/** The sum of that. */
export function bitsPerWeight(layers: Counted): number {
  return Object.values(bitsByContent(layers)).reduce((sum, bits) => sum + bits, 0)
}
