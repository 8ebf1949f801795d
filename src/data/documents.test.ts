import { parquetWriteBuffer } from 'hyparquet-writer'
import { expect, test, vi } from 'vitest'
import { gzipSync } from 'node:zlib'
import { refusal } from '../io/testing.ts'
import type { ChatTemplate } from './chat.ts'
import { documents, fileText, readText, tryText, type Text } from './documents.ts'
import { maxText, remarksOn } from './text-facts.ts'

// Some of these read tens of megabytes, which a busy machine takes its time for.
vi.setConfig({ testTimeout: 60_000 })

type Content = string | Uint8Array<ArrayBuffer> | ArrayBuffer
const text = (name: string, content: Content, more: Partial<Text> = {}): Text => ({ ...fileText(name, new Blob([content])), ...more })
const read = async (name: string, content: Content, more?: Partial<Text>) => (await readText(text(name, content, more))).text
const parquet = (columns: Record<string, unknown[]>) =>
  parquetWriteBuffer({ columnData: Object.entries(columns).map(([name, data]) => ({ name, data })) })

test('plain text comes as it is, under any name, with the line ends of Unix and without a byte order mark', async () => {
  expect(await read('a.txt', '\r\n Grüße \n\n{"text": 1}\n')).toBe('\n Grüße \n\n{"text": 1}\n')
  expect(await read('a.md', '\uFEFF# One\r\ntwo\r\rthree\n\uFEFFfour\r')).toBe('# One\ntwo\n\nthree\n\uFEFFfour\n')
  // A line end may fall between two pieces that are read.
  const long = 'x'.repeat((1 << 20) - 1)
  expect(await read('a.txt', `${long}\r\ny`)).toBe(`${long}\ny`)
  expect(await read('wiki.test.raw', ' = Robert = \n')).toBe(' = Robert = \n')
  expect(await read('a.txt.gz', gzipSync('Grüße'))).toBe('Grüße')
})

test('each line of a .jsonl is a document', async () => {
  const lines = [
    '{"text":"one","id":"7"}',
    '"two"',
    '',
    '{"prefix":"th","gold_completion":"ree","id":"7"}',
    '{"story":"four","score":1}\r',
    '   ',
    '{"text":""}',
  ].join('\n')
  expect(await read('a.jsonl', lines)).toBe('one\n\ntwo\n\nthree\n\nfour\n\n')
  expect(await read('a.json.gz', gzipSync(lines))).toBe('one\n\ntwo\n\nthree\n\nfour\n\n')
  expect(await read('a.jsonl', '{"a":"x","b":"y"}\n{"a":"z","b":""}', { column: 'a', join: ' ' })).toBe('x z')
  expect(await read('a.jsonl', lines, { most: 2 })).toBe('one\n\ntwo')
})

test('each row of a .parquet is a document, of the column that is named or plainly the text', async () => {
  expect(await read('a.parquet', parquet({ id: [1, 2], text: ['one', 'two'] }))).toBe('one\n\ntwo')
  expect(await read('a.parquet', parquet({ body: ['one', 'two'] }), { join: ' ' })).toBe('one two')
  const two = parquet({ a: ['x', 'y'], b: ['one', null], n: [1, 2] })
  expect(await read('a.parquet', two, { column: 'b' })).toBe('one\n\n')
  expect((await refusal(() => read('a.parquet', parquet({ id: ['a', 'b'], n: [1, 2] })))).message).toContain('it has id, n')
  const unclear = await refusal(() => read('a.parquet', two))
  expect(unclear.message).toContain('no column that is clearly the text')
  expect(unclear.hint).toContain('a, b')
  const wrong = await refusal(() => read('a.parquet', two, { column: 'n' }))
  expect(wrong.message).toContain('The column n of a.parquet does not contain texts, but numbers')
  expect((await refusal(() => read('a.parquet', two, { column: 'm' }))).message).toContain('no column m of texts: it has a, b, n')
})

const conversation = [
  { role: 'user', content: 'Hi' },
  { role: 'assistant', content: 'Hello!' },
]
const said = (content: unknown) =>
  typeof content === 'string' ? content : (content as { text: string }[]).map(({ text }) => text).join('')
const chat: ChatTemplate = (messages) => messages.map(({ role, content }) => `<${role}>${said(content)}`).join('')

test('conversations are plain text, or what the chat template makes of them', async () => {
  const forms = [
    { messages: conversation },
    {
      conversations: [
        { from: 'human', value: 'Hi' },
        { from: 'gpt', value: 'Hello!' },
      ],
    },
    {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'H' },
            { type: 'text', text: 'i' },
          ],
        },
        conversation[1],
      ],
    },
    conversation,
  ]
  const jsonl = text('a.jsonl', forms.map((form) => JSON.stringify(form)).join('\n'))
  expect((await readText(jsonl)).text).toBe(Array(4).fill('Hi\n\nHello!').join('\n\n'))
  expect((await readText(jsonl, chat)).text).toBe('<user>Hi<assistant>Hello!'.repeat(4))
  const table = parquet({ id: ['a', 'b'], messages: [conversation, conversation] })
  expect(await read('a.parquet', table, { column: 'id' })).toBe('a\n\nb')
  const error = await refusal(() => readText(text('a.jsonl', '{"text":"one"}'), chat))
  expect(error.message).toBe('a.jsonl has no conversations; its fields are text.')
  expect(error.hint).toContain('Turn the chat template off')
  expect(await read('a.jsonl', '{"messages":[null,{"role":"user","content":"one"},null]}')).toBe('one')
  const broken = text('a.jsonl', '{"messages":[{"role":"user","content":"one"}]}\n{"messages":["two"]}')
  expect((await refusal(() => readText(broken, chat))).message).toContain('Line 2 of a.jsonl: its field messages is not a conversation')
  expect((await refusal(() => readText(text('a.txt', 'one'), chat))).message).toContain('a.txt is plain text')
})

test.each([
  ['{"text":"one"', 1],
  ['{"text":"one"}\n\n{"text":["x","y"]}', 3],
  ['{"text":"one"}\n{"text":7}', 2],
  ['{"text":"one"} {"text":"two"}\n{"text":"thr', 2],
  ['{"text":"one"}\n{"text":"two"}\n"', 3],
  ['{"text":"one"}\n{"text":"two', 2],
  ['{"text":"one\n"}', 1],
  ['[{"text":"one"},\n{"text":"two"}\n{"text":"three"}]', 3],
  ['[{"text":"one"},\n{"text":"two"}', 1],
  ['\n\n}', 3],
  ['"one"\n7', 2],
  [`${'"one"\n'.repeat(70)}{"a":"b","c":"d"}`, 71],
  ['"one"\nnull', 2],
])('refuses the .jsonl %j and names line %i', async (content, line) => {
  const error = await refusal(() => read('a.jsonl', content))
  expect(error.code).toBe('text-invalid')
  expect(error.message).toContain(`Line ${line} of a.jsonl`)
})

test('refuses what is not text, and gzip that is not whole', async () => {
  const error = await refusal(() => read('a.txt', Uint8Array.of(0x50, 0xff, 0xfe)))
  expect(error.code).toBe('text-invalid')
  expect(error.message).toContain('a.txt is not UTF-8')
  const packed = gzipSync('one two three'.repeat(100))
  for (const length of [20, packed.length - 8, packed.length - 1]) {
    const { code, message } = await refusal(() => read('a.txt.gz', packed.subarray(0, length)))
    expect([code, message]).toEqual(['text-invalid', 'a.txt.gz is not a complete, valid gzip file: it ends early.'])
  }
  const other = Uint8Array.from(gzipSync('one two three'.repeat(100), { level: 0 }))
  other[100] ^= 1
  expect((await refusal(() => read('a.txt.gz', other))).message).toContain('incorrect data check')
  const junk = new Uint8Array(await new Blob([packed, 'junk']).arrayBuffer())
  expect((await refusal(() => read('a.txt.gz', junk))).message).toContain('a.txt.gz is not a complete, valid gzip file')
})

test('of a text without end the beginning is read, and that is said', async () => {
  let asked = 0
  const endless = {
    size: 2 ** 40,
    slice: (start: number, end: number) => {
      asked = Math.max(asked, end)
      return {
        size: end - start,
        slice: () => expect.fail('sliced twice'),
        arrayBuffer: async () => new Uint8Array(end - start).fill(120).buffer,
      }
    },
    arrayBuffer: () => expect.fail('was read whole'),
  }
  const { text, cut } = await readText(fileText('a.txt', endless))
  expect([text.length, cut]).toEqual([maxText, true])
  expect(asked).toBeLessThan(maxText + 2 ** 21)
  expect((await refusal(() => read('a.jsonl', 'x'.repeat(70 << 20)))).message).toContain(
    'The line or value that begins in line 1 of a.jsonl is longer',
  )
})

test('reading documents stops with whoever reads them', async () => {
  const blob = new Blob([gzipSync(Array.from({ length: 200_000 }, (_, i) => `{"text":"${Math.sin(i)} ${Math.cos(i)}"}`).join('\n'))])
  let bytes = 0
  const file = {
    size: blob.size,
    slice: (start: number, end: number) => {
      bytes += end - start
      return blob.slice(start, end)
    },
    arrayBuffer: () => blob.arrayBuffer(),
  }
  for await (const document of documents(fileText('c4.json.gz', file))) {
    expect(document).toBe('0 1')
    break
  }
  expect(blob.size).toBeGreaterThan(3 << 20)
  expect(bytes).toBeLessThanOrEqual(2 << 20)
})

test.each([
  ['a.txt', '', 'a.txt has no text: it is empty.'],
  ['a.txt', ' \n ', 'a.txt has no text: it is empty.'],
  ['a.jsonl', '\n', 'a.jsonl has no text: it is empty.'],
  ['a.csv', 'text\n', 'a.csv has no text: it is empty.'],
  ['a.jsonl', '{"text":""}', 'a.jsonl has no text: one row, which is empty.'],
])('refuses an empty %s of %j', async (name, content, message) => {
  const error = await refusal(() => read(name, content))
  expect([error.code, error.message]).toEqual(['text-short', message])
})

const facts = async (name: string, content: Content, template: ChatTemplate | null = null) =>
  (await readText(text(name, content), template)).facts
const remarks = async (...given: Parameters<typeof facts>) => remarksOn(await facts(...given)).map(({ message }) => message)

test.each([
  ['a.csv', `messages\n"${JSON.stringify(conversation).replaceAll('"', '""')}"\n`],
  ['a.csv', `id,talk\n1,"${JSON.stringify(conversation).replaceAll('"', '""')}"\n`],
  ['a.jsonl', JSON.stringify({ id: 'a', conversations: JSON.stringify(conversation) })],
  ['a.parquet', parquet({ id: ['a'], messages: [JSON.stringify(conversation)] })],
  // A column of the type JSON, as DuckDB writes them.
  ['a.parquet', parquet({ id: ['a'], messages: [conversation] })],
])('a conversation that stands as JSON in a text of %s is one', async (name, content) => {
  expect(await read(name, content)).toBe('Hi\n\nHello!')
  expect((await readText(text(name, content), chat)).text).toBe('<user>Hi<assistant>Hello!')
})

test('a conversation that Python printed, or that is cut, is refused by that; what is called a text is one', async () => {
  const python = "[{'role': 'user', 'content': \"it's\"}]"
  for (const [name, content] of [
    ['a.csv', `messages\n"${python.replaceAll('"', '""')}"\n`],
    ['a.jsonl', JSON.stringify({ messages: python })],
    ['a.parquet', parquet({ messages: [python] })],
  ] as [string, Content][]) {
    for (const template of [null, chat]) {
      const { message, hint } = await refusal(() => readText(text(name, content), template))
      expect(message).toMatch(/^(Row|Line) 1 of a\.\w+: its field messages contains a conversation as Python prints it, not as JSON\.$/)
      expect(hint).toContain('json.dumps')
    }
  }
  const cut = JSON.stringify({ messages: JSON.stringify(conversation).slice(0, -5) })
  expect((await refusal(() => read('a.jsonl', cut))).message).toContain('a conversation in incomplete JSON')
  expect(await read('a.jsonl', JSON.stringify({ text: python }))).toBe(python)
  expect(await read('a.jsonl', '{"messages":"no list"}')).toBe('no list')
})

test('with a chat template, a text without conversations is refused with the way out', async () => {
  for (const [name, content, column] of [
    ['a.jsonl', '{"text":"one"}', undefined],
    ['a.jsonl', '{"text":"one"}', 'text'],
    ['a.csv', 'text\none\n', undefined],
    ['a.parquet', parquet({ text: ['one'] }), undefined],
    ['a.txt', 'one', undefined],
  ] as [string, Content, string | undefined][]) {
    const { hint } = await refusal(() => readText(text(name, content, { column }), chat))
    expect(hint).toContain('Turn the chat template off (in the terminal leave out --chat-template)')
    expect(hint).not.toContain('Choose a column')
  }
})

test('fields beside a conversation that no template is given, and roles that none may read, are told', async () => {
  const rows = [
    { messages: conversation, tools: [{ name: 'f' }], system: '' },
    { messages: conversation, tools: '[{"name": "f"}]', system: 'Be short.' },
    { messages: conversation, tools: [], documents: null },
    { messages: [...conversation, { role: 'narrator', content: 'x' }], tools: '[]' },
  ]
  const told = [
    '2 rows have the field tools, which is not passed to the chat template.',
    '1 row has the field system, which is not passed to the chat template.',
    'Conversations have turns of "narrator": unusual roles, which the chat template may leave out.',
  ]
  const jsonl = rows.map((row) => JSON.stringify(row)).join('\n')
  expect(await remarks('a.jsonl', jsonl, chat)).toEqual(told)
  expect(await remarks('a.jsonl', jsonl)).toEqual([])
  const table = parquet({ messages: [conversation, conversation], tools: ['[{"name": "f"}]', ''] })
  expect(await remarks('a.parquet', table, chat)).toEqual(['1 row has the field tools, which is not passed to the chat template.'])
})

test('integers and floats of a table stay apart', async () => {
  const types: string[] = []
  const seen: ChatTemplate = (messages) => {
    for (const { small, large, real } of messages) types.push(`${typeof small} ${large} ${typeof large} ${typeof real}`)
    return 'x'
  }
  const messages = [[{ role: 'user', content: 'x', small: 1, large: 9007199254740993n, real: 1.5 }]]
  const schema = [
    { name: 'root', num_children: 1 },
    { name: 'messages', converted_type: 'LIST', repetition_type: 'OPTIONAL', num_children: 1 },
    { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
    { name: 'element', repetition_type: 'OPTIONAL', num_children: 5 },
    { name: 'role', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
    { name: 'content', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
    { name: 'small', type: 'INT32', repetition_type: 'OPTIONAL' },
    { name: 'large', type: 'INT64', repetition_type: 'OPTIONAL' },
    { name: 'real', type: 'DOUBLE', repetition_type: 'OPTIONAL' },
  ]
  const table = parquetWriteBuffer({ columnData: [{ name: 'messages', data: messages }], schema } as Parameters<
    typeof parquetWriteBuffer
  >[0])
  await readText(text('a.parquet', table), seen)
  expect(types).toEqual(['bigint 9007199254740993 bigint number'])
})

test('what a file is says its beginning, under any name', async () => {
  const csv = 'id,text\n1,"one, two"\n'
  for (const name of ['a.csv', 'a.parquet', 'a.jsonl', 'a.json']) {
    expect(await read(name, csv)).toBe('one, two')
    expect(await read(name, '{"text":"one"}\n{"text":"two"}')).toBe('one\n\ntwo')
    expect(await read(name, '{"text":"one"},\n{"text":"two"},\n')).toBe('one\n\ntwo')
    expect(await read(name, parquet({ text: ['one'] }))).toBe('one')
  }
  for (const prose of ['It was a dark night.\nIt rained.', '"Hello," she said.', '# Title\n\nmore', ' = Robert = \n']) {
    for (const [name, kind] of [
      ['a.jsonl', 'JSON'],
      ['a.json.gz', 'JSON'],
      ['a.parquet', 'a parquet table'],
    ]) {
      const { message, hint } = await refusal(() => read(name, name.endsWith('gz') ? gzipSync(prose) : prose))
      expect(message).toBe(`${name} looks like plain text, not like ${kind}.`)
      expect(hint).not.toContain('ownload')
    }
  }
  const half = parquet({ text: ['one'] }).slice(0, -9)
  expect((await refusal(() => read('a.parquet', half))).message).toContain('cannot be read as a parquet file')
})

test('a first row that is no header is told', async () => {
  const told = async (content: string) => (await remarks('a.csv', content)).join()
  expect(await told('It was a dark and stormy night\nthe rain fell\n')).toContain('“It was a dark and stormy night”')
  expect(await told('7;Good morning.\n8;Good night.\n')).toContain('does not look like them: “7, Good morning.”')
  for (const fine of ['text\nIt rained.\n', 'question asked\nWhy?\n', 'id,body\n1,x\n']) expect(await told(fine)).toBe('')
})

test('what cannot be a text is told before it is taken as one; what only needs a column is taken', async () => {
  const tried = (name: string, content: Content) => tryText(name, new Blob([content]))
  const refused: [name: string, content: Content, why: RegExp][] = [
    ['empty.txt', '', /empty\.txt has no text: it is empty/],
    ['empty.jsonl', '\n', /empty\.jsonl has no text: it is empty/],
    ['latin.txt', Uint8Array.of(0x47, 0x72, 0xfc, 0xdf, 0x65), /latin\.txt is not UTF-8 text/],
    ['bad.csv', 'text,n\n"a,1\nb,2\n', /bad\.csv is not a valid table row/],
    ['bad.jsonl', '{"text": "a"}\n{"text": }\n', /Line 2 of bad\.jsonl/],
    [
      'photo.png',
      Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
      /photo\.png is a PNG picture, which cannot be read as text/,
    ],
  ]
  for (const [name, content, why] of refused) expect((await refusal(() => tried(name, content))).message).toMatch(why)
  await tried('mine.txt', 'a')
  await tried('two.csv', 'question,answer\na,b\n')
  await tried('chat.jsonl', '{"messages": [{"role": "user", "content": "a"}]}\n')
  await tried('a.parquet', parquet({ one: ['a'], two: ['b'] }))
})
