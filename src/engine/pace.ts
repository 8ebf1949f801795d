/**
 * How much longer runs take than they were foreseen to. A forecast counts operations, dispatches and waits at rates that were
 * measured in a moment; journals, files, small shapes and other programs are not in it. So each finished run corrects the forecasts
 * that follow: those of its own method by its own factor, the others by the middle of all.
 */
export class Pace {
  readonly #foreseen = new Map<string, { method: string; seconds: number }>()
  readonly #factors = new Map<string, number>()

  /** What was foreseen of a run, s, before any correction. */
  expect(run: string, method: string, seconds: number): void {
    this.#foreseen.set(run, { method, seconds })
  }

  /** What it took, s, pauses not counted. */
  learn(run: string, seconds: number): void {
    const expected = this.#foreseen.get(run)
    if (!expected || !(expected.seconds > 0) || !(seconds > 0)) return
    this.#factors.set(expected.method, seconds / expected.seconds)
  }

  /** Times as long as foreseen, for this method; 1 as long as nothing has run. */
  factor(method: string): number {
    const own = this.#factors.get(method)
    if (own !== undefined) return own
    const all = [...this.#factors.values()].sort((a, b) => a - b)
    return all.length ? all[all.length >> 1] : 1
  }
}
