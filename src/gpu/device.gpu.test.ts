/** Kernels that cannot be compiled, devices that are traced, and how readings wait. */
import { describe, expect, test } from 'vitest'
import { compileError } from './failure.ts'
import { kernelNames, kernelSource, originOf, parseKernel } from './kernel.ts'
import type { Tensor } from './tensor.ts'
import { testGpu, testSource } from './testing.ts'
import { WebGpuDevice } from './webgpu.ts'

describe('a kernel that cannot be compiled', () => {
  const header = '@group(0) @binding(0) var<storage, read_write> x : array<f32>;\n@compute @workgroup_size(1) fn main() {\n'

  test('is told by the file and line that are at fault, even within an included file', async () => {
    const gpu = await testGpu()
    const code = `${header}  x[0] = missing;\n}`
    const lines = code.split('\n').map((text, i) => ({ file: i === 2 ? 'lib/broken.wgsl' : 'whole.wgsl', line: i + 40, text }))
    const source = parseKernel('whole', code, lines)
    gpu.device.pushErrorScope('validation')
    const module = gpu.device.createShaderModule({ code })
    const error = await gpu.device.popErrorScope()
    const { code: kind, message } = await compileError(source, module, error!)
    expect(kind).toBe('gpu-shader')
    expect(message).toMatch(/^The kernel whole cannot be compiled for this GPU: lib\/broken\.wgsl, line 42, column 10: .*missing/)
    expect(message).toContain('(“x[0] = missing;”)')
  })

  test('stops the work instead of leaving zeros', async () => {
    const gpu = await WebGpuDevice.open(testSource())
    const source = kernelSource('relu')
    const { code } = source
    source.code = `${code}\nfn broken() -> f32 { return missing; }`
    try {
      const x = gpu.upload(new Float32Array([-1, 2, -3, 4]), [4])
      gpu.run1d('relu', { x }, { n: 4 }, 1)
      await expect(gpu.read(x)).rejects.toMatchObject({ code: 'gpu-shader', message: expect.stringContaining('The kernel relu') })
      await expect(gpu.sync()).rejects.toMatchObject({ code: 'gpu-shader' })
      expect(gpu.failed).toBe(true)
    } finally {
      source.code = code
      gpu.destroy()
    }
  })

  test('every kernel knows where each of its lines comes from', () => {
    for (const name of kernelNames()) {
      const { code, lines } = kernelSource(name)
      expect(lines.map(({ text }) => text)).toEqual(code.split('\n'))
      const own = lines.filter(({ file }) => file === `${name}.wgsl`).map(({ line }) => line)
      expect(own).toEqual([...new Set(own)].sort((a, b) => a - b))
    }
    const sweep = kernelSource('quantease_sweep')
    const at = sweep.lines.findIndex(({ file, line }) => file === 'lib/walk.wgsl' && line === 3)
    expect(originOf(sweep, at + 1)).toBe('lib/walk.wgsl, line 3')
  })
})

/** In place. */
const gelu = (gpu: WebGpuDevice, x: Tensor) => gpu.run1d('gelu', { x }, { n: x.size }, x.size / 4)

describe('a traced device', () => {
  const traced = async (work: (gpu: WebGpuDevice, told: string[]) => Promise<void>) => {
    const told: string[] = []
    const gpu = await WebGpuDevice.open(testSource(), { debug: (line) => told.push(line) })
    try {
      await work(gpu, told)
    } finally {
      gpu.destroy()
    }
    return told.join('\n')
  }

  test('tells each submit with the time of its kernels, and in the end the time of each kernel', async () => {
    const told = await traced(async (gpu, lines) => {
      const x = gpu.upload(new Float32Array(2 ** 20).fill(1), [1024, 1024])
      for (let i = 0; i < 3; i++) gelu(gpu, x)
      gpu.run1d('add', { x, y: gpu.zeros([4]) }, { n: 4 }, 1)
      await gpu.sync()
      // Timestamps are read after the work is done.
      await expect.poll(() => lines.length, { timeout: 10_000 }).toBe(1)
    })
    expect(told).toMatch(/^\[gpu] submit 1, done after [\d.]+ ms: gelu × 3 [\d.]+ ms, add × 1 [\d.]+ ms$/m)
    // The longest first; which one that is, is the machine's affair.
    const times = [...told.matchAll(/^ +([\d.]+) ms +(\d × \w+)$/gm)]
    expect(times.map(([, , kernel]) => kernel).sort()).toEqual(['1 × add', '3 × gelu'])
    expect(Number(times[0][1])).toBeGreaterThanOrEqual(Number(times[1][1]))
    expect(Number(times.find(([, , kernel]) => kernel === '3 × gelu')![1])).toBeGreaterThan(0)
  })

  test('tells after an error what was in flight and what was alive, with names', async () => {
    const told = await traced(async (gpu) => {
      const kept = gpu.empty([64, 32], 'f32', 'The Gram matrix')
      const gone = gpu.empty([8], 'f32', 'What was disposed')
      gone.dispose()
      function makeActivations() {
        return gpu.zeros([3, 4])
      }
      const x = makeActivations()
      gpu.run1d('add', { x, y: kept }, { n: 12 }, 3)
      gpu.device.createBuffer({ size: 256, usage: 0x1 | 0x80 })
      await expect(gpu.sync()).rejects.toThrow(/^WebGPU: /)
    })
    expect(told).toContain('[gpu] WebGPU: ')
    expect(told).toMatch(/add × 1; the last one add\(x: makeActivations .*\[3, 4], y: The Gram matrix \[64, 32], n = 12\) over 1 × 1 × 1/)
    expect(told).toContain('2 live tensors, 0.0 MiB:\n    The Gram matrix [64, 32] f32, 8192 bytes\n    makeActivations')
  })

  test('asks for nothing that no kernel uses unless it is traced', async () => {
    const gpu = await testGpu()
    const used = gpu.info.subgroups ? ['subgroups'] : []
    expect([...gpu.device.features].filter((name) => ['shader-f16', 'subgroups', 'timestamp-query'].includes(name))).toEqual(used)
  })
})

describe('readings', () => {
  test('are waited for together, and hold what was there when they were asked for', async () => {
    const gpu = await testGpu()
    const x = gpu.upload(new Float32Array([1, 2, 3, 4]), [4])
    const before = gpu.waits
    const first = gpu.read(x)
    gpu.write(x, new Float32Array([5, 6, 7, 8]))
    const second = gpu.read(x).map((values) => values[0])
    x.dispose()
    expect(gpu.waits).toBe(before)
    expect([await second, [...(await first)]]).toEqual([5, [1, 2, 3, 4]])
    expect(gpu.waits).toBe(before + 1)
  })

  test('count as memory while they are on their way', async () => {
    const gpu = await testGpu()
    const bytes = 2 ** 20
    const x = gpu.empty([bytes / 4])
    const { held } = gpu.memory
    const readings = [gpu.read(x), gpu.read(x)]
    expect(gpu.memory.held).toBe(held + 2 * bytes)
    await Promise.all(readings)
    expect(gpu.memory.held).toBe(held)
    expect(gpu.memory.peak).toBeGreaterThanOrEqual(held + 2 * bytes)
    x.dispose()
  })
})
