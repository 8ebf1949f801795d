/** The dry device, which computes nothing: it counts the memory of tensors and the operations of a run, for forecasts. Needs no WebGPU. */
import { BaseDevice, type Dispatch } from './base.ts'
import { type Holding, Memory } from './memory.ts'
import { Reading } from './reading.ts'
import type { DeviceBuffer, Tensor, TypedArray } from './tensor.ts'

/** What decides how a run goes on a device. */
export interface DeviceFacts {
  name: string
  kind: 'gpu' | 'software'
  /** Products with inputs in f16 are offered. */
  f16: boolean
  /** Largest binding and buffer, bytes. */
  maxBinding: number
  maxBuffer: number
  /** What a run may use, bytes. */
  memoryBudget: number
  /** f32 matrix products, GFLOP/s; null when nobody knows. */
  gflops: number | null
  /** Between host and device, bytes per second; null when nobody knows. */
  transferRate: number | null
  /** What may wait in host memory, bytes; what is beyond goes to a file. */
  hostMemory: number
  /** Of a dispatch that computes next to nothing, and how late the end of work is noticed, s. */
  dispatchSeconds: number
  tick: number
}

/** How much a submit holds where the rate is not known. */
const SUBMIT_FLOPS = 1e10

/** Elements that are made up at most for one reading: enough for whatever is looked into. */
const MOST_READ = 2 ** 20

export class DryDevice extends BaseDevice<DeviceBuffer> {
  readonly memory = new Memory<DeviceBuffer>(
    (size) => ({ size }),
    () => {},
  )
  readonly failed = false
  /** Never: what is looked at on the way depends on how quick the machine is, and holds memory meanwhile. */
  override lookEvery = Number.POSITIVE_INFINITY
  override readonly computes = false
  readonly waits = 0
  readonly tick = 0
  readonly #most = this.memory.watchHolders()
  /** Most bytes read back or sent at once since the last `lap`. */
  #transfer = 0
  #sinceFlush = 0
  readonly #made = new Map<string, TypedArray>()

  constructor(readonly facts: DeviceFacts) {
    const { name, kind, f16, maxBinding, maxBuffer } = facts
    super({ vendor: '', architecture: '', name, kind, f16, subgroups: false, maxBinding, maxBuffer, told: '' })
    this.memory.limit = facts.memoryBudget
  }

  /** Peaks since the last call: GPU memory held, and by whom, and the largest transfer between host and GPU. */
  lap(): { held: number; holdings: Holding[]; transfer: number } {
    const lap = { ...this.#most(), transfer: this.#transfer }
    this.#transfer = 0
    return lap
  }

  override get memoryBudget(): number {
    return this.facts.memoryBudget
  }

  override get memoryKnown(): boolean {
    return true
  }

  get submitFlops(): number {
    return this.facts.gflops ? Math.max(2e7, this.facts.gflops * 6e7) : SUBMIT_FLOPS
  }

  learn(): void {}

  clear(): void {}

  copy(): void {}

  protected dispatch(_call: Dispatch, flops: number): void {
    this.#sinceFlush += flops
    if (this.#sinceFlush > this.submitFlops) this.flush()
  }

  flush(): void {
    this.#sinceFlush = 0
    this.memory.bury()
  }

  async pace(): Promise<void> {
    await this.gate?.()
  }

  async sync(): Promise<void> {
    this.flush()
  }

  destroy(): void {}

  write(tensor: Tensor, data: TypedArray | Uint8Array): void {
    this.flush()
    this.#transfers(data instanceof Uint8Array ? data.byteLength : tensor.bytes)
  }

  #transfers(bytes: number): void {
    this.moved += bytes
    this.#transfer = Math.max(this.#transfer, bytes)
  }

  /** As many values as a reading made up are enough for any shape. */
  override upload(data: TypedArray, shape: readonly number[]): Tensor {
    const tensor = this.empty(shape, data instanceof Float32Array ? 'f32' : 'u32')
    this.write(tensor, data)
    return tensor
  }

  /**
   * Floats are 1, so that no input looks dead; integers, which count what went wrong, are 0 unless `foreseen` says more.
   * Of what is large only a beginning.
   */
  read(tensor: Tensor, foreseen = tensor.dtype === 'f32' ? 1 : 0): Reading<TypedArray> {
    const { bytes, dtype } = tensor
    this.#transfers(bytes)
    if (this.memory.yieldTo(bytes)) this.flush()
    this.memory.hold(bytes)
    return new Reading(async () => {
      this.flush()
      this.memory.release(bytes)
      const size = Math.min(tensor.size, MOST_READ)
      const key = `${dtype} ${size} ${foreseen}`
      // One array serves all readings of a size, however many of them would wait on the host at once.
      const values = this.#made.get(key) ?? (dtype === 'f32' ? new Float32Array(size) : new Uint32Array(size)).fill(foreseen)
      this.#made.set(key, values)
      return values
    })
  }
}
