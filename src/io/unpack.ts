/** Packed files undone piece by piece, no further than they are read: gzip and zstd. */
import { Decompress as Unzstd } from 'fzstd'
import { Z_BUF_ERROR, Z_NO_FLUSH, Z_OK, Z_STREAM_END, ZStream, zlibInflate, zlibInflateInit2 } from 'pako'
import { WorkbenchError } from '../errors.ts'
import { type Bytes, readRange } from './bytes.ts'

/** Bytes read at a time: few requests where the file is remote, and little read too much where reading stops early. */
const step = 1 << 20
/** Packed bytes undone at a time: 1 MB of them may hold 1 GB. */
const packedStep = 32 << 10
const unpackedStep = 64 << 10
/** zlib's window bits for a stream with gzip's header and trailer, and no other. */
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
  return new WorkbenchError('text-invalid', `${name} is not a whole ${kind} file: ${why}.`, 'Download the file again.', { cause })
}

/**
 * A gzip file (RFC 1952): its members one after the other, zeros behind and between them passed over, each checked against
 * its CRC. The stream of the platform is not used: browsers refuse all but the first member.
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

/** Windows that a zstd file may ask for: what its own tool takes without being told otherwise. */
const maxWindow = 128 << 20

/**
 * A zstd file (RFC 8878): its frames one after the other.
 * @throws WorkbenchError `text-invalid` when it is damaged, ends early, or needs more memory than there is
 */
export async function* unzstd(packed: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array> {
  const given: Uint8Array[] = []
  const stream = new Unzstd((data) => {
    // The library gives out its own buffer, and writes into it again.
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
        `${name} is a zstd file with a window of ${Math.round(windowOf(piece) / 2 ** 20)} MiB; up to ${maxWindow / 2 ** 20} MiB are read here.`,
        'Pack it again without --long, or unpack it first.',
      )
    }
    first = false
    push(piece, false)
    yield* given.splice(0)
  }
  push(new Uint8Array(), true)
  yield* given
}

/** Bytes that the first frame has to keep, by its header; 0 where it is none. */
function windowOf(head: Uint8Array): number {
  if (head.length < 18 || head[0] !== 0x28) return 0
  const descriptor = head[4]
  if (!(descriptor & 0x20)) {
    const base = 2 ** (10 + (head[5] >> 3))
    return base + (base / 8) * (head[5] & 7)
  }
  // A single segment: its window is its content.
  const at = 5 + [0, 1, 2, 4][descriptor & 3]
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  return [head[at], view.getUint16(at, true) + 256, view.getUint32(at, true), Number(view.getBigUint64(at, true))][descriptor >> 6]
}
