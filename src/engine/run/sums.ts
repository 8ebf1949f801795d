/** What the inputs of a stage sum up to, over the calibration windows and over the held-out ones. */
import type { TokenBatch } from '../../eval/perplexity.ts'
import type { Device } from '../../gpu/device.ts'
import { absSum, diagonal, gemm, gramUpper, mirror, subtract } from '../../gpu/ops.ts'
import { Reading } from '../../gpu/reading.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { isLarge } from '../../quant/solver.ts'
import type { InputSums } from '../../quant/target.ts'

/** The sums that are needed together: Σ by solvers, the cross products by targets, those of held-out windows to measure. */
type Part = 'gram' | 'cross' | 'heldOut'

export class StageSums {
  readonly seen: InputSums
  /** Σ |x_j| over the calibration windows, `[p]`, for solvers that rescale inputs. */
  readonly sizes: Tensor | null
  /** Diagonal of Σ, once the calibration windows are over. */
  diagonal: Reading<Float32Array> | null = null
  #heldOut: InputSums | null = null
  /** On the host, by the tensors that they were read from or became. */
  readonly #shelf = new Map<Tensor, Float32Array<ArrayBuffer>>()
  #complete = 0

  /** `compared`: the inputs in the full-precision model are added beside those that the linears get. `shelves`: large sums wait on the host. */
  constructor(
    readonly gpu: Device,
    readonly linear: { name: string; p: number },
    readonly kind: { compared: boolean; sizes: boolean; shelves: boolean },
  ) {
    this.seen = { gram: this.#zero('The Gram matrix'), cross: kind.compared ? this.#zero('The cross products') : null, drift: null }
    this.sizes = kind.sizes ? gpu.zeros([linear.p]) : null
  }

  /** Bytes on the GPU at most, while a stage's sums are made. */
  static bytes(gpu: Device, p: number, compared: boolean): number {
    const large = isLarge(gpu, p)
    return 4 * p ** 2 * (compared ? (large ? 3 : 5) : large ? 1 : 2)
  }

  /** Of the held-out windows; null when there are none. */
  get heldOut(): InputSums | null {
    return this.#heldOut
  }

  #zero(what: string): Tensor {
    const { name, p } = this.linear
    const tensor = this.gpu.empty([p, p], 'f32', `${what} of ${name}`)
    this.gpu.clear(tensor)
    return tensor
  }

  /** From now on windows are held-out ones. */
  async turn(): Promise<void> {
    this.#finishSeen()
    await this.shelve()
    const own = (what: string) => (this.kind.compared ? this.#zero(what) : null)
    this.#heldOut = { gram: this.#zero('The held-out Gram matrix'), cross: own('The held-out cross products'), drift: own('The drift') }
  }

  /**
   * Adds the inputs `[tokens, p]` of a batch; `full`: the same in the full-precision model. Window by window, so that no float32 sum
   * gets longer than a sequence before it is added to the rest.
   */
  add(input: Tensor, full: Tensor | null, { windows, t, length }: TokenBatch): void {
    const { gpu } = this
    const { gram, cross, drift } = this.#heldOut ?? this.seen
    const moved = full && cross ? difference(gpu, full, input) : null
    const p = input.cols
    for (let w = 0; w < windows; w++) {
      gramUpper(gpu, input, gram, w * t, length)
      if (this.sizes && !this.#heldOut) absSum(gpu, input, this.sizes, w * t, length)
      if (!moved || !cross) continue
      const rows = { k: length, lda: p, ldb: p, ldc: p, a0: w * t * p, b0: w * t * p }
      gemm(gpu, { a: input, b: moved, c: cross, m: p, n: p, ta: true, beta: 1, ...rows })
      if (drift) gramUpper(gpu, moved, drift, w * t, length)
    }
    moved?.dispose()
  }

  /** Completes the sums; once, after the last batch. */
  finish(): void {
    this.#finishSeen()
    if (!this.#heldOut) return
    mirror(this.gpu, this.#heldOut.gram)
    if (this.#heldOut.drift) mirror(this.gpu, this.#heldOut.drift)
  }

  #finishSeen(): void {
    if (this.#complete++) return
    mirror(this.gpu, this.seen.gram)
    this.diagonal = diagonal(this.gpu, this.seen.gram)
  }

  /**
   * Moves all sums but `keeping` to the host, where they are large; `fetch` brings them back. There they stay until the stage is over,
   * so that they are read only once.
   */
  async shelve(...keeping: Part[]): Promise<void> {
    const { gpu } = this
    const waiting = this.#large().filter(([sums, key, part]) => sums[key] && !keeping.includes(part))
    const missing = waiting.filter(([sums, key]) => !this.#shelf.has(sums[key]!))
    const values = await Reading.all(missing.map(([sums, key]) => gpu.read(sums[key]!)))
    for (const [i, [sums, key]] of missing.entries()) {
      this.#shelf.set(sums[key]!, values[i] as Float32Array<ArrayBuffer>)
      gpu.memory.parked += sums[key]!.bytes
    }
    for (const [sums, key] of waiting) sums[key]!.dispose()
  }

  fetch(...parts: Part[]): void {
    for (const [sums, key, part] of this.#large()) {
      const before = sums[key]
      const values = before && this.#shelf.get(before)
      if (!values || !before.disposed || !parts.includes(part)) continue
      const back = this.gpu.upload(values, before.shape)
      this.#shelf.delete(before)
      this.#shelf.set(back, values)
      sums[key] = back
    }
  }

  #large(): [InputSums, 'gram' | 'cross' | 'drift', Part][] {
    const { seen, heldOut } = this
    if (!this.kind.shelves || !isLarge(this.gpu, this.linear.p)) return []
    const own = (['gram', 'cross', 'drift'] as const).map((key): [InputSums, typeof key, Part] => [heldOut ?? seen, key, 'heldOut'])
    return [[seen, 'gram', 'gram'], [seen, 'cross', 'cross'], ...(heldOut ? own : [])]
  }

  dispose(): void {
    for (const { bytes } of this.#shelf.keys()) this.gpu.memory.parked -= bytes
    this.#shelf.clear()
    for (const sums of [this.seen, this.#heldOut]) for (const tensor of Object.values(sums ?? {})) tensor?.dispose()
    this.sizes?.dispose()
  }
}

function difference(gpu: Device, x: Tensor, y: Tensor): Tensor {
  const out = gpu.empty(x.shape)
  gpu.copy(x, out)
  subtract(gpu, out, y)
  return out
}
