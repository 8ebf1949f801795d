/**
 * The Python values of a template, with Python's rules for printing, comparing and truth.
 *
 *     None, bool, str      null, boolean, string (counted by code points, see text.ts)
 *     int, float           bigint, number
 *     list, tuple, dict    Array, Tuple, Dict
 *
 * and the classes below. Everything that can grow is counted by a meter, since a template is untrusted code.
 */
import { paid, pay, payFor, TemplateError, Unsupported } from './meter.ts'
import { floatRepr } from './numbers.ts'
import { length as pointsOf, strRepr } from './text.ts'

export type Value = null | boolean | string | bigint | number | Value[] | Thing

// ---------------------------------------------------------------- classes

/** An undefined value: prints as nothing, and raises its error when used otherwise. */
export class Undefined {
  constructor(readonly message: string) {}
}

export class Tuple {
  constructor(
    readonly items: Value[],
    /** Attributes of a named tuple, in order. */
    readonly names: string[] = [],
  ) {}
}

/** A dict: insertion order, and one key for 1, 1.0 and True. */
export class Dict {
  readonly #entries = new Map<unknown, [Value, Value]>()

  static of(entries: Iterable<[Value, Value]>): Dict {
    const dict = new Dict()
    for (const [key, value] of entries) dict.set(key, value)
    return dict
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: Value): Value | undefined {
    return this.#entries.get(hashOf(key))?.[1]
  }

  set(key: Value, value: Value): void {
    const hash = hashOf(key)
    const entry = this.#entries.get(hash)
    if (entry) entry[1] = value
    else this.#entries.set(hash, [key, value])
  }

  delete(key: Value): void {
    this.#entries.delete(hashOf(key))
  }

  entries(): IterableIterator<[Value, Value]> {
    return this.#entries.values()
  }

  keys(): Value[] {
    return Array.from(this.#entries.values(), ([key]) => key)
  }
}

/** `dict.keys()` and similar views. */
export class View {
  constructor(
    readonly kind: 'keys' | 'values' | 'items',
    readonly dict: Dict,
  ) {}

  items(): Value[] {
    const { kind, dict } = this
    return Array.from(dict.entries(), ([key, value]) => (kind === 'keys' ? key : kind === 'values' ? value : new Tuple([key, value])))
  }
}

export class Range {
  constructor(
    readonly start: bigint,
    readonly stop: bigint,
    readonly step: bigint,
  ) {}

  get size(): number {
    const { start, stop, step } = this
    const span = step > 0n ? stop - start : start - stop
    const size = step > 0n ? step : -step
    return span <= 0n ? 0 : Number((span + size - 1n) / size)
  }

  at(index: number): bigint {
    return this.start + BigInt(index) * this.step
  }
}

/** A Python generator or iterator, which can be iterated once. */
export class Iter {
  constructor(
    readonly source: Iterator<Value>,
    readonly type = 'generator',
  ) {}
}

/** A text marked by `e` or `safe`: text appended to it is escaped. */
export class Markup {
  constructor(readonly text: string) {}
}

export class Namespace {
  constructor(readonly attributes: Dict) {}
}

/** Positional and keyword arguments of a call. */
export interface Args {
  positional: Value[]
  named: Map<string, Value>
}

export class Callable {
  constructor(
    readonly name: string,
    readonly call: (args: Args) => Value,
    /** Its printed form; functions would print an address, which is refused. */
    readonly printed: string | null = null,
    readonly attributes: ReadonlyMap<string, Value> = new Map(),
  ) {}
}

/** An object of Jinja with attributes: `loop`, a cycler. */
export class Instance {
  constructor(
    readonly type: string,
    readonly attribute: (name: string) => Value | undefined,
    readonly options: { printed?: () => string; size?: () => number; call?: (args: Args) => Value } = {},
  ) {}
}

export type Thing = Undefined | Tuple | Dict | View | Range | Iter | Markup | Namespace | Callable | Instance

/** Python's name of the type. */
export function typeName(value: Value): string {
  if (value === null) return 'NoneType'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'bigint') return 'int'
  if (typeof value === 'number') return 'float'
  if (typeof value === 'string') return 'str'
  if (Array.isArray(value)) return 'list'
  if (value instanceof Tuple) return 'tuple'
  if (value instanceof Dict) return 'dict'
  if (value instanceof View) return `dict_${value.kind}`
  if (value instanceof Range) return 'range'
  if (value instanceof Iter || value instanceof Instance) return value.type
  if (value instanceof Callable) return 'function'
  return value.constructor.name
}

export const isInteger = (value: Value): value is bigint | boolean => typeof value === 'bigint' || typeof value === 'boolean'
export const isNumber = (value: Value): value is bigint | number | boolean => isInteger(value) || typeof value === 'number'

/** Raises the error of an undefined value. */
export function undefinedError({ message }: Undefined): TemplateError {
  return new TemplateError(message)
}

/** For operations that fail on undefined values. */
export function defined(value: Value): Exclude<Value, Undefined> {
  if (value instanceof Undefined) throw undefinedError(value)
  return value
}

// ---------------------------------------------------------------- printing

export function str(value: Value): string {
  if (typeof value === 'string') return value
  if (value instanceof Markup) return value.text
  if (value instanceof Undefined) return ''
  return paid(repr(value))
}

export function repr(value: Value): string {
  pay()
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number') return floatRepr(value)
  if (typeof value === 'string') return paid(strRepr(value))
  if (Array.isArray(value)) return `[${reprs(value)}]`
  if (value instanceof Tuple) return value.items.length === 1 ? `(${repr(value.items[0])},)` : `(${reprs(value.items)})`
  if (value instanceof Dict) return dictRepr(value)
  if (value instanceof View) return `dict_${value.kind}([${reprs(value.items())}])`
  if (value instanceof Range) return `range(${value.start}, ${value.stop}${value.step === 1n ? '' : `, ${value.step}`})`
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof Markup) return `Markup(${strRepr(value.text)})`
  if (value instanceof Namespace) return `<Namespace ${dictRepr(value.attributes)}>`
  const printed = value instanceof Instance ? value.options.printed?.() : value instanceof Callable ? value.printed : null
  if (typeof printed === 'string') return printed
  throw new Unsupported(`the address of a ${typeName(value)} as text`)
}

const reprs = (values: Value[]) => paid(values.map(repr).join(', '))
const dictRepr = (dict: Dict) => paid(`{${Array.from(dict.entries(), ([key, value]) => `${repr(key)}: ${repr(value)}`).join(', ')}}`)

// ---------------------------------------------------------------- truth, length, items

export function truth(value: Value): boolean {
  if (value === null || value === undefined) return false
  if (typeof value !== 'object') return Boolean(value)
  if (value instanceof Undefined) return false
  if (value instanceof Iter || value instanceof Namespace || value instanceof Callable) return true
  if (value instanceof Instance) return value.options.size ? value.options.size() > 0 : true
  return lengthOf(value)! > 0
}

/** `len(value)`; null where it has none. */
export function lengthOf(value: Value): number | null {
  if (typeof value === 'string') return pointsOf(value)
  if (value instanceof Markup) return pointsOf(value.text)
  if (Array.isArray(value)) return value.length
  if (value instanceof Tuple) return value.items.length
  if (value instanceof Dict) return value.size
  if (value instanceof View) return value.dict.size
  if (value instanceof Range) return value.size
  if (value instanceof Undefined) return 0
  if (value instanceof Instance) return value.options.size?.() ?? null
  return null
}

export function len(value: Value): number {
  const length = lengthOf(value)
  if (length === null) throw new TemplateError(`object of type '${typeName(value)}' has no len()`)
  return length
}

export function isIterable(value: Value): boolean {
  if (value instanceof Instance || value instanceof Callable || value instanceof Namespace) return false
  return typeof value === 'string' || (typeof value === 'object' && value !== null)
}

/** `iter(value)`; each item is counted as it is taken. */
export function* iterate(value: Value): Generator<Value, undefined> {
  if (!isIterable(value)) throw new TemplateError(`'${typeName(value)}' object is not iterable`)
  if (value instanceof Iter) {
    for (let next = value.source.next(); !next.done; next = value.source.next()) {
      pay()
      yield next.value
    }
    return
  }
  if (value instanceof Range) {
    for (let i = 0; i < value.size; i++) {
      pay()
      yield value.at(i)
    }
    return
  }
  for (const item of itemsOf(value)) {
    pay()
    yield item
  }
}

function itemsOf(value: Value): Iterable<Value> {
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return value
  if (value instanceof Markup) return value.text
  if (value instanceof Tuple) return value.items
  if (value instanceof Dict) return value.keys()
  if (value instanceof View) return value.items()
  return []
}

/** A lazy iterator. */
export const lazily = (source: Generator<Value, undefined>, type?: string) => new Iter(source, type)

// ---------------------------------------------------------------- equality and order

export function equal(a: Value, b: Value): boolean {
  pay()
  // biome-ignore lint/suspicious/noDoubleEquals: an int may equal a float
  if (isNumber(a) && isNumber(b)) return number(a) == number(b)
  const [x, y] = [plain(a), plain(b)]
  if (typeof x === 'string' && typeof y === 'string') {
    payFor(x.length)
    return x === y
  }
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((one, i) => same(one, b[i]))
  if (a instanceof Tuple && b instanceof Tuple) return equal(a.items, b.items)
  if (a instanceof Dict && b instanceof Dict) {
    if (a.size !== b.size) return false
    for (const [key, value] of a.entries()) {
      const other = b.get(key)
      if (other === undefined || !same(value, other)) return false
    }
    return true
  }
  if (a instanceof Undefined && b instanceof Undefined) return true
  if (a instanceof Range && b instanceof Range) {
    const size = a.size
    return size === b.size && (size === 0 || (a.start === b.start && (size === 1 || a.step === b.step)))
  }
  if (a instanceof View && b instanceof View && a !== b) throw new Unsupported(`== between two ${typeName(a)}`)
  return a === b
}

/** Inside a collection an object equals itself, even NaN. */
const same = (a: Value, b: Value) => Object.is(a, b) || equal(a, b)

const plain = (value: Value): Value => (value instanceof Markup ? value.text : value)
export const number = (value: bigint | number | boolean): bigint | number => (typeof value === 'boolean' ? BigInt(value) : value)

/** `a < b`, or `a <= b`. @throws TemplateError for types without an order */
export function less(a: Value, b: Value, orEqual = false): boolean {
  pay()
  if (isNumber(a) && isNumber(b)) return orEqual ? number(a) <= number(b) : number(a) < number(b)
  const [x, y] = [plain(a), plain(b)]
  if (typeof x === 'string' && typeof y === 'string') {
    payFor(Math.min(x.length, y.length))
    const order = compareStrings(x, y)
    return orEqual ? order <= 0 : order < 0
  }
  const sequences = Array.isArray(a) && Array.isArray(b) ? [a, b] : a instanceof Tuple && b instanceof Tuple ? [a.items, b.items] : null
  if (sequences) {
    const [p, q] = sequences
    const at = p.findIndex((one, i) => i >= q.length || !same(one, q[i]))
    if (at >= 0 && at < q.length) return less(p[at], q[at], orEqual)
    return orEqual ? p.length <= q.length : p.length < q.length
  }
  for (const one of [a, b]) if (one instanceof Undefined) throw undefinedError(one)
  const sign = orEqual ? '<=' : '<'
  throw new TemplateError(`'${sign}' is not supported between '${typeName(a)}' and '${typeName(b)}'`)
}

/** Compares by code points; UTF-16 order would put those above U+FFFF before U+E000. */
function compareStrings(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length)
  for (let i = 0; i < shorter; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)]
    if (x === y) continue
    const high = (unit: number) => unit >= 0xd800 && unit < 0xe000
    if (high(x) !== high(y)) return high(x) ? (y >= 0xe000 ? 1 : x - y) : x >= 0xe000 ? -1 : x - y
    return x - y
  }
  return a.length - b.length
}

/** A sorted copy, stable in both directions, as `sorted` returns it. */
export function sorted(values: Value[], key: (value: Value) => Value, reverse = false): Value[] {
  pay(values.length)
  const order = (a: Value, b: Value) => (less(a, b) ? -1 : less(b, a) ? 1 : 0)
  const keyed = values.map((value) => ({ value, key: key(value) }))
  if (keyed.length === 1) return [...values]
  return keyed.sort((a, b) => (reverse ? order(b.key, a.key) : order(a.key, b.key))).map(({ value }) => value)
}

/** `item in container` */
export function contains(container: Value, item: Value): boolean {
  const text = plain(container)
  if (typeof text === 'string') {
    const part = plain(item)
    if (typeof part !== 'string') throw new TemplateError(`'in <string>' requires string as left operand, not ${typeName(item)}`)
    payFor(text.length)
    return text.includes(part)
  }
  if (container instanceof Dict) return container.get(item) !== undefined
  if (container instanceof View && container.kind === 'keys') return container.dict.get(item) !== undefined
  if (!isIterable(container)) throw new TemplateError(`argument of type '${typeName(container)}' is not iterable`)
  for (const one of iterate(container)) if (same(one, item)) return true
  return false
}

/** The identity of a dict key. @throws TemplateError for an unhashable value */
export function hashOf(key: Value): unknown {
  pay()
  if (typeof key === 'string') return `s${key}`
  if (key instanceof Markup) return `s${key.text}`
  if (key === null) return 'None'
  if (isNumber(key)) {
    const value = number(key)
    return typeof value === 'bigint' || !Number.isInteger(value) ? `n${value}` : `n${BigInt(value)}`
  }
  if (key instanceof Tuple) {
    const parts = key.items.map(hashOf)
    if (parts.every((part) => typeof part === 'string')) return paid(`t${parts.map((part) => `${part.length}:${part}`).join('')}`)
    throw new Unsupported('a tuple of objects as the key of a dict')
  }
  if (key instanceof Undefined) return 'Undefined'
  if (Array.isArray(key) || key instanceof Dict || (key instanceof View && key.kind !== 'values'))
    throw new TemplateError(`unhashable type: '${typeName(key)}'`)
  if (key instanceof Range) return `r${repr(key)}`
  return key
}
