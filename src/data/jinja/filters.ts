/** Jinja's filters, as configured by transformers for chat templates. */
import * as text from './text.ts'
import { bind, integer, flag, given } from './arguments.ts'
import { ownAttribute } from './access.ts'
import { replaced } from './methods.ts'
import { paid, pay, TemplateError, Unsupported } from './meter.ts'
import { escaped } from './operations.ts'
import { type Args, Dict, Iter, iterate, lazily, len, less, Markup, sorted, str, truth, Undefined, type Value, View } from './values.ts'
import {
  type Filter,
  type Get,
  getter,
  casing,
  getters,
  selecting,
  batches,
  columns,
  unique,
  extreme,
  grouped,
  reversed,
  last,
  first,
  join,
  sum,
  dictSorted,
} from './sequence-filters.ts'
import {
  plainText,
  indented,
  truncated,
  titled,
  urlEncoded,
  fileSize,
  attributes,
  toJson,
  centered,
  formatted,
  wordCount,
} from './text-filters.ts'
import { toFloat, toInt, rounded, absolute } from './number-filters.ts'
import { isKey, alone, tests, unknownTest } from './tests.ts'

function* mapped(value: Value, { positional, named }: Args): Generator<Value, undefined> {
  if (!truth(value)) return
  let apply: Get
  if (!positional.length && named.has('attribute')) {
    const [attribute, otherwise] = bind('map', ['attribute', 'default'], { positional, named })
    apply = getter(attribute, undefined, otherwise ?? null)
  } else {
    if (!positional.length) throw new TemplateError('map requires a filter argument')
    const [name, ...others] = positional
    apply = (item) => applyFilter(str(name), item, { positional: others, named })
  }
  for (const item of iterate(value)) yield apply(item)
}

const make =
  (name: string, parameters: string[], work: (value: Value, ...args: (Value | undefined)[]) => Value, needed = 0): Filter =>
  (value, args) =>
    work(value, ...bind(name, parameters, args, needed))

const onText = (name: string, work: (value: string) => Value) => make(name, [], (value) => paidValue(work(paid(plainText(value, name)))))
const paidValue = (value: Value) => (typeof value === 'string' ? paid(value) : value)

function defaulted(value: Value, otherwise: Value = '', boolean?: Value): Value {
  return value instanceof Undefined || (flag(boolean) && !truth(value)) ? otherwise : value
}

export const size = (value: Value) => BigInt(len(value))

export function items(value: Value): Value {
  if (value instanceof Undefined) return new Iter([].values())
  if (!(value instanceof Dict)) throw new TemplateError('Can only get item pairs from a mapping.')
  return new Iter(new View('items', value).items().values())
}

function own(value: Value, name: string): Value {
  const found = ownAttribute(value, name)
  return found === undefined ? new Undefined(`there is no attribute '${name}'`) : found
}

const filters = new Map<string, Filter>(
  Object.entries({
    abs: make('abs', [], absolute),
    attr: make('attr', ['name'], (value, name) => own(value, str(name!)), 1),
    batch: make('batch', ['linecount', 'fill_with'], (value, count, fill) => lazily(batches(value, integer(count!, 'batch'), fill)), 1),
    capitalize: onText('capitalize', text.capitalize),
    center: make('center', ['width'], centered),
    count: make('count', [], size),
    d: make('default', ['default_value', 'boolean'], defaulted),
    default: make('default', ['default_value', 'boolean'], defaulted),
    dictsort: dictSorted,
    e: make('e', [], escaped),
    escape: make('escape', [], escaped),
    filesizeformat: fileSize,
    first: make('first', [], first),
    float: make('float', ['default'], (value, otherwise = 0) => toFloat(value) ?? otherwise),
    forceescape: make('forceescape', [], (value) => escaped(str(value))),
    format: formatted,
    groupby: grouped,
    indent: indented,
    int: toInt,
    items: make('items', [], items),
    join,
    last: make('last', [], last),
    length: make('length', [], size),
    list: make('list', [], (value) => [...iterate(value)]),
    lower: onText('lower', text.lower),
    map: (value: Value, args: Args) => lazily(mapped(value, args)),
    max: extreme('max', (a, b) => less(b, a)),
    min: extreme('min', less),
    reject: selecting(false, false),
    rejectattr: selecting(false, true),
    replace: make(
      'replace',
      ['old', 'new', 'count'],
      (value, old, by, most) => replaced(plainText(value, 'replace'), str(old!), str(by!), given(most) ? integer(most, 'replace') : -1),
      2,
    ),
    reverse: make('reverse', [], reversed),
    round: rounded,
    safe: make('safe', [], (value) => (value instanceof Markup ? value : new Markup(str(value)))),
    select: selecting(true, false),
    selectattr: selecting(true, true),
    slice: make('slice', ['slices', 'fill_with'], (value, count, fill) => lazily(columns(value, integer(count!, 'slice'), fill)), 1),
    sort: make('sort', ['reverse', 'case_sensitive', 'attribute'], (value, reverse, sensitive, attribute) =>
      sorted([...iterate(value)], getters(attribute, casing(sensitive)), flag(reverse)),
    ),
    string: make('string', [], (value) => (value instanceof Markup ? value : str(value))),
    sum: (value: Value, args: Args) => sum(value, args),
    title: make('title', [], (value) => titled(value)),
    tojson: toJson,
    trim: make('trim', ['chars'], (value, chars) => text.strip(plainText(value, 'trim'), given(chars) ? str(chars) : null)),
    truncate: truncated,
    unique: make('unique', ['case_sensitive', 'attribute'], (value, sensitive, attribute) =>
      lazily(unique(value, getter(attribute, casing(sensitive)))),
    ),
    upper: onText('upper', text.upper),
    urlencode: make('urlencode', [], urlEncoded),
    wordcount: onText('wordcount', wordCount),
    xmlattr: attributes,
  }),
)

/** Unsupported filters of Jinja: random ones, and those that depend on Python's layout, wrapping or HTML parsing. */
const unreadFilters = new Set(['pprint', 'random', 'striptags', 'urlize', 'wordwrap'])

// Which filters there are is known here only.
tests.set(
  'filter',
  alone('filter', (value) => isKey(value, filters) || isKey(value, unreadFilters)),
)

/** Why a filter or test cannot be used; null when it can. */
export function missing(kind: 'filter' | 'test', name: string): TemplateError | null {
  if (kind === 'test') return tests.has(name) ? null : unknownTest(name)
  if (filters.has(name)) return null
  return unreadFilters.has(name) ? new Unsupported(`the filter ${name}`) : new TemplateError(`there is no filter named '${name}'`)
}

export function applyFilter(name: string, value: Value, args: Args): Value {
  const filter = filters.get(name)
  if (!filter) throw missing('filter', name)!
  pay()
  return filter(value, args)
}
