/** What the inputs of a stage sum up to, over the calibration windows and over the held-out ones. */
import type { TokenBatch } from '../../eval/perplexity.ts'
import type { Device } from '../../gpu/device.ts'
import { absSum, copyColumns, diagonal, gemm, gramUpper, mirror, subtract } from '../../gpu/ops.ts'
import { alignedRows, type RowPanel, rowsOf } from '../../gpu/panels.ts'
import type { Reading } from '../../gpu/reading.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { isLarge } from '../../quant/solver.ts'
import type { InputSums, Shelf, SumsPart } from '../../quant/target.ts'
import { NEEDED, type Parked, type Parking } from '../parking.ts'

/** Bytes of a large sum that are on their way between host and GPU at once, and into how many panels it is cut at least. */
const MOVED_BYTES = 2 ** 26
const PANELS = 8

/** A large sum on the host, panel by panel; of those that are symmetric only what is right of the diagonal. */
interface Shelved {
  symmetric: boolean
  panels: Parked[]
}

export class StageSums implements Shelf {
  readonly seen: InputSums
  /** Σ |x_j| over the calibration windows, `[p]`, for solvers that rescale inputs. */
  readonly sizes: Tensor | null
  /** Diagonal of Σ, once the calibration windows are over. */
  diagonal: Reading<Float32Array> | null = null
  #heldOut: InputSums | null = null
  /** On the host, by the tensors that they were read from or became. */
  readonly #shelf = new Map<Tensor, Shelved>()
  #complete = 0

  /** `compared`: the inputs in the full-precision model are added beside those that the linears get. `parking`: large sums wait there. */
  constructor(
    readonly gpu: Device,
    readonly linear: { name: string; p: number },
    readonly kind: { compared: boolean; sizes: boolean; parking: Parking | null },
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
    this.gpu.memory.assign([tensor], this.#holder)
    this.gpu.clear(tensor)
    return tensor
  }

  get #holder(): string {
    return `sums of the inputs of ${this.linear.name}`
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
      if (!this.#shelf.has(tensor)) this.#shelf.set(tensor, await this.#park(tensor, key !== 'cross'))
      tensor.dispose()
    }
  }

  /** Frees Σ over the calibration windows where it is large and nobody needs it any more. */
  drop(): void {
    if (this.#large().length) this.seen.gram.dispose()
  }

  /** A panel at a time, which is the most that it takes beside the tensor. */
  async #park(tensor: Tensor, symmetric: boolean): Promise<Shelved> {
    const { gpu } = this
    const shelved: Shelved = { symmetric, panels: [] }
    for (const panel of this.#panels) {
      const part = symmetric ? this.#columnsOf(tensor, panel) : rowsOf(tensor, panel)
      const values = (await gpu.read(part)) as Float32Array<ArrayBuffer>
      shelved.panels.push(await this.kind.parking!.park(gpu, values, part.bytes, { holder: this.#holder, needed: NEEDED.often }))
      if (symmetric) part.dispose()
    }
    return shelved
  }

  async fetch(...parts: SumsPart[]): Promise<void> {
    for (const [sums, key, part] of this.#large()) {
      const before = sums[key]
      const shelved = before && this.#shelf.get(before)
      if (!shelved || !before.disposed || !isAmong(part, parts)) continue
      const back = await this.#unpark(shelved)
      this.#shelf.delete(before)
      this.#shelf.set(back, shelved)
      sums[key] = back
    }
  }

  async #unpark({ symmetric, panels }: Shelved): Promise<Tensor> {
    const { gpu, linear } = this
    const { p } = linear
    const back = gpu.empty([p, p])
    gpu.memory.assign([back], this.#holder)
    for (const [i, panel] of this.#panels.entries()) {
      const from = symmetric ? panel.first : 0
      const part = await this.kind.parking!.upload(gpu, panels[i], [panel.count, p - from])
      copyColumns(gpu, part, 0, rowsOf(back, panel), from, p - from)
      part.dispose()
    }
    if (symmetric) mirror(gpu, back)
    return back
  }

  /** Of rows of a symmetric sum, what is right of the diagonal. */
  #columnsOf(tensor: Tensor, panel: RowPanel): Tensor {
    const width = tensor.cols - panel.first
    const part = this.gpu.empty([panel.count, width])
    copyColumns(this.gpu, rowsOf(tensor, panel), panel.first, part, 0, width)
    return part
  }

  get #panels(): RowPanel[] {
    const { p } = this.linear
    return alignedRows(p, [p], 1, Math.min(MOVED_BYTES / 4 / p, p / PANELS))
  }

  #large(): [InputSums, 'gram' | 'cross' | 'drift', SumsPart][] {
    const { seen, heldOut } = this
    if (!this.kind.parking || !isLarge(this.gpu, this.linear.p)) return []
    const own = (['gram', 'cross', 'drift'] as const).map((key): [InputSums, typeof key, SumsPart] => [
      heldOut ?? seen,
      key,
      `heldOut.${key}`,
    ])
    return [[seen, 'gram', 'gram'], [seen, 'cross', 'cross'], ...(heldOut ? own : [])]
  }

  dispose(): void {
    for (const { panels } of this.#shelf.values()) for (const one of panels) this.kind.parking!.free(this.gpu, one)
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
