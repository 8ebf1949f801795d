/** How the local Hub answers: whole or as a fault wants it. */
import type { IncomingMessage, ServerResponse } from 'node:http'

export const faults = [
  'refused',
  'reset',
  'stall',
  'slow',
  'busy',
  'broken',
  'whole',
  'shifted',
  'short',
  'etag',
  'cors',
  'nonsense',
  'expired',
] as const
export type Fault = (typeof faults)[number]

export interface Logged {
  host: 'hub' | 'storage'
  method: string
  path: string
  range: string | null
  authorization: string | null
  /** Bytes of body sent and received. */
  sent: number
  received: number
}

export interface StoredFile {
  size: number
  hash: string
  large: boolean
  read(begin: number, end: number): Uint8Array | Promise<Uint8Array>
}

const pieceBytes = 1 << 20
export const xetChunk = 64 << 10

export interface Exchange {
  request: IncomingMessage
  response: ServerResponse
  entry: Logged
  wrong: Fault | null
  stop: AbortSignal
  /** Bytes per second of a file. */
  rate: number
}

export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

export function end({ response, entry, wrong }: Exchange, status: number, body = ''): void {
  if (wrong === 'reset' && body) {
    response.writeHead(status, { 'content-length': Buffer.byteLength(body) }).write(body.slice(0, body.length / 2))
    setImmediate(() => response.destroy())
    return
  }
  entry.sent += Buffer.byteLength(body)
  response.writeHead(status).end(body)
}

export function json(exchange: Exchange, value: unknown): void {
  exchange.response.setHeader('content-type', 'application/json')
  end(exchange, 200, JSON.stringify(value))
}

export function refuse(exchange: Exchange, status: number, code = ''): void {
  if (code) exchange.response.setHeader('x-error-code', code)
  exchange.response.setHeader('content-type', 'application/json')
  end(exchange, status, JSON.stringify({ error: code || 'Refused' }))
}

export const tokenOf = ({ headers }: IncomingMessage) => headers.authorization?.replace(/^Bearer /, '') ?? null

/** The whole body of a request. */
export async function bodyOf({ request, entry }: Pick<Exchange, 'request' | 'entry'>): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of request) {
    parts.push(part)
    entry.received += part.length
  }
  return Buffer.concat(parts)
}

export async function textOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part)
  return Buffer.concat(parts).toString()
}

export function rangeOf(header: string | undefined, size: number): { begin: number; end: number } | null {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(header ?? '') ?? []
  return first === undefined ? null : { begin: Number(first), end: last ? Math.min(size, Number(last) + 1) : size }
}

/** A file or a range of it, as the fault wants it. */
export async function send(
  { request, response, entry, wrong, stop, rate }: Exchange,
  file: Pick<StoredFile, 'size' | 'read'>,
  hash: string,
): Promise<void> {
  const range = wrong === 'whole' ? null : rangeOf(request.headers.range, file.size)
  const { begin, end } = range ?? { begin: 0, end: file.size }
  if (begin >= file.size && file.size) return void response.writeHead(416).end()
  response.setHeader('etag', wrong === 'etag' ? `"${hash.replace(/^./, 'x')}"` : `"${hash}"`)
  response.setHeader('accept-ranges', 'bytes')
  if (range) response.setHeader('content-range', `bytes ${wrong === 'shifted' ? begin + 1 : begin}-${end - 1}/${file.size}`)
  if (wrong !== 'short') response.setHeader('content-length', end - begin)
  response.writeHead(range ? 206 : 200)
  const closed = new Promise<void>((resolve) => response.once('close', resolve))
  const breaks = wrong === 'reset' || wrong === 'stall' || wrong === 'short'
  const until = breaks ? begin + Math.floor((end - begin) / 2) : end
  const step = wrong === 'slow' ? Math.max(1, Math.ceil((end - begin) / 8)) : pieceBytes
  const started = performance.now()
  for (let at = begin; at < until; at += step) {
    const piece = await file.read(at, Math.min(until, at + step))
    if (response.destroyed) return
    entry.sent += piece.length
    if (!response.write(piece)) await Promise.race([new Promise<void>((resolve) => response.once('drain', resolve)), closed])
    if (wrong === 'slow') await pause(20)
    const early = (1000 * (at + piece.length - begin)) / rate - (performance.now() - started)
    if (early > 0) await pause(early)
    if (stop.aborted) return
  }
  if (wrong === 'reset') setImmediate(() => response.destroy())
  else if (wrong !== 'stall') response.end()
}

/** The Xet block of a file: chunks as they are, each behind 8 bytes of header. */
export function xorb(file: StoredFile): Pick<StoredFile, 'size' | 'read'> {
  const count = Math.ceil(file.size / xetChunk)
  return {
    size: file.size + 8 * count,
    async read(begin, end) {
      const parts: Uint8Array[] = []
      const first = Math.floor(begin / (xetChunk + 8))
      for (let chunk = first; chunk * (xetChunk + 8) < end; chunk++) {
        const data = await file.read(chunk * xetChunk, Math.min(file.size, (chunk + 1) * xetChunk))
        const { length } = data
        const header = [0, length & 255, (length >> 8) & 255, length >> 16, 0, length & 255, (length >> 8) & 255, length >> 16]
        parts.push(Uint8Array.from(header), data)
      }
      const from = first * (xetChunk + 8)
      return Buffer.concat(parts).subarray(begin - from, end - from)
    },
  }
}
