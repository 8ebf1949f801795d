/** Decompresses parquet pages, each to exactly the size that its header declares. */
import { decompress as unzstd } from 'fzstd'
import { snappyUncompress } from 'hyparquet'
import { decompressLz4, decompressLz4Raw } from 'hyparquet-compressors/src/lz4.js'
import { Inflate } from 'pako'
import { fail, other } from './bounds.ts'

/** Decompresses a page to `size` bytes; throws when it has more or fewer. */
export async function unpack(packed: Uint8Array<ArrayBuffer>, size: number, codec: string): Promise<Uint8Array<ArrayBuffer>> {
  if (codec === 'UNCOMPRESSED') {
    if (packed.length !== size) fail(`a page of ${packed.length} bytes where ${size} should be`)
    return packed
  }
  if (codec === 'SNAPPY') {
    const page = new Uint8Array(size)
    snappyUncompress(packed, page)
    return page
  }
  if (codec === 'ZSTD') {
    const page = unzstd(packed, new Uint8Array(size))
    if (page.length !== size) fail(`a page of ${page.length} bytes where ${size} should be`)
    return page as Uint8Array<ArrayBuffer>
  }
  if (codec === 'GZIP') return inflate(packed, size)
  if (codec === 'BROTLI') {
    // Loaded on demand: Brotli's dictionary is large, and seldom needed.
    const { decompressBrotli } = await import('hyparquet-compressors/src/brotli.js')
    return decompressBrotli(packed, size)
  }
  if (codec === 'LZ4_RAW' || codec === 'LZ4') {
    // Missing bytes at the end would otherwise be zeros.
    const blocks = codec === 'LZ4' ? hadoopBlocks(packed) : null
    const length = (blocks ?? [packed]).reduce((sum, block) => sum + lz4Length(block), 0)
    if (length !== size) fail(`a page of ${length} bytes where ${size} should be`)
    return (codec === 'LZ4' ? decompressLz4 : decompressLz4Raw)(packed, size)
  }
  return fail(`the compression ${codec}, which is not supported`, other)
}

/** Blocks of the older Hadoop framing, each after its two sizes; null if the page is not framed so. */
function hadoopBlocks(packed: Uint8Array): Uint8Array[] | null {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength)
  const blocks: Uint8Array[] = []
  let at = 0
  while (at + 8 < packed.length) {
    const [unpacked, length] = [view.getUint32(at), view.getUint32(at + 4)]
    const block = packed.subarray(at + 8, at + 8 + length)
    if (block.length !== length || lz4Length(block) !== unpacked) return null
    blocks.push(block)
    at += 8 + length
  }
  return at === packed.length ? blocks : null
}

/** Decompressed size of an LZ4 block; -1 if it is not a valid block. */
function lz4Length(block: Uint8Array): number {
  let at = 0
  let length = 0
  const extended = (nibble: number) => {
    let sum = nibble
    for (let byte = nibble === 15 ? 255 : 0; byte === 255; sum += byte) byte = block[at++] ?? 0
    return sum
  }
  while (at < block.length) {
    const token = block[at++]
    const literals = extended(token >> 4)
    at += literals
    length += literals
    if (at === block.length) return length
    at += 2
    length += extended(token & 15) + 4
  }
  return -1
}

function inflate(packed: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const page = new Uint8Array(size)
  let at = 0
  const stream = new Inflate()
  stream.onData = (piece) => {
    if (at + piece.length > size) fail(`a page of more bytes than the ${size} that it should have`)
    page.set(piece as Uint8Array, at)
    at += piece.length
  }
  stream.onEnd = () => {}
  stream.push(packed, true)
  if (stream.err) fail(`a page that is not gzip: ${stream.msg}`)
  if (at !== size) fail(`a page of ${at} bytes where ${size} should be`)
  return page
}
