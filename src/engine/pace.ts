/**
 * Corrects time forecasts by what ran on this device. A forecast counts operations, dispatches and waits at rates from short
 * measurements; small shapes, files and other programs are not in it. So every finished block corrects the forecasts that follow: those
 * of its own method by its own factor, others by the median of all. What it takes to keep a solved linear, in the journal and in files,
 * depends on no method and is measured by itself: on small linears it is most of the time.
 */

/** Seconds to keep a linear, until that was measured. */
const KEEP_SECONDS = 0.004
/** So many were kept before their mean is taken. */
const KEPT_LEAST = 3

/** What a run takes by its forecast. */
export interface Foreseen {
  method: string
  /** Of its operations, dispatches, waits and reading, s. */
  seconds: number
  /** To be solved and kept. */
  linears: number
}

export class Pace {
  readonly #foreseen = new Map<string, Foreseen>()
  readonly #factors = new Map<string, number>()
  /** Of the run under way. */
  #keeping = 0
  readonly #kept = { linears: 0, seconds: 0 }

  /** Forecast of a run before any correction. */
  expect(run: string, foreseen: Foreseen): void {
    this.#foreseen.set(run, foreseen)
  }

  /** Another run is under way. */
  begin(): void {
    this.#keeping = 0
  }

  /** It took so long, s, to keep a linear. */
  keep(seconds: number): void {
    this.#keeping += seconds
    this.#kept.linears++
    this.#kept.seconds += seconds
  }

  /** So much of the run under way, as a part of 1, took so long without pauses, s. */
  learn(run: string, seconds: number, share = 1): void {
    const expected = this.#foreseen.get(run)
    if (!expected || !(expected.seconds > 0) || !(seconds > 0) || !(share > 0)) return
    // Keeping may go on while the device computes.
    const rest = Math.max(seconds - this.#keeping, seconds / 100)
    this.#factors.set(expected.method, rest / (expected.seconds * share))
  }

  /** Actual over forecast time of what a method computes; 1 until a block has finished. */
  factor(method: string): number {
    const own = this.#factors.get(method)
    if (own !== undefined) return own
    const all = [...this.#factors.values()].sort((a, b) => a - b)
    return all.length ? all[all.length >> 1] : 1
  }

  /** Seconds that a run takes at the pace so far. */
  seconds({ method, seconds, linears }: Foreseen): number {
    const { linears: count, seconds: taken } = this.#kept
    return seconds * this.factor(method) + linears * (count < KEPT_LEAST ? KEEP_SECONDS : taken / count)
  }

  /** The same of a run that was foreseen; null where it was not. */
  expected(run: string): number | null {
    const foreseen = this.#foreseen.get(run)
    return foreseen ? this.seconds(foreseen) : null
  }
}
