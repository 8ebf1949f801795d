/**
 * Reads safetensors checkpoints (one file, shards with an index, or loose files) and writes them (one file or shards). A file is an
 * 8-byte little-endian header length, a JSON header, then the tensors' bytes end to end. Headers are untrusted, so every number is
 * checked before it is used.
 */
import { WorkbenchError } from '../errors.ts'
import { type AheadRange, type Bytes, type Files, readRange, type Sink } from './bytes.ts'
import { isObject, parseJson, readJson } from './json.ts'
import { unwritable } from './names.ts'
import { type PartedFile, PartWriter } from './parts.ts'
import { headBytes, insteadOf } from './kinds.ts'
import { links, missingShards, otherWeights } from './wrong.ts'

/** Bits per element. */
export const dtypeBits = {
  F64: 64,
  F32: 32,
  F16: 16,
  BF16: 16,
  F8_E4M3: 8,
  F8_E5M2: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  F6_E3M2: 6,
  F6_E2M3: 6,
  F4: 4,
  C64: 64,
  I64: 64,
  I32: 32,
  I16: 16,
  I8: 8,
  U64: 64,
  U32: 32,
  U16: 16,
  U8: 8,
  BOOL: 8,
} as const

export type Dtype = keyof typeof dtypeBits

export interface TensorSpec {
  name: string
  /** One of `Dtype`, or an unknown type; `bytes` then gives its length. */
  dtype: string
  shape: readonly number[]
  bytes?: number
}

export interface TensorEntry extends TensorSpec {
  bytes: number
  /** The file that holds it. */
  file: string
  /** Where its bytes start in that file. */
  offset: number
}

export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, TensorEntry>
  /** All tensors together. */
  readonly bytes: number
  /** A whole tensor, in its own buffer (so that any typed array can view it). */
  read(name: string): Promise<Uint8Array<ArrayBuffer>>
  /** Bytes `[begin, end)` of a tensor, in their own buffer. */
  readRange(name: string, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>>
  /** Announces which tensors will be read next, in this order, so that remote files can prefetch them. Unknown names are ignored. */
  ahead(names: Iterable<string>): void
}

/** The reference reader's limit; the header of a model with 100,000 tensors takes about 10 MB. */
const maxHeaderBytes = 100_000_000
/** Sufficient, since an index repeats only names. */
const maxIndexBytes = maxHeaderBytes

/** Gaps up to this size between two tensors are read along: that costs far less than another request. */
const spanGap = 4 << 10

const indexName = 'model.safetensors.index.json'
const damaged = 'The file is damaged or not a safetensors file; download or convert it again.'

// ---------------------------------------------------------------- reading

/**
 * Finds the weights in a folder the way transformers does: `model.safetensors`, else the shards that the index names,
 * else every `*.safetensors` at the top.
 */
export async function openCheckpoint(files: Files): Promise<Checkpoint> {
  const { names, located } = await weightFiles(files)
  const tensors = new Map<string, TensorEntry>()
  const headers = await Promise.all(names.map((name) => readHeader(files.get(name) as Bytes, name)))
  for (const [i, name] of names.entries()) {
    for (const entry of headers[i]) {
      const other = tensors.get(entry.name)
      if (other) {
        throw header(`Tensor ${entry.name} is in both ${other.file} and ${name}.`, 'Keep only the files of one checkpoint in this folder.')
      }
      tensors.set(entry.name, entry)
    }
  }
  for (const [name, file] of located) {
    if (tensors.get(name)?.file !== file) {
      throw new WorkbenchError(
        'tensor-missing',
        `${indexName} says that ${name} is in ${file}, but it is not.`,
        'Download the index and its shards again, from the same source.',
      )
    }
  }
  let bytes = 0
  for (const entry of tensors.values()) bytes += entry.bytes
  return {
    tensors,
    bytes,
    read: (name) => read(name, 0, find(name).bytes),
    readRange: read,
    ahead(wanted) {
      const entries = [...wanted].map((name) => tensors.get(name)).filter((entry) => entry !== undefined)
      for (const name of names) files.get(name)!.ahead?.(spans(name, entries))
    },
  }

  function find(name: string): TensorEntry {
    const entry = tensors.get(name)
    if (!entry)
      throw new WorkbenchError(
        'tensor-missing',
        `The checkpoint has no tensor ${name}.`,
        'Check that the folder contains all weight files of this model.',
      )
    return entry
  }
  async function read(name: string, begin: number, end: number) {
    const entry = find(name)
    if (!(begin >= 0 && begin <= end && end <= entry.bytes))
      throw new RangeError(`Bytes ${begin} to ${end} of ${name}, which has ${entry.bytes}`)
    return readRange(files.get(entry.file) as Bytes, entry.offset + begin, entry.offset + end, `${name} in ${entry.file}`)
  }
}

/**
 * The ranges of one file that contain these tensors, in reading order. Two are merged only if the second is read right after the first
 * and follows it in the file; otherwise tensors that are read last might be fetched first.
 */
function spans(name: string, entries: readonly TensorEntry[]): AheadRange[] {
  const ranges: AheadRange[] = []
  for (const [turn, { file, offset, bytes }] of entries.entries()) {
    if (file !== name || !bytes) continue
    const last = ranges.at(-1)
    const follows = entries[turn - 1]?.file === name
    if (last && follows && offset >= last.end && offset - last.end <= spanGap) last.end = offset + bytes
    else ranges.push({ begin: offset, end: offset + bytes, turn })
  }
  return ranges
}

/** Names of the weight files, and the file of each tensor if there is an index. */
async function weightFiles(files: Files): Promise<{ names: string[]; located: Map<string, string> }> {
  if (files.has('model.safetensors')) return { names: ['model.safetensors'], located: new Map() }
  const index = files.get(indexName)
  if (index) {
    const located = await readIndex(index)
    const names = [...new Set(located.values())].sort()
    const missing = names.filter((name) => !files.has(name))
    if (missing.length) {
      const more = missing.length > 1 ? ` and ${missing.length - 1} more` : ''
      throw new WorkbenchError(
        'file-missing',
        `The folder lacks ${missing[0]}${more}, which ${indexName} names.`,
        'Download the missing weight files into the folder.',
      )
    }
    return { names, located }
  }
  const names = [...files.keys()].filter((path) => /^(?!\.|adapter_model\b)[^/]*\.safetensors$/.test(path)).sort()
  const missing = missingShards(names)
  if (missing) throw missing
  if (names.length) return { names, located: new Map() }
  const other = otherWeights(files.keys())
  if (other)
    throw new WorkbenchError(
      'file-missing',
      `The folder has weights as ${other.path} (${other.what}), but none as safetensors.`,
      other.hint,
    )
  throw new WorkbenchError(
    'file-missing',
    'The folder has no weights: no .safetensors file.',
    `Choose the folder that contains model.safetensors or its shards. ${links}`,
  )
}

async function readIndex(file: Bytes): Promise<Map<string, string>> {
  const hint = 'Download the index file again.'
  const { value } = await readJson(file, indexName, { cap: maxIndexBytes, code: 'file-header', hint, unique: true })
  if (!isObject(value.weight_map)) throw header(`${indexName} has no weight_map.`, hint)
  const located = new Map(Object.entries(value.weight_map as Record<string, string>))
  for (const [tensor, name] of located) {
    // Shards are beside their index; a path in a name would be an attempt to read elsewhere.
    if (typeof name !== 'string' || !/^[^/]+\.safetensors$/.test(name) || unwritable(name)) {
      throw header(
        `${indexName} says that ${tensor} is in ${JSON.stringify(name)}, which is not a plain file name of a .safetensors file.`,
        hint,
      )
    }
  }
  if (!located.size) throw header(`${indexName} lists no tensors.`, hint)
  return located
}

/** The tensors of one file, in file order. */
async function readHeader(file: Bytes, fileName: string): Promise<TensorEntry[]> {
  if (file.size < 8) throw truncated(fileName, `it has ${file.size} bytes, and a safetensors file starts with 8`)
  const head = await readRange(file, 0, Math.min(headBytes, file.size), fileName)
  const length = Number(new DataView(head.buffer, head.byteOffset).getBigUint64(0, true))
  const instead = length > Math.min(maxHeaderBytes, file.size - 8) ? insteadOf(head) : null
  if (instead) throw header(`${fileName} is ${instead.what}.`, instead.hint)
  if (length > maxHeaderBytes) throw header(`${fileName} declares a header of ${length} bytes; at most ${maxHeaderBytes} are allowed.`)
  if (length > file.size - 8) throw truncated(fileName, `its header alone takes ${length} bytes, and the whole file has ${file.size}`)
  const { value } = parseJson(await readRange(file, 8, 8 + length, fileName), `The header of ${fileName}`, {
    code: 'file-header',
    hint: damaged,
    unique: true,
  })

  const start = 8 + length
  const entries: TensorEntry[] = []
  for (const [name, record] of Object.entries(value)) {
    if (name === '__metadata__') checkMetadata(record, fileName)
    else entries.push(readEntry(name, record, fileName, start))
  }
  if (!entries.length) throw header(`${fileName} contains no tensors.`)
  entries.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)
  // Like the reference reader, accept only files whose tensors are stored end to end: a gap may mean lost data.
  let at = start
  for (const { name, offset, bytes } of entries) {
    if (offset < at) throw header(`In ${fileName}, tensor ${name} overlaps the one before it.`)
    if (offset > at) throw header(`In ${fileName}, ${offset - at} bytes before tensor ${name} belong to no tensor.`)
    at = offset + bytes
  }
  if (at > file.size) {
    const cut = entries.find(({ offset, bytes }) => offset + bytes > file.size) as TensorEntry
    throw truncated(fileName, `tensor ${cut.name} reaches to byte ${cut.offset + cut.bytes}, and the file has ${file.size}`)
  }
  if (at < file.size) throw header(`${fileName} has ${file.size - at} bytes after its last tensor.`)
  return entries
}

function readEntry(name: string, record: unknown, file: string, start: number): TensorEntry {
  const where = `In ${file}, tensor ${name}`
  if (!isObject(record)) throw header(`${where} has no description.`)
  const { dtype, shape, data_offsets: range } = record
  // Unknown types are accepted here; a tensor with one is refused by name where it is used.
  if (typeof dtype !== 'string' || !/^\w{1,32}$/.test(dtype)) throw header(`${where} has no type, but ${JSON.stringify(dtype)}.`)
  if (!Array.isArray(shape) || !shape.every(isSize)) throw header(`${where} has a shape that is not a list of sizes.`)
  if (!Array.isArray(range) || range.length !== 2 || !range.every(isSize)) throw header(`${where} has no valid data_offsets.`)
  const [begin, end] = range as [number, number]
  const bytes = byteLength({ dtype, shape, bytes: end - begin })
  if (bytes === null) throw header(`${where} has an impossible shape, ${JSON.stringify(shape)}.`)
  if (end - begin !== bytes)
    throw header(`${where} should take ${bytes} bytes by its shape and type, but its data_offsets span ${end - begin}.`)
  if (!isSize(start + end)) throw header(`${where} lies outside the file.`)
  return { name, dtype, shape, bytes, file, offset: start + begin }
}

function checkMetadata(record: unknown, file: string) {
  if (record === null) return
  if (!isObject(record) || !Object.values(record).every((value) => typeof value === 'string')) {
    throw header(`In ${file}, __metadata__ is not an object of texts.`)
  }
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** Size of a tensor in bytes; null when that is not a whole or safe number. */
function byteLength({ dtype, shape, bytes }: Omit<TensorSpec, 'name'>): number | null {
  let elements = 1
  for (const size of shape) {
    elements *= size
    if (!Number.isSafeInteger(elements)) return null
  }
  if (!Object.hasOwn(dtypeBits, dtype)) return bytes !== undefined && bytes >= 0 ? bytes : null
  const bits = elements * dtypeBits[dtype as Dtype]
  return Number.isSafeInteger(bits) && bits % 8 === 0 ? bits / 8 : null
}

function header(message: string, hint = damaged) {
  return new WorkbenchError('file-header', message, hint)
}

function truncated(file: string, why: string) {
  return new WorkbenchError('file-truncated', `${file} is incomplete: ${why}.`, 'Download or copy the file again.')
}

// ---------------------------------------------------------------- writing

/** Largest shard: browsers save each file as one download, and some fail above 2 GB. */
export const defaultShardBytes = 2_000_000_000

interface Shard {
  path: string
  header: Uint8Array<ArrayBuffer>
  /** Header and data. */
  size: number
  tensors: TensorSpec[]
}

export interface CheckpointPlan {
  shards: Shard[]
  /** The index file's text, when there are several shards. */
  index: string | null
  /** All files together. */
  bytes: number
}

/** Assigns tensors to files, in the order given; a tensor larger than a shard gets its own. */
export function planCheckpoint(tensors: Iterable<TensorSpec>, shardBytes = defaultShardBytes): CheckpointPlan {
  const names = new Set<string>()
  const groups: { tensors: TensorSpec[]; bytes: number }[] = []
  for (const tensor of tensors) {
    const bytes = specBytes(tensor)
    if (names.has(tensor.name)) throw new Error(`Tensor ${tensor.name} is planned twice`)
    names.add(tensor.name)
    const last = groups.at(-1)
    if (last && last.bytes + bytes <= shardBytes) {
      last.tensors.push(tensor)
      last.bytes += bytes
    } else groups.push({ tensors: [tensor], bytes })
  }
  if (!groups.length) throw new Error('A checkpoint without tensors')

  const digits = (number: number) => String(number).padStart(5, '0')
  const single = groups.length === 1
  const shards = groups.map(({ tensors, bytes }, i): Shard => {
    const path = single ? 'model.safetensors' : `model-${digits(i + 1)}-of-${digits(groups.length)}.safetensors`
    const header = encodeHeader(tensors)
    return { path, header, size: header.length + bytes, tensors }
  })
  const map = shards.flatMap(({ path, tensors }) => tensors.map(({ name }) => [name, path]))
  const total = groups.reduce((sum, { bytes }) => sum + bytes, 0)
  const index = single ? null : `${JSON.stringify({ metadata: { total_size: total }, weight_map: Object.fromEntries(map) }, null, 2)}\n`
  const indexBytes = index ? new TextEncoder().encode(index).length : 0
  return { shards, index, bytes: shards.reduce((sum, { size }) => sum + size, indexBytes) }
}

/** A whole file of a few tensors, which are all in memory; they lie in it one after the other, as they are given. */
export function packSafetensors(tensors: readonly (readonly [TensorSpec, Uint8Array])[]): Blob {
  return new Blob([encodeHeader(tensors.map(([spec]) => spec)), ...tensors.map(([, bytes]) => bytes as Uint8Array<ArrayBuffer>)])
}

/** Header length and header, padded with spaces so that the data starts at a multiple of 8. */
function encodeHeader(tensors: TensorSpec[]): Uint8Array<ArrayBuffer> {
  let at = 0
  const records: [string, unknown][] = tensors.map((tensor) => {
    const begin = at
    at += specBytes(tensor)
    return [tensor.name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [begin, at] }]
  })
  // transformers refuses a file whose metadata does not name a framework.
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries([['__metadata__', { format: 'pt' }], ...records])))
  const result = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20)
  new DataView(result.buffer).setBigUint64(0, BigInt(result.length - 8), true)
  result.set(json, 8)
  return result
}

function specBytes(tensor: TensorSpec): number {
  const bytes = byteLength(tensor)
  if (bytes === null) throw new Error(`Tensor ${tensor.name} has an impossible shape [${tensor.shape}]`)
  return bytes
}

/** Writes a checkpoint whose tensors are all known up front, in any order and in pieces. */
export class CheckpointWriter extends PartWriter {
  readonly plan: CheckpointPlan

  constructor(sink: Sink, tensors: Iterable<TensorSpec>, options: { shardBytes?: number } = {}) {
    const plan = planCheckpoint(tensors, options.shardBytes)
    super(sink, plan.shards.map(partsOf))
    this.plan = plan
  }

  /** Closes the checkpoint and returns what was written. Throws when a tensor is incomplete. */
  override async finish(): Promise<{ path: string; bytes: number }[]> {
    await this.complete()
    if (this.plan.index) await this.writeFile(indexName, new Blob([this.plan.index]))
    return super.finish()
  }
}

function partsOf({ path, header, size, tensors }: Shard): PartedFile {
  let at = header.length
  const parts = tensors.map((tensor) => {
    const bytes = specBytes(tensor)
    at += bytes
    return { name: tensor.name, offset: at - bytes, bytes }
  })
  return { path, head: header, size, parts }
}
