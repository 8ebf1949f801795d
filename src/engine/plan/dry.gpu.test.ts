/** What a forecast says of a run, against the run itself. */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { testSource } from '../../gpu/testing.ts'
import { memoryFiles } from '../../io/memory.ts'
import { safetensorsOf, tinyTensors } from '../../models/testing.ts'
import { checkJob } from './dry.ts'
import type { Job } from '../job/job.ts'
import { runJob } from '../run/run.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testTexts, tinyConfig } from '../testing.ts'

const config = { ...tinyConfig, num_hidden_layers: 4, torch_dtype: 'float32' }

let session: Session
beforeAll(async () => {
  session = new Session(testSource(), testTexts())
  // Kernels need nothing of the feature that it is offered by.
  ;(await session.gpu()).info.f16 = true
  await session.open(
    memoryFiles([
      ['config.json', JSON.stringify(config)],
      ['model.safetensors', safetensorsOf(tinyTensors(config, 3))],
      ['tokenizer.json', await readFile('public/demo/tokenizer.json', 'utf8')],
    ]),
  )
})
afterAll(async () => (await session.gpu()).destroy())

const methods: [string, string, Job['runs'][0]['options']][] = [
  ['RTN', 'rtn', { bits: 3 }],
  ['QuantEase', 'quantease', { bits: 3, iterations: 3 }],
  ['true-sequential, in groups', 'quantease', { bits: 3, iterations: 3, groupSize: 32, trueSequential: true }],
  ['GPTQ, act-order', 'gptq', { bits: 4, actOrder: true }],
  ['outliers', 'quantease', { bits: 3, iterations: 3, outlier: 0.01 }],
  ['masked outliers', 'quantease', { bits: 3, iterations: 3, outlier: 0.01, outlierMode: 'masked' }],
  ['QuantEase+', 'quantease_plus', { bits: 2, iterations: 4, quick: true, rounds: 1 }],
  ['SpQR', 'spqr', { bits: 3 }],
  ['AWQ', 'awq', { bits: 4, groupSize: 32 }],
]

const few = methods.filter(([, method]) => ['rtn', 'gptq', 'spqr', 'awq'].includes(method))

describe.each([
  { length: 32, runs: methods },
  { length: 128, runs: few },
  { length: 128, runs: few, products: 'f16' as const },
])('windows of $length tokens, products in $products', ({ length, runs: tried, products }) => {
  it.each(tried)('%s takes as much memory as foreseen, and moves as much', async (_, method, options) => {
    const job = smallJob([{ id: 'one', label: 'one', method, options }], {
      calibration: { text: 'demo-calibration', samples: 4, length, sampling: 'consecutive' },
      evaluation: { text: 'demo-evaluation', samples: 4, length, products },
    })
    const { problems, runs } = await checkJob(job, session)
    expect(problems.filter(({ severity }) => severity === 'error')).toEqual([])
    const gpu = await session.gpu()
    gpu.trim()
    const before = gpu.memory.held
    gpu.memory.peak = before
    let moved = 0
    const { host } = memoryHost(session, ({ type }) => {
      if (type === 'run-start') moved -= gpu.moved
      if (type === 'run-end') moved += gpu.moved
    })
    const report = await runJob(job, host)
    expect(report.runs[0].error).toBeUndefined()
    const measured = gpu.memory.peak - before
    const { gpuBytes, movedBytes } = runs[0].forecast!
    expect(movedBytes / moved).toBeGreaterThan(0.98)
    expect(movedBytes / moved).toBeLessThan(1.02)
    expect(report.products?.used).toBe(products)
    expect(gpuBytes / measured).toBeGreaterThan(0.98)
    expect(gpuBytes / measured).toBeLessThan(1.02)
  })
})
