import fc from 'fast-check'
import { expect, test } from 'vitest'
import { refusal } from '../io/testing.ts'
import { evaluationWindows, random, readText, sampleWindows } from './corpus.ts'

const read = (name: string, content: string | Uint8Array<ArrayBuffer>) => readText(name, new Blob([content]))
const tokens = (length: number) => Int32Array.from({ length }, (_, i) => i)

test('plain text comes as it is, under any name', async () => {
  expect(await read('a.txt', '\r\n Grüße \n\n{"text": 1}\n')).toBe('\r\n Grüße \n\n{"text": 1}\n')
  expect(await read('wiki.test.raw', ' = Robert = \n')).toBe(' = Robert = \n')
})

test('each line of a .jsonl is a document', async () => {
  const lines = [
    '{"text":"one","id":"7"}',
    '"two"',
    '',
    '{"prefix":"th","gold_completion":"ree","id":"7"}',
    '{"story":"four","score":1}\r',
    '   ',
    '{"text":""}',
  ]
  expect(await read('a.jsonl', lines.join('\n'))).toBe('one\n\ntwo\n\nthree\n\nfour\n\n')
})

test.each([
  ['{"text":"one"', 1],
  ['{"text":"one"}\n\n{"a":"x","b":"y"}', 3],
  ['{"text":7}', 1],
  ['"one"\n7', 2],
  ['"one"\n["two"]', 2],
  ['"one"\nnull', 2],
])('refuses the .jsonl %j and names line %i', async (content, line) => {
  const error = await refusal(() => read('a.jsonl', content))
  expect(error.code).toBe('text-invalid')
  expect(error.message).toContain(`Line ${line} of a.jsonl`)
})

test('refuses what is not text', async () => {
  const error = await refusal(() => read('a.txt', Uint8Array.of(0x50, 0xff, 0xfe)))
  expect(error.code).toBe('text-invalid')
  expect(error.message).toContain('a.txt is not UTF-8')
})

test('refuses a text over the cap without reading it', async () => {
  const huge = { size: 2 ** 40, slice: () => expect.fail('was read'), arrayBuffer: () => expect.fail('was read') }
  expect((await refusal(() => readText('a.txt', huge))).code).toBe('text-invalid')
})

test.each([
  ['a.txt', ''],
  ['a.txt', ' \n '],
  ['a.jsonl', '\n'],
  ['a.jsonl', '{"text":""}'],
])('refuses an empty %s', async (name, content) => {
  const error = await refusal(() => read(name, content))
  expect(error.code).toBe('text-short')
  expect(error.message).toContain(name)
})

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
      const windows = sampleWindows(stream, spec)
      expect(windows).toHaveLength(9)
      for (const window of windows) expect(window).toEqual(stream.slice(window[0], window[0] + length))
      expect(sampleWindows(stream, spec)).toEqual(windows)
    }),
  )
  const starts = (seed: number) => sampleWindows(tokens(5000), { samples: 20, length: 8, sampling: 'random', seed }).map(([first]) => first)
  expect(starts(1)).not.toEqual(starts(2))
  expect(new Set(sampleWindows(tokens(3), { samples: 50, length: 2, sampling: 'random', seed: 0 }).map(([first]) => first))).toEqual(
    new Set([0, 1]),
  )
})

test('consecutive windows are the first of the text', () => {
  const windows = sampleWindows(tokens(10), { samples: 3, length: 3, sampling: 'consecutive', seed: 0 })
  expect(windows.map((window) => Array.from(window))).toEqual([[0, 1, 2], [3, 4, 5], [6, 7, 8]]) // biome-ignore format: short
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
