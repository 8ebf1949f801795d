/** Mistral: LLaMA whose queries see the last `sliding_window` keys. */
import { llamaLike } from './llama.ts'

export const mistral = llamaLike({
  id: 'mistral',
  label: 'Mistral',
  modelTypes: ['mistral'],
  defaults: { num_key_value_heads: 8, max_position_embeddings: 131072, sliding_window: 4096 },
  window: 'all',
})
