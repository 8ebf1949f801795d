/** GGUF files: blocks, layout, parts, and what is refused. That llama.cpp computes the same is in engine/keep/gguf.gpu.test.ts. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, test } from 'vitest'
import { LlamaModel } from '../../../e2e/llama-cpp.ts'
import { loadTokenizer } from '../../data/tokenizer.ts'
import { loadVocabulary } from '../../data/vocabulary.ts'
import { factsOf } from '../../engine/plan/plan.ts'
import { randomModel } from '../../models/testing.ts'
import { openModel } from '../../models/open.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import { words } from '../bits.ts'
import { openFolder } from '../folder.ts'
import { f16ToF32 } from '../half.ts'
import { memoryFiles, memorySink } from '../memory.ts'
import type { ExportPlan, ExportSettings } from './format.ts'
import { gguf } from './gguf.ts'
import { type BlockType, packBlocks, type RowOrder } from './gguf/blocks.ts'
import { encodeMetadata, ggufTensor, planFiles, readHead, tensorTypes } from './gguf/file.ts'
import { layoutOf } from './gguf/layout.ts'
import { GgufStream } from './gguf/stream.ts'
import type { Rope } from './model.ts'
import { someModel } from './testing.ts'

const settings: ExportSettings = {
  bits: 4,
  groupSize: 32,
  actOrder: false,
  symmetric: true,
  trueSequential: false,
  method: 'rtn',
  iterations: 0,
  mse: 0,
  staticGroups: false,
  dynamicSkips: [],
  dtype: 'F32',
}

function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** A linear with random codes, written bit by bit, and what each code stands for: `[q, p]`. */
function linear(bits: SolvedLinear['bits'], groupSize: number, symmetric: boolean, [q, p] = [12, 96]) {
  const next = numbers(bits * 100 + groupSize)
  const groups = Math.ceil(p / groupSize)
  const codes = new Uint32Array(words(p, bits) * q)
  const grid = new Float32Array(groups * q * 2)
  for (let cell = 0; cell < groups * q; cell++) {
    grid[2 * cell] = Math.ceil(next() * 1023 + 1) / 2 ** 14
    grid[2 * cell + 1] = symmetric ? 2 ** (bits - 1) : Math.floor(next() * 2 ** bits)
  }
  const weights = new Float32Array(q * p)
  const steps = new Float32Array(q * p)
  for (let n = 0; n < q; n++) {
    for (let k = 0; k < p; k++) {
      const code = Math.floor(next() * 2 ** bits)
      for (let bit = 0; bit < bits; bit++) {
        const at = k * bits + bit
        if ((code >> bit) & 1) codes[(at >> 5) * q + n] |= 1 << (at & 31)
      }
      const cell = Math.floor(k / groupSize) * q + n
      weights[n * p + k] = grid[2 * cell] * (code - grid[2 * cell + 1])
      steps[n * p + k] = grid[2 * cell]
    }
  }
  const groupIndex = Int32Array.from({ length: p }, (_, k) => Math.floor(k / groupSize))
  const solved: SolvedLinear = { bits, q, p, groupSize, groups, codes, grid, groupIndex, outliers: null }
  return { solved, weights, steps }
}

/** Weights of blocks as ggml reads them. */
function read(bytes: Uint8Array, type: BlockType): number[] {
  const { bytes: size } = tensorTypes[type]
  const half = (at: number) => f16ToF32(Uint16Array.of(bytes[at] | (bytes[at + 1] << 8)))[0]
  const weights: number[] = []
  for (let at = 0; at < bytes.length; at += size) {
    const d = half(at)
    for (let j = 0; j < 32; j++) {
      if (type === 'Q8_0') weights.push(d * ((bytes[at + 2 + j] << 24) >> 24))
      else {
        const nibble = (bytes[at + size - 16 + (j & 15)] >> (j < 16 ? 0 : 4)) & 15
        const high = /^Q5/.test(type) ? ((bytes[at + size - 20 + (j >> 3)] >> (j & 7)) & 1) << 4 : 0
        weights.push(d * (nibble + high) + (/_0$/.test(type) ? -d * (type === 'Q4_0' ? 8 : 16) : half(at + 2)))
      }
    }
  }
  return weights
}

describe('blocks', () => {
  it.each([
    [2, 32, true, 'Q4_0'],
    [3, 96, true, 'Q4_0'],
    [4, 64, true, 'Q4_0'],
    [8, 32, true, 'Q8_0'],
    [2, 96, false, 'Q4_1'],
    [3, 32, false, 'Q4_1'],
    [4, 32, false, 'Q4_1'],
    [5, 32, true, 'Q5_0'],
    [5, 32, false, 'Q5_1'],
  ] as const)('hold %i bits in groups of %i, symmetric %s, in %s', (bits, groupSize, symmetric, type) => {
    const { solved, weights, steps } = linear(bits, groupSize, symmetric)
    const got = read(packBlocks(solved, symmetric, null, 'x'), type)
    expect(got.length).toBe(weights.length)
    // Half a unit in the last place of the largest minimum.
    const most = symmetric ? 0 : (2 ** bits - 1) / 2048
    got.forEach((value, i) => expect(Math.abs(value - weights[i]) / steps[i], `weight ${i}`).toBeLessThanOrEqual(most))
  })

  it('come in another order of rows', () => {
    const { solved, weights } = linear(4, 32, true)
    const order: RowOrder = { band: 4, from: (row) => row - (row % 4) + [2, 0, 3, 1][row % 4] }
    const got = read(packBlocks(solved, true, order, 'x'), 'Q4_0')
    expect(got).toEqual(
      Array.from({ length: 12 }, (_, row) => [...weights.subarray(order.from(row) * 96, (order.from(row) + 1) * 96)]).flat(),
    )
  })

  it('refuse what they cannot hold', () => {
    const { solved } = linear(4, 32, true)
    const groupIndex = solved.groupIndex.map((group, k) => (k === 5 ? 1 : group))
    expect(() => packBlocks({ ...solved, groupIndex }, true, null, 'x')).toThrow('Input 5 of x is out of the order')
    expect(() => packBlocks({ ...solved, grid: solved.grid.map((value, i) => (i === 3 ? 7 : value)) }, true, null, 'x')).toThrow(
      'middle code',
    )
    expect(() => packBlocks({ ...solved, grid: solved.grid.map((value, i) => (i === 2 ? 0.1 : value)) }, true, null, 'x')).toThrow(
      'float16',
    )
    expect(() => packBlocks({ ...solved, bits: 8 }, false, null, 'x')).toThrow('no block')
    const far = { ...solved, grid: solved.grid.map((value, i) => (i % 2 ? 15 : i === 0 ? 60000 : value)) }
    expect(() => packBlocks(far, false, null, 'x')).toThrow('x holds')
  })
})

test('a head is read back, parts and all', async () => {
  const metadata = encodeMetadata([
    ['general.architecture', { type: 'text', value: 'llama' }],
    ['a.flag', { type: 'bool', value: true }],
    ['a.list', { type: 'list', of: 'text', value: ['é', ''] }],
    ['a.number', { type: 'f32', value: 0.5 }],
    ['a.negative', { type: 'i32', value: -7 }],
  ])
  const tensors = [ggufTensor('x', 'F32', [3, 5]), ggufTensor('y', 'Q8_0', [2, 64]), ggufTensor('z', 'F16', [1])]
  const [whole] = planFiles('m', [metadata], tensors)
  expect(whole.path).toBe('m.gguf')
  const found = await readHead(new Blob([whole.head.slice()]), 'm.gguf')
  expect(Object.fromEntries(found.metadata)).toEqual({
    'general.architecture': 'llama',
    'a.flag': true,
    'a.list': ['é', ''],
    'a.number': 0.5,
    'a.negative': -7,
  })
  expect([...found.tensors].map(([name, { shape, type, offset }]) => [name, shape, type, offset - whole.head.length])).toEqual([
    ['x', [3, 5], 0, 0],
    ['y', [2, 64], 8, 64],
    ['z', [1], 1, 224],
  ])
  expect(whole.parts.map(({ offset }) => offset % 32)).toEqual([0, 0, 0])
  const parts = planFiles('m', [metadata], tensors, whole.head.length + 100)
  expect(parts.map(({ path }) => path)).toEqual(['m-00001-of-00002.gguf', 'm-00002-of-00002.gguf'])
  const second = await readHead(new Blob([parts[1].head.slice()]), '')
  expect(Object.fromEntries(second.metadata)).toEqual({ 'split.no': 1, 'split.count': 2, 'split.tensors.count': 3 })
  expect([...second.tensors.keys()]).toEqual(['y', 'z'])
  expect(() => ggufTensor('w', 'Q4_0', [2, 48])).toThrow('no whole blocks')
})

/** A random LLaMA with the demo's tokenizer, nothing of it quantized: what is copied, and in which order. */
async function plain(changes: Record<string, unknown> = {}) {
  const config = {
    ...{ model_type: 'llama', hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2 },
    ...{ intermediate_size: 96, vocab_size: 1024, max_position_embeddings: 128, rms_norm_eps: 1e-6, eos_token_id: 0, ...changes },
  }
  const files = memoryFiles([...randomModel(config, 3), ['tokenizer.json', await readFile('public/demo/tokenizer.json', 'utf8')]])
  const folder = await openFolder(files, 'a model')
  const vocabulary = await loadVocabulary(files, await loadTokenizer(files))
  const opened = { ...openModel(folder), vocabulary }
  const copied = [...folder.checkpoint.tensors.values()]
  const plan: ExportPlan = {
    settings,
    linears: [],
    levels: 'uniform',
    outliers: false,
    copied,
    changed: [],
    decoder: null,
    model: factsOf(opened),
  }
  return { plan, folder }
}

async function written({ plan, folder }: Awaited<ReturnType<typeof plain>>, fileBytes?: number) {
  const sink = memorySink()
  const stream = new GgufStream(plan, layoutOf(plan, fileBytes), folder, sink)
  await stream.copy(async () => {})
  const files = await stream.finish()
  await stream.verify(async () => {})
  return { sink, stream, files }
}

test('parts are found by llama.cpp, and hold what one file does', async () => {
  const model = await plain()
  const whole = await written(model)
  const parts = await written(model, 150_000)
  expect(whole.files).toEqual([{ path: 'a-model-F32.gguf', bytes: gguf.bytes(model.plan) }])
  expect(parts.files.length).toBeGreaterThan(3)
  const place = await mkdtemp(join(tmpdir(), 'gguf-'))
  for (const { sink } of [whole, parts]) for (const [path, bytes] of sink.files) await writeFile(join(place, path), bytes)
  const ids = [5, 900, 17, 17, 33]
  const rows = []
  for (const { files } of [whole, parts]) {
    const opened = await LlamaModel.open(join(place, files[0].path))
    rows.push(await opened.probabilities(ids, 1024))
    await opened.dispose()
  }
  expect(rows[1]).toEqual(rows[0])
  await rm(place, { recursive: true })
})

test('a byte that comes back otherwise is found, and so is a file that is no longer one', async () => {
  const { sink, stream, files } = await written(await plain())
  const content = sink.files.get(files[0].path)!
  const { tensors } = await readHead(new Blob([content]), '')
  const { offset } = tensors.get('blk.1.ffn_norm.weight')!
  content[offset + 3] ^= 1
  await expect(stream.verify(async () => {})).rejects.toMatchObject({
    code: 'storage-failed',
    message: expect.stringMatching(/^blk.1.ffn_norm.weight/),
  })
  content[0] ^= 1
  await expect(stream.verify(async () => {})).rejects.toMatchObject({
    code: 'storage-failed',
    message: expect.stringMatching(/^a-model-F32.gguf/),
  })
})

describe('what GGUF cannot hold is refused with the nearest choice that can', () => {
  const one = { name: 'model.layers.0.mlp.up_proj', q: 64, p: 64, bits: 4 as const, groups: 2, dtype: 'F16' as const }
  const plan: ExportPlan = {
    settings,
    linears: [one],
    levels: 'uniform',
    outliers: false,
    copied: [],
    changed: [],
    decoder: null,
    model: someModel,
  }
  const of = (changes: Partial<ExportSettings>): Partial<ExportPlan> => ({ settings: { ...settings, ...changes } })
  const attention = someModel.attention!
  const rope = attention.ropes[0] as Rope
  const four = { ...attention, ropes: [rope, rope, rope, rope], spans: Array(4).fill(Number.POSITIVE_INFINITY) }
  const delta = { recalls: [false], keyHeads: 2, heads: 4, dk: 64, dv: 64, sections: [11, 11, 10] }
  const yarn = { kind: 'yarn', factor: 4, original: 32, fast: 16, slow: 1, attention: 1 } as const
  const model = (changes: Partial<ExportPlan['model']>): Partial<ExportPlan> => ({ model: { ...someModel, ...changes } })

  it.each<[what: string, changes: Partial<ExportPlan>, why: RegExp, instead: RegExp]>([
    [
      'asymmetric 8 bits',
      { ...of({ bits: 8, symmetric: false }), linears: [{ ...one, bits: 8 }] },
      /asymmetric codes of 8 bits/,
      /8 bits symmetric .*4 bits asymmetric/,
    ],
    ['groups of 16', of({ groupSize: 16 }), /groups of 16 do not fit/, /32, 64 or 128/],
    ['act-order that moves groups', of({ actOrder: true }), /act-order/, /static groups/],
    ['outliers', { outliers: true }, /outliers/, /without outliers/],
    ['other levels', { levels: 'real' }, /no type for this kind of grid/, /uniform grid/],
    ['rows that blocks do not divide', { linears: [{ ...one, p: 44 }] }, /up_proj have 44 weights/, /GPTQ/],
    [
      'Gemma 4 that shares keys and values of other blocks',
      model({
        family: 'gemma4',
        blocks: 4,
        attention: { ...four, spans: [9, Number.POSITIVE_INFINITY, 9, 9], scoreScale: 1, sharedFrom: 3 },
      }),
      /from the two blocks before/,
      /GPTQ/,
    ],
    [
      'delta nets with narrow keys',
      model({ family: 'qwen3_5', attention: { ...attention, delta: { ...delta, dk: 32 } } }),
      /as wide/,
      /GPTQ/,
    ],
    [
      'delta nets whose heads are no blocks',
      model({ family: 'qwen3_5', attention: { ...attention, delta: { ...delta, dk: 24, dv: 24 } } }),
      /heads of 24 are no blocks/,
      /GPTQ/,
    ],
    [
      'super-blocks whose columns move',
      {
        ...model({
          family: 'qwen3_5',
          attention: { ...attention, delta },
          parts: [{ name: 'model.o.weight', block: 0, part: 'linear_attn.out_proj.weight', plus: 0 }],
        }),
        levels: 'q4_k',
        linears: [{ ...one, name: 'model.o', p: 256 }],
      },
      /model.o in another order/,
      /Q4_0/,
    ],
    ['OPT', model({ family: 'opt', label: 'OPT' }), /files of OPT models are not written/, /GPTQ/],
    ['an arrangement that nobody describes', model({ attention: null }), /this kind of LLaMA/, /GPTQ/],
    ['another scaling', model({ attention: { ...attention, ropes: ['a dynamic scaling'] } }), /a dynamic scaling/, /GPTQ/],
    ['YaRN with other ends', model({ attention: { ...attention, ropes: [{ ...rope, scaling: yarn }] } }), /beta_fast 32/, /GPTQ/],
    [
      'YaRN in Gemma',
      model({ family: 'gemma3', attention: { ...attention, ropes: [{ ...rope, scaling: yarn }] } }),
      /support yarn/,
      /GPTQ/,
    ],
    ['a part of each head', model({ attention: { ...attention, ropes: [{ ...rope, width: 16 }] } }), /whole heads/, /GPTQ/],
    [
      'growing queries by other steps',
      model({ family: 'ministral3', attention: { ...attention, ropes: [{ ...rope, scaling: yarn, queries: { beta: 1, original: 7 } }] } }),
      /grow/,
      /GPTQ/,
    ],
    ['multipliers', model({ multipliers: { embedding: 1, residual: 0.5, logits: 1 } }), /no multipliers/, /GPTQ/],
    ['SmolLM3 that rotates in every block', model({ family: 'smollm3', blocks: 4, attention: four }), /except every 4th/, /GPTQ/],
    ['OLMo 2 with tied embeddings', model({ family: 'olmo2', label: 'OLMo 2' }), /OLMo 2 only without tied/, /GPTQ/],
    [
      'OLMo 3 with a base of its own',
      model({
        family: 'olmo3',
        blocks: 4,
        parts: [{ name: 'lm_head.weight', block: null, part: 'head', plus: 0 }],
        attention: {
          ...four,
          ropes: four.ropes.map((one, k) => (k === 3 ? { ...rope, theta: 7 } : one)),
          spans: [9, 9, 9, Number.POSITIVE_INFINITY],
        },
      }),
      /one base/,
      /GPTQ/,
    ],
    [
      'Falcon with ALiBi',
      model({ family: 'falcon', label: 'Falcon', attention: { ...attention, ropes: [null] } }),
      /Falcon with rotary positions only/,
      /GPTQ/,
    ],
    [
      'scores of another scale',
      model({ family: 'gemma3', label: 'Gemma 3', attention: { ...attention, scoreScale: 0.1 } }),
      /by √32, and this model by 10/,
      /GPTQ/,
    ],
    [
      'biases without a place',
      model({ family: 'qwen3', label: 'Qwen3', parts: [{ name: 'model.o.bias', block: 0, part: 'self_attn.o_proj.bias', plus: 0 }] }),
      /no tensor model.o.bias/,
      /GPTQ/,
    ],
    [
      'LLaMA 3’s RoPE in Qwen',
      model({
        family: 'qwen2',
        label: 'Qwen2',
        attention: { ...attention, ropes: [{ ...rope, scaling: { kind: 'factors', factors: [1] } }] },
      }),
      /LLaMA 3’s scaling/,
      /GPTQ/,
    ],
    [
      'windows in other blocks',
      model({
        family: 'gemma2',
        label: 'Gemma 2',
        logitCap: 30,
        attention: { ...attention, scoreCap: 50, spans: [9, 9], ropes: [attention.ropes[0], attention.ropes[0]] },
      }),
      /except every 2nd/,
      /GPTQ/,
    ],
  ])('%s', (_, changes, why, instead) => {
    const refusal = gguf.accepts({ ...plan, ...changes })
    expect(refusal?.why).toMatch(why)
    expect(refusal?.instead).toMatch(instead)
  })

  it('and what it holds otherwise than one would think is said', () => {
    expect(gguf.accepts(plan)).toBeNull()
    expect(gguf.remarks(plan)).toEqual([])
    const said = (changes: Partial<ExportPlan>) => gguf.remarks({ ...plan, ...changes }).map(({ message }) => message)
    expect(said({ settings: { ...plan.settings, otherModules: ['vision_tower'] } })).toEqual([
      'A GGUF file contains the text model only, without vision_tower.',
    ])
    expect(said(of({ symmetric: false }))).toEqual([expect.stringContaining('0.73 % of a step')])
    expect(said(of({ bits: 3 }))).toEqual([expect.stringContaining('codes of 3 bits take the space of 4 bits (Q4_0, 4.5 bits per weight)')])
    expect(said(model({ family: 'mistral', attention: { ...attention, spans: [64] } }))).toEqual([
      expect.stringContaining('a context of 64 tokens'),
    ])
    const typed = { ...of({ bits: 4, groupSize: 32, symmetric: false }), levels: 'q4_k' }
    expect(said({ ...typed, linears: [{ ...one, p: 256, levels: 'q4_k' }] })).toEqual([])
    const fallen = { ...one, p: 288, bits: 5 as const, levels: 'signed', symmetric: true }
    expect(said({ ...typed, linears: [{ ...one, p: 256, levels: 'q4_k' }, fallen] })).toEqual([
      expect.stringContaining('1 of 2 linears have rows that super-blocks of 256 weights do not divide: they are stored in Q5_0'),
    ])
    expect(gguf.compatibility(plan).map(({ runtime, loads }) => [runtime, loads])).toEqual([
      ['QuantEase Workbench', false],
      ['llama.cpp', true],
      ['Ollama', true],
      ['LM Studio', true],
      ['wllama', true],
      ['transformers', true],
    ])
    // transformers finds no model in a folder without config.json unless it is told the file.
    const { command } = gguf.compatibility(plan).find(({ runtime }) => runtime === 'transformers')!
    expect(command).toMatch(/'\{folder\}', model_kwargs=\{'gguf_file': '[\w.-]+\.gguf'\}/)
  })
})
