/** A WebGPU device: kernels by name, in short submits that can be paced, paused and cancelled. Its parts are in webgpu/. */
import { BaseDevice, type Dispatch } from './base.ts'
import type { GpuInfo } from './device.ts'
import { Memory } from './memory.ts'
import { Reading } from './reading.ts'
import { type DType, elementBytes, type Tensor, type TypedArray } from './tensor.ts'
import { openAdapter, tickOf } from './webgpu/adapter.ts'
import { bufferOf, usage, WebGpuBuffer } from './webgpu/buffer.ts'
import { Commands } from './webgpu/commands.ts'
import { Failures } from './webgpu/failures.ts'
import { Pipelines } from './webgpu/pipelines.ts'
import { Readbacks } from './webgpu/readbacks.ts'
import { Submits } from './webgpu/submits.ts'
import { callSite, debugPrint, type Print } from './webgpu/debug.ts'
import type { Trace } from './webgpu/trace.ts'

export interface OpenOptions {
  /** As if a binding could hold no more bytes than that. */
  binding?: number
  /** Bytes that a run may use. Default: as much as the adapter's largest buffer suggests. */
  memory?: number
  /** Where to tell what the device does; see webgpu/trace.ts. Default: as `QE_DEBUG` says. */
  debug?: Print | null
}

export class WebGpuDevice extends BaseDevice<WebGpuBuffer> {
  readonly memory: Memory<WebGpuBuffer>
  readonly #failures: Failures
  readonly #commands: Commands
  readonly #pipelines: Pipelines
  readonly #submits: Submits
  readonly #readbacks: Readbacks
  readonly #trace: Trace | null

  private constructor(
    /** Must stay referenced: Dawn in Node crashes once it is collected. */
    readonly gpu: GPU,
    readonly device: GPUDevice,
    info: GpuInfo,
    tick: number,
    trace: Trace | null,
    private memoryAllowed?: number,
  ) {
    super(info)
    this.memory = new Memory(
      (size) => new WebGpuBuffer(device.createBuffer({ size, usage: usage.storage | usage.copySrc | usage.copyDst })),
      (buffer) => buffer.gpu.destroy(),
    )
    this.memory.limit = this.memoryBudget
    this.#trace = trace
    trace?.watch(this.memory)
    this.#failures = new Failures(device, (error) => this.#trace?.failed(error, this.memory.live, this.memory.holdings()))
    this.#commands = new Commands(device)
    this.#pipelines = new Pipelines(device, this.#commands.uniforms, this.#failures)
    this.#submits = new Submits(tick)
    this.#readbacks = new Readbacks(device, this.memory, this.#failures)
  }

  /** Opens the best adapter with every limit it has. @throws {WorkbenchError} `gpu-missing` */
  static async open(gpu: GPU | undefined, { binding, memory, debug = debugPrint() }: OpenOptions = {}): Promise<WebGpuDevice> {
    const { device, info } = await openAdapter(gpu, debug ? ['subgroups', 'timestamp-query'] : ['subgroups'])
    if (binding) info.maxBinding = Math.min(binding, info.maxBinding)
    const trace = debug && new (await import('./webgpu/trace.ts')).Trace(device, debug)
    return new WebGpuDevice(gpu!, device, info, await tickOf(device), trace, memory)
  }

  override get memoryBudget(): number {
    return this.memoryAllowed ?? super.memoryBudget
  }

  override get memoryKnown(): boolean {
    return this.memoryAllowed !== undefined
  }

  /** A run may use no more bytes than that, whatever the limits of the device suggest. */
  restrict(bytes: number): void {
    this.memoryAllowed = Math.min(this.memoryBudget, bytes)
    this.memory.limit = this.memoryBudget
  }

  get failed(): boolean {
    return this.#failures.first !== null
  }

  /** The device is gone for good. */
  get lost(): boolean {
    return this.#failures.lost
  }

  get tick(): number {
    return this.#submits.tick
  }

  get waits(): number {
    return this.#readbacks.waits
  }

  get submitFlops(): number {
    return this.#submits.budget
  }

  learn(rate: number): void {
    this.gflops = rate / 1e9
    this.#submits.learn(rate)
  }

  override empty(shape: readonly number[], dtype?: DType, what = this.#trace ? callSite() : undefined): Tensor {
    return super.empty(shape, dtype, what)
  }

  override releaseSince(mark: number): void {
    this.#readbacks.drop()
    super.releaseSince(mark)
  }

  clear(tensor: Tensor): void {
    this.#commands.encoder().clearBuffer(bufferOf(tensor).gpu, tensor.offset, tensor.bytes)
  }

  write(tensor: Tensor, data: TypedArray | Uint8Array): void {
    this.moved += data.byteLength
    const { gpu } = bufferOf(tensor)
    const { queue } = this.device
    // A write overtakes dispatches that are not submitted yet, and those may still use this buffer.
    this.flush()
    const whole = data.byteLength & ~3
    if (whole) queue.writeBuffer(gpu, tensor.offset, data.buffer as ArrayBuffer, data.byteOffset, whole)
    if (whole === data.byteLength) return
    const rest = new Uint8Array(4)
    rest.set((data as Uint8Array).subarray(whole))
    queue.writeBuffer(gpu, tensor.offset + whole, rest)
  }

  copy(from: Tensor, to: Tensor, count = from.size, fromElement = 0, toElement = 0): void {
    const bytes = elementBytes(from.dtype)
    const [source, target] = [from, to].map((tensor) => bufferOf(tensor).gpu)
    this.#commands
      .encoder()
      .copyBufferToBuffer(source, from.offset + fromElement * bytes, target, to.offset + toElement * bytes, count * bytes)
  }

  read(tensor: Tensor): Reading<TypedArray> {
    const { bytes, dtype } = tensor
    this.moved += bytes
    if (this.memory.yieldTo(bytes)) this.flush()
    const { staging, arrived } = this.#readbacks.ask(bytes)
    this.#commands.encoder().copyBufferToBuffer(bufferOf(tensor).gpu, tensor.offset, staging, 0, bytes)
    return new Reading(async () => {
      this.#readbacks.fetch(() => this.flush())
      const values = await arrived
      return dtype === 'f32' ? new Float32Array(values) : new Uint32Array(values)
    })
  }

  protected dispatch(call: Dispatch, flops: number): void {
    const compiled = this.#pipelines.of(call)
    if (this.#commands.full || this.#trace?.full) this.flush()
    const group = this.#pipelines.bind(compiled, call.source, call.bindings)
    const offsets = this.#commands.keep(call.source, call.params)
    const pass = this.#commands.pass(this.#trace?.pass(call))
    pass.setPipeline(compiled.pipeline)
    pass.setBindGroup(0, group, offsets)
    pass.dispatchWorkgroups(...call.grid)
    this.#commands.flops += flops
    if (this.#commands.flops > this.#submits.budget) this.flush()
  }

  flush(): void {
    if (!this.#commands.empty) {
      this.#trace?.close(this.#commands.encoder())
      const { flops } = this.#commands
      this.#commands.submit()
      const done = this.device.queue.onSubmittedWorkDone()
      this.#submits.add(done, flops)
      this.#trace?.submitted(done)
    }
    if (this.memory.bury()) this.#pipelines.unbind()
  }

  async pace(): Promise<void> {
    await this.#submits.makeRoom()
    await this.#failures.throwIfAny()
    await this.gate?.()
  }

  async sync(): Promise<void> {
    this.flush()
    await this.#submits.drain()
    await this.#failures.throwIfAny()
  }

  destroy(): void {
    this.#trace?.summary()
    this.device.destroy()
  }
}
