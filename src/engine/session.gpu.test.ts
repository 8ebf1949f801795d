/** The device of a session, and how it is replaced. */
import { describe, expect, test } from 'vitest'
import { asWebGpu, testSource } from '../gpu/testing.ts'
import type { WebGpuDevice } from '../gpu/webgpu.ts'
import { Session } from './session.ts'

describe('an error that no scope caught', () => {
  /** A buffer that is to be mapped and to be bound, which no device allows. */
  const blunder = (gpu: WebGpuDevice) => gpu.device.createBuffer({ size: 256, usage: 0x1 | 0x80 })

  test('stops the work at hand, and the next is done on another device', async () => {
    const session = new Session(testSource())
    const first = asWebGpu(await session.gpu())
    blunder(first)
    await expect(first.sync()).rejects.toThrow(/^WebGPU: /)
    expect([first.failed, first.lost]).toEqual([true, false])
    const [second, third] = await Promise.all([session.gpu(), session.gpu()])
    expect(second).not.toBe(first)
    expect(third).toBe(second)
    expect([...(await second.read(second.upload(new Float32Array([1, 2]), [2])))]).toEqual([1, 2])
    second.destroy()
  })
})
