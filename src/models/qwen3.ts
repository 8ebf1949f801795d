/** Qwen3: LLaMA with an RMS norm of each query and key head before RoPE, and heads as wide as `head_dim` says. */
import { llamaLike } from './llama.ts'

export const qwen3 = llamaLike({
  id: 'qwen3',
  label: 'Qwen3',
  modelTypes: ['qwen3'],
  defaults: { num_key_value_heads: 32, head_dim: 128, max_position_embeddings: 32768, sliding_window: 4096, max_window_layers: 28 },
  switches: ['attention_bias'],
  headNorms: 'each',
  window: 'some',
})
