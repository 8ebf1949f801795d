/** Text models inside larger repositories, and mixtures of experts, by config.json and the names of tensors alone. */
import { describe, expect, it, test } from 'vitest'
import { openFolder } from '../io/folder.ts'
import { refusal } from '../io/testing.ts'
import { fixtureFiles, fixtures } from './fixtures/fixtures.ts'
import { readModel } from './index.ts'
import { openModel } from './weights.ts'

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
    // DeepSeek V3: 671 billion.
    ['deepseek', deepseek, /n_routed_experts is 256, in each of about 58 blocks, 8 of them .* 654 billion/, /3.13 % of the tokens.*GiB/],
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
