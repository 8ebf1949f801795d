/**
 * HTTP requests to a Hub that may be slow, busy or faulty. A request is retried while that can help (429, 5xx, a broken or stalled
 * connection), with exponential backoff and jitter or after the server's Retry-After; received bytes are counted; everything in flight
 * can be cancelled. The token is sent to the Hub's own origin and nowhere else: it is added here, per request, and no other module has
 * it.
 */
import { type ErrorCode, WorkbenchError } from '../../errors.ts'
import { Meter, type NetworkEvent, type Traffic } from './traffic.ts'
import { HttpError, Trouble, failure, sentenceOf, isOffline, retryAfter, seconds } from './trouble.ts'
import { Watch, sleep } from './watch.ts'

export const publicHub = 'https://huggingface.co'

export interface NetworkOptions {
  fetch?: typeof fetch
  /** Milliseconds without a byte after which a connection counts as broken. */
  stall?: number
  /** Attempts of one request before it fails. */
  tries?: number
  /** Waits; tests pass a function that returns at once. */
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>
  random?: () => number
  online?: () => boolean
}

/** Bytes `[begin, end)` of a file of `size` bytes. */
export interface Range {
  begin: number
  end: number
  size: number
  /** The file's known entity tag; a range with any other is rejected. */
  etag: string | null
}

const firstDelay = 500
const longestDelay = 30_000
/** A server that asks for a longer wait is an error. */
const longestAfter = 5 * 60_000

/** A broken transfer that received this many bytes made progress, so the count of attempts starts again. */
const stepForward = 256 << 10

/** Cap in bytes of an answer that is not a file: a page of a listing has some 100 kB. */
const maxAnswer = 64 << 20

const fewTries = 3
/** Bytes per millisecond (1 Mbit/s) that an upload is given time for beyond the stall: nothing is received while it is sent. */
const slowestUpload = 128

const connections = 6

/**
 * Without the browser's cookies and without its HTTP cache, which would store everything a second time, and which restarts concurrent
 * ranges of one file.
 */
const alone = { credentials: 'omit', cache: 'no-store' } as const

export class Network {
  /** The Hub's origin, the only one that the token is sent to. */
  readonly origin: string
  readonly #fetch: typeof fetch
  readonly #stall: number
  readonly #tries: number
  readonly #sleep: (ms: number, signal: AbortSignal) => Promise<void>
  readonly #random: () => number
  readonly #online: () => boolean
  /** While a job runs, a lost connection makes it wait, not fail. */
  patient = false
  #token: string | null = null
  #stop = new AbortController()
  #free = connections
  readonly #queue: (() => void)[] = []
  readonly #meter = new Meter()

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
    return this.#meter.traffic
  }

  get signedIn(): boolean {
    return this.#token !== null
  }

  /** @throws WorkbenchError `hub-denied` for what cannot be a token, and for an unencrypted Hub */
  setToken(token: string | null): void {
    const trimmed = token?.trim() || null
    if (trimmed && !/^[\x21-\x7e]{8,4096}$/.test(trimmed)) {
      throw new WorkbenchError('hub-denied', 'This is not an access token.', 'Copy it again; a token of the Hub starts with hf_.')
    }
    const { protocol, hostname } = new URL(this.origin)
    if (trimmed && protocol !== 'https:' && !/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)) {
      throw new WorkbenchError(
        'hub-denied',
        `A token is sent over HTTPS only, and the address of ${this.host} is plain HTTP.`,
        'Use the https address of the Hub.',
      )
    }
    this.#token = trimmed
  }

  listen(listener: (event: NetworkEvent) => void): () => void {
    return this.#meter.listen(listener)
  }

  notice(code: ErrorCode | 'note', message: string, hint = ''): void {
    this.#meter.say({ type: 'notice', code, message, hint })
  }

  /** Counts bytes read from the cache. */
  countCached(bytes: number): void {
    this.#meter.cached(bytes)
  }

  /** Ends everything in flight with `cancelled`; later requests are not affected. */
  interrupt(): void {
    this.#stop.abort(new WorkbenchError('cancelled', 'The transfer was cancelled.', 'Finished transfers are kept.'))
    this.#stop = new AbortController()
  }

  /**
   * A `fetch` for the library. It returns the Hub's answers complete and successful, or throws our errors, and so it does for what is sent
   * to other hosts (the storage of large files), which has to be of use again when it is sent again; answers of other hosts to reading
   * are passed through, only counted and watched for stalls.
   */
  fetcher(signal?: AbortSignal): typeof fetch {
    return async (input, init) => {
      const url = String(input instanceof Request ? input.url : input)
      const { origin, host } = new URL(url)
      const away = origin !== this.origin
      if (away && !init?.body) return this.#foreign(url, init)
      const patience = sizeOf(init?.body) / slowestUpload
      const answerOf = async (watch: Watch) => {
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
      }
      return this.#attempts(signal, answerOf, { patience, who: away ? `storage at ${host}` : undefined })
    }
  }

  /**
   * A range of a file, or the whole file, complete and with the expected entity tag, and the address it came from after redirections.
   * When a transfer breaks, only the rest is requested again.
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
      // Servers may compress a whole file and then cannot serve ranges of it, so only real parts are requested as ranges.
      const whole = from === 0 && end === size
      const headers: Record<string, string> = whole ? {} : { Range: `bytes=${from}-${end - 1}` }
      const response = await this.#open(url, { headers }, watch)
      source = response.url || url
      const wrong = (what: string) =>
        new Trouble('hub-answer', what, 'A proxy in between may be the cause; try again, or use another address.')
      try {
        if (!whole && response.status !== 206) throw wrong(`answered a range request with status ${response.status}`)
        const said = /^bytes (\d+)-(\d+)\//.exec(response.headers.get('content-range') ?? '')
        if (!whole && said && (Number(said[1]) !== from || Number(said[2]) !== end - 1))
          throw wrong(`sent bytes ${said[1]} to ${said[2]} of a file instead of ${from} to ${end - 1}`)
        const tag = entityTag(response)
        if (etag !== null && tag !== null && tag !== etag)
          throw new Trouble('hub-changed', 'sent a range of another version of the file', 'Open the model again to read the new version.')
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
            have = start // an answer that claims to be complete but is not cannot be trusted
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

  /** Sends one request and returns its response, the body unread. @throws Trouble, HttpError */
  async #open(url: string, init: RequestInit | undefined, watch: Watch): Promise<Response> {
    this.#meter.asked()
    const headers = new Headers(init?.headers)
    if (new URL(url).origin === this.origin) {
      headers.delete('Authorization')
      if (this.#token) headers.set('Authorization', `Bearer ${this.#token}`)
    }
    const response = await watch.guard(this.#fetch(url, { ...init, headers, signal: watch.signal, ...alone }))
    watch.fed()
    const { status } = response
    if (status < 400) return response
    const reason = response.headers.get('x-error-code') ?? ''
    response.body?.cancel().catch(() => {})
    if (status === 429 || status === 408) {
      throw new Trouble(
        'hub-busy',
        'limits the rate of requests (429)',
        'Wait a few minutes, or sign in: accounts have higher limits.',
        retryAfter(response),
      )
    }
    if (status >= 500) {
      throw new Trouble('hub-busy', `has an internal problem (${status})`, 'Try again later.', retryAfter(response))
    }
    throw new HttpError(status, reason, sentenceOf(response.headers.get('x-error-message') ?? ''))
  }

  async #body(response: Response, watch: Watch, take: (part: Uint8Array<ArrayBuffer>) => void): Promise<void> {
    const reader = response.body?.getReader()
    if (!reader) return
    try {
      while (true) {
        const { done, value } = await watch.guard(reader.read())
        if (done) return
        watch.fed()
        this.#meter.received(value.length)
        take(value)
      }
    } catch (error) {
      reader.cancel().catch(() => {})
      throw error
    }
  }

  /** A request to another host, without the token; its body is counted and watched for stalls. */
  async #foreign(url: string, init?: RequestInit): Promise<Response> {
    this.#meter.asked()
    const watch = new Watch(this.#stall, this.#stop.signal)
    const over = this.#meter.begin()
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
          this.#meter.received(value.length)
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

  // ---------------------------------------------------------------- retries

  /** `patience`: milliseconds beyond the stall; `who`: whom the request is for. */
  async #attempts<T>(
    signal: AbortSignal | undefined,
    work: (watch: Watch, progress: () => void) => Promise<T>,
    { patience = 0, who = `Hub at ${this.host}` } = {},
  ): Promise<T> {
    const stop = signal ? AbortSignal.any([this.#stop.signal, signal]) : this.#stop.signal
    await this.#enter(stop)
    const over = this.#meter.begin()
    try {
      for (let failed = 0; ; ) {
        const watch = new Watch(this.#stall + patience, stop)
        try {
          const result = await work(watch, () => {
            failed = 0
          })
          this.#meter.wait(null)
          return result
        } catch (error) {
          stop.throwIfAborted()
          const offline = !this.#online() || isOffline(error)
          const trouble = error instanceof Trouble ? error : failure(error, offline)
          failed++
          if (offline) {
            // Without a network, retries are useless, but a job waits until it is back.
            if (!this.patient) throw this.#final(trouble, who)
            failed = Math.min(failed, this.#tries - 1)
          }
          const delay = trouble.after ?? Math.min(longestDelay, firstDelay * 2 ** (failed - 1)) * (0.5 + this.#random() / 2)
          // A wrong answer may be the fault of one proxy, but waiting does not fix it; and a user should learn soon that an address is
          // wrong.
          const soon = trouble.code === 'hub-unreachable' ? !this.patient : trouble.code !== 'hub-busy'
          const tries = soon && !offline ? fewTries : this.#tries
          if (failed >= tries || delay > longestAfter) throw this.#final(trouble, who)
          this.#meter.wait(`${offline ? 'There is no network' : `The ${who} ${trouble.what}`}; trying again in ${seconds(delay)}.`)
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

  #final({ code, what, hint, after, cause }: Trouble, who: string): WorkbenchError {
    this.#meter.wait(null)
    if (code === 'offline') return new WorkbenchError(code, 'There is no network connection.', hint, { cause })
    const wait = after !== null && after > longestAfter ? ` It asks to wait ${seconds(after)}.` : ''
    return new WorkbenchError(code, `The ${who} ${what}.${wait}`, hint, { cause })
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
}

/** Bytes of a request's body. */
function sizeOf(body: RequestInit['body']): number {
  if (typeof body === 'string') return body.length
  if (body instanceof Blob) return body.size
  return ArrayBuffer.isView(body) || body instanceof ArrayBuffer ? body.byteLength : 0
}

/** The entity tag, without the suffix of a compressing proxy. */
function entityTag({ headers }: Response): string | null {
  return (
    headers
      .get('etag')
      ?.replace(/^W\//, '')
      .replace(/-(gzip|br)"$/, '"') ?? null
  )
}
