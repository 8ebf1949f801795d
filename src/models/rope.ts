/** Rotary position embedding: reading its settings from config.json, and the table of angles. */
import { z } from '../io/zod.ts'
import { agreed, contradiction, type Home } from '../io/facts.ts'
import { isObject, type JsonObject } from '../io/json.ts'
import { invalid, unsupported } from './config.ts'

export interface RopeSettings {
  theta: number
  scaling:
    | { kind: 'none' }
    | { kind: 'linear'; factor: number }
    | { kind: 'llama3'; factor: number; low: number; high: number; original: number }
}

const positive = z.number().positive()
const llama3 = z.object({
  factor: positive,
  low_freq_factor: positive,
  high_freq_factor: positive,
  original_max_position_embeddings: z.number().int().positive(),
})

const supported = 'Supported are default, linear and llama3.'

/** An object that holds rotary settings, by its path in config.json. */
interface RopeHome {
  field: string
  settings: JsonObject
}

/**
 * Rotary settings from `rope_theta`, `rope_scaling` and `rope_parameters`. The two objects have to ask for the same:
 * transformers 5.24 reads the first of them and nothing of the second, older versions know one of them only.
 * @throws WorkbenchError `config-invalid` for missing or contradicting fields, `config-unsupported`
 */
export function readRope(config: JsonObject): RopeSettings {
  return settingsOf(config, ropeHomes(config, ['rope_scaling', 'rope_parameters']), { where: 'rope_theta', says: config.rope_theta }, 1e4)
}

/** Those of the fields that are there and hold anything. @throws WorkbenchError `config-invalid` for one that is no object */
export function ropeHomes(config: JsonObject, fields: string[], path = ''): RopeHome[] {
  return fields.flatMap((name) => {
    const settings = config[name]
    const field = `${path}${name}`
    if (settings != null && !isObject(settings)) throw invalid(`${field} is no object`)
    return settings == null || !Object.keys(settings).length ? [] : [{ field, settings }]
  })
}

/** What all homes agree upon; `theta` is where the base stands outside them, `otherwise` its default. */
export function settingsOf(config: JsonObject, homes: RopeHome[], theta: Home, otherwise: number): RopeSettings {
  if (!homes.length) homes = [{ field: 'rope_parameters', settings: {} }]
  const read = homes.map((home) => readHome(config, home, theta, otherwise))
  const other = read.findIndex((one) => describe(one) !== describe(read[0]))
  if (other < 0) return read[0]
  throw contradiction(`${homes[0].field} asks for ${describe(read[0])}, but ${homes[other].field} for ${describe(read[other])}`)
}

function readHome(config: JsonObject, { field, settings }: RopeHome, outside: Home, otherwise: number): RopeSettings {
  const inside = (name: string): Home => ({ where: `${field}.${name}`, says: settings[name] })
  const theta = agreed([inside('rope_theta'), outside]) ?? otherwise
  if (!positive.safeParse(theta).success) throw invalid('rope_theta is not a positive number')
  const share = agreed([inside('partial_rotary_factor'), { where: 'partial_rotary_factor', says: config.partial_rotary_factor }])
  if (share != null && share !== 1)
    throw unsupported(`partial_rotary_factor is ${JSON.stringify(share)}`, 'Supported are heads that rotate as a whole.')
  return { theta: theta as number, scaling: readScaling(config, { field, settings }, agreed([inside('rope_type'), inside('type')])) }
}

function readScaling(config: JsonObject, { field, settings }: RopeHome, kind: unknown = 'default'): RopeSettings['scaling'] {
  if (kind === 'default') {
    // Settings for each kind of layer, or a factor that is not used: more than the default.
    const more = Object.keys(settings).find((key) => isObject(settings[key]))
    if (more !== undefined) throw unsupported(`${field} has settings of its own for ${more}`, supported)
    if (settings.factor != null && settings.factor !== 1) throw invalid(`${field} has a factor, but no rope_type that uses it`)
    return { kind: 'none' }
  }
  if (kind === 'linear') {
    const factor = positive.safeParse(settings.factor)
    if (!factor.success) throw invalid(`${field}: linear rope scaling without a positive factor`)
    return { kind, factor: factor.data }
  }
  if (kind === 'llama3') {
    // Models are trained at the length that they have, unless the settings tell of another.
    const { original_max_position_embeddings: original = config.max_position_embeddings } = settings
    const outside = { where: 'original_max_position_embeddings', says: config.original_max_position_embeddings }
    agreed([{ where: `${field}.original_max_position_embeddings, by default max_position_embeddings,`, says: original }, outside])
    const read = llama3.safeParse({ ...settings, original_max_position_embeddings: original })
    if (!read.success) throw invalid(`${field}: llama3 rope scaling: ${read.error.issues[0].path.join('.')} is missing or wrong`)
    return {
      kind,
      factor: read.data.factor,
      low: read.data.low_freq_factor,
      high: read.data.high_freq_factor,
      original: read.data.original_max_position_embeddings,
    }
  }
  throw unsupported(`${field}.${settings.rope_type == null ? 'type' : 'rope_type'} is ${JSON.stringify(kind)}`, supported)
}

function describe({ theta, scaling }: RopeSettings): string {
  const base = `base ${theta}`
  if (scaling.kind === 'none') return `${base} without scaling`
  if (scaling.kind === 'linear') return `${base} with linear scaling by ${scaling.factor}`
  const { factor, low, high, original } = scaling
  return `${base} with llama3 scaling by ${factor} (low ${low}, high ${high}, ${original} positions)`
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
