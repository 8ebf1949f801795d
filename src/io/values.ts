/** Streams the values of a JSON text of any size: JSON lines, concatenated values, or the elements of an array. */
import { WorkbenchError } from '../errors.ts'
import { maxLine, tooLong } from './lines.ts'

export interface JsonValue {
  value: unknown
  /** The line in which it begins, from 1. */
  line: number
}

/** Decides by its first element whether the elements of a top-level array are rows; otherwise the array is one value. */
export type AreRows = (first: unknown) => boolean

/**
 * The top-level values of a JSON text, or the elements of top-level arrays whose elements are `rows`. Values may follow one another with
 * or without commas. Integers are bigint, other numbers number, as in `exactJson`.
 * @throws WorkbenchError `text-invalid` that names the line of what is not JSON
 */
export async function* jsonValues(text: AsyncIterable<string>, name: string, rows: AreRows): AsyncGenerator<JsonValue> {
  let inside = false
  let first: Token | null = null
  /** Elements so far of an array that may be one value. */
  let whole: unknown[] | null = null
  for await (const token of tokens(text, name)) {
    if (token.type === 'open') {
      inside = true
      first = null
      whole = []
    } else if (token.type === 'close') {
      if (whole?.length) yield { value: whole, line: token.line }
      inside = false
      whole = null
    } else if (!inside) yield { value: token.value, line: token.line }
    else {
      first ??= token
      if (whole && first === token && rows(token.value)) whole = null
      if (!whole) yield { value: token.value, line: token.line }
      else if (whole.push(token.value) > maxElements) throw tooLong(name, token.line)
    }
  }
}

/** Elements of an array that is one value. */
const maxElements = 1 << 20

type Token = { type: 'value'; value: unknown; line: number } | { type: 'open'; line: number } | { type: 'close'; line: number }

/** Tokens: top-level values, elements of top-level arrays, and where such arrays begin and end. */
async function* tokens(text: AsyncIterable<string>, name: string): AsyncGenerator<Token> {
  const scanner = new Scanner(name)
  for await (const piece of text) yield* scanner.push(piece)
  yield* scanner.end()
}

const space = /[\s\uFEFF]/
const scalarEnd = /[\s,\]]/g
const marks = /["{}[\]\n]/g
const stringEnd = /["\\\n]/g

class Scanner {
  #line = 1
  #inArray = false
  /** A value has been read since the last comma; in an array, a comma or the end has to follow. */
  #after = false
  /** Depth inside the value being read; null between values, 0 in a number or word. */
  #depth: number | null = null
  #inString = false
  #escaped = false
  #parts: string[] = []
  #length = 0
  /** Where the array began; where the value began. */
  #opened = 1
  #began = 1
  /** The value has reached its closing bracket or quote. */
  #closed = false

  constructor(readonly name: string) {}

  *push(piece: string): Generator<Token> {
    let at = 0
    while (at < piece.length) {
      if (this.#depth !== null) {
        const from = at
        do at = this.#inString ? this.#skipString(piece, at) : this.#depth ? this.#skipNested(piece, at) : skipScalar(piece, at)
        while (at < piece.length && (this.#inString || this.#depth))
        this.#parts.push(piece.slice(from, at))
        this.#length += at - from
        if (this.#length > maxLine) throw tooLong(this.name, this.#began)
        if (!this.#inString && !this.#depth && (at < piece.length || this.#closed)) yield this.#value()
        continue
      }
      const letter = piece[at]
      if (space.test(letter)) {
        if (letter === '\n') this.#line++
        at++
      } else if (letter === ',' && this.#after) {
        this.#after = false
        at++
      } else if (letter === ']' && this.#inArray) {
        this.#inArray = false
        this.#after = true
        at++
        yield { type: 'close', line: this.#opened }
      } else if (letter === '[' && !this.#inArray) {
        this.#inArray = true
        this.#after = false
        this.#opened = this.#line
        at++
        yield { type: 'open', line: this.#line }
      } else {
        if (this.#after && this.#inArray) throw notJson(this.name, this.#line)
        this.#began = this.#line
        this.#depth = 0
        this.#closed = false
        if (letter === '{' || letter === '[' || letter === '"') {
          this.#inString = letter === '"'
          this.#depth = this.#inString ? 0 : 1
          this.#parts.push(letter)
          this.#length++
          at++
        }
      }
    }
  }

  *end(): Generator<Token> {
    if (this.#depth !== null) {
      if (this.#depth || this.#inString) throw notJson(this.name, this.#began, 'it is incomplete')
      yield this.#value()
    }
    if (this.#inArray) throw notJson(this.name, this.#opened, 'the array is not closed')
  }

  #value(): Token {
    const source = this.#parts.join('')
    this.#parts = []
    this.#length = 0
    this.#depth = null
    this.#after = true
    const value = exactJson(source)
    if (value === undefined) throw notJson(this.name, this.#began)
    return { type: 'value', value, line: this.#began }
  }

  /** Position after the end of the string, or the end of the piece. */
  #skipString(piece: string, from: number): number {
    let at = from
    if (this.#escaped) {
      this.#escaped = false
      at++
    }
    for (;;) {
      stringEnd.lastIndex = at
      const found = stringEnd.exec(piece)
      if (!found) return piece.length
      if (found[0] === '\n') throw notJson(this.name, this.#line, 'a string continues past the end of the line')
      if (found[0] === '"') {
        this.#inString = false
        this.#closed = this.#depth === 0
        return found.index + 1
      }
      at = found.index + 2
      if (at > piece.length) {
        this.#escaped = true
        return piece.length
      }
    }
  }

  /** Position after the end of the value, inside a string in it, or at the end of the piece. */
  #skipNested(piece: string, from: number): number {
    marks.lastIndex = from
    for (let found = marks.exec(piece); found; found = marks.exec(piece)) {
      const [letter] = found
      if (letter === '\n') this.#line++
      else if (letter === '"') {
        this.#inString = true
        return found.index + 1
      } else if (letter === '{' || letter === '[') this.#depth!++
      else if (--this.#depth! === 0) {
        this.#closed = true
        return found.index + 1
      }
    }
    return piece.length
  }
}

function skipScalar(piece: string, from: number): number {
  scalarEnd.lastIndex = from
  return scalarEnd.exec(piece)?.index ?? piece.length
}

/** Matches numbers, including NaN and Infinity as Python writes them, and the starts of strings. */
const numbersAndStrings = /"|-?\d[\d.eE+-]*|-?\bInfinity\b|\bNaN\b/g
const stringMarks = /["\\]/g

/** A source with its numbers rewritten. Strings are skipped by searching for quotes and backslashes, since they may have any length. */
function withNumbers(source: string, write: (number: string) => string): string {
  const parts: string[] = []
  let from = 0
  numbersAndStrings.lastIndex = 0
  for (let found = numbersAndStrings.exec(source); found; found = numbersAndStrings.exec(source)) {
    if (found[0] !== '"') {
      parts.push(source.slice(from, found.index), write(found[0]))
      from = numbersAndStrings.lastIndex
      continue
    }
    stringMarks.lastIndex = found.index + 1
    let mark = stringMarks.exec(source)
    while (mark?.[0] === '\\') {
      stringMarks.lastIndex = mark.index + 2
      mark = stringMarks.exec(source)
    }
    if (!mark) break
    numbersAndStrings.lastIndex = mark.index + 1
  }
  return parts.length ? parts.join('') + source.slice(from) : source
}

/** Most digits of an integer, as in Python. */
const mostDigits = 4300

/** A number as Python reads it: 1 is an int; 1.0, 1e3 and NaN are floats. */
function numberOf(word: string): number | bigint {
  if (!/^-?\d+$/.test(word)) return Number(word)
  if (word.length > mostDigits) throw new RangeError(`a number of ${word.length} digits`)
  return BigInt(word)
}

/**
 * A JSON value with integers as bigint and other numbers as number (including NaN, Infinity and -Infinity); undefined for what is not
 * JSON or is nested too deep.
 */
export function exactJson(source: string): unknown {
  try {
    // The built-in parser decides what is valid, before numbers are replaced by their indices.
    const plain = JSON.parse(/NaN|Infinity/.test(source) ? withNumbers(source, (word) => (/[ay]/.test(word) ? 'null' : word)) : source)
    const numbers: (number | bigint)[] = []
    const numbered = withNumbers(source, (word) => String(numbers.push(numberOf(word)) - 1))
    if (!numbers.length) return plain
    return JSON.parse(numbered, (_, value) => (typeof value === 'number' ? numbers[value] : value))
  } catch {
    return undefined
  }
}

function notJson(name: string, line: number, why = ''): WorkbenchError {
  return new WorkbenchError(
    'text-invalid',
    `Line ${line} of ${name} is not JSON${why && `: ${why}`}.`,
    'Each line has to look like {"text": "..."}, or the file has to be an array of such objects; correct that line.',
  )
}
