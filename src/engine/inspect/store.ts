/** A Gram store beside the open model: its linears can be solved by any method, one by one, without a pass over a text. */
import { WorkbenchError } from '../../errors.ts'
import type { Files } from '../../io/bytes.ts'
import { type HostSums, mostOfIndex, readStage, readStoreIndex, requireModel, storeIndex, type StoreMeta } from '../../io/gram-store.ts'
import type { KeptStage } from '../grams.ts'
import { modelDigest } from '../keep/fingerprint.ts'
import type { Session } from '../session.ts'

/** What a store says of itself. */
export interface StoreSummary {
  name: string
  inputs: StoreMeta['inputs']
  calibration: StoreMeta['calibration']
  /** Name and tokens of its text, and of the held-out windows. */
  text: { name: string; tokens: number }
  heldOut: { tokens: number } | null
  /** Blocks that it covers. */
  blocks: number
  bytes: number
  stages: { block: number; stage: number; linears: string[]; width: number }[]
}

export class OpenedStore {
  #last: { key: string; stage: Promise<KeptStage> } | null = null

  private constructor(
    readonly summary: StoreSummary,
    readonly meta: StoreMeta,
    readonly files: Files,
    readonly model: Session['model'],
  ) {}

  /**
   * Reads the index alone. @param name of the folder
   * @throws {WorkbenchError} `file-missing` without an index, `file-header` for a damaged one, `plan-invalid` for another model's
   */
  static async open(session: Session, files: Files, name: string): Promise<OpenedStore> {
    const index = files.get(storeIndex)
    if (!index) throw new WorkbenchError('file-missing', `There is no Gram store in ${name}.`, '`calibrate --save-gram STORE` makes one.')
    if (index.size > mostOfIndex)
      throw new WorkbenchError('file-truncated', `${storeIndex} has ${index.size} bytes, too many for an index.`)
    const meta = readStoreIndex(new Uint8Array(await index.arrayBuffer()), storeIndex)
    const { model } = session
    requireModel(meta, name, await modelDigest(model, session.source))
    const { inputs, calibration, text, heldOut, blocks } = meta
    const stages = meta.stages.map(({ block, stage, linears, width }) => ({ block, stage, linears, width }))
    const bytes = meta.stages.reduce((sum, { file }) => sum + (files.get(file)?.size ?? 0), 0)
    return new OpenedStore({ name, inputs, calibration, text, heldOut, blocks, bytes, stages }, meta, files, model)
  }

  /** The sums over the inputs of a linear, by its full name. @throws {WorkbenchError} as `readStage`; `file-missing` where no stage has it */
  stageOf(linear: string): Promise<KeptStage> {
    const { name, stages } = this.summary
    const found = stages.find(({ linears }) => linears.includes(linear))
    if (!found)
      throw new WorkbenchError('file-missing', `${linear} is not in the Gram store ${name}.`, 'Calibrate again: it adds what is missing.')
    const key = `${found.block} ${found.stage}`
    // Linears of a stage follow each other, and so do settings.
    if (this.#last?.key !== key) this.#last = { key, stage: this.#read(found) }
    const { stage } = this.#last
    stage.catch(() => {
      this.#last = null
    })
    return stage
  }

  async #read({ block, stage, linears, width }: StoreSummary['stages'][0]): Promise<KeptStage> {
    const { name } = this.summary
    const open = async (file: string) => {
      const bytes = this.files.get(file)
      if (bytes) return bytes
      throw new Error(`${file} was not among the files.`)
    }
    const { gram, heldOut }: HostSums = await readStage(this.meta, [block, stage], open, (file) => (file ? `${name}/${file}` : name))
    const sums = (values: HostSums['gram']) => ({ gram: values, cross: null, drift: null })
    const fullInputs = this.meta.inputs.kind === 'full-precision'
    return { opened: this.model, linears, p: width, fullInputs, seen: sums(gram), heldOut: heldOut && sums(heldOut) }
  }
}
