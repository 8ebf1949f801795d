/** What stands in a checkpoint against what config.json says of it, by the headers alone. */
import { describe, expect, it, test } from 'vitest'
import { openFolder } from '../io/folder.ts'
import { memoryFiles } from '../io/memory.ts'
import { refusal } from '../io/testing.ts'
import { safetensorsOf, type TinyConfig, tinyTensors } from './testing.ts'
import { openModel } from './open.ts'

const config: TinyConfig = {
  model_type: 'llama',
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 64,
  vocab_size: 48,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: false,
}
const linear = 'model.layers.1.self_attn.q_proj'
const gptq = { quant_method: 'gptq', bits: 4, group_size: 32, desc_act: false, sym: true }

/** Opens a model with more tensors, or fewer; of those that are only named, one float. */
async function open({
  more = [],
  without = [],
  changes = {},
  beside = [],
}: {
  more?: string[]
  without?: string[]
  changes?: object
  beside?: string[]
} = {}) {
  const full = { ...config, ...changes }
  const tensors = tinyTensors({ ...full, tie_word_embeddings: false }, 1)
  for (const name of without) expect(tensors.delete(name)).toBe(true)
  for (const name of more) tensors.set(name, { shape: [1], data: new Float32Array(1) })
  const files = memoryFiles([
    ['config.json', JSON.stringify(full)],
    ['model.safetensors', safetensorsOf(tensors)],
    ...beside.map((name) => [name, '{}'] as const),
  ])
  return openModel(await openFolder(files))
}

describe('tensors that nothing uses', () => {
  const said = async (given: Parameters<typeof open>[0]) => (await open(given)).remarks.map(({ message }) => message)

  it('are named', async () => {
    expect(await said({})).toEqual([])
    expect(await said({ more: ['lm_head.bias'] })).toEqual(['A tensor of the weights is not used: lm_head.bias.'])
    expect(await said({ more: [`${linear}.bias`, 'model.layers.7.mlp.up_proj.weight'] })).toEqual([
      `2 tensors of the weights are not used: ${linear}.bias, model.layers.7.mlp.up_proj.weight.`,
    ])
  })

  it('are listed up to six, and the rest is counted', async () => {
    const more = Array.from({ length: 100 }, (_, i) => `extra.${i}`)
    expect(await said({ more })).toEqual([
      '100 tensors of the weights are not used: extra.0, extra.1, extra.2, extra.3, extra.4, extra.5, and 94 more.',
    ])
  })

  it('and files that are left aside', async () => {
    expect(await said({ beside: ['adapter_config.json', 'chat.json'] })).toEqual([expect.stringContaining('adapter_config.json')])
    expect(await said({ beside: ['aux.json'] })).toEqual([
      '"aux.json" is not copied into checkpoints: Windows reserves that name for a device.',
    ])
  })

  it('are not told of where the config has the same facts', async () => {
    expect(await said({ more: ['model.layers.0.self_attn.rotary_emb.inv_freq'] })).toEqual([])
  })
})

describe('head and embedding', () => {
  it('a head beside the tied flag is used, and said so', async () => {
    const tied = await open({ changes: { tie_word_embeddings: true } })
    expect([tied.embedding, tied.head]).toEqual(['model.embed_tokens.weight', 'lm_head.weight'])
    expect(tied.remarks[0].message).toMatch(/tie_word_embeddings.*lm_head\.weight/)
  })

  test.each([
    ['model.embed_tokens.weight', 'lm_head.weight'],
    ['lm_head.weight', 'model.embed_tokens.weight'],
  ])('without %s the other serves, if they are tied', async (name, other) => {
    const { embedding, head, remarks } = await open({ without: [name], changes: { tie_word_embeddings: true } })
    expect([embedding, head, remarks]).toEqual([other, other, []])
    expect(await refusal(() => open({ without: [name] }))).toMatchObject({ code: 'tensor-missing', message: expect.stringContaining(name) })
  })

  test.each(['qweight', 'SCB', 'weight_scale'])('a head with %s is quantized', async (part) => {
    const error = await refusal(() =>
      open({ more: [`lm_head.${part}`], without: ['lm_head.weight'], changes: { quantization_config: gptq } }),
    )
    expect(error.message).toContain(`lm_head.${part}`)
    expect(error.hint).toMatch(/head/)
  })
})

describe('layouts that are not read', () => {
  test.each([
    ['B', 'Marlin'],
    ['weight_packed', 'compressed-tensors'],
    ['weight.quant_state.bitsandbytes__nf4', 'bitsandbytes'],
    ['SCB', 'bitsandbytes'],
    ['q_weight', 'EXL2'],
    ['trellis', 'EXL3'],
    ['biases', 'MLX'],
    ['weight_scale_inv', 'FP8'],
    ['weight_scale_2', 'NVFP4'],
    ['weight_scale', 'FP8'],
    ['base_layer.weight', 'LoRA'],
  ])('%s is told as %s, with and without a weight beside it', async (part, layout) => {
    for (const without of [[], [`${linear}.weight`]]) {
      const error = await refusal(() => open({ more: [`${linear}.${part}`], without }))
      expect(error).toMatchObject({ code: 'config-unsupported', message: expect.stringContaining(layout) })
      expect(error.message).toContain(`${linear}.${part}`)
    }
  })

  it('codes without a config say what is missing', async () => {
    const error = await refusal(() => open({ more: [`${linear}.qweight`], without: [`${linear}.weight`] }))
    expect(error.message).toMatch(/qweight.*quantize_config\.json/)
  })

  it('a config of GPTQ without codes is a contradiction', async () => {
    expect(await refusal(() => open({ changes: { quantization_config: gptq } }))).toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining('quantization_config'),
    })
  })

  it('a linear that stands twice is one, too', async () => {
    const error = await refusal(() => open({ more: [`${linear}.qweight`], changes: { quantization_config: gptq } }))
    expect(error).toMatchObject({ code: 'config-invalid', message: expect.stringContaining(`${linear}.weight`) })
  })

  test.each(['qzeros', 'g_idx'])('codes of which only %s are left name what is missing', async (part) => {
    const error = await refusal(() =>
      open({ more: [`${linear}.${part}`], without: [`${linear}.weight`], changes: { quantization_config: gptq } }),
    )
    expect(error).toMatchObject({ code: 'tensor-missing', message: expect.stringContaining(`${linear}.qweight`) })
  })
})
