import { expect, test } from 'vitest'
import { random } from '../../data/corpus.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import { putBits } from '../bits.ts'
import { openFolder } from '../folder.ts'
import { f16ToF32 } from '../half.ts'
import { memoryFiles, memorySink } from '../memory.ts'
import { packSafetensors } from '../safetensors.ts'
import { refusal, safetensors } from '../testing.ts'
import type { ExportPlan, ExportSettings } from './format.ts'
import { encodeSidecar, readSidecar, sidecar } from './sidecar.ts'
import { someModel } from './testing.ts'

interface Shape {
  bits: SolvedLinear['bits']
  q: number
  p: number
  groupSize: number
  ordered?: boolean
  real?: boolean
  sparse?: 'half' | 'float'
}

/** A random linear; outliers in an order of the solver's: by columns. */
function linear({ bits, q, p, groupSize, ordered, real, sparse }: Shape, seed = 5): SolvedLinear {
  const next = random(seed)
  const groups = Math.ceil(p / groupSize)
  const codes = new Uint32Array(Math.ceil((p * bits) / 32) * q)
  for (let n = 0; n < q; n++) {
    const stream = new Uint32Array(codes.length / q)
    for (let k = 0; k < p; k++) putBits(stream, k * bits, bits, Math.floor(next() * 2 ** bits))
    stream.forEach((word, i) => {
      codes[i * q + n] = word
    })
  }
  const halves = f16ToF32(Uint16Array.from({ length: groups * q }, () => 0x2000 + Math.floor(next() * 0x1000)))
  const zero = () => (real ? next() * 7 - 1 : Math.floor(next() * 2 ** bits))
  const grid = Float32Array.from({ length: 2 * groups * q }, (_, i) => (i & 1 ? zero() : halves[i >> 1]))
  const groupIndex = Int32Array.from({ length: p }, (_, k) => (ordered ? (k * 7) % groups : Math.floor(k / groupSize)))
  const at = Uint32Array.from(Array.from({ length: p * q }, (_, i) => i).filter(() => next() < 0.03))
  const outliers = sparse
    ? { at, values: Float32Array.from(at, () => (sparse === 'half' ? Math.floor(next() * 9) / 8 - 0.5 : next())) }
    : null
  return { bits, q, p, groupSize, groups, codes, grid, groupIndex, outliers }
}

test.each<Shape>([
  { bits: 3, q: 8, p: 40, groupSize: 40 },
  { bits: 2, q: 4, p: 72, groupSize: 16, real: true, sparse: 'float' },
  { bits: 4, q: 6, p: 64, groupSize: 32, ordered: true, sparse: 'half' },
  { bits: 8, q: 5, p: 33, groupSize: 32, sparse: 'float' },
])('%j reads back as it was solved, in no more than it needs', async (shape) => {
  const solved = linear(shape)
  const tensors = encodeSidecar(solved)
  const types = Object.fromEntries(tensors.map(([{ name, dtype }]) => [name, dtype]))
  expect(types.scales).toBe('F16')
  expect(types.zeros).toBe(shape.real ? 'F32' : 'U8')
  expect('group_index' in types).toBe(shape.ordered === true)
  expect(types.outlier_values).toBe(shape.sparse && { half: 'F16', float: 'F32' }[shape.sparse])
  expect(await readSidecar(packSafetensors(tensors))).toEqual(solved)
})

test('a file that is not such a linear reads as none', async () => {
  const [layout, codes, ...rest] = encodeSidecar(linear({ bits: 4, q: 4, p: 32, groupSize: 32 }))
  expect(await readSidecar(packSafetensors([codes, ...rest]))).toBeNull()
  const long = new Uint8Array(new Int32Array([8, 32, 4, 32]).buffer)
  expect(await readSidecar(packSafetensors([[layout[0], long], codes, ...rest]))).toBeNull()
})

test('a folder is told its size, holds loader and schema, reads back, and a changed byte is found', async () => {
  const solved = linear({ bits: 3, q: 8, p: 64, groupSize: 16, real: true, sparse: 'float' })
  const plan: ExportPlan = {
    settings: { bits: 3, groupSize: 16, dtype: 'F16', method: 'spqr' } as ExportSettings,
    linears: [{ name: 'm.x', q: 8, p: 64, bits: 3, groups: 4, dtype: 'F16', outliers: solved.outliers!.at.length }],
    levels: 'uniform',
    outliers: true,
    copied: [{ name: 'x', dtype: 'F16', shape: [2] }],
    changed: [],
    decoder: null,
    model: someModel,
  }
  const model = await openFolder(
    memoryFiles([
      ['config.json', '{"model_type": "llama"}'],
      ['model.safetensors', safetensors({ x: { dtype: 'F16', shape: [2], data_offsets: [0, 4] } }, 4)],
    ]),
  )
  const sink = memorySink()
  const stream = sidecar.write(plan, model, sink)
  await stream.copy(async () => {})
  await stream.linear('m.x', solved, async () => new Float32Array())
  const files = await stream.finish(1)
  expect(files.map(({ path }) => path).sort()).toEqual(
    ['FORMAT.md', 'config.json', 'loader.py', 'model.safetensors', 'quantized/m.x.safetensors'].sort(),
  )
  const written = files.filter(({ path }) => path.endsWith('.safetensors')).reduce((sum, { bytes }) => sum + bytes, 0)
  expect(sidecar.bytes(plan)).toBeGreaterThanOrEqual(written)
  expect(sidecar.bytes(plan)).toBeLessThan(written + 1000)
  expect(sidecar.accepts(plan)).toBeNull()
  expect(sidecar.accepts({ ...plan, levels: 'powers' })?.why).toContain('uniform integer grids only, not POWERS')
  await stream.verify(async () => {})
  const file = sink.files.get('quantized/m.x.safetensors')!
  file[file.length - 1] ^= 1
  expect(await refusal(() => stream.verify(async () => {}))).toMatchObject({ code: 'storage-failed' })
})
