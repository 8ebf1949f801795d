/** Base class of all devices: checks of a call, tensors with memory accounting, and helpers built on the basic operations. */
import { WorkbenchError } from '../errors.ts'
import type { Bindings, Device, DispatchOptions, GpuInfo, Params } from './device.ts'
import { type KernelSource, kernelSource } from './kernel.ts'
import { HostMemory } from './host-memory.ts'
import { bufferBytes, type Memory, mebibytes } from './memory.ts'
import type { GemmFormName } from './ops/gemm-forms.ts'
import type { Reading } from './reading.ts'
import { type DeviceBuffer, type DType, elements, isHalf, type Tensor, type TypedArray } from './tensor.ts'

/** One call of a kernel that was found in order: every binding is there, of the right element type, and fits. */
export interface Dispatch {
  source: KernelSource
  bindings: Bindings
  params: Params
  /** Workgroups; none is 0. */
  grid: [x: number, y: number, z: number]
  constants?: Record<string, number>
}

/** The most workgroups on one side of a grid. */
const MOST_GROUPS = 65535
/** Where `run1d` folds its grid. */
const FOLD = 32768

export abstract class BaseDevice<Buffer extends DeviceBuffer> implements Device {
  abstract readonly memory: Memory<Buffer>
  abstract readonly submitFlops: number
  abstract readonly waits: number
  abstract readonly failed: boolean
  abstract readonly tick: number
  gemm: GemmFormName
  gflops = 0
  flops = 0
  dispatches = 0
  moved = 0
  dispatchSeconds = 0
  transferRate = 0
  readonly computes: boolean = true
  readonly host = new HostMemory()
  lookEvery = 250
  gate: (() => Promise<void> | void) | null = null

  constructor(readonly info: GpuInfo) {
    this.gemm = info.kind === 'software' ? 'direct' : 'tiled'
  }

  /**
   * WebGPU does not tell how much memory a GPU has. Twice its largest buffer, within 1 to 16 GiB, is a careful guess:
   * browsers cap buffers at a fraction of what is there.
   */
  get memoryBudget(): number {
    return Math.min(16 * 2 ** 30, Math.max(2 ** 30, 2 * this.info.maxBuffer))
  }

  get memoryKnown(): boolean {
    return false
  }

  abstract clear(tensor: Tensor): void
  abstract write(tensor: Tensor, data: TypedArray | Uint8Array): void
  abstract copy(from: Tensor, to: Tensor, count?: number, fromElement?: number, toElement?: number): void
  abstract read(tensor: Tensor, foreseen?: number): Reading<TypedArray>
  abstract flush(): void
  abstract pace(): Promise<void>
  abstract sync(): Promise<void>
  abstract learn(rate: number): void
  abstract destroy(): void
  /** Encodes a call that takes so many floating-point operations. */
  protected abstract dispatch(call: Dispatch, flops: number): void

  empty(shape: readonly number[], dtype: DType = 'f32', what = 'A tensor'): Tensor {
    const bytes = bufferBytes(shape, dtype)
    this.require(bytes, `${what} [${shape.join(', ')}]`)
    if (!this.memory.keeps(bytes) && this.memory.yieldTo(bytes)) this.flush()
    return this.memory.tensor(shape, dtype, what)
  }

  zeros(shape: readonly number[], dtype: DType = 'f32'): Tensor {
    const tensor = this.empty(shape, dtype)
    this.clear(tensor)
    return tensor
  }

  upload(data: TypedArray, shape: readonly number[]): Tensor {
    if (data.length !== elements(shape)) throw new Error(`${data.length} values do not make [${shape}].`)
    const tensor = this.empty(shape, data instanceof Float32Array ? 'f32' : 'u32')
    this.write(tensor, data)
    return tensor
  }

  uploadBytes(data: Uint8Array): Tensor {
    const tensor = this.empty([Math.ceil(data.byteLength / 4)], 'u32')
    this.write(tensor, data)
    return tensor
  }

  trim(): void {
    this.memory.trim()
    this.flush()
  }

  mark(): number {
    return this.memory.mark()
  }

  releaseSince(mark: number): void {
    this.memory.releaseSince(mark)
  }

  require(bytes: number, what: string): void {
    if (bytes > this.info.maxBuffer) {
      throw new WorkbenchError(
        'gpu-too-small',
        `${what} takes ${mebibytes(bytes)}, but the largest buffer of this GPU is ${mebibytes(this.info.maxBuffer)}.`,
        'Choose a smaller model, or a GPU (or browser) with larger buffers.',
      )
    }
  }

  run(name: string, bindings: Bindings, params: Params, grid: [number, number?, number?], options: DispatchOptions = {}): void {
    const source = kernelSource(name)
    this.#check(source, bindings, params)
    const [x, y = 1, z = 1] = grid
    if (Math.max(x, y, z) > MOST_GROUPS) throw new Error(`Kernel ${name}: the grid ${grid} is over ${MOST_GROUPS}.`)
    if (!x || !y || !z) return
    const [wx, wy, wz] = source.workgroup
    const { flops = x * y * z * wx * wy * wz, constants } = options
    this.flops += flops
    this.dispatches++
    this.dispatch({ source, bindings, params, grid: [x, y, z], constants }, flops)
  }

  run1d(name: string, bindings: Bindings, params: Params, items: number, options: DispatchOptions = {}): void {
    const groups = Math.ceil(items / kernelSource(name).workgroup[0])
    const x = Math.min(groups, FOLD)
    this.run(name, bindings, params, [x, Math.ceil(groups / Math.max(1, x))], options)
  }

  run2d(
    name: string,
    bindings: Bindings,
    params: Params,
    [items, rows]: [items: number, rows: number],
    options: DispatchOptions = {},
  ): void {
    this.run(name, bindings, params, [Math.ceil(items / kernelSource(name).workgroup[0]), rows], options)
  }

  #check({ name, bindings: declared, params: fields }: KernelSource, bindings: Bindings, params: Params): void {
    for (const { name: variable, dtype } of declared) {
      const tensor = bindings[variable]
      if (!tensor) throw new Error(`Kernel ${name} needs the tensor "${variable}".`)
      if (tensor.dtype !== dtype && !(dtype === 'u32' && isHalf(tensor.dtype)))
        throw new Error(`Kernel ${name}: "${variable}" is ${tensor.dtype}, not ${dtype}.`)
      this.#requireBinding(name, tensor)
    }
    for (const { name: field } of fields) {
      if (params[field] === undefined) throw new Error(`Kernel ${name} needs the parameter "${field}".`)
    }
  }

  #requireBinding(kernel: string, { bytes }: Tensor): void {
    if (bytes <= this.info.maxBinding) return
    throw new WorkbenchError(
      'gpu-too-small',
      `The step ${kernel} needs ${mebibytes(bytes)} at once, but the largest binding of this GPU is ${mebibytes(this.info.maxBinding)}.`,
      'Choose another method, a smaller model, or a GPU (or browser) with a larger binding limit.',
    )
  }
}
