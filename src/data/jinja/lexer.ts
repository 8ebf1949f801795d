/** Jinja's lexer with trim_blocks and lstrip_blocks, the settings for chat templates. */
import { hex, strip, whiteSpace } from './text.ts'
import { TemplateError } from './values.ts'

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

export function tokenize(template: string): Token[] {
  const source = template.replace(/\r\n?/g, '\n').replace(/\n$/, '')
  const tokens: Token[] = []
  let at = 0
  let line = 1
  let lineStarting = true
  const fail = (what: string): never => {
    throw new SyntaxProblem(what, line)
  }
  const advance = (to: number) => {
    for (let i = source.indexOf('\n', at); i >= 0 && i < to; i = source.indexOf('\n', i + 1)) line++
    if (to > at) lineStarting = source[to - 1] === '\n'
    at = to
  }
  const match = (pattern: RegExp): string | null => {
    pattern.lastIndex = at
    return pattern.exec(source)?.[0] ?? null
  }
  /** Position after a tag: `-` removes all white space after it; without a sign, a block or comment removes the line end. */
  const closeTag = (from: number, sign: string, trims: boolean): void => {
    advance(from)
    if (sign === '-') advance(at + match(spaces)!.length)
    else if (trims && sign === '' && source[at] === '\n') advance(at + 1)
  }

  while (at < source.length) {
    const opening = /\{[{%#]/g
    opening.lastIndex = at
    const found = opening.exec(source)
    const tagAt = found ? found.index : source.length
    const kind = found?.[0] ?? ''
    const raw = kind === '{%' ? rawBegin(tagAt) : null
    const sign = found && (source[tagAt + 2] === '-' || source[tagAt + 2] === '+') ? source[tagAt + 2] : ''
    let text = source.slice(at, tagAt)
    if (found) text = stripBefore(text, sign, kind !== '{{')
    if (text) tokens.push({ type: 'data', value: text, line })
    if (!found) break
    advance(tagAt)
    if (raw) readRaw(raw)
    else if (kind === '{#') readComment(sign)
    else readTag(kind, sign)
  }
  tokens.push({ type: 'sign', value: 'end', line })
  return tokens

  /** White space before a tag on its own line is removed, unless `+` keeps it. */
  function stripBefore(text: string, sign: string, strips: boolean): string {
    if (sign === '-') return strip(text, null, false, true)
    if (sign === '+' || !strips) return text
    const start = text.lastIndexOf('\n') + 1
    if (start === 0 && !lineStarting) return text
    const last = text.slice(start)
    return last && strip(last) === '' ? text.slice(0, start) : text
  }

  function rawBegin(tagAt: number): string | null {
    const pattern = new RegExp(`\\{%[-+]?${space}*raw${space}*(?:-%\\}${space}*|%\\})`, 'y')
    pattern.lastIndex = tagAt
    return pattern.exec(source)?.[0] ?? null
  }

  function readRaw(begin: string): void {
    advance(at + begin.length)
    const pattern = new RegExp(`\\{%([-+]?)${space}*endraw${space}*([-+]?)%\\}`, 'g')
    pattern.lastIndex = at
    const end = pattern.exec(source) ?? fail('endraw is missing')
    const text = stripBefore(source.slice(at, end.index), end[1], true)
    if (text) tokens.push({ type: 'data', value: text, line })
    closeTag(end.index + end[0].length, end[2], true)
  }

  function readComment(opened: string): void {
    const from = at + 2 + opened.length
    const close = source.indexOf('#}', from)
    if (close < 0) fail('a comment is not closed')
    const sign = close > from && /[-+]/.test(source[close - 1]) ? source[close - 1] : ''
    closeTag(close + 2, sign, true)
  }

  function readTag(kind: string, opened: string): void {
    const end = kind === '{{' ? '}}' : '%}'
    tokens.push({ type: 'sign', value: kind, line })
    advance(at + 2 + opened.length)
    const open: string[] = []
    for (;;) {
      advance(at + match(spaces)!.length)
      if (at >= source.length) fail(`${kind} has no ${end}`)
      const sign = /[-+]/.test(source[at]) && !(kind === '{{' && source[at] === '+') ? source[at] : ''
      if (!open.length && source.startsWith(end, at + sign.length)) {
        tokens.push({ type: 'sign', value: end, line })
        closeTag(at + sign.length + 2, sign, kind === '{%')
        return
      }
      readToken(open)
    }
  }

  function readToken(open: string[]): void {
    const last = tokens.at(-1)!
    const number = source[at - 1] === '.' ? null : match(floatText)
    if (number) push({ type: 'float', value: Number(number.replaceAll('_', '')), line }, number)
    else if (match(integerText)) {
      const text = match(integerText)!
      push({ type: 'integer', value: BigInt(text.replaceAll('_', '')), line }, text)
    } else if (match(nameText)) push({ type: 'name', value: match(nameText)!, line }, match(nameText)!)
    else if (match(stringText)) {
      const text = match(stringText)!
      push({ type: 'string', value: unescaped(text.slice(1, -1), fail), line }, text)
    } else {
      const sign =
        match(operators) ?? fail(`unexpected ${JSON.stringify(source.slice(at, at + 1))} after ${JSON.stringify(String(last.value))}`)
      if (closers[sign]) open.push(closers[sign])
      else if (sign === '}' || sign === ')' || sign === ']') {
        if (open.pop() !== sign) fail(`unexpected '${sign}'`)
      }
      push({ type: 'sign', value: sign, line }, sign)
    }
  }

  function push(token: Token, text: string): void {
    tokens.push(token)
    advance(at + text.length)
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
