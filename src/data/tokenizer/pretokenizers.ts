/** Pre-tokenizers of a tokenizer.json, which split a normalized text into the pieces that the model encodes one by one. */
import { isObject, type JsonObject } from '../../io/json.ts'
import { byteLevel } from './bytes.ts'
import {
  anything,
  character,
  checkGrowth,
  componentOf,
  fieldsOf,
  flag,
  invalid,
  list,
  object,
  oneOf,
  positive,
  unsupported,
} from './fields.ts'
import { patternOf } from './normalizers.ts'
import { compilePattern, literalPattern, type Span, spansOf } from './regex.ts'
import { classes } from './unicode.ts'

/**
 * Pieces of a non-empty text. `first`: it is the beginning of the whole text. An empty piece marks something removed, so that the next
 * one is not the first; it is dropped at the end.
 */
export type PreTokenizer = (text: string, first: boolean) => string[]

const behaviors = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const
type Behavior = (typeof behaviors)[number]

/** Splits a text at the matches of a pattern, which become pieces, are removed, or are joined to a neighbour. */
function cut(text: string, spans: Span[], behavior: Behavior): string[] {
  if (behavior === 'Removed') return spans.filter(isLong).map(({ start, end, match }) => (match ? '' : text.slice(start, end)))
  const joined = behavior === 'Isolated' ? spans : behavior === 'MergedWithNext' ? mergedWithNext(spans) : merged(spans, behavior)
  return joined.filter(isLong).map(({ start, end }) => text.slice(start, end))
}

const isLong = ({ start, end }: Span) => start < end

function merged(spans: Span[], behavior: Behavior): Span[] {
  const result: Span[] = []
  let before = false
  for (const span of spans) {
    const last = result.at(-1)
    const joins = behavior === 'Contiguous' ? span.match === before : span.match && !before
    if (last && joins) last.end = span.end
    else result.push({ ...span })
    before = span.match
  }
  return result
}

function mergedWithNext(spans: Span[]): Span[] {
  const result: Span[] = []
  let after = false
  for (const span of spans.toReversed()) {
    const next = result.at(-1)
    if (next && span.match && !after) next.start = span.start
    else result.push({ ...span })
    after = span.match
  }
  return result.reverse()
}

function splitter(regex: RegExp, behavior: Behavior, invert = false): PreTokenizer {
  return (text) => {
    // Fast path: the pattern matches the whole piece, or nothing of it.
    if (behavior === 'Isolated' || (behavior === 'Removed' && invert)) {
      const pieces = text.match(regex)
      if (pieces && pieces.reduce((sum, { length }) => sum + length, 0) === text.length && !pieces.includes('')) return pieces
    }
    const spans = spansOf(text, regex)
    if (invert) for (const span of spans) span.match = !span.match
    return cut(text, spans, behavior)
  }
}

/** Each step splits the pieces of the previous one. */
function sequence(steps: PreTokenizer[]): PreTokenizer {
  return (text, first) => {
    let pieces = [text]
    for (const step of steps) {
      pieces = pieces.flatMap((piece, i) => (piece ? step(piece, first && i === 0) : piece))
      checkGrowth(
        text.length,
        pieces.reduce((sum, { length }) => sum + length, 0),
      )
    }
    return pieces
  }
}

const each = (inside: string) => new RegExp(inside, 'gv')
const gpt2 = compilePattern("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+")
const words = each(`${classes.rustWord}+|[^${classes.rustWord}${classes.space}]+`)
const onSpaces = splitter(each(classes.space), 'Removed')
const behavior = (otherwise?: Behavior) => oneOf(behaviors, otherwise)

/** @throws WorkbenchError `tokenizer-invalid` that names what is not supported */
export function readPreTokenizer(value: unknown): PreTokenizer {
  if (value === null || value === undefined) return (text) => [text]
  const { component, type } = componentOf(value, 'pre-tokenizer')
  const read = Object.hasOwn(readers, type) && readers[type]
  if (!read) throw unsupported(`it has the pre-tokenizer ${type}`)
  return read(component)
}

const readers: Record<string, (component: JsonObject) => PreTokenizer> = {
  Sequence(component) {
    const { pretokenizers } = fieldsOf(component, 'the pre-tokenizer Sequence', { pretokenizers: list })
    return sequence(
      pretokenizers.map((step) => {
        if (step === null) throw invalid('its pre-tokenizer Sequence holds null')
        return readPreTokenizer(step)
      }),
    )
  },
  ByteLevel(component) {
    const { add_prefix_space, use_regex } = fieldsOf(component, 'the pre-tokenizer ByteLevel', {
      add_prefix_space: flag(),
      trim_offsets: flag(true),
      use_regex: flag(true),
    })
    const split = splitter(gpt2, 'Isolated')
    return (text, first) => {
      const whole = add_prefix_space && !text.startsWith(' ') ? ` ${text}` : text
      return use_regex ? split(whole, first).map(byteLevel) : [byteLevel(whole)]
    }
  },
  Metaspace: readMetaspace,
  Split(component) {
    const { invert, ...rest } = fieldsOf(component, 'the pre-tokenizer Split', { pattern: object, behavior: behavior(), invert: flag() })
    return splitter(patternOf(rest.pattern, 'the pre-tokenizer Split'), rest.behavior, invert)
  },
  Punctuation(component) {
    const fields = fieldsOf(component, 'the pre-tokenizer Punctuation', { behavior: behavior('Isolated') })
    return splitter(each(classes.punctuation), fields.behavior)
  },
  Digits(component) {
    const { individual_digits } = fieldsOf(component, 'the pre-tokenizer Digits', { individual_digits: flag() })
    return splitter(each(classes.numeric), individual_digits ? 'Isolated' : 'Contiguous')
  },
  Whitespace(component) {
    fieldsOf(component, 'the pre-tokenizer Whitespace', {})
    return splitter(words, 'Removed', true)
  },
  WhitespaceSplit(component) {
    fieldsOf(component, 'the pre-tokenizer WhitespaceSplit', {})
    return onSpaces
  },
  BertPreTokenizer(component) {
    fieldsOf(component, 'the pre-tokenizer BertPreTokenizer', {})
    return sequence([onSpaces, splitter(each(classes.punctuation), 'Isolated')])
  },
  CharDelimiterSplit(component) {
    const { delimiter } = fieldsOf(component, 'the pre-tokenizer CharDelimiterSplit', { delimiter: character() })
    return splitter(literalPattern(delimiter), 'Removed')
  },
  FixedLength(component) {
    const { length } = fieldsOf(component, 'the pre-tokenizer FixedLength', { length: positive })
    return splitter(each(`[\\s\\S]{1,${length}}`), 'Isolated')
  },
}

function readMetaspace(component: JsonObject): PreTokenizer {
  const { replacement, prepend_scheme, split, add_prefix_space } = fieldsOf(component, 'the pre-tokenizer Metaspace', {
    replacement: character(),
    prepend_scheme: oneOf(['first', 'never', 'always'], 'always'),
    split: flag(true),
    // Older files have these two in addition to the scheme.
    add_prefix_space: flag(true),
    str_rep: anything,
  })
  if (!add_prefix_space && prepend_scheme !== 'never') throw invalid('its Metaspace has add_prefix_space false and another prepend_scheme')
  const cuts = splitter(literalPattern(replacement), 'MergedWithNext')
  return (text, first) => {
    const replaced = text.replaceAll(' ', replacement)
    const prepends = prepend_scheme === 'always' || (prepend_scheme === 'first' && first)
    const whole = prepends && !replaced.startsWith(replacement) ? replacement + replaced : replaced
    return split ? cuts(whole, first) : [whole]
  }
}

/** Whether a step treats the first piece differently, and whether earlier steps may already have split it. */
export function asksForFirst(value: unknown): { first: boolean; cut: boolean; inserted: boolean } {
  const steps = isObject(value) && Array.isArray(value.pretokenizers) ? value.pretokenizers : [value]
  const nested = steps.some((step) => isObject(step) && Array.isArray(step.pretokenizers))
  const at = steps.findLastIndex((step) => JSON.stringify(step ?? null).includes('"prepend_scheme":"first"'))
  const inserted = steps.slice(0, Math.max(0, at)).some((step) => isObject(step) && ['ByteLevel', 'Metaspace'].includes(String(step.type)))
  return { first: at >= 0, cut: at > 0 || nested, inserted: inserted || nested }
}
