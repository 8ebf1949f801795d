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
        const expected = JSON.parse(JSON.stringify(rows), (_, value) =>
          typeof value === 'number' && /^-?\d+$/.test(String(value)) ? BigInt(String(value)) : value,
        )
        expect(await values(rows.map((row) => JSON.stringify(row, null, indent)).join('\n'), size)).toEqual(expected)
        expect(await values(rows.map((row) => JSON.stringify(row, null, indent)).join(',\n'), size)).toEqual(expected)
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
    { value: { a: 1n }, line: 1 },
    { value: { b: 2n }, line: 3 },
    { value: 3n, line: 7 },
    { value: { c: '\n' }, line: 7 },
    { value: 'd', line: 9 },
  ])
})

test.each<[string, unknown]>([
  ['1', 1n],
  ['-0', 0n],
  ['1.0', 1],
  ['-0.0', -0],
  ['1e15', 1e15],
  ['1E+2', 100],
  ['1e-7', 1e-7],
  ['1e400', Number.POSITIVE_INFINITY],
  ['1e16', 1e16],
  ['9007199254740993', 9007199254740993n],
  ['-123456789012345678901234567890', -123456789012345678901234567890n],
  ['NaN', Number.NaN],
  ['-Infinity', Number.NEGATIVE_INFINITY],
  ['"1.0, \\"2\\\\"', '1.0, "2\\'],
])('the number %s is %s, at every depth', async (source, value) => {
  expect(await values(`{"a 1": [${source}, {"b": ${source}}], "c": "3 \\\\"}\n${source}`)).toEqual([
    { 'a 1': [value, { b: value }], c: '3 \\' },
    value,
  ])
})

test('what only looks like a number is refused, and texts are left alone', async () => {
  for (const wrong of ['nan', '01', '1.', '.5', '+1', '-', '1e', '-NaN', '0x1', '9'.repeat(5000)])
    expect((await refusal(() => values(`{"a": ${wrong}}`))).message).toContain('Line 1 of a.json is not JSON')
  const long = `${'a "1" \\ NaN '.repeat(200_000)}`
  expect(await values(JSON.stringify({ a: long, b: 1 }))).toEqual([{ a: long, b: 1n }])
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
  ['{"a": 1},\n,{"b": 2}', 2],
  ['[1,,2]', 1],
])('refuses %j and names line %i', async (text, line) => {
  for (const size of [1, 3, text.length]) {
    expect((await refusal(() => values(text, size))).message).toContain(`Line ${line} of a.json is not JSON`)
  }
})
