/** Qwen2 and 2.5: LLaMA with biases on queries, keys and values, and windows on the later blocks where they are in use. */
import { llamaLike } from './llama.ts'

export const qwen2 = llamaLike({
  id: 'qwen2',
  label: 'Qwen2, Qwen2.5',
  modelTypes: ['qwen2'],
  defaults: { num_key_value_heads: 32, max_position_embeddings: 32768, sliding_window: 4096, max_window_layers: 28 },
  // Not a matter of attention_bias, which transformers does not read here.
  biased: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
  window: 'some',
})
