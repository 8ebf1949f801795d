/**
 * One WebGPU device: opening it with all it has, tensors with an exact count of the memory they hold, kernels by name,
 * and short submits that can be paced, paused and cancelled. Everything WebGPU-ish hides behind this class.
 */
import { WorkbenchError } from '../errors.ts'
import { compileError, lostError, uncaptured } from './failure.ts'
import { type KernelSource, kernelSource } from './kernel.ts'
import { Reading } from './reading.ts'
import { type DType, Tensor, type TypedArray, elements } from './tensor.ts'

/** By their numbers in the standard: the global that names them is missing where WebGPU is. */
const usage = { mapRead: 0x1, copySrc: 0x4, copyDst: 0x8, uniform: 0x40, storage: 0x80 }
/** Uniforms of one batch of dispatches: 256 bytes each (the alignment of dynamic offsets). */
const SLOT = 256
const SLOTS = 1024
/** Freed buffers kept for reuse; zeroing a new one costs as much as a small kernel. */
const POOL_BYTES = 256 * 2 ** 20
/** How long one submit may keep a real GPU: far below every watchdog (2 s on Windows), short enough to cancel. */
const SUBMIT_SECONDS = 0.06
/** Submits queued ahead, so that the GPU never waits for the next one; more where their end is noticed late. */
const IN_FLIGHT = 2
/** The longest tick that is believed, s: a host that is busy may answer late as well. */
const LONGEST_TICK = 0.2

export interface GpuInfo {
  vendor: string
  architecture: string
  name: string
  kind: 'gpu' | 'software'
  f16: boolean
  subgroups: boolean
  maxBinding: number
  maxBuffer: number
  /** All that the adapter tells of itself: names, features, limits. */
  told: string
}

type Bindings = Record<string, Tensor>
type Params = Record<string, number>
export interface DispatchOptions {
  /** Pipeline-overridable constants. */
  constants?: Record<string, number>
  /** Floating-point operations, for pacing; default: one per invocation. */
  flops?: number
}

interface Pipeline {
  pipeline: GPUComputePipeline
  layout: GPUBindGroupLayout
  groups: Map<string, GPUBindGroup>
}

/** A reading on its way: where it was copied to, and who waits for it. */
interface Asked {
  staging: GPUBuffer
  resolve(values: ArrayBuffer): void
  reject(error: unknown): void
}

export class Gpu {
  readonly info: GpuInfo
  /** The form of matrix products: direct from storage, or by tiles in workgroup memory; `chooseGemm` measures which is faster. */
  gemm: 'direct' | 'tiled'
  /** Measured rate of matrix products, GFLOP/s; 0 before `learn`. */
  gflops = 0
  /** How late the end of work is noticed, s: Firefox looks every 100 ms, others at once. */
  tick = 0
  /** Bytes in live and pooled buffers and in readings on their way, now and at most ever; what uploads pass through is the browser's. */
  held = 0
  peak = 0
  /** The most since `mostHeld` was asked last. */
  #most = 0
  /** Bytes of tensors that wait on the host until they are needed again. */
  parked = 0
  /** Floating-point operations encoded since the device was opened. */
  flops = 0
  /** Awaited between submits: waits while paused, throws when cancelled. */
  gate: (() => Promise<void> | void) | null = null

  readonly #pipelines = new Map<string, Pipeline>()
  readonly #ids = new WeakMap<GPUBuffer, number>()
  #nextId = 0
  readonly #live = new Map<Tensor, number>()
  #serial = 0
  readonly #pool = new Map<number, GPUBuffer[]>()
  #pooled = 0
  #doomed: GPUBuffer[] = []

  readonly #uniforms: GPUBuffer
  readonly #slots = new DataView(new ArrayBuffer(SLOT * SLOTS))
  #used = 0
  #encoder: GPUCommandEncoder | null = null
  #pass: GPUComputePassEncoder | null = null
  #flops = 0
  /** Floating-point operations per submit; grows from measurement. */
  #budget = 2e8
  #inFlight: { done: Promise<void>; flops: number; at: number }[] = []
  #lastDone = 0
  /** Work of a stretch without a pause, and its begin: long enough, it tells the rate. */
  #stretch = { since: 0, flops: 0, submits: 0 }
  /** Readings that nobody has waited for yet. */
  #asked: Asked[] = []
  /** Least time between two looks at what is still being computed, ms: they cost a wait, but nothing waits for them. */
  lookEvery = 250
  /** How often the host has waited for values of the GPU, however many it took at once. */
  waits = 0
  #failure: Error | null = null
  /** Settles once there is a failure. */
  readonly #failing: Promise<void>
  /** What must be known before work counts as done: whether pipelines could be made, what an error means. */
  readonly #verdicts = new Set<Promise<void>>()
  /** The device is gone for good. */
  lost = false

  protected constructor(
    /** The `GPU` object must stay referenced: Dawn in Node crashes once it is collected. */
    readonly gpu: GPU,
    readonly device: GPUDevice,
    info: GpuInfo,
  ) {
    this.info = info
    this.gemm = info.kind === 'software' ? 'direct' : 'tiled'
    this.#uniforms = device.createBuffer({ size: SLOT * SLOTS, usage: usage.uniform | usage.copyDst })
    this.#failing = new Promise((resolve) => {
      const fail = (error: Error) => {
        this.#failure ??= error
        resolve()
      }
      void device.lost.then((lost) => {
        this.lost = true
        fail(lostError(lost))
      })
      device.onuncapturederror = ({ error }) => {
        // A kernel that could not be compiled leads to errors wherever it is used; its own says more.
        const compiling = [...this.#verdicts]
        this.#await(Promise.all(compiling).then(() => fail(uncaptured(error))))
      }
      this.#fail = fail
    })
  }

  #fail: (error: Error) => void = () => {}

  /** Keeps work from counting as done until `verdict` is in. */
  #await(verdict: Promise<void>): void {
    this.#verdicts.add(verdict)
    void verdict.finally(() => this.#verdicts.delete(verdict))
  }

  /** The device is lost, or has reported an error after which its results cannot be trusted: open another. */
  get failed(): boolean {
    return this.#failure !== null
  }

  /**
   * Opens the best adapter with every limit and every useful feature it has; `most.binding`: as if a binding could hold no
   * more bytes than that.
   * @throws WorkbenchError `gpu-missing`
   */
  static async open(gpu: GPU | undefined, most: { binding: number } = { binding: Number.POSITIVE_INFINITY }): Promise<Gpu> {
    const adapter = await gpu?.requestAdapter({ powerPreference: 'high-performance' })
    if (!gpu || !adapter) {
      throw new WorkbenchError(
        'gpu-missing',
        gpu ? 'WebGPU is here, but it offers no GPU adapter.' : 'This browser has no WebGPU.',
        'Use a recent Chrome, Edge or Safari 26 on a machine whose graphics driver is up to date.',
      )
    }
    const features = ['shader-f16', 'subgroups', 'timestamp-query'].filter((name) => adapter.features.has(name)) as GPUFeatureName[]
    const limits = adapter.limits
    const device = await adapter.requestDevice({
      requiredFeatures: features,
      requiredLimits: {
        maxBufferSize: limits.maxBufferSize,
        maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
        maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
        maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
        maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
        maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      },
    })
    const { vendor, architecture, description, device: model } = adapter.info
    const software =
      adapter.info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render/i.test(`${architecture} ${description} ${model}`)
    const opened = new Gpu(gpu, device, {
      vendor,
      architecture,
      name: description || [vendor, model || architecture].filter(Boolean).join(' ') || 'unnamed adapter',
      kind: software ? 'software' : 'gpu',
      f16: device.features.has('shader-f16'),
      subgroups: device.features.has('subgroups' as GPUFeatureName),
      maxBinding: Math.min(most.binding, device.limits.maxStorageBufferBindingSize),
      maxBuffer: device.limits.maxBufferSize,
      told: toldBy(adapter),
    })
    opened.tick = await tickOf(device)
    return opened
  }

  /**
   * WebGPU does not tell how much memory a GPU has. Twice its largest buffer, within 1 to 16 GiB, is a careful guess:
   * browsers cap buffers at a fraction of what is there.
   */
  get memoryBudget(): number {
    return Math.min(16 * 2 ** 30, Math.max(2 ** 30, 2 * this.info.maxBuffer))
  }

  // ---------------------------------------------------------------- tensors

  /**
   * A tensor with unspecified content. It may be larger than a binding: then kernels see row panels of it (panels.ts).
   * @throws WorkbenchError `gpu-too-small` when one buffer cannot hold it
   */
  empty(shape: readonly number[], dtype: DType = 'f32', what = 'A tensor'): Tensor {
    const size = Math.max(256, Math.ceil((elements(shape) * 4) / 256) * 256)
    this.require(size, `${what} [${shape.join(', ')}]`)
    const reused = this.#pool.get(size)?.pop()
    if (reused) this.#pooled -= size
    const buffer = reused ?? this.#create(size)
    const tensor = new Tensor(buffer, shape, dtype, 0, (freed) => {
      this.#live.delete(tensor)
      this.#recycle(freed)
    })
    this.#live.set(tensor, ++this.#serial)
    return tensor
  }

  /** A point in time for `releaseSince`. */
  mark(): number {
    return this.#serial
  }

  /** Disposes every tensor made since `mark`, and drops the readings that nobody waits for: what an interrupted run leaves. */
  releaseSince(mark: number): void {
    for (const { staging, reject } of this.#asked.splice(0)) {
      // Commands that are not submitted yet may still copy into it.
      this.#doomed.push(staging)
      reject(new Error('The run that asked for this reading is over.'))
    }
    for (const [tensor, serial] of this.#live) if (serial > mark) tensor.dispose()
  }

  /** @throws WorkbenchError `gpu-too-small` when one buffer cannot hold so many bytes */
  require(bytes: number, what: string): void {
    if (bytes > this.info.maxBuffer) {
      throw new WorkbenchError(
        'gpu-too-small',
        `${what} takes ${mebibytes(bytes)}, but the largest buffer of this GPU is ${mebibytes(this.info.maxBuffer)}.`,
        'Choose a smaller model, or a GPU (or browser) with larger buffers.',
      )
    }
  }

  /** @throws WorkbenchError `gpu-too-small` when a kernel would see more of a tensor than a binding holds */
  protected requireBinding(kernel: string, { bytes }: Tensor): void {
    if (bytes <= this.info.maxBinding) return
    throw new WorkbenchError(
      'gpu-too-small',
      `The step ${kernel} needs ${mebibytes(bytes)} at once, but the largest binding of this GPU is ${mebibytes(this.info.maxBinding)}.`,
      'Choose another method, a smaller model, or a GPU (or browser) with a larger binding limit.',
    )
  }

  zeros(shape: readonly number[], dtype: DType = 'f32'): Tensor {
    const tensor = this.empty(shape, dtype)
    this.clear(tensor)
    return tensor
  }

  clear(tensor: Tensor): void {
    this.#endPass()
    this.#open().clearBuffer(tensor.buffer, tensor.offset, Math.ceil(tensor.bytes / 4) * 4)
  }

  upload(data: TypedArray, shape: readonly number[]): Tensor {
    if (data.length !== elements(shape)) throw new Error(`${data.length} values do not make [${shape}].`)
    const tensor = this.empty(shape, data instanceof Float32Array ? 'f32' : 'u32')
    this.write(tensor, data)
    return tensor
  }

  /** Raw bytes as u32 words (the last one padded with zeros), for weights that are converted on the GPU. */
  uploadBytes(data: Uint8Array): Tensor {
    const whole = data.byteLength & ~3
    const tensor = this.empty([Math.ceil(data.byteLength / 4)], 'u32')
    this.flush()
    if (whole) this.device.queue.writeBuffer(tensor.buffer, 0, data as Uint8Array<ArrayBuffer>, 0, whole)
    if (whole < data.byteLength) {
      const rest = new Uint8Array(4)
      rest.set(data.subarray(whole))
      this.device.queue.writeBuffer(tensor.buffer, whole, rest)
    }
    return tensor
  }

  write(tensor: Tensor, data: TypedArray): void {
    // A write overtakes dispatches that are not submitted yet, and those may still use this buffer.
    this.flush()
    this.device.queue.writeBuffer(tensor.buffer, tensor.offset, data)
  }

  /** Copies `count` elements between tensors. */
  copy(from: Tensor, to: Tensor, count = from.size, fromElement = 0, toElement = 0): void {
    this.#endPass()
    this.#open().copyBufferToBuffer(from.buffer, from.offset + fromElement * 4, to.buffer, to.offset + toElement * 4, count * 4)
  }

  /**
   * Copies the values as they are now; the wait for them begins when the reading is awaited, together with all others.
   * `foreseen`: the value of all elements that a dry run goes on with (dry.ts); a device that computes has its own.
   */
  read(tensor: Tensor, _foreseen?: number): Reading<TypedArray> {
    const { bytes, dtype } = tensor
    const staging = this.device.createBuffer({ size: Math.max(4, bytes), usage: usage.mapRead | usage.copyDst })
    this.hold(staging.size)
    this.#endPass()
    this.#open().copyBufferToBuffer(tensor.buffer, tensor.offset, staging, 0, bytes)
    const arrived = new Promise<ArrayBuffer>((resolve, reject) => this.#asked.push({ staging, resolve, reject }))
    arrived.catch(() => {}) // told to whoever waits
    return new Reading(async () => {
      this.#fetch()
      const values = await arrived
      return dtype === 'f32' ? new Float32Array(values) : new Uint32Array(values)
    })
  }

  /** Maps all that was asked for. */
  #fetch(): void {
    if (!this.#asked.length) return
    this.flush()
    this.waits++
    for (const { staging, resolve, reject } of this.#asked.splice(0)) {
      this.#map(staging)
        .finally(() => {
          staging.destroy()
          this.release(staging.size)
        })
        .then(resolve, reject)
    }
  }

  async #map(staging: GPUBuffer): Promise<ArrayBuffer> {
    try {
      await staging.mapAsync(GPUMapMode.READ)
    } catch (error) {
      // The reason, a lost device or no memory, may be told a little later.
      await Promise.race([this.#failing, new Promise((resolve) => setTimeout(resolve, 1000))])
      throw this.#failure ?? error
    }
    await this.#throwFailure()
    return staging.getMappedRange().slice(0)
  }

  /** Counts memory that was taken on the device, and given back. */
  protected hold(bytes: number): void {
    this.held += bytes
    this.peak = Math.max(this.peak, this.held)
    this.#most = Math.max(this.#most, this.held)
  }

  /** The most bytes held since this was asked last: a look at `held` now and then would miss what came and went between. */
  mostHeld(): number {
    const most = Math.max(this.#most, this.held)
    this.#most = this.held
    return most
  }

  protected release(bytes: number): void {
    this.held -= bytes
  }

  #create(size: number): GPUBuffer {
    const buffer = this.device.createBuffer({
      size,
      usage: usage.storage | usage.copySrc | usage.copyDst,
    })
    this.hold(size)
    this.#ids.set(buffer, this.#nextId++)
    return buffer
  }

  #recycle(buffer: GPUBuffer): void {
    const size = buffer.size
    if (this.#pooled + size > POOL_BYTES) {
      this.#doomed.push(buffer)
      return
    }
    this.#pooled += size
    const list = this.#pool.get(size)
    if (list) list.push(buffer)
    else this.#pool.set(size, [buffer])
  }

  /** Gives pooled memory back to the device. */
  trim(): void {
    for (const buffers of this.#pool.values()) this.#doomed.push(...buffers)
    this.#pool.clear()
    this.#pooled = 0
    this.flush()
  }

  // ---------------------------------------------------------------- kernels

  /** Encodes one dispatch of `grid` workgroups. */
  run(name: string, bindings: Bindings, params: Params, grid: [number, number?, number?], options: DispatchOptions = {}): void {
    const source = kernelSource(name)
    const compiled = this.#compile(name, options.constants)
    let offset = 0
    if (source.uniform !== null) {
      if (this.#used === SLOTS) this.flush()
      offset = this.#used++ * SLOT
      source.params.forEach((field, index) => {
        const value = params[field.name]
        if (value === undefined) throw new Error(`Kernel ${name} needs the parameter "${field.name}".`)
        if (field.type === 'f32') this.#slots.setFloat32(offset + index * 4, value, true)
        else if (field.type === 'u32') this.#slots.setUint32(offset + index * 4, value, true)
        else this.#slots.setInt32(offset + index * 4, value, true)
      })
    }
    const [x, y = 1, z = 1] = grid
    if (x > 65535 || y > 65535 || z > 65535) throw new Error(`Kernel ${name}: the grid ${grid} is over 65535.`)
    if (!x || !y || !z) return
    const group = this.#bind(name, compiled, bindings)
    const pass = this.#beginPass()
    pass.setPipeline(compiled.pipeline)
    pass.setBindGroup(0, group, source.uniform === null ? [] : [offset])
    pass.dispatchWorkgroups(x, y, z)
    const [wx, wy, wz] = source.workgroup
    const flops = options.flops ?? x * y * z * wx * wy * wz
    this.flops += flops
    this.#flops += flops
    if (this.#flops > this.#budget) this.flush()
  }

  /** One invocation per item; the kernel folds a two-dimensional grid back into `item(...)`. */
  run1d(name: string, bindings: Bindings, params: Params, items: number, options: DispatchOptions = {}): void {
    const groups = Math.ceil(items / kernelSource(name).workgroup[0])
    const x = Math.min(groups, 32768)
    this.run(name, bindings, params, [x, Math.ceil(groups / Math.max(1, x))], options)
  }

  /** One invocation per item of every row: its `global_invocation_id` is (item, row). Spares kernels a division. */
  run2d(
    name: string,
    bindings: Bindings,
    params: Params,
    [items, rows]: [items: number, rows: number],
    options: DispatchOptions = {},
  ): void {
    this.run(name, bindings, params, [Math.ceil(items / kernelSource(name).workgroup[0]), rows], options)
  }

  #compile(name: string, constants: Record<string, number> | undefined): Pipeline {
    const key = constants ? name + JSON.stringify(constants) : name
    let compiled = this.#pipelines.get(key)
    if (compiled) return compiled
    const source = kernelSource(name)
    const entries: GPUBindGroupLayoutEntry[] = source.bindings.map((binding) => ({
      binding: binding.index,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: binding.write ? 'storage' : 'read-only-storage' },
    }))
    if (source.uniform !== null) {
      entries.push({ binding: source.uniform, visibility: GPUShaderStage.COMPUTE, buffer: { type: 'uniform', hasDynamicOffset: true } })
    }
    for (const filter of ['internal', 'validation'] as const) this.device.pushErrorScope(filter)
    const module = this.device.createShaderModule({ label: name, code: source.code })
    const layout = this.device.createBindGroupLayout({ entries })
    const pipeline = this.device.createComputePipeline({
      label: name,
      layout: this.device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, constants },
    })
    for (let scope = 0; scope < 2; scope++) this.#await(this.#judge(source, module))
    compiled = { pipeline, layout, groups: new Map() }
    this.#pipelines.set(key, compiled)
    return compiled
  }

  /** Whether a pipeline could be made, by the innermost error scope; that of a device that goes away does not count. */
  async #judge(source: KernelSource, module: GPUShaderModule): Promise<void> {
    const error = await this.device.popErrorScope().catch(() => null)
    if (error) this.#fail(await compileError(source, module, error))
  }

  #bind(name: string, compiled: Pipeline, bindings: Bindings): GPUBindGroup {
    const source = kernelSource(name)
    let key = ''
    for (const { name: variable, dtype } of source.bindings) {
      const tensor = bindings[variable]
      if (!tensor) throw new Error(`Kernel ${name} needs the tensor "${variable}".`)
      if (tensor.dtype !== dtype) throw new Error(`Kernel ${name}: "${variable}" is ${tensor.dtype}, not ${dtype}.`)
      this.requireBinding(name, tensor)
      key += `${this.#ids.get(tensor.buffer)}:${tensor.offset}:${tensor.size},`
    }
    let group = compiled.groups.get(key)
    if (!group) {
      // Bind groups pin buffers; a small cache serves the sweeps, which repeat a few bindings thousands of times.
      if (compiled.groups.size > 64) compiled.groups.clear()
      const entries: GPUBindGroupEntry[] = source.bindings.map((binding) => {
        const { buffer, offset, bytes } = bindings[binding.name]
        return { binding: binding.index, resource: { buffer, offset, size: Math.min(Math.ceil(bytes / 16) * 16, buffer.size - offset) } }
      })
      if (source.uniform !== null) entries.push({ binding: source.uniform, resource: { buffer: this.#uniforms, size: SLOT } })
      group = this.device.createBindGroup({ layout: compiled.layout, entries })
      compiled.groups.set(key, group)
    }
    return group
  }

  // ---------------------------------------------------------------- submits

  #open(): GPUCommandEncoder {
    this.#encoder ??= this.device.createCommandEncoder()
    return this.#encoder
  }

  #beginPass(): GPUComputePassEncoder {
    this.#pass ??= this.#open().beginComputePass()
    return this.#pass
  }

  #endPass(): void {
    this.#pass?.end()
    this.#pass = null
  }

  /** Submits what was encoded so far. */
  flush(): void {
    if (this.#encoder) {
      this.#endPass()
      if (this.#used) this.device.queue.writeBuffer(this.#uniforms, 0, this.#slots.buffer as ArrayBuffer, 0, this.#used * SLOT)
      this.device.queue.submit([this.#encoder.finish()])
      this.#inFlight.push({ done: this.device.queue.onSubmittedWorkDone(), flops: this.#flops, at: performance.now() })
      this.#encoder = null
      this.#used = 0
      this.#flops = 0
    }
    if (this.#doomed.length) {
      for (const compiled of this.#pipelines.values()) compiled.groups.clear()
      for (const buffer of this.#doomed) {
        this.release(buffer.size)
        buffer.destroy()
      }
      this.#doomed = []
    }
  }

  /** How much work one submit should hold; larger dispatches are split by their caller where they can be. */
  get submitFlops(): number {
    return this.#budget
  }

  /** Called inside every long loop: keeps few submits queued, learns how large one may be, and lets pause and cancel in. */
  async pace(): Promise<void> {
    while (this.#inFlight.length > IN_FLIGHT + Math.ceil((2 * this.tick) / SUBMIT_SECONDS)) await this.#settle()
    await this.#throwFailure()
    await this.gate?.()
  }

  /** Waits until the GPU has done everything submitted. */
  async sync(): Promise<void> {
    this.flush()
    while (this.#inFlight.length) await this.#settle()
    await this.#throwFailure()
  }

  async #settle(): Promise<void> {
    const submit = this.#inFlight.shift()
    if (!submit) return
    await submit.done
    const now = performance.now()
    const stretch = this.#stretch
    if (submit.at > this.#lastDone) Object.assign(stretch, { since: submit.at, flops: 0, submits: 0 })
    this.#lastDone = now
    stretch.flops += submit.flops
    stretch.submits++
    const seconds = (now - stretch.since) / 1000
    if (seconds <= 5 * this.tick) return
    // Only submits that were nearly full say something about how much fits.
    if (stretch.flops > (stretch.submits * this.#budget) / 2) {
      this.#fit(Math.min(this.#budget * 2, (this.#budget + (stretch.flops / seconds) * SUBMIT_SECONDS) / 2))
    }
    Object.assign(stretch, { since: now, flops: 0, submits: 0 })
  }

  #fit(budget: number): void {
    this.#budget = Math.min(1e12, Math.max(2e7, budget))
  }

  /** The rate of matrix products, FLOP/s, as it was measured: a submit holds as much as that rate allows. */
  learn(rate: number): void {
    this.gflops = rate / 1e9
    this.#fit(rate * SUBMIT_SECONDS)
  }

  async #throwFailure(): Promise<void> {
    while (this.#verdicts.size) await Promise.all(this.#verdicts)
    if (this.#failure) throw this.#failure
  }

  destroy(): void {
    this.device.destroy()
  }
}

/** The middle of three: how long it takes until the end of nothing is noticed, s. */
async function tickOf(device: GPUDevice): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < 3; i++) {
    const start = performance.now()
    device.queue.submit([device.createCommandEncoder().finish()])
    await device.queue.onSubmittedWorkDone()
    times.push((performance.now() - start) / 1000)
  }
  return Math.min(LONGEST_TICK, times.sort((a, b) => a - b)[1])
}

function toldBy({ info, features, limits }: GPUAdapter): string {
  // Getters of the prototype, which no copy would hold.
  const all = (given: object) => {
    const names = Object.keys(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(given))).sort()
    return names.flatMap((name) => {
      const value = given[name as never] as unknown
      return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? [[name, value]] : []
    })
  }
  return JSON.stringify([all(info), [...features].sort(), all(limits)])
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)} MiB`
}
