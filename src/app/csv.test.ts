import { expect, test } from 'vitest'
import type { JobReport } from '../engine/job/report.ts'
import { toCsv } from './csv.ts'

const bits = { codes: 12, scales: 4, zeros: 0, groupIndex: 0, outliers: 0 }
const layer = {
  name: 'model.layers.0.mlp.up_proj',
  block: 0,
  shape: [2, 2],
  relativeError: 0.1 + 0.2,
  seconds: 1,
  iterations: 2,
  bits,
  objective: { iterations: [0, 1], values: [1, 0.5], relaxed: [1], changed: [null, 0.25] },
  notes: [],
}
const report = {
  job: { runs: [{ id: 'run-1', label: 'A, "B"' }] },
  fpPerplexity: 2,
  fpPerplexityError: null,
  fpWindows: { loss: [0.5, 0.75], kl: [0, 0] },
  memory: [{ seconds: 0.25, held: 1024 }],
  seconds: 3,
  runs: [
    {
      run: 'run-1',
      bitsPerWeight: 4,
      weightBytes: 96,
      perplexity: 2.5,
      perplexityError: 0.1,
      kl: 1e-9,
      klSpread: { error: 1e-10, median: 0, p99: 2, max: 3 },
      top1: null,
      perplexities: [{ blocks: 1, value: 2.5 }],
      windows: { loss: [0.6, 0.8], kl: [0.1, 0.2] },
      meanRelativeError: 0.3,
      worst: { name: layer.name, relativeError: 0.3 },
      seconds: 2,
      layers: [layer],
      export: null,
    },
  ],
} as unknown as JobReport

test('every figure has a row, with all of its digits, and names are quoted', () => {
  const lines = toCsv(report).split('\r\n')
  expect(lines[0]).toBe('run,label,linear,figure,at,value')
  expect(lines.at(-1)).toBe('')
  const name = 'run-1,"A, ""B""",'
  for (const line of [
    ',,,"perplexity, full precision",,2',
    ',,,"loss by window, full precision",1,0.75',
    ',,,"GPU memory by second, bytes",0.25,1024',
    `${name},"size of the weights, bytes",,96`,
    `${name},perplexity,,2.5`,
    `${name},"KL, nats",,1e-9`,
    `${name},perplexity by blocks quantized,1,2.5`,
    `${name},"KL by window, nats",1,0.2`,
    `${name}${layer.name},relative error of the linear,,0.30000000000000004`,
    `${name}${layer.name},bits per weight of the linear,,4`,
    `${name}${layer.name},objective by iteration,1,0.5`,
    `${name}${layer.name},relaxed iteration,1,1`,
    `${name}${layer.name},share of codes changed by iteration,1,0.25`,
  ])
    expect(lines).toContain(line)
  // What is unknown has no row.
  expect(lines.filter((line) => line.includes('share of equal top tokens') || line.includes('full precision,,,'))).toEqual([])
})

test('runs of several jobs have rows without a report of their own', () => {
  const { memory: _, seconds: __, ...figures } = report
  expect(toCsv(figures)).toBe(
    toCsv(report)
      .split('\r\n')
      .filter((line) => !/^,,,"?(GPU memory|seconds of the job)/.test(line))
      .join('\r\n'),
  )
})
