/** Products with inputs in f16: what rounding makes of rows, and sums over them. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Device } from './device.ts'
import { applyHead } from './head.ts'
import { convert, forwardProduct, heldAs, narrow } from './ops.ts'
import type { GemmFormName } from './ops/gemm-forms.ts'
import type { Tensor } from './tensor.ts'
import { testGpu, testSource } from './testing.ts'
import { TwinDevice } from './twin.ts'
import { WebGpuDevice } from './webgpu.ts'

let whole: Device
/** Its bindings hold a part of the operands here. */
let small: Device
beforeAll(async () => {
  whole = await testGpu()
  small = await WebGpuDevice.open(testSource(), { binding: 49152 })
})
afterAll(() => small.destroy())

const wave = (length: number, step = 1.7) => Float32Array.from({ length }, (_, i) => Math.sin(i * step))

/** Half a unit in the last place of f16, of what it rounds. */
const ROUNDING = 2 ** -11

/** The numbers that `narrow` makes of x, in float64; those of columns that were multiplied by factors, divided by these again. */
async function roundedOf(gpu: Device, x: Tensor, by?: Tensor): Promise<Float64Array> {
  const { values, scales } = narrow(gpu, x, by)
  const divisors = by && (await gpu.read(by))
  const [words, factors] = [(await gpu.read(values)) as Uint32Array, await gpu.read(scales)]
  return Float64Array.from({ length: x.size }, (_, e) => {
    const bits = (words[e >> 1] >>> (16 * (e % 2))) & 0xffff
    const [exponent, fraction] = [(bits >> 10) & 31, bits & 0x3ff]
    expect(exponent === 0 ? fraction : 0, 'subnormals').toBe(0)
    const value = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : 0
    return ((bits & 0x8000 ? -value : value) * factors[Math.floor(e / x.cols)]) / (divisors?.[e % x.cols] ?? 1)
  })
}

it('rounds to the nearest, whatever the size of a row', async () => {
  const cols = 132
  // Far beyond what f16 holds on either side; the last two hold zeros, and numbers far smaller than their largest.
  const sizes = [1, 1e-30, 3e30, 65520, 1e-6, 0, 1]
  const data = wave(sizes.length * cols).map((value, e) => value * sizes[Math.floor(e / cols)])
  data.subarray(6 * cols + 1, 7 * cols).forEach((_, i, row) => (row[i] = 1e-12))
  data[6 * cols] = 1 + 2 ** -11 // Halfway: to the even one.
  const rounded = await roundedOf(whole, whole.upload(data, [sizes.length, cols]))
  for (const [e, value] of data.entries()) {
    const most = Math.max(...data.subarray(e - (e % cols), e - (e % cols) + cols).map(Math.abs))
    expect(Math.abs(rounded[e] - value), `${e}: ${value}`).toBeLessThanOrEqual(ROUNDING * Math.abs(value) + 2 ** -28 * most)
  }
  expect(rounded[6 * cols]).toBe(1)
})

it.each([Number.NaN, Number.POSITIVE_INFINITY])('of a row with %s comes nothing finite, of others what comes without it', async (bad) => {
  const data = wave(8 * 64)
  data[3 * 64 + 5] = bad
  const product = await whole.read(forwardProduct(whole, whole.upload(data, [8, 64]), whole.upload(wave(64 * 4, 0.9), [64, 4]), 'f16'))
  expect([...product].map(Number.isFinite)).toEqual(Array.from({ length: 32 }, (_, i) => i >> 2 !== 3))
})

/** Weights `[rows, cols]` as they are stored, and as numbers; of bf16, some are beyond what f16 holds. */
function weights(gpu: Device, dtype: 'F32' | 'BF16', rows: number, cols: number): { tensor: Tensor; values: ArrayLike<number> } {
  const data = wave(rows * cols, 0.37)
  if (dtype === 'F32') return { tensor: gpu.upload(data, [rows, cols]), values: data }
  const bits = Uint16Array.from(data, (_, i) => 0x3e00 + (i % 127) + (i % 97 ? 0 : 0xb00))
  const tensor = gpu.empty([rows, cols], heldAs(dtype, rows, cols))
  const bad = gpu.zeros([1], 'u32')
  convert(gpu, gpu.uploadBytes(new Uint8Array(bits.buffer)), dtype, tensor, {
    rows,
    cols,
    row0: 0,
    totalRows: rows,
    transposed: false,
    bad,
  })
  return { tensor, values: Array.from(bits, (word) => (1 + (word & 0x7f) / 128) * 2 ** ((word >> 7) - 127)) }
}

it.each<[GemmFormName, 'F32' | 'BF16']>([
  ['direct', 'F32'],
  ['direct', 'BF16'],
  ['tiled', 'BF16'],
  ['broadcast 16×32', 'BF16'],
])('products are those of the rounded inputs, in the form %s with weights in %s', async (form, dtype) => {
  const [m, k, n] = [100, 132, 96]
  // Operands beyond a binding are cut, along k too.
  for (const gpu of form === 'direct' ? [whole, small] : [whole]) {
    const before = gpu.gemm
    gpu.gemm = form
    const x = gpu.upload(wave(m * k, 2.3), [m, k])
    const { tensor, values } = weights(gpu, dtype, k, n)
    // Those in f32 are rounded too, by rows whose scales go into the columns of x.
    const by = dtype === 'F32' ? narrow(gpu, tensor).scales : undefined
    const numbers = by ? await roundedOf(gpu, tensor) : values
    const [rounded, product] = [await roundedOf(gpu, x, by), await gpu.read(forwardProduct(gpu, x, tensor, 'f16'))]
    const [sums, sizes] = [new Float64Array(m * n), new Float64Array(m * n)]
    for (let e = 0; e < m * n; e++)
      for (let t = 0; t < k; t++) {
        const term = rounded[Math.floor(e / n) * k + t] * numbers[t * n + (e % n)]
        sums[e] += term
        sizes[e] += Math.abs(term)
      }
    // As of any product in f32: √k roundings of the largest partial sum.
    expect(product).toBeClose(sums, { absolute: 1.2e-7 * (4 + Math.sqrt(k)) * Math.max(...sizes) })
    gpu.gemm = before
  }
})

it('the twin, which rounds nothing, differs by the rounding of inputs', async () => {
  const twin = new TwinDevice()
  const [m, k, n] = [12, 64, 8]
  const product = (gpu: Device) => {
    const out = gpu.upload(wave(m * n, 0.2), [m, n])
    return forwardProduct(gpu, gpu.upload(wave(m * k), [m, k]), gpu.upload(wave(k * n, 0.6), [k, n]), 'f16', { out, beta: 1 })
  }
  const [expected, got] = [await twin.read(product(twin)), await whole.read(product(whole))]
  expect(got).toBeClose([...expected], { absolute: 2.1 * ROUNDING * k })
  // It did round.
  expect(Math.max(...got.map((value, i) => Math.abs(value - expected[i])))).toBeGreaterThan(1e-5)
})

it('the head takes a model and its reference each in its own way', async () => {
  const [rows, d, vocab] = [600, 32, 96]
  const states = whole.upload(wave(rows * d, 1.1), [rows, d])
  const head = { rows: vocab, cols: d, parts: [{ first: 0, tensor: whole.upload(wave(vocab * d, 0.7), [vocab, d]) }] }
  const targets = Uint32Array.from({ length: rows }, (_, i) => i % vocab)
  const apply = (own: 'f32' | 'f16', reference: 'f32' | 'f16') =>
    applyHead(whole, states, head, targets, states, undefined, head, { own, reference })
  const [exact, alike, mixed] = [await apply('f32', 'f32'), await apply('f16', 'f16'), await apply('f16', 'f32')]
  // Logits are off by √d roundings of terms below 1.
  expect(mixed.losses).toBeClose([...exact.losses], { absolute: 8 * ROUNDING })
  expect(mixed.losses).toEqual(alike.losses)
  expect([Math.max(...exact.divergence!), Math.max(...alike.divergence!)]).toEqual([0, 0])
  const most = Math.max(...mixed.divergence!)
  expect(most).toBeGreaterThan(1e-10)
  expect(most).toBeLessThan((8 * ROUNDING) ** 2)
})

it('shapes that 4 does not divide are multiplied in f32', async () => {
  const [x, w] = [whole.upload(wave(5 * 6), [5, 6]), whole.upload(wave(6 * 7), [6, 7])]
  const [a, b] = [forwardProduct(whole, x, w, 'f16'), forwardProduct(whole, x, w, 'f32')]
  expect(await whole.read(a)).toEqual(await whole.read(b))
})
