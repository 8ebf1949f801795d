/** OLMo 3: OLMo 2 with windows on three of four blocks, and RoPE by kind of attention. */
import { isObject } from '../io/json.ts'
import type { Family } from './family.ts'
import { olmoLike } from './olmo2.ts'
import { readRopes } from './rope-settings.ts'

/** The base of both kinds of attention where config.json says nothing. */
const theta = 5e5

const family = olmoLike({
  id: 'olmo3',
  label: 'OLMo 3',
  modelTypes: ['olmo3'],
  defaults: { sliding_window: 4096 },
  window: 'some',
  rope: { theta },
  ropes(given, spans, rules) {
    const { rope_theta: base, rope_parameters: own } = given
    // transformers 5 takes a base outside rope_parameters for full attention only, older versions take it for both.
    const inside = isObject(own) && isObject(own.sliding_attention) ? own.sliding_attention.rope_theta : undefined
    const assumed = { where: 'what transformers 5 takes for sliding attention', says: inside == null && base != null ? theta : undefined }
    const { full, sliding } = readRopes(given, rules, { homes: [assumed, { where: 'rope_theta', says: base }], theta })
    return spans.map((span) => (Number.isFinite(span) ? sliding : full))
  },
})

export const olmo3: Family = {
  ...family,
  read: (given) => {
    const blocks = typeof given.num_hidden_layers === 'number' && given.num_hidden_layers <= 1024 ? given.num_hidden_layers : 0
    const usual = Array.from({ length: blocks }, (_, k) => ((k + 1) % 4 ? 'sliding_attention' : 'full_attention'))
    return family.read({ ...given, layer_types: given.layer_types ?? usual, use_sliding_window: true })
  },
}
