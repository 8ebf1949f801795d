/** Linears of a stage wait for their results together. */
import type { Control } from '../control.ts'

/** Waits for the result of a solved linear, tells it and keeps it. */
export type Settle = () => Promise<void>

/** Linears wait for their results together, but none longer than this, s. */
const SETTLE_SECONDS = 1

/** The linears of a stage that are solved and not yet settled. */
export class Settling {
  #waiting: Settle[] = []
  #since: number

  constructor(readonly control: Control) {
    this.#since = control.clock
  }

  async after(settle: Settle): Promise<void> {
    this.#waiting.push(settle)
    if (this.control.clock - this.#since >= SETTLE_SECONDS) await this.all()
  }

  async all(): Promise<void> {
    for (const settle of this.#waiting.splice(0)) await settle()
    this.#since = this.control.clock
  }
}
