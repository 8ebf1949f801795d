import { expect, test } from 'vitest'
import type { Job } from '../engine/job/job.ts'
import type { KeptJob } from '../engine/job/kept.ts'
import type { JobReport } from '../engine/job/report.ts'
import type { RunResult } from '../engine/job/result.ts'
import { beside, bestRun, differencesOf, oldestCheckpoints, roomIn, whyNotCompared } from './kept.ts'
import { begin, type JobView } from './reduce.ts'

const text = (name: string, tokensSha256: string) => ({ name, tokensSha256, tokens: 256 })
const run = (id: string, more: Partial<KeptJob['runs'][number]> = {}) => ({
  id,
  label: id,
  kl: null,
  perplexity: null,
  written: true,
  ...more,
})
const job = (id: string, more: Partial<KeptJob> = {}) =>
  ({
    id,
    started: `2026-11-${id}T00:00:00.000Z`,
    model: { name: 'm', sha256: 'a' },
    texts: { calibration: text('c', '1'), evaluation: text('e', '2') },
    runs: [run('run-1')],
    finished: true,
    busy: false,
    bytes: 10,
    ...more,
  }) as KeptJob

test('jobs are compared only on one model and on the same windows, and it is said what differs', () => {
  expect(whyNotCompared([job('01'), job('02')])).toBeNull()
  expect(differencesOf([job('01'), job('02')])).toBeNull()
  const other = job('02', { texts: { calibration: text('c', '9'), evaluation: text('e', '2') } })
  expect(whyNotCompared([job('01'), other])).toBeNull()
  expect(differencesOf([job('01'), other])).toMatch(/other windows \(both c, 256 tokens\)/)
  const model = job('02', { model: { name: 'n', sha256: 'b' }, texts: { evaluation: text('f', '3') } })
  expect(whyNotCompared([job('01'), model])).toMatch(
    /the models \(m; n\) and the evaluation windows \(e, 256 tokens; f, 256 tokens\) differ/,
  )
  expect(whyNotCompared([job('01'), job('02', { texts: null })])).toMatch(/no results yet/)
})

test('the best run has the least KL, or else the least perplexity', () => {
  expect(bestRun({ runs: [run('a', { kl: 2 }), run('b', { kl: 1 }), run('c')] as KeptJob['runs'] })?.id).toBe('b')
  expect(bestRun({ runs: [run('a', { perplexity: 3 }), run('b', { perplexity: 2 })] as KeptJob['runs'] })?.id).toBe('b')
  expect(bestRun({ runs: [run('a')] as KeptJob['runs'] })).toBeNull()
})

test('room is made of finished jobs with checkpoints, the oldest first and no more than needed', () => {
  const jobs = [job('05'), job('01', { runs: [] }), job('02', { busy: true }), job('03'), job('04'), job('06', { finished: false })]
  expect(oldestCheckpoints(jobs, 15).map(({ id }) => id)).toEqual(['03', '04'])
  expect(oldestCheckpoints(jobs, 1e9).map(({ id }) => id)).toEqual(['03', '04', '05'])
  expect(roomIn({ quota: 100, usage: 95 })).toBe(0)
})

test('runs of several jobs get looks and names of their own, and lead back to where they are kept', () => {
  const view = (started: string, labels: string[]): JobView => {
    const runs = labels.map((label, i) => ({ id: `run-${i + 1}`, label, method: 'rtn', options: {} }))
    const report = { started } as JobReport
    const begun = begin({ runs } as Job)
    return { ...begun, report, runs: begun.runs.map((one) => ({ ...one, result: { run: one.id, kl: 1 } as RunResult })) }
  }
  const { view: both, shown } = beside([
    { id: 'a', view: view('2026-11-29T08:00:00.000Z', ['RTN', 'GPTQ']) },
    { id: 'b', view: view('2026-11-30T08:00:00.000Z', ['RTN']) },
  ])
  expect(both.runs.map(({ id, result }) => [id, result!.run])).toEqual(['run-1', 'run-2', 'run-3'].map((id) => [id, id]))
  expect(new Set(both.runs.map(({ label }) => label)).size).toBe(3)
  expect(both.runs[1].label).toBe('GPTQ')
  expect(both.job.runs.map(({ label }) => label)).toEqual(both.runs.map(({ label }) => label))
  expect(shown).toEqual({
    jobs: ['a', 'b'],
    runs: { 'run-1': { job: 'a', run: 'run-1' }, 'run-2': { job: 'a', run: 'run-2' }, 'run-3': { job: 'b', run: 'run-1' } },
  })
})
