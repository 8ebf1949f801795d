/**
 * Overrides: other bits, another group size or another symmetry for some linears of a run, or full precision. In words:
 *   PATTERN:bits=4,group-size=32        PATTERN:keep
 * A pattern names whole parts of a module path, wherever they stand in it: `down_proj`, `layers.0`, `layers.{0..3}.mlp`, `{q,k}_proj`,
 * `layers.*.self_attn`. `*` stands for any characters. Of several overrides that match a linear the first counts, as of GPTQModel's rules.
 */
import { WorkbenchError } from './errors.ts'
import { type OptionSpec, type OptionValue, type Options, optionProblem } from './options.ts'

export interface Override {
  /** Which linears, by their module paths. */
  pattern: string
  /** Options of the grid that they have instead of the run's; missing: they stay in full precision. */
  options?: Options
}

const KEEP = 'keep'
/** What a pattern has at most: job files come from strangers, and more stars and braces would take long to compare. */
const MOST_LETTERS = 300
const MOST_WILD = 4
const MOST_NUMBERS = 1024

const kebab = (key: string) => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/** The options that single linears may have otherwise than their run. */
export const ownOptions = (specs: readonly OptionSpec[]) => specs.filter(({ perLinear }) => perLinear)

/**
 * An override from its words; `specs`: options of the run's method.
 * @throws {WorkbenchError} option-invalid
 */
export function parseOverride(text: string, specs: readonly OptionSpec[]): Override {
  const at = text.lastIndexOf(':')
  const pattern = text.slice(0, at).trim()
  const asked = text.slice(at + 1).trim()
  if (at < 1 || !pattern || !asked)
    throw wrong(`An override is a pattern and what holds there, like “down_proj:bits=4” or “layers.0:${KEEP}”, not “${text}”.`)
  matcherOf(pattern)
  if (asked === KEEP) return { pattern }
  const own = ownOptions(specs)
  const names = own.map(({ key }) => kebab(key)).join(', ')
  const options: Options = {}
  for (const part of asked.split(',')) {
    const [name, value = 'true', ...more] = part.split('=').map((one) => one.trim())
    const spec = own.find(({ key, flag }) => name === flag || name === kebab(key))
    if (!spec) throw wrong(`“${name}” of the override “${text}” is none of ${names}, and not ${KEEP}.`)
    if (more.length || Object.hasOwn(options, spec.key)) throw wrong(`The override “${text}” says “${name}” more than once.`)
    const given = valueFrom(spec, value)
    const problem = optionProblem(spec, given)
    if (problem) throw wrong(`Override “${text}”: ${problem}`)
    options[spec.key] = given
  }
  return { pattern, options }
}

/** The words of an override. */
export function overrideText({ pattern, options }: Override): string {
  const parts = Object.entries(options ?? {}).map(([key, value]) => `${kebab(key)}=${value}`)
  return `${pattern}:${options ? parts.join(',') : KEEP}`
}

function valueFrom(spec: OptionSpec, text: string): OptionValue {
  if (spec.type === 'bool') return text === 'true' ? true : text === 'false' ? false : text
  return spec.type === 'choice' && typeof spec.default === 'string' ? text : Number(text)
}

/**
 * Whether a module path is meant by a pattern.
 * @throws {WorkbenchError} option-invalid
 */
export function matcherOf(pattern: string): (path: string) => boolean {
  if (pattern.length > MOST_LETTERS) throw wrong(`The pattern “${pattern.slice(0, 40)}…” is longer than ${MOST_LETTERS} letters.`)
  const expression = new RegExp(`(?:^|\\.)${globSource(pattern)}(?:\\.|$)`)
  return (path) => expression.test(path)
}

function globSource(pattern: string): string {
  const parts = pattern.replace(/\*+/g, '*').split(/(\*|\{[^{}]*\})/)
  if ((parts.length - 1) / 2 > MOST_WILD) throw wrong(`The pattern “${pattern}” has more than ${MOST_WILD} stars and braces.`)
  return parts
    .map((part) => {
      if (part === '*') return '.*'
      const inner = /^\{(.*)\}$/.exec(part)?.[1]
      if (inner === undefined) return escaped(part)
      const range = /^(\d+)\.\.(\d+)$/.exec(inner)
      if (!range) return `(?:${inner.split(',').map(escaped).join('|')})`
      const [from, to] = [Number(range[1]), Number(range[2])]
      if (!(to >= from && to - from < MOST_NUMBERS)) throw wrong(`{${inner}} of the pattern “${pattern}” is no range of numbers.`)
      return `(?:${Array.from({ length: to - from + 1 }, (_, i) => from + i).join('|')})`
    })
    .join('')
}

/** For a regular expression, in JavaScript and Python alike. */
export const escaped = (text: string) => text.replace(/[^\w]/g, '\\$&')

/** By path, the number of the first override that matches; null where none does. */
export function claims(overrides: readonly Override[], paths: readonly string[]): (number | null)[] {
  const matchers = overrides.map(({ pattern }) => matcherOf(pattern))
  return paths.map((path) => {
    const found = matchers.findIndex((matches) => matches(path))
    return found < 0 ? null : found
  })
}

/** The paths whose linears are quantized, without those that stay in full precision. */
export function quantizedPaths(overrides: readonly Override[], paths: readonly string[]): string[] {
  const claimed = claims(overrides, paths)
  return paths.filter((_, i) => claimed[i] === null || overrides[claimed[i]].options)
}

const wrong = (message: string) =>
  new WorkbenchError(
    'option-invalid',
    message,
    'Patterns are whole parts of module paths, like down_proj or layers.{0..3}.mlp; * stands for anything.',
  )
