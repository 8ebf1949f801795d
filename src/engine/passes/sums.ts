/** What the inputs of a stage sum up to, over the calibration windows and over the held-out ones. */
import type { TokenBatch } from '../../eval/perplexity.ts'
import type { Device } from '../../gpu/device.ts'
import { absSum, diagonal, gemm, gramUpper, mirror, subtract } from '../../gpu/ops.ts'
import { alignedRows, rowsOf } from '../../gpu/panels.ts'
import type { Reading } from '../../gpu/reading.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { isLarge } from '../../quant/solver.ts'
import type { InputSums, Shelf, SumsPart } from '../../quant/target.ts'

/** Bytes of a large sum that are on their way to the host at once. */
const READ_BYTES = 2 ** 26

export class StageSums implements Shelf {
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
    this.gpu.memory.assign([tensor], `sums of the inputs of ${name}`)
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
  async shelve(...keeping: SumsPart[]): Promise<void> {
    for (const [sums, key, part] of this.#large()) {
      const tensor = sums[key]
      if (!tensor || tensor.disposed || isAmong(part, keeping)) continue
      if (!this.#shelf.has(tensor)) {
        this.#shelf.set(tensor, await this.#read(tensor))
        this.gpu.memory.parked += tensor.bytes
      }
      tensor.dispose()
    }
  }

  /** Frees Σ over the calibration windows where it is large and nobody needs it any more. */
  drop(): void {
    if (this.#large().length) this.seen.gram.dispose()
  }

  /** A part at a time, which is the most that it takes beside the tensor. */
  async #read(tensor: Tensor): Promise<Float32Array<ArrayBuffer>> {
    const { gpu } = this
    const { rows, cols: p, size } = tensor
    // What a device that only counts reads means nothing, and is not gathered.
    let values = new Float32Array(gpu.computes ? size : 0)
    for (const panel of alignedRows(rows, [p], 1, READ_BYTES / 4 / p)) {
      const part = (await gpu.read(rowsOf(tensor, panel))) as Float32Array<ArrayBuffer>
      if (gpu.computes) values.set(part, panel.first * p)
      else values = part
    }
    return values
  }

  fetch(...parts: SumsPart[]): void {
    for (const [sums, key, part] of this.#large()) {
      const before = sums[key]
      const values = before && this.#shelf.get(before)
      if (!values || !before.disposed || !isAmong(part, parts)) continue
      const back = this.gpu.upload(values, before.shape)
      this.gpu.memory.assign([back], `sums of the inputs of ${this.linear.name}`)
      this.#shelf.delete(before)
      this.#shelf.set(back, values)
      sums[key] = back
    }
  }

  #large(): [InputSums, 'gram' | 'cross' | 'drift', SumsPart][] {
    const { seen, heldOut } = this
    if (!this.kind.shelves || !isLarge(this.gpu, this.linear.p)) return []
    const own = (['gram', 'cross', 'drift'] as const).map((key): [InputSums, typeof key, SumsPart] => [
      heldOut ?? seen,
      key,
      `heldOut.${key}`,
    ])
    return [[seen, 'gram', 'gram'], [seen, 'cross', 'cross'], ...(heldOut ? own : [])]
  }

  dispose(): void {
    for (const { bytes } of this.#shelf.keys()) this.gpu.memory.parked -= bytes
    this.#shelf.clear()
    for (const sums of [this.seen, this.#heldOut]) for (const tensor of Object.values(sums ?? {})) tensor?.dispose()
    this.sizes?.dispose()
  }
}

const isAmong = (part: SumsPart, parts: SumsPart[]) => parts.some((one) => part === one || part.startsWith(`${one}.`))

function difference(gpu: Device, x: Tensor, y: Tensor): Tensor {
  const out = gpu.empty(x.shape)
  gpu.copy(x, out)
  subtract(gpu, out, y)
  return out
}
