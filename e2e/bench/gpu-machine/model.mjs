/** A LLaMA with random weights in bf16 by a seed, and the demo's tokenizer. */
import { closeSync, copyFileSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** Those of SmolLM2-135M. */
export const smollm = { blocks: 30, hidden: 576, ffn: 1536, heads: 9, kvHeads: 3, vocab: 49_152 }

/** [out, in] of the linears of a block. */
function linearsOf({ hidden, ffn, heads, kvHeads }) {
  const kv = (hidden / heads) * kvHeads
  return {
    'self_attn.q_proj': [hidden, hidden],
    'self_attn.k_proj': [kv, hidden],
    'self_attn.v_proj': [kv, hidden],
    'self_attn.o_proj': [hidden, hidden],
    'mlp.gate_proj': [ffn, hidden],
    'mlp.up_proj': [ffn, hidden],
    'mlp.down_proj': [hidden, ffn],
  }
}

/** Each shape once. */
export const shapesOf = (extents) => [...new Map(Object.values(linearsOf(extents)).map((shape) => [String(shape), shape])).values()]

/** Tensors with the size of their weights. Where they are spread around 1, they are vectors of norms. */
function tensorsOf(extents) {
  const { blocks, hidden, vocab } = extents
  const norm = (name) => ({ name: `${name}.weight`, shape: [hidden], middle: 1, reach: 0.5 })
  return [
    { name: 'model.embed_tokens.weight', shape: [vocab, hidden], middle: 0, reach: 0.1 },
    ...Array.from({ length: blocks }, (_, k) => [
      ...Object.entries(linearsOf(extents)).map(([name, shape]) => ({
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
export function writeModel(folder, extents, demo) {
  const tensors = tensorsOf(extents)
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
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configOf(extents)))
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) copyFileSync(join(demo, name), join(folder, name))
}

const configOf = ({ blocks, hidden, ffn, heads, kvHeads, vocab }) => ({
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: hidden,
  intermediate_size: ffn,
  num_hidden_layers: blocks,
  num_attention_heads: heads,
  num_key_value_heads: kvHeads,
  vocab_size: vocab,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  rope_theta: 100_000,
  tie_word_embeddings: true,
  torch_dtype: 'bfloat16',
})
