import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { fileText, readText } from './documents.ts'
import { loadTokenizer } from './tokenizer.ts'

const shared = '../shared'

function load(folder: string) {
  const names = ['tokenizer.json', 'tokenizer_config.json'].filter((name) => existsSync(`${folder}/${name}`))
  return loadTokenizer(new Map(names.map((name) => [name, new Blob([readFileSync(`${folder}/${name}`)])])))
}

const json = (path: string) => JSON.parse(readFileSync(path, 'utf8'))

test.each([
  ['gpt2', 50257],
  ['llama', 32000],
  ['falcon', 65024],
])('%s gives the ids of its published vectors', async (name, vocab) => {
  const folder = `${shared}/tokenizers/${name}`
  const tokenizer = await load(folder)
  expect(tokenizer).toMatchObject({ kind: 'BPE', vocab })
  const vectors: { text: string; ids: number[] }[] = json(`${folder}/vectors.json`)
  for (const { text, ids } of vectors) expect([text, Array.from(tokenizer.encode(text, { special: false }))]).toEqual([text, ids])
})

test('OPT puts </s> in front', async () => {
  const tokenizer = await load(`${shared}/tokenizers/opt`)
  expect(Array.from(tokenizer.encode('A photo of a cat'))).toEqual([2, 250, 1345, 9, 10, 4758])
})

test('stories260K gives the ids of its golden sentences, BOS in front', async () => {
  const tokenizer = await load(`${shared}/models/stories260K-hf`)
  expect(tokenizer.vocab).toBe(512)
  for (const { text, ids } of json(`${shared}/models/golden-stories260K.json`).sentences) {
    expect(Array.from(tokenizer.encode(text))).toEqual(ids)
  }
})

// Count and SHA-256 of the ids that tokenizers 0.23.3 (Rust) gives, joined by spaces.
test.each([
  ['llama', 28779, '25cac663a79d181f'],
  ['mistral', 27547, '2bf1c4005382406c'],
  ['gpt2', 24074, '7649f8c34af24a25'],
  ['falcon', 27489, '29c14e251feefc06'],
  ['opt', 24075, '0932afeb9eeedf5f'],
])('%s: a long text gives the ids of the Rust library', async (name, count, digest) => {
  const text =
    readFileSync(`${shared}/data/wikitext-2-raw/wiki.test.raw`, 'utf8').slice(0, 100_000) +
    ' '.repeat(500) +
    '\n'.repeat(300) +
    'ab😀'.repeat(200) +
    ' a\ufeff\u0085½ ²³ x\u00a0 '
  const ids = (await load(`${shared}/tokenizers/${name}`)).encode(text)
  expect([ids.length, createHash('sha256').update(ids.join(' ')).digest('hex').slice(0, 16)]).toEqual([count, digest])
})

test('reads the texts of the collection', async () => {
  const read = async (path: string) => (await readText(fileText(path, new Blob([readFileSync(`${shared}/data/${path}`)])))).text
  expect((await read('c4-sample/c4.jsonl')).length).toBeGreaterThan(1_500_000)
  expect((await read('lambada/lambada_test.jsonl')).split('\n\n').length).toBeGreaterThanOrEqual(5153)
  expect((await read('wikitext-2-raw/wiki.test.raw')).split('\n').length).toBe(4359)
})
