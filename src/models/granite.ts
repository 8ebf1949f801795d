/** Granite 3 and 4, the dense ones: LLaMA with multipliers of the embedding, the branches, the scores and the logits. */
import { llamaLike } from './llama.ts'

export const granite = llamaLike({
  id: 'granite',
  label: 'Granite',
  modelTypes: ['granite'],
  switches: ['attention_bias', 'mlp_bias'],
  multipliers: (config) => ({
    embedding: config.embedding_multiplier ?? 1,
    residual: config.residual_multiplier ?? 1,
    scores: config.attention_multiplier ?? 1,
    logits: 1 / (config.logits_scaling ?? 1),
  }),
})
