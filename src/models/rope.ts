/** Rotary position embedding: reading its settings from config.json, and the table of angles. */
import { z } from 'zod'
import { invalid, unsupported } from './config.ts'

export interface RopeSettings {
  theta: number
  scaling:
    | { kind: 'none' }
    | { kind: 'linear'; factor: number }
    | { kind: 'llama3'; factor: number; low: number; high: number; original: number }
}

const linear = z.object({ factor: z.number().positive() })
const llama3 = z.object({
  factor: z.number().positive(),
  low_freq_factor: z.number().positive(),
  high_freq_factor: z.number().positive(),
  original_max_position_embeddings: z.number().int().positive(),
})

const supported = 'Supported are default, linear and llama3.'

/** `rope_theta` and `rope_scaling`, or `rope_parameters` as newer files have them. @throws WorkbenchError */
export function readRope(config: Record<string, unknown>): RopeSettings {
  for (const field of ['rope_scaling', 'rope_parameters']) {
    if (config[field] != null && !record(config[field])) throw invalid(`${field} is no object`)
  }
  const parameters = record(config.rope_parameters)
  const field = config.rope_scaling == null ? 'rope_parameters' : 'rope_scaling'
  const scaling = record(config[field]) ?? {}
  const theta = z
    .number()
    .positive()
    .safeParse(config.rope_theta ?? parameters?.rope_theta ?? 10000)
  if (!theta.success) throw invalid('rope_theta is not a positive number')
  for (const share of [config.partial_rotary_factor, scaling.partial_rotary_factor]) {
    if (share != null && share !== 1)
      throw unsupported(`partial_rotary_factor is ${JSON.stringify(share)}`, 'Supported are heads that rotate as a whole.')
  }
  const name = scaling.rope_type == null && scaling.type != null ? 'type' : 'rope_type'
  const kind = scaling[name] ?? 'default'
  if (kind === 'default') {
    // Settings for each kind of layer, or a factor without a type: more than the default.
    const more = Object.keys(scaling).find((key) => typeof scaling[key] === 'object' && scaling[key] !== null)
    if (more !== undefined) throw unsupported(`${field} has settings of its own for ${more}`, supported)
    if (scaling.factor != null && scaling.factor !== 1) throw invalid(`${field} has a factor, but no rope_type`)
    return { theta: theta.data, scaling: { kind: 'none' } }
  }
  if (kind === 'linear') {
    const read = linear.safeParse(scaling)
    if (!read.success) throw invalid(`${field}: linear rope scaling without a positive factor`)
    return { theta: theta.data, scaling: { kind, factor: read.data.factor } }
  }
  if (kind === 'llama3') {
    const read = llama3.safeParse(scaling)
    if (!read.success) throw invalid(`${field}: llama3 rope scaling: ${read.error.issues[0].path.join('.')} is missing or wrong`)
    const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = read.data
    return { theta: theta.data, scaling: { kind, factor, low, high, original } }
  }
  throw unsupported(`${field}.${name} is ${JSON.stringify(kind)}`, supported)
}

/** Angles per position step, `d / 2` of them, in float64. */
export function inverseFrequencies({ theta, scaling }: RopeSettings, d: number): number[] {
  return Array.from({ length: d / 2 }, (_, i) => {
    const inverse = theta ** ((-2 * i) / d)
    if (scaling.kind === 'none') return inverse
    if (scaling.kind === 'linear') return inverse / scaling.factor
    const { factor, low, high, original } = scaling
    const wavelength = (2 * Math.PI) / inverse
    if (wavelength < original / high) return inverse
    if (wavelength > original / low) return inverse / factor
    const smooth = (original / wavelength - low) / (high - low)
    return ((1 - smooth) * inverse) / factor + smooth * inverse
  })
}

/** The table made last of each settings: every block asks for the same one. */
const made = new WeakMap<RopeSettings, { d: number; t: number; table: Float32Array<ArrayBuffer> }>()

/** (cos, sin) for positions 0 … t − 1: `[t, d/2, 2]`. To be read only. */
export function ropeTable(settings: RopeSettings, d: number, t: number): Float32Array<ArrayBuffer> {
  const last = made.get(settings)
  if (last?.d === d && last.t === t) return last.table
  const inverse = inverseFrequencies(settings, d)
  const table = new Float32Array(t * d)
  for (let position = 0; position < t; position++) {
    inverse.forEach((step, i) => {
      table[position * d + 2 * i] = Math.cos(position * step)
      table[position * d + 2 * i + 1] = Math.sin(position * step)
    })
  }
  made.set(settings, { d, t, table })
  return table
}

function record(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null
}
