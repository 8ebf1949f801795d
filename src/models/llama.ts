/**
 * LLaMA and the families built like it: RMS pre-norm, rotary positions, grouped-query attention, SwiGLU.
 *   x = x + attn(RoPE(a Wq), RoPE(a Wk), a Wv) Wo,  a = RMS1(x);   x = x + (silu(m Wgate) ⊙ m Wup) Wdown,  m = RMS2(x)
 * with biases, norms of queries and keys before RoPE, windows on the keys, norms after the branches, fused projections,
 * multipliers, capped scores and GELU where a family has them.
 */
import { z } from '../io/zod.ts'
import { agreed } from '../io/facts.ts'
import { invalid, parseConfig, requireFours, size, unsupported } from './config.ts'
import type { Architecture, Multipliers } from './architecture.ts'
import type { Family } from './family.ts'
import { apart, modelOf } from './llama-model.ts'
import type { RopeSettings } from './rope.ts'
import { type RopeRules, readRope } from './rope-settings.ts'

const multiplier = z.number().positive().nullish()

const schema = z.object({
  hidden_size: size,
  num_hidden_layers: size.max(1024),
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  intermediate_size: size,
  vocab_size: size,
  max_position_embeddings: size.default(2048),
  rms_norm_eps: z.number().positive().default(1e-6),
  hidden_act: z.string(),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  sliding_window: size.nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: z.int().nonnegative().nullish(),
  layer_types: z.array(z.string()).nullish(),
  query_pre_attn_scalar: z.number().positive().nullish(),
  attn_logit_softcapping: z.number().positive().nullish(),
  final_logit_softcapping: z.number().positive().nullish(),
  embedding_multiplier: multiplier,
  residual_multiplier: multiplier,
  attention_multiplier: multiplier,
  logits_scaling: multiplier,
})

export type Fields = z.infer<typeof schema>

/** Names that transformers has for the same function. */
const sameActivation = { silu: ['silu', 'swish'], gelu_pytorch_tanh: ['gelu_pytorch_tanh', 'gelu_new', 'gelu_fast'] }

/** What sets a family apart from LLaMA. */
export interface Kind
  extends Partial<Pick<Architecture, 'act' | 'norms' | 'plus' | 'headNorms' | 'linears' | 'gated' | 'valueNorm' | 'scaledBlocks'>> {
  id: string
  label: string
  modelTypes: string[]
  /** Values of fields that a config.json may leave out, where they are not LLaMA's. */
  defaults?: Partial<Fields>
  /** Switches for biases that the family knows; another one that is on is refused. */
  switches?: ('attention_bias' | 'mlp_bias')[]
  /** Linears with a bias, whatever the switches say. */
  biased?: string[]
  /** Which blocks `sliding_window` holds for: none, all, or those that the config says. */
  window?: 'none' | 'all' | 'some'
  /** Factors that are not 1, and for the scores not 1/√d. */
  multipliers?(fields: Fields): Partial<Multipliers>
  /** Scores and logits are capped where the config says so. */
  capped?: boolean
  rope?: Omit<RopeRules, 'headDim'>
  /** Settings of RoPE by block, where they differ; null: without. */
  ropes?(given: Record<string, unknown>, spans: number[], rules: RopeRules): (RopeSettings | null)[]
}

export const llama = llamaLike({ id: 'llama', label: 'LLaMA', modelTypes: ['llama'], switches: ['attention_bias', 'mlp_bias'] })

export function llamaLike(kind: Kind): Family {
  const { id, label, modelTypes } = kind
  return { id, label, modelTypes, read: (given) => modelOf(architectureOf(kind, given)) }
}

/** @throws WorkbenchError `config-invalid`, `config-unsupported` */
export function architectureOf(kind: Kind, given: Record<string, unknown>): Architecture {
  const {
    biased = [],
    window = 'none',
    act = 'silu',
    norms = 'before',
    plus = 0,
    headNorms = 'none',
    linears = apart,
    gated = false,
    valueNorm = false,
    scaledBlocks = false,
  } = kind
  const config = fieldsOf(kind, given)
  const { hidden_size: hidden, num_attention_heads: heads, intermediate_size: ffn } = config
  const kvHeads = config.num_key_value_heads ?? heads
  const d = config.head_dim ?? hidden / heads
  if (heads % kvHeads) throw invalid(`${heads} attention heads cannot share ${kvHeads} key/value heads evenly`)
  requireFours({ hidden_size: hidden, head_dim: d, intermediate_size: ffn })
  const spans = spansOf(config, window, given)
  const full = { ...given, max_position_embeddings: config.max_position_embeddings }
  const rules: RopeRules = { ...kind.rope, headDim: d }
  return {
    hidden,
    blocks: config.num_hidden_layers,
    heads,
    kvHeads,
    d,
    ffn,
    vocab: config.vocab_size,
    maxPositions: config.max_position_embeddings,
    tied: config.tie_word_embeddings,
    eps: config.rms_norm_eps,
    ...{ act, norms, plus, headNorms, linears, gated, valueNorm, scaledBlocks, spans },
    biased: (linear) => biased.includes(linear) || config[linear.startsWith('self_attn') ? 'attention_bias' : 'mlp_bias'] === true,
    ropes: kind.ropes?.(full, spans, rules) ?? Array<RopeSettings>(spans.length).fill(readRope(full, rules)),
    multipliers: { embedding: 1, residual: 1, logits: 1, scores: 1 / Math.sqrt(d), ...kind.multipliers?.(config) },
    scoreCap: (kind.capped && config.attn_logit_softcapping) || undefined,
    logitCap: (kind.capped && config.final_logit_softcapping) || undefined,
  }
}

/** The fields, without what the family is not built with. */
function fieldsOf({ label, defaults, switches = [], act = 'silu' }: Kind, given: Record<string, unknown>): Fields {
  const activation = agreed(['hidden_activation', 'hidden_act'].map((where) => ({ where, says: given[where] }))) ?? act
  const config = parseConfig(schema, { ...defaults, ...given, hidden_act: activation })
  if (!sameActivation[act].includes(config.hidden_act))
    throw unsupported(`hidden_act is ${JSON.stringify(config.hidden_act)}`, `Only ${act} is supported in this family.`)
  for (const field of ['attention_bias', 'mlp_bias'] as const) {
    if (config[field] && !switches.includes(field)) throw unsupported(`${field} is true`, `${label} models have no such biases.`)
  }
  return config
}

/** Windows as transformers reads them: `layer_types` where it is there, else from block `max_window_layers` on. */
function spansOf(config: Fields, window: Kind['window'], given: Record<string, unknown>): number[] {
  const { num_hidden_layers: blocks, layer_types: types, use_sliding_window: used } = config
  const other = types?.find((type) => type !== 'full_attention' && type !== 'sliding_attention')
  if (other !== undefined)
    throw unsupported(`layer_types holds ${JSON.stringify(other)}`, 'Supported are full_attention and sliding_attention.')
  if (types && types.length !== blocks) throw invalid(`layer_types has ${types.length} entries for ${blocks} blocks`)
  const span = (window === 'all' || (window === 'some' && used) ? config.sliding_window : null) ?? Number.POSITIVE_INFINITY
  const first = window === 'some' ? (config.max_window_layers ?? 0) : 0
  const plain = Array.from({ length: blocks }, (_, k) => (k < first ? Number.POSITIVE_INFINITY : span))
  if (!types) return plain
  if (window === 'some' && used && given.max_window_layers != null) {
    const kinds = plain.map((one) => (Number.isFinite(one) ? 'sliding_attention' : 'full_attention'))
    agreed([
      { where: 'layer_types', says: types },
      { where: 'max_window_layers', says: kinds, shown: String(first) },
    ])
  }
  const spans = types.map((type) => (type === 'sliding_attention' ? span : Number.POSITIVE_INFINITY))
  if (window !== 'some' && spans.some((one, k) => one !== plain[k]))
    throw unsupported('layer_types mixes kinds of attention', 'In this family all blocks have the same kind of attention.')
  if (!Number.isFinite(span) && types.includes('sliding_attention'))
    throw invalid('layer_types asks for sliding_attention without a sliding_window in use')
  return spans
}
