/**
 * Gemma 4, its dense text models: Gemma 3 with whole weights of norms, values normed without weights, scores that are not scaled, wider heads in
 * blocks that see everything, whose keys may be their values, and a factor for each block. In the small ones (E2B, E4B), tokens say something
 * to every block (per-layer.ts), and the later blocks use keys and values of earlier ones (carried.ts).
 */
import { z } from '../io/zod.ts'
import { agreed } from '../io/facts.ts'
import type { Architecture } from './architecture.ts'
import { invalid, parseConfig, requireFours, size, unsupported } from './config.ts'
import type { Family, Model } from './family.ts'
import { architectureOf, type Kind } from './llama.ts'
import { modelOf } from './llama-model.ts'
import { readRopes } from './rope-settings.ts'

const schema = z.object({
  num_hidden_layers: size.max(1024),
  num_attention_heads: size,
  num_key_value_heads: size.default(4),
  layer_types: z.array(z.string()).nullish(),
  global_head_dim: size.nullish(),
  num_global_key_value_heads: size.nullish(),
  attention_k_eq_v: z.boolean().default(false),
  vocab_size: size,
  hidden_size_per_layer_input: size.or(z.literal(0)).nullish(),
  vocab_size_per_layer_input: size.default(262144),
  num_kv_shared_layers: z.int().nonnegative().nullish(),
  use_double_wide_mlp: z.boolean().nullish(),
  per_layer_config: z.record(z.string(), z.strictObject({ head_dim: size.optional(), num_key_value_heads: size.optional() })).nullish(),
})

type Config = z.infer<typeof schema>

const kind: Kind = {
  id: 'gemma4',
  label: 'Gemma 4',
  modelTypes: ['gemma4_text', 'gemma4_unified_text'],
  defaults: { num_key_value_heads: 4, head_dim: 256, tie_word_embeddings: true, max_position_embeddings: 131072 },
  switches: ['attention_bias'],
  window: 'some',
  act: 'gelu_pytorch_tanh',
  norms: 'around',
  headNorms: 'each',
  valueNorm: true,
  scaledBlocks: true,
  capped: true,
  multipliers: ({ hidden_size: hidden }) => ({ embedding: Math.sqrt(hidden), scores: 1 }),
  rope: { theta: 1e6, partial: true, names: { proportional: 'proportional' } },
  ropes(given, spans, rules) {
    const { full, sliding } = readRopes(given, rules, { homes: [], theta: 1e4 })
    return spans.map((span) => (Number.isFinite(span) ? sliding : full))
  },
}

/** What transformers takes where nothing is said. */
const usualRopes = {
  sliding_attention: { rope_type: 'default', rope_theta: 1e4 },
  full_attention: { rope_type: 'proportional', partial_rotary_factor: 0.25, rope_theta: 1e6 },
}

export const gemma4: Family = {
  id: kind.id,
  label: kind.label,
  modelTypes: kind.modelTypes,
  read: (given) => {
    const unified = given.model_type === 'gemma4_unified_text'
    refuseVariants(given)
    const config = parseConfig(schema, given)
    const types = kindsOfBlocks(config)
    const architecture = architectureOf(kind, {
      ...given,
      layer_types: types,
      use_sliding_window: true,
      sliding_window: given.sliding_window ?? (unified ? 1024 : 512),
      max_position_embeddings: given.max_position_embeddings ?? (unified ? 262144 : 131072),
      rope_parameters: given.rope_parameters ?? usualRopes,
    })
    const perLayer = config.hidden_size_per_layer_input ?? (unified ? 0 : 256)
    const sharing = sharingOf(config, types)
    const model = modelOf({
      ...architecture,
      global: globalSizes(config, architecture, types),
      perLayer: perLayerOf(config, perLayer),
      sharing,
    })
    return sharing ? { ...model, idle: idleOf(sharing.from) } : model
  },
}

/** The width of what tokens say to every block. */
function perLayerOf({ vocab_size: vocab, vocab_size_per_layer_input: told }: Config, width: number): number | undefined {
  if (!width) return undefined
  requireFours({ hidden_size_per_layer_input: width })
  if (told !== vocab)
    throw unsupported(
      `vocab_size_per_layer_input is ${told}, and vocab_size is ${vocab}`,
      'Every token needs a row in both tables, so they have to agree.',
    )
  return width
}

/** Which blocks use the keys and values of earlier ones. */
function sharingOf({ num_kv_shared_layers: shared, use_double_wide_mlp: wide }: Config, types: string[]): Architecture['sharing'] {
  if (!shared) return undefined
  const from = types.length - shared
  if (from < 1) throw invalid(`num_kv_shared_layers is ${shared} of ${types.length} blocks, so that none has keys and values of its own`)
  const without = types.slice(from).find((type) => !types.slice(0, from).includes(type))
  if (without)
    throw invalid(
      `the last ${shared} blocks (num_kv_shared_layers) hold one of ${without}, and none of the ${from} before has keys and values for it`,
    )
  return { from, wide: wide === true }
}

/** Published checkpoints hold keys and values of those blocks too. */
const idleOf = (from: number): Model['idle'] => ({
  has: (name) => Number(/^layers\.(\d+)\.self_attn\.(?:[kv]_proj|[kv]_norm)\./.exec(name)?.[1] ?? -1) >= from,
  what: `keys and values of blocks ${from} and later, which use those of earlier blocks,`,
})

/** @throws WorkbenchError `config-unsupported` */
function refuseVariants(given: Record<string, unknown>): void {
  if (given.enable_moe_block) throw unsupported('enable_moe_block is true', 'Only dense models are supported.')
  if (given.use_bidirectional_attention === 'all')
    throw unsupported('use_bidirectional_attention is "all"', 'Only causal attention is supported.')
  if (given.attn_logit_softcapping != null) throw unsupported('attn_logit_softcapping is set', 'Gemma 4 models have no such cap.')
}

/** Of six blocks the last sees everything, unless `layer_types` says otherwise; the last of all does in any case. */
function kindsOfBlocks({ num_hidden_layers: blocks, layer_types: given }: Config): string[] {
  const types = given ?? Array.from({ length: blocks }, (_, k) => ((k + 1) % 6 ? 'sliding_attention' : 'full_attention'))
  return types.map((type, k) => (k === types.length - 1 ? 'full_attention' : type))
}

/** Sizes of blocks that see everything: in fields of their own, or block by block, as transformers 5 writes them. */
function globalSizes(config: Config, { kvHeads, d }: Architecture, types: string[]): Architecture['global'] {
  const { per_layer_config: layers, global_head_dim: width, num_global_key_value_heads: few, attention_k_eq_v: keysAreValues } = config
  const own = types.map((_, k) => layers?.[k] ?? {})
  const other = Object.keys(layers ?? {}).find((key) => types[Number(key)] !== 'full_attention')
  if (other !== undefined)
    throw unsupported(`per_layer_config has a block ${other}`, 'Blocks that see everything may have other sizes than the others.')
  const full = own.filter((_, k) => types[k] === 'full_attention')
  if (full.some((one) => JSON.stringify(one) !== JSON.stringify(full[0])))
    throw unsupported('per_layer_config gives blocks of a kind different sizes', 'Blocks that see everything have to be alike.')
  const said = (field: 'head_dim' | 'num_key_value_heads', usual: number) => (layers ? (full[0]?.[field] ?? usual) : undefined)
  const sizes = {
    d: agreed([
      { where: 'per_layer_config', says: said('head_dim', d) },
      { where: 'global_head_dim', says: width ?? (layers ? undefined : 512) },
    ]) as number,
    kvHeads: agreed([
      { where: 'per_layer_config', says: said('num_key_value_heads', kvHeads) },
      { where: 'num_global_key_value_heads', says: (keysAreValues && few) || (layers ? undefined : kvHeads) },
    ]) as number,
    keysAreValues,
  }
  requireFours({ global_head_dim: sizes.d })
  if (config.num_attention_heads % sizes.kvHeads)
    throw invalid(`${config.num_attention_heads} attention heads cannot share ${sizes.kvHeads} key/value heads evenly`)
  return sizes
}
