/** What a run came to: its linears, its ends, its measurements and its checkpoint. */
import type { Products } from '../../gpu/products.ts'
import type { ErrorData } from '../../errors.ts'
import type { KlSpread, WindowMeans } from '../../eval/perplexity.ts'
import type { Options } from '../../options.ts'
import type { LoadsIn } from './check.ts'

export type { KlSpread, WindowMeans } from '../../eval/perplexity.ts'

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
  /** Over the linears of all blocks, those that stay in full precision included. */
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
  /** Linears that stay in full precision: by overrides, or those of blocks that are not quantized. */
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

/** How passes over evaluation texts were computed where f16 was asked for. */
export interface ProductsUsed {
  used: Products
  /** KL(f32 ‖ f16) of the full-precision model on the first tokens of the evaluation text, nats. f16 is used up to 1e-5. */
  kl: number
  tokens: number
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

/** What the bits per weight of a run are counted over. */
export const countedIn = ({ layers, kept = [], ends = [] }: Pick<RunResult, 'layers' | 'kept' | 'ends'>) => [...layers, ...kept, ...ends]

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
