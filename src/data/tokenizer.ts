/** Text to token ids with the model's own tokenizer.json. */
import { Tokenizer } from '@huggingface/tokenizers'
import { WorkbenchError } from '../errors.ts'
import type { Files } from '../io/bytes.ts'
import { isObject, type JsonObject, readJson } from '../io/json.ts'

export interface TextTokenizer {
  /** The model behind it: BPE, Unigram, WordPiece. */
  kind: string
  /** Highest id + 1. */
  vocab: number
  /**
   * Ids of one text as one stream. With `special` (the default) the tokenizer's own template adds its special tokens,
   * so a LLaMA text starts with one BOS.
   */
  encode(text: string, options?: { special?: boolean }): Int32Array
}

/** The largest known (256k tokens, merges as pairs) takes about 35 MB. */
const maxTokenizerBytes = 128 << 20
const maxConfigBytes = 16 << 20
/** Four times the largest vocabulary in use; an id far out would make the library fill an array up to it. */
const maxVocab = 1 << 20

const hint = 'Download tokenizer.json again, or save it with transformers: tokenizer.save_pretrained(folder).'

export async function loadTokenizer(files: Files): Promise<TextTokenizer> {
  const file = files.get('tokenizer.json')
  if (!file) {
    const why = files.has('tokenizer.model') ? ' (tokenizer.model alone is not enough)' : ''
    throw new WorkbenchError('file-missing', `The folder has no tokenizer.json${why}.`, hint)
  }
  const { value: definition } = await readJson(file, 'tokenizer.json', { cap: maxTokenizerBytes, code: 'tokenizer-invalid', hint })
  const settingsFile = files.get('tokenizer_config.json')
  const settings = settingsFile
    ? (await readJson(settingsFile, 'tokenizer_config.json', { cap: maxConfigBytes, code: 'tokenizer-invalid', hint })).value
    : {}
  const vocab = vocabSize(definition)
  checkInserted(definition.normalizer)
  checkInserted(definition.pre_tokenizer)
  const tokenizer = guard(() => new Tokenizer(definition, settings))
  guard(() => speedUp(tokenizer))
  return {
    kind: String((definition.model as JsonObject).type ?? 'unnamed'),
    vocab,
    encode(text, { special = true } = {}) {
      const { ids } = guard(() => tokenizer.encode(text, { add_special_tokens: special }))
      // An unknown piece without an unknown token comes as undefined, which an Int32Array would turn into 0.
      const wrong = ids.findIndex((id) => !(Number.isInteger(id) && id >= 0 && id < vocab))
      if (wrong >= 0) throw invalid(`token ${wrong} of the text is not in its vocabulary`)
      return Int32Array.from(ids)
    },
  }
}

/** A model must have an embedding for every id that its tokenizer can give. */
export function checkTokenizer(tokenizer: TextTokenizer, embeddingRows: number): void {
  if (tokenizer.vocab <= embeddingRows) return
  throw new WorkbenchError(
    'tokenizer-mismatch',
    `The tokenizer has ids up to ${tokenizer.vocab - 1}, but the model's embedding has ${embeddingRows} rows.`,
    'Put the tokenizer.json that belongs to this model into the folder.',
  )
}

/** Highest id + 1, with every id checked before the library sees it. */
function vocabSize(definition: JsonObject): number {
  const { model, added_tokens: added = [] } = definition
  if (!isObject(model)) throw invalid('it has no model')
  let highest = -1
  const take = (id: unknown, token: unknown) => {
    if (!(Number.isInteger(id) && (id as number) >= 0 && (id as number) < maxVocab))
      throw invalid(`token ${JSON.stringify(token)} has the id ${JSON.stringify(id)}`)
    highest = Math.max(highest, id as number)
  }
  if (Array.isArray(model.vocab)) highest = model.vocab.length - 1
  else if (isObject(model.vocab)) for (const token in model.vocab) take(model.vocab[token], token)
  else throw invalid('its model has no vocabulary')
  if (highest < 0 || highest >= maxVocab) throw invalid(`its vocabulary has ${highest + 1} entries`)
  if (!Array.isArray(added)) throw invalid('its added_tokens are not a list')
  for (const token of added) take(token?.id, token?.content)
  definition.added_tokens = added // the library takes the list for granted
  return highest + 1
}

/** Real ones are a character or two; each space of a text may become such a piece. */
const maxInserted = 64

/** What a normalizer or pre-tokenizer puts into the text must not make a thousand times more of it. */
function checkInserted(step: unknown): void {
  if (Array.isArray(step)) for (const one of step) checkInserted(one)
  else if (isObject(step)) {
    for (const [key, value] of Object.entries(step)) {
      if (!['content', 'prepend', 'replacement'].includes(key)) checkInserted(value)
      else if (value !== null && !(typeof value === 'string' && value.length <= maxInserted))
        throw invalid(`it puts ${JSON.stringify(value).slice(0, 40)} into the text, where at most ${maxInserted} characters make sense`)
    }
  }
}

/** Only pieces beyond this are cut: shorter ones are cheap, and the library caches up to this length. */
const longPiece = 256

/**
 * LLaMA's BPE has no pre-tokenizer, so a text of 1 MB is one piece of a million symbols and takes many seconds. Between
 * two characters that no merge ever joins, nothing on one side can change the other, so the piece may be cut there and
 * the ids stay equal; the parts, mostly single words, then also hit the library's cache.
 */
function speedUp(tokenizer: Tokenizer): void {
  const model = tokenizer.model as unknown as Record<string, unknown> | null
  const merges = model?.merges
  // These three look at where a piece starts and ends.
  if (!Array.isArray(merges) || model?.ignore_merges || model?.end_of_word_suffix || model?.continuing_subword_suffix) return
  const joined = new Set<string>()
  for (const pair of merges as [string, string][]) joined.add(lastOf(pair[0]) + firstOf(pair[1]))
  const inner = tokenizer.pre_tokenizer as ((text: string, options?: unknown) => string[]) | null
  const outer = (text: string, options?: unknown) => {
    const pieces = inner ? inner(text, options) : [text]
    return pieces.some((piece) => piece.length > longPiece)
      ? pieces.flatMap((piece) => (piece.length > longPiece ? cut(piece, joined) : piece))
      : pieces
  }
  tokenizer.pre_tokenizer = outer as unknown as Tokenizer['pre_tokenizer']
}

/** Cuts between all neighbouring characters that no merge joins. */
function cut(piece: string, joined: Set<string>): string[] {
  const parts: string[] = []
  let start = 0
  let at = 0
  let before = ''
  for (const char of piece) {
    if (before && !joined.has(before + char)) {
      parts.push(piece.slice(start, at))
      start = at
    }
    before = char
    at += char.length
  }
  parts.push(piece.slice(start))
  return parts
}

function firstOf(text: string) {
  return String.fromCodePoint(text.codePointAt(0) ?? 0)
}

function lastOf(text: string) {
  return Array.from(text.slice(-2)).at(-1) ?? ''
}

function guard<T>(call: () => T): T {
  try {
    return call()
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : String(cause), cause)
  }
}

function invalid(why: string, cause?: unknown) {
  return new WorkbenchError('tokenizer-invalid', `tokenizer.json cannot be used: ${why}.`, hint, { cause })
}
