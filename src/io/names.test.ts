import { expect, test } from 'vitest'
import { escapes, unwritable } from './names.ts'

test.each([
  'config.json',
  'model-00001-of-00003.safetensors',
  'a/b/.hidden',
  '..bashrc',
  'notes...txt',
  'console.json',
  'com10.txt',
  'nullable.md',
  'données.json',
  '模型.json',
  '100%.txt',
  'a%20b.txt',
  'time 12:00.txt',
])('%s is a name like others', (path) => {
  expect(unwritable(path)).toBeNull()
})

test.each([
  ['..\\..\\Startup\\evil.json', 'backslash'],
  ['a\\b.json', 'backslash'],
  ['a%5Cb.json', 'backslash'],
  ['a%255Cb.json', 'backslash'],
  ['a＼b.json', 'backslash'],
  ['C:evil.json', 'drive'],
  ['c:/evil.json', 'drive'],
  ['a/D:/evil.json', 'drive'],
  ['Ｃ：evil.json', 'drive'],
  ['C%3Aevil.json', 'drive'],
  ['../evil.json', 'dots'],
  ['a/../../evil.json', 'dots'],
  ['./evil.json', 'dots'],
  ['.. /evil.json', 'dots'],
  ['.../evil.json', 'dots'],
  ['. ./evil.json', 'dots'],
  ['%2e%2e/evil.json', 'dots'],
  ['%2E%2E%2Fevil.json', 'dots'],
  ['%252e%252e%252fevil.json', 'dots'],
  ['．．/evil.json', 'dots'],
  ['‥/evil.json', 'dots'],
  ['a/..', 'dots'],
  ['/etc/passwd', 'empty'],
  ['a//b', 'empty'],
  ['', 'empty'],
  ['a／／b', 'empty'],
  ['a\0.json', 'control'],
  ['a%00.json', 'control'],
  ['a\nb', 'control'],
])('%j leads out of its folder', (path, why) => {
  expect(escapes(path)).toContain(why)
  expect(unwritable(path)).not.toBeNull()
})

test.each(['con', 'CON.json', 'aux.md', 'a/NUL', 'prn .txt', 'com1', 'LPT9.json', 'com¹.txt', 'conin$', 'ＣＯＮ.json'])(
  '%s belongs to a device of Windows',
  (path) => {
    expect(escapes(path)).toBeNull()
    expect(unwritable(path)).toContain('device')
  },
)

test.each(['a.', 'a ', 'folder./x', 'config.json.'])('%j comes back as another name on Windows', (path) => {
  expect(escapes(path)).toBeNull()
  expect(unwritable(path)).toContain('ends in')
})
