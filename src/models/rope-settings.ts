/** Reads rotary settings from config.json, in every spelling of transformers 4 and 5. */
import { z } from '../io/zod.ts'
import { agreed, contradiction, type Home } from '../io/facts.ts'
import { isObject, type JsonObject } from '../io/json.ts'
import { invalid, unsupported } from './config.ts'
import type { RopeScaling, RopeSettings } from './rope.ts'

/** What a family reads and assumes. */
export interface RopeRules {
  /** The base where none is given; 10,000 unless said otherwise. */
  theta?: number
  /** Width of a head, for settings that hold a factor for each angle. */
  headDim: number
  /** A part of each head may rotate alone. */
  partial?: boolean
  /** The kinds that transformers takes in this family, where it does not take all. */
  kinds?: RopeScaling['kind'][]
  /** Other names of kinds. */
  names?: Record<string, RopeScaling['kind']>
}

const positive = z.number().positive()
const length = z.int().positive()

const kindNames = { default: 'none', linear: 'linear', dynamic: 'dynamic', llama3: 'llama3', yarn: 'yarn', longrope: 'longrope' } as const

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
export function readRope(config: JsonObject, rules: RopeRules): RopeSettings {
  const theta = [{ where: 'rope_theta', says: config.rope_theta }]
  return settingsOf(config, ropeHomes(config, ['rope_scaling', 'rope_parameters']), theta, rules)
}

/**
 * Settings of full and of sliding attention: under their names in `rope_parameters`, or as files before 2026 have them, where
 * `rope_scaling` holds for full attention only.
 * @param sliding where the base of sliding attention may stand outside `rope_parameters`, and what it is by default
 */
export function readRopes(
  config: JsonObject,
  rules: RopeRules,
  sliding: { homes: Home[]; theta: number },
): Record<'full' | 'sliding', RopeSettings> {
  const { rope_parameters: parameters = null } = config
  if (parameters !== null && !isObject(parameters)) throw invalid('rope_parameters is no object')
  const of = (name: string) => {
    if (parameters && !isObject(parameters[name])) throw invalid(`rope_parameters.${name} is missing or no object`)
    return parameters ? ropeHomes(parameters, [name], 'rope_parameters.') : []
  }
  const outside = ropeHomes(config, ['rope_scaling'])
  // transformers 5 overlooks the older name here, unlike in other families, and scales nothing.
  if (outside.some(({ settings }) => settings.rope_type == null && settings.type != null && settings.type !== 'default'))
    throw unsupported(
      'rope_scaling has a type, but no rope_type',
      'Programs disagree on that where kinds of attention have settings of their own: write the type as rope_type.',
    )
  const full = [...outside, ...of('full_attention')]
  return {
    full: settingsOf(config, full, [{ where: 'rope_theta', says: config.rope_theta }], rules),
    sliding: settingsOf(config, of('sliding_attention'), sliding.homes, { ...rules, theta: sliding.theta }),
  }
}

/** Those of the fields that are there and hold anything. @throws WorkbenchError `config-invalid` for one that is no object */
function ropeHomes(config: JsonObject, fields: string[], path = ''): RopeHome[] {
  return fields.flatMap((name) => {
    const settings = config[name]
    const field = `${path}${name}`
    if (settings != null && !isObject(settings)) throw invalid(`${field} is no object`)
    return settings == null || !Object.keys(settings).length ? [] : [{ field, settings }]
  })
}

/** What all homes agree upon; `theta` is where the base may stand outside them. */
function settingsOf(config: JsonObject, homes: RopeHome[], theta: Home[], rules: RopeRules): RopeSettings {
  if (!homes.length) homes = [{ field: 'rope_parameters', settings: {} }]
  const read = homes.map((home) => readHome(config, home, theta, rules))
  const other = read.findIndex((one) => JSON.stringify(one) !== JSON.stringify(read[0]))
  if (other < 0) return read[0]
  throw contradiction(`${homes[0].field} asks for ${describe(read[0])}, but ${homes[other].field} for ${describe(read[other])}`)
}

function readHome(config: JsonObject, home: RopeHome, outside: Home[], rules: RopeRules): RopeSettings {
  const { field, settings } = home
  const inside = (name: string): Home => ({ where: `${field}.${name}`, says: settings[name] })
  const theta = agreed([inside('rope_theta'), ...outside]) ?? rules.theta ?? 1e4
  if (!positive.safeParse(theta).success) throw invalid('rope_theta is not a positive number')
  agreed([inside('max_position_embeddings'), { where: 'max_position_embeddings', says: config.max_position_embeddings }])
  const share = agreed([inside('partial_rotary_factor'), { where: 'partial_rotary_factor', says: config.partial_rotary_factor }]) ?? 1
  const width = typeof share === 'number' ? Math.trunc(rules.headDim * share) : 0
  if (share !== 1 && !rules.partial)
    throw unsupported(`partial_rotary_factor is ${JSON.stringify(share)}`, 'In this family whole heads are rotated.')
  if (!(width > 0 && width <= rules.headDim && width % 2 === 0))
    throw invalid(`partial_rotary_factor is ${JSON.stringify(share)}: of heads ${rules.headDim} wide, an even number of dimensions rotates`)
  const kind = kindOf(home, agreed([inside('rope_type'), inside('type')]) ?? 'default', rules)
  return { theta: theta as number, share: share as number, scaling: readers[kind](config, home, width) }
}

function kindOf({ field, settings }: RopeHome, given: unknown, { kinds, names }: RopeRules): RopeScaling['kind'] {
  const known: Record<string, RopeScaling['kind']> = { ...kindNames, ...names }
  const kind = typeof given === 'string' && Object.hasOwn(known, given) ? known[given] : undefined
  if (kind && (kinds?.includes(kind) ?? true)) return kind
  const all = Object.keys(known).filter((name) => kinds?.includes(known[name]) ?? true)
  const spelled = settings.rope_type == null ? 'type' : 'rope_type'
  throw unsupported(`${field}.${spelled} is ${JSON.stringify(given)}`, `Supported in this family: ${all.join(', ')}.`)
}

const readers: { [K in RopeScaling['kind']]: (config: JsonObject, home: RopeHome, width: number) => RopeScaling & { kind: K } } = {
  none(_, { field, settings }) {
    // Settings for each kind of layer, or a factor that is not used: more than the default.
    const more = Object.keys(settings).find((key) => isObject(settings[key]))
    if (more !== undefined)
      throw unsupported(`${field} has settings of its own for ${more}`, 'In this family all blocks have the same rotary settings.')
    if (settings.factor != null && settings.factor !== 1) throw invalid(`${field} has a factor, but no rope_type that uses it`)
    return { kind: 'none' }
  },
  linear: (_, home) => ({ kind: 'linear', factor: field(home, 'factor', positive) }),
  proportional: (_, home) => ({ kind: 'proportional', factor: home.settings.factor == null ? 1 : field(home, 'factor', positive) }),
  dynamic: (_, home) => ({ kind: 'dynamic', factor: field(home, 'factor', positive) }),
  llama3: (config, home) => ({
    kind: 'llama3',
    factor: field(home, 'factor', positive),
    low: field(home, 'low_freq_factor', positive),
    high: field(home, 'high_freq_factor', positive),
    original: originalLength(config, home),
  }),
  yarn(config, home) {
    const { settings } = home
    const original = originalLength(config, home)
    const factor = settings.factor == null ? Number(config.max_position_embeddings) / original : field(home, 'factor', positive)
    const number = (name: string) => (settings[name] == null ? 0 : field(home, name, z.number().nonnegative()))
    const growth = (weight = 1) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1)
    const [mscale, all] = [number('mscale'), number('mscale_all_dim')]
    const attention =
      settings.attention_factor == null ? (mscale && all ? growth(mscale) / growth(all) : growth()) : number('attention_factor')
    const truncate = settings.truncate == null || field(home, 'truncate', z.boolean())
    // transformers 5 looks for it beside the kinds of attention only.
    if (!truncate && home.field.includes('.'))
      throw unsupported(`${home.field}.truncate is false`, 'Programs disagree on that where kinds of attention have settings of their own.')
    return { kind: 'yarn', factor, original, fast: number('beta_fast') || 32, slow: number('beta_slow') || 1, truncate, attention }
  },
  longrope(config, home, width) {
    const { settings } = home
    for (const other of ['short_mscale', 'long_mscale'])
      if (settings[other] != null) throw unsupported(`${home.field}.${other} is set`, 'Programs disagree on it: transformers overlooks it.')
    const outside = { where: 'original_max_position_embeddings', says: config.original_max_position_embeddings }
    const inside = { where: `${home.field}.original_max_position_embeddings`, says: settings.original_max_position_embeddings }
    const original = whole(agreed([inside, outside]) ?? config.max_position_embeddings)
    // Windows are padded to a multiple of four, and which factors are used depends on their length.
    if (original % 4)
      throw unsupported(`original_max_position_embeddings is ${original}`, 'With longrope, lengths that 4 divides are supported.')
    const ratio = Number(config.max_position_embeddings) / original
    const factor = agreed([
      { where: `max_position_embeddings / original_max_position_embeddings`, says: ratio },
      { where: `${home.field}.factor`, says: settings.factor },
    ]) as number
    const list = z.array(positive).length(width / 2, `has to hold ${width / 2} numbers, one for each pair of dimensions that rotates`)
    return {
      kind: 'longrope',
      short: field(home, 'short_factor', list),
      long: field(home, 'long_factor', list),
      original,
      attention:
        settings.attention_factor == null
          ? Math.sqrt(1 + (factor <= 1 ? 0 : Math.log(factor) / Math.log(original)))
          : field(home, 'attention_factor', z.number().nonnegative()),
    }
  },
}

/** @throws WorkbenchError `config-invalid` */
function field<T>({ field, settings }: RopeHome, name: string, shape: z.ZodType<T>): T {
  const read = shape.safeParse(settings[name])
  if (read.success) return read.data
  throw invalid(`${field}.${name}, which ${settings.rope_type ?? settings.type} rope scaling needs, ${why(settings[name], read.error)}`)
}

function why(value: unknown, { issues: [{ message, path }] }: z.ZodError): string {
  if (value == null) return 'is missing'
  return Array.isArray(value) && !path.length ? message : `is wrong: ${message}`
}

function whole(value: unknown): number {
  const read = length.safeParse(value)
  if (!read.success) throw invalid('original_max_position_embeddings is no positive number of positions')
  return read.data
}

/** Models are trained at the length that they have, unless the settings tell of another. */
function originalLength(config: JsonObject, { field, settings }: RopeHome): number {
  const { original_max_position_embeddings: original = config.max_position_embeddings } = settings
  const outside = { where: 'original_max_position_embeddings', says: config.original_max_position_embeddings }
  return whole(
    agreed([{ where: `${field}.original_max_position_embeddings, by default max_position_embeddings,`, says: original }, outside]),
  )
}

function describe({ theta, share, scaling }: RopeSettings): string {
  const base = `base ${theta}${share === 1 ? '' : `, ${share} of each head`}`
  const { kind, ...numbers } = scaling
  if (kind === 'none') return `${base} without scaling`
  const { factor, ...others } = numbers as { factor?: number }
  const shown = JSON.stringify(others).replace(/["{}]/g, '').replaceAll(':', ' ').replaceAll(',', ', ')
  return `${base} with ${kind} scaling${factor === undefined ? '' : ` by ${factor}`}${shown && ` (${shown.slice(0, 120)})`}`
}
