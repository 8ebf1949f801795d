/** Expressions of a template, with Jinja's precedence, which differs slightly from Python's. */
import { Reading } from './reading.ts'
import type { Arguments, Expression } from './syntax.ts'

export const constants = new Map<string, null | boolean>([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
])
const comparisons = new Set(['==', '!=', '<', '<=', '>', '>='])
const noArguments: Arguments = { positional: [], named: [], spread: null, namedSpread: null }

export class Expressions extends Reading {
  protected tupleEnds(end?: string): boolean {
    return this.sign('}}') || this.sign('%}') || this.sign(')') || (end !== undefined && this.word(end))
  }

  /** An expression, or several separated by commas. */
  protected tuple(withChoice = true, end?: string, parenthesized = false): Expression {
    const items: Expression[] = []
    let isTuple = false
    for (;;) {
      if (items.length) this.expect(',')
      if (this.tupleEnds(end)) break
      items.push(this.expression(withChoice))
      if (!this.sign(',')) break
      isTuple = true
    }
    if (!isTuple) {
      if (items.length) return items[0]
      if (!parenthesized) this.fail(`expected an expression, got '${this.token.value}'`)
    }
    return { type: 'tuple', items }
  }

  protected expression(withChoice = true): Expression {
    return this.nested(() => (withChoice ? this.#choice() : this.#or()))
  }

  #choice(): Expression {
    let value = this.#or()
    for (let line = this.token.line; this.skip('name', 'if'); line = this.token.line) {
      const test = this.#or()
      const no = this.skip('name', 'else') ? this.nested(() => this.#choice()) : null
      value = { type: 'choice', test, yes: value, no, line }
    }
    return value
  }

  #or(): Expression {
    let left = this.#and()
    while (this.skip('name', 'or')) left = { type: 'or', left, right: this.#and() }
    return left
  }

  #and(): Expression {
    let left = this.#not()
    while (this.skip('name', 'and')) left = { type: 'and', left, right: this.#not() }
    return left
  }

  #not(): Expression {
    if (this.skip('name', 'not')) return { type: 'not', value: this.nested(() => this.#not()) }
    return this.#compare()
  }

  #compare(): Expression {
    const first = this.#sum()
    const others: { sign: string; value: Expression }[] = []
    for (;;) {
      const token = this.token
      if (token.type === 'sign' && comparisons.has(token.value)) {
        this.take()
        others.push({ sign: token.value, value: this.#sum() })
      } else if (this.skip('name', 'in')) others.push({ sign: 'in', value: this.#sum() })
      else if (this.word('not') && this.next('name', 'in')) {
        this.take()
        this.take()
        others.push({ sign: 'not in', value: this.#sum() })
      } else break
    }
    return others.length ? { type: 'compare', first, others } : first
  }

  #binary(signs: string[], operand: () => Expression): Expression {
    let left = operand()
    while (this.token.type === 'sign' && signs.includes(this.token.value)) {
      const sign = this.take().value as string
      left = { type: 'binary', sign, left, right: operand() }
    }
    return left
  }

  #sum = (): Expression => this.#binary(['+', '-'], this.#concat)

  #concat = (): Expression => {
    const parts = [this.#product()]
    while (this.skip('sign', '~')) parts.push(this.#product())
    return parts.length > 1 ? { type: 'concat', parts } : parts[0]
  }

  #product = (): Expression => this.#binary(['*', '/', '//', '%'], this.#power)

  #power = (): Expression => this.#binary(['**'], () => this.#unary())

  /** A sign binds tighter than a power, and a filter tighter than a sign's operand. */
  #unary(withFilters = true): Expression {
    let value: Expression
    if (this.sign('-') || this.sign('+')) {
      const sign = this.take().value as string
      value = { type: 'unary', sign, value: this.nested(() => this.#unary(false)) }
    } else value = this.#primary()
    value = this.#postfix(value)
    return withFilters ? this.#filtersAndTests(value) : value
  }

  #primary(): Expression {
    const token = this.token
    if (token.type === 'name') {
      this.take()
      const constant = constants.get(token.value)
      return constant === undefined ? { type: 'name', name: token.value } : { type: 'constant', value: constant }
    }
    if (token.type === 'string') {
      let value = ''
      while (this.token.type === 'string') value += this.take().value
      return { type: 'constant', value }
    }
    if (token.type === 'integer' || token.type === 'float') {
      this.take()
      return { type: 'constant', value: token.value }
    }
    if (this.skip('sign', '(')) {
      const value = this.nested(() => this.tuple(true, undefined, true))
      this.expect(')')
      return value
    }
    if (this.skip('sign', '[')) return { type: 'list', items: this.#items(']', () => this.expression()) }
    if (this.skip('sign', '{')) {
      const entries = this.#items('}', (): [Expression, Expression] => {
        const key = this.expression()
        this.expect(':')
        return [key, this.expression()]
      })
      return { type: 'dict', entries }
    }
    return this.fail(`unexpected '${token.value}'`)
  }

  #items<T>(end: string, item: () => T): T[] {
    const items: T[] = []
    while (!this.sign(end)) {
      if (items.length) this.expect(',')
      if (this.sign(end)) break
      items.push(item())
    }
    this.expect(end)
    return items
  }

  #postfix(value: Expression): Expression {
    for (;;) {
      if (this.skip('sign', '.')) value = this.#dotted(value)
      else if (this.skip('sign', '[')) {
        const keys = this.#items(']', () => this.#subscript())
        if (!keys.length) this.fail('expected a subscript')
        value = { type: 'item', of: value, key: keys.length === 1 ? keys[0] : { type: 'tuple', items: keys } }
      } else if (this.sign('(')) value = { type: 'call', of: value, args: this.#arguments() }
      else return value
    }
  }

  #dotted(of: Expression): Expression {
    const token = this.take()
    if (token.type === 'name') return { type: 'attribute', of, name: token.value }
    if (token.type === 'integer') return { type: 'item', of, key: { type: 'constant', value: token.value } }
    return this.fail('expected a name or a number after a dot')
  }

  #subscript(): Expression {
    const bound = (): Expression | null => (this.sign(':') || this.sign(']') || this.sign(',') ? null : this.expression())
    const start = bound()
    if (!this.skip('sign', ':')) return start ?? this.fail('expected a subscript')
    const stop = bound()
    const step = this.skip('sign', ':') ? bound() : null
    return { type: 'slice', start, stop, step }
  }

  #filtersAndTests(value: Expression): Expression {
    for (;;) {
      if (this.sign('|')) value = this.filters(value, false)
      else if (this.skip('name', 'is')) value = this.#test(value)
      else if (this.sign('(')) value = { type: 'call', of: value, args: this.#arguments() }
      else return value
    }
  }

  #dottedName(): string {
    let name = this.name()
    while (this.skip('sign', '.')) name += `.${this.name()}`
    return name
  }

  /** Filters, `|a|b(c)`; `inline`: the first is written without its bar. */
  protected filters(of: Expression | null, inline: boolean): Expression {
    let value = of
    for (let first = inline; first || this.skip('sign', '|'); first = false) {
      const name = this.#dottedName()
      value = { type: 'filter', of: value, name, args: this.sign('(') ? this.#arguments() : noArguments }
    }
    return value!
  }

  #test(of: Expression): Expression {
    const negated = this.skip('name', 'not')
    const name = this.#dottedName()
    let args = noArguments
    const { type, value } = this.token
    if (this.sign('(')) args = this.#arguments()
    else if (
      (type === 'name' && value !== 'else' && value !== 'or' && value !== 'and') ||
      type === 'string' ||
      type === 'integer' ||
      type === 'float' ||
      this.sign('[') ||
      this.sign('{')
    ) {
      if (this.word('is')) this.fail('tests cannot be chained with is')
      args = { ...noArguments, positional: [this.#postfix(this.#primary())] }
    }
    const test: Expression = { type: 'test', of, name, args }
    return negated ? { type: 'not', value: test } : test
  }

  #arguments(): Arguments {
    const args: Arguments = { positional: [], named: [], spread: null, namedSpread: null }
    const ensure = (right: boolean) => {
      if (!right) this.fail('the arguments of a call are out of order')
    }
    this.expect('(')
    for (let more = false; !this.sign(')'); more = true) {
      if (more) {
        this.expect(',')
        if (this.sign(')')) break
      }
      if (this.skip('sign', '*')) {
        ensure(!args.spread && !args.namedSpread)
        args.spread = this.expression()
      } else if (this.skip('sign', '**')) {
        ensure(!args.namedSpread)
        args.namedSpread = this.expression()
      } else if (this.token.type === 'name' && this.next('sign', '=')) {
        ensure(!args.namedSpread)
        const name = this.name()
        this.take()
        args.named.push([name, this.expression()])
      } else {
        ensure(!args.spread && !args.namedSpread && !args.named.length)
        args.positional.push(this.expression())
      }
    }
    this.expect(')')
    return args
  }
}
