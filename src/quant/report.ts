/** Progress reports of solvers. */
import type { Device } from '../gpu/device.ts'
import { Reading } from '../gpu/reading.ts'
import type { ObjectivePoint, SolverHooks } from './solver.ts'

/** Reports the objective without making the GPU wait: values not yet read are reported when the result is awaited. */
export class ObjectiveReport {
  readonly #points: Reading<ObjectivePoint[]>[] = []
  #told = 0
  #telling = Promise.resolve()
  #looking = false
  #looked = performance.now()

  constructor(
    readonly gpu: Device,
    readonly hooks: SolverHooks,
  ) {}

  /** Whether there is a listener; otherwise no values need to be read. */
  get wanted(): boolean {
    return this.hooks.report !== undefined
  }

  /** Adds a value that is being read from the GPU. */
  add(points: Reading<ObjectivePoint[]>): void {
    this.#points.push(points)
    if (this.#looking || performance.now() - this.#looked < this.gpu.lookEvery) return
    this.#looking = true
    this.#tell().then(
      () => {
        this.#looking = false
        this.#looked = performance.now()
      },
      () => {}, // the error reaches whoever awaits the result
    )
  }

  /** `value`, once everything is reported. */
  before<T>(value: Reading<T>): Reading<T> {
    return Reading.all([value, this.#tell()]).map(([first]) => first)
  }

  /** Reports the values added so far, each once and in order. */
  #tell(): Reading<void> {
    const tell = async (all: ObjectivePoint[][]) => {
      while (this.#told < all.length) {
        // Counted even without a listener.
        const next = all[this.#told++]
        await this.hooks.report?.(next)
      }
    }
    return Reading.all(this.#points.slice()).map((all) => {
      this.#telling = this.#telling.then(() => tell(all))
      return this.#telling
    })
  }
}
