/** Jinja's lexer with trim_blocks and lstrip_blocks, the settings for chat templates. */
import { TemplateError } from './meter.ts'
import { hex, strip, whiteSpace } from './text.ts'

export type Token =
  | { type: 'data'; value: string; line: number }
  | { type: 'name'; value: string; line: number }
  | { type: 'string'; value: string; line: number }
  | { type: 'integer'; value: bigint; line: number }
  | { type: 'float'; value: number; line: number }
  /** An operator, or one of `{{`, `}}`, `{%`, `%}`; `end` after the last. */
  | { type: 'sign'; value: string; line: number }

export class SyntaxProblem extends TemplateError {
  constructor(what: string, line: number) {
    super(`line ${line}: ${what}`)
  }
}

const space = whiteSpace.source
const integerText = /(?:0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*)/iy
const floatText = /(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy
const nameText = /[\p{XID_Start}_]\p{XID_Continue}*/uy
const stringText = /'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"/sy
const operators = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y
const closers: Record<string, string> = { '{': '}', '(': ')', '[': ']' }
const spaces = new RegExp(`${space}*`, 'y')

export const tokenize = (template: string): Token[] => new Lexer(template).all()

/** Where in a template the reading is, and what was read. */
class Lexer {
  readonly source: string
  readonly tokens: Token[] = []
  #at = 0
  #line = 1
  /** Nothing of the line stands before. */
  #lineStarting = true

  constructor(template: string) {
    this.source = template.replace(/\r\n?/g, '\n').replace(/\n$/, '')
  }

  all(): Token[] {
    while (this.#at < this.source.length) {
      const opening = /\{[{%#]/g
      opening.lastIndex = this.#at
      const found = opening.exec(this.source)
      const tagAt = found ? found.index : this.source.length
      const kind = found?.[0] ?? ''
      const raw = kind === '{%' ? this.#rawBegin(tagAt) : null
      const sign = found && (this.source[tagAt + 2] === '-' || this.source[tagAt + 2] === '+') ? this.source[tagAt + 2] : ''
      let text = this.source.slice(this.#at, tagAt)
      if (found) text = this.#stripBefore(text, sign, kind !== '{{')
      if (text) this.tokens.push({ type: 'data', value: text, line: this.#line })
      if (!found) break
      this.#advance(tagAt)
      if (raw) this.#readRaw(raw)
      else if (kind === '{#') this.#readComment(sign)
      else this.#readTag(kind, sign)
    }
    this.tokens.push({ type: 'sign', value: 'end', line: this.#line })
    return this.tokens
  }

  /** White space before a tag on its own line is removed, unless `+` keeps it. */
  #stripBefore(text: string, sign: string, strips: boolean): string {
    if (sign === '-') return strip(text, null, false, true)
    if (sign === '+' || !strips) return text
    const start = text.lastIndexOf('\n') + 1
    if (start === 0 && !this.#lineStarting) return text
    const last = text.slice(start)
    return last && strip(last) === '' ? text.slice(0, start) : text
  }

  #rawBegin(tagAt: number): string | null {
    const pattern = new RegExp(`\\{%[-+]?${space}*raw${space}*(?:-%\\}${space}*|%\\})`, 'y')
    pattern.lastIndex = tagAt
    return pattern.exec(this.source)?.[0] ?? null
  }

  #readRaw(begin: string): void {
    this.#advance(this.#at + begin.length)
    const pattern = new RegExp(`\\{%([-+]?)${space}*endraw${space}*([-+]?)%\\}`, 'g')
    pattern.lastIndex = this.#at
    const end = pattern.exec(this.source) ?? this.#fail('endraw is missing')
    const text = this.#stripBefore(this.source.slice(this.#at, end.index), end[1], true)
    if (text) this.tokens.push({ type: 'data', value: text, line: this.#line })
    this.#closeTag(end.index + end[0].length, end[2], true)
  }

  #readComment(opened: string): void {
    const from = this.#at + 2 + opened.length
    const close = this.source.indexOf('#}', from)
    if (close < 0) this.#fail('a comment is not closed')
    const sign = close > from && /[-+]/.test(this.source[close - 1]) ? this.source[close - 1] : ''
    this.#closeTag(close + 2, sign, true)
  }

  #readTag(kind: string, opened: string): void {
    const end = kind === '{{' ? '}}' : '%}'
    this.tokens.push({ type: 'sign', value: kind, line: this.#line })
    this.#advance(this.#at + 2 + opened.length)
    const open: string[] = []
    for (;;) {
      this.#advance(this.#at + this.#match(spaces)!.length)
      if (this.#at >= this.source.length) this.#fail(`${kind} has no ${end}`)
      const sign = /[-+]/.test(this.source[this.#at]) && !(kind === '{{' && this.source[this.#at] === '+') ? this.source[this.#at] : ''
      if (!open.length && this.source.startsWith(end, this.#at + sign.length)) {
        this.tokens.push({ type: 'sign', value: end, line: this.#line })
        this.#closeTag(this.#at + sign.length + 2, sign, kind === '{%')
        return
      }
      this.#readToken(open)
    }
  }

  #readToken(open: string[]): void {
    const last = this.tokens.at(-1)!
    const number = this.source[this.#at - 1] === '.' ? null : this.#match(floatText)
    if (number) this.#push({ type: 'float', value: Number(number.replaceAll('_', '')), line: this.#line }, number)
    else if (this.#match(integerText)) {
      const text = this.#match(integerText)!
      this.#push({ type: 'integer', value: BigInt(text.replaceAll('_', '')), line: this.#line }, text)
    } else if (this.#match(nameText)) this.#push({ type: 'name', value: this.#match(nameText)!, line: this.#line }, this.#match(nameText)!)
    else if (this.#match(stringText)) {
      const text = this.#match(stringText)!
      this.#push({ type: 'string', value: unescaped(text.slice(1, -1), (what) => this.#fail(what)), line: this.#line }, text)
    } else {
      const sign =
        this.#match(operators) ??
        this.#fail(`unexpected ${JSON.stringify(this.source.slice(this.#at, this.#at + 1))} after ${JSON.stringify(String(last.value))}`)
      if (closers[sign]) open.push(closers[sign])
      else if (sign === '}' || sign === ')' || sign === ']') {
        if (open.pop() !== sign) this.#fail(`unexpected '${sign}'`)
      }
      this.#push({ type: 'sign', value: sign, line: this.#line }, sign)
    }
  }

  #push(token: Token, text: string): void {
    this.tokens.push(token)
    this.#advance(this.#at + text.length)
  }

  #fail(what: string): never {
    throw new SyntaxProblem(what, this.#line)
  }

  #advance(to: number): void {
    for (let i = this.source.indexOf('\n', this.#at); i >= 0 && i < to; i = this.source.indexOf('\n', i + 1)) this.#line++
    if (to > this.#at) this.#lineStarting = this.source[to - 1] === '\n'
    this.#at = to
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at
    return pattern.exec(this.source)?.[0] ?? null
  }

  /** Position after a tag: `-` removes all white space after it; without a sign, a block or comment removes the line end. */
  #closeTag(from: number, sign: string, trims: boolean): void {
    this.#advance(from)
    if (sign === '-') this.#advance(this.#at + this.#match(spaces)!.length)
    else if (trims && sign === '' && this.source[this.#at] === '\n') this.#advance(this.#at + 1)
  }
}

const simple: Record<string, string> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

/** Decodes a string literal as Python's unicode-escape does. */
function unescaped(text: string, fail: (what: string) => never): string {
  return text.replace(
    /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|(.))/gsu,
    (found, x, u, long, octal, other: string) => {
      if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8))
      if (other === undefined) {
        const point = Number.parseInt(x ?? u ?? long, 16)
        return point > 0x10ffff ? fail('an escape beyond Unicode') : String.fromCodePoint(point)
      }
      if (other === 'N') return fail('a character by its name (\\N) is not supported here')
      if (/[xuU]/.test(other)) return fail(`truncated \\${other} escape`)
      // Python escapes non-ASCII characters before it decodes escapes, so a backslash before one escapes the new backslash.
      const point = other.codePointAt(0)!
      if (point > 0x7f)
        return `\\${point < 0x100 ? 'x' : point < 0x10000 ? 'u' : 'U'}${hex(point, point < 0x100 ? 2 : point < 0x10000 ? 4 : 8)}`
      return simple[other] ?? found
    },
  )
}
