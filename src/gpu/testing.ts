/** Test set-up: WebGPU in Node by Dawn. A missing adapter fails every test that asks for it. */
import { afterAll } from 'vitest'
import './closeness.ts'
import { dawn } from './dawn.ts'
import type { Device } from './device.ts'
import { WebGpuDevice } from './webgpu.ts'

const source = dawn()
let opened: Promise<WebGpuDevice> | null = null

/** The device of this test file; one adapter gives one device. */
export function testGpu(): Promise<WebGpuDevice> {
  opened ??= WebGpuDevice.open(source)
  return opened
}

/** A device as what it is, for tests that reach for WebGPU itself. */
export function asWebGpu(device: Device): WebGpuDevice {
  if (!(device instanceof WebGpuDevice)) throw new Error('This is no WebGPU device.')
  return device
}

/** Where further devices come from. */
export function testSource(): GPU {
  return dawn()
}

afterAll(async () => {
  if (opened) (await opened).destroy()
  opened = null
})
