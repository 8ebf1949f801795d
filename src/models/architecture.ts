/** Architecture of LLaMA-like models: sizes, and the switches by which families differ. */
import type { RopeSettings } from './rope.ts'

export interface Architecture {
  hidden: number
  blocks: number
  heads: number
  kvHeads: number
  /** Width of a head. */
  d: number
  ffn: number
  vocab: number
  maxPositions: number
  tied: boolean
  eps: number
  act: 'silu' | 'gelu_pytorch_tanh'
  /** Where the RMS norms of a block stand: before its two branches, after them, or both. */
  norms: 'before' | 'after' | 'around'
  /** What files leave out of the weights of norms. */
  plus: number
  /** RMS norms of queries and keys before they are rotated: of each head, or of all heads as one vector. */
  headNorms: 'none' | 'each' | 'all'
  /** Queries come with a gate of their width, whose sigmoid multiplies what attention puts out. */
  gated: boolean
  /** Values are normed head by head, without weights. */
  valueNorm: boolean
  /** What a block puts out is multiplied by its `layer_scalar`. */
  scaledBlocks: boolean
  /** Blocks that see everything have heads of another width, of other number for keys and values, or values that are the keys. */
  global?: { d: number; kvHeads: number; keysAreValues: boolean }
  /** Blocks from number `from` on take keys and values from the last block before it that sees as much; `wide`: with MLPs twice as wide. */
  sharing?: { from: number; wide: boolean }
  /** Width of what tokens say to every block, beside the state. */
  perLayer?: number
  /** Blocks that recall by a gated delta net instead of attending; null: it attends. Not given: all attend. */
  mixers?: (DeltaSizes | null)[]
  /** Linears by their duty. */
  linears: LinearNames
  /** Linears with a bias. */
  biased(linear: string): boolean
  /** Keys that a query of block k sees. */
  spans: number[]
  /** How block k rotates queries and keys; null: it does not. */
  ropes: (RopeSettings | null)[]
  /** What the embedding, each branch, the scores and the logits are multiplied by. */
  multipliers: Multipliers
  scoreCap?: number
  logitCap?: number
}

/** Of a gated delta net. */
export interface DeltaSizes {
  /** Heads of queries and keys, and of values. */
  keyHeads: number
  heads: number
  /** Widths of a key and of a value. */
  dk: number
  dv: number
}

export interface LinearNames {
  /** For queries, keys and values: three, one for all of them, or two where keys are values. */
  qkv: readonly string[]
  /** For gate and up: two, or one for both. */
  gateUp: readonly string[]
  down: string
}

export interface Multipliers {
  embedding: number
  residual: number
  scores: number
  logits: number
}
