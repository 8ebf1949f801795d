/** Ends a request that stalls or is cancelled, and a wait. */
import { Trouble, seconds } from './trouble.ts'

/** Aborts a request when nothing was received for too long, or when everything is cancelled. */
export class Watch {
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

  /** Something was received. */
  fed(): void {
    clearTimeout(this.#timer)
    const what = `sent nothing for ${seconds(this.ms)}`
    this.#timer = setTimeout(
      () => this.#stalled.abort(new Trouble('hub-unreachable', what, 'Check the connection, then try again.')),
      this.ms,
    )
  }

  /** The promise, or the reason of the abort, whichever is first. */
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

export function sleep(ms: number, signal: AbortSignal): Promise<void> {
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
