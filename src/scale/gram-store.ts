/**
 * Gram matrices as files. For every stage of every block a safetensors file with Σ, `[p (p + 1) / 2]` f32, the upper triangle row by row;
 * the same over held-out windows; and Σ |x_j|, `[p]`. An index tells model, text, inputs and device, names each tensor's file, and has the
 * digest of each file. A stage is in the index once its file is whole.
 */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { WorkbenchError } from '../errors.ts'
import { diskFile } from '../engine/hosts/disk.ts'
import type { Options, UsedText } from '../engine/job.ts'
import { FULL, USUAL } from '../engine/run-options.ts'
import type { HostSums } from '../engine/run/elsewhere.ts'
import { parseJson } from '../io/json.ts'
import { openCheckpoint, packSafetensors } from '../io/safetensors.ts'
import { z } from '../io/zod.ts'
import { readSmall, writeJson, writeWhole } from './files.ts'
import { canonical } from './job.ts'

export const storeIndex = 'gram.safetensors.index.json'
const storeFormat = 'quantease-gram-store'
const most = { index: 64 * 2 ** 20, width: 2 ** 17 }

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
  width: z.int().min(1).max(most.width),
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
      gemmKernel: z.enum(['direct', 'tiled']),
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

const again = 'Run `calibrate` again with the same arguments: it makes what is missing, and nothing twice.'

export class GramStore {
  private constructor(
    readonly path: string,
    readonly meta: StoreMeta,
  ) {}

  /** @throws {WorkbenchError} `file-missing` where there is none; `file-header` where the index is damaged */
  static async open(path: string): Promise<GramStore> {
    const index = join(path, storeIndex)
    const data = await readSmall(index, most.index)
    if (!data) throw new WorkbenchError('file-missing', `There is no Gram store in ${path}.`, '`calibrate --save-gram STORE` makes one.')
    const { value } = parseJson(data, index, { code: 'file-header', hint: again, unique: true })
    const read = schema.safeParse(value)
    if (read.success) return new GramStore(path, read.data.metadata)
    const [{ path: member, message }] = read.error.issues
    throw new WorkbenchError('file-header', `${index} is no index of a Gram store: ${member.map(String).join('.')}: ${message}.`, again)
  }

  /** A new store, or the one that is there for the same model, text and inputs. @throws {WorkbenchError} `plan-invalid` for another one */
  static async begin(path: string, meta: Omit<StoreMeta, 'format' | 'version' | 'values' | 'stages'>): Promise<GramStore> {
    const fresh: StoreMeta = { format: storeFormat, version: 1, values: 'F32, upper triangle row by row', ...meta, stages: [] }
    if (!(await stat(join(path, storeIndex)).catch(() => null))) {
      const store = new GramStore(path, fresh)
      await store.#writeIndex()
      return store
    }
    const store = await GramStore.open(path)
    // What a device measured of itself may come out otherwise the next time: what it began with counts.
    const comparable = ({ device, stages: _, ...rest }: StoreMeta) => ({ ...rest, device: device.sha256 })
    const [there, asked] = [comparable(store.meta), comparable(fresh)] as Record<string, unknown>[]
    const differing = Object.keys(asked).filter((key) => canonical(there[key]) !== canonical(asked[key]))
    if (!differing.length) return store
    const hint = 'Give another folder, or what this one was begun with.'
    throw new WorkbenchError('plan-invalid', `${path} is a Gram store of something else: ${differing.join(', ')} differ.`, hint)
  }

  /** @throws {WorkbenchError} `plan-invalid` for another model */
  requireModel(digest: string): void {
    const { name, sha256 } = this.meta.model
    if (sha256 === digest) return
    const message = `The Gram store ${this.path} belongs to ${name} (digest ${sha256.slice(0, 16)}), not to this model (${digest.slice(0, 16)}).`
    throw new WorkbenchError('plan-invalid', message, 'Open the model that it was made from, or calibrate this one.')
  }

  stage(block: number, stage: number): StoredStage | undefined {
    return this.meta.stages.find((one) => one.block === block && one.stage === stage)
  }

  async write(at: Pick<StoredStage, 'block' | 'stage' | 'linears'>, { gram, heldOut, sizes }: HostSums): Promise<void> {
    const width = Math.round(Math.sqrt(gram.length))
    const label = `block.${at.block}.stage.${at.stage}`
    const tensor = (name: string, values: Float32Array<ArrayBuffer>) =>
      [
        { name: `${label}.${name}`, dtype: 'F32', shape: [values.length] },
        new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
      ] as const
    const tensors = [
      tensor('gram', upper(gram, width)),
      ...(heldOut ? [tensor('held_out', upper(heldOut, width))] : []),
      ...(sizes ? [tensor('abs_sum', sizes)] : []),
    ]
    const bytes = new Uint8Array(await packSafetensors(tensors).arrayBuffer())
    const file = `block-${at.block}-stage-${at.stage}.safetensors`
    await writeWhole(join(this.path, file), bytes)
    const others = this.meta.stages.filter((one) => one.block !== at.block || one.stage !== at.stage)
    const entry = { ...at, width, file, sha256: createHash('sha256').update(bytes).digest('hex') }
    this.meta.stages = [...others, entry].sort((a, b) => a.block - b.block || a.stage - b.stage)
    await this.#writeIndex()
  }

  /** @throws {WorkbenchError} `file-missing`, `file-truncated` that name the stage */
  async read(block: number, stage: number): Promise<HostSums> {
    const what = `Stage ${stage} of block ${block}`
    const entry = this.stage(block, stage)
    if (!entry) throw new WorkbenchError('file-missing', `${what} is not in the Gram store ${this.path}.`, again)
    const path = join(this.path, entry.file)
    const bytes = await readFile(path).catch((cause) => {
      throw new WorkbenchError('file-missing', `${what} is missing from the Gram store: ${path} cannot be read.`, damagedHint, { cause })
    })
    if (createHash('sha256').update(bytes).digest('hex') !== entry.sha256)
      throw new WorkbenchError('file-truncated', `${what} of the Gram store is damaged: ${path} has another digest.`, damagedHint)
    const { tensors, read } = await openCheckpoint(new Map([['model.safetensors', await diskFile(path)]]))
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
    if (!gram) throw new WorkbenchError('file-truncated', `${what} of the Gram store has no Σ: ${path}.`, damagedHint)
    return { gram: square(gram, width), heldOut: heldOut && square(heldOut, width), sizes }
  }

  /** Forgets a stage, whose file is missing or damaged. */
  async forget(block: number, stage: number): Promise<void> {
    this.meta.stages = this.meta.stages.filter((one) => one.block !== block || one.stage !== stage)
    await this.#writeIndex()
  }

  /** Whether a stage is there and as it was written. */
  async holds(block: number, stage: number): Promise<boolean> {
    const entry = this.stage(block, stage)
    const bytes = entry && (await readFile(join(this.path, entry.file)).catch(() => null))
    return bytes ? createHash('sha256').update(bytes).digest('hex') === entry!.sha256 : false
  }

  #writeIndex(): Promise<void> {
    const { stages, inputs } = this.meta
    const map = stages.flatMap(({ block, stage, file }) => {
      const names = ['gram', ...(this.meta.heldOut ? ['held_out'] : []), ...(inputs.kind === 'true-sequential' ? [] : ['abs_sum'])]
      return names.map((one) => [`block.${block}.stage.${stage}.${one}`, file])
    })
    return writeJson(join(this.path, storeIndex), { metadata: this.meta, weight_map: Object.fromEntries(map) })
  }
}

const damagedHint = `Copy the file again, or run \`calibrate\` again with the same arguments: it makes the stage again.`

/** What a store takes on disk, bytes: of stages of these widths. */
export const storeBytes = (widths: readonly number[], heldOut: boolean) =>
  widths.reduce((sum, p) => sum + 4 * ((Number(heldOut) + 1) * ((p * (p + 1)) / 2) + p), 0)

/** The upper triangle of a symmetric `[p, p]`, row by row. */
function upper(full: Float32Array<ArrayBuffer>, p: number): Float32Array<ArrayBuffer> {
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

export const usedText = ({ name, tokensSha256, tokens }: UsedText) => ({ name, tokensSha256, tokens })

/**
 * Options of a run over a store, which has what the linears of the blocks see: embedding and head stay in full precision, also where the
 * type of the run would give them one.
 * @throws {WorkbenchError} `plan-invalid` where they are to be rounded
 */
export function withWholeEnds(options: Options): Options {
  const asked = [options.embeddingType, options.headType].find((type) => type !== undefined && type !== USUAL && type !== FULL)
  if (asked !== undefined)
    throw new WorkbenchError(
      'plan-invalid',
      'A Gram store has the inputs of the linears of the blocks only, so embedding and head stay in full precision.',
      'Leave --embedding-type and --head-type out, or quantize on one machine.',
    )
  return options.kind === undefined || options.kind === 'uniform' ? options : { ...options, embeddingType: FULL, headType: FULL }
}
