import { expect, test } from 'vitest'
import type { Catalog } from '../engine/job/catalog.ts'
import type { ModelSummary } from '../engine/job/model.ts'
import type { Options, OptionSpec } from '../options.ts'
import { isAtField, mergeProblems, placeOf } from './check.ts'
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
      recommended: true,
      label: 'QuantEase',
      summary: '',
      advice: '',
      options: [...grid, { ...words, key: 'iterations', label: 'Iterations', type: 'int', default: 30, min: 1, max: 100 }],
    },
  ],
  runOptions: [{ ...words, key: 'trueSequential', label: 'True-sequential', type: 'bool', default: false }],
  families: [],
  formats: [],
  devices: [],
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

test('the demo’s stories are not proposed for a checkpoint that knows more words', () => {
  const texts = [...catalog.texts, { id: 'wikitext2', label: 'WikiText-2', bytes: null, origin: 'dataset' as const }]
  const text = (vocab: number, choices = texts) =>
    plan.firstJob(catalog, choices, { ...model, vocab, quantized: {} } as ModelSummary, false).evaluation.text
  expect(text(1024)).toBe('demo-evaluation')
  expect(text(32_000)).toBe('wikitext2')
  expect(text(32_000, [...texts.slice(0, 2), { ...texts[0], id: 'mine.txt', origin: 'file' }, texts[2]])).toBe('mine.txt')
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
  expect(placeOf(catalog, first, 'runs.1.options.groupSize')).toBe('QuantEase 3-bit, group size')
  expect(placeOf(catalog, first, 'calibration.length')).toBe('Calibration')
})

// ---------------------------------------------------------------- outliers, comparisons, presets

const [rtn, quantease] = catalog.solvers
const outlier: OptionSpec = {
  ...words,
  key: 'outlier',
  label: 'Outliers',
  help: 'Fraction kept.',
  type: 'number',
  default: 0,
  min: 0,
  max: 0.49,
}
const columns: OptionSpec = { ...words, key: 'structureOutlier', label: 'Whole columns', type: 'bool', default: false }
const threshold: OptionSpec = { ...words, key: 'outlier', label: 'Outlier threshold', type: 'number', default: 0.2, min: 0, max: 1 }
const wide: Catalog = {
  ...catalog,
  solvers: [
    rtn,
    { ...quantease, options: [...quantease.options, outlier, columns] },
    { ...rtn, id: 'spqr', options: [...grid, threshold] },
  ],
}
const labelsOf = (job: { runs: { label: string }[] }) => job.runs.map((run) => run.label)

test('a name says what is compared: bits, group size and outliers', () => {
  const add = (method: string, options: Record<string, number | boolean>) =>
    plan.addRun(wide, { ...first, runs: [] }, method, options).runs[0]
  expect(add('quantease', { outlier: 0.005 }).label).toBe('QuantEase 3-bit, 0.5 % outliers')
  expect(add('quantease', { outlier: 0.01, structureOutlier: true, groupSize: 32 }).label).toBe(
    'QuantEase 3-bit, group 32, 1 % outlier columns',
  )
  expect(add('spqr', { outlier: 0.3 }).label).toBe('RTN 3-bit')
  expect(plan.describeRun(wide, add('quantease', { outlier: 0.01 }))).toBe('3-bit, full row, asymmetric, outliers 1 %')
})

test('the paper’s table is QuantEase at 4 bits, at 3, and with outliers of both kinds', () => {
  const [paper, every] = plan.presets
  const table = plan.addRuns(wide, { ...first, runs: [] }, plan.presetRuns(wide, paper))
  expect(labelsOf(table)).toEqual([
    'QuantEase 4-bit',
    'QuantEase 3-bit',
    'QuantEase 3-bit, 1 % outlier columns',
    'QuantEase 3-bit, 1 % outliers',
  ])
  expect(plan.presetRuns(wide, every).map(({ method }) => method)).toEqual(['rtn', 'quantease', 'spqr'])
})

test('a preset leaves out what the methods at hand cannot do', () => {
  expect(plan.presetRuns(catalog, plan.presets[0]).map(({ options }) => options)).toEqual([{ bits: 4 }, { bits: 3 }])
  expect(plan.presetRuns({ ...catalog, solvers: [rtn] }, plan.presets[0])).toEqual([])
})

test('what is added stands behind the edited runs, and nothing is added twice', () => {
  const edited = plan.editRun(wide, first, first.runs[1].id, { options: { iterations: 50 } })
  const wanted = plan.comparison(wide, ['rtn', 'quantease'], { bits: 3, groupSize: -1 })
  const missing = plan.missingRuns(wide, edited, wanted)
  expect(missing.map(({ method }) => method)).toEqual(['quantease'])
  const next = plan.addRuns(wide, edited, missing)
  expect(next.runs.slice(0, 2)).toEqual(edited.runs)
  expect(next.runs[2]).toMatchObject({ label: 'QuantEase 3-bit (2)', options: { bits: 3, groupSize: -1 } })
  expect(plan.missingRuns(wide, next, wanted)).toEqual([])
})

test('a comparison shares the choices of bits and group size, each method those that it has', () => {
  expect(plan.sharedSpecs(wide).map(({ key }) => key)).toEqual(['bits', 'groupSize'])
  const bare = { ...wide, solvers: [rtn, { ...rtn, id: 'bare', options: [grid[0]] }] }
  expect(plan.comparison(bare, ['bare'], { bits: 2, groupSize: 32 })).toEqual([{ method: 'bare', options: { bits: 2 } }])
})

test('a method that cannot do what is shared takes its own default, and says so', () => {
  const groups = { ...grid[1], default: 16, choices: [16, 32].map((value) => ({ value, label: String(value) })) } as OptionSpec
  const grouped = { ...wide, solvers: [rtn, { ...rtn, id: 'grouped', options: [grid[0], groups] }] }
  const shared = { bits: 2, groupSize: -1 }
  expect(plan.comparison(grouped, ['rtn', 'grouped'], shared)).toEqual([
    { method: 'rtn', options: shared },
    { method: 'grouped', options: { bits: 2 } },
  ])
  expect(plan.otherwise(grouped, 'rtn', shared)).toEqual([])
  expect(plan.otherwise(grouped, 'grouped', shared)).toEqual(['group size 16 instead of full row'])
})

test('a comparison at other bits takes what suits them', () => {
  const threshold: OptionSpec = { ...outlier, key: 'threshold', default: 0.2, byBits: { 2: 0.4 } }
  const tuned = { ...wide, solvers: [{ ...rtn, options: [...grid, threshold] }] }
  const options = (shared: Options) => plan.comparison(tuned, ['rtn'], shared)[0].options
  expect(options({ bits: 2 })).toEqual({ bits: 2, threshold: 0.4 })
  expect(options({ bits: 3 })).toEqual({ bits: 3 })
  expect(options({ bits: 2, threshold: 0.1 })).toEqual({ bits: 2, threshold: 0.1 })
})

test('options come in groups: those of most methods, those of this one; common before advanced', () => {
  const advanced = { ...columns, advanced: true }
  const some = { ...wide, solvers: [rtn, { ...quantease, options: [...grid, outlier, advanced] }] }
  const keys = (groups: plan.OptionGroup[]) => groups.map(({ title, specs }) => [title, specs.map(({ key }) => key)])
  const { common, advanced: more } = plan.optionGroups(some, { method: 'quantease', options: {} })
  expect(keys(common)).toEqual([
    ['Shared by most methods', ['bits', 'groupSize', 'symmetric', 'trueSequential']],
    ['QuantEase', ['outlier']],
  ])
  expect(keys(more)).toEqual([['', ['structureOutlier']]])
  expect(keys(plan.optionGroups(some, { method: 'rtn', options: {} }).common)).toEqual([
    ['', ['bits', 'groupSize', 'symmetric', 'trueSequential']],
  ])
})

test('a choice that decides others takes their place', () => {
  const fixes = { bits: 5, groupSize: 32 }
  const kind: OptionSpec = {
    ...words,
    key: 'kind',
    label: 'Type',
    type: 'choice',
    default: 'uniform',
    choices: [
      { value: 'uniform', label: 'uniform' },
      { value: 'q5_0', label: 'Q5_0', fixes },
    ],
  }
  const typed = { ...wide, solvers: [{ ...rtn, options: [kind, ...grid] }] }
  const job = plan.addRun(typed, { ...first, runs: [] }, 'rtn', { bits: 2 })
  const [run] = plan.editRun(typed, job, job.runs[0].id, { options: { bits: 2, kind: 'q5_0' } }).runs
  expect(run).toMatchObject({ label: 'RTN Q5_0', options: { kind: 'q5_0' } })
  expect(run.options).not.toHaveProperty('bits')
  expect(plan.describeRun(typed, run)).toBe('Q5_0, asymmetric')
  const { common } = plan.optionGroups(typed, run)
  expect(common.flatMap(({ specs }) => specs.map(({ key }) => key))).toEqual(['kind', 'symmetric', 'trueSequential'])
})

test('arrow keys change a number by what suits its range and its default', () => {
  const number = (min: number, max: number, value: number): OptionSpec => ({
    ...words,
    key: 'x',
    label: 'X',
    type: 'number',
    min,
    max,
    default: value,
  })
  expect([number(0, 0.49, 0), number(0, 1, 0.01), number(0.1, 2, 1), number(0, 1, 0.2)].map(plan.stepOf)).toEqual([0.01, 0.01, 0.1, 0.1])
  expect(plan.stepOf({ ...words, key: 'x', label: 'X', type: 'int', min: 0, max: 1000, default: 30 })).toBe(1)
  expect([outlier, threshold].map(plan.isFraction)).toEqual([true, false])
})

test('a problem that runs share is told once', () => {
  const problem = (place: string, message = 'Too wide.') => ({
    severity: 'warning' as const,
    code: 'note' as const,
    message,
    hint: '',
    place,
  })
  expect(mergeProblems([problem('A'), problem('B'), problem('B', 'Other.')]).map(({ place, message }) => [place, message])).toEqual([
    ['A; B', 'Too wide.'],
    ['B', 'Other.'],
  ])
  expect(mergeProblems(['A', 'B', 'C', 'D'].map((place) => problem(place)))[0].place).toBe('A; B and 2 more')
})

test('a setting changes a linear of a run only where its grid there is another one', () => {
  const own = grid.map((spec) => ({ ...spec, perLinear: true }))
  const able = { ...catalog, solvers: catalog.solvers.map((solver) => ({ ...solver, options: own })) }
  const name = 'model.layers.0.mlp.down_proj'
  const run = { ...first.runs[0], options: { bits: 3 } }
  expect(plan.changesLinear(able, run, name, { bits: 3 })).toBe(false)
  expect(plan.changesLinear(able, run, name, { bits: 2 })).toBe(true)
  const mixed = { ...run, overrides: [{ pattern: 'down_proj', options: { bits: 2 } }, { pattern: 'layers.0' }] }
  expect(plan.changesLinear(able, mixed, name, { bits: 2 })).toBe(false)
  expect(plan.changesLinear(able, mixed, name, { bits: 3 })).toBe(true)
  // What is kept in full precision has no grid.
  expect(plan.changesLinear(able, mixed, 'model.layers.0.mlp.up_proj', { bits: 3 })).toBe(true)
})

test('a method is set against a run with its bits and group size', () => {
  const run = { method: 'rtn', options: { bits: 2, groupSize: 32, symmetric: true } }
  expect(plan.alike(catalog, run, 'quantease')).toEqual({ method: 'quantease', options: { bits: 2, groupSize: 32 } })
})

test('a problem is at its field where that is a text or the chosen run', () => {
  const [one, other] = first.runs
  expect(isAtField(first, one.id, 'calibration.samples')).toBe(true)
  expect(isAtField(first, one.id, 'runs.0.options.bits')).toBe(true)
  expect(isAtField(first, other.id, 'runs.0.options.bits')).toBe(false)
  expect(isAtField(first, one.id)).toBe(false)
})
