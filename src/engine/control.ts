/** Pause, resume and stop; the engine checks them between GPU submits. */
import { WorkbenchError } from '../errors.ts'

export class Control {
  readonly #abort = new AbortController()
  #stopped: WorkbenchError | null = null
  /** Seconds of finished pauses. */
  #waited = 0
  /** When the current pause began; null while the job still works towards a point where it can pause. */
  #stoodStill: number | null = null
  #resume: (() => void) | null = null
  #paused: Promise<void> | null = null

  cancel(): void {
    this.stop(new WorkbenchError('cancelled', 'The run was cancelled.'))
  }

  /** Stops the job with this error. */
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
    if (this.#stoodStill !== null) this.#waited += now() - this.#stoodStill
    this.#stoodStill = null
    this.#resume?.()
    this.#resume = null
    this.#paused = null
  }

  /** Seconds on a clock that stops while the job is paused or waits for storage; only differences are meaningful. */
  get clock(): number {
    return (this.#stoodStill ?? now()) - this.#waited
  }

  get cancelled(): boolean {
    return this.#stopped?.code === 'cancelled'
  }

  /** Aborted by `stop` and `cancel`, for work that waits outside of GPU submits. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Whether the job has been stopped. */
  get stopped(): boolean {
    return this.#stopped !== null
  }

  get paused(): boolean {
    return this.#paused !== null
  }

  /** Waits while paused. @throws WorkbenchError what `stop` was given; `cancelled` */
  async check(): Promise<void> {
    if (this.#paused && !this.#stopped) {
      this.#stoodStill ??= now()
      await this.#paused
    }
    if (this.#stopped) throw this.#stopped
  }
}

const now = () => performance.now() / 1000
