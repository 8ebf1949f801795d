/** Pause, resume and stop; the engine asks between submits. */
import { WorkbenchError } from '../errors.ts'

export class Control {
  readonly #abort = new AbortController()
  #stopped: WorkbenchError | null = null
  /** Seconds of pauses that are over. */
  #waited = 0
  /** When the job stood still, in a pause that lasts; null while it works on to the next place where it can stop. */
  #stoodStill: number | null = null
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
    if (this.#stoodStill !== null) this.#waited += now() - this.#stoodStill
    this.#stoodStill = null
    this.#resume?.()
    this.#resume = null
    this.#paused = null
  }

  /** Seconds on a clock that stands still while the job is paused or waits for storage; only differences mean something. */
  get clock(): number {
    return (this.#stoodStill ?? now()) - this.#waited
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
      this.#stoodStill ??= now()
      await this.#paused
    }
    if (this.#stopped) throw this.#stopped
  }
}

const now = () => performance.now() / 1000
