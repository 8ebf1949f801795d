/** Writes Gram matrices as files (`io/gram-store.ts` has the format): a stage is in the index once its file is whole. */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { WorkbenchError } from '../errors.ts'
import { diskFile } from '../engine/hosts/disk.ts'
import type { UsedText } from '../engine/job/texts.ts'
import type { Options } from '../options.ts'
import { FULL, USUAL } from '../engine/run-options.ts'
import {
  type HostSums,
  mostOfIndex,
  readStage,
  readStoreIndex,
  requireModel,
  type StoredStage,
  storedStage,
  storeFormat,
  storeIndex,
  type StoreMeta,
  upper,
} from '../io/gram-store.ts'
import { packSafetensors } from '../io/safetensors.ts'
import { readSmall, writeJson, writeWhole } from './files.ts'
import { canonical } from './job.ts'

export class GramStore {
  private constructor(
    readonly path: string,
    readonly meta: StoreMeta,
  ) {}

  /** @throws {WorkbenchError} `file-missing` where there is none; `file-header` where the index is damaged */
  static async open(path: string): Promise<GramStore> {
    const index = join(path, storeIndex)
    const data = await readSmall(index, mostOfIndex)
    if (!data) throw new WorkbenchError('file-missing', `There is no Gram store in ${path}.`, '`calibrate --save-gram STORE` makes one.')
    return new GramStore(path, readStoreIndex(data, index))
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
    requireModel(this.meta, this.path, digest)
  }

  stage(block: number, stage: number): StoredStage | undefined {
    return storedStage(this.meta, block, stage)
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
  read(block: number, stage: number): Promise<HostSums> {
    const place = (file: string) => join(this.path, file)
    return readStage(this.meta, [block, stage], (file) => diskFile(place(file)), place)
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
