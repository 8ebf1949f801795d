/** Text models inside larger repositories, and mixtures of experts, by config.json and the names of tensors alone. */
import { describe, expect, it, test } from 'vitest'
import type { Bytes } from '../io/bytes.ts'
import { openFolder } from '../io/folder.ts'
import { openCheckpoint } from '../io/safetensors.ts'
import { refusal } from '../io/testing.ts'
import { fixtureFiles, fixtures } from './fixtures/fixtures.ts'
import { readModel } from './index.ts'
import { type Tensors, safetensorsOf } from './testing.ts'
import { openModel } from './open.ts'

const text = {
  model_type: 'ministral3',
  hidden_size: 3072,
  num_hidden_layers: 26,
  num_attention_heads: 32,
  intermediate_size: 9216,
  vocab_size: 131072,
}
const repository = { model_type: 'mistral3', text_config: text, vision_config: { model_type: 'pixtral' } }
const open = async (name: string) => openModel(await openFolder(await fixtureFiles(fixtures.find((one) => one.name === name)!)))

describe('a text model in a larger repository', () => {
  it('is read from text_config, and says where it lies', () => {
    const { family, model, partOf } = readModel(repository)
    expect([family.id, partOf, model.shape.hidden, model.shape.tied]).toEqual(['ministral3', 'mistral3', 3072, true])
    expect(readModel(text)).toMatchObject({ partOf: null })
  })

  it('is of the type that transformers assumes where it names none', () => {
    const { model_type: _, ...unnamed } = text
    expect(readModel({ ...repository, text_config: unnamed }).family.id).toBe('mistral')
    expect(readModel({ ...repository, model_type: 'gemma3', text_config: { ...unnamed, num_key_value_heads: 4 } }).family.id).toBe('gemma3')
  })

  it.each([
    [{ tie_word_embeddings: false }, true, false],
    [{ tie_word_embeddings: true }, false, true],
    [{}, false, false],
    [{}, true, true],
  ])('has its head as %o says it, and else as the text model does (%s)', (outer, inner, tied) => {
    expect(readModel({ ...repository, ...outer, text_config: { ...text, tie_word_embeddings: inner } }).model.shape.tied).toBe(tied)
  })

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['no text_config', { ...repository, text_config: undefined }, /text_config, which is missing/],
    ['a text_config that is no object', { ...repository, text_config: [] }, /text_config/],
    ['a text model of an unknown type', { ...repository, text_config: { ...text, model_type: 'glm4' } }, /"glm4"/],
    ['a wrong field in it', { ...repository, text_config: { ...text, hidden_size: -4 } }, /hidden_size/],
    ['an unknown repository', { ...repository, model_type: 'kosmos' }, /vision_config/],
    ['experts in it', { ...repository, text_config: { ...text, num_local_experts: 8 } }, /mixture of experts: num_local_experts is 8/],
  ])('%s is refused', async (_, config, message) => {
    expect((await refusal(() => readModel(config))).message).toMatch(message)
  })

  test.each([
    ['mistral3', 'language_model.model', ['vision_tower', 'multi_modal_projector'], 15],
    ['gemma-3-vision', 'language_model.model', ['vision_tower', 'multi_modal_projector'], 23],
    ['smolvlm', 'model.text_model', ['vision_model', 'connector'], 22],
    ['llava', 'language_model.model', ['vision_tower', 'multi_modal_projector'], 43],
    ['internvl', 'language_model.model', ['vision_tower', 'multi_modal_projector'], 25],
    ['idefics3', 'model.text_model', ['vision_model', 'connector'], 22],
  ])('%s: says which part is meant, and what stays', async (name, prefix, parts, count) => {
    const opened = await open(name)
    const [{ message }, ...more] = opened.remarks
    expect(more).toEqual([])
    expect(message).toContain(`tensors below ${prefix})`)
    expect(message).toContain(`The other ${count} tensors`)
    for (const part of parts) expect(message).toContain(part)
  })
})

describe('a mixture of experts is refused with its size', () => {
  const mixtral = {
    model_type: 'mixtral',
    num_local_experts: 8,
    num_experts_per_tok: 2,
    hidden_size: 4096,
    intermediate_size: 14336,
    num_hidden_layers: 32,
  }
  const deepseek = {
    ...{ model_type: 'deepseek_v3', n_routed_experts: 256, num_experts_per_tok: 8, hidden_size: 7168, moe_intermediate_size: 2048 },
    ...{ intermediate_size: 18432, num_hidden_layers: 61, first_k_dense_replace: 3 },
  }

  it.each<[string, Record<string, unknown>, RegExp, RegExp]>([
    // Mixtral 8x7B: 46.7 billion parameters, 1.6 of them outside the experts.
    [
      'mixtral',
      mixtral,
      /num_local_experts is 8, in each of about 32 blocks, 2 of them for each token, with some 45.1 billion/,
      /25 % of the tokens/,
    ],
    [
      'tiny',
      { model_type: 'qwen3_moe', num_experts: 4, moe_intermediate_size: 32, hidden_size: 64, num_hidden_layers: 2 },
      /with some 49,152 parameters in all/,
      /0.0781 MiB for each block/,
    ],
    // DeepSeek V3: 671 billion.
    ['deepseek', deepseek, /n_routed_experts is 256, in each of about 58 blocks, 8 of them .* 654 billion/, /3.13 % of the tokens.*GiB/],
    // Qwen3.5 35B-A3B, whose repository has a type of its own.
    [
      'in a repository',
      {
        ...{ model_type: 'qwen3_5_moe', vision_config: {} },
        text_config: { num_experts: 256, num_experts_per_tok: 8, hidden_size: 2048, moe_intermediate_size: 512, num_hidden_layers: 40 },
      },
      /num_experts is 256, in each of about 40 blocks, 8 of them .* 32.2 billion/,
      /GiB/,
    ],
    ['no sizes', { model_type: 'other', num_experts: 4 }, /num_experts is 4\.$/, /^Only dense models are supported\. /],
    ['hostile sizes', { ...mixtral, hidden_size: 1e300 }, /num_local_experts is 8\.$/, /dense/],
    ['no number', { model_type: 'other', num_experts: { a: 'b' } }, /num_experts is \{"a":"b"\}\.$/, /dense/],
  ])('%s', async (_, config, message, hint) => {
    const error = await refusal(() => readModel(config))
    expect(error.code).toBe('config-unsupported')
    expect(error.message).toMatch(message)
    expect(error.hint).toMatch(hint)
  })
})

describe('Qwen3.5', () => {
  const text = {
    ...{ model_type: 'qwen3_5_text', hidden_size: 64, num_hidden_layers: 8, num_attention_heads: 2, intermediate_size: 96, vocab_size: 64 },
    ...{ num_key_value_heads: 1, head_dim: 32, hidden_act: 'silu', linear_num_key_heads: 2, linear_num_value_heads: 4 },
  }
  const recalls = (config: Record<string, unknown>) => readModel(config).model.architecture!.mixers!.map((sizes) => sizes !== null)

  it('attends in every fourth block, or where the config says so, and rotates a quarter of each head', () => {
    const usual = [true, true, true, false, true, true, true, false]
    expect(recalls(text)).toEqual(usual)
    expect(recalls({ ...text, full_attention_interval: 2 })).toEqual([true, false, true, false, true, false, true, false])
    const types = usual.map((one) => (one ? 'linear_attention' : 'full_attention'))
    expect(recalls({ ...text, layer_types: types, full_attention_interval: 4 })).toEqual(usual)
    const share = (config: Record<string, unknown>) => readModel(config).model.architecture!.ropes[0]!.share
    expect(share(text)).toBe(0.25)
    expect(share({ ...text, rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.5 } })).toBe(0.5)
  })

  it('has its head where transformers expects it', () => {
    expect(readModel({ model_type: 'qwen3_5', text_config: text }).model.shape.tied).toBe(false)
    expect(readModel({ model_type: 'qwen3_5', text_config: { ...text, tie_word_embeddings: true } }).model.shape.tied).toBe(true)
  })

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['experts', { num_experts: 256 }, /num_experts is 256/],
    ['longer convolutions', { linear_conv_kernel_dim: 7 }, /linear_conv_kernel_dim is 7/],
    ['attention without a gate', { attn_output_gate: false }, /attn_output_gate is false/],
    ['another kind of block', { layer_types: Array(8).fill('sliding_attention') }, /layer_types holds "sliding_attention"/],
    ['too few kinds of blocks', { layer_types: ['full_attention'] }, /1 entries for 8 blocks/],
    [
      'kinds that contradict the interval',
      { layer_types: Array(8).fill('full_attention'), full_attention_interval: 4 },
      /full_attention_interval is 4/,
    ],
    ['heads that cannot share', { linear_num_key_heads: 3 }, /4 value heads of linear attention cannot share 3 key heads/],
    ['heads that 4 does not divide', { linear_num_value_heads: 2 }, /linear_num_value_heads is 2/],
    ['another activation', { hidden_act: 'gelu' }, /hidden_act is "gelu"/],
    ['no sizes', { linear_key_head_dim: 'wide' }, /linear_key_head_dim/],
  ])('%s: refused', async (_, changes, message) => {
    expect((await refusal(() => readModel({ ...text, ...changes }))).message).toMatch(message)
  })

  test.each(['qwen3.5', 'qwen3.5-vision'])('%s: what stays in full precision is told, and so is the multi-token head', async (name) => {
    const files = await fixtureFiles(fixtures.find((one) => one.name === name)!)
    const weights = await openCheckpoint(files)
    const tensors: Tensors = new Map()
    for (const [tensor, { shape }] of weights.tensors)
      tensors.set(tensor, { shape: [...shape], data: new Float32Array(shape.reduce((a, b) => a * b, 1)) })
    for (const tensor of ['mtp.fc.weight', 'mtp.layers.0.mlp.up_proj.weight'])
      tensors.set(tensor, { shape: [4, 4], data: new Float32Array(16) })
    const opened = openModel(
      await openFolder(new Map<string, Bytes>([...files, ['model.safetensors', new Blob([safetensorsOf(tensors)])]])),
    )
    const messages = opened.remarks.map(({ message }) => message).join(' ')
    expect(messages).toMatch(
      name === 'qwen3.5' ? /multi-token head \(2 tensors below mtp\) is copied/ : /other \d+ tensors \(.*mtp.*\) are copied/,
    )
    expect(messages).toMatch(
      /In \d of \d blocks these stay in full precision: linear_attn.conv1d \(convolution\), .*in_proj_b.*in_proj_a.*A_log.*dt_bias/,
    )
    expect(messages).not.toContain('not used')
    expect(opened.otherModules).toContain('mtp')
  })
})

describe('Gemma 4', () => {
  const text = {
    ...{ model_type: 'gemma4_text', hidden_size: 64, num_hidden_layers: 12, num_attention_heads: 4, intermediate_size: 96, vocab_size: 64 },
    ...{ num_key_value_heads: 2, head_dim: 16, global_head_dim: 32, num_global_key_value_heads: 1, hidden_size_per_layer_input: 0 },
  }
  const projections = (config: Record<string, unknown>, k: number) =>
    readModel(config).model.layouts[k].stages[0].map(({ name, q }) => [name.split('.')[1], q])

  it('has wider heads in every sixth block, whose keys are its values where the config says so', () => {
    for (const k of [0, 4])
      expect(projections({ ...text, attention_k_eq_v: true }, k)).toEqual([
        ['q_proj', 64],
        ['k_proj', 32],
        ['v_proj', 32],
      ])
    for (const k of [5, 11])
      expect(projections({ ...text, attention_k_eq_v: true }, k)).toEqual([
        ['q_proj', 128],
        ['k_proj', 32],
      ])
    expect(projections(text, 5)).toEqual([
      ['q_proj', 128],
      ['k_proj', 64],
      ['v_proj', 64],
    ])
    const { ropes } = readModel(text).model.architecture!
    expect(ropes[5]).toEqual({ theta: 1e6, share: 0.25, scaling: { kind: 'proportional', factor: 1 } })
    expect(ropes[0]).toEqual({ theta: 1e4, share: 1, scaling: { kind: 'none' } })
  })

  it('of the unified type has no per-layer embeddings, in its repository too', () => {
    const { hidden_size_per_layer_input: _, ...rest } = text
    const { model, partOf } = readModel({ model_type: 'gemma4_unified', text_config: { ...rest, model_type: 'gemma4_unified_text' } })
    expect([partOf, model.shape.tied, model.shape.maxPositions]).toEqual(['gemma4_unified', true, 262144])
    expect(readModel({ model_type: 'gemma4', text_config: text }).partOf).toBe('gemma4')
  })

  it('has per-layer embeddings where nothing is said, and blocks at the end that borrow keys and values', () => {
    const small = { ...text, hidden_size_per_layer_input: undefined, vocab_size_per_layer_input: 64 }
    const { model } = readModel({ ...small, num_kv_shared_layers: 6, use_double_wide_mlp: true })
    expect(model.perLayer).toMatchObject({ vocab: 64, blocks: 12, width: 256 })
    // Keys and values of block 4, which has a window, and of block 5, which sees everything.
    expect(model.shape.carried).toBe(2 * 32 + 2 * 64)
    const own = model.layouts.map(({ stages }) => [stages[0].length, stages[2][0].q])
    expect(own).toEqual([...Array(6).fill([3, 96]), ...Array(6).fill([1, 192])])
    expect(new Set(model.layouts).size).toBe(4)
    expect(model.layouts[11].vectors.map(({ name }) => name)).not.toContain('self_attn.k_norm.weight')
    expect(readModel(small).model.shape.carried).toBe(0)
  })

  it('tells which tensors of a published checkpoint nothing uses, and what stays in full precision', async () => {
    const files = await fixtureFiles(fixtures.find((one) => one.name === 'gemma-4-e2b')!)
    const weights = await openCheckpoint(files)
    const tensors: Tensors = new Map()
    for (const [tensor, { shape }] of weights.tensors)
      tensors.set(tensor, { shape: [...shape], data: new Float32Array(shape.reduce((a, b) => a * b, 1)) })
    const extra = ['k_proj', 'v_proj', 'k_norm'].map((part) => `model.layers.3.self_attn.${part}.weight`)
    for (const tensor of extra) tensors.set(tensor, { shape: [4, 4], data: new Float32Array(16) })
    const open = async () =>
      openModel(await openFolder(new Map<string, Bytes>([...files, ['model.safetensors', new Blob([safetensorsOf(tensors)])]])))
    const { remarks, otherModules } = await open()
    const messages = remarks.map(({ message }) => message).join(' ')
    expect(messages).toContain('3 tensors, keys and values of blocks 3 and later, which use those of earlier blocks, are copied')
    expect(messages).toContain(
      'In all blocks these stay in full precision: per_layer_input_gate (gate of what tokens say), per_layer_projection',
    )
    expect(messages).not.toContain('not used')
    expect(otherModules).toEqual([])
    tensors.set('model.embed_tokens_per_layer.weight', { shape: [1024, 20], data: new Float32Array(20480) })
    expect((await refusal(open)).message).toMatch(/embed_tokens_per_layer.weight .* has the shape \[1024, 20\], .* should be \[1024, 24\]/)
  })

  it.each<[string, Record<string, unknown>, RegExp]>([
    [
      'tables of different length',
      { hidden_size_per_layer_input: 16, vocab_size_per_layer_input: 32 },
      /vocab_size_per_layer_input is 32, and vocab_size is 64/,
    ],
    [
      'a width that kernels do not take',
      { hidden_size_per_layer_input: 6, vocab_size_per_layer_input: 64 },
      /hidden_size_per_layer_input is 6/,
    ],
    ['no block with keys of its own', { num_kv_shared_layers: 12 }, /num_kv_shared_layers is 12 of 12 blocks/],
    ['a kind of attention without keys', { num_kv_shared_layers: 7 }, /hold one of full_attention, and none of the 5 before/],
    ['experts', { enable_moe_block: true, num_experts: 128 }, /num_experts is 128/],
    ['attention to what follows', { use_bidirectional_attention: 'all' }, /use_bidirectional_attention/],
    ['a cap', { attn_logit_softcapping: 50 }, /attn_logit_softcapping/],
    [
      'widths that disagree',
      { per_layer_config: { 5: { head_dim: 16 }, 11: { head_dim: 16 } } },
      /global_head_dim is 32, but per_layer_config is 16/,
    ],
    ['sizes of another block', { per_layer_config: { 0: { head_dim: 32 } } }, /per_layer_config has a block 0/],
    ['different sizes', { per_layer_config: { 5: { head_dim: 32 } } }, /different sizes/],
    ['heads that cannot share', { attention_k_eq_v: true, num_global_key_value_heads: 3 }, /4 attention heads cannot share 3/],
    ['another activation', { hidden_activation: 'silu' }, /"silu"/],
  ])('%s: refused', async (_, changes, message) => {
    expect((await refusal(() => readModel({ ...text, ...changes }))).message).toMatch(message)
  })
})

describe('Granite 4', () => {
  const dense = {
    ...{ model_type: 'granitemoehybrid', hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2 },
    ...{ vocab_size: 64, num_local_experts: 0, shared_intermediate_size: 96, layer_types: ['attention', 'attention'] },
  }

  it('is read where it is dense, with older names of its blocks too, and without rotation', () => {
    const { layer_types: types, ...others } = dense
    for (const config of [dense, { ...others, layers_block_type: types }, { ...others, layer_types: ['full_attention', 'full_attention'] }])
      expect(readModel(config).model.shape.ffn).toBe(96)
    expect(readModel(dense).model.architecture?.ropes).toEqual([null, null])
    expect(readModel({ ...dense, position_embedding_type: 'rope' }).model.architecture?.ropes[0]?.theta).toBe(1e4)
  })

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['experts', { ...dense, num_local_experts: 62 }, /num_local_experts is 62/],
    ['no word on experts', { ...dense, num_local_experts: undefined }, /num_local_experts is missing/],
    ['state-space blocks', { ...dense, layer_types: ['mamba', 'attention'] }, /layer_types holds "mamba"/],
    ['no word on blocks', { ...dense, layer_types: undefined }, /layer_types is missing/],
    ['kinds that contradict each other', { ...dense, layers_block_type: ['mamba', 'mamba'] }, /layers_block_type is/],
  ])('%s are refused', async (_, config, message) => {
    expect((await refusal(() => readModel(config))).message).toMatch(message)
  })
})
