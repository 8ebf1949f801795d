/**
 * Chat templates: Jinja2 as transformers sets it up (an immutable sandbox, trim_blocks, lstrip_blocks, break and continue, `tojson`
 * without HTML escapes, `raise_exception`, `strftime_now`, the tag `generation`), read by Python's rules. What is not implemented exactly
 * is refused by name.
 */
import { attributeOf, itemOf, Slice } from './access.ts'
import { applyFilter } from './filters.ts'
import { applyTest } from './tests.ts'
import { checkMember, type Day, globals, Scope } from './globals.ts'
import { Leave, Loop } from './loops.ts'
import { metered, paid, pay, TemplateError, Unsupported } from './meter.ts'
import { binary, compare, unary } from './operations.ts'
import { parse } from './parser.ts'
import type { Arguments, Expression, Signature, Statement, Target } from './syntax.ts'
import { survey } from './survey.ts'
import {
  type Args,
  Callable,
  Dict,
  Instance,
  iterate,
  lazily,
  Namespace,
  str,
  truth,
  Tuple,
  typeName,
  Undefined,
  undefinedError,
  type Value,
} from './values.ts'

export type { Day } from './globals.ts'
export { Raised, TemplateError } from './meter.ts'

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
