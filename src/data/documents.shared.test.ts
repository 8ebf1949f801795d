/** Second suite: published texts, as they lie there and as the Hub would serve them. */
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type HubServer, startHub } from '../../e2e/hub/server.ts'
import { diskFolder, textFile } from '../engine/hosts/node.ts'
import { Texts } from '../engine/texts.ts'
import { openHub } from '../io/hub/hub.ts'
import { memoryText } from '../engine/testing.ts'
import { overlap } from './corpus.ts'
import { hubDatasets } from './datasets.ts'
import { loadTokenizer } from './tokenizer.ts'

const shared = '../shared'
const raw = readFileSync(`${shared}/data/wikitext-2-raw/wiki.test.raw`, 'utf8')
/** The rows of the data set: its lines with their ends, the blank ones empty. */
const rows = raw
  .split('\n')
  .slice(0, -1)
  .map((line) => (line.trim() ? `${line}\n` : ''))
const c4 = readFileSync(`${shared}/data/c4-sample/c4.jsonl`, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line))
  .map(({ prefix, gold_completion }) => prefix + gold_completion)

let server: HubServer
let texts: Texts
beforeAll(async () => {
  const table = new Uint8Array(parquetWriteBuffer({ columnData: [{ name: 'text', data: rows, type: 'STRING' }], rowGroupSize: 1000 }))
  // Ten documents in one, so that some are longer than a window.
  const shard = Array.from({ length: 148 }, (_, i) => JSON.stringify({ text: c4.slice(10 * i, 10 * i + 1 + (i % 10)).join('\n') }))
  server = await startHub({
    repos: [
      {
        type: 'dataset',
        name: 'Salesforce/wikitext',
        revisions: {
          main: new Map([['README.md', new Uint8Array(1)]]),
          'refs/convert/parquet': new Map([['wikitext-2-raw-v1/test/0000.parquet', table]]),
        },
      },
      {
        type: 'dataset',
        name: 'allenai/c4',
        revisions: { main: new Map([['en/c4-train.00000-of-01024.json.gz', new Uint8Array(gzipSync(shard.join('\n')))]]) },
      },
    ],
  })
  texts = new Texts(
    [memoryText('joined', rows.join('\n\n')), await textFile(`${shared}/data/lambada/lambada_test.jsonl`)],
    hubDatasets(openHub({ url: server.url })),
  )
})
afterAll(() => server.close())

const use = async (name: string) => {
  const tokenizer = await loadTokenizer(await diskFolder(`${shared}/tokenizers/${name}`))
  texts.use(tokenizer, null)
  return tokenizer
}

/** FNV-1a over token ids: windows as one recorded number. */
function digest(windows: Int32Array[]): number {
  let hash = 0x811c9dc5
  for (const window of windows) for (const id of window) hash = Math.imul(hash ^ id, 0x01000193)
  return hash >>> 0
}

test.each([
  ['gpt2', 'gpt2', 287_644],
  ['llama', 'llama', 341_469],
])('WikiText-2 test gives %s the same tokens as parquet from the Hub and as text', async (_, name, published) => {
  await use(name)
  expect(rows).toHaveLength(4358)
  const served = await texts.tokens({ text: 'wikitext2' }, 'evaluation')
  const plain = await texts.tokens({ text: 'joined' }, 'evaluation')
  expect([served.tokens, served.cut]).toEqual([plain.tokens, false])
  // As published scripts print it for this split.
  expect(served.tokens.length).toBe(published)
})

test('LAMBADA has 5,153 passages, and each ends in a word of its own', async () => {
  const tokenizer = await use('gpt2')
  const { passages } = await texts.passages({ text: `${shared}/data/lambada/lambada_test.jsonl`, passages: 0 }, 1024)
  expect(passages).toHaveLength(5153)
  const [{ ids, word }] = passages
  expect(Array.from(ids.subarray(word))).toEqual(Array.from(tokenizer.encode(' signs')))
})

test('sampling by a fixed seed draws what it always drew', async () => {
  await use('gpt2')
  const documents = { text: 'c4', samples: 8, length: 512, sampling: 'documents' } as const
  const { windows } = await texts.samples(documents, 0)
  expect(digest(windows)).toBe(3_300_539_071)
  expect(overlap(windows, windows)).toBe(1)
})
