/**
 * Option declarations. Each option is declared once; the page's form, the command line's flags and the validation are generated from it.
 */
import { inWords } from './errors.ts'

interface OptionBase {
  /** Field name in `RunSpec.options`. */
  key: string
  /** Command line flag without dashes, e.g. `num-iter`. */
  flag: string
  label: string
  /** One plain sentence: what it does. */
  help: string
  /** What it costs in time or size, in a few words; shown beside the help. */
  cost?: string
  /** The paper's symbol, for the tooltip. */
  symbol?: string
  /** Shown only under "More". */
  advanced?: boolean
  /** Single linears may have it otherwise than their run (overrides.ts). */
  perLinear?: boolean
  /** Better defaults at certain bit widths; used when the page adds runs at other bit widths to a comparison. */
  byBits?: Readonly<Record<number, number>>
  /** Where it changes nothing: another option of the run is one of these values, or below one. */
  idle?: readonly Idle[]
  /** It only changes checkpoints in this format. */
  only?: { readonly format: string; readonly label: string }
}

export type Idle = { readonly key: string } & ({ readonly is: readonly OptionValue[] } | { readonly below: number })

export interface Choice {
  value: number | string
  label: string
  /** Other options by key, and the values that this choice gives them; also values that they do not offer. */
  fixes?: Options
}

/** One option of an algorithm. */
export type OptionSpec =
  | (OptionBase & { type: 'int'; default: number; min: number; max: number })
  | (OptionBase & { type: 'number'; default: number; min: number; max: number })
  /** A number, or `auto`: chosen by measuring. */
  | (OptionBase & { type: 'auto'; default: number | 'auto'; min: number; max: number })
  | (OptionBase & { type: 'choice'; default: number | string; choices: readonly Choice[] })
  | (OptionBase & { type: 'bool'; default: boolean })

export type OptionValue = number | string | boolean
export type Options = Record<string, OptionValue>

type ValueOf<Spec> = Spec extends { type: 'bool' }
  ? boolean
  : Spec extends { type: 'choice'; choices: readonly { value: infer Value }[] }
    ? Value
    : Spec extends { type: 'auto' }
      ? number | 'auto'
      : number

/** The values of a list of options, typed by how each was declared (`as const`). */
export type OptionsOf<Specs extends readonly OptionSpec[]> = { [Spec in Specs[number] as Spec['key']]: ValueOf<Spec> }

/** Choices labelled with their own value, or with what `label` returns for it. */
export const choices = <const Value extends number | string>(values: readonly Value[], label: (value: Value) => string = String) =>
  values.map((value) => ({ value, label: label(value) }))

/** The options of these keys, in the order of the list. */
export function pick<Spec extends OptionSpec, Key extends Spec['key']>(
  specs: readonly Spec[],
  ...keys: Key[]
): Extract<Spec, { key: Key }>[] {
  return specs.filter((spec): spec is Extract<Spec, { key: Key }> => (keys as string[]).includes(spec.key))
}

/** An algorithm as the page and the command line see it. */
export interface SolverInfo {
  id: string
  label: string
  /** What it does, in one sentence. */
  summary: string
  /** When to choose it. */
  advice: string
  /** Set on the one method that is taken where none is named. */
  recommended?: boolean
  /** Our own, not a published method. */
  own?: boolean
  options: readonly OptionSpec[]
}

/** The options with defaults filled in, and what is wrong with them. */
export function resolveOptions<Specs extends readonly OptionSpec[]>(
  specs: Specs,
  given: Options,
): { options: OptionsOf<Specs>; problems: { key: string; message: string }[] } {
  const options: Options = {}
  const problems: { key: string; message: string }[] = []
  const fixed = fixedBy(specs, given)
  for (const spec of specs) {
    const fix = fixed.get(spec.key)
    const value = fix?.value ?? given[spec.key] ?? spec.default
    const wrong = fix ? contradiction(spec, given[spec.key], fix) : optionProblem(spec, value)
    if (wrong) problems.push({ key: spec.key, message: wrong })
    options[spec.key] = value
  }
  for (const key of Object.keys(given)) {
    if (!specs.some((spec) => spec.key === key)) problems.push({ key, message: `There is no option "${key}" for this algorithm.` })
  }
  return { options: options as OptionsOf<Specs>, problems }
}

/** What choices decide of other options, by the keys of those. */
export function fixedBy(specs: readonly OptionSpec[], given: Options): Map<string, { value: OptionValue; by: string }> {
  return new Map(
    specs.flatMap((spec) => {
      const chosen = spec.type === 'choice' && spec.choices.find(({ value }) => value === (given[spec.key] ?? spec.default))
      return chosen ? Object.entries(chosen.fixes ?? {}).map(([key, value]) => [key, { value, by: chosen.label }] as const) : []
    }),
  )
}

function contradiction(spec: OptionSpec, given: OptionValue | undefined, { value, by }: { value: OptionValue; by: string }): string | null {
  if (given === undefined || given === value) return null
  const said = (one: OptionValue) => (typeof one === 'boolean' ? (one ? 'on' : 'off') : String(one))
  return `With ${by}, ${spec.label.toLowerCase()} is always ${said(value)}, not ${said(given)}.`
}

/**
 * Why an option of a run changes nothing, as "without outliers"; null where it does. `options`: as they were given; `formats`: ids of
 * those that the run is written in, null where that is not known.
 */
export function withoutEffect(
  spec: OptionSpec,
  specs: readonly OptionSpec[],
  options: Options,
  formats: readonly string[] | null,
): string | null {
  const fixed = fixedBy(specs, options)
  for (const rule of spec.idle ?? []) {
    const by = specs.find(({ key }) => key === rule.key)
    if (!by) continue
    const value = fixed.get(by.key)?.value ?? options[by.key] ?? by.default
    if ('below' in rule && Number(value) < rule.below) return `with ${by.label.toLowerCase()} below ${rule.below}`
    if ('is' in rule && rule.is.includes(value)) return besides(by, value)
  }
  const { only } = spec
  return only && formats && !formats.includes(only.format) ? `without a checkpoint in ${only.label}` : null
}

function besides(spec: OptionSpec, value: OptionValue): string {
  const name = spec.label.toLowerCase()
  if (!value) return `without ${name}`
  const choice = spec.type === 'choice' && spec.choices.find((one) => one.value === value)
  return `with ${name}${choice ? ` ${choice.label}` : value === true ? '' : ` ${value}`}`
}

/** A sentence that names the valid values; null when the value is valid. */
export function optionProblem(spec: OptionSpec, value: OptionValue): string | null {
  const words = spec.type === 'choice' && typeof spec.default === 'string'
  const said = typeof value === 'string' && !words ? `the text ${JSON.stringify(value)}` : value
  switch (spec.type) {
    case 'bool':
      return typeof value === 'boolean' ? null : `${spec.label} is on or off, not ${said}.`
    case 'choice':
      return spec.choices.some((choice) => choice.value === value)
        ? null
        : `${spec.label} can be ${inWords(
            spec.choices.map((choice) => choice.label),
            'or',
          )}, not ${said}.`
    case 'auto': {
      const fits = value === 'auto' || (typeof value === 'number' && value >= spec.min && value <= spec.max)
      return fits ? null : `${spec.label} is auto or a number from ${spec.min} to ${spec.max}, not ${said}.`
    }
    case 'int':
    case 'number': {
      const fits =
        typeof value === 'number' && value >= spec.min && value <= spec.max && (spec.type === 'number' || Number.isInteger(value))
      return fits
        ? null
        : `${spec.label} is a ${spec.type === 'int' ? 'whole number' : 'number'} from ${spec.min} to ${spec.max}, not ${said}.`
    }
  }
}
