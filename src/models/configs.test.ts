/** Configurations of published models, older spellings, and what is refused before any weight is read. */
import { readFile } from 'node:fs/promises'
import { describe, expect, it, test } from 'vitest'
import { refusal } from '../io/testing.ts'
import { keptOf, linearsOf } from './family.ts'
import { readModel } from './index.ts'
import { readRope } from './rope-settings.ts'

const opt = { model_type: 'opt', hidden_size: 2048, num_hidden_layers: 24, num_attention_heads: 32, ffn_dim: 8192, vocab_size: 50272 }
const opt350 = {
  ...opt,
  hidden_size: 1024,
  num_attention_heads: 16,
  ffn_dim: 4096,
  word_embed_proj_dim: 512,
  do_layer_norm_before: false,
}
const bloom = {
  model_type: 'bloom',
  n_embed: 1024,
  n_layer: 24,
  num_attention_heads: 16,
  n_inner: null,
  vocab_size: 250880,
  seq_length: 2048,
}
const falcon7 = {
  model_type: 'falcon',
  hidden_size: 4544,
  num_hidden_layers: 32,
  num_attention_heads: 71,
  num_kv_heads: 71,
  vocab_size: 65024,
  multi_query: true,
  parallel_attn: true,
  new_decoder_architecture: false,
  bias: false,
  alibi: false,
}
const falcon40 = {
  ...falcon7,
  hidden_size: 8192,
  num_hidden_layers: 60,
  num_attention_heads: 128,
  num_kv_heads: 8,
  new_decoder_architecture: true,
}
const falconRw = {
  model_type: 'falcon',
  hidden_size: 2048,
  num_hidden_layers: 24,
  num_attention_heads: 32,
  vocab_size: 50304,
  multi_query: false,
  parallel_attn: false,
  new_decoder_architecture: false,
  bias: true,
  alibi: true,
}

const llama2 = {
  model_type: 'llama',
  hidden_size: 4096,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  intermediate_size: 11008,
  vocab_size: 32000,
  max_position_embeddings: 4096,
  pad_token_id: -1,
  rope_scaling: null,
}
const llama32 = {
  ...llama2,
  hidden_size: 2048,
  num_hidden_layers: 16,
  num_key_value_heads: 8,
  intermediate_size: 8192,
  vocab_size: 128256,
  max_position_embeddings: 131072,
  rope_theta: 500000,
  rope_scaling: { factor: 32, high_freq_factor: 4, low_freq_factor: 1, original_max_position_embeddings: 8192, rope_type: 'llama3' },
  tie_word_embeddings: true,
}
const smollm2 = {
  ...llama2,
  hidden_size: 576,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  intermediate_size: 1536,
  vocab_size: 49152,
  max_position_embeddings: 8192,
  rope_interleaved: false,
  tie_word_embeddings: true,
}
const mistral7 = { ...llama2, model_type: 'mistral', num_key_value_heads: 8, intermediate_size: 14336, max_position_embeddings: 32768 }
const qwen25 = {
  model_type: 'qwen2',
  hidden_act: 'silu',
  hidden_size: 896,
  num_hidden_layers: 24,
  num_attention_heads: 14,
  num_key_value_heads: 2,
  intermediate_size: 4864,
  vocab_size: 151936,
  max_window_layers: 21,
  sliding_window: 32768,
  use_sliding_window: false,
  use_mrope: false,
  rope_theta: 1e6,
  tie_word_embeddings: true,
}
const qwen3 = {
  ...qwen25,
  model_type: 'qwen3',
  attention_bias: false,
  head_dim: 128,
  hidden_size: 1024,
  num_hidden_layers: 28,
  num_attention_heads: 16,
  num_key_value_heads: 8,
  intermediate_size: 3072,
}
const gemma2 = {
  model_type: 'gemma2',
  hidden_act: 'gelu_pytorch_tanh',
  hidden_activation: 'gelu_pytorch_tanh',
  hidden_size: 2304,
  num_hidden_layers: 26,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 256,
  intermediate_size: 9216,
  vocab_size: 256000,
  query_pre_attn_scalar: 256,
  sliding_window: 4096,
  attn_logit_softcapping: 50,
  final_logit_softcapping: 30,
}
const gemma3 = {
  model_type: 'gemma3_text',
  hidden_activation: 'gelu_pytorch_tanh',
  hidden_size: 1152,
  num_hidden_layers: 26,
  num_attention_heads: 4,
  num_key_value_heads: 1,
  head_dim: 256,
  intermediate_size: 6912,
  vocab_size: 262144,
  max_position_embeddings: 32768,
  query_pre_attn_scalar: 256,
  sliding_window: 512,
  sliding_window_pattern: 6,
  rope_theta: 1e6,
  rope_local_base_freq: 1e4,
  rope_scaling: null,
  attn_logit_softcapping: null,
  final_logit_softcapping: null,
}

/** Parameters beside the head, as openModel counts them. */
function parameters(config: Record<string, unknown>): number {
  const { model } = readModel(config)
  const { vocab, embedWidth } = model.shape
  const extents = model.layouts.flatMap((layout) => [
    ...linearsOf(layout).map(({ q, p }) => q * p),
    ...layout.vectors.map(({ length }) => length),
    ...keptOf(layout).map(({ shape }) => shape.reduce((a, b) => a * b, 1)),
  ])
  return (
    vocab * embedWidth +
    extents.reduce((sum, size) => sum + size, 0) +
    model.outer.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)
  )
}

describe('published models', () => {
  it.each([
    ['Llama-2-7b', llama2, 6_607_343_616, { heads: 32, kvHeads: 32, headDim: 128, maxPositions: 4096, tied: false }],
    ['Llama-3.2-1B', llama32, 1_235_814_400, { heads: 32, kvHeads: 8, headDim: 64, maxPositions: 131072, tied: true }],
    ['SmolLM2-135M', smollm2, 134_515_008, { heads: 9, kvHeads: 3, headDim: 64, ffn: 1536 }],
    ['Mistral-7B', mistral7, 7_110_660_096, { heads: 32, kvHeads: 8, headDim: 128 }],
    ['Qwen2.5-0.5B', qwen25, 494_032_768, { heads: 14, kvHeads: 2, headDim: 64, maxPositions: 32768 }],
    ['Qwen3-0.6B', qwen3, 596_049_920, { heads: 16, kvHeads: 8, headDim: 128 }],
    ['gemma-2-2b', gemma2, 2_614_341_888, { heads: 8, kvHeads: 4, headDim: 256, maxPositions: 8192, tied: true }],
    ['gemma-3-1b', gemma3, 999_885_952, { heads: 4, kvHeads: 1, headDim: 256, tied: true }],
    ['opt-1.3b', opt, 1_315_758_080, { heads: 32, headDim: 64, ffn: 8192, embedWidth: 2048, maxPositions: 2048 }],
    ['opt-350m', opt350, 331_196_416, { heads: 16, headDim: 64, ffn: 4096, embedWidth: 512, maxPositions: 2048 }],
    ['bloom-560m', bloom, 559_214_592, { heads: 16, kvHeads: 16, headDim: 64, ffn: 4096, maxPositions: null, tied: true }],
    ['falcon-7b', falcon7, 6_921_720_704, { heads: 71, kvHeads: 1, headDim: 64, ffn: 18176, maxPositions: 2048, tied: true }],
    ['falcon-40b', falcon40, 41_303_293_952, { heads: 128, kvHeads: 8, headDim: 64, ffn: 32768 }],
    ['falcon-rw-1b', falconRw, 1_311_625_216, { heads: 32, kvHeads: 32, headDim: 64, ffn: 8192, maxPositions: null }],
  ])('%s', (_, config, count, shape) => {
    const { model } = readModel(config)
    expect(model.shape).toMatchObject(shape)
    expect(parameters(config)).toBe(count)
  })

  it.each([
    ['OLMo-2-1B', 1_484_916_736 - 100_352 * 2048],
    ['SmolLM3-3B', 3_075_098_624],
    ['Phi-4-mini', 3_836_021_760],
    ['Granite-3.3-2B', 2_533_539_840],
    ['Ministral-3-3B', 3_429_006_336],
    ['Qwen3.5-0.8B', 752_393_024],
    ['Qwen3.5-4B', 4_205_751_296],
  ])('%s, of the dry runs', async (name, count) => {
    expect(parameters(JSON.parse(await readFile(`e2e/dry-runs/${name}.json`, 'utf8')))).toBe(count)
  })

  test('the fused projection has the rows of its layout', () => {
    const rows = (config: Record<string, unknown>) => readModel(config).model.layouts[0].stages[0][0]
    expect(rows(falcon7)).toMatchObject({ name: 'self_attention.query_key_value', q: 4672, p: 4544 })
    expect(rows(falcon40)).toMatchObject({ q: 9216, p: 8192 })
    expect(rows(falconRw)).toMatchObject({ q: 6144, p: 2048 })
    expect(rows(bloom)).toMatchObject({ q: 3072, p: 1024 })
  })

  test('one norm for attention and MLP makes them one stage', () => {
    const stages = (config: Record<string, unknown>) =>
      readModel(config).model.layouts[0].stages.map((stage) => stage.map(({ name }) => name.split('.')[1]))
    expect(stages(falcon7)).toEqual([['query_key_value', 'dense_h_to_4h'], ['dense'], ['dense_4h_to_h']])
    expect(stages({ ...falcon40, num_ln_in_parallel_attn: 1 })).toEqual(stages(falcon7))
    expect(stages(falcon40)).toEqual([['query_key_value'], ['dense'], ['dense_h_to_4h'], ['dense_4h_to_h']])
  })
})

test('what other programs do not load', () => {
  const all = (config: Record<string, unknown>) => Object.entries(readModel(config).model.notLoaded ?? {})
  const notLoaded = (config: Record<string, unknown>) => all(config).filter(([runtime]) => runtime !== 'mlx-lm')
  for (const config of [opt, bloom, falcon7, falcon40]) expect(all(config).some(([runtime]) => runtime === 'mlx-lm')).toBe(true)
  const converter = 'llama.cpp (convert_hf_to_gguf)'
  expect(notLoaded(opt)).toEqual([[converter, expect.stringContaining('OPT')]])
  expect(notLoaded(bloom)).toEqual([])
  expect(notLoaded(falcon7)).toEqual([[converter, expect.stringContaining('71 key/value heads')]])
  expect(notLoaded({ ...falcon7, num_kv_heads: undefined })).toEqual([])
  expect(notLoaded(falcon40)).toEqual([])
  expect(notLoaded(falconRw)).toEqual([[converter, expect.stringContaining('rotary')]])
  expect(notLoaded({ ...falcon40, ffn_hidden_size: 100 }).map(([runtime]) => runtime)).toEqual(['vLLM', converter])
  const old = { ...falcon7, model_type: 'RefinedWebModel', num_kv_heads: undefined }
  expect(notLoaded(old)).toEqual([['transformers', expect.stringContaining('"RefinedWebModel"')]])
})

describe('older spellings', () => {
  it.each([
    ['n_embed, n_layer, n_head', bloom, { model_type: 'bloom', n_embed: 1024, n_layer: 24, n_head: 16, vocab_size: 250880 }],
    ['hidden_size, num_hidden_layers', bloom, { ...bloom, n_embed: undefined, n_layer: null, hidden_size: 1024, num_hidden_layers: 24 }],
    ['both, where they agree', bloom, { ...bloom, hidden_size: 1024, num_hidden_layers: 24, n_head: 16 }],
    [
      'RefinedWebModel',
      falcon7,
      { model_type: 'RefinedWebModel', hidden_size: 4544, n_layer: 32, n_head: 71, vocab_size: 65024, multi_query: true },
    ],
    ['RefinedWeb', falcon40, { model_type: 'RefinedWeb', hidden_size: 8192, n_layer: 60, n_head: 128, n_head_kv: 8, vocab_size: 65024 }],
    ['alibi as a string', falconRw, { ...falconRw, alibi: 'True', bias: 'true', multi_query: 'false' }],
    ['alibi as another string', falcon7, { ...falcon7, alibi: 'False', num_kv_heads: undefined }],
  ])('%s', (_, present, old) => {
    const facts = (config: Record<string, unknown>) => {
      const { layouts, outer, shape } = readModel(config).model
      return JSON.parse(JSON.stringify({ layouts, outer, shape }))
    }
    expect(facts(old)).toEqual(facts(present))
  })

  test('ffn_hidden_size, where it is not four times the hidden size', () => {
    expect(readModel({ ...falcon40, ffn_hidden_size: 16384 }).model.shape.ffn).toBe(16384)
  })
})

describe('refused before any weight is read', () => {
  it.each([
    [
      'an activation of Gemma',
      { ...gemma2, hidden_act: 'silu', hidden_activation: 'silu' },
      'config-unsupported',
      /"silu"/,
      /gelu_pytorch_tanh/,
    ],
    [
      'attention to what follows',
      { ...gemma3, use_bidirectional_attention: true },
      'config-unsupported',
      /use_bidirectional_attention/,
      /causal/,
    ],
    ['a cap of Gemma 2', { ...gemma3, attn_logit_softcapping: 50 }, 'config-unsupported', /attn_logit_softcapping/, /Gemma 3/],
    ['one RoPE of two', { ...gemma3, rope_parameters: { full_attention: {} } }, 'config-invalid', /sliding_attention/, /./],
    [
      'an unknown RoPE',
      { ...gemma3, rope_scaling: { rope_type: 'ntk', factor: 8 } },
      'config-unsupported',
      /rope_scaling.rope_type is "ntk"/,
      /linear/,
    ],
    [
      'the older name of a type in Gemma 3',
      { ...gemma3, rope_scaling: { type: 'linear', factor: 8 } },
      'config-unsupported',
      /rope_scaling has a type, but no rope_type/,
      /rope_type/,
    ],
    ['a pattern that is none', { ...gemma3, sliding_window_pattern: 0 }, 'config-invalid', /sliding_window_pattern/, /./],
    ['no number of blocks of Gemma', { ...gemma3, num_hidden_layers: 'many' }, 'config-invalid', /num_hidden_layers/, /./],
    ['an activation of OPT', { ...opt, activation_function: 'gelu' }, 'config-unsupported', /activation_function is "gelu"/, /relu/],
    [
      'norms without weights',
      { ...opt, layer_norm_elementwise_affine: false },
      'config-unsupported',
      /layer_norm_elementwise_affine/,
      /weights/,
    ],
    ['heads that do not divide', { ...opt, num_attention_heads: 30 }, 'config-invalid', /2048 cannot be divided among 30/, /./],
    [
      'a projection that 4 does not divide',
      { ...opt350, word_embed_proj_dim: 510 },
      'config-unsupported',
      /word_embed_proj_dim is 510/,
      /4/,
    ],
    ['another n_inner', { ...bloom, n_inner: 2048 }, 'config-unsupported', /n_inner is 2048/, /4096/],
    ['spellings that disagree', { ...bloom, num_hidden_layers: 12 }, 'config-invalid', /n_layer is 24, but num_hidden_layers is 12/, /./],
    ['no number of blocks', { ...bloom, n_layer: undefined }, 'config-invalid', /num_hidden_layers/, /./],
    ['an activation of Falcon', { ...falcon7, activation: 'relu' }, 'config-unsupported', /activation is "relu"/, /gelu/],
    ['a sequential new architecture', { ...falcon40, parallel_attn: false }, 'config-unsupported', /parallel_attn is false/, /in parallel/],
    [
      'two norms in the old one',
      { ...falcon7, num_ln_in_parallel_attn: 2 },
      'config-unsupported',
      /num_ln_in_parallel_attn is 2/,
      /single norm/,
    ],
    ['three norms', { ...falcon40, num_ln_in_parallel_attn: 3 }, 'config-unsupported', /num_ln_in_parallel_attn is 3/, /One norm/],
    ['groups in the old architecture', { ...falconRw, num_kv_heads: 8 }, 'config-unsupported', /num_kv_heads is 8/, /32 heads/],
    ['groups that do not divide', { ...falcon40, num_kv_heads: 7 }, 'config-invalid', /128 attention heads cannot share 7/, /./],
    [
      'a residual from the norm',
      { ...falcon7, apply_residual_connection_post_layernorm: true },
      'config-unsupported',
      /post_layernorm is true/,
      /false/,
    ],
    ['rope scaling', { ...falcon7, rope_scaling: { type: 'ntk', factor: 2 } }, 'config-unsupported', /"ntk"/, /linear/],
    ['a flag that is none', { ...falconRw, alibi: 'maybe' }, 'config-invalid', /alibi/, /./],
  ])('%s', async (_, config, code, message, hint) => {
    const error = await refusal(() => readModel(config))
    expect(error.code).toBe(code)
    expect(error.message).toMatch(message)
    expect(error.hint).toMatch(hint)
  })
})

describe('facts that stand twice', () => {
  const rope = { rope_type: 'default', rope_theta: 5e5 }
  const linear = { rope_type: 'linear', factor: 4 }
  const l3 = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 }
  const layers = (type: string) => Array(26).fill(type)
  const two = { full_attention: { rope_type: 'default', rope_theta: 1e6 }, sliding_attention: { rope_type: 'default', rope_theta: 1e4 } }
  const many = { ...qwen25, use_sliding_window: true, num_hidden_layers: 26 }

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['the base', { ...llama2, rope_theta: 1e4, rope_parameters: rope }, /rope_theta is 10000, but rope_parameters\.rope_theta is 500000/],
    [
      'the base of an old file',
      { ...llama2, rope_theta: 1e4, rope_scaling: { ...linear, rope_theta: 2e4 } },
      /rope_scaling\.rope_theta is 20000/,
    ],
    ['scaling', { ...llama2, rope_scaling: linear, rope_parameters: rope }, /rope_scaling .*linear scaling by 4.* rope_parameters/],
    [
      'scaling, with the base in the second only',
      { ...llama2, rope_scaling: linear, rope_parameters: { ...linear, rope_theta: 5e5 } },
      /base 10000 .*base 500000/,
    ],
    ['factors', { ...llama2, rope_scaling: linear, rope_parameters: { ...linear, factor: 2 } }, /linear scaling by 4.*linear scaling by 2/],
    [
      'types',
      { ...llama2, rope_scaling: { ...linear, type: 'dynamic' } },
      /rope_scaling\.type is "dynamic", but rope_scaling\.rope_type is "linear"/,
    ],
    [
      'the length before scaling',
      { ...llama32, original_max_position_embeddings: 4096 },
      /original_max_position_embeddings is 4096, but .* is 8192/,
    ],
    [
      'the length before scaling, outside only',
      { ...llama2, rope_scaling: l3, original_max_position_embeddings: 2048 },
      /is 2048, but .* is 4096/,
    ],
    [
      'the share that rotates',
      { ...llama2, partial_rotary_factor: 1, rope_parameters: { ...rope, partial_rotary_factor: 0.5 } },
      /partial_rotary_factor is 1, but/,
    ],
    [
      'the base of full attention',
      { ...gemma3, rope_theta: 1e5, rope_parameters: two },
      /rope_theta is 100000, but rope_parameters\.full_attention\.rope_theta is 1000000/,
    ],
    [
      'the base of windows',
      { ...gemma3, rope_local_base_freq: 2e4, rope_parameters: two },
      /rope_local_base_freq is 20000, but rope_parameters\.sliding/,
    ],
    [
      'scaling of full attention',
      { ...gemma3, rope_scaling: linear, rope_parameters: two },
      /rope_scaling .* rope_parameters\.full_attention/,
    ],
    ['the activation', { ...gemma2, hidden_activation: 'gelu' }, /hidden_act is "gelu_pytorch_tanh", but hidden_activation is "gelu"/],
    ['kinds of attention', { ...gemma3, layer_types: layers('full_attention') }, /sliding_window_pattern is 6, but layer_types is/],
    ['patterns', { ...gemma3, _sliding_window_pattern: 2 }, /_sliding_window_pattern is 2, but .* is 6/],
    [
      'a pattern that transformers overlooks',
      { ...gemma3, sliding_window_pattern: undefined, _sliding_window_pattern: 2 },
      /_sliding_window_pattern is 2, but .*transformers.* is 6/,
    ],
    ['the pattern of Gemma 2', { ...gemma2, sliding_window_pattern: 3 }, /sliding_window_pattern is 3, but .* is 2/],
    ['the width of a head of OPT', { ...opt, head_dim: 32 }, /head_dim is 32, but hidden_size \/ num_attention_heads is 64/],
    ['the width of a head of Falcon', { ...falcon7, head_dim: 32 }, /head_dim is 32, but/],
    ['the width of a head of BLOOM', { ...bloom, head_dim: 32 }, /head_dim is 32, but/],
    ['blocks with windows', { ...many, layer_types: layers('full_attention') }, /max_window_layers is 21, but layer_types is/],
  ])('%s', async (_, config, message) => {
    const error = await refusal(() => readModel(config))
    expect(error.code).toBe('config-invalid')
    expect(error.message).toMatch(message)
    expect(error.hint).not.toMatch(/[Dd]ownload/)
  })

  it.each<[string, Record<string, unknown>]>([
    ['the base, twice the same', { ...llama2, rope_theta: 5e5, rope_parameters: rope }],
    ['nothing in one of them', { ...llama2, rope_theta: 5e5, rope_scaling: null, rope_parameters: {} }],
    [
      'scaling, twice the same',
      { ...llama2, rope_theta: 5e5, rope_scaling: linear, rope_parameters: { type: 'linear', factor: 4, rope_theta: 5e5 } },
    ],
    ['llama3 without the length before scaling', { ...llama2, rope_parameters: { ...l3, rope_theta: 5e5 } }],
    [
      'Gemma 3 in both ways',
      {
        ...gemma3,
        rope_parameters: two,
        layer_types: Array.from({ length: 26 }, (_, k) => ((k + 1) % 6 ? 'sliding_attention' : 'full_attention')),
      },
    ],
    [
      'windows in both ways',
      { ...many, layer_types: Array.from({ length: 26 }, (_, k) => (k < 21 ? 'full_attention' : 'sliding_attention')) },
    ],
    [
      'what transformers writes beside kinds of attention',
      { ...gemma3, sliding_window_pattern: undefined, _sliding_window_pattern: 6, layer_types: layers('full_attention') },
    ],
    ['another name of SiLU', { ...llama2, hidden_act: 'swish' }],
  ])('%s is read', (_, config) => {
    expect(() => readModel(config)).not.toThrow()
  })

  test('llama3 takes the length of the model where it names none', () => {
    const config = { ...llama2, rope_parameters: { ...l3, rope_theta: 5e5 } }
    const length = { original_max_position_embeddings: 4096 }
    const rules = { headDim: 128 }
    expect(readRope(config, rules)).toEqual(readRope({ ...llama2, rope_parameters: { ...l3, ...length, rope_theta: 5e5 } }, rules))
  })
})
