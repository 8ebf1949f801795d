/** The tensors and the forward pass of LLaMA and the families built like it, as their configurations set the switches. */
import type { Device } from '../gpu/device.ts'
import { activate, add, attention, copyColumns, gatherRows, multiply, rmsnorm, rope, scale, sigmoidGate, swiglu } from '../gpu/ops.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { AttentionFacts, Decoder } from '../io/formats/index.ts'
import type { Architecture, LinearNames } from './architecture.ts'
import { borrowed, carriedColumns, carry, columnsOf, type Shared, sharedAt, widened } from './carried.ts'
import { deltaOutput, deltaParts, recall } from './delta-net.ts'
import { type BlockWeights, type LinearShape, type Model, placesOf, type StageInput, type Windows } from './family.ts'
import { attn, layoutsOf, middleNorm, type OwnArchitecture, ownOf } from './llama-layouts.ts'
import { addSaid, perLayerParts } from './per-layer.ts'
import { attentionFactor, inverseFrequencies, ropeFacts, ropeTables, rotatingWidth, tableRows } from './rope.ts'
import { multiplied, Scope } from './scope.ts'

const mlp = (part: string) => `mlp.${part}`

/** The linears of LLaMA. */
export const apart: LinearNames = {
  qkv: ['q_proj', 'k_proj', 'v_proj'].map(attn),
  gateUp: ['gate_proj', 'up_proj'].map(mlp),
  down: mlp('down_proj'),
}

export function modelOf(model: Architecture): Model {
  const { hidden, blocks, heads, kvHeads, d, ffn, vocab, maxPositions, tied, plus, multipliers } = model
  const { layouts, biases } = layoutsOf(model)
  const carried = carriedColumns(model)
  const said = model.perLayer ? perLayerParts({ width: model.perLayer, vocab, blocks, hidden, eps: model.eps }) : null
  return {
    shape: { hidden, blocks, heads, kvHeads, headDim: d, ffn, vocab, embedWidth: hidden, maxPositions, tied, carried },
    layouts,
    blockPath: (k) => `layers.${k}`,
    embedding: 'embed_tokens.weight',
    head: 'lm_head.weight',
    outer: [{ name: 'norm.weight', shape: [hidden], plus }, ...(said?.outer ?? [])],
    perLayer: said?.perLayer,
    logitCap: model.logitCap,
    prefixes: ['model.', ''],
    decoder: decoderOf(model, biases),
    architecture: model,
    attention: attentionFacts(model),
    // A delta net would have to keep its state and the end of its convolution.
    ...(!model.mixers && { continues: true }),
    block: (gpu, weights, x, windows, k) => block(model, k, gpu, weights, x, windows),
    start: (gpu, _outer, x) => widened(gpu, multiplied(gpu, x, multipliers.embedding), carried),
    finish: (gpu, outer, x) => {
      const hiddens = carried ? columnsOf(gpu, x, 0, hidden) : x
      const normed = rmsnorm(gpu, hiddens, outer.get('norm.weight')!, model.eps)
      if (hiddens !== x) hiddens.dispose()
      return multiplied(gpu, normed, multipliers.logits)
    },
  }
}

function attentionFacts(model: Architecture): AttentionFacts {
  const sizes = model.spans.map((_, k) => {
    const { d: headDim, kvHeads, ffn } = ownOf(model, k)
    return { headDim, kvHeads, ffn }
  })
  return {
    eps: model.eps,
    ropes: model.ropes.map((one, k) => one && ropeFacts(one, sizes[k].headDim)),
    spans: model.spans,
    scoreScale: model.multipliers.scores,
    scoreCap: model.scoreCap,
    ...(model.global && { sizes, sharedFrom: model.sharing?.from, perLayer: model.perLayer ?? 0 }),
  }
}

/** What `block` computes, as data, where that has a place for all of it. */
function decoderOf(model: Architecture, biased: LinearShape[]): Decoder | undefined {
  const { norms, headNorms, linears, ropes, d, multipliers, act, scoreCap } = model
  const distinct = [...new Set(ropes)]
  const plain = distinct.every((one) => one?.share === 1 && one.scaling.kind !== 'longrope' && !one.queries && attentionFactor(one) === 1)
  if (
    model.mixers ||
    model.gated ||
    model.global ||
    model.valueNorm ||
    model.scaledBlocks ||
    norms === 'after' ||
    headNorms === 'all' ||
    linears !== apart ||
    !plain ||
    multipliers.residual !== 1 ||
    multipliers.logits !== 1
  )
    return undefined
  return {
    vocab: model.vocab,
    hidden: model.hidden,
    heads: model.heads,
    kvHeads: model.kvHeads,
    headDim: d,
    positions: model.maxPositions,
    eps: model.eps,
    plus: model.plus,
    norms: {
      last: 'norm',
      attention: 'input_layernorm',
      mlp: middleNorm(norms),
      ...(norms === 'around' && { afterAttention: 'post_attention_layernorm', afterMlp: 'post_feedforward_layernorm' }),
      ...(headNorms === 'each' && { query: attn('q_norm'), key: attn('k_norm') }),
    },
    biased: biased.map(({ name }) => name),
    activation: act === 'silu' ? 'silu' : 'gelu_tanh',
    embeddingScale: multipliers.embedding,
    scoreScale: multipliers.scores,
    scoreCap,
    logitCap: model.logitCap,
    rotary: distinct.map((one) => inverseFrequencies(one!, d, model.maxPositions)),
    blocks: model.spans.map((span, k) => ({ path: `layers.${k}`, span, rotary: distinct.indexOf(ropes[k]) })),
  }
}

/** y · factor, in place; `factor` `[1]` is on the GPU. */
function scaledBy(scope: Scope, y: Tensor, factor: Tensor): void {
  const { gpu } = scope
  const order = scope.keep(gpu.zeros([y.cols], 'u32'))
  const cols = scope.keep(gatherRows(gpu, factor.view([1, 1]), order))
  scale(gpu, y, { cols })
  scope.drop(order, cols)
}

async function* block(
  model: Architecture,
  index: number,
  gpu: Device,
  weights: BlockWeights,
  x: Tensor,
  windows: Windows,
): AsyncGenerator<StageInput, Tensor> {
  const { norms, eps } = model
  const own = ownOf(model, index)
  const scope = new Scope(gpu, weights, windows.products)
  /** What a branch sees of x: a norm of it, or x itself, which stays. */
  const before = (x: Tensor, name: string) => (norms === 'after' ? x : scope.keep(rmsnorm(gpu, x, scope.weight(`${name}.weight`), eps)))
  try {
    const shared = model.sharing ? sharedAt(model, index, scope.copy(x)) : null
    const hiddens = shared ? scope.keep(columnsOf(gpu, x, 0, model.hidden)) : x
    const a = before(hiddens, 'input_layernorm')
    yield { stage: 0, input: a }
    const mix = mixer(scope, own, index, a, windows, shared)
    if (a !== hiddens) scope.drop(a)
    const mixed = await mix()
    yield { stage: 1, input: mixed }
    const y = shared ? hiddens : scope.copy(x)
    branch(scope, model, mixed, model.mixers?.[index] ? deltaOutput : attn('o_proj'), y, 'post_attention_layernorm')
    scope.drop(mixed)
    const m = before(y, middleNorm(norms))
    yield { stage: 2, input: m }
    const gated = gate(scope, own, m)
    if (m !== y) scope.drop(m)
    yield { stage: 3, input: gated }
    branch(scope, model, gated, model.linears.down, y, 'post_feedforward_layernorm')
    scope.drop(gated)
    if (model.perLayer) addSaid(scope, y, windows.inputs?.(index), eps)
    if (model.scaledBlocks) scaledBy(scope, y, scope.weight('layer_scalar'))
    if (!shared) return scope.give(y)
    copyColumns(gpu, y, 0, shared.state, 0, y.cols)
    return scope.give(shared.state)
  } finally {
    scope.dispose()
  }
}

/**
 * What the tokens of block `index` make of each other: `a` `[tokens, hidden]` is read before it returns, and its parts are used up by the call
 * that it returns. `shared`: of keys and values that blocks share.
 */
function mixer(
  scope: Scope,
  own: OwnArchitecture,
  index: number,
  a: Tensor,
  windows: Windows,
  shared: Shared | null,
): () => Promise<Tensor> {
  const sizes = own.mixers?.[index]
  if (sizes) {
    const parts = deltaParts(scope, a, windows)
    return () => recall(scope, sizes, parts, windows, own.eps)
  }
  const parts = projections(scope, own, a)
  return () => attend(scope, own, index, parts, windows, shared)
}

interface Projections {
  q: Tensor
  /** Not there: those of an earlier block. */
  own?: { k: Tensor; v: Tensor }
  /** Of what attention puts out, before its sigmoid. */
  gate?: Tensor
}

/** Queries, keys and values of `a`, normed where the family norms them; kept by the scope. */
function projections(scope: Scope, model: OwnArchitecture, a: Tensor): Projections {
  const {
    heads,
    kvHeads,
    d,
    linears: { qkv },
    headNorms,
    eps,
    gated,
    valueNorm,
    borrows,
  } = model
  const outputs = qkv.map((name) => scope.linear(a, name))
  const [first, k, own] = outputs.length === 1 && !borrows ? split(scope, outputs[0], [heads * d, kvHeads * d, kvHeads * d]) : outputs
  const [q, gate] = gated ? interleaved(scope, first, d) : [first]
  const normed = (x: Tensor, width: number, weight: Tensor) => {
    const y = scope.keep(scope.gpu.empty(x.shape))
    const rows = [x.size / width, width]
    rmsnorm(scope.gpu, x.view(rows), weight, eps, y.view(rows))
    return y
  }
  /** With the norm of that name, which takes its place. */
  const headNormed = (x: Tensor, name: string) => {
    if (headNorms === 'none') return x
    const y = normed(x, headNorms === 'each' ? d : x.cols, scope.weight(attn(`${name}.weight`)))
    scope.drop(x)
    return y
  }
  if (borrows) return { q: headNormed(q, 'q_norm'), gate }
  const v = valueNorm ? normedValues(scope, own ?? k, (x, ones) => normed(x, d, ones), d) : own
  if (valueNorm && own) scope.drop(own)
  return { q: headNormed(q, 'q_norm'), own: { k: headNormed(k, 'k_norm'), v }, gate }
}

/** Values whose heads are normed without weights; `values` stay, since they may be the keys. */
function normedValues(scope: Scope, values: Tensor, normed: (x: Tensor, ones: Tensor) => Tensor, d: number): Tensor {
  const ones = scope.keep(scope.gpu.upload(new Float32Array(d).fill(1), [d]))
  const v = normed(values, ones)
  scope.drop(ones)
  return v
}

/** Queries and gates, which lie head by head beside each other in `x` `[tokens, heads · 2d]`. */
function interleaved(scope: Scope, x: Tensor, d: number): Tensor[] {
  const { gpu } = scope
  const heads = x.view([x.size / (2 * d), 2 * d])
  const parts = [0, d].map((from) => {
    const part = scope.keep(gpu.empty([x.rows, x.cols / 2]))
    copyColumns(gpu, heads, from, part.view([heads.rows, d]), 0, d)
    return part
  })
  scope.drop(x)
  return parts
}

/** Takes `x` apart into tensors of so many columns each. */
function split(scope: Scope, x: Tensor, widths: number[]): Tensor[] {
  let from = 0
  const parts = widths.map((width) => {
    const part = scope.keep(scope.gpu.empty([x.rows, width]))
    copyColumns(scope.gpu, x, from, part, 0, width)
    from += width
    return part
  })
  scope.drop(x)
  return parts
}

/** Attention of block `index`, which uses up its projections: `[tokens, heads · d]`, kept by the scope. */
async function attend(
  scope: Scope,
  model: OwnArchitecture,
  index: number,
  { q, own, gate }: Projections,
  at: Windows,
  shared: Shared | null,
): Promise<Tensor> {
  const { heads, kvHeads, d, multipliers, scoreCap: cap } = model
  const { gpu } = scope
  const { t } = at
  const settings = model.ropes[index]
  if (settings) {
    const { from, room, whole } = placesOf(at)
    const width = rotatingWidth(settings, d)
    const { queries, keys } = ropeTables(settings, d, room, whole)
    const rows = (all: Float32Array<ArrayBuffer>) => scope.keep(gpu.upload(tableRows(all, width, from, t), [t, width / 2, 2]))
    const table = rows(keys)
    const theirs = queries === keys ? table : rows(queries)
    rope(gpu, q, theirs, heads, d, t)
    if (own) rope(gpu, own.k, table, kvHeads, d, t)
    scope.drop(...new Set([table, theirs]))
  }
  if (own && shared) carry(gpu, shared, own.k, own.v)
  const [k, v] = own ? [own.k, own.v] : borrowed(gpu, shared!).map((one) => scope.keep(one))
  const span = model.spans[index]
  const mixed = scope.keep(await attention(gpu, q, k, v, { ...at, heads, kvHeads, d, span, scale: multipliers.scores, cap }))
  scope.drop(q, k, v)
  if (gate) {
    sigmoidGate(gpu, mixed, gate)
    scope.drop(gate)
  }
  return mixed
}

/** act(m Wgate) ⊙ m Wup, kept by the scope. */
function gate(scope: Scope, { ffn, linears: { gateUp }, act }: Architecture, m: Tensor): Tensor {
  const outputs = gateUp.map((name) => scope.linear(m, name))
  const [gate, up] = outputs.length === 1 ? split(scope, outputs[0], [ffn, ffn]) : outputs
  if (act === 'silu') swiglu(scope.gpu, gate, up)
  else {
    activate(scope.gpu, 'gelu_tanh', gate)
    multiply(scope.gpu, gate, up)
  }
  scope.drop(up)
  return gate
}

/** Adds to y what a branch puts out, through a norm where norms come after, times the residual multiplier. */
function branch(scope: Scope, { norms, eps, multipliers }: Architecture, input: Tensor, name: string, y: Tensor, norm: string): void {
  const { gpu } = scope
  if (norms === 'before' && multipliers.residual === 1) {
    scope.linear(input, name, y)
    return
  }
  let out = scope.linear(input, name)
  if (norms !== 'before') {
    const normed = scope.keep(rmsnorm(gpu, out, scope.weight(`${norm}.weight`), eps))
    scope.drop(out)
    out = normed
  }
  add(gpu, y, multiplied(gpu, out, multipliers.residual))
  scope.drop(out)
}
