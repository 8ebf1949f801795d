/** Tokenizers that people use, in llama.cpp: the same tokens as here. */
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { LlamaModel } from '../../../../e2e/llama-cpp.ts'
import { loadTokenizer } from '../../../data/tokenizer.ts'
import { loadVocabulary } from '../../../data/vocabulary.ts'
import { encodeMetadata, planFiles, readHead } from './file.ts'
import { vocabularyOf } from './vocabulary.ts'

const read = (path: string) => readFileSync(path, 'utf8')
/** From texts that stand beside the checkout, and characters that splits look at. */
const texts = () => {
  const wiki = read('../shared/data/wikitext-2-raw/wiki.test.raw').slice(0, 60_000).split('\n')
  return [
    ...wiki,
    "It's 3 o'clock, I'VE 33 333 3333 ideas — you'll see!!  Don't\tstop…\n\n  Well, well;\r\n",
    '日本語 Ünïcödé 😀👍🏽 ½ ² привет  a_b 1,234.56',
  ]
}

test.each([
  ['tokenizers/gpt2', 'gpt-2'],
  ['tokenizers/opt', 'gpt-2'],
  ['tokenizers/falcon', 'falcon'],
  ['tokenizers/llama', 'default'],
  ['tokenizers/mistral', 'default'],
  ['models/stories260K-hf', 'default'],
])('%s', async (name, pre) => {
  const folder = `../shared/${name}`
  const names = ['tokenizer.json', 'tokenizer_config.json', 'config.json'].filter((file) => existsSync(`${folder}/${file}`))
  const files = new Map(names.map((file) => [file, new Blob([readFileSync(`${folder}/${file}`)])]))
  if (!files.has('config.json')) files.set('config.json', new Blob(['{"eos_token_id": 2}']))
  const tokenizer = await loadTokenizer(files)
  const found = vocabularyOf(await loadVocabulary(files, tokenizer), tokenizer.vocab)
  if (typeof found === 'string') throw new Error(found)
  const [file] = planFiles('tokenizer', [encodeMetadata([['general.architecture', { type: 'text', value: 'llama' }]]), found.metadata], [])
  const { metadata } = await readHead(new Blob([file.head.slice()]), file.path)
  expect(metadata.get('tokenizer.ggml.pre')).toBe(pre)
  const place = await mkdtemp(join(tmpdir(), 'gguf-'))
  await writeFile(join(place, 'tokenizer.gguf'), file.head)
  const model = await LlamaModel.open(join(place, 'tokenizer.gguf'), { vocabOnly: true })
  await rm(place, { recursive: true })
  expect(texts().filter((one) => model.tokenize(one).join() !== tokenizer.encode(one).join())).toEqual([])
  await model.dispose()
})
