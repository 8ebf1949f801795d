/** Tokenizers in GGUF: llama.cpp finds the same tokens in a text, or the tokenizer is refused by what it does. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LlamaModel } from '../../../../e2e/llama-cpp.ts'
import { loadTokenizer } from '../../../data/tokenizer.ts'
import { loadVocabulary } from '../../../data/vocabulary.ts'
import { memoryFiles } from '../../memory.ts'
import { encodeMetadata, planFiles, readHead } from './file.ts'
import { vocabularyOf } from './vocabulary.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gguf-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

type Json = Record<string, unknown>

/** The 256 characters that stand for bytes. */
function byteCharacters(): string[] {
  const printed = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printed(byte) ? byte : next++))
}

/** A byte-level tokenizer that joins any two of these bytes: wherever a text is split otherwise, other tokens come out. */
function pairs(changes: Json = {}, model: Json = {}, joined: Iterable<number> = []): Json {
  const bytes = byteCharacters()
  const some = [...joined].map((byte) => bytes[byte])
  const merges = some.flatMap((a) => some.map((b) => [a, b]))
  const tokens = ['<|end|>', ...bytes, ...merges.map((pair) => pair.join(''))]
  return {
    added_tokens: [{ id: 0, content: '<|end|>', special: true, normalized: false }],
    normalizer: null,
    pre_tokenizer: level(true),
    post_processor: null,
    decoder: null,
    ...changes,
    model: { type: 'BPE', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges, ...model },
  }
}

const level = (use_regex: boolean) => ({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex })
const split = (pattern: string) => ({ type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false })
const sequence = (...pretokenizers: Json[]) => ({ type: 'Sequence', pretokenizers })
const llama3 = (digits: string) =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`
const gpt4o =
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
const tekken =
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'

async function vocabularyIn(files: Record<string, string>) {
  const all = memoryFiles(Object.entries({ 'config.json': '{"eos_token_id": 0}', ...files }))
  const tokenizer = await loadTokenizer(all)
  return { tokenizer, found: vocabularyOf(await loadVocabulary(all, tokenizer), tokenizer.vocab) }
}

/** The tokenizer here, and the same in llama.cpp. */
async function both(definition: Json, more: Record<string, string> = {}) {
  const { tokenizer, found } = await vocabularyIn({ 'tokenizer.json': JSON.stringify(definition), ...more })
  if (typeof found === 'string') throw new Error(found)
  const [file] = planFiles('tokenizer', [encodeMetadata([['general.architecture', { type: 'text', value: 'llama' }]]), found.metadata], [])
  const { metadata } = await readHead(new Blob([file.head.slice()]), file.path)
  const path = join(folder, `${Math.random()}.gguf`)
  await writeFile(path, file.head)
  const model = await LlamaModel.open(path, { vocabOnly: true })
  return { tokenizer, model, metadata, differs: found.differs }
}

const text = `It's 3 o'clock, I'VE 33 333 3333 ideas — you'll see!!  Don't\tstop…\n\n  Well, well;\r\n   "really"?  \n`
const hard = [
  text,
  ' leading and trailing  ',
  '1,234.56 + 7 = 8 (x^2) $9 50% #tag @home a_b a-b <b>&amp;</b> `code` ~/path/to\\file|pipe',
  'Ünïcödé naïve Straße Ñandú ÀÉ œuvre ǅ ŒŒ ﬁ',
  'Привет, мир! Ελλάδα δώρο 日本語のテキスト 中文字符 한국어 ภาษาไทย हिन्दी עברית العربية ١٢٣ १२३',
  '😀 👍🏽 👩‍👩‍👧 ❤️ ½ ² Ⅻ ① … “quoted” ‘single’ « guillemets » 、。،۔',
  'don’t DON’T we’Re HelloWorld helloWORLD ABCdef X1y2Z3 \u00a0nbsp\u2003em\u3000wide',
  '\n\n\n \n  \n\t\t\n\r\n\r\n',
  "''''s 't'S'Re'VE'm'LL'd 'x",
]

/** Strings of characters that splits look at, by a small seeded generator. */
function strings(count: number, seed: number): string[] {
  const alphabet = [...`abzAZé ß日ا0 19٣½  \t\n\r'’".,!?-_/\\(){}$+=<>^~|\`…。😀\u0301\u200d\u00a0`]
  let state = seed
  const next = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  return Array.from({ length: count }, () => Array.from({ length: 1 + next(24) }, () => alphabet[next(alphabet.length)]).join(''))
}

const different = ({ tokenizer, model }: Awaited<ReturnType<typeof both>>, texts: string[]) =>
  texts.filter((one) => model.tokenize(one).join() !== tokenizer.encode(one).join())

describe('byte-level tokenizers split text in llama.cpp as they do here', () => {
  test.each<[name: string, pre: Json, model?: Json]>([
    ['gpt-2', level(true)],
    ['smollm', sequence({ type: 'Digits', individual_digits: true }, level(true))],
    ['llama-bpe', sequence(split(llama3('\\p{N}{1,3}')), level(false)), { ignore_merges: true }],
    ['smaug-bpe', sequence(split(llama3('\\p{N}{1,3}')), level(false))],
    ['qwen2', sequence(split(llama3('\\p{N}')), level(false))],
    ['tekken', sequence(split(tekken), level(false)), { ignore_merges: true }],
    ['gpt-4o', sequence(split(gpt4o), level(false))],
    ['bloom', sequence(split(' ?[^(\\s|[.,!?…。，、।۔،])]+'), level(false))],
  ])('%s', async (name, pre_tokenizer, model) => {
    const texts = [...hard, ...strings(500, 7)]
    const result = await both(pairs({ pre_tokenizer }, model, new Set(new TextEncoder().encode(texts.join('')))))
    expect(result.metadata.get('tokenizer.ggml.pre')).toBe(name)
    // Where its code says what it does otherwise, that is letters beyond ASCII.
    const said = result.differs.length > 0
    expect(
      different(
        result,
        texts.map((one) => (said ? one.replace(/[^\p{ASCII}\p{Emoji}]/gu, '') : one)),
      ),
    ).toEqual([])
    await result.model.dispose()
  })
})

/** A vocabulary as SentencePiece leaves it: pieces in the order of their scores, and for each all ways to join it from two. */
function sentencePiece(changes: Json = {}, pieces = substrings(), model: Json = {}): Json {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
  const letters = [...new Set(pieces.join(''))]
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...pieces, ...letters]
  const known = new Set(tokens)
  const merges = pieces.flatMap((piece) =>
    Array.from({ length: piece.length - 1 }, (_, i) => [piece.slice(0, i + 1), piece.slice(i + 1)]).filter((pair) =>
      pair.every((part) => known.has(part)),
    ),
  )
  return {
    added_tokens: ['<unk>', '<s>', '</s>'].map((content, id) => ({ id, content, special: true, normalized: false })),
    normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, spaces] },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: null,
    ...changes,
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
      ...model,
    },
  }
}

const spaces = { type: 'Replace', pattern: { String: ' ' }, content: '▁' }

/** Pieces of some words, two to five letters long, in an order that has nothing to do with their length. */
function substrings(): string[] {
  const words = [
    '▁there',
    '▁then',
    '▁theta',
    '▁▁▁▁',
    'heather',
    '▁other',
    '▁no',
    'nothing',
    '▁1923',
    '▁ähnlich',
    'ing,',
    '.▁▁The',
    '日本語',
  ]
  const all = words.flatMap((word) =>
    [2, 3, 4, 5].flatMap((size) => Array.from({ length: word.length }, (_, i) => word.slice(i, i + size))),
  )
  const rank = (piece: string) => [...piece].reduce((sum, char) => Math.imul(sum, 31) + char.codePointAt(0)!, 7) % 1009
  return [...new Set(all)].filter((piece) => piece.length > 1).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
}

describe('SentencePiece vocabularies join in llama.cpp as they do here, by scores made from their merges', () => {
  const metaspace = (prepend_scheme: string) => ({ type: 'Metaspace', replacement: '▁', prepend_scheme, split: false })
  const cases: [string, Json, prefix: boolean][] = [
    ['LLaMA 2', {}, true],
    [
      'Gemma',
      { normalizer: spaces, pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious', invert: false } },
      false,
    ],
    ['of transformers 4.40 and newer', { normalizer: null, pre_tokenizer: metaspace('first') }, true],
  ]
  test.each(cases)('%s', async (_, changes, prefix) => {
    const result = await both(sentencePiece(changes))
    expect(result.metadata.get('tokenizer.ggml.add_space_prefix')).toBe(prefix)
    expect(result.metadata.get('tokenizer.ggml.add_bos_token')).toBe(true)
    const letters = [...'theraonig  1923äl.,日本語T!é😀']
    let state = 5
    const random = Array.from({ length: 500 }, () =>
      Array.from({ length: 30 }, () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0
        return letters[Math.floor((state / 2 ** 32) * letters.length)]
      }).join(''),
    )
    // One more space before a text that begins with one is what its code says it does otherwise there.
    const texts = ['there then the other', ' no  nothing   there.  The 1923', ...random]
    expect(
      different(
        result,
        texts.map((one) => (result.differs.length ? one.trimStart() : one)),
      ),
    ).toEqual([])
    await result.model.dispose()
  })

  test('a vocabulary whose merges say what no scores can is refused', async () => {
    const made = sentencePiece()
    const merges = (made.model as { merges: string[][] }).merges
    const refused = async (list: string[][]) =>
      (await vocabularyIn({ 'tokenizer.json': JSON.stringify(sentencePiece({}, undefined, { merges: list })) })).found
    const twice = merges.findIndex((pair, i) => i && pair.join('') === merges[i - 1].join(''))
    const [moved] = merges.slice(twice, twice + 1)
    expect(await refused([...merges.slice(0, twice), ...merges.slice(twice + 1), moved])).toMatch(/are not adjacent/)
    expect(await refused([...merges.slice(0, twice), ...merges.slice(twice + 1)])).toMatch(/of 2 ways .* 1 are merges|of \d+ ways/)
  })
})

describe('what llama.cpp would read otherwise is refused by what it is', () => {
  const falcon = sequence(
    { type: 'Punctuation', behavior: 'Contiguous' },
    level(true),
    { type: 'Digits', individual_digits: false },
    split('[0-9][0-9][0-9]'),
  )
  const whole = sequence(split(llama3('\\p{N}{1,3}')), level(false))
  test.each<[what: string, definition: () => Json, because: RegExp, more?: Record<string, string>]>([
    [
      'a split of another kind',
      () => pairs({ pre_tokenizer: sequence(split('\\d{1,4}'), level(false)) }),
      /pre-tokenizer is Split\(\{"Regex":"\\\\d\{1,4\}"\}, Isolated\), ByteLevel/,
    ],
    [
      'a space before the text',
      () => pairs({ pre_tokenizer: { ...level(true), add_prefix_space: true } }),
      /ByteLevel\(with a space before the text\)/,
    ],
    ['a normalizer', () => pairs({ normalizer: { type: 'Lowercase' } }), /does not normalize text, but this tokenizer does \(Lowercase\)/],
    [
      'merges of whole tokens',
      () => pairs({ pre_tokenizer: level(true) }, { ignore_merges: true }),
      /joins pieces that are tokens by their merges under gpt-2/,
    ],
    ['a suffix', () => pairs({}, { end_of_word_suffix: '</w>' }), /end_of_word_suffix/],
    [
      'another model',
      () => ({
        ...pairs(),
        pre_tokenizer: { type: 'Whitespace' },
        added_tokens: [],
        model: { type: 'WordLevel', vocab: { a: 0, b: 1 }, unk_token: 'a' },
      }),
      /this one is WordLevel/,
    ],
    [
      'bytes that are missing',
      () => sentencePiece({}, ['ab'], { vocab: { '<unk>': 0, '<s>': 1, '</s>': 2, a: 3, b: 4, ab: 5 } }),
      /no <0x00>/,
    ],
    [
      'words of SentencePiece apart',
      () =>
        sentencePiece({ normalizer: null, pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true } }),
      /write spaces as ▁/,
    ],
    [
      'a token behind each text that is not its end',
      () =>
        pairs({
          post_processor: {
            type: 'TemplateProcessing',
            single: [{ Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: '!', type_id: 0 } }],
            pair: [],
            special_tokens: { '!': { id: '!', ids: [1], tokens: ['!'] } },
          },
        }),
      /at most one token after a text, the eos token/,
    ],
    ['digits with a space in one token', () => pairs({ pre_tokenizer: falcon }, {}, [32, 49]), /has the token "Ġ1"/],
    ['no end', () => pairs({ pre_tokenizer: whole }, { ignore_merges: true }), /which token ends a text/, { 'config.json': '{}' }],
  ])('%s', async (_, definition, because, more) => {
    const { found } = await vocabularyIn({ 'tokenizer.json': JSON.stringify(definition()), ...more })
    expect(found).toMatch(because)
  })
})

test('special tokens, types, padding rows and the chat template come along', async () => {
  const definition = pairs({
    normalizer: { type: 'NFC' },
    added_tokens: [
      { id: 0, content: '<|end|>', special: true, normalized: false },
      { id: 257, content: '<tool>', special: false, normalized: false, rstrip: true },
      { id: 259, content: '<|user|>', special: false, normalized: false },
    ],
  })
  ;(definition.model as { vocab: Json }).vocab['<tool>'] = 257
  ;(definition.model as { vocab: Json }).vocab['<|user|>'] = 259
  const { metadata, differs, model } = await both(definition, {
    'config.json': '{}',
    'tokenizer_config.json': JSON.stringify({ eos_token: '<|end|>', pad_token: '<tool>', chat_template: '{{ messages }}' }),
  })
  const value = (key: string) => metadata.get(`tokenizer.${key}`)
  const types = value('ggml.token_type') as number[]
  const tokens = value('ggml.tokens') as string[]
  expect([0, 1, 257, 258, 259].map((id) => [tokens[id], types[id]])).toEqual([
    ['<|end|>', 3],
    ['Ā', 1],
    ['<tool>', 4],
    ['[PAD258]', 5],
    ['<|user|>', 3],
  ])
  expect(['eos', 'bos', 'padding'].map((name) => value(`ggml.${name}_token_id`))).toEqual([0, 0, 257])
  expect(value('chat_template')).toBe('{{ messages }}')
  expect(differs).toEqual([expect.stringContaining('NFC'), expect.stringContaining('"<tool>"')])
  expect(model.tokenize('a<|end|>b', true)).toContain(0)
  expect(model.tokenize('<|end|>')).not.toContain(0)
  expect(model.tokenize('<tool>')).toEqual([257])
  await model.dispose()
})

test('the token that ends a text is found in the text model’s part of a config, of several the first', async () => {
  const tokenizer = JSON.stringify(pairs({ pre_tokenizer: sequence(split(llama3('\\p{N}{1,3}')), level(false)) }, { ignore_merges: true }))
  const { found } = await vocabularyIn({ 'tokenizer.json': tokenizer, 'config.json': '{"text_config": {"eos_token_id": [0, 5]}}' })
  expect(found).toMatchObject({ differs: [] })
})
