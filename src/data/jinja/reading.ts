/** A place among the tokens of a template, and the ways to move on from it. */
import { SyntaxProblem, type Token } from './lexer.ts'

/** Deepest nesting of expressions and blocks: real templates nest about twenty deep. */
const deepest = 200

export class Reading {
  #at = 0
  #depth = 0

  constructor(private readonly tokens: Token[]) {}

  protected get token(): Token {
    return this.tokens[this.#at]
  }

  protected fail(what: string): never {
    throw new SyntaxProblem(what, this.token.line)
  }

  #is(type: Token['type'], value?: string): boolean {
    const token = this.token
    return token.type === type && (value === undefined || token.value === value)
  }

  protected sign = (value: string): boolean => this.#is('sign', value)
  protected word = (value: string): boolean => this.#is('name', value)

  protected take(): Token {
    const token = this.token
    if (this.#at < this.tokens.length - 1) this.#at++
    return token
  }

  protected skip(type: 'sign' | 'name', value: string): boolean {
    const found = this.#is(type, value)
    if (found) this.take()
    return found
  }

  protected expect(value: string): void {
    if (!this.skip('sign', value)) this.fail(`expected '${value}', got '${this.token.value}'`)
  }

  protected name(): string {
    if (this.token.type !== 'name') this.fail(`expected a name, got '${this.token.value}'`)
    return this.take().value as string
  }

  protected nested<T>(work: () => T): T {
    if (++this.#depth > deepest) this.fail(`it is nested more than ${deepest} levels deep`)
    const result = work()
    this.#depth--
    return result
  }

  /** Whether this is what comes after the current token. */
  protected next(type: 'sign' | 'name', value: string): boolean {
    const next = this.tokens[this.#at + 1]
    return next?.type === type && next.value === value
  }
}
