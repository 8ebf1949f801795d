/** Kernels that cannot be compiled, and how readings wait. */
import { describe, expect, test } from 'vitest'
import { compileError } from './failure.ts'
import { kernelNames, kernelSource, originOf, parseKernel } from './kernel.ts'
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
