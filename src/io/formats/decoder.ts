/** A LLaMA-like decoder described as plain data, for formats that store the computation in addition to the weights. */

/**
 * Blocks of x = x + attention(norm(x)); x = x + MLP(norm(x)) with rotary positions, grouped-query attention and a gated MLP, with
 * linears `self_attn.{q,k,v,o}_proj` and `mlp.{gate,up,down}_proj`. Whoever adds to the forward pass of such a family adds here
 * too, or leaves the description out.
 */
export interface Decoder {
  vocab: number
  hidden: number
  heads: number
  kvHeads: number
  headDim: number
  /** Longest sequence. */
  positions: number
  /** ε of all norms, and what is added to the weights that the file has for them. */
  eps: number
  plus: number
  /** Norms inside a block by their names: before and after each branch, and of query and key heads; `last`: after all blocks. */
  norms: { last: string; attention: string; afterAttention?: string; mlp: string; afterMlp?: string; query?: string; key?: string }
  /** Linears with a bias. */
  biased: string[]
  activation: 'silu' | 'gelu_tanh'
  /** Rows of the token table are multiplied by it. */
  embeddingScale: number
  /** Scores are multiplied by it, and become cap · tanh(s / cap), as logits do by theirs. */
  scoreScale: number
  scoreCap?: number
  logitCap?: number
  /** Angle per position of each pair (i, i + headDim / 2), `[headDim / 2]`: each list that a block uses. */
  rotary: number[][]
  /** By block: keys that a query sees, itself included (Infinity: all), and which of the `rotary` lists it uses. */
  blocks: { path: string; span: number; rotary: number }[]
}

/** The same in a checkpoint. */
export interface NamedDecoder extends Decoder {
  /** What it puts before paths of blocks and the last norm. */
  prefix: string
  /** Full names of token table and head, which may be the same. */
  embedding: string
  head: string
}
