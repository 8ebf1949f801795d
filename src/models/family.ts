/** The interface of a model family: reading config.json, a table of tensors, and a forward pass block by block. */
import type { Device } from '../gpu/device.ts'
import type { Past } from '../gpu/ops.ts'
import type { Products } from '../gpu/products.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { AttentionFacts, Decoder, NotLoaded } from '../io/formats/index.ts'
import type { Architecture } from './architecture.ts'

/** Sizes that every decoder has. */
export interface ModelShape {
  hidden: number
  blocks: number
  heads: number
  kvHeads: number
  headDim: number
  ffn: number
  vocab: number
  /** Width of the token table and of what the head reads; the hidden size unless projections lie between. */
  embedWidth: number
  /** Longest window; null where positions know no end (ALiBi). */
  maxPositions: number | null
  /** config.json says that the head is the embedding. */
  tied: boolean
  /** Columns of the states between blocks behind the hidden ones: keys and values for blocks that take over those of others. */
  carried?: number
}

/** Columns of the states between blocks. */
export const stateWidth = ({ hidden, carried = 0 }: ModelShape) => hidden + carried

/** A linear of a block: `<block>.<name>.weight` is stored `[q, p]` = [out, in]. */
export interface LinearShape {
  name: string
  q: number
  p: number
  /** A query or key projection: its outputs meet in the attention scores, where their errors multiply. */
  scoring?: boolean
}

/**
 * What a stage's input comes from, linearly and input by input, so that it can take over a scale 1/c of each: the weight
 * and bias of a norm, the outputs of a linear (input j from output j unless `output` says otherwise), or nothing (and why not).
 */
export type Before =
  | { kind: 'norm'; name: string }
  | { kind: 'linear'; name: string; output?: (j: number) => number }
  | { kind: 'none'; why: string }

/** Weights of one block on the GPU: linears `[in, out]` and vectors by their name inside the block. */
export type BlockWeights = Map<string, Tensor>

/** A small tensor outside the blocks; `linear`: stored `[out, in]`, and on the GPU input-major as those of the blocks. */
export interface OuterTensor {
  name: string
  shape: [number] | [number, number]
  linear?: boolean
  /** Added to what the file stores: Gemma's norms leave out a 1. */
  plus?: number
}

/** Windows of `t` positions each (padded to a multiple of 4), stacked to `[windows · t, hidden]`. */
export interface Windows {
  windows: number
  t: number
  /** How products take these tokens; f32 where nothing is said. Never f16 where Gram matrices are summed from what comes of it. */
  products?: Products
  /** Of the block at hand: a single window continues the text that it has seen (`Model.continues`). */
  past?: Past
  /** What its tokens say to block k, of models with per-layer embeddings (`TokenInputs`): `[windows · t, width]`. */
  inputs?(k: number): Float32Array<ArrayBuffer>
}

/** Where the first of these tokens stands, how many positions there are, and how long the whole text is. */
export const placesOf = ({ t, past }: Windows) => ({ from: past?.length ?? 0, room: past?.room ?? t, whole: past?.whole ?? t })

/** Yielded before the linears of stage `stage` are used: the tensor that they all see, `[tokens, p]`. */
export interface StageInput {
  stage: number
  input: Tensor
}

/** A tensor of a block with more than one axis that stays in full precision. */
export interface KeptTensor {
  name: string
  /** As stored. On the GPU rows `[shape[0], the rest]`; of a linear (`[out, in]` in the file) input-major as of all linears. */
  shape: readonly number[]
  linear?: boolean
  /** What it is for, in a word or two. */
  duty: string
}

/** What a block is made of; blocks of one kind share theirs. */
export interface BlockLayout {
  /** Linears that see the same input, in the order they are used and solved. */
  stages: LinearShape[][]
  /** What precedes each stage. */
  before: Before[]
  /** Norm weights, biases and the like by name, with their length, what is added to what the file stores, and a duty that is not theirs in all models. */
  vectors: { name: string; length: number; plus?: number; duty?: string }[]
  kept?: KeptTensor[]
  /** Operations for a token beside the linears, in windows of `t`; those of attention over the model's heads if not there. */
  mixing?: (t: number) => number
}

/** Blocks that are all of one kind. */
export const alike = (blocks: number, layout: BlockLayout): BlockLayout[] => Array<BlockLayout>(blocks).fill(layout)

/** Tensors of a block with more than one axis that stay as they are. */
export const keptOf = ({ kept = [] }: BlockLayout): KeptTensor[] => kept

/** The linears of a block, in the order they are solved. */
export const linearsOf = ({ stages }: BlockLayout): LinearShape[] => stages.flat()

/** The different kinds of blocks, in the order in which they come first. */
export const kindsOf = ({ layouts }: Pick<Model, 'layouts'>): BlockLayout[] => [...new Set(layouts)]

/** A table `[vocab, blocks · width]`, and the tensors of `Model.outer` that mix it with the embedding. */
export interface PerLayer {
  table: string
  vocab: number
  blocks: number
  width: number
  /** A linear `[blocks · width, hidden]`, and a norm of its outputs block by block `[width]`. */
  projection: string
  norm: string
  eps: number
}

export interface Model {
  shape: ModelShape
  /** What each block is made of. */
  layouts: BlockLayout[]
  /** Path of block k, without a prefix that a checkpoint may or may not have. */
  blockPath(k: number): string
  /** The token table `[vocab, embedWidth]`, and the head of the same shape, which never has a prefix. */
  embedding: string
  head: string
  /** Other names that the head goes by. */
  otherHeads?: string[]
  /** A part of checkpoints that the forward pass does not use, by the module that its tensors are below. */
  aside?: { module: string; what: string }
  /** Tensors among its own, without the prefix, that published checkpoints hold though nothing uses them. */
  idle?: { has(name: string): boolean; what: string }
  /** Tokens say something to every block, by a table of their own. */
  perLayer?: PerLayer
  /** Everything else outside the blocks: norms, learned positions, projections. */
  outer: OuterTensor[]
  /** What other programs do not load of this architecture, as of October 2026. */
  notLoaded?: NotLoaded
  /** The forward pass as data, for formats that write it down; not there: it is of another kind. */
  decoder?: Decoder
  /** How its attention works, in the numbers that formats store; not there for arrangements that none describes. */
  attention?: AttentionFacts
  /** Of a model built like LLaMA, all that sets it apart. */
  architecture?: Architecture
  /** Its blocks and its `start` heed a past; not there: they see whole windows only. */
  continues?: true
  /** Logits s become cap · tanh(s / cap). */
  logitCap?: number
  /** Prefixes under which checkpoints of this family are saved. */
  prefixes: string[]
  /**
   * Block k. Pauses before each stage, so that a caller can look at the stage's input and replace its weights before
   * it goes on; closing it early frees everything. Consumes nothing: `x` `[tokens, stateWidth]` stays the caller's.
   * @returns the block's output, of the same shape
   */
  block(gpu: Device, weights: BlockWeights, x: Tensor, windows: Windows, k: number): AsyncGenerator<StageInput, Tensor>
  /**
   * From rows of the token table `[tokens, embedWidth]` to the input of the first block `[tokens, stateWidth]`.
   * Takes over `x`; `outer` are the tensors of `this.outer` by name.
   */
  start(gpu: Device, outer: BlockWeights, x: Tensor, windows: Windows): Tensor
  /** From the output of the last block, which stays the caller's, to what the head reads `[tokens, embedWidth]`. */
  finish(gpu: Device, outer: BlockWeights, x: Tensor): Tensor
}

export interface Family {
  id: string
  label: string
  /** `model_type` values of config.json. */
  modelTypes: string[]
  /** @throws WorkbenchError `config-invalid`, `config-unsupported` */
  read(config: Record<string, unknown>): Model
}
