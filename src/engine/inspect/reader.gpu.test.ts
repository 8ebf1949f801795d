import { beforeAll, describe, expect, it } from 'vitest'
import type { WebGpuDevice } from '../../gpu/webgpu.ts'
import { testGpu } from '../../gpu/testing.ts'
import { TwinDevice } from '../../gpu/twin.ts'
import { openFolder } from '../../io/folder.ts'
import { fixtureFiles, fixtures } from '../../models/fixtures/fixtures.ts'
import { logitsOf } from '../../models/testing.ts'
import { heldBytes } from '../../models/weights.ts'
import { openModel } from '../../models/open.ts'
import { loadTokenizer } from '../../data/tokenizer.ts'
import { testDemo } from '../testing.ts'
import { Reader } from './reader.ts'
import { pick } from './text.ts'

let gpu: WebGpuDevice
beforeAll(async () => {
  gpu = await testGpu()
})

/** Largest difference, relative to the largest value. */
const far = (a: Float32Array, b: Float32Array) =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0) / Math.max(...b.map(Math.abs))

describe('a text that is read piece by piece', () => {
  const length = 14
  it.each(fixtures)('$name gives the logits of the whole window', async (fixture) => {
    const opened = openModel(await openFolder(await fixtureFiles(fixture)))
    const { vocab, maxPositions } = opened.model.shape
    const ids = Array.from({ length: Math.min(length, maxPositions ?? length) }, (_, i) => (i * 37 + 11) % vocab)
    if (!opened.model.continues) {
      await expect(Reader.open(gpu, opened, null, ids.length)).rejects.toMatchObject({ code: 'config-unsupported' })
      return
    }
    const padded = new Uint32Array(16)
    padded.set(ids)
    const whole = await logitsOf(gpu, opened, padded, { windows: 1, t: 16 })
    const rows = (await gpu.read(whole)) as Float32Array
    whole.dispose()
    const before = new Set(gpu.memory.live)
    const reader = await Reader.open(gpu, opened, null, ids.length)
    const held = gpu.memory.live.filter((tensor) => !before.has(tensor))
    expect(held.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(heldBytes(gpu, opened, new Set()))
    // Five at once, then one, then three, then one by one.
    for (let from = 0, to = 5; from < ids.length; from = to, to = Math.min(ids.length, to + (to === 6 ? 3 : 1))) {
      const row = rows.subarray((to - 1) * whole.cols, (to - 1) * whole.cols + vocab)
      expect(far(await reader.next(ids.slice(from, to)), row), `tokens ${from} to ${to}`).toBeLessThan(1e-5)
    }
    // The same from the beginning, as a text of its own.
    const given = await reader.probabilities(ids)
    const last = rows.subarray((ids.length - 2) * whole.cols, (ids.length - 2) * whole.cols + vocab)
    const most = Math.max(...last)
    const all = last.reduce((sum, value) => sum + Math.exp(value - most), 0)
    expect(given.at(-1)).toBeCloseTo(Math.exp(last[ids.at(-1)!] - most) / all, 5)
    reader.dispose()
  })
})

describe('the demo model', () => {
  it('says what it says in float64, up to the first near-tie', async () => {
    const files = await testDemo()
    const opened = openModel(await openFolder(files))
    const tokenizer = await loadTokenizer(files)
    const prompt = tokenizer.encode('Once upon a time, there was a little')
    const before = prompt.subarray(0, prompt.length - tokenizer.after)
    const most = 12
    const greedy = { temperature: 0, seed: 0 }
    const [reader, twin] = await Promise.all(
      [gpu, new TwinDevice()].map((device) => Reader.open(device, opened, null, before.length + most)),
    )
    let next: ArrayLike<number> = before
    let said = 0
    for (; said < most; said++) {
      const [own, exact] = [await reader.next(next), await twin.next(next)]
      const sorted = exact.toSorted().reverse()
      const id = pick(exact, greedy, said)
      // Float32 has an error of about 1e-5 of the largest logit here.
      if (sorted[0] - sorted[1] < 1e-3) break
      expect(pick(own, greedy, said), `token ${said}`).toBe(id)
      expect(far(own, exact)).toBeLessThan(1e-4)
      next = [id]
    }
    expect(said).toBeGreaterThan(4)
  })
})
