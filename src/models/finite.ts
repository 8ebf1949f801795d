/** Whether weights are finite, asked while they are converted. */
import { WorkbenchError } from '../errors.ts'
import type { Device } from '../gpu/device.ts'
import type { Tensor } from '../gpu/tensor.ts'

/** Counts Inf and NaN per tensor while a batch of them is converted; one readback says where they were. */
export class FiniteCheck {
  readonly #counts: Tensor
  readonly #names: string[] = []

  constructor(
    readonly gpu: Device,
    most: number,
  ) {
    this.#counts = gpu.zeros([most * 64], 'u32')
  }

  /** A counter of its own for one tensor. */
  counter(name: string): Tensor {
    this.#names.push(name)
    return this.#counts.view([1], (this.#names.length - 1) * 64)
  }

  async finish(): Promise<void> {
    const counts = await this.gpu.read(this.#counts)
    this.#counts.dispose()
    const at = this.#names.findIndex((_, i) => counts[i * 64] > 0)
    if (at < 0) return
    throw new WorkbenchError(
      'weights-not-finite',
      `${this.#names[at]} contains ${counts[at * 64]} values that are NaN or infinite.`,
      'The checkpoint is damaged or its training diverged; download it again or choose another.',
    )
  }
}
