/** MXFP4 in the files of compressed-tensors and in blocks of GGUF; what both libraries read of them is in e2e/oracle/check_types.py. */
import { expect, test } from 'vitest'
import type { SolvedLinear } from '../../quant/linear.ts'
import { compressedConfig, compressedLayout, compressedTensors } from './compressed-tensors.ts'
import type { ExportPlan, ExportSettings } from './format.ts'
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

test('its config names the format', () => {
  const plan = {
    settings,
    levels: 'mxfp4',
    outliers: false,
    copied: [],
    linears: [],
    changed: [],
    decoder: null,
    model: someModel,
  } as ExportPlan
  expect(compressedTensors.accepts(plan)).toBeNull()
  expect(compressedConfig(plan)).toMatchObject({
    format: 'mxfp4-pack-quantized',
    config_groups: { group_0: { weights: { num_bits: 4, type: 'float', group_size: 32, symmetric: true, scale_dtype: 'torch.uint8' } } },
  })
  expect(compressedTensors.compatibility(plan).find(({ runtime }) => runtime === 'QuantEase Workbench')?.loads).toBe(false)
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
  expect(compressedTensors.accepts(plan)?.why).toContain('either integers or MXFP4')
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
