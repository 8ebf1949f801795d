import { expect, test } from 'vitest'
import type { Catalog } from '../engine/job/catalog.ts'
import type { Job } from '../engine/job/job.ts'
import { type Mix, mixInWords } from '../engine/job/mix.ts'
import type { OptionSpec } from '../options.ts'
import { isMixOf, sliderOf, withMix } from './mix.ts'

const choices = [2, 3, 4].map((value) => ({ value, label: String(value) }))
const bits: OptionSpec = { flag: '', help: '', key: 'bits', label: 'Bits', type: 'choice', default: 3, choices }
const catalog = {
  solvers: ['RTN', 'QuantEase'].map((label) => ({ id: label.toLowerCase(), label, summary: '', advice: '', options: [bits] })),
  runOptions: [] as OptionSpec[],
} as unknown as Catalog
const run = (id: string, method: string, label: string) => ({ id, method, label, options: {} })
const job = { runs: [run('run-1', 'rtn', 'RTN 3-bit'), run('run-2', 'quantease', 'QuantEase 3-bit')] } as Job

test('a mixture is taken with the uniform runs beside it, each once', () => {
  const errors = [{ bits: 2 }, { bits: 3 }, { bits: 4 }].map((options) => ({ options, error: 0.1 }))
  const part = (bits: number, count: number) => ({ linears: Array(count).fill('x'), options: { bits }, errors, price: 1 })
  const mix: Mix = {
    budget: { bitsPerWeight: 3.5 },
    overrides: [{ pattern: 'down_proj', options: { bits: 4 } }],
    parts: [part(4, 3), part(3, 1), part(4, 2)],
    size: 3.456,
    largest: false,
    predicted: 1,
    bound: 1,
    foreseen: [],
    uniform: [3, 4].map((bits) => ({ options: { bits }, size: bits })),
    ends: {},
  }
  expect(mixInWords(mix)).toBe('1 linear at 3 bits, 5 at 4 bits')
  const [one] = job.runs
  const taken = withMix(catalog, job, one.id, mix)
  expect(taken.runs.map(({ label, options, overrides }) => [label, options, overrides])).toEqual([
    ['RTN mixed, 3.46 bits', {}, mix.overrides],
    ['QuantEase 3-bit', {}, undefined],
    ['RTN 3-bit', { bits: 3 }, undefined],
    ['RTN 4-bit', { bits: 4 }, undefined],
  ])
  expect(withMix(catalog, taken, one.id, mix).runs).toHaveLength(4)
})

test('a slider’s ends are what the widths take, and a wish of other widths is as near to it as these allow', () => {
  const widths = [2.124, 3.14, 8.156].map((size) => ({ options: {}, size }))
  expect(sliderOf('bitsPerWeight', widths, undefined)).toEqual({ low: 2.12, high: 8.16, step: 0.01, at: 2.63, value: 2.63 })
  // The ends themselves can be asked for, and are shown as the widths are.
  expect(sliderOf('bitsPerWeight', widths, 2.12)).toMatchObject({ value: 2.124, at: 2.12 })
  expect(sliderOf('bitsPerWeight', widths, 8.16)).toMatchObject({ value: 8.156, at: 8.16 })
  expect(sliderOf('bitsPerWeight', widths, 1)).toMatchObject({ value: 2.124 })
  const sizes = [1001, 2500, 9009].map((size) => ({ options: {}, size }))
  const { low, high, step } = sliderOf('bytes', sizes, undefined)
  expect([low <= 1001, high >= 9009, (high - low) % step]).toEqual([true, true, 0])
  expect(sliderOf('bytes', sizes, high)).toMatchObject({ value: 9009, at: high })
})

test('a mixture is for the plan as long as its run and its texts are the same', () => {
  const of = { ...job, runs: [job.runs[0]] }
  expect(isMixOf(of, job)).toBe(true)
  expect(isMixOf(of, { ...job, runs: job.runs.map((run) => ({ ...run, label: 'renamed' })) })).toBe(true)
  expect(isMixOf(of, { ...job, runs: job.runs.map((run) => ({ ...run, options: { kind: 'q2_k' } })) })).toBe(false)
  expect(isMixOf(of, { ...job, runs: [job.runs[1]] })).toBe(false)
  expect(isMixOf(of, null)).toBe(false)
})
