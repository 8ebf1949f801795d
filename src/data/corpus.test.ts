import fc from 'fast-check'
import { expect, test } from 'vitest'
import { refusal } from '../io/testing.ts'
import { evaluationWindows, overlap, random, sampleDocuments, sampleWindows } from './corpus.ts'

const tokens = (length: number) => Int32Array.from({ length }, (_, i) => i)

// ---------------------------------------------------------------- windows

test('the generator is the same everywhere, even, and different for each seed', () => {
  const next = random(42)
  expect([next(), next(), next()]).toEqual([0.6011037519201636, 0.44829055899754167, 0.8524657934904099])
  const counts = new Array(10).fill(0)
  for (let i = 0; i < 10_000; i++) counts[Math.floor(next() * 10)]++
  expect(Math.min(...counts)).toBeGreaterThan(900)
  expect(random(1)()).not.toBe(random(2)())
})

test('random windows are pieces of the text, repeat with the seed and differ without', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(200), fc.nat(), (length, more, seed) => {
      const stream = tokens(length + more)
      const spec = { samples: 9, length, sampling: 'random', seed } as const
      const { windows } = sampleWindows(stream, spec)
      expect(windows).toHaveLength(9)
      for (const window of windows) expect(window).toEqual(stream.slice(window[0], window[0] + length))
      expect(sampleWindows(stream, spec).windows).toEqual(windows)
    }),
  )
  const starts = (seed: number) =>
    sampleWindows(tokens(5000), { samples: 20, length: 8, sampling: 'random', seed }).windows.map(([first]) => first)
  expect(starts(1)).not.toEqual(starts(2))
  expect(
    new Set(sampleWindows(tokens(3), { samples: 50, length: 2, sampling: 'random', seed: 0 }).windows.map(([first]) => first)),
  ).toEqual(new Set([0, 1]))
})

test('tokens that several windows hold are counted once', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 9 }), fc.nat(60), fc.nat(), (length, samples, more, seed) => {
      const { windows, distinct } = sampleWindows(tokens(length + more), { samples, length, sampling: 'random', seed })
      expect(distinct).toBe(new Set(windows.flatMap((window) => [...window])).size)
    }),
  )
  expect(sampleWindows(tokens(10), { samples: 3, length: 3, sampling: 'consecutive', seed: 0 }).distinct).toBe(9)
})

test('consecutive windows are the first of the text', () => {
  const { windows } = sampleWindows(tokens(10), { samples: 3, length: 3, sampling: 'consecutive', seed: 0 })
  expect(windows.map((window) => Array.from(window))).toEqual([[0, 1, 2], [3, 4, 5], [6, 7, 8]]) // biome-ignore format: short
})

test('held-out windows share no token with the others, leave these as they are, and are as many as there is room for', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 6 }),
      fc.nat(8),
      fc.nat(120),
      fc.nat(),
      fc.constantFrom('random' as const, 'consecutive' as const),
      (length, samples, heldOut, more, seed, sampling) => {
        const stream = tokens(samples * length + more)
        const { windows, heldOut: held } = sampleWindows(stream, { samples, length, sampling, seed, heldOut })
        expect(sampleWindows(stream, { samples, length, sampling, seed }).windows).toEqual(windows)
        for (const window of held) expect(window).toEqual(stream.slice(window[0], window[0] + length))
        const seen = new Set(windows.flatMap((window) => [...window]))
        for (const token of held.flatMap((window) => [...window])) {
          expect(seen.has(token)).toBe(false)
          seen.add(token)
        }
        if (held.length === heldOut) return
        const used = [...windows, ...held].map(([first]) => first).sort((a, b) => a - b)
        const ends = [...used.map((first) => first + length)]
        const gaps = [0, ...ends].map((from, i) => (used[i] ?? stream.length) - from)
        expect(Math.max(...gaps)).toBeLessThan(length)
      },
    ),
  )
})

test('a text too short says what there is and what would do', async () => {
  const short = await refusal(() => sampleWindows(tokens(10), { samples: 4, length: 3, sampling: 'consecutive', seed: 0 }))
  expect(short.code).toBe('text-short')
  expect(short.message).toContain('10 tokens, too few for 4 samples of 3 end to end (12)')
  expect(short.hint).toContain('3 samples of 3')
  const tiny = await refusal(() => sampleWindows(tokens(10), { samples: 4, length: 11, sampling: 'random', seed: 0 }))
  expect(tiny.message).toContain('10 tokens, too few for one sample of 11')
  expect(tiny.hint).toContain('10 tokens or less')
})

test('evaluation takes the first windows, or all, and leaves a rest out', () => {
  const starts = (samples: number) => evaluationWindows(tokens(11), { samples, length: 3 }).windows.map(([first]) => first)
  expect(starts(0)).toEqual([0, 3, 6])
  expect(starts(2)).toEqual([0, 3])
  expect(starts(9)).toEqual([0, 3, 6])
  expect(evaluationWindows(tokens(3), { samples: 0, length: 3 })).toEqual({ windows: [tokens(3)], length: 3, shortened: false })
})

test('a text shorter than a window gives one honest smaller one', async () => {
  expect(evaluationWindows(tokens(5), { samples: 0, length: 8 })).toEqual({ windows: [tokens(5)], length: 5, shortened: true })
  const error = await refusal(() => evaluationWindows(tokens(1), { samples: 0, length: 8 }))
  expect(error.code).toBe('text-short')
  expect(error.message).toContain('1 tokens')
})

// ---------------------------------------------------------------- documents

/** Documents of known lengths whose tokens tell where they come from. */
function library(lengths: number[]) {
  const documents = lengths.map((length, i) => `${i} `.padEnd(length, 'x'))
  let passes = 0
  let read = 0
  async function* stream() {
    passes++
    for (const document of documents) {
      read++
      yield document
    }
  }
  const encode = (text: string) => Int32Array.from({ length: text.length }, (_, at) => parseInt(text, 10) * 1000 + at)
  return { stream, encode, read: () => ({ passes, read }) }
}

test('documents give one window each, at a random place, and are read only until there are enough', async () => {
  const { stream, encode, read } = library(Array.from({ length: 400 }, (_, i) => (i % 4 ? 20 : 90)))
  const { windows } = await sampleDocuments(stream, encode, { samples: 10, length: 50, seed: 3 })
  expect(windows).toHaveLength(10)
  const from = windows.map(([first]) => Math.floor(first / 1000))
  expect(new Set(from).size).toBe(10)
  for (const [i, window] of windows.entries()) {
    expect(from[i] % 4).toBe(0)
    expect(window).toEqual(encode(`${from[i]} `.padEnd(90, 'x')).slice(window[0] % 1000, (window[0] % 1000) + 50))
  }
  expect(new Set(windows.map(([first]) => first % 1000)).size).toBeGreaterThan(3)
  expect(read().read).toBeLessThan(200)
  expect((await sampleDocuments(stream, encode, { samples: 10, length: 50, seed: 3 })).windows).toEqual(windows)
  expect((await sampleDocuments(stream, encode, { samples: 10, length: 50, seed: 4 })).windows).not.toEqual(windows)
})

test('documents that were passed over get their turn, and none is drawn twice', async () => {
  const { stream, encode, read } = library([60, 60, 60, 10, 60, 50])
  const { windows } = await sampleDocuments(stream, encode, { samples: 4, length: 50, seed: 0 })
  expect(windows.map(([first]) => Math.floor(first / 1000)).sort()).toEqual([0, 1, 2, 4])
  expect(read().passes).toBe(2)
  const { windows: same, heldOut } = await sampleDocuments(stream, encode, { samples: 3, length: 50, seed: 0, heldOut: 2 })
  expect([...same, ...heldOut]).toEqual(windows)
  expect(heldOut).toHaveLength(1)
  // A document of exactly a window's length is too short, as published.
  const error = await refusal(() => sampleDocuments(stream, encode, { samples: 5, length: 50, seed: 0 }))
  expect(error.code).toBe('text-short')
  expect(error.message).toContain('Of 6 documents in the calibration text 4 are longer than 50 tokens')
  expect(error.hint).toContain('Use 4 samples')
})

// ---------------------------------------------------------------- overlap

test('overlap is the share of evaluation tokens in runs of 32 that calibration holds', () => {
  const next = random(11)
  const noise = (length: number) => Int32Array.from({ length }, () => Math.floor(next() * 50))
  const calibration = [noise(300), noise(300)]
  expect(overlap(calibration, [noise(300), noise(100)])).toBe(0)
  const part = (length: number) => {
    const window = noise(400)
    window.set(calibration[1].subarray(17, 17 + length), 200)
    // Its neighbours must not happen to fit too.
    window[199] = -1
    window[200 + length] = -1
    return window
  }
  expect(overlap(calibration, [part(31)])).toBe(0)
  expect(overlap(calibration, [part(32)])).toBe(32 / 400)
  expect(overlap(calibration, [part(100), noise(400)])).toBe(100 / 800)
  expect(overlap(calibration, calibration)).toBe(1)
  // Windows shorter than such a run are compared whole.
  expect(overlap([tokens(8)], [tokens(8)])).toBe(1)
})
