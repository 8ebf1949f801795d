import { gzipSync } from 'node:zlib'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { expect, test } from 'vitest'
import type { Bytes } from './bytes.ts'
import { openParquet } from './parquet.ts'
import { refusal } from './testing.ts'

const rows = 1000
const texts = Array.from({ length: rows }, (_, i) => (i % 7 ? `Row ${i} says ${'ü😀 '.repeat(i % 5)}` : null))
const numbers = Array.from({ length: rows }, (_, i) => i)
const nested = Array.from({ length: rows }, (_, i) => Array.from({ length: i % 3 }, (_, j) => ({ role: 'user', content: `${i} ${j}` })))
const struct = { type: undefined, repetition_type: 'REPEATED' as const, name: 'list', num_children: 1 }
const text = (name: string) => ({
  name,
  type: 'BYTE_ARRAY' as const,
  converted_type: 'UTF8' as const,
  repetition_type: 'OPTIONAL' as const,
})

const codecs = {
  UNCOMPRESSED: undefined,
  SNAPPY: undefined,
  GZIP: (input: Uint8Array) => new Uint8Array(gzipSync(input)),
}

const write = (codec: keyof typeof codecs) =>
  parquetWriteBuffer({
    columnData: [
      { name: 'id', data: numbers },
      { name: 'text', data: texts },
      { name: 'messages', data: nested },
    ],
    schema: [
      { name: 'root', num_children: 3 },
      { name: 'id', type: 'INT32', repetition_type: 'REQUIRED' },
      text('text'),
      { name: 'messages', repetition_type: 'OPTIONAL', num_children: 1, converted_type: 'LIST' },
      struct,
      { name: 'element', repetition_type: 'OPTIONAL', num_children: 2 },
      text('role'),
      text('content'),
    ],
    rowGroupSize: 300,
    codec,
    compressors: codecs[codec] && { [codec]: codecs[codec] },
  })

/** Counts what is read of a file. */
function counted(buffer: ArrayBuffer): { file: Bytes; read: () => [number, number][] } {
  const read: [number, number][] = []
  const file = {
    size: buffer.byteLength,
    slice(start: number, end: number) {
      read.push([start, end])
      return new Blob([buffer]).slice(start, end)
    },
    arrayBuffer: () => expect.fail('was read whole'),
  }
  return { file, read: () => read.splice(0) }
}

test.each(Object.keys(codecs) as (keyof typeof codecs)[])('gives back texts and nested columns: %s', async (codec) => {
  const table = await openParquet(new Blob([write(codec)]), 'a.parquet')
  expect(table.columns).toEqual([
    { name: 'id', kind: 'number' },
    { name: 'text', kind: 'text' },
    { name: 'messages', kind: 'objects', members: ['role', 'content'] },
  ])
  expect([table.rows, table.groups]).toEqual([1000, [300, 300, 300, 100]])
  const column = async (name: string) => (await Promise.all(table.groups.map((_, group) => table.read(group, name)))).flat()
  expect(await column('text')).toEqual(texts)
  expect(await column('messages')).toEqual(nested)
})

test('reads the footer, and of a row group the wanted column alone', async () => {
  const long = Array.from({ length: 4000 }, (_, i) => `${i} ${Math.sin(i)} `.repeat(20))
  const buffer = parquetWriteBuffer({
    columnData: [
      { name: 'before', data: long },
      { name: 'text', data: long.map((one) => `!${one}`) },
    ],
    rowGroupSize: 1000,
  })
  const { file, read } = counted(buffer)
  const table = await openParquet(file, 'a.parquet')
  expect(read()).toEqual([[buffer.byteLength - (64 << 10), buffer.byteLength]])
  const values = await table.read(2, 'text')
  expect(values).toEqual(long.slice(2000, 3000).map((one) => `!${one}`))
  const [[start, end], ...more] = read()
  expect(more).toEqual([])
  expect(end - start).toBeLessThan(buffer.byteLength / 7)
})

test.each<[string, (bytes: Uint8Array) => Uint8Array, RegExp]>([
  ['nothing', () => new Uint8Array(0), /too short/],
  ['another kind of file', () => new TextEncoder().encode('{"text":"one"}\n'.repeat(5)), /has no parquet footer/],
  ['a footer longer than the file', (bytes) => bytes.with(bytes.length - 6, 0xff), /footer/],
  ['pages of noise', (bytes) => bytes.fill(0xff, 1500, 3500), /./],
  ['a file cut at its front', (bytes) => bytes.slice(700), /./],
])('refuses %s', async (_, change, message) => {
  const bytes = change(new Uint8Array(write('SNAPPY')))
  const error = await refusal(async () => {
    const table = await openParquet(new Blob([bytes as Uint8Array<ArrayBuffer>]), 'a.parquet')
    for (const group of table.groups.keys())
      for (const { name, kind } of table.columns) if (kind !== 'number') await table.read(group, name)
    return table.rows
  })
  expect(error.code).toBe('text-invalid')
  expect(error.message).toContain('a.parquet')
  expect(error.message).toMatch(message)
})

test('refuses a column that is not there', async () => {
  const table = await openParquet(new Blob([write('SNAPPY')]), 'a.parquet')
  expect((await refusal(() => table.read(0, 'nothing'))).message).toContain('no column nothing')
})
