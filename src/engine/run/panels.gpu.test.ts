/** Whole jobs on a device whose largest binding is smaller than weights and Gram matrices, against one that binds them whole. */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { testSource } from '../../gpu/testing.ts'
import { memoryFiles } from '../../io/memory.ts'
import { safetensorsOf, type TinyConfig, tinyTensors } from '../../models/testing.ts'
import { examine } from '../plan/check.ts'
import type { Job } from '../job/job.ts'
import { runJob } from './run.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testTexts, tinyConfig } from '../testing.ts'

/** Weights of the MLP take 80 × 200 × 4 = 64 kB, the Gram matrix of down_proj 160 kB. */
const config: TinyConfig = { ...tinyConfig, hidden_size: 80, intermediate_size: 200, num_hidden_layers: 1 }
const LIMIT = 60 * 1024

const methods: [string, string, Job['runs'][0]['options']][] = [
  ['rtn', 'rtn', { bits: 3, grid: 'mse' }],
  ['quantease', 'quantease', { bits: 3, iterations: 4, trueSequential: true }],
  ['gptq-act', 'gptq', { bits: 4, groupSize: 64, actOrder: true, damping: 0.1 }],
  ['both', 'gptq_quantease', { bits: 2, groupSize: 32, actOrder: true, iterations: 2, damping: 0.1 }],
  ['plus', 'quantease_plus', { bits: 3, iterations: 4, quick: true, rounds: 1 }],
  ['awq', 'awq', { bits: 4, groupSize: 32 }],
  ['spqr', 'spqr', { bits: 3, damping: 0.1 }],
  ['outliers', 'quantease', { bits: 3, iterations: 3, outlier: 0.01 }],
]

async function measure(binding: number) {
  const session = new Session(testSource(), testTexts(), null, { binding })
  await session.open(
    memoryFiles([
      ['config.json', JSON.stringify(config)],
      ['model.safetensors', safetensorsOf(tinyTensors(config, 5))],
      ['tokenizer.json', await readFile('public/demo/tokenizer.json', 'utf8')],
    ]),
    'tiny',
  )
  const { host, sinks } = memoryHost(session)
  const job = smallJob(
    methods.map(([id, method, options]) => ({ id, label: id, method, options })),
    { save: true, calibration: { text: 'demo-calibration', samples: 2, length: 64, sampling: 'consecutive' } },
  )
  const report = await runJob(job, host)
  const files = new Map(Array.from(sinks, ([run, sink]) => [run, sink.files.get('model.safetensors')!]))
  return { session, report, files }
}

describe('a job on a device with small bindings', () => {
  let whole: Awaited<ReturnType<typeof measure>>
  let small: Awaited<ReturnType<typeof measure>>
  beforeAll(async () => {
    whole = await measure(Number.POSITIVE_INFINITY)
    small = await measure(LIMIT)
  })
  afterAll(async () => {
    for (const { session } of [whole, small]) (await session.gpu()).destroy()
  })

  it.each(methods.slice(0, 6))('%s: the same codes and scales, the same perplexity', (id) => {
    const [a, b] = [whole, small].map(({ report }) => report.runs.find(({ run }) => run === id)!)
    expect([a.error, b.error, a.exportError, b.exportError]).toEqual([undefined, undefined, undefined, undefined])
    expect(Buffer.compare(whole.files.get(id)!, small.files.get(id)!)).toBe(0)
    expect(b.perplexity! / a.perplexity!).toBeCloseTo(1, 6)
    expect(b.meanRelativeError! / a.meanRelativeError!).toBeCloseTo(1, 5)
  })

  it.each(methods.slice(6))('%s: outliers chosen slice by slice end as well, and say so', (id) => {
    const [a, b] = [whole, small].map(({ report }) => report.runs.find(({ run }) => run === id)!)
    expect([a.error, b.error, b.exportError]).toEqual([undefined, undefined, undefined])
    expect(b.meanRelativeError!).toBeClose(a.meanRelativeError!, { relative: 0.05 })
    expect(b.layers.filter(({ notes }) => notes.some((note) => note.includes('slices of rows'))).length).toBe(3)
  })

  it('refuses what needs all rows at once, before the start', async () => {
    const options = { outlier: 0.01, structureOutlier: true }
    const { check } = await examine(smallJob([{ id: 'x', label: 'x', method: 'quantease', options }]), small.session)
    const errors = check.problems.filter(({ severity }) => severity === 'error')
    expect(errors).toMatchObject([
      { code: 'gpu-too-small', field: 'runs.0.method', message: expect.stringContaining('QuantEase cannot quantize mlp.gate_proj') },
    ])
  })
})
