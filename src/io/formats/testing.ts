/** A model that no format has anything against, for tests of plans. */
import type { ModelFacts } from './model.ts'

export const someModel: ModelFacts = {
  name: 'some-model',
  license: null,
  family: 'llama',
  label: 'LLaMA',
  hidden: 64,
  blocks: 1,
  heads: 2,
  kvHeads: 1,
  headDim: 32,
  ffn: 96,
  vocab: 8,
  maxPositions: 128,
  multipliers: { embedding: 1, residual: 1, logits: 1 },
  attention: {
    eps: 1e-5,
    ropes: [{ theta: 10000, width: 32, scaling: { kind: 'none' }, queries: null }],
    spans: [Number.POSITIVE_INFINITY],
    scoreScale: 1 / Math.sqrt(32),
  },
  parts: [],
  vocabulary: null,
}
