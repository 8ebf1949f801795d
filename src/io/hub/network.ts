/**
 * HTTP with a Hub that may be far, slow, busy or wrong. Every request is tried again while that can help (429, 5xx, a
 * connection that breaks or stalls), with exponential backoff and jitter or as the server's Retry-After says; what comes
 * is counted; everything in flight can be interrupted. The token goes to the Hub's own origin and nowhere else: it is
 * added here, per request, and nobody else knows it.
 */
import { type ErrorCode, WorkbenchError } from '../../errors.ts'

export const publicHub = 'https://huggingface.co'

/** Over the network since the engine started; in events and reports of a job, since it started. */
export interface Traffic {
  /** Bytes of bodies that came. */
  fetched: number
  /** Bytes that the cache gave instead. */
  cached: number
  requests: number
  /** Requests that have not ended. */
  underWay: number
  /** Bytes per second over the last few seconds. */
  rate: number
  /** Why nothing comes just now, as a sentence; null when all is well. */
  waiting: string | null
}

export type NetworkEvent =
  | { type: 'traffic'; traffic: Traffic }
  | { type: 'notice'; code: ErrorCode | 'note'; message: string; hint: string }

export interface NetworkOptions {
  fetch?: typeof fetch
  /** Milliseconds without a byte after which a connection counts as broken. */
  stall?: number
  /** Tries of one request before it fails. */
  tries?: number
  /** Waits; tests pass one that does not. */
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>
  random?: () => number
  online?: () => boolean
}

/** An answer that more tries cannot change. */
export class HttpError extends Error {
  constructor(
    readonly status: number,
    /** The Hub's own `X-Error-Code`, e.g. `GatedRepo`. */
    readonly reason: string,
  ) {
    super(`The answer was ${status}.`)
  }
}

/** What may be otherwise at the next try. */
class Trouble extends Error {
  constructor(
    readonly code: ErrorCode,
    /** Completes "The Hub at <host> …". */
    readonly what: string,
    readonly hint: string,
    /** Milliseconds that the server asked to wait. */
    readonly after: number | null = null,
    options?: ErrorOptions,
  ) {
    super(what, options)
  }
}

/** Bytes `[begin, end)` of a file of `size` bytes. */
export interface Range {
  begin: number
  end: number
  size: number
  /** Entity tag that the file had before; a range under any other is refused. */
  etag: string | null
}

const firstDelay = 500
const longestDelay = 30_000
/** A server that asks for more is not waited for. */
const longestAfter = 5 * 60_000
/** Bytes that make a broken transfer a step forward, so that tries count anew. */
const stepForward = 256 << 10
/** Of anything that is no file: a page of a listing has some 100 kB. */
const maxAnswer = 64 << 20
const fewTries = 3
const connections = 6
/**
 * Without the browser's cookies, and without its own cache: that would keep everything a second time beside ours, and it
 * starts transfers of several ranges of one file again.
 */
const alone = { credentials: 'omit', cache: 'no-store' } as const
const rateWindow = 3000
const eventEvery = 250

export class Network {
  /** The Hub's origin: the only one that ever sees the token. */
  readonly origin: string
  readonly #fetch: typeof fetch
  readonly #stall: number
  readonly #tries: number
  readonly #sleep: (ms: number, signal: AbortSignal) => Promise<void>
  readonly #random: () => number
  readonly #online: () => boolean
  /** While a job runs, a lost connection is waited out instead of ending it. */
  patient = false
  #token: string | null = null
  #stop = new AbortController()
  #free = connections
  readonly #queue: (() => void)[] = []
  readonly #listeners = new Set<(event: NetworkEvent) => void>()
  readonly #recent: { at: number; bytes: number }[] = []
  readonly #traffic: Traffic = { fetched: 0, cached: 0, requests: 0, underWay: 0, rate: 0, waiting: null }
  #told = 0
  #fading: ReturnType<typeof setTimeout> | undefined

  constructor(hubUrl: string, options: NetworkOptions = {}) {
    this.origin = new URL(hubUrl).origin
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init))
    this.#stall = options.stall ?? 30_000
    this.#tries = options.tries ?? 6
    this.#sleep = options.sleep ?? sleep
    this.#random = options.random ?? Math.random
    this.#online = options.online ?? (() => globalThis.navigator?.onLine !== false)
  }

  get host(): string {
    return new URL(this.origin).host
  }

  get traffic(): Traffic {
    return { ...this.#traffic, rate: this.#rate() }
  }

  get signedIn(): boolean {
    return this.#token !== null
  }

  /** @throws WorkbenchError `hub-denied` for what cannot be a token or must not be sent in the clear */
  setToken(token: string | null): void {
    const trimmed = token?.trim() || null
    if (trimmed && !/^[\x21-\x7e]{8,4096}$/.test(trimmed)) {
      throw new WorkbenchError('hub-denied', 'That is not an access token.', 'Copy it again; a token of the Hub starts with hf_.')
    }
    const { protocol, hostname } = new URL(this.origin)
    if (trimmed && protocol !== 'https:' && !/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)) {
      throw new WorkbenchError(
        'hub-denied',
        `A token is never sent without encryption, and ${this.host} is spoken to over plain HTTP.`,
        'Use the https address of the Hub.',
      )
    }
    this.#token = trimmed
  }

  listen(listener: (event: NetworkEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  notice(code: ErrorCode | 'note', message: string, hint = ''): void {
    for (const listener of this.#listeners) listener({ type: 'notice', code, message, hint })
  }

  /** Counts what did not have to be fetched. */
  countCached(bytes: number): void {
    this.#traffic.cached += bytes
    this.#tell()
  }

  /** Ends everything in flight with `cancelled`; what is asked for later is not affected. */
  interrupt(): void {
    this.#stop.abort(new WorkbenchError('cancelled', 'The transfer was cancelled.', 'What was finished is kept.'))
    this.#stop = new AbortController()
  }

  /**
   * A `fetch` for the library. The Hub's answers come whole and successful, or as an error of ours; other hosts (Xet's)
   * answer to the library itself and are only counted and watched.
   */
  fetcher(signal?: AbortSignal): typeof fetch {
    return async (input, init) => {
      const url = String(input instanceof Request ? input.url : input)
      if (new URL(url).origin !== this.origin) return this.#foreign(url, init)
      return this.#attempts(signal, async (watch) => {
        const response = await this.#open(url, init, watch)
        const parts: Uint8Array<ArrayBuffer>[] = []
        let length = 0
        await this.#body(response, watch, (part) => {
          length += part.length
          if (length > maxAnswer)
            throw new Trouble('hub-answer', `sent more than ${maxAnswer} bytes`, 'Check that this is the address of a Hub.')
          parts.push(part)
        })
        const { status, headers } = response
        return new Response(new Blob(parts), { status, headers: new Headers(headers) })
      })
    }
  }

  /**
   * A range of a file, or all of it, complete and under the expected entity tag, and the address that gave it after all
   * redirections. What came of a transfer that broke is kept and the rest asked for.
   * @throws HttpError, WorkbenchError `offline`, `hub-unreachable`, `hub-busy`, `hub-changed`, `hub-answer`
   */
  async range(url: string, range: Range): Promise<{ bytes: Uint8Array<ArrayBuffer>; etag: string | null; from: string }> {
    const { begin, end, size } = range
    const bytes = new Uint8Array(end - begin)
    let { etag } = range
    let have = 0
    let source = url
    await this.#attempts(undefined, async (watch, progress) => {
      const from = begin + have
      // Servers may compress a whole file, and then cannot give ranges of it: only parts are asked for as such.
      const whole = from === 0 && end === size
      const headers: Record<string, string> = whole ? {} : { Range: `bytes=${from}-${end - 1}` }
      const response = await this.#open(url, { headers }, watch)
      source = response.url || url
      const wrong = (what: string) =>
        new Trouble('hub-answer', what, 'A proxy on the way may be at fault; try again or use another address.')
      try {
        if (!whole && response.status !== 206) throw wrong(`answered a request for a part of a file with status ${response.status}`)
        const said = /^bytes (\d+)-(\d+)\//.exec(response.headers.get('content-range') ?? '')
        if (!whole && said && (Number(said[1]) !== from || Number(said[2]) !== end - 1))
          throw wrong(`sent bytes ${said[1]} to ${said[2]} of a file instead of ${from} to ${end - 1}`)
        const tag = entityTag(response)
        if (etag !== null && tag !== null && tag !== etag)
          throw new Trouble('hub-changed', 'sent a part of another version of the file', 'Open the model again to read the new version.')
        const start = have
        let ended = false
        try {
          await this.#body(response, watch, (part) => {
            if (have + part.length > bytes.length) throw wrong(`sent more than the ${end - from} bytes that were asked for`)
            bytes.set(part, have)
            have += part.length
          })
          ended = true
        } finally {
          if (ended && have < bytes.length) {
            have = start // an answer that claims to be complete and is not cannot be trusted at all
          } else if (have - start >= stepForward) progress()
        }
        if (have < bytes.length) throw wrong(`sent less than the ${end - from} bytes that were asked for`)
        etag ??= tag
      } catch (error) {
        if (error instanceof Trouble && error.code === 'hub-answer') have = 0
        throw error
      }
    })
    return { bytes, etag, from: source }
  }

  // ---------------------------------------------------------------- one request

  /** The answer's head. @throws Trouble, HttpError */
  async #open(url: string, init: RequestInit | undefined, watch: Watch): Promise<Response> {
    this.#traffic.requests++
    const headers = new Headers(init?.headers)
    headers.delete('Authorization')
    if (this.#token && new URL(url).origin === this.origin) headers.set('Authorization', `Bearer ${this.#token}`)
    const response = await watch.guard(this.#fetch(url, { ...init, headers, signal: watch.signal, ...alone }))
    watch.fed()
    const { status } = response
    if (status < 400) return response
    const reason = response.headers.get('x-error-code') ?? ''
    response.body?.cancel().catch(() => {})
    if (status === 429 || status === 408) {
      throw new Trouble(
        'hub-busy',
        'asks to slow down (429)',
        'Wait some minutes, or sign in: accounts have higher limits.',
        retryAfter(response),
      )
    }
    if (status >= 500) {
      throw new Trouble('hub-busy', `has trouble of its own (${status})`, 'Try again later.', retryAfter(response))
    }
    throw new HttpError(status, reason)
  }

  async #body(response: Response, watch: Watch, take: (part: Uint8Array<ArrayBuffer>) => void): Promise<void> {
    const reader = response.body?.getReader()
    if (!reader) return
    try {
      while (true) {
        const { done, value } = await watch.guard(reader.read())
        if (done) return
        watch.fed()
        this.#count(value.length)
        take(value)
      }
    } catch (error) {
      reader.cancel().catch(() => {})
      throw error
    }
  }

  /** Another host's answer as it is, its body counted and watched; without the token. */
  async #foreign(url: string, init?: RequestInit): Promise<Response> {
    this.#traffic.requests++
    const watch = new Watch(this.#stall, this.#stop.signal)
    const over = this.#begin()
    const end = () => {
      watch.end()
      over()
    }
    const response = await watch.guard(this.#fetch(url, { ...init, signal: watch.signal, ...alone })).catch((error) => {
      end()
      throw error
    })
    watch.fed()
    const reader = response.body?.getReader()
    if (!reader) {
      end()
      return response
    }
    const counted = new ReadableStream<Uint8Array>({
      pull: async (out) => {
        try {
          const { done, value } = await watch.guard(reader.read())
          if (done) {
            end()
            out.close()
            return
          }
          watch.fed()
          this.#count(value.length)
          out.enqueue(value)
        } catch (error) {
          end()
          throw error
        }
      },
      cancel: (reason) => {
        end()
        return reader.cancel(reason)
      },
    })
    const { status, headers } = response
    return new Response(counted, { status, headers })
  }

  // ---------------------------------------------------------------- again and again

  async #attempts<T>(signal: AbortSignal | undefined, work: (watch: Watch, progress: () => void) => Promise<T>): Promise<T> {
    const stop = signal ? AbortSignal.any([this.#stop.signal, signal]) : this.#stop.signal
    await this.#enter(stop)
    const over = this.#begin()
    try {
      for (let failed = 0; ; ) {
        const watch = new Watch(this.#stall, stop)
        try {
          const result = await work(watch, () => {
            failed = 0
          })
          this.#wait(null)
          return result
        } catch (error) {
          stop.throwIfAborted()
          const offline = !this.#online() || isOffline(error)
          const trouble = error instanceof Trouble ? error : failure(error, offline)
          failed++
          if (offline) {
            // Without a network more tries make no sense, but a job waits for its return.
            if (!this.patient) throw this.#final(trouble)
            failed = Math.min(failed, this.#tries - 1)
          }
          const delay = trouble.after ?? Math.min(longestDelay, firstDelay * 2 ** (failed - 1)) * (0.5 + this.#random() / 2)
          // A wrong answer may be an accident of one proxy, but does not get right by waiting; nor does a person wait long
          // to hear that an address is wrong.
          const soon = trouble.code === 'hub-unreachable' ? !this.patient : trouble.code !== 'hub-busy'
          const tries = soon && !offline ? fewTries : this.#tries
          if (failed >= tries || delay > longestAfter) throw this.#final(trouble)
          this.#wait(`${offline ? 'There is no network' : `${this.host} ${trouble.what}`}; trying again in ${seconds(delay)}.`)
          await this.#sleep(delay, stop)
        } finally {
          watch.end()
        }
      }
    } finally {
      this.#leave()
      over()
    }
  }

  #final({ code, what, hint, after, cause }: Trouble): WorkbenchError {
    this.#wait(null)
    if (code === 'offline') return new WorkbenchError(code, 'There is no network connection.', hint, { cause })
    const wait = after !== null && after > longestAfter ? ` It wants ${seconds(after)} of rest.` : ''
    return new WorkbenchError(code, `The Hub at ${this.host} ${what}.${wait}`, hint, { cause })
  }

  async #enter(stop: AbortSignal): Promise<void> {
    stop.throwIfAborted()
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#queue.push(resolve))
  }

  #leave(): void {
    const next = this.#queue.shift()
    if (next) next()
    else this.#free++
  }

  // ---------------------------------------------------------------- counting

  #count(bytes: number): void {
    this.#traffic.fetched += bytes
    this.#traffic.waiting = null
    this.#recent.push({ at: performance.now(), bytes })
    this.#tell()
  }

  #rate(): number {
    const now = performance.now()
    while (this.#recent.length && this.#recent[0].at < now - rateWindow) this.#recent.shift()
    const first = this.#recent.at(0)
    if (!first) return 0
    const bytes = this.#recent.reduce((sum, one) => sum + one.bytes, 0)
    return bytes / (Math.max(eventEvery, now - first.at) / 1000)
  }

  /** A request is under way until what this returns is called, once or more. */
  #begin(): () => void {
    let over = false
    this.#traffic.underWay++
    this.#tell(true)
    return () => {
      if (over) return
      over = true
      this.#traffic.underWay--
      this.#tell(true)
    }
  }

  #wait(why: string | null): void {
    if (this.#traffic.waiting === why) return
    this.#traffic.waiting = why
    this.#tell(true)
  }

  #tell(now = false): void {
    const time = performance.now()
    if (!this.#listeners.size || (!now && time - this.#told < eventEvery)) return
    this.#told = time
    const { traffic } = this
    for (const listener of this.#listeners) listener({ type: 'traffic', traffic })
    // When nothing comes any more, that is told too.
    clearTimeout(this.#fading)
    if (traffic.rate > 0) {
      this.#fading = setTimeout(() => this.#tell(true), 1000)
      // A terminal need not stay for that.
      if (typeof this.#fading === 'object') this.#fading.unref()
    }
  }
}

/** Breaks a request off when nothing came for too long, or when everything is to stop. */
class Watch {
  readonly signal: AbortSignal
  readonly #stalled = new AbortController()
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    readonly ms: number,
    stop: AbortSignal,
  ) {
    this.signal = AbortSignal.any([stop, this.#stalled.signal])
    this.fed()
  }

  /** Something came. */
  fed(): void {
    clearTimeout(this.#timer)
    const what = `sent nothing for ${seconds(this.ms)}`
    this.#timer = setTimeout(
      () => this.#stalled.abort(new Trouble('hub-unreachable', what, 'Check the connection, then try again.')),
      this.ms,
    )
  }

  /** The promise, or the reason to stop, whichever is first. */
  async guard<T>(promise: Promise<T>): Promise<T> {
    let abort = () => {}
    const aborted = new Promise<never>((_, reject) => {
      abort = () => reject(this.signal.reason)
    })
    this.signal.addEventListener('abort', abort)
    if (this.signal.aborted) abort()
    try {
      return await Promise.race([promise, aborted])
    } finally {
      this.signal.removeEventListener('abort', abort)
    }
  }

  end(): void {
    clearTimeout(this.#timer)
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal.addEventListener('abort', stop, { once: true })
  })
}

/** What the fetch of a browser or of Node threw; a WorkbenchError or HttpError goes through. */
function failure(error: unknown, offline: boolean): Trouble {
  if (error instanceof WorkbenchError || error instanceof HttpError) throw error
  // Anything but the network's own errors is a bug.
  if (!(error instanceof TypeError || error instanceof DOMException)) throw error
  if (offline)
    return new Trouble('offline', 'cannot be reached', 'Connect to the internet; files on this machine can be opened without.', null, {
      cause: error,
    })
  const code = systemCode(error)
  const what =
    code === 'ECONNREFUSED'
      ? 'refuses the connection'
      : code === 'ECONNRESET' || code === 'UND_ERR_SOCKET'
        ? 'broke the connection off'
        : 'cannot be reached'
  const page = code ? '' : ' It may also forbid this page to read from it (CORS).'
  return new Trouble('hub-unreachable', what, `Check the connection and the address of the Hub.${page}`, null, { cause: error })
}

const systemCode = (error: unknown) => ((error as Error)?.cause as { code?: string } | undefined)?.code ?? ''

/** Node has no word for it, but cannot find any host then. */
function isOffline(error: unknown): boolean {
  return ['ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'ENETDOWN'].includes(systemCode(error))
}

/** Milliseconds of `Retry-After` (seconds or a date), or of the reset time in the Hub's `RateLimit`. */
function retryAfter({ headers }: Response): number | null {
  const value = headers.get('retry-after')
  const wait =
    value === null
      ? Number(/\bt=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1] ?? Number.NaN) * 1000
      : /^\d+$/.test(value)
        ? Number(value) * 1000
        : Date.parse(value) - Date.now()
  return Number.isFinite(wait) ? Math.max(0, wait) : null
}

/** Without what a proxy that compresses adds to it. */
function entityTag({ headers }: Response): string | null {
  return (
    headers
      .get('etag')
      ?.replace(/^W\//, '')
      .replace(/-(gzip|br)"$/, '"') ?? null
  )
}

const seconds = (ms: number) => (ms < 1000 ? 'a second' : ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`)
