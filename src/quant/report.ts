/** What a solver says while it is at work. */
import type { Device } from '../gpu/device.ts'
import { Reading } from '../gpu/reading.ts'
import type { ObjectivePoint, SolverHooks } from './solver.ts'

/**
 * Reports how the objective falls without making the GPU wait for it: what was not looked at on the way is told with the
 * result, when that is awaited.
 */
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

  /** Whether anybody listens; otherwise there is no need to ask for points. */
  get wanted(): boolean {
    return this.hooks.report !== undefined
  }

  /** What a reading that was just asked for will say. */
  add(points: Reading<ObjectivePoint[]>): void {
    this.#points.push(points)
    if (this.#looking || performance.now() - this.#looked < this.gpu.lookEvery) return
    this.#looking = true
    this.#tell().then(
      () => {
        this.#looking = false
        this.#looked = performance.now()
      },
      () => {}, // told to whoever awaits the result
    )
  }

  /** `value`, once all is told. */
  before<T>(value: Reading<T>): Reading<T> {
    return Reading.all([value, this.#tell()]).map(([first]) => first)
  }

  /** Tells what was added so far, each once and in order. */
  #tell(): Reading<void> {
    const tell = async (all: ObjectivePoint[][]) => {
      while (this.#told < all.length) {
        // Counted even where nobody listens: the arguments of a call that is not made are not looked at.
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
