/** Phi-3, Phi-4 and Phi-4-mini: LLaMA with fused projections, heads that rotate in part, and longrope. */
import type { Family } from './family.ts'
import { llamaLike } from './llama.ts'

const family = llamaLike({
  id: 'phi3',
  label: 'Phi-3, Phi-4',
  modelTypes: ['phi3'],
  defaults: { max_position_embeddings: 4096, rms_norm_eps: 1e-5 },
  window: 'all',
  linears: { qkv: ['self_attn.qkv_proj'], gateUp: ['mlp.gate_up_proj'], down: 'mlp.down_proj' },
  rope: { partial: true, kinds: ['none', 'longrope'], names: { su: 'longrope' } },
})

export const phi3: Family = {
  ...family,
  // transformers assumes this length even where rope_scaling holds another.
  read: (given) => family.read({ ...given, original_max_position_embeddings: given.original_max_position_embeddings ?? 4096 }),
}
