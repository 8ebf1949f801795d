/** Linears, or slices of their rows, that workers have solved by a Gram store: a file each, whole or not there. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { WorkbenchError } from '../errors.ts'
import type { SolvedElsewhere } from '../engine/host.ts'
import type { LayerResult } from '../engine/job/result.ts'
import type { Options } from '../options.ts'
import { Log } from '../engine/keep/log.ts'
import { SolvedBlocks, type Vectors } from '../engine/keep/solved.ts'
import type { Bases } from '../engine/run/elsewhere.ts'
import { memoryStore } from '../io/memory.ts'
import type { SolvedLinear } from '../quant/linear.ts'
import { readSmall, writeWhole } from './files.ts'

/** Bytes of one solved linear at most. */
const most = 2 ** 33

export type Rows = [from: number, to: number]

/** What a file holds beside the linear itself. */
interface Slice extends SolvedElsewhere {
  rows: Rows | null
  bases: Bases | null
}

/** Options that say nothing of how a linear is solved. */
const outside = ['blocks', 'groupIndex', 'trueSequential', 'fullInputs']

/** Linears solved by one method with one set of options. */
export class SolvedFolder {
  readonly path: string

  constructor(store: string, method: string, options: Options) {
    const own = Object.entries(options)
      .filter(([key]) => !outside.includes(key))
      .sort(([a], [b]) => (a < b ? -1 : 1))
    const key = createHash('sha256')
      .update(JSON.stringify([method, own]))
      .digest('hex')
      .slice(0, 12)
    this.path = join(store, 'solved', `${method}-${key}`)
  }

  has(name: string, rows: Rows | null): boolean {
    return existsSync(this.#file(name, rows))
  }

  async write({ layer, stored }: SolvedElsewhere, rows: Rows | null, bases: Bases | null): Promise<void> {
    const { codes, grid, groupIndex, outliers, ...rest } = stored
    const value = { layer, stored: rest, rows, bases }
    await this.#put(this.#file(layer.name, rows), `linear:${layer.name}`, value, { codes, grid, groupIndex, ...outliers })
  }

  async writeVectors(k: number, vectors: Vectors): Promise<void> {
    await this.#put(join(this.path, `vectors-${k}.qej`), `vectors:${k}`, null, Object.fromEntries(vectors))
  }

  /** Those of these linears that are solved whole, or in slices that are all there. @throws {WorkbenchError} `file-truncated` */
  async solved(names: readonly string[], rowsOf: (name: string) => number): Promise<Map<string, SolvedElsewhere>> {
    const files = new Set(await readdir(this.path).catch(() => [] as string[]))
    const found = new Map<string, SolvedElsewhere>()
    for (const name of names) {
      if (files.has(`${name}.qej`)) {
        found.set(name, await this.#read(name, `${name}.qej`))
        continue
      }
      const ranges = [...files].flatMap((file) => {
        const [, from, to] = file.startsWith(`${name}.`) ? (/^(\d+)-(\d+)\.qej$/.exec(file.slice(name.length + 1)) ?? []) : []
        return from === undefined ? [] : [{ file, from: Number(from), to: Number(to) }]
      })
      const chain = covering(ranges, rowsOf(name))
      if (chain) found.set(name, joined(await Promise.all(chain.map(({ file }) => this.#read(name, file)))))
    }
    return found
  }

  async vectors(k: number): Promise<Vectors | null> {
    const path = join(this.path, `vectors-${k}.qej`)
    const log = await this.#open(path)
    return log && new SolvedBlocks(log).vectors(k)
  }

  #file(name: string, rows: Rows | null): string {
    return join(this.path, rows ? `${name}.${rows[0]}-${rows[1]}.qej` : `${name}.qej`)
  }

  async #put(path: string, ...record: Parameters<Log['put']>): Promise<void> {
    const store = memoryStore()
    const log = await Log.open(store, 'solved')
    await log.put(...record)
    await log.close()
    await writeWhole(path, store.files.get('solved')!)
  }

  async #open(path: string): Promise<Log | null> {
    const bytes = await readSmall(path, most)
    return bytes && Log.open(memoryStore(new Map([['solved', bytes]])), 'solved')
  }

  async #read(name: string, file: string): Promise<Slice> {
    const path = join(this.path, file)
    const log = await this.#open(path)
    const kept = log && (await new SolvedBlocks(log).linears([name])).get(name)
    if (!kept) throw new WorkbenchError('file-truncated', `${path} is damaged.`, 'Remove it and solve the linear again.')
    const { rows = null, bases = null } = log.get<Partial<Slice>>(`linear:${name}`)!
    return { ...kept, rows, bases }
  }
}

/** Ranges that follow each other from the first row to the last; null where some are missing. */
function covering<Range extends { from: number; to: number }>(ranges: Range[], all: number): Range[] | null {
  const chain: Range[] = []
  for (let at = 0; at < all; at = chain.at(-1)!.to) {
    // Slices may have been cut in several ways: the longest first.
    const next = ranges.filter(({ from, to }) => from === at && to > at && to <= all).sort((a, b) => b.to - a.to)[0]
    if (!next) return null
    chain.push(next)
  }
  return chain
}

/** Slices, one after the other, as one linear. */
function joined(slices: Slice[]): SolvedElsewhere {
  const [{ stored: first }] = slices
  const { p, groups, bits } = first
  const q = slices.reduce((sum, { stored }) => sum + stored.q, 0)
  const words = Math.ceil((p * bits) / 32)
  const stored: SolvedLinear = { ...first, q, codes: new Uint32Array(words * q), grid: new Float32Array(groups * q * 2), outliers: null }
  const at: number[] = []
  const values: number[] = []
  let from = 0
  for (const { stored: part, layer } of slices) {
    const same =
      part.p === p && part.groups === groups && part.bits === bits && part.groupIndex.every((group, i) => group === first.groupIndex[i])
    if (!same)
      throw new WorkbenchError('file-truncated', `The slices of ${layer.name} do not belong together.`, 'Remove them and solve it again.')
    for (let r = 0; r < words; r++) stored.codes.set(part.codes.subarray(r * part.q, (r + 1) * part.q), r * q + from)
    for (let g = 0; g < groups; g++) stored.grid.set(part.grid.subarray(2 * g * part.q, 2 * (g + 1) * part.q), 2 * (g * q + from))
    part.outliers?.at.forEach((position, i) => {
      at.push(Math.floor(position / part.q) * q + from + (position % part.q))
      values.push(part.outliers!.values[i])
    })
    from += part.q
  }
  if (at.length) stored.outliers = inOrder(at, values)
  return { stored, layer: together(slices, q, at.length > 0) }
}

function inOrder(at: number[], values: number[]): NonNullable<SolvedLinear['outliers']> {
  const order = at.map((_, i) => i).sort((a, b) => at[a] - at[b])
  return { at: Uint32Array.from(order, (i) => at[i]), values: Float32Array.from(order, (i) => values[i]) }
}

/** Figures of a linear from those of its slices. */
function together(slices: Slice[], q: number, outliers: boolean): LayerResult {
  const layers = slices.map(({ layer }) => layer)
  const share = (of: 'all' | 'heldOut', value: (layer: LayerResult) => number) => {
    const whole = slices.reduce((sum, { bases }) => sum + (bases?.[of] ?? 0), 0)
    return whole > 0 ? slices.reduce((sum, { bases, layer }) => sum + (bases?.[of] ?? 0) * value(layer), 0) / whole : 0
  }
  const { objective: _, ...first } = layers[0]
  const sum = (of: (layer: LayerResult) => number) => layers.reduce((all, layer) => all + of(layer), 0)
  const note = `Solved in ${slices.length} slices of rows: outliers were chosen in each slice separately.`
  return {
    ...first,
    shape: [q, first.shape[1]],
    relativeError: share('all', ({ relativeError }) => relativeError),
    ...(layers.every(({ heldOutError }) => heldOutError !== undefined) && {
      heldOutError: share('heldOut', (layer) => layer.heldOutError!),
    }),
    seconds: sum(({ seconds }) => seconds),
    iterations: Math.max(...layers.map(({ iterations }) => iterations)),
    bits: {
      codes: sum(({ bits }) => bits.codes),
      scales: sum(({ bits }) => bits.scales),
      zeros: sum(({ bits }) => bits.zeros),
      groupIndex: first.bits.groupIndex,
      outliers: sum(({ bits }) => bits.outliers),
    },
    notes: [...new Set([...layers.flatMap(({ notes }) => notes), ...(outliers ? [note] : [])])],
  }
}
