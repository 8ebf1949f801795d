/** What llama.cpp has of each family: names of tensors, and what its code does and does not do (llama.cpp v0.5.0, src/models). */

export interface Kind {
  /** `general.architecture` */
  name: string
  /** Tensors of a block, and outside, by part of the model. */
  block: Record<string, string>
  outside: Record<string, string>
  norm: 'layer_norm_rms_epsilon' | 'layer_norm_epsilon'
  /** Rows of queries and keys lie pairwise, or the parts of a fused projection one behind the other. */
  rows?: 'pairs' | 'fused'
  /** Positions: rotary, or a slope. */
  positions: 'rotary' | 'alibi'
  /** Scalings of rotary positions that it knows. */
  scalings: readonly ('linear' | 'factors' | 'yarn' | 'longrope')[]
  /** It reads where YaRN's ramp ends, and what its attention factor is multiplied by. */
  ramps?: boolean
  /** A part of a head may rotate alone. */
  partly?: boolean
  /** Queries may grow with their position, by steps of the length that YaRN names. */
  growing?: boolean
  /** Every so manieth block does not rotate. */
  still?: number
  /** Every so manieth block sees everything, or those that the file says; not given: it knows no windows. */
  windows?: number | 'any'
  /** Blocks with windows rotate without scaling: with a base of their own, or with that of the others. */
  sliding?: 'own base' | 'same base'
  /** Scores are multiplied by what the file says, and so are embedding, branches and logits. */
  multipliers?: boolean
  /** Number of blocks from which it guesses that scores are scaled by the hidden size. */
  largest?: number
  /** It does not scale scores. */
  unscaled?: boolean
  /** Blocks may differ in the sizes of heads and MLPs. */
  sizes?: boolean
  /** Blocks may recall by gated delta nets. */
  delta?: boolean
  /** It caps scores, and logits, always. */
  caps?: boolean
  /** The head is the embedding always, or never. */
  tied?: boolean
  /** It multiplies what linears put out by `scale` beside their `weight`. */
  scales?: boolean
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
const deltaNet = {
  'linear_attn.in_proj_qkv.weight': 'attn_qkv.weight',
  'linear_attn.in_proj_z.weight': 'attn_gate.weight',
  'linear_attn.in_proj_a.weight': 'ssm_alpha.weight',
  'linear_attn.in_proj_b.weight': 'ssm_beta.weight',
  'linear_attn.conv1d.weight': 'ssm_conv1d.weight',
  'linear_attn.A_log': 'ssm_a',
  'linear_attn.dt_bias': 'ssm_dt.bias',
  'linear_attn.norm.weight': 'ssm_norm.weight',
  'linear_attn.out_proj.weight': 'ssm_out.weight',
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
  positions: 'rotary',
  scalings: ['linear', 'factors', 'yarn'],
}

const fused = {
  ...both('self_attention.query_key_value', 'attn_qkv'),
  ...both('self_attention.dense', 'attn_output'),
  ...both('mlp.dense_h_to_4h', 'ffn_up'),
  ...both('mlp.dense_4h_to_h', 'ffn_down'),
}
const fusedOutside = { embedding: 'token_embd.weight', head: 'output.weight', ...both('ln_f', 'output_norm') }

const neox = { outside, norm: rms, positions: 'rotary', scalings: ['linear', 'yarn'] } as const

const olmo2: Kind = {
  ...neox,
  name: 'olmo2',
  block: {
    'post_attention_layernorm.weight': 'post_attention_norm.weight',
    'post_feedforward_layernorm.weight': 'post_ffw_norm.weight',
    ...headNorms,
    ...attention([]),
    ...mlp([]),
  },
  tied: false,
  square: true,
}

export const kinds: Record<string, Kind> = {
  llama: { ...llama, scales: true },
  mistral: { ...llama, scales: true },
  ministral3: { ...llama, name: 'mistral3', ramps: true, growing: true, scales: true },
  smollm3: { ...llama, name: 'smollm3', block: { ...norms, ...attention([]), ...mlp([]) }, scalings: ['linear', 'yarn'], still: 4 },
  granite: { ...llama, name: 'granite', multipliers: true },
  qwen2: { ...neox, name: 'qwen2', block: { ...norms, ...attention(qkv), ...mlp([]) }, square: true },
  qwen3: { ...neox, name: 'qwen3', block: { ...norms, ...headNorms, ...attention(qkv), ...mlp([]) }, scales: true },
  olmo2,
  olmo3: { ...olmo2, windows: 4, sliding: 'same base' },
  phi3: {
    ...neox,
    name: 'phi3',
    block: {
      ...norms,
      'self_attn.qkv_proj.weight': 'attn_qkv.weight',
      'self_attn.o_proj.weight': 'attn_output.weight',
      'mlp.gate_up_proj.weight': 'ffn_up.weight',
      'mlp.down_proj.weight': 'ffn_down.weight',
    },
    scalings: ['longrope'],
    partly: true,
    square: true,
  },
  gemma2: {
    name: 'gemma2',
    block: { ...gemmaNorms, ...attention(qkv), ...mlp([]) },
    outside,
    norm: rms,
    positions: 'rotary',
    scalings: ['linear'],
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
    scalings: ['linear'],
    windows: 6,
    sliding: 'own base',
    largest: 62,
  },
  gemma4: {
    name: 'gemma4',
    block: {
      ...{ ...gemmaNorms, ...headNorms, ...attention([]), ...mlp([]) },
      layer_scalar: 'layer_output_scale.weight',
      'per_layer_input_gate.weight': 'inp_gate.weight',
      'per_layer_projection.weight': 'proj.weight',
      'post_per_layer_input_norm.weight': 'post_norm.weight',
    },
    outside: {
      ...outside,
      'embed_tokens_per_layer.weight': 'per_layer_token_embd.weight',
      'per_layer_model_projection.weight': 'per_layer_model_proj.weight',
      'per_layer_projection_norm.weight': 'per_layer_proj_norm.weight',
    },
    norm: rms,
    positions: 'rotary',
    scalings: ['factors'],
    windows: 'any',
    sliding: 'own base',
    unscaled: true,
    sizes: true,
    scales: true,
  },
  qwen3_5: {
    ...neox,
    name: 'qwen35',
    block: {
      ...{ ...headNorms, ...attention([]), ...mlp([]) },
      'input_layernorm.weight': 'attn_norm.weight',
      'post_attention_layernorm.weight': 'post_attention_norm.weight',
      ...deltaNet,
    },
    scalings: [],
    partly: true,
    delta: true,
    scales: true,
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
    scalings: ['linear'],
  },
  bloom: {
    name: 'bloom',
    block: { ...both('input_layernorm', 'attn_norm'), ...both('post_attention_layernorm', 'ffn_norm'), ...fused },
    outside: { ...fusedOutside, ...both('word_embeddings_layernorm', 'token_embd_norm') },
    norm: 'layer_norm_epsilon',
    rows: 'fused',
    positions: 'alibi',
    scalings: [],
  },
}

/** Families that are written, for a sentence. */
export const knownFamilies =
  'LLaMA, Mistral, Ministral 3, Qwen2, Qwen3, Qwen3.5, SmolLM3, Granite, OLMo 2 and 3, Phi-3, Gemma 2 to 4, Falcon and BLOOM'
