/** Streams text from files of any size, decompressing where needed; no more is read than is used. */
import { WorkbenchError } from '../errors.ts'
import type { Bytes } from './bytes.ts'
import { adviceFor, headBytes, type Kind, kindOf } from './kinds.ts'
import { gunzip, pieces, unzstd } from './unpack.ts'

/** Documents of a few MB exist; a longer line is no text to calibrate on. */
export const maxLine = 64 << 20

/** A file and what it contains. */
export interface Opened {
  /** How it is compressed. */
  packed: 'gzip' | 'zstd' | null
  /** The beginning of its text; null for a parquet table. */
  head: string | null
  /**
   * All of its text, decoded strictly from UTF-8, without a byte order mark, with `\n` for `\r\n` and `\r`. Throws `text-invalid` when it
   * is not UTF-8, or when compressed data is damaged or incomplete.
   */
  text: AsyncGenerator<string>
}

/** Characters of a text that are inspected to recognize its format. */
const headLength = 4096

/** What a file contains, by its first bytes. @throws WorkbenchError `text-invalid` that names a kind that cannot be read */
export async function openText(file: Bytes, name: string): Promise<Opened> {
  const source = pieces(file, name)
  const first = (await source.next()).value ?? new Uint8Array()
  const kind = kindOf(first.subarray(0, headBytes))
  if (kind && !kind.read) throw unreadable(name, kind)
  if (kind?.read === 'parquet') {
    await source.return(undefined)
    return { packed: null, head: null, text: resumed([], unified(decoded(source, name))) }
  }
  const all = resumed([first], source)
  const bytes = kind?.read === 'gzip' ? gunzip(all, name) : kind?.read === 'zstd' ? unzstd(all, name) : all
  const text = unified(decoded(kind?.read ? checked(bytes, name, kind.read) : bytes, name))
  const seen: string[] = []
  let head = ''
  while (head.length < headLength) {
    const { value, done } = await text.next()
    if (done) break
    seen.push(value)
    head += value
  }
  return { packed: kind?.read ?? null, head, text: resumed(seen, text) }
}

/** A source with the pieces that were already taken from it put back in front. */
async function* resumed<T>(taken: T[], source: AsyncGenerator<T>): AsyncGenerator<T> {
  try {
    yield* taken
    yield* source
  } finally {
    await source.return(undefined)
  }
}

function unreadable(name: string, kind: Kind, packed = ''): WorkbenchError {
  const hint = packed ? 'Unpack it first.' : adviceFor(kind)
  return new WorkbenchError('text-invalid', `${name} is ${kind.name}${packed}, which cannot be read as text.`, hint)
}

/** The contents of a compressed file are inspected like a file. */
async function* checked(unpacked: AsyncIterable<Uint8Array>, name: string, packed: string): AsyncGenerator<Uint8Array> {
  let head: Uint8Array | null = new Uint8Array()
  const check = (bytes: Uint8Array) => {
    const kind = kindOf(bytes)
    if (kind) throw unreadable(name, kind, ` inside ${packed}`)
  }
  for await (const piece of unpacked) {
    if (!head) {
      yield piece
      continue
    }
    const joined: Uint8Array = new Uint8Array(head.length + piece.length)
    joined.set(head)
    joined.set(piece, head.length)
    head = joined
    if (head.length < headBytes) continue
    check(head)
    yield head
    head = null
  }
  if (!head?.length) return
  check(head)
  yield head
}

async function* decoded(bytes: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const decode = (piece?: Uint8Array) => {
    try {
      return decoder.decode(piece, { stream: piece !== undefined })
    } catch (cause) {
      throw new WorkbenchError('text-invalid', `${name} is not UTF-8 text.`, 'Save it as plain text in UTF-8, or choose another file.', {
        cause,
      })
    }
  }
  for await (const piece of bytes) yield decode(piece)
  yield decode()
}

async function* unified(text: AsyncIterable<string>): AsyncGenerator<string> {
  // A piece may end between the two characters of one line end.
  let held = ''
  for await (const piece of text) {
    if (!piece) continue
    const whole = held + piece
    held = whole.endsWith('\r') ? '\r' : ''
    const ready = held ? whole.slice(0, -1) : whole
    yield ready.includes('\r') ? ready.replace(/\r\n?/g, '\n') : ready
  }
  if (held) yield '\n'
}

/** Lines without their ends, with their number from 1. */
export async function* lines(text: AsyncIterable<string>, name: string): AsyncGenerator<{ line: string; number: number }> {
  let rest: string[] = []
  let length = 0
  let number = 0
  for await (const piece of text) {
    let from = 0
    for (let end = piece.indexOf('\n'); end >= 0; end = piece.indexOf('\n', from)) {
      yield { line: rest.join('') + piece.slice(from, end), number: ++number }
      rest = []
      length = 0
      from = end + 1
    }
    if (from < piece.length) rest.push(piece.slice(from))
    length += piece.length - from
    if (length > maxLine) throw tooLong(name, number + 1)
  }
  if (length) yield { line: rest.join(''), number: ++number }
}

/** The error for a line, or a JSON value, of more than `maxLine` characters. */
export function tooLong(name: string, line: number): WorkbenchError {
  return new WorkbenchError(
    'text-invalid',
    `The line or value that begins in line ${line} of ${name} is longer than ${maxLine} characters.`,
    'Put each document on a line of its own.',
  )
}
