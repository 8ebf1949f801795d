/**
 * BLOOM: LayerNorm (on the embedding too), ALiBi, one fused projection for queries, keys and values, tanh-GELU, biases.
 *   x = LNe(E[token]);   x = x + attn(LN1(x)) Wd;   x = x + gelu_tanh(LN2(x) Wup) Wdown
 * The residual may start from the norm's output instead (`apply_residual_connection_post_layernorm`).
 */
import { z } from '../io/zod.ts'
import type { Device } from '../gpu/device.ts'
import { activate } from '../gpu/ops.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { alibiTable, lastOf } from './alibi.ts'
import { headWidth, parseConfig, requireFours, respelled, size, unsupported } from './config.ts'
import {
  alike,
  type Before,
  type BlockLayout,
  type BlockWeights,
  type Family,
  type Model,
  type OuterTensor,
  type StageInput,
  type Windows,
} from './family.ts'
import { type FusedShape, type Positions, beforeDense, beforeDown, fusedAttention, fusedLinears, names } from './fused.ts'
import { Scope, layernormVectors } from './scope.ts'

const schema = z.object({
  hidden_size: size,
  num_hidden_layers: size.max(1024),
  num_attention_heads: size,
  vocab_size: size,
  n_inner: size.nullish(),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  apply_residual_connection_post_layernorm: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(true),
})

export const bloom: Family = { id: 'bloom', label: 'BLOOM', modelTypes: ['bloom'], read }

interface Config extends FusedShape {
  eps: number
  /** The residual connections start from the norms' outputs. */
  fromNorm: boolean
}

function read(given: Record<string, unknown>): Model {
  const spellings = { hidden_size: ['n_embed'], num_hidden_layers: ['n_layer'], num_attention_heads: ['n_head'] }
  const config = parseConfig(schema, respelled(given, spellings))
  const { hidden_size: hidden, num_attention_heads: heads, layer_norm_epsilon: eps } = config
  const fromNorm = config.apply_residual_connection_post_layernorm
  if (config.n_inner != null && config.n_inner !== 4 * hidden)
    throw unsupported(`n_inner is ${config.n_inner}`, `Only four times hidden_size, ${4 * hidden}, is supported in this family.`)
  const shape: Config = { hidden, heads, kvHeads: heads, d: headWidth(given, hidden, heads), ffn: 4 * hidden, eps, fromNorm }
  requireFours({ hidden_size: hidden, 'hidden_size / num_attention_heads': shape.d })
  const outside = ['word_embeddings_layernorm', 'ln_f'].flatMap((name) => layernormVectors(name, hidden))
  return {
    shape: {
      hidden,
      blocks: config.num_hidden_layers,
      heads,
      kvHeads: heads,
      headDim: shape.d,
      ffn: shape.ffn,
      vocab: config.vocab_size,
      embedWidth: hidden,
      maxPositions: null,
      tied: config.tie_word_embeddings,
    },
    layouts: alike(config.num_hidden_layers, layoutOf(shape)),
    blockPath: (k) => `h.${k}`,
    embedding: 'word_embeddings.weight',
    head: 'lm_head.weight',
    outer: outside.map(({ name, length }): OuterTensor => ({ name, shape: [length] })),
    notLoaded: {
      'mlx-lm': 'No: mlx-lm does not know BLOOM.',
      ...(fromNorm ? { 'llama.cpp (convert_hf_to_gguf)': 'No: llama.cpp does not know BLOOM with residuals from the norms.' } : {}),
    },
    attention: fromNorm
      ? undefined
      : {
          eps,
          ropes: Array(config.num_hidden_layers).fill(null),
          spans: Array(config.num_hidden_layers).fill(Number.POSITIVE_INFINITY),
          scoreScale: 1 / Math.sqrt(shape.d),
        },
    prefixes: ['transformer.', ''],
    start: (gpu, weights, x) => {
      const scope = new Scope(gpu, weights)
      const y = scope.give(scope.layernorm(x, 'word_embeddings_layernorm', eps))
      x.dispose()
      return y
    },
    continues: true,
    block: (gpu, weights, x, windows) => block(shape, gpu, weights, x, windows),
    finish: (gpu, weights, x) => new Scope(gpu, weights).layernorm(x, 'ln_f', eps),
  }
}

function layoutOf(shape: Config): BlockLayout {
  const { hidden, fromNorm } = shape
  const { qkv, dense, up, down } = fusedLinears(shape)
  const norm = (name: string): Before =>
    fromNorm
      ? { kind: 'none', why: 'the norm before it also feeds the residual connection, which cannot take over a scale' }
      : { kind: 'norm', name }
  return {
    stages: [[qkv], [dense], [up], [down]],
    before: [norm('input_layernorm'), beforeDense(shape), norm('post_attention_layernorm'), beforeDown],
    vectors: [
      ...layernormVectors('input_layernorm', hidden),
      ...layernormVectors('post_attention_layernorm', hidden),
      ...[qkv, dense, up, down].map(({ name, q }) => ({ name: `${name}.bias`, length: q })),
    ],
  }
}

async function* block(config: Config, gpu: Device, weights: BlockWeights, x: Tensor, windows: Windows): AsyncGenerator<StageInput, Tensor> {
  const { heads, eps, fromNorm } = config
  const positions: Positions = { kind: 'alibi', table: lastOf((t) => alibiTable(heads, t)) }
  const scope = new Scope(gpu, weights, windows.products)
  try {
    const a = scope.layernorm(x, 'input_layernorm', eps)
    yield { stage: 0, input: a }
    const mixed = await fusedAttention(scope, a, config, positions, windows)
    yield { stage: 1, input: mixed }
    const sum = fromNorm ? a : scope.copy(x)
    if (!fromNorm) scope.drop(a)
    scope.linear(mixed, names.dense, sum)
    scope.drop(mixed)
    const m = scope.layernorm(sum, 'post_attention_layernorm', eps)
    yield { stage: 2, input: m }
    const up = scope.linear(m, names.up)
    const y = fromNorm ? m : sum
    scope.drop(fromNorm ? sum : m)
    activate(gpu, 'gelu_tanh', up)
    yield { stage: 3, input: up }
    scope.linear(up, names.down, y)
    scope.drop(up)
    return scope.give(y)
  } finally {
    scope.dispose()
  }
}
