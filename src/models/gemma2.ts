/** Gemma 2: LLaMA with norms around both branches, GELU, capped scores and logits, and windows on every other block. */
import { agreed } from '../io/facts.ts'
import type { JsonObject } from '../io/json.ts'
import { unsupported } from './config.ts'
import type { Family } from './family.ts'
import { type Kind, llamaLike } from './llama.ts'

/** What both generations share. Fields and defaults that differ from LLaMA's are moved to its names. */
export function gemmaLike(
  kind: Kind,
  /** Whether block k has a window, where `layer_types` does not say. */
  slides: (k: number, given: JsonObject) => boolean,
  /** Fields that `slides` goes by. */
  patterns: string[] = [],
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
    gemma: true,
  })
  return {
    ...family,
    read: (given) => {
      if (given.use_bidirectional_attention) throw unsupported('use_bidirectional_attention is true', 'Only causal attention is supported.')
      const blocks = typeof given.num_hidden_layers === 'number' && given.num_hidden_layers <= 1024 ? given.num_hidden_layers : 0
      const types = Array.from({ length: blocks }, (_, k) => (slides(k, given) ? 'sliding_attention' : 'full_attention'))
      const said = patterns.filter((where) => given[where] != null)
      agreed(said.map((where) => ({ where, says: given[where] })))
      const homes = [
        { where: 'layer_types', says: given.layer_types },
        ...said.map((where) => ({ where, says: types, shown: String(given[where]) })),
      ]
      return family.read({ ...given, layer_types: agreed(homes) ?? types, use_sliding_window: true })
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
  (k) => k % 2 === 0,
)
