/**
 * `npm run --silent gguf-perplexity -- FILE.gguf IDS.json`: the perplexity that llama.cpp computes from a file on windows of token ids
 * `[[…], …]`, and its build; for e2e/oracle/check_clients.py.
 */
import { readFile } from 'node:fs/promises'
import { LlamaModel, llamaCpp } from './llama-cpp.ts'

const [file, ids] = process.argv.slice(2)
const windows: number[][] = JSON.parse(await readFile(ids, 'utf8'))
const vocab = Math.max(...windows.flat()) + 1
const model = await LlamaModel.open(file)
let [sum, count] = [0, 0]
for (const window of windows) {
  const rows = await model.probabilities(window, vocab)
  for (const [i, next] of window.slice(1).entries()) {
    sum -= Math.log(rows[i][next])
    count++
  }
}
await model.dispose()
process.stdout.write(JSON.stringify({ perplexity: Math.exp(sum / count), build: (await llamaCpp()).build }))
