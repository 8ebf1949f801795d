/** The interface of an export format: everything that the engine needs to write a checkpoint that other programs can load. */
import type { SolvedLinear } from '../../quant/linear.ts'
import type { Sink } from '../bytes.ts'
import type { Folder } from '../folder.ts'
import { withMembers } from '../json.ts'
import type { TensorSpec } from '../safetensors.ts'
import type { NamedDecoder } from './decoder.ts'
import type { ModelFacts } from './model.ts'

/** Dtypes of weights, and their names in config.json. */
export const dtypeNames = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const
export type FloatDtype = keyof typeof dtypeNames
export type DtypeName = (typeof dtypeNames)[FloatDtype]

/** The largest finite float16. */
export const MOST_HALF = 65504

/** A linear before it is quantized: enough to compute the sizes of its tensors. */
export interface LinearPlan {
  /** Module path, e.g. `model.layers.0.self_attn.q_proj`. */
  name: string
  q: number
  p: number
  bits: SolvedLinear['bits']
  /** As in `ExportSettings`; not given: as there. */
  groupSize?: number
  symmetric?: boolean
  groups: number
  /** `Grid.levels`; not given: that of the plan. */
  levels?: string
  /** Its rows are picked, not multiplied: it is the embedding. */
  picked?: boolean
  /** How many outliers the method is expected to keep. */
  outliers?: number | null
  /** The dtype of the model's weights. */
  dtype: FloatDtype
}

/** How a checkpoint was quantized, as recorded in its config. */
export interface ExportSettings {
  bits: SolvedLinear['bits']
  /** Columns per group; -1 for one group per row. */
  groupSize: number
  actOrder: boolean
  symmetric: boolean
  /** Of the settings of one linear, as there. */
  picked?: boolean
  /** Of the settings of one linear: whether all others are symmetric, too; not given: as this one. */
  allSymmetric?: boolean
  trueSequential: boolean
  /** Id of the algorithm. */
  method: string
  iterations: number
  /** Exponent of the clipping search, 0 for none. */
  mse: number
  /** Static groups: groups keep their original columns although columns were solved in another order. */
  staticGroups: boolean
  /** False: GPTQ files have no group index where groups are runs of inputs. */
  groupIndex?: boolean
  /** Module paths (of blocks or linears) that stay in full precision, e.g. `model.layers.3`. */
  dynamicSkips: readonly string[]
  /** Modules beside a text model in its repository, e.g. `vision_tower`, which stay as they are too; loaders may put a prefix before them. */
  otherModules?: readonly string[]
  /** Damping: the fraction of the mean diagonal that was added to the Hessian, for methods that use it. */
  damping?: number
  /** The dtype of the model's weights. */
  dtype: FloatDtype
}

/** Programs that read checkpoints. */
export type Runtime = 'vLLM' | 'SGLang' | 'transformers' | 'GPTQModel' | 'llama.cpp (convert_hf_to_gguf)' | 'mlx-lm'

/** Why a runtime does not load an architecture in any format: a sentence. */
export type NotLoaded = Partial<Record<Runtime, string>>

export interface Compatibility {
  runtime: string
  loads: boolean
  /** One sentence: on what condition it loads, or why not. */
  note: string
  /** What to type to run it there, `{folder}` being the checkpoint's folder; not given: as `runtimes.ts` has it, if it does. */
  command?: string
}

/** A planned result: everything that decides whether a format can store it, and how large it will be. */
export interface ExportPlan {
  settings: ExportSettings
  /** Every linear that will be quantized, in the order in which they are solved. */
  linears: LinearPlan[]
  /** Of these, the embedding and the head, by name; missing: both stay as they are. */
  ends?: readonly string[]
  /** Kind of the grid, e.g. `uniform` (integers). */
  levels: string
  /** Some weights are kept as outliers beside the codes. */
  outliers: boolean
  /** Tensors that are copied unchanged. */
  copied: TensorSpec[]
  /** Vectors (norms, biases) that the run changes, with their dtype and shape. */
  changed: TensorSpec[]
  /** How the model computes, where it is of LLaMA's kind. */
  decoder: NamedDecoder | null
  /** The model itself. */
  model: ModelFacts
}

/** The settings of one linear: those of the run, with the grid that it has itself. */
export function settingsOf(
  settings: ExportSettings,
  linear: Pick<LinearPlan, 'bits' | 'groupSize' | 'symmetric' | 'picked'>,
): ExportSettings {
  const { bits, groupSize = settings.groupSize, symmetric = settings.symmetric, picked = false } = linear
  return {
    ...settings,
    bits,
    groupSize,
    symmetric,
    allSymmetric: settings.symmetric,
    actOrder: settings.actOrder && groupSize !== -1,
    picked,
  }
}

/** What the linears of a plan are rounded to, for a refusal. */
export function gridName({ levels, settings: { bits } }: Pick<ExportPlan, 'levels' | 'settings'>): string {
  if (levels === 'affine') return 'grids with real minima'
  return levels === 'signed' ? `Q${bits}_0` : levels.toUpperCase()
}

/** A plan as one for each grid that linears have, that of the most linears first: what a format says of one grid, it says of each. */
export function byGrid(plan: ExportPlan): ExportPlan[] {
  const parts = divided.get(plan) ?? divide(plan)
  divided.set(plan, parts)
  return parts
}

const divided = new WeakMap<ExportPlan, ExportPlan[]>()

function divide(plan: ExportPlan): ExportPlan[] {
  const parts = new Map<string, ExportPlan>()
  for (const linear of plan.linears) {
    const settings = settingsOf(plan.settings, linear)
    const { levels = plan.levels } = linear
    const key = JSON.stringify([levels, settings.bits, settings.groupSize, settings.symmetric])
    const part = parts.get(key) ?? { ...plan, settings, levels, linears: [] }
    part.linears.push(linear)
    parts.set(key, part)
  }
  if (parts.size < 2) return [plan]
  return [...parts.values()].sort((a, b) => b.linears.length - a.linears.length)
}

/** `accepts` of a format that stores each linear on a grid of its own, from that for one grid. */
export const eachGrid =
  (accepts: ExportFormat['accepts']): ExportFormat['accepts'] =>
  (plan) =>
    byGrid(plan)
      .map(accepts)
      .find((refusal) => refusal !== null) ?? null

/** Remarks on each grid, those on several of them once. */
export const remarksOfGrids =
  (remarks: ExportFormat['remarks']): ExportFormat['remarks'] =>
  (plan) => {
    const found = byGrid(plan).flatMap(remarks)
    return found.filter(({ message }, i) => found.findIndex((one) => one.message === message) === i)
  }

/** Why a format, `what`, that declares one grid for all linears does not hold a plan. */
export function oneGrid(plan: ExportPlan, what: string): Refusal | null {
  if (byGrid(plan).length === 1) return null
  return {
    why: `${what} declares one width and one group size for all linears, but overrides give some of them others.`,
    instead: 'Choose compressed-tensors, GGUF, MLX or GPTQ, or the format “Plain weights” (dense).',
  }
}

/** `accepts` of a format whose loaders take embedding and head in full precision only: `what` it is, from that for the blocks. */
export const wholeEnds =
  (what: string, accepts: ExportFormat['accepts']): ExportFormat['accepts'] =>
  (plan) => {
    const { ends = [], linears } = plan
    if (!ends.length) return accepts(plan)
    const blocks = { ...plan, linears: linears.filter(({ name }) => !ends.includes(name)), ends: [] }
    return (
      accepts(blocks) ?? {
        why: `${what} embedding and head in full precision, and this run rounds ${ends.join(' and ')}.`,
        instead: 'Leave both in full precision (--embedding-type full --head-type full), or choose GGUF or “Plain weights” (dense).',
      }
    )
  }

/** Why a format cannot store a result, and what to do instead: two sentences. */
export interface Refusal {
  why: string
  instead: string
}

/** A remark on a result in a format: unusual, but not an error. */
export interface Remark {
  /** Key of the option that causes it. */
  field: string
  message: string
  hint: string
  severity: 'warning' | 'note'
}

/** A checkpoint that is being written into a folder. */
export interface CheckpointStream {
  /** Copies the unchanged tensors and files; awaits `between` before each piece. */
  copy(between: () => Promise<void>): Promise<void>
  /** `weights`: Ŵ + H as the run used it, `[q, p]`; called only when the format stores weights. */
  linear(name: string, solved: SolvedLinear, weights: () => PromiseLike<Float32Array<ArrayBuffer>>): Promise<void>
  /** Writes one of the changed vectors, by full name. */
  vector(name: string, bytes: Uint8Array): Promise<void>
  /** Writes the rest and closes all files. `peak`: the largest absolute hidden state of the model. */
  finish(peak: number): Promise<{ path: string; bytes: number }[]>
  /**
   * Opens the written folder like any other checkpoint and compares everything new in it; awaits `between` before each linear.
   * @throws WorkbenchError `storage-failed` when something reads back differently
   */
  verify(between: () => Promise<void>): Promise<void>
}

/** A stream whose code is loaded by its first call. */
export function loadedStream(open: () => Promise<CheckpointStream>): CheckpointStream {
  let opened: Promise<CheckpointStream> | undefined
  const stream = () => {
    opened ??= open()
    return opened
  }
  return {
    copy: async (...given) => (await stream()).copy(...given),
    linear: async (...given) => (await stream()).linear(...given),
    vector: async (...given) => (await stream()).vector(...given),
    finish: async (...given) => (await stream()).finish(...given),
    verify: async (...given) => (await stream()).verify(...given),
  }
}

export interface ExportFormat {
  id: string
  label: string
  /** What it stores and where it loads, in one sentence. */
  summary: string
  /** It stores tokenizer and configuration in its own files, so no other file is copied beside them. */
  alone?: boolean
  /** What the Hub calls the library that loads it; not given: transformers; null: none of those it knows. */
  library?: string | null
  /** What it stores of a linear: codes and grid, or dequantized weights. */
  stores: 'codes' | 'weights'
  /** Whether it can store such a result: null, or why not. */
  accepts(plan: ExportPlan): Refusal | null
  /** The dtype that weights are rounded to in the file; null when they are stored exactly. */
  rounds(settings: ExportSettings): Exclude<FloatDtype, 'F32'> | null
  /** The compute dtype that its config declares, for a model whose hidden states reach at most `peak`. */
  declares(dtype: FloatDtype, peak: number): DtypeName
  /** Size in bytes of all files but the configuration and the copied files; only for a plan that it accepts. */
  bytes(plan: ExportPlan): number
  remarks(plan: ExportPlan): Remark[]
  /** Begins a checkpoint of `model` in `sink`. */
  write(plan: ExportPlan, model: Folder, sink: Sink): CheckpointStream
  /** Which runtimes can load it; `notLoaded` is from the model's family. */
  compatibility(plan: ExportPlan, notLoaded?: NotLoaded): Compatibility[]
}

/** What files of packed codes declare, whose scales have 16 bits in any case: what loaders compute in, and most of their kernels take no more. */
export const declaresSixteen = (dtype: FloatDtype, peak: number): DtypeName =>
  dtype === 'BF16' || peak > MOST_HALF ? 'bfloat16' : 'float16'

/** The model's own config.json with this dtype, under the key already used there, and with `changes`. */
export function configWith(originalText: string, declared: DtypeName, changes: Record<string, unknown> = {}): string {
  const original = JSON.parse(originalText) as Record<string, unknown>
  const spelled = ['dtype', 'torch_dtype'].filter((key) => Object.hasOwn(original, key))
  const dtypes = (spelled.length ? spelled : ['torch_dtype']).map((key) => [key, declared])
  return withMembers(originalText, { ...Object.fromEntries(dtypes), ...changes })
}

/** The dtype that a model's config.json declares, or else `stored`, the dtype of its weights. */
export function modelDtype(configText: string, stored: string): FloatDtype {
  const { dtype, torch_dtype } = JSON.parse(configText) as Record<string, unknown>
  const declared = String(dtype ?? torch_dtype).replace(/^torch\./, '')
  const known = Object.keys(dtypeNames) as FloatDtype[]
  return known.find((one) => dtypeNames[one] === declared) ?? known.find((one) => one === stored) ?? 'F32'
}
