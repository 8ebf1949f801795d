/**
 * Granite 3, and the dense models of Granite 4: LLaMA with multipliers of the embedding, the branches, the scores and the logits.
 * Granite 4 names its MLP otherwise, since other models of that type have experts or state-space blocks beside it.
 */
import { agreed } from '../io/facts.ts'
import { unsupported } from './config.ts'
import type { Family } from './family.ts'
import { type Fields, llamaLike } from './llama.ts'
import { readRope } from './rope-settings.ts'

const multipliers = (config: Fields) => ({
  embedding: config.embedding_multiplier ?? 1,
  residual: config.residual_multiplier ?? 1,
  scores: config.attention_multiplier ?? 1,
  logits: 1 / (config.logits_scaling ?? 1),
})

export const granite = llamaLike({
  id: 'granite',
  label: 'Granite',
  modelTypes: ['granite'],
  switches: ['attention_bias', 'mlp_bias'],
  multipliers,
})

const dense = llamaLike({
  id: 'granite4',
  label: 'Granite 4',
  modelTypes: ['granitemoehybrid'],
  switches: ['attention_bias'],
  multipliers,
  linears: {
    qkv: ['q_proj', 'k_proj', 'v_proj'].map((part) => `self_attn.${part}`),
    gateUp: ['shared_mlp.input_linear'],
    down: 'shared_mlp.output_linear',
  },
  ropes(given, spans, rules) {
    const settings = given.position_embedding_type === 'rope' ? readRope(given, rules) : null
    return spans.map(() => settings)
  },
})

/** Names of attention among the kinds of blocks, newer and older. */
const attends = ['full_attention', 'attention']

const onlyAttention = 'Of Granite 4, models with attention in every block are supported.'

export const granite4: Family = {
  ...dense,
  read: (given) => {
    // transformers assumes 8 experts, and state-space blocks.
    if (given.num_local_experts !== 0)
      throw unsupported('num_local_experts is missing, which means 8 experts', 'Only dense models are supported.')
    const types = agreed(['layer_types', 'layers_block_type'].map((where) => ({ where, says: given[where] })))
    if (!Array.isArray(types)) throw unsupported('layer_types is missing, which means state-space blocks', onlyAttention)
    const other = types.find((type) => !attends.includes(type))
    if (other !== undefined) throw unsupported(`layer_types holds ${JSON.stringify(other)}`, onlyAttention)
    const kinds = types.map(() => 'full_attention')
    const { shared_intermediate_size: width = 1024, layers_block_type: _, ...rest } = given
    return dense.read({ ...rest, layer_types: kinds, intermediate_size: width })
  },
}
