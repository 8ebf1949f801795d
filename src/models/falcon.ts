/**
 * Falcon: LayerNorm, one fused projection for queries, keys and values, exact GELU. Three arrangements of a block:
 *   7b, one norm         a = LN(x);               x = x + attn(a) Wd + gelu(a Wup) Wdown
 *   40b, two norms       a = LNa(x), m = LNm(x);  x = x + attn(a) Wd + gelu(m Wup) Wdown
 *   rw-1b, sequential    x = x + attn(LN1(x)) Wd; x = x + gelu(LN2(x) Wup) Wdown
 * Positions by rotation or by ALiBi, keys and values for every head, for groups of heads, or once for all.
 */
import { z } from '../io/zod.ts'
import type { Device } from '../gpu/device.ts'
import { activate } from '../gpu/ops.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { NotLoaded } from '../io/formats/index.ts'
import { falconAlibiTable, lastOf } from './alibi.ts'
import { headWidth, invalid, parseConfig, requireFours, respelled, size, unsupported } from './config.ts'
import {
  alike,
  type Before,
  type BlockWeights,
  type Family,
  type LinearShape,
  type Model,
  type OuterTensor,
  type StageInput,
  type Windows,
} from './family.ts'
import { type FusedShape, type Positions, beforeDense, beforeDown, fusedAttention, fusedLinears, names } from './fused.ts'
import { ropeFacts } from './rope.ts'
import { readRope } from './rope-settings.ts'
import { Scope, layernormVectors } from './scope.ts'

/** Old files hold "true" as often as true. */
const flag = z.preprocess((value) => {
  if (typeof value !== 'string') return value
  return { true: true, false: false }[value.toLowerCase()] ?? value
}, z.boolean().nullish())

const schema = z.object({
  hidden_size: size,
  num_hidden_layers: size.max(1024),
  num_attention_heads: size,
  num_kv_heads: size.nullish(),
  ffn_hidden_size: size.nullish(),
  vocab_size: size,
  max_position_embeddings: size.default(2048),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  activation: z.string().default('gelu'),
  alibi: flag,
  bias: flag,
  multi_query: flag,
  parallel_attn: flag,
  new_decoder_architecture: flag,
  num_ln_in_parallel_attn: z.number().int().nullish(),
  apply_residual_connection_post_layernorm: flag,
  tie_word_embeddings: z.boolean().default(true),
})

export const falcon: Family = { id: 'falcon', label: 'Falcon', modelTypes: ['falcon', 'RefinedWebModel', 'RefinedWeb'], read }

interface Shape extends FusedShape {
  eps: number
  positions: Positions
  /** Norm before attention. */
  first: string
  /** Norm before the MLP; null: it sees what attention sees. */
  second: string | null
  /** Attention and MLP both start from the input of the block. */
  parallel: boolean
}

function read(given: Record<string, unknown>): Model {
  const spellings = {
    hidden_size: ['n_embed'],
    num_hidden_layers: ['n_layer'],
    num_attention_heads: ['n_head'],
    num_kv_heads: ['n_head_kv'],
  }
  const config = parseConfig(schema, respelled(given, spellings))
  const { hidden_size: hidden, num_attention_heads: heads } = config
  // Files from before the flag have a type of their own for 40b.
  const grouped = config.new_decoder_architecture ?? given.model_type === 'RefinedWeb'
  const parallel = config.parallel_attn ?? true
  const shared = config.multi_query ?? true
  const norms = config.num_ln_in_parallel_attn ?? (grouped ? 2 : 1)
  refuse(config, { grouped, parallel, shared, norms })
  const kvHeads = grouped ? (config.num_kv_heads ?? heads) : shared ? 1 : heads
  if (heads % kvHeads) throw invalid(`${heads} attention heads cannot share ${kvHeads} key/value heads evenly`)
  const d = headWidth(given, hidden, heads)
  const ffn = config.ffn_hidden_size ?? 4 * hidden
  requireFours({ hidden_size: hidden, 'hidden_size / num_attention_heads': d, ffn_hidden_size: ffn })
  return modelOf(config, String(given.model_type), {
    hidden,
    heads,
    kvHeads,
    d,
    ffn,
    eps: config.layer_norm_epsilon,
    positions: config.alibi
      ? { kind: 'alibi', table: lastOf((t) => falconAlibiTable(heads, t, d)) }
      : { kind: 'rope', settings: readRope({ ...given, max_position_embeddings: config.max_position_embeddings }, { headDim: d }) },
    first: parallel && norms === 2 ? 'ln_attn' : 'input_layernorm',
    second: parallel ? (norms === 2 ? 'ln_mlp' : null) : 'post_attention_layernorm',
    parallel,
  })
}

/** What of a config is not supported. */
function refuse(
  config: z.infer<typeof schema>,
  { grouped, parallel, shared, norms }: { grouped: boolean; parallel: boolean; shared: boolean; norms: number },
): void {
  const { num_attention_heads: heads } = config
  if (config.activation !== 'gelu')
    throw unsupported(`activation is ${JSON.stringify(config.activation)}`, 'Only gelu is supported in this family.')
  if (config.apply_residual_connection_post_layernorm)
    throw unsupported('apply_residual_connection_post_layernorm is true', 'Only false is supported in this family.')
  if (grouped && !parallel)
    throw unsupported(
      'parallel_attn is false, while new_decoder_architecture is true',
      'The new architecture is supported with attention and MLP in parallel; the sequential one without new_decoder_architecture.',
    )
  if (norms !== 1 && norms !== 2)
    throw unsupported(`num_ln_in_parallel_attn is ${norms}`, 'One norm for attention and MLP, or two, are supported.')
  if (norms === 2 && !grouped && parallel)
    throw unsupported(
      'num_ln_in_parallel_attn is 2 without new_decoder_architecture',
      'Two norms are supported in the new architecture; the old one has a single norm for attention and MLP.',
    )
  if (!grouped && !shared && (config.num_kv_heads ?? heads) !== heads)
    throw unsupported(
      `num_kv_heads is ${config.num_kv_heads}, while multi_query and new_decoder_architecture are false`,
      `Groups of heads are supported in the new architecture; here every one of the ${heads} heads has its own keys and values.`,
    )
}

function notLoaded(config: z.infer<typeof schema>, { hidden, ffn, kvHeads, parallel }: Shape, type: string): NotLoaded {
  const wide = ffn !== 4 * hidden && `No: it takes Falcon with a feed-forward size of four times the hidden size only, not ${ffn}.`
  const converter =
    config.alibi || !parallel
      ? 'No: llama.cpp knows Falcon with rotary positions and with attention and MLP in parallel only.'
      : (config.num_kv_heads ?? 1) !== kvHeads
        ? `No: the converter counts ${config.num_kv_heads ?? 1} key/value heads (num_kv_heads in config.json), and the model has ${kvHeads}.`
        : wide
  return {
    'mlx-lm': 'No: mlx-lm does not know Falcon.',
    ...(type === 'falcon'
      ? {}
      : { transformers: `No: transformers knows this model as type "falcon" and not as ${JSON.stringify(type)}.` }),
    ...(wide ? { vLLM: wide } : {}),
    ...(converter ? { 'llama.cpp (convert_hf_to_gguf)': converter } : {}),
  }
}

function modelOf(config: z.infer<typeof schema>, type: string, shape: Shape): Model {
  const { hidden, heads, kvHeads, d, ffn, eps, first, second, positions } = shape
  const { qkv, dense, up, down } = fusedLinears(shape)
  const stages: LinearShape[][] = second ? [[qkv], [dense], [up], [down]] : [[qkv, up], [dense], [down]]
  const attentionInput: Before = { kind: 'norm', name: first }
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
      maxPositions: config.alibi ? null : config.max_position_embeddings,
      tied: config.tie_word_embeddings,
    },
    layouts: alike(config.num_hidden_layers, {
      stages,
      before: second
        ? [attentionInput, beforeDense(shape), { kind: 'norm', name: second }, beforeDown]
        : [attentionInput, beforeDense(shape), beforeDown],
      vectors: [
        ...[first, ...(second ? [second] : [])].flatMap((name) => layernormVectors(name, hidden)),
        ...(config.bias ? stages.flat().map(({ name, q }) => ({ name: `${name}.bias`, length: q })) : []),
      ],
    }),
    blockPath: (k) => `h.${k}`,
    embedding: 'word_embeddings.weight',
    head: 'lm_head.weight',
    outer: layernormVectors('ln_f', hidden).map(({ name, length }): OuterTensor => ({ name, shape: [length] })),
    notLoaded: notLoaded(config, shape, type),
    attention: {
      eps,
      ropes: Array(config.num_hidden_layers).fill(positions.kind === 'rope' ? ropeFacts(positions.settings, d) : null),
      spans: Array(config.num_hidden_layers).fill(Number.POSITIVE_INFINITY),
      scoreScale: 1 / Math.sqrt(d),
    },
    prefixes: ['transformer.', ''],
    start: (_gpu, _outer, x) => x,
    continues: true,
    block: (gpu, weights, x, windows) => block(shape, gpu, weights, x, windows),
    finish: (gpu, weights, x) => new Scope(gpu, weights).layernorm(x, 'ln_f', eps),
  }
}

async function* block(shape: Shape, gpu: Device, weights: BlockWeights, x: Tensor, windows: Windows): AsyncGenerator<StageInput, Tensor> {
  const { eps, positions, first, second, parallel } = shape
  const scope = new Scope(gpu, weights, windows.products)
  try {
    const a = scope.layernorm(x, first, eps)
    yield { stage: 0, input: a }
    const mixed = await fusedAttention(scope, a, shape, positions, windows)
    if (second) scope.drop(a)
    yield { stage: 1, input: mixed }
    const y = scope.copy(x)
    scope.linear(mixed, names.dense, y)
    scope.drop(mixed)
    let m = a
    if (second) {
      m = scope.layernorm(parallel ? x : y, second, eps)
      yield { stage: 2, input: m }
    }
    const up = scope.linear(m, names.up)
    scope.drop(m)
    activate(gpu, 'gelu', up)
    yield { stage: second ? 3 : 2, input: up }
    scope.linear(up, names.down, y)
    scope.drop(up)
    return scope.give(y)
  } finally {
    scope.dispose()
  }
}
