import { expect, test } from 'vitest'
import type { Catalog, GpuSummary, Job, ModelSummary, RunResult } from '../engine/job.ts'
import { begin, reduce } from './reduce.ts'
import { exportName, toMarkdown } from './report.ts'

const job: Job = {
  runs: [{ id: 'run-1', label: 'A | B', method: 'rtn', options: {} }],
  calibration: { text: 'c', samples: 4, length: 64, sampling: 'consecutive' },
  evaluation: { text: 'e', samples: 4, length: 64 },
  seed: 7,
  perplexityEvery: 0,
  save: true,
}
const counts = { text: 1000, windows: 4, length: 64 }
const result = {
  run: 'run-1',
  options: {},
  perplexities: [],
  state: 'finished',
  fpPerplexity: 1.83,
  perplexity: 2.11,
  perplexityError: null,
  kl: 0.0213,
  top1: 0.934,
  bitsPerWeight: 2.125,
  meanRelativeError: 0.12,
  worst: { name: 'model.layers.0.self_attn.v_proj', relativeError: 0.21 },
  seconds: 17,
  layers: [],
  export: null,
} as RunResult
const used = (name: string) => ({ name, tokensSha256: '0123456789abcdef', tokens: 256 })
const texts = { calibration: used('Stories'), evaluation: used('My text.txt') }
const model = { name: 'My model/1', familyLabel: 'LLaMA', parameters: 918656 } as ModelSummary
const context = {
  catalog: { solvers: [], runOptions: [] } as unknown as Catalog,
  gpu: { name: 'SwiftShader', kind: 'software', gflops: 1.63 } as GpuSummary,
  model,
}
const view = reduce(
  reduce(begin(job), {
    type: 'job-start',
    calibration: counts,
    evaluation: counts,
    blocks: 1,
    layers: [],
    texts,
    notices: [],
    resumed: null,
  }),
  { type: 'run-end', result },
)

test('results become a Markdown table with what they were measured on', () => {
  const lines = toMarkdown(view, context).split('\n')
  expect(lines[0]).toBe('### My model/1 (LLaMA, 0.92 M parameters)')
  expect(lines).toContain(
    '| A \\| B |  | 2.13 | 2.11 (+0.28 ↑) | 2.1e-2 | 93.4 % | 1.2e-1 | 2.1e-1 (model.layers.0.self_attn.v_proj) | 17 s | finished |',
  )
  expect(lines).toContain('- Calibration: 4 windows of 64 tokens, consecutive, seed 7')
  expect(lines).toContain('- Adapter: SwiftShader (software, 1.6 GFLOP/s in f32)')
})

test('a checkpoint folder has a name that every file system takes', () => {
  expect(exportName(model, view.runs[0])).toBe('My-model-1-A-B')
})
