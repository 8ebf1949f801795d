/** The names that every template knows, and where names are looked up. */
import { bind, integer } from './arguments.ts'
import { fromKeys } from './methods.ts'
import { strftime } from './dates.ts'
import { Raised, TemplateError, Unsupported } from './meter.ts'
import { type Args, Callable, Dict, Instance, iterate, Namespace, Range, str, Tuple, typeName, type Value } from './values.ts'

/** A date of the Gregorian calendar. */
export interface Day {
  year: number
  month: number
  day: number
}

export class Scope {
  constructor(
    readonly parent: Scope | null,
    readonly values = new Map<string, Value>(),
  ) {}

  get(name: string): Value | undefined {
    for (let scope: Scope | null = this; scope; scope = scope.parent) {
      const value = scope.values.get(name)
      if (value !== undefined) return value
    }
    return undefined
  }
}

/** Limit of the sandbox for the length of `range`. */
const mostCounted = 100_000

export function globals(today: Day): [string, Value][] {
  const functions: Record<string, (args: Args) => Value> = {
    range: (args) => {
      if (args.named.size) throw new TemplateError('range() takes no keyword arguments')
      const [first, second, third = 1n] = bind('range', ['start', 'stop', 'step'], args, 1)
      const numbers = [second === undefined ? 0n : first!, second === undefined ? first! : second, third].map((one) => {
        integer(one, 'range')
        return BigInt(one as bigint | boolean)
      })
      if (numbers[2] === 0n) throw new TemplateError('range() arg 3 must not be zero')
      const range = new Range(numbers[0], numbers[1], numbers[2])
      if (!(range.size <= mostCounted)) throw new TemplateError(`range() is longer than ${mostCounted}`)
      return range
    },
    raise_exception: (args) => {
      throw new Raised(str(bind('raise_exception', ['message'], args, 1)[0]!))
    },
    strftime_now: (args) => {
      const [format] = bind('strftime_now', ['format'], args, 1)
      if (typeof format !== 'string') throw new TemplateError(`strftime() argument 1 must be str, not ${typeName(format!)}`)
      return strftime(format, today.year, today.month, today.day)
    },
    namespace: (args) => {
      const attributes = makeDict(args)
      for (const name of attributes.keys()) checkMember(name)
      return new Namespace(attributes)
    },
    cycler: ({ positional, named }) => {
      if (named.size || !positional.length) throw new TemplateError('at least one item has to be provided')
      return cycler(positional)
    },
    joiner: (args) => {
      const [separator = ', '] = bind('joiner', ['sep'], args)
      let used = false
      const call = () => {
        const before = used
        used = true
        return before ? separator : ''
      }
      return new Instance('Joiner', (name) => (name === 'sep' ? separator : name === 'used' ? used : undefined), { call })
    },
    lipsum: () => {
      throw new Unsupported('the function lipsum, which draws words at random')
    },
  }
  const dict = new Instance('TemplateDict', (name) => (name === 'fromkeys' ? new Callable(name, fromKeys) : undefined), { call: makeDict })
  return [...Object.entries(functions).map(([name, call]): [string, Value] => [name, new Callable(name, call)]), ['dict', dict]]
}

/** As `dict(mapping or pairs, **named)`. */
function makeDict({ positional, named }: Args): Dict {
  if (positional.length > 1) throw new TemplateError(`dict expected at most 1 argument, got ${positional.length}`)
  const dict = new Dict()
  const [from] = positional
  if (from instanceof Dict) for (const [key, value] of from.entries()) dict.set(key, value)
  else if (from !== undefined) {
    for (const pair of iterate(from)) {
      const items = [...iterate(pair)]
      if (items.length !== 2) throw new TemplateError(`dictionary update sequence element has length ${items.length}; 2 is required`)
      dict.set(items[0], items[1])
    }
  }
  for (const [name, value] of named) dict.set(name, value)
  return dict
}

function cycler(items: Value[]): Value {
  let at = 0
  const next = new Callable('next', (args) => {
    bind('next', [], args)
    const item = items[at]
    at = (at + 1) % items.length
    return item
  })
  const reset = new Callable('reset', (args) => {
    bind('reset', [], args)
    at = 0
    return null
  })
  return new Instance('Cycler', (name) => {
    if (name === 'next') return next
    if (name === 'reset') return reset
    if (name === 'current') return items[at]
    if (name === 'pos') return BigInt(at)
    return name === 'items' ? new Tuple(items) : undefined
  })
}

export function checkMember(name: Value): void {
  if (typeof name === 'string' && name.startsWith('_'))
    throw new TemplateError(`a namespace takes no attribute ${name} that begins with an underscore`)
}
