/** What an export format is: everything that the engine needs to know to write a checkpoint that others can load. */
import type { SolvedLinear } from '../../quant/linear.ts'
import type { Sink } from '../bytes.ts'
import type { Folder } from '../folder.ts'
import { withMembers } from '../json.ts'
import type { TensorSpec } from '../safetensors.ts'
import type { NamedDecoder } from './decoder.ts'

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
  /** What to type to run it there, `{folder}` being the checkpoint's folder; not given: as `runtimes.ts` has it, if it does. */
  command?: string
}

/** A result before it is there: all that decides whether a format holds it, and how large it will be. */
export interface ExportPlan {
  settings: ExportSettings
  /** Every linear that will be quantized, in the order in which they are solved. */
  linears: LinearPlan[]
  /** Kind of the grid: `uniform` integers, or others. */
  levels: string
  /** Some weights will be kept beside the grid. */
  outliers: boolean
  /** Tensors of the model that are written as they are. */
  copied: TensorSpec[]
  /** Vectors that come changed, in the dtype and shape that they have. */
  changed: TensorSpec[]
  /** How the model computes, where it is of LLaMA's kind. */
  decoder: NamedDecoder | null
}

/** Why a format does not hold a result, and what would: two sentences. */
export interface Refusal {
  why: string
  instead: string
}

/** What is unusual about a result in a format but not wrong. */
export interface Remark {
  /** Key of the option that it comes from. */
  field: string
  message: string
  hint: string
  severity: 'warning' | 'note'
}

/** A checkpoint on its way into a folder. */
export interface CheckpointStream {
  /** Copies what stays as it is; waits for `between` before each piece. */
  copy(between: () => Promise<void>): Promise<void>
  /** `weights`: Ŵ + H as the run used it, `[q, p]`; asked for only where the format stores weights. */
  linear(name: string, solved: SolvedLinear, weights: () => PromiseLike<Float32Array<ArrayBuffer>>): Promise<void>
  /** One of the changed vectors, by full name. */
  vector(name: string, bytes: Uint8Array): Promise<void>
  /** Writes what is left and closes all files. `peak`: the largest hidden state of the model. */
  finish(peak: number): Promise<{ path: string; bytes: number }[]>
  /**
   * Opens what was written as a stranger would and compares all that is new in it; waits for `between` before each linear.
   * @throws WorkbenchError `storage-failed` when something reads back differently
   */
  verify(between: () => Promise<void>): Promise<void>
}

export interface ExportFormat {
  id: string
  label: string
  /** What it is and where it loads, in one sentence. */
  summary: string
  /** What it stores of a linear: its codes and grid, or the weights that they stand for. */
  stores: 'codes' | 'weights'
  /** Whether it holds such a result: null, or else why not. */
  accepts(plan: ExportPlan): Refusal | null
  /** What the weights are rounded to in the file; null where they are there as they were solved. */
  rounds(settings: ExportSettings): Exclude<FloatDtype, 'F32'> | null
  /** What its config tells loaders to compute in, for a model whose hidden states reach `peak` at most. */
  declares(dtype: FloatDtype, peak: number): DtypeName
  /** Of all files but configuration and those that travel along, bytes. */
  bytes(plan: ExportPlan): number
  remarks(plan: ExportPlan): Remark[]
  /** Begins a checkpoint of `model` in `sink`. */
  write(plan: ExportPlan, model: Folder, sink: Sink): CheckpointStream
  /** Who can load it today; `notLoaded` is the architecture's. */
  compatibility(plan: ExportPlan, notLoaded?: NotLoaded): Compatibility[]
}

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
