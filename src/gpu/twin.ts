/**
 * The twin device, which runs kernels in float64 on the host, if they have a twin (twin/kernels.ts). Tests run the same operation on it
 * and on the GPU. Slow and simple. Elements are kept as numbers, not as bits: a tensor that was written as one element type cannot be
 * read as another.
 */
import { BaseDevice, type Dispatch } from './base.ts'
import { Memory } from './memory.ts'
import { Reading } from './reading.ts'
import { type DeviceBuffer, type DType, elementBytes, isHalf, type Tensor, type TypedArray } from './tensor.ts'
import { kernels } from './twin/kernels.ts'

class HostBuffer implements DeviceBuffer {
  readonly values: Float64Array<ArrayBuffer>

  /** `size`: bytes on a device; its elements take two of them at least. */
  constructor(readonly size: number) {
    this.values = new Float64Array(size / 2)
  }
}

/** The elements of a tensor, with what rounds them up to whole vectors of four, as a binding shows them. */
function seen(tensor: Tensor): Float64Array<ArrayBuffer> {
  const { buffer, offset, size, label } = tensor
  if (!(buffer instanceof HostBuffer)) throw new Error(`${label} is of another device.`)
  const start = offset / elementBytes(tensor.dtype)
  return buffer.values.subarray(start, start + Math.ceil(size / 4) * 4)
}

export class TwinDevice extends BaseDevice<HostBuffer> {
  readonly memory = new Memory<HostBuffer>(
    (size) => new HostBuffer(size),
    () => {},
  )
  readonly failed = false
  readonly tick = 0
  readonly submitFlops = Number.POSITIVE_INFINITY
  waits = 0
  /** As what each buffer was written last. */
  readonly #written = new WeakMap<DeviceBuffer, DType>()

  constructor(maxBinding = 2 ** 30) {
    const told = { vendor: '', architecture: '', name: 'float64 on the host', f16: false, subgroups: false, told: '' }
    super({ ...told, kind: 'software', maxBinding, maxBuffer: 2 ** 31 })
  }

  /** The elements of a tensor, not rounded to its element type. */
  values(tensor: Tensor): Float64Array<ArrayBuffer> {
    const written = this.#written.get(tensor.buffer)
    if (written && written !== tensor.dtype) throw new Error(`${tensor.label} holds ${written}: its bits as ${tensor.dtype} are not known.`)
    return seen(tensor).slice(0, tensor.size)
  }

  clear(tensor: Tensor): void {
    seen(tensor).fill(0, 0, tensor.size)
  }

  write(tensor: Tensor, data: TypedArray | Uint8Array): void {
    this.#written.set(tensor.buffer, tensor.dtype)
    seen(tensor).set(data instanceof Uint8Array ? wordsOf(data) : data)
  }

  copy(from: Tensor, to: Tensor, count = from.size, fromElement = 0, toElement = 0): void {
    this.#written.set(to.buffer, to.dtype)
    seen(to).set(seen(from).slice(fromElement, fromElement + count), toElement)
  }

  read(tensor: Tensor): Reading<TypedArray> {
    const values = this.values(tensor)
    return new Reading(async () => {
      this.waits++
      return tensor.dtype === 'f32' ? Float32Array.from(values) : Uint32Array.from(values)
    })
  }

  protected dispatch({ source, bindings, params, constants = {}, grid }: Dispatch): void {
    const kernel = kernels[source.name]
    if (!kernel) throw new Error(`The kernel ${source.name} has no twin in float64.`)
    const tensors = Object.fromEntries(source.bindings.map(({ name }) => [name, seen(bindings[name])]))
    for (const { name, dtype, write } of source.bindings)
      if (write) this.#written.set(bindings[name].buffer, isHalf(bindings[name].dtype) ? bindings[name].dtype : dtype)
    kernel(tensors, params, { constants, depth: grid[2] })
  }

  flush(): void {
    this.memory.bury()
  }

  async pace(): Promise<void> {
    await this.gate?.()
  }

  async sync(): Promise<void> {
    this.flush()
  }

  learn(): void {}

  destroy(): void {}
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4)
  padded.set(bytes)
  return new Uint32Array(padded.buffer)
}
