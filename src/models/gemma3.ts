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

/** Settings of full and of sliding attention: under their names, or beside each other as files before 2026 have them. */
function ropesOf(given: JsonObject) {
  const { rope_parameters: parameters = null } = given
  if (parameters !== null && !isObject(parameters)) throw invalid('rope_parameters is no object')
  const of = (name: string) => {
    if (parameters && !isObject(parameters[name])) throw invalid(`rope_parameters.${name} is missing or no object`)
    return parameters ? ropeHomes(parameters, [name], 'rope_parameters.') : []
  }
  const outside = ropeHomes(given, ['rope_scaling'])
  // transformers 5 overlooks the older name here, unlike in other families, and scales nothing.
  if (outside.some(({ settings }) => settings.rope_type == null && settings.type != null && settings.type !== 'default'))
    throw unsupported('rope_scaling has a type, but no rope_type', 'Programs disagree on that in Gemma 3: write the type as rope_type.')
  const full = [...outside, ...of('full_attention')]
  return {
    full: settingsOf(given, full, { where: 'rope_theta', says: given.rope_theta }, 1e6),
    sliding: settingsOf(given, of('sliding_attention'), { where: 'rope_local_base_freq', says: given.rope_local_base_freq }, 1e4),
  }
}
