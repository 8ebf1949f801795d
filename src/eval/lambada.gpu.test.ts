import { expect, it } from 'vitest'
import type { Passage } from '../data/lambada.ts'
import { embed } from '../gpu/ops.ts'
import * as ref from '../gpu/reference.ts'
import { testGpu } from '../gpu/testing.ts'
import { openFolder } from '../io/folder.ts'
import { memoryFiles } from '../io/memory.ts'
import { safetensorsOf, type TinyConfig, tinyTensors, twin } from '../models/testing.ts'
import { loadBlock, loadOuter, loadPanels } from '../models/weights.ts'
import { openModel } from '../models/open.ts'
import { batchedPassages, countRight } from './lambada.ts'
import { flatIds } from './perplexity.ts'

const config: TinyConfig = {
  model_type: 'llama',
  hidden_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  intermediate_size: 44,
  vocab_size: 61,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
}

/** What the float64 twin would say next. */
function greedy(tensors: ReturnType<typeof tinyTensors>, ids: number[]): number {
  const { hidden } = twin(config, tensors, ids)
  const table = tensors.get('model.embed_tokens.weight')!
  const last = ref.matrix(1, hidden.cols, (_, j) => hidden.data[(ids.length - 1) * hidden.cols + j])
  const head = { rows: table.shape[0], cols: table.shape[1], data: Float64Array.from(table.data) }
  const logits = ref.product(last, ref.transposed(head)).data
  return logits.indexOf(Math.max(...logits))
}

it('counts exactly the passages whose every last token is what float64 would pick', async () => {
  const tensors = tinyTensors(config, 5)
  const gpu = await testGpu()
  const opened = openModel(
    await openFolder(
      memoryFiles([
        ['config.json', JSON.stringify(config)],
        ['model.safetensors', safetensorsOf(tensors)],
      ]),
    ),
  )
  const passages: Passage[] = []
  let expected = 0
  for (let n = 0; n < 24; n++) {
    const ids = Array.from({ length: 1 + ((n * 5) % 19) }, (_, i) => (n * 31 + i * 17 + i * i) % 61)
    const word = ids.length
    const length = 1 + (n % 3)
    for (let i = 0; i < length; i++) ids.push(greedy(tensors, ids))
    // A third of them go wrong, at the first, a middle or the last token of the word.
    if (n % 3 === 1) ids[word + (n % length)] = (ids[word + (n % length)] + 1) % 61
    const right = ids.slice(word).every((id, i) => id === greedy(tensors, ids.slice(0, word + i)))
    expect(right).toBe(n % 3 !== 1)
    expected += Number(right)
    const end = ids.length
    // Behind half of them a token that the tokenizer adds, and that nobody has to tell.
    if (n % 2) ids.push((greedy(tensors, ids) + 1) % 61)
    passages.push({ ids: Int32Array.from(ids), word, end })
  }
  const outer = await loadOuter(gpu, opened)
  const embedding = await loadPanels(gpu, opened, opened.embedding)
  const blocks = [await loadBlock(gpu, opened, 0), await loadBlock(gpu, opened, 1)]
  for (const rows of [1, 50, 1000]) {
    const batches = batchedPassages(passages, rows)
    expect(batches.flatMap(({ ids }) => ids)).toHaveLength(24)
    expect(batches.every(({ windows, t }) => windows === 1 || windows * t <= rows)).toBe(true)
    let right = 0
    for (const batch of batches) {
      let x = opened.model.start(gpu, outer.weights, embed(gpu, embedding, flatIds(batch)), batch)
      for (const [k, weights] of blocks.entries()) {
        const steps = opened.model.block(gpu, weights, x, batch, k)
        let step = await steps.next()
        while (!step.done) step = await steps.next()
        x.dispose()
        x = step.value
      }
      right += await countRight(gpu, opened.model, outer, x, batch)
      x.dispose()
    }
    expect(right).toBe(expected)
  }
})
