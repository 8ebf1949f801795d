import { beforeAll, describe, expect, it } from 'vitest'
import type { Tolerance } from './closeness.ts'
import type { Device } from './device.ts'
import { applyHead } from './head.ts'
import { kernelNames, kernelSource } from './kernel.ts'
import * as ops from './ops.ts'
import * as ref from './reference.ts'
import { testGpu } from './testing.ts'
import type { Tensor, TypedArray } from './tensor.ts'
import { TwinDevice } from './twin.ts'
import type { WebGpuDevice } from './webgpu.ts'

let gpu: WebGpuDevice
beforeAll(async () => {
  gpu = await testGpu()
})

/** Deterministic values in (−1, 1), exact in float32. */
function noise(rows: number, cols: number, seed: number): ref.Matrix {
  let state = (seed * 2654435761) >>> 0
  return ref.matrix(rows, cols, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.fround(state / 2 ** 31 - 1)
  })
}

const on = (device: Device, x: ref.Matrix) => device.upload(Float32Array.from(x.data), [x.rows, x.cols])
const up = (x: ref.Matrix) => on(gpu, x)

/** That an operation on `operands` gives on the GPU what it gives in float64. */
async function agree(operands: ref.Matrix[], operation: (device: Device, ...tensors: Tensor[]) => Tensor | Tensor[], tolerance: Tolerance) {
  const twin = new TwinDevice()
  const [got, expected] = [gpu, twin].map((device) => [operation(device, ...operands.map((x) => on(device, x)))].flat())
  for (const [i, tensor] of got.entries()) expect(await gpu.read(tensor)).toBeClose(twin.values(expected[i]), tolerance)
}

/** Of one float32 operation, as a share of its result. */
const ROUNDING = 2 ** -24

// A dot product of k float32 terms is off by about √k roundings of 6e-8 of its largest partial sum.
const tolerance = (k: number) => 1.2e-7 * (4 + Math.sqrt(k))

describe('kernels', () => {
  it('all declare an interface that can be read, and compile', async () => {
    for (const name of kernelNames()) {
      const source = kernelSource(name)
      expect(source.bindings.length, name).toBeGreaterThan(0)
      expect(source.bindings.length, `${name} uses more storage buffers than every adapter has`).toBeLessThanOrEqual(8)
      const info = await gpu.device.createShaderModule({ code: source.code }).getCompilationInfo()
      expect(
        info.messages.filter((message) => message.type === 'error').map((message) => message.message),
        name,
      ).toEqual([])
    }
  })

  it('refuse a missing tensor, a missing parameter and a wrong element type by name', () => {
    const x = gpu.empty([4])
    expect(() => gpu.run('sum', { x }, { n: 4, index: 0 }, [1])).toThrow('sum needs the tensor "out"')
    expect(() => gpu.run('sum', { x, out: x }, { n: 4 }, [1])).toThrow('sum needs the parameter "index"')
    const words = gpu.empty([4], 'u32')
    expect(() => gpu.run('sum', { x: words, out: x }, { n: 4, index: 0 }, [1])).toThrow('"x" is u32, not f32')
    x.dispose()
    words.dispose()
    expect(() => x.buffer).toThrow('after it was disposed')
  })
})

it('the form that fetches the next tiles while it multiplies sums as tiles do', async () => {
  const before = gpu.gemm
  // Along k: a whole number of tiles and some.
  const [a, b] = [up(noise(70, 150, 3)), up(noise(150, 132, 5))]
  const made: TypedArray[] = []
  for (const form of ['tiled', 'buffered'] as const) {
    gpu.gemm = form
    made.push(await gpu.read(ops.matmul(gpu, a, b)))
  }
  expect(made[1]).toBeClose(made[0], { ofLargest: tolerance(150) })
  gpu.gemm = before
})

describe.each(['direct', 'tiled', 'tiled 128×64', 'broadcast 16×32'] as const)('matmul, %s', (kernel) => {
  beforeAll(() => {
    gpu.gemm = kernel
    return () => {
      gpu.gemm = 'direct'
    }
  })

  const sizes = [1, 3, 4, 37, 64, 129]
  const forms = [
    { ta: false, tb: false },
    { ta: false, tb: true },
    { ta: true, tb: false },
  ]
  it.each(forms)('agrees with float64 over awkward shapes (%o)', async ({ ta, tb }) => {
    for (const m of sizes) {
      for (const n of [1, 4, 70, 129]) {
        for (const k of [1, 5, 64, 131]) {
          const a = noise(ta ? k : m, ta ? m : k, m + 1)
          const b = noise(tb ? n : k, tb ? k : n, n + 7)
          const expected = ref.product(ta ? ref.transposed(a) : a, tb ? ref.transposed(b) : b)
          const [ga, gb] = [up(a), up(b)]
          const c = ops.matmul(gpu, ga, gb, { ta, tb })
          expect(await gpu.read(c), `${m} × ${n} × ${k}`).toBeClose(expected.data, { ofLargest: tolerance(k) * 4 })
          for (const tensor of [ga, gb, c]) tensor.dispose()
        }
      }
    }
  })

  it('accumulates with alpha and beta, and does not read C when beta is 0', async () => {
    const [a, b, c] = [noise(40, 24, 1), noise(24, 36, 2), noise(40, 36, 3)]
    const out = up(c)
    ops.matmul(gpu, up(a), up(b), { alpha: 0.5, beta: 2, out })
    const plain = ref.product(a, b)
    const wanted = plain.data.map((value, i) => 0.5 * value + 2 * c.data[i])
    expect(await gpu.read(out)).toBeClose(wanted, { ofLargest: tolerance(24) * 4 })
    gpu.write(out, new Float32Array(40 * 36).fill(Number.NaN))
    ops.matmul(gpu, up(a), up(b), { out })
    expect(await gpu.read(out)).toBeClose(plain.data, { ofLargest: tolerance(24) * 4 })
  })

  it('refuses shapes that do not fit', () => {
    expect(() => ops.matmul(gpu, gpu.empty([4, 8]), gpu.empty([4, 8]))).toThrow('Cannot multiply')
    expect(() => ops.matmul(gpu, gpu.empty([4, 8]), gpu.empty([8, 4]), { ta: true, tb: true })).toThrow('has no kernel')
  })

  it.each([36, 68, 132])('gathers a Gram matrix of %i columns sequence by sequence', async (p) => {
    const x = noise(50, p, p)
    const sigma = gpu.zeros([p, p])
    const gx = up(x)
    ops.gramUpper(gpu, gx, sigma, 0, 17)
    ops.gramUpper(gpu, gx, sigma, 17, 33)
    ops.mirror(gpu, sigma)
    expect(await gpu.read(sigma)).toBeClose(ref.product(ref.transposed(x), x).data, { ofLargest: tolerance(50) })
  })

  it.each([
    { windows: 1, t: 4, heads: 1, kvHeads: 1, d: 4, span: 99 },
    { windows: 3, t: 20, heads: 4, kvHeads: 2, d: 8, span: 99 },
    { windows: 2, t: 36, heads: 6, kvHeads: 1, d: 12, span: 5 },
    { windows: 2, t: 68, heads: 2, kvHeads: 2, d: 64, span: 68 },
  ])('attends causally (%o)', async (shape) => {
    const { windows, t, heads, kvHeads, d } = shape
    const [q, k, v] = [noise(windows * t, heads * d, 1), noise(windows * t, kvHeads * d, 2), noise(windows * t, kvHeads * d, 3)]
    const out = await ops.attention(gpu, up(q), up(k), up(v), shape)
    expect(await gpu.read(out)).toBeClose(ref.attention(q, k, v, shape).data, { ofLargest: 1e-5 })
    const alibi = noise(heads, t, 4)
    const capped = { ...shape, scale: 1.5, cap: 2 }
    const bent = await ops.attention(gpu, up(q), up(k), up(v), capped)
    expect(await gpu.read(bent)).toBeClose(ref.attention(q, k, v, capped).data, { ofLargest: 1e-5 })
    const biased = await ops.attention(gpu, up(q), up(k), up(v), { ...shape, alibi: up(alibi) })
    expect(await gpu.read(biased)).toBeClose(ref.attention(q, k, v, shape, alibi).data, { ofLargest: 1e-5 })
    for (const tensor of [out, bent, biased]) tensor.dispose()
  })

  it.each([
    ['one group of heads', 3.9],
    ['part of a group', 2.9],
    ['one head', 1.9],
  ])('attends with a bias where the scores of %s fit at once', async (_, many) => {
    const shape = { windows: 2, t: 20, heads: 6, kvHeads: 2, d: 4, span: 20 }
    const [q, k, v, alibi] = [noise(40, 24, 1), noise(40, 8, 2), noise(40, 8, 3), noise(6, 20, 4)]
    const [gq, gk, gv, bias] = [q, k, v, alibi].map(up)
    const { maxBinding } = gpu.info
    gpu.info.maxBinding = many * 20 * 20 * 4
    try {
      const out = await ops.attention(gpu, gq, gk, gv, { ...shape, alibi: bias })
      expect(await gpu.read(out)).toBeClose(ref.attention(q, k, v, shape, alibi).data, { ofLargest: 1e-5 })
    } finally {
      gpu.info.maxBinding = maxBinding
    }
  })
})

describe('row operations', () => {
  it.each([
    [1, 4],
    [3, 64],
    [129, 172],
  ])('rmsnorm of %i × %i', async (rows, cols) => {
    await agree([noise(rows, cols, 5), noise(1, cols, 6)], (device, x, weight) => ops.rmsnorm(device, x, weight, 1e-5), { ofLargest: 1e-6 })
  })

  it.each([
    [1, 4],
    [3, 64],
    [129, 172],
  ])('layernorm of %i × %i, also far from zero', async (rows, cols) => {
    for (const offset of [0, 100]) {
      const x = noise(rows, cols, 5)
      x.data.forEach((value, i) => (x.data[i] = Math.fround(value + offset)))
      // The mean of numbers near 100 is known to 100 · 6e-8 beside differences of about 1.
      const tolerance = { ofLargest: offset ? 3e-5 : 1e-6 }
      await agree([x, noise(1, cols, 6), noise(1, cols, 7)], (device, x, w, b) => ops.layernorm(device, x, w, b, 1e-5), tolerance)
    }
  })

  it.each(['relu', 'gelu', 'gelu_tanh'] as const)('%s, near zero and far out', async (kind) => {
    const values = Float32Array.from({ length: 1032 }, (_, i) => (i < 1000 ? (i - 500) / 80 : (i % 2 ? 1 : -1) * 1.5 ** (i - 990)))
    const x = gpu.upload(values, [values.length / 4, 4])
    ops.activate(gpu, kind, x)
    // The approximation of erf is off by 1.5e-7, and float32 by as much, of an argument over 1.
    const sized = (results: ArrayLike<number>) => Float64Array.from(values, (value, i) => results[i] / Math.max(1, Math.abs(value)))
    expect(sized(await gpu.read(x))).toBeClose(sized(Array.from(values, ref.activations[kind])), { absolute: 2e-7 })
  })

  it.each([
    { rows: 1, heads: 3, kvHeads: 3, d: 4 },
    { rows: 5, heads: 71, kvHeads: 1, d: 4 },
    { rows: 129, heads: 6, kvHeads: 2, d: 12 },
  ])('splits a fused projection (%o)', async ({ rows, heads, kvHeads, d }) => {
    await agree([noise(rows, (heads + 2 * kvHeads) * d, 8)], (device, x) => ops.splitQkv(device, x, heads, kvHeads, d), {})
  })

  it('adds rows of a table by position, and its last one past the end', async () => {
    const [x, table] = [noise(14, 12, 9), noise(6, 12, 10)]
    const y = up(x)
    ops.addRows(gpu, y, up(table), { window: 7, from: 2 })
    const expected = ref.matrix(14, 12, (row, c) => x.data[row * 12 + c] + table.data[Math.min(5, 2 + (row % 7)) * 12 + c])
    expect(await gpu.read(y)).toBeClose(expected.data, { relative: ROUNDING })
  })

  it.each([8, 6])('rope rotates half-split pairs of %i dimensions by position within the window', async (rotating) => {
    const [heads, d, window] = [3, 8, 5]
    const x = noise(2 * window, heads * d, 9)
    const angles = ref.matrix(window, rotating / 2, (t, i) => t * 10000 ** ((-2 * i) / rotating))
    const table = new Float32Array(window * rotating)
    angles.data.forEach((angle, i) => {
      table[2 * i] = Math.cos(angle)
      table[2 * i + 1] = Math.sin(angle)
    })
    const gx = up(x)
    ops.rope(gpu, gx, gpu.upload(table, [window, rotating / 2, 2]), heads, d, window)
    expect(await gpu.read(gx)).toBeClose(ref.rope(x, angles, d, window).data, { ofLargest: 1e-6 })
  })

  it('caps: near zero, around the cap, and far out', async () => {
    const values = Float32Array.from({ length: 1000 }, (_, i) => (i - 500) * (i % 10 ? 0.02 : 1e30))
    const x = gpu.upload(values, [250, 4])
    ops.applyCap(gpu, x, 996, 3)
    const got = await gpu.read(x)
    expect(got.subarray(0, 996)).toBeClose(
      Array.from(values.subarray(0, 996), (value) => ref.softcap(value, 3)),
      { absolute: 1e-6 },
    )
    expect(got.subarray(996)).toBeClose(values.subarray(996))
  })

  it.each([
    ['sums', ops.add, ROUNDING],
    ['differences', ops.subtract, ROUNDING],
    ['products', ops.multiply, ROUNDING],
    ['swiglu', ops.swiglu, 1e-6],
  ] as const)('%s by element', async (_, operation, relative) => {
    const work = (device: Device, x: Tensor, y: Tensor) => {
      operation(device, x, y)
      return x
    }
    await agree([noise(7, 12, 1), noise(7, 12, 2)], work, { relative })
  })

  it('a bias, scales of rows and columns, the diagonal', async () => {
    const bias = (device: Device, x: Tensor, y: Tensor) => {
      ops.addBias(device, x, y)
      return x
    }
    await agree([noise(7, 12, 1), noise(1, 12, 3)], bias, { relative: ROUNDING })
    const scale = (device: Device, x: Tensor, rows: Tensor, cols: Tensor) => {
      ops.scale(device, x, { rows, cols })
      return x
    }
    await agree([noise(7, 12, 1), noise(1, 7, 2), noise(1, 12, 3)], scale, { relative: 3 * ROUNDING })
    const diagonal = (device: Device, x: Tensor) => {
      const d = device.empty([12])
      ops.diagonalOf(device, x, d)
      return d
    }
    await agree([noise(12, 12, 1)], diagonal, {})
  })

  it('transpose and row gathering', async () => {
    const x = noise(7, 12, 1)
    expect(await gpu.read(ops.transpose(gpu, up(x)))).toBeClose(ref.transposed(x).data)
    const order = [3, 0, 6, 1, 2, 5, 4]
    const gathered = ops.gatherRows(gpu, up(x), gpu.upload(Uint32Array.from(order), [7]))
    expect(await gpu.read(gathered)).toBeClose(ref.matrix(7, 12, (i, j) => x.data[order[i] * 12 + j]).data)
  })

  it('dot products finish in float64', async () => {
    const [x, y] = [noise(100, 64, 1), noise(100, 64, 2)]
    const expected = x.data.reduce((sum, value, i) => sum + value * y.data[i], 0)
    expect(await ops.dot(gpu, up(x), up(y))).toBeClose(expected, { absolute: 1e-4 })
  })
})

describe('vocabulary', () => {
  const panels = (table: ref.Matrix, height: number): ops.Panels => ({
    rows: table.rows,
    cols: table.cols,
    parts: Array.from({ length: Math.ceil(table.rows / height) }, (_, i) => {
      const rows = Math.min(height, table.rows - i * height)
      return { first: i * height, tensor: up(ref.matrix(rows, table.cols, (r, c) => table.data[(i * height + r) * table.cols + c])) }
    }),
  })

  it('embedding and cross-entropy in panels equal the whole', async () => {
    const [vocab, d, rows] = [203, 16, 530]
    const table = noise(vocab, d, 4)
    const hidden = noise(rows, d, 8)
    const ids = Uint32Array.from({ length: rows }, (_, i) => (i * 7919) % vocab)
    const expected = ref.crossEntropy(hidden, table, ids)
    const capped = ref.crossEntropy(hidden, table, ids, 1.5)
    for (const height of [203, 64, 50]) {
      const parts = panels(table, height)
      const rowsOf = ref.matrix(rows, d, (t, c) => table.data[ids[t] * d + c])
      expect(await gpu.read(ops.embed(gpu, parts, ids))).toBeClose(rowsOf.data)
      for (const [cap, wanted] of [[undefined, expected] as const, [1.5, capped] as const]) {
        const { losses } = await applyHead(gpu, up(hidden), parts, ids, null, cap)
        expect(losses).toBeClose(wanted, { absolute: 1e-5 })
      }
    }
  })

  it('divergence from a reference and equal top tokens, in panels', async () => {
    const [vocab, d, rows] = [203, 16, 530]
    const table = noise(vocab, d, 4)
    const full = noise(rows, d, 8)
    const near = ref.matrix(rows, d, (i, j) => full.data[i * d + j] + 0.1 * Math.sin(i + 3 * j))
    const ids = Uint32Array.from({ length: rows }, (_, i) => (i * 7919) % vocab)
    const logits = [full, near].map((hidden) => ref.product(hidden, ref.transposed(table)))
    const expected = ref.divergence(logits[0], logits[1])
    const top = (x: ref.Matrix, i: number) => {
      const row = x.data.subarray(i * vocab, (i + 1) * vocab)
      return row.indexOf(Math.max(...row))
    }
    for (const height of [203, 64]) {
      const got = await applyHead(gpu, up(near), panels(table, height), ids, up(full))
      const losses = ref.crossEntropy(near, table, ids)
      expect(got.losses).toBeClose(losses, { absolute: 1e-5 })
      expect(got.divergence!).toBeClose(expected, { absolute: 2e-6 })
      expect(got.agreement!).toBeClose(Array.from(ids, (_, i) => Number(top(logits[0], i) === top(logits[1], i))))
      const same = await applyHead(gpu, up(full), panels(table, height), ids, up(full))
      expect(same.agreement!).toBeClose(new Float64Array(rows).fill(1))
      expect(same.divergence!).toBeClose(new Float64Array(rows), { absolute: 1e-6 })
    }
  })
})

describe('stored weights', () => {
  it.each(['F32', 'F16', 'BF16'] as const)('%s converts exactly, transposed or not, in row panels', async (dtype) => {
    const [rows, cols] = [6, 10]
    const view = new DataView(new ArrayBuffer(rows * cols * 4))
    const values = noise(rows, cols, 3).data.map((x) => (dtype === 'BF16' ? ref.roundBf16(x) : Math.round(x * 512) / 512))
    values[7] = dtype === 'F16' ? 2 ** -24 * 3 : 2 ** -100 // a float16 subnormal
    const size = dtype === 'F32' ? 4 : 2
    const half = (x: number) => {
      const f = new DataView(new ArrayBuffer(4))
      f.setFloat32(0, x)
      const bits = f.getUint32(0)
      if (dtype === 'BF16') return bits >>> 16
      const exponent = ((bits >>> 23) & 255) - 112
      const magnitude = exponent <= 0 ? Math.round(Math.abs(x) * 2 ** 24) : (exponent << 10) | ((bits >>> 13) & 0x3ff)
      return ((bits >>> 16) & 0x8000) | (x === 0 ? 0 : magnitude)
    }
    values.forEach((x, i) => {
      if (size === 4) view.setFloat32(i * 4, x, true)
      else view.setUint16(i * 2, half(x), true)
    })
    const bytes = new Uint8Array(view.buffer, 0, rows * cols * size)
    for (const transposed of [false, true]) {
      const bad = gpu.zeros([1], 'u32')
      const out = gpu.empty(transposed ? [cols, rows] : [rows, cols])
      for (const [row0, count] of [
        [0, 4],
        [4, 2],
      ]) {
        const raw = gpu.uploadBytes(bytes.slice(row0 * cols * size, (row0 + count) * cols * size))
        ops.convert(gpu, raw, dtype, out, { rows: count, cols, row0, totalRows: rows, transposed, bad })
        raw.dispose()
      }
      const expected = { rows, cols, data: Float64Array.from(values, Math.fround) }
      expect(await gpu.read(out)).toBeClose((transposed ? ref.transposed(expected) : expected).data)
      expect((await gpu.read(bad))[0]).toBe(0)
    }
  })

  it('counts NaN and Inf', async () => {
    const bad = gpu.zeros([1], 'u32')
    const out = gpu.empty([1, 4])
    const shape = { rows: 1, cols: 4, row0: 0, totalRows: 1, transposed: false, bad }
    ops.convert(gpu, gpu.uploadBytes(new Uint8Array(Float32Array.of(1, Number.NaN, Number.NEGATIVE_INFINITY, 2).buffer)), 'F32', out, shape)
    ops.convert(gpu, gpu.uploadBytes(new Uint8Array(Uint16Array.of(0x7c00, 0x3c00, 0xfe00, 0).buffer)), 'F16', out, shape)
    ops.convert(gpu, gpu.uploadBytes(new Uint8Array(Uint16Array.of(0x7f80, 0x3f80, 0xffc0, 0).buffer)), 'BF16', out, shape)
    expect((await gpu.read(bad))[0]).toBe(6)
  })
})

describe('device', () => {
  it('counts the memory it holds and gives it back', async () => {
    gpu.trim()
    const before = gpu.memory.held
    const x = gpu.empty([1024, 1024])
    expect(gpu.memory.held - before).toBe(4 * 2 ** 20)
    x.dispose()
    const again = gpu.empty([1024, 1024])
    expect(gpu.memory.held - before).toBe(4 * 2 ** 20)
    again.dispose()
    gpu.trim()
    expect(gpu.memory.held).toBe(before)
  })

  it('refuses a tensor that no binding can hold, with both sizes', () => {
    const largest = Math.round(gpu.info.maxBuffer / 2 ** 20)
    expect(() => gpu.empty([2 ** 15, 2 ** 16])).toThrow(new RegExp(`8192 MiB.*${largest} MiB`))
  })

  it('lets a gate stop the work between submits', async () => {
    gpu.gate = () => {
      throw new Error('stop')
    }
    await expect(gpu.pace()).rejects.toThrow('stop')
    gpu.gate = null
  })
})
