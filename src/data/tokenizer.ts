/** Encodes text with the model's own tokenizer.json into exactly the token ids of the Rust library `tokenizers` 0.23. */
import { WorkbenchError } from '../errors.ts'
import type { Files } from '../io/bytes.ts'
import type { Vocabulary } from '../io/formats/index.ts'
import { type JsonObject, readJson } from '../io/json.ts'
import { type AddedToken, type AddedTokens, finder, readAddedTokens } from './tokenizer/added.ts'
import { invalid, shown, unsupported } from './tokenizer/fields.ts'
import { readModel, type TokenModel } from './tokenizer/models.ts'
import { readNormalizer } from './tokenizer/normalizers.ts'
import { readPostProcessor } from './tokenizer/postprocessor.ts'
import { asksForFirst, readPreTokenizer } from './tokenizer/pretokenizers.ts'
import { addSideTokens, remarkOn, type SideFiles, withPrefixSpace } from './tokenizer/settings.ts'

export interface TextTokenizer {
  /** The model behind it: BPE, Unigram, WordPiece, WordLevel. */
  kind: string
  /** Highest id + 1. */
  vocab: number
  /** How many tokens its template appends to a text. */
  after: number
  /** Its tables, for formats that store them. */
  tables: Omit<Vocabulary, 'special' | 'specialIds' | 'chatTemplate'>
  /** Remarks on it that a plan shows. */
  remarks: { message: string; hint: string }[]
  /**
   * Ids of one text as one stream. With `special` (the default) the tokenizer's own template adds its special tokens,
   * so a LLaMA text starts with one BOS.
   */
  encode(text: string, options?: { special?: boolean }): Int32Array
  /** The token of an id; undefined for an id that no token has. */
  tokenOf(id: number): string | undefined
}

/** Size cap: the largest known file (256k tokens, merges as pairs) has about 35 MB. */
const maxTokenizerBytes = 128 << 20
const maxConfigBytes = 16 << 20

const hint = 'Download the tokenizer files again, or save them with transformers: tokenizer.save_pretrained(folder).'
const missingHint = 'Put the tokenizer.json of the model there, or save one with transformers: tokenizer.save_pretrained(folder).'

const parts = ['version', 'truncation', 'padding', 'added_tokens', 'normalizer', 'pre_tokenizer', 'post_processor', 'decoder', 'model']

/**
 * @throws WorkbenchError `file-missing` without a tokenizer.json, `tokenizer-invalid` for one that is invalid or needs a feature that is
 * not supported exactly; the sentence names it
 */
export async function loadTokenizer(files: Files): Promise<TextTokenizer> {
  const file = files.get('tokenizer.json')
  if (!file) {
    const why = files.has('tokenizer.model') ? ' (tokenizer.model is not enough)' : ''
    throw new WorkbenchError('file-missing', `The folder has no tokenizer.json${why}.`, missingHint)
  }
  const { value } = await readJson(file, 'tokenizer.json', { cap: maxTokenizerBytes, code: 'tokenizer-invalid', hint })
  const side: SideFiles = {
    config: await readBeside(files, 'tokenizer_config.json'),
    map: await readBeside(files, 'special_tokens_map.json'),
    added: await readBeside(files, 'added_tokens.json'),
  }
  const unknown = Object.keys(value).find((key) => !parts.includes(key))
  if (unknown !== undefined) throw unsupported(`it has the part ${shown(unknown)}`)
  if (value.version !== undefined && value.version !== '1.0') throw unsupported(`it has the version ${shown(value.version)}`)
  const model = readModel(value.model)
  const tokens = readAddedTokens(value.added_tokens, model.vocab)
  addSideTokens(tokens, side)
  const remark = remarkOn(value, side, (await readBeside(files, 'config.json')).model_type)
  return { ...assembled(withPrefixSpace(value, side), model, tokens), remarks: remark ? [remark] : [] }
}

export async function readBeside(files: Files, name: string): Promise<JsonObject> {
  const file = files.get(name)
  if (!file) return {}
  return (await readJson(file, name, { cap: maxConfigBytes, code: 'tokenizer-invalid', hint })).value
}

function assembled(definition: JsonObject, model: TokenModel, tokens: AddedTokens): Omit<TextTokenizer, 'remarks'> {
  const normalizer = readNormalizer(definition.normalizer)
  const preTokenize = readPreTokenizer(definition.pre_tokenizer)
  const template = readPostProcessor(definition.post_processor)
  const all = [...tokens]
  const findPlain = finder(
    all.filter(({ token }) => !token.normalized),
    null,
  )
  const findNormalized = finder(
    all.filter(({ token }) => token.normalized),
    normalizer,
  )
  const { first, cut, inserted } = asksForFirst(definition.pre_tokenizer)
  const normalizes = normalizer !== null && (normalizer.removes || cut || all.some(({ token }) => token.normalized))
  // Finding the first piece then needs the original positions of characters, which are not tracked here.
  if (first && (normalizes || inserted))
    throw unsupported('it has a Metaspace with prepend_scheme "first" after steps that change the text')
  const highest = highestOf(
    model.vocab.values(),
    all.map(({ id }) => id),
    template.before,
    template.after,
  )
  if (highest < 0) throw invalid('its vocabulary has 0 entries')

  function encodePlain(text: string, first: boolean, ids: number[]): void {
    const normalized = normalizer ? normalizer.apply(text) : text
    for (const section of normalized ? findNormalized(normalized) : []) {
      if (section.id !== null) ids.push(section.id)
      else for (const piece of preTokenize(section.text, first && section.start === 0)) if (piece) model.encode(piece, ids)
    }
  }

  let names: Map<number, string> | null = null
  return {
    kind: model.kind,
    tables: tablesOf(definition, model, all, template, highest),
    vocab: highest + 1,
    after: template.after.length,
    encode(text, { special = true } = {}) {
      const ids: number[] = special ? [...template.before] : []
      for (const section of findPlain(wellFormed(text))) {
        if (section.id !== null) ids.push(section.id)
        else if (section.text) encodePlain(section.text, section.start === 0, ids)
      }
      if (special) ids.push(...template.after)
      return Int32Array.from(ids)
    },
    tokenOf(id) {
      names ??= new Map([...model.vocab, ...all.map((one) => [one.token.content, one.id] as const)].map(([token, of]) => [of, token]))
      return names.get(id)
    },
  }
}

/** What files of other formats store of a tokenizer. */
function tablesOf(
  definition: JsonObject,
  model: TokenModel,
  added: readonly { id: number; token: AddedToken }[],
  { before, after }: ReturnType<typeof readPostProcessor>,
  highest: number,
): TextTokenizer['tables'] {
  return {
    kind: model.kind,
    definition: withoutTables(definition),
    tokens: () => {
      const tokens: (string | undefined)[] = Array(highest + 1).fill(undefined)
      for (const [token, id] of model.vocab) tokens[id] = token
      for (const { token, id } of added) tokens[id] = token.content
      return tokens
    },
    merges: () => model.merges?.() ?? new Int32Array(),
    added: added.map(({ token, id }) => ({ ...token, id })),
    before,
    after,
  }
}

function withoutTables({ model, ...definition }: JsonObject): JsonObject {
  const { vocab: _, merges: __, ...rest } = model as JsonObject
  return { ...definition, model: rest }
}

function highestOf(...lists: Iterable<number>[]): number {
  let highest = -1
  for (const list of lists) for (const id of list) if (id > highest) highest = id
  return highest
}

/** Replaces unpaired surrogates, which are not characters. */
const lone = /\p{Surrogate}/gu
const wellFormed = (text: string) => text.replace(lone, '\ufffd')

/**
 * Checks that the model has an embedding for every id of a text. A tokenizer may have more ids, e.g. image tokens that no text contains.
 * @param name name of the text
 * @throws WorkbenchError `tokenizer-mismatch` naming the first token beyond the embedding's rows
 */
export function checkIds(ids: Int32Array, embeddingRows: number, tokenizer: TextTokenizer, name: string): void {
  const at = ids.findIndex((id) => id >= embeddingRows)
  if (at < 0) return
  throw new WorkbenchError(
    'tokenizer-mismatch',
    `${name} contains the token ${shown(tokenizer.tokenOf(ids[at]))} with the id ${ids[at]}, but the model's embedding has ${embeddingRows} rows.`,
    'Choose a text without this token, or put the tokenizer.json that belongs to this model into the folder.',
  )
}
