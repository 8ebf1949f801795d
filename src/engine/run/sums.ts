/** What the inputs of a stage sum up to, over the calibration windows and over the held-out ones. */
import type { TokenBatch } from '../../eval/perplexity.ts'
import type { Device } from '../../gpu/device.ts'
import { absSum, gemm, gramUpper, mirror, subtract } from '../../gpu/ops.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import type { InputSums } from '../../quant/target.ts'

export class StageSums {
  readonly seen: InputSums
  /** Of the held-out windows, when there are any. */
  readonly heldOut: InputSums | null
  /** Σ |x_j| over the calibration windows, `[p]`, for solvers that rescale inputs. */
  readonly sizes: Tensor | null

  /** `compared`: the inputs in the full-precision model are added beside those that the linears get. */
  constructor(
    readonly gpu: Device,
    { name, p }: { name: string; p: number },
    { heldOut, compared, sizes }: { heldOut: boolean; compared: boolean; sizes: boolean },
  ) {
    const sum = (what: string) => {
      const tensor = gpu.empty([p, p], 'f32', `${what} of ${name}`)
      gpu.clear(tensor)
      return tensor
    }
    const cross = (on: boolean) => (on ? sum('The cross products') : null)
    this.seen = { gram: sum('The Gram matrix'), cross: cross(compared), drift: null }
    const own = () => ({ gram: sum('The held-out Gram matrix'), cross: cross(compared), drift: compared ? sum('The drift') : null })
    this.heldOut = heldOut ? own() : null
    this.sizes = sizes ? gpu.zeros([p]) : null
  }

  /**
   * Adds the inputs `[tokens, p]` of a batch; `full`: the same in the full-precision model. Window by window, so that no float32 sum
   * gets longer than a sequence before it is added to the rest.
   */
  add(to: InputSums, input: Tensor, full: Tensor | null, { windows, t, length }: TokenBatch): void {
    const { gpu } = this
    const { gram, cross, drift } = to
    const moved = full && cross ? difference(gpu, full, input) : null
    const p = input.cols
    for (let w = 0; w < windows; w++) {
      gramUpper(gpu, input, gram, w * t, length)
      if (this.sizes && to === this.seen) absSum(gpu, input, this.sizes, w * t, length)
      if (!moved || !cross) continue
      const rows = { k: length, lda: p, ldb: p, ldc: p, a0: w * t * p, b0: w * t * p }
      gemm(gpu, { a: input, b: moved, c: cross, m: p, n: p, ta: true, beta: 1, ...rows })
      if (drift) gramUpper(gpu, moved, drift, w * t, length)
    }
    moved?.dispose()
  }

  /** Completes the symmetric sums; once, after the last batch. */
  finish(): void {
    for (const { gram, drift } of [this.seen, this.heldOut].filter((sums) => sums !== null)) {
      mirror(this.gpu, gram)
      if (drift) mirror(this.gpu, drift)
    }
  }

  dispose(): void {
    for (const sums of [this.seen, this.heldOut]) for (const tensor of Object.values(sums ?? {})) tensor?.dispose()
    this.sizes?.dispose()
  }
}

function difference(gpu: Device, x: Tensor, y: Tensor): Tensor {
  const out = gpu.empty(x.shape)
  gpu.copy(x, out)
  subtract(gpu, out, y)
  return out
}
