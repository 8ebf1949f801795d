/** Memory on a WebGPU device. */
import type { DeviceBuffer, Tensor } from '../tensor.ts'

/** By their numbers in the standard: the global that names them is missing where WebGPU is. */
export const usage = { mapRead: 0x1, copySrc: 0x4, copyDst: 0x8, uniform: 0x40, storage: 0x80, queryResolve: 0x200 }

let made = 0

export class WebGpuBuffer implements DeviceBuffer {
  /** Tells buffers apart, in keys of bind groups. */
  readonly id = made++

  constructor(readonly gpu: GPUBuffer) {}

  get size(): number {
    return this.gpu.size
  }
}

export function bufferOf({ buffer, label }: Tensor): WebGpuBuffer {
  if (!(buffer instanceof WebGpuBuffer)) throw new Error(`${label} is of another device.`)
  return buffer
}
