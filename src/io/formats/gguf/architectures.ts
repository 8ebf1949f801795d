/**
 * A model in llama.cpp's terms: its tensors, and the metadata that its family needs (llama.cpp v0.5.0, conversion/). A model
 * that its code would compute differently is refused.
 */
import type { ModelFacts, Rope } from '../model.ts'
import { BLOCK, type RowOrder } from './blocks.ts'
import { deltaMetadata, deltaTarget } from './delta.ts'
import type { MetaValue } from './file.ts'
import { type Kind, kinds, knownFamilies } from './kinds.ts'

/** A tensor of the model in the file. */
export interface Target {
  name: string
  /** Added to what the model's file stores. */
  plus: number
  order: RowOrder | null
  /** The same of its columns. */
  columns: RowOrder | null
  /** In float32, without axes of one, though it is no vector. */
  floats?: boolean
  /** Of what is stored, −eˣ stands in the file. */
  decay?: boolean
}

export interface GgufArchitecture {
  name: string
  /** By name in the model's checkpoint. */
  targets: Map<string, Target>
  /** Without the tokenizer, and `general.file_type`. */
  metadata: [string, MetaValue][]
  /** Factors of the rotary angles, by name of their tensor. */
  factors: Record<string, readonly number[]>
  /** Windows that it does not know: beyond so many tokens its results differ. */
  exactTo: number | null
  /** It takes the long factors in every context larger than this, however short the text is. */
  longFrom: number | null
  /** It multiplies what linears put out by their scales, which NVFP4 has. */
  scales: boolean
}

/** A model in llama.cpp's terms, or why it has none: a sentence. */
export function architectureOf(model: ModelFacts): GgufArchitecture | string {
  const kind = Object.hasOwn(kinds, model.family) ? kinds[model.family] : null
  if (!kind || !model.attention)
    return `GGUF files of ${kind ? 'this kind of ' : ''}${model.label} models are not written; those of ${knownFamilies} are.`
  const against = problemOf(kind, model)
  if (against) return against
  const targets = new Map<string, Target>()
  for (const { name, block, part, plus } of model.parts) {
    const theirs = (block === null ? kind.outside : kind.block)[part]
    if (!theirs) return `llama.cpp’s ${model.label} has no tensor ${name}.`
    const recalling = kind.delta ? deltaTarget(model.attention.delta!, part) : null
    const full = block === null ? theirs : `blk.${block}.${theirs}`
    targets.set(name, { name: full, plus, order: rowOrder(kind, model, part), columns: null, ...recalling })
  }
  if (new Set([...targets.values()].map(({ name }) => name)).size < targets.size)
    return `llama.cpp’s ${model.label} has other norms than this model.`
  const scaling = mainRope(kind, model)?.scaling
  return {
    name: kind.name,
    targets,
    metadata: metadataOf(kind, model),
    factors: factorsOf(scaling),
    exactTo: kind.windows ? null : shortest(model),
    longFrom: scaling?.kind === 'longrope' ? scaling.original : null,
    scales: kind.scales ?? false,
  }
}

/** The rotary positions of blocks that see everything, or of all. */
function mainRope(kind: Kind, { attention }: ModelFacts): Rope | null {
  const { ropes, spans } = attention!
  const rotating = ropes.map((rope, k) => ({ rope: rope as Rope | null, span: spans[k] })).filter(({ rope }) => rope)
  return (rotating.find(({ span }) => kind.windows && !Number.isFinite(span)) ?? rotating[0])?.rope ?? null
}

function factorsOf(scaling?: Rope['scaling']): GgufArchitecture['factors'] {
  if (scaling?.kind === 'factors') return { 'rope_freqs.weight': scaling.factors }
  if (scaling?.kind !== 'longrope') return {}
  return { 'rope_factors_long.weight': scaling.long, 'rope_factors_short.weight': scaling.short }
}

/** The narrowest window; null where there is none. */
function shortest({ attention }: ModelFacts): number | null {
  const least = Math.min(...attention!.spans)
  return Number.isFinite(least) ? least : null
}

/** What its code does otherwise: a sentence, or null. */
function problemOf(kind: Kind, model: ModelFacts): string | null {
  const { label, hidden, heads, headDim, blocks, parts, logitCap, multipliers } = model
  const { scoreScale, scoreCap } = model.attention!
  const scaled = kind.unscaled ? 1 : kind.largest === blocks ? Math.floor(hidden / heads) : headDim
  if (!kind.multipliers && Math.abs(scoreScale * Math.sqrt(scaled) - 1) > 1e-6)
    return `llama.cpp divides the scores of ${label} with ${blocks} blocks by √${scaled}, and this model by ${(1 / scoreScale).toFixed(3)}.`
  if (!kind.multipliers && (multipliers.residual !== 1 || multipliers.logits !== 1))
    return `llama.cpp’s ${label} has no multipliers of branches and logits.`
  if (kind.caps ? !scoreCap || !logitCap : scoreCap) return `llama.cpp’s ${label} caps scores and logits differently from this model.`
  if (kind.square && heads * headDim !== hidden)
    return `llama.cpp supports ${label} only if all heads together are as wide as the hidden state.`
  if (kind.tied !== undefined && kind.tied === parts.some(({ part }) => part === 'head'))
    return `llama.cpp supports ${label} only ${kind.tied ? 'with' : 'without'} tied embeddings.`
  return positionProblem(kind, model) ?? windowProblem(kind, model) ?? sharingProblem(model) ?? deltaProblem(model)
}

/** Shared keys and values are those of the two blocks before: of the first, windows, and of the second, all. */
function sharingProblem({ label, attention }: ModelFacts): string | null {
  const { spans, sharedFrom: from } = attention!
  if (from === undefined) return null
  const usual = [false, true].every(
    (all, i) =>
      !spans.slice(from).some((span) => Number.isFinite(span) !== all) || (spans[from - 2 + i] === Number.POSITIVE_INFINITY) === all,
  )
  return usual
    ? null
    : `llama.cpp’s ${label} takes shared keys and values from the two blocks before those that share them, unlike this model.`
}

function deltaProblem({ label, attention }: ModelFacts): string | null {
  const { delta } = attention!
  if (delta && delta.dk !== delta.dv) return `llama.cpp’s ${label} has delta nets with keys as wide as values only.`
  return delta && delta.heads > delta.keyHeads && delta.dv % BLOCK
    ? `llama.cpp’s ${label} has its heads in another order, and heads of ${delta.dv} are no blocks of ${BLOCK} weights.`
    : null
}

/** What is against the positions. */
function positionProblem(kind: Kind, model: ModelFacts): string | null {
  const { label } = model
  const { ropes, spans } = model.attention!
  const odd = ropes.find((one) => typeof one === 'string')
  if (odd !== undefined) return `GGUF files cannot say that rotary positions have ${odd}.`
  const still = ropes.findIndex((one, k) => (one === null) !== (kind.positions === 'alibi' || (k + 1) % (kind.still ?? k + 2) === 0))
  if (still >= 0)
    return kind.still
      ? `llama.cpp supports ${label} with rotary positions in all blocks except every ${kind.still}th, unlike this model.`
      : `llama.cpp supports ${label} with ${ropes[still] ? 'ALiBi' : 'rotary positions'} only.`
  const of = (finite: boolean) => (ropes as (Rope | null)[]).filter((one, k) => one && Number.isFinite(spans[k]) === finite) as Rope[]
  const [full, sliding] = [of(false), of(true)]
  const alike = (some: Rope[]) => new Set(some.map((one) => JSON.stringify(one))).size <= 1
  if (!alike(full) || !alike(sliding) || (!kind.sliding && !alike([...full, ...sliding])))
    return `llama.cpp supports ${label} with one kind of rotary positions only.`
  if (kind.sliding && sliding.length && sliding[0].scaling.kind !== 'none')
    return `llama.cpp’s ${label} does not scale the rotary positions of sliding attention.`
  if (kind.sliding === 'same base' && full.length && sliding.length && full[0].theta !== sliding[0].theta)
    return `llama.cpp’s ${label} has one base of the rotary positions for all blocks.`
  const rope = full[0] ?? sliding[0]
  return rope ? ropeProblem(kind, model, rope) : null
}

function ropeProblem(kind: Kind, { label, ...model }: ModelFacts, rope: Rope): string | null {
  const { width, scaling, queries } = rope
  const headDim = model.attention!.sizes?.[model.attention!.ropes.indexOf(rope)].headDim ?? model.headDim
  if (width !== headDim && !kind.partly) return `llama.cpp’s ${label} rotates whole heads only.`
  if (queries && !(kind.growing && scaling.kind === 'yarn' && scaling.original === queries.original))
    return `llama.cpp’s ${label} has no queries that grow with their position as in this model.`
  if (scaling.kind !== 'none' && !kind.scalings.includes(scaling.kind))
    return `llama.cpp’s ${label} does not support ${scaling.kind === 'factors' ? 'LLaMA 3’s' : scaling.kind} scaling of rotary positions.`
  if (scaling.kind === 'yarn' && !kind.ramps && (scaling.fast !== 32 || scaling.slow !== 1))
    return `llama.cpp’s ${label} supports YaRN with beta_fast 32 and beta_slow 1 only.`
  return null
}

function windowProblem({ windows }: Kind, { label, attention }: ModelFacts): string | null {
  const { spans } = attention!
  // Versions before 0.5 ignore `sliding_window_pattern`.
  const usual = (k: number) => (k + 1) % (windows as number) !== 0
  if (windows && windows !== 'any' && spans.some(Number.isFinite) && spans.some((span, k) => Number.isFinite(span) !== usual(k)))
    return `llama.cpp supports ${label} with sliding windows in all blocks except every ${windows === 2 ? '2nd' : `${windows}th`}, unlike this model.`
  if (windows && new Set(spans.filter(Number.isFinite)).size > 1)
    return `llama.cpp supports ${label} with sliding windows of one size only.`
  return null
}

/** Rows as its kernels want them. */
function rowOrder(kind: Kind, { heads, kvHeads, headDim: d }: ModelFacts, part: string): RowOrder | null {
  if (kind.rows === 'pairs' && /^self_attn\.[qk]_proj\./.test(part)) {
    // Its rotation takes neighbours for a pair, and transformers' the two halves of a head.
    return { band: d, from: (row) => row - (row % d) + ((row % 2) * d) / 2 + Math.floor((row % d) / 2) }
  }
  if (kind.rows === 'fused' && part.startsWith('self_attention.query_key_value.')) {
    const group = heads / kvHeads
    const from = (head: number) => {
      if (head < heads) return Math.floor(head / group) * (group + 2) + (head % group)
      const other = head - heads
      return (other % kvHeads) * (group + 2) + group + Math.floor(other / kvHeads)
    }
    return { band: d, from: (row) => from(Math.floor(row / d)) * d + (row % d) }
  }
  return null
}

const u32 = (value: number): MetaValue => ({ type: 'u32', value })
const f32 = (value: number): MetaValue => ({ type: 'f32', value })
const text = (value: string): MetaValue => ({ type: 'text', value })

/** Longest window of families whose positions know no end: what their models were trained at. */
const ENDLESS = 2048

function metadataOf(kind: Kind, model: ModelFacts): [string, MetaValue][] {
  const { eps, ropes, spans, scoreScale, scoreCap, sizes, delta } = model.attention!
  const widest = sizes?.[spans.indexOf(Number.POSITIVE_INFINITY)].headDim ?? model.headDim
  const own: [string, MetaValue][] = [
    // Where it does not know the window, results would differ beyond it.
    ['context_length', u32(Math.min(model.maxPositions ?? ENDLESS, (!kind.windows && shortest(model)) || Number.POSITIVE_INFINITY))],
    ['embedding_length', u32(model.hidden)],
    ['block_count', u32(model.blocks)],
    [
      'feed_forward_length',
      eachOr(
        sizes?.map(({ ffn }) => ffn),
        model.ffn,
      ),
    ],
    ['attention.head_count', u32(model.heads)],
    [
      'attention.head_count_kv',
      eachOr(
        sizes?.map(({ kvHeads }) => kvHeads),
        model.kvHeads,
      ),
    ],
    [`attention.${kind.norm}`, f32(eps)],
    ['attention.key_length', u32(widest)],
    ['attention.value_length', u32(widest)],
    ...(sizes ? sizesMetadata(model) : []),
    ...(delta ? deltaMetadata(delta) : []),
  ]
  const rope = mainRope(kind, model)
  if (rope) own.push(...ropeMetadata(kind, rope))
  if (kind.windows) {
    const windowed = spans.findIndex(Number.isFinite)
    // Without one, the widest there is: some of its code takes 0 for a window of nothing.
    own.push(['attention.sliding_window', u32(windowed < 0 ? (model.maxPositions ?? ENDLESS) : spans[windowed])])
    if (windowed >= 0 && kind.sliding === 'own base') own.push(['rope.freq_base_swa', f32((ropes[windowed] as Rope).theta)])
    // Its older versions do not load Phi-3 without.
  } else if (kind.name === 'phi3') own.push(['attention.sliding_window', u32(shortest(model) ?? 0)])
  if (kind.multipliers) {
    const { embedding, residual, logits } = model.multipliers
    own.push(['attention.scale', f32(scoreScale)], ['embedding_scale', f32(embedding)], ['residual_scale', f32(residual)])
    own.push(['logit_scale', f32(1 / logits)])
  }
  if (scoreCap) own.push(['attn_logit_softcapping', f32(scoreCap)])
  // Where nothing is said, it caps those of Gemma 4 at 30.
  if (model.logitCap || kind.sizes) own.push(['final_logit_softcapping', f32(model.logitCap ?? 0)])
  if (kind.name === 'llama') own.push(['vocab_size', u32(model.vocab)])
  if (kind.name === 'falcon') own.push(['tensor_data_layout', text('jploski')])
  return own.map(([key, value]) => [`${kind.name}.${key}`, value])
}

/** One value, or one for each block where they differ. */
const eachOr = (values: readonly number[] | undefined, one: number): MetaValue =>
  values && new Set(values).size > 1 ? { type: 'list', of: 'u32', value: values } : u32(values?.[0] ?? one)
const flags = (value: readonly boolean[]): MetaValue => ({ type: 'list', of: 'bool', value: value.map(Number) })

/** Of Gemma 4. */
function sizesMetadata({ attention, blocks, headDim }: ModelFacts): [string, MetaValue][] {
  const { spans, ropes, sharedFrom = blocks, perLayer = 0 } = attention!
  const sliding = ropes[spans.findIndex(Number.isFinite)] as Rope | undefined
  return [
    ['attention.key_length_swa', u32(headDim)],
    ['attention.value_length_swa', u32(headDim)],
    ['attention.sliding_window_pattern', flags(spans.map(Number.isFinite))],
    ['attention.shared_kv_layers', u32(blocks - sharedFrom)],
    ['embedding_length_per_layer_input', u32(perLayer)],
    ['rope.dimension_count_swa', u32(sliding?.width ?? headDim)],
  ]
}

function ropeMetadata(kind: Kind, { theta, width, scaling, queries }: Rope): [string, MetaValue][] {
  const plain: [string, MetaValue][] = [
    ['rope.dimension_count', u32(width)],
    ['rope.freq_base', f32(theta)],
  ]
  switch (scaling.kind) {
    case 'linear':
      return [...plain, ['rope.scaling.type', text('linear')], ['rope.scaling.factor', f32(scaling.factor)]]
    case 'longrope':
      return [
        ...plain,
        ['rope.scaling.original_context_length', u32(scaling.original)],
        ['rope.scaling.attn_factor', f32(scaling.attention)],
      ]
    case 'yarn': {
      const { factor, original, fast, slow, attention } = scaling
      // Of itself its code multiplies by 1 + ln(factor) / 10; with this multiplier, by 1.
      const usual = kind.ramps || factor <= 1 ? 1 : 1 + 0.1 * Math.log(factor)
      return [
        ...plain,
        ['rope.scaling.type', text('yarn')],
        ['rope.scaling.factor', f32(factor)],
        ['rope.scaling.original_context_length', u32(original)],
        ['rope.scaling.attn_factor', f32(attention / usual)],
        ...(kind.ramps
          ? ([
              ['rope.scaling.yarn_beta_fast', f32(fast)],
              ['rope.scaling.yarn_beta_slow', f32(slow)],
              ['rope.scaling.yarn_log_multiplier', f32(1)],
            ] satisfies [string, MetaValue][])
          : []),
        ...(queries ? [['attention.temperature_scale', f32(queries.beta)] satisfies [string, MetaValue]] : []),
      ]
    }
    default:
      return plain
  }
}
