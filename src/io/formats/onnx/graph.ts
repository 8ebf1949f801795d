/**
 * A decoder as an ONNX graph that onnxruntime computes on CPU, in WebAssembly and on WebGPU, in float32, with a cache of keys and
 * values as transformers.js feeds it. B sequences of S new tokens after others, T tokens in all:
 *   in   input_ids [B, S], attention_mask [B, T], position_ids [B, S], num_logits_to_keep [] (0: all), past_key_values.N.{key,value}
 *        [B, kv heads, T − S, head size]
 *   out  logits [B, S or as many as were asked for, vocab], present.N.{key,value} [B, kv heads, T, head size]
 */
import type { NamedDecoder } from '../decoder.ts'
import { codesOf, cosOf, type Layout, scalesOf, sinOf, zerosOf } from './layout.ts'
import type { Graph, GraphNode, Initializer, Value } from './proto.ts'

const CONTRIB = 'com.microsoft'
/** Added to the score of a key that the mask leaves out: no other score comes near it. */
const MASKED = -1e9

interface NodeOptions {
  domain?: string
  ints?: Record<string, number>
  floats?: Record<string, number>
  strings?: Record<string, string>
}

/** `locate`: where the bytes of a planned tensor lie. */
export function decoderGraph(decoder: NamedDecoder, layout: Layout, locate: (name: string) => Initializer['content']): Graph {
  const build = new Builder(decoder, layout, locate)
  const { inputs, outputs } = interfaceOf(decoder)
  const shared = prepare(build)
  let x = embed(build)
  decoder.blocks.forEach((_, k) => {
    x = block(build, k, x, shared)
  })
  finish(build, x)
  return { inputs, outputs, nodes: build.nodes, initializers: build.initializers }
}

function interfaceOf({ blocks, kvHeads, headDim, vocab }: NamedDecoder): { inputs: Value[]; outputs: Value[] } {
  const cache = (prefix: string, length: string): Value[] =>
    blocks.flatMap((_, k) =>
      ['key', 'value'].map(
        (part): Value => ({ name: `${prefix}.${k}.${part}`, type: 'FLOAT', dims: ['batch_size', kvHeads, length, headDim] }),
      ),
    )
  return {
    inputs: [
      { name: 'input_ids', type: 'INT64', dims: ['batch_size', 'sequence_length'] },
      { name: 'attention_mask', type: 'INT64', dims: ['batch_size', 'total_sequence_length'] },
      { name: 'position_ids', type: 'INT64', dims: ['batch_size', 'sequence_length'] },
      { name: 'num_logits_to_keep', type: 'INT64', dims: [] },
      ...cache('past_key_values', 'past_sequence_length'),
    ],
    outputs: [{ name: 'logits', type: 'FLOAT', dims: ['batch_size', 'num_logits', vocab] }, ...cache('present', 'total_sequence_length')],
  }
}

/** Nodes and initializers as they are added. Every node is named after its first output. */
class Builder {
  readonly nodes: GraphNode[] = []
  readonly initializers: Initializer[] = []
  readonly #constants = new Set<string>()
  readonly #tables = new Set<string>()

  constructor(
    readonly decoder: NamedDecoder,
    readonly layout: Layout,
    readonly locate: (name: string) => Initializer['content'],
  ) {}

  /** Adds a node with one output (or those named) and returns its name. */
  node(
    op: string,
    inputs: string[],
    output: string,
    { domain = '', ints = {}, floats = {}, strings = {} }: NodeOptions = {},
    more: string[] = [],
  ): string {
    this.nodes.push({ op, domain, name: output, inputs, outputs: [output, ...more], ints, floats, strings })
    return output
  }

  /** Integers, or a single float, in the graph itself. */
  constant(values: number[] | number, type: 'INT64' | 'FLOAT' | 'INT32' = 'INT64'): string {
    const list = [values].flat()
    const dims = Array.isArray(values) ? [list.length] : []
    const name = `constant.${type.toLowerCase()}.${Array.isArray(values) ? `[${list}]` : values}`
    if (!this.#constants.has(name)) this.initializers.push({ name, type, dims, content: list })
    this.#constants.add(name)
    return name
  }

  /** A tensor in the files beside the graph. */
  stored(name: string): string {
    if (this.#tables.has(name)) return name
    this.#tables.add(name)
    const { type, dims } = this.layout.tensors.get(name)!
    this.initializers.push({ name, type, dims, content: this.locate(name) })
    return name
  }

  /** The same in float32. onnxruntime computes it once, when it loads the graph: devices without float16 are spared it. */
  stored32(name: string): string {
    const half = this.layout.tensors.get(name)!.type === 'FLOAT16'
    if (!half) return this.stored(name)
    const wide = `${name}.float32`
    if (!this.#tables.has(wide)) this.node('Cast', [this.stored(name)], wide, { ints: { to: 1 } })
    this.#tables.add(wide)
    return wide
  }

  norm(x: string, module: string, output = `${module}.out`): string {
    const options = { ints: { axis: -1, stash_type: 1 }, floats: { epsilon: this.decoder.eps } }
    return this.node('SimplifiedLayerNormalization', [x, this.stored(`${module}.weight`)], output, options)
  }

  /** x Wᵀ + bias, from codes where the linear is quantized. */
  linear(x: string, module: string): string {
    const bias = this.layout.tensors.has(`${module}.bias`) ? this.stored(`${module}.bias`) : ''
    const blocks = this.layout.blocks.get(module)
    const output = `${module}.out`
    if (!blocks) return this.#whole(x, `${module}.weight`, bias, output)
    const inputs = [x, this.stored(codesOf(module)), this.stored(scalesOf(module))]
    if (!blocks.symmetric) inputs.push(this.stored(zerosOf(module)))
    if (bias) inputs.push(...Array(5 - inputs.length).fill(''), bias)
    const { q, p, bits, size } = blocks
    return this.node('MatMulNBits', inputs, output, { domain: CONTRIB, ints: { K: p, N: q, bits, block_size: size, accuracy_level: 0 } })
  }

  /** The head, or a linear that stays as it was: Gemm takes the matrix as it lies, but a matrix on the other side too. */
  #whole(x: string, weight: string, bias: string, output: string): string {
    const [q, p] = this.layout.tensors.get(weight)!.dims
    const flat = this.node('Reshape', [x, this.constant([-1, p])], `${output}.flat`)
    const inputs = [flat, this.stored32(weight), ...(bias ? [bias] : [])]
    const product = this.node('Gemm', inputs, `${output}.product`, { ints: { transB: 1 } })
    const shape = this.node(
      'Concat',
      [this.node('Shape', [x], `${output}.shape`, { ints: { start: 0, end: 2 } }), this.constant([q])],
      `${output}.dims`,
      {
        ints: { axis: 0 },
      },
    )
    return this.node('Reshape', [product, shape], output)
  }

  head(x: string, output: string): string {
    return this.#whole(x, this.decoder.head, '', output)
  }
}

/** What all blocks share: lengths, and what the mask adds to scores. */
interface Shared {
  seqlens: string
  total: string
  bias: string
}

function prepare(build: Builder): Shared {
  const batch = build.node('Shape', ['input_ids'], 'batch', { ints: { start: 0, end: 1 } })
  const tokens = build.node('Shape', ['input_ids'], 'tokens', { ints: { start: 1, end: 2 } })
  const all = build.node('Shape', ['attention_mask'], 'all', { ints: { start: 1, end: 2 } })
  const total = build.node('Cast', [all], 'total', { ints: { to: 6 } })
  const last = build.node('Sub', [total, build.constant([1], 'INT32')], 'last')
  // Rows are as long as each other: what is padding, the mask says, on whichever side it is.
  const seqlens = build.node('Expand', [last, batch], 'seqlens')
  const kept = build.node('Cast', ['attention_mask'], 'kept', { ints: { to: 1 } })
  const left = build.node('Sub', [kept, build.constant(1, 'FLOAT')], 'left')
  const added = build.node('Mul', [left, build.constant(-MASKED, 'FLOAT')], 'added')
  const wide = build.node('Unsqueeze', [added, build.constant([1, 2])], 'added.wide')
  const one = build.constant([1])
  const shape = build.node('Concat', [batch, one, tokens, all], 'bias.shape', { ints: { axis: 0 } })
  return { seqlens, total, bias: build.node('Expand', [wide, shape], 'bias') }
}

function embed(build: Builder): string {
  const { embedding, embeddingScale } = build.decoder
  const rows = build.node('Gather', [build.stored32(embedding), 'input_ids'], 'embedded')
  return embeddingScale === 1 ? rows : build.node('Mul', [rows, build.constant(embeddingScale, 'FLOAT')], 'embedded.scaled')
}

function block(build: Builder, k: number, x: string, shared: Shared): string {
  const { prefix, blocks, norms } = build.decoder
  const at = `${prefix}${blocks[k].path}`
  const a = build.norm(x, `${at}.${norms.attention}`)
  const mixed = attention(build, k, a, shared)
  const attended = branch(
    build,
    x,
    build.linear(mixed, `${at}.self_attn.o_proj`),
    norms.afterAttention && `${at}.${norms.afterAttention}`,
    `${at}.attended`,
  )
  const m = build.norm(attended, `${at}.${norms.mlp}`)
  const gate = activation(build, build.linear(m, `${at}.mlp.gate_proj`), `${at}.mlp.activated`)
  const gated = build.node('Mul', [gate, build.linear(m, `${at}.mlp.up_proj`)], `${at}.mlp.gated`)
  return branch(build, attended, build.linear(gated, `${at}.mlp.down_proj`), norms.afterMlp && `${at}.${norms.afterMlp}`, `${at}.out`)
}

/** x + y, with a norm over y where there is one. */
function branch(build: Builder, x: string, y: string, norm: string | undefined, output: string): string {
  return build.node('Add', [x, norm ? build.norm(y, norm) : y], output)
}

function activation(build: Builder, x: string, output: string): string {
  if (build.decoder.activation === 'gelu_tanh') return build.node('Gelu', [x], output, { strings: { approximate: 'tanh' } })
  return build.node('Mul', [x, build.node('Sigmoid', [x], `${output}.sigmoid`)], output)
}

function attention(build: Builder, k: number, a: string, { seqlens, total, bias }: Shared): string {
  const { prefix, blocks, norms, heads, kvHeads, scoreScale, scoreCap } = build.decoder
  const { path, span, rotary } = blocks[k]
  const at = `${prefix}${path}.self_attn`
  const turned = (part: 'q' | 'k', count: number, norm: string | undefined) => {
    const projected = build.linear(a, `${at}.${part}_proj`)
    const x = norm ? normHeads(build, projected, `${prefix}${path}.${norm}`, count) : projected
    const inputs = [x, 'position_ids', build.stored(cosOf(rotary)), build.stored(sinOf(rotary))]
    return build.node('RotaryEmbedding', inputs, `${at}.${part}`, { domain: CONTRIB, ints: { num_heads: count, interleaved: 0 } })
  }
  const q = turned('q', heads, norms.query)
  const key = turned('k', kvHeads, norms.key)
  const value = build.linear(a, `${at}.v_proj`)
  const past = ['key', 'value'].map((part) => `past_key_values.${k}.${part}`)
  const present = ['key', 'value'].map((part) => `present.${k}.${part}`)
  const ints = { num_heads: heads, kv_num_heads: kvHeads, ...(Number.isFinite(span) && { local_window_size: span }) }
  const floats = { scale: scoreScale, ...(scoreCap && { softcap: scoreCap }) }
  const inputs = [q, key, value, ...past, seqlens, total, '', '', '', bias]
  return build.node('GroupQueryAttention', inputs, `${at}.mixed`, { domain: CONTRIB, ints, floats }, present)
}

/** A norm over each head of x [B, S, heads · head size]. */
function normHeads(build: Builder, x: string, module: string, heads: number): string {
  const { headDim } = build.decoder
  const split = build.node('Reshape', [x, build.constant([0, 0, heads, headDim])], `${module}.heads`)
  const normed = build.norm(split, module)
  return build.node('Reshape', [normed, build.constant([0, 0, heads * headDim])], `${module}.joined`)
}

function finish(build: Builder, x: string): void {
  const { prefix, norms, logitCap } = build.decoder
  const none = build.node('Equal', ['num_logits_to_keep', build.constant(0)], 'keep.all')
  const from = build.node('Where', [none, build.constant(0), build.node('Neg', ['num_logits_to_keep'], 'keep.last')], 'keep.from')
  const starts = build.node('Unsqueeze', [from, build.constant([0])], 'keep.starts')
  const kept = build.node('Slice', [x, starts, build.constant([Number.MAX_SAFE_INTEGER]), build.constant([1])], 'keep')
  const normed = build.norm(kept, `${prefix}${norms.last}`)
  if (!logitCap) {
    build.head(normed, 'logits')
    return
  }
  const cap = build.constant(logitCap, 'FLOAT')
  const scaled = build.node('Div', [build.head(normed, 'logits.raw'), cap], 'logits.scaled')
  build.node('Mul', [build.node('Tanh', [scaled], 'logits.tanh'), cap], 'logits')
}
