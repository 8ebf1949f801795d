import { expect, test } from 'vitest'
import type { Catalog, ModelSummary, OptionSpec } from '../engine/job.ts'
import * as plan from './plan.ts'

const words = { flag: '', help: '' }
const grid: OptionSpec[] = [
  {
    ...words,
    key: 'bits',
    label: 'Bits',
    type: 'choice',
    default: 3,
    choices: [2, 3, 4].map((value) => ({ value, label: String(value) })),
  },
  {
    ...words,
    key: 'groupSize',
    label: 'Group size',
    type: 'choice',
    default: -1,
    choices: [
      { value: -1, label: 'Full row' },
      { value: 32, label: '32' },
    ],
  },
  { ...words, key: 'symmetric', label: 'Symmetric grid', type: 'bool', default: false },
]
const catalog: Catalog = {
  solvers: [
    { id: 'rtn', label: 'RTN', summary: '', advice: '', options: grid },
    {
      id: 'quantease',
      label: 'QuantEase',
      summary: '',
      advice: '',
      options: [...grid, { ...words, key: 'iterations', label: 'Iterations', type: 'int', default: 30, min: 1, max: 100 }],
    },
  ],
  runOptions: [{ ...words, key: 'trueSequential', label: 'True-sequential', type: 'bool', default: false }],
  families: [],
  formats: [],
  texts: ['demo-calibration', 'demo-evaluation'].map((id) => ({ id, label: id, bytes: 1, origin: 'builtin' })),
}
const model = { blocks: 32, maxPositions: 256, quantized: null } as ModelSummary
const first = plan.firstJob(catalog, catalog.texts, model, false)

test('a first job compares RTN with QuantEase on texts and windows that fit the model', () => {
  expect(first.runs.map((run) => run.label)).toEqual(['RTN 3-bit', 'QuantEase 3-bit'])
  expect([first.calibration.text, first.evaluation.text]).toEqual(['demo-calibration', 'demo-evaluation'])
  expect([first.calibration.length, first.evaluation.length]).toEqual([256, 256])
  expect(first.perplexityEvery).toBe(4)
})

test('the demo has two bits and its own sizes', () => {
  const demo = plan.firstJob(catalog, catalog.texts, { ...model, blocks: 4 }, true)
  expect(demo.runs.map((run) => run.options)).toEqual([{ bits: 2 }, { bits: 2 }])
  expect(demo.calibration).toMatchObject(plan.demoSizes.calibration)
  expect(demo.perplexityEvery).toBe(1)
})

test('a quantized checkpoint is only measured, with the windows of the job before', () => {
  const quantized = { ...model, quantized: {} } as ModelSummary
  const job = plan.measureLike(
    plan.firstJob(catalog, catalog.texts, quantized, false),
    { text: 'mine', samples: 7, length: 999 },
    quantized,
  )
  expect(job.runs).toEqual([])
  expect(job.save).toBe(false)
  expect(job.evaluation).toEqual({ text: 'mine', samples: 7, length: 256 })
})

test('names follow the options until the user chooses one', () => {
  const [, { id }] = first.runs
  const changed = plan.editRun(catalog, first, id, { options: { bits: 2 } })
  expect(changed.runs[1].label).toBe('QuantEase 2-bit')
  const named = plan.editRun(catalog, changed, id, { label: 'Mine' })
  expect(plan.editRun(catalog, named, id, { options: { bits: 4 } }).runs[1].label).toBe('Mine')
  expect(plan.editRun(catalog, named, id, { label: ' ' }).runs[1].label).toBe('QuantEase 2-bit')
})

test('copies are told apart, and ids are never used twice', () => {
  const twice = plan.duplicateRun(first, first.runs[0].id)
  expect(twice.runs.map((run) => run.label)).toEqual(['RTN 3-bit', 'RTN 3-bit (2)', 'QuantEase 3-bit'])
  expect(new Set(twice.runs.map((run) => run.id)).size).toBe(3)
  const edited = plan.editRun(catalog, twice, twice.runs[1].id, { options: { bits: 2 } })
  expect(edited.runs[1].label).toBe('RTN 2-bit')
  const named = plan.editRun(catalog, first, first.runs[0].id, { label: 'Mine' })
  expect(plan.duplicateRun(named, first.runs[0].id).runs[1].label).toBe('Mine (2)')
})

test('another method keeps the options that it knows', () => {
  const [, { id }] = first.runs
  const tuned = plan.editRun(catalog, first, id, { options: { bits: 2, iterations: 50, trueSequential: true } })
  const changed = plan.editRun(catalog, tuned, id, { method: 'rtn' })
  expect(changed.runs[1]).toMatchObject({ label: 'RTN 2-bit', method: 'rtn', options: { bits: 2, trueSequential: true } })
  expect(changed.runs[1].options).not.toHaveProperty('iterations')
})

test('runs and places are described in words', () => {
  const run = { ...first.runs[1], options: { groupSize: 32, symmetric: true, iterations: 50, trueSequential: true } }
  expect(plan.describeRun(catalog, first.runs[1])).toBe('3-bit, full row, asymmetric')
  expect(plan.describeRun(catalog, run)).toBe('3-bit, group size 32, symmetric, iterations 50, true-sequential')
  expect(plan.placeOf(catalog, first, 'runs.1.options.groupSize')).toBe('QuantEase 3-bit, group size')
  expect(plan.placeOf(catalog, first, 'calibration.length')).toBe('Calibration')
})
