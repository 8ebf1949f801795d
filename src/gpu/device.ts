/**
 * The interface of a device that runs kernels. Three classes implement it: WebGPU (webgpu/device.ts), a device that computes nothing and
 * only counts, for dry runs (dry.ts), and one that runs kernels in float64 on the host, for tests (twin.ts). Their common part is in
 * base.ts.
 */
import type { HostMemory } from './host-memory.ts'
import type { MemoryCount } from './memory.ts'
import type { GemmFormName } from './ops/gemm-forms.ts'
import type { Reading } from './reading.ts'
import type { DType, Tensor, TypedArray } from './tensor.ts'

export interface GpuInfo {
  vendor: string
  architecture: string
  name: string
  kind: 'gpu' | 'software'
  /** 16-bit floats (shader-f16): where a device has them, products with inputs in f16 are offered. Kernels unpack these from words. */
  f16: boolean
  /** Kernels may pass values around in subgroups. */
  subgroups: boolean
  /** Largest binding and buffer, bytes. */
  maxBinding: number
  maxBuffer: number
  /** All that the adapter tells of itself: names, features, limits. */
  told: string
}

export type Bindings = Record<string, Tensor>
export type Params = Record<string, number>
export interface DispatchOptions {
  /** Pipeline-overridable constants. */
  constants?: Record<string, number>
  /** Floating-point operations, for pacing; default: one per invocation. */
  flops?: number
}

export interface Device {
  readonly info: GpuInfo
  /** Bytes that a run may use. */
  readonly memoryBudget: number
  /** That is no estimate. */
  readonly memoryKnown: boolean
  /** Memory in use now, and its peak. */
  readonly memory: MemoryCount
  /** What waits on the host. */
  readonly host: HostMemory
  /** The form of matrix products; `chooseGemm` measures which is fastest. */
  gemm: GemmFormName
  /** Measured rate of matrix products, GFLOP/s; 0 before `learn`. */
  gflops: number
  /** How late the end of work is noticed, s: Firefox looks every 100 ms, others at once. */
  readonly tick: number
  /** How much work one submit should hold; larger dispatches are split by their caller where they can be. */
  readonly submitFlops: number
  /** Floating-point operations encoded since the device was opened. */
  flops: number
  /** Dispatches encoded since then. */
  readonly dispatches: number
  /** Bytes sent to the device and read back since then. */
  readonly moved: number
  /** What a dispatch takes that computes next to nothing, s; 0 before it was measured. */
  dispatchSeconds: number
  /** Measured rate between host and device, bytes per second; 0 before it was measured. */
  transferRate: number
  /** False for a device that only counts: what is read from it means nothing. */
  readonly computes: boolean
  /** How often the host has waited for values of the device, however many it took at once. */
  readonly waits: number
  /** Least time between two looks at what is still being computed, ms: they cost a wait, but nothing waits for them. */
  lookEvery: number
  /** Awaited between submits: waits while paused, throws when cancelled. */
  gate: (() => Promise<void> | void) | null
  /** The device is lost, or has reported an error after which its results cannot be trusted: open another. */
  readonly failed: boolean

  /**
   * A tensor with unspecified content. It may be larger than a binding: then kernels see row panels of it (panels.ts).
   * @throws {WorkbenchError} `gpu-too-small` when one buffer cannot hold it
   */
  empty(shape: readonly number[], dtype?: DType, what?: string): Tensor
  /** Sets all elements to 0. */
  clear(tensor: Tensor): void
  /** Bytes fill whole words, the last one padded with zeros. */
  write(tensor: Tensor, data: TypedArray | Uint8Array): void
  /** Copies `count` elements between tensors. */
  copy(from: Tensor, to: Tensor, count?: number, fromElement?: number, toElement?: number): void
  /**
   * Copies the values as they are now; the wait for them begins when the reading is awaited, together with all others.
   * `foreseen`: the value of all elements that a dry run goes on with; a device that computes has its own.
   */
  read(tensor: Tensor, foreseen?: number): Reading<TypedArray>
  /**
   * Encodes one dispatch of `grid` workgroups of the kernel in `shaders/NAME.wgsl`.
   * @throws {WorkbenchError} `gpu-too-small` when a kernel would see more of a tensor than a binding holds
   */
  run(name: string, bindings: Bindings, params: Params, grid: [number, number?, number?], options?: DispatchOptions): void
  /** Submits what was encoded so far. */
  flush(): void
  /** Called inside every long loop: keeps few submits queued, learns how large one may be, and lets pause and cancel in. */
  pace(): Promise<void>
  /** Waits until the device has done everything submitted. */
  sync(): Promise<void>
  /** Gives memory that is kept for reuse back. */
  trim(): void
  /** A point in time for `releaseSince`. */
  mark(): number
  /** Disposes every tensor made since `mark`, and drops the readings that nobody waits for: what an interrupted run leaves. */
  releaseSince(mark: number): void
  /** The rate of matrix products, FLOP/s, as it was measured: a submit holds as much as that rate allows. */
  learn(rate: number): void
  destroy(): void

  // What follows from the above, alike on every device.

  zeros(shape: readonly number[], dtype?: DType): Tensor
  upload(data: TypedArray, shape: readonly number[]): Tensor
  /** Raw bytes as u32 words, for weights that are converted on the device. */
  uploadBytes(data: Uint8Array): Tensor
  /** One invocation per item; the kernel folds a two-dimensional grid back into `item(...)`. */
  run1d(name: string, bindings: Bindings, params: Params, items: number, options?: DispatchOptions): void
  /** One invocation per item of every row: its `global_invocation_id` is (item, row). Spares kernels a division. */
  run2d(name: string, bindings: Bindings, params: Params, extent: [items: number, rows: number], options?: DispatchOptions): void
  /** @throws {WorkbenchError} `gpu-too-small` when one buffer cannot hold so many bytes */
  require(bytes: number, what: string): void
}
