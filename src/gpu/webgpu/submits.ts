/** How much work one submit holds, and how many are queued: learned from how long they take. */

/** How long one submit may keep a real GPU: far below every watchdog (2 s on Windows), short enough to cancel. */
const SUBMIT_SECONDS = 0.06
/** Submits queued ahead, so that the GPU never waits for the next one; more where their end is noticed late. */
const IN_FLIGHT = 2

interface Submit {
  done: Promise<void>
  flops: number
  at: number
}

export class Submits {
  /** Floating-point operations per submit; grows from measurement. */
  budget = 2e8
  readonly #inFlight: Submit[] = []
  #lastDone = 0
  /** Work of a stretch without a pause, and its begin: long enough, it tells the rate. */
  #stretch = { since: 0, flops: 0, submits: 0 }

  constructor(
    /** How late the end of work is noticed, s. */
    readonly tick: number,
  ) {}

  add(done: Promise<void>, flops: number): void {
    this.#inFlight.push({ done, flops, at: performance.now() })
  }

  /** Waits until few enough are queued. */
  async makeRoom(): Promise<void> {
    const most = IN_FLIGHT + Math.ceil((2 * this.tick) / SUBMIT_SECONDS)
    while (this.#inFlight.length > most) await this.#settle()
  }

  /** Waits until all are done. */
  async drain(): Promise<void> {
    while (this.#inFlight.length) await this.#settle()
  }

  /** A submit holds as much as a rate, FLOP/s, allows. */
  learn(rate: number): void {
    this.#fit(rate * SUBMIT_SECONDS)
  }

  async #settle(): Promise<void> {
    const submit = this.#inFlight.shift()
    if (!submit) return
    await submit.done
    const now = performance.now()
    const stretch = this.#stretch
    if (submit.at > this.#lastDone) Object.assign(stretch, { since: submit.at, flops: 0, submits: 0 })
    this.#lastDone = now
    stretch.flops += submit.flops
    stretch.submits++
    const seconds = (now - stretch.since) / 1000
    if (seconds <= 5 * this.tick) return
    // Only submits that were nearly full say something about how much fits.
    if (stretch.flops > (stretch.submits * this.budget) / 2) {
      this.#fit(Math.min(this.budget * 2, (this.budget + (stretch.flops / seconds) * SUBMIT_SECONDS) / 2))
    }
    Object.assign(stretch, { since: now, flops: 0, submits: 0 })
  }

  #fit(budget: number): void {
    this.budget = Math.min(1e12, Math.max(2e7, budget))
  }
}
