/** What the terminal says of a mixture. */
import { expect, test } from 'vitest'
import type { Mix } from '../engine/job/mix.ts'
import type { JobReport } from '../engine/job/report.ts'
import type { RunResult } from '../engine/job/result.ts'
import { budgetOf, budgetText, labelWithin, mixText, reportWith } from './budget.ts'

const errors = [3, 4].map((bits) => ({ options: { bits }, error: 0.1 }))
const mix: Mix = {
  budget: { bitsPerWeight: 3.5 },
  overrides: [{ pattern: 'down_proj', options: { bits: 4 } }],
  parts: [
    { linears: ['q', 'k', 'v'], options: { bits: 3 }, errors, price: 1 },
    { linears: ['down'], options: { bits: 4 }, errors, price: 2 },
  ],
  size: 3.456,
  largest: false,
  predicted: 2e-3,
  bound: 1e-3,
  foreseen: [3, 4].map((bits) => ({ options: { bits }, kl: 10 ** -bits })),
  uniform: [3, 4].map((bits) => ({ options: { bits }, size: bits })),
  ends: {},
}
const result = (kl: number) => ({ kl, perplexity: 2, bitsPerWeight: 3 }) as RunResult
const specs = [3, 4].map((bits) => ({ id: `uniform-${bits}`, label: `${bits} bits`, method: 'rtn', options: { bits } }))
const found = { mix, uniform: [result(2e-3), result(2e-4)], specs }

test('before anything is solved, what is foreseen is called an estimate', () => {
  expect(mixText(mix)).toEqual([
    'The best mixture within 3.500 bits per weight takes 3.456 bits per weight: 3 linears at 3 bits, 1 at 4 bits.',
    "  --override 'down_proj:bits=4'",
    'Foreseen: KL about 0.0020 nats, an estimate that may be off by a factor of two.',
  ])
  expect(mixText({ ...mix, largest: true })[0]).toMatch(/^The largest mixture, which 3.500 bits per weight is more than, takes 3.456/)
})

test('its report repeats the uniform runs, too, and names the budget', () => {
  const run = { id: 'run', label: labelWithin('RTN', mix.budget), method: 'rtn', options: {}, overrides: mix.overrides }
  const report = reportWith({ job: { runs: [run] }, runs: [result(1)] } as JobReport, found)
  expect(report.job.runs.map(({ label, overrides }) => [label, overrides])).toEqual([
    ['RTN, at most 3.500 bits per weight', mix.overrides],
    ['3 bits', undefined],
    ['4 bits', undefined],
  ])
  expect(report.runs).toEqual([result(1), ...found.uniform])
  expect(labelWithin('RTN', { bytes: 3 * 2 ** 20 })).toBe('RTN, at most 3.00 MiB')
})

test('beside measured uniform runs, text and JSON foresee the same', () => {
  const run = result(3e-3)
  expect(budgetOf(found, run)).toMatchObject({ predicted_kl: 4e-3, predicted_by: 'measured', predicted_bound: 2e-3, better: 'uniform' })
  expect(budgetText(found, { runs: [run] } as JobReport)).toContain(
    'Foreseen for the mixture: KL about 0.0040 nats, by the measured uniform runs; measured: 0.00300',
  )
})
