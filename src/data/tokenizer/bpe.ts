/**
 * Byte-pair encoding (Sennrich et al., arXiv 1508.07909): merges the characters of a piece pair by pair, lowest rank first, leftmost of
 * equals first.
 */
import type { JsonObject } from '../../io/json.ts'
import { byteTokens } from './bytes.ts'
import { type Field, fieldsOf, flag, invalid, list, object, shown, textOrNull } from './fields.ts'

/** Without dropout, which is random. */
const noDropout: Field<number | null> = { fits: (value): value is number | null => value === null || value === 0, otherwise: null }

/** Pieces shorter than this are cached with their ids; longer ones are cut where no merge can cross. */
const longPiece = 256
const mostKept = 50_000

/** @throws WorkbenchError `tokenizer-invalid` that names what is wrong or not supported */
export function readBpe(
  component: JsonObject,
  vocab: ReadonlyMap<string, number>,
): { encode(piece: string, ids: number[]): void; merges(): Int32Array } {
  const fields = fieldsOf(component, 'the model BPE', {
    vocab: object,
    merges: list,
    dropout: noDropout,
    unk_token: textOrNull,
    continuing_subword_prefix: textOrNull,
    end_of_word_suffix: textOrNull,
    fuse_unk: flag(false),
    byte_fallback: flag(false),
    ignore_merges: flag(false),
  })
  const prefix = fields.continuing_subword_prefix ?? ''
  const suffix = fields.end_of_word_suffix ?? ''
  const spelling = { prefix, suffix, unknown: fields.unk_token, fuse: fields.fuse_unk, bytes: fields.byte_fallback }
  const { merges, joined } = readMerges(fields.merges, vocab, prefix)
  const kept = new Map<string, number[]>()
  // These options depend on where a piece begins and ends.
  const cuts = !(fields.ignore_merges || prefix || suffix)

  function encode(piece: string, ids: number[]): void {
    if (piece.length < longPiece) encodeKept(piece, ids)
    else if (cuts) for (const part of parts(piece, vocab, joined)) encodeKept(part, ids)
    else for (const id of encodePiece(piece)) ids.push(id)
  }

  function encodeKept(piece: string, ids: number[]): void {
    let found = kept.get(piece)
    if (!found) {
      found = encodePiece(piece)
      if (kept.size >= mostKept) kept.clear()
      if (piece.length < longPiece) kept.set(piece, found)
    }
    for (const id of found) ids.push(id)
  }

  function encodePiece(piece: string): number[] {
    const whole = fields.ignore_merges ? vocab.get(piece) : undefined
    return whole === undefined ? merge(symbolsOf(piece, vocab, spelling), merges) : [whole]
  }

  return { encode, merges: () => merges.inOrder() }
}

/** How characters are written as tokens. */
interface Spelling {
  /** Before every character but the first, and behind the last. */
  prefix: string
  suffix: string
  /** The token of an unknown character, and whether several in a row are one. */
  unknown: string | null
  fuse: boolean
  /** Unknown characters are written as the tokens of their bytes. */
  bytes: boolean
}

/** The ids of the characters, before any merge. */
function symbolsOf(
  piece: string,
  vocab: ReadonlyMap<string, number>,
  { prefix, suffix, unknown: token, fuse, bytes: toBytes }: Spelling,
): number[] {
  const symbols: number[] = []
  const chars = Array.from(piece)
  let unknown = -1
  for (const [i, char] of chars.entries()) {
    const symbol = (i ? prefix : '') + char + (i === chars.length - 1 ? suffix : '')
    const id = vocab.get(symbol)
    if (id !== undefined) {
      if (unknown >= 0) symbols.push(unknown)
      unknown = -1
      symbols.push(id)
      continue
    }
    const bytes = toBytes ? byteTokens(symbol).map((token) => vocab.get(token)) : [undefined]
    // As in the library, an unknown token before such bytes is emitted after them.
    if (bytes.every((byte) => byte !== undefined)) symbols.push(...bytes)
    else if (token !== null) {
      if (unknown >= 0 && !fuse) symbols.push(unknown)
      unknown = unknownId(vocab, token)
    }
  }
  if (unknown >= 0) symbols.push(unknown)
  return symbols
}

function unknownId(vocab: ReadonlyMap<string, number>, token: string): number {
  const id = vocab.get(token)
  if (id === undefined) throw invalid(`a text has an unknown character, and its unk_token ${shown(token)} is not in its vocabulary`)
  return id
}

/** Ranks and results of merges by pairs of ids, in a hash table with open addressing. */
class Merges {
  readonly #mask: number
  readonly #left: Int32Array
  readonly #right: Int32Array
  readonly ranks: Int32Array
  readonly results: Int32Array

  constructor(count: number) {
    const size = 2 ** Math.ceil(Math.log2(2 * count + 2))
    this.#mask = size - 1
    this.#left = new Int32Array(size).fill(-1)
    this.#right = new Int32Array(size)
    this.ranks = new Int32Array(size)
    this.results = new Int32Array(size)
  }

  #slot(left: number, right: number): number {
    let at = (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) >>> 0
    at = (at ^ (at >>> 15)) & this.#mask
    while (this.#left[at] >= 0 && !(this.#left[at] === left && this.#right[at] === right)) at = (at + 1) & this.#mask
    return at
  }

  /** Of two merges of the same pair, the last counts. */
  set(left: number, right: number, rank: number, result: number): void {
    const at = this.#slot(left, right)
    this.#left[at] = left
    this.#right[at] = right
    this.ranks[at] = rank
    this.results[at] = result
  }

  /** Left, right and result of every merge, three by three, by rank. */
  inOrder(): Int32Array {
    const places = Array.from(this.#left.keys()).filter((at) => this.#left[at] >= 0)
    places.sort((a, b) => this.ranks[a] - this.ranks[b])
    return Int32Array.from(places.flatMap((at) => [this.#left[at], this.#right[at], this.results[at]]))
  }

  /** The index of a pair; -1 when no merge joins it. */
  find(left: number, right: number): number {
    const at = this.#slot(left, right)
    return this.#left[at] >= 0 ? at : -1
  }
}

function readMerges(list: unknown[], vocab: ReadonlyMap<string, number>, prefix: string) {
  const lines = list.filter((line) => !(typeof line === 'string' && line.startsWith('#version')))
  const merges = new Merges(lines.length)
  /** Pairs of last and first characters that some merge joins. */
  const joined = new Set<string>()
  const idOf = (token: string) => {
    const id = vocab.get(token)
    if (id === undefined) throw invalid(`a merge needs ${shown(token)}, which is not in its vocabulary`)
    return id
  }
  for (const [rank, line] of lines.entries()) {
    const pair = typeof line === 'string' ? line.split(' ') : line
    if (!(Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === 'string' && part))) {
      throw invalid(`its merge ${rank} is ${shown(line)}`)
    }
    const [left, right] = pair as [string, string]
    merges.set(idOf(left), idOf(right), rank, idOf(left + right.slice(prefix.length)))
    joined.add(lastOf(left) + firstOf(right))
  }
  return { merges, joined }
}

const firstOf = (text: string) => String.fromCodePoint(text.codePointAt(0)!)
const lastOf = (text: string) => Array.from(text.slice(-2)).at(-1)!

/**
 * LLaMA's BPE has no pre-tokenizer, so a text of 1 MB is one piece of a million symbols. Between two known characters that no merge ever
 * brings together, nothing on one side can change the other: cutting there leaves the ids unchanged, and the parts, mostly single words,
 * repeat and are cached. Unknown characters are not separated, since they may become one token.
 */
function parts(piece: string, vocab: ReadonlyMap<string, number>, joined: Set<string>): string[] {
  const result: string[] = []
  let start = 0
  let at = 0
  let before = ''
  for (const char of piece) {
    if (before && !joined.has(before + char) && vocab.has(char)) {
      result.push(piece.slice(start, at))
      start = at
    }
    before = vocab.has(char) ? char : ''
    at += char.length
  }
  result.push(piece.slice(start))
  return result
}

/** Merges the symbols of a piece: always the pair of lowest rank, leftmost of equals. */
function merge(symbols: number[], merges: Merges): number[] {
  const count = symbols.length
  const queue = new Queue()
  const next = Int32Array.from(symbols, (_, i) => (i + 1 < count ? i + 1 : -1))
  const before = Int32Array.from(symbols, (_, i) => i - 1)
  const push = (at: number) => {
    const found = next[at] < 0 ? -1 : merges.find(symbols[at], symbols[next[at]])
    if (found >= 0) queue.push(merges.ranks[found], at, merges.results[found])
  }
  for (let i = 0; i < count; i++) push(i)
  while (queue.pop()) {
    const { at, result } = queue
    const right = next[at]
    if (symbols[at] < 0 || right < 0) continue
    // A stale entry: one of the two was merged with another since.
    const found = merges.find(symbols[at], symbols[right])
    if (found < 0 || merges.results[found] !== result) continue
    symbols[at] = result
    symbols[right] = -1
    next[at] = next[right]
    if (next[at] >= 0) before[next[at]] = at
    if (before[at] >= 0) push(before[at])
    push(at)
  }
  return symbols.filter((id) => id >= 0)
}

/** A binary heap of pairs, by rank and position. */
class Queue {
  at = 0
  result = 0
  /** rank · 2²⁶ + position: a piece has fewer than 2²⁶ symbols, and 2²⁶ ranks fit beside them. */
  readonly #keys: number[] = []
  readonly #results: number[] = []

  push(rank: number, at: number, result: number): void {
    const key = rank * 2 ** 26 + at
    const [keys, results] = [this.#keys, this.#results]
    let hole = keys.length
    while (hole > 0) {
      const parent = (hole - 1) >> 1
      if (keys[parent] <= key) break
      keys[hole] = keys[parent]
      results[hole] = results[parent]
      hole = parent
    }
    keys[hole] = key
    results[hole] = result
  }

  /** Removes the first pair and sets `at` and `result`; false when there is none. */
  pop(): boolean {
    const [keys, results] = [this.#keys, this.#results]
    if (!keys.length) return false
    this.at = keys[0] % 2 ** 26
    this.result = results[0]
    const key = keys.pop()!
    const result = results.pop()!
    const count = keys.length
    if (!count) return true
    let hole = 0
    for (let child = 1; child < count; child = 2 * hole + 1) {
      if (child + 1 < count && keys[child + 1] < keys[child]) child++
      if (keys[child] >= key) break
      keys[hole] = keys[child]
      results[hole] = results[child]
      hole = child
    }
    keys[hole] = key
    results[hole] = result
    return true
  }
}
