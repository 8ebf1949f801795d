/** Pause, resume and stop; the engine asks between submits. */
import { WorkbenchError } from '../errors.ts'

export class Control {
  readonly #abort = new AbortController()
  #stopped: WorkbenchError | null = null
  /** Seconds spent paused. */
  waited = 0
  #resume: (() => void) | null = null
  #paused: Promise<void> | null = null

  cancel(): void {
    this.stop(new WorkbenchError('cancelled', 'The run was cancelled.', 'What was finished is kept.'))
  }

  /** Ends everything with this error. */
  stop(error: WorkbenchError): void {
    this.#stopped ??= error
    this.#abort.abort()
    this.resume()
  }

  pause(): void {
    this.#paused ??= new Promise((resolve) => {
      this.#resume = resolve
    })
  }

  resume(): void {
    this.#resume?.()
    this.#resume = null
    this.#paused = null
  }

  get cancelled(): boolean {
    return this.#stopped?.code === 'cancelled'
  }

  /** Aborted by `stop` and `cancel`, for what waits outside of the GPU's submits. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Nothing more will be done. */
  get stopped(): boolean {
    return this.#stopped !== null
  }

  get paused(): boolean {
    return this.#paused !== null
  }

  /** Waits while paused. @throws WorkbenchError what `stop` was given; `cancelled` */
  async check(): Promise<void> {
    if (this.#paused && !this.#stopped) {
      const before = performance.now()
      await this.#paused
      this.waited += (performance.now() - before) / 1000
    }
    if (this.#stopped) throw this.#stopped
  }
}
