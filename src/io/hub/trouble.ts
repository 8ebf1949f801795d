/** What goes wrong with a request: what a retry may resolve, what it cannot, and what a server says of it. */
import { type ErrorCode, WorkbenchError } from '../../errors.ts'

/** An error response that a retry cannot change. */
export class HttpError extends Error {
  constructor(
    readonly status: number,
    /** The Hub's own `X-Error-Code`, e.g. `GatedRepo`. */
    readonly reason: string,
    /** The Hub's own sentence; empty where it gives none. */
    readonly said = '',
  ) {
    super(`The answer was ${status}.`)
  }
}

/** A failure that a retry may resolve. */
export class Trouble extends Error {
  constructor(
    readonly code: ErrorCode,
    /** Completes "The Hub at <host> …" or "The storage at <host> …". */
    readonly what: string,
    readonly hint: string,
    /** Milliseconds that the server asks to wait. */
    readonly after: number | null = null,
    options?: ErrorOptions,
  ) {
    super(what, options)
  }
}

/** An error thrown by fetch as a failure that can be retried. @throws WorkbenchError, HttpError and bugs, unchanged */
export function failure(error: unknown, offline: boolean): Trouble {
  if (error instanceof WorkbenchError || error instanceof HttpError) throw error
  // Anything but the network's own errors is a bug.
  if (!(error instanceof TypeError || error instanceof DOMException)) throw error
  if (offline)
    return new Trouble('offline', 'cannot be reached', 'Connect to the internet, or open files on this machine.', null, {
      cause: error,
    })
  const code = systemCode(error)
  const what =
    code === 'ECONNREFUSED'
      ? 'refuses the connection'
      : code === 'ECONNRESET' || code === 'UND_ERR_SOCKET'
        ? 'closed the connection'
        : 'cannot be reached'
  const page = code ? '' : ' It may also forbid this page to read from it (CORS).'
  return new Trouble('hub-unreachable', what, `Check the connection and the address of the Hub.${page}`, null, { cause: error })
}

/** What a server said, short enough to be shown, and in plain characters. */
export const sentenceOf = (text: string) =>
  text
    .replace(/[^\x20-\x7e]/g, ' ')
    .slice(0, 200)
    .replace(/[.\s]+$/, '')

const systemCode = (error: unknown) => ((error as Error)?.cause as { code?: string } | undefined)?.code ?? ''

/** Node has no error for being offline; no host can be found then. */
export function isOffline(error: unknown): boolean {
  return ['ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'ENETDOWN'].includes(systemCode(error))
}

/** Milliseconds of `Retry-After` (seconds or a date), or of the reset time in the Hub's `RateLimit`. */
export function retryAfter({ headers }: Response): number | null {
  const value = headers.get('retry-after')
  const wait =
    value === null
      ? Number(/\bt=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1] ?? Number.NaN) * 1000
      : /^\d+$/.test(value)
        ? Number(value) * 1000
        : Date.parse(value) - Date.now()
  return Number.isFinite(wait) ? Math.max(0, wait) : null
}

export const seconds = (ms: number) =>
  ms < 1000 ? 'a second' : ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`
