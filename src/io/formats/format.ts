/** What an export format is: everything that the engine needs to know to write a checkpoint that others can load. */
import type { SolvedLinear } from '../../quant/linear.ts'
import { withMembers } from '../json.ts'
import type { TensorSpec } from '../safetensors.ts'

/** Number formats of weights, and what config.json calls them. */
export const dtypeNames = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const
export type FloatDtype = keyof typeof dtypeNames
export type DtypeName = (typeof dtypeNames)[FloatDtype]

/** Largest float16. */
export const MOST_HALF = 65504

/** A linear before it is quantized: enough to know what its tensors will measure. */
export interface LinearPlan {
  /** Module path, e.g. `model.layers.0.self_attn.q_proj`. */
  name: string
  q: number
  p: number
  bits: SolvedLinear['bits']
  groups: number
  /** What the model keeps its weights in. */
  dtype: FloatDtype
}

/** How a checkpoint was made, as far as its config tells. */
export interface ExportSettings {
  bits: SolvedLinear['bits']
  /** Columns per group; -1 for one group per row. */
  groupSize: number
  actOrder: boolean
  symmetric: boolean
  trueSequential: boolean
  /** Id of the algorithm. */
  method: string
  iterations: number
  /** Exponent of the clipping search, 0 for none. */
  mse: number
  /** Groups keep their original columns although columns were solved in another order. */
  staticGroups: boolean
  /** Module paths (of blocks or linears) that stay in full precision, e.g. `model.layers.3`. */
  dynamicSkips: readonly string[]
  /** Part of the mean diagonal that was added to the Hessian, for methods that add any. */
  damping?: number
  /** What the model keeps its weights in. */
  dtype: FloatDtype
}

/** Programs that read checkpoints. */
export type Runtime = 'vLLM' | 'transformers' | 'GPTQModel' | 'llama.cpp (convert_hf_to_gguf)'

/** Why a runtime does not load an architecture, in whatever format: a sentence. */
export type NotLoaded = Partial<Record<Runtime, string>>

export interface Compatibility {
  runtime: string
  loads: boolean
  /** One plain sentence: on what condition, or why not. */
  note: string
}

interface AnyFormat {
  id: string
  label: string
  /** What it is and where it loads, in one sentence. */
  summary: string
  /** The tensors that replace `<name>.weight`. */
  tensorsFor(linear: LinearPlan): TensorSpec[]
  configFor(settings: ExportSettings): Record<string, unknown>
  /** What config.json declares, for a model whose hidden states reach `peak` at most. */
  declares(dtype: FloatDtype, peak: number): DtypeName
  /** The config files to write; `originalText` is the model's own config.json as it was. */
  configFiles(originalText: string, quantizationConfig: Record<string, unknown>, declared: DtypeName): { path: string; text: string }[]
  /** Who can load it today; `shapes` are all quantized linears, `[q, p]` = `[out, in]`; `notLoaded` is the architecture's. */
  compatibility(settings: ExportSettings, shapes: readonly { name: string; q: number; p: number }[], notLoaded?: NotLoaded): Compatibility[]
}

/** Stores codes and grids, and has no place for outliers beside them. */
export interface PackedFormat extends AnyFormat {
  stores: 'packed'
  /** Bytes of those tensors by full name. May share memory with `linear`. */
  encode(name: string, linear: SolvedLinear, settings: Pick<ExportSettings, 'symmetric'>): Map<string, Uint8Array>
}

/** Stores the weights themselves. */
export interface DenseFormat extends AnyFormat {
  stores: 'dense'
  /** From the weights `[q, p]` as the forward pass used them, rounded already. */
  encode(name: string, weights: Float32Array<ArrayBuffer>, settings: Pick<ExportSettings, 'dtype'>): Map<string, Uint8Array>
}

export type ExportFormat = PackedFormat | DenseFormat

/** The model's own config.json with this dtype, under whatever name it has there, and with `changes`. */
export function configWith(originalText: string, declared: DtypeName, changes: Record<string, unknown> = {}): string {
  const original = JSON.parse(originalText) as Record<string, unknown>
  const spelled = ['dtype', 'torch_dtype'].filter((key) => Object.hasOwn(original, key))
  const dtypes = (spelled.length ? spelled : ['torch_dtype']).map((key) => [key, declared])
  return withMembers(originalText, { ...Object.fromEntries(dtypes), ...changes })
}

/** The dtype that a model's config.json declares, or else the one in which its weights are `stored`. */
export function modelDtype(configText: string, stored: string): FloatDtype {
  const { dtype, torch_dtype } = JSON.parse(configText) as Record<string, unknown>
  const declared = String(dtype ?? torch_dtype).replace(/^torch\./, '')
  const known = Object.keys(dtypeNames) as FloatDtype[]
  return known.find((one) => dtypeNames[one] === declared) ?? known.find((one) => one === stored) ?? 'F32'
}
