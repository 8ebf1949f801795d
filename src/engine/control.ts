/** Pause, resume and cancel; the engine asks between submits. */
import { WorkbenchError } from '../errors.ts'

export class Control {
  readonly #abort = new AbortController()
  #resume: (() => void) | null = null
  #paused: Promise<void> | null = null

  cancel(): void {
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
    return this.signal.aborted
  }

  /** For what waits outside of the GPU's submits. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get paused(): boolean {
    return this.#paused !== null
  }

  /** Waits while paused. @throws WorkbenchError `cancelled` */
  async check(): Promise<void> {
    if (this.#paused) await this.#paused
    if (this.cancelled) throw new WorkbenchError('cancelled', 'The run was cancelled.', 'What was finished is kept.')
  }
}
