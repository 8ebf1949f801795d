/**
 * Long sums against float64, at lengths that real models have. Equal terms are the hard case: every rounding of one plain
 * float32 sum goes the same way, so that 4096 of them are off by up to 1e-4.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import type { Device } from './device.ts'
import * as ops from './ops.ts'
import * as ref from './reference.ts'
import type { TypedArray } from './tensor.ts'
import { testGpu } from './testing.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

const up = (x: ref.Matrix) => gpu.upload(Float32Array.from(x.data), [x.rows, x.cols])
/** Rows of equal numbers, of numbers near each other, and of numbers of both signs; exact in float32. */
const rowsOf = (rows: number, cols: number) =>
  ref.matrix(rows, cols, (i, j) => Math.fround([1.1, 3.7 + 0.3 * Math.sin(j * 1.3), 2 * Math.sin(j * 0.7 + i)][i % 3] * (1 + i)))

describe('long sums', () => {
  it.each([4096, 8192])('norms over %i features', async (cols) => {
    const x = rowsOf(3, cols)
    const [weight, bias] = [gpu.upload(new Float32Array(cols).fill(1), [cols]), gpu.zeros([cols])]
    const rms = await gpu.read(ops.rmsnorm(gpu, up(x), weight, 1e-6))
    const layer = await gpu.read(ops.layernorm(gpu, up(x), weight, bias, 1e-5))
    for (let i = 0; i < x.rows; i++) {
      const row = x.data.subarray(i * cols, (i + 1) * cols)
      const over = (of: (value: number) => number) => row.reduce((sum, value) => sum + of(value), 0) / cols
      const [mean, square] = [over((value) => value), Math.sqrt(over((value) => value * value) + 1e-6)]
      const deviation = Math.sqrt(over((value) => (value - mean) ** 2) + 1e-5)
      const here = (values: TypedArray) => values.subarray(i * cols, (i + 1) * cols)
      expect(here(rms)).toBeClose(
        row.map((value) => value / square),
        { absolute: 2e-6 },
      )
      // A row of equal numbers has no variance: what is left is the rounding of its mean beside eps.
      const absolute = (1e-6 * Math.abs(mean)) / deviation + 1e-6
      if (i)
        expect(here(layer)).toBeClose(
          row.map((value) => (value - mean) / deviation),
          { absolute },
        )
    }
  })

  it('attention over 4096 keys, of equal and of unequal scores', async () => {
    const shape = { windows: 1, t: 4096, heads: 1, kvHeads: 1, d: 4, span: 4096 }
    for (const spread of [0, 1]) {
      const q = ref.matrix(4096, 4, (i, j) => Math.fround(spread * Math.sin(i * 0.3 + j)))
      const v = ref.matrix(4096, 4, (i, j) => Math.fround([1.1, 3.7 + 0.2 * Math.sin(i), 7, 5 * Math.sin(i * 0.01)][j]))
      const got = await gpu.read(await ops.attention(gpu, up(q), up(q), up(v), shape))
      expect(got).toBeClose(ref.attention(q, q, v, shape).data, { absolute: 7e-6 })
    }
  })

  it.each(['direct', 'tiled'] as const)('products with 11,008 and 28,672 terms, %s', async (kernel) => {
    gpu.gemm = kernel
    for (const k of [11_008, 28_672]) {
      const [a, b] = [rowsOf(6, k), ref.matrix(4, k, (i, j) => Math.fround(i % 2 ? 1.3 : 1 + 0.1 * Math.cos(j)))]
      const got = await gpu.read(ops.matmul(gpu, up(a), up(b), { tb: true }))
      const expected = ref.product(a, ref.transposed(b)).data
      const size = ref.product(
        ref.matrix(6, k, (i, j) => Math.abs(a.data[i * k + j])),
        ref.transposed(b),
      ).data
      // Blocks of 64 terms, and then the blocks: at most half a unit a term, a quarter where they grow evenly.
      const bound = (2 ** -24 * (64 + k / 64)) / 4
      const sized = (values: ArrayLike<number>) => size.map((one, i) => values[i] / one)
      expect(sized(got)).toBeClose(sized(expected), { absolute: bound })
    }
    gpu.gemm = 'direct'
  })

  it('the objective of 4096 × 4096 weights, and what AWQ adds up over 4096 tokens', async () => {
    const n = 4096
    const equal = gpu.upload(new Float32Array(n * n).fill(1.1), [n, n])
    const term = Math.fround(1.1)
    expect(await ops.dot(gpu, equal, equal)).toBeClose(n * n * term * term, { relative: 1e-6 })
    const sums = gpu.zeros([n])
    ops.absSum(gpu, equal, sums, 0, n)
    // 64 runs of 64.
    expect(await gpu.read(sums)).toBeClose(new Float64Array(n).fill(n * term), { relative: 2e-6 })
    equal.dispose()
  })
})
