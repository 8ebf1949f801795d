/**
 * llama.cpp's names of families and tensors, and the metadata that each needs (llama.cpp v0.5.0, src/models and conversion/). A model
 * that its code would compute differently is refused.
 */
import type { ModelFacts, Rope } from '../model.ts'
import type { RowOrder } from './blocks.ts'
import type { MetaValue } from './file.ts'

interface Kind {
  /** `general.architecture` */
  name: string
  /** Tensors of a block, and outside, by part of the model. */
  block: Record<string, string>
  outside: Record<string, string>
  norm: 'layer_norm_rms_epsilon' | 'layer_norm_epsilon'
  /** Rows of queries and keys lie pairwise, or the parts of a fused projection one behind the other. */
  rows?: 'pairs' | 'fused'
  /** Positions: rotary, with a factor for each angle or without; or a slope. */
  positions: 'factors' | 'rotary' | 'alibi'
  /** Blocks before a block that sees everything, in the usual pattern; not given: it knows no windows. */
  windows?: number
  /** Number of blocks from which it guesses that scores are scaled by the hidden size. */
  largest?: number
  /** It caps scores, and logits, always. */
  caps?: boolean
  /** The head is the embedding, always. */
  tied?: boolean
  /** Heads together are as wide as the hidden state. */
  square?: boolean
}

const attention = (biases: string[]) => ({
  ...named('self_attn.q_proj', 'attn_q', biases),
  ...named('self_attn.k_proj', 'attn_k', biases),
  ...named('self_attn.v_proj', 'attn_v', biases),
  ...named('self_attn.o_proj', 'attn_output', biases),
})

const mlp = (biases: string[]) => ({
  ...named('mlp.gate_proj', 'ffn_gate', biases),
  ...named('mlp.up_proj', 'ffn_up', biases),
  ...named('mlp.down_proj', 'ffn_down', biases),
})

/** Weight and, where the list has it, bias of a module. */
function named(module: string, theirs: string, biases: string[]): Record<string, string> {
  const bias = biases.includes(theirs) ? { [`${module}.bias`]: `${theirs}.bias` } : {}
  return { [`${module}.weight`]: `${theirs}.weight`, ...bias }
}

const qkv = ['attn_q', 'attn_k', 'attn_v']
const outside = { embedding: 'token_embd.weight', head: 'output.weight', 'norm.weight': 'output_norm.weight' }
const headNorms = { 'self_attn.q_norm.weight': 'attn_q_norm.weight', 'self_attn.k_norm.weight': 'attn_k_norm.weight' }
const norms = { 'input_layernorm.weight': 'attn_norm.weight', 'post_attention_layernorm.weight': 'ffn_norm.weight' }
const gemmaNorms = {
  'input_layernorm.weight': 'attn_norm.weight',
  'post_attention_layernorm.weight': 'post_attention_norm.weight',
  'pre_feedforward_layernorm.weight': 'ffn_norm.weight',
  'post_feedforward_layernorm.weight': 'post_ffw_norm.weight',
}
const both = (ours: string, theirs: string) => named(ours, theirs, [theirs])
const rms = 'layer_norm_rms_epsilon'

const llama: Kind = {
  name: 'llama',
  block: {
    ...norms,
    ...attention([...qkv, 'attn_output']),
    ...mlp(['ffn_gate', 'ffn_up', 'ffn_down']),
  },
  outside,
  norm: rms,
  rows: 'pairs',
  positions: 'factors',
}

const fused = {
  ...both('self_attention.query_key_value', 'attn_qkv'),
  ...both('self_attention.dense', 'attn_output'),
  ...both('mlp.dense_h_to_4h', 'ffn_up'),
  ...both('mlp.dense_4h_to_h', 'ffn_down'),
}
const fusedOutside = { embedding: 'token_embd.weight', head: 'output.weight', ...both('ln_f', 'output_norm') }

const kinds: Record<string, Kind> = {
  llama,
  mistral: llama,
  qwen2: { name: 'qwen2', block: { ...norms, ...attention(qkv), ...mlp([]) }, outside, norm: rms, positions: 'rotary', square: true },
  qwen3: { name: 'qwen3', block: { ...norms, ...headNorms, ...attention(qkv), ...mlp([]) }, outside, norm: rms, positions: 'rotary' },
  gemma2: {
    name: 'gemma2',
    block: { ...gemmaNorms, ...attention(qkv), ...mlp([]) },
    outside,
    norm: rms,
    positions: 'rotary',
    windows: 2,
    largest: 46,
    caps: true,
    tied: true,
  },
  gemma3: {
    name: 'gemma3',
    block: { ...gemmaNorms, ...headNorms, ...attention(qkv), ...mlp([]) },
    outside,
    norm: rms,
    positions: 'rotary',
    windows: 6,
    largest: 62,
  },
  falcon: {
    name: 'falcon',
    block: {
      ...both('input_layernorm', 'attn_norm'),
      // Its code takes the second norm, where there is one, for attention.
      ...both('ln_mlp', 'attn_norm'),
      ...both('ln_attn', 'attn_norm_2'),
      'self_attention.query_key_value.weight': 'attn_qkv.weight',
      'self_attention.dense.weight': 'attn_output.weight',
      'mlp.dense_h_to_4h.weight': 'ffn_up.weight',
      'mlp.dense_4h_to_h.weight': 'ffn_down.weight',
    },
    outside: fusedOutside,
    norm: 'layer_norm_epsilon',
    rows: 'fused',
    positions: 'rotary',
  },
  bloom: {
    name: 'bloom',
    block: { ...both('input_layernorm', 'attn_norm'), ...both('post_attention_layernorm', 'ffn_norm'), ...fused },
    outside: { ...fusedOutside, ...both('word_embeddings_layernorm', 'token_embd_norm') },
    norm: 'layer_norm_epsilon',
    rows: 'fused',
    positions: 'alibi',
  },
}

/** Families that it knows, for a sentence. */
export const knownFamilies = 'LLaMA, Mistral, Qwen2, Qwen3, Gemma 2, Gemma 3, Falcon and BLOOM'

/** A tensor of the model in the file. */
export interface Target {
  name: string
  /** Added to what the model's file stores. */
  plus: number
  order: RowOrder | null
}

export interface GgufArchitecture {
  name: string
  /** By name in the model's checkpoint. */
  targets: Map<string, Target>
  /** Without the tokenizer, and `general.file_type`. */
  metadata: [string, MetaValue][]
  /** Factors of the rotary angles, `rope_freqs.weight`. */
  factors: readonly number[] | null
  /** Windows that it does not know: beyond so many tokens its results differ. */
  exactTo: number | null
}

/** A model in llama.cpp's terms, or why it has none: a sentence. */
export function architectureOf(model: ModelFacts): GgufArchitecture | string {
  const kind = Object.hasOwn(kinds, model.family) ? kinds[model.family] : null
  if (!kind || !model.attention)
    return `llama.cpp does not support ${kind ? 'this kind of ' : ''}${model.label} models; supported are ${knownFamilies}.`
  const against = problemOf(kind, model)
  if (against) return against
  const targets = new Map<string, Target>()
  for (const { name, block, part, plus } of model.parts) {
    const theirs = (block === null ? kind.outside : kind.block)[part]
    if (!theirs) return `llama.cpp’s ${model.label} has no tensor ${name}.`
    targets.set(name, { name: block === null ? theirs : `blk.${block}.${theirs}`, plus, order: rowOrder(kind, model, part) })
  }
  if (new Set([...targets.values()].map(({ name }) => name)).size < targets.size)
    return `llama.cpp’s ${model.label} has other norms than this model.`
  const ropes = model.attention.ropes.filter((one) => typeof one === 'object')
  return {
    name: kind.name,
    targets,
    metadata: metadataOf(kind, model),
    factors: (ropes[0] as Rope | null)?.factors ?? null,
    exactTo: kind.windows ? null : shortest(model),
  }
}

/** The narrowest window; null where there is none. */
function shortest({ attention }: ModelFacts): number | null {
  const least = Math.min(...attention!.spans)
  return Number.isFinite(least) ? least : null
}

/** What its code does otherwise: a sentence, or null. */
function problemOf(kind: Kind, model: ModelFacts): string | null {
  const { label, hidden, heads, headDim, blocks, parts, logitCap } = model
  const { ropes, spans, scoreScale, scoreCap } = model.attention!
  const odd = ropes.find((one) => typeof one === 'string')
  if (odd !== undefined) return `Rotary positions with ${odd} scaling cannot be written.`
  const rotary = ropes.every((one) => one !== null)
  if (rotary === (kind.positions === 'alibi')) return `llama.cpp supports ${label} with ${rotary ? 'ALiBi' : 'rotary positions'} only.`
  const scaled = kind.largest === blocks ? Math.floor(hidden / heads) : headDim
  if (Math.abs(scoreScale * Math.sqrt(scaled) - 1) > 1e-6)
    return `llama.cpp divides the scores of ${label} with ${blocks} blocks by √${scaled}, and this model by ${(1 / scoreScale).toFixed(3)}.`
  if (kind.caps ? !scoreCap || !logitCap : scoreCap) return `llama.cpp’s ${label} caps scores and logits differently from this model.`
  if (kind.square && heads * headDim !== hidden)
    return `llama.cpp supports ${label} only if all heads together are as wide as the hidden state.`
  if (kind.tied && parts.some(({ part }) => part === 'head')) return `llama.cpp supports ${label} only with tied embeddings.`
  const rope = (want: (finite: boolean) => boolean) => [
    ...new Set((ropes as Rope[]).filter((_, k) => want(Number.isFinite(spans[k]))).map(said)),
  ]
  const [full, sliding] = [rope((finite) => !finite), rope((finite) => finite)]
  if (rotary && (full.length > 1 || sliding.length > 1 || (!kind.windows && new Set([...full, ...sliding]).size > 1)))
    return `llama.cpp supports ${label} with one kind of rotary positions only.`
  if (kind.positions !== 'factors' && (ropes as (Rope | null)[]).some((one) => one?.factors))
    return `llama.cpp’s ${label} does not support LLaMA 3’s scaling of rotary positions.`
  // In Gemma 3 it scales the positions of full attention alone.
  if (kind.name === 'gemma3' && sliding.length && (JSON.parse(sliding[0]) as Rope).linear !== 1)
    return `llama.cpp’s ${label} does not scale the rotary positions of sliding attention.`
  // Versions before 0.5 ignore `sliding_window_pattern`.
  const usual = (k: number) => (k + 1) % kind.windows! !== 0
  if (kind.windows && spans.some(Number.isFinite) && spans.some((span, k) => Number.isFinite(span) !== usual(k)))
    return `llama.cpp supports ${label} with sliding windows in all blocks except every ${kind.windows === 2 ? '2nd' : `${kind.windows}th`}, unlike this model.`
  if (kind.windows && new Set(spans.filter(Number.isFinite)).size > 1)
    return `llama.cpp supports ${label} with sliding windows of one size only.`
  return null
}

const said = (rope: Rope) => JSON.stringify(rope)

/** Rows as its kernels want them. */
function rowOrder(kind: Kind, { heads, kvHeads, headDim: d }: ModelFacts, part: string): RowOrder | null {
  if (kind.rows === 'pairs' && /^self_attn\.[qk]_proj\./.test(part)) {
    // Its rotation takes neighbours for a pair, and transformers' the two halves of a head.
    return { band: d, from: (row) => row - (row % d) + ((row % 2) * d) / 2 + Math.floor((row % d) / 2) }
  }
  if (kind.rows === 'fused' && part.startsWith('self_attention.query_key_value.')) {
    const group = heads / kvHeads
    const from = (head: number) => {
      if (head < heads) return Math.floor(head / group) * (group + 2) + (head % group)
      const other = head - heads
      return (other % kvHeads) * (group + 2) + group + Math.floor(other / kvHeads)
    }
    return { band: d, from: (row) => from(Math.floor(row / d)) * d + (row % d) }
  }
  return null
}

const u32 = (value: number): MetaValue => ({ type: 'u32', value })
const f32 = (value: number): MetaValue => ({ type: 'f32', value })
const text = (value: string): MetaValue => ({ type: 'text', value })

/** Longest window of families whose positions know no end: what their models were trained at. */
const ENDLESS = 2048

function metadataOf(kind: Kind, model: ModelFacts): [string, MetaValue][] {
  const { eps, ropes, spans, scoreCap } = model.attention!
  const own: [string, MetaValue][] = [
    // Where it does not know the window, results would differ beyond it.
    ['context_length', u32(Math.min(model.maxPositions ?? ENDLESS, (!kind.windows && shortest(model)) || Number.POSITIVE_INFINITY))],
    ['embedding_length', u32(model.hidden)],
    ['block_count', u32(model.blocks)],
    ['feed_forward_length', u32(model.ffn)],
    ['attention.head_count', u32(model.heads)],
    ['attention.head_count_kv', u32(model.kvHeads)],
    [`attention.${kind.norm}`, f32(eps)],
    ['attention.key_length', u32(model.headDim)],
    ['attention.value_length', u32(model.headDim)],
  ]
  const windowed = kind.windows ? spans.findIndex(Number.isFinite) : -1
  const whole = kind.windows ? spans.findIndex((span) => !Number.isFinite(span)) : 0
  const rope = ropes[Math.max(0, whole)] as Rope | null
  if (rope) {
    own.push(['rope.dimension_count', u32(model.headDim)], ['rope.freq_base', f32(rope.theta)])
    if (rope.linear !== 1) own.push(['rope.scaling.type', text('linear')], ['rope.scaling.factor', f32(rope.linear)])
  }
  if (kind.windows) {
    // Without one, the widest there is: some of its code takes 0 for a window of nothing.
    own.push(['attention.sliding_window', u32(windowed < 0 ? (model.maxPositions ?? ENDLESS) : spans[windowed])])
    if (windowed >= 0 && kind.name === 'gemma3') own.push(['rope.freq_base_swa', f32((ropes[windowed] as Rope).theta)])
  }
  if (scoreCap) own.push(['attn_logit_softcapping', f32(scoreCap)])
  if (model.logitCap) own.push(['final_logit_softcapping', f32(model.logitCap)])
  if (kind.name === 'llama') own.push(['vocab_size', u32(model.vocab)])
  if (kind.name === 'falcon') own.push(['tensor_data_layout', text('jploski')])
  return own.map(([key, value]) => [`${kind.name}.${key}`, value])
}
