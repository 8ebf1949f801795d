/**
 * Corrects time forecasts by earlier runs. A forecast counts operations, dispatches and waits at rates from short measurements; journals,
 * files, small shapes and other programs are not included. So each finished run corrects later forecasts: those of its own method by its
 * own factor, others by the median of all.
 */
export class Pace {
  readonly #foreseen = new Map<string, { method: string; seconds: number }>()
  readonly #factors = new Map<string, number>()

  /** Forecast of a run before any correction, s. */
  expect(run: string, method: string, seconds: number): void {
    this.#foreseen.set(run, { method, seconds })
  }

  /** Its time without pauses, s. */
  learn(run: string, seconds: number): void {
    const expected = this.#foreseen.get(run)
    if (!expected || !(expected.seconds > 0) || !(seconds > 0)) return
    this.#factors.set(expected.method, seconds / expected.seconds)
  }

  /** Actual over forecast time for this method; 1 until a run has finished. */
  factor(method: string): number {
    const own = this.#factors.get(method)
    if (own !== undefined) return own
    const all = [...this.#factors.values()].sort((a, b) => a - b)
    return all.length ? all[all.length >> 1] : 1
  }
}
