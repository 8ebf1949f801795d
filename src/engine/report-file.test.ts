import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { readReport } from './report-file.ts'

const { report } = JSON.parse(await readFile('public/demo/recording.json', 'utf8'))
const sweep = { ...report, memory: [], gathered: { jobs: 3, open: [{ label: 'RTN', state: 'missing', error: null }] } }
const [run] = report.runs
const [layer] = run.layers
const read = (value: unknown) => readReport(new TextEncoder().encode(JSON.stringify(value)), 'report.json')
/** With one thing changed in its first run. */
const having = (change: object) => ({ ...sweep, runs: [{ ...run, ...change }] })

test('the report of a sweep is read whole, also with what overrides kept and ends that are rounded', () => {
  expect(read(sweep)).toEqual(sweep)
  const bits = { ...layer.bits, kept: 16 }
  const more = having({ weightBytes: 1, kept: [{ name: 'a', shape: [1, 1], bits }], ends: [{ name: 'lm_head', shape: [1, 1], bits }] })
  expect(read(more)).toEqual(more)
})

test('the report of a job is read whole; what a checkpoint has of it, and the file of a job, are none', () => {
  expect(read(report)).toEqual(report)
  const { started: _, ...without } = report
  expect(read(without)).toBeNull()
  expect(read({ format: 'quantease-job', version: 1, job: report.job })).toBeNull()
  expect(() => read({ ...report, runs: [{ ...run, kl: 'small' }] })).toThrow('no report of a job: runs.0.kl')
})

test.each([
  ['a figure that is none', having({ kl: 'small' }), 'no report of a sweep: runs.0.kl'],
  ['a size that is none', having({ weightBytes: 'large' }), 'runs.0.weightBytes'],
  ['a linear without its bits', having({ layers: [{ ...layer, bits: null }] }), 'runs.0.layers.0.bits'],
  ['a result of a run that was not asked for', having({ run: 'other' }), 'a result of other'],
  [
    'a state that jobs do not have',
    { ...sweep, gathered: { jobs: 1, open: [{ label: 'x', state: 'lost', error: null }] } },
    'gathered.open.0.state',
  ],
  ['a job that is none', { ...sweep, job: { runs: 3 } }, 'no report of a job'],
])('%s is refused', (_, value, message) => {
  expect(() => read(value)).toThrow(message)
})
