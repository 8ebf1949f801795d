/** Takes apart what Xet's clients upload: xorbs (blocks of compressed chunks) and shards (which chunks make a file). */
import { decompressLz4Raw } from 'hyparquet-compressors/src/lz4.js'

/** The chunks of a xorb, decompressed. */
export function chunksOf(xorb: Buffer): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0; at < xorb.length; ) {
    const [packed, size] = [xorb.readUIntLE(at + 1, 3), xorb.readUIntLE(at + 5, 3)]
    const scheme = xorb[at + 4]
    const data = xorb.subarray(at + 8, at + 8 + packed)
    const chunk = scheme === 0 ? data : scheme === 1 ? frame(data, size) : scheme === 2 ? regrouped(frame(data, size)) : null
    if (chunk?.length !== size) throw new Error(`A chunk of scheme ${scheme} has ${chunk?.length} bytes, not ${size}.`)
    chunks.push(chunk)
    at += 8 + packed
  }
  return chunks
}

/** An LZ4 frame of `size` bytes in all. */
function frame(data: Buffer, size: number): Buffer {
  if (data.readUInt32LE(0) !== 0x184d2204) throw new Error('A chunk is no LZ4 frame.')
  const flags = data[4]
  let at = 7 + (flags & 8 ? 8 : 0) + (flags & 1 ? 4 : 0)
  const most = 1 << (8 + 2 * ((data[5] >> 4) & 7))
  const parts: Uint8Array[] = []
  for (let left = size; ; ) {
    const head = data.readUInt32LE(at)
    at += 4
    if (!head) return Buffer.concat(parts)
    const length = head & 0x7fffffff
    const block = data.subarray(at, at + length)
    const part = head >>> 31 ? block : decompressLz4Raw(block, Math.min(most, left))
    parts.push(part)
    left -= part.length
    at += length + (flags & 16 ? 4 : 0)
  }
}

/** Bytes that were grouped by their position modulo 4, in their order again. */
function regrouped(data: Buffer): Buffer {
  const out = Buffer.alloc(data.length)
  let from = 0
  for (let group = 0; group < 4; group++) for (let at = group; at < data.length; at += 4) out[at] = data[from++]
  return out
}

export interface ShardFile {
  sha256: string
  /** Chunks `[begin, end)` of a xorb, in the order of the file. */
  terms: { xorb: string; begin: number; end: number }[]
}

/** The files that a shard describes. */
export function filesOf(shard: Buffer): ShardFile[] {
  const files: ShardFile[] = []
  for (let at = 48; shard.readUInt32LE(at) !== 0xffffffff || !shard.subarray(at, at + 32).every((byte) => byte === 0xff); ) {
    const [flags, count] = [shard.readUInt32LE(at + 32), shard.readUInt32LE(at + 36)]
    const terms = Array.from({ length: count }, (_, i) => {
      const from = at + 48 + 48 * i
      return { xorb: hashAt(shard, from), begin: shard.readUInt32LE(from + 40), end: shard.readUInt32LE(from + 44) }
    })
    at += 48 + 48 * count + (flags & 0x80000000 ? 48 * count : 0)
    if (!(flags & 0x40000000)) throw new Error('A file of a shard has no SHA-256.')
    files.push({ sha256: hashAt(shard, at), terms })
    at += 48
  }
  return files
}

/** A hash as four little-endian words of 64 bits. */
const hashAt = (bytes: Buffer, at: number) =>
  [0, 8, 16, 24]
    .map((offset) =>
      bytes
        .readBigUInt64LE(at + offset)
        .toString(16)
        .padStart(16, '0'),
    )
    .join('')
