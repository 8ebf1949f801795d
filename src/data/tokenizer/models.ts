/** Models of a tokenizer.json, which encode a piece of text into ids. BPE is in its own file. */
import { isObject, type JsonObject } from '../../io/json.ts'
import { readBpe } from './bpe.ts'
import { byteTokens } from './bytes.ts'
import { type Field, fieldsOf, flag, invalid, list, object, positive, shown, text, unsupported } from './fields.ts'

export interface TokenModel {
  kind: string
  /** Ids by token. */
  vocab: ReadonlyMap<string, number>
  /** Appends the ids of a non-empty piece. */
  encode(piece: string, ids: number[]): void
  /** Of BPE, in their order: left, right and result of each, three by three. */
  merges?(): Int32Array
}

/** Cap of the vocabulary: four times the largest in use. */
export const maxVocab = 1 << 20

/** @throws WorkbenchError `tokenizer-invalid` for an invalid or too large id */
export function checkedId(id: unknown, token: unknown): number {
  if (Number.isInteger(id) && (id as number) >= 0 && (id as number) < maxVocab) return id as number
  throw invalid(`token ${shown(token)} has the id ${JSON.stringify(id)}`)
}

/** @throws WorkbenchError `tokenizer-invalid` that names what is wrong or not supported */
export function readModel(value: unknown): TokenModel {
  if (!isObject(value)) throw invalid('it has no model')
  // Files from before 2020 do not name their model.
  const type = value.type ?? (Array.isArray(value.merges) ? 'BPE' : undefined)
  if (type === undefined) throw unsupported('its model has no type')
  if (type === 'Unigram') return readUnigram(value)
  const vocab = readVocab(value.vocab)
  if (type === 'BPE') return { kind: 'BPE', vocab, ...readBpe(value, vocab) }
  if (type === 'WordPiece') return { kind: 'WordPiece', vocab, encode: readWordPiece(value, vocab) }
  if (type === 'WordLevel') return { kind: 'WordLevel', vocab, encode: readWordLevel(value, vocab) }
  throw unsupported(`it has the model ${shown(type)}`)
}

function readVocab(value: unknown): Map<string, number> {
  if (!isObject(value)) throw invalid('its model has no vocabulary')
  const vocab = new Map<string, number>()
  for (const token in value) vocab.set(token, checkedId(value[token], token))
  return vocab
}

/** The id of the unknown token; an error only when it is needed. */
function unknown(vocab: Map<string, number>, token: string): () => number {
  const id = vocab.get(token)
  return () => {
    if (id === undefined) throw invalid(`a text has an unknown word, and its unk_token ${shown(token)} is not in its vocabulary`)
    return id
  }
}

function readWordLevel(component: JsonObject, vocab: Map<string, number>): TokenModel['encode'] {
  const { unk_token } = fieldsOf(component, 'the model WordLevel', { vocab: object, unk_token: text() })
  const unk = unknown(vocab, unk_token)
  return (piece, ids) => {
    ids.push(vocab.get(piece) ?? unk())
  }
}

/** Repeatedly takes the longest token at the start of the rest; a word that cannot be covered is unknown as a whole. */
function readWordPiece(component: JsonObject, vocab: Map<string, number>): TokenModel['encode'] {
  const fields = fieldsOf(component, 'the model WordPiece', {
    vocab: object,
    unk_token: text(),
    continuing_subword_prefix: text(),
    max_input_chars_per_word: positive,
  })
  const unk = unknown(vocab, fields.unk_token)
  return (piece, ids) => {
    const chars = Array.from(piece)
    const found: number[] = []
    for (let start = 0; start < chars.length && chars.length <= fields.max_input_chars_per_word; ) {
      let end = chars.length
      let id: number | undefined
      for (; end > start && id === undefined; end--) {
        id = vocab.get((start ? fields.continuing_subword_prefix : '') + chars.slice(start, end).join(''))
      }
      if (id === undefined) break
      found.push(id)
      start = end + 1
      if (start === chars.length) return void ids.push(...found)
    }
    ids.push(unk())
  }
}

const wholeOrNull: Field<number | null> = {
  fits: (value): value is number | null => value === null || (Number.isInteger(value) && (value as number) >= 0),
  otherwise: null,
}

interface TrieNode {
  id: number
  next: Map<number, TrieNode> | null
}

/** What an unknown character costs beyond the least likely token (SentencePiece). */
const unknownPenalty = 10

/** The most likely segmentation of a piece into tokens (Kudo, arXiv 1804.10959); of equals, the first found. */
function readUnigram(component: JsonObject): TokenModel {
  const fields = fieldsOf(component, 'the model Unigram', { vocab: list, unk_id: wholeOrNull, byte_fallback: flag(false) })
  const { vocab, scores, root } = readPieces(fields.vocab)
  const { unk_id } = fields
  if (unk_id !== null && unk_id >= scores.length) throw invalid(`its unk_id is ${unk_id} in a vocabulary of ${scores.length}`)
  const unknownScore = Math.min(...batches(scores)) - unknownPenalty

  const idsOf = (part: string) => partIds(part, vocab, fields)

  function encode(piece: string, ids: number[]) {
    const { from, token } = bestPath(piece)
    // Backwards along the path; adjacent unknown characters are one piece.
    const parts: [begin: number, end: number][] = []
    let unknownBefore = false
    for (let end = piece.length; end > 0; end = from[end]) {
      const isUnknown = token[end] === unk_id
      if (isUnknown && unknownBefore) parts.at(-1)![0] = from[end]
      else parts.push([from[end], end])
      unknownBefore = isUnknown
    }
    for (const [begin, end] of parts.reverse()) ids.push(...idsOf(piece.slice(begin, end)))
  }

  function bestPath(piece: string) {
    const size = piece.length + 1
    const [score, from, token] = [new Float64Array(size), new Int32Array(size).fill(-1), new Int32Array(size)]
    for (let begin = 0; begin < piece.length; ) {
      const char = piece.codePointAt(begin)! > 0xffff ? 2 : 1
      let known = false
      const reach = (end: number, id: number, gain: number) => {
        const candidate = gain + score[begin]
        if (from[end] >= 0 && candidate <= score[end]) return
        score[end] = candidate
        from[end] = begin
        token[end] = id
      }
      let node: TrieNode | undefined = root
      for (let end = begin; end < piece.length; ) {
        node = node.next?.get(piece.charCodeAt(end++))
        if (!node) break
        if (node.id < 0) continue
        reach(end, node.id, scores[node.id])
        known ||= end - begin === char
      }
      if (!known) {
        if (unk_id === null) throw invalid('a text has an unknown character, and its Unigram model has no unk_id')
        reach(begin + char, unk_id, unknownScore)
      }
      begin += char
    }
    return { from, token }
  }

  return { kind: 'Unigram', vocab, encode }
}

/** A part of a segmentation: a token, else the tokens of its bytes, else the unknown one, else nothing. */
function partIds(
  part: string,
  vocab: ReadonlyMap<string, number>,
  { unk_id, byte_fallback }: { unk_id: number | null; byte_fallback: boolean },
): number[] {
  const id = vocab.get(part)
  if (id !== undefined) return [id]
  const bytes = byte_fallback ? byteTokens(part).map((token) => vocab.get(token)) : [undefined]
  if (bytes.every((byte) => byte !== undefined)) return bytes
  return unk_id === null ? [] : [unk_id]
}

/** In parts, since a call takes only so many arguments. */
function batches(scores: number[]): number[] {
  const least: number[] = []
  for (let at = 0; at < scores.length; at += 4096) least.push(Math.min(...scores.slice(at, at + 4096)))
  return least
}

function readPieces(list: unknown[]) {
  if (!list.length || list.length > maxVocab) throw invalid(`its vocabulary has ${list.length} entries`)
  const vocab = new Map<string, number>()
  const scores: number[] = []
  const root: TrieNode = { id: -1, next: null }
  for (const [id, entry] of list.entries()) {
    const [token, score] = Array.isArray(entry) && entry.length === 2 ? entry : []
    if (typeof token !== 'string' || typeof score !== 'number' || !token) throw invalid(`entry ${id} of its vocabulary is ${shown(entry)}`)
    if (vocab.has(token)) throw invalid(`its vocabulary has the token ${shown(token)} twice`)
    vocab.set(token, id)
    scores.push(score)
    let node = root
    for (let i = 0; i < token.length; i++) {
      node.next ??= new Map()
      const child: TrieNode = node.next.get(token.charCodeAt(i)) ?? { id: -1, next: null }
      node.next.set(token.charCodeAt(i), child)
      node = child
    }
    node.id = id
  }
  return { vocab, scores, root }
}
