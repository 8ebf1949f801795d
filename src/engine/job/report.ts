/** The report of a job: everything that the page shows of it, and everything needed to reproduce it. */
import type { WindowMeans } from '../../eval/perplexity.ts'
import type { GpuSummary, MemoryPoint } from './device.ts'
import type { Job } from './job.ts'
import type { ModelSummary, HubOrigin, ModelOrigin } from './model.ts'
import type { LastWords, ProductsUsed, RunResult, LayerResult, EndResult } from './result.ts'
import type { UsedTexts, TokenCounts } from './texts.ts'

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
  /** Only where f16 was asked for. */
  products?: ProductsUsed
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
