/**
 * Progress in floating-point operations, planned by the same formulas that the operations count by. Kinds of work (the
 * forward pass, each method's solving) run at different rates, so the time left is summed kind by kind, each at the
 * rate it was seen to run.
 */

/** Until then no time left is told: while kernels are compiled, the rate says nothing of what comes. */
const TOLD = { share: 0.02, seconds: 20 }
export const tellsTime = (share: number, seconds: number) => share >= TOLD.share || seconds >= TOLD.seconds

/** Operations by kind. */
export type Work = ReadonlyMap<string, number>

export class Progress {
  readonly #done = new Map<string, number>()
  /** Done at another time: counts, but says nothing about the rate. */
  readonly #credit = new Map<string, number>()
  readonly #seconds = new Map<string, number>()
  #kind = ''
  #at: number
  #flops: number
  #started: number

  constructor(
    /** What the whole job will take. */
    readonly planned: Work,
    /** Operations so far, from the device. */
    readonly counter: () => number,
    /** Seconds; stands still while the job is paused. */
    readonly clock: () => number,
  ) {
    this.#started = this.#at = clock()
    this.#flops = counter()
  }

  /** What follows is work of this kind. */
  enter(kind: string): void {
    this.#settle()
    this.#kind = kind
  }

  /**
   * So much of this kind is behind us by the plan, whatever was counted: some of it was done at another time, some twice, and
   * plans are not exact. Called where a part of the plan ends, so that the whole of it ends at 100 %.
   */
  reach(kind: string, operations: number): void {
    this.#settle()
    this.#credit.set(kind, operations - (this.#done.get(kind) ?? 0))
  }

  /** Work of this kind that need not be done again. */
  credit(kind: string, operations: number): void {
    this.#credit.set(kind, (this.#credit.get(kind) ?? 0) + operations)
  }

  /** Operations done and credited so far. */
  get work(): number {
    this.#settle()
    return sum(this.#done) + sum(this.#credit)
  }

  /** `eta` is null until a rate is known. */
  read(): { done: number; elapsed: number; eta: number | null } {
    this.#settle()
    const total = sum(this.planned)
    const done = sum(this.#done)
    const credit = sum(this.#credit)
    const seconds = sum(this.#seconds)
    let eta: number | null = null
    if (done > 0 && seconds > 0.5 && tellsTime(done / total, seconds)) {
      eta = 0
      for (const [kind, planned] of this.planned) {
        const finished = this.#done.get(kind) ?? 0
        const left = Math.max(0, planned - finished - (this.#credit.get(kind) ?? 0))
        const known = finished > 0.02 * planned
        eta += left / (known ? finished / (this.#seconds.get(kind) || 1e-9) : done / seconds)
      }
    }
    const share = total ? (done + credit) / total : 0
    // Sums in another order are a rounding away from the whole.
    return { done: share > 1 - 1e-9 ? 1 : share, elapsed: this.#at - this.#started, eta }
  }

  #settle(): void {
    const now = this.clock()
    const flops = this.counter()
    const add = (to: Map<string, number>, value: number) => to.set(this.#kind, (to.get(this.#kind) ?? 0) + value)
    add(this.#seconds, now - this.#at)
    add(this.#done, flops - this.#flops)
    this.#at = now
    this.#flops = flops
  }
}

const sum = (work: Work) => [...work.values()].reduce((total, value) => total + value, 0)
