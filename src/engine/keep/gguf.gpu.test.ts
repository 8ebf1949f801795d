/** GGUF checkpoints in llama.cpp itself: they load, and it computes with them what we compute. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LlamaModel, llamaCpp } from '../../../e2e/llama-cpp.ts'
import { testGpu, testSource } from '../../gpu/testing.ts'
import { openFolder } from '../../io/folder.ts'
import { memoryFiles } from '../../io/memory.ts'
import { logitsOf } from '../../models/testing.ts'
import { openModel } from '../../models/weights.ts'
import type { Job } from '../job.ts'
import { examine } from '../plan/check.ts'
import { runJob } from '../run/run.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testDemo, testTexts } from '../testing.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gguf-'))
  console.log((await llamaCpp()).build)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A finished job in GPTQ and GGUF: the first to compute with here, the second in llama.cpp. */
async function made(session: Session, options: Record<string, unknown>) {
  const job: Job = smallJob([{ id: 'one', label: 'One', method: 'rtn', options }] as Job['runs'], {
    save: true,
    formats: ['gptq', 'gguf'],
    calibration: { text: 'demo-calibration', samples: 1, length: 32, sampling: 'consecutive' },
    evaluation: { text: 'demo-evaluation', samples: 2, length: 96 },
  })
  const { check, plan } = await examine(job, session)
  expect(check.problems.filter(({ severity }) => severity === 'error')).toEqual([])
  const { host, sinks } = memoryHost(session)
  const [run] = (await runJob(job, host)).runs
  expect(run.error ?? run.exportError).toBeUndefined()
  const files = [...sinks.get('one')!.files]
  const [[path, bytes], ...more] = files.filter(([name]) => name.endsWith('.gguf'))
  expect(more).toEqual([])
  const file = join(folder, path.replace('/', '-'))
  await writeFile(file, bytes)
  const gptq = files.filter(([name]) => name.startsWith('gptq/')).map(([name, content]) => [name.slice(5), content] as const)
  const opened = openModel(await openFolder(memoryFiles(gptq)))
  return { run, windows: plan!.evaluation, opened, model: await LlamaModel.open(file) }
}

/** Perplexity of windows in llama.cpp, each by itself. */
async function perplexity(model: LlamaModel, windows: Int32Array[], vocab: number) {
  let [sum, count] = [0, 0]
  for (const ids of windows) {
    const rows = await model.probabilities(ids, vocab)
    for (let i = 1; i < ids.length; i++) {
      sum -= Math.log(rows[i - 1][ids[i]])
      count++
    }
  }
  return Math.exp(sum / count)
}

/** Half a per cent of the spread of logits: llama.cpp rounds inputs of quantized layers to 8 bits. */
const NEAR = 0.02

/** 64 tokens of llama.cpp are those that we would choose, or as good as them. */
async function expectSameWords({ model, opened }: Awaited<ReturnType<typeof made>>, prompt: readonly number[]) {
  const found = await model.greedy(prompt, 64)
  const ids = [...prompt, ...found]
  const { vocab } = opened.model.shape
  const gpu = await testGpu()
  const t = Math.ceil(ids.length / 4) * 4
  const tensor = await logitsOf(
    gpu,
    opened,
    Uint32Array.from({ length: t }, (_, i) => ids[i] ?? 0),
    { windows: 1, t },
  )
  const logits = (await gpu.read(tensor)) as Float32Array
  tensor.dispose()
  let largest = 0
  for (const value of logits) largest = Math.max(largest, Math.abs(value))
  found.forEach((token, i) => {
    const row = logits.subarray((prompt.length - 1 + i) * vocab, (prompt.length + i) * vocab)
    const best = Math.max(...row)
    expect(best - row[token], `token ${i}: ${token} instead of ${row.indexOf(best)}`).toBeLessThan(NEAR * largest)
  })
}

describe('the demo', async () => {
  const session = new Session(testSource(), testTexts())
  await session.open(await testDemo())
  const text = 'Once upon a time there was a café, 1234 miles away.\n\n“Well…”  said the owl'

  it.each([
    ['Q4_0', { bits: 4, groupSize: 32, symmetric: true }],
    ['Q4_1', { bits: 4, groupSize: 64, symmetric: false }],
    ['Q8_0', { bits: 8, groupSize: -1, symmetric: true }],
    ['Q4_0', { bits: 3, groupSize: -1, symmetric: true, blocks: 2 }],
  ])('in %s, %o', async (type, options) => {
    const result = await made(session, options)
    const { model, windows, run } = result
    expect(model.model.getModelDescription()).toContain(type)
    expect(model.tokenize(text)).toEqual([...session.tokenizer.encode(text)])
    const theirs = await perplexity(model, windows, 1024)
    expect(theirs, `${theirs} instead of ${run.perplexity}`).toBeClose(run.perplexity!, { relative: 0.01 })
    await expectSameWords(result, [...session.tokenizer.encode('Once upon a time')])
    await model.dispose()
  })
})
