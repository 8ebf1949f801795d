/** Linears of a stage wait for their results together. */
import type { Control } from '../control.ts'

/** Waits for the result of a solved linear, tells it and keeps it. */
export type Settle = () => Promise<void>

/** Linears wait for their results together, but none longer than this, s, and no more of them than hold so many bytes. */
const SETTLE_SECONDS = 1
const SETTLE_BYTES = 64 << 20

/** The linears of a stage that are solved and not yet settled. */
export class Settling {
  #waiting: Settle[] = []
  #bytes = 0
  #since: number

  constructor(readonly control: Control) {
    this.#since = control.clock
  }

  /** `bytes`: what the result holds on the GPU until it is settled. */
  async after(settle: Settle, bytes: number): Promise<void> {
    this.#waiting.push(settle)
    this.#bytes += bytes
    if (this.#bytes > SETTLE_BYTES || this.control.clock - this.#since >= SETTLE_SECONDS) await this.all()
  }

  async all(): Promise<void> {
    for (const settle of this.#waiting.splice(0)) await settle()
    this.#bytes = 0
    this.#since = this.control.clock
  }
}
