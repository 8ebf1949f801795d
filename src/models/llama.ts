/**
 * LLaMA and the families built like it: RMS pre-norm, rotary positions, grouped-query attention, SwiGLU.
 *   x = x + attn(RoPE(a Wq), RoPE(a Wk), a Wv) Wo,  a = RMS1(x);   x = x + (silu(m Wgate) ⊙ m Wup) Wdown,  m = RMS2(x)
 * with biases, an RMS norm of each query and key head before RoPE, windows on the keys, norms after the branches too, capped
 * scores and GELU where a family has them.
 */
import { z } from '../io/zod.ts'
import type { Device } from '../gpu/device.ts'
import { activate, add, attention, multiply, rmsnorm, rope, scale, swiglu } from '../gpu/ops.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { agreed } from '../io/facts.ts'
import type { Decoder } from '../io/formats/index.ts'
import { invalid, parseConfig, requireFours, size, unsupported } from './config.ts'
import type { Before, BlockWeights, Family, LinearShape, Model, StageInput, Windows } from './family.ts'
import { inverseFrequencies, type RopeSettings, readRope, ropeTable } from './rope.ts'
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
})

type Fields = z.infer<typeof schema>

/** Names that transformers has for the same function. */
const sameActivation = { silu: ['silu', 'swish'], gelu_pytorch_tanh: ['gelu_pytorch_tanh', 'gelu_new', 'gelu_fast'] }

/** What sets a family apart from LLaMA. */
export interface Kind {
  id: string
  label: string
  modelTypes: string[]
  /** Values of fields that a config.json may leave out, where they are not LLaMA's. */
  defaults?: Partial<Fields>
  /** Switches for biases that the family knows; another one that is on is refused. */
  switches?: ('attention_bias' | 'mlp_bias')[]
  /** Linears with a bias, whatever the switches say. */
  biased?: string[]
  /** Queries and keys are normed head by head. */
  headNorms?: boolean
  /** Which blocks `sliding_window` holds for: none, all, or those that the config says. */
  window?: 'none' | 'all' | 'some'
  /** Value of `hidden_act` that the family is built with. */
  act?: keyof typeof sameActivation
  /**
   * Gemma's arrangement: norms whose files leave out a 1, one more after each branch, the embedding times √hidden, scores
   * scaled by `query_pre_attn_scalar`, and caps.
   */
  gemma?: boolean
  /** Settings of RoPE by block, where they differ. */
  ropes?(given: Record<string, unknown>, spans: number[]): RopeSettings[]
}

export const llama = llamaLike({ id: 'llama', label: 'LLaMA', modelTypes: ['llama'], switches: ['attention_bias', 'mlp_bias'] })

export function llamaLike(kind: Kind): Family {
  const { id, label, modelTypes } = kind
  return { id, label, modelTypes, read: (given) => modelOf(read(kind, given)) }
}

interface Config extends Fields {
  kvHeads: number
  d: number
  headNorms: boolean
  gemma: boolean
  biased(linear: string): boolean
  /** By block: keys that a query sees, and how it is rotated. */
  spans: number[]
  ropes: RopeSettings[]
}

function read(kind: Kind, given: Record<string, unknown>): Config {
  const { defaults, switches = [], biased = [], headNorms = false, window = 'none', act = 'silu', gemma = false } = kind
  const activation = agreed(['hidden_activation', 'hidden_act'].map((where) => ({ where, says: given[where] }))) ?? act
  const config = parseConfig(schema, { ...defaults, ...given, hidden_act: activation })
  if (!sameActivation[act].includes(config.hidden_act))
    throw unsupported(`hidden_act is ${JSON.stringify(config.hidden_act)}`, `Only ${act} is supported in this family.`)
  for (const field of ['attention_bias', 'mlp_bias'] as const) {
    if (config[field] && !switches.includes(field)) throw unsupported(`${field} is true`, `${kind.label} models have no such biases.`)
  }
  const heads = config.num_attention_heads
  const kvHeads = config.num_key_value_heads ?? heads
  const d = config.head_dim ?? config.hidden_size / heads
  if (heads % kvHeads) throw invalid(`${heads} attention heads cannot share ${kvHeads} key/value heads evenly`)
  requireFours({ hidden_size: config.hidden_size, head_dim: d, intermediate_size: config.intermediate_size })
  const spans = spansOf(config, window, given)
  const full = { ...given, max_position_embeddings: config.max_position_embeddings }
  const ropes = kind.ropes?.(full, spans) ?? Array<RopeSettings>(spans.length).fill(readRope(full))
  return {
    ...config,
    kvHeads,
    d,
    headNorms,
    gemma,
    biased: (linear) => biased.includes(linear) || config[linear.startsWith('mlp') ? 'mlp_bias' : 'attention_bias'] === true,
    spans,
    ropes,
  }
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
    throw unsupported('layer_types mixes kinds of attention', 'In this family all blocks attend alike.')
  if (!Number.isFinite(span) && types.includes('sliding_attention'))
    throw invalid('layer_types asks for sliding_attention without a sliding_window in use')
  return spans
}

function modelOf(config: Config): Model {
  const { hidden_size: hidden, num_attention_heads: heads, intermediate_size: ffn, kvHeads, d } = config
  const plus = config.gemma ? 1 : 0
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
    { kind: 'norm', name: middleNorm(config) },
    { kind: 'linear', name: 'mlp.up_proj' },
  ]
  const biased = stages
    .flat()
    .filter(({ name }) => config.biased(name))
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
    vectors: [
      ...[
        'input_layernorm',
        'post_attention_layernorm',
        ...(config.gemma ? ['pre_feedforward_layernorm', 'post_feedforward_layernorm'] : []),
      ].map((name) => ({ name: `${name}.weight`, length: hidden, plus })),
      ...(config.headNorms ? ['self_attn.q_norm.weight', 'self_attn.k_norm.weight'].map((name) => ({ name, length: d, plus })) : []),
      ...biased,
    ],
    blockPath: (k) => `layers.${k}`,
    embedding: 'embed_tokens.weight',
    head: 'lm_head.weight',
    outer: [{ name: 'norm.weight', shape: [hidden], plus }],
    decoder: decoderOf(config, biased),
    logitCap: logitCap(config),
    prefixes: ['model.', ''],
    block: (gpu, weights, x, windows, k) => block(config, k, gpu, weights, x, windows),
    start: (gpu, _outer, x) => {
      if (config.gemma) {
        const cols = gpu.upload(new Float32Array(hidden).fill(Math.sqrt(hidden)), [hidden])
        scale(gpu, x, { cols })
        cols.dispose()
      }
      return x
    },
    finish: (gpu, outer, x) => rmsnorm(gpu, x, outer.get('norm.weight')!, config.rms_norm_eps),
  }
}

const logitCap = (config: Config) => (config.gemma && config.final_logit_softcapping) || undefined

/** What `block` computes, as data. */
function decoderOf(config: Config, biased: { name: string }[]): Decoder {
  const { hidden_size: hidden, d, gemma, headNorms, ropes } = config
  const distinct = [...new Set(ropes)]
  const { scale = 1 / Math.sqrt(d), cap } = scores(config)
  return {
    vocab: config.vocab_size,
    hidden,
    heads: config.num_attention_heads,
    kvHeads: config.kvHeads,
    headDim: d,
    positions: config.max_position_embeddings,
    eps: config.rms_norm_eps,
    plus: gemma ? 1 : 0,
    norms: {
      last: 'norm',
      attention: 'input_layernorm',
      mlp: middleNorm(config),
      ...(gemma && { afterAttention: 'post_attention_layernorm', afterMlp: 'post_feedforward_layernorm' }),
      ...(headNorms && { query: 'self_attn.q_norm', key: 'self_attn.k_norm' }),
    },
    biased: biased.map(({ name }) => name.replace(/\.bias$/, '')),
    activation: gemma ? 'gelu_tanh' : 'silu',
    embeddingScale: gemma ? Math.sqrt(hidden) : 1,
    scoreScale: scale,
    scoreCap: cap,
    logitCap: logitCap(config),
    rotary: distinct.map((one) => inverseFrequencies(one, d)),
    blocks: config.spans.map((span, k) => ({ path: `layers.${k}`, span, rotary: distinct.indexOf(ropes[k]) })),
  }
}

async function* block(
  config: Config,
  index: number,
  gpu: Device,
  weights: BlockWeights,
  x: Tensor,
  { windows, t }: Windows,
): AsyncGenerator<StageInput, Tensor> {
  const { num_attention_heads: heads, kvHeads, d, gemma, rms_norm_eps: eps } = config
  const scope = new Scope(gpu, weights)
  /** Adds what a branch puts out to y, in Gemma after a norm. */
  const branch = (input: Tensor, name: string, y: Tensor, norm: string) => {
    if (!gemma) return scope.linear(input, name, y)
    const out = scope.linear(input, name)
    const normed = scope.keep(rmsnorm(gpu, out, scope.weight(`${norm}.weight`), eps))
    add(gpu, y, normed)
    scope.drop(out, normed)
  }
  try {
    const a = scope.keep(rmsnorm(gpu, x, scope.weight('input_layernorm.weight'), eps))
    yield { stage: 0, input: a }
    let [q, k, v] = ['q', 'k', 'v'].map((part) => scope.linear(a, `self_attn.${part}_proj`))
    scope.drop(a)
    if (config.headNorms) {
      q = normHeads(scope, q, 'self_attn.q_norm', config)
      k = normHeads(scope, k, 'self_attn.k_norm', config)
    }
    const table = scope.keep(gpu.upload(ropeTable(config.ropes[index], d, t), [t, d / 2, 2]))
    rope(gpu, q, table, heads, d, t)
    rope(gpu, k, table, kvHeads, d, t)
    const shape = { windows, t, heads, kvHeads, d, span: config.spans[index], ...scores(config) }
    const mixed = scope.keep(await attention(gpu, q, k, v, shape))
    scope.drop(q, k, v, table)
    yield { stage: 1, input: mixed }
    const y = scope.copy(x)
    branch(mixed, 'self_attn.o_proj', y, 'post_attention_layernorm')
    scope.drop(mixed)
    const m = scope.keep(rmsnorm(gpu, y, scope.weight(`${middleNorm(config)}.weight`), eps))
    yield { stage: 2, input: m }
    const gate = scope.linear(m, 'mlp.gate_proj')
    const up = scope.linear(m, 'mlp.up_proj')
    scope.drop(m)
    if (gemma) {
      activate(gpu, 'gelu_tanh', gate)
      multiply(gpu, gate, up)
    } else swiglu(gpu, gate, up)
    scope.drop(up)
    yield { stage: 3, input: gate }
    branch(gate, 'mlp.down_proj', y, 'post_feedforward_layernorm')
    scope.drop(gate)
    return scope.give(y)
  } finally {
    scope.dispose()
  }
}

/** The norm before the second branch. */
const middleNorm = ({ gemma }: Config) => (gemma ? 'pre_feedforward_layernorm' : 'post_attention_layernorm')

/** How scores are scaled and capped. */
function scores({ gemma, d, query_pre_attn_scalar: scalar, attn_logit_softcapping: cap }: Config) {
  return gemma ? { scale: 1 / Math.sqrt(scalar ?? d), cap: cap ?? undefined } : {}
}

/** An RMS norm over each head of `x` `[tokens, heads · d]`, which it replaces. */
function normHeads(scope: Scope, x: Tensor, name: string, { d, rms_norm_eps: eps }: Config): Tensor {
  const { gpu } = scope
  const y = scope.keep(gpu.empty(x.shape))
  const byHead = [x.size / d, d]
  rmsnorm(gpu, x.view(byHead), scope.weight(`${name}.weight`), eps, y.view(byHead))
  scope.drop(x)
  return y
}
