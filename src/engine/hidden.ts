/** Hidden states between two blocks, batch by batch: on the GPU while they fit, otherwise parked on the host. */
import type { TokenBatch } from '../eval/perplexity.ts'
import type { Gpu } from '../gpu/device.ts'
import type { Tensor } from '../gpu/tensor.ts'

export class Hidden {
  readonly #states: (Tensor | Float32Array<ArrayBuffer> | null)[]

  constructor(
    readonly gpu: Gpu,
    readonly batches: TokenBatch[],
    readonly width: number,
    /** Bytes that may stay on the GPU. */
    readonly budget: number,
  ) {
    this.#states = batches.map(() => null)
  }

  /** The states of batch i `[windows · t, width]`; `give` them back when done. */
  take(i: number): Tensor {
    const state = this.#states[i]
    if (!state) throw new Error(`The hidden states of batch ${i} were never made.`)
    this.#states[i] = null
    if (!(state instanceof Float32Array)) return state
    return this.gpu.upload(state, [this.batches[i].windows * this.batches[i].t, this.width])
  }

  /** Replaces the states of batch i and takes over the tensor. */
  async give(i: number, states: Tensor): Promise<void> {
    this.#drop(i)
    const onGpu = this.#states.reduce((sum, state) => sum + (state && !(state instanceof Float32Array) ? state.bytes : 0), 0)
    if (onGpu + states.bytes <= this.budget) {
      this.#states[i] = states
      return
    }
    this.#states[i] = (await this.gpu.read(states)) as Float32Array<ArrayBuffer>
    states.dispose()
  }

  /** A second copy that can be carried on without touching this one. */
  async fork(): Promise<Hidden> {
    const copy = new Hidden(this.gpu, this.batches, this.width, this.budget)
    for (let i = 0; i < this.batches.length; i++) {
      const states = this.take(i)
      const twin = this.gpu.empty(states.shape)
      this.gpu.copy(states, twin)
      await this.give(i, states)
      await copy.give(i, twin)
    }
    return copy
  }

  #drop(i: number): void {
    const state = this.#states[i]
    if (state && !(state instanceof Float32Array)) state.dispose()
    this.#states[i] = null
  }

  dispose(): void {
    this.#states.forEach((_, i) => this.#drop(i))
  }
}
