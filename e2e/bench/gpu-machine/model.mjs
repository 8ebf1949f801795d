/** A LLaMA of the extents of SmolLM2-135M, with random weights in bf16 by a seed, and the demo's tokenizer. */
import { closeSync, copyFileSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const HIDDEN = 576
const FFN = 1536
const HEADS = 9
const KV_HEADS = 3
const VOCAB = 49_152
const KV = (HIDDEN / HEADS) * KV_HEADS

/** [out, in] of the linears of a block. */
const linears = {
  'self_attn.q_proj': [HIDDEN, HIDDEN],
  'self_attn.k_proj': [KV, HIDDEN],
  'self_attn.v_proj': [KV, HIDDEN],
  'self_attn.o_proj': [HIDDEN, HIDDEN],
  'mlp.gate_proj': [FFN, HIDDEN],
  'mlp.up_proj': [FFN, HIDDEN],
  'mlp.down_proj': [HIDDEN, FFN],
}

/** Each shape once. */
export const shapesOf = () => [...new Map(Object.values(linears).map((shape) => [String(shape), shape])).values()]

/** Tensors with the size of their weights. Where they are spread around 1, they are vectors of norms. */
function tensorsOf(blocks) {
  const norm = (name) => ({ name: `${name}.weight`, shape: [HIDDEN], middle: 1, reach: 0.5 })
  return [
    { name: 'model.embed_tokens.weight', shape: [VOCAB, HIDDEN], middle: 0, reach: 0.1 },
    ...Array.from({ length: blocks }, (_, k) => [
      ...Object.entries(linears).map(([name, shape]) => ({
        name: `model.layers.${k}.${name}.weight`,
        shape,
        middle: 0,
        reach: Math.sqrt(3 / shape[1]),
      })),
      norm(`model.layers.${k}.input_layernorm`),
      norm(`model.layers.${k}.post_attention_layernorm`),
    ]).flat(),
    norm('model.norm'),
  ]
}

/** The upper half of the float32 nearest to each of 65,536 values spread evenly. */
function tableOf(middle, reach) {
  const values = Float32Array.from({ length: 65536 }, (_, i) => middle + reach * (i / 32768 - 1))
  return Uint16Array.from(new Uint32Array(values.buffer), (bits) => Math.min(bits + 0x8000, 0xffffffff) >>> 16)
}

/** Writes a model folder; `demo`: where tokenizer.json is. */
export function writeModel(folder, blocks, demo) {
  const tensors = tensorsOf(blocks)
  const header = {}
  let end = 0
  for (const { name, shape } of tensors) {
    const begin = end
    end += 2 * shape.reduce((product, side) => product * side, 1)
    header[name] = { dtype: 'BF16', shape, data_offsets: [begin, end] }
  }
  const json = JSON.stringify(header)
  const text = json.padEnd(Math.ceil(json.length / 8) * 8)
  const head = Buffer.alloc(8)
  head.writeBigUInt64LE(BigInt(text.length))
  const file = openSync(join(folder, 'model.safetensors'), 'w')
  writeSync(file, head)
  writeSync(file, text)
  const tables = new Map()
  let state = 1
  for (const { shape, middle, reach } of tensors) {
    const key = `${middle} ${reach}`
    if (!tables.has(key)) tables.set(key, tableOf(middle, reach))
    const table = tables.get(key)
    const words = new Uint16Array(shape.reduce((product, side) => product * side, 1))
    for (let i = 0; i < words.length; i++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      words[i] = table[state >>> 16]
    }
    const bytes = new Uint8Array(words.buffer)
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
  }
  closeSync(file)
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configOf(blocks)))
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) copyFileSync(join(demo, name), join(folder, name))
}

const configOf = (blocks) => ({
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: HIDDEN,
  intermediate_size: FFN,
  num_hidden_layers: blocks,
  num_attention_heads: HEADS,
  num_key_value_heads: KV_HEADS,
  vocab_size: VOCAB,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  rope_theta: 100_000,
  tie_word_embeddings: true,
  torch_dtype: 'bfloat16',
})
