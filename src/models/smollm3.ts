/** SmolLM3: LLaMA with blocks that do not rotate queries and keys, every fourth unless the config names others. */
import { invalid } from './config.ts'
import type { Family } from './family.ts'
import { llamaLike } from './llama.ts'
import { readRope } from './rope-settings.ts'

const family = llamaLike({
  id: 'smollm3',
  label: 'SmolLM3',
  modelTypes: ['smollm3'],
  defaults: { num_key_value_heads: 4, max_position_embeddings: 32768, tie_word_embeddings: true },
  switches: ['attention_bias', 'mlp_bias'],
  window: 'some',
  rope: { theta: 2e6 },
  ropes(given, spans, rules) {
    const settings = readRope(given, rules)
    const rotates = rotating(given, spans.length)
    return spans.map((_, k) => (rotates[k] ? settings : null))
  },
})

export const smollm3: Family = {
  ...family,
  read: (given) => {
    const { layer_types: types, num_hidden_layers: blocks } = given
    // Windows are for the blocks that do not rotate; family.read checks the number of blocks.
    if (types != null || !given.use_sliding_window || given.sliding_window == null || typeof blocks !== 'number' || blocks > 1024)
      return family.read(given)
    const kinds = rotating(given, blocks).map((rotates) => (rotates ? 'full_attention' : 'sliding_attention'))
    return family.read({ ...given, layer_types: kinds })
  },
}

/** Which blocks rotate: `no_rope_layers` holds a 1 for each that does. transformers writes the interval beside any list. */
function rotating({ no_rope_layers: list, no_rope_layer_interval: interval }: Record<string, unknown>, blocks: number): boolean[] {
  if (list == null) {
    const every = interval ?? 4
    if (!Number.isInteger(every) || Number(every) < 1) throw invalid('no_rope_layer_interval is no positive whole number')
    return Array.from({ length: blocks }, (_, k) => (k + 1) % Number(every) !== 0)
  }
  if (!Array.isArray(list) || list.some((one) => one !== 0 && one !== 1)) throw invalid('no_rope_layers is no list of 0 and 1')
  if (list.length < blocks) throw invalid(`no_rope_layers has ${list.length} entries for ${blocks} blocks`)
  return list.map((one) => one === 1)
}
