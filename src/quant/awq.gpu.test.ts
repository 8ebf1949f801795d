import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../gpu/device.ts'
import { diagonal } from '../gpu/ops.ts'
import { testGpu } from '../gpu/testing.ts'
import { awq, type AwqOptions, searchClip, searchScale } from './awq.ts'
import { goldenArrays, goldenCases } from './golden/golden.ts'
import { layoutOf } from './layout.ts'
import { rtn } from './rtn.ts'
import { Derived } from './solver.ts'
import { anyLayer, expectRepresentable, goldenLayer, type Layer, solve } from './testing.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

const upload = ({ w, sigma, q, p }: Layer) => ({
  weight: gpu.upload(
    Float32Array.from({ length: p * q }, (_, i) => w[(i % q) * p + Math.floor(i / q)]),
    [p, q],
  ),
  gram: gpu.upload(Float32Array.from(sigma), [p, p]),
})

/** α, c and the errors of all α. */
async function scaled(layer: Layer, meanAbs: Float32Array, options: AwqOptions, halfScales = false) {
  const { weight, gram } = upload(layer)
  const searching = await searchScale({ gpu, weights: [weight], gram, meanAbs, halfScales }, options)
  for (const tensor of [weight, gram]) tensor.dispose()
  return searching.found
}

/** The layer as it is after the transform: W diag c, Σ / (c cᵀ). */
function transformed({ w, sigma, q, p }: Layer, c: Float32Array): Layer {
  return {
    w: Float32Array.from({ length: q * p }, (_, i) => w[i] * c[i % p]),
    sigma: Float32Array.from({ length: p * p }, (_, i) => sigma[i] / (c[i % p] * c[Math.floor(i / p)])),
    q,
    p,
  }
}

async function clips(layer: Layer, options: AwqOptions, scoring = false) {
  const { weight, gram } = upload(layer)
  const gramDiagonal = await diagonal(gpu, gram)
  const layout = layoutOf(gramDiagonal, options.groupSize, false, true)
  const clip = await searchClip({ gpu, weight, gram, gramDiagonal, derived: new Derived(), halfScales: false, scoring }, layout, options)
  const values = await gpu.read(clip)
  for (const tensor of [weight, gram, clip]) tensor.dispose()
  return { values, groups: layout.groups }
}

describe('golden vectors', async () => {
  const cases = await goldenCases('awq')

  it('are all there', () => {
    expect(cases.length).toBe(16)
  })

  it.each(cases.map((one) => [`${one.dataset} ${one.name}`, one] as const))('%s', async (_, one) => {
    const { layer, expected } = await goldenLayer(one)
    const { bits, group, clip = false } = one.params
    const options = { bits, groupSize: group, clip, grid: 'minmax' } as AwqOptions
    const meanAbs = Float32Array.from((await goldenArrays(`${one.dataset}.inputs`)).get('absmean')!.data)
    const { alpha, scale, errors } = await scaled(layer, meanAbs, options)
    const history = expected.get(`${one.name}/history`)!.data
    if (alpha !== one.alpha) {
      expect(alpha).toBeClose(one.alpha!, { absolute: 0.051 })
      expect(Math.min(...errors) / errors[Math.round(one.alpha! * 20)]).toBeGreaterThan(0.999)
    }
    // The reference's c of a dead input is 1e-4 even for a mild α, which leaves more range to its neighbours there.
    const off = errors.map((error, i) => Math.abs((error / errors[0] / history[i]) * history[0] - 1))
    expect(Math.max(...off)).toBeLessThan(0.05)
    expect(off[Math.round(alpha * 20)]).toBeLessThan(1e-3)

    // The reference normalises with its c of dead inputs: the same scales up to one factor, which rounding does not feel.
    const wanted = expected.get(`${one.name}/col_scale`)!.data
    const live = [...scale.keys()].filter((j) => layer.sigma[j * layer.p + j] > 0)
    const factor = wanted[live[0]] / scale[live[0]]
    if (alpha === one.alpha)
      expect(live.map((j) => scale[j] * factor)).toBeClose(
        live.map((j) => wanted[j]),
        { relative: 1e-5 },
      )

    const after = transformed(layer, scale)
    const got = await solve(gpu, awq, after, { ...options })
    expect(got.relativeError).toBeClose(one.rel_error, { relative: 0.01 })
    expectRepresentable(got, layer.q)
    expect(got.zeros.every((zero) => zero <= 2 ** bits - 1)).toBe(true)
    if (clip && alpha === one.alpha) {
      const { values, groups } = await clips(after, options)
      const thresholds = expected.get(`${one.name}/clip`)!.data
      const others = values.filter((m, i) => {
        const wanted = thresholds[(i % layer.q) * groups + Math.floor(i / layer.q)]
        return Math.abs((m * factor) / wanted - 1) > 1e-4
      })
      // A range clipped at both ends puts −lo/s on a tie, M/2, where float32 may take the other zero point and so another m.
      expect(others.length / values.length).toBeLessThan(0.03)
    }
  })
})

describe('searches', () => {
  const options: AwqOptions = { bits: 3, groupSize: 32, clip: true, grid: 'minmax' }

  it('clip never raises the error of a group, scales never that of a stage; ragged groups and dead inputs included', async () => {
    await fc.assert(
      fc.asyncProperty(anyLayer, fc.constantFrom(-1, 32), fc.boolean(), async (layer, groupSize, half) => {
        const { p } = layer
        const meanAbs = Float32Array.from({ length: p }, (_, j) => Math.sqrt(layer.sigma[j * p + j]))
        const { scale, errors } = await scaled(layer, meanAbs, { ...options, groupSize }, half)
        expect(Math.min(...errors)).toBeLessThanOrEqual(errors[0])
        expect(scale.every((c) => c > 0 && Number.isFinite(c))).toBe(true)
        const after = transformed(layer, scale)
        const [plain, clipped] = [false, true].map((clip) => solve(gpu, awq, after, { bits: 3, groupSize, clip }, half))
        const [without, best] = [await plain, await clipped]
        expectRepresentable(without, layer.q)
        expectRepresentable(best, layer.q)
        expect(best.notes.length).toBe(Number(layer.dead))
        // Groups are judged one by one, so only with one group per row is the layer's own error what is judged.
        if (groupSize === -1 || p <= groupSize) expect(best.relativeError).toBeLessThanOrEqual(without.relativeError * (1 + 1e-4))
      }),
      { numRuns: 25, seed: 20260203 },
    )
  })

  it('query and key projections are not clipped', async () => {
    const { layer } = await goldenLayer((await goldenCases('awq'))[0])
    const { values } = await clips(layer, options, true)
    expect(Math.min(...values)).toBeGreaterThan(1e38)
  })

  it.each(['mse', 'weighted'])('a %s grid is that of RTN on the scaled weights, and nothing is clipped for it', async (grid) => {
    const { layer } = await goldenLayer((await goldenCases('awq'))[0])
    const rounded = await solve(gpu, rtn, layer, { bits: 3, groupSize: 32, grid }, true)
    for (const clip of [false, true]) {
      const got = await solve(gpu, awq, layer, { bits: 3, groupSize: 32, clip, grid }, true)
      expect(got.codes).toEqual(rounded.codes)
      expect(got.scales).toEqual(rounded.scales)
    }
  })

  it('inputs that are all dead leave the scales at 1', async () => {
    const layer = { w: Float32Array.from({ length: 64 }, (_, i) => Math.sin(i)), sigma: new Float32Array(256), q: 4, p: 16 }
    expect([...(await scaled(layer, new Float32Array(16), options)).scale]).toEqual(new Array(16).fill(1))
  })
})
