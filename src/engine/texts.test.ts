/** Data sets from a Hub on this machine, over real HTTP: which bytes are asked for, and what comes of them. */
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { type Contents, type HubServer, startHub } from '../../e2e/hub/server.ts'
import { random } from '../data/corpus.ts'
import { hubDatasets } from '../data/datasets.ts'
import { loadTokenizer } from '../data/tokenizer.ts'
import { openHub } from '../io/hub/hub.ts'
import { memoryFiles } from '../io/memory.ts'
import { refusal } from '../io/testing.ts'
import { Texts } from './texts.ts'

/** Sentences of the demo's own stories, different for each split. */
const stories = readFileSync('public/demo/calibration.txt', 'utf8').split(/(?<=[.!?"]) +|\n+/)
const take = (from: number, count: number) => stories.slice(from, from + count)
const table = (columns: Record<string, string[]>, rowGroupSize = 1000) =>
  new Uint8Array(
    parquetWriteBuffer({ columnData: Object.entries(columns).map(([name, data]) => ({ name, data, type: 'STRING' })), rowGroupSize }),
  )
/** With a field of noise, so that a shard is large before it takes long to tokenize. */
const noise = random(5)
const lines = (texts: string[]) =>
  new Uint8Array(
    gzipSync(texts.map((text) => JSON.stringify({ url: Array.from({ length: 30 }, noise).join(), text })).join('\n'), { level: 1 }),
  )
/** Documents of a few hundred words, made of sentences in another order each. */
const documents = (count: number, seed: number) =>
  Array.from({ length: count }, (_, i) =>
    Array.from({ length: 3 + ((i * 7) % 12) }, (_, j) => stories[(i * 131 + j * 17 + seed) % stories.length]).join(' '),
  )

const train = take(0, 900)
const test_ = take(900, 120)
const shard = documents(16_000, 1)
const shardFile = lines(shard)
const contents = (files: Record<string, Uint8Array>): Contents => new Map(Object.entries(files))

let server: HubServer
let texts: Texts
let encode: (text: string) => Int32Array
beforeAll(async () => {
  server = await startHub({
    repos: [
      {
        type: 'dataset',
        name: 'Salesforce/wikitext',
        revisions: {
          main: contents({ 'README.md': new Uint8Array(3) }),
          'refs/convert/parquet': contents({
            'wikitext-2-raw-v1/train/0000.parquet': table({ text: train.slice(0, 500) }),
            'wikitext-2-raw-v1/train/0001.parquet': table({ text: train.slice(500) }),
            'wikitext-2-raw-v1/test/0000.parquet': table({ text: test_ }),
            'wikitext-103-v1/test/0000.parquet': table({ text: ['another'] }),
          }),
        },
      },
      {
        type: 'dataset',
        name: 'ptb-text-only/ptb_text_only',
        revisions: {
          main: contents({ 'ptb_text_only.py': new Uint8Array(3) }),
          'refs/convert/parquet': contents({
            'penn_treebank/train/0000.parquet': table({ sentence: train }),
            'penn_treebank/validation/0000.parquet': table({ sentence: test_ }),
            'penn_treebank/test/0000.parquet': table({ sentence: take(1020, 80) }),
          }),
        },
      },
      {
        type: 'dataset',
        name: 'allenai/c4',
        revisions: {
          main: contents({
            'en/c4-train.00000-of-01024.json.gz': shardFile,
            'en/c4-validation.00000-of-00008.json.gz': lines(documents(16_000, 2)),
            'multilingual/c4-af.json.gz': lines(['nee']),
          }),
        },
      },
      {
        type: 'dataset',
        name: 'EleutherAI/lambada_openai',
        revisions: {
          main: contents({
            'data/lambada_test_de.jsonl': new TextEncoder().encode('"Er ist im Brunnen"'),
            'data/lambada_test.jsonl': new TextEncoder().encode('{"text":"It is in the well"}\n{"text":"Ada met Ines"}'),
          }),
        },
      },
      {
        type: 'dataset',
        name: 'someone/pairs',
        revisions: {
          main: contents({}),
          'refs/convert/parquet': contents({
            'default/train/0000.parquet': table(
              { question: train.map((text) => `${text} ${Array.from({ length: 30 }, noise).join()}`), answer: train },
              100,
            ),
          }),
        },
      },
      {
        type: 'dataset',
        name: 'someone/files',
        revisions: {
          main: contents({ 'data/train-00000-of-00001.jsonl': lines([]), 'en/test.txt': new TextEncoder().encode('Only a test.') }),
        },
      },
    ],
  })
  const tokenizer = await loadTokenizer(memoryFiles([['tokenizer.json', readFileSync('public/demo/tokenizer.json', 'utf8')]]))
  encode = (text) => tokenizer.encode(text)
  texts = new Texts([], hubDatasets(openHub({ url: server.url })))
  texts.use(tokenizer, null)
})
afterAll(() => server.close())
beforeEach(() => {
  server.log.length = 0
})

/** Paths of the files that were read, and the bytes of them that were sent. */
const served = () => server.log.filter(({ host, sent }) => host === 'storage' && sent > 0)
const total = () => served().reduce((sum, { sent }) => sum + sent, 0)

vi.setConfig({ testTimeout: 60_000 })

test('WikiText-2: train calibrates, test evaluates, rows joined by an empty line', async () => {
  const calibration = await texts.tokens({ text: 'wikitext2' }, 'calibration')
  expect(calibration).toMatchObject({ tokens: encode(train.join('\n\n')), cut: false, facts: { column: 'text', rows: 900 } })
  const evaluation = await texts.tokens({ text: 'wikitext2' }, 'evaluation')
  expect(evaluation.tokens).toEqual(encode(test_.join('\n\n')))
  const before = server.log.length
  await texts.tokens({ text: 'wikitext2' }, 'calibration')
  expect(server.log.length).toBe(before)
})

test('PTB: the validation split as published, and the test split joined by spaces', async () => {
  expect((await texts.tokens({ text: 'ptb' }, 'evaluation')).tokens).toEqual(encode(test_.join('\n\n')))
  expect((await texts.tokens({ text: 'ptb-new' }, 'evaluation')).tokens).toEqual(encode(take(1020, 80).join(' ')))
  expect((await texts.tokens({ text: 'ptb' }, 'calibration')).tokens).toEqual(encode(train.join('\n\n')))
})

test('C4: windows of single documents, and the shard is read no further than they need', async () => {
  const choice = { text: 'c4', samples: 8, length: 64, sampling: 'documents' } as const
  const { windows } = await texts.samples(choice, 0)
  expect(windows).toHaveLength(8)
  expect(shardFile.length).toBeGreaterThan(4 << 20)
  expect(total()).toBeLessThanOrEqual(2 << 20)
  for (const { range } of served()) expect(range).toMatch(/^bytes=\d+-\d+$/)
  // Pieces of documents of the shard.
  const known = shard.slice(0, 400).map((text) => encode(text).join())
  for (const window of windows) expect(known.some((ids) => ids.includes(window.join()))).toBe(true)
  expect((await texts.samples(choice, 1)).windows).not.toEqual(windows)
  // Listed is the folder, not the hundred languages beside it.
  for (const { path } of server.log) if (path.includes('/tree/')) expect(path).toMatch(/\/en\?/)
})

test('C4 evaluates on its first 1,100 validation documents joined by spaces, 256 windows at most', async () => {
  const { tokens } = await texts.tokens({ text: 'c4' }, 'evaluation')
  expect(tokens).toEqual(encode(documents(1100, 2).join(' ')))
  expect(total()).toBeLessThanOrEqual(2 << 20)
  expect([texts.windows({ text: 'c4' }), texts.windows({ text: 'wikitext2' })]).toEqual([256, 0])
})

test('LAMBADA: from the files of the repository where the Hub has converted nothing', async () => {
  const { passages } = await texts.passages({ text: 'lambada', passages: 0 }, 100)
  expect(passages.map(({ ids }) => ids)).toEqual([encode('It is in the well'), encode('Ada met Ines')])
  expect((await texts.passages({ text: 'lambada', passages: 1 }, 100)).passages).toHaveLength(1)
})

test('any other: by configuration, split and column, and of its tables the row groups and columns that are needed', async () => {
  const { tokens } = await texts.tokens({ text: 'someone/pairs:default:train:answer' }, 'evaluation')
  expect(tokens).toEqual(encode(train.join('\n\n')))
  const answers = total()
  expect((await texts.tokens({ text: 'someone/pairs', column: 'question' }, 'calibration')).tokens.length).toBeGreaterThan(
    5 * tokens.length,
  )
  expect(answers).toBeLessThan((total() - answers) / 2)
  server.log.length = 0
  const { windows: samples } = await texts.samples({ text: 'someone/pairs:::question', samples: 4, length: 32, sampling: 'documents' }, 0)
  expect(samples).toHaveLength(4)
  // The footer and the first of nine row groups.
  expect(served()).toHaveLength(2)
})

test('what a data set lacks is said, with what it has', async () => {
  const say = async (text: string) => {
    const { code, message, hint } = await refusal(() => texts.tokens({ text }, 'evaluation'))
    return `${code}: ${message} ${hint}`
  }
  expect(await say('Salesforce/wikitext')).toMatch(/2 configurations.*wikitext-103-v1, wikitext-2-raw-v1/)
  expect(await say('Salesforce/wikitext:wikitext-5')).toMatch(/no configuration wikitext-5/)
  expect(await say('Salesforce/wikitext:wikitext-103-v1:train')).toMatch(/no split train.*test/)
  expect(await say('someone/pairs')).toMatch(/no column that is clearly the text.*question, answer/)
  expect(await say('someone/pairs:default:test')).toMatch(/no split test in default.*train/)
  expect(await say('someone/files:de')).toMatch(/no files for de.*en\/test\.txt/)
  expect(await say('someone/nothing')).toMatch(/does not exist/)
  expect(await say('nothing')).toMatch(/There is no text "nothing"/)
  const alone = new Texts([], null)
  expect((await refusal(() => alone.tokens({ text: 'wikitext2' }, 'evaluation'))).message).toContain('not available here')
  expect((await texts.tokens({ text: 'someone/files:en' }, 'evaluation')).tokens).toEqual(encode('Only a test.'))
})

test('a network that fails on the way is said as such, and asked again the next time', async () => {
  const fresh = new Texts([], hubDatasets(openHub({ url: server.url })))
  fresh.use(await loadTokenizer(memoryFiles([['tokenizer.json', readFileSync('public/demo/tokenizer.json', 'utf8')]])), null)
  server.fault('nonsense', { match: '/api/datasets/', times: 1 })
  expect((await refusal(() => fresh.tokens({ text: 'ptb' }, 'evaluation'))).code).toBe('hub-answer')
  expect((await fresh.tokens({ text: 'ptb' }, 'evaluation')).cut).toBe(false)
})
