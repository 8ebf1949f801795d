/**
 * Progress in floating-point operations, planned by the same formulas that the operations count by. Kinds of work run at
 * different rates, so the time left is summed kind by kind, each at the rate it was seen to run.
 */

export const kinds = ['forward', 'solve'] as const
export type Kind = (typeof kinds)[number]
export type Work = Record<Kind, number>

export class Progress {
  readonly #done: Work = { forward: 0, solve: 0 }
  readonly #seconds: Work = { forward: 0, solve: 0 }
  #kind: Kind = 'forward'
  #at: number
  #flops: number
  #started: number

  constructor(
    /** What the whole job will take. */
    readonly planned: Work,
    /** Operations so far, from the device. */
    readonly counter: () => number,
    readonly clock: () => number = () => performance.now() / 1000,
  ) {
    this.#started = this.#at = clock()
    this.#flops = counter()
  }

  /** What follows is work of this kind. */
  enter(kind: Kind): void {
    this.#settle()
    this.#kind = kind
  }

  /** Seconds that passed without work (a pause) say nothing about the rate. */
  skip(seconds: number): void {
    this.#at += seconds
    this.#started += seconds
  }

  /** `eta` is null until a rate is known. */
  read(): { done: number; elapsed: number; eta: number | null } {
    this.#settle()
    const total = sum(this.planned)
    const done = sum(this.#done)
    const seconds = sum(this.#seconds)
    let eta: number | null = null
    if (done > 0 && seconds > 0.5) {
      eta = 0
      for (const kind of kinds) {
        const left = Math.max(0, this.planned[kind] - this.#done[kind])
        const known = this.#done[kind] > 0.02 * this.planned[kind] && this.#seconds[kind] > 0
        eta += left / (known ? this.#done[kind] / this.#seconds[kind] : done / seconds)
      }
    }
    return { done: total ? Math.min(1, done / total) : 0, elapsed: this.#at - this.#started, eta }
  }

  #settle(): void {
    const now = this.clock()
    const flops = this.counter()
    this.#seconds[this.#kind] += now - this.#at
    this.#done[this.#kind] += flops - this.#flops
    this.#at = now
    this.#flops = flops
  }
}

const sum = (work: Work) => kinds.reduce((total, kind) => total + work[kind], 0)
