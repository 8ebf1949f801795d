/**
 * The data passed between the engine and its callers (the page, the command line): plain JSON, no GPU, no files. A Job can be saved,
 * shared and repeated; RunEvents are all that a view needs to follow it.
 */
import type { TextFacts } from '../data/text-facts.ts'
import type { KlSpread, WindowMeans } from '../eval/perplexity.ts'
import type { ErrorCode, ErrorData } from '../errors.ts'
import type { Holding } from '../gpu/memory.ts'
import type { GemmFormName } from '../gpu/ops/gemm-forms.ts'
import type { Refs } from '../io/hub/hub.ts'
import type { Traffic } from '../io/hub/network.ts'
import type { Options, OptionSpec, SolverInfo } from '../options.ts'
import type { Override } from '../overrides.ts'

// ---------------------------------------------------------------- catalog

export type { Options, OptionSpec, OptionValue, SolverInfo } from '../options.ts'
export { fixedBy, optionProblem, resolveOptions } from '../options.ts'
export { claims, type Override, overrideText, parseOverride } from '../overrides.ts'
export { isDatasetId } from '../data/datasets.ts'
export type { TextFacts } from '../data/text-facts.ts'
export type { KlSpread, WindowMeans } from '../eval/perplexity.ts'

export interface Catalog {
  solvers: SolverInfo[]
  /** Options of every run, independent of its algorithm (true-sequential, number of blocks). */
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
  /** The most readable name of the adapter. */
  name: string
  kind: 'gpu' | 'software'
  f16: boolean
  subgroups: boolean
  /** Largest storage binding and buffer, bytes. */
  maxBinding: number
  maxBuffer: number
  /** Memory that the engine may use, in bytes; an estimate, since WebGPU does not report it. */
  memoryBudget: number
  /** Parameters of the largest model that fits, by the engine's own memory model. */
  fitsParameters: number
  /**
   * On a software adapter: parameters of a model that takes about an hour, at the measured rate. Null on others, where memory is the
   * limit.
   */
  hourParameters: number | null
  /** f32 GEMM rate measured at start, GFLOP/s. */
  gflops: number
  /** How matrix products are made, chosen by measurement at start; and the same in words. */
  gemmKernel: GemmFormName
  gemmLabel: string
  /** Width of the column panels in QuantEase's sweeps, chosen by measurement at start; 32 = one column block, no panels. */
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

/** An error, a warning or a note about a model, a plan or a result. */
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
  /** The requested revision: a branch, a tag, `refs/pr/3`, a commit. */
  ref: string
  /** The commit that it pointed to. */
  revision: string
}

export interface ModelSummary {
  name: string
  source: HubOrigin | null
  family: string
  familyLabel: string
  parameters: number
  /** Parameters of the linears of the blocks, which are quantized. */
  quantizable: number
  dtype: string
  blocks: number
  hidden: number
  heads: number
  kvHeads: number
  ffn: number
  vocab: number
  /** Longest window; null: no limit. */
  maxPositions: number | null
  tiedHead: boolean
  bytes: number
  /** Null for a config.json alone, without weights: it can be checked, but not run. */
  tokenizer: { kind: string; vocab: number } | null
  /** The tokenizer's files contain a usable chat template. */
  chatTemplate: boolean
  license: string | null
  /** Set when the folder is an already quantized checkpoint. */
  quantized: { format: string; bits: number; groupSize: number; symmetric: boolean; actOrder: boolean; method: string | null } | null
  /** Linears of one block with `[out, in]`, in the order in which they are solved. */
  linears: { name: string; shape: [number, number] }[]
  tensors: TensorInfo[]
  /** Files that an export copies unchanged. */
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

/** The Hub's information about a model before it is opened. */
export interface HubModel {
  source: HubOrigin
  /** Supported family; null if the model has none. */
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
  /** Pull requests with safetensors, searched when this revision has none; open one with its `name` as revision. */
  conversions: (Refs['pulls'][number] & { bytes: number })[]
  /** Errors that prevent opening it, and remarks. */
  problems: Problem[]
}

/** State of the cache of Hub files. Sizes in bytes. */
export interface CacheInfo {
  bytes: number
  /** Largest size, set by the user. */
  budget: number
  /** Why nothing is added any more; null while the cache works. */
  full: string | null
  /** What this page stores in the browser, and how much the browser allows. */
  usage: number
  quota: number
  /** Whether the browser has agreed not to clear it. */
  persisted: boolean
}

/** A calibration or evaluation text that the engine can read by id. */
/** The built-in stories use a small child's vocabulary; for a model with more tokens than this, they are unsuitable. */
export const storyVocabulary = 8192

export interface TextSource {
  id: string
  label: string
  /** Null until it is read over the network. */
  bytes: number | null
  origin: 'builtin' | 'dataset' | 'file' | 'paste'
  /** Of a data set: the split for each purpose. */
  about?: string
  /** Of a data set: how its calibration samples are drawn in the published code. */
  sampling?: Sampling
}

/** Windows anywhere in the text, the first ones end to end, or one from each of some documents. */
export type Sampling = 'random' | 'consecutive' | 'documents'

// ---------------------------------------------------------------- job

export interface RunSpec {
  id: string
  /** Label that the user sees, e.g. "QuantEase 3-bit". */
  label: string
  method: string
  /** Options of the solver and of the run by key; missing ones have their default. */
  options: Options
  /** Other bits, group sizes or symmetry for some linears, or full precision. */
  overrides?: Override[]
  /** As those of the job, for this run alone. */
  formats?: string[]
}

export interface TextChoice {
  /** `TextSource.id`, or a data set of the Hub: `owner/name[:config[:split[:column]]]`. */
  text: string
  /** Column or field with the text; detected when not given. */
  column?: string
  /** Whether to apply the model's chat template to the text's conversations. */
  chat?: boolean
}

export interface CalibrationSpec extends TextChoice {
  samples: number
  length: number // tokens per sample
  sampling: Sampling
  /**
   * Windows drawn beside the samples, from other places of the text, as a share of their number, at least one: the methods do not see
   * them, and every linear's error is measured on them too. 0 or missing: none.
   */
  heldOut?: number
}

/** What the page and the command line hold out unless asked otherwise. */
export const heldOutShare = 1 / 6

export interface EvaluationSpec extends TextChoice {
  /** Most windows; the text may have fewer. 0 = all. */
  samples: number
  length: number
}

export interface Job {
  runs: RunSpec[]
  calibration: CalibrationSpec
  evaluation: EvaluationSpec
  /** Also measure last-word accuracy, on at most this many passages of a text; 0 = all. */
  lambada?: TextChoice & { passages: number }
  seed: number
  /** Today's date for chat templates that write it, as `2026-11-30`. Default: the day of the start. */
  date?: string
  /** Measure perplexity of the partly quantized model after every so many blocks; 0 = only at the end. */
  perplexityEvery: number
  /** Write a checkpoint for each run. */
  save: boolean
  /** Ids of the formats to write, each in its own folder if there are several; missing or empty: the first that can store the result. */
  formats?: string[]
  /** Keep the solved linears after writing, so that the job can be resumed and written in other formats without solving. */
  keepSolved?: boolean
}

export interface JobCheck {
  /** Without errors, the job may start. */
  problems: Problem[]
  calibration: TokenCounts | null
  evaluation: TokenCounts | null
  /** For last-word accuracy, if requested. */
  passages?: number
  /** What was found in the text. */
  passagesFrom?: TextFacts
  runs: {
    id: string
    /** Over the linears of the quantized blocks: codes + scales + zero points (+ group index and outliers, if stored). */
    bitsPerWeight: number
    /** Linears that overrides give something else than the run has, in their order. */
    own: OwnGrid[]
    /** As in its result. */
    weightBytes: number
    /** Predicted size of its whole checkpoints, bytes. */
    checkpointBytes: number
    /** What keeping the solved linears takes, outliers left out, bytes. */
    solvedBytes: number
    formats: FormatCheck[]
    /** Forecast of time and memory; null when the run has errors. */
    forecast: Forecast | null
  }[]
}

/** A linear by its module path, and what an override gives it in place of the run's options; null: it stays in full precision. */
export interface OwnGrid {
  name: string
  options: Options | null
}

/** What the linears of a run may take together: one of the two. */
export interface Budget {
  bitsPerWeight?: number
  /** Of the checkpoint in the first of its formats. */
  bytes?: number
}

/** A mixture of widths within a budget. */
export interface Mix {
  budget: Budget
  /** Of the run; linears that they do not name are as the run says. */
  overrides: Override[]
  parts: MixPart[]
  /** Bits per weight or bytes, as the budget. */
  size: number
  /** Divergence from full precision that is foreseen, nats; by the same prices no mixture within the budget has less than `bound`. */
  predicted: number
  bound: number
  /** The same of all linears at each width. */
  foreseen: { options: Options; kl: number }[]
  /** The widths whose uniform runs are nearest to the budget: the largest within it, and, where that is smaller, the next one. */
  uniform: { options: Options; size: number }[]
  /** What the run makes of embedding and head, for the uniform runs: empty where it leaves both as they are. */
  ends: Options
}

/** The widths that a run's linears may all have, by what they take of either kind of budget; the smallest first. */
export type MixWidths = Record<'bitsPerWeight' | 'bytes', { options: Options; size: number }[]>

/** Linears that have the same width in a mixture. */
export interface MixPart {
  linears: string[]
  options: Options
  /** Mean relative error of these linears at each width, by a short solver on some rows. */
  errors: { options: Options; error: number }[]
  /** Divergence, nats, per relative error of one of these linears, among others that are rounded or not. */
  price: number
}

/** What a format is to a run. */
export interface FormatCheck {
  id: string
  /** The checkpoint is written in it. */
  written: boolean
  /** Why it cannot be, and what would help. */
  refusal: { why: string; instead: string } | null
  /** Of the weights in it; null where it cannot be. */
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

/** Forecast of a run, without the full-precision baseline before it. */
export interface Forecast {
  /** Floating-point operations of forward passes and Gram matrices, and of solving. */
  flops: { forward: number; solve: number }
  /** Bytes of weights read from disk. */
  readBytes: number
  /**
   * Seconds: operations at the measured matrix product rate, dispatches and waits at their measured times, reading at 1 GB/s, corrected
   * by the times of earlier blocks, and what it took to keep solved linears; null when no rate is known.
   */
  seconds: number | null
  /** Peak GPU memory in live and pooled buffers, including transfers to the host, bytes. */
  gpuBytes: number
  /** Peak host memory for hidden states and the largest transfer, bytes. */
  hostBytes: number
  stages: (StagePeaks & { stage: Stage | 'load' })[]
}

export type { Holding }

export interface StagePeaks {
  gpuBytes: number
  hostBytes: number
  /** Of the GPU memory at its peak. */
  holdings: Holding[]
}

/** A device described by published figures. */
export interface DryDevice {
  id: string
  label: string
  maxBinding: number
  maxBuffer: number
  memoryBudget: number
  /** Rate of f32 matrix products, GFLOP/s; null when unknown. */
  gflops: number | null
  /** Where the figures come from. */
  from: string
}

export interface DryRunSpec {
  /** Option values by algorithm; everything else has its default. */
  options: Options
  /** As in a run; of their options, each algorithm takes those that it has. */
  overrides?: Override[]
  /** `heldOut`: as in a job. */
  calibration: { samples: number; length: number; heldOut?: number }
  /** 0 samples: about as many as a usual text gives. */
  evaluation: { samples: number; length: number }
  /** A device by its figures, or null for the present one. */
  device: DryDevice | null
  /** These runs in place of one of every algorithm. */
  runs?: RunSpec[]
}

/** The forecast for every algorithm on a model, or for given runs. */
export interface DryRun {
  model: { name: string; family: string; parameters: number; blocks: number; dtype: string; weights: boolean }
  device: Omit<DryDevice, 'id'>
  tensors: { count: number; bytes: number }
  /** The linears with the largest matrices. */
  largest: { weight: { name: string; bytes: number }; gram: { name: string; bytes: number } }
  calibration: { windows: number; length: number }
  evaluation: { windows: number; length: number }
  /** The unquantized model, measured once before all runs. */
  baseline: { flops: number; readBytes: number; seconds: number | null }
  methods: {
    id: string
    label: string
    /** Null when the options are invalid for this algorithm. */
    bitsPerWeight: number | null
    checkpointBytes: number | null
    forecast: Forecast | null
    /** Why there is no forecast. */
    problem: ErrorData | null
  }[]
}

export interface TokenCounts {
  /** Tokens in the whole text; null when it was read only in part. */
  text: number | null
  windows: number
  length: number
  /** Windows held out beside these, when there are any. */
  heldOut?: number
  /** What was found in the text. */
  from?: TextFacts
}

/** What was found in a text, as a sentence: files, format, column, rows, and the first words. */
export function describeText({ files, form, column, rows, blank, start }: TextFacts): string {
  const count = (n: number, what: string) => `${n.toLocaleString('en')} ${what}${n === 1 ? '' : 's'}`
  const name = files.length > 1 ? `${files[0]} and ${count(files.length - 1, 'more file')}` : files[0]
  const table = form.startsWith('plain text')
    ? []
    : [
        column === null ? 'each row is a text' : `column ${column}`,
        count(rows, 'row') + (blank ? `, ${blank.toLocaleString('en')} without text` : ''),
      ]
  return [`${name}: ${form}`, ...table, `begins “${start}”`].join('; ')
}

// ---------------------------------------------------------------- results

/** Bits stored per quantized linear, by purpose. Sum / (q·p) = bits per weight. */
export interface BitsBreakdown {
  codes: number
  scales: number
  zeros: number
  groupIndex: number
  /** Values and positions of outliers. */
  outliers: number
  /** Weights that an override keeps in full precision. */
  kept?: number
}

/** The relative objective f(Ŵ)/f(0) of one linear by iteration, for its chart. */
export interface ObjectiveCurve {
  iterations: number[]
  /** One value for each of `iterations`. */
  values: number[]
  /** Which of `iterations` were relaxed. */
  relaxed: number[]
  /**
   * Share of the codes that the sweep of each iteration changed; null where it did not begin on the grid, or ended off it. Missing where
   * that is not counted.
   */
  changed?: (number | null)[]
}

export interface LayerResult {
  /** Module path, e.g. `model.layers.0.self_attn.q_proj`. */
  name: string
  block: number
  /** [out, in] */
  shape: [number, number]
  /** ‖(W−Ŵ)X‖² / ‖WX‖², with the outliers in Ŵ */
  relativeError: number
  /** The same on the held-out windows, when there are any. */
  heldOutError?: number
  seconds: number
  iterations: number
  /**
   * Products of this linear with its Σ that its method takes, 2 q p² operations each: a sweep is one, a GPTQ pass half a one. Not in it:
   * what linears with the same inputs share, and trials for an aim.
   */
  products?: number
  /** Damping and target that it was solved with, where they are not the published ones, and what was tried for its stage. */
  aim?: {
    /** A multiple of the mean diagonal of Σ. */
    damping: number
    /** Strength of the target's correction. */
    alpha: number
    /** Relative errors on the held-out tokens. */
    trials: { damping: number; alpha: number; error: number }[]
  }
  bits: BitsBreakdown
  /** What an override gave it in place of the run's options. */
  own?: Options
  /** Its type of GGUF, where its rows do not take the one that was asked for. */
  type?: string
  /** Only for iterative methods; with an `aim`, of what that asks for. */
  objective?: ObjectiveCurve
  /** Remarks of the solver: dead columns, fallbacks, damping. */
  notes: string[]
}

/** What a matrix outside the blocks is used for; `both`: the head is the embedding. */
export type EndUse = 'embedding' | 'head' | 'both'

/** An embedding or head that was rounded. Its `relativeError` is that of the logits, of an embedding alone the `tableError`. */
export interface EndResult
  extends Pick<LayerResult, 'name' | 'shape' | 'relativeError' | 'heldOutError' | 'seconds' | 'aim' | 'bits' | 'notes'> {
  use: EndUse
  /** Its type, in words. */
  type: string
  /** Σ n‖e − ê‖² / Σ n‖e‖² over its rows e, each as often as the calibration text has that token; not there of a head alone. */
  tableError?: number
}

/** How often the model predicts the last word of a passage. */
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
  /** Its folder among the files, with a trailing slash; empty when it is the only format. */
  folder: string
  loadsIn: LoadsIn[]
}

export interface RunResult {
  run: string
  /** Every option of the run, including those at their default. */
  options: Options
  state: 'finished' | 'cancelled' | 'failed'
  error?: ErrorData
  fpPerplexity: number | null
  perplexity: number | null
  /** Standard error of the perplexity over the evaluation windows. */
  perplexityError: number | null
  /** KL(full precision ‖ quantized), mean over the evaluation positions, nats. */
  kl: number | null
  /** Error, quantiles and maximum of that KL; absent in results of earlier versions. */
  klSpread?: KlSpread
  /** Means of each evaluation window; absent in results of earlier versions. */
  windows?: WindowMeans
  /** Share of evaluation positions where both models predict the same token. */
  top1: number | null
  /** Last-word accuracy, if requested. */
  lambada?: LastWords
  /** Perplexity with the first `blocks` blocks quantized, as requested by the job. */
  perplexities: { blocks: number; value: number }[]
  /** Over the linears of the quantized blocks, those that overrides keep included. */
  bitsPerWeight: number
  /**
   * Of the model in the first of the formats that the job began with, written or not: all tensors, and what the format keeps in the
   * same files. Not in it: files that are copied, and our own report. Absent in results of earlier versions.
   */
  weightBytes?: number
  meanRelativeError: number | null
  /** Of `heldOutError`, when there are held-out windows. */
  meanHeldOutError?: number
  worst: { name: string; relativeError: number } | null
  seconds: number
  layers: LayerResult[]
  /** Linears that overrides keep in full precision. */
  kept?: { name: string; shape: [number, number]; bits: BitsBreakdown }[]
  /** Embedding and head, where they are rounded: `bitsPerWeight` counts them too. */
  ends?: EndResult[]
  /** The checkpoint, once completely written and verified. */
  export: { files: ExportFile[]; bytes: number; checkpoints: ExportedCheckpoint[] } | null
  /** Why a requested checkpoint was not written. */
  exportError?: ErrorData
  /** With `exportError`, where writing it again failed: the formats of the checkpoint before. */
  earlierFormats?: string[]
  /** ISO time at which its checkpoint was deleted to make room. */
  dropped?: string
}

/** A text as a job used it. */
export interface UsedText {
  /** Its label; for a data set of the Hub its id. */
  name: string
  /** Absent in reports of earlier versions. */
  origin?: TextSource['origin']
  /** SHA-256 of the used token ids, window after window, as little-endian int32. */
  tokensSha256: string
  /** Number of tokens used. */
  tokens: number
}

/** The texts of a job; a measurement has no calibration text. */
export interface UsedTexts {
  calibration?: UsedText
  /** Of the same text as the calibration. */
  heldOut?: UsedText
  evaluation: UsedText
  lambada?: UsedText
}

/** GPU memory at one moment, bytes. */
export interface MemoryPoint {
  seconds: number
  held: number
}

/** What a job's report says of its making, before any run is over. */
export interface ReportHead {
  /** `code`: SHA-256 of the sources of the engine. */
  workbench: { version: string; code: string }
  adapter: GpuSummary
  /** `sha256`: of configuration, tensor headers and samples of every tensor; for a model of the Hub, of its commit. */
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
  /** Number of blocks, and module paths of the solved linears, in order. */
  blocks: number
  linears: string[]
  /** Perplexity of the model as loaded, which may already be quantized. */
  fpPerplexity: number | null
  /** Its standard error over the evaluation windows. */
  fpPerplexityError: number | null
  /** Its means of each evaluation window; absent in reports of earlier versions. */
  fpWindows?: WindowMeans
  fpLambada?: LastWords
}

/** Everything that the page shows of a job, and everything needed to reproduce it. */
export interface JobReport extends ReportHead {
  /** ISO times. */
  started: string
  ended: string
  /** Where the model came from; absent in reports of earlier versions. */
  origin?: ModelOrigin
  runs: RunResult[]
  memory: MemoryPoint[]
  seconds: number
  /** Network traffic of the job; null when its files are local. */
  network: { fetched: number; cached: number; requests: number } | null
  /** Of a sweep, whose jobs are its runs: how many there are, and those that have no result. */
  gathered?: { jobs: number; open: { label: string; state: 'failed' | 'missing'; error: string | null }[] }
}

/** A report as a checkpoint holds it: of its run alone, and without times, so that it is the same after an interruption. */
export interface CheckpointReport extends Omit<ReportHead, 'adapter' | 'fpWindows'> {
  adapter: Pick<GpuSummary, 'name' | 'vendor' | 'architecture' | 'kind'>
  runs: (Omit<RunResult, 'seconds' | 'export' | 'layers' | 'ends' | 'windows' | 'klSpread'> & {
    layers: Omit<LayerResult, 'seconds'>[]
    ends?: Omit<EndResult, 'seconds'>[]
  })[]
}

/** What a model says next by our own forward pass. */
export interface NextToken {
  token: number
  /** By how many nats it is likelier than what was said instead; 0 where that is the same. */
  ahead: number
}

/** Held against what another program made of the same prompt. */
export interface Foretold {
  /** Tokens of the prompt by our own tokenizer, special ones included. */
  prompt: number
  /** What we would say in place of each token that was said. */
  next: NextToken[]
}

// ---------------------------------------------------------------- journal

/** Where a model came from, if it can be opened again from there. */
export type ModelOrigin = { kind: 'demo' } | { kind: 'files'; name: string } | ({ kind: 'hub' } & HubOrigin)

/** A job in its journal, interrupted or finished. */
export interface JournalSummary {
  job: Job
  model: ModelSummary
  origin: ModelOrigin
  /** ISO time of its start. */
  started: string
  /** Solved linears of all runs, and their total number. */
  layers: { done: number; all: number }
  /** Results of finished runs. */
  results: RunResult[]
  /** Events so far, for a view, including linears and perplexities of unfinished runs. */
  events: RunEvent[]
  /** Size of the job's journal and checkpoints, bytes. */
  bytes: number
  /** Set when the job has ended. */
  report: JobReport | null
  /** Why it cannot be resumed. */
  problem: ErrorData | null
  /** As in its report. */
  modelSha256: string
}

/** An id for a job that begins now, under which it is kept; a folder is called after it. */
export const newJobId = () => `${new Date().toISOString().replace(/\D/g, '').slice(0, 14)}-${crypto.randomUUID().slice(0, 8)}`

/** A run of a kept job. */
export interface KeptRun {
  job: string
  run: string
}

/** A kept job as a list shows it. */
export interface KeptJob {
  /** Names it to the engine. */
  id: string
  /** A tab is at work on it. */
  busy: boolean
  /** It was deleted, and can be brought back until its storage is freed. */
  deleted: boolean
  /** ISO time of its start. */
  started: string
  model: { name: string; sha256: string }
  origin: ModelOrigin
  /** Figures are null where the run has no result; `written`: it has a checkpoint. */
  runs: (Pick<RunSpec, 'id' | 'label' | 'method'> & {
    state: RunResult['state'] | null
    kl: number | null
    perplexity: number | null
    perplexityError: number | null
    bitsPerWeight: number | null
    written: boolean
  })[]
  fpPerplexity: number | null
  fpPerplexityError: number | null
  texts: UsedTexts | null
  layers: JournalSummary['layers']
  /** What it takes, bytes. */
  bytes: number
  finished: boolean
  /** A checkpoint could not be written. */
  unwritten: boolean
  /** ISO time at which its checkpoints were deleted to make room. */
  dropped: string | null
  /** It is finished, and can be written in other formats. */
  keepsSolved: boolean
  /** Why it cannot be resumed. */
  problem: ErrorData | null
}

// ---------------------------------------------------------------- events

/** `restore`: passing activations through blocks solved before an interruption. */
export type Stage = 'baseline' | 'restore' | 'calibrate' | 'solve' | 'propagate' | 'evaluate' | 'write'

/** What the job waits for while a disk is full. */
export interface StorageNeed {
  /** What cannot be written, e.g. "the checkpoint of run-1". */
  what: string
  /** Bytes still missing. */
  needed: number
  /** How full the storage is, as a sentence. */
  problem: ErrorData
}

export type RunEvent =
  /**
   * `layers`: module paths of all linears that a run solves, in order (the x axis of the charts). `resumed`: when the job was first started, and how many linears were already solved.
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
  | { type: 'baseline'; perplexity: number; perplexityError: number | null; windows?: WindowMeans; lambada?: LastWords }
  | { type: 'run-start'; run: string; blocks: number }
  | { type: 'stage'; run: string | null; stage: Stage; block: number | null; linear: string | null }
  /** Of the whole job: fraction of work done, seconds so far, seconds left (null until it can be estimated). */
  | { type: 'progress'; done: number; elapsed: number; eta: number | null; run: string | null; runDone: number }
  /** Relative objective f(Ŵ)/f(0) after each iteration; relaxed iterations are marked. */
  | {
      type: 'objective'
      run: string
      linear: string
      points: { iteration: number; value: number; relaxed: boolean; changed?: number }[]
      iterations: number
    }
  | { type: 'layer'; run: string; layer: LayerResult }
  /** Perplexity with the first `blocks` blocks quantized. */
  | { type: 'perplexity'; run: string; blocks: number; value: number }
  /** GPU memory in use and the peak since the previous event, bytes, and who holds what is in use. */
  | { type: 'memory'; held: number; most: number; holdings: Holding[] }
  | { type: 'network'; traffic: Traffic }
  | { type: 'notice'; run: string | null; problem: Problem }
  /** Paused by the user or because of `storage`, until the user resumes. */
  | { type: 'paused'; storage: StorageNeed | null }
  | { type: 'resumed' }
  /** The device was lost, or out of memory, for the `losses`-th time and is replaced; the job ends at `most`. */
  | { type: 'device'; state: 'lost' | 'back'; cause: 'lost' | 'memory'; losses: number; most: number }
  | { type: 'run-end'; result: RunResult }
  | { type: 'job-end'; report: JobReport }

/** Most points of a memory chart. */
export const maxPoints = 300

/** Memory over time: the peak in each time slice; slices double in width as the job gets longer. */
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

/** Bits per weight over these layers, by purpose. */
export function bitsByContent(layers: Counted): Required<BitsBreakdown> {
  const weights = layers.reduce((sum, { shape: [q, p] }) => sum + q * p, 0)
  const mean = (content: keyof BitsBreakdown) => (weights ? layers.reduce((sum, { bits }) => sum + (bits[content] ?? 0), 0) / weights : 0)
  return {
    codes: mean('codes'),
    scales: mean('scales'),
    zeros: mean('zeros'),
    groupIndex: mean('groupIndex'),
    outliers: mean('outliers'),
    kept: mean('kept'),
  }
}

/** The sum of that. */
export function bitsPerWeight(layers: Counted): number {
  return Object.values(bitsByContent(layers)).reduce((sum, bits) => sum + bits, 0)
}
