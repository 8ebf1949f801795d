import { beforeAll, describe, expect, it } from 'vitest'
import type { Device } from './device.ts'
import { applyHead, BLOCK } from './head.ts'
import type { Panels } from './ops.ts'
import * as ref from './reference.ts'
import { testGpu } from './testing.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

/** Independent standard normal numbers. */
function normals(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state + 0.5) / 2 ** 32
  }
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
}

/**
 * Rows of logits as the head makes them: row i of the hidden states is the i-th unit vector, so that the logits are the
 * columns of the table, exactly. Models take the even rows, their references the odd ones.
 */
function exactHead(pairs: { model: Float32Array; full: Float32Array }[]) {
  const vocab = pairs[0].model.length
  const d = Math.ceil(pairs.length / 2) * 4
  const table = new Float32Array(vocab * d)
  pairs.forEach(({ model, full }, i) => {
    for (let v = 0; v < vocab; v++) {
      table[v * d + 2 * i] = model[v]
      table[v * d + 2 * i + 1] = full[v]
    }
  })
  const unit = (odd: number) => {
    const states = new Float32Array(pairs.length * d)
    pairs.forEach((_, i) => {
      states[i * d + 2 * i + odd] = 1
    })
    return gpu.upload(states, [pairs.length, d])
  }
  const panels = (height: number): Panels => ({
    rows: vocab,
    cols: d,
    parts: Array.from({ length: Math.ceil(vocab / height) }, (_, i) => {
      const rows = Math.min(height, vocab - i * height)
      return { first: i * height, tensor: gpu.upload(table.slice(i * height * d, (i * height + rows) * d), [rows, d]) }
    }),
  })
  return { hidden: unit(0), full: unit(1), panels }
}

const asMatrix = (row: Float32Array): ref.Matrix => ({ rows: 1, cols: row.length, data: Float64Array.from(row) })

function lossOf(row: Float32Array, target: number): number {
  const most = row.reduce((a, b) => Math.max(a, b))
  return most + Math.log(row.reduce((sum, x) => sum + Math.exp(x - most), 0)) - row[target]
}

/** Logits with this spread, and a reference that far from them. */
function pair(vocab: number, seed: number, { spread, apart, offset = 0 }: { spread: number; apart: number; offset?: number }) {
  const next = normals(seed)
  const full = Float32Array.from({ length: vocab }, () => 4 + spread * next())
  return { full, model: full.map((x) => x + offset + apart * next()) }
}

/** A few likely entries above many that are nearly equal, as language models have them. */
function peaked(vocab: number, seed: number, apart: number) {
  const next = normals(seed)
  const full = Float32Array.from({ length: vocab }, (_, v) => (v % 997 === 3 ? 14 + 2 * next() : -3 + next()))
  return { full, model: full.map((x) => x + apart * next()) }
}

describe('losses and divergence', () => {
  it.each([61, 1024, 49_152, 262_144])(
    'are float64 to a millionth over %i entries, the same with and without a reference',
    async (vocab) => {
      const pairs = [
        pair(vocab, 1, { spread: 2, apart: 0.02 }),
        pair(vocab, 2, { spread: 0, apart: 0.001 }),
        pair(vocab, 3, { spread: 1e-3, apart: 0.3, offset: 5 }),
        pair(vocab, 4, { spread: 4, apart: 3 }),
        peaked(vocab, 5, 0.05),
        peaked(vocab, 6, 1),
      ]
      // All entries equal: every rounding of a plain float32 sum goes the same way.
      pairs[1].full.fill(1.1)
      const targets = Uint32Array.from(pairs, (_, i) => Math.floor((vocab - 1) * (i / (pairs.length - 1))))
      const { hidden, full, panels } = exactHead(pairs)
      const alone = await applyHead(gpu, hidden, panels(vocab), targets)
      const compared = await applyHead(gpu, hidden, panels(vocab), targets, full)
      expect(compared.losses).toEqual(alone.losses)
      pairs.forEach(({ model, full }, i) => {
        const loss = lossOf(model, targets[i])
        expect(alone.losses[i], `loss of row ${i}`).toBeClose(loss, { relative: 1e-6 })
        const [kl] = ref.divergence(asMatrix(full), asMatrix(model))
        // The twin itself is off by a few units of the logits' last place.
        expect(compared.divergence![i], `divergence of row ${i}`).toBeClose(kl, { relative: 1e-6, absolute: 4e-15 })
        const top = model.reduce((best, x, v) => (x > model[best] ? v : best), 0)
        expect(alone.top[i]).toBe(top)
        expect(compared.agreement![i]).toBe(Number(full.reduce((best, x, v) => (x > full[best] ? v : best), 0) === top))
      })
      const same = await applyHead(gpu, full, panels(vocab), targets, full)
      expect(same.divergence!.every((kl) => kl === 0)).toBe(true)
    },
  )

  it('do not depend on the panels of the head', async () => {
    const vocab = 5 * BLOCK + 77
    const pairs = [pair(vocab, 7, { spread: 2, apart: 0.1 }), peaked(vocab, 8, 0.5)]
    const { hidden, full, panels } = exactHead(pairs)
    const targets = Uint32Array.of(BLOCK, vocab - 1)
    const whole = await applyHead(gpu, hidden, panels(vocab), targets, full)
    for (const height of [BLOCK, 2 * BLOCK, 4 * BLOCK]) expect(await applyHead(gpu, hidden, panels(height), targets, full)).toEqual(whole)
    const cut = await applyHead(gpu, hidden, panels(1000), targets, full)
    expect(cut.losses).toBeClose(whole.losses, { relative: 1e-6 })
    expect(cut.divergence!).toBeClose(whole.divergence!, { relative: 1e-6 })
  })

  it('stand in range where logits lie far apart', async () => {
    const far = Float32Array.from({ length: 5000 }, (_, v) => (v % 2 ? -200 : 150 + v / 100))
    const near = far.map((x, v) => (v % 3 ? x : -x))
    const { hidden, full, panels } = exactHead([
      { model: near, full: far },
      { model: far, full: near },
    ])
    const { losses, divergence } = await applyHead(gpu, hidden, panels(5000), Uint32Array.of(4998, 7), full)
    for (const [i, [model, reference]] of [
      [near, far],
      [far, near],
    ].entries()) {
      const loss = lossOf(model, [4998, 7][i])
      expect(losses[i]).toBeClose(loss, { relative: 1e-6, absolute: 1e-6 })
      const [kl] = ref.divergence(asMatrix(reference), asMatrix(model))
      expect(divergence![i]).toBeClose(kl, { relative: 1e-6 })
    }
  })
})
