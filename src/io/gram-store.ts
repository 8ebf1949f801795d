/**
 * Reads Gram matrices that are kept as files. For every stage of every block a safetensors file with Σ, `[p (p + 1) / 2]` f32, the upper
 * triangle row by row; the same over held-out windows; and Σ |x_j|, `[p]`. An index tells model, text, inputs and device, names each
 * tensor's file, and has the digest of each file. A stage is in the index once its file is whole.
 */
import { WorkbenchError } from '../errors.ts'
import type { Bytes } from './bytes.ts'
import { sha256 as digestOf } from './digest.ts'
import { parseJson } from './json.ts'
import { openCheckpoint } from './safetensors.ts'
import { z } from './zod.ts'

export const storeIndex = 'gram.safetensors.index.json'
export const storeFormat = 'quantease-gram-store'
/** Largest index that is read, bytes. */
export const mostOfIndex = 64 * 2 ** 20
const mostWidth = 2 ** 17
/** A header of safetensors with three tensors takes less. */
const HEADER = 2 ** 16

/** Σ of a stage on the host, `[p, p]`, over the calibration windows and the held-out ones, and Σ |x_j| `[p]`. */
export interface HostSums {
  gram: Float32Array<ArrayBuffer>
  heldOut: Float32Array<ArrayBuffer> | null
  sizes: Float32Array<ArrayBuffer> | null
}

const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const count = z
  .int()
  .min(0)
  .max(2 ** 48)
const name = z.string().min(1).max(1000)
const text = z.looseObject({ name: z.string().max(1000), tokensSha256: sha256, tokens: count })

/** In the order in which reports have them, so that reports are the same, too. */
const calibration = z.strictObject({
  text: z.string().max(4096),
  column: z.string().max(200).optional(),
  chat: z.boolean().optional(),
  samples: z
    .int()
    .min(1)
    .max(2 ** 31),
  length: z
    .int()
    .min(2)
    .max(2 ** 31),
  sampling: z.enum(['random', 'consecutive', 'documents']),
  heldOut: z.number().min(0).max(1).optional(),
})

const stageSchema = z.strictObject({
  block: z
    .int()
    .min(0)
    .max(2 ** 16),
  stage: z.int().min(0).max(64),
  /** Full names of its linears. */
  linears: z.array(name).min(1).max(4096),
  /** Width: p. */
  width: z.int().min(1).max(mostWidth),
  file: z.string().regex(/^block-\d{1,5}-stage-\d{1,2}\.safetensors$/),
  sha256,
})

const schema = z.object({
  metadata: z.strictObject({
    format: z.literal(storeFormat),
    version: z.literal(1),
    model: z.strictObject({ name, sha256 }),
    /** Version of the engine: another may sum up in another order. */
    code: z.string().max(100),
    /** From the full-precision model, or from one quantized by this method as far as each stage sees. */
    inputs: z.union([
      z.strictObject({ kind: z.literal('full-precision') }),
      z.strictObject({ kind: z.enum(['quantized', 'true-sequential']), method: name, options: z.record(z.string(), z.unknown()) }),
    ]),
    values: z.literal('F32, upper triangle row by row'),
    calibration,
    seed: count,
    text,
    heldOut: text.nullable(),
    /** How products are made on its device: the same is done when its linears are solved, so that they come out the same. */
    device: z.strictObject({
      name,
      sha256,
      gemmKernel: z.string().max(40),
      sweepPanel: z
        .int()
        .min(1)
        .max(2 ** 16),
    }),
    blocks: z
      .int()
      .min(1)
      .max(2 ** 16),
    stages: z.array(stageSchema).max(2 ** 20),
  }),
  weight_map: z.record(z.string(), z.string()),
})

export type StoreMeta = z.infer<typeof schema>['metadata']
export type StoredStage = z.infer<typeof stageSchema>

export const storeAgain = 'Run `calibrate` again with the same arguments: it makes what is missing, and nothing twice.'
const damagedHint = 'Copy the file again, or run `calibrate` again with the same arguments: it makes the stage again.'

/** @param where what errors call the index. @throws {WorkbenchError} `file-header` where it is damaged, or none of a Gram store */
export function readStoreIndex(data: Uint8Array<ArrayBuffer>, where: string): StoreMeta {
  const { value } = parseJson(data, where, { code: 'file-header', hint: storeAgain, unique: true })
  const read = schema.safeParse(value)
  if (read.success) return read.data.metadata
  const [{ path: member, message }] = read.error.issues
  throw new WorkbenchError('file-header', `${where} is no index of a Gram store: ${member.map(String).join('.')}: ${message}.`, storeAgain)
}

/** @param where what errors call the store. @throws {WorkbenchError} `plan-invalid` for another model than the one of this digest */
export function requireModel({ model: { name, sha256 } }: StoreMeta, where: string, digest: string): void {
  if (sha256 === digest) return
  const message = `The Gram store ${where} belongs to ${name} (digest ${sha256.slice(0, 16)}), not to this model (${digest.slice(0, 16)}).`
  throw new WorkbenchError('plan-invalid', message, 'Open the model that it was made from, or calibrate this one.')
}

export const storedStage = ({ stages }: StoreMeta, block: number, stage: number): StoredStage | undefined =>
  stages.find((one) => one.block === block && one.stage === stage)

/** @param where what errors call a file of the store. @throws {WorkbenchError} `file-missing`, `file-truncated`, `file-header` that name the stage */
export async function readStage(
  meta: StoreMeta,
  [block, stage]: readonly [block: number, stage: number],
  open: (file: string) => Promise<Bytes>,
  where: (file: string) => string,
): Promise<HostSums> {
  const what = `Stage ${stage} of block ${block}`
  const entry = storedStage(meta, block, stage)
  if (!entry) throw new WorkbenchError('file-missing', `${what} is not in the Gram store ${where('')}.`, storeAgain)
  const path = where(entry.file)
  const unreadable = (cause: unknown) => {
    throw new WorkbenchError('file-missing', `${what} is missing from the Gram store: ${path} cannot be read.`, damagedHint, { cause })
  }
  const file = await open(entry.file).catch(unreadable)
  const damaged = (why: string) =>
    new WorkbenchError('file-truncated', `${what} of the Gram store is damaged: ${path} ${why}.`, damagedHint)
  if (file.size > storeBytes([entry.width], true) + HEADER) throw damaged(`has ${file.size} bytes, too many`)
  const bytes = new Uint8Array(await file.arrayBuffer().catch(unreadable))
  if ((await digestOf(bytes)) !== entry.sha256) throw damaged('has another digest')
  const { tensors, read } = await openCheckpoint(new Map([['model.safetensors', file]]))
  const values = async (name: string, length: number) => {
    const full = `block.${block}.stage.${stage}.${name}`
    const found = tensors.get(full)
    if (!found) return null
    if (found.dtype !== 'F32' || found.shape.length !== 1 || found.shape[0] !== length)
      throw new WorkbenchError('file-header', `${full} in ${path} is not F32 of the shape [${length}].`, damagedHint)
    return new Float32Array((await read(full)).buffer)
  }
  const { width } = entry
  const triangle = (width * (width + 1)) / 2
  const [gram, heldOut, sizes] = [await values('gram', triangle), await values('held_out', triangle), await values('abs_sum', width)]
  if (!gram) throw damaged('has no Σ')
  return { gram: square(gram, width), heldOut: heldOut && square(heldOut, width), sizes }
}

/** What a store takes on disk, bytes: of stages of these widths. */
export const storeBytes = (widths: readonly number[], heldOut: boolean) =>
  widths.reduce((sum, p) => sum + 4 * ((Number(heldOut) + 1) * ((p * (p + 1)) / 2) + p), 0)

/** The upper triangle of a symmetric `[p, p]`, row by row. */
export function upper(full: Float32Array<ArrayBuffer>, p: number): Float32Array<ArrayBuffer> {
  const packed = new Float32Array((p * (p + 1)) / 2)
  for (let i = 0, at = 0; i < p; at += p - i++) packed.set(full.subarray(i * p + i, (i + 1) * p), at)
  return packed
}

function square(packed: Float32Array<ArrayBuffer>, p: number): Float32Array<ArrayBuffer> {
  const full = new Float32Array(p * p)
  for (let i = 0, at = 0; i < p; at += p - i++) {
    full.set(packed.subarray(at, at + p - i), i * p + i)
    for (let j = i + 1; j < p; j++) full[j * p + i] = packed[at + j - i]
  }
  return full
}
