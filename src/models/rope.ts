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

/** `rope_theta` and `rope_scaling`, or `rope_parameters` as newer files have them. */
export function readRope(config: Record<string, unknown>): RopeSettings {
  const parameters = record(config.rope_parameters)
  const scaling = record(config.rope_scaling) ?? parameters ?? {}
  const theta = z
    .number()
    .positive()
    .safeParse(config.rope_theta ?? parameters?.rope_theta ?? 10000)
  if (!theta.success) throw invalid('rope_theta is not a positive number')
  const kind = scaling.rope_type ?? scaling.type ?? 'default'
  if (kind === 'default') return { theta: theta.data, scaling: { kind: 'none' } }
  if (kind === 'linear') {
    const read = linear.safeParse(scaling)
    if (!read.success) throw invalid('linear rope scaling without a positive factor')
    return { theta: theta.data, scaling: { kind, factor: read.data.factor } }
  }
  if (kind === 'llama3') {
    const read = llama3.safeParse(scaling)
    if (!read.success) throw invalid(`llama3 rope scaling: ${read.error.issues[0].path.join('.')} is missing or wrong`)
    const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = read.data
    return { theta: theta.data, scaling: { kind, factor, low, high, original } }
  }
  throw unsupported(`rope scaling is of the type ${JSON.stringify(kind)}`, 'Supported are default, linear and llama3.')
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

/** (cos, sin) for positions 0 … t − 1: `[t, d/2, 2]`. */
export function ropeTable(settings: RopeSettings, d: number, t: number): Float32Array<ArrayBuffer> {
  const inverse = inverseFrequencies(settings, d)
  const table = new Float32Array(t * d)
  for (let position = 0; position < t; position++) {
    inverse.forEach((step, i) => {
      table[position * d + 2 * i] = Math.cos(position * step)
      table[position * d + 2 * i + 1] = Math.sin(position * step)
    })
  }
  return table
}

function record(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null
}
