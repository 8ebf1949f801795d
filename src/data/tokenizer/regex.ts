/**
 * Translates regular expressions of Oniguruma, which the Rust library uses for patterns of a tokenizer.json, to JavaScript ones with the
 * same matches. An allow-list: constructs that are not known to match equally are refused by name.
 */
import { unsupported } from './fields.ts'
import { bracketClass, classes, propertyClass } from './unicode.ts'

/** Length cap; real patterns have a few hundred characters. */
const maxLength = 4096

/** @throws WorkbenchError `tokenizer-invalid` that names the unsupported construct */
export function compilePattern(source: string): RegExp {
  if (source.length > maxLength) throw unsupported(`its regular expression has ${source.length} characters`)
  const parser = new Parser(source)
  const translated = parser.whole()
  try {
    return new RegExp(translated, 'gv')
  } catch {
    throw parser.refused('a construct that JavaScript does not have')
  }
}

/** A pattern that matches a literal string. */
export const literalPattern = (text: string): RegExp => new RegExp(Array.from(text, literal).join(''), 'gv')

/** An escaped character of a pattern or a class. */
function literal(char: string): string {
  return /^[A-Za-z0-9]$/.test(char) ? char : `\\u{${char.codePointAt(0)!.toString(16)}}`
}

/** Single-character escapes, by letter. */
const controls: Record<string, string> = { n: '\n', r: '\r', t: '\t', f: '\f', v: '\v', a: '\x07', e: '\x1b' }
/** Pairs of letters that also match one character (ß, ﬁ, ﬆ …) when case is ignored. */
const ligatures = ['ss', 'ff', 'fi', 'fl', 'st']

class Parser {
  #at = 0
  #atomics = 0
  #inLookbehind = 0
  /** The previous letter, when case is ignored. */
  #before = ''
  /** Whether the last parsed item can match the empty string. */
  #nullable = false

  constructor(readonly source: string) {}

  refused(what: string): Error {
    const shownSource = this.source.length > 80 ? `${this.source.slice(0, 77)}…` : this.source
    return unsupported(`the regular expression ${shownSource} uses ${what}`)
  }

  whole(): string {
    const ignoreCase = this.#take('(?i)')
    const body = this.#alternatives(ignoreCase)
    if (this.#at < this.source.length) throw this.refused('an unmatched closing bracket')
    return body
  }

  #take(text: string): boolean {
    if (!this.source.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #next(): string {
    const point = this.source.codePointAt(this.#at)
    if (point === undefined) throw this.refused('an incomplete end')
    const char = String.fromCodePoint(point)
    this.#at += char.length
    return char
  }

  #alternatives(ignoreCase: boolean): string {
    const branches: string[] = []
    let nullable = false
    do {
      let branch = ''
      let empty = true
      this.#before = ''
      while (this.#at < this.source.length && !'|)'.includes(this.source[this.#at])) {
        branch += this.#quantified(ignoreCase)
        empty &&= this.#nullable
      }
      branches.push(branch)
      nullable ||= empty
    } while (this.#take('|'))
    this.#before = ''
    this.#nullable = nullable
    return branches.join('|')
  }

  #quantified(ignoreCase: boolean): string {
    this.#nullable = false
    const atom = this.#atom(ignoreCase)
    const nullable = this.#nullable
    const quantifier = this.#quantifier()
    if (!quantifier) return atom
    this.#before = ''
    // When an iteration matches the empty string, one engine ends the loop and the other backtracks.
    if (nullable) throw this.refused('a quantifier on what may match the empty string')
    this.#nullable = /^[?*]|^\{0/.test(quantifier)
    const greedy = atom + quantifier
    const interval = quantifier.startsWith('{')
    // After an exact count, "?" makes it optional; "+" after any count repeats it.
    if (interval && this.#take('+')) {
      if (this.#nullable) throw this.refused('a quantifier on what may match the empty string')
      return `(?:${greedy})+${this.#noMore()}`
    }
    if (this.#take('?')) {
      const optional = interval && !quantifier.includes(',')
      this.#nullable ||= optional
      return (optional ? `(?:${greedy})?` : `${greedy}?`) + this.#noMore()
    }
    if (this.#take('+')) return this.#atomic(greedy) + this.#noMore()
    return greedy + this.#noMore()
  }

  #noMore(): string {
    if (this.#quantifier()) throw this.refused('a quantifier on a quantifier')
    return ''
  }

  /** A quantifier (`?`, `*`, `+` or an interval) as JavaScript writes it; empty when there is none. */
  #quantifier(): string {
    for (const one of ['?', '*', '+']) if (this.#take(one)) return one
    const [whole, least, comma, most] = /^\{(\d*)(,?)(\d*)\}/.exec(this.source.slice(this.#at)) ?? []
    if (!whole || !(least || (comma && most))) return ''
    this.#at += whole.length
    return `{${least || 0}${comma}${most}}`
  }

  /** Emulates an atomic group by a look-ahead, which does not backtrack. */
  #atomic(inner: string): string {
    if (this.#inLookbehind) throw this.refused('a possessive or atomic group in a look-behind')
    const name = `atomic${this.#atomics++}`
    return `(?:(?=(?<${name}>${inner}))\\k<${name}>)`
  }

  #atom(ignoreCase: boolean): string {
    const char = this.#next()
    switch (char) {
      case '(':
        return this.#group(ignoreCase)
      case '[':
        this.#before = ''
        return this.#class(ignoreCase)
      case '.':
        this.#before = ''
        return '[^\\n]'
      case '^':
        this.#nullable = true
        return '(?:^|(?<=\\n)(?!$))'
      case '$':
        this.#nullable = true
        return '(?=\\n|$)'
      case '\\':
        return this.#escape(ignoreCase)
      case '?':
      case '*':
      case '+':
        throw this.refused('a quantifier without an operand')
      default:
        return this.#letter(char, ignoreCase)
    }
  }

  /** A literal character, in both cases when case is ignored. */
  #letter(char: string, ignoreCase: boolean): string {
    if (!ignoreCase) return literal(char)
    if (ligatures.includes(this.#before + char.toLowerCase())) throw this.refused(`(?i) with "${this.#before}${char}"`)
    this.#before = char.toLowerCase()
    const cases = this.#cases(char)
    return cases.length > 1 ? `[${cases.map(literal).join('')}]` : literal(char)
  }

  /** All characters that equal an ASCII one when case is ignored. */
  #cases(char: string): string[] {
    if (char > '\x7f') throw this.refused(`(?i) with "${char}"`)
    const lower = char.toLowerCase()
    const more = lower === 's' ? ['\u017f'] : lower === 'k' ? ['\u212a'] : []
    return [...new Set([lower, char.toUpperCase(), ...more])]
  }

  #group(ignoreCase: boolean): string {
    const [opening, kind = ''] = /^(?:\?(i:|:|=|!|<=|<!|>|<[A-Za-z_]\w*>))?/.exec(this.source.slice(this.#at))!
    this.#at += opening.length
    if (this.source[this.#at] === '?') throw this.refused(`the group ${this.source.slice(this.#at - 1, this.#at + 4)}`)
    const lookbehind = kind === '<=' || kind === '<!'
    if (lookbehind) this.#inLookbehind++
    const inner = this.#alternatives(ignoreCase || kind === 'i:')
    if (lookbehind) this.#inLookbehind--
    if (!this.#take(')')) throw this.refused('an unclosed group')
    if (kind === '>') return this.#atomic(inner)
    const assertion = ['=', '!', '<=', '<!'].includes(kind)
    this.#nullable ||= assertion
    return `(?${assertion ? kind : ':'}${inner})`
  }

  #escape(ignoreCase: boolean): string {
    const set = this.#set(classes.wordAlone, ignoreCase)
    if (set) {
      this.#before = ''
      return set
    }
    for (const [anchor, meaning] of Object.entries(this.#anchors)) {
      if (!this.#take(anchor)) continue
      this.#nullable = true
      return meaning
    }
    return this.#letter(this.#escaped(), ignoreCase)
  }

  readonly #anchors = {
    A: '^',
    z: '$',
    Z: '(?=\\n?$)',
    b: `(?:(?<=${classes.wordAlone})(?!${classes.wordAlone})|(?<!${classes.wordAlone})(?=${classes.wordAlone}))`,
    B: `(?:(?<=${classes.wordAlone})(?=${classes.wordAlone})|(?<!${classes.wordAlone})(?!${classes.wordAlone}))`,
  }

  /** A set escape such as \d as a class; null for anything else. */
  #set(word: string, ignoreCase: boolean): string | null {
    const sets: Record<string, string> = { s: classes.space, d: classes.digit, w: word, h: classes.hex }
    const char = this.source[this.#at]
    const lower = char?.toLowerCase()
    if (Object.hasOwn(sets, lower ?? '')) {
      this.#at++
      return char === lower ? sets[lower] : `[^${sets[lower]}]`
    }
    if (lower !== 'p') return null
    const [whole, not, name] = /^[pP]\{(\^?)([\w\s-]+)\}/.exec(this.source.slice(this.#at)) ?? []
    const set = whole && propertyClass(name)
    if (!set) throw this.refused(`\\${whole ?? char}`)
    if (ignoreCase) throw this.refused(`(?i) with \\${whole}`)
    this.#at += whole.length
    return (char === 'P') !== (not === '^') ? `[^${set}]` : set
  }

  /** The character of an escape. */
  #escaped(): string {
    const char = this.#next()
    if (Object.hasOwn(controls, char)) return controls[char]
    const [whole, hex = ''] = /^(?:x\{([0-9A-Fa-f]{1,6})\}|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})/.exec(this.source.slice(this.#at - 1)) ?? []
    if (whole) {
      this.#at += whole.length - 1
      const point = Number.parseInt(hex || whole.slice(1), 16)
      if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) throw this.refused(`\\${whole}`)
      return String.fromCodePoint(point)
    }
    if (/[A-Za-z0-9]/.test(char)) throw this.refused(`\\${char}`)
    return char
  }

  /** Parses the rest of a class after its opening bracket. */
  #class(ignoreCase: boolean): string {
    const not = this.#take('^') ? '^' : ''
    if (this.source[this.#at] === ']') throw this.refused('a class that begins with ]')
    const operands = ['']
    let members = 0
    while (!this.#take(']')) {
      if (this.#take('&&')) {
        if (!members) throw this.refused('&& without a set before it')
        operands.push('')
        members = 0
      }
      operands[operands.length - 1] += this.#member(ignoreCase, members === 0)
      members++
    }
    if (!members) throw this.refused('an empty set')
    return `[${not}${operands.length > 1 ? operands.map((inside) => `[${inside}]`).join('&&') : operands[0]}]`
  }

  /** One character, range or set within a class. */
  #member(ignoreCase: boolean, first: boolean): string {
    if (this.#take('[')) {
      const [whole, not, name] = /^:(\^?)(\w+):\]/.exec(this.source.slice(this.#at)) ?? []
      if (!whole) return this.#class(ignoreCase)
      const set = bracketClass(name)
      if (!set) throw this.refused(`[[:${name}:]]`)
      if (ignoreCase) throw this.refused(`(?i) with [[:${name}:]]`)
      this.#at += whole.length
      return not ? `[^${set}]` : set
    }
    const escapes = this.#take('\\')
    const set = escapes ? this.#set(classes.word, ignoreCase) : null
    if (set) {
      if (this.source[this.#at] === '-' && this.source[this.#at + 1] !== ']') throw this.refused('a range that begins with a set')
      return set
    }
    const from = escapes ? this.#escaped() : this.#next()
    if (from === '-' && !escapes && !first && this.source[this.#at] !== ']') throw this.refused('a hyphen in the middle of a class')
    const [hyphen, after] = [this.source[this.#at], this.source[this.#at + 1]]
    if (hyphen !== '-' || after === ']' || after === undefined) {
      return ignoreCase ? this.#cases(from).map(literal).join('') : literal(from)
    }
    this.#at++
    return this.#range(from, ignoreCase)
  }

  #range(from: string, ignoreCase: boolean): string {
    if (this.source[this.#at] === '[') throw this.refused('a range that ends with a set')
    const to = this.#take('\\') ? this.#escaped() : this.#next()
    if (to < from && to.codePointAt(0)! < from.codePointAt(0)!) throw this.refused(`the range ${from}-${to}`)
    if (!ignoreCase) return `${literal(from)}-${literal(to)}`
    if (to > '\x7f') throw this.refused(`(?i) with the range ${from}-${to}`)
    const chars = Array.from({ length: to.charCodeAt(0) - from.charCodeAt(0) + 1 }, (_, i) => String.fromCharCode(from.charCodeAt(0) + i))
    return chars
      .flatMap((char) => this.#cases(char))
      .map(literal)
      .join('')
  }
}

const isHigh = (code: number) => code >= 0xd800 && code <= 0xdbff
const isLow = (code: number) => code >= 0xdc00 && code <= 0xdfff

/** A segment of a text, and whether the pattern matched it. */
export interface Span {
  start: number
  end: number
  match: boolean
}

/** Matches and the text between them, in order; an empty match directly after another match is ignored. */
export function spansOf(text: string, pattern: RegExp): Span[] {
  const spans: Span[] = []
  let end = 0
  let lastMatch = -1
  pattern.lastIndex = 0
  for (let found = pattern.exec(text); found; found = pattern.exec(text)) {
    const start = found.index
    const stop = start + found[0].length
    if (stop === start) {
      // V8, too, finds nothing inside a surrogate pair.
      const within = isLow(text.charCodeAt(start)) && isHigh(text.charCodeAt(start - 1))
      pattern.lastIndex += !within && text.codePointAt(start)! > 0xffff ? 2 : 1
      if (within || stop === lastMatch) continue
    }
    if (end < start) spans.push({ start: end, end: start, match: false })
    spans.push({ start, end: stop, match: true })
    end = stop
    lastMatch = stop
  }
  if (end < text.length) spans.push({ start: end, end: text.length, match: false })
  return spans
}
