/** Streaming decompression of gzip and zstd files; no more is decompressed than is used. */
import { Decompress as Unzstd } from 'fzstd'
import { Z_BUF_ERROR, Z_NO_FLUSH, Z_OK, Z_STREAM_END, ZStream, zlibInflate, zlibInflateInit2 } from 'pako'
import { WorkbenchError } from '../errors.ts'
import { type Bytes, readRange } from './bytes.ts'

/** Bytes read at a time: few requests for a remote file, and little waste when reading stops early. */
const step = 1 << 20
/** Bytes decompressed at a time: 1 MB may expand to 1 GB. */
const packedStep = 32 << 10
const unpackedStep = 64 << 10
/** zlib's window bits for gzip streams only. */
const gzipOnly = 15 + 16

/** The bytes of a file, a megabyte at a time. */
export async function* pieces(file: Bytes, name: string): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.size; at += step) yield readRange(file, at, Math.min(file.size, at + step), name)
}

async function* smaller(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of packed) {
    for (let at = 0; at < piece.length; at += packedStep) yield piece.subarray(at, at + packedStep)
  }
}

function broken(name: string, kind: string, cause: unknown): WorkbenchError {
  if (cause instanceof WorkbenchError) return cause
  const why = (cause instanceof Error ? cause.message : String(cause)).replace(/\.$/, '')
  return new WorkbenchError('text-invalid', `${name} is not a complete, valid ${kind} file: ${why}.`, 'Download the file again.', { cause })
}

/**
 * Decompresses a gzip file (RFC 1952): all its members, each checked against its CRC; zeros between and after them are skipped. The
 * browser's own DecompressionStream accepts only the first member.
 * @throws WorkbenchError `text-invalid` when it is damaged or ends early
 */
export async function* gunzip(packed: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array> {
  let member: ZStream | null = null
  for await (const piece of smaller(packed)) {
    let at = 0
    while (at < piece.length) {
      if (!member) {
        if (piece[at] === 0) {
          at++
          continue
        }
        member = new ZStream()
        zlibInflateInit2(member, gzipOnly)
      }
      member.input = piece
      member.next_in = at
      member.avail_in = piece.length - at
      let status: number
      do {
        member.output = new Uint8Array(unpackedStep)
        member.next_out = 0
        member.avail_out = unpackedStep
        status = zlibInflate(member, Z_NO_FLUSH)
        if (status !== Z_OK && status !== Z_STREAM_END && status !== Z_BUF_ERROR)
          throw broken(name, 'gzip', member.msg || `error ${status}`)
        if (member.next_out) yield member.output.subarray(0, member.next_out)
      } while (status !== Z_STREAM_END && member.avail_out === 0)
      at = member.next_in
      if (status === Z_STREAM_END) member = null
    }
  }
  if (member) throw broken(name, 'gzip', 'it ends early')
}

/** Largest window of a zstd file, the default limit of the zstd tool. */
const maxWindow = 128 << 20

/**
 * Decompresses a zstd file (RFC 8878): all its frames.
 * @throws WorkbenchError `text-invalid` when it is damaged, ends early, or needs too large a window
 */
export async function* unzstd(packed: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array> {
  const given: Uint8Array[] = []
  const stream = new Unzstd((data) => {
    // The library reuses the buffer that it returns.
    if (data.length) given.push(data.slice())
  })
  const push = (piece: Uint8Array, last: boolean) => {
    try {
      stream.push(piece, last)
    } catch (cause) {
      throw broken(name, 'zstd', cause)
    }
  }
  let first = true
  for await (const piece of smaller(packed)) {
    if (first && windowOf(piece) > maxWindow) {
      throw new WorkbenchError(
        'text-invalid',
        `${name} is a zstd file with a window of ${Math.round(windowOf(piece) / 2 ** 20)} MiB; up to ${maxWindow / 2 ** 20} MiB are supported.`,
        'Compress it again without --long, or decompress it first.',
      )
    }
    first = false
    push(piece, false)
    yield* given.splice(0)
  }
  push(new Uint8Array(), true)
  yield* given
}

/** Window size of the first frame in bytes, by its header; 0 when it is not a frame. */
function windowOf(head: Uint8Array): number {
  if (head.length < 18 || head[0] !== 0x28) return 0
  const descriptor = head[4]
  if (!(descriptor & 0x20)) {
    const base = 2 ** (10 + (head[5] >> 3))
    return base + (base / 8) * (head[5] & 7)
  }
  // A single segment: the window is the whole content.
  const at = 5 + [0, 1, 2, 4][descriptor & 3]
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  return [head[at], view.getUint16(at, true) + 256, view.getUint32(at, true), Number(view.getBigUint64(at, true))][descriptor >> 6]
}
