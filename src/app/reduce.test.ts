import { describe, expect, test } from 'vitest'
import { maxPoints } from '../engine/job/device.ts'
import type { RunEvent } from '../engine/job/events.ts'
import type { Job } from '../engine/job/job.ts'
import type { JobReport } from '../engine/job/report.ts'
import type { LayerResult, RunResult } from '../engine/job/result.ts'
import { abort, begin, bitsParts, end, type JobView, outcome, reduce } from './reduce.ts'

const job: Job = {
  runs: [
    { id: 'run-1', label: 'RTN 2-bit', method: 'rtn', options: { bits: 2 } },
    { id: 'run-2', label: 'QuantEase 2-bit', method: 'quantease', options: { bits: 2 } },
  ],
  calibration: { text: 'c', samples: 4, length: 64, sampling: 'random' },
  evaluation: { text: 'e', samples: 4, length: 64 },
  seed: 0,
  perplexityEvery: 1,
  save: true,
}
const counts = { text: 1000, windows: 4, length: 64 }
const layer = (name: string, relativeError: number): LayerResult => ({
  name,
  block: 0,
  shape: [8, 8],
  relativeError,
  seconds: 0.1,
  iterations: 1,
  bits: { codes: 128, scales: 16, zeros: 2, groupIndex: 0, outliers: 0 },
  notes: [],
})
const result = (run: string, state: RunResult['state'], layers: LayerResult[]): RunResult => ({
  run,
  options: {},
  perplexities: [],
  state,
  fpPerplexity: 1.83,
  perplexity: state === 'finished' ? 2.1 : null,
  perplexityError: null,
  kl: null,
  top1: null,
  bitsPerWeight: 2.25,
  meanRelativeError: 0.1,
  worst: null,
  seconds: 1,
  layers,
  export: null,
})
const jobStart: RunEvent = {
  type: 'job-start',
  calibration: counts,
  evaluation: counts,
  blocks: 1,
  layers: ['a', 'b'],
  texts: { evaluation: { name: 'e', tokensSha256: '', tokens: 256 } },
  notices: [],
  resumed: null,
}
const stage = (
  run: string | null,
  name: 'baseline' | 'calibrate' | 'solve' | 'write',
  block: number | null,
  linear: string | null = null,
): RunEvent => ({
  type: 'stage',
  run,
  stage: name,
  block,
  linear,
})
const reach = (events: RunEvent[], from: JobView = begin(job)) => events.reduce(reduce, from)

describe('a job from start to end', () => {
  test('waits, runs and finishes, run by run', () => {
    const started = reach([
      jobStart,
      { type: 'baseline', perplexity: 1.83, perplexityError: 0.1 },
      { type: 'run-start', run: 'run-1', blocks: 1 },
    ])
    expect(started.phase).toBe('running')
    expect(started.fpPerplexity).toBe(1.83)
    expect(started.runs.map((run) => run.state)).toEqual(['running', 'waiting'])

    const ended = reach(
      [
        { type: 'layer', run: 'run-1', layer: layer('a', 0.2) },
        { type: 'perplexity', run: 'run-1', blocks: 1, value: 2.1 },
        { type: 'progress', done: 0.4, elapsed: 3, eta: 5, run: 'run-1', runDone: 0.8 },
        { type: 'run-end', result: result('run-1', 'finished', [layer('a', 0.2), layer('b', 0.1)]) },
      ],
      started,
    )
    expect(ended.runs[0]).toMatchObject({ state: 'finished', done: 1, perplexity: [{ blocks: 1, value: 2.1 }] })
    expect(ended.runs[0].layers.map((each) => each.name)).toEqual(['a', 'b'])
    expect(ended.announcement).toBe('RTN 2-bit finished.')
    expect(ended.progress).toEqual({ done: 0.4, elapsed: 3, eta: 5 })
  })

  test('takes from the report what no event brought', () => {
    const report: JobReport = {
      workbench: { version: '0', code: '' },
      started: '2026-11-30T00:00:00.000Z',
      ended: '2026-11-30T00:00:09.000Z',
      adapter: {} as JobReport['adapter'],
      model: { name: 'm', family: 'llama', parameters: 1, bytes: 2, sha256: '', quantized: null, source: null },
      job,
      texts: { evaluation: { name: 'e', tokensSha256: '', tokens: 256 } },
      blocks: 1,
      linears: ['a', 'b'],
      fpPerplexityError: null,
      memory: [{ seconds: 1, held: 7 }],
      calibration: counts,
      evaluation: counts,
      fpPerplexity: 1.83,
      runs: [result('run-1', 'finished', []), result('run-2', 'failed', [])],
      seconds: 9,
      network: null,
    }
    const view = reach([jobStart, { type: 'job-end', report }])
    expect(view.phase).toBe('over')
    expect(view.runs.map((run) => run.state)).toEqual(['finished', 'failed'])
    expect(view.progress.elapsed).toBe(9)
    expect(view.memory.series).toEqual([{ seconds: 1, held: 7 }])
    expect(view.report).toBe(report)
  })

  test('says at its end whether there is anything to see', () => {
    const ended = (layers: LayerResult[]) => {
      const runs = [result('run-1', 'cancelled', layers)]
      return end(reach([jobStart, { type: 'run-end', result: runs[0] }]), {
        ...job,
        job,
        runs,
        linears: [],
        memory: [],
      } as unknown as JobReport)
    }
    expect(ended([]).announcement).toBe('Cancelled. Nothing was solved.')
    expect(ended([layer('a', 0.2)]).announcement).toBe('Cancelled. The results are ready.')
  })

  test('keeps what is there when the job itself fails', () => {
    const view = abort(
      reach([jobStart, { type: 'run-start', run: 'run-1', blocks: 1 }, { type: 'layer', run: 'run-1', layer: layer('a', 0.2) }]),
      {
        code: 'gpu-lost',
        message: 'The GPU was lost.',
        hint: 'Start again.',
      },
    )
    expect(view.runs.map((run) => run.state)).toEqual(['failed', 'skipped'])
    expect(view.runs[0].layers).toHaveLength(1)
    expect(view.error?.code).toBe('gpu-lost')
  })
})

describe('the objective', () => {
  const point = (iteration: number, value: number) => ({ iteration, value, relaxed: iteration % 3 === 0 })
  const objective = (linear: string, points: ReturnType<typeof point>[]): RunEvent => ({
    type: 'objective',
    run: 'run-2',
    linear,
    points,
    iterations: 30,
  })

  test('grows whether points come one by one or all again', () => {
    const view = reach([
      objective('a', [point(1, 0.5)]),
      objective('a', [point(2, 0.4)]),
      objective('a', [point(1, 0.5), point(2, 0.4), point(3, 0.3)]),
    ])
    expect(view.runs[1].objective?.points.map(({ iteration, value }) => [iteration, value])).toEqual([
      [1, 0.5],
      [2, 0.4],
      [3, 0.3],
    ])
  })

  test('starts over with the next linear', () => {
    const view = reach([objective('a', [point(1, 0.5), point(2, 0.4)]), objective('b', [point(1, 0.9)])])
    expect(view.runs[1].objective).toMatchObject({ linear: 'b', points: [{ iteration: 1 }] })
  })
})

test('stages are announced once per block, not once per linear', () => {
  const said: string[] = []
  let view = reach([jobStart])
  for (const event of [
    stage(null, 'baseline', null),
    stage('run-1', 'calibrate', 0),
    stage('run-1', 'solve', 0, 'a'),
    stage('run-1', 'solve', 0, 'b'),
    stage('run-1', 'write', null),
  ]) {
    const next = reduce(view, event)
    if (next.announcement !== view.announcement) said.push(next.announcement)
    view = next
  }
  expect(said).toEqual([
    'Measuring the perplexity of the unquantized model.',
    'RTN 2-bit: block 1 of 1.',
    'RTN 2-bit: writing the checkpoint.',
  ])
  expect(view.stage?.stage).toBe('write')
})

test('memory over time stays within a chart and keeps its peaks', () => {
  let view = begin(job)
  for (let second = 0; second < 2000; second++) {
    view = reduce(view, { type: 'progress', done: 0, elapsed: second, eta: null, run: null, runDone: 0 })
    view = reduce(view, { type: 'memory', held: second, most: second === 777 ? 9e9 : second, holdings: [] })
  }
  expect(view.memory.series.length).toBeLessThanOrEqual(maxPoints)
  expect(view.memory.series[0].seconds).toBeLessThan(20)
  expect(view.memory.series.at(-1)!.seconds).toBeGreaterThan(1980)
  // What came and went between two events is on the chart too: its top is the peak that is told beside it.
  expect([view.memory.held, view.memory.peak]).toEqual([1999, 9e9])
  expect(Math.max(...view.memory.series.map((point) => point.held))).toBe(view.memory.peak)
})

test('a job cancelled before its first run says so', () => {
  const report = { runs: [], calibration: counts, evaluation: counts, fpPerplexity: null, seconds: 2 } as unknown as JobReport
  const view = end(reach([jobStart]), report)
  expect(view.runs.map((run) => run.state)).toEqual(['skipped', 'skipped'])
  expect(view.progress.done).toBe(0)
  expect(outcome(view)).toBe('Cancelled')
})

test('a run that never got its turn is told from one that was cancelled', () => {
  const stopped = { code: 'cancelled' as const, message: 'The run was cancelled.', hint: '' }
  const started = reach([jobStart, { type: 'run-start', run: 'run-1', blocks: 1 }])
  const view = abort(started, stopped)
  expect(view.runs.map((run) => run.state)).toEqual(['cancelled', 'skipped'])
  const report = { runs: [result('run-1', 'finished', [])], calibration: counts, evaluation: counts, fpPerplexity: 2, seconds: 2 }
  const ended = reach([{ type: 'job-end', report: report as unknown as JobReport }], started)
  expect(ended.runs.map((run) => run.state)).toEqual(['finished', 'skipped'])
  expect(outcome(ended)).toBe('Cancelled')
})

test('bits per weight are told by what they hold, without what is not stored', () => {
  expect(
    bitsParts([layer('a', 0.1), { ...layer('b', 0.1), bits: { codes: 128, scales: 16, zeros: 2, groupIndex: 0, outliers: 64 } }]),
  ).toEqual([
    { name: 'codes', bits: 2 },
    { name: 'scales', bits: 0.25 },
    { name: 'zero points', bits: 2 / 64 },
    { name: 'outliers', bits: 0.5 },
  ])
})

describe('the network', () => {
  const traffic = { fetched: 100, cached: 0, requests: 1, underWay: 1, rate: 50, waiting: null }
  const waiting = 'There is no network; trying again in 2 s.'

  test('is spoken of when it goes and when it comes back, not in between', () => {
    const reading = reach([jobStart, { type: 'network', traffic }])
    expect(reading).toMatchObject({ network: traffic, announcement: begin(job).announcement })
    const lost = reach([{ type: 'network', traffic: { ...traffic, waiting } }], reading)
    expect(lost.announcement).toBe(waiting)
    const still = reach([{ type: 'network', traffic: { ...traffic, waiting: 'trying again in 4 s' } }], lost)
    expect(still.announcement).toBe(waiting)
    expect(reach([{ type: 'network', traffic }], still).announcement).toBe('Reading continues.')
  })

  test('has its totals in the report, and none for a model on this machine', () => {
    const ended = (network: JobReport['network']) =>
      end(begin(job), { calibration: counts, evaluation: counts, fpPerplexity: 1.8, runs: [], seconds: 1, network } as unknown as JobReport)
    expect(ended({ fetched: 9, cached: 3, requests: 2 }).network).toEqual({
      fetched: 9,
      cached: 3,
      requests: 2,
      underWay: 0,
      rate: 0,
      waiting: null,
    })
    expect(ended({ fetched: 0, cached: 0, requests: 0 }).network).toBeNull()
  })
})
