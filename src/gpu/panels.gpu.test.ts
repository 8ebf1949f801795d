/** Every operation on tensors larger than a binding, against the same on a device that binds them whole. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WorkbenchError } from '../errors.ts'
import type { Device } from './device.ts'
import * as ops from './ops.ts'
import { rowPanels } from './panels.ts'
import type { Tensor } from './tensor.ts'
import { testGpu, testSource } from './testing.ts'
import { WebGpuDevice } from './webgpu.ts'

/** Bytes: 64 rows of 260 columns fit. */
const LIMIT = 73728

let whole: Device
let small: Device
/** Holds as many rows of the widest operand here as a product sums at a time, and more. */
let wider: Device
beforeAll(async () => {
  whole = await testGpu()
  small = await WebGpuDevice.open(testSource(), { binding: LIMIT })
  wider = await WebGpuDevice.open(testSource(), { binding: 2 * LIMIT })
})
afterAll(() => {
  small.destroy()
  wider.destroy()
})

function noise(rows: number, cols: number, seed: number): Float32Array<ArrayBuffer> {
  let state = (seed * 2654435761) >>> 0
  return Float32Array.from({ length: rows * cols }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  })
}

/** What `work` makes of the same operands on both devices. */
async function both(
  shapes: [number, number][],
  work: (gpu: Device, ...operands: Tensor[]) => Tensor | Promise<ArrayLike<number>>,
  devices = [whole, small],
) {
  const results: ArrayLike<number>[] = []
  for (const gpu of devices) {
    const operands = shapes.map(([rows, cols], i) => gpu.upload(noise(rows, cols, rows + 7 * cols + i), [rows, cols]))
    const result = await work(gpu, ...operands)
    results.push(
      result instanceof Object && 'buffer' in result && 'shape' in result
        ? await gpu.read(result as Tensor)
        : (result as ArrayLike<number>),
    )
    gpu.trim()
  }
  return results.map((values) => Array.from(values))
}

async function same(shapes: [number, number][], work: Parameters<typeof both>[1], devices = [whole, small]): Promise<void> {
  const [expected, got] = await both(shapes, work, devices)
  expect(got).toBeClose(expected)
  // Zeros with their signs, too.
  expect(got.findIndex((value, i) => !Object.is(value, expected[i]))).toBe(-1)
}

describe('panels of rows', () => {
  it('cover all rows, start where a view may, and fit a binding', () => {
    for (const [rows, widths] of [
      [1, [4]],
      [129, [260]],
      [300, [44, 132]],
      [1000, [3]],
      [5000, [1, 64]],
    ] as [number, number[]][]) {
      const panels = rowPanels(small, rows, widths)
      expect(panels.map(({ first }) => first)).toEqual(panels.map((_, i) => panels.slice(0, i).reduce((at, { count }) => at + count, 0)))
      expect(panels.at(-1)!.first + panels.at(-1)!.count).toBe(rows)
      for (const { first, count } of panels) {
        for (const width of widths) {
          expect((first * width) % 64).toBe(0)
          expect(count * width * 4).toBeLessThanOrEqual(LIMIT)
        }
      }
    }
  })

  it('are needed: a kernel refuses what no binding holds, and a tensor what no buffer holds', () => {
    const x = small.empty([200, 100])
    expect(() => small.run1d('add', { x, y: x }, { n: x.size }, x.size / 4)).toThrow(WorkbenchError)
    x.dispose()
    expect(() => small.empty([2 ** 20, 2 ** 20], 'f32', 'The Gram matrix')).toThrow(/The Gram matrix .* largest buffer/)
  })
})

describe.each(['direct', 'tiled', 'broadcast 16×32'] as const)('products, %s', (kernel) => {
  beforeAll(() => {
    for (const gpu of [whole, small, wider]) gpu.gemm = kernel
    return () => {
      for (const gpu of [whole, small, wider]) gpu.gemm = 'direct'
    }
  })

  it('A, B and C in panels, bit by bit', async () => {
    await same(
      [
        [300, 264],
        [264, 260],
      ],
      (gpu, a, b) => ops.matmul(gpu, a, b),
      [whole, wider],
    )
    await same(
      [
        [40, 600],
        [600, 200],
      ],
      (gpu, a, b) => ops.matmul(gpu, a, b, { alpha: -0.5 }),
      [whole, wider],
    )
    await same(
      [
        [300, 132],
        [520, 132],
      ],
      (gpu, a, b) => ops.matmul(gpu, a, b, { tb: true }),
      [whole, wider],
    )
    await same(
      [
        [264, 260],
        [264, 260],
      ],
      (gpu, a, b) => ops.matmul(gpu, a, b, { ta: true }),
      [whole, wider],
    )
    await same(
      [
        [300, 263],
        [263, 257],
      ],
      (gpu, a, b) => ops.matmul(gpu, a, b),
      [whole, wider],
    )
  })

  it('added to what is there, bit by bit', async () => {
    await same(
      [
        [40, 600],
        [600, 200],
        [40, 200],
      ],
      (gpu, a, b, out) => ops.matmul(gpu, a, b, { out, beta: 1 }),
      [whole, wider],
    )
  })

  it('a batch of products', async () => {
    await same(
      [
        [200, 64],
        [200, 64],
      ],
      (gpu, a, b) => {
        const c = gpu.zeros([4 * 50, 56])
        const strides: [number, number] = [100 * 64, 32]
        ops.gemm(gpu, {
          a,
          b,
          c,
          m: 50,
          n: 48,
          k: 32,
          tb: true,
          lda: 64,
          ldb: 64,
          ldc: 56,
          batch: { outer: 2, inner: 2, share: 2, a: strides, b: strides, c: [2 * 50 * 56, 50 * 56] },
        })
        return c
      },
    )
  })

  it('a Gram matrix, and both of its halves', async () => {
    const gram = (gpu: Device, x: Tensor) => {
      const sigma = gpu.zeros([x.cols, x.cols])
      ops.gramUpper(gpu, x, sigma, 0, 20)
      ops.gramUpper(gpu, x, sigma, 20, 13)
      ops.mirror(gpu, sigma)
      return sigma
    }
    await same([[33, 260]], gram)
    // Inputs larger than a binding: Σ takes the parts one by one, which rounds differently.
    const [expected, got] = await both([[300, 132]], (gpu, x) => {
      const sigma = gpu.zeros([132, 132])
      ops.gramUpper(gpu, x, sigma, 3, 290)
      ops.mirror(gpu, sigma)
      return sigma
    })
    expect(got).toBeClose(expected, { absolute: 1e-5 * 290 })
    expect(got).toBeClose(got.map((_, i) => got[(i % 132) * 132 + Math.floor(i / 132)]))
  })
})

describe('everything else', () => {
  it('is the same bit by bit', async () => {
    await same([[150, 260]], (gpu, x) => ops.transpose(gpu, x))
    await same(
      [
        [150, 260],
        [1, 260],
      ],
      (gpu, x, bias) => {
        ops.addBias(gpu, x, bias)
        return x
      },
    )
    await same(
      [
        [150, 260],
        [150, 260],
        [150, 260],
      ],
      (gpu, x, y, z) => {
        ops.swiglu(gpu, x, y)
        ops.add(gpu, x, z)
        ops.subtract(gpu, x, y)
        return x
      },
    )
    await same(
      [
        [150, 260],
        [1, 260],
      ],
      (gpu, x, weight) => ops.rmsnorm(gpu, x, weight, 1e-5),
    )
    await same(
      [
        [150, 256],
        [50, 64],
      ],
      (gpu, x, table) => {
        ops.rope(gpu, x, table, 2, 128, 50)
        return x
      },
    )
    await same(
      [
        [150, 260],
        [1, 150],
        [1, 260],
      ],
      (gpu, x, rows, cols) => {
        ops.scale(gpu, x, { rows, cols })
        return x
      },
    )
    await same([[150, 150]], async (gpu, x) => ops.diagonal(gpu, x))
  })

  it('sums of magnitudes over all panels', async () => {
    const shapes: [number, number][] = [
      [300, 92],
      [1, 92],
    ]
    const [expected, got] = await both(shapes, (gpu, x, sums) => {
      ops.absSum(gpu, x, sums, 5, 290)
      return sums
    })
    expect(got).toBeClose(expected, { absolute: 1e-4 })
  })

  it('a dot product is finished in float64 over all panels', async () => {
    const [[expected], [got]] = await both(
      [
        [300, 132],
        [300, 132],
      ],
      async (gpu, x, y) => [await ops.dot(gpu, x, y)],
    )
    expect(got).toBeClose(expected, { absolute: 1e-3 })
  })

  it.each([true, false])('weights as stored, transposed: %s', async (transposed) => {
    const [rows, cols] = [150, 260]
    const bits = Uint16Array.from({ length: rows * cols }, (_, i) => Math.imul(i, 40503) & 0x7bff)
    await same([], (gpu) => {
      const out = gpu.empty(transposed ? [cols, rows] : [rows, cols])
      const bad = gpu.zeros([1], 'u32')
      for (let row = 0; row < rows; row += 70) {
        const some = Math.min(70, rows - row)
        const raw = gpu.uploadBytes(new Uint8Array(bits.buffer, row * cols * 2, some * cols * 2))
        ops.convert(gpu, raw, 'F16', out, { rows: some, cols, row0: row, totalRows: rows, transposed, bad })
      }
      return out
    })
  })

  it('packed weights', async () => {
    const [q, p] = [100, 160]
    const linear = {
      bits: 4,
      q,
      p,
      groups: 2,
      codes: Uint32Array.from({ length: (p / 8) * q }, (_, i) => Math.imul(i, 2654435761)),
      grid: Float32Array.from({ length: 4 * q }, (_, i) => (i & 1 ? (i >> 1) % 16 : 1 + (i >> 1))),
      groupIndex: Int32Array.from({ length: p }, (_, i) => Number(i >= 80)),
    }
    await same([], (gpu) => ops.unpack(gpu, linear, 'unpack'))
  })
})
