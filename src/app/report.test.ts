import { expect, test } from 'vitest'
import type { Catalog } from '../engine/job/catalog.ts'
import type { GpuSummary } from '../engine/job/device.ts'
import type { Job } from '../engine/job/job.ts'
import type { ModelSummary } from '../engine/job/model.ts'
import type { RunResult } from '../engine/job/result.ts'
import { begin, reduce } from './reduce.ts'
import { exportNames } from './export-names.ts'
import { toMarkdown } from './report.ts'

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
  perplexityError: 0.05,
  kl: 0.0213,
  klSpread: { error: 0.00032, median: 0.008, p99: 0.19, max: 0.9 },
  top1: 0.934,
  bitsPerWeight: 2.125,
  weightBytes: 3 * 2 ** 20,
  meanRelativeError: 0.12,
  worst: { name: 'model.layers.0.self_attn.v_proj', relativeError: 0.21 },
  seconds: 17,
  layers: [],
  export: null,
} as RunResult
const used = (name: string) => ({ name, tokensSha256: '0123456789abcdef', tokens: 256 })
const texts = { calibration: used('Stories'), evaluation: used('My text.txt') }
const model = { name: 'My model/1', familyLabel: 'LLaMA', parameters: 918656, quantized: null } as ModelSummary
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
    '| A \\| B |  | 2.13 | 3.00 MiB | 2.11 ± 0.05 (+0.28) | 0.021 ± 3.2e-4 | 0.0080 | 0.19 | 0.90 | 93.4 % | 0.12 | 0.21 (model.layers.0.self_attn.v_proj) | 17 s | finished |',
  )
  expect(lines).toContain('- Calibration: Stories, 4 windows of 64 tokens, consecutive, seed 7 (SHA-256 of the token ids 0123456789abcdef)')
  expect(lines).toContain('- Evaluation: My text.txt, 4 windows of 64 tokens (SHA-256 of the token ids 0123456789abcdef)')
  expect(lines).toContain('At 2.13 bits per weight, A | B loses: KL 0.021, perplexity +0.28.')
  expect(lines).toContain('Perplexity of the model at full precision: 1.83')
  expect(lines).toContain('- Adapter: SwiftShader (software, 1.6 GFLOP/s in f32)')
})

test('checkpoint folders have names that every file system takes, and no two the same', () => {
  const named = (...labels: string[]) => [
    ...exportNames(
      model,
      labels.map((label, i) => ({ id: `run-${i}`, label })),
    ).values(),
  ]
  expect(named('A | B')).toEqual(['My-model-1-A-B'])
  expect(named('QuantEase 3-bit', 'QuantEase+ 3-bit', 'quantease 3 bit', 'quantease 3_bit')).toEqual([
    'My-model-1-QuantEase-3-bit',
    'My-model-1-QuantEase-plus-3-bit',
    'My-model-1-quantease-3-bit-2',
    'My-model-1-quantease-3_bit',
  ])
  expect(named('1 % outliers', '..\\x/../y:', '', '日本')).toEqual([
    'My-model-1-1-percent-outliers',
    'My-model-1-..-x-..-y',
    'My-model-1',
    'My-model-1-日本',
  ])
  expect(new TextEncoder().encode(named('é'.repeat(300))[0]).length).toBeLessThanOrEqual(200)
})
