/** Gemma 2: LLaMA with norms around both branches, GELU, capped scores and logits, and windows on every other block. */
import { agreed } from '../io/facts.ts'
import { invalid, unsupported } from './config.ts'
import type { Family } from './family.ts'
import { type Kind, llamaLike } from './llama.ts'

/** What both generations share. Fields and defaults that differ from LLaMA's are moved to its names. */
export function gemmaLike(
  kind: Kind,
  /** Of so many blocks the last one sees everything, the others a window, where `layer_types` does not say. */
  every: number,
  /** The field by which a config.json changes that, if there is one. */
  pattern?: string,
): Family {
  const family = llamaLike({
    ...kind,
    defaults: {
      num_key_value_heads: 4,
      head_dim: 256,
      sliding_window: 4096,
      tie_word_embeddings: true,
      query_pre_attn_scalar: 256,
      ...kind.defaults,
    },
    switches: ['attention_bias'],
    window: 'some',
    act: 'gelu_pytorch_tanh',
    norms: 'around',
    plus: 1,
    capped: true,
    multipliers: ({ hidden_size, query_pre_attn_scalar: scalar }) => ({
      embedding: Math.sqrt(hidden_size),
      ...(scalar && { scores: 1 / Math.sqrt(scalar) }),
    }),
  })
  return {
    ...family,
    read: (given) => {
      if (given.use_bidirectional_attention) throw unsupported('use_bidirectional_attention is true', 'Only causal attention is supported.')
      const blocks = typeof given.num_hidden_layers === 'number' && given.num_hidden_layers <= 1024 ? given.num_hidden_layers : 0
      const types = (value: unknown) => {
        if (typeof value !== 'number' || !(value >= 1)) throw invalid('sliding_window_pattern is no positive number')
        return Array.from({ length: blocks }, (_, k) => ((k + 1) % value ? 'sliding_attention' : 'full_attention'))
      }
      const home = (where: string, value: unknown) => ({ where, says: types(value), shown: String(value) })
      const usual = (pattern && given[pattern]) ?? every
      // transformers writes its own default as _sliding_window_pattern beside whatever layer_types there are.
      const fields = ['sliding_window_pattern', ...(given.layer_types == null ? ['_sliding_window_pattern'] : [])]
      const kinds = agreed([
        given.layer_types == null
          ? home('the pattern that transformers goes by', usual)
          : { where: 'layer_types', says: given.layer_types },
        ...fields.filter((field) => given[field] != null).map((field) => home(field, given[field])),
      ])
      return family.read({ ...given, layer_types: kinds, use_sliding_window: true })
    },
  }
}

export const gemma2 = gemmaLike(
  {
    id: 'gemma2',
    label: 'Gemma 2',
    modelTypes: ['gemma2'],
    defaults: { max_position_embeddings: 8192, attn_logit_softcapping: 50, final_logit_softcapping: 30 },
  },
  2,
)
