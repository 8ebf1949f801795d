/** Gemma 3, its text models: Gemma 2 with norms of query and key heads instead of caps, and RoPE by kind of attention. */
import { isObject, type JsonObject } from '../io/json.ts'
import { invalid, unsupported } from './config.ts'
import type { Family } from './family.ts'
import { gemmaLike } from './gemma2.ts'
import { ropeHomes, settingsOf } from './rope.ts'

const family = gemmaLike(
  {
    id: 'gemma3',
    label: 'Gemma 3',
    modelTypes: ['gemma3_text'],
    defaults: { max_position_embeddings: 131072 },
    headNorms: true,
    ropes(given, spans) {
      const { full, sliding } = ropesOf(given)
      return spans.map((span) => (Number.isFinite(span) ? sliding : full))
    },
  },
  // Five blocks with a window, then one without.
  (k, { sliding_window_pattern, _sliding_window_pattern: every = sliding_window_pattern ?? 6 }) => {
    if (typeof every !== 'number' || !(every >= 1)) throw invalid('sliding_window_pattern is no positive number')
    return (k + 1) % every !== 0
  },
  ['sliding_window_pattern', '_sliding_window_pattern'],
)

export const gemma3: Family = {
  ...family,
  read: (given) => {
    if (given.attn_logit_softcapping != null) throw unsupported('attn_logit_softcapping is set', 'Gemma 3 models have no such cap.')
    return family.read(given)
  },
}

/** Settings of full and of sliding attention: under their names, or beside each other as files before 2026 have them. */
function ropesOf(given: JsonObject) {
  const { rope_parameters: parameters = null } = given
  if (parameters !== null && !isObject(parameters)) throw invalid('rope_parameters is no object')
  const of = (name: string) => {
    if (parameters && !isObject(parameters[name])) throw invalid(`rope_parameters.${name} is missing or no object`)
    return parameters ? ropeHomes(parameters, [name], 'rope_parameters.') : []
  }
  const full = [...ropeHomes(given, ['rope_scaling']), ...of('full_attention')]
  return {
    full: settingsOf(given, full, { where: 'rope_theta', says: given.rope_theta }, 1e6),
    sliding: settingsOf(given, of('sliding_attention'), { where: 'rope_local_base_freq', says: given.rope_local_base_freq }, 1e4),
  }
}
