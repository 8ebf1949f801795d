/** The layout is held to what the mlx package packs and makes of it (e2e/oracle/make_mlx.py). */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { SolvedLinear } from '../../quant/linear.ts'
import { putBits } from '../bits.ts'
import { openFolder } from '../folder.ts'
import { f16ToF32 } from '../half.ts'
import { memoryFiles, memorySink } from '../memory.ts'
import { type Checkpoint, openCheckpoint } from '../safetensors.ts'
import { refusal, safetensors } from '../testing.ts'
import type { ExportPlan, ExportSettings } from './format.ts'
import { encodeMlx, mlx } from './mlx.ts'
import { someModel } from './testing.ts'

const golden = await openCheckpoint(memoryFiles([['mlx.safetensors', await readFile('src/io/formats/fixtures/mlx.safetensors')]]))
const [q, p] = [3, 128]

const settings = (change: Partial<ExportSettings>) =>
  ({ bits: 4, actOrder: false, symmetric: false, groupSize: 32, ...change }) as ExportSettings
const cases = ([2, 3, 4, 5, 8] as const).flatMap((bits) => [32, 64, 128].map((group) => [bits, group] as const))

/** A recorded linear as a solver leaves it, and what MLX has of it. */
async function recorded(checkpoint: Checkpoint, bits: SolvedLinear['bits'], group: number) {
  const read = (name: string) => checkpoint.read(`${bits}.${group}.${name}`)
  const [codes, zeros, words, scales, biases, weights] = await Promise.all(
    ['codes', 'zeros', 'words', 'scales', 'biases', 'weights'].map(read),
  )
  const groups = p / group
  const columns = Array.from({ length: q }, (_, n) => {
    const stream = new Uint32Array((p * bits) / 32)
    for (let k = 0; k < p; k++) putBits(stream, k * bits, bits, codes[n * p + k])
    return stream
  })
  const packed = Uint32Array.from({ length: (q * p * bits) / 32 }, (_, i) => columns[i % q][Math.floor(i / q)])
  const values = f16ToF32(new Uint16Array(scales.buffer))
  const grid = new Float32Array(2 * groups * q)
  for (let g = 0; g < groups; g++) {
    for (let n = 0; n < q; n++) grid.set([values[n * groups + g], zeros[n * groups + g]], 2 * (g * q + n))
  }
  const groupIndex = Int32Array.from({ length: p }, (_, k) => Math.floor(k / group))
  const solved: SolvedLinear = { bits, q, p, groupSize: group, groups, codes: packed, grid, groupIndex, outliers: null }
  return { solved, codes, zeros, words, scales, biases, weights: new Float32Array(weights.buffer) }
}

test.each(cases)('%i bits in groups of %i are the bytes that MLX packs', async (bits, group) => {
  const { solved, words, scales, biases, codes, weights } = await recorded(golden, bits, group)
  const tensors = encodeMlx('m', solved, settings({ bits, groupSize: group, dtype: 'F16' }))
  expect([...tensors.keys()]).toEqual(['m.weight', 'm.scales', 'm.biases'])
  expect(tensors.get('m.weight')).toEqual(words)
  if (bits < 8) expect([tensors.get('m.scales'), tensors.get('m.biases')]).toEqual([scales, biases])
  // In float32 nothing is rounded: it is what the solver chose, and MLX's own figure differs by its rounded minimum only.
  const exact = encodeMlx('m', solved, settings({ bits, groupSize: group, dtype: 'BF16' }))
  const [s, b] = ['m.scales', 'm.biases'].map((name) => new Float32Array(exact.get(name)!.buffer))
  for (const [i, weight] of weights.entries()) {
    const cell = Math.floor(i / group)
    const [n, g] = [Math.floor(i / p), Math.floor((i % p) / group)]
    const [scale, zero] = [solved.grid[2 * (g * q + n)], solved.grid[2 * (g * q + n) + 1]]
    expect(s[cell]).toBe(scale)
    // A float16 scale times an integer of 8 bits fits float32.
    expect(b[cell]).toBe(-scale * zero)
    const step = (weight - (s[cell] * codes[i] + b[cell])) / scale
    expect(Math.abs(step)).toBeLessThanOrEqual((2 ** bits - 1) * 2 ** -11 + 1e-5)
  }
})

test('a full row repeats its scale over the largest groups that divide it, and groups that are cut become smaller ones', async () => {
  const { solved } = await recorded(golden, 4, 128)
  const row = { ...solved, groupSize: p }
  const one = encodeMlx('m', row, settings({ groupSize: -1, dtype: 'F16' }))
  expect(one.get('m.scales')).toEqual(encodeMlx('m', solved, settings({ groupSize: 128, dtype: 'F16' })).get('m.scales'))
  const short = { ...(await recorded(golden, 4, 64)).solved, p: 96, codes: solved.codes.slice(0, 12 * q), groupIndex: solved.groupIndex }
  short.groupIndex = Int32Array.from({ length: 96 }, (_, k) => Math.floor(k / 64))
  const scales = new Uint16Array(encodeMlx('m', short, settings({ groupSize: 64, dtype: 'F16' })).get('m.scales')!.buffer)
  expect(scales.length).toBe(3 * q)
  for (let n = 0; n < q; n++) expect(scales[3 * n]).toBe(scales[3 * n + 1])
})

const linears = (...sizes: number[]) =>
  sizes.map((size, i) => ({ name: `model.layers.0.l${i}`, q, p: size, bits: 4 as const, groups: 1, dtype: 'F16' as const }))
const planOf = (change: Partial<ExportSettings>, sizes: number[]): ExportPlan => ({
  settings: settings({ bits: 4, dtype: 'F16', dynamicSkips: [], ...change }),
  linears: linears(...sizes),
  levels: 'uniform',
  outliers: false,
  copied: [],
  changed: [],
  decoder: null,
  model: someModel,
})

test.each([
  [planOf({}, [64, 96]), null],
  [planOf({ groupSize: 64 }, [64, 96]), null],
  [planOf({ groupSize: -1 }, [64, 160]), null],
  [planOf({ groupSize: -1 }, [64, 172]), /l1 has 172 inputs/],
  [planOf({ groupSize: 16 }, [64]), /not support groups of 16/],
  [planOf({ actOrder: true }, [64]), /no group index/],
  [{ ...planOf({}, [64]), outliers: true }, /cannot store outliers/],
  [{ ...planOf({}, [64]), levels: 'powers' }, /uniform/],
])('plan %#: refused before it starts where MLX has no way to hold it', (plan, why) => {
  const refused = mlx.accepts(plan)
  if (!why) expect(refused).toBeNull()
  else expect(refused).toEqual({ why: expect.stringMatching(why), instead: expect.stringMatching(/\.$/) })
})

test('says what is rounded, and where MLX will compute in float32', () => {
  const said = (change: Partial<ExportSettings>) => mlx.remarks(planOf(change, [64])).map(({ message }) => message)
  expect(said({})).toEqual([expect.stringContaining('at most 0.73 % of a step')])
  expect(said({ bits: 2 })).toEqual([expect.stringContaining('at most 0.15 % of a step')])
  expect(said({ bits: 8 })).toEqual([expect.stringMatching(/float32.*float16/)])
  expect(said({ symmetric: true })).toEqual([])
  expect(said({ dtype: 'BF16' })).toEqual([expect.stringContaining('float32')])
  expect(said({ dtype: 'F32' })).toEqual([])
  expect(mlx.compatibility(planOf({}, [64]))[0]).toMatchObject({ runtime: 'mlx-lm', loads: true })
  expect(mlx.compatibility(planOf({}, [64]), { 'mlx-lm': 'No: why.' })[0]).toEqual({ runtime: 'mlx-lm', loads: false, note: 'No: why.' })
  const bare = { ...planOf({}, [64]), linears: [{ ...linears(64)[0], name: 'layers.0.x' }] }
  expect(mlx.compatibility(bare)[0]).toMatchObject({ loads: false, note: expect.stringContaining('layers.0.x') })
})

test.each([
  ['{"rope_theta": 5, "rope_parameters": {"rope_theta": 5, "rope_type": "default"}}', {}],
  ['{"rope_parameters": {"rope_theta": 5, "rope_type": "default"}}', { rope_theta: 5 }],
  [
    '{"rope_parameters": {"rope_theta": 5, "rope_type": "linear", "factor": 2}}',
    { rope_theta: 5, rope_scaling: { rope_theta: 5, rope_type: 'linear', factor: 2 } },
  ],
  [
    '{"layer_types": ["sliding_attention", "full_attention"], "rope_parameters": {"full_attention": {"rope_theta": 7, "rope_type": "default"}, "sliding_attention": {"rope_theta": 5}}}',
    { rope_theta: 7, rope_local_base_freq: 5, sliding_window_pattern: 2 },
  ],
  [
    '{"text_config": {"hidden_size": 8, "rope_parameters": {"rope_theta": 5, "rope_type": "default"}}}',
    { text_config: { hidden_size: 8, rope_parameters: { rope_theta: 5, rope_type: 'default' }, rope_theta: 5 } },
  ],
])('positions are spelled as mlx-lm reads them: %s', async (config, added) => {
  const sink = memorySink()
  const tensor = safetensors({ x: { dtype: 'F16', shape: [2], data_offsets: [0, 4] } }, 4)
  const model = await openFolder(
    memoryFiles([
      ['config.json', config],
      ['model.safetensors', tensor],
    ]),
  )
  const plan = planOf({}, [64])
  const stream = mlx.write({ ...plan, linears: [], copied: [{ name: 'x', dtype: 'F16', shape: [2] }] }, model, sink)
  await stream.copy(async () => {})
  await stream.finish(1)
  const {
    quantization: _,
    quantization_config: __,
    torch_dtype: ___,
    ...rest
  } = JSON.parse(new TextDecoder().decode(sink.files.get('config.json')))
  expect(rest).toEqual({ ...JSON.parse(config), ...added })
})

test('a minimum beyond float16 is refused', async () => {
  const { solved } = await recorded(golden, 4, 128)
  const wide = { ...solved, grid: solved.grid.map((value, i) => (i & 1 ? 15 : 6e4 + value)) }
  const error = await refusal(() => encodeMlx('m', wide, settings({ groupSize: 128, dtype: 'F16' })))
  expect([error.code, error.message]).toEqual(['weights-not-finite', expect.stringContaining('m has a group whose minimum is -')])
})

test('a folder names what differs from linear to linear, reads back, and a changed byte is found', async () => {
  const plan = planOf({ groupSize: 64 }, [128, 96, 64])
  plan.settings = settings({ bits: 4, dtype: 'F16', groupSize: 64 })
  const model = await openFolder(
    memoryFiles([
      ['config.json', '{"model_type": "llama", "torch_dtype": "float16"}'],
      ['model.safetensors', safetensors({ x: { dtype: 'F16', shape: [2], data_offsets: [0, 4] } }, 4)],
    ]),
  )
  const write = async () => {
    const sink = memorySink()
    const stream = mlx.write(plan, model, sink)
    await stream.copy(async () => {})
    for (const { name, p: own } of plan.linears) {
      const { solved } = await recorded(golden, 4, 64)
      const groupIndex = Int32Array.from({ length: own }, (_, k) => Math.floor(k / 64))
      await stream.linear(
        name,
        { ...solved, p: own, codes: solved.codes.slice(0, (own / 8) * q), groupIndex },
        async () => new Float32Array(),
      )
    }
    await stream.finish(1)
    return { sink, stream }
  }
  const { sink, stream } = await write()
  const { quantization, quantization_config } = JSON.parse(new TextDecoder().decode(sink.files.get('config.json')))
  expect(quantization).toEqual({
    group_size: 64,
    bits: 4,
    mode: 'affine',
    'model.layers.0.l1': { group_size: 32, bits: 4, mode: 'affine' },
  })
  expect(quantization_config).toEqual(quantization)
  await stream.verify(async () => {})
  const file = sink.files.get('model.safetensors')!
  file[file.length - 1] ^= 1
  expect(await refusal(() => stream.verify(async () => {}))).toMatchObject({ code: 'storage-failed' })
})

test('the types of GGUF with blocks of 32 are stored as they are, for an embedding so that MLX unpacks it exactly', async () => {
  const { solved } = await recorded(golden, 5, 32)
  // W = scale · (code − 16), the scale of either sign.
  const signed = { ...solved, levels: 'signed', grid: solved.grid.map((x, i) => (i & 1 ? 16 * solved.grid[i - 1] : -x)) }
  const own = settings({ bits: 5, symmetric: true, dtype: 'BF16' })
  const biases = encodeMlx('m', signed, own).get('m.biases')!
  expect(f16ToF32(new Uint16Array(biases.buffer))[0]).toBe(signed.grid[1])
  const picked = encodeMlx('m', signed, { ...own, picked: true })
  expect(new Float32Array(picked.get('m.biases')!.buffer)[0]).toBe(signed.grid[1])
  expect(encodeMlx('m', signed, { ...own, dtype: 'F16', picked: true }).get('m.scales')!.length).toBe((2 * (q * p)) / 32)
})
