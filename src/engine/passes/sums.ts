/** What the inputs of a stage sum up to, over the calibration windows and over the held-out ones. */
import type { TokenBatch } from '../../eval/perplexity.ts'
import type { Device } from '../../gpu/device.ts'
import { absSum, copyColumns, diagonal, gemm, gramUpper, mirror, scale, subtract } from '../../gpu/ops.ts'
import { alignedRows, type RowPanel, rowsOf } from '../../gpu/panels.ts'
import type { Reading } from '../../gpu/reading.ts'
import { Tensor } from '../../gpu/tensor.ts'
import { isLarge } from '../../quant/solver.ts'
import type { InputSums, Shelf, SumsPart } from '../../quant/target.ts'
import { NEEDED, type Parked, type Parking } from '../parking.ts'

/** From this size on sums wait where nobody looks at them: large ones on the host, others on the GPU as upper triangles. */
const WAITING_BYTES = 2 ** 22
/** Bytes of a large sum that are on their way between host and GPU at once, and into how many panels it is cut at least. */
const MOVED_BYTES = 2 ** 26
const PANELS = 8
/** What is left of a symmetric sum cut into panels. */
const TRIANGLE = (PANELS + 1) / (2 * PANELS)

/** A sum that waits, panel by panel, on the host or on the GPU; of those that are symmetric only what is right of the diagonal. */
interface Shelved {
  symmetric: boolean
  panels: (Parked | Tensor)[]
}

export class StageSums implements Shelf {
  readonly seen: InputSums
  /** Σ |x_j| over the calibration windows, `[p]`, for solvers that rescale inputs. */
  readonly sizes: Tensor | null
  /** Diagonal of Σ, once the calibration windows are over. */
  diagonal: Reading<Float32Array> | null = null
  #heldOut: InputSums | null = null
  /** Sums that wait, by the tensors that they were; those on the host also by what they became again. */
  readonly #shelf = new Map<Tensor, Shelved>()
  #complete = 0

  /** `compared`: the inputs in the full-precision model are added beside those that the linears get. `parking`: where large sums wait; null for sums that are needed whole. */
  constructor(
    readonly gpu: Device,
    readonly linear: { name: string; p: number },
    readonly kind: { compared: boolean; sizes: boolean; parking: Parking | null },
  ) {
    this.seen = { gram: this.#zero('The Gram matrix'), cross: kind.compared ? this.#zero('The cross products') : null, drift: null }
    this.sizes = kind.sizes ? gpu.zeros([linear.p]) : null
  }

  /** Bytes on the GPU at most, while a stage's sums are made, beside a panel on its way. */
  static bytes(gpu: Device, p: number, compared: boolean): number {
    const [before, now] = compared ? [2, 3] : [1, 1]
    const waiting = isLarge(gpu, p) ? 0 : isMiddling(p) ? before - 1 + TRIANGLE : before
    return 4 * p ** 2 * (waiting + now)
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
   * Lets all sums but `keeping` wait, where they are large on the host; `fetch` brings them back. What is on the host stays there until
   * the stage is over, so that it is read only once. On the GPU only symmetric sums take less room.
   */
  async shelve(...keeping: SumsPart[]): Promise<void> {
    for (const [sums, key, part] of this.#waiting()) {
      const tensor = sums[key]
      const symmetric = key !== 'cross'
      if (!tensor || tensor.disposed || isAmong(part, keeping) || !(symmetric || this.#onHost)) continue
      if (!this.#shelf.has(tensor)) this.#shelf.set(tensor, await this.#put(tensor, symmetric))
      tensor.dispose()
    }
  }

  /** Σ over inputs that are multiplied by `by`, `[p]`. */
  async rescale(by: Tensor): Promise<void> {
    for (const part of ['gram', 'heldOut.gram'] as const) {
      const sums = part === 'gram' ? this.seen : this.#heldOut
      if (!sums) continue
      await this.fetch(part)
      scale(this.gpu, sums.gram, { rows: by, cols: by })
      if (sums === this.seen) this.diagonal = diagonal(this.gpu, sums.gram)
      // The host has what it was before.
      this.#forget(sums.gram)
      await this.shelve()
    }
  }

  #forget(tensor: Tensor): void {
    for (const one of this.#shelf.get(tensor)?.panels ?? []) {
      if (one instanceof Tensor) one.dispose()
      else this.kind.parking!.free(this.gpu, one)
    }
    this.#shelf.delete(tensor)
  }

  /** Frees Σ over the calibration windows where it is large and nobody needs it any more. */
  drop(): void {
    if (this.#waiting().length) this.seen.gram.dispose()
  }

  /** A panel at a time, which is the most that it takes beside the tensor. */
  async #put(tensor: Tensor, symmetric: boolean): Promise<Shelved> {
    const panels: Shelved['panels'] = []
    for (const panel of this.#panels) {
      const part = symmetric ? this.#columnsOf(tensor, panel) : rowsOf(tensor, panel)
      panels.push(this.#onHost ? await this.#park(part) : part)
      if (symmetric && this.#onHost) part.dispose()
    }
    return { symmetric, panels }
  }

  async #park(part: Tensor): Promise<Parked> {
    const { gpu, kind } = this
    const values = (await gpu.read(part)) as Float32Array<ArrayBuffer>
    return kind.parking!.park(gpu, values, part.bytes, { holder: this.#holder, needed: NEEDED.often })
  }

  async fetch(...parts: SumsPart[]): Promise<void> {
    for (const [sums, key, part] of this.#waiting()) {
      const before = sums[key]
      const shelved = before && this.#shelf.get(before)
      if (!shelved || !before.disposed || !isAmong(part, parts)) continue
      const back = await this.#take(shelved)
      this.#shelf.delete(before)
      if (this.#onHost) this.#shelf.set(back, shelved)
      sums[key] = back
    }
  }

  /** The sum whole again. Panels on the GPU are used up, those on the host stay. */
  async #take({ symmetric, panels }: Shelved): Promise<Tensor> {
    const { gpu, linear, kind } = this
    const { p } = linear
    const back = gpu.empty([p, p])
    gpu.memory.assign([back], this.#holder)
    for (const [i, panel] of this.#panels.entries()) {
      const from = symmetric ? panel.first : 0
      const waiting = panels[i]
      const part = waiting instanceof Tensor ? waiting : await kind.parking!.upload(gpu, waiting, [panel.count, p - from])
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
    this.gpu.memory.assign([part], this.#holder)
    copyColumns(this.gpu, rowsOf(tensor, panel), panel.first, part, 0, width)
    return part
  }

  get #panels(): RowPanel[] {
    const { p } = this.linear
    return alignedRows(p, [p], 1, Math.min(MOVED_BYTES / 4 / p, p / PANELS))
  }

  get #onHost(): boolean {
    return isLarge(this.gpu, this.linear.p)
  }

  /** The sums that wait while nobody looks at them. */
  #waiting(): [InputSums, 'gram' | 'cross' | 'drift', SumsPart][] {
    const { seen, heldOut } = this
    if (!this.kind.parking || !(this.#onHost || isMiddling(this.linear.p))) return []
    const own = (['gram', 'cross', 'drift'] as const).map((key): [InputSums, typeof key, SumsPart] => [
      heldOut ?? seen,
      key,
      `heldOut.${key}`,
    ])
    return [[seen, 'gram', 'gram'], [seen, 'cross', 'cross'], ...(heldOut ? own : [])]
  }

  dispose(): void {
    for (const tensor of [...this.#shelf.keys()]) this.#forget(tensor)
    for (const sums of [this.seen, this.#heldOut]) for (const tensor of Object.values(sums ?? {})) tensor?.dispose()
    this.sizes?.dispose()
  }
}

const isMiddling = (p: number) => 4 * p ** 2 >= WAITING_BYTES

const isAmong = (part: SumsPart, parts: SumsPart[]) => parts.some((one) => part === one || part.startsWith(`${one}.`))

function difference(gpu: Device, x: Tensor, y: Tensor): Tensor {
  const out = gpu.empty(x.shape)
  gpu.copy(x, out)
  subtract(gpu, out, y)
  return out
}
