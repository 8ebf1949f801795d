/** Whether the work of a device still counts: it may have been lost, or have reported an error at any time. */
import { lostError, uncaptured } from '../failure.ts'

export class Failures {
  /** The device is gone for good. */
  lost = false
  first: Error | null = null
  /** Settles once there is a failure. */
  readonly happened: Promise<void>
  #happen: () => void = () => {}
  /** What must be known before work counts as done: whether pipelines could be made, what an error means. */
  readonly #verdicts = new Set<Promise<void>>()

  /** `told` hears of the first failure. */
  constructor(
    device: GPUDevice,
    readonly told: (error: Error) => void,
  ) {
    this.happened = new Promise((resolve) => {
      this.#happen = resolve
    })
    void device.lost.then((lost) => {
      this.lost = true
      this.#fail(lostError(lost))
    })
    device.onuncapturederror = ({ error }) => {
      // A kernel that could not be compiled leads to errors wherever it is used; its own says more.
      const compiling = [...this.#verdicts]
      this.await(Promise.all(compiling).then(() => uncaptured(error)))
    }
  }

  /** Keeps work from counting as done until `verdict` is in, which may be that it failed. */
  await(verdict: Promise<Error | null>): void {
    const known = verdict.then((error) => {
      if (error) this.#fail(error)
    })
    this.#verdicts.add(known)
    void known.finally(() => this.#verdicts.delete(known))
  }

  /** Waits for all verdicts. @throws the first failure */
  async throwIfAny(): Promise<void> {
    while (this.#verdicts.size) await Promise.all(this.#verdicts)
    if (this.first) throw this.first
  }

  #fail(error: Error): void {
    if (!this.first) {
      this.first = error
      this.told(error)
    }
    this.#happen()
  }
}
