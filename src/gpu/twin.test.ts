/** The float64 device itself; what it says is compared with GPUs in ops.gpu.test.ts. */
import { describe, expect, it } from 'vitest'
import { applyHead } from './head.ts'
import * as ops from './ops.ts'
import * as ref from './reference.ts'
import { TwinDevice } from './twin.ts'

const device = new TwinDevice()
const up = (x: ref.Matrix) => device.upload(Float32Array.from(x.data), [x.rows, x.cols])
const noise = (rows: number, cols: number, seed: number) =>
  ref.matrix(rows, cols, (i, j) => Math.fround(Math.sin(1 + seed * 17.3 + i * 7.1 + j * 3.7 + (i * j) / 3)))

describe('the float64 device', () => {
  it('computes in float64, and reads as the element type', async () => {
    const x = device.upload(Float32Array.of(1, 2, 3, 4), [1, 4])
    ops.activate(device, 'gelu', x)
    expect(device.values(x)).toBeClose([1, 2, 3, 4].map(ref.activations.gelu))
    expect(await device.read(x)).toEqual(Float32Array.from([1, 2, 3, 4], ref.activations.gelu))
  })

  it('names the kernel that has no twin, and refuses what a kernel refuses', () => {
    const x = device.upload(Float32Array.of(1, 2, 3, 4), [4])
    expect(() => device.run1d('probe', { x, y: device.empty([8]) }, { n: 1 }, 1)).toThrow('The kernel probe has no twin in float64.')
    expect(() => device.run1d('add', { x }, { n: 4 }, 1)).toThrow('add needs the tensor "y"')
    expect(() => device.run1d('add', { x, y: x }, {}, 1)).toThrow('add needs the parameter "n"')
  })

  it('does not give numbers out as the bits of another element type', () => {
    const x = device.upload(Float32Array.of(1, 2), [2])
    expect(() => device.values(x.view([2], 0, 'u32'))).toThrow('its bits as u32 are not known')
  })

  it('counts memory as a GPU does', () => {
    const { held } = device.memory
    const x = device.empty([100, 100])
    expect(device.memory.held).toBe(held + 40_192)
    x.dispose()
    device.trim()
    expect(device.memory.held).toBe(held)
  })

  it.each([2 ** 30, 9000])('cuts products, Gram matrices and attention to bindings of %i bytes without changing them', async (binding) => {
    const cut = new TwinDevice(binding)
    const up = (x: ref.Matrix) => cut.upload(Float32Array.from(x.data), [x.rows, x.cols])
    const [a, b] = [noise(37, 64, 1), noise(64, 32, 2)]
    expect(cut.values(ops.matmul(cut, up(a), up(b)))).toBeClose(ref.product(a, b).data, { ofLargest: 1e-14 })
    const x = noise(50, 64, 3)
    const sigma = cut.zeros([64, 64])
    ops.gramUpper(cut, up(x), sigma, 0, 50)
    ops.mirror(cut, sigma)
    expect(cut.values(sigma)).toBeClose(ref.product(ref.transposed(x), x).data, { ofLargest: 1e-14 })
    const shape = { windows: 2, t: 12, heads: 4, kvHeads: 2, d: 8, span: 5, cap: 3 }
    const [q, k, v] = [noise(24, 32, 4), noise(24, 16, 5), noise(24, 16, 6)]
    const out = await ops.attention(cut, up(q), up(k), up(v), shape)
    expect(cut.values(out)).toBeClose(ref.attention(q, k, v, shape).data, { ofLargest: 1e-14 })
  })

  it('joins blocks of the vocabulary to the losses and divergences of the whole', async () => {
    const [rows, d, vocab] = [5, 8, 2600]
    const [model, full, table] = [noise(rows, d, 1), noise(rows, d, 2), noise(vocab, d, 3)]
    const targets = Uint32Array.of(0, 1023, 1024, 2599, 17)
    const head = { rows: vocab, cols: d, parts: [{ first: 0, tensor: up(table) }] }
    const got = await applyHead(device, up(model), head, targets, up(full))
    const [logits, reference] = [model, full].map((x) => ref.product(x, ref.transposed(table)))
    // Read as float32, the parts are off by 6e-8 of themselves.
    expect(got.losses).toBeClose(ref.crossEntropy(model, table, targets), { relative: 1e-6 })
    expect(got.divergence!).toBeClose(ref.divergence(reference, logits), { relative: 2e-6 })
  })
})
