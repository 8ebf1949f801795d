/** Gated delta nets: the products over chunks against the plain recurrence, in float64 and on the GPU. */
import { beforeAll, describe, expect, it } from 'vitest'
import type { Device } from './device.ts'
import * as ops from './ops.ts'
import * as ref from './reference.ts'
import { testGpu } from './testing.ts'
import { TwinDevice } from './twin.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

/** Deterministic values in (−1, 1), exact in float32. */
function noise(rows: number, cols: number, seed: number, scale = 1, middle = 0): ref.Matrix {
  let state = (seed * 2654435761) >>> 0
  return ref.matrix(rows, cols, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.fround(middle + scale * (state / 2 ** 31 - 1))
  })
}

const on = (device: Device, x: ref.Matrix) => device.upload(Float32Array.from(x.data), [x.rows, x.cols])

const eps = 1e-6

/** z ← norm of the plain recurrence ⊙ silu(z). */
function expected(
  inputs: Parameters<typeof ref.gatedDelta>[0],
  z: ref.Matrix,
  weights: Record<'decay' | 'bias' | 'norm', ref.Matrix>,
  shape: ops.DeltaShape,
) {
  const { heads, dv } = shape
  const o = ref.gatedDelta(inputs, { decay: weights.decay.data, bias: weights.bias.data }, shape)
  const normed = ref.rmsnorm({ rows: o.rows * heads, cols: dv, data: o.data }, weights.norm.data, eps)
  return normed.data.map((value, e) => value * ref.silu(z.data[e]))
}

describe('gated delta net', () => {
  // One short chunk; chunks that t fills, and does not; long decay and almost none; heads that share keys.
  it.each<[string, ops.DeltaShape, number, number]>([
    ['one chunk', { windows: 3, t: 12, keyHeads: 2, heads: 4, dk: 8, dv: 12 }, 0, 1],
    ['whole chunks', { windows: 2, t: 128, keyHeads: 4, heads: 4, dk: 16, dv: 8 }, -3, 1],
    ['chunks that are not full, strong decay', { windows: 2, t: 148, keyHeads: 1, heads: 3, dk: 16, dv: 4 }, 2.5, 2],
    ['nothing forgotten', { windows: 1, t: 200, keyHeads: 2, heads: 2, dk: 8, dv: 8 }, -20, 4],
  ])('%s', async (_, shape, decayed, spread) => {
    const { windows, t, keyHeads, heads, dk, dv } = shape
    const tokens = windows * t
    const inputs = {
      qkv: noise(tokens, 2 * keyHeads * dk + heads * dv, 1),
      a: noise(tokens, heads, 2, spread),
      b: noise(tokens, heads, 3, spread),
    }
    const z = noise(tokens, heads * dv, 4, 2)
    const weights = { decay: noise(heads, 1, 5, 0.5, decayed), bias: noise(heads, 1, 6, 1, -1), norm: noise(dv, 1, 7, 0.3, 1) }
    const wanted = expected(inputs, z, weights, shape)
    const run = async (device: Device) => {
      const [qkv, a, b, out] = [inputs.qkv, inputs.a, inputs.b, z].map((x) => on(device, x))
      const [decay, bias, norm] = [weights.decay, weights.bias, weights.norm].map((x) => on(device, x))
      await ops.gatedDelta(device, { qkv, a, b }, out, { decay, bias, norm, eps }, shape)
      return out
    }
    const twin = new TwinDevice()
    expect(twin.values(await run(twin))).toBeClose(wanted, { ofLargest: 1e-10 })
    // Some hundred float32 operations on the way of each number.
    expect(await gpu.read(await run(gpu))).toBeClose(wanted, { ofLargest: 3e-5 })
  })

  it('a convolution starts anew with every window', async () => {
    const [x, w] = [noise(24, 20, 1), noise(20, 4, 2)]
    const wanted = ref.matrix(24, 20, (i, c) => {
      const taps = Array.from({ length: 4 }, (_, j) => ((i % 12) - 3 + j < 0 ? 0 : w.data[4 * c + j] * x.data[(i - 3 + j) * 20 + c]))
      return ref.silu(taps.reduce((sum, tap) => sum + tap, 0))
    })
    const twin = new TwinDevice()
    expect(twin.values(ops.shortConv(twin, on(twin, x), on(twin, w), 12))).toBeClose(wanted.data, { ofLargest: 1e-14 })
    expect(await gpu.read(ops.shortConv(gpu, on(gpu, x), on(gpu, w), 12))).toBeClose(wanted.data, { ofLargest: 1e-6 })
  })
})
