import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseJson, readJson, withMembers } from './json.ts'
import { refusal } from './testing.ts'

const rules = { cap: 1000, code: 'config-invalid', hint: 'Mend it.', unique: true } as const
const parse = (text: string) => parseJson(new TextEncoder().encode(text), 'a.json', rules)

test.each([
  ['{', 'is not JSON'],
  ['', 'is not JSON'],
  ['[1]', 'does not contain a JSON object'],
  ['null', 'does not contain a JSON object'],
  ['{"a":1,"b":2,"a":3}', 'contains the key "a" twice'],
  ['{"b":{"\\u0061":1,"a":3}}', 'contains the key "a" twice'],
  ['{"b":[{"x":1},{"c\\"":1,"c\\"":3}]}', 'contains the key "c"" twice'],
  [`{"a":${'['.repeat(64)}${']'.repeat(64)}}`, 'is nested 65 levels'],
])('refuses %s', async (text, message) => {
  const error = await refusal(() => parse(text))
  expect(error.code).toBe('config-invalid')
  expect(error.message).toContain('a.json')
  expect(error.message).toContain(message)
})

test.each([
  ['version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12', 'a.json is a Git LFS pointer instead of the file itself'],
  [' <HTML lang="en">', 'a.json is a web page instead of the file itself'],
])('names what came in place of a file (%s)', async (text, message) => {
  const file = new Blob([text])
  expect((await refusal(() => readJson(file, 'a.json', rules))).message).toContain(message)
})

test('refuses text that is not UTF-8, and files over the cap, before reading them', async () => {
  expect((await refusal(() => parseJson(Uint8Array.of(0x7b, 0xff, 0x7d), 'a.json', rules))).message).toContain('UTF-8')
  const huge = { size: 1001, slice: () => expect.fail('was read'), arrayBuffer: () => expect.fail('was read') }
  expect((await refusal(() => readJson(huge, 'a.json', rules))).message).toContain('1001 bytes')
})

test('takes equal names in different objects, and equal values', () => {
  const value = { a: { a: 'a' }, b: [{ a: 'a' }, { a: ',"a":' }] }
  expect(parse(JSON.stringify(value)).value).toEqual(value)
})

test('replaces and adds members, and leaves every other character alone', () => {
  const text = '{\n "rope_theta": 10000.0, "x" : {"torch_dtype": 1},\n "torch_dtype" : "bfloat16" ,\n "eps": 1e-05\n}\n'
  expect(withMembers(text, { torch_dtype: 'float16', q: { bits: 3 } })).toBe(
    '{\n "rope_theta": 10000.0, "x" : {"torch_dtype": 1},\n "torch_dtype" : "float16" ,\n "eps": 1e-05,\n  "q": {\n    "bits": 3\n  }\n}\n',
  )
  expect(JSON.parse(withMembers('{ }', { a: 1, b: null }))).toEqual({ a: 1, b: null })
})

test('members come out as if they had been set on the object', () => {
  const object = fc.dictionary(fc.constantFrom('a', 'b', 'c"\\', 'é', ''), fc.jsonValue())
  fc.assert(
    fc.property(object, object, fc.constantFrom(undefined, 1, '\t'), (original, changes, indent) => {
      // JSON knows no negative zero.
      const plain = (value: unknown) => JSON.parse(JSON.stringify(value))
      expect(JSON.parse(withMembers(JSON.stringify(original, null, indent), changes))).toEqual(plain({ ...original, ...changes }))
    }),
  )
})
