/**
 * The tokenizer as llama.cpp reads it out of the file (src/llama-vocab.cpp): byte-level BPE ("gpt2") under the name of a
 * pre-tokenizer that its code has, or a SentencePiece vocabulary ("llama"). It does not read tokenizer.json: whatever that asks
 * for and its code does not do would give wrong tokens without a word, so only what is known to be the same is written.
 */
import { isObject, type JsonObject } from '../../json.ts'
import type { Vocabulary } from '../model.ts'
import { type EncodedMetadata, encodeMetadata, type MetaValue } from './file.ts'

export interface GgufVocabulary {
  metadata: EncodedMetadata
  /** What its tokens may differ by: sentences. */
  differs: string[]
}

/** Metadata of the tokens themselves. */
interface Tables {
  metadata: [string, MetaValue][]
  differs: string[]
}

/** How tokens are found in a text. */
const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

/** Pieces by the regular expression of LLaMA 3 and its kin, whose digits come `{1,3}` or one by one. */
const llama3Pieces = (digits: string) =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`
const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]'
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'
const short = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
const tail = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
const word = '[^\\r\\n\\p{L}\\p{N}]?'

const bytes = (regex: boolean) => `ByteLevel(${regex ? 'regex' : 'whole'})`
const split = (pattern: string) => `Split(${JSON.stringify({ Regex: pattern })}, Isolated)`

/** Where its code takes every letter beyond ASCII for one of either case. */
const beyondAscii = 'it splits words with combining marks, and words of mixed case with letters beyond ASCII, at other places'

/** Names of pre-tokenizers by what they do; `whole`: a piece that is a token itself is not merged from its parts. */
const preTokenizers: { name: string; steps: string[]; whole?: boolean; differs?: string }[] = [
  { name: 'gpt-2', steps: [bytes(true)] },
  { name: 'smollm', steps: ['Digits(single)', bytes(true)] },
  { name: 'llama-bpe', steps: [split(llama3Pieces('\\p{N}{1,3}')), bytes(false)], whole: true },
  { name: 'smaug-bpe', steps: [split(llama3Pieces('\\p{N}{1,3}')), bytes(false)] },
  { name: 'qwen2', steps: [split(llama3Pieces('\\p{N}')), bytes(false)] },
  {
    name: 'tekken',
    steps: [split(`${word}${upper}*${lower}+|${word}${upper}+${lower}*|\\p{N}|${tail}`), bytes(false)],
    whole: true,
    differs: beyondAscii,
  },
  {
    name: 'gpt-4o',
    steps: [split(`${word}${upper}*${lower}+${short}|${word}${upper}+${lower}*${short}|\\p{N}{1,3}|${tail}`), bytes(false)],
    differs: beyondAscii,
  },
  { name: 'bloom', steps: [split(' ?[^(\\s|[.,!?…。，、।۔،])]+'), bytes(false)] },
  { name: 'falcon', steps: ['Punctuation(Contiguous)', bytes(true), 'Digits(runs)', split('[0-9][0-9][0-9]')] },
]

/** A pre-tokenizer step by step, all that changes pieces; a step that is none of these says what it is. */
function stepsOf(value: unknown): string[] {
  if (!isObject(value)) return []
  switch (value.type) {
    case 'Sequence':
      return (Array.isArray(value.pretokenizers) ? value.pretokenizers : []).flatMap(stepsOf)
    case 'ByteLevel':
      return [value.add_prefix_space === false ? bytes(value.use_regex !== false) : 'ByteLevel(with a space before the text)']
    case 'Digits':
      return [`Digits(${value.individual_digits ? 'single' : 'runs'})`]
    case 'Punctuation':
      return [`Punctuation(${String(value.behavior)})`]
    case 'Split':
      return [`Split(${JSON.stringify(value.pattern)}, ${String(value.behavior)}${value.invert ? ', inverted' : ''})`]
    case 'Metaspace':
      return [`Metaspace(${String(value.prepend_scheme)}${value.split === false ? '' : ', split'})`]
    default:
      return [String(value.type)]
  }
}

/**
 * The tokenizer's part of the metadata, or why there is none: a sentence.
 * @param rows of the embedding: as many tokens are listed
 */
export function vocabularyOf(vocabulary: Vocabulary, rows: number): GgufVocabulary | string {
  const cached = known.get(vocabulary)
  if (cached?.rows === rows) return cached.found
  const found = read(vocabulary, rows)
  known.set(vocabulary, { rows, found })
  return found
}

/** A plan is looked at often, and a vocabulary may have 256,000 tokens. */
const known = new WeakMap<Vocabulary, { rows: number; found: GgufVocabulary | string }>()

function read(vocabulary: Vocabulary, rows: number): GgufVocabulary | string {
  const { kind, definition } = vocabulary
  if (kind !== 'BPE') return `llama.cpp reads byte-pair tokenizers, and this one is ${kind}.`
  const model = definition.model as JsonObject
  const odd = ['continuing_subword_prefix', 'end_of_word_suffix'].find((field) => model[field])
  if (odd) return `llama.cpp does not support tokenizers whose model has ${odd}.`
  const tokens = tokensOf(vocabulary, rows)
  if (typeof tokens === 'string') return tokens
  const own = model.byte_fallback === true ? sentencePiece(vocabulary, tokens) : byteLevel(vocabulary, tokens)
  if (typeof own === 'string') return own
  const specials = specialsOf(vocabulary, tokens)
  if (typeof specials === 'string') return specials
  const { chatTemplate, added } = vocabulary
  const stripping = added.find(({ lstrip, rstrip, single_word }) => lstrip || rstrip || single_word)
  return {
    metadata: encodeMetadata([
      ...own.metadata,
      ...specials,
      ...(chatTemplate === null ? [] : [text('tokenizer.chat_template', chatTemplate)]),
    ]),
    differs: [
      ...own.differs,
      ...(stripping ? [`white space and letters beside ${JSON.stringify(stripping.content)} are kept or split as next to any token`] : []),
    ],
  }
}

const text = (key: string, value: string): [string, MetaValue] => [key, { type: 'text', value }]
const flag = (key: string, value: boolean): [string, MetaValue] => [key, { type: 'bool', value }]
const list = (key: string, of: 'text' | 'i32' | 'f32', value: readonly (string | number)[]): [string, MetaValue] => [
  key,
  { type: 'list', of, value },
]

/** One token for each row of the embedding; those beyond, which no text of the model holds, are left out. */
function tokensOf({ tokens }: Vocabulary, rows: number): string[] | string {
  const all = tokens()
  const listed = Array.from({ length: rows }, (_, id) => all[id] ?? `[PAD${id}]`)
  const seen = new Map<string, number>()
  for (const [id, token] of listed.entries()) {
    const other = seen.get(token)
    if (other !== undefined)
      return `llama.cpp does not accept two tokens with the same text, but ${other} and ${id} are both ${JSON.stringify(token)}.`
    if (!token) return `llama.cpp does not accept empty tokens, but ${id} is one.`
    seen.set(token, id)
  }
  return listed
}

/** Added tokens that their files do not call special, although chat templates use them so. */
const looksSpecial = /^(<pad>|<mask>|<2mass>|\[@BOS@\]|<\|.*\|>|<｜.*｜>|<unused.*>)$/s

/** The type of every token, and its text as llama.cpp looks for it. */
function typed({ added, tokens }: Vocabulary, listed: readonly string[], typeOf: (token: string, id: number) => number) {
  const have = tokens()
  const types = listed.map((token, id) => (have[id] === undefined ? tokenTypes.unused : typeOf(token, id)))
  const texts = [...listed]
  for (const { content, id, special } of added) {
    if (id >= listed.length || types[id] === tokenTypes.unknown) continue
    const control = special || looksSpecial.test(content)
    types[id] = control ? tokenTypes.control : tokenTypes.userDefined
    if (!control) texts[id] = content.replaceAll('▁', ' ')
  }
  return { types, texts }
}

// ---------------------------------------------------------------- byte-level BPE

function byteLevel(vocabulary: Vocabulary, listed: readonly string[]): Tables | string {
  const { definition, merges: mergesOf } = vocabulary
  const { normalizer, pre_tokenizer, model } = definition as Record<string, JsonObject | null>
  const steps = stepsOf(pre_tokenizer)
  const whole = model?.ignore_merges === true
  const same = preTokenizers.filter((one) => one.steps.join('\n') === steps.join('\n'))
  if (!same.length) {
    const known = preTokenizers.map(({ name }) => name).join(', ')
    return `llama.cpp would split text differently from this tokenizer, whose pre-tokenizer is ${steps.join(', ').slice(0, 200) || 'none'}; known to be the same are ${known}.`
  }
  const pre = same.find((one) => (one.whole ?? false) === whole)
  if (!pre)
    return `llama.cpp ${whole ? 'joins' : 'does not join'} pieces that are tokens by their merges under ${same[0].name}, unlike this tokenizer (ignore_merges).`
  // It does not split digits from the characters before them, which changes nothing when no token contains both.
  const mixed =
    pre.name === 'falcon' &&
    listed.find((token, id) => /\d/.test(token) && /\D/.test(token) && !vocabulary.added.some((one) => one.id === id))
  if (mixed) return `llama.cpp does not split digits from other characters here, but this tokenizer has the token ${JSON.stringify(mixed)}.`
  const normalizers = normalizer ? (Array.isArray(normalizer.normalizers) ? normalizer.normalizers : [normalizer]) : []
  const other = normalizers.find((one) => !(isObject(one) && one.type === 'NFC'))
  if (other) return `llama.cpp does not normalize text, but this tokenizer does (${isObject(other) ? other.type : typeof other}).`
  const { types, texts } = typed(vocabulary, listed, () => tokenTypes.normal)
  const merges = mergesOf()
  const pairs: string[] = []
  for (let i = 0; i < merges.length; i += 3) {
    const pair = [merges[i], merges[i + 1]].map((id) => vocabularyToken(listed, id))
    if (pair.some((token) => token.includes(' ')))
      return `llama.cpp does not accept merges of tokens with a space, such as ${JSON.stringify(pair)}.`
    pairs.push(pair.join(' '))
  }
  return {
    metadata: [
      text('tokenizer.ggml.model', 'gpt2'),
      text('tokenizer.ggml.pre', pre.name),
      list('tokenizer.ggml.tokens', 'text', texts),
      list('tokenizer.ggml.token_type', 'i32', types),
      list('tokenizer.ggml.merges', 'text', pairs),
    ],
    differs: [
      ...(pre.differs ? [pre.differs] : []),
      ...(normalizers.length ? ['it does not compose characters (NFC), so text with letters and accents apart gives other tokens'] : []),
    ],
  }
}

const vocabularyToken = (listed: readonly string[], id: number) => listed[id] ?? `[PAD${id}]`

// ---------------------------------------------------------------- SentencePiece

/** What it does with spaces before a text: whether one is put there, or null for steps that it does not know. */
function spacesOf({ normalizer, pre_tokenizer }: JsonObject): { prefix: boolean; differs?: string } | null {
  const steps = stepsOf(pre_tokenizer).join()
  const parts = isObject(normalizer) ? (Array.isArray(normalizer.normalizers) ? normalizer.normalizers : [normalizer]) : []
  const said = parts.map((one) => {
    if (!isObject(one)) return 'unknown'
    if (one.type === 'Prepend') return `prepend ${String(one.prepend)}`
    const pattern = isObject(one.pattern) ? one.pattern.String : undefined
    return one.type === 'Replace' && pattern === ' ' ? `spaces to ${String(one.content)}` : String(one.type)
  })
  const plain = steps === '' || steps === 'Split({"String":" "}, MergedWithPrevious)'
  if (plain && said.join() === 'prepend ▁,spaces to ▁') return { prefix: true }
  if (plain && said.join() === 'spaces to ▁') return { prefix: false }
  if (said.length || !isObject(pre_tokenizer) || pre_tokenizer.replacement !== '▁') return null
  if (steps === 'Metaspace(never)') return { prefix: false }
  const differs = 'it puts a space before text that begins with one already'
  if (steps === 'Metaspace(always)') return { prefix: true, differs }
  return steps === 'Metaspace(first)' ? { prefix: true, differs: `${differs}, and before text after a special token` } : null
}

function sentencePiece(vocabulary: Vocabulary, listed: readonly string[]): Tables | string {
  const { definition } = vocabulary
  const spaces = spacesOf(definition)
  const model = definition.model as JsonObject
  if (!spaces || model.ignore_merges === true) {
    return 'llama.cpp would split text differently from this tokenizer with byte fallback: it supports only those that write spaces as ▁, with or without one before a text.'
  }
  const byteIds = new Set(Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`))
  const missing = [...byteIds].find((token) => !listed.includes(token))
  if (missing) return `llama.cpp needs a token for every byte, but this tokenizer has no ${missing}.`
  const scores = scoresOf(vocabulary, listed, byteIds)
  if (typeof scores === 'string') return scores
  const { types, texts } = typed(vocabulary, listed, (token) =>
    byteIds.has(token) ? tokenTypes.byte : token === model.unk_token ? tokenTypes.unknown : tokenTypes.normal,
  )
  return {
    metadata: [
      text('tokenizer.ggml.model', 'llama'),
      text('tokenizer.ggml.pre', 'default'),
      list('tokenizer.ggml.tokens', 'text', texts),
      list('tokenizer.ggml.scores', 'f32', scores),
      list('tokenizer.ggml.token_type', 'i32', types),
      flag('tokenizer.ggml.add_space_prefix', spaces.prefix),
    ],
    differs: spaces.differs ? [spaces.differs] : [],
  }
}

/**
 * Scores that make llama.cpp, which joins the pair whose result has the highest score, do what the merges say: minus the rank
 * of the merges that make a token. That is the same only where every way to put a token together from two is a merge, and
 * where merges of one token stand side by side, as they do in all that was made from a SentencePiece model.
 */
function scoresOf({ merges: mergesOf, added }: Vocabulary, listed: readonly string[], byteIds: ReadonlySet<string>): number[] | string {
  const merges = mergesOf()
  const scores = new Float64Array(listed.length).fill(-1e6)
  const ways = new Uint32Array(listed.length)
  let last = -1
  let rank = 0
  for (let i = 0; i < merges.length; i += 3) {
    const made = merges[i + 2]
    if (made >= listed.length) return `a merge makes token ${made}, for which the embedding has no row.`
    if (made !== last && ways[made])
      return `llama.cpp would join other pairs than this tokenizer: its merges that make ${JSON.stringify(listed[made])} are not adjacent.`
    if (made !== last) scores[made] = -++rank
    ways[made]++
    last = made
  }
  const apart = new Set(added.map(({ content }) => content))
  const ids = new Set(listed)
  for (const [id, token] of listed.entries()) {
    if (apart.has(token) || byteIds.has(token)) continue
    let count = 0
    for (let at = 1; at < token.length; at++) if (ids.has(token.slice(0, at)) && ids.has(token.slice(at))) count++
    if (count !== ways[id])
      return `llama.cpp would join other pairs than this tokenizer: of ${count} ways to put ${JSON.stringify(token)} together from two tokens, ${ways[id]} are merges.`
  }
  return [...scores]
}

// ---------------------------------------------------------------- special tokens

/** Names by what they are for, as files of transformers and of llama.cpp have them. */
const purposes = [
  ['bos_token', 'bos'],
  ['eos_token', 'eos'],
  ['unk_token', 'unknown'],
  ['sep_token', 'seperator'],
  ['pad_token', 'padding'],
  ['mask_token', 'mask'],
] as const

function specialsOf({ special, specialIds, before, after }: Vocabulary, listed: readonly string[]): [string, MetaValue][] | string {
  const ids = new Map<string, number>()
  for (const [ours, theirs] of purposes) {
    const token = special.get(ours)
    const at = token === undefined ? -1 : listed.indexOf(token)
    const id = at >= 0 ? at : specialIds.get(ours)
    if (id !== undefined && id < listed.length) ids.set(theirs, id)
  }
  // Its code has ids of its own for both where the file names none, and would stop at a token like any other.
  if (!ids.has('eos')) return 'Neither the tokenizer’s files nor config.json say which token ends a text.'
  if (!ids.has('bos')) ids.set('bos', before[0] ?? ids.get('eos')!)
  for (const [around, name] of [
    [before, 'bos'],
    [after, 'eos'],
  ] as const) {
    if (around.length > 1 || (around.length && around[0] !== ids.get(name)))
      return `llama.cpp adds at most one token ${name === 'bos' ? 'before' : 'after'} a text, the ${name} token, but this tokenizer adds ${around.map((id) => listed[id]).join(' ')}.`
  }
  return [
    ...[...ids].map(([name, id]): [string, MetaValue] => [`tokenizer.ggml.${name}_token_id`, { type: 'u32', value: id }]),
    flag('tokenizer.ggml.add_bos_token', before.length > 0),
    flag('tokenizer.ggml.add_eos_token', after.length > 0),
  ]
}
