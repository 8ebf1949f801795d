/** Measuring where the end of work is noticed late, and the bits by which devices are told apart. */
import { afterEach, describe, expect, it, test, vi } from 'vitest'
import type { Device } from './device.ts'
import { chooseGemm, probeArithmetic, secondsOf } from './measure.ts'
import { testGpu, testSource } from './testing.ts'
import { WebGpuDevice } from './webgpu.ts'

afterEach(() => vi.restoreAllMocks())

describe('seconds of some work', () => {
  /** A device that computes in no time but its own, and looks for the end of work once a tick, s. */
  function slowToNotice(tick: number) {
    let clock = 0.0123
    let busy = 0
    vi.spyOn(performance, 'now').mockImplementation(() => clock * 1000)
    const sync = async () => {
      clock = Math.max(clock, busy)
      if (tick) clock = Math.ceil(clock / tick) * tick
    }
    return {
      gpu: { tick, sync } as Device,
      work: (seconds: number) => () => {
        busy = Math.max(busy, clock) + seconds
      },
    }
  }

  it.each([1e-5, 2.7e-4, 0.013, 0.09, 0.31, 2])('that takes %d s, with the end noticed every 100 ms', async (seconds) => {
    const { gpu, work } = slowToNotice(0.1)
    const measured = await secondsOf(gpu, work(seconds))
    // Half a tick either way in the six that it lasts at least.
    expect(Math.abs(measured / seconds - 1)).toBeLessThan(0.1)
  })

  it('that takes long enough by itself is done once', async () => {
    const { gpu, work } = slowToNotice(0)
    let count = 0
    const once = work(0.02)
    const measured = await secondsOf(gpu, () => {
      count++
      once()
    })
    expect(measured).toBeCloseTo(0.02, 12)
    expect(count).toBe(2) // the first compiles
  })
})

test('the form of products is chosen by measuring, and the rate goes into the size of submits', async () => {
  const gpu = await WebGpuDevice.open(testSource())
  expect([gpu.gflops, gpu.tick < 0.05]).toEqual([0, true])
  await chooseGemm(gpu)
  expect(gpu.gflops).toBeGreaterThan(0.05)
  expect(gpu.submitFlops).toBeCloseTo(Math.max(2e7, gpu.gflops * 1e9 * 0.06), -3)
  // On SwiftShader, whose workgroup memory is slow, direct is five times faster; lavapipe has them closer together.
  if (/swiftshader/i.test(gpu.info.name)) expect(gpu.gemm).toBe('direct')
  gpu.destroy()
})

describe('the search for a form of products', () => {
  /** A device that offers three forms; those whose kernels `spoiled` matches give zeros. */
  async function opened(spoiled: RegExp) {
    const gpu = await WebGpuDevice.open(testSource())
    Object.assign(gpu.info, { kind: 'software', name: 'another', subgroups: true })
    const run = gpu.run.bind(gpu)
    const ran = new Set<string>()
    gpu.run = (name, bindings, ...rest) => {
      ran.add(name)
      if (spoiled.test(name)) gpu.clear(bindings.c)
      else run(name, bindings, ...rest)
    }
    return { gpu, ran }
  }

  test('leaves out those that compute something else', async () => {
    const { gpu } = await opened(/broadcast|tiled/)
    await chooseGemm(gpu)
    expect(gpu.gemm).toBe('direct')
    gpu.destroy()
  })

  test('ends with an error where none computes a product', async () => {
    const { gpu } = await opened(/gemm/)
    await expect(chooseGemm(gpu)).rejects.toMatchObject({ code: 'gpu-failed' })
    gpu.destroy()
  })

  test('is not made where the choice is known, unless the device no longer offers it', async () => {
    const { gpu, ran } = await opened(/none/)
    await chooseGemm(gpu, 'direct')
    expect([gpu.gemm, [...ran].filter((name) => name.startsWith('gemm'))]).toEqual(['direct', ['gemm_direct']])
    Object.assign(gpu.info, { name: 'SwiftShader' })
    await chooseGemm(gpu, 'tiled')
    expect(gpu.gemm).toBe('direct')
    gpu.destroy()
  })
})

describe('the probe of arithmetic', () => {
  it('gives the same bits each time, whatever form of products is chosen', async () => {
    const gpu = await testGpu()
    const first = await probeArithmetic(gpu)
    const { gemm } = gpu
    gpu.gemm = gemm === 'direct' ? 'tiled' : 'direct'
    const second = await probeArithmetic(gpu)
    gpu.gemm = gemm
    expect(second).toEqual(first)
    expect(new Set(first).size).toBeGreaterThan(first.length * 0.9)
  })

  it('sees whether multiply and add are fused, and how sums are ordered', async () => {
    const gpu = await testGpu()
    const all = new Float32Array((await probeArithmetic(gpu)).slice(0, 256 * 8).buffer)
    let state = 1
    const noise = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return Math.fround(state / 2 ** 31 - 1)
    }
    const { fround } = Math
    let told = 0
    for (let i = 0; i < 256; i++) {
      const [a, b, c, d] = [noise(), noise(), noise(), noise()]
      const [apart, fused] = [fround(fround(a * b) + c), fround(a * b + c)]
      // A product of two float32 is exact in float64, a sum of it with a third nearly always: both roundings are known.
      expect([apart, fused]).toContain(all[8 * i])
      if (apart !== fused) told++
      expect(all[8 * i + 2]).toBe(fround(fround(fround(a + b) + c) + d))
    }
    expect(told).toBeGreaterThan(20)
  })
})
