/** Access to values in a template: attributes, items and slices. */
import * as text from './text.ts'
import type { Reach } from './fields.ts'
import { paid, pay, payFor, TemplateError, Unsupported } from './meter.ts'
import {
  Callable,
  Dict,
  Instance,
  isInteger,
  isNumber,
  iterate,
  Markup,
  Namespace,
  number,
  Range,
  Tuple,
  typeName,
  Undefined,
  undefinedError,
  type Value,
} from './values.ts'
import { methods } from './methods.ts'

export class Slice {
  constructor(
    readonly start: Value,
    readonly stop: Value,
    readonly step: Value,
  ) {}
}

function kindOf(value: Value): string {
  return value === null ? 'None' : `${typeName(value)} object`
}

const absent = (value: Value, name: string) => new Undefined(`'${kindOf(value)}' has no attribute '${name}'`)

/** `value.name`: looks for an attribute, then for an item. */
export function attributeOf(value: Value, name: string): Value {
  const own = ownAttribute(value, name)
  if (own !== undefined) return own
  const item = value instanceof Dict ? value.get(name) : undefined
  return item === undefined ? absent(value, name) : item
}

/** `value[key]`: looks for an item, then for an attribute. */
export function itemOf(value: Value, key: Value | Slice): Value {
  if (value instanceof Undefined) throw undefinedError(value)
  if (key instanceof Slice) return sliceOf(value, key)
  if (value instanceof Dict && !Array.isArray(key) && !(key instanceof Dict)) {
    const found = value.get(key)
    if (found !== undefined) return found
  } else if (isInteger(key)) {
    const found = at(value, Number(key))
    if (found !== undefined) return found
  }
  if (typeof key !== 'string') return new Undefined(`${kindOf(value)} has no such element`)
  const own = ownAttribute(value, key)
  return own === undefined ? absent(value, key) : own
}

export function at(value: Value, index: number): Value | undefined {
  if (typeof value === 'string' || value instanceof Markup) {
    const whole = typeof value === 'string' ? value : value.text
    const size = text.length(whole)
    const place = index < 0 ? index + size : index
    if (place < 0 || place >= size) return undefined
    payFor(whole.length)
    const one = text.between(whole, place, place + 1)
    return typeof value === 'string' ? one : new Markup(one)
  }
  if (value instanceof Range) {
    const place = index < 0 ? index + value.size : index
    return place < 0 || place >= value.size ? undefined : value.at(place)
  }
  const items = Array.isArray(value) ? value : value instanceof Tuple ? value.items : null
  return items?.at(index)
}

function sliceOf(value: Value, slice: Slice): Value {
  const whole = value instanceof Markup ? value.text : value
  const items =
    typeof whole === 'string'
      ? text.points(whole)
      : whole instanceof Tuple
        ? whole.items
        : whole instanceof Range
          ? [...iterate(whole)]
          : whole
  if (!Array.isArray(items)) throw new Unsupported(`a slice of a ${typeName(value)}`)
  const { start, stop, step } = slice
  if ([start, stop, step].some((one) => one !== null && !isInteger(one))) throw new Unsupported('a slice by values that are not integers')
  const stride = step === null ? 1 : Number(step)
  if (stride === 0) throw new TemplateError('slice step cannot be zero')
  pay(items.length / 8)
  const bound = (given: Value, otherwise: number) => {
    if (given === null) return otherwise
    const place = Number(given) < 0 ? Number(given) + items.length : Number(given)
    return stride > 0 ? Math.min(Math.max(place, 0), items.length) : Math.min(Math.max(place, -1), items.length - 1)
  }
  const [from, to] = [bound(start, stride > 0 ? 0 : items.length - 1), bound(stop, stride > 0 ? items.length : -1)]
  const taken: Value[] = []
  for (let i = from; stride > 0 ? i < to : i > to; i += stride) taken.push(items[i])
  if (typeof whole === 'string') return value instanceof Markup ? new Markup(taken.join('')) : paid(taken.join(''))
  if (whole instanceof Range) throw new Unsupported('a slice of a range')
  return Array.isArray(value) ? taken : new Tuple(taken)
}

/** What `getattr` finds by Python's types; undefined where there is no such attribute. */
export function ownAttribute(value: Value, name: string): Value | undefined {
  if (value instanceof Undefined) throw undefinedError(value)
  if (value instanceof Namespace) return value.attributes.get(name)
  if (value instanceof Instance) return value.attribute(name)
  if (value instanceof Callable) return value.attributes.get(name)
  if (/^__\w+__$/.test(name)) return unsafe(value, name)
  const type = typeName(value)
  if (value instanceof Tuple && value.names.includes(name)) return value.items[value.names.indexOf(name)]
  if (type === 'range' && value instanceof Range && (name === 'start' || name === 'stop' || name === 'step')) return value[name]
  if (isNumber(value)) return numberAttribute(value, name)
  if (unsafeMethods[type]?.has(name)) return unsafe(value, name)
  const method = methods.get(type)?.get(name)
  if (method) {
    return new Callable(name, (args) => {
      if (args.named.size && !keyworded.has(name)) throw new TemplateError(`${name}() takes no keyword arguments`)
      return method(value as never, args, reach)
    })
  }
  if (unread[type]?.has(name)) throw new Unsupported(`the method ${name} of ${type}`)
  return undefined
}

function unsafe(value: Value, name: string): Undefined {
  return new Undefined(`access to attribute '${name}' of '${typeName(value)}' object is unsafe.`)
}

function numberAttribute(value: bigint | number | boolean, name: string): Value | undefined {
  const exact = number(value)
  if (name === 'real') return exact
  if (name === 'imag') return typeof exact === 'bigint' ? 0n : 0
  if (typeof exact === 'bigint' && name === 'numerator') return exact
  if (typeof exact === 'bigint' && name === 'denominator') return 1n
  if (typeof exact === 'number' && name === 'is_integer') return new Callable(name, () => Number.isInteger(exact))
  if (typeof exact === 'bigint' && name === 'bit_length')
    return new Callable(name, () => (exact === 0n ? 0n : BigInt((exact < 0n ? -exact : exact).toString(2).length)))
  const others = ['as_integer_ratio', 'conjugate', 'from_bytes', 'to_bytes', 'bit_count', 'fromhex', 'hex', 'is_integer', 'bit_length']
  if (others.includes(name)) throw new Unsupported(`the method ${name} of ${typeName(value)}`)
  return undefined
}

const words = (list: string) => new Set(list.split(' '))

/** Methods that change a value, which the immutable sandbox forbids. */
const unsafeMethods: Record<string, Set<string>> = {
  list: words('append clear pop reverse insert sort extend remove'),
  dict: words('clear pop popitem setdefault update'),
}

/** Methods that also accept named arguments. */
const keyworded = words('expandtabs format rsplit split splitlines')

/** Methods that Python has and this implementation does not. */
const unread: Record<string, Set<string>> = {
  str: words('encode maketrans translate'),
  Markup: words(
    'capitalize casefold center count encode endswith escape expandtabs find format format_map index isalnum isalpha isascii isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip maketrans partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip striptags swapcase title translate unescape upper zfill',
  ),
  dict_keys: words('isdisjoint mapping'),
  dict_values: words('mapping'),
  dict_items: words('isdisjoint mapping'),
  generator: words('close gi_code gi_frame gi_running gi_suspended gi_yieldfrom send throw'),
}

export const reach: Reach = { attribute: attributeOf, item: (value: Value, key: Value) => itemOf(value, key) }
