import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { random } from '../../data/corpus.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import { openFolder } from '../folder.ts'
import { f16ToF32 } from '../half.ts'
import { memoryFiles, memorySink } from '../memory.ts'
import { CheckpointWriter, openCheckpoint, type TensorSpec } from '../safetensors.ts'
import { refusal } from '../testing.ts'
import type { ExportPlan, ExportSettings } from './format.ts'
import { someModel } from './testing.ts'
import { encodeLinear, gptq, gptqLayout, quantizationConfig } from './gptq.ts'
import { formats, formatsFor } from './index.ts'
import { type GptqConfig, isPacked, readGptqConfig, readPackedLinear } from './read-gptq.ts'

const settings: ExportSettings = {
  bits: 4,
  groupSize: 128,
  actOrder: false,
  symmetric: true,
  trueSequential: true,
  method: 'quantease',
  iterations: 30,
  mse: 0,
  staticGroups: false,
  dynamicSkips: [],
  damping: 0.02,
  dtype: 'F16',
}

/** A result with these linears. */
function planOf(settings: ExportSettings, shapes: { name: string; q: number; p: number }[]): ExportPlan {
  const { bits, dtype } = settings
  return {
    settings,
    linears: shapes.map((shape) => ({ ...shape, bits, dtype, groups: 1 })),
    levels: 'uniform',
    outliers: false,
    copied: [],
    changed: [],
    decoder: null,
    model: someModel,
  }
}

/** A linear with random codes, scales, zeros and groups; codes are packed one bit at a time, slowly and plainly. */
function linear(bits: SolvedLinear['bits'], q: number, p: number, groupSize: number, symmetric: boolean, seed = 1) {
  const next = random(seed)
  const below = (limit: number) => Math.floor(next() * limit)
  const groups = Math.ceil(p / groupSize)
  const codes = new Uint32Array(Math.ceil((p * bits) / 32) * q)
  for (let n = 0; n < q; n++) {
    for (let bit = 0; bit < p * bits; bit++) codes[(bit >> 5) * q + n] |= below(2) << (bit & 31)
  }
  const scales = f16ToF32(Uint16Array.from({ length: groups * q }, () => below(0x7c00)))
  const zeros = Array.from({ length: groups * q }, () => (symmetric ? 2 ** (bits - 1) : below(2 ** bits)))
  const groupIndex = Int32Array.from({ length: p }, () => below(groups))
  return { bits, q, p, groupSize, groups, codes, grid: gridOf(scales, zeros), groupIndex, outliers: null } satisfies SolvedLinear
}

/** (scale, zero) of each cell. */
const gridOf = (scales: ArrayLike<number>, zeros: ArrayLike<number>) =>
  Float32Array.from({ length: 2 * scales.length }, (_, i) => (i & 1 ? zeros : scales)[i >> 1])
const scalesOf = (grid: Float32Array) => grid.filter((_, i) => !(i & 1))
const zerosOf = (grid: Float32Array) => grid.filter((_, i) => i & 1)

const symmetric = { symmetric: true }
const asymmetric = { symmetric: false }

const configOf = ({ bits, groupSize }: SolvedLinear, symmetric: boolean): GptqConfig => ({
  bits,
  groupSize,
  symmetric,
  actOrder: true,
  version: symmetric ? 1 : 2,
  method: null,
})

async function store(tensors: TensorSpec[], contents: Map<string, Uint8Array>) {
  const sink = memorySink()
  const writer = new CheckpointWriter(sink, tensors, { shardBytes: 500 })
  for (const [name, data] of contents) await writer.write(name, data)
  await writer.finish()
  return openCheckpoint(memoryFiles(sink.files))
}

const words = (data: Uint8Array | undefined) =>
  Array.from(new Uint32Array(data!.slice().buffer), (word) => word.toString(16).padStart(8, '0'))

describe('bytes', () => {
  test.each([
    [2, ['55555555'], ['aaaaaaaa']],
    [3, ['db6db6db', 'b6db6db6', '6db6db6d'], ['24924924', '49249249', '92492492']],
    [4, ['77777777'], ['88888888']],
    [8, ['7f7f7f7f'], ['80808080']],
  ] as const)('symmetric zeros at %i bits are the constants that loaders know', (bits, version1, version2) => {
    const q = (32 / bits) * version1.length
    const packed = linear(bits, Math.round(q), 32, 32, true)
    expect(words(encodeLinear('x', packed, symmetric).get('x.qzeros'))).toEqual(version1)
    expect(words(encodeLinear('x', packed, asymmetric).get('x.qzeros'))).toEqual(version2)
  })

  test('32 three-bit codes lie in three words as in the 10-1-10-1-10 loop of other writers', () => {
    const codes = Array.from({ length: 32 }, (_, i) => (i * 5 + 3) % 8)
    let [w0, w1, w2] = [0, 0, 0]
    for (let i = 0; i < 10; i++) w0 |= codes[i] << (3 * i)
    w0 |= codes[10] << 30
    w1 |= (codes[10] >> 2) & 1
    for (let i = 0; i < 10; i++) w1 |= codes[11 + i] << (3 * i + 1)
    w1 |= codes[21] << 31
    w2 |= (codes[21] >> 1) & 3
    for (let i = 0; i < 10; i++) w2 |= codes[22 + i] << (3 * i + 2)
    // Zeros go through the packer, along the outputs.
    const packed = { ...linear(3, 32, 32, 32, false), grid: gridOf(new Float32Array(32).fill(1), codes) }
    const expected = [w0, w1, w2].map((word) => (word >>> 0).toString(16).padStart(8, '0'))
    expect(words(encodeLinear('x', packed, asymmetric).get('x.qzeros'))).toEqual(expected)
  })

  test('codes, scales and groups go out as they are', () => {
    const packed = linear(4, 2, 16, 8, false)
    packed.grid = gridOf([1, 0.5, 2 ** -24, 65504], zerosOf(packed.grid))
    const bytes = encodeLinear('x', packed, asymmetric)
    expect(bytes.get('x.qweight')).toEqual(new Uint8Array(packed.codes.buffer))
    expect(bytes.get('x.g_idx')).toEqual(new Uint8Array(packed.groupIndex.buffer))
    expect(Array.from(new Uint16Array(bytes.get('x.scales')!.slice().buffer))).toEqual([0x3c00, 0x3800, 1, 0x7bff])
  })

  test('a scale that float16 cannot hold is a bug, not a rounding', () => {
    const packed = linear(4, 1, 8, 8, false)
    packed.grid = gridOf([0.1], [0])
    expect(() => encodeLinear('x', packed, asymmetric)).toThrow('no float16')
  })
})

test('whatever is encoded and written reads back the same', async () => {
  const sizes = fc.constantFrom([5, 172, 32], [5, 172, 128], [5, 172, 172], [32, 64, 32], [33, 31, 7], [1, 1, 1], [64, 96, 128])
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(2, 3, 4, 8), sizes, fc.boolean(), fc.nat(), async (bits, [q, p, groupSize], symmetric, seed) => {
      const packed = linear(bits as SolvedLinear['bits'], q, p, Math.min(groupSize, p), symmetric, seed)
      const specs = gptqLayout.tensorsFor({ name: 'm.x', dtype: 'F16', ...packed }, settings)
      const checkpoint = await store(specs, encodeLinear('m.x', packed, { symmetric }))
      expect(isPacked(checkpoint, 'm.x')).toBe(true)
      expect(isPacked(checkpoint, 'm.y')).toBe(false)
      const config = { ...configOf(packed, symmetric), groupSize: groupSize === p ? -1 : groupSize }
      expect(await readPackedLinear(checkpoint, 'm.x', config, { q, p })).toEqual(packed)
    }),
    { numRuns: 150 },
  )
})

describe('without a group index', () => {
  const asked = { ...settings, groupSize: 16, groupIndex: false }
  const packed = { ...linear(4, 8, 40, 16, true, 3), groupIndex: Int32Array.from({ length: 40 }, (_, k) => Math.floor(k / 16)) }

  test('what is written reads back the same, and is smaller by four bytes an input', async () => {
    const specs = gptqLayout.tensorsFor({ name: 'm.x', dtype: 'F16', ...packed }, asked)
    const checkpoint = await store(specs, encodeLinear('m.x', packed, asked))
    expect([...checkpoint.tensors.keys()].sort()).toEqual(['m.x.qweight', 'm.x.qzeros', 'm.x.scales'])
    expect(await readPackedLinear(checkpoint, 'm.x', { ...configOf(packed, true), actOrder: false }, packed)).toEqual(packed)
    const plan = (own: ExportSettings) => planOf(own, [{ name: 'x', q: 8, p: 40 }])
    expect(gptq.bytes(plan({ ...asked, groupIndex: true })) - gptq.bytes(plan(asked))).toBeGreaterThanOrEqual(4 * 40)
  })

  test('groups that follow act-order keep theirs, with a remark', () => {
    const ordered = { ...asked, actOrder: true }
    expect([...encodeLinear('x', packed, ordered).keys()]).toContain('x.g_idx')
    const about = (own: ExportSettings) => gptq.remarks(planOf(own, [])).filter(({ field }) => field === 'groupIndex')
    expect(about(ordered)).toHaveLength(1)
    expect([about(asked), about({ ...ordered, staticGroups: true })]).toEqual([[], []])
  })
})

describe('reading what others wrote', () => {
  const q = 6
  const p = 40
  const packed = linear(3, q, p, 16, false, 9)
  const specs = gptqLayout.tensorsFor({ name: 'x', dtype: 'F16', ...packed }, settings)
  const config = configOf(packed, false)

  /** The checkpoint with one tensor changed or (null) left out. */
  async function changed(suffix: string, spec: Partial<TensorSpec> | null, data?: Uint8Array) {
    const name = `x.${suffix}`
    const contents = encodeLinear('x', packed, asymmetric)
    if (spec === null) contents.delete(name)
    else if (data) contents.set(name, data)
    else if (spec.shape) contents.set(name, new Uint8Array(spec.shape.reduce((a, b) => a * b, (spec.dtype ?? 'I32') === 'F16' ? 2 : 4)))
    const tensors = specs
      .filter((tensor) => spec || tensor.name !== name)
      .map((tensor) => (tensor.name === name ? { ...tensor, ...spec } : tensor))
    const checkpoint = await store(tensors, contents)
    return (settings = config) => readPackedLinear(checkpoint, 'x', settings, { q, p })
  }

  test('version 1 wraps a zero of 0, and comes back', async () => {
    const zeros = zerosOf(packed.grid)
    const wrapped = zeros.map((zero) => (zero - 1) & 7)
    const stored = { ...packed, grid: gridOf(scalesOf(packed.grid), wrapped) }
    const read = await changed('qzeros', {}, encodeLinear('x', stored, asymmetric).get('x.qzeros'))
    expect(zerosOf((await read({ ...config, version: 1 })).grid)).toEqual(zeros)
    expect(zeros).toContain(0)
  })

  test('without g_idx the groups are plain, unless the config says otherwise', async () => {
    const read = await changed('g_idx', null)
    expect((await read({ ...config, actOrder: false })).groupIndex).toEqual(Int32Array.from({ length: p }, (_, k) => Math.floor(k / 16)))
    const error = await refusal(() => read())
    expect(error.code).toBe('tensor-missing')
    expect(error.message).toContain('x.g_idx')
  })

  describe('a group index against desc_act', () => {
    const bytes = (groups: number[]) => new Uint8Array(Int32Array.from(groups).buffer)
    const runs = Array.from({ length: p }, (_, k) => Math.floor(k / 16))
    const backwards = runs.toReversed()
    const zeros = runs.map(() => 0)

    test.each<[string, number[], boolean | null, number[]]>([
      ['in runs, with desc_act (static groups)', runs, true, runs],
      ['in runs, without', runs, false, runs],
      ['out of order, with', backwards, true, backwards],
      ['out of order, where nothing is said', backwards, null, backwards],
      ['all zeros, without: writers mean none', zeros, false, runs],
      ['all zeros, where nothing is said', zeros, null, runs],
    ])('%s', async (_, stored, actOrder, expected) => {
      const read = await changed('g_idx', {}, bytes(stored))
      expect((await read({ ...config, actOrder })).groupIndex).toEqual(Int32Array.from(expected))
    })

    test.each<[string, number[], boolean, RegExp]>([
      ['all zeros, with', zeros, true, /x\.g_idx is all zeros.*desc_act is true/],
      ['out of order, without', backwards, false, /x\.g_idx puts input 0 in group 2, although desc_act is false/],
    ])('%s is refused', async (_, stored, actOrder, message) => {
      const read = await changed('g_idx', {}, bytes(stored))
      expect((await refusal(() => read({ ...config, actOrder }))).message).toMatch(message)
    })
  })

  test('codes as AWQ packs them are told as such', async () => {
    const read = await changed('qweight', { shape: [p, 1] })
    expect(await refusal(() => read())).toMatchObject({ code: 'config-unsupported', message: expect.stringContaining('AWQ') })
  })

  test('scales may be BF16 or F32', async () => {
    const scales = Float32Array.from({ length: 3 * q }, (_, i) => 1 + i / 32)
    const single = await changed('scales', { dtype: 'F32' }, new Uint8Array(scales.buffer))
    expect(scalesOf((await single()).grid)).toEqual(scales)
    const bits = Uint16Array.from(new Uint32Array(scales.buffer), (word) => word >>> 16)
    const brain = await changed('scales', { dtype: 'BF16' }, new Uint8Array(bits.buffer))
    expect(scalesOf((await brain()).grid)).toEqual(scales)
  })

  test('bits beyond the last code do not matter', async () => {
    const codes = packed.codes.slice()
    for (let n = 0; n < q; n++) codes[codes.length - 1 - n] |= 0xff << 24 // 120 bits end at bit 24 of the last word
    const read = await changed('qweight', {}, new Uint8Array(codes.buffer))
    expect((await read()).codes).toEqual(packed.codes)
  })

  test.each<[string, string, Partial<TensorSpec> | null, string, string]>([
    ['no codes', 'qweight', null, 'tensor-missing', 'x.qweight'],
    ['no zeros', 'qzeros', null, 'tensor-missing', 'x.qzeros'],
    ['no scales', 'scales', null, 'tensor-missing', 'x.scales'],
    [
      'codes of another type',
      'qweight',
      { dtype: 'F32' },
      'tensor-mismatch',
      'x.qweight is F32 [4, 6]; by the config it should be I32 [4, 6]',
    ],
    ['codes for other bits', 'qweight', { shape: [5, 6] }, 'tensor-mismatch', 'x.qweight is I32 [5, 6]'],
    ['transposed codes', 'qweight', { shape: [6, 4] }, 'tensor-mismatch', 'x.qweight is I32 [6, 4]'],
    ['zeros for other groups', 'qzeros', { shape: [2, 1] }, 'tensor-mismatch', 'should be I32 [3, 1]'],
    ['scales for other groups', 'scales', { shape: [2, 6], dtype: 'F16' }, 'tensor-mismatch', 'should be F16 or BF16 or F32 [3, 6]'],
    ['scales of another type', 'scales', { shape: [3, 6], dtype: 'I32' }, 'tensor-mismatch', 'x.scales is I32'],
    ['groups for other inputs', 'g_idx', { shape: [41] }, 'tensor-mismatch', 'x.g_idx is I32 [41]'],
  ])('refuses %s', async (_, suffix, spec, code, message) => {
    const read = await changed(suffix, spec)
    const error = await refusal(() => read())
    expect(error.code).toBe(code)
    expect(error.message).toContain(message)
  })

  test.each([3, -1, 2 ** 31 - 1])('refuses group %i of 3', async (group) => {
    const groups = packed.groupIndex.with(7, group)
    const read = await changed('g_idx', {}, new Uint8Array(groups.buffer))
    const error = await refusal(() => read())
    expect(error.code).toBe('tensor-mismatch')
    expect(error.message).toContain(`x.g_idx puts input 7 in group ${group}`)
  })

  test('refuses scales that are not finite', async () => {
    const read = await changed('scales', {}, new Uint8Array(Uint16Array.from({ length: 18 }, () => 0x7c00).buffer))
    expect((await refusal(() => read())).code).toBe('weights-not-finite')
  })

  test('refuses zeros that belie a symmetric config', async () => {
    const read = await changed('qzeros', {})
    const error = await refusal(() => read({ ...config, symmetric: true }))
    expect(error.code).toBe('tensor-mismatch')
    expect(error.message).toContain('x.qzeros')
  })
})

describe('configs', () => {
  test('have every field that loaders ask for, and read back', () => {
    const config = quantizationConfig(planOf(settings, []))
    expect(config).toEqual({
      quant_method: 'gptq',
      bits: 4,
      group_size: 128,
      desc_act: false,
      sym: true,
      lm_head: false,
      checkpoint_format: 'gptq',
      format: 'gptq',
      pack_dtype: 'int32',
      true_sequential: true,
      damp_percent: 0.02,
      dynamic: null,
      modules_in_block_to_quantize: null,
      meta: { quantizer: ['quantease-workbench:0.1.0'], algorithm: 'quantease', iterations: 30, mse: 0, static_groups: false },
    })
    expect(readGptqConfig([{ file: 'config.json', path: 'quantization_config.', value: config }])).toEqual({
      bits: 4,
      groupSize: 128,
      symmetric: true,
      actOrder: false,
      version: 1,
      method: 'quantease',
    })
  })

  test.each([undefined, 1, 0])('damping of %s, which no loader takes, is left out', (damping) => {
    expect(quantizationConfig(planOf({ ...settings, damping }, []))).not.toHaveProperty('damp_percent')
  })

  test.each([
    ['F16', 1000, 'float16'],
    ['F32', 65504, 'float16'],
    ['F32', 65505, 'bfloat16'],
    ['F16', 1e6, 'bfloat16'],
    ['BF16', 1, 'bfloat16'],
  ] as const)('a model in %s whose states reach %s is declared %s', (dtype, peak, declared) => {
    expect(gptq.declares(dtype, peak)).toBe(declared)
  })

  test('asymmetric results are version 2', () => {
    expect(quantizationConfig(planOf({ ...settings, symmetric: false }, []))).toMatchObject({
      sym: false,
      checkpoint_format: 'gptq_v2',
      format: 'gptq_v2',
    })
  })

  test.each([
    [{ actOrder: true }, true],
    [{ actOrder: true, staticGroups: true }, false],
    [{ actOrder: true, groupSize: -1 }, false],
  ])('desc_act with %j is %s', (change, expected) => {
    expect(quantizationConfig(planOf({ ...settings, ...change }, [])).desc_act).toBe(expected)
  })

  test('the linears of a partly quantized model are named by their full paths, in the one list that transformers reads', () => {
    const shapes = [{ name: 'model.layers.0.mlp.up_proj', q: 8, p: 8 }]
    const config = quantizationConfig(planOf({ ...settings, dynamicSkips: ['model.layers.1'] }, shapes))
    expect(config.modules_in_block_to_quantize).toEqual([['model.layers.0.mlp.up_proj']])
  })

  test('modules beside a text model are named, and its linears by the ends of their paths', () => {
    const told = (prefix: string, changes: Partial<ExportSettings> = {}) =>
      quantizationConfig(
        planOf({ ...settings, otherModules: ['vision_tower'], ...changes }, [{ name: `${prefix}.layers.0.mlp.up_proj`, q: 8, p: 8 }]),
      )
    const one = told('language_model.model')
    expect(one).toMatchObject({ dynamic: { '-:(.*\\.)?vision_tower(\\.|$)': {} }, modules_in_block_to_quantize: null })
    expect(one).not.toHaveProperty('block_name_to_quantize')
    expect(told('language_model.model', { dynamicSkips: ['language_model.model.layers.1'] })).toMatchObject({
      modules_in_block_to_quantize: [['layers.0.mlp.up_proj']],
    })
    expect(told('model.text_model')).toMatchObject({ block_name_to_quantize: 'model.text_model.layers' })
  })

  test('modules left alone are named by rules that match them and what is fused from them', () => {
    const { dynamic } = quantizationConfig(planOf({ ...settings, dynamicSkips: ['model.layers.1'] }, [])) as {
      dynamic: Record<string, unknown>
    }
    const [rule] = Object.keys(dynamic)
    const pattern = new RegExp(`^(?:${rule.slice(2)})`) // loaders use Python's re.match
    expect(rule).toBe('-:model\\.layers\\.1(\\.|$)')
    expect(pattern.test('model.layers.1.self_attn.qkv_proj')).toBe(true)
    expect(pattern.test('model.layers.1')).toBe(true)
    expect(pattern.test('model.layers.10.mlp.up_proj')).toBe(false)
    expect(pattern.test('model.layersx1.mlp')).toBe(false)
  })

  test.each([
    ['{"torch_dtype": "bfloat16", "rope_theta": 10000.0}', 'bfloat16', '{"torch_dtype": "bfloat16", "rope_theta": 10000.0,'],
    ['{"dtype": "float32", "eps": 1e-05}', 'float16', '{"dtype": "float16", "eps": 1e-05,'],
    ['{"eps": 1e-05}', 'float16', '{"eps": 1e-05,\n  "torch_dtype": "float16",'],
  ] as const)('config.json %s keeps its own words', (original, declared, start) => {
    const quantization = quantizationConfig(planOf(settings, []))
    const [config, separate] = gptqLayout.configFiles(original, planOf(settings, []), declared)
    expect([config.path, separate.path]).toEqual(['config.json', 'quantize_config.json'])
    expect(config.text.startsWith(start)).toBe(true)
    expect(JSON.parse(config.text).quantization_config).toEqual(quantization)
    expect(JSON.parse(separate.text)).toEqual(quantization)
  })

  test('a whole export opens as the GPTQ folder it is', async () => {
    const packed = linear(4, 32, 64, 32, false)
    const sink = memorySink()
    const writer = new CheckpointWriter(sink, gptqLayout.tensorsFor({ name: 'x', dtype: 'F16', ...packed }, settings))
    for (const [name, data] of encodeLinear('x', packed, asymmetric)) await writer.write(name, data)
    const own = { ...settings, groupSize: 32, symmetric: false, actOrder: true }
    for (const { path, text } of gptqLayout.configFiles('{"model_type": "llama"}', planOf(own, []), 'float16'))
      await writer.writeFile(path, new Blob([text]))
    await writer.finish()
    const folder = await openFolder(memoryFiles(sink.files))
    expect(folder.packing).toMatchObject({
      bits: 4,
      groupSize: 32,
      symmetric: false,
      actOrder: true,
      label: 'GPTQ v2',
      method: 'quantease',
    })
    expect(await folder.packing!.read(folder.checkpoint, 'x', { q: 32, p: 64 })).toEqual(packed)
    expect(folder.otherFiles).toEqual([])
  })
})

describe('compatibility', () => {
  const shape = [{ name: 'x', q: 256, p: 256 }]
  const loads = (change: Partial<ExportSettings>, shapes = shape) => {
    const list = gptq.compatibility(planOf({ ...settings, ...change }, shapes))
    for (const { loads, note } of list) expect(note.startsWith('No:')).toBe(!loads)
    return list.filter(({ loads }) => loads).map(({ runtime }) => runtime.split(' ')[0])
  }

  test.each<[Partial<ExportSettings>, string[]]>([
    [{}, ['QuantEase', 'vLLM', 'SGLang', 'transformers', 'GPTQModel', 'llama.cpp']],
    [{ bits: 8, groupSize: -1, actOrder: true }, ['QuantEase', 'vLLM', 'SGLang', 'transformers', 'GPTQModel', 'llama.cpp']],
    [{ actOrder: true }, ['QuantEase', 'SGLang', 'transformers', 'GPTQModel', 'llama.cpp']],
    [{ actOrder: true, symmetric: false }, ['QuantEase', 'transformers', 'GPTQModel', 'llama.cpp']],
    [{ actOrder: true, staticGroups: true }, ['QuantEase', 'vLLM', 'SGLang', 'transformers', 'GPTQModel', 'llama.cpp']],
    [{ bits: 3 }, ['QuantEase', 'SGLang', 'transformers', 'GPTQModel']],
    [{ bits: 2 }, ['QuantEase', 'SGLang', 'transformers', 'GPTQModel', 'llama.cpp']],
    [{ symmetric: false }, ['QuantEase', 'SGLang', 'transformers', 'GPTQModel', 'llama.cpp']],
    [{ groupSize: 16 }, ['QuantEase', 'SGLang', 'transformers', 'GPTQModel', 'llama.cpp']],
    [{ groupSize: 8 }, ['QuantEase', 'SGLang', 'transformers', 'llama.cpp']],
    [{ groupIndex: false }, ['QuantEase', 'vLLM', 'SGLang', 'GPTQModel']],
    [{ groupIndex: false, actOrder: true }, ['QuantEase', 'SGLang', 'transformers', 'GPTQModel', 'llama.cpp']],
    [{ dynamicSkips: ['model.layers.1'] }, ['QuantEase', 'vLLM', 'SGLang', 'transformers', 'GPTQModel', 'llama.cpp']],
  ])('%j', (change, runtimes) => {
    expect(loads(change)).toEqual(runtimes)
  })

  test('odd sizes narrow it down, and the note names the linear', () => {
    const odd = [...shape, { name: 'down', q: 64, p: 172 }]
    expect(loads({ bits: 3, groupSize: -1 }, odd)).toEqual(['QuantEase'])
    expect(loads({ bits: 4, groupSize: -1 }, [{ name: 'x', q: 64, p: 44 }])).toEqual(['QuantEase', 'transformers', 'GPTQModel'])
    expect(loads({ bits: 8, groupSize: -1 }, odd)).toEqual(['QuantEase', 'transformers', 'GPTQModel', 'llama.cpp'])
    expect(loads({ groupSize: 128 }, [{ name: 'x', q: 64, p: 192 }])).toEqual(['QuantEase', 'llama.cpp'])
    expect(loads({ groupSize: 32 }, [{ name: 'x', q: 64, p: 192 }])).toContain('vLLM')
    const notes = gptq.compatibility(planOf({ ...settings, bits: 3, groupSize: -1 }, odd))
    expect(notes.find(({ runtime }) => runtime === 'transformers')!.note).toContain('down is 64 × 172')
  })

  test('4 bits a full row name the kernel that takes them on a CPU', () => {
    const notes = (p: number) =>
      gptq
        .compatibility(planOf({ ...settings, groupSize: -1 }, [{ name: 'x', q: 64, p }]))
        .filter(({ runtime }) => runtime === 'transformers' || runtime === 'GPTQModel')
        .map(({ note }) => /gptq_torch/i.test(note))
    expect([notes(256), notes(384)]).toEqual([
      [false, false],
      [true, true],
    ])
  })

  test('an architecture that a runtime does not know is refused there, whatever its format', () => {
    for (const format of formats) {
      const list = format.compatibility(planOf(settings, []), { vLLM: 'No: not this one.' })
      for (const { note } of list.filter(({ runtime }) => runtime === 'vLLM')) expect(note).toBe('No: not this one.')
    }
  })
})

test('formats have ids of their own', () => {
  expect(new Set(formats.map(({ id }) => id)).size).toBe(formats.length)
})

test('a result goes to the first format that holds it, unless others are asked for', () => {
  const plan = planOf(settings, [])
  const sparse = { ...plan, outliers: true }
  const ids = (...of: Parameters<typeof formatsFor>) => formatsFor(...of).map(({ id }) => id)
  expect([ids(plan), ids(plan, []), ids(sparse)]).toEqual([['gptq'], ['gptq'], ['dense']])
  expect(ids(sparse, ['dense', 'gptq'])).toEqual(['gptq', 'dense'])
  expect(gptq.accepts(plan)).toBeNull()
  expect(ids({ ...plan, levels: 'other' })).toEqual(['dense'])
  expect(gptq.accepts(sparse)).toEqual({ why: expect.stringContaining('outliers'), instead: expect.stringContaining('(dense)') })
})
