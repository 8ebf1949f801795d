/**
 * A file on the Hub as `Bytes`: any part is read by one range request and kept in the cache, if there is one. Announced ranges are
 * prefetched in large pieces, within a memory limit that all files share.
 */
import { WorkbenchError } from '../../errors.ts'
import type { AheadRange, ByteRange, Bytes } from '../bytes.ts'
import type { Cache } from './cache.ts'
import { HttpError } from './trouble.ts'
import type { Network } from './network.ts'

export interface RemoteSource {
  size: number
  /** Bytes `[begin, end)`, complete and verified. */
  fetch(range: ByteRange): Promise<Uint8Array<ArrayBuffer>>
}

/** Limit of prefetched bytes not yet read, all files together: including copies in flight, a small part of a tab's memory. */
const aheadBytes = 32 << 20
/** Longer spans are fetched in pieces of this size: six connections are then busy within the limit, and memory is freed piece by piece. */
const pieceBytes = 5 << 20

/** The memory for prefetching, shared by all files of a Hub. Pieces are fetched in the order in which they will be read. */
export class Lookahead {
  #free: number
  /** By turn. */
  #waiting: Piece[] = []

  constructor(bytes = aheadBytes) {
    this.#free = bytes
  }

  /** Adds pieces of one file, sorts all that wait by turn, and starts those that fit into memory. */
  queue(pieces: readonly Piece[]): void {
    this.#waiting.push(...pieces)
    this.#waiting.sort((a, b) => a.turn - b.turn)
    this.#advance()
  }

  /** Starts a piece at once, whatever the memory, since a reader waits for it. */
  hurry(piece: Piece): void {
    const at = this.#waiting.indexOf(piece)
    if (at < 0) return
    this.#waiting.splice(at, 1)
    this.#free -= piece.bytes
    piece.start()
  }

  release(piece: Piece): void {
    const at = this.#waiting.indexOf(piece)
    if (at >= 0) this.#waiting.splice(at, 1)
    else this.#free += piece.bytes
    this.#advance()
  }

  /** Deferred: the other files of the same announcement have not been queued yet. */
  #advance(): void {
    queueMicrotask(() => {
      while (this.#waiting.length && this.#waiting[0].bytes <= this.#free) this.hurry(this.#waiting[0])
    })
  }
}

/** A range that is being prefetched. */
class Piece {
  #content: Promise<Uint8Array<ArrayBuffer>> | null = null
  #unread: number

  constructor(
    readonly begin: number,
    readonly end: number,
    /** Its place in the order of reading. */
    public turn: number,
    readonly fetch: () => Promise<Uint8Array<ArrayBuffer>>,
  ) {
    this.#unread = this.bytes
  }

  get bytes(): number {
    return this.end - this.begin
  }

  start(): void {
    this.#content ??= this.fetch()
    this.#content.catch(() => {}) // the reader gets the error
  }

  get content(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#content!
  }

  /** Counts `bytes` as read; returns whether the whole piece has been read. */
  consumed(bytes: number): boolean {
    this.#unread -= bytes
    return this.#unread <= 0
  }
}

export class RemoteFile implements Bytes {
  #pieces: Piece[] = []

  constructor(
    readonly source: RemoteSource,
    readonly lookahead: Lookahead,
  ) {}

  get size(): number {
    return this.source.size
  }

  slice(start: number, end: number): Bytes {
    const clamp = (at: number) => Math.max(0, Math.min(at, this.size))
    return new RemoteSlice(this, clamp(start), Math.max(clamp(start), clamp(end)))
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.read(0, this.size)
  }

  ahead(ranges: readonly AheadRange[]): void {
    const kept: Piece[] = []
    for (const piece of this.#pieces) {
      const range = ranges.find(({ begin, end }) => piece.begin < end && piece.end > begin)
      if (!range) this.lookahead.release(piece)
      else {
        piece.turn = range.turn
        kept.push(piece)
      }
    }
    const fresh = ranges.flatMap((range) =>
      without(range, kept)
        .flatMap(cut)
        .map(({ begin, end }) => new Piece(begin, end, range.turn, () => this.source.fetch({ begin, end }))),
    )
    this.#pieces = [...kept, ...fresh]
    this.lookahead.queue(fresh)
  }

  async read(begin: number, end: number): Promise<ArrayBuffer> {
    const pieces = this.#pieces.filter((piece) => piece.begin < end && piece.end > begin).sort((a, b) => a.begin - b.begin)
    if (!pieces.length) return (await this.source.fetch({ begin, end })).buffer
    for (const piece of pieces) this.lookahead.hurry(piece)
    const [only] = pieces
    if (only.begin === begin && only.end === end) return await this.#whole(only)
    const out = new Uint8Array(end - begin)
    const put = (bytes: Uint8Array, at: number) => out.set(bytes, at - begin)
    let at = begin
    for (const piece of pieces) {
      if (piece.begin > at) put(await this.source.fetch({ begin: at, end: piece.begin }), at)
      const from = Math.max(at, piece.begin)
      const to = Math.min(end, piece.end)
      try {
        put((await piece.content).subarray(from - piece.begin, to - piece.begin), from)
      } catch (error) {
        this.#forget(piece)
        throw error
      }
      if (piece.consumed(to - from)) this.#forget(piece)
      at = to
    }
    if (at < end) put(await this.source.fetch({ begin: at, end }), at)
    return out.buffer
  }

  /** A whole piece without a copy, which would be one more for the garbage collector. */
  async #whole(piece: Piece): Promise<ArrayBuffer> {
    try {
      const content = await piece.content
      return content.length === content.buffer.byteLength ? content.buffer : content.slice().buffer
    } finally {
      this.#forget(piece)
    }
  }

  #forget(piece: Piece): void {
    if (!this.#pieces.includes(piece)) return
    this.#pieces = this.#pieces.filter((one) => one !== piece)
    this.lookahead.release(piece)
  }
}

class RemoteSlice implements Bytes {
  constructor(
    readonly file: RemoteFile,
    readonly begin: number,
    readonly end: number,
  ) {}

  get size(): number {
    return this.end - this.begin
  }

  slice(start: number, end: number): Bytes {
    return this.file.slice(Math.min(this.begin + start, this.end), Math.min(this.begin + end, this.end))
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.file.read(this.begin, this.end)
  }
}

/** A range minus other ranges. */
function without(range: ByteRange, others: readonly ByteRange[]): ByteRange[] {
  const left: ByteRange[] = []
  let at = range.begin
  for (const { begin, end } of [...others].sort((a, b) => a.begin - b.begin)) {
    if (end <= at || begin >= range.end) continue
    if (begin > at) left.push({ begin: at, end: begin })
    at = end
  }
  return at < range.end ? [...left, { begin: at, end: range.end }] : left
}

function cut({ begin, end }: ByteRange): ByteRange[] {
  const count = Math.ceil((end - begin) / pieceBytes)
  return Array.from({ length: count }, (_, i) => ({ begin: begin + i * pieceBytes, end: Math.min(end, begin + (i + 1) * pieceBytes) }))
}

interface FileOnHub {
  network: Network
  url: string
  size: number
  /** Hash of the content, from the listing. */
  hash: string
  cache: Cache | null
  /** Access by Xet, if the file is stored there; null once Xet failed for any file. */
  readonly xet: { read(range: ByteRange): Promise<ArrayBuffer>; failed(error: unknown): void } | null
  /** Turns an error of the network into one about this file. */
  explain(error: unknown): unknown
}

/** Cache first, then Xet where it works, then plain ranges. */
export class HubSource implements RemoteSource {
  #etag: string | null = null
  /** Where the Hub redirected to: asking there directly saves a round trip per range, until its signature expires. */
  #storage: string | null = null

  constructor(readonly file: FileOnHub) {}

  get size(): number {
    return this.file.size
  }

  async fetch(range: ByteRange): Promise<Uint8Array<ArrayBuffer>> {
    const { begin, end } = range
    if (begin >= end) return new Uint8Array(0)
    const { cache, hash } = this.file
    const found = (await cache?.find(hash, range)) ?? []
    if (!found.length) return this.#loadAndKeep(range)
    const [first] = found
    if (first.begin === begin && first.end === end) return this.#kept(first)
    const out = new Uint8Array(end - begin)
    let at = begin
    for (const part of [...found, { begin: end, end }]) {
      if (part.begin > at) out.set(await this.#loadAndKeep({ begin: at, end: part.begin }), at - begin)
      if (part.begin < part.end) out.set(await this.#kept(part), part.begin - begin)
      at = part.end
    }
    return out
  }

  /** A range that the cache has, or had until now. */
  async #kept(range: ByteRange): Promise<Uint8Array<ArrayBuffer>> {
    const { cache, hash, network } = this.file
    const kept = await cache!.read(hash, range)
    if (kept) network.countCached(kept.length)
    return kept ?? this.#load(range)
  }

  async #loadAndKeep(range: ByteRange): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.#load(range)
    await this.file.cache?.write(this.file.hash, range.begin, bytes)
    return bytes
  }

  async #load(range: ByteRange): Promise<Uint8Array<ArrayBuffer>> {
    const { xet, cache, hash, explain } = this.file
    if (xet) {
      try {
        const bytes = new Uint8Array(await xet.read(range))
        if (bytes.length === range.end - range.begin) return bytes
        throw new Error(`${bytes.length} of ${range.end - range.begin} bytes came`)
      } catch (error) {
        if (error instanceof WorkbenchError && (error.code === 'cancelled' || error.code === 'offline')) throw error
        xet.failed(error)
      }
    }
    try {
      return await this.#plain(range)
    } catch (error) {
      if (error instanceof WorkbenchError && error.code === 'hub-changed') await cache?.drop(hash)
      throw explain(error)
    }
  }

  async #plain(range: ByteRange): Promise<Uint8Array<ArrayBuffer>> {
    const { network, url, size } = this.file
    const ask = async (address: string) => {
      const answer = await network.range(address, { ...range, size, etag: this.#etag })
      this.#etag = answer.etag
      this.#storage = answer.from === url ? null : answer.from
      return answer.bytes
    }
    if (!this.#storage) return ask(url)
    try {
      return await ask(this.#storage)
    } catch (error) {
      if (!(error instanceof HttpError)) throw error
      this.#storage = null
      return ask(url)
    }
  }
}
