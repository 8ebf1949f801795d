/** OLMo 2: LLaMA with norms after the branches instead of before, and norms of all query and all key heads as one vector. */
import { type Kind, llamaLike } from './llama.ts'

/** What both generations share. */
export const olmoLike = (kind: Kind) =>
  llamaLike({
    ...kind,
    defaults: { rms_norm_eps: 1e-5, ...kind.defaults },
    switches: ['attention_bias'],
    norms: 'after',
    headNorms: 'all',
  })

export const olmo2 = olmoLike({ id: 'olmo2', label: 'OLMo 2', modelTypes: ['olmo2'] })
