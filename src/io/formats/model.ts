/** Description of a model for formats that store more than its tensors, e.g. GGUF: architecture and tokenizer. */
import type { JsonObject } from '../json.ts'

/** Rotary positions as most programs are told of them: angles θ^(−2i/width) · position, scaled. */
export interface Rope {
  theta: number
  /** Dimensions of a head that rotate, its first ones. */
  width: number
  scaling: RopeScale
  /** Queries at position i are multiplied by 1 + beta · ln(1 + ⌊i / original⌋). */
  queries: { beta: number; original: number } | null
}

/** `attention`: what cosines and sines are multiplied by. */
export type RopeScale =
  | { kind: 'none' }
  /** Angles are divided by `factor`, or each by its own. */
  | { kind: 'linear'; factor: number }
  | { kind: 'factors'; factors: readonly number[] }
  /** Angles that turn fewer than `fast` times within `original` positions are divided, on a ramp that ends at `slow` times. */
  | { kind: 'yarn'; factor: number; original: number; fast: number; slow: number; attention: number }
  /** Each is divided by its own of `long` in texts of more than `original` tokens, else of `short`. */
  | { kind: 'longrope'; short: readonly number[]; long: readonly number[]; original: number; attention: number }

/** What a family's code reads from its config, as far as the tensors do not tell. */
export interface AttentionFacts {
  /** Added to the variance in norms. */
  eps: number
  /** By block; null: positions are not rotary. A text: a kind of scaling that this cannot say. */
  ropes: (Rope | string | null)[]
  /** How many keys a query sees at most, itself among them, by block; Infinity for all. */
  spans: number[]
  /** What products of queries and keys are multiplied by. */
  scoreScale: number
  /** Scores s become cap · tanh(s / cap). */
  scoreCap?: number
  /** By block, where blocks differ in these. */
  sizes?: readonly { headDim: number; kvHeads: number; ffn: number }[]
  /** Blocks from this one on use the keys and values of the last before it that sees as much. */
  sharedFrom?: number
  /** Width of what tokens say to every block; 0: nothing. */
  perLayer?: number
  delta?: DeltaFacts
}

/** Blocks that recall by a gated delta net instead of attending. */
export interface DeltaFacts {
  /** By block. */
  recalls: readonly boolean[]
  /** Heads of keys, and of values, of which as many lie behind each other as share one of keys; and the width of either. */
  keyHeads: number
  heads: number
  dk: number
  dv: number
  /** Pairs of dimensions that rotate by time, height and width, of the blocks that attend: the same for text. */
  sections: readonly number[]
}

/** A tensor that the forward pass uses, and its place. */
export interface ModelPart {
  /** In the checkpoint. */
  name: string
  /** Counted from 0; null outside the blocks. */
  block: number | null
  /** Name inside the block or the family, e.g. `self_attn.q_proj.weight`; `embedding` and `head` for those two. */
  part: string
  /** Added to what the file stores. */
  plus: number
}

export interface ModelFacts {
  /** Of the folder. */
  name: string
  license: string | null
  /** Id of the family, and what people call it. */
  family: string
  label: string
  hidden: number
  blocks: number
  heads: number
  kvHeads: number
  headDim: number
  ffn: number
  vocab: number
  /** Longest window; null where positions know no end. */
  maxPositions: number | null
  logitCap?: number
  /** What the embedding, each branch and the logits are multiplied by. */
  multipliers: { embedding: number; residual: number; logits: number }
  /** Not given by families that no format describes yet. */
  attention: AttentionFacts | null
  parts: ModelPart[]
  /** null without a tokenizer, in dry runs. */
  vocabulary: Vocabulary | null
}

/** A tokenizer's tables, and all that happens to a text around them. */
export interface Vocabulary {
  /** BPE, Unigram, WordPiece, WordLevel. */
  kind: string
  /** tokenizer.json, its model without `vocab` and `merges`. */
  definition: JsonObject
  /** Tokens by id; undefined where an id has none. */
  tokens(): (string | undefined)[]
  /** Of BPE, in their order: the ids that are joined and the id that comes out, three by three. */
  merges(): Int32Array
  added: readonly AddedTokenFacts[]
  /** Ids put before and after a text. */
  before: readonly number[]
  after: readonly number[]
  /** Tokens by what they are for: `bos_token`, `eos_token` …; as tokenizer_config.json and its kin say. */
  special: ReadonlyMap<string, string>
  /** The same by id, as config.json says: `bos_token_id` …. */
  specialIds: ReadonlyMap<string, number>
  /** Source of the chat template, if there is one. */
  chatTemplate: string | null
}

export interface AddedTokenFacts {
  content: string
  id: number
  special: boolean
  single_word: boolean
  lstrip: boolean
  rstrip: boolean
}
