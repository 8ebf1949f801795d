import fc from 'fast-check'
import { expect, test } from 'vitest'
import { random } from '../data/corpus.ts'
import { WorkbenchError } from '../errors.ts'
import type { Bytes } from './bytes.ts'
import { memoryFiles, memorySink } from './memory.ts'
import { CheckpointWriter, openCheckpoint, planCheckpoint, type TensorSpec } from './safetensors.ts'
import { refusal, safetensors } from './testing.ts'

const good = {
  __metadata__: { format: 'pt' },
  a: { dtype: 'F16', shape: [2, 3], data_offsets: [0, 12] },
  b: { dtype: 'I32', shape: [1], data_offsets: [12, 16] },
}
const open = (file: Uint8Array<ArrayBuffer>) => openCheckpoint(memoryFiles([['model.safetensors', file]]))
const index = (map: unknown) => JSON.stringify({ metadata: { total_size: 0 }, weight_map: map })

// ---------------------------------------------------------------- reading

test('reads tensors and parts of tensors', async () => {
  const checkpoint = await open(safetensors(good, 16))
  expect(checkpoint.bytes).toBe(16)
  expect(checkpoint.tensors.get('a')).toMatchObject({ dtype: 'F16', shape: [2, 3], bytes: 12, file: 'model.safetensors' })
  expect(Array.from(await checkpoint.read('b'))).toEqual([12, 13, 14, 15])
  expect(Array.from(await checkpoint.readRange('a', 4, 6))).toEqual([4, 5])
  await expect(checkpoint.readRange('a', 4, 13)).rejects.toThrow(RangeError)
  expect((await refusal(() => checkpoint.read('c'))).code).toBe('tensor-missing')
})

test('takes scalars, empty tensors and a padded header', async () => {
  const header = { s: { dtype: 'F32', shape: [], data_offsets: [0, 4] }, e: { dtype: 'F32', shape: [0, 7], data_offsets: [4, 4] } }
  const checkpoint = await open(safetensors(`${JSON.stringify(header)}      `, 4))
  expect(checkpoint.tensors.get('s')?.bytes).toBe(4)
  expect((await checkpoint.read('e')).length).toBe(0)
})

test.each([
  ['a Git LFS pointer', `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 1234\n`, 'git lfs pull'],
  ['a web page', '\n<!DOCTYPE html><html><head><title>404</title></head></html>', 'Download the file again'],
  ['a zip archive', `PK\x03\x04${' '.repeat(40)}`, 'Download or convert'],
])('names %s in the place of weights', async (what, content, hint) => {
  const error = await refusal(() => open(new TextEncoder().encode(content)))
  expect(error.code).toBe('file-header')
  expect(error.message).toContain(`model.safetensors is ${what}`)
  expect(error.hint).toContain(hint)
})

const one = (change: object) => ({ a: { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...change } })

test.each([
  ['no type', one({ dtype: undefined }), 'has no type'],
  ['a type that is no word', one({ dtype: 'F32; x' }), 'has no type, but "F32; x"'],
  ['a type with too few bytes', one({ dtype: 'F8_E4M3FNUZ', shape: [9] }), 'should take 9 bytes'],
  ['a range that runs backwards', one({ dtype: 'F31', data_offsets: [8, 0] }), 'impossible'],
  ['a negative size', one({ shape: [-2] }), 'shape'],
  ['a fractional size', one({ shape: [0.5] }), 'shape'],
  ['a shape that is no list', one({ shape: 2 }), 'shape'],
  ['a shape beyond numbers', one({ shape: [2 ** 52, 2 ** 52, 0] }), 'impossible shape'],
  ['half a byte', one({ dtype: 'F4', shape: [1] }), 'impossible shape'],
  ['no place', one({ data_offsets: undefined }), 'data_offsets'],
  ['three offsets', one({ data_offsets: [0, 8, 8] }), 'data_offsets'],
  ['offsets as texts', one({ data_offsets: ['0', '8'] }), 'data_offsets'],
  ['an unsafe offset', one({ data_offsets: [2 ** 53, 2 ** 53 + 8] }), 'data_offsets'],
  ['an end before the begin', one({ data_offsets: [8, 0] }), 'should take 8 bytes'],
  ['a size that is not its shape', one({ data_offsets: [0, 4] }), 'should take 8 bytes'],
  ['a place beyond numbers', one({ data_offsets: [Number.MAX_SAFE_INTEGER - 8, Number.MAX_SAFE_INTEGER] }), 'outside the file'],
  ['an entry that is no object', { a: 3 }, 'no description'],
  ['a list as header', [], 'does not contain a JSON object'],
  ['no tensors', { __metadata__: {} }, 'no tensors'],
  ['metadata that is no map of texts', { ...one({}), __metadata__: { a: 1 } }, '__metadata__'],
  ['an overlap', { ...one({}), b: { dtype: 'U8', shape: [4], data_offsets: [4, 8] } }, 'overlaps'],
  ['two tensors in one place', { ...one({}), b: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } }, 'overlaps'],
  ['a hole', { ...one({}), b: { dtype: 'U8', shape: [0], data_offsets: [9, 9] } }, '1 bytes before tensor b'],
  ['bytes of no tensor at the end', one({ shape: [1], data_offsets: [0, 4] }), '4 bytes after'],
  [
    'a name twice',
    '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
    'contains the key "a" twice',
  ],
  ['a field twice', '{"a":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}', 'contains the key "dtype" twice'],
  ['text that is not JSON', 'PK\u0003\u0004', 'is not JSON'],
])('refuses a header with %s', async (_, header, message) => {
  const error = await refusal(() => open(safetensors(header, 8)))
  expect(error.code).toBe('file-header')
  expect(error.message).toContain('model.safetensors')
  expect(error.message).toContain(message)
})

test('refuses a header over the cap without reading it', async () => {
  expect((await refusal(() => open(safetensors(good, 16, 2n ** 63n)))).code).toBe('file-header')
})

test.each([
  ['nothing', new Uint8Array(0)],
  ['half a length', new Uint8Array(7)],
  ['a length alone', new Uint8Array([40, 0, 0, 0, 0, 0, 0, 0])],
  ['half a header', safetensors(good, 16).slice(0, 60)],
  ['half a tensor', safetensors(good, 16).slice(0, -1)],
])('tells a file cut short: %s', async (_, file) => {
  const error = await refusal(() => open(file))
  expect(error.code).toBe('file-truncated')
  expect(error.message).toContain('model.safetensors')
})

test('tells a file that shrank or vanished after opening', async () => {
  let state = 'whole'
  const wrap = (content: Blob): Bytes => ({
    size: content.size,
    slice: (start, end) => wrap(content.slice(start, state === 'short' ? end - 1 : end)),
    arrayBuffer: () => (state === 'gone' ? Promise.reject(new Error('The file is gone.')) : content.arrayBuffer()),
  })
  const checkpoint = await openCheckpoint(new Map([['model.safetensors', wrap(new Blob([safetensors(good, 16)]))]]))
  for (state of ['short', 'gone']) {
    const error = await refusal(() => checkpoint.read('a'))
    expect(error.code).toBe('file-truncated')
    expect(error.message).toContain('a in model.safetensors')
  }
})

const tensor = (name: string) => safetensors({ [name]: { dtype: 'U8', shape: [1], data_offsets: [0, 1] } }, 1)

test('opens the shards of an index, and only those', async () => {
  const checkpoint = await openCheckpoint(
    memoryFiles([
      ['model.safetensors.index.json', index({ a: 'x.safetensors', b: 'y.safetensors' })],
      ['x.safetensors', tensor('a')],
      ['y.safetensors', tensor('b')],
      ['consolidated.safetensors', tensor('a')],
    ]),
  )
  expect([...checkpoint.tensors.keys()].sort()).toEqual(['a', 'b'])
  expect(checkpoint.bytes).toBe(2)
})

test('merges loose files', async () => {
  const checkpoint = await openCheckpoint(memoryFiles([['x.safetensors', tensor('a')], ['y.safetensors', tensor('b')]])) // biome-ignore format: short
  expect([...checkpoint.tensors.values()].map(({ file }) => file)).toEqual(['x.safetensors', 'y.safetensors'])
})

test.each<[string, [string, string | Uint8Array<ArrayBuffer>][], string, string]>([
  ['a missing shard', [['model.safetensors.index.json', index({ a: 'x.safetensors' })]], 'file-missing', 'x.safetensors'],
  [
    'a tensor that its shard lacks',
    [
      ['model.safetensors.index.json', index({ a: 'x.safetensors', b: 'x.safetensors' })],
      ['x.safetensors', tensor('a')],
    ],
    'tensor-missing',
    'b is in x.safetensors',
  ],
  ['a shard in a parent folder', [['model.safetensors.index.json', index({ a: '../x.safetensors' })]], 'file-header', '"../x.safetensors"'],
  ['a shard by backslash', [['model.safetensors.index.json', index({ a: '..\\x.safetensors' })]], 'file-header', 'plain file name'],
  ['a shard of another kind', [['model.safetensors.index.json', index({ a: 'config.json' })]], 'file-header', 'plain file name'],
  ['a shard that is a number', [['model.safetensors.index.json', index({ a: 7 })]], 'file-header', 'plain file name'],
  ['an empty index', [['model.safetensors.index.json', index({})]], 'file-header', 'no tensors'],
  ['an index without a map', [['model.safetensors.index.json', '{"weight_map":[]}']], 'file-header', 'weight_map'],
  ['an index that is not JSON', [['model.safetensors.index.json', '<html>']], 'file-header', 'model.safetensors.index.json'],
  [
    'a tensor in two loose files',
    [
      ['x.safetensors', tensor('a')],
      ['y.safetensors', tensor('a')],
    ],
    'file-header',
    'both x.safetensors and y.safetensors',
  ],
  ['no weights', [['config.json', '{}']], 'file-missing', 'no .safetensors'],
  ['weights in a subfolder only', [['old/model.safetensors', tensor('a')]], 'file-missing', 'no .safetensors'],
  ['pickled weights only', [['pytorch_model.bin', 'PK']], 'file-missing', 'pytorch_model.bin'],
])('refuses a folder with %s', async (_, contents, code, message) => {
  const error = await refusal(() => openCheckpoint(memoryFiles(contents)))
  expect(error.code).toBe(code)
  expect(error.message).toContain(message)
})

test('a mutated header opens or is refused, and never breaks the reader', async () => {
  const seed = 20261122
  const next = random(seed)
  const pick = <T>(items: readonly T[]) => items[Math.floor(next() * items.length)]
  const numbers = [0, 1, -1, 0.5, 4, 8, 12, 16, 2 ** 31, 2 ** 32, 2 ** 53, 1e308, -(2 ** 53)]
  const odd = [null, true, '', 'F16', [], {}, [0], [0, 12], '__proto__', ...numbers]
  const names = ['a', 'b', '', '__proto__', '__metadata__', 'constructor', '\ud800', 'x'.repeat(300)]
  let opened = 0
  for (let round = 0; round < 4000; round++) {
    const header: Record<string, unknown> = structuredClone(good)
    let file: Uint8Array<ArrayBuffer>
    for (let edits = Math.floor(next() * 3); edits >= 0; edits--) {
      const entry = pick(Object.values(header)) as Record<string, unknown>
      const kind = next()
      if (kind < 0.2) Object.defineProperty(header, pick(names), { value: pick(odd), enumerable: true, writable: true, configurable: true })
      else if (kind < 0.3) delete header[pick(Object.keys(header))]
      else if (entry && typeof entry === 'object')
        entry[pick(['dtype', 'shape', 'data_offsets', 'more'])] = pick([...odd, [pick(numbers), pick(numbers)]])
    }
    if (next() < 0.5) file = safetensors(header, pick([0, 8, 16, 16, 16, 24]))
    else {
      let text = JSON.stringify(next() < 0.5 ? good : header)
      const at = Math.floor(next() * text.length)
      text =
        text.slice(0, at) +
        pick(['', '"', '}', ',', '{"a":', '\\', '9', '-', '\0', text.slice(at)]) +
        text.slice(at + Math.floor(next() * 4))
      file = safetensors(text, 16)
    }
    const cut = next()
    if (cut < 0.1) file = file.slice(0, Math.floor(next() * file.length))
    else if (cut < 0.3) file[Math.floor(next() * file.length)] ^= 1 << Math.floor(next() * 8)
    try {
      const checkpoint = await open(file)
      for (const { name, bytes } of checkpoint.tensors.values()) expect((await checkpoint.read(name)).length).toBe(bytes)
      opened++
    } catch (error) {
      if (!(error instanceof WorkbenchError) || error.code === 'internal')
        throw new Error(`Seed ${seed}, round ${round}: ${error}`, { cause: error })
    }
  }
  expect(opened).toBeGreaterThan(50)
  expect(opened).toBeLessThan(3900)
})

// ---------------------------------------------------------------- writing

const bytes = (length: number, from = 0) => Uint8Array.from({ length }, (_, i) => (from + i * 7) % 251)

test('writes one file when all fits, with a header padded to 8 bytes', async () => {
  const sink = memorySink()
  const writer = new CheckpointWriter(sink, [{ name: 'a', dtype: 'F16', shape: [3] }])
  await writer.write('a', bytes(6))
  expect(await writer.finish()).toEqual([{ path: 'model.safetensors', bytes: writer.plan.bytes }])
  const file = sink.files.get('model.safetensors')!
  const length = Number(new DataView(file.buffer).getBigUint64(0, true))
  expect(length % 8).toBe(0)
  expect(new TextDecoder().decode(file.slice(8, 8 + length)).trimEnd()).toBe(
    '{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[3],"data_offsets":[0,6]}}',
  )
  expect(file.slice(8 + length)).toEqual(bytes(6))
})

test('plans shards in order, names them, and indexes them', async () => {
  const plan = planCheckpoint(
    [4, 4, 4, 20].map((size, i) => ({ name: `t${i}`, dtype: 'U8', shape: [size] })),
    10,
  )
  expect(plan.shards.map(({ path, tensors }) => [path, tensors.map(({ name }) => name).join()])).toEqual([
    ['model-00001-of-00003.safetensors', 't0,t1'],
    ['model-00002-of-00003.safetensors', 't2'],
    ['model-00003-of-00003.safetensors', 't3'],
  ])
  expect(JSON.parse(plan.index!)).toEqual({
    metadata: { total_size: 32 },
    weight_map: {
      t0: 'model-00001-of-00003.safetensors',
      t1: 'model-00001-of-00003.safetensors',
      t2: 'model-00002-of-00003.safetensors',
      t3: 'model-00003-of-00003.safetensors',
    },
  })
})

test('whatever is written in whatever pieces and order reads back', async () => {
  const spec = fc.record({ dtype: fc.constantFrom('F32', 'F16', 'I32', 'U8', 'BOOL'), shape: fc.array(fc.nat(5), { maxLength: 3 }) })
  await fc.assert(
    fc.asyncProperty(
      fc.array(spec, { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 200 }),
      fc.infiniteStream(fc.nat(50)),
      async (specs, shardBytes, stream) => {
        const tensors = specs.map((tensor, i) => ({ ...tensor, name: `t.${i}` }) as TensorSpec)
        const sink = memorySink()
        const writer = new CheckpointWriter(sink, tensors, { shardBytes })
        const contents = new Map<string, Uint8Array>()
        const pieces: [string, Uint8Array, number][] = []
        for (const shard of writer.plan.shards) {
          const sizes = { F32: 4, F16: 2, I32: 4, U8: 1, BOOL: 1 } as Record<string, number>
          for (const { name, shape, dtype } of shard.tensors) {
            const content = bytes(
              shape.reduce((a, b) => a * b, sizes[dtype]),
              contents.size,
            )
            contents.set(name, content)
            for (let at = 0; at < content.length; ) {
              const end = Math.min(content.length, at + 1 + stream.next().value)
              pieces.push([name, content.subarray(at, end), at])
              at = end
            }
          }
        }
        pieces.sort((a, b) => ((a[1][0] * 31 + a[2]) % 17) - ((b[1][0] * 31 + b[2]) % 17))
        await Promise.all(pieces.map(([name, data, at]) => writer.write(name, data, at)))
        const files = await writer.finish()
        expect(files.reduce((sum, file) => sum + file.bytes, 0)).toBe(writer.plan.bytes)
        for (const { path, bytes } of files) expect(sink.files.get(path)?.length).toBe(bytes)
        const checkpoint = await openCheckpoint(memoryFiles(sink.files))
        for (const tensor of tensors) {
          expect(checkpoint.tensors.get(tensor.name)).toMatchObject(tensor)
          expect(await checkpoint.read(tensor.name)).toEqual(contents.get(tensor.name))
        }
      },
    ),
    { numRuns: 60 },
  )
})

test('does not finish while a byte is missing, and counts no byte twice', async () => {
  const writer = new CheckpointWriter(memorySink(), [{ name: 'a', dtype: 'U8', shape: [10] }])
  await writer.write('a', bytes(4), 0)
  await writer.write('a', bytes(4), 2)
  await writer.write('a', bytes(2), 8)
  await expect(writer.finish()).rejects.toThrow('a is incomplete: 8 of 10')
  await writer.write('a', bytes(3), 5)
  expect(await writer.finish()).toHaveLength(1)
})

test('refuses what was not planned', async () => {
  const spec: TensorSpec = { name: 'a', dtype: 'U8', shape: [4] }
  const writer = new CheckpointWriter(memorySink(), [spec])
  await expect(writer.write('b', bytes(1))).rejects.toThrow('was not planned')
  await expect(writer.write('a', bytes(2), 3)).rejects.toThrow('which has 4')
  await expect(writer.writeFile('../x', new Blob([]))).rejects.toThrow('only dots')
  await expect(writer.writeFile('model.safetensors', new Blob([]))).rejects.toThrow('twice')
  expect(() => planCheckpoint([spec, spec])).toThrow('twice')
})

test('copies other files byte for byte, in chunks', async () => {
  const sink = memorySink()
  const writer = new CheckpointWriter(sink, [{ name: 'a', dtype: 'U8', shape: [0] }])
  const content = bytes((8 << 20) + 5)
  await writer.writeFile('tokenizer.json', new Blob([content]))
  await writer.writeFile('empty.txt', new Blob([]))
  expect((await writer.finish()).map(({ path }) => path)).toEqual(['model.safetensors', 'tokenizer.json', 'empty.txt'])
  expect(sink.files.get('tokenizer.json')?.every((value, i) => value === content[i])).toBe(true)
  expect((await openCheckpoint(memoryFiles(sink.files))).tensors.get('a')?.bytes).toBe(0)
})

test('takes types that it does not know as they are, and no metadata for none', async () => {
  const header = { __metadata__: null, ...one({ dtype: 'F31' }), b: { dtype: 'toString', shape: [3], data_offsets: [8, 9] } }
  const { tensors } = await open(safetensors(header, 9))
  expect([...tensors.values()].map(({ dtype, bytes }) => [dtype, bytes])).toEqual([['F31', 8], ['toString', 1]]) // biome-ignore format: short
  const sink = memorySink()
  const writer = new CheckpointWriter(sink, tensors.values())
  for (const { name, bytes } of tensors.values()) await writer.write(name, new Uint8Array(bytes).fill(7))
  await writer.finish()
  const copy = await openCheckpoint(memoryFiles(sink.files))
  expect([...copy.tensors.values()].map(({ name, dtype, bytes }) => [name, dtype, bytes])).toEqual([['a', 'F31', 8], ['b', 'toString', 1]]) // biome-ignore format: short
})
