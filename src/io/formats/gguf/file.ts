/**
 * The file itself, GGUF version 3 (ggml, docs/gguf.md): "GGUF", version, counts, metadata as keys with typed values, a table of
 * tensors (extents from the innermost on, type, offset), and from a multiple of 32 on the tensors, each at a multiple of 32.
 * All numbers are little-endian.
 */
import { type Bytes, readRange } from '../../bytes.ts'
import type { PartedFile } from '../../parts.ts'
import type { TensorSpec } from '../../safetensors.ts'

/** What lies where starts at multiples of this, unless the metadata says otherwise. */
export const ALIGNMENT = 32

/** Types of tensors by their number in the file, with what a block of them takes. */
export const tensorTypes = {
  F32: { id: 0, length: 1, bytes: 4 },
  F16: { id: 1, length: 1, bytes: 2 },
  Q4_0: { id: 2, length: 32, bytes: 18 },
  Q4_1: { id: 3, length: 32, bytes: 20 },
  Q5_0: { id: 6, length: 32, bytes: 22 },
  Q5_1: { id: 7, length: 32, bytes: 24 },
  Q8_0: { id: 8, length: 32, bytes: 34 },
  Q2_K: { id: 10, length: 256, bytes: 84 },
  Q3_K: { id: 11, length: 256, bytes: 110 },
  Q4_K: { id: 12, length: 256, bytes: 144 },
  Q5_K: { id: 13, length: 256, bytes: 176 },
  Q6_K: { id: 14, length: 256, bytes: 210 },
  IQ4_NL: { id: 20, length: 32, bytes: 18 },
  MXFP4: { id: 39, length: 32, bytes: 17 },
  NVFP4: { id: 40, length: 64, bytes: 36 },
  BF16: { id: 30, length: 1, bytes: 2 },
} as const
export type TensorType = keyof typeof tensorTypes

/** `shape` as in PyTorch, the innermost extent last. */
export interface GgufTensor extends TensorSpec {
  dtype: TensorType
  bytes: number
}

/** @throws {Error} for rows that are no whole blocks */
export function ggufTensor(name: string, dtype: TensorType, shape: readonly number[]): GgufTensor {
  const { length, bytes } = tensorTypes[dtype]
  const blocks = shape.reduce((a, b) => a * b, 1) / length
  if (shape.at(-1)! % length) throw new Error(`Rows of ${shape.at(-1)} in ${name} are no whole blocks of ${dtype}`)
  return { name, dtype, shape, bytes: blocks * bytes }
}

/** Types of values by their number in the file. */
const valueTypes = { u16: 2, u32: 4, i32: 5, f32: 6, bool: 7, text: 8, list: 9 } as const
type Scalar = Exclude<keyof typeof valueTypes, 'list'>

export type MetaValue =
  | { type: Scalar; value: number | boolean | string }
  | { type: 'list'; of: Scalar; value: readonly (number | string)[] }

/** Metadata as it stands in a file: a vocabulary takes a tenth of what its texts would. */
export interface EncodedMetadata {
  keys: number
  bytes: Uint8Array
}

// ---------------------------------------------------------------- writing

class Writer {
  #bytes = new Uint8Array(1 << 16)
  #view = new DataView(this.#bytes.buffer)
  #at = 0
  readonly #encoder = new TextEncoder()

  #room(bytes: number): number {
    if (this.#at + bytes > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#at + bytes))
      larger.set(this.#bytes.subarray(0, this.#at))
      this.#bytes = larger
      this.#view = new DataView(larger.buffer)
    }
    const at = this.#at
    this.#at += bytes
    return at
  }

  u32(value: number): void {
    const at = this.#room(4)
    this.#view.setUint32(at, value, true)
  }

  u64(value: number): void {
    const at = this.#room(8)
    this.#view.setBigUint64(at, BigInt(value), true)
  }

  text(value: string): void {
    const bytes = this.#encoder.encode(value)
    this.u64(bytes.length)
    const at = this.#room(bytes.length)
    this.#bytes.set(bytes, at)
  }

  scalar(type: Scalar, value: number | boolean | string): void {
    if (type === 'text') this.text(value as string)
    else if (type === 'bool') {
      const at = this.#room(1)
      this.#view.setUint8(at, Number(value))
    } else if (type === 'u16') {
      const at = this.#room(2)
      this.#view.setUint16(at, value as number, true)
    } else if (type === 'f32') {
      const at = this.#room(4)
      this.#view.setFloat32(at, value as number, true)
    } else this.u32((value as number) >>> 0)
  }

  value(value: MetaValue): void {
    this.u32(valueTypes[value.type])
    if (value.type === 'list') {
      this.u32(valueTypes[value.of])
      this.u64(value.value.length)
      for (const one of value.value) this.scalar(value.of, one)
    } else this.scalar(value.type, value.value)
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#room(bytes.length)
    this.#bytes.set(bytes, at)
  }

  /** All of it, up to a multiple of `alignment`. */
  finish(alignment = 1): Uint8Array<ArrayBuffer> {
    const end = Math.ceil(this.#at / alignment) * alignment
    this.#room(end - this.#at)
    return this.#bytes.slice(0, end)
  }
}

export function encodeMetadata(entries: Iterable<readonly [string, MetaValue]>): EncodedMetadata {
  const out = new Writer()
  let keys = 0
  for (const [key, value] of entries) {
    out.text(key)
    out.value(value)
    keys++
  }
  return { keys, bytes: out.finish() }
}

function encodeHeader(metadata: readonly EncodedMetadata[], tensors: readonly GgufTensor[]): Uint8Array<ArrayBuffer> {
  const out = new Writer()
  out.u32(0x46554747)
  out.u32(3)
  out.u64(tensors.length)
  out.u64(metadata.reduce((sum, { keys }) => sum + keys, 0))
  for (const { bytes } of metadata) out.bytes(bytes)
  let offset = 0
  for (const { name, dtype, shape, bytes } of tensors) {
    out.text(name)
    out.u32(shape.length)
    for (const extent of shape.toReversed()) out.u64(extent)
    out.u32(tensorTypes[dtype].id)
    out.u64(offset)
    offset += aligned(bytes)
  }
  return out.finish(ALIGNMENT)
}

const aligned = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT

/** Largest file: what browsers save as one download, and what one file of wllama may have. */
export const defaultFileBytes = 2_000_000_000

/**
 * One file, or as many as it takes, named as llama.cpp looks for them; a tensor larger than a file gets one of its own. The
 * first holds all metadata.
 */
export function planFiles(
  stem: string,
  metadata: readonly EncodedMetadata[],
  tensors: readonly GgufTensor[],
  fileBytes = defaultFileBytes,
): PartedFile[] {
  const groups: GgufTensor[][] = [[]]
  let bytes = encodeHeader(metadata, tensors).length
  for (const tensor of tensors) {
    if (bytes + tensor.bytes > fileBytes && groups.at(-1)!.length) {
      groups.push([])
      bytes = 0
    }
    groups.at(-1)!.push(tensor)
    bytes += aligned(tensor.bytes)
  }
  const count = groups.length
  return groups.map((own, i) => {
    const split = encodeMetadata([
      ['split.no', { type: 'u16', value: i }],
      ['split.count', { type: 'u16', value: count }],
      ['split.tensors.count', { type: 'i32', value: tensors.length }],
    ])
    const digits = (number: number) => String(number).padStart(5, '0')
    const path = count === 1 ? `${stem}.gguf` : `${stem}-${digits(i + 1)}-of-${digits(count)}.gguf`
    const head = encodeHeader([...(i ? [] : metadata), ...(count > 1 ? [split] : [])], own)
    let size = head.length
    const parts = own.map(({ name, bytes }) => {
      const offset = size
      size += aligned(bytes)
      return { name, offset, bytes }
    })
    return { path, size, head, parts }
  })
}

// ---------------------------------------------------------------- reading

/** Where the bytes of a tensor lie, as the file says. */
export interface StoredTensor {
  type: number
  /** Innermost extent last. */
  shape: number[]
  offset: number
}

export interface StoredFile {
  metadata: Map<string, unknown>
  tensors: Map<string, StoredTensor>
}

/** More was wanted than had been read. */
class Short extends Error {}

class Reader {
  at = 0
  readonly #view: DataView
  readonly #decoder = new TextDecoder('utf-8', { fatal: true })

  constructor(readonly bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  #take(bytes: number): number {
    if (this.at + bytes > this.bytes.length) throw new Short()
    this.at += bytes
    return this.at - bytes
  }

  u32 = () => this.#view.getUint32(this.#take(4), true)
  u64 = () => Number(this.#view.getBigUint64(this.#take(8), true))

  text(): string {
    const length = this.u64()
    const at = this.#take(length)
    return this.#decoder.decode(this.bytes.subarray(at, at + length))
  }

  value(type = this.u32()): unknown {
    switch (type) {
      case valueTypes.u16:
        return this.#view.getUint16(this.#take(2), true)
      case valueTypes.u32:
        return this.u32()
      case valueTypes.i32:
        return this.#view.getInt32(this.#take(4), true)
      case valueTypes.f32:
        return this.#view.getFloat32(this.#take(4), true)
      case valueTypes.bool:
        return this.#view.getUint8(this.#take(1)) !== 0
      case valueTypes.text:
        return this.text()
      case valueTypes.list: {
        const of = this.u32()
        const count = this.u64()
        const list: unknown[] = []
        for (let i = 0; i < count; i++) list.push(this.value(of))
        return list
      }
      default:
        throw new Error(`A value of the type ${type} in a GGUF file`)
    }
  }
}

/** The head of one file. @throws {Error} for what `planFiles` does not write */
export async function readHead(file: Bytes, name: string): Promise<StoredFile> {
  for (let length = 1 << 20; ; length *= 4) {
    const some = Math.min(length, file.size)
    try {
      return parseHead(new Reader(await readRange(file, 0, some, name)))
    } catch (error) {
      if (!(error instanceof Short) || some === file.size) throw error
    }
  }
}

function parseHead(from: Reader): StoredFile {
  if (from.u32() !== 0x46554747 || from.u32() !== 3) throw new Error('No GGUF file of version 3')
  const [count, keys] = [from.u64(), from.u64()]
  const metadata = new Map<string, unknown>()
  for (let i = 0; i < keys; i++) metadata.set(from.text(), from.value())
  const tensors = new Map<string, StoredTensor>()
  for (let i = 0; i < count; i++) {
    const name = from.text()
    const shape = Array.from({ length: from.u32() }, from.u64).reverse()
    tensors.set(name, { shape, type: from.u32(), offset: from.u64() })
  }
  const start = aligned(from.at)
  for (const tensor of tensors.values()) tensor.offset += start
  return { metadata, tensors }
}
