/** Jinja's filters and tests, as configured by transformers for chat templates. */
import * as text from './text.ts'
import { bind, integer, itemOf, ownAttribute, replaced } from './access.ts'
import { percent } from './format.ts'
import { dumps } from './json.ts'
import { paid, pay, payFor, TemplateError, Unsupported } from './meter.ts'
import { fixed, parseFloatText, parseInteger, roundFloat, roundInt } from './numbers.ts'
import { binary, compare, escaped } from './operations.ts'
import {
  type Args,
  Callable,
  contains,
  Dict,
  equal,
  hashOf,
  Instance,
  isInteger,
  isIterable,
  isNumber,
  Iter,
  iterate,
  lazily,
  len,
  lengthOf,
  less,
  Markup,
  number,
  sorted,
  str,
  truth,
  Tuple,
  typeName,
  Undefined,
  undefinedError,
  type Value,
  View,
} from './values.ts'

type Filter = (value: Value, args: Args) => Value
type Test = (value: Value, args: Args) => boolean

const given = (value: Value | undefined): value is Exclude<Value, null> => value !== undefined && value !== null
const flag = (value: Value | undefined, otherwise = false) => (value === undefined ? otherwise : truth(value))

/** `soft_str`, for filters that make a new text. */
function plainText(value: Value, name: string): string {
  if (value instanceof Markup) throw new Unsupported(`the filter ${name} on a text that was marked as safe`)
  return str(value)
}

// ---------------------------------------------------------------- attributes of items

type Get = (item: Value) => Value

/** An attribute by path, `a.b.0`; the item itself when there is no path. */
function getter(attribute: Value | undefined, postprocess: Get = (value) => value, otherwise: Value | undefined = null): Get {
  const steps: Value[] = !given(attribute)
    ? []
    : typeof attribute === 'string'
      ? attribute.split('.').map((step) => (text.is.digit(step) ? (parseInteger(step) ?? step) : step))
      : [attribute]
  return (item) => {
    let value = item
    for (const step of steps) {
      value = itemOf(value, step)
      if (given(otherwise) && value instanceof Undefined) value = otherwise
    }
    return postprocess(value)
  }
}

const lowered: Get = (value) => (typeof value === 'string' ? paid(text.lower(value)) : value)
const casing = (sensitive: Value | undefined): Get | undefined => (flag(sensitive) ? undefined : lowered)

/** Several attributes, separated by commas. */
function getters(attribute: Value | undefined, postprocess: Get | undefined): Get {
  const all = typeof attribute === 'string' ? attribute.split(',').map((one) => getter(one, postprocess)) : [getter(attribute, postprocess)]
  return (item) => all.map((get) => get(item))
}

// ---------------------------------------------------------------- filters on sequences

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

function selecting(wanted: boolean, byAttribute: boolean): Filter {
  return (value, { positional, named }) => {
    function* chosen(): Generator<Value, undefined> {
      if (!truth(value)) return
      const [attribute, ...after] = byAttribute ? positional : [null, ...positional]
      if (byAttribute && !positional.length) throw new TemplateError('Missing parameter for attribute name')
      const get = byAttribute ? getter(attribute) : (item: Value) => item
      const [name, ...others] = after
      const test = name === undefined ? truth : (item: Value) => applyTest(str(name), item, { positional: others, named })
      for (const item of iterate(value)) if (test(get(item)) === wanted) yield item
    }
    return lazily(chosen())
  }
}

function* batches(value: Value, size: number, fill: Value | undefined): Generator<Value, undefined> {
  let batch: Value[] = []
  for (const item of iterate(value)) {
    if (batch.length === size) {
      yield batch
      batch = []
    }
    batch.push(item)
  }
  if (!batch.length) return
  if (given(fill)) {
    pay(size)
    while (batch.length < size) batch.push(fill)
  }
  yield batch
}

function* columns(value: Value, count: number, fill: Value | undefined): Generator<Value, undefined> {
  const items = [...iterate(value)]
  const size = Math.floor(items.length / count)
  const larger = items.length % count
  let start = 0
  for (let i = 0; i < count; i++) {
    pay()
    const end = start + size + (i < larger ? 1 : 0)
    const column = items.slice(start, end)
    if (given(fill) && i >= larger) column.push(fill)
    start = end
    yield column
  }
}

function* unique(value: Value, get: Get): Generator<Value, undefined> {
  const seen = new Set<unknown>()
  for (const item of iterate(value)) {
    const hash = hashOf(get(item))
    if (seen.has(hash)) continue
    seen.add(hash)
    yield item
  }
}

function extreme(name: string, better: (a: Value, b: Value) => boolean): Filter {
  return (value, args) => {
    const [sensitive, attribute] = bind(name, ['case_sensitive', 'attribute'], args)
    const get = getter(attribute, casing(sensitive))
    let best: { item: Value; key: Value } | null = null
    for (const item of iterate(value)) {
      const key = get(item)
      if (!best || better(key, best.key)) best = { item, key }
    }
    return best ? best.item : new Undefined('No aggregated item, sequence was empty.')
  }
}

function grouped(value: Value, args: Args): Value {
  const [attribute, otherwise, sensitive] = bind('groupby', ['attribute', 'default', 'case_sensitive'], args, 1)
  const get = getter(attribute, casing(sensitive), otherwise ?? null)
  const shown = getter(attribute, undefined, otherwise ?? null)
  const groups: { key: Value; items: Value[] }[] = []
  for (const item of sorted([...iterate(value)], get)) {
    const key = get(item)
    const last = groups.at(-1)
    if (last && equal(last.key, key)) last.items.push(item)
    else groups.push({ key, items: [item] })
  }
  return groups.map(({ key, items }) => new Tuple([flag(sensitive) ? key : shown(items[0]), items], ['grouper', 'list']))
}

function reversed(value: Value): Value {
  if (typeof value === 'string') return paid(text.points(value).reverse().join(''))
  if (value instanceof Markup) throw new Unsupported('the filter reverse on a text that was marked as safe')
  if (!isIterable(value)) throw new TemplateError('argument must be iterable')
  const items = [...iterate(value)].reverse()
  return value instanceof Iter ? items : new Iter(items.values(), 'reversed')
}

function last(value: Value): Value {
  if (value instanceof Iter || value instanceof Instance) throw new TemplateError(`'${typeName(value)}' object is not reversible`)
  const items = [...iterate(value)]
  return items.length ? items.at(-1)! : new Undefined('No last item, sequence was empty.')
}

function first(value: Value): Value {
  const next = iterate(value).next()
  return next.done ? new Undefined('No first item, sequence was empty.') : next.value
}

function join(value: Value, args: Args): Value {
  const [separator = '', attribute] = bind('join', ['d', 'attribute'], args)
  const get = getter(attribute)
  const by = str(separator)
  const items: string[] = []
  for (const item of iterate(value)) {
    const one = str(attribute === undefined ? item : get(item))
    payFor(one.length + by.length)
    items.push(one)
  }
  return items.join(by)
}

function sum(value: Value, args: Args): Value {
  const [attribute, start = 0n] = bind('sum', ['attribute', 'start'], args)
  if (typeof start === 'string') throw new TemplateError("sum() can't sum strings [use ''.join(seq) instead]")
  const get = getter(attribute)
  let total: Value = start
  for (const item of iterate(value)) total = binary('+', total, get(item))
  return total
}

function dictSorted(value: Value, args: Args): Value {
  const [sensitive, by = 'key', reverse] = bind('dictsort', ['case_sensitive', 'by', 'reverse'], args)
  if (by !== 'key' && by !== 'value') throw new TemplateError('You can only sort by either "key" or "value"')
  const items = dictOf(value, 'dictsort')
  const lower = casing(sensitive) ?? ((one: Value) => one)
  const pairs = Array.from(items.entries(), (pair) => new Tuple(pair))
  return sorted(pairs, (pair) => lower((pair as Tuple).items[by === 'key' ? 0 : 1]), flag(reverse))
}

function dictOf(value: Value, name: string): Dict {
  if (value instanceof Undefined) throw undefinedError(value)
  if (!(value instanceof Dict)) throw new TemplateError(`${name} needs a dict, not ${typeName(value)}`)
  return value
}

// ---------------------------------------------------------------- filters on text

function indented(value: Value, args: Args): Value {
  const [width = 4n, first, blank] = bind('indent', ['width', 'first', 'blank'], args)
  if (value instanceof Undefined) throw undefinedError(value)
  if (typeof value !== 'string') {
    if (value instanceof Markup) throw new Unsupported('the filter indent on a text that was marked as safe')
    throw new TemplateError(`indent needs a str, not ${typeName(value)}`)
  }
  const step = typeof width === 'string' ? width : ' '.repeat(Math.max(0, Math.min(integer(width, 'indent'), 1 << 16)))
  const lines = text.splitLines(`${value}\n`)
  payFor(value.length + lines.length * step.length)
  const shown = flag(blank) ? lines.join(`\n${step}`) : lines.map((line, i) => (i && line ? step + line : line)).join('\n')
  return flag(first) ? step + shown : shown
}

function truncated(value: Value, args: Args): Value {
  const [size = 255n, kill, end = '...', leeway] = bind('truncate', ['length', 'killwords', 'end', 'leeway'], args)
  const most = integer(size, 'truncate')
  const ending = str(end)
  const slack = given(leeway) ? integer(leeway, 'truncate') : 5
  const room = most - text.length(ending)
  if (room < 0) throw new TemplateError(`expected length >= ${text.length(ending)}, got ${most}`)
  if (slack < 0) throw new TemplateError(`expected leeway >= 0, got ${slack}`)
  if (len(value) <= most + slack) return value
  if (value instanceof Markup) throw new Unsupported('the filter truncate on a text that was marked as safe')
  if (typeof value !== 'string') throw new TemplateError(`truncate needs a str, not ${typeName(value)}`)
  const cut = text.between(value, 0, room)
  return flag(kill) ? cut + ending : text.rsplit(cut, ' ', 1)[0] + ending
}

/** Starts of words by the characters before them, unlike `str.title`. */
function titled(value: Value): Value {
  const parts = plainText(value, 'title').split(new RegExp(`([-${text.whiteSpace.source.slice(1, -1)}({[<]+)`))
  return parts
    .map((part) => {
      const [head = ''] = text.points(part)
      return text.upper(head) + text.lower(part.slice(head.length))
    })
    .join('')
}

function urlQuoted(value: Value, forQuery = false): string {
  const bytes = new TextEncoder().encode(str(value))
  const safe = forQuery ? /[\w.~-]/ : /[\w.~/-]/
  const quoted = Array.from(bytes, (byte) => {
    const sign = String.fromCharCode(byte)
    return byte < 0x80 && safe.test(sign) ? sign : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }).join('')
  return paid(forQuery ? quoted.replaceAll('%20', '+') : quoted)
}

function urlEncoded(value: Value): Value {
  if (typeof value === 'string' || value instanceof Markup || !isIterable(value)) return urlQuoted(value)
  const pairs = value instanceof Dict ? [...value.entries()] : Array.from(iterate(value), (pair) => [...iterate(pair)])
  return pairs
    .map((pair) => {
      if (pair.length !== 2) throw new TemplateError('urlencode needs pairs')
      return pair.map((one) => urlQuoted(one, true)).join('=')
    })
    .join('&')
}

function fileSize(value: Value, args: Args): Value {
  const [binary] = bind('filesizeformat', ['binary'], args)
  const bytes = toFloat(value)
  if (bytes === null) throw new TemplateError('filesizeformat needs a number')
  const base = flag(binary) ? 1024 : 1000
  if (bytes === 1) return '1 Byte'
  if (bytes < base) return `${Math.trunc(bytes)} Bytes`
  const prefixes = 'kMGTPEZY'
  for (let i = 0; ; i++) {
    const unit = base ** (i + 2)
    if (bytes < unit || i === prefixes.length - 1) {
      const letter = flag(binary) ? `${prefixes[i].toUpperCase()}iB` : `${prefixes[i]}B`
      return `${fixed((base * bytes) / unit, 1)} ${letter}`
    }
  }
}

function attributes(value: Value, args: Args): Value {
  const [space] = bind('xmlattr', ['autospace'], args)
  const items: string[] = []
  for (const [key, one] of dictOf(value, 'xmlattr').entries()) {
    if (one === null || one instanceof Undefined) continue
    if (typeof key !== 'string' || /[\t-\r />=]/.test(key)) throw new TemplateError(`Invalid character in attribute name: ${str(key)}`)
    items.push(`${escaped(key).text}="${escaped(one).text}"`)
  }
  return paid((items.length && flag(space, true) ? ' ' : '') + items.join(' '))
}

function toJson(value: Value, args: Args): Value {
  const [ascii, indent, separators, sortKeys] = bind('tojson', ['ensure_ascii', 'indent', 'separators', 'sort_keys'], args)
  const step = !given(indent)
    ? null
    : typeof indent === 'string'
      ? indent
      : ' '.repeat(Math.max(0, Math.min(integer(indent, 'indent'), 1024)))
  const pair = given(separators) ? [...iterate(separators)].map(str) : [step === null ? ', ' : ',', ': ']
  if (pair.length !== 2) throw new TemplateError('separators have to be two texts')
  return dumps(value, { ascii: flag(ascii), indent: step, separators: [pair[0], pair[1]], sortKeys: flag(sortKeys) })
}

// ---------------------------------------------------------------- filters on numbers

/** `float(value)`; null when that raises an error. */
function toFloat(value: Value): number | null {
  if (value instanceof Undefined) throw undefinedError(value)
  if (isNumber(value)) return Number(number(value))
  if (value instanceof Markup) return parseFloatText(value.text)
  return typeof value === 'string' ? parseFloatText(value) : null
}

function toInt(value: Value, args: Args): Value {
  const [otherwise = 0n, base = 10n] = bind('int', ['default', 'base'], args)
  const exact = typeof value === 'string' ? parseInteger(value, integer(base, 'int')) : isInteger(value) ? BigInt(value) : null
  if (exact !== null) return exact
  if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY)
    throw new TemplateError('cannot convert float infinity to integer')
  const float = toFloat(value)
  return float === null || !Number.isFinite(float) ? otherwise : BigInt(Math.trunc(float))
}

function rounded(value: Value, args: Args): Value {
  const [precision = 0n, method = 'common'] = bind('round', ['precision', 'method'], args)
  if (method !== 'common' && method !== 'ceil' && method !== 'floor') throw new TemplateError('method must be common, ceil or floor')
  if (!isNumber(value)) {
    if (value instanceof Undefined) throw new TemplateError('Undefined cannot be rounded')
    throw new TemplateError(`type ${typeName(value)} doesn't define __round__ method`)
  }
  const digits = precision === null ? 0 : integer(precision, 'round')
  const exact = number(value)
  if (method === 'common') {
    // `round(x, None)` returns an int.
    if (typeof exact === 'bigint') return roundInt(exact, digits)
    return precision === null ? BigInt(roundFloat(exact, 0)) : roundFloat(exact, digits)
  }
  const scale = 10 ** digits
  return (Math[method](Number(exact) * scale) + 0) / scale
}

// ---------------------------------------------------------------- tables

const make =
  (name: string, parameters: string[], work: (value: Value, ...args: (Value | undefined)[]) => Value, needed = 0): Filter =>
  (value, args) =>
    work(value, ...bind(name, parameters, args, needed))

const onText = (name: string, work: (value: string) => Value) => make(name, [], (value) => paidValue(work(paid(plainText(value, name)))))
const paidValue = (value: Value) => (typeof value === 'string' ? paid(value) : value)

function defaulted(value: Value, otherwise: Value = '', boolean?: Value): Value {
  return value instanceof Undefined || (flag(boolean) && !truth(value)) ? otherwise : value
}

const size = (value: Value) => BigInt(len(value))

function centered(value: Value, width: Value | undefined): Value {
  const columns = width === undefined ? 80 : integer(width, 'center')
  payFor(columns)
  return text.pad(plainText(value, 'center'), columns, 'both')
}

function formatted(value: Value, { positional, named }: Args): Value {
  if (positional.length && named.size) throw new TemplateError("can't handle positional and keyword arguments at the same time")
  return percent(plainText(value, 'format'), named.size ? Dict.of(named) : new Tuple(positional))
}

function items(value: Value): Value {
  if (value instanceof Undefined) return new Iter([].values())
  if (!(value instanceof Dict)) throw new TemplateError('Can only get item pairs from a mapping.')
  return new Iter(new View('items', value).items().values())
}

function absolute(value: Value): Value {
  if (!isNumber(value)) throw new TemplateError(`bad operand type for abs(): '${typeName(value)}'`)
  const exact = number(value)
  return typeof exact === 'bigint' ? (exact < 0n ? -exact : exact) : Math.abs(exact)
}

function own(value: Value, name: string): Value {
  const found = ownAttribute(value, name)
  return found === undefined ? new Undefined(`there is no attribute '${name}'`) : found
}

function wordCount(value: string): Value {
  return BigInt(value.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)
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

const fixedNumber = (value: Value, by: bigint, rest: bigint) => equal(binary('%', value, by), rest)

function isSame(value: Value, other: Value): boolean {
  const interned = (one: Value) => one === null || typeof one === 'boolean' || (typeof one === 'bigint' && one >= -5n && one <= 256n)
  if (typeof value !== typeof other) return false
  if (interned(value) || interned(other)) return value === other
  if (typeof value !== 'object') throw new Unsupported(`the test sameas between two ${typeName(value)}`)
  return value === other
}

function isCallable(value: Value): boolean {
  return value instanceof Callable || value instanceof Undefined || (value instanceof Instance && value.options.call !== undefined)
}

function isSequence(value: Value): boolean {
  return lengthOf(value) !== null && !(value instanceof View) && !(value instanceof Instance)
}

function isKey(value: Value, names: { has(name: string): boolean }): boolean {
  hashOf(value)
  return (typeof value === 'string' || value instanceof Markup) && names.has(str(value))
}

const alone =
  (name: string, work: (value: Value) => boolean): Test =>
  (value, args) => {
    bind(name, [], args)
    return work(value)
  }

const against =
  (name: string, parameter: string, work: (value: Value, other: Value) => boolean): Test =>
  (value, args) =>
    work(value, bind(name, [parameter], args, 1)[0]!)

const comparing = (sign: string) => against(sign, 'b', (a, b) => compare(sign, a, b))

const tests: Map<string, Test> = new Map(
  Object.entries<Test>({
    odd: alone('odd', (value) => fixedNumber(value, 2n, 1n)),
    even: alone('even', (value) => fixedNumber(value, 2n, 0n)),
    divisibleby: against('divisibleby', 'num', (value, by) => equal(binary('%', value, by), 0n)),
    defined: alone('defined', (value) => !(value instanceof Undefined)),
    undefined: alone('undefined', (value) => value instanceof Undefined),
    filter: alone('filter', (value) => isKey(value, filters) || isKey(value, unreadFilters)),
    test: alone('test', (value): boolean => isKey(value, tests)),
    none: alone('none', (value) => value === null),
    boolean: alone('boolean', (value) => typeof value === 'boolean'),
    false: alone('false', (value) => value === false),
    true: alone('true', (value) => value === true),
    integer: alone('integer', (value) => typeof value === 'bigint'),
    float: alone('float', (value) => typeof value === 'number'),
    lower: alone('lower', (value) => text.is.lower(str(value))),
    upper: alone('upper', (value) => text.is.upper(str(value))),
    string: alone('string', (value) => typeof value === 'string' || value instanceof Markup),
    mapping: alone('mapping', (value) => value instanceof Dict),
    number: alone('number', isNumber),
    sequence: alone('sequence', isSequence),
    iterable: alone('iterable', (value) => isIterable(value) || (value instanceof Instance && value.type === 'LoopContext')),
    callable: alone('callable', isCallable),
    sameas: against('sameas', 'other', isSame),
    escaped: alone('escaped', (value) => value instanceof Markup),
    in: against('in', 'seq', (value, container) => contains(container, value)),
    '==': comparing('=='),
    eq: comparing('=='),
    equalto: comparing('=='),
    '!=': comparing('!='),
    ne: comparing('!='),
    '>': comparing('>'),
    gt: comparing('>'),
    greaterthan: comparing('>'),
    ge: comparing('>='),
    '>=': comparing('>='),
    '<': comparing('<'),
    lt: comparing('<'),
    lessthan: comparing('<'),
    '<=': comparing('<='),
    le: comparing('<='),
  }),
)

/** Why a filter or test cannot be used; null when it can. */
export function missing(kind: 'filter' | 'test', name: string): TemplateError | null {
  if (kind === 'filter' ? filters.has(name) : tests.has(name)) return null
  return kind === 'filter' && unreadFilters.has(name)
    ? new Unsupported(`the filter ${name}`)
    : new TemplateError(`there is no ${kind} named '${name}'`)
}

export function applyFilter(name: string, value: Value, args: Args): Value {
  const filter = filters.get(name)
  if (!filter) throw missing('filter', name)!
  pay()
  return filter(value, args)
}

export function applyTest(name: string, value: Value, args: Args): boolean {
  const test = tests.get(name)
  if (!test) throw missing('test', name)!
  pay()
  return test(value, args)
}
