/** Opens the best available adapter with all its limits. */
import { WorkbenchError } from '../../errors.ts'
import type { GpuInfo } from '../device.ts'

/** The longest tick that is believed, s: a host that is busy may answer late as well. */
const LONGEST_TICK = 0.2

const noneInPage = (gpu: GPU | undefined) => [
  gpu ? 'WebGPU is here, but it offers no GPU adapter.' : 'This browser has no WebGPU.',
  'Use a recent Chrome, Edge or Safari 26 on a machine whose graphics driver is up to date.',
]
const noneInNode = [
  'Dawn, the WebGPU of this program, finds no GPU adapter.',
  'Install or update the driver of the GPU (with Vulkan on Linux). Where there is no GPU, npm run quantize takes the software adapter that comes with an installed Chromium.',
]

/** `features`: those to be asked for where the adapter has them. @throws {WorkbenchError} `gpu-missing` */
export async function openAdapter(gpu: GPU | undefined, features: GPUFeatureName[]): Promise<{ device: GPUDevice; info: GpuInfo }> {
  const adapter = await gpu?.requestAdapter({ powerPreference: 'high-performance' })
  if (!adapter) {
    const [message, hint] = gpu === globalThis.navigator?.gpu ? noneInPage(gpu) : noneInNode
    throw new WorkbenchError('gpu-missing', message, hint)
  }
  const { limits } = adapter
  const device = await adapter.requestDevice({
    requiredFeatures: features.filter((name) => adapter.features.has(name)),
    requiredLimits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
    },
  })
  return { device, info: infoOf(adapter, device.limits) }
}

function infoOf(adapter: GPUAdapter, limits: GPUSupportedLimits): GpuInfo {
  const { vendor, architecture, description, device: model } = adapter.info
  const software =
    adapter.info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render/i.test(`${architecture} ${description} ${model}`)
  return {
    vendor,
    architecture,
    name: description || [vendor, model || architecture].filter(Boolean).join(' ') || 'unnamed adapter',
    kind: software ? 'software' : 'gpu',
    f16: adapter.features.has('shader-f16'),
    subgroups: adapter.features.has('subgroups'),
    maxBinding: limits.maxStorageBufferBindingSize,
    maxBuffer: limits.maxBufferSize,
    told: toldBy(adapter),
  }
}

/** The middle of three: how long it takes until the end of nothing is noticed, s. */
export async function tickOf(device: GPUDevice): Promise<number> {
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
