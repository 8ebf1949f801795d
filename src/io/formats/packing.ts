/** How the linears of a quantized checkpoint are stored, from its config. One file reads each layout. */
import { WorkbenchError } from '../../errors.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import { isObject, type JsonObject } from '../json.ts'
import { bf16ToF32, f16ToF32 } from '../half.ts'
import type { Checkpoint, Dtype, TensorEntry } from '../safetensors.ts'
import { z } from '../zod.ts'

/** A quantization config and the file that contains it. */
export interface QuantizationConfig {
  file: string
  value: unknown
  /** Path of the config inside that file, with a dot at its end; empty when it is the whole file. */
  path: string
}

/** Shape of a linear: output and input features. */
export interface Size {
  q: number
  p: number
}

export interface Packing {
  /** Name of the layout with its version, e.g. `GPTQ v2`. */
  label: string
  /** Bits of most linears; a layout may allow others for some. */
  bits: SolvedLinear['bits']
  /** Columns per group; -1 for one group per row. */
  groupSize: number
  symmetric: boolean
  /** Act-order: whether columns were quantized in another order; null when the config does not say. */
  actOrder: boolean | null
  /** The algorithm, if the checkpoint names one. */
  method: string | null
  /** Whether the linear at this module path has any packed tensor. */
  holds(checkpoint: Checkpoint, module: string): boolean
  /**
   * Names of the tensors of a linear, their dtypes and shapes checked by the headers.
   * @throws WorkbenchError `tensor-missing`, `tensor-mismatch`, `config-unsupported` for what cannot be read
   */
  tensors(checkpoint: Checkpoint, module: string, size: Size): string[]
  /**
   * Reads a linear `[q, p]`. Scales of other programs' checkpoints in BF16 or F32 are not rounded, so they may not fit float16.
   * @throws WorkbenchError `tensor-missing`, `tensor-mismatch`, `weights-not-finite`, `config-unsupported`
   */
  read(checkpoint: Checkpoint, module: string, size: Size): Promise<SolvedLinear>
}

export const readable =
  'The workbench opens unquantized models, and checkpoints of 2, 3, 4 or 8 bits as GPTQ, compressed-tensors (pack-quantized, MXFP4, NVFP4) or AWQ (gemm).'

export const correct = 'Compare the field with the published checkpoint, and correct it.'

/** The error for a checkpoint whose quantization cannot be read. */
export function unreadable(file: string, what: string): WorkbenchError {
  return new WorkbenchError('config-unsupported', `${file}: ${what}.`, readable)
}

/** A value of a config, short enough for a sentence. */
export function describe(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 60)
}

/**
 * Rejects models quantized by MLX, whose settings are in `quantization` of config.json, while `quantization_config` names no method.
 * @throws WorkbenchError
 */
export function refuseMlx(quantization: unknown): void {
  if (quantization != null) throw unreadable('config.json', 'the model is quantized already, by MLX')
}

/** The configs, each an object. @throws WorkbenchError `config-invalid` */
export function objects(configs: readonly QuantizationConfig[]) {
  return configs.map(({ file, path, value }) => {
    if (!isObject(value)) throw new WorkbenchError('config-invalid', `${file}: the quantization config is not an object.`, correct)
    return { file, path, value }
  })
}

/** What a writer says of itself; only the name of its algorithm is used, and that for display only. */
export const metaShape = z
  .object({ algorithm: z.string().nullish().catch(null) })
  .nullish()
  .catch(null)

/** Copies may differ, since writers keep more of their settings in one than in the other: the first counts. */
export function firstMeta(values: { value: JsonObject }[]): unknown {
  return values.find(({ value }) => value.meta != null)?.value.meta
}

/**
 * A tensor's header entry, checked to have one of these dtypes and this shape. @throws WorkbenchError `tensor-missing`, `tensor-mismatch`
 */
export function expectTensor(checkpoint: Checkpoint, name: string, dtypes: Dtype[], shape: number[]): TensorEntry {
  const entry = checkpoint.tensors.get(name)
  if (!entry)
    throw new WorkbenchError(
      'tensor-missing',
      `The checkpoint has no tensor ${name}.`,
      'Check that the folder contains all weight files of this model.',
    )
  if (!dtypes.some((dtype) => dtype === entry.dtype) || entry.shape.join() !== shape.join()) {
    throw new WorkbenchError(
      'tensor-mismatch',
      `${name} is ${entry.dtype} [${entry.shape.join(', ')}]; by the config it should be ${dtypes.join(' or ')} [${shape.join(', ')}].`,
      'Check bits and group_size in the quantization config.',
    )
  }
  return entry
}

/** Scales `[…]` of any float dtype as f32. @throws WorkbenchError `weights-not-finite` */
export async function readScales(checkpoint: Checkpoint, { name, dtype }: TensorEntry): Promise<Float32Array> {
  const { buffer } = await checkpoint.read(name)
  const scales = decode(buffer, dtype)
  if (scales.every(Number.isFinite)) return scales
  throw new WorkbenchError(
    'weights-not-finite',
    `${name} contains infinite or NaN values.`,
    'The checkpoint is damaged; download or quantize it again.',
  )
}

function decode(buffer: ArrayBuffer, dtype: string): Float32Array {
  if (dtype === 'F32') return new Float32Array(buffer)
  return dtype === 'F16' ? f16ToF32(new Uint16Array(buffer)) : bf16ToF32(new Uint16Array(buffer))
}

/**
 * Rejects zero points other than the middle when the config says symmetric, since programs disagree about such weights. @throws
 * WorkbenchError
 */
export function expectSymmetric(grid: Float32Array, bits: number, name: string, fields: string): void {
  const middle = 2 ** (bits - 1)
  if (!grid.some((zero, i) => i & 1 && zero !== middle)) return
  throw new WorkbenchError(
    'tensor-mismatch',
    `${name} contains zero points other than ${middle}, although the config says that it is symmetric (sym).`,
    `Check ${fields} in the quantization config; programs disagree about such weights.`,
  )
}

/** Outputs of a word of AWQ, from its lowest bits up. */
export const awqOrder = [0, 2, 4, 6, 1, 3, 5, 7]
