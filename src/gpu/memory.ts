/** Memory of a device: exact accounting, and the pool of buffers, in which freed ones are kept for reuse. */
import { type DeviceBuffer, type DType, elementBytes, elements, Tensor } from './tensor.ts'

/** Freed buffers kept for reuse, at most; zeroing a new one costs as much as a small kernel. */
const POOL_BYTES = 256 * 2 ** 20
/** Below this, a new peak is not worth giving up what is kept. */
const SMALL_BYTES = 64 * 2 ** 20

/** Who holds how many bytes. */
export interface Holding {
  holder: string
  bytes: number
}

export interface MemoryCount {
  /** Who holds the tensors that are made from now on, in words. */
  holder: string
  /** Tensors that somebody else holds from now on. */
  assign(tensors: Iterable<Tensor>, holder: string): void
  /** All that is held, by holders, the largest first: the bytes add up to `held`. */
  holdings(): Holding[]
  /** The most bytes held since it was made, then since it was called last, and who held them. */
  watchHolders(): () => { held: number; holdings: Holding[] }
  /** Bytes in live and pooled buffers and in readings on their way, now and at most ever; what uploads pass through is the browser's. */
  held: number
  peak: number
  /**
   * A watch of its own for each who asks: the most bytes held since it was made, then since it was called last. A look at `held`
   * now and then would miss what came and went between.
   */
  watch(): () => number
}

/** Bytes of the buffer of a tensor: 256 is the alignment of bindings. */
export const bufferBytes = (shape: readonly number[], dtype: DType) =>
  Math.max(256, Math.ceil((elements(shape) * elementBytes(dtype)) / 256) * 256)

export class Memory<Buffer extends DeviceBuffer> implements MemoryCount {
  held = 0
  peak = 0
  holder = 'other tensors'
  /** Bytes that a run may use: what is kept for reuse does not add to more. */
  limit = Number.POSITIVE_INFINITY
  readonly #watches: { most: number; holdings?: Holding[] }[] = []
  readonly #live = new Map<Tensor, { serial: number; size: number; holder: string }>()
  #serial = 0
  readonly #pool = new Map<number, Buffer[]>()
  #pooled = 0
  /** The most bytes held since the last `trim`. */
  #high = 0
  #doomed: Buffer[] = []

  constructor(
    readonly create: (size: number) => Buffer,
    readonly discard: (buffer: Buffer) => void,
  ) {}

  /** A tensor in a buffer of its own; its content is unspecified. */
  tensor(shape: readonly number[], dtype: DType, label: string): Tensor {
    const size = bufferBytes(shape, dtype)
    const reused = this.#pool.get(size)?.pop()
    if (reused) this.#pooled -= size
    const buffer = reused ?? this.create(size)
    const tensor = new Tensor(buffer, shape, dtype, {
      label,
      release: () => {
        this.#live.delete(tensor)
        this.#recycle(buffer)
      },
    })
    this.#live.set(tensor, { serial: ++this.#serial, size, holder: this.holder })
    if (!reused) this.hold(size)
    return tensor
  }

  /**
   * Before so many bytes are taken: dooms what is kept for reuse where they would be, beside it, the most that was ever held, or more than
   * a run may use. Whether there is something to bury first.
   */
  yieldTo(bytes: number): boolean {
    if (this.held + bytes <= Math.min(this.limit, Math.max(this.#high, SMALL_BYTES))) return false
    this.#doomPool()
    return this.#doomed.length > 0
  }

  /** Whether a buffer of that size is kept for reuse. */
  keeps(size: number): boolean {
    return (this.#pool.get(size)?.length ?? 0) > 0
  }

  /** All tensors that are not disposed, the oldest first. */
  get live(): Tensor[] {
    return [...this.#live.keys()]
  }

  mark(): number {
    return this.#serial
  }

  releaseSince(mark: number): void {
    for (const [tensor, { serial }] of this.#live) if (serial > mark) tensor.dispose()
  }

  hold(bytes: number): void {
    this.held += bytes
    this.peak = Math.max(this.peak, this.held)
    this.#high = Math.max(this.#high, this.held)
    for (const watch of this.#watches) {
      if (this.held <= watch.most) continue
      watch.most = this.held
      if (watch.holdings) watch.holdings = this.holdings()
    }
  }

  release(bytes: number): void {
    this.held -= bytes
  }

  watch(): () => number {
    const watch = { most: this.held }
    this.#watches.push(watch)
    return () => {
      const { most } = watch
      watch.most = this.held
      return most
    }
  }

  watchHolders(): () => { held: number; holdings: Holding[] } {
    const watch = { most: this.held, holdings: this.holdings() }
    this.#watches.push(watch)
    return () => {
      const { most, holdings } = watch
      Object.assign(watch, { most: this.held, holdings: this.holdings() })
      return { held: most, holdings }
    }
  }

  assign(tensors: Iterable<Tensor>, holder: string): void {
    for (const tensor of tensors) {
      const entry = this.#live.get(tensor)
      if (entry) entry.holder = holder
    }
  }

  holdings(): Holding[] {
    const sums = new Map<string, number>()
    const add = (holder: string, bytes: number) => bytes && sums.set(holder, (sums.get(holder) ?? 0) + bytes)
    for (const { size, holder } of this.#live.values()) add(holder, size)
    add('kept for reuse', this.#pooled)
    for (const { size } of this.#doomed) add('about to be freed', size)
    add('on the way to the host', this.held - [...sums.values()].reduce((sum, bytes) => sum + bytes, 0))
    return [...sums].map(([holder, bytes]) => ({ holder, bytes })).sort((a, b) => b.bytes - a.bytes)
  }

  /** Discards a buffer, already counted, once the commands that may still use it are submitted. */
  doom(buffer: Buffer): void {
    this.#doomed.push(buffer)
  }

  /** Dooms what is kept for reuse; what was held so far no longer says how much will be. */
  trim(): void {
    this.#doomPool()
    this.#high = 0
  }

  #doomPool(): void {
    for (const buffers of this.#pool.values()) this.#doomed.push(...buffers)
    this.#pool.clear()
    this.#pooled = 0
  }

  /** Called when everything encoded is submitted: discards what is doomed, and says whether there was any. */
  bury(): boolean {
    const doomed = this.#doomed
    this.#doomed = []
    for (const buffer of doomed) {
      this.release(buffer.size)
      this.discard(buffer)
    }
    return doomed.length > 0
  }

  #recycle(buffer: Buffer): void {
    const { size } = buffer
    if (this.#pooled + size > POOL_BYTES) {
      this.#doomed.push(buffer)
      return
    }
    this.#pooled += size
    const list = this.#pool.get(size)
    if (list) list.push(buffer)
    else this.#pool.set(size, [buffer])
  }
}

export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)} MiB`
}
