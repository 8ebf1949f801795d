/** What the blocks of LLaMA and the families built like it are made of. */
import type { Architecture, DeltaSizes } from './architecture.ts'
import { deltaLayout } from './delta-net.ts'
import { perLayerLayout } from './per-layer.ts'
import { alike, type Before, type BlockLayout, type LinearShape } from './family.ts'

export const attn = (part: string) => `self_attn.${part}`

/** What each block is made of, and the linears with a bias. */
export function layoutsOf(model: Architecture): { layouts: BlockLayout[]; biases: LinearShape[] } {
  const { mixers, blocks, hidden } = model
  const attends = attending({ ...model, borrows: false })
  const { stages } = attends
  const recalling = new Map<string, BlockLayout>()
  const recalls = (sizes: DeltaSizes) => {
    const key = JSON.stringify(sizes)
    const { stages: mixing, before, vectors, ...others } = deltaLayout(sizes, hidden)
    const norms = normVectors({ ...model, headNorms: 'none', borrows: false })
    const layout = {
      stages: [...mixing, ...stages.slice(2)],
      before: [...before, ...attends.before.slice(2)],
      vectors: [...norms, ...vectors],
      ...others,
    }
    recalling.set(key, recalling.get(key) ?? layout)
    return recalling.get(key)!
  }
  const biases = stages.flat().filter(({ name }) => model.biased(name))
  if (mixers) return { layouts: mixers.map((sizes) => (sizes ? recalls(sizes) : attends)), biases }
  if (!model.global && !model.sharing) return { layouts: alike(blocks, attends), biases }
  const kinds = new Map<string, BlockLayout>()
  const layouts = model.spans.map((span, k) => {
    const own = ownOf(model, k)
    const kind = `${Number.isFinite(span)} ${own.borrows}`
    if (!kinds.has(kind)) kinds.set(kind, attending(own))
    return kinds.get(kind)!
  })
  return { layouts, biases }
}

/** Sizes and switches as one block has them. */
export interface OwnArchitecture extends Architecture {
  /** Its keys and values are those of an earlier block. */
  borrows: boolean
}

/** The model as block `index` has it. */
export function ownOf(model: Architecture, index: number): OwnArchitecture {
  const { global, spans, linears, sharing } = model
  const borrows = sharing !== undefined && index >= sharing.from
  const ffn = borrows && sharing.wide ? 2 * model.ffn : model.ffn
  const wide = Number.isFinite(spans[index]) ? undefined : global
  const qkv = linears.qkv.slice(0, borrows ? 1 : wide?.keysAreValues ? 2 : linears.qkv.length)
  return { ...model, ...(wide && { d: wide.d, kvHeads: wide.kvHeads }), ffn, borrows, linears: { ...linears, qkv } }
}

/** What a block that attends is made of. */
function attending(model: OwnArchitecture): BlockLayout {
  const { heads, d, hidden, perLayer } = model
  const said = perLayer ? perLayerLayout(perLayer, hidden) : null
  const stages = stagesOf(model)
  const biases = stages.flat().filter(({ name }) => model.biased(name))
  return {
    stages,
    before: beforeOf(model),
    vectors: [
      ...normVectors(model),
      ...biases.map(({ name, q }) => ({ name: `${name}.bias`, length: q })),
      ...(said?.vectors ?? []),
      ...(model.scaledBlocks ? [{ name: 'layer_scalar', length: 1, duty: 'factor of the block' }] : []),
    ],
    kept: said?.kept,
    mixing: (t) => t * heads * (4 * d + 6),
  }
}

function stagesOf({ hidden, heads, kvHeads, d, ffn, gated, borrows, linears: { qkv, gateUp, down } }: OwnArchitecture): LinearShape[][] {
  const [first, keys, values] = qkv
  const inputs: LinearShape[] =
    qkv.length === 1
      ? [{ name: first, q: (heads + (borrows ? 0 : 2 * kvHeads)) * d, p: hidden, scoring: true }]
      : [
          { name: first, q: (gated ? 2 : 1) * heads * d, p: hidden, scoring: true },
          { name: keys, q: kvHeads * d, p: hidden, scoring: true },
          ...(values ? [{ name: values, q: kvHeads * d, p: hidden }] : []),
        ]
  const outer = gateUp.map((name) => ({ name, q: (2 / gateUp.length) * ffn, p: hidden }))
  return [inputs, [{ name: attn('o_proj'), q: hidden, p: heads * d }], outer, [{ name: down, q: hidden, p: ffn }]]
}

function beforeOf({ norms, valueNorm, heads, kvHeads, d, ffn, linears: { qkv, gateUp } }: Architecture): Before[] {
  const norm = (name: string): Before =>
    norms === 'after' ? { kind: 'none', why: 'it is the sum of all blocks before, which later blocks see too' } : { kind: 'norm', name }
  const values: Before = valueNorm
    ? { kind: 'none', why: 'values are normed without weights, which takes a scale away' }
    : kvHeads < heads
      ? { kind: 'none', why: 'several query heads share one value head, whose projection cannot take over a scale for each' }
      : qkv.length === 1
        ? { kind: 'linear', name: qkv[0], output: (j) => 2 * heads * d + j }
        : { kind: 'linear', name: qkv[2] }
  const up: Before = gateUp.length === 1 ? { kind: 'linear', name: gateUp[0], output: (j) => ffn + j } : { kind: 'linear', name: gateUp[1] }
  return [norm('input_layernorm'), values, norm(middleNorm(norms)), up]
}

/** The norm before the second branch. */
export const middleNorm = (norms: Architecture['norms']) => (norms === 'around' ? 'pre_feedforward_layernorm' : 'post_attention_layernorm')

function normVectors({ norms, headNorms, hidden, heads, kvHeads, d, plus, borrows }: OwnArchitecture): BlockLayout['vectors'] {
  const names = {
    before: ['input_layernorm', 'post_attention_layernorm'],
    after: ['post_attention_layernorm', 'post_feedforward_layernorm'],
    around: ['input_layernorm', 'post_attention_layernorm', 'pre_feedforward_layernorm', 'post_feedforward_layernorm'],
  }[norms]
  const vectors = names.map((name) => ({ name: `${name}.weight`, length: hidden, plus }))
  if (headNorms === 'none') return vectors
  const [queries, keys] = headNorms === 'each' ? [d, d] : [heads * d, kvHeads * d]
  const both = [
    { name: attn('q_norm.weight'), length: queries, plus },
    { name: attn('k_norm.weight'), length: keys, plus },
  ]
  return [...vectors, ...both.slice(0, borrows ? 1 : 2)]
}
