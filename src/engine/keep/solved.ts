/** What the journal has of a run's blocks: solved linears, and vectors that a transform changed. */
import { WorkbenchError } from '../../errors.ts'
import type { Store } from '../../io/bytes.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import type { EndResult, LayerResult } from '../job/result.ts'
import { Log } from './log.ts'

/** A linear solved before an interruption, or kept. */
export interface KeptLinear {
  layer: LayerResult
  stored: SolvedLinear
}

/** The same of an embedding or head. */
export interface KeptEnd {
  end: EndResult
  stored: SolvedLinear
}

export type Vectors = Map<string, Uint8Array<ArrayBuffer>>

export class SolvedBlocks {
  constructor(readonly log: Log) {}

  /** Those of run `i` of the job in the journal. @throws WorkbenchError `journal-mismatch` when they were not kept */
  static async open(store: Store, i: number): Promise<SolvedBlocks> {
    const name = `run-${i}`
    if ((await store.list()).includes(name)) return new SolvedBlocks(await Log.open(store, name))
    throw new WorkbenchError('journal-mismatch', 'What this run solved was not kept.', 'Run it again, and have what it solves kept.')
  }

  /** Those of `names` that can be read. */
  async linears(names: string[]): Promise<Map<string, KeptLinear>> {
    const found = new Map<string, KeptLinear>()
    for (const name of names) {
      const value = this.log.get<{ layer: LayerResult; stored: SolvedLinear }>(`linear:${name}`)
      const arrays = value && (await this.log.arrays(`linear:${name}`))
      if (!value || !arrays) continue
      const { codes, grid, groupIndex, at, values } = arrays as { [name: string]: never }
      found.set(name, { layer: value.layer, stored: { ...value.stored, codes, grid, groupIndex, outliers: at && { at, values } } })
    }
    return found
  }

  /** Embedding and head, by module path, where they were rounded and can be read. */
  async ends(): Promise<Map<string, KeptEnd>> {
    const found = new Map<string, KeptEnd>()
    for (const key of this.log.keys()) {
      if (!key.startsWith('end:')) continue
      const value = this.log.get<KeptEnd>(key)
      const arrays = value && (await this.log.arrays(key))
      if (value && arrays) found.set(value.end.name, { end: value.end, stored: { ...value.stored, ...(arrays as object), outliers: null } })
    }
    return found
  }

  /** Vectors of block k that a transform changed, by full name; null when it was not there yet. */
  async vectors(k: number): Promise<Vectors | null> {
    const arrays = await this.log.arrays(`vectors:${k}`)
    return arrays && (new Map(Object.entries(arrays)) as Vectors)
  }
}
