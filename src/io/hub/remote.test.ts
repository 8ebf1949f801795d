/** Reading ahead: which bytes of far files are asked for, and in which order. */
import { expect, test } from 'vitest'
import { syntheticCheckpoint } from '../../../e2e/hub/synthetic.ts'
import { safetensorsOf } from '../../models/testing.ts'
import type { ByteRange } from '../bytes.ts'
import { type Checkpoint, openCheckpoint } from '../safetensors.ts'
import { Lookahead, RemoteFile } from './remote.ts'

interface Asked extends ByteRange {
  file: string
}

type Read = (begin: number, end: number) => Uint8Array | Promise<Uint8Array>

/** A checkpoint of files that write down what is fetched of them, and in which order. */
async function watched(files: Map<string, { size: number; read: Read }>): Promise<{ checkpoint: Checkpoint; asked: Asked[] }> {
  const asked: Asked[] = []
  const lookahead = new Lookahead()
  const remote = (file: string, { size, read }: { size: number; read: Read }) => {
    const fetch = async ({ begin, end }: ByteRange) => {
      asked.push({ file, begin, end })
      return new Uint8Array(await read(begin, end))
    }
    return new RemoteFile({ size, fetch }, lookahead)
  }
  const checkpoint = await openCheckpoint(new Map([...files].map(([name, content]) => [name, remote(name, content)])))
  asked.length = 0
  return { checkpoint, asked }
}

const stored = (bytes: Uint8Array) => ({ size: bytes.length, read: (begin: number, end: number) => bytes.subarray(begin, end) })

test('announced tensors are fetched in the order of reading, whatever their order in the files', async () => {
  const contents = syntheticCheckpoint({ blocks: 2, hidden: 512, ffn: 4096, heads: 8, vocab: 64, shards: 3 }, new Map())
  const files = [...contents].map(([name, content]) => [name, content instanceof Uint8Array ? stored(content) : content] as const)
  const { checkpoint, asked } = await watched(new Map(files))
  const linears = [
    ...['q', 'k', 'v', 'o'].map((name) => `self_attn.${name}_proj`),
    ...['gate', 'up', 'down'].map((name) => `mlp.${name}_proj`),
  ]
  const names = [0, 1].flatMap((k) => linears.map((name) => `model.layers.${k}.${name}.weight`))
  const entries = names.map((name) => checkpoint.tensors.get(name)!)
  // The layout of save_pretrained: by name in each file, one block over two files.
  expect(new Set(entries.slice(0, 7).map(({ file }) => file)).size).toBe(2)
  expect(entries[6].offset).toBeLessThan(entries[4].offset)

  checkpoint.ahead(names)
  for (const name of names) await checkpoint.read(name)
  const turns = asked.map(({ file, begin }) =>
    entries.findIndex((one) => one.file === file && begin >= one.offset && begin < one.offset + one.bytes),
  )
  expect(turns).toEqual(turns.toSorted((a, b) => a - b))
  expect(asked.reduce((sum, { begin, end }) => sum + end - begin, 0)).toBe(entries.reduce((sum, { bytes }) => sum + bytes, 0))
})

test('a new announcement moves what waits already to its new place', async () => {
  const tensors = new Map(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => [name, { shape: [2 ** 21], data: new Float32Array(2 ** 21) }]))
  const { checkpoint, asked } = await watched(new Map([['model.safetensors', stored(safetensorsOf(tensors))]]))
  const start = (name: string) => checkpoint.tensors.get(name)!.offset
  checkpoint.ahead(['a', 'f', 'e', 'd', 'c', 'b'])
  checkpoint.ahead(['a', 'c', 'e', 'b', 'd', 'f'])
  for (const name of ['a', 'c', 'e', 'b', 'd', 'f']) await checkpoint.read(name)
  const firsts = asked.map(({ begin }) => begin).filter((begin) => [...tensors.keys()].some((name) => start(name) === begin))
  expect(firsts).toEqual(['a', 'c', 'e', 'b', 'd', 'f'].map(start))
})

test('a few bytes between two announced tensors are read along; more are not', async () => {
  const tensor = (bytes: number) => ({ shape: [bytes / 4], data: new Float32Array(bytes / 4) })
  const tensors = new Map([
    ['a', tensor(1024)],
    ['between', tensor(2048)],
    ['c', tensor(1024)],
    ['far', tensor(65536)],
    ['e', tensor(1024)],
  ])
  const { checkpoint, asked } = await watched(new Map([['model.safetensors', stored(safetensorsOf(tensors))]]))
  checkpoint.ahead(['a', 'c', 'e'])
  for (const name of ['a', 'c', 'e']) await checkpoint.read(name)
  expect(asked.map(({ begin, end }) => end - begin)).toEqual([4096, 1024])
})
