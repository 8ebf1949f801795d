/** Values on their way to the host: all that were asked for are mapped in one wait. */
import type { Memory } from '../memory.ts'
import { usage, WebGpuBuffer } from './buffer.ts'
import type { Failures } from './failures.ts'

/** How long the reason of a failed mapping, a lost device or no memory, may take to be told, ms. */
const REASON_MS = 1000

/** A reading on its way: where it was copied to, and who waits for it. */
interface Asked {
  staging: WebGpuBuffer
  resolve(values: ArrayBuffer): void
  reject(error: unknown): void
}

export class Readbacks {
  /** How often the host has waited, however many values it took at once. */
  waits = 0
  /** Readings that nobody has waited for yet. */
  #asked: Asked[] = []

  constructor(
    readonly device: GPUDevice,
    readonly memory: Memory<WebGpuBuffer>,
    readonly failures: Failures,
  ) {}

  /** A buffer for so many bytes, and what will have been copied into it by the time of the next `fetch`. */
  ask(bytes: number): { staging: GPUBuffer; arrived: Promise<ArrayBuffer> } {
    const gpu = this.device.createBuffer({ size: Math.max(4, bytes), usage: usage.mapRead | usage.copyDst })
    const staging = new WebGpuBuffer(gpu)
    this.memory.hold(staging.size)
    const arrived = new Promise<ArrayBuffer>((resolve, reject) => this.#asked.push({ staging, resolve, reject }))
    arrived.catch(() => {}) // told to whoever waits
    return { staging: gpu, arrived }
  }

  /** Maps all that was asked for, once `submit` has sent the copies on their way. */
  fetch(submit: () => void): void {
    if (!this.#asked.length) return
    submit()
    this.waits++
    for (const { staging, resolve, reject } of this.#asked.splice(0)) {
      this.#map(staging.gpu)
        .finally(() => {
          staging.gpu.destroy()
          this.memory.release(staging.size)
        })
        .then(resolve, reject)
    }
  }

  /** Gives up all that nobody has waited for. */
  drop(): void {
    for (const { staging, reject } of this.#asked.splice(0)) {
      // Commands that are not submitted yet may still copy into it.
      this.memory.doom(staging)
      reject(new Error('The run that asked for this reading is over.'))
    }
  }

  async #map(staging: GPUBuffer): Promise<ArrayBuffer> {
    try {
      await staging.mapAsync(GPUMapMode.READ)
    } catch (error) {
      await Promise.race([this.failures.happened, new Promise((resolve) => setTimeout(resolve, REASON_MS))])
      throw this.failures.first ?? error
    }
    await this.failures.throwIfAny()
    return staging.getMappedRange().slice(0)
  }
}
