import fc from 'fast-check'
import { expect, test } from 'vitest'
import { refusal } from './testing.ts'
import { jsonValues } from './values.ts'

async function* cut(text: string, size: number) {
  for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size)
}
async function read(text: string, size = text.length || 1, rows: (first: unknown) => boolean = () => true) {
  const found = []
  for await (const one of jsonValues(cut(text, size), 'a.json', rows)) found.push(one)
  return found
}
const values = async (...given: Parameters<typeof read>) => (await read(...given)).map(({ value }) => value)

test('any values come back, as lines, one after the other and as an array, however the text is cut', async () => {
  const value = fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), fc.string())
  await fc.assert(
    fc.asyncProperty(
      fc.array(value, { minLength: 1 }),
      fc.integer({ min: 1, max: 9 }),
      fc.constantFrom(0, 2),
      async (rows, size, indent) => {
        // What JSON cannot hold (-0) is not asked for.
        const expected = JSON.parse(JSON.stringify(rows))
        expect(await values(rows.map((row) => JSON.stringify(row, null, indent)).join('\n'), size)).toEqual(expected)
        expect(await values(JSON.stringify(rows, null, indent), size)).toEqual(expected)
        expect(await values(JSON.stringify(rows, null, indent), size, () => false)).toEqual([expected])
      },
    ),
    { seed: 13, numRuns: 150 },
  )
})

test('values know the line on which they begin', async () => {
  const text = '{"a": 1}\n\n{\n"b":\n2}\n[\n3, {"c": "\\n"},\n\n"d"\n]'
  expect(await read(text)).toEqual([
    { value: { a: 1 }, line: 1 },
    { value: { b: 2 }, line: 3 },
    { value: 3, line: 7 },
    { value: { c: '\n' }, line: 7 },
    { value: 'd', line: 9 },
  ])
})

test('the numbers that Python writes and JSON has not are null, and texts are left alone', async () => {
  expect(await values('{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN, \\"Infinity"}')).toEqual([
    { a: null, b: [null, null], c: 'NaN, "Infinity' },
  ])
  expect((await refusal(() => values('{"a": nan}'))).message).toContain('Line 1 of a.json is not JSON')
})

test.each([
  ['{"a": 1', 1],
  ['{"a": 1}\n{"b": "x\n"}', 2],
  ['{"a": 1}\n]', 2],
  ['[{"a": 1}\n{"b": 2}]', 2],
  ['[{"a": 1},\n', 1],
  ['{"a": 1}\n}', 2],
  ['{"a": 1}\n{"a" 1}', 2],
  ["\n{'a': 1}", 2],
  [',', 1],
])('refuses %j and names line %i', async (text, line) => {
  for (const size of [1, 3, text.length]) {
    expect((await refusal(() => values(text, size))).message).toContain(`Line ${line} of a.json is not JSON`)
  }
})
