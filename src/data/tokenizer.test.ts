import { Tokenizer } from '@huggingface/tokenizers'
import { expect, test } from 'vitest'
import { memoryFiles } from '../io/memory.ts'
import { refusal } from '../io/testing.ts'
import { random } from './corpus.ts'
import { checkTokenizer, loadTokenizer } from './tokenizer.ts'

/** A LLaMA-like tokenizer: no pre-tokenizer, spaces as ▁, bytes for the unknown, BOS in front. */
function llama() {
  const pieces = ['<unk>', '<s>', '</s>', ...Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`)]
  const merges = ['a b', 'ab a', '▁ ▁', '▁ a', '▁▁ ▁▁', '▁a b', 'b c', '😀 😀', 'c ▁', 'bc a']
  pieces.push('a', 'b', 'c', '▁', '😀', ...merges.map((merge) => merge.replace(' ', '')))
  const special = (id: number) => ({
    id,
    content: pieces[id],
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  })
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: '▁' }
  return {
    added_tokens: [special(0), special(1), special(2)],
    normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, replace] },
    pre_tokenizer: null as unknown,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    } as unknown,
    decoder: null,
    model: {
      type: 'BPE',
      unk_token: '<unk>' as string | null,
      byte_fallback: true,
      fuse_unk: true,
      ignore_merges: false,
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])) as unknown,
      merges: merges as unknown,
    },
  }
}

const load = (definition: unknown, ...more: [string, string][]) =>
  loadTokenizer(memoryFiles([['tokenizer.json', typeof definition === 'string' ? definition : JSON.stringify(definition)], ...more]))

test('encodes with and without the special tokens of its template', async () => {
  const tokenizer = await load(llama(), ['tokenizer_config.json', '{"bos_token":"<s>"}'])
  expect(tokenizer).toMatchObject({ kind: 'BPE', vocab: 274 })
  const { vocab } = llama().model as { vocab: Record<string, number> }
  expect(Array.from(tokenizer.encode('aba\n'))).toEqual([1, vocab['▁'], vocab.aba, vocab['<0x0A>']])
  expect(Array.from(tokenizer.encode('c', { special: false }))).toEqual([vocab['▁'], vocab.c])
  expect(Array.from(tokenizer.encode(''))).toEqual([1])
})

test('a long text without a pre-tokenizer gives the ids of one piece', async () => {
  const next = random(7)
  const letters = ['a', 'b', 'c', ' ', '😀', 'é', '\n']
  const text = Array.from({ length: 20_000 }, () => letters[Math.floor(next() ** 2 * letters.length)]).join('')
  const pairs = { ...llama(), model: { ...llama().model, merges: (llama().model.merges as string[]).map((merge) => merge.split(' ')) } }
  for (const definition of [llama(), pairs]) {
    const tokenizer = await load(definition)
    expect(tokenizer.encode(text)).toEqual(Int32Array.from(new Tokenizer(definition, {}).encode(text).ids))
  }
})

test('merges that a piece as a whole can skip are left to the library', async () => {
  const definition = llama()
  definition.model.ignore_merges = true
  const word = `▁${'ca'.repeat(200)}`
  ;(definition.model.vocab as Record<string, number>)[word] = 274
  const tokenizer = await load(definition)
  expect(Array.from(tokenizer.encode(word.slice(1), { special: false }))).toEqual([274])
})

test('asks for tokenizer.json', async () => {
  const error = await refusal(() => loadTokenizer(memoryFiles([['tokenizer.model', 'x']])))
  expect(error.code).toBe('file-missing')
  expect(error.message).toContain('tokenizer.model alone')
})

const model = (change: object) => ({ ...llama(), model: { ...llama().model, ...change } })

test.each<[string, unknown, string]>([
  ['no JSON', '{', 'is not JSON'],
  ['a list', [], 'does not hold'],
  ['no model', { ...llama(), model: undefined }, 'no model'],
  ['no vocabulary', model({ vocab: undefined }), 'no vocabulary'],
  ['a negative id', model({ vocab: { a: -1 } }), '"a" has the id -1'],
  ['an id as text', model({ vocab: { a: '1' } }), '"a" has the id "1"'],
  ['an id far out', model({ vocab: { a: 2 ** 31 } }), 'the id 2147483648'],
  ['an added id far out', { ...llama(), added_tokens: [{ id: 1e9, content: 'x' }] }, '"x" has the id 1000000000'],
  ['added tokens that are no list', { ...llama(), added_tokens: {} }, 'added_tokens'],
  ['an added token without content', { ...llama(), added_tokens: [null] }, 'the id undefined'],
  ['no vocabulary at all', { ...model({ vocab: {} }), added_tokens: [] }, 'has 0 entries'],
  ['merges that are no list', model({ merges: 7 }), 'cannot be used'],
  ['merges of numbers', model({ merges: [1, 2] }), 'cannot be used'],
  [
    'a text that replaces a space',
    { ...llama(), normalizer: { type: 'Replace', pattern: { String: ' ' }, content: 'x'.repeat(65) } },
    'puts "xxx',
  ],
  [
    'a list that is prepended',
    { ...llama(), normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: [1, 2] }] } },
    'puts [1,2]',
  ],
  ['an unknown normalizer', { ...llama(), normalizer: { type: 'Rot13' } }, 'Rot13'],
  ['an unknown template', { ...llama(), post_processor: { type: 'Moustache' } }, 'Moustache'],
])('refuses a tokenizer.json with %s', async (_, definition, message) => {
  const error = await refusal(() => load(definition))
  expect(error.code).toBe('tokenizer-invalid')
  expect(error.message).toContain('tokenizer.json')
  expect(error.message).toContain(message)
})

test('refuses a tokenizer_config.json that is not JSON, and a tokenizer.json over the cap', async () => {
  const error = await refusal(() => load(llama(), ['tokenizer_config.json', '{']))
  expect(error.code).toBe('tokenizer-invalid')
  expect(error.message).toContain('tokenizer_config.json')
  const huge = { size: 2 ** 40, slice: () => expect.fail('was read'), arrayBuffer: () => expect.fail('was read') }
  expect((await refusal(() => loadTokenizer(new Map([['tokenizer.json', huge]])))).code).toBe('tokenizer-invalid')
})

test('an unknown piece is never silently id 0', async () => {
  const tokenizer = await load(model({ byte_fallback: false, unk_token: null, fuse_unk: false, vocab: { a: 3 }, merges: [] }))
  // The library leaves such pieces out; the template's <s> stays.
  expect(Array.from(tokenizer.encode('aXa'))).toEqual([1, 3, 3])
  const template = { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<bos>', type_id: 0 } }], pair: [] }
  const broken = await load({ ...model({ unk_token: null }), post_processor: template })
  expect((await refusal(() => broken.encode('a'))).code).toBe('tokenizer-invalid')
})

test('ids must fit the embedding', async () => {
  const tokenizer = await load(llama())
  checkTokenizer(tokenizer, 274)
  const error = await refusal(() => checkTokenizer(tokenizer, 273))
  expect(error.code).toBe('tokenizer-mismatch')
  expect(error.message).toContain('ids up to 273')
  expect(error.message).toContain('273 rows')
})
