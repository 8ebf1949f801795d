/** Jinja's parser: tokens to statements and expressions, with Jinja's precedence, which differs slightly from Python's. */
import { SyntaxProblem, type Token, tokenize } from './lexer.ts'

export interface Arguments {
  positional: Expression[]
  named: [string, Expression][]
  /** `*args` and `**kwargs`. */
  spread: Expression | null
  namedSpread: Expression | null
}

export type Expression =
  | { type: 'constant'; value: null | boolean | string | bigint | number }
  | { type: 'name'; name: string }
  | { type: 'list' | 'tuple'; items: Expression[] }
  | { type: 'dict'; entries: [Expression, Expression][] }
  | { type: 'and' | 'or'; left: Expression; right: Expression }
  | { type: 'not'; value: Expression }
  | { type: 'unary'; sign: string; value: Expression }
  | { type: 'binary'; sign: string; left: Expression; right: Expression }
  | { type: 'concat'; parts: Expression[] }
  | { type: 'compare'; first: Expression; others: { sign: string; value: Expression }[] }
  | { type: 'choice'; test: Expression; yes: Expression; no: Expression | null; line: number }
  | { type: 'attribute'; of: Expression; name: string }
  | { type: 'item'; of: Expression; key: Expression }
  | { type: 'slice'; start: Expression | null; stop: Expression | null; step: Expression | null }
  | { type: 'call'; of: Expression; args: Arguments }
  /** `of` null: filters the content of the enclosing block. */
  | { type: 'filter'; of: Expression | null; name: string; args: Arguments }
  | { type: 'test'; of: Expression; name: string; args: Arguments }

export type Target =
  | { type: 'name'; name: string }
  | { type: 'tuple'; items: Target[] }
  /** `{% set ns.attribute = … %}` */
  | { type: 'member'; name: string; attribute: string }

export interface Signature {
  names: string[]
  /** Of the last names. */
  defaults: Expression[]
}

export type Statement =
  | { type: 'text'; text: string }
  | { type: 'output'; value: Expression }
  | { type: 'set'; target: Target; value: Expression }
  | { type: 'set-block'; target: Target; filter: Expression | null; body: Statement[] }
  | { type: 'if'; branches: { test: Expression; body: Statement[] }[]; otherwise: Statement[] }
  | {
      type: 'for'
      target: Target
      over: Expression
      test: Expression | null
      recursive: boolean
      body: Statement[]
      otherwise: Statement[]
    }
  | { type: 'with'; targets: Target[]; values: Expression[]; body: Statement[] }
  | { type: 'macro'; name: string; signature: Signature; body: Statement[] }
  | { type: 'call-block'; signature: Signature; call: Extract<Expression, { type: 'call' }>; body: Statement[] }
  | { type: 'filter-block'; filter: Expression; body: Statement[] }
  /** transformers' own tag, around what the model itself generates. */
  | { type: 'generation'; body: Statement[] }
  | { type: 'break' | 'continue' }

const constants = new Map<string, null | boolean>([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
])
const comparisons = new Set(['==', '!=', '<', '<=', '>', '>='])
/** Unsupported tags of Jinja, which need other templates or other escaping. */
const unsupported = new Set(['block', 'extends', 'include', 'import', 'from', 'autoescape'])
/** Deepest nesting of expressions and blocks: real templates nest about twenty deep. */
const deepest = 200

/** @throws SyntaxProblem */
export function parse(template: string): Statement[] {
  return new Parser(tokenize(template)).template()
}

class Parser {
  #at = 0
  #depth = 0
  /** Number of loops around the current statement, within the same macro. */
  #loops = 0

  constructor(readonly tokens: Token[]) {}

  template(): Statement[] {
    const body = this.#body([])
    return body
  }

  // -------------------------------------------------------------- tokens

  get #token(): Token {
    return this.tokens[this.#at]
  }

  #fail(what: string): never {
    throw new SyntaxProblem(what, this.#token.line)
  }

  #is(type: Token['type'], value?: string): boolean {
    const token = this.#token
    return token.type === type && (value === undefined || token.value === value)
  }

  #sign = (value: string): boolean => this.#is('sign', value)
  #word = (value: string): boolean => this.#is('name', value)

  #take(): Token {
    const token = this.#token
    if (this.#at < this.tokens.length - 1) this.#at++
    return token
  }

  #skip(type: 'sign' | 'name', value: string): boolean {
    const found = this.#is(type, value)
    if (found) this.#take()
    return found
  }

  #expect(value: string): void {
    if (!this.#skip('sign', value)) this.#fail(`expected '${value}', got '${this.#token.value}'`)
  }

  #name(): string {
    if (this.#token.type !== 'name') this.#fail(`expected a name, got '${this.#token.value}'`)
    return this.#take().value as string
  }

  #nested<T>(work: () => T): T {
    if (++this.#depth > deepest) this.#fail(`it is nested more than ${deepest} levels deep`)
    const result = work()
    this.#depth--
    return result
  }

  // -------------------------------------------------------------- statements

  /** Statements up to a tag of one of these names, which is then the current token. */
  #body(ends: string[]): Statement[] {
    const body: Statement[] = []
    for (;;) {
      const token = this.#token
      if (token.type === 'data') body.push({ type: 'text', text: (this.#take() as Token & { type: 'data' }).value })
      else if (this.#skip('sign', '{{')) {
        body.push({ type: 'output', value: this.#tuple() })
        this.#expect('}}')
      } else if (this.#skip('sign', '{%')) {
        if (this.#token.type === 'name' && ends.includes(this.#token.value)) return body
        body.push(...this.#nested(() => this.#statement()))
        this.#expect('%}')
      } else if (ends.length) this.#fail(`the template ends where ${ends.join(' or ')} is missing`)
      else return body
    }
  }

  /** The body of a tag; consumes its end tag. */
  #block(...ends: string[]): Statement[] {
    const body = this.#openBlock(...ends)
    this.#take()
    return body
  }

  #openBlock(...ends: string[]): Statement[] {
    this.#skip('sign', ':')
    this.#expect('%}')
    return this.#body(ends)
  }

  /** The body of a macro or call: `break` inside it cannot leave a loop outside. */
  #closed(...ends: string[]): Statement[] {
    const loops = this.#loops
    this.#loops = 0
    const body = this.#block(...ends)
    this.#loops = loops
    return body
  }

  #statement(): Statement[] {
    const tag = this.#name()
    switch (tag) {
      case 'set':
        return [this.#set()]
      case 'if':
        return [this.#if()]
      case 'for':
        return [this.#for()]
      case 'with':
        return [this.#with()]
      case 'macro': {
        const name = this.#name()
        return [{ type: 'macro', name, signature: this.#signature(), body: this.#closed('endmacro') }]
      }
      case 'call':
        return [this.#callBlock()]
      case 'filter':
        return [{ type: 'filter-block', filter: this.#filters(null, true), body: this.#block('endfilter') }]
      case 'generation':
        return [{ type: 'generation', body: this.#closed('endgeneration') }]
      case 'print':
        return this.#print()
      case 'break':
      case 'continue':
        if (!this.#loops) this.#fail(`'${tag}' outside a loop`)
        return [{ type: tag }]
      default:
        if (unsupported.has(tag)) this.#fail(`the tag ${tag} is not supported here`)
        return this.#fail(`unknown tag '${tag}'`)
    }
  }

  #set(): Statement {
    const target = this.#target(true)
    if (this.#skip('sign', '=')) return { type: 'set', target, value: this.#tuple() }
    const filter = this.#sign('|') ? this.#filters(null, false) : null
    return { type: 'set-block', target, filter, body: this.#block('endset') }
  }

  #if(): Statement {
    const branches: { test: Expression; body: Statement[] }[] = []
    for (;;) {
      const test = this.#tuple(false)
      branches.push({ test, body: this.#openBlock('elif', 'else', 'endif') })
      const end = this.#name()
      if (end === 'elif') continue
      return { type: 'if', branches, otherwise: end === 'else' ? this.#block('endif') : [] }
    }
  }

  #for(): Statement {
    const target = this.#target(false, 'in')
    if (namesOf(target).includes('loop')) this.#fail("the loop's own name 'loop' cannot be assigned to")
    if (!this.#skip('name', 'in')) this.#fail(`expected 'in', got '${this.#token.value}'`)
    const over = this.#tuple(false, 'recursive')
    const test = this.#skip('name', 'if') ? this.#expression() : null
    const recursive = this.#skip('name', 'recursive')
    this.#loops++
    const body = this.#openBlock('endfor', 'else')
    this.#loops--
    const otherwise = this.#name() === 'else' ? this.#block('endfor') : []
    return { type: 'for', target, over, test, recursive, body, otherwise }
  }

  #with(): Statement {
    const targets: Target[] = []
    const values: Expression[] = []
    while (!this.#sign('%}')) {
      if (targets.length) this.#expect(',')
      targets.push(this.#target(false))
      this.#expect('=')
      values.push(this.#expression())
    }
    return { type: 'with', targets, values, body: this.#block('endwith') }
  }

  #signature(): Signature {
    const names: string[] = []
    const defaults: Expression[] = []
    this.#expect('(')
    while (!this.#sign(')')) {
      if (names.length) this.#expect(',')
      names.push(this.#name())
      if (this.#skip('sign', '=')) defaults.push(this.#expression())
      else if (defaults.length) this.#fail('non-default argument follows default argument')
    }
    this.#expect(')')
    return { names, defaults }
  }

  #callBlock(): Statement {
    const signature = this.#sign('(') ? this.#signature() : { names: [], defaults: [] }
    const call = this.#expression()
    if (call.type !== 'call') return this.#fail('expected a call')
    return { type: 'call-block', signature, call, body: this.#closed('endcall') }
  }

  #print(): Statement[] {
    const outputs: Statement[] = []
    while (!this.#sign('%}')) {
      if (outputs.length) this.#expect(',')
      outputs.push({ type: 'output', value: this.#expression() })
    }
    return outputs
  }

  #target(members: boolean, end?: string): Target {
    const items: Target[] = []
    let isTuple = false
    for (;;) {
      if (items.length) this.#expect(',')
      if (this.#tupleEnds(end)) break
      items.push(this.#oneTarget(members))
      if (!this.#sign(',')) break
      isTuple = true
    }
    if (!isTuple && !items.length) this.#fail(`expected a name, got '${this.#token.value}'`)
    return isTuple ? { type: 'tuple', items } : items[0]
  }

  #oneTarget(members: boolean): Target {
    if (this.#skip('sign', '(')) {
      const target = this.#nested(() => this.#target(members))
      this.#expect(')')
      return target
    }
    const name = this.#name()
    if (constants.has(name)) this.#fail(`cannot assign to '${name}'`)
    if (members && this.#skip('sign', '.')) return { type: 'member', name, attribute: this.#name() }
    return { type: 'name', name }
  }

  // -------------------------------------------------------------- expressions

  #tupleEnds(end?: string): boolean {
    return this.#sign('}}') || this.#sign('%}') || this.#sign(')') || (end !== undefined && this.#word(end))
  }

  /** An expression, or several separated by commas. */
  #tuple(withChoice = true, end?: string, parenthesized = false): Expression {
    const items: Expression[] = []
    let isTuple = false
    for (;;) {
      if (items.length) this.#expect(',')
      if (this.#tupleEnds(end)) break
      items.push(this.#expression(withChoice))
      if (!this.#sign(',')) break
      isTuple = true
    }
    if (!isTuple) {
      if (items.length) return items[0]
      if (!parenthesized) this.#fail(`expected an expression, got '${this.#token.value}'`)
    }
    return { type: 'tuple', items }
  }

  #expression(withChoice = true): Expression {
    return this.#nested(() => (withChoice ? this.#choice() : this.#or()))
  }

  #choice(): Expression {
    let value = this.#or()
    for (let line = this.#token.line; this.#skip('name', 'if'); line = this.#token.line) {
      const test = this.#or()
      const no = this.#skip('name', 'else') ? this.#nested(() => this.#choice()) : null
      value = { type: 'choice', test, yes: value, no, line }
    }
    return value
  }

  #or(): Expression {
    let left = this.#and()
    while (this.#skip('name', 'or')) left = { type: 'or', left, right: this.#and() }
    return left
  }

  #and(): Expression {
    let left = this.#not()
    while (this.#skip('name', 'and')) left = { type: 'and', left, right: this.#not() }
    return left
  }

  #not(): Expression {
    if (this.#skip('name', 'not')) return { type: 'not', value: this.#nested(() => this.#not()) }
    return this.#compare()
  }

  #compare(): Expression {
    const first = this.#sum()
    const others: { sign: string; value: Expression }[] = []
    for (;;) {
      const token = this.#token
      if (token.type === 'sign' && comparisons.has(token.value)) {
        this.#take()
        others.push({ sign: token.value, value: this.#sum() })
      } else if (this.#skip('name', 'in')) others.push({ sign: 'in', value: this.#sum() })
      else if (this.#word('not') && this.#next('in')) {
        this.#take()
        this.#take()
        others.push({ sign: 'not in', value: this.#sum() })
      } else break
    }
    return others.length ? { type: 'compare', first, others } : first
  }

  #next(word: string): boolean {
    const next = this.tokens[this.#at + 1]
    return next?.type === 'name' && next.value === word
  }

  #binary(signs: string[], operand: () => Expression): Expression {
    let left = operand()
    while (this.#token.type === 'sign' && signs.includes(this.#token.value)) {
      const sign = this.#take().value as string
      left = { type: 'binary', sign, left, right: operand() }
    }
    return left
  }

  #sum = (): Expression => this.#binary(['+', '-'], this.#concat)

  #concat = (): Expression => {
    const parts = [this.#product()]
    while (this.#skip('sign', '~')) parts.push(this.#product())
    return parts.length > 1 ? { type: 'concat', parts } : parts[0]
  }

  #product = (): Expression => this.#binary(['*', '/', '//', '%'], this.#power)

  #power = (): Expression => this.#binary(['**'], () => this.#unary())

  /** A sign binds tighter than a power, and a filter tighter than a sign's operand. */
  #unary(withFilters = true): Expression {
    let value: Expression
    if (this.#sign('-') || this.#sign('+')) {
      const sign = this.#take().value as string
      value = { type: 'unary', sign, value: this.#nested(() => this.#unary(false)) }
    } else value = this.#primary()
    value = this.#postfix(value)
    return withFilters ? this.#filtersAndTests(value) : value
  }

  #primary(): Expression {
    const token = this.#token
    if (token.type === 'name') {
      this.#take()
      const constant = constants.get(token.value)
      return constant === undefined ? { type: 'name', name: token.value } : { type: 'constant', value: constant }
    }
    if (token.type === 'string') {
      let value = ''
      while (this.#token.type === 'string') value += this.#take().value
      return { type: 'constant', value }
    }
    if (token.type === 'integer' || token.type === 'float') {
      this.#take()
      return { type: 'constant', value: token.value }
    }
    if (this.#skip('sign', '(')) {
      const value = this.#nested(() => this.#tuple(true, undefined, true))
      this.#expect(')')
      return value
    }
    if (this.#skip('sign', '[')) return { type: 'list', items: this.#items(']', () => this.#expression()) }
    if (this.#skip('sign', '{')) {
      const entries = this.#items('}', (): [Expression, Expression] => {
        const key = this.#expression()
        this.#expect(':')
        return [key, this.#expression()]
      })
      return { type: 'dict', entries }
    }
    return this.#fail(`unexpected '${token.value}'`)
  }

  #items<T>(end: string, item: () => T): T[] {
    const items: T[] = []
    while (!this.#sign(end)) {
      if (items.length) this.#expect(',')
      if (this.#sign(end)) break
      items.push(item())
    }
    this.#expect(end)
    return items
  }

  #postfix(value: Expression): Expression {
    for (;;) {
      if (this.#skip('sign', '.')) value = this.#dotted(value)
      else if (this.#skip('sign', '[')) {
        const keys = this.#items(']', () => this.#subscript())
        if (!keys.length) this.#fail('expected a subscript')
        value = { type: 'item', of: value, key: keys.length === 1 ? keys[0] : { type: 'tuple', items: keys } }
      } else if (this.#sign('(')) value = { type: 'call', of: value, args: this.#arguments() }
      else return value
    }
  }

  #dotted(of: Expression): Expression {
    const token = this.#take()
    if (token.type === 'name') return { type: 'attribute', of, name: token.value }
    if (token.type === 'integer') return { type: 'item', of, key: { type: 'constant', value: token.value } }
    return this.#fail('expected a name or a number after a dot')
  }

  #subscript(): Expression {
    const bound = (): Expression | null => (this.#sign(':') || this.#sign(']') || this.#sign(',') ? null : this.#expression())
    const start = bound()
    if (!this.#skip('sign', ':')) return start ?? this.#fail('expected a subscript')
    const stop = bound()
    const step = this.#skip('sign', ':') ? bound() : null
    return { type: 'slice', start, stop, step }
  }

  #filtersAndTests(value: Expression): Expression {
    for (;;) {
      if (this.#sign('|')) value = this.#filters(value, false)
      else if (this.#skip('name', 'is')) value = this.#test(value)
      else if (this.#sign('(')) value = { type: 'call', of: value, args: this.#arguments() }
      else return value
    }
  }

  #dottedName(): string {
    let name = this.#name()
    while (this.#skip('sign', '.')) name += `.${this.#name()}`
    return name
  }

  /** Filters, `|a|b(c)`; `inline`: the first is written without its bar. */
  #filters(of: Expression | null, inline: boolean): Expression {
    let value = of
    for (let first = inline; first || this.#skip('sign', '|'); first = false) {
      const name = this.#dottedName()
      value = { type: 'filter', of: value, name, args: this.#sign('(') ? this.#arguments() : noArguments }
    }
    return value!
  }

  #test(of: Expression): Expression {
    const negated = this.#skip('name', 'not')
    const name = this.#dottedName()
    let args = noArguments
    const { type, value } = this.#token
    if (this.#sign('(')) args = this.#arguments()
    else if (
      (type === 'name' && value !== 'else' && value !== 'or' && value !== 'and') ||
      type === 'string' ||
      type === 'integer' ||
      type === 'float' ||
      this.#sign('[') ||
      this.#sign('{')
    ) {
      if (this.#word('is')) this.#fail('tests cannot be chained with is')
      args = { ...noArguments, positional: [this.#postfix(this.#primary())] }
    }
    const test: Expression = { type: 'test', of, name, args }
    return negated ? { type: 'not', value: test } : test
  }

  #arguments(): Arguments {
    const args: Arguments = { positional: [], named: [], spread: null, namedSpread: null }
    const ensure = (right: boolean) => {
      if (!right) this.#fail('the arguments of a call are out of order')
    }
    this.#expect('(')
    for (let more = false; !this.#sign(')'); more = true) {
      if (more) {
        this.#expect(',')
        if (this.#sign(')')) break
      }
      const next = this.tokens[this.#at + 1]
      if (this.#skip('sign', '*')) {
        ensure(!args.spread && !args.namedSpread)
        args.spread = this.#expression()
      } else if (this.#skip('sign', '**')) {
        ensure(!args.namedSpread)
        args.namedSpread = this.#expression()
      } else if (this.#token.type === 'name' && next?.type === 'sign' && next.value === '=') {
        ensure(!args.namedSpread)
        const name = this.#name()
        this.#take()
        args.named.push([name, this.#expression()])
      } else {
        ensure(!args.spread && !args.namedSpread && !args.named.length)
        args.positional.push(this.#expression())
      }
    }
    this.#expect(')')
    return args
  }
}

const noArguments: Arguments = { positional: [], named: [], spread: null, namedSpread: null }

export function namesOf(target: Target): string[] {
  return target.type === 'tuple' ? target.items.flatMap(namesOf) : target.type === 'name' ? [target.name] : []
}
