/** A tensor: a range of a device's buffer with a shape and an element type. Row-major. */

/** Weights of 16 bits, as checkpoints store them; kernels read them as words of two. */
export type HalfType = 'bf16' | 'f16'
export type DType = 'f32' | 'u32' | HalfType

export const isHalf = (dtype: DType): dtype is HalfType => dtype === 'bf16' || dtype === 'f16'
/** Bytes of an element. */
export const elementBytes = (dtype: DType) => (isHalf(dtype) ? 2 : 4)
/** Bytes at whose multiples a view may start: the alignment of bindings. */
const ALIGNMENT = 256
export type TypedArray = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>

/** Memory of one device; only that device looks into it. */
export interface DeviceBuffer {
  /** Bytes. */
  readonly size: number
}

export interface TensorOptions {
  /** Offset into the buffer, bytes; a multiple of 256. */
  offset?: number
  /** What it holds, for messages. */
  label?: string
  /** Gives the buffer back; absent on views. */
  release?: () => void
}

export class Tensor {
  #buffer: DeviceBuffer | null
  readonly #release?: () => void
  readonly offset: number
  readonly label: string

  /** Made by devices. */
  constructor(
    buffer: DeviceBuffer,
    readonly shape: readonly number[],
    readonly dtype: DType,
    { offset = 0, label = 'A tensor', release }: TensorOptions = {},
  ) {
    this.#buffer = buffer
    this.#release = release
    this.offset = offset
    this.label = label
  }

  get buffer(): DeviceBuffer {
    if (!this.#buffer) throw new Error(`Tensor [${this.shape}] was used after it was disposed.`)
    return this.#buffer
  }

  /** Number of elements. */
  get size(): number {
    return elements(this.shape)
  }

  get bytes(): number {
    return this.size * elementBytes(this.dtype)
  }

  /** Number of rows and columns of a matrix. */
  get rows(): number {
    return this.shape[0]
  }

  get cols(): number {
    return this.shape[1]
  }

  /**
   * The same buffer seen as another shape (or its bits as another type of the same size), from an element at a multiple of 256 bytes.
   * The view must not outlive the tensor.
   */
  view(shape: readonly number[], from = 0, dtype = this.dtype): Tensor {
    const bytes = elementBytes(dtype)
    if ((from * bytes) % ALIGNMENT) throw new Error(`A view starts at a multiple of ${ALIGNMENT / bytes} elements, not at ${from}.`)
    if (bytes !== elementBytes(this.dtype)) throw new Error(`A view of ${this.dtype} cannot be ${dtype}.`)
    if (from + elements(shape) > this.size) throw new Error(`A view [${shape}] at ${from} does not fit into [${this.shape}].`)
    return new Tensor(this.buffer, shape, dtype, { offset: this.offset + from * bytes, label: this.label })
  }

  get disposed(): boolean {
    return this.#buffer === null
  }

  dispose(): void {
    if (!this.#release || !this.#buffer) return
    this.#release()
    this.#buffer = null
  }
}

export function elements(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1)
}
