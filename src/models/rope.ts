/** Rotary position embedding: its settings, the angles computed from them, and the tables for the kernels. */
import type { Rope } from '../io/formats/index.ts'

export interface RopeSettings {
  theta: number
  /** The part of each head that rotates, its first dimensions; the others keep no position. */
  share: number
  scaling: RopeScaling
  /** Queries at position i are multiplied by 1 + beta · ln(1 + ⌊i / original⌋), as in LLaMA 4 and Ministral 3. */
  queries?: { beta: number; original: number }
}

/** How angles are stretched to reach further than the `original` positions of the training. */
export type RopeScaling =
  | { kind: 'none' }
  | { kind: 'linear'; factor: number }
  /** All dimensions pair up across the head, and the share of pairs that turns does so as if all did. */
  | { kind: 'proportional'; factor: number }
  /** Another base beyond `max_position_embeddings`, which no window here reaches; within them nothing changes. */
  | { kind: 'dynamic'; factor: number }
  | { kind: 'llama3'; factor: number; low: number; high: number; original: number }
  /** Rotations `fast` and `slow` within the original positions end the ramp; `truncate` moves its ends to whole dimensions. */
  | { kind: 'yarn'; factor: number; original: number; fast: number; slow: number; truncate: boolean; attention: number }
  /** A factor for each angle: `long` in windows of more than `original` positions, else `short`. */
  | { kind: 'longrope'; short: number[]; long: number[]; original: number; attention: number }

/** Dimensions of a head of width `d` that rotate. */
export const rotatingWidth = ({ share, scaling }: RopeSettings, d: number) => (scaling.kind === 'proportional' ? d : Math.trunc(d * share))

/** Angles per position step in windows of `t` positions, one for each rotating pair, in float64. */
export function inverseFrequencies(settings: RopeSettings, d: number, t: number): number[] {
  const { theta, scaling } = settings
  const width = rotatingWidth(settings, d)
  const plain = Array.from({ length: width / 2 }, (_, i) => theta ** ((-2 * i) / width))
  switch (scaling.kind) {
    case 'none':
    case 'dynamic':
      return plain
    case 'proportional': {
      const turning = Math.floor(Math.trunc(settings.share * d) / 2)
      return plain.map((inverse, i) => (i < turning ? inverse / scaling.factor : 0))
    }
    case 'linear':
      return plain.map((inverse) => inverse / scaling.factor)
    case 'longrope': {
      const factors = t > scaling.original ? scaling.long : scaling.short
      return plain.map((inverse, i) => inverse / factors[i])
    }
    case 'yarn':
      return yarn(plain, theta, width, scaling)
    case 'llama3':
      return plain.map((inverse) => llama3(inverse, scaling))
  }
}

function llama3(inverse: number, { factor, low, high, original }: RopeScaling & { kind: 'llama3' }): number {
  const wavelength = (2 * Math.PI) / inverse
  if (wavelength < original / high) return inverse
  if (wavelength > original / low) return inverse / factor
  const smooth = (original / wavelength - low) / (high - low)
  return ((1 - smooth) * inverse) / factor + smooth * inverse
}

/** YaRN (arXiv 2309.00071): fast angles stay, slow ones are divided by the factor, on a ramp between. */
function yarn(plain: number[], theta: number, width: number, scaling: RopeScaling & { kind: 'yarn' }): number[] {
  const { factor, original, fast, slow, truncate } = scaling
  /** The dimension that turns so often within the original positions. */
  const turning = (times: number) => (width * Math.log(original / (times * 2 * Math.PI))) / (2 * Math.log(theta))
  const ends = truncate ? [Math.floor(turning(fast)), Math.ceil(turning(slow))] : [turning(fast), turning(slow)]
  const from = Math.max(ends[0], 0)
  const to = Math.min(ends[1], width - 1)
  return plain.map((inverse, i) => {
    const ramp = Math.min(1, Math.max(0, (i - from) / (to === from ? 0.001 : to - from)))
    return (inverse / factor) * ramp + inverse * (1 - ramp)
  })
}

/** What cosines and sines are multiplied by. */
export const attentionFactor = ({ scaling }: RopeSettings) => ('attention' in scaling ? scaling.attention : 1)

/** As formats store them; a text names a kind of scaling that has no such form. */
export function ropeFacts(settings: RopeSettings, d: number): Rope | string {
  const { scaling } = settings
  if (scaling.kind === 'dynamic' || (scaling.kind === 'yarn' && !scaling.truncate))
    return scaling.kind === 'yarn' ? 'a yarn scaling between whole dimensions' : 'a dynamic scaling'
  const { theta, queries = null } = settings
  return { theta, width: rotatingWidth(settings, d), scaling: scaleFacts(settings, d), queries }
}

function scaleFacts(settings: RopeSettings, d: number): Rope['scaling'] {
  const { scaling } = settings
  switch (scaling.kind) {
    case 'none':
    case 'dynamic':
      return { kind: 'none' }
    case 'proportional':
      // What does not rotate turns once in 10³⁰ times as many positions.
      return { kind: 'factors', factors: slowed(settings, d).map((factor) => (Number.isFinite(factor) ? factor : 1e30)) }
    case 'llama3':
      return { kind: 'factors', factors: slowed(settings, d) }
    default:
      return scaling
  }
}

/** By how much each pair of dimensions turns more slowly than it would. */
function slowed(settings: RopeSettings, d: number): number[] {
  const share = rotatingWidth(settings, d) / d
  const plain = inverseFrequencies({ ...settings, share, scaling: { kind: 'none' } }, d, 1)
  const scaled = inverseFrequencies(settings, d, 1)
  return plain.map((inverse, i) => inverse / scaled[i])
}

/** Tables `[t, rotating width / 2, 2]` of (cos, sin) for positions 0 … t − 1, to be read only; often one and the same. */
export interface RopeTables {
  queries: Float32Array<ArrayBuffer>
  keys: Float32Array<ArrayBuffer>
}

/** The tables made last of each settings: every block asks for the same ones. */
const made = new WeakMap<RopeSettings, { d: number; t: number; whole: number; tables: RopeTables }>()

/** `whole`: length of the text that decides about angles, of which there may be more positions for padding. */
export function ropeTables(settings: RopeSettings, d: number, t: number, whole = t): RopeTables {
  const last = made.get(settings)
  if (last?.d === d && last.t === t && last.whole === whole) return last.tables
  const { queries } = settings
  const keys = tableOf(inverseFrequencies(settings, d, whole), t, attentionFactor(settings))
  const tables = { keys, queries: keys }
  if (queries && t > queries.original) {
    const { beta, original } = queries
    const width = rotatingWidth(settings, d)
    tables.queries = keys.map((value, at) => value * (1 + beta * Math.log(1 + Math.floor(Math.floor(at / width) / original))))
  }
  made.set(settings, { d, t, whole, tables })
  return tables
}

function tableOf(inverse: number[], t: number, scale: number): Float32Array<ArrayBuffer> {
  const width = 2 * inverse.length
  const table = new Float32Array(t * width)
  for (let position = 0; position < t; position++) {
    inverse.forEach((step, i) => {
      table[position * width + 2 * i] = Math.cos(position * step) * scale
      table[position * width + 2 * i + 1] = Math.sin(position * step) * scale
    })
  }
  return table
}

/** Rows `from … from + t` of a table, `[t, width / 2, 2]`. */
export function tableRows(table: Float32Array<ArrayBuffer>, width: number, from: number, t: number): Float32Array<ArrayBuffer> {
  return table.length === t * width ? table : table.slice(from * width, (from + t) * width)
}
