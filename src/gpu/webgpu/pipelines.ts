/** Kernels as pipelines, compiled on first use, and the bind groups that they are called with. */
import type { Dispatch } from '../base.ts'
import type { Bindings } from '../device.ts'
import { compileError } from '../failure.ts'
import type { KernelSource } from '../kernel.ts'
import { bufferOf } from './buffer.ts'
import type { Failures } from './failures.ts'

/** Bind groups kept for each pipeline; they pin buffers, and sweeps repeat a few bindings thousands of times. */
const MOST_GROUPS = 64

export interface Pipeline {
  pipeline: GPUComputePipeline
  layout: GPUBindGroupLayout
  groups: Map<string, GPUBindGroup>
}

export class Pipelines {
  readonly #made = new Map<string, Pipeline>()

  constructor(
    readonly device: GPUDevice,
    /** Where `Params` lie, by dynamic offsets. */
    readonly uniforms: GPUBufferBinding,
    readonly failures: Failures,
  ) {}

  /** The pipeline of a call; errors of the compiler come as a failure of the device. */
  of({ source, constants }: Dispatch): Pipeline {
    const key = constants ? source.name + JSON.stringify(constants) : source.name
    const known = this.#made.get(key)
    if (known) return known
    const compiled = this.#compile(source, constants)
    this.#made.set(key, compiled)
    return compiled
  }

  bind({ groups, layout }: Pipeline, source: KernelSource, bindings: Bindings): GPUBindGroup {
    let key = ''
    for (const { name } of source.bindings) {
      const tensor = bindings[name]
      key += `${bufferOf(tensor).id}:${tensor.offset}:${tensor.size},`
    }
    let group = groups.get(key)
    if (!group) {
      if (groups.size > MOST_GROUPS) groups.clear()
      group = this.device.createBindGroup({ layout, entries: this.#entries(source, bindings) })
      groups.set(key, group)
    }
    return group
  }

  /** Lets go of the buffers that bind groups pin. */
  unbind(): void {
    for (const { groups } of this.#made.values()) groups.clear()
  }

  #entries(source: KernelSource, bindings: Bindings): GPUBindGroupEntry[] {
    const entries: GPUBindGroupEntry[] = source.bindings.map((binding) => {
      const { offset, bytes } = bindings[binding.name]
      const { gpu: buffer } = bufferOf(bindings[binding.name])
      return { binding: binding.index, resource: { buffer, offset, size: Math.min(Math.ceil(bytes / 16) * 16, buffer.size - offset) } }
    })
    if (source.uniform !== null) entries.push({ binding: source.uniform, resource: this.uniforms })
    return entries
  }

  #compile(source: KernelSource, constants?: Record<string, number>): Pipeline {
    const { device } = this
    const entries: GPUBindGroupLayoutEntry[] = source.bindings.map((binding) => ({
      binding: binding.index,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: binding.write ? 'storage' : 'read-only-storage' },
    }))
    if (source.uniform !== null) {
      entries.push({ binding: source.uniform, visibility: GPUShaderStage.COMPUTE, buffer: { type: 'uniform', hasDynamicOffset: true } })
    }
    for (const filter of ['internal', 'validation'] as const) device.pushErrorScope(filter)
    const module = device.createShaderModule({ label: source.name, code: source.code })
    const layout = device.createBindGroupLayout({ entries })
    const pipeline = device.createComputePipeline({
      label: source.name,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, constants },
    })
    for (let scope = 0; scope < 2; scope++) this.failures.await(this.#judge(source, module))
    return { pipeline, layout, groups: new Map() }
  }

  /** Whether a pipeline could be made, by the innermost error scope; that of a device that goes away does not count. */
  async #judge(source: KernelSource, module: GPUShaderModule): Promise<Error | null> {
    const error = await this.device.popErrorScope().catch(() => null)
    return error && compileError(source, module, error)
  }
}
