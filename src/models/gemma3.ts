/** Gemma 3, its text models: Gemma 2 with norms of query and key heads instead of caps, and RoPE by kind of attention. */
import { invalid, unsupported } from './config.ts'
import type { Family } from './family.ts'
import { gemmaLike } from './gemma2.ts'
import { readRope } from './rope.ts'

const family = gemmaLike(
  {
    id: 'gemma3',
    label: 'Gemma 3',
    modelTypes: ['gemma3_text'],
    defaults: { max_position_embeddings: 131072 },
    headNorms: true,
    ropes(given, spans) {
      const [full, sliding] = ropesOf(given).map(readRope)
      return spans.map((span) => (Number.isFinite(span) ? sliding : full))
    },
  },
  // Five blocks with a window, then one without.
  (k, { sliding_window_pattern: every = 6 }) => {
    if (typeof every !== 'number' || !(every >= 1)) throw invalid('sliding_window_pattern is no positive number')
    return (k + 1) % every !== 0
  },
)

export const gemma3: Family = {
  ...family,
  read: (given) => {
    if (given.attn_logit_softcapping != null) throw unsupported('attn_logit_softcapping is set', 'Gemma 3 models have no such cap.')
    return family.read(given)
  },
}

/** Settings of full and of sliding attention: under their names, or beside each other as files before 2026 have them. */
function ropesOf({ rope_parameters: parameters, ...given }: Record<string, unknown>): Record<string, unknown>[] {
  const { rope_scaling, rope_theta = 1e6, rope_local_base_freq = 1e4 } = given
  if (parameters == null) return [{ rope_theta, rope_scaling }, { rope_theta: rope_local_base_freq }]
  const { full_attention: full, sliding_attention: sliding } = parameters as Record<string, unknown>
  for (const [name, one] of Object.entries({ full_attention: full, sliding_attention: sliding })) {
    if (typeof one !== 'object' || one === null) throw invalid(`rope_parameters.${name} is missing or no object`)
  }
  return [
    { rope_parameters: { rope_theta, ...(full as object) } },
    { rope_parameters: { rope_theta: rope_local_base_freq, ...(sliding as object) } },
  ]
}
