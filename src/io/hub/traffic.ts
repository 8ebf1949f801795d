/** Counts what comes over the network and tells listeners of it, a few times a second at most. */
import type { ErrorCode } from '../../errors.ts'

/** Traffic since the engine started; in events and reports of a job, since the job started. */
export interface Traffic {
  /** Bytes of response bodies received. */
  fetched: number
  /** Bytes read from the cache instead. */
  cached: number
  requests: number
  /** Requests in flight. */
  underWay: number
  /** Bytes per second over the last few seconds. */
  rate: number
  /** Why nothing is received now, as a sentence; null otherwise. */
  waiting: string | null
}

export type NetworkEvent =
  | { type: 'traffic'; traffic: Traffic }
  | { type: 'notice'; code: ErrorCode | 'note'; message: string; hint: string }

/** Milliseconds over which the rate is taken, and between two reports. */
const rateWindow = 3000
const eventEvery = 250

export class Meter {
  readonly #listeners = new Set<(event: NetworkEvent) => void>()
  readonly #recent: { at: number; bytes: number }[] = []
  readonly #traffic: Traffic = { fetched: 0, cached: 0, requests: 0, underWay: 0, rate: 0, waiting: null }
  #told = 0
  #fading: ReturnType<typeof setTimeout> | undefined

  get traffic(): Traffic {
    return { ...this.#traffic, rate: this.#rate() }
  }

  listen(listener: (event: NetworkEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  say(event: NetworkEvent): void {
    for (const listener of this.#listeners) listener(event)
  }

  /** A request is sent. */
  asked(): void {
    this.#traffic.requests++
  }

  /** Bytes of an answer came. */
  received(bytes: number): void {
    this.#traffic.fetched += bytes
    this.#traffic.waiting = null
    this.#recent.push({ at: performance.now(), bytes })
    this.#tell()
  }

  /** Bytes came from the cache. */
  cached(bytes: number): void {
    this.#traffic.cached += bytes
    this.#tell()
  }

  /** Counts a request as in flight until the returned function is called; calling it twice is harmless. */
  begin(): () => void {
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

  /** Why nothing is received; null when that is over. */
  wait(why: string | null): void {
    if (this.#traffic.waiting === why) return
    this.#traffic.waiting = why
    this.#tell(true)
  }

  #rate(): number {
    const now = performance.now()
    while (this.#recent.length && this.#recent[0].at < now - rateWindow) this.#recent.shift()
    const first = this.#recent.at(0)
    if (!first) return 0
    const bytes = this.#recent.reduce((sum, one) => sum + one.bytes, 0)
    return bytes / (Math.max(eventEvery, now - first.at) / 1000)
  }

  #tell(now = false): void {
    const time = performance.now()
    if (!this.#listeners.size || (!now && time - this.#told < eventEvery)) return
    this.#told = time
    const { traffic } = this
    this.say({ type: 'traffic', traffic })
    // Reported again when nothing is received any more.
    clearTimeout(this.#fading)
    if (traffic.rate > 0) {
      this.#fading = setTimeout(() => this.#tell(true), 1000)
      // This timer must not keep a terminal program running.
      if (typeof this.#fading === 'object') this.#fading.unref()
    }
  }
}
