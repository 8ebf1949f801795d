/**
 * Chat templates: Jinja2 as transformers sets it up (an immutable sandbox, trim_blocks, lstrip_blocks, break and continue, `tojson`
 * without HTML escapes, `raise_exception`, `strftime_now`, the tag `generation`), read by Python's rules. What is not implemented exactly
 * is refused by name.
 */
import { bind, fromKeys, integer, itemOf, attributeOf, Slice } from './access.ts'
import { applyFilter, applyTest, missing } from './filters.ts'
import { strftime } from './format.ts'
import { binary, compare, unary } from './operations.ts'
import { type Arguments, type Expression, parse, type Signature, type Statement, type Target } from './parser.ts'
import {
  type Args,
  Callable,
  Dict,
  equal,
  Instance,
  iterate,
  Iter,
  lazily,
  lengthOf,
  metered,
  Namespace,
  paid,
  pay,
  Raised,
  Range,
  str,
  TemplateError,
  truth,
  Tuple,
  typeName,
  Undefined,
  undefinedError,
  Unsupported,
  type Value,
} from './values.ts'

export { TemplateError } from './values.ts'

/** A date of the Gregorian calendar. */
export interface Day {
  year: number
  month: number
  day: number
}

/** Deepest recursion of macros; Python stops at about as many. */
const deepest = 200

export class Template {
  readonly #body: Statement[]
  /** Every name that the template reads, including its own. */
  readonly names: ReadonlySet<string>

  /** @throws TemplateError for an invalid template or an unknown feature */
  constructor(source: string) {
    this.#body = parse(source)
    const names = new Set<string>()
    survey(this.#body, names)
    this.names = names
  }

  /**
   * @param context names that the template can read in addition to Jinja's own @param today the date of `strftime_now`, at midnight
   * @throws TemplateError
   */
  render(context: ReadonlyMap<string, Value>, today: Day): string {
    return metered(() => {
      const scope = new Scope(null, new Map([...globals(today), ...context]))
      return new Renderer().text(this.#body, new Scope(scope))
    })
  }
}

// ---------------------------------------------------------------- before rendering

/**
 * Collects the names that are read. An unknown filter or test is an error where Jinja reports it before rendering: everywhere but
 * directly in the branches of an `if`.
 */
function survey(body: Statement[], names: Set<string>, soft = false): void {
  const know = (kind: 'filter' | 'test', name: string, inSoft: boolean) => {
    const problem = inSoft ? null : missing(kind, name)
    if (problem) throw problem
  }
  const args = ({ positional, named, spread, namedSpread }: Arguments, inSoft: boolean) => {
    for (const one of [...positional, ...named.map(([, value]) => value), spread, namedSpread]) if (one) read(one, inSoft)
  }
  const signature = ({ defaults }: Signature) => {
    for (const one of defaults) read(one, false)
  }
  const read = (one: Expression, inSoft: boolean): void => {
    switch (one.type) {
      case 'name':
        names.add(one.name)
        return
      case 'filter':
      case 'test':
        know(one.type, one.name, inSoft)
        if (one.of) read(one.of, inSoft)
        args(one.args, inSoft)
        return
      case 'call':
        read(one.of, inSoft)
        args(one.args, inSoft)
        return
      case 'choice':
        read(one.test, true)
        read(one.yes, true)
        if (one.no) read(one.no, true)
        return
      default:
        for (const part of partsOf(one)) read(part, inSoft)
    }
  }
  const target = (one: Target) => {
    if (one.type === 'member') names.add(one.name)
    if (one.type === 'tuple') one.items.forEach(target)
  }
  for (const one of body) {
    switch (one.type) {
      case 'output':
        read(one.value, soft)
        break
      case 'set':
        read(one.value, soft)
        target(one.target)
        break
      case 'set-block':
        target(one.target)
        if (one.filter) read(one.filter, false)
        survey(one.body, names)
        break
      case 'if':
        for (const branch of one.branches) {
          read(branch.test, true)
          survey(branch.body, names, true)
        }
        survey(one.otherwise, names, true)
        break
      case 'for':
        read(one.over, soft)
        if (one.test) read(one.test, false)
        survey(one.body, names)
        survey(one.otherwise, names)
        break
      case 'with':
        for (const value of one.values) read(value, soft)
        survey(one.body, names)
        break
      case 'macro':
        signature(one.signature)
        survey(one.body, names)
        break
      case 'call-block':
        read(one.call, soft)
        signature(one.signature)
        survey(one.body, names)
        break
      case 'filter-block':
        read(one.filter, false)
        survey(one.body, names)
        break
      case 'generation':
        survey(one.body, names)
    }
  }
}

function partsOf(one: Expression): Expression[] {
  switch (one.type) {
    case 'list':
    case 'tuple':
      return one.items
    case 'dict':
      return one.entries.flat()
    case 'and':
    case 'or':
    case 'binary':
      return [one.left, one.right]
    case 'not':
    case 'unary':
      return [one.value]
    case 'concat':
      return one.parts
    case 'compare':
      return [one.first, ...one.others.map(({ value }) => value)]
    case 'attribute':
      return [one.of]
    case 'item':
      return [one.of, one.key]
    case 'slice':
      return [one.start, one.stop, one.step].filter((part) => part !== null)
    default:
      return []
  }
}

// ---------------------------------------------------------------- names

class Scope {
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

function globals(today: Day): [string, Value][] {
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

function checkMember(name: Value): void {
  if (typeof name === 'string' && name.startsWith('_'))
    throw new TemplateError(`a namespace takes no attribute ${name} that begins with an underscore`)
}

// ---------------------------------------------------------------- loops

/** `loop` within a loop. */
class Loop {
  index0 = -1
  #before: Value | undefined
  #current: Value | undefined
  #after: IteratorResult<Value> | null = null
  #changed: Value[] | null = null
  #size: number | null
  #source: Iterator<Value>

  constructor(
    over: Value,
    source: Iterator<Value>,
    readonly depth0: number,
    readonly again: ((over: Value, depth0: number) => string) | null,
  ) {
    this.#source = source
    this.#size = lengthOf(over)
  }

  next(): boolean {
    const result = this.#peek()
    this.#after = null
    if (result.done) return false
    this.index0++
    this.#before = this.#current
    this.#current = result.value
    return true
  }

  get item(): Value {
    return this.#current!
  }

  #peek(): IteratorResult<Value> {
    this.#after ??= this.#source.next()
    return this.#after
  }

  /** The length of a generator is known only after it is consumed. */
  #length(): number {
    if (this.#size === null) {
      const ahead = this.#after
      const rest = [...iterate(new Iter(this.#source))]
      this.#source = rest.values()
      this.#size = rest.length + this.index0 + 1 + (ahead && !ahead.done ? 1 : 0)
    }
    return this.#size
  }

  value(): Instance {
    const whole = (number: number) => BigInt(number)
    const attributes: Record<string, () => Value> = {
      index: () => whole(this.index0 + 1),
      index0: () => whole(this.index0),
      revindex: () => whole(this.#length() - this.index0),
      revindex0: () => whole(this.#length() - this.index0 - 1),
      first: () => this.index0 === 0,
      last: () => this.#peek().done === true,
      length: () => whole(this.#length()),
      depth: () => whole(this.depth0 + 1),
      depth0: () => whole(this.depth0),
      previtem: () => this.#before ?? (this.index0 ? null : new Undefined('there is no previous item')),
      nextitem: () => {
        const next = this.#peek()
        return next.done ? new Undefined('there is no next item') : next.value
      },
      cycle: () => new Callable('cycle', ({ positional }) => this.#cycle(positional)),
      changed: () => new Callable('changed', ({ positional }) => this.#isChanged(positional)),
    }
    return new Instance('LoopContext', (name) => (Object.hasOwn(attributes, name) ? attributes[name]() : undefined), {
      printed: () => `<LoopContext ${this.index0 + 1}/${this.#length()}>`,
      size: () => this.#length(),
      call: (args) => {
        if (!this.again) throw new TemplateError("The loop must have the 'recursive' marker to be called recursively.")
        return this.again(bind('loop', ['iterable'], args, 1)[0]!, this.depth0 + 1)
      },
    })
  }

  #cycle(items: Value[]): Value {
    if (!items.length) throw new TemplateError('no items for cycling given')
    return items[this.index0 % items.length]
  }

  #isChanged(values: Value[]): boolean {
    if (this.#changed && equal(this.#changed, values)) return false
    this.#changed = values
    return true
  }
}

class Leave extends Error {
  constructor(readonly how: 'break' | 'continue') {
    super(how)
  }
}

// ---------------------------------------------------------------- rendering

class Renderer {
  #depth = 0

  text(body: Statement[], scope: Scope): string {
    const out: string[] = []
    this.#run(body, scope, out)
    return paid(out.join(''))
  }

  #run(body: Statement[], scope: Scope, out: string[]): void {
    for (const one of body) this.#statement(one, scope, out)
  }

  #statement(one: Statement, scope: Scope, out: string[]): void {
    pay()
    switch (one.type) {
      case 'text':
        out.push(paid(one.text))
        return
      case 'output':
        out.push(paid(str(this.value(one.value, scope))))
        return
      case 'set':
        this.#assign(one.target, this.value(one.value, scope), scope)
        return
      case 'set-block': {
        const text = this.text(one.body, new Scope(scope))
        this.#assign(one.target, one.filter ? this.#filtered(one.filter, text, scope) : text, scope)
        return
      }
      case 'if': {
        const branch = one.branches.find(({ test }) => truth(this.value(test, scope)))
        this.#run(branch ? branch.body : one.otherwise, scope, out)
        return
      }
      case 'for':
        out.push(this.#loop(one, scope, this.value(one.over, scope), 0))
        return
      case 'with': {
        const inner = new Scope(scope)
        for (const [i, target] of one.targets.entries()) this.#assign(target, this.value(one.values[i], scope), inner)
        this.#run(one.body, inner, out)
        return
      }
      case 'macro':
        scope.values.set(one.name, this.#macro(one.name, one.signature, one.body, scope))
        return
      case 'call-block': {
        const caller = this.#macro('caller', one.signature, one.body, scope)
        const args = this.#args(one.call.args, scope)
        args.named.set('caller', caller)
        out.push(str(this.#call(this.value(one.call.of, scope), args)))
        return
      }
      case 'filter-block':
        out.push(str(this.#filtered(one.filter, this.text(one.body, new Scope(scope)), scope)))
        return
      case 'generation':
        out.push(this.text(one.body, new Scope(scope)))
        return
      default:
        throw new Leave(one.type)
    }
  }

  #assign(target: Target, value: Value, scope: Scope): void {
    if (target.type === 'name') scope.values.set(target.name, value)
    else if (target.type === 'member') {
      const space = this.#name(target.name, scope)
      if (!(space instanceof Namespace)) throw new TemplateError('cannot assign attribute on non-namespace object')
      checkMember(target.attribute)
      space.attributes.set(target.attribute, value)
    } else {
      const { items } = target
      const values = [...iterate(value)]
      if (values.length !== items.length) {
        const few = values.length < items.length
        throw new TemplateError(`${few ? 'not enough' : 'too many'} values to unpack (expected ${items.length}, got ${values.length})`)
      }
      for (const [i, item] of items.entries()) this.#assign(item, values[i], scope)
    }
  }

  #loop(one: Extract<Statement, { type: 'for' }>, scope: Scope, over: Value, depth0: number): string {
    const out: string[] = []
    const again = one.recursive ? (inner: Value, depth: number) => this.#deeper(() => this.#loop(one, scope, inner, depth)) : null
    const source = one.test ? lazily(this.#chosen(one, scope, over)) : over
    const loop = new Loop(source, iterate(source), depth0, again)
    const value = loop.value()
    while (loop.next()) {
      const inner = new Scope(scope)
      inner.values.set('loop', value)
      this.#assign(one.target, loop.item, inner)
      try {
        this.#run(one.body, inner, out)
      } catch (error) {
        if (!(error instanceof Leave)) throw error
        if (error.how === 'break') break
      }
    }
    if (loop.index0 < 0) this.#run(one.otherwise, new Scope(scope), out)
    return paid(out.join(''))
  }

  *#chosen(one: Extract<Statement, { type: 'for' }>, scope: Scope, over: Value): Generator<Value, undefined> {
    for (const item of iterate(over)) {
      const inner = new Scope(scope)
      this.#assign(one.target, item, inner)
      if (truth(this.value(one.test!, inner))) yield item
    }
  }

  #deeper<T>(work: () => T): T {
    if (++this.#depth > deepest) throw new TemplateError(`it calls itself more than ${deepest} levels deep`)
    try {
      return work()
    } finally {
      this.#depth--
    }
  }

  #macro(name: string, { names, defaults }: Signature, body: Statement[], scope: Scope): Callable {
    const read = new Set<string>()
    survey(body, read, true)
    const call = ({ positional, named }: Args): string => {
      const inner = new Scope(scope)
      const rest = new Map(named)
      const given = names.map((parameter, i) => {
        if (i < positional.length) return positional[i]
        const value = rest.get(parameter)
        rest.delete(parameter)
        return value
      })
      if (read.has('caller') && !names.includes('caller')) {
        inner.values.set('caller', rest.get('caller') ?? new Undefined('No caller defined'))
        rest.delete('caller')
      }
      if (read.has('kwargs') && !names.includes('kwargs')) inner.values.set('kwargs', Dict.of(rest))
      else if (rest.size) throw new TemplateError(`macro '${name}' takes no keyword argument '${rest.keys().next().value}'`)
      if (read.has('varargs') && !names.includes('varargs')) inner.values.set('varargs', new Tuple(positional.slice(names.length)))
      else if (positional.length > names.length) throw new TemplateError(`macro '${name}' takes not more than ${names.length} argument(s)`)
      for (const [i, parameter] of names.entries()) {
        const otherwise = defaults[i - names.length + defaults.length]
        const absent = () => (otherwise ? this.value(otherwise, inner) : new Undefined(`parameter '${parameter}' was not provided`))
        inner.values.set(parameter, given[i] === undefined ? absent() : given[i])
      }
      return this.#deeper(() => this.text(body, inner))
    }
    const attributes = new Map<string, Value>([
      ['name', name],
      ['arguments', new Tuple(names)],
    ])
    return new Callable(name, call, `<Macro '${name}'>`, attributes)
  }

  // -------------------------------------------------------------- expressions

  #name(name: string, scope: Scope): Value {
    const value = scope.get(name)
    if (value !== undefined) return value
    if (name === 'self') throw new Unsupported('the name self')
    return new Undefined(`'${name}' is undefined`)
  }

  #filtered(filter: Expression, text: string, scope: Scope): Value {
    if (filter.type !== 'filter') return text
    const of = filter.of ? this.#filtered(filter.of, text, scope) : text
    return applyFilter(filter.name, of, this.#args(filter.args, scope))
  }

  value(one: Expression, scope: Scope): Value {
    pay()
    switch (one.type) {
      case 'constant':
        return one.value
      case 'name':
        return this.#name(one.name, scope)
      case 'list':
        return one.items.map((item) => this.value(item, scope))
      case 'tuple':
        return new Tuple(one.items.map((item) => this.value(item, scope)))
      case 'dict':
        return Dict.of(one.entries.map(([key, value]): [Value, Value] => [this.value(key, scope), this.value(value, scope)]))
      case 'and': {
        const left = this.value(one.left, scope)
        return truth(left) ? this.value(one.right, scope) : left
      }
      case 'or': {
        const left = this.value(one.left, scope)
        return truth(left) ? left : this.value(one.right, scope)
      }
      case 'not':
        return !truth(this.value(one.value, scope))
      case 'unary':
        return unary(one.sign, this.value(one.value, scope))
      case 'binary':
        return binary(one.sign, this.value(one.left, scope), this.value(one.right, scope))
      case 'concat':
        return paid(one.parts.map((part) => str(this.value(part, scope))).join(''))
      case 'compare':
        return this.#compared(one, scope)
      case 'choice':
        if (truth(this.value(one.test, scope))) return this.value(one.yes, scope)
        if (one.no) return this.value(one.no, scope)
        return new Undefined(`the inline if-expression on line ${one.line} evaluated to false and no else section was defined.`)
      case 'attribute':
        return attributeOf(this.value(one.of, scope), one.name)
      case 'item':
        return itemOf(this.value(one.of, scope), one.key.type === 'slice' ? this.#slice(one.key, scope) : this.value(one.key, scope))
      case 'slice':
        throw new Unsupported('a slice among several subscripts')
      case 'call':
        return this.#call(this.value(one.of, scope), this.#args(one.args, scope))
      case 'filter':
        return applyFilter(one.name, this.value(one.of!, scope), this.#args(one.args, scope))
      case 'test':
        return applyTest(one.name, this.value(one.of, scope), this.#args(one.args, scope))
    }
  }

  #compared({ first, others }: Extract<Expression, { type: 'compare' }>, scope: Scope): boolean {
    let left = this.value(first, scope)
    for (const { sign, value } of others) {
      const right = this.value(value, scope)
      if (!compare(sign, left, right)) return false
      left = right
    }
    return true
  }

  #slice({ start, stop, step }: Extract<Expression, { type: 'slice' }>, scope: Scope): Slice {
    const bound = (one: Expression | null) => (one ? this.value(one, scope) : null)
    return new Slice(bound(start), bound(stop), bound(step))
  }

  #args({ positional, named, spread, namedSpread }: Arguments, scope: Scope): Args {
    const args: Args = { positional: positional.map((one) => this.value(one, scope)), named: new Map() }
    for (const [name, value] of named) {
      if (args.named.has(name)) throw new TemplateError(`keyword argument repeated: ${name}`)
      args.named.set(name, this.value(value, scope))
    }
    if (spread) args.positional.push(...iterate(this.value(spread, scope)))
    if (namedSpread) {
      const more = this.value(namedSpread, scope)
      if (!(more instanceof Dict)) throw new TemplateError('argument after ** must be a mapping')
      for (const [name, value] of more.entries()) {
        if (typeof name !== 'string') throw new TemplateError('keywords must be strings')
        if (args.named.has(name)) throw new TemplateError(`got multiple values for keyword argument '${name}'`)
        args.named.set(name, value)
      }
    }
    return args
  }

  #call(what: Value, args: Args): Value {
    pay()
    if (what instanceof Callable) return what.call(args)
    if (what instanceof Instance && what.options.call) return what.options.call(args)
    if (what instanceof Undefined) throw undefinedError(what)
    throw new TemplateError(`'${typeName(what)}' object is not callable`)
  }
}
