/** Jinja's parser: tokens to statements. */
import { constants, Expressions } from './expressions.ts'
import { type Token, tokenize } from './lexer.ts'
import { type Expression, namesOf, type Signature, type Statement, type Target } from './syntax.ts'

/** Unsupported tags of Jinja, which need other templates or other escaping. */
const unsupported = new Set(['block', 'extends', 'include', 'import', 'from', 'autoescape'])

/** @throws SyntaxProblem */
export function parse(template: string): Statement[] {
  return new Parser(tokenize(template)).template()
}

class Parser extends Expressions {
  /** Number of loops around the current statement, within the same macro. */
  #loops = 0

  template(): Statement[] {
    return this.#body([])
  }

  /** Statements up to a tag of one of these names, which is then the current token. */
  #body(ends: string[]): Statement[] {
    const body: Statement[] = []
    for (;;) {
      const token = this.token
      if (token.type === 'data') body.push({ type: 'text', text: (this.take() as Token & { type: 'data' }).value })
      else if (this.skip('sign', '{{')) {
        body.push({ type: 'output', value: this.tuple() })
        this.expect('}}')
      } else if (this.skip('sign', '{%')) {
        if (this.token.type === 'name' && ends.includes(this.token.value)) return body
        body.push(...this.nested(() => this.#statement()))
        this.expect('%}')
      } else if (ends.length) this.fail(`the template ends where ${ends.join(' or ')} is missing`)
      else return body
    }
  }

  /** The body of a tag; consumes its end tag. */
  #block(...ends: string[]): Statement[] {
    const body = this.#openBlock(...ends)
    this.take()
    return body
  }

  #openBlock(...ends: string[]): Statement[] {
    this.skip('sign', ':')
    this.expect('%}')
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
    const tag = this.name()
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
        const name = this.name()
        return [{ type: 'macro', name, signature: this.#signature(), body: this.#closed('endmacro') }]
      }
      case 'call':
        return [this.#callBlock()]
      case 'filter':
        return [{ type: 'filter-block', filter: this.filters(null, true), body: this.#block('endfilter') }]
      case 'generation':
        return [{ type: 'generation', body: this.#closed('endgeneration') }]
      case 'print':
        return this.#print()
      case 'break':
      case 'continue':
        if (!this.#loops) this.fail(`'${tag}' outside a loop`)
        return [{ type: tag }]
      default:
        if (unsupported.has(tag)) this.fail(`the tag ${tag} is not supported here`)
        return this.fail(`unknown tag '${tag}'`)
    }
  }

  #set(): Statement {
    const target = this.#target(true)
    if (this.skip('sign', '=')) return { type: 'set', target, value: this.tuple() }
    const filter = this.sign('|') ? this.filters(null, false) : null
    return { type: 'set-block', target, filter, body: this.#block('endset') }
  }

  #if(): Statement {
    const branches: { test: Expression; body: Statement[] }[] = []
    for (;;) {
      const test = this.tuple(false)
      branches.push({ test, body: this.#openBlock('elif', 'else', 'endif') })
      const end = this.name()
      if (end === 'elif') continue
      return { type: 'if', branches, otherwise: end === 'else' ? this.#block('endif') : [] }
    }
  }

  #for(): Statement {
    const target = this.#target(false, 'in')
    if (namesOf(target).includes('loop')) this.fail("the loop's own name 'loop' cannot be assigned to")
    if (!this.skip('name', 'in')) this.fail(`expected 'in', got '${this.token.value}'`)
    const over = this.tuple(false, 'recursive')
    const test = this.skip('name', 'if') ? this.expression() : null
    const recursive = this.skip('name', 'recursive')
    this.#loops++
    const body = this.#openBlock('endfor', 'else')
    this.#loops--
    const otherwise = this.name() === 'else' ? this.#block('endfor') : []
    return { type: 'for', target, over, test, recursive, body, otherwise }
  }

  #with(): Statement {
    const targets: Target[] = []
    const values: Expression[] = []
    while (!this.sign('%}')) {
      if (targets.length) this.expect(',')
      targets.push(this.#target(false))
      this.expect('=')
      values.push(this.expression())
    }
    return { type: 'with', targets, values, body: this.#block('endwith') }
  }

  #signature(): Signature {
    const names: string[] = []
    const defaults: Expression[] = []
    this.expect('(')
    while (!this.sign(')')) {
      if (names.length) this.expect(',')
      names.push(this.name())
      if (this.skip('sign', '=')) defaults.push(this.expression())
      else if (defaults.length) this.fail('non-default argument follows default argument')
    }
    this.expect(')')
    return { names, defaults }
  }

  #callBlock(): Statement {
    const signature = this.sign('(') ? this.#signature() : { names: [], defaults: [] }
    const call = this.expression()
    if (call.type !== 'call') return this.fail('expected a call')
    return { type: 'call-block', signature, call, body: this.#closed('endcall') }
  }

  #print(): Statement[] {
    const outputs: Statement[] = []
    while (!this.sign('%}')) {
      if (outputs.length) this.expect(',')
      outputs.push({ type: 'output', value: this.expression() })
    }
    return outputs
  }

  #target(members: boolean, end?: string): Target {
    const items: Target[] = []
    let isTuple = false
    for (;;) {
      if (items.length) this.expect(',')
      if (this.tupleEnds(end)) break
      items.push(this.#oneTarget(members))
      if (!this.sign(',')) break
      isTuple = true
    }
    if (!isTuple && !items.length) this.fail(`expected a name, got '${this.token.value}'`)
    return isTuple ? { type: 'tuple', items } : items[0]
  }

  #oneTarget(members: boolean): Target {
    if (this.skip('sign', '(')) {
      const target = this.nested(() => this.#target(members))
      this.expect(')')
      return target
    }
    const name = this.name()
    if (constants.has(name)) this.fail(`cannot assign to '${name}'`)
    if (members && this.skip('sign', '.')) return { type: 'member', name, attribute: this.name() }
    return { type: 'name', name }
  }
}
