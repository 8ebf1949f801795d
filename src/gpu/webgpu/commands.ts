/** The commands of one submit while they are encoded, with the parameters of their kernels. */
import type { KernelSource } from '../kernel.ts'
import type { Params } from '../device.ts'
import { usage } from './buffer.ts'

/** Parameters of one dispatch: 256 bytes, the alignment of dynamic offsets. */
const SLOT = 256
/** Dispatches that one submit has parameters for. */
export const SLOTS = 1024

export class Commands {
  /** All slots, on the device. */
  readonly #uniforms: GPUBuffer
  readonly #slots = new DataView(new ArrayBuffer(SLOT * SLOTS))
  #used = 0
  #encoder: GPUCommandEncoder | null = null
  #pass: GPUComputePassEncoder | null = null
  /** Floating-point operations encoded since the last submit. */
  flops = 0

  constructor(readonly device: GPUDevice) {
    this.#uniforms = device.createBuffer({ size: SLOT * SLOTS, usage: usage.uniform | usage.copyDst })
  }

  get uniforms(): GPUBufferBinding {
    return { buffer: this.#uniforms, size: SLOT }
  }

  /** Whether the next kernel with parameters needs a new submit. */
  get full(): boolean {
    return this.#used === SLOTS
  }

  get empty(): boolean {
    return !this.#encoder
  }

  /** For copies, outside of any pass. */
  encoder(): GPUCommandEncoder {
    this.endPass()
    return this.#open()
  }

  /** For dispatches; one pass takes all that follow each other, or one of its own with `options`. */
  pass(options?: GPUComputePassDescriptor): GPUComputePassEncoder {
    if (options) this.endPass()
    this.#pass ??= this.#open().beginComputePass(options)
    return this.#pass
  }

  endPass(): void {
    this.#pass?.end()
    this.#pass = null
  }

  /** Keeps the parameters of a dispatch; its dynamic offsets. */
  keep(source: KernelSource, params: Params): number[] {
    if (source.uniform === null) return []
    const offset = this.#used++ * SLOT
    source.params.forEach(({ name, type }, index) => {
      const at = offset + index * 4
      if (type === 'f32') this.#slots.setFloat32(at, params[name], true)
      else if (type === 'u32') this.#slots.setUint32(at, params[name], true)
      else this.#slots.setInt32(at, params[name], true)
    })
    return [offset]
  }

  submit(): void {
    if (!this.#encoder) return
    this.endPass()
    const { queue } = this.device
    if (this.#used) queue.writeBuffer(this.#uniforms, 0, this.#slots.buffer as ArrayBuffer, 0, this.#used * SLOT)
    queue.submit([this.#encoder.finish()])
    this.#encoder = null
    this.#used = 0
    this.flops = 0
  }

  #open(): GPUCommandEncoder {
    this.#encoder ??= this.device.createCommandEncoder()
    return this.#encoder
  }
}
