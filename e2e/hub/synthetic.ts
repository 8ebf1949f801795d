/** A LLaMA checkpoint of any size that is not stored: weights are computed for the requested ranges. */
import { createHash } from 'node:crypto'
import type { Content, Contents } from './server.ts'

export interface SyntheticShape {
  blocks: number
  hidden: number
  ffn: number
  heads: number
  vocab: number
  shards: number
}

/** Elements after which weights repeat; a prime, so that no two rows or tensors are alike. */
const period = 524_287

/** `others`: tokenizer files of at most `vocab` tokens. */
export function syntheticCheckpoint({ blocks, hidden, ffn, heads, vocab, shards }: SyntheticShape, others: Contents): Contents {
  const linear: [string, number, number][] = [
    ...['q', 'k', 'v', 'o'].map((name): [string, number, number] => [`self_attn.${name}_proj`, hidden, hidden]),
    ['mlp.gate_proj', ffn, hidden],
    ['mlp.up_proj', ffn, hidden],
    ['mlp.down_proj', hidden, ffn],
  ]
  const tensors: { name: string; shape: number[] }[] = [
    { name: 'model.embed_tokens.weight', shape: [vocab, hidden] },
    ...Array.from({ length: blocks }, (_, k) => [
      ...linear.map(([name, q, p]) => ({ name: `model.layers.${k}.${name}.weight`, shape: [q, p] })),
      ...['input_layernorm', 'post_attention_layernorm'].map((name) => ({ name: `model.layers.${k}.${name}.weight`, shape: [hidden] })),
    ]).flat(),
    { name: 'model.norm.weight', shape: [hidden] },
  ]
  // Uniform in ±0.05, as small as trained weights are; norms are like every other tensor, which keeps states finite too.
  const weights = new Float32Array(period)
  let state = 1
  for (let i = 0; i < period; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    weights[i] = (state / 2 ** 32 - 0.5) / 10
  }
  const cycle = Buffer.from(weights.buffer)

  const files = new Map<string, Content>(others)
  const index: Record<string, string> = {}
  const perShard = Math.ceil(tensors.length / shards)
  for (let shard = 0; shard < shards; shard++) {
    const file = `model-${String(shard + 1).padStart(5, '0')}-of-${String(shards).padStart(5, '0')}.safetensors`
    const header: Record<string, unknown> = {}
    let end = 0
    // As save_pretrained lays them out: modules in their order over the shards, in each shard by name.
    const here = tensors.slice(shard * perShard, (shard + 1) * perShard).sort((a, b) => (a.name < b.name ? -1 : 1))
    for (const { name, shape } of here) {
      const begin = end
      end += 4 * shape.reduce((a, b) => a * b, 1)
      header[name] = { dtype: 'F32', shape, data_offsets: [begin, end] }
      index[name] = file
    }
    const text = JSON.stringify(header).replace(/$/, ' '.repeat(8))
    const padded = text.slice(0, text.length - (text.length % 8))
    const head = Buffer.alloc(8 + padded.length)
    head.writeBigUInt64LE(BigInt(padded.length))
    head.write(padded, 8)
    files.set(file, {
      size: head.length + end,
      hash: createHash('sha256').update(head).digest('hex'),
      read: (from, to) => {
        const out = Buffer.alloc(to - from)
        let at = from
        if (at < head.length) at += head.copy(out, 0, at, to)
        while (at < to) at += cycle.copy(out, at - from, (at - head.length) % cycle.length)
        return out
      },
    })
  }
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: hidden,
    intermediate_size: ffn,
    num_hidden_layers: blocks,
    num_attention_heads: heads,
    num_key_value_heads: heads,
    vocab_size: vocab,
    max_position_embeddings: 512,
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    tie_word_embeddings: true,
    hidden_act: 'silu',
    torch_dtype: 'float32',
  }
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
  const total = [...files.values()].reduce((sum, file) => sum + ('size' in file ? file.size : 0), 0)
  files.set('model.safetensors.index.json', encode({ metadata: { total_size: total }, weight_map: index }))
  files.set('config.json', encode(config))
  return files
}
