import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Engine, JobFile } from '../engine/hosts/client.ts'
import type { Catalog } from '../engine/job/catalog.ts'
import type { JobCheck } from '../engine/job/check.ts'
import type { GpuSummary } from '../engine/job/device.ts'
import type { RunEvent } from '../engine/job/events.ts'
import type { CacheInfo, HubModel } from '../engine/job/hub.ts'
import type { Job } from '../engine/job/job.ts'
import type { JournalSummary, KeptJob } from '../engine/job/kept.ts'
import type { ModelSummary } from '../engine/job/model.ts'
import type { JobReport } from '../engine/job/report.ts'
import type { RunResult } from '../engine/job/result.ts'
import { WorkbenchError } from '../errors.ts'
import type { OptionSpec } from '../options.ts'
import { createWorkbench } from './store.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

const counts = { text: 1, windows: 1, length: 1 }
const answer: JobCheck = { problems: [], calibration: counts, evaluation: counts, runs: [] }

/** An engine that answers at once; each test says what it does differently. */
function workbench(different: Partial<Engine> = {}) {
  const solver = { id: 'rtn', label: 'RTN', summary: '', advice: '', options: [] }
  return createWorkbench({
    catalog: async () => ({ solvers: [solver], runOptions: [], families: [], formats: [], texts: [], devices: [] }) as Catalog,
    gpu: async () => ({ name: 'test' }) as GpuSummary,
    open: async () => ({ name: 'model', blocks: 1, maxPositions: 64, quantized: null, problems: [] }) as unknown as ModelSummary,
    check: async () => answer,
    cacheInfo: async () => ({ bytes: 0, models: [], budget: 0, usage: 0, quota: 0, persisted: false }) as unknown as CacheInfo,
    jobs: async () => [],
    idle: async () => {},
    sweep: async () => {},
    readJobFile: async () => null,
    readReport: async () => null,
    journal: async () => ({ busy: false, summary: null }),
    journalTexts: async () => [],
    watchNetwork: () => {},
    hubAccount: async () => null,
    arrived: Promise.resolve(),
    hubSignIn: null,
    ...different,
  } as Engine)
}

const report = { runs: [], calibration: counts, evaluation: counts, fpPerplexity: 2, seconds: 1 } as unknown as JobReport

test('only the answer to the latest question counts', async () => {
  const asked: ((check: JobCheck) => void)[] = []
  const page = workbench({ check: () => new Promise((resolve) => asked.push(resolve)) })
  await page.open({ kind: 'demo' })
  await vi.advanceTimersByTimeAsync(1000)
  page.setJob({ seed: 1 })
  page.setJob({ seed: 2 })
  await vi.advanceTimersByTimeAsync(1000)
  expect(asked).toHaveLength(2)
  asked[1]({ ...answer, evaluation: null })
  asked[0](answer)
  await vi.advanceTimersByTimeAsync(0)
  expect(page.store.getState().check).toEqual({ state: 'done', result: { ...answer, evaluation: null } })
})

test('the model dropped last is the one that opens', async () => {
  const opened: ((summary: ModelSummary) => void)[] = []
  const page = workbench({ open: () => new Promise((resolve) => opened.push(resolve)) })
  const first = page.open({ kind: 'files', name: 'first', files: [] })
  const second = page.open({ kind: 'files', name: 'second', files: [] })
  const summary = (name: string) => ({ name, blocks: 1, maxPositions: 64, quantized: null, problems: [] }) as unknown as ModelSummary
  opened[1](summary('second'))
  opened[0](summary('first'))
  expect(await Promise.all([first, second])).toEqual([false, true])
  expect(page.store.getState().model).toMatchObject({ state: 'ready', summary: { name: 'second' } })
})

test('an empty folder is shown to the engine, which names it, and a drop of nothing does nothing', async () => {
  const open = vi.fn(async () => ({ name: 'mine', blocks: 1, maxPositions: 64, quantized: null, problems: [] }) as unknown as ModelSummary)
  const page = workbench({ open })
  await page.take(Promise.resolve({ files: [] }))
  await page.take(Promise.resolve(null))
  expect(open).not.toHaveBeenCalled()
  await page.take(Promise.resolve({ name: 'mine', files: [] }))
  expect(open).toHaveBeenCalledWith({ kind: 'files', name: 'mine', files: [] })
})

test('one click on the demo opens, plans and starts', async () => {
  const start = vi.fn(async () => report)
  const page = workbench({ start })
  await page.tryDemo()
  expect(start).toHaveBeenCalledOnce()
  expect(page.store.getState()).toMatchObject({ step: 'run', view: { phase: 'over', fpPerplexity: 2 } })
})

test('a job that may not begin leaves the page as it was, and says why', async () => {
  const busy = new WorkbenchError('journal-busy', 'Another tab is running a job.')
  const page = workbench({ start: () => Promise.reject(busy) })
  await page.open({ kind: 'demo' })
  page.go('plan')
  await page.start()
  expect(page.store.getState()).toMatchObject({ step: 'plan', view: null, fault: { code: 'journal-busy' }, spoken: busy.message })
})

test('every job is kept beside the others, under an id of its own', async () => {
  const ids: string[] = []
  const start: Engine['start'] = async (id) => {
    ids.push(id)
    return report
  }
  const page = workbench({ start })
  await page.tryDemo()
  await page.tryDemo()
  expect(new Set(ids).size).toBe(2)
  for (const id of ids) expect(id).toMatch(/^[\w-]{1,64}$/)
  expect(page.store.getState().shown).toEqual({ jobs: [ids[1]], runs: { 'run-1': { job: ids[1], run: 'run-1' } } })
})

test('a flood of events redraws at most four times a second', async () => {
  let emit: (event: RunEvent) => void = () => {}
  const page = workbench({
    start: (_id, _job, onEvent) => {
      emit = onEvent
      return new Promise(() => {})
    },
  })
  page.tryDemo()
  await vi.advanceTimersByTimeAsync(0)
  let drawn = 0
  page.store.subscribe(() => drawn++)
  for (let i = 0; i < 1000; i++) {
    emit({ type: 'memory', held: i, most: i, holdings: [] })
    await vi.advanceTimersByTimeAsync(1)
  }
  await vi.advanceTimersByTimeAsync(250)
  expect(drawn).toBeLessThanOrEqual(5)
  expect(page.store.getState().view?.memory.held).toBe(999)
})

test('what stops a job is kept with what was computed', async () => {
  const page = workbench({
    start: async (_id, _job, onEvent) => {
      onEvent({ type: 'baseline', perplexity: 1.8, perplexityError: null })
      throw new WorkbenchError('gpu-lost', 'The GPU was lost.', 'Start again.')
    },
  })
  await page.tryDemo()
  expect(page.store.getState().view).toMatchObject({ phase: 'over', fpPerplexity: 1.8, error: { code: 'gpu-lost' } })
})

test('without a GPU the page says so and can look again', async () => {
  let there = false
  const page = workbench({
    gpu: async () => {
      if (!there) throw new WorkbenchError('gpu-missing', 'No WebGPU.')
      return { name: 'back' } as GpuSummary
    },
  })
  await vi.advanceTimersByTimeAsync(0)
  expect(page.store.getState().gpu).toMatchObject({ state: 'missing', error: { code: 'gpu-missing' } })
  there = true
  await page.openGpu()
  expect(page.store.getState().gpu).toMatchObject({ state: 'ready' })
})

test('steps open when they have something to show', async () => {
  const page = workbench({ start: async () => report })
  page.go('results')
  expect(page.store.getState().step).toBe('model')
  await page.open({ kind: 'demo' })
  page.go('plan')
  expect(page.store.getState().step).toBe('plan')
  page.go('run')
  expect(page.store.getState().step).toBe('model')
})

test('runs are added together behind the others, with one check for all', async () => {
  const check = vi.fn(async () => answer)
  const page = workbench({ check })
  await page.open({ kind: 'demo' })
  await vi.advanceTimersByTimeAsync(1000)
  const [kept] = page.store.getState().job!.runs
  page.addRuns([
    { method: 'rtn', options: {} },
    { method: 'rtn', options: {} },
  ])
  await vi.advanceTimersByTimeAsync(1000)
  const { job, chosen, spoken } = page.store.getState()
  expect(job!.runs.map(({ label }) => label)).toEqual(['RTN', 'RTN (2)', 'RTN (3)'])
  expect(job!.runs[0]).toBe(kept)
  expect(chosen).toBe(job!.runs[1].id)
  expect(spoken).toBe('Added RTN (2); RTN (3).')
  expect(check).toHaveBeenCalledTimes(2)
})

test('what runs would cost is asked without changing the plan', async () => {
  const check = vi.fn(async () => answer)
  const page = workbench({ check })
  await page.open({ kind: 'demo' })
  const before = page.store.getState().job
  const run = { id: 'rtn', label: 'rtn', method: 'rtn', options: {} }
  expect(await page.quote([run])).toBe(answer)
  expect(check).toHaveBeenCalledWith({ ...before, runs: [run] })
  expect(page.store.getState().job).toBe(before)
  check.mockRejectedValueOnce(new Error('busy'))
  expect(await page.quote([run])).toBeNull()
})

test('a link leads to the plan; a cancelled opening to what was open before', async () => {
  const page = workbench()
  await page.open({ kind: 'hub', repo: 'owner/first' }, 'plan')
  expect(page.store.getState()).toMatchObject({ step: 'plan', model: { state: 'ready' } })
  const { model, job } = page.store.getState()
  let end: (error: WorkbenchError) => void = () => {}
  const other = workbench({ open: () => new Promise((_, reject) => (end = reject)), stopHub: async () => end(cancelled) })
  const cancelled = new WorkbenchError('cancelled', 'The transfer was cancelled.')
  other.store.setState({ model, job })
  const opening = other.open({ kind: 'hub', repo: 'owner/second', revision: 'v1' })
  expect(other.store.getState()).toMatchObject({ model: { state: 'reading', hub: { repo: 'owner/second', revision: 'v1' } }, job: null })
  await other.stopReading()
  expect(await opening).toBe(false)
  expect(other.store.getState()).toMatchObject({ model, job })
})

test('signing in looks again at what was denied, and opens what was refused', async () => {
  let known = false
  const denied = new WorkbenchError('hub-denied', 'It is gated.', 'Sign in.')
  const open = vi.fn(async () => {
    if (!known) throw denied
    return { name: 'model', blocks: 1, maxPositions: 64, quantized: null, problems: [] } as unknown as ModelSummary
  })
  const hubModel = vi.fn(async (repo: string) => ({ source: { repo, ref: 'main', revision: '' } }) as HubModel)
  const page = workbench({
    open,
    hubModel,
    setHubToken: async (token, remember = false) => {
      known = token === 'hf_good'
      if (token && !known) throw new WorkbenchError('hub-denied', 'The Hub does not accept this token.')
      return token ? { name: 'somebody', organizations: [], readOnly: false, remembered: remember } : null
    },
  })
  await page.open({ kind: 'hub', repo: 'owner/gated' })
  await page.lookAt('owner/gated')
  expect(page.store.getState()).toMatchObject({ model: { state: 'refused', error: { code: 'hub-denied' } }, look: { state: 'known' } })
  await expect(page.signIn('hf_bad', false)).rejects.toThrow('does not accept')
  expect(page.store.getState().account).toBeNull()
  await page.signIn('hf_good', false)
  await vi.advanceTimersByTimeAsync(0)
  expect(page.store.getState()).toMatchObject({ account: { name: 'somebody', remembered: false }, model: { state: 'ready' }, look: null })
  expect(open).toHaveBeenLastCalledWith({ kind: 'hub', repo: 'owner/gated', revision: 'main' })
  expect(hubModel).toHaveBeenCalledTimes(2)
})

test('a disk that is still full when the job tries again can be tried once more', async () => {
  let hear: (event: RunEvent) => void = () => {}
  const storage = { what: 'the checkpoint', needed: 1, problem: { code: 'storage-full', message: 'Full.', hint: '' } } as const
  const page = workbench({
    start: (_id, _job, onEvent) => {
      hear = onEvent
      return new Promise(() => {})
    },
    resume: async () => {
      hear({ type: 'resumed' })
      hear({ type: 'paused', storage })
    },
  })
  void page.tryDemo()
  await vi.advanceTimersByTimeAsync(1)
  hear({ type: 'paused', storage })
  await vi.advanceTimersByTimeAsync(300)
  expect(page.store.getState()).toMatchObject({ view: { phase: 'paused', storage }, asked: null })
  await page.resume()
  expect(page.store.getState().asked).toBe('resume')
  await vi.advanceTimersByTimeAsync(300)
  expect(page.store.getState()).toMatchObject({ view: { phase: 'paused', storage }, asked: null })
})

const kept = {
  job: {
    runs: [
      { id: 'run-1', label: 'GPTQ, then QuantEase 3-bit', method: 'rtn', options: {} },
      { id: 'run-2', label: 'RTN', method: 'rtn', options: {} },
    ],
    calibration: { text: 'file-a' },
    evaluation: { text: 'owner/name:default' },
  },
  model: { name: 'kept' },
  origin: { kind: 'files', name: 'kept' },
  started: '2026-11-30T00:00:00.000Z',
  layers: { done: 14, all: 28 },
  results: [{ run: 'run-1', state: 'finished', export: { bytes: 2 ** 20 }, layers: [], perplexities: [] } as unknown as RunResult],
  events: [],
  report: null,
} as unknown as JournalSummary

const listed = (id: string, started: string, more: Partial<KeptJob> = {}) =>
  ({
    id,
    busy: false,
    started,
    finished: true,
    model: { name: 'kept', sha256: 'a' },
    runs: [{ id: 'run-1', label: 'RTN', method: 'rtn', state: 'finished', kl: 1, written: true }],
    bytes: 2 ** 20,
    ...more,
  }) as KeptJob

test('deleted jobs come back, also in a later visit, until each is swept away; their results leave the page with them', async () => {
  const swept: string[][] = []
  const there = new Map([
    ['a', false],
    ['b', false],
  ])
  const fake: Partial<Engine> = {
    jobs: async () => [...there].map(([id, deleted]) => listed(id, '2026-11-30T00:00:00.000Z', { deleted })),
    journal: async () => ({ busy: false, summary: kept }),
    discard: async (id) => {
      there.set(id, true)
    },
    restore: async (id) => {
      there.set(id, false)
    },
    sweep: async (ids) => {
      swept.push(ids)
      for (const id of ids) there.delete(id)
    },
  }
  const page = workbench(fake)
  await vi.advanceTimersByTimeAsync(0)
  await page.openResults('a')
  expect(page.store.getState()).toMatchObject({ step: 'results', shown: { jobs: ['a'] } })
  await page.discard('a')
  expect(page.store.getState()).toMatchObject({
    step: 'model',
    view: null,
    shown: { jobs: [] },
    discarded: [{ id: 'a' }],
    jobs: [{ id: 'b' }],
  })
  await page.restore('a')
  expect(page.store.getState()).toMatchObject({ discarded: [], jobs: [{ id: 'a' }, { id: 'b' }] })
  await page.discard('b')
  await page.discard('a')
  expect(page.store.getState()).toMatchObject({ jobs: [], discarded: [{ id: 'a' }, { id: 'b' }] })
  const later = workbench(fake)
  await vi.advanceTimersByTimeAsync(0)
  expect(later.store.getState()).toMatchObject({ jobs: [], discarded: [{ id: 'a' }, { id: 'b' }] })
  await later.restore('b')
  await later.sweep(['a'])
  expect(later.store.getState()).toMatchObject({ jobs: [{ id: 'b' }], discarded: [] })
  expect(swept).toEqual([[], [], ['a']])
})

test('checkpoints go only where a job has no room, the oldest first, and not without being named', async () => {
  const start = vi.fn(async () => report)
  const dropped: string[] = []
  const jobs = ['3', '1', '2'].map((day) => listed(`job-${day}`, `2026-11-0${day}T00:00:00.000Z`))
  const check = {
    ...answer,
    runs: [{ id: 'run-1', weightBytes: 2 ** 20, checkpointBytes: 1.5 * 2 ** 20, solvedBytes: 0, formats: [] }],
  } as unknown as JobCheck
  const page = workbench({
    start,
    jobs: async () => jobs,
    check: async () => check,
    cacheInfo: async () => ({ usage: 9 * 2 ** 20, quota: 10 * 2 ** 20 }) as CacheInfo,
    dropCheckpoints: async (id) => {
      dropped.push(id)
    },
  })
  await page.open({ kind: 'demo' })
  page.setJob({ save: true, keepSolved: false })
  await vi.advanceTimersByTimeAsync(1000)
  const refused = page.start()
  await vi.advanceTimersByTimeAsync(0)
  const said = page.store.getState().question!.lines.join(' ')
  expect(said).toMatch(/1\.50\u202fMiB/)
  expect(said.match(/kept, .*?2026/g)).toHaveLength(2)
  page.answer(false)
  await refused
  expect([start.mock.calls.length, dropped]).toEqual([0, []])
  const agreed = page.start()
  await vi.advanceTimersByTimeAsync(0)
  page.answer(true)
  await agreed
  expect(dropped).toEqual(['job-1', 'job-2'])
  expect(start).toHaveBeenCalledOnce()
})

test('what cannot be opened leaves the open model, its plan and its step alone', async () => {
  let bad = false
  const page = workbench({
    open: async (source) => {
      if (bad) throw new WorkbenchError('file-missing', `${(source as { name?: string }).name} has no config.json.`)
      return { name: 'good', blocks: 1, maxPositions: 64, quantized: null, problems: [] } as unknown as ModelSummary
    },
  })
  await page.open({ kind: 'demo' })
  page.setJob({ seed: 5 })
  page.go('plan')
  await vi.advanceTimersByTimeAsync(1000)
  const before = page.store.getState()
  bad = true
  // Two in a row: the second begins while the first is being read.
  const opened = [page.open({ kind: 'files', name: 'one', files: [] }), page.open({ kind: 'files', name: 'two', files: [] })]
  expect(await Promise.all(opened)).toEqual([false, false])
  const { model, job, chosen, check, step, fault } = page.store.getState()
  expect({ model, job, chosen, check, step }).toEqual({
    model: before.model,
    job: before.job,
    chosen: before.chosen,
    check: before.check,
    step: 'plan',
  })
  expect(fault).toMatchObject({ title: 'Cannot use two', message: 'two has no config.json.' })
})

test('results that are opened again bring the texts of their job along', async () => {
  const mine = { id: 'file-a', label: 'mine.txt', bytes: 7, origin: 'file' as const }
  const page = workbench({ journal: async () => ({ busy: false, summary: kept }), journalTexts: async () => [mine] })
  await vi.advanceTimersByTimeAsync(0)
  await page.openResults('a')
  expect(page.store.getState()).toMatchObject({ step: 'results', texts: [mine, { id: 'owner/name:default', origin: 'dataset' }] })
})

test.each([
  ['the demo', { kind: 'demo' }, { kind: 'demo' }],
  ['a model of the Hub', { kind: 'hub', repo: 'o/n', ref: 'main', revision: 'abc' }, { kind: 'hub', repo: 'o/n', revision: 'abc' }],
  ['a folder, which has to be asked for', { kind: 'files', name: 'model' }, null],
])('a linear of reopened results brings its model, if that needs no question: %s', async (_, origin, source) => {
  const opened: unknown[] = []
  const summary = { name: 'model', blocks: 1, maxPositions: 64, quantized: null, problems: [] } as unknown as ModelSummary
  const page = workbench({
    journal: async () => ({ busy: false, summary: { ...kept, origin } as unknown as JournalSummary }),
    jobs: async () => [{ id: 'a', model: { name: 'model' }, origin, runs: [] } as unknown as KeptJob],
    linear: async () => ({ dtype: null }) as never,
    open: async (from) => {
      opened.push(from)
      return summary
    },
  })
  await vi.advanceTimersByTimeAsync(0)
  await page.openResults('a')
  await page.look('model.layers.0.mlp.up_proj')
  expect(opened).toEqual(source ? [source] : [])
  expect(page.store.getState()).toMatchObject({ step: 'results', model: { state: source ? 'ready' : 'none' } })
  if (source) return
  // Asked for in a click, which this browser does not answer; dropped then, the results are shown again.
  await page.openShownModel()
  expect(page.store.getState()).toMatchObject({ lacks: { job: 'a', name: 'model', wanted: 'look' } })
  await page.take(Promise.resolve({ name: 'model', files: [{ path: 'config.json', file: new File([], 'config.json') }] }))
  expect(page.store.getState()).toMatchObject({ step: 'results', model: { state: 'ready' }, lacks: null })
})

test('a new name leaves the verdict on the plan as it is', async () => {
  const page = workbench()
  await page.open({ kind: 'demo' })
  await vi.advanceTimersByTimeAsync(1000)
  const { check, job } = page.store.getState()
  expect(check.state).toBe('done')
  page.renameRun(job!.runs[0].id, 'mine')
  expect(page.store.getState()).toMatchObject({ check, job: { runs: [{ label: 'mine' }, ...job!.runs.slice(1)] } })
  page.setJob({ seed: 1 })
  page.renameRun(job!.runs[0].id, 'other')
  expect(page.store.getState().check.state).toBe('pending')
})

test('a text that cannot be read is not chosen: it is told at its field, or where it was dropped until a good one is', async () => {
  const added: string[] = []
  const page = workbench({
    addText: async (file) => {
      if (file.name.startsWith('bad') || file.name.endsWith('.png'))
        throw new WorkbenchError('text-invalid', `${file.name} is not UTF-8 text.`)
      added.push(file.name)
      return { id: file.name, label: file.name, bytes: file.size, origin: 'file' }
    },
  })
  await page.open({ kind: 'demo' }, 'plan')
  const files = (name: string, content = 'a') => Promise.resolve({ files: [{ path: name, file: new File([content], name) }] })
  const chosen = () => page.store.getState().job!.calibration.text
  const first = chosen()
  await page.take(files('bad.txt'), 'calibration')
  expect(chosen()).toBe(first)
  expect(page.store.getState()).toMatchObject({
    fault: null,
    refusedText: { field: 'calibration.text', message: 'bad.txt is not UTF-8 text.' },
  })
  await page.take(files('good.txt'), 'calibration')
  expect(page.store.getState()).toMatchObject({ refusedText: null, job: { calibration: { text: 'good.txt' } } })
  for (const name of ['bad.csv', 'photo.png']) {
    await page.take(files(name))
    expect(page.store.getState()).toMatchObject({ fault: { title: `Cannot use ${name}` }, job: { calibration: { text: 'good.txt' } } })
  }
  await page.take(files('rows.json', '[{"text": "a"}]'))
  expect(page.store.getState()).toMatchObject({ fault: null, job: { calibration: { text: 'rows.json' } } })
  expect(added).toEqual(['good.txt', 'rows.json'])
})

test('an upload is one checkpoint of a run, says how far it is, and what came of it', async () => {
  const asked: unknown[] = []
  let finish = (_: unknown) => {}
  const page = workbench({
    push: (checkpoint, place, tell) => {
      asked.push(checkpoint, place)
      tell({ phase: 'sending', path: 'model.gguf', done: 3, total: 10 })
      return new Promise((resolve, reject) => {
        finish = (end) => (end instanceof Error ? reject(end) : resolve(end as never))
      })
    },
  })
  const files = ['gguf/model.gguf', 'gguf/README.md', 'gptq/model.safetensors'].map((path) => ({ path, bytes: 1 }))
  const kept = { job: 'job', run: 'run-1' }
  page.store.setState({
    view: { runs: [{ id: 'a', result: { export: { files } } }] },
    shown: { jobs: ['job'], runs: { a: kept } },
  } as never)
  const place = { repo: 'owner/name', public: false }
  const upload = () => page.store.getState().uploads['a/gguf/']
  const first = page.upload('a', 'gguf/', place)
  expect(asked).toEqual([{ kept, folder: 'gguf/', paths: ['gguf/model.gguf', 'gguf/README.md'] }, place])
  expect(upload()).toEqual({ state: 'sending', progress: { phase: 'sending', path: 'model.gguf', done: 3, total: 10 } })
  finish(new WorkbenchError('hub-denied', 'No.', 'Ask.'))
  await first
  expect(upload()).toEqual({ state: 'failed', error: { code: 'hub-denied', message: 'No.', hint: 'Ask.' } })
  const second = page.upload('a', 'gguf/', place)
  finish({ url: 'https://hub/owner/name', sent: 2, kept: 0 })
  await second
  expect(upload()).toEqual({ state: 'sent', repo: 'owner/name', url: 'https://hub/owner/name', public: false })
})

test('a job file waits for the folder that it names, then the plan is its own', async () => {
  const job = { ...kept.job, runs: [{ id: 'run-7', label: 'mine', method: 'rtn', options: {} }], calibration: { text: 'file:mine.txt' } }
  const file = { job, model: { origin: { kind: 'files', name: 'model' } } } as unknown as JobFile
  let missing = ['mine.txt']
  const page = workbench({
    readJobFile: async () => file,
    planOfFile: async () => ({ job: job as unknown as Job, missing, problems: [], compared: true }),
    addText: async ({ name }) => ({ id: 'file-1', label: name, bytes: 1, origin: 'file' }),
  })
  const dropped = (name: string, content = 'a') => page.take(Promise.resolve({ files: [{ path: name, file: new File([content], name) }] }))
  await dropped('a.job.json', '{}')
  expect(page.store.getState()).toMatchObject({ step: 'model', lacks: { wanted: 'plan', name: 'model' }, replay: { name: 'a.job.json' } })
  await page.take(Promise.resolve({ name: 'model', files: [{ path: 'config.json', file: new File([], 'config.json') }] }))
  expect(page.store.getState()).toMatchObject({
    step: 'plan',
    lacks: null,
    replay: { missing },
    job: { runs: [{ id: 'run-7' }] },
    chosen: 'run-7',
  })
  missing = []
  await dropped('mine.txt')
  expect(page.store.getState()).toMatchObject({ replay: { missing: [] }, dropped: null })
})

test('the report of a sweep is shown as results with looks of their own for its runs, and nothing is planned by it', async () => {
  const named = (id: string) => ({ id, label: id, method: 'rtn', options: {} })
  const sweep = {
    ...report,
    model: { name: 'model', family: 'llama' },
    job: { runs: [named('9f'), named('1c')] },
    runs: [{ run: '1c', state: 'finished', layers: [], perplexities: [] }],
    gathered: { jobs: 2, open: [{ label: '9f', state: 'missing', error: null }] },
  } as unknown as JobReport
  const page = workbench({ readJobFile: async () => ({}) as JobFile, readReport: async () => sweep })
  await page.take(Promise.resolve({ files: [{ path: 'report.json', file: new File(['{}'], 'report.json') }] }))
  const { step, view, ran, job, shown, fault } = page.store.getState()
  expect({ fault, step, job, name: ran?.name, kept: shown.jobs }).toEqual({
    fault: null,
    step: 'results',
    job: null,
    name: 'model',
    kept: [],
  })
  expect(view!.runs.map(({ id, label }) => [id, label])).toEqual([
    ['run-1', '9f'],
    ['run-2', '1c'],
  ])
  expect(view!.runs.map(({ result }) => result?.run)).toEqual([undefined, 'run-2'])
})

test('a change of the plan stops the measurement of widths at once, and says so', async () => {
  let fail: (error: Error) => void = () => {}
  const cancel = vi.fn(async () => fail(new WorkbenchError('cancelled', 'The run was cancelled.')))
  const page = workbench({ cancel, mix: () => new Promise((_, reject) => (fail = reject)) })
  await page.open({ kind: 'files', name: 'model', files: [] })
  const { job } = page.store.getState()
  const [run] = job!.runs
  const measured = page.findMix(run, { bitsPerWeight: 3 })
  // Of another run, or a name: no reason to stop.
  page.addRun('rtn')
  page.renameRun(run.id, 'mine')
  expect(cancel).not.toHaveBeenCalled()
  page.setJob({ seed: 7 })
  expect(cancel).toHaveBeenCalledOnce()
  expect(page.store.getState()).toMatchObject({ spoken: expect.stringMatching(/stopped, since the plan was changed/) })
  await measured
  expect(page.store.getState().mix).toMatchObject({ run: run.id, state: 'stopped' })
})

test('the report of a job is shown as its results, and planned by on request', async () => {
  const named = { id: 'run-7', label: 'mine', method: 'rtn', options: {} }
  const saved = {
    ...report,
    model: { name: 'model', family: 'llama' },
    job: { runs: [named] },
    runs: [{ run: 'run-7', state: 'finished', layers: [], perplexities: [], export: { files: [], bytes: 0, checkpoints: [] } }],
  } as unknown as JobReport
  const texts = { calibration: { text: 'a' }, evaluation: { text: 'b' } }
  const file = { model: { origin: { kind: 'demo' } }, job: { ...texts, runs: [named] } } as unknown as JobFile
  const page = workbench({
    readJobFile: async () => file,
    readReport: async () => saved,
    planOfFile: async ({ job }) => ({ job, missing: [], problems: [], compared: true }),
  })
  await page.take(Promise.resolve({ files: [{ path: 'model-report.json', file: new File(['{}'], 'model-report.json') }] }))
  const { step, view, job, recorded } = page.store.getState()
  expect({ step, job, from: recorded }).toEqual({ step: 'results', job: null, from: { kind: 'report', name: 'model-report.json', file } })
  // Its checkpoints are not here.
  expect(view!.runs.map(({ label, result }) => [label, result?.export])).toEqual([['mine', null]])
  await page.planReport()
  expect(page.store.getState()).toMatchObject({ step: 'plan', replay: { name: 'model-report.json' }, job: { runs: [named] } })
})

test('options that a type or another method decides count again when that is taken back', async () => {
  const choice = (key: string, values: OptionSpec['default'][], more: object[] = []) =>
    ({
      flag: '',
      help: '',
      key,
      label: key,
      type: 'choice',
      default: values[0],
      choices: values.map((value, i) => ({ value, label: String(value), ...more[i] })),
    }) as OptionSpec
  const options = [choice('bits', [3, 2]), choice('kind', ['uniform', 'q2_k'], [{}, { fixes: { bits: 2 } }])]
  const solvers = [
    { id: 'rtn', label: 'RTN', options },
    { id: 'plain', label: 'Plain', options: [] },
  ].map((one) => ({ ...one, summary: '', advice: '' }))
  const page = workbench({
    catalog: async () => ({ solvers, runOptions: [], families: [], formats: [], texts: [], devices: [] }) as unknown as Catalog,
  })
  await page.open({ kind: 'files', name: 'model', files: [] })
  const [{ id }] = page.store.getState().job!.runs
  const now = () => page.store.getState().job!.runs[0]
  page.setOption(id, 'bits', 2)
  page.setOption(id, 'kind', 'q2_k')
  expect(now().options).toEqual({ kind: 'q2_k' })
  page.setOption(id, 'kind', 'uniform')
  expect(now().options).toEqual({ bits: 2, kind: 'uniform' })
  page.setMethod(id, 'plain')
  expect(now().options).toEqual({})
  page.setMethod(id, 'rtn')
  expect(now().options).toEqual({ bits: 2, kind: 'uniform' })
})

test('a job that goes on in a fresh page is planned there too; a plan that was there stays', async () => {
  const run = { id: 'run-5', label: 'mine', method: 'rtn', options: {} }
  const text = { text: 'a', samples: 1, length: 2 }
  const job = {
    runs: [run],
    calibration: { ...text, sampling: 'random' },
    evaluation: text,
    seed: 3,
    perplexityEvery: 0,
    save: false,
  } as Job
  const summary = { job, origin: { kind: 'demo' }, model: { name: 'model' }, events: [], report: null } as unknown as JournalSummary
  const goOn = vi.fn(async () => report)
  const there = { journal: async () => ({ busy: false, summary }), goOn }
  const page = workbench(there)
  await page.goOn('kept')
  expect(goOn).toHaveBeenCalledOnce()
  expect(page.store.getState()).toMatchObject({ job: { runs: [run], seed: 3 }, chosen: 'run-5' })
  const other = workbench(there)
  await other.open({ kind: 'demo' })
  other.setJob({ seed: 9 })
  await other.goOn('kept')
  expect(other.store.getState()).toMatchObject({ job: { seed: 9 } })
})

test('a plan that was edited comes back with its model, until it is begun anew', async () => {
  const kept = new Map<string, string>()
  const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) }
  vi.stubGlobal('localStorage', storage)
  const visit = async (name = 'model') => {
    const summary = { name, source: null, parameters: 1, blocks: 1, maxPositions: 64, quantized: null, problems: [] }
    const page = workbench({ open: async () => summary as unknown as ModelSummary })
    await page.open({ kind: 'demo' })
    return page
  }
  const first = await visit()
  const { job } = first.store.getState()
  expect(kept.size).toBe(0)
  first.setJob({ seed: 7 })
  first.addRun('rtn')
  const again = await visit()
  expect(again.store.getState()).toMatchObject({ recalled: true, job: { seed: 7, runs: first.store.getState().job!.runs } })
  expect((await visit('another')).store.getState()).toMatchObject({ recalled: false, job: { seed: 0 } })
  again.planAnew()
  expect((await visit()).store.getState()).toMatchObject({ recalled: false, job: { seed: 0, runs: job!.runs } })
  vi.unstubAllGlobals()
})
