/** Layouts of other programs against bytes that their own packages wrote (e2e/oracle/make_packed.py). */
import { readFile } from 'node:fs/promises'
import { describe, expect, it, test } from 'vitest'
import type { SolvedLinear } from '../../quant/linear.ts'
import { getBits } from '../bits.ts'
import { memoryFiles } from '../memory.ts'
import { type Checkpoint, openCheckpoint } from '../safetensors.ts'
import { refusal } from '../testing.ts'
import { awqConfig, awqGemm, awqLayout } from './awq.ts'
import { compressedConfig, compressedLayout, compressedTensors } from './compressed-tensors.ts'
import type { ExportPlan, ExportSettings } from './format.ts'
import { someModel } from './testing.ts'
import { readPacking } from './read.ts'

interface Case {
  name: string
  layout: string
  bits: SolvedLinear['bits']
  q: number
  p: number
  groupSize: number
  symmetric: boolean
}
const fixture = (name: string) => readFile(new URL(`./fixtures/${name}`, import.meta.url))
const cases: Case[] = JSON.parse(String(await fixture('packed.json')))
const checkpoint = await openCheckpoint(memoryFiles([['model.safetensors', await fixture('packed.safetensors')]]))

const settings: ExportSettings = {
  bits: 4,
  groupSize: 32,
  actOrder: false,
  symmetric: true,
  trueSequential: true,
  method: 'rtn',
  iterations: 0,
  mse: 0,
  staticGroups: false,
  dynamicSkips: [],
  dtype: 'F16',
}

function planOf(changes: Partial<ExportSettings>, shapes = [{ name: 'x', q: 64, p: 64 }], more: Partial<ExportPlan> = {}): ExportPlan {
  const own = { ...settings, ...changes }
  const linears = shapes.map((shape) => ({ ...shape, bits: own.bits, dtype: own.dtype, groups: 1 }))
  return { settings: own, linears, levels: 'uniform', outliers: false, copied: [], changed: [], decoder: null, model: someModel, ...more }
}

const layouts = {
  'compressed-tensors': { layout: compressedLayout, config: compressedConfig },
  awq: { layout: awqLayout, config: awqConfig },
}
const configOf = (value: unknown) => [{ file: 'config.json', path: 'quantization_config.', value }]
const packingOf = ({ layout, ...own }: Case) => readPacking(configOf(layouts[layout as keyof typeof layouts].config(planOf(own))))

/** W[n,k] = scale · (code − zero), plainly. */
function dequantized({ q, p, bits, codes, grid, groupIndex }: SolvedLinear): Float32Array {
  const column = (n: number) => Uint32Array.from({ length: codes.length / q }, (_, row) => codes[row * q + n])
  return Float32Array.from({ length: q * p }, (_, i) => {
    const [n, k] = [Math.floor(i / p), i % p]
    const cell = 2 * (groupIndex[k] * q + n)
    return grid[cell] * (getBits(column(n), k * bits, bits) - grid[cell + 1])
  })
}

describe.each(cases)('$name', (one) => {
  it('reads as the weights that its package makes of it', async () => {
    const solved = await packingOf(one).read(checkpoint, one.name, one)
    const expected = new Float32Array((await checkpoint.read(`${one.name}.expected`)).buffer)
    expect(dequantized(solved)).toEqual(expected)
  })

  it('is written in the same bytes', async () => {
    const solved = await packingOf(one).read(checkpoint, one.name, one)
    const { layout } = layouts[one.layout as keyof typeof layouts]
    const own = { ...settings, ...one }
    const { tensors } = await layout.encode({ name: one.name, solved, weights: async () => new Float32Array() }, own)
    const stored = [...checkpoint.tensors.keys()].filter((name) => name.startsWith(`${one.name}.`) && !name.endsWith('.expected'))
    expect([...tensors.keys()].sort()).toEqual(stored.sort())
    for (const name of stored) expect(tensors.get(name), name).toEqual(new Uint8Array(await checkpoint.read(name)))
    const specs = layout.tensorsFor({ ...one, groups: solved.groups, dtype: 'F16' }, own)
    for (const { name, dtype, shape } of specs) expect(checkpoint.tensors.get(name), name).toMatchObject({ dtype, shape })
    expect(specs.map(({ name }) => name).sort()).toEqual(stored)
    expect(packingOf(one).tensors(checkpoint, one.name, one).sort()).toEqual(stored)
  })
})

/** The fixture with a tensor of a case changed: left out, of another shape or dtype, or with other bytes. */
function changed(name: string, change: { shape?: number[]; dtype?: string; bytes?: Uint8Array<ArrayBuffer> } | null): Checkpoint {
  const tensors = new Map(checkpoint.tensors)
  const { bytes, ...fields } = change ?? {}
  if (change === null) tensors.delete(name)
  else tensors.set(name, { ...tensors.get(name)!, ...fields })
  return { ...checkpoint, tensors, read: (one) => (bytes && one === name ? Promise.resolve(bytes) : checkpoint.read(one)) }
}

describe('what does not fit is refused', () => {
  const compressed = cases.find(({ bits, symmetric, groupSize }) => bits === 3 && !symmetric && groupSize === 32)!
  const gemm = cases.find(({ layout }) => layout === 'awq')!

  test.each<[Case, string, Parameters<typeof changed>[1], string, string]>([
    [compressed, 'weight_scale', null, 'tensor-missing', 'weight_scale'],
    [compressed, 'weight_zero_point', null, 'tensor-missing', 'weight_zero_point'],
    [compressed, 'weight_shape', null, 'tensor-missing', 'weight_shape'],
    // Ten codes of 3 bits in a word, as compressed-tensors packed before 0.18.
    [compressed, 'weight_packed', { shape: [compressed.q, Math.ceil(compressed.p / 10)] }, 'tensor-mismatch', 'weight_packed'],
    [compressed, 'weight_shape', { bytes: new Uint8Array(16) }, 'tensor-mismatch', 'is [0, 0]'],
    [compressed, 'weight_scale', { dtype: 'I32' }, 'tensor-mismatch', 'weight_scale is I32'],
    [gemm, 'qzeros', null, 'tensor-missing', 'qzeros'],
    [gemm, 'qweight', { shape: [8, 8] }, 'tensor-mismatch', 'qweight'],
    [gemm, 'scales', { bytes: new Uint8Array(32).fill(0x7c) }, 'weights-not-finite', 'scales'],
  ])('$0.layout: %s', async (one, part, change, code, message) => {
    const other = changed(`${one.name}.${part}`, change)
    const error = await refusal(() => packingOf(one).read(other, one.name, one))
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) })
  })

  it('groups that are no whole ones', async () => {
    for (const one of [compressed, gemm]) {
      const error = await refusal(() => packingOf({ ...one, groupSize: 24 }).read(checkpoint, one.name, one))
      expect(error.code).toBe('tensor-mismatch')
    }
  })

  const base = compressedConfig(planOf({ bits: 3 })) as { config_groups: { group_0: { weights: object } } }
  const scheme = (change: object, weights: object = {}) => ({
    ...base,
    config_groups: {
      group_0: { ...base.config_groups.group_0, ...change, weights: { ...base.config_groups.group_0.weights, ...weights } },
    },
  })
  test.each<[unknown, string, string]>([
    [{ ...base, config_groups: {} }, 'config-unsupported', 'config_groups are empty'],
    [{ ...base, config_groups: [] }, 'config-invalid', 'config_groups'],
    [{ ...base, version: '0.17.1' }, 'config-unsupported', '0.17.1'],
    [{ ...base, kv_cache_scheme: { num_bits: 8 } }, 'config-unsupported', 'kv_cache_scheme'],
    [{ ...base, transform_config: { config_groups: { u: {} } } }, 'config-unsupported', 'transform_config'],
    [{ ...base, sparsity_config: { format: 'sparse-bitmask' } }, 'config-unsupported', 'sparsity_config'],
    [scheme({ format: 'mxfp8-quantized' }), 'config-unsupported', '"mxfp8-quantized"'],
    [scheme({ input_activations: { num_bits: 8 } }), 'config-unsupported', 'activations'],
    [scheme({}, { num_bits: 5 }), 'config-unsupported', '5 bits'],
    [scheme({}, { num_bits: '4' }), 'config-invalid', 'num_bits'],
    [scheme({}, { type: 'float' }), 'config-unsupported', '"float"'],
    [scheme({}, { strategy: 'tensor', group_size: null }), 'config-unsupported', '"tensor"'],
    [scheme({}, { strategy: 'block' }), 'config-unsupported', '"block"'],
    [scheme({}, { dynamic: true }), 'config-unsupported', 'dynamic'],
    [{ quant_method: 'awq', bits: 8, group_size: 32 }, 'config-unsupported', '8 bits'],
    [{ quant_method: 'awq', bits: 4, group_size: 32, version: 'gemv' }, 'config-unsupported', '"gemv"'],
    [{ quant_method: 'awq', bits: 4, group_size: 0 }, 'config-invalid', 'group_size'],
    [{ quant_method: 'awq', bits: 4, w_bit: 3, group_size: 32 }, 'config-invalid', 'w_bit is 3'],
  ])('%j', async (value, code, message) => {
    expect(await refusal(async () => readPacking(configOf(value)))).toMatchObject({ code, message: expect.stringContaining(message) })
  })

  test('two configs of different methods', async () => {
    const configs = [...configOf(base), { file: 'quantize_config.json', path: '', value: { bits: 4, group_size: 32 } }]
    expect(await refusal(async () => readPacking(configs))).toMatchObject({ code: 'config-invalid' })
  })
})

describe('what others write', () => {
  const mixed = cases.filter(({ layout, groupSize }) => layout === 'compressed-tensors' && groupSize === 32).slice(0, 6)

  it('in several config groups is told apart by its tensors', async () => {
    const groups = mixed.map((one) => (compressedConfig(planOf(one)) as { config_groups: { group_0: object } }).config_groups.group_0)
    const value = { ...compressedConfig(planOf({})), config_groups: Object.fromEntries(groups.map((group, i) => [`group_${i}`, group])) }
    const packing = readPacking(configOf(value))
    for (const one of mixed)
      expect(await packing.read(checkpoint, one.name, one)).toEqual(await packingOf(one).read(checkpoint, one.name, one))
  })

  it('with an index of groups is read by it, and without order where that is not filled in', async () => {
    const one = mixed[0]
    const plain = await packingOf(one).read(checkpoint, one.name, one)
    const groups = Int32Array.from({ length: one.p }, (_, k) => k % plain.groups)
    const name = `${one.name}.weight_g_idx`
    const stored = (index: Int32Array<ArrayBuffer>): Checkpoint => {
      const tensors = new Map(checkpoint.tensors)
      tensors.set(name, { ...checkpoint.tensors.get(`${one.name}.weight_shape`)!, name, dtype: 'I32', shape: [one.p] })
      return {
        ...checkpoint,
        tensors,
        read: (asked) => (asked === name ? Promise.resolve(new Uint8Array(index.buffer)) : checkpoint.read(asked)),
      }
    }
    const read = (index: Int32Array<ArrayBuffer>) => packingOf(one).read(stored(index), one.name, one)
    expect((await read(groups)).groupIndex).toEqual(groups)
    expect(await read(new Int32Array(one.p).fill(-1))).toEqual(plain)
    expect(await refusal(() => read(groups.map(() => 9)))).toMatchObject({
      code: 'tensor-mismatch',
      message: expect.stringContaining('group 9'),
    })
  })

  it('is AWQ by the old names of its fields, too', () => {
    const packing = readPacking([
      { file: 'quantize_config.json', path: '', value: { w_bit: 4, q_group_size: 128, zero_point: true, version: 'GEMM' } },
    ])
    expect(packing).toMatchObject({ label: 'AWQ (gemm)', bits: 4, groupSize: 128 })
  })

  // GPTQModel keeps more of itself in one file than in the other.
  it('is AWQ whatever its writer says of itself in either file', () => {
    const config = { quant_method: 'awq', bits: 4, group_size: 32, version: 'gemm', format: 'gemm', checkpoint_format: 'gemm' }
    const packing = readPacking([
      { file: 'config.json', path: 'quantization_config.', value: { ...config, meta: { algorithm: 'awq', quantizer: ['other:1'] } } },
      { file: 'quantize_config.json', path: '', value: { ...config, meta: { quantizer: ['other:1'], telemetry: { device: false } } } },
    ])
    expect(packing).toMatchObject({ label: 'AWQ (gemm)', bits: 4, groupSize: 32, method: 'awq' })
  })
})

describe('what a format accepts', () => {
  const said = (format: typeof awqGemm, ...plan: Parameters<typeof planOf>) => format.accepts(planOf(...plan))

  test.each<[typeof awqGemm, Parameters<typeof planOf>, RegExp, RegExp]>([
    [compressedTensors, [{ actOrder: true }], /act-order/, /static groups/],
    [
      compressedTensors,
      [{ groupSize: 128 }, [{ name: 'down', q: 64, p: 192 }]],
      /down has 192 inputs/,
      /groups of 64, groups of 32, the full row/,
    ],
    [compressedTensors, [{}, undefined, { outliers: true }], /outliers/, /\(dense\).*\(sidecar\)/],
    [compressedTensors, [{}, undefined, { levels: 'bilevel' }], /integer grids/, /uniform/],
    [awqGemm, [{ bits: 3 }], /4 bits only/, /compressed-tensors/],
    [awqGemm, [{}, [{ name: 'up', q: 172, p: 64 }]], /up has 172 outputs/, /compressed-tensors/],
    [awqGemm, [{ actOrder: true }], /act-order/, /static groups/],
    [awqGemm, [{}, undefined, { outliers: true }], /outliers/, /\(dense\).*\(sidecar\)/],
  ])('$0.id: %j', (format, plan, why, instead) => {
    const found = said(format, ...plan)!
    expect(found.why).toMatch(why)
    expect(found.instead).toMatch(instead)
  })

  test('and what it takes', () => {
    for (const bits of [2, 3, 4, 8] as const)
      for (const symmetric of [true, false])
        for (const groupSize of [-1, 32]) expect(said(compressedTensors, { bits, symmetric, groupSize })).toBeNull()
    for (const symmetric of [true, false]) expect(said(awqGemm, { symmetric })).toBeNull()
  })
})

test('linears that stay whole are named', () => {
  const copied = ['model.layers.1.mlp.up_proj.weight', 'model.layers.10.mlp.up_proj.weight', 'model.layers.1.norm.weight'].map(
    (name, i) => ({
      name,
      dtype: 'F16',
      shape: i < 2 ? [4, 4] : [4],
    }),
  )
  const plan = planOf({ dynamicSkips: ['model.layers.1'] }, undefined, { copied })
  expect(compressedConfig(plan)).toMatchObject({ ignore: ['lm_head', 'model.layers.1.mlp.up_proj'] })
  expect(awqConfig(plan)).toMatchObject({ modules_to_not_convert: ['model.layers.1.mlp.up_proj'] })
  // GPTQModel reads no such list, but makes room for codes wherever its own rules do not forbid it.
  expect(awqConfig(plan)).toMatchObject({ dynamic: { '-:model\\.layers\\.1(\\.|$)': {} } })
  expect(awqConfig(planOf({}))).toMatchObject({ modules_to_not_convert: null, dynamic: null })
})

test('each runtime is told its conditions', () => {
  const loads = (format: typeof awqGemm, changes: Partial<ExportSettings>, shapes = [{ name: 'x', q: 64, p: 64 }]) =>
    format
      .compatibility(planOf(changes, shapes))
      .filter(({ loads }) => loads)
      .map(({ runtime }) => runtime.split(' ')[0])
      .slice(1)
  expect(loads(compressedTensors, {})).toEqual(['vLLM', 'SGLang', 'transformers', 'llama.cpp'])
  expect(loads(compressedTensors, { bits: 3 })).toEqual(['vLLM', 'transformers'])
  expect(loads(compressedTensors, { groupSize: -1 })).toEqual(['vLLM', 'SGLang', 'transformers'])
  expect(loads(compressedTensors, { bits: 8, symmetric: false })).toEqual(['vLLM', 'transformers', 'llama.cpp'])
  expect(loads(compressedTensors, {}, [{ name: 'x', q: 64, p: 172 }])).toEqual(['transformers', 'llama.cpp'])
  expect(loads(awqGemm, { symmetric: false })).toEqual(['vLLM', 'SGLang', 'transformers', 'GPTQModel'])
  expect(loads(awqGemm, { groupSize: 16 })).toEqual(['transformers', 'GPTQModel'])
})
