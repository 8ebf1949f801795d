/**
 * OPT: learned positions, LayerNorm, biases, ReLU. Before the norms, or after them (350m, whose embedding is also
 * narrower than its blocks):
 *   x = E[token] Pinᵀ + P[position + 2]
 *   pre-norm   x = x + attn(LN1(x)) Wo;   x = x + relu(LN2(x) W1) W2
 *   post-norm  x = LN1(x + attn(x) Wo);   x = LN2(x + relu(x W1) W2)
 */
import { z } from '../io/zod.ts'
import type { Device } from '../gpu/device.ts'
import { activate, addRows, attention, matmul } from '../gpu/ops.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { headWidth, parseConfig, requireFours, size, unsupported } from './config.ts'
import {
  alike,
  type Before,
  type BlockWeights,
  type Family,
  type LinearShape,
  type Model,
  type OuterTensor,
  placesOf,
  type StageInput,
  type Windows,
} from './family.ts'
import { Scope, layernormVectors } from './scope.ts'

const schema = z.object({
  hidden_size: size,
  num_hidden_layers: size.max(1024),
  num_attention_heads: size,
  ffn_dim: size,
  vocab_size: size,
  max_position_embeddings: size.default(2048),
  word_embed_proj_dim: size.nullish(),
  do_layer_norm_before: z.boolean().default(true),
  _remove_final_layer_norm: z.boolean().default(false),
  enable_bias: z.boolean().default(true),
  layer_norm_elementwise_affine: z.boolean().default(true),
  activation_function: z.string().default('relu'),
  tie_word_embeddings: z.boolean().default(true),
})

/** Not in the config: the default of LayerNorm. */
const eps = 1e-5
/** Rows of the position table before that of the first position. */
const firstPosition = 2

export const opt: Family = { id: 'opt', label: 'OPT', modelTypes: ['opt'], read }

type Config = z.infer<typeof schema>

function read(given: Record<string, unknown>): Model {
  const config = parseConfig(schema, given)
  const { hidden_size: hidden, num_attention_heads: heads, ffn_dim: ffn, do_layer_norm_before: before } = config
  if (config.activation_function !== 'relu')
    throw unsupported(
      `activation_function is ${JSON.stringify(config.activation_function)}`,
      'Only relu is supported in this family (Galactica, which uses gelu, is not).',
    )
  if (!config.layer_norm_elementwise_affine)
    throw unsupported('layer_norm_elementwise_affine is false', 'Only norms with weights and biases are supported in this family.')
  const d = headWidth(given, hidden, heads)
  const embedWidth = config.word_embed_proj_dim ?? hidden
  requireFours({ hidden_size: hidden, 'hidden_size / num_attention_heads': d, ffn_dim: ffn, word_embed_proj_dim: embedWidth })

  const stages = stagesOf(hidden, ffn)
  const norm = (name: string): Before =>
    before
      ? { kind: 'norm', name }
      : { kind: 'none', why: 'the norm before it also feeds the residual connection, which cannot take over a scale' }
  const biased = config.enable_bias ? stages.flat().map(({ name, q }) => ({ name: `${name}.bias`, length: q })) : []
  return {
    shape: {
      hidden,
      blocks: config.num_hidden_layers,
      heads,
      kvHeads: heads,
      headDim: d,
      ffn,
      vocab: config.vocab_size,
      embedWidth,
      maxPositions: config.max_position_embeddings,
      tied: config.tie_word_embeddings,
    },
    layouts: alike(config.num_hidden_layers, {
      stages,
      // ReLU passes a positive scale on.
      before: [
        norm('self_attn_layer_norm'),
        { kind: 'linear', name: 'self_attn.v_proj' },
        norm('final_layer_norm'),
        { kind: 'linear', name: 'fc1' },
      ],
      vectors: [...layernormVectors('self_attn_layer_norm', hidden), ...layernormVectors('final_layer_norm', hidden), ...biased],
    }),
    blockPath: (k) => `layers.${k}`,
    embedding: 'embed_tokens.weight',
    head: 'lm_head.weight',
    notLoaded: { 'llama.cpp (convert_hf_to_gguf)': 'No: llama.cpp does not know OPT.', 'mlx-lm': 'No: mlx-lm does not know OPT.' },
    prefixes: ['model.decoder.', 'decoder.'],
    continues: true,
    block: (gpu, weights, x, windows) => block({ heads, d, before }, gpu, weights, x, windows),
    ...outside(config, embedWidth),
  }
}

const stagesOf = (hidden: number, ffn: number): LinearShape[][] => [
  [
    { name: 'self_attn.q_proj', q: hidden, p: hidden, scoring: true },
    { name: 'self_attn.k_proj', q: hidden, p: hidden, scoring: true },
    { name: 'self_attn.v_proj', q: hidden, p: hidden },
  ],
  [{ name: 'self_attn.out_proj', q: hidden, p: hidden }],
  [{ name: 'fc1', q: ffn, p: hidden }],
  [{ name: 'fc2', q: hidden, p: ffn }],
]

/** Before the first block and after the last: positions, the way to another width and back, and the last norm. */
function outside(config: Config, embedWidth: number): Pick<Model, 'outer' | 'start' | 'finish'> {
  const { hidden_size: hidden } = config
  const projects = embedWidth !== hidden
  const norms = config.do_layer_norm_before && !config._remove_final_layer_norm
  const outer: OuterTensor[] = [{ name: 'embed_positions.weight', shape: [config.max_position_embeddings + firstPosition, hidden] }]
  if (projects) {
    outer.push({ name: 'project_in.weight', shape: [hidden, embedWidth], linear: true })
    outer.push({ name: 'project_out.weight', shape: [embedWidth, hidden], linear: true })
  }
  if (norms) outer.push(...layernormVectors('final_layer_norm', hidden).map(({ name, length }): OuterTensor => ({ name, shape: [length] })))
  return {
    outer,
    start: (gpu, weights, x, at) => {
      const scope = new Scope(gpu, weights)
      let y = x
      if (projects) {
        y = matmul(gpu, x, scope.weight('project_in.weight'))
        x.dispose()
      }
      addRows(gpu, y, scope.weight('embed_positions.weight'), { window: at.t, from: firstPosition + placesOf(at).from })
      return y
    },
    finish: (gpu, weights, x) => {
      const scope = new Scope(gpu, weights)
      let y = x
      if (norms) y = scope.layernorm(y, 'final_layer_norm', eps)
      if (projects) y = scope.keep(matmul(gpu, y, scope.weight('project_out.weight')))
      if (y === x) y = scope.copy(x)
      scope.give(y)
      scope.dispose()
      return y
    },
  }
}

async function* block(
  { heads, d, before }: { heads: number; d: number; before: boolean },
  gpu: Device,
  weights: BlockWeights,
  x: Tensor,
  windows: Windows,
): AsyncGenerator<StageInput, Tensor> {
  const scope = new Scope(gpu, weights, windows.products)
  try {
    const a = before ? scope.layernorm(x, 'self_attn_layer_norm', eps) : x
    yield { stage: 0, input: a }
    const [q, k, v] = ['q', 'k', 'v'].map((part) => scope.linear(a, `self_attn.${part}_proj`))
    if (before) scope.drop(a)
    const mixed = scope.keep(await attention(gpu, q, k, v, { ...windows, heads, kvHeads: heads, d, span: Number.POSITIVE_INFINITY }))
    scope.drop(q, k, v)
    yield { stage: 1, input: mixed }
    const sum = scope.copy(x)
    scope.linear(mixed, 'self_attn.out_proj', sum)
    scope.drop(mixed)
    const m = scope.layernorm(sum, before ? 'final_layer_norm' : 'self_attn_layer_norm', eps)
    // What the second branch is added to.
    const y = before ? sum : m
    if (!before) scope.drop(sum)
    yield { stage: 2, input: m }
    const up = scope.linear(m, 'fc1')
    if (before) scope.drop(m)
    activate(gpu, 'relu', up)
    yield { stage: 3, input: up }
    scope.linear(up, 'fc2', y)
    scope.drop(up)
    return scope.give(before ? y : scope.layernorm(y, 'final_layer_norm', eps))
  } finally {
    scope.dispose()
  }
}
