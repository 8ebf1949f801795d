/** Weights that stay in 16 bits: whatever takes them has the bits that it has with the same weights in f32. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device } from './device.ts'
import type { GemmFormName } from './ops/gemm-forms.ts'
import { convert, embed, heldAs, inFloats, matmul, type StoredDType } from './ops.ts'
import type { Tensor } from './tensor.ts'
import { testGpu, testSource } from './testing.ts'
import { TwinDevice } from './twin.ts'
import { WebGpuDevice } from './webgpu.ts'

let whole: Device
/** Its bindings hold a part of the operands here. */
let small: Device
beforeAll(async () => {
  whole = await testGpu()
  small = await WebGpuDevice.open(testSource(), { binding: 32768 })
})
afterAll(() => small.destroy())

/** Stored weights of all magnitudes, subnormals and zeros of both signs with them; finite. */
function bitsOf(dtype: StoredDType, count: number): Uint16Array<ArrayBuffer> {
  return Uint16Array.from({ length: count }, (_, i) => {
    const bits = (Math.imul(i + 1, 2654435761) >>> 13) & 0xffff
    return dtype === 'F16' ? bits & 0xfbff : (bits & 0x80ff) | (0x3c00 + (bits & 0x300))
  })
}

/** The same weights `[rows, cols]`, in pieces of 24 rows, as f32 and as they are stored. */
function load(gpu: Device, dtype: StoredDType, rows: number, cols: number, transposed: boolean): [Tensor, Tensor] {
  const bits = bitsOf(dtype, rows * cols)
  const bad = gpu.zeros([1], 'u32')
  return (['f32', heldAs(dtype, rows, cols)] as const).map((type) => {
    const out = gpu.empty(transposed ? [cols, rows] : [rows, cols], type)
    for (let row = 0; row < rows; row += 24) {
      const some = Math.min(24, rows - row)
      const raw = gpu.uploadBytes(new Uint8Array(bits.buffer, row * cols * 2, some * cols * 2))
      convert(gpu, raw, dtype, out, { rows: some, cols, row0: row, totalRows: rows, transposed, bad })
    }
    return out
  }) as [Tensor, Tensor]
}

const floats = (gpu: Device, rows: number, cols: number) =>
  gpu.upload(
    Float32Array.from({ length: rows * cols }, (_, i) => Math.sin(i * 1.7)),
    [rows, cols],
  )

describe.each<[StoredDType, string]>([
  ['BF16', 'bf16'],
  ['F16', 'f16'],
])('%s', (dtype, type) => {
  it.each([true, false])('widened, they are what convert makes of them; transposed: %s', async (transposed) => {
    for (const gpu of [whole, small]) {
      const [f32, half] = load(gpu, dtype, 264, 132, transposed)
      expect(half.dtype).toBe(type)
      expect(half.bytes).toBe(f32.bytes / 2)
      // By their bits, as 0 and -0 differ.
      const [expected, got] = [await gpu.read(f32), await gpu.read(inFloats(gpu, half))]
      expect(new Uint32Array(got.buffer)).toEqual(new Uint32Array(expected.buffer))
    }
  })

  it.each<[GemmFormName, boolean]>([
    ['direct', false],
    ['direct', true],
    ['tiled', false],
    ['tiled', true],
    ['broadcast 16×32', false],
    ['broadcast 16×32', true],
  ])('products are the same bits; kernel %s, B transposed: %s', async (kernel, tb) => {
    // Each device compiles a kernel anew, and pieces are cut alike for all of them.
    for (const gpu of kernel === 'direct' ? [whole, small] : [whole]) {
      const before = gpu.gemm
      gpu.gemm = kernel
      const [f32, half] = load(gpu, dtype, 132, 260, !tb)
      const x = floats(gpu, 40, 260)
      const [expected, got] = [f32, half].map((b) => matmul(gpu, x, b, { tb }))
      expect(new Uint32Array((await gpu.read(got)).buffer)).toEqual(new Uint32Array((await gpu.read(expected)).buffer))
      gpu.gemm = before
    }
  })

  it('rows of an embedding', async () => {
    const [f32, half] = load(whole, dtype, 60, 36, false)
    const ids = Uint32Array.from([3, 59, 0, 3, 17])
    const [expected, got] = [f32, half].map((tensor) => embed(whole, { rows: 60, cols: 36, parts: [{ first: 0, tensor }] }, ids))
    expect(await whole.read(got)).toEqual(await whole.read(expected))
  })

  it('the twin has the product in float64', async () => {
    const twin = new TwinDevice()
    const product = (gpu: Device) => {
      const [, half] = load(gpu, dtype, 8, 16, true)
      return matmul(gpu, floats(gpu, 4, 16), half)
    }
    const expected = await twin.read(product(twin))
    const most = Math.max(...expected.map(Math.abs))
    expect([...(await whole.read(product(whole)))]).toBeClose([...expected], { absolute: 2e-6 * most })
  })

  it('counts what is not finite', async () => {
    const bits = Uint16Array.from([0, 0x7c00, 0x7f80, 0xffff, 1, 0xfc01, 0xff80, 0x3c00, 1, 2, 3, 4, 5, 6, 7, 8])
    const bad = whole.zeros([1], 'u32')
    const out = whole.empty([4, 4], heldAs(dtype, 4, 4))
    convert(whole, whole.uploadBytes(new Uint8Array(bits.buffer)), dtype, out, {
      rows: 4,
      cols: 4,
      row0: 0,
      totalRows: 4,
      transposed: true,
      bad,
    })
    expect((await whole.read(bad))[0]).toBe(dtype === 'F16' ? 5 : 3)
  })
})

it('what 4 does not divide, or is stored in f32, is held in f32', () => {
  expect([heldAs('BF16', 6, 8), heldAs('F16', 8, 6), heldAs('F32', 8, 8)]).toEqual(['f32', 'f32', 'f32'])
})
