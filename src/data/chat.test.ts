import { describe, expect, test } from 'vitest'
import { caseFile, casesOf, names } from '../../e2e/cases/cases.ts'
import { WorkbenchError } from '../errors.ts'
import type { Bytes } from '../io/bytes.ts'
import { refusal } from '../io/testing.ts'
import { exactJson } from '../io/values.ts'
import { conversationOf, loadChatTemplate, unusualRoles } from './chat.ts'

const date = '2026-11-30'
const where = 'Line 1 of a.jsonl'

/** A folder of tokenizer files, given as texts or as what JSON makes of them. */
function folder(files: Record<string, unknown>): Map<string, Bytes> {
  const asText = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))
  return new Map(Object.entries(files).map(([name, value]) => [name, new Blob([asText(value)])]))
}

async function render(files: Record<string, unknown>, messages: unknown = [{ role: 'user', content: 'Hi' }]): Promise<string> {
  const template = await loadChatTemplate(folder(files))
  return template!.on(date)(conversationOf(messages)!, where)
}

describe('inputs from real life', () => {
  test.each(casesOf('template').map((one) => [one.id, one] as const))('%s', async (_, one) => {
    const files = folder({ 'tokenizer_config.json': one.tokenizer_config })
    for (const path of one.files ?? []) files.set(one.as_name!, await caseFile(path))
    const done = await (async () => {
      const template = await loadChatTemplate(files)
      return { text: template!.on(date)(conversationOf(exactJson(JSON.stringify(one.messages)))!, where) }
    })().catch((error: unknown) => {
      if (!(error instanceof WorkbenchError)) throw error
      return { refused: `${error.message} ${error.hint}` }
    })
    const fits = one.right.some(({ text, text_pattern, refused }) => {
      if ('refused' in done) return refused !== undefined && names(refused, done.refused)
      return text_pattern === undefined ? done.text === text : new RegExp(text_pattern).test(done.text)
    })
    expect(fits, `${JSON.stringify(done)} for ${JSON.stringify(one.right)}`).toBe(true)
  })
})

const printing = (...names: string[]) => names.map((name) => `{{ ${name} }}`).join('|')

describe('which template', () => {
  const config = { chat_template: 'config' }

  test('chat_template.jinja comes first, then tokenizer_config.json, then chat_template.json', async () => {
    expect(await render({ 'chat_template.jinja': 'file', 'tokenizer_config.json': config })).toBe('file')
    expect(await render({ 'tokenizer_config.json': config, 'chat_template.json': { chat_template: 'beside' } })).toBe('config')
    expect(await render({ 'tokenizer_config.json': {}, 'chat_template.json': { chat_template: 'beside' } })).toBe('beside')
    expect(await loadChatTemplate(folder({ 'tokenizer_config.json': { chat_template: null } }))).toBeNull()
  })

  test('of several with names the default one, or none', async () => {
    const several = { rag: 'RAG', default: 'DEF' }
    expect(await render({ 'tokenizer_config.json': { chat_template: several } })).toBe('DEF')
    expect(await render({ 'chat_template.jinja': 'file', 'chat_templates/rag.jinja': 'RAG' })).toBe('file')
    const error = await refusal(() => loadChatTemplate(folder({ 'chat_templates/rag.jinja': 'RAG', 'tokenizer_config.json': config })))
    expect(error).toMatchObject({ code: 'tokenizer-invalid' })
    expect(error.message).toContain('(rag)')
    const strange = await refusal(() => loadChatTemplate(folder({ 'tokenizer_config.json': { chat_template: [5] } })))
    expect(strange.message).toContain('neither a text nor a list of named texts')
  })

  test('line ends are LF, a byte order mark is text, other bytes than UTF-8 are refused', async () => {
    expect(await render({ 'chat_template.jinja': '\ufeff{% if true %}\r\na\rb\r\n{% endif %}\r\n' })).toBe('\ufeffa\nb\n')
    expect(await render({ 'tokenizer_config.json': { chat_template: "{{ 'a\r\nb' }}\r\nc\r\n" } })).toBe('a\nb\nc')
    const files = new Map<string, Bytes>([['chat_template.jinja', new Blob([new Uint8Array([0x61, 0xff])])]])
    expect((await refusal(() => loadChatTemplate(files))).message).toContain('is not UTF-8')
  })

  test('what is no template is refused at once, with its line', async () => {
    const refused = async (source: string) => (await refusal(() => loadChatTemplate(folder({ 'chat_template.jinja': source })))).message
    expect(await refused('a\n{% if %}')).toContain('line 2')
    expect(await refused('{% block a %}{% endblock %}')).toContain('the tag block is not supported')
    expect(await refused("{{ 'a' | urlize }}")).toContain('the filter urlize')
    expect(await refused("{{ 'a' | nothing }}")).toContain("no filter named 'nothing'")
    expect(await refused("{{ 'a' is toString }}")).toContain("no test named 'toString'")
    expect(await refused('{{ '.repeat(3))).toContain('cannot be used')
    expect(await refused(`{{ ${'('.repeat(5000)}1${')'.repeat(5000)} }}`)).toContain('nested more than')
    expect(await refused('x'.repeat((1 << 20) + 1))).toContain('1048577 characters')
  })
})

describe('special tokens, as AutoTokenizer of transformers 5.24 has them', () => {
  const template = printing('bos_token', 'eos_token', 'pad_token', 'image_token', 'foo')
  const fast = 'PreTrainedTokenizerFast'
  const added = { __type: 'AddedToken', content: '<a>', lstrip: false, rstrip: false, normalized: false, single_word: false }
  const config = (more: object) => ({ 'tokenizer_config.json': { tokenizer_class: fast, chat_template: template, ...more } })
  const map = (more: object) => ({ 'special_tokens_map.json': more })

  test.each<[string, Record<string, unknown>, string]>([
    ['as text or added token', config({ bos_token: added, eos_token: '</s>', image_token: added }), '<a>|</s>||<a>|'],
    ['with names of their own', config({ extra_special_tokens: { foo: '<foo>', image_token: added } }), '|||<a>|<foo>'],
    [
      'the map before the configuration',
      { ...config({ bos_token: '<s>' }), ...map({ bos_token: '<B>', image_token: '<i>' }) },
      '<B>|||<i>|',
    ],
    ['null in the map', { ...config({ bos_token: '<s>' }), ...map({ bos_token: null, eos_token: { content: '</s>' } }) }, '|</s>|||'],
    ['no map beside added tokens', { ...config({ bos_token: '<s>', added_tokens_decoder: {} }), ...map({ eos_token: '</s>' }) }, '<s>||||'],
    ['padding of the tokenizer', { ...config({}), 'tokenizer.json': { padding: { pad_token: '<p>' } } }, '||<p>||'],
    ['padding turned off', { ...config({ pad_token: null }), 'tokenizer.json': { padding: { pad_token: '<p>' } } }, '||||'],
    ['defaults of a class', config({ tokenizer_class: 'Qwen2TokenizerFast' }), '|<|endoftext|>|<|endoftext|>||'],
    ['null for a default', config({ tokenizer_class: 'GemmaTokenizer', bos_token: null }), '|<eos>|<pad>||'],
    ['defaults of a model', { ...config({ tokenizer_class: undefined }), 'config.json': { model_type: 'gemma2' } }, '<bos>|<eos>|<pad>||'],
    ['no defaults', config({ tokenizer_class: 'LlamaTokenizer' }), '||||'],
  ])('%s', async (_, files, right) => {
    expect(await render(files)).toBe(right)
  })

  test.each([{ content: '<s>' }, 5, ['<s>']])('%j is no token', async (token) => {
    const error = await refusal(() => loadChatTemplate(folder(config({ bos_token: token }))))
    expect(error.message).toContain('as bos_token')
  })
})

describe('messages', () => {
  const all = '{% for m in messages %}{{ m | tojson }}{% endfor %}'
  const template = { 'chat_template.jinja': all }

  test('fields come along as they are, but for null', async () => {
    const messages = [
      { role: 'assistant', content: null, tool_calls: [{ function: { name: 'f', arguments: { a: null, b: 1.5 } } }], name: null },
    ]
    expect(await render(template, messages)).toBe(
      '{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": null, "b": 1.5}}}]}',
    )
    const parts = [{ type: 'text', text: 'a' }]
    expect(await render(template, [{ role: 'user', content: parts }])).toBe('{"role": "user", "content": [{"type": "text", "text": "a"}]}')
  })

  test('reasoning comes under the names that templates read', async () => {
    expect(await render(template, [{ role: 'assistant', content: 'x', reasoning: 'r' }])).toBe(
      '{"thinking": "r", "role": "assistant", "content": "x", "reasoning": "r", "reasoning_content": "r"}',
    )
    expect(await render(template, [{ role: 'assistant', content: 'x', thinking: 't', reasoning_content: 'r' }])).toBe(
      '{"thinking": "t", "role": "assistant", "content": "x", "reasoning_content": "r"}',
    )
  })

  test('from and value are other names', async () => {
    expect(await render(template, [{ from: 'human', value: 'Hi', weight: 1n }])).toBe('{"role": "user", "content": "Hi", "weight": 1}')
    expect(await render(template, [{ role: 'human', content: 'Hi' }])).toBe('{"role": "human", "content": "Hi"}')
    for (const other of [[], [{ role: 'user' }], [{ role: 5, content: 'x' }], ['Hi'], [{ from: 'human' }], 'Hi', null])
      expect(conversationOf(other)).toBeNull()
  })

  test.each([
    ['human', 'user'],
    ['gpt', 'assistant'],
    ['function_call', 'assistant'],
    ['observation', 'tool'],
    ['function_response', 'tool'],
    ['tool', 'tool'],
    ['narrator', 'narrator'],
  ])('ShareGPT calls %s what templates call %s', async (from, role) => {
    expect(await render(template, [{ from, value: 'x' }])).toBe(`{"role": "${role}", "content": "x"}`)
    const unusual = role === 'narrator' ? ['narrator'] : []
    expect(unusualRoles(conversationOf([{ from, value: 'x' }])!)).toEqual(unusual)
  })

  test('numbers keep their type and all their digits', async () => {
    const numbers = '[1, 1.0, 1e15, 1e16, 9007199254740993, -0.0, -0, 1e-7, 1e400, NaN]'
    const messages = exactJson(`[{"role": "user", "content": "x", "n": ${numbers}}]`)
    const printed = '[1, 1.0, 1000000000000000.0, 1e+16, 9007199254740993, -0.0, 0, 1e-07, '
    expect(await render({ 'chat_template.jinja': '{{ messages[0].n }}' }, messages)).toBe(`${printed}inf, nan]`)
    expect(await render({ 'chat_template.jinja': '{{ messages[0].n | tojson }}' }, messages)).toBe(`${printed}Infinity, NaN]`)
  })

  test('what stands against a conversation is told from what is wrong with the template', async () => {
    const error = async (source: string, message: object = {}) =>
      refusal(() => render({ 'chat_template.jinja': source }, [{ role: 'user', content: 'x', ...message }]))
    const raised = await error("{{ raise_exception('roles must alternate') }}")
    expect(raised.message).toBe(`${where}: the model's chat template rejects the conversation: roles must alternate.`)
    expect(raised.hint).toContain('remove that conversation')
    const unfit = await error('x', { content: [{ type: 'image' }] })
    expect(unfit.message).toContain(where)
    expect(unfit.hint).toContain('remove that conversation')
    for (const broken of ['{{ nothing.at.all }}', '{{ messages[0].content + 1 }}', "{{ 'x'.encode() }}"]) {
      const { message, hint } = await error(broken)
      expect(message).toContain('The chat template of the model cannot be used: ')
      expect(message).toContain(where)
      expect(hint).toBe('Turn the chat template off, or correct the template.')
    }
  })

  test('what no text can hold is refused', async () => {
    const refused = async (message: object) => (await refusal(() => render(template, [{ role: 'user', ...message }]))).message
    expect(await refused({ content: [{ type: 'image_url', image_url: {} }] })).toContain('image_url')
    expect(await refused({ content: 'x', at: new Date(0) })).toContain('a Date')
    let deep: unknown = 1
    for (let i = 0; i < 10_000; i++) deep = [deep]
    expect(await refused({ content: 'x', deep })).toContain('levels deep')
  })
})

test('the date is the one that is given, and a template that reads none does not depend on it', async () => {
  const file = await loadChatTemplate(folder({ 'chat_template.jinja': "{{ strftime_now('%d %b %Y') }}" }))
  expect(file!.usesDate).toBe(true)
  expect(file!.on('2024-02-29')([{ role: 'user', content: '' }], where)).toBe('29 Feb 2024')
  for (const wrong of ['2023-02-29', 'today', '2024-13-01', '']) expect(() => file!.on(wrong)).toThrow(/has to look like/)
  const other = await loadChatTemplate(folder({ 'chat_template.jinja': 'x' }))
  expect(other!.usesDate).toBe(false)
})

describe('a template that does not end', () => {
  test.each([
    ['loops in loops', '{% for a in range(90000) %}{% for b in range(90000) %}{{ a }}{% endfor %}{% endfor %}', 'steps'],
    ['a list that doubles', '{% set n = namespace(x=[1]) %}{% for a in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}', 'steps'],
    ['a text that doubles', "{% set n = namespace(x='x') %}{% for a in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}", 'characters'],
    ['a number that squares', '{% set n = namespace(x=9) %}{% for a in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}', 'digits'],
    ['a list within itself', '{% set n = namespace(x=[]) %}{% for a in range(90000) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}', 'deep'],
    [
      'one list many times',
      '{% set n = namespace(x=[]) %}{% for a in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}',
      'steps',
    ],
    ['a macro of itself', '{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}', 'deep'],
    ['a loop of itself', '{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}', 'deep'],
    ['a wide text', "{{ '%999999999d' % 1 }}", 'width'],
    ['a wider one', "{{ 'x'.center(999999999) }}", 'characters'],
    ['many times', "{{ 'x' * 999999999999 }}", 'characters'],
    ['a power', '{{ 9 ** 999999 }}', 'digits'],
    ['a range', '{{ range(10 ** 9) | list }}', 'range'],
  ])('%s', async (_, source, why) => {
    const error = await refusal(() => render({ 'chat_template.jinja': source }))
    expect(error).toMatchObject({ code: 'text-invalid' })
    expect(error.message).toContain(why)
  })
})

test('no name of JavaScript is one of the template', async () => {
  const names = ['constructor', 'toString', '__proto__', 'hasOwnProperty', 'length']
  for (const name of names) {
    expect(
      await render({
        'chat_template.jinja': `{{ ${name} }}{{ messages.${name} }}{{ messages[0].${name} }}{{ 'a'.${name} }}{{ {}.${name} }}`,
      }),
    ).toBe('')
    expect(await render({ 'chat_template.jinja': `{{ messages[0].get('${name}') }}{{ '${name}' in messages[0] }}` })).toBe('NoneFalse')
  }
})
