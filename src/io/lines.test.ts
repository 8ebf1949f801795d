/** Files by their first bytes, packed or not, and what is said of those that cannot be read. */
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { openText } from './lines.ts'
import { refusal } from './testing.ts'

type Content = Parameters<typeof bytes>[0]
const bytes = (...parts: (string | number[] | Uint8Array)[]) =>
  new Blob(parts.map((part) => (typeof part === 'string' ? part : new Uint8Array(part))))
async function read(...parts: Content[]): Promise<string> {
  let whole = ''
  for await (const piece of (await openText(bytes(...parts), 'a')).text) whole += piece
  return whole
}

test.each<[string, Content[]]>([
  ['an Arrow file', ['ARROW1\0\0']],
  ['an Arrow stream', [[0xff, 0xff, 0xff, 0xff, 0x10, 0, 0, 0]]],
  ['UTF-16 text', [[0xff, 0xfe, 0x41, 0]]],
  ['UTF-16 text', [[0xfe, 0xff, 0, 0x41]]],
  ['UTF-16 text', [Array.from('A rope', (letter) => [letter.charCodeAt(0), 0]).flat()]],
  ['UTF-16 text', [Array.from('A rope', (letter) => [0, letter.charCodeAt(0)]).flat()]],
  ['UTF-32 text', [[0xff, 0xfe, 0, 0, 0x41, 0, 0, 0]]],
  ['a PDF document', ['%PDF-1.7\n']],
  ['a zip archive', [[0x50, 0x4b, 3, 4, 20, 0]]],
  ['an SQLite database', ['SQLite format 3\0']],
  ['a bzip2 file', ['BZh91AY']],
  ['a tar archive', ['x'.repeat(257), 'ustar\0']],
  ['a Git LFS pointer', ['version https://git-lfs.github.com/spec/v1\noid sha256:0\n']],
  ['a GGUF model', ['GGUF', [3, 0, 0, 0]]],
  ['a safetensors file', [[0x10, 0, 0, 0, 0, 0, 0, 0], '{"a":{}}        ']],
  ['a Python pickle', [[0x80, 4, 0x95]]],
  ['a binary file of an unknown kind', ['abc\0\u0001def']],
  ['a tar archive inside gzip', [gzipSync(`${'x'.repeat(257)}ustar\0`)]],
  ['a gzip file inside gzip', [gzipSync(gzipSync('a'))]],
])('%s is refused as what it is', async (what, parts) => {
  const { code, message, hint } = await refusal(() => read(...parts))
  expect([code, message]).toEqual(['text-invalid', expect.stringContaining(`a is ${what}`)])
  if (!what.includes('LFS')) expect(hint).not.toMatch(/download/i)
})

test('text of any beginning is text', async () => {
  for (const text of ['', 'PK said: no', 'Obj', 'BZ', 'RIFF of the reef', '\u0080\u0002', 'ÿþ']) expect(await read(text)).toBe(text)
})

test('gzip: members, empty ones, and zeros around them; damage is found', async () => {
  const members = ['one ', '', 'two'.repeat(100_000), ' three'].map((text) => new Uint8Array(gzipSync(text)))
  const whole = `one ${'two'.repeat(100_000)} three`
  expect(await read(...members)).toBe(whole)
  expect(await read(members[0], members[1], Array(70_000).fill(0), members[2], members[3], [0, 0, 0])).toBe(whole)
  expect((await refusal(() => read(...members, 'more'))).message).toContain('not a complete, valid gzip file')
  for (const at of [-1, -6, -9]) {
    const damaged = members[3].slice()
    damaged[damaged.length + at] ^= 1
    expect((await refusal(() => read(members[0], damaged))).message).toContain('not a complete, valid gzip file')
  }
})

test('zstd: frames one after the other, skippable ones between them; a file cut anywhere is refused', async () => {
  const frame = new Uint8Array(readFileSync('e2e/cases/text/packed.jsonl.zst'))
  const once = await read(frame)
  const skippable = [0x52, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]
  expect(once).toContain('The rope was long.')
  expect(await read(frame, skippable, frame)).toBe(once + once)
  expect(await read(skippable, frame)).toBe(once)
  for (let length = 5; length < frame.length; length++) {
    expect((await refusal(() => read(frame.subarray(0, length)))).message).toContain('not a complete, valid zstd file')
  }
  // A window of 2 GB, which is said before it is made.
  expect((await refusal(() => read([0x28, 0xb5, 0x2f, 0xfd, 0, 0xa8], Array(30).fill(1)))).message).toContain('a window of 2048 MiB')
})
