/** Float64 twin of the LLaMA forward pass, built from the float64 twins of the operations, and tiny random models. */
import type { Device } from '../gpu/device.ts'
import { applyCap, embed, matmul } from '../gpu/ops.ts'
import * as ref from '../gpu/reference.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { blankModel } from './blank.ts'
import type { StageInput, Windows } from './family.ts'
import { inverseFrequencies } from './rope.ts'
import { readRope } from './rope-settings.ts'
import { inputsOf } from './token-inputs.ts'
import type { OpenModel } from './open.ts'
import { disposeBlock, disposePanels, loadBlock, loadOuter, loadPanels } from './weights.ts'

export interface TinyConfig {
  model_type: 'llama' | 'mistral'
  hidden_size: number
  num_hidden_layers: number
  num_attention_heads: number
  num_key_value_heads: number
  head_dim?: number
  intermediate_size: number
  vocab_size: number
  max_position_embeddings: number
  rms_norm_eps: number
  rope_theta: number
  rope_scaling?: Record<string, unknown> | null
  tie_word_embeddings: boolean
  attention_bias?: boolean
  mlp_bias?: boolean
  sliding_window?: number | null
}

export type Tensors = Map<string, { shape: number[]; data: Float32Array<ArrayBuffer> }>

/** Random weights of a size that keeps activations around 1, norms away from 1, by a small seeded generator. */
export function tinyTensors(config: TinyConfig, seed: number): Tensors {
  let state = seed >>> 0
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  }
  const tensors: Tensors = new Map()
  const add = (name: string, shape: number[], at: (x: number) => number) =>
    tensors.set(name, { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => at(next())) })
  const { hidden_size: hidden, intermediate_size: ffn } = config
  const d = config.head_dim ?? hidden / config.num_attention_heads
  const linear = (name: string, q: number, p: number, biased = false) => {
    add(`${name}.weight`, [q, p], (x) => (x * 2) / Math.sqrt(p))
    if (biased) add(`${name}.bias`, [q], (x) => x / 2)
  }
  add('model.embed_tokens.weight', [config.vocab_size, hidden], (x) => x)
  for (let k = 0; k < config.num_hidden_layers; k++) {
    const at = `model.layers.${k}`
    add(`${at}.input_layernorm.weight`, [hidden], (x) => 1 + x / 2)
    add(`${at}.post_attention_layernorm.weight`, [hidden], (x) => 1 + x / 2)
    linear(`${at}.self_attn.q_proj`, config.num_attention_heads * d, hidden, config.attention_bias)
    linear(`${at}.self_attn.k_proj`, config.num_key_value_heads * d, hidden, config.attention_bias)
    linear(`${at}.self_attn.v_proj`, config.num_key_value_heads * d, hidden, config.attention_bias)
    linear(`${at}.self_attn.o_proj`, hidden, config.num_attention_heads * d, config.attention_bias)
    linear(`${at}.mlp.gate_proj`, ffn, hidden, config.mlp_bias)
    linear(`${at}.mlp.up_proj`, ffn, hidden, config.mlp_bias)
    linear(`${at}.mlp.down_proj`, hidden, ffn, config.mlp_bias)
  }
  add('model.norm.weight', [hidden], (x) => 1 + x / 2)
  if (!config.tie_word_embeddings) add('lm_head.weight', [config.vocab_size, hidden], (x) => x)
  return tensors
}

export interface TwinResult {
  /** Output of the last block, after the final norm. */
  hidden: ref.Matrix
  /** Cross-entropy of each next token. */
  losses: number[]
  /** Inputs of the four stages of each block. */
  inputs: ref.Matrix[][]
}

/** The whole forward pass of one window in float64. */
export function twin(config: TinyConfig, tensors: Tensors, ids: number[]): TwinResult {
  const get = (name: string): ref.Matrix => {
    const { shape, data } = tensors.get(name)!
    return { rows: shape[0], cols: shape[1] ?? 1, data: Float64Array.from(data) }
  }
  const t = ids.length
  const { hidden_size: hidden, num_attention_heads: heads, num_key_value_heads: kvHeads, rms_norm_eps: eps } = config
  const d = config.head_dim ?? hidden / heads
  const inverse = inverseFrequencies(readRope({ ...config }, { headDim: d }), d, t)
  const angles = ref.matrix(t, d / 2, (position, i) => position * inverse[i])
  const span = config.model_type === 'mistral' && config.sliding_window ? config.sliding_window : t
  const linear = (x: ref.Matrix, name: string) => {
    const y = ref.product(x, ref.transposed(get(`${name}.weight`)))
    const bias = tensors.get(`${name}.bias`)?.data
    return bias ? ref.matrix(y.rows, y.cols, (i, j) => y.data[i * y.cols + j] + bias[j]) : y
  }
  const plus = (a: ref.Matrix, b: ref.Matrix) => ref.matrix(a.rows, a.cols, (i, j) => a.data[i * a.cols + j] + b.data[i * b.cols + j])
  const table = get('model.embed_tokens.weight')
  let x = ref.matrix(t, hidden, (i, j) => table.data[ids[i] * hidden + j])
  const inputs: ref.Matrix[][] = []
  for (let k = 0; k < config.num_hidden_layers; k++) {
    const at = `model.layers.${k}`
    const a = ref.rmsnorm(x, get(`${at}.input_layernorm.weight`).data, eps)
    const q = ref.rope(linear(a, `${at}.self_attn.q_proj`), angles, d, t)
    const key = ref.rope(linear(a, `${at}.self_attn.k_proj`), angles, d, t)
    const v = linear(a, `${at}.self_attn.v_proj`)
    const mixed = ref.attention(q, key, v, { windows: 1, t, heads, kvHeads, d, span })
    x = plus(x, linear(mixed, `${at}.self_attn.o_proj`))
    const m = ref.rmsnorm(x, get(`${at}.post_attention_layernorm.weight`).data, eps)
    const gated = ref.swiglu(linear(m, `${at}.mlp.gate_proj`), linear(m, `${at}.mlp.up_proj`))
    x = plus(x, linear(gated, `${at}.mlp.down_proj`))
    inputs.push([a, mixed, m, gated])
  }
  const normed = ref.rmsnorm(x, get('model.norm.weight').data, eps)
  const head = config.tie_word_embeddings ? table : get('lm_head.weight')
  const losses = ref.crossEntropy(
    ref.matrix(t - 1, hidden, (i, j) => normed.data[i * hidden + j]),
    head,
    ids.slice(1),
  )
  return { hidden: normed, losses, inputs }
}

/** A safetensors file of F32 tensors. */
export function safetensorsOf(tensors: Tensors): Uint8Array<ArrayBuffer> {
  let at = 0
  const header: Record<string, unknown> = {}
  for (const [name, { shape, data }] of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [at, at + data.byteLength] }
    at += data.byteLength
  }
  const json = new TextEncoder().encode(JSON.stringify(header))
  const bytes = new Uint8Array(8 + json.length + at)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true)
  bytes.set(json, 8)
  let to = 8 + json.length
  for (const { data } of tensors.values()) {
    bytes.set(new Uint8Array(data.buffer), to)
    to += data.byteLength
  }
  return bytes
}

/** Logits `[windows · t, vocab]` of a model whose vocabulary is one panel; `see` looks on at every pause. */
export async function logitsOf(
  gpu: Device,
  opened: OpenModel,
  ids: Uint32Array<ArrayBuffer>,
  windows: Windows,
  see: (block: number, pause: StageInput) => Promise<void> = async () => {},
): Promise<Tensor> {
  const { model } = opened
  const table = await loadPanels(gpu, opened, opened.embedding)
  const outer = await loadOuter(gpu, opened)
  let x = model.start(gpu, outer.weights, embed(gpu, table, ids), windows)
  const told = { ...windows, ...(await inputsOf(gpu, opened, ids, outer.weights, table)) }
  disposePanels(table)
  for (let k = 0; k < model.shape.blocks; k++) {
    const weights = await loadBlock(gpu, opened, k)
    const steps = model.block(gpu, weights, x, told, k)
    let step = await steps.next()
    for (; !step.done; step = await steps.next()) await see(k, step.value)
    disposeBlock(weights)
    x.dispose()
    x = step.value
  }
  const last = model.finish(gpu, outer.weights, x)
  const logits = matmul(gpu, last, outer.head.parts[0].tensor, { tb: true })
  if (model.logitCap !== undefined) applyCap(gpu, logits, logits.size, model.logitCap)
  for (const tensor of [x, last]) tensor.dispose()
  disposeBlock(outer.weights)
  disposePanels(outer.head)
  return logits
}

/** A random model of any family, as its config.json describes it, in float32: activations around 1, norms away from 1. */
export function randomModel(config: Record<string, unknown>, seed: number): [string, string | Uint8Array<ArrayBuffer>][] {
  const configText = JSON.stringify({ ...config, torch_dtype: 'float32' })
  const { folder, model } = blankModel({ name: 'random', config: JSON.parse(configText), configText })
  let state = seed >>> 0
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  }
  const norm = /norm\w*\.weight$|ln_\w+\.weight$/
  const plus = model.outer[0].plus ?? 0
  const { scores } = model.architecture?.multipliers ?? {}
  const tensors: Tensors = new Map()
  for (const { name, shape } of folder.checkpoint.tensors.values()) {
    const size = shape.reduce((a, b) => a * b, 1)
    const scale = shape.length > 1 && !/embed/.test(name) ? 2 / Math.sqrt(shape[1]) : shape.length > 1 ? 1 : 0.5
    const data = Float32Array.from({ length: size }, () => next() * scale + (shape.length === 1 && norm.test(name) ? 1 - plus : 0))
    // Of families that do not divide scores, learned norms do; else noise decides where random heads look.
    if (scores === 1 && /q_norm/.test(name)) data.forEach((value, i) => (data[i] = value / Math.sqrt(size)))
    tensors.set(name, { shape: [...shape], data })
  }
  return [
    ['config.json', configText],
    ['model.safetensors', safetensorsOf(tensors)],
  ]
}
