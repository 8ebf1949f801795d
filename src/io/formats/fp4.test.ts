/** FP4 in the files of compressed-tensors, against bytes of its own (e2e/oracle/make_fp4.py), and in blocks of GGUF. */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { SolvedLinear } from '../../quant/linear.ts'
import { compressedConfig, compressedLayout, compressedTensors } from './compressed-tensors.ts'
import type { ExportPlan, ExportSettings } from './format.ts'
import { f32ToBf16 } from '../half.ts'
import { memoryFiles } from '../memory.ts'
import { openCheckpoint } from '../safetensors.ts'
import { readPacking } from './read.ts'
import { packNvfp4 } from './gguf/nvfp4.ts'
import { packBlocks } from './gguf/blocks.ts'
import { someModel } from './testing.ts'

const [q, p] = [3, 64]
const code = (row: number, k: number) => (row * 7 + k * 5) % 16
const exponent = (row: number, group: number) => 120 - 3 * row + group
const codes = new Uint32Array((p / 8) * q)
for (let row = 0; row < q; row++) for (let k = 0; k < p; k++) codes[(k >> 3) * q + row] |= code(row, k) << (4 * (k & 7))
const solved: SolvedLinear = {
  ...{ levels: 'mxfp4', bits: 4, q, p, groupSize: 32, groups: 2, codes, outliers: null },
  grid: Float32Array.from({ length: 4 * q }, (_, i) => (i & 1 ? 0 : 2 ** (exponent((i >> 1) % q, Math.floor(i / 2 / q)) - 127))),
  groupIndex: Int32Array.from({ length: p }, (_, k) => k >> 5),
}
const settings = { bits: 4, groupSize: 32, symmetric: true, actOrder: false, dynamicSkips: [], dtype: 'F16' } as unknown as ExportSettings

test('compressed-tensors has two numbers a byte, and exponents', async () => {
  const { tensors } = await compressedLayout.encode(
    { name: 'l', solved, weights: () => Promise.reject(new Error('not asked for')) },
    settings,
  )
  expect([...tensors.keys()]).toEqual(['l.weight_packed', 'l.weight_scale'])
  const rows = Array.from({ length: q }, (_, row) => row)
  expect([...tensors.get('l.weight_packed')!]).toEqual(
    rows.flatMap((row) => Array.from({ length: p / 2 }, (_, j) => code(row, 2 * j) | (code(row, 2 * j + 1) << 4))),
  )
  expect([...tensors.get('l.weight_scale')!]).toEqual(rows.flatMap((row) => [exponent(row, 0), exponent(row, 1)]))
  await expect(
    compressedLayout.encode(
      { name: 'l', solved: { ...solved, grid: solved.grid.map((x) => x * 1.5) }, weights: () => Promise.reject() },
      settings,
    ),
  ).rejects.toThrow('no power of two')
})

const fixture = await readFile(new URL('./fixtures/fp4.safetensors', import.meta.url))
const checkpoint = await openCheckpoint(memoryFiles([['model.safetensors', fixture]]))
const blocks = { mxfp4: 32, nvfp4: 16 }
const planOf = (levels: 'mxfp4' | 'nvfp4', p = 96) =>
  ({
    settings: { ...settings, groupSize: blocks[levels] },
    levels,
    outliers: false,
    copied: [],
    linears: [{ name: 'l', q: 8, p, bits: 4, groups: Math.ceil(p / blocks[levels]), dtype: 'F16' }],
    changed: [],
    decoder: null,
    model: someModel,
  }) as ExportPlan
const readAs = (levels: 'mxfp4' | 'nvfp4') =>
  readPacking([{ file: 'config.json', path: 'quantization_config.', value: compressedConfig(planOf(levels)) }])

test.each([
  ['mxfp4', 'mxfp4', 6, 96],
  ['nvfp4', 'nvfp4', 8, 80],
  ['nvfp4-other', 'nvfp4', 8, 32],
] as const)('%s is read as compressed-tensors unpacks it, and written in its bytes', async (name, levels, q, p) => {
  const packing = readAs(levels)
  expect(packing).toMatchObject({ bits: 4, groupSize: blocks[levels], symmetric: true })
  const read = await packing.read(checkpoint, name, { q, p })
  const table = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
  const values = Float32Array.from({ length: q * p }, (_, i) => {
    const [n, k] = [Math.floor(i / p), i % p]
    const bits = (read.codes[(k >> 3) * q + n] >>> (4 * (k & 7))) & 15
    const scale = read.grid[2 * (read.groupIndex[k] * q + n)]
    return (bits & 8 ? -scale : scale) * table[bits & 7]
  })
  const expected = await checkpoint.read(`${name}.expected`)
  expect(f32ToBf16(values)).toEqual(new Uint16Array(expected.slice().buffer))
  // Of others, block scales divided by what is no power of two are no numbers of FP8 any more.
  if (name === 'nvfp4-other') return
  const { tensors } = await compressedLayout.encode({ name, solved: read, weights: () => Promise.reject() }, settings)
  expect([...tensors.keys()]).toEqual(packing.tensors(checkpoint, name, { q, p }))
  for (const [tensor, bytes] of tensors) expect(bytes, tensor).toEqual(new Uint8Array(await checkpoint.read(tensor)))
})

test('configs name the format, and rows that blocks do not divide are refused', () => {
  expect(compressedTensors.accepts(planOf('mxfp4'))).toBeNull()
  expect(compressedConfig(planOf('mxfp4'))).toMatchObject({
    format: 'mxfp4-pack-quantized',
    config_groups: { group_0: { weights: { num_bits: 4, type: 'float', group_size: 32, strategy: 'group', scale_dtype: 'torch.uint8' } } },
  })
  expect(compressedTensors.accepts(planOf('nvfp4', 48))).toBeNull()
  expect(compressedConfig(planOf('nvfp4'))).toMatchObject({
    format: 'nvfp4-pack-quantized',
    config_groups: { group_0: { weights: { group_size: 16, strategy: 'tensor_group', scale_dtype: 'torch.float8_e4m3fn' } } },
  })
  expect(compressedTensors.accepts(planOf('mxfp4', 48))?.instead).toContain('NVFP4')
  expect(compressedTensors.accepts(planOf('nvfp4', 40))).toMatchObject({
    why: 'l has 40 inputs, which the blocks of 16 of NVFP4 do not divide.',
  })
  expect(compressedTensors.compatibility(planOf('nvfp4')).every(({ loads }) => loads)).toBe(true)
})

test('beside integers it is refused', () => {
  const linear = { name: 'a', q: 32, p: 64, bits: 4 as const, groups: 2, dtype: 'F16' as const }
  const linears = [
    { ...linear, levels: 'mxfp4' },
    { ...linear, name: 'b', levels: 'uniform' },
  ]
  const plan = {
    settings,
    levels: 'mxfp4',
    outliers: false,
    copied: [],
    linears,
    changed: [],
    decoder: null,
    model: someModel,
  } as ExportPlan
  expect(compressedTensors.accepts(plan)?.why).toContain('either integers, MXFP4 or NVFP4')
})

test('GGUF has blocks of an exponent and 16 bytes', () => {
  const bytes = packBlocks(solved, true, null, 'l')
  expect(bytes.length).toBe(q * 2 * 17)
  for (let row = 0; row < q; row++)
    for (let block = 0; block < 2; block++) {
      const [first, ...rest] = bytes.subarray((2 * row + block) * 17, (2 * row + block + 1) * 17)
      expect(first).toBe(exponent(row, block))
      expect(rest).toEqual(Array.from({ length: 16 }, (_, j) => code(row, 32 * block + j) | (code(row, 32 * block + j + 16) << 4)))
    }
})

test('GGUF has blocks of NVFP4 of four scales and 32 bytes, beside the scale of the tensor', async () => {
  const [name, q, p] = ['nvfp4', 8, 64]
  const wide = await readAs('nvfp4').read(checkpoint, name, { q, p: 80 })
  const cut = { ...wide, p, groups: 4, codes: wide.codes.subarray(0, 8 * q), grid: wide.grid.subarray(0, 8 * q) }
  const { bytes, scale } = packNvfp4(cut, null, name, null)
  const [packed, scales] = await Promise.all(['weight_packed', 'weight_scale'].map((part) => checkpoint.read(`${name}.${part}`)))
  const four = (row: number, k: number) => (packed[(row * 80 + k) >> 1] >> (4 * (k & 1))) & 15
  expect(scale[0]).toBe(2 ** -13)
  expect([...bytes]).toEqual(
    Array.from({ length: q }, (_, row) => [
      ...scales.subarray(5 * row, 5 * row + 4),
      ...Array.from({ length: 32 }, (_, j) => [row, 16 * (j >> 3) + (j & 7)]).map(([n, k]) => four(n, k) | (four(n, k + 8) << 4)),
    ]).flat(),
  )
})
