/**
 * LLaMA and Mistral: RMS pre-norm, rotary positions, grouped-query attention, SwiGLU.
 *   x = x + attn(RoPE(a Wq), RoPE(a Wk), a Wv) Wo,  a = RMS1(x);   x = x + (silu(m Wgate) ⊙ m Wup) Wdown,  m = RMS2(x)
 */
import { z } from 'zod'
import type { Gpu } from '../gpu/device.ts'
import { attention, rmsnorm, rope, swiglu } from '../gpu/ops.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { invalid, parseConfig, requireFours, size, unsupported } from './config.ts'
import type { Before, BlockWeights, Family, LinearShape, Model, StageInput, Windows } from './family.ts'
import { type RopeSettings, readRope, ropeTable } from './rope.ts'
import { Scope } from './scope.ts'

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
  hidden_act: z.string().default('silu'),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  sliding_window: size.nullish(),
})

export const llama: Family = { id: 'llama', label: 'LLaMA', modelTypes: ['llama'], read: (config) => read(config, false) }
export const mistral: Family = { id: 'mistral', label: 'Mistral', modelTypes: ['mistral'], read: (config) => read(config, true) }

interface Config extends z.infer<typeof schema> {
  kvHeads: number
  d: number
  rope: RopeSettings
  /** Keys that a query sees. */
  span: number
}

function read(given: Record<string, unknown>, slides: boolean): Model {
  const config = parseConfig(schema, given)
  if (config.hidden_act !== 'silu')
    throw unsupported(`hidden_act is ${JSON.stringify(config.hidden_act)}`, 'Only silu is supported in this family.')
  const heads = config.num_attention_heads
  const kvHeads = config.num_key_value_heads ?? heads
  const d = config.head_dim ?? config.hidden_size / heads
  if (heads % kvHeads) throw invalid(`${heads} attention heads cannot share ${kvHeads} key/value heads evenly`)
  requireFours({ hidden_size: config.hidden_size, head_dim: d, intermediate_size: config.intermediate_size })
  return modelOf({
    ...config,
    kvHeads,
    d,
    rope: readRope(given),
    span: slides && config.sliding_window ? config.sliding_window : Number.POSITIVE_INFINITY,
  })
}

function modelOf(config: Config): Model {
  const { hidden_size: hidden, num_attention_heads: heads, intermediate_size: ffn, kvHeads, d } = config
  const stages: LinearShape[][] = [
    [
      { name: 'self_attn.q_proj', q: heads * d, p: hidden, scoring: true },
      { name: 'self_attn.k_proj', q: kvHeads * d, p: hidden, scoring: true },
      { name: 'self_attn.v_proj', q: kvHeads * d, p: hidden },
    ],
    [{ name: 'self_attn.o_proj', q: hidden, p: heads * d }],
    [
      { name: 'mlp.gate_proj', q: ffn, p: hidden },
      { name: 'mlp.up_proj', q: ffn, p: hidden },
    ],
    [{ name: 'mlp.down_proj', q: hidden, p: ffn }],
  ]
  const before: Before[] = [
    { kind: 'norm', name: 'input_layernorm' },
    kvHeads === heads
      ? { kind: 'linear', name: 'self_attn.v_proj' }
      : { kind: 'none', why: 'several query heads share one value head, whose projection cannot take over a scale for each' },
    { kind: 'norm', name: 'post_attention_layernorm' },
    { kind: 'linear', name: 'mlp.up_proj' },
  ]
  const biased = stages
    .flat()
    .filter(({ name }) => (name.startsWith('mlp') ? config.mlp_bias : config.attention_bias))
    .map(({ name, q }) => ({ name: `${name}.bias`, length: q }))
  return {
    shape: {
      hidden,
      blocks: config.num_hidden_layers,
      heads,
      kvHeads,
      headDim: d,
      ffn,
      vocab: config.vocab_size,
      embedWidth: hidden,
      maxPositions: config.max_position_embeddings,
      tied: config.tie_word_embeddings,
    },
    stages,
    before,
    vectors: [{ name: 'input_layernorm.weight', length: hidden }, { name: 'post_attention_layernorm.weight', length: hidden }, ...biased],
    blockPath: (k) => `layers.${k}`,
    embedding: 'embed_tokens.weight',
    head: 'lm_head.weight',
    outer: [{ name: 'norm.weight', shape: [hidden] }],
    prefixes: ['model.', ''],
    block: (gpu, weights, x, windows) => block(config, gpu, weights, x, windows),
    start: (_gpu, _outer, x) => x,
    finish: (gpu, outer, x) => rmsnorm(gpu, x, outer.get('norm.weight')!, config.rms_norm_eps),
  }
}

async function* block(
  config: Config,
  gpu: Gpu,
  weights: BlockWeights,
  x: Tensor,
  { windows, t }: Windows,
): AsyncGenerator<StageInput, Tensor> {
  const { num_attention_heads: heads, kvHeads, d, span, rms_norm_eps: eps } = config
  const scope = new Scope(gpu, weights)
  try {
    const a = scope.keep(rmsnorm(gpu, x, scope.weight('input_layernorm.weight'), eps))
    yield { stage: 0, input: a }
    const [q, k, v] = ['q', 'k', 'v'].map((part) => scope.linear(a, `self_attn.${part}_proj`))
    scope.drop(a)
    const table = scope.keep(gpu.upload(ropeTable(config.rope, d, t), [t, d / 2, 2]))
    rope(gpu, q, table, heads, d, t)
    rope(gpu, k, table, kvHeads, d, t)
    const mixed = scope.keep(await attention(gpu, q, k, v, { windows, t, heads, kvHeads, d, span }))
    scope.drop(q, k, v, table)
    yield { stage: 1, input: mixed }
    const y = scope.copy(x)
    scope.linear(mixed, 'self_attn.o_proj', y)
    scope.drop(mixed)
    const m = scope.keep(rmsnorm(gpu, y, scope.weight('post_attention_layernorm.weight'), eps))
    yield { stage: 2, input: m }
    const gate = scope.linear(m, 'mlp.gate_proj')
    const up = scope.linear(m, 'mlp.up_proj')
    scope.drop(m)
    swiglu(gpu, gate, up)
    scope.drop(up)
    yield { stage: 3, input: gate }
    scope.linear(gate, 'mlp.down_proj', y)
    scope.drop(gate)
    return scope.give(y)
  } finally {
    scope.dispose()
  }
}
