/** Gemma 3, its text models: Gemma 2 with norms of query and key heads instead of caps, and RoPE by kind of attention. */
import { unsupported } from './config.ts'
import type { Family } from './family.ts'
import { gemmaLike } from './gemma2.ts'
import { readRopes } from './rope-settings.ts'

const family = gemmaLike(
  {
    id: 'gemma3',
    label: 'Gemma 3',
    modelTypes: ['gemma3_text'],
    defaults: { max_position_embeddings: 131072 },
    headNorms: 'each',
    rope: { theta: 1e6 },
    ropes(given, spans, rules) {
      const home = { where: 'rope_local_base_freq', says: given.rope_local_base_freq }
      const { full, sliding } = readRopes(given, rules, { homes: [home], theta: 1e4 })
      return spans.map((span) => (Number.isFinite(span) ? sliding : full))
    },
  },
  6,
  'sliding_window_pattern',
)

export const gemma3: Family = {
  ...family,
  read: (given) => {
    if (given.attn_logit_softcapping != null) throw unsupported('attn_logit_softcapping is set', 'Gemma 3 models have no such cap.')
    return family.read(given)
  },
}
