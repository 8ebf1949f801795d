/** Access to values in a template: attributes, items, slices, and the supported methods of Python's types. */
import * as text from './text.ts'
import { strFormat } from './fields.ts'
import { paid, pay, payFor, TemplateError, Unsupported } from './meter.ts'
import {
  type Args,
  Callable,
  contains,
  Dict,
  equal,
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
  View,
} from './values.ts'

export class Slice {
  constructor(
    readonly start: Value,
    readonly stop: Value,
    readonly step: Value,
  ) {}
}

// ---------------------------------------------------------------- arguments

/** Binds arguments to parameter names, as Python does. @throws TemplateError for too many, too few, unknown ones */
export function bind(what: string, parameters: string[], { positional, named }: Args, needed = 0): (Value | undefined)[] {
  if (positional.length > parameters.length)
    throw new TemplateError(`${what} takes at most ${parameters.length} arguments (${positional.length} given)`)
  const values: (Value | undefined)[] = parameters.map((_, i) => positional[i])
  for (const [name, value] of named) {
    const at = parameters.indexOf(name)
    if (at < 0) throw new TemplateError(`${what} got an unexpected keyword argument '${name}'`)
    if (values[at] !== undefined) throw new TemplateError(`${what} got multiple values for argument '${name}'`)
    values[at] = value
  }
  const absent = parameters.slice(0, needed).find((_, i) => values[i] === undefined)
  if (absent !== undefined) throw new TemplateError(`${what} missing required argument '${absent}'`)
  return values
}

export function integer(value: Value, what: string): number {
  if (value instanceof Undefined) throw undefinedError(value)
  if (!isInteger(value)) throw new TemplateError(`${what}: '${typeName(value)}' object cannot be interpreted as an integer`)
  return Number(value)
}

function string(value: Value, what: string): string {
  if (typeof value === 'string') return value
  if (value instanceof Markup) throw new Unsupported(`${what} with a text that was marked as safe`)
  throw new TemplateError(`${what} takes a str, not ${typeName(value)}`)
}

const none = (value: Value | undefined): value is null | undefined => value === undefined || value === null

// ---------------------------------------------------------------- attributes and items

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

function at(value: Value, index: number): Value | undefined {
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
      return method(value as never, args)
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

// ---------------------------------------------------------------- methods

type Method<T> = (self: T, args: Args) => Value

const count = (value: number) => BigInt(value)

/** The part of a text from `start` to `end`, and its position; null when `start` is beyond the text. */
function part(self: string, start: Value | undefined, end: Value | undefined): [string, number] | null {
  if (none(start) && none(end)) return [self, 0]
  const size = text.length(self)
  const place = (value: Value | undefined, otherwise: number) => {
    if (none(value)) return otherwise
    const index = integer(value, 'slice')
    return index < 0 ? Math.max(0, index + size) : index
  }
  const [from, to] = [place(start, 0), Math.min(place(end, size), size)]
  if (from > size || from > to) return null
  return [text.between(self, from, to), from]
}

function found(name: string, last: boolean): Method<string> {
  return (self, args) => {
    const [wanted, start, end] = bind(name, ['sub', 'start', 'end'], args, 1)
    const within = part(self, start, end)
    const index = within ? text.find(within[0], string(wanted!, name), last) : -1
    if (index < 0 && name.endsWith('index')) throw new TemplateError('substring not found')
    return count(index < 0 ? -1 : index + within![1])
  }
}

function edge(name: 'startsWith' | 'endsWith'): Method<string> {
  return (self, args) => {
    const called = name.toLowerCase()
    const [wanted, start, end] = bind(called, ['prefix', 'start', 'end'], args, 1)
    const within = part(self, start, end)
    const options = wanted instanceof Tuple ? wanted.items : [wanted!]
    return options.map((one) => string(one, called)).some((one) => within?.[0][name](one) === true)
  }
}

const stripped =
  (name: string, left: boolean, right: boolean): Method<string> =>
  (self, args) => {
    const [chars] = bind(name, ['chars'], args)
    return text.strip(self, none(chars) ? null : string(chars, name), left, right)
  }

const parts =
  (name: string, cut: typeof text.split): Method<string> =>
  (self, args) => {
    const [separator, most] = bind(name, ['sep', 'maxsplit'], args)
    const by = none(separator) ? null : string(separator, name)
    if (by === '') throw new TemplateError('empty separator')
    const result = cut(self, by, most === undefined ? -1 : integer(most, name))
    pay(result.length)
    return result
  }

const padded =
  (name: string, side: 'left' | 'right' | 'both'): Method<string> =>
  (self, args) => {
    const [width, fill] = bind(name, ['width', 'fillchar'], args, 1)
    const by = fill === undefined ? ' ' : string(fill, name)
    if (text.length(by) !== 1) throw new TemplateError('The fill character must be exactly one character long')
    const size = integer(width!, name)
    payFor(size)
    return text.pad(self, size, side, by)
  }

const bare =
  (name: string, make: (self: string) => Value): Method<string> =>
  (self, args) => {
    bind(name, [], args)
    return make(self)
  }

const partitioned =
  (name: string, last: boolean): Method<string> =>
  (self, args) => {
    const separator = string(bind(name, ['sep'], args, 1)[0]!, name)
    if (!separator) throw new TemplateError('empty separator')
    return new Tuple(text.partition(self, separator, last))
  }

const reach = { attribute: attributeOf, item: (value: Value, key: Value) => itemOf(value, key) }

function formatMap(self: string, mapping: Value): string {
  return strFormat(
    self,
    [],
    (name) => {
      const value = mapping instanceof Dict ? mapping.get(name) : undefined
      if (value === undefined) throw new TemplateError(`KeyError: '${name}'`)
      return value
    },
    reach,
  )
}

const strMethods: Record<string, Method<string>> = {
  capitalize: bare('capitalize', text.capitalize),
  center: padded('center', 'both'),
  count: (self, args) => {
    const [wanted, start, end] = bind('count', ['sub', 'start', 'end'], args, 1)
    const within = part(self, start, end)
    return count(within ? text.count(within[0], string(wanted!, 'count')) : 0)
  },
  casefold: bare('casefold', (self) => {
    if (!text.is.ascii(self)) throw new Unsupported('the method casefold of str beyond ASCII')
    return text.lower(self)
  }),
  endswith: edge('endsWith'),
  expandtabs: (self, args) => {
    const [size] = bind('expandtabs', ['tabsize'], args)
    const width = size === undefined ? 8 : integer(size, 'expandtabs')
    payFor(self.length + text.count(self, '\t') * Math.max(0, width))
    return text.expandTabs(self, width)
  },
  find: found('find', false),
  format: (self, { positional, named }) =>
    strFormat(
      self,
      positional,
      (name) => {
        const value = named.get(name)
        if (value === undefined) throw new TemplateError(`KeyError: '${name}'`)
        return value
      },
      reach,
    ),
  format_map: (self, args) => formatMap(self, bind('format_map', ['mapping'], args, 1)[0]!),
  index: found('index', false),
  join: (self, args) => {
    const items = [...iterate(bind('join', ['iterable'], args, 1)[0]!)].map((item, i) => {
      if (item instanceof Markup) throw new Unsupported('join with a text that was marked as safe')
      if (typeof item !== 'string') throw new TemplateError(`sequence item ${i}: expected str instance, ${typeName(item)} found`)
      return item
    })
    payFor(items.reduce((sum, item) => sum + item.length + self.length, 0))
    return items.join(self)
  },
  ljust: padded('ljust', 'right'),
  lower: bare('lower', text.lower),
  lstrip: stripped('lstrip', true, false),
  partition: partitioned('partition', false),
  removeprefix: (self, args) => {
    const prefix = string(bind('removeprefix', ['prefix'], args, 1)[0]!, 'removeprefix')
    return prefix && self.startsWith(prefix) ? self.slice(prefix.length) : self
  },
  removesuffix: (self, args) => {
    const suffix = string(bind('removesuffix', ['suffix'], args, 1)[0]!, 'removesuffix')
    return suffix && self.endsWith(suffix) ? self.slice(0, -suffix.length) : self
  },
  replace: (self, args) => {
    const [old, by, most] = bind('replace', ['old', 'new', 'count'], args, 2)
    return replaced(self, string(old!, 'replace'), string(by!, 'replace'), most === undefined ? -1 : integer(most, 'replace'))
  },
  rfind: found('rfind', true),
  rindex: found('rindex', true),
  rjust: padded('rjust', 'left'),
  rpartition: partitioned('rpartition', true),
  rsplit: parts('rsplit', text.rsplit),
  rstrip: stripped('rstrip', false, true),
  split: parts('split', text.split),
  splitlines: (self, args) => {
    const [keep] = bind('splitlines', ['keepends'], args)
    return text.splitLines(self, keep !== undefined && keep !== false && keep !== 0n)
  },
  startswith: edge('startsWith'),
  strip: stripped('strip', true, true),
  swapcase: bare('swapcase', text.swapCase),
  title: bare('title', text.title),
  upper: bare('upper', text.upper),
  zfill: (self, args) => {
    const width = integer(bind('zfill', ['width'], args, 1)[0]!, 'zfill')
    payFor(width)
    return text.zeroFill(self, width)
  },
}
for (const [kind, test] of Object.entries(text.is)) strMethods[`is${kind}`] = bare(`is${kind}`, test)

/** `str.replace`; its cost is counted before the result is made. */
export function replaced(self: string, old: string, by: string, most: number): string {
  payFor(self.length + text.count(self, old) * by.length)
  return text.replace(self, old, by, most)
}

const sequenceMethods: Record<string, Method<Value[]>> = {
  count: (self, args) => {
    const [wanted] = bind('count', ['value'], args, 1)
    return count(self.filter((one) => equal(one, wanted!)).length)
  },
  index: (self, args) => {
    const [wanted, start, stop] = bind('index', ['value', 'start', 'stop'], args, 1)
    const place = (value: Value | undefined, otherwise: number) => {
      if (value === undefined) return otherwise
      const index = integer(value, 'index')
      return index < 0 ? Math.max(0, index + self.length) : index
    }
    const [from, to] = [place(start, 0), place(stop, self.length)]
    const index = self.findIndex((one, i) => i >= from && i < to && equal(one, wanted!))
    if (index < 0) throw new TemplateError('the value is not in the list')
    return count(index)
  },
}

const dictMethods: Record<string, Method<Dict>> = {
  copy: (self, args) => {
    bind('copy', [], args)
    pay(self.size)
    return Dict.of(self.entries())
  },
  fromkeys: (_, args) => fromKeys(args),
  get: (self, args) => {
    const [key, otherwise] = bind('get', ['key', 'default'], args, 1)
    const value = self.get(key!)
    return value === undefined ? (otherwise ?? null) : value
  },
  items: (self, args) => view('items', self, args),
  keys: (self, args) => view('keys', self, args),
  values: (self, args) => view('values', self, args),
}

function view(kind: 'items' | 'keys' | 'values', self: Dict, args: Args): View {
  bind(kind, [], args)
  return new View(kind, self)
}

export function fromKeys(args: Args): Dict {
  const [keys, value] = bind('fromkeys', ['iterable', 'value'], args, 1)
  return Dict.of(Array.from(iterate(keys!), (key): [Value, Value] => [key, value ?? null]))
}

const byType: Record<string, Record<string, (self: never, args: Args) => Value>> = {
  str: strMethods,
  list: {
    ...sequenceMethods,
    copy: (self: Value[], args: Args) => {
      bind('copy', [], args)
      pay(self.length)
      return [...self]
    },
  },
  tuple: {
    count: (self: Tuple, args: Args) => sequenceMethods.count(self.items, args),
    index: (self: Tuple, args: Args) => sequenceMethods.index(self.items, args),
  },
  range: {
    count: (self: Range, args: Args) => (contains(self, bind('count', ['value'], args, 1)[0]!) ? 1n : 0n),
    index: (self: Range, args: Args) => sequenceMethods.index([...iterate(self)], args),
  },
  dict: dictMethods,
}
/** The methods by type; Maps, which inherit no names from JavaScript. */
const methods = new Map(Object.entries(byType).map(([type, table]) => [type, new Map(Object.entries(table))]))
