/** The supported methods of Python's types, by type. */
import * as text from './text.ts'
import { type Reach, strFormat } from './fields.ts'
import { pay, payFor, TemplateError, Unsupported } from './meter.ts'
import { type Args, contains, Dict, equal, iterate, Markup, type Range, Tuple, typeName, type Value, View } from './values.ts'
import { bind, integer, string, given } from './arguments.ts'

/** A method of a Python type; `reach`: how it gets at attributes and items of other values. */
type Method<T> = (self: T, args: Args, reach: Reach) => Value

const count = (value: number) => BigInt(value)

/** The part of a text from `start` to `end`, and its position; null when `start` is beyond the text. */
function part(self: string, start: Value | undefined, end: Value | undefined): [string, number] | null {
  if (!given(start) && !given(end)) return [self, 0]
  const size = text.length(self)
  const place = (value: Value | undefined, otherwise: number) => {
    if (!given(value)) return otherwise
    const index = integer(value, 'slice')
    return index < 0 ? Math.max(0, index + size) : index
  }
  const [from, to] = [place(start, 0), Math.min(place(end, size), size)]
  if (from > size || from > to) return null
  return [text.between(self, from, to), from]
}

export function found(name: string, last: boolean): Method<string> {
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
    return text.strip(self, given(chars) ? string(chars, name) : null, left, right)
  }

const parts =
  (name: string, cut: typeof text.split): Method<string> =>
  (self, args) => {
    const [separator, most] = bind(name, ['sep', 'maxsplit'], args)
    const by = given(separator) ? string(separator, name) : null
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

function formatMap(self: string, mapping: Value, reach: Reach): string {
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
  format: (self, { positional, named }, reach) =>
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
  format_map: (self, args, reach) => formatMap(self, bind('format_map', ['mapping'], args, 1)[0]!, reach),
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

const byType: Record<string, Record<string, Method<never>>> = {
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
    count: (self: Tuple, args: Args, reach: Reach) => sequenceMethods.count(self.items, args, reach),
    index: (self: Tuple, args: Args, reach: Reach) => sequenceMethods.index(self.items, args, reach),
  },
  range: {
    count: (self: Range, args: Args) => (contains(self, bind('count', ['value'], args, 1)[0]!) ? 1n : 0n),
    index: (self: Range, args: Args, reach: Reach) => sequenceMethods.index([...iterate(self)], args, reach),
  },
  dict: dictMethods,
}

/** The methods by type; Maps, which inherit no names from JavaScript. */
export const methods = new Map(Object.entries(byType).map(([type, table]) => [type, new Map(Object.entries(table))]))
