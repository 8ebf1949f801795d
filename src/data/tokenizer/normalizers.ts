/** Normalizers of a tokenizer.json, which transform a text before it is split. */
import type { JsonObject } from '../../io/json.ts'
import { byteLevel } from './bytes.ts'
import { checkGrowth, componentOf, type Field, fieldsOf, flag, inserted, invalid, list, object, shown, unsupported } from './fields.ts'
import { compilePattern, literalPattern, spansOf } from './regex.ts'
import { classes } from './unicode.ts'

export interface Normalizer {
  apply(text: string): string
  /** Whether it can remove characters, so that the first character left may not be the first of the original text. */
  removes: boolean
}

const all = (inside: string) => new RegExp(inside, 'gv')

/** As with the library's older tables: newer characters are left unchanged, and nothing is composed across them. */
function unicodeForm(form: 'NFC' | 'NFD' | 'NFKC' | 'NFKD'): (text: string) => string {
  const later = form.startsWith('NFK') ? `[${classes.unknownToCanonical}${classes.unknownToCompatibility}]` : classes.unknownToCanonical
  const some = new RegExp(later, 'v')
  const cuts = new RegExp(`(${later}+)`, 'v')
  return (text) => {
    if (!some.test(text)) return text.normalize(form)
    return text
      .split(cuts)
      .map((part, i) => (i % 2 ? part : part.normalize(form)))
      .join('')
  }
}

/** Character by character, so without JavaScript's final sigma at the end of a word. */
export const lowercase = (text: string) => text.replaceAll('Σ', 'σ').toLowerCase()

const combining = all(classes.combining)
const nmtRemoved = all('[\\u{1}-\\u{8}\\u{b}\\u{e}-\\u{1f}\\u{7f}\\u{8f}\\u{9f}]')
const nmtSpaces = all('[\\t\\n\\f\\r\\u{1680}\\u{200b}-\\u{200f}\\u{2028}\\u{2029}\\u{2581}\\u{feff}\\u{fffd}]')

/** Normalizers without fields. */
const simple: Record<string, Normalizer> = {
  NFC: { apply: unicodeForm('NFC'), removes: false },
  NFD: { apply: unicodeForm('NFD'), removes: false },
  NFKC: { apply: unicodeForm('NFKC'), removes: false },
  NFKD: { apply: unicodeForm('NFKD'), removes: false },
  Lowercase: { apply: lowercase, removes: false },
  StripAccents: { apply: (text) => text.replace(combining, ''), removes: true },
  Nmt: { apply: (text) => text.replace(nmtRemoved, '').replace(nmtSpaces, ' '), removes: true },
  ByteLevel: { apply: byteLevel, removes: false },
}

/** `{String}` or `{Regex}`, of a component. */
export function patternOf(value: JsonObject, name: string): RegExp {
  const [kind, ...more] = Object.keys(value)
  const source = value[kind]
  if (more.length || typeof source !== 'string' || source === '') throw unsupported(`${name} has the pattern ${shown(value)}`)
  if (kind === 'String') return literalPattern(source)
  if (kind === 'Regex') return compilePattern(source)
  throw unsupported(`${name} has the pattern ${shown(value)}`)
}

/** @throws WorkbenchError `tokenizer-invalid` that names what is not supported */
export function readNormalizer(value: unknown): Normalizer | null {
  if (value === null || value === undefined) return null
  const { component, type } = componentOf(value, 'normalizer')
  if (Object.hasOwn(simple, type)) {
    fieldsOf(component, type, {})
    return simple[type]
  }
  switch (type) {
    case 'Sequence': {
      const steps = fieldsOf(component, 'the normalizer Sequence', { normalizers: list }).normalizers.map(readNormalizer)
      if (steps.includes(null)) throw invalid('its normalizer Sequence holds null')
      return {
        apply: (text) => {
          let now = text
          for (const step of steps) {
            now = step!.apply(now)
            checkGrowth(text.length, now.length)
          }
          return now
        },
        removes: steps.some((step) => step!.removes),
      }
    }
    case 'Prepend': {
      const { prepend } = fieldsOf(component, 'Prepend', { prepend: inserted })
      return { apply: (text) => (text ? prepend + text : text), removes: false }
    }
    case 'Strip': {
      const { strip_left, strip_right } = fieldsOf(component, 'the normalizer Strip', { strip_left: flag(), strip_right: flag() })
      const left = new RegExp(`^${classes.space}+`, 'v')
      return {
        apply: (text) => {
          const rest = strip_left ? text.replace(left, '') : text
          return strip_right ? stripRight(rest) : rest
        },
        removes: strip_left,
      }
    }
    case 'BertNormalizer':
      return readBert(component)
    case 'Replace':
      return readReplace(component)
    default:
      throw unsupported(`it has the normalizer ${type}`)
  }
}

const flagOrNull: Field<boolean | null> = {
  fits: (value): value is boolean | null => value === null || typeof value === 'boolean',
  otherwise: null,
}
const bertRemoved = all(`[[${classes.other}\\u{fffd}]--[\\t\\n\\r]]`)
const ideographs = all(classes.ideograph)
const marks = all(classes.nonspacing)

function readBert(component: JsonObject): Normalizer {
  const fields = fieldsOf(component, 'BertNormalizer', {
    clean_text: flag(),
    handle_chinese_chars: flag(),
    strip_accents: flagOrNull,
    lowercase: flag(),
  })
  return {
    apply(text) {
      let result = text
      if (fields.clean_text) result = result.replace(bertRemoved, '').replace(spaces, ' ')
      if (fields.handle_chinese_chars) result = result.replace(ideographs, ' $& ')
      if (fields.strip_accents ?? fields.lowercase) result = simple.NFD.apply(result).replace(marks, '')
      return fields.lowercase ? lowercase(result) : result
    },
    removes: fields.clean_text || (fields.strip_accents ?? fields.lowercase),
  }
}

const spaces = all(classes.space)
const space = new RegExp(`^${classes.space}$`, 'v')

/** Scanned from the end, since a regular expression would take quadratic time. */
function stripRight(text: string): string {
  let end = text.length
  while (end > 0 && space.test(text[end - 1])) end--
  return text.slice(0, end)
}

function readReplace(component: JsonObject): Normalizer {
  const { content, ...rest } = fieldsOf(component, 'the normalizer Replace', { pattern: object, content: inserted })
  const regex = patternOf(rest.pattern, 'the normalizer Replace')
  const apply = (text: string) => {
    let result = ''
    for (const { start, end, match } of spansOf(text, regex)) result += match ? content : text.slice(start, end)
    return result
  }
  // Replacing a non-empty string keeps a first character; a regular expression may match anything.
  return { apply, removes: content === '' || !('String' in rest.pattern) }
}
