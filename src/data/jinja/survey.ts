/** What a template will read and need, before it is rendered. */
import { missing } from './filters.ts'
import type { Arguments, Expression, Signature, Statement, Target } from './syntax.ts'

/**
 * Collects the names that are read. An unknown filter or test is an error where Jinja reports it before rendering: everywhere but
 * directly in the branches of an `if`.
 */
export function survey(body: Statement[], names: Set<string>, soft = false): void {
  new Survey(names).statements(body, soft)
}

/** `soft`: within a branch, where what is unknown is no error yet. */
class Survey {
  constructor(readonly names: Set<string>) {}

  statements(body: Statement[], soft = false): void {
    for (const one of body) this.#statement(one, soft)
  }

  #statement(one: Statement, soft: boolean): void {
    switch (one.type) {
      case 'output':
        this.#read(one.value, soft)
        break
      case 'set':
        this.#read(one.value, soft)
        this.#target(one.target)
        break
      case 'set-block':
        this.#target(one.target)
        if (one.filter) this.#read(one.filter, false)
        this.statements(one.body)
        break
      case 'if':
        for (const branch of one.branches) {
          this.#read(branch.test, true)
          this.statements(branch.body, true)
        }
        this.statements(one.otherwise, true)
        break
      case 'for':
        this.#read(one.over, soft)
        if (one.test) this.#read(one.test, false)
        this.statements(one.body)
        this.statements(one.otherwise)
        break
      case 'with':
        for (const value of one.values) this.#read(value, soft)
        this.statements(one.body)
        break
      case 'macro':
        this.#signature(one.signature)
        this.statements(one.body)
        break
      case 'call-block':
        this.#read(one.call, soft)
        this.#signature(one.signature)
        this.statements(one.body)
        break
      case 'filter-block':
        this.#read(one.filter, false)
        this.statements(one.body)
        break
      case 'generation':
        this.statements(one.body)
    }
  }

  #read(one: Expression, soft: boolean): void {
    switch (one.type) {
      case 'name':
        this.names.add(one.name)
        return
      case 'filter':
      case 'test': {
        const problem = soft ? null : missing(one.type, one.name)
        if (problem) throw problem
        if (one.of) this.#read(one.of, soft)
        this.#arguments(one.args, soft)
        return
      }
      case 'call':
        this.#read(one.of, soft)
        this.#arguments(one.args, soft)
        return
      case 'choice':
        this.#read(one.test, true)
        this.#read(one.yes, true)
        if (one.no) this.#read(one.no, true)
        return
      default:
        for (const part of partsOf(one)) this.#read(part, soft)
    }
  }

  #arguments({ positional, named, spread, namedSpread }: Arguments, soft: boolean): void {
    for (const one of [...positional, ...named.map(([, value]) => value), spread, namedSpread]) if (one) this.#read(one, soft)
  }

  #signature({ defaults }: Signature): void {
    for (const one of defaults) this.#read(one, false)
  }

  #target(one: Target): void {
    if (one.type === 'member') this.names.add(one.name)
    if (one.type === 'tuple') for (const item of one.items) this.#target(item)
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
