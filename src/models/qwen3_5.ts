/**
 * Qwen3.5 and its successors with the same type, dense, their text models: three of four blocks recall by a gated delta net, and the
 * fourth attends with a gate on what it puts out, norms of query and key heads, and a quarter of each head rotating. Norms leave out a 1.
 */
import { z } from '../io/zod.ts'
import { agreed } from '../io/facts.ts'
import { isObject } from '../io/json.ts'
import { invalid, parseConfig, requireFours, size, unsupported } from './config.ts'
import type { DeltaSizes } from './architecture.ts'
import type { Family } from './family.ts'
import { architectureOf, type Kind } from './llama.ts'
import { modelOf } from './llama-model.ts'

const schema = z.object({
  num_hidden_layers: size.max(1024),
  full_attention_interval: size.default(4),
  layer_types: z.array(z.string()).nullish(),
  linear_conv_kernel_dim: size.default(4),
  linear_key_head_dim: size.default(128),
  linear_value_head_dim: size.default(128),
  linear_num_key_heads: size.default(16),
  linear_num_value_heads: size.default(32),
  attn_output_gate: z.boolean().default(true),
})

const sections = z.array(z.int().nonnegative()).length(3)

const kind: Kind = {
  id: 'qwen3_5',
  label: 'Qwen3.5',
  modelTypes: ['qwen3_5_text'],
  defaults: { num_key_value_heads: 4, head_dim: 256, max_position_embeddings: 32768 },
  switches: ['attention_bias'],
  plus: 1,
  headNorms: 'each',
  gated: true,
  rope: { partial: true },
}

export const qwen35: Family = {
  id: kind.id,
  label: kind.label,
  modelTypes: kind.modelTypes,
  read: (given) => {
    const config = parseConfig(schema, given)
    const { linear_conv_kernel_dim: taps } = config
    if (taps !== 4) throw unsupported(`linear_conv_kernel_dim is ${taps}`, 'Convolutions of four taps are supported.')
    if (!config.attn_output_gate)
      throw unsupported('attn_output_gate is false', 'In this family, what attention puts out goes through a gate.')
    const types = kindsOfBlocks(config, given)
    const architecture = architectureOf(kind, { ...given, partial_rotary_factor: shareOf(given), layer_types: undefined })
    const sizes = sizesOf(config)
    const model = modelOf({ ...architecture, mixers: types.map((type) => (type === 'linear_attention' ? sizes : null)) })
    const delta = { ...sizes, recalls: types.map((type) => type === 'linear_attention'), sections: sectionsOf(given) }
    return { ...model, attention: { ...model.attention!, delta }, aside: { module: 'mtp', what: 'the multi-token head' } }
  },
}

/** What each block does: `layer_types`, or full attention in the last of every so many. */
function kindsOfBlocks(config: z.infer<typeof schema>, given: Record<string, unknown>): string[] {
  const { num_hidden_layers: blocks, full_attention_interval: interval, layer_types: types } = config
  const usual = Array.from({ length: blocks }, (_, k) => ((k + 1) % interval ? 'linear_attention' : 'full_attention'))
  if (!types) return usual
  const other = types.find((type) => type !== 'linear_attention' && type !== 'full_attention')
  if (other !== undefined)
    throw unsupported(`layer_types holds ${JSON.stringify(other)}`, 'Supported are linear_attention and full_attention.')
  if (types.length !== blocks) throw invalid(`layer_types has ${types.length} entries for ${blocks} blocks`)
  if (given.full_attention_interval != null)
    agreed([
      { where: 'layer_types', says: types },
      { where: 'full_attention_interval', says: usual, shown: String(interval) },
    ])
  return types
}

function sizesOf(config: z.infer<typeof schema>): DeltaSizes {
  const { linear_num_key_heads: keyHeads, linear_num_value_heads: heads, linear_key_head_dim: dk, linear_value_head_dim: dv } = config
  if (heads % keyHeads) throw invalid(`${heads} value heads of linear attention cannot share ${keyHeads} key heads evenly`)
  requireFours({ linear_num_value_heads: heads, linear_key_head_dim: dk, linear_value_head_dim: dv })
  return { keyHeads, heads, dk, dv }
}

/** Pairs that rotate by time, height and width of an image, as transformers has them where nothing is said. */
function sectionsOf({ rope_parameters: parameters, rope_scaling: scaling }: Record<string, unknown>): number[] {
  const said = [parameters, scaling].map((one) => (isObject(one) ? one.mrope_section : undefined)).find((one) => one != null)
  return sections.safeParse(said).data ?? [11, 11, 10]
}

/** The part of each head that rotates: a quarter where nothing is said. */
function shareOf({ partial_rotary_factor: outside, rope_parameters: parameters, rope_scaling: scaling }: Record<string, unknown>): unknown {
  const inside = [parameters, scaling].map((one) => (isObject(one) ? one.partial_rotary_factor : undefined)).find((one) => one != null)
  return outside ?? inside ?? 0.25
}
