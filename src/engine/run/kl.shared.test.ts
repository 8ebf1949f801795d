/** Second suite: KL of a real trained model from its quantized weights, held against a float64 forward pass of both. */
import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { floats, readSafetensors } from '../../../e2e/checkpoint.ts'
import { evaluationWindows } from '../../data/corpus.ts'
import * as ref from '../../gpu/reference.ts'
import { testSource } from '../../gpu/testing.ts'
import { sha256 } from '../../io/digest.ts'
import { type Tensors, type TinyConfig, twin } from '../../models/testing.ts'
import { diskFolder, textFile } from '../hosts/node.ts'
import type { Job } from '../job/job.ts'
import { Session } from '../session.ts'
import { memoryHost } from '../testing.ts'
import { runJob } from './run.ts'

const folder = '../shared/models/stories260K-hf'
const text = '../shared/data/tinystories/tinystories_valid_slice.txt'

function tensorsOf(file: Uint8Array): Tensors {
  const stored = readSafetensors(Buffer.from(file))
  return new Map([...stored].map(([name, tensor]) => [name, { shape: tensor.shape, data: floats(tensor) as Float32Array<ArrayBuffer> }]))
}

/** Log-probabilities of every next token, row by row, in float64. */
function predicted(config: TinyConfig, tensors: Tensors, ids: number[]): number[][] {
  const { hidden } = twin(config, tensors, ids)
  const { shape, data } = tensors.get('model.embed_tokens.weight')!
  const {
    rows,
    cols,
    data: logits,
  } = ref.product(hidden, ref.transposed({ rows: shape[0], cols: shape[1], data: Float64Array.from(data) }))
  return Array.from({ length: rows - 1 }, (_, i) => {
    const row = Array.from(logits.subarray(i * cols, (i + 1) * cols))
    const most = Math.max(...row)
    const sum = Math.log(row.reduce((all, value) => all + Math.exp(value - most), 0)) + most
    return row.map((value) => value - sum)
  })
}

it('KL, its quantiles and top-token agreement are those of a float64 computation', async () => {
  const session = new Session(testSource())
  session.texts.add(await textFile(text))
  await session.open(await diskFolder(folder))
  const job: Job = {
    runs: [{ id: 'rtn', label: 'rtn', method: 'rtn', options: { bits: 3 } }],
    calibration: { text, samples: 4, length: 64, sampling: 'consecutive' },
    evaluation: { text, samples: 4, length: 64 },
    seed: 0,
    perplexityEvery: 0,
    save: true,
    formats: ['dense'],
  }
  const { host, sinks } = memoryHost(session)
  const { runs, texts } = await runJob(job, host)
  const config: TinyConfig = JSON.parse(await readFile(`${folder}/config.json`, 'utf8'))
  const full = tensorsOf(await readFile(`${folder}/model.safetensors`))
  const quantized = tensorsOf(sinks.get('rtn')!.files.get('model.safetensors')!)
  const { windows } = evaluationWindows(session.tokenizer.encode(await readFile(text, 'utf8')), job.evaluation)
  expect(await sha256(Int32Array.from(windows.flatMap((ids) => [...ids])))).toBe(texts.evaluation.tokensSha256)

  const kls: number[] = []
  let same = 0
  for (const ids of windows) {
    const [p, q] = [full, quantized].map((tensors) => predicted(config, tensors, [...ids]))
    for (const [i, row] of p.entries()) {
      kls.push(row.reduce((sum, value, j) => sum + Math.exp(value) * (value - q[i][j]), 0))
      same += Number(row.indexOf(Math.max(...row)) === q[i].indexOf(Math.max(...q[i])))
    }
  }
  kls.sort((a, b) => a - b)
  const quantile = (share: number) => {
    const at = (kls.length - 1) * share
    return kls[Math.floor(at)] * (1 - (at % 1)) + kls[Math.ceil(at)] * (at % 1)
  }
  const { kl, klSpread, top1 } = runs[0]
  expect(kl!).toBeClose(kls.reduce((sum, value) => sum + value, 0) / kls.length, { relative: 0.01 })
  expect(klSpread!.median).toBeClose(quantile(0.5), { relative: 0.01 })
  expect(klSpread!.p99).toBeClose(quantile(0.99), { relative: 0.01 })
  expect(klSpread!.max).toBeClose(kls.at(-1)!, { relative: 0.01 })
  expect(top1!).toBeClose(same / kls.length, { relative: 0.01 })
})
