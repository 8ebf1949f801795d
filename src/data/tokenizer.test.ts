import { expect, test } from 'vitest'
import { memoryFiles } from '../io/memory.ts'
import { refusal } from '../io/testing.ts'
import { random } from './corpus.ts'
import { checkIds, loadTokenizer } from './tokenizer.ts'

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
    // With ignore_merges nothing is cut, since a whole piece might be a token; here none is.
    const whole = await load({ ...definition, model: { ...definition.model, ignore_merges: true } })
    expect((await load(definition)).encode(text)).toEqual(whole.encode(text))
  }
})

test('a piece that is a token as a whole can skip its merges, however long it is', async () => {
  const definition = llama()
  definition.model.ignore_merges = true
  const word = `▁${'ca'.repeat(200)}`
  ;(definition.model.vocab as Record<string, number>)[word] = 274
  const tokenizer = await load(definition)
  expect(Array.from(tokenizer.encode(word.slice(1), { special: false }))).toEqual([274])
})

test('an empty extra_special_tokens, as newer files have it, leaves the additional ones', async () => {
  const config = JSON.stringify({ extra_special_tokens: {}, additional_special_tokens: ['<turn>'] })
  const tokenizer = await load(llama(), ['tokenizer_config.json', config])
  expect(Array.from(tokenizer.encode('<turn>a', { special: false }))).toEqual([274, tokenizer.encode('a').at(-1)])
})

test.each<[string, string, string, boolean]>([
  ['LlamaTokenizer', 'llama', 'the class of LLaMA', true],
  ['LlamaTokenizerFast', 'mistral', 'that class for Mistral, where transformers takes the file', false],
  ['PreTrainedTokenizerFast', 'llama', 'a class without steps of its own', false],
])('says where transformers would not take the steps of the file: %s, %s', async (tokenizer_class, model_type, _, said) => {
  const { remarks } = await load(
    llama(),
    ['tokenizer_config.json', JSON.stringify({ tokenizer_class })],
    ['config.json', JSON.stringify({ model_type })],
  )
  expect(remarks.map(({ message }) => message.includes(tokenizer_class))).toEqual(said ? [true] : [])
})

test('asks for tokenizer.json', async () => {
  const error = await refusal(() => loadTokenizer(memoryFiles([['tokenizer.model', 'x']])))
  expect(error.code).toBe('file-missing')
  expect(error.message).toContain('tokenizer.model is not enough')
})

const model = (change: object) => ({ ...llama(), model: { ...llama().model, ...change } })

test.each<[string, unknown, string]>([
  ['no JSON', '{', 'is not JSON'],
  ['a list', [], 'does not contain'],
  ['no model', { ...llama(), model: undefined }, 'no model'],
  ['no vocabulary', model({ vocab: undefined }), 'no vocabulary'],
  ['a negative id', model({ vocab: { a: -1 } }), '"a" has the id -1'],
  ['an id as text', model({ vocab: { a: '1' } }), '"a" has the id "1"'],
  ['an id far out', model({ vocab: { a: 2 ** 31 } }), 'the id 2147483648'],
  ['an added id far out', { ...llama(), added_tokens: [{ id: 1e9, content: 'x' }] }, '"x" has the id 1000000000'],
  ['added tokens that are no list', { ...llama(), added_tokens: {} }, 'added_tokens'],
  ['an added token without content', { ...llama(), added_tokens: [null] }, 'the id undefined'],
  ['no vocabulary at all', { ...model({ vocab: {}, merges: [] }), added_tokens: [], post_processor: null }, 'has 0 entries'],
  ['merges that are no list', model({ merges: 7 }), 'cannot be used'],
  ['merges of numbers', model({ merges: [1, 2] }), 'cannot be used'],
  [
    'a text that replaces a space',
    { ...llama(), normalizer: { type: 'Replace', pattern: { String: ' ' }, content: 'x'.repeat(65) } },
    'inserts "xxx',
  ],
  [
    'a list that is prepended',
    { ...llama(), normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: [1, 2] }] } },
    'inserts [1,2]',
  ],
  [
    'steps that make ever more of a text',
    {
      ...llama(),
      normalizer: {
        type: 'Sequence',
        normalizers: Array.from({ length: 9 }, () => ({ type: 'Replace', pattern: { String: 'a' }, content: 'aaaaaaaaaa' })),
      },
    },
    'its steps turn',
  ],
  ['an unknown part', { ...llama(), transformer: {} }, '"transformer"'],
  [
    'an unknown field',
    { ...llama(), normalizer: { type: 'Strip', strip_left: true, strip_right: true, strip_middle: true } },
    '"strip_middle"',
  ],
  ['an unknown value', { ...llama(), pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'often' } }, '"often"'],
  ['dropout', model({ dropout: 0.1 }), 'dropout 0.1'],
  ['an unknown normalizer', { ...llama(), normalizer: { type: 'Rot13' } }, 'Rot13'],
  ['an unknown template', { ...llama(), post_processor: { type: 'Moustache' } }, 'Moustache'],
])('refuses a tokenizer.json with %s', async (_, definition, message) => {
  const error = await refusal(async () => (await load(definition)).encode('a'.repeat(50)))
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

test('an unknown piece is left out where there is no unknown token, and never id 0', async () => {
  const added = { added_tokens: [], post_processor: null }
  const tokenizer = await load({ ...model({ byte_fallback: false, unk_token: null, vocab: { '▁': 0, a: 3 }, merges: [] }), ...added })
  expect(Array.from(tokenizer.encode('aXa'))).toEqual([0, 3, 3])
  const lost = await load({ ...model({ byte_fallback: false, unk_token: '<x>', vocab: { '▁': 0, a: 3 }, merges: [] }), ...added })
  expect((await refusal(() => lost.encode('aXa'))).message).toContain('"<x>" is not in its vocabulary')
})

test('ids must fit the embedding, as far as a text uses them', async () => {
  const tokenizer = await load(llama())
  checkIds(tokenizer.encode('abc'), 274, tokenizer, 'The text "x"')
  const ids = tokenizer.encode('aba 😀😀')
  checkIds(ids, Math.max(...ids) + 1, tokenizer, 'The text "x"')
  const error = await refusal(() => checkIds(ids, Math.max(...ids), tokenizer, 'The text "x"'))
  expect(error.code).toBe('tokenizer-mismatch')
  expect(error.message).toContain('The text "x" contains the token "😀😀"')
  expect(error.message).toContain(`${Math.max(...ids)} rows`)
})
