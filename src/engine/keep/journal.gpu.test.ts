/** Jobs that are interrupted at any moment end in the same bytes as one that was left alone. */
import { beforeAll, describe, expect, it } from 'vitest'
import { random } from '../../data/corpus.ts'
import { WorkbenchError } from '../../errors.ts'
import { asWebGpu, testSource } from '../../gpu/testing.ts'
import type { Sink } from '../../io/bytes.ts'
import { type MemoryStore, memoryStore } from '../../io/memory.ts'
import type { Control } from '../control.ts'
import type { RunEvent } from '../job/events.ts'
import type { Job } from '../job/job.ts'
import type { JobReport } from '../job/report.ts'
import type { RunResult } from '../job/result.ts'
import { discardJournal, dropCheckpoints, journalTexts } from './journal-files.ts'
import { readJournal } from './journal-summary.ts'
import { keptJob } from './kept-job.ts'
import { runJob } from '../run/run.ts'
import { Session } from '../session.ts'
import { memoryHost, memoryText, smallJob, testTexts, tinyConfig, tinyFiles } from '../testing.ts'

const SEED = 5
const run = (id: string, method: string, options: Job['runs'][0]['options']) => ({ id, label: id, method, options })

/** Every way in which a linear can be stored and a block be walked. */
const job = smallJob(
  [
    run('outliers', 'quantease', { bits: 3, iterations: 2, outlier: 0.02, trueSequential: true }),
    run('scaled', 'awq', { bits: 4, groupSize: 32 }),
    run('order', 'gptq', { bits: 2, groupSize: 32, actOrder: true }),
    run('small', 'spqr', { bits: 3 }),
    run('part', 'rtn', { bits: 2, blocks: 1, symmetric: true }),
  ],
  { save: true, perplexityEvery: 1, evaluation: { text: 'mine', samples: 4, length: 64 } },
)
const mine = () => memoryText('mine', 'The cat sat on the mat and looked at the dog. '.repeat(60))

type Host = ReturnType<typeof memoryHost>
const of = <T extends RunEvent['type']>(events: RunEvent[], type: T) =>
  events.filter((event) => event.type === type) as Extract<RunEvent, { type: T }>[]
/** Events that depend on the work alone, not on the time it takes. */
const counts = ({ type }: RunEvent) => type !== 'progress' && type !== 'memory'
const copy = ({ files }: MemoryStore) => memoryStore(new Map([...files].map(([name, bytes]) => [name, bytes.slice()])))

/** What a job leaves, but for the time it took. */
function remains(report: JobReport, ...sinks: Host['sinks'][]) {
  return report.runs.map(({ seconds: _, layers, ...result }) => ({
    ...result,
    layers: layers.map(({ seconds: _, ...layer }) => layer),
    files: sinks.findLast((each) => each.has(result.run))!.get(result.run)!.files,
  }))
}

/** As another process would, but for the device: one that has its kernels compiled saves minutes. */
async function resume(journal: MemoryStore, changes: Partial<Job> = {}) {
  await session.open(await tinyFiles(undefined, config), 'tiny')
  for (const text of await journalTexts(journal)) session.texts.add(text)
  const { host, ...rest } = memoryHost(session)
  return { ...rest, report: await runJob({ ...job, ...changes }, { ...host, journal }, { resume: true }) }
}

let session: Session
/** The job as it ends when nothing happens to it. */
let whole: ReturnType<typeof remains>
let sinks: Host['sinks']
/** What lies in the journal at each event. */
// Plain checkpoints then round what the journal has in full.
const config = { ...tinyConfig, torch_dtype: 'bfloat16' }
const moments: { event: RunEvent; journal: MemoryStore }[] = []

beforeAll(async () => {
  session = new Session(testSource(), [...testTexts(), mine()])
  await session.open(await tinyFiles(undefined, config), 'tiny')
  const host = memoryHost(session, (event) => {
    if (counts(event)) moments.push({ event, journal: copy(host.journal) })
  })
  const report = await runJob(job, host.host)
  sinks = host.sinks
  whole = remains(report, sinks)
  expect(whole.map(({ state, exportError }) => [state, exportError])).toEqual(job.runs.map(() => ['finished', undefined]))
})

const draws = (count: number, seed: number) => Array.from({ length: count }, random(seed))

describe(`a killed job (seed ${SEED})`, () => {
  it.each(draws(3, SEED))('goes on from moment %f to the same bytes', async (at) => {
    const { event, journal } = moments[Math.floor(at * moments.length)]
    const before = (await readJournal(journal, false))!
    const { report, events, sinks: later } = await resume(journal)
    expect(of(events, 'job-start')[0].resumed?.layers, JSON.stringify(event)).toBe(before.layers.done)
    expect(remains(report, sinks, later)).toEqual(whole)
    expect(of(events, 'progress').at(-1)).toMatchObject({ done: 1 })
    // Runs that were finished are not written again.
    expect([...later.keys()]).toEqual(job.runs.map(({ id }) => id).slice(before.results.length))
    expect(of(events, 'layer').length).toBe(new Set(of(events, 'layer').map(({ run, layer }) => run + layer.name)).size)
    const points = report.runs.flatMap(({ run, perplexities }) => perplexities.map(({ blocks }) => run + blocks))
    expect(points).toEqual(job.runs.flatMap(({ id, options }) => (options.blocks ? [`${id}1`] : [`${id}1`, `${id}2`])))
  })

  it('does without a record that was cut short, one that was damaged, and hidden states that were', async () => {
    const last = moments.findLast(({ event }) => event.type === 'layer' && event.run === 'small')!
    const damage: ((files: MemoryStore['files']) => void)[] = [
      (files) => files.set('run-3', files.get('run-3')!.subarray(0, -100)),
      (files) => files.get('run-3')!.fill(255, files.get('run-3')!.length / 2, files.get('run-3')!.length / 2 + 4),
      (files) => files.forEach((bytes, name) => name.startsWith('states') && bytes.fill(1, 100, 104)),
    ]
    for (const harm of damage) {
      const journal = copy(last.journal)
      harm(journal.files)
      const { report, sinks: later } = await resume(journal)
      expect(remains(report, sinks, later)).toEqual(whole)
    }
  })

  it('leaves a journal that says what it was, until it is discarded', async () => {
    const journal = copy(moments.findLast(({ event }) => event.type === 'layer' && event.run === 'small')!.journal)
    const summary = (await readJournal(journal, false))!
    expect(summary).toMatchObject({
      job,
      results: whole.slice(0, 3).map(({ run }) => ({ run })),
      layers: { all: 4 * 14 + 7 },
      report: null,
      problem: null,
    })
    expect(summary.layers.done).toBe(4 * 14)
    // What it told of each linear and block, so that the charts can be drawn again.
    const told = summary.events.filter(({ type }) => type !== 'layer')
    expect(told.map(({ type }) => type)).toEqual(['job-start', 'baseline', 'run-end', 'run-end', 'run-end', 'run-start', 'perplexity'])
    expect(of(summary.events, 'layer').map(({ layer }) => layer.name)).toEqual(whole[3].layers.map(({ name }) => name))
    for (const { layer } of of(summary.events, 'layer'))
      expect(layer).toMatchObject(whole[3].layers.find(({ name }) => name === layer.name)!)
    expect((await readJournal(moments.at(-1)!.journal, false))!.report?.runs.length).toBe(job.runs.length)
    await discardJournal(journal)
    expect(await journal.list()).toEqual([])
    expect(await readJournal(journal, false)).toBeNull()
  })

  it('is never mixed with another: what differs is named', async () => {
    const { journal } = moments.findLast(({ event }) => event.type === 'layer' && event.run === 'small')!
    const refused = (changes: Partial<Job>) => resume(copy(journal), changes).catch((error: WorkbenchError) => error)
    const runs = job.runs.map((one) => ({ ...one, options: { ...one.options, bits: 8 } }))
    expect(await refused({ runs })).toMatchObject({ code: 'journal-mismatch', message: expect.stringContaining('options differ') })
    expect(await refused({ seed: 1, calibration: { ...job.calibration, sampling: 'random' } })).toMatchObject({
      message: expect.stringMatching(/text has other tokens\./),
    })
    const other = new Session(testSource(), [...testTexts(), mine()])
    await other.open(await tinyFiles((tensors) => tensors.get('model.layers.1.mlp.up_proj.weight')!.data.fill(0.5, 3, 4), config), 'tiny')
    const attempt = runJob(job, { ...memoryHost(other).host, journal: copy(journal) }, { resume: true })
    await expect(attempt).rejects.toMatchObject({ code: 'journal-mismatch', message: expect.stringContaining('other weights') })
  })

  it('is refused on another adapter or browser, by a sentence that says which', async () => {
    const { journal } = moments.findLast(({ event }) => event.type === 'layer' && event.run === 'small')!
    const traits = await session.adapterTraits()
    const others: [Partial<typeof traits>, string][] = [
      [{ arithmetic: traits.arithmetic.map((bits, i) => (i === 7 ? bits ^ 1 : bits)) }, 'the GPU, its driver or its arithmetic differs'],
      [{ told: traits.told.replace(/\d/, '0') }, 'the GPU, its driver or its arithmetic differs'],
      [{ browser: 'Mozilla/5.0 Firefox/160.0' }, 'the browser or its version differs'],
    ]
    for (const [change, words] of others) {
      const other = new Session(session.gpuSource, [...testTexts(), mine()])
      other.adapterTraits = async () => ({ ...traits, ...change })
      await other.open(await tinyFiles(), 'tiny')
      const attempt = runJob(job, { ...memoryHost(other).host, journal: copy(journal) }, { resume: true })
      await expect(attempt).rejects.toMatchObject({ code: 'journal-mismatch', message: expect.stringContaining(words) })
      ;(await other.gpu()).destroy()
    }
  })

  it('goes on with the form of products that it began with, whichever is measured to be faster now', async () => {
    const { journal } = moments.findLast(({ event }) => event.type === 'layer' && event.run === 'scaled')!
    const gpu = await session.gpu()
    const { gemm } = gpu
    gpu.gemm = gemm === 'direct' ? 'tiled' : 'direct'
    const { report, sinks: rest } = await resume(copy(journal))
    expect(gpu.gemm).toBe(gemm)
    expect(remains(report, sinks, rest)).toEqual(whole)
  })

  it('is left alone by a measurement', async () => {
    const journal = copy(moments[20].journal)
    const { host } = memoryHost(session)
    await runJob({ ...job, runs: [], save: false }, { ...host, journal })
    expect(journal.files).toEqual(moments[20].journal.files)
  })
})

describe('a lost device', () => {
  /** Does `harm` at those events, by their number. */
  async function disturbed(job: Job, at: number[], harm: (session: Session) => void) {
    const session = new Session(testSource(), [...testTexts(), mine()])
    await session.open(await tinyFiles(undefined, config), 'tiny')
    let seen = 0
    const host = memoryHost(session, (event) => {
      if (counts(event) && event.type !== 'device' && at.includes(seen++)) harm(session)
    })
    const report = await runJob(job, host.host)
    return { ...host, report }
  }
  const lose = async (session: Session) => (await session.gpu()).destroy()

  // Sums, a transformed block, and blocks that stay as they are; each loss compiles all kernels again.
  const runs = job.runs
    .map((one, i) => ({ one, at: draws(2, SEED + i) }))
    .filter(({ one }) => ['outliers', 'scaled', 'part'].includes(one.id))
  it.each(runs)(`$one.id: goes on, twice, to the same bytes (seed ${SEED})`, async ({ one, at }) => {
    const alone = { ...job, runs: [one] }
    const length = moments.filter(({ event }) => !('run' in event) || event.run === one.id || event.run === null).length
    const { report, events, sinks } = await disturbed(
      alone,
      at.map((part) => Math.floor(part * length * 0.9)),
      lose,
    )
    expect(of(events, 'device').map(({ state, losses }) => `${state} ${losses}`)).toEqual(['lost 1', 'back 1', 'lost 2', 'back 2'])
    expect(remains(report, sinks)).toEqual(whole.filter(({ run }) => run === one.id))
  })

  it('is too much at the third time; then what was saved is gone on with', async () => {
    const { report, events, journal, sinks: earlier } = await disturbed(job, [40, 60, 75], lose)
    expect(of(events, 'device').at(-1)).toMatchObject({ state: 'lost', losses: 3, most: 3 })
    expect(report.runs.at(-1)).toMatchObject({
      state: 'failed',
      error: { code: 'gpu-lost', message: expect.stringContaining('three times') },
    })
    expect(report.runs.length).toBeLessThan(job.runs.length)
    expect((await readJournal(journal, false))!.layers.done).toBe(report.runs.reduce((sum, { layers }) => sum + layers.length, 0))
    const { report: final, sinks: later } = await resume(journal)
    expect(remains(final, earlier, later)).toEqual(whole)
  })

  it('with no memory left goes on in smaller pieces, to the same bytes', async () => {
    const one = { ...job, runs: [job.runs[0]] }
    const { report, events, sinks } = await disturbed(one, [12, 30], async (session) => {
      const { device } = asWebGpu(await session.gpu())
      device.onuncapturederror!({ error: Object.create(GPUOutOfMemoryError.prototype) } as GPUUncapturedErrorEvent)
    })
    expect(of(events, 'device').map(({ state, cause }) => `${state} ${cause}`)).toEqual([
      'lost memory',
      'back memory',
      'lost memory',
      'back memory',
    ])
    expect(remains(report, sinks)).toEqual(whole.slice(0, 1))
  })
})

describe('a full disk', () => {
  const full = () => Promise.reject(new WorkbenchError('storage-full', 'Full.', 'Make room.'))
  /** Fails now and then, once each. */
  const flaky = () => {
    let calls = 0
    return <T>(work: () => Promise<T>): Promise<T> => (++calls % 7 === 3 ? full() : work())
  }
  const withRoom = (sink: Sink, room: ReturnType<typeof flaky>): Sink => ({
    ...sink,
    create: (path, size) =>
      room(async () => {
        const file = await sink.create(path, size)
        return { ...file, write: (data, at) => room(() => file.write(data, at)) }
      }),
  })

  it('pauses the job, says how much is needed, and goes on when there is room', async () => {
    await session.open(await tinyFiles(undefined, config), 'tiny')
    const needs: RunEvent[] = []
    const host = memoryHost(session, (event: RunEvent, control: Control) => {
      if (event.type !== 'paused') return
      needs.push(event)
      queueMicrotask(() => control.resume())
    })
    const room = flaky()
    const { sink, journal } = host.host
    host.host.sink = async (id) => withRoom(await sink(id), room)
    const edit = journal.edit
    host.host.journal = {
      ...journal,
      edit: async (path) => {
        const file = await edit(path)
        return path.startsWith('run') ? { ...file, write: (data, at) => room(() => file.write(data, at)) } : file
      },
    }
    const report = await runJob({ ...job, runs: job.runs.slice(0, 2) }, host.host)
    expect(remains(report, host.sinks)).toEqual(whole.slice(0, 2))
    const storage = needs.map((event) => (event as Extract<RunEvent, { type: 'paused' }>).storage!)
    expect(storage.length).toBeGreaterThan(10)
    expect(new Set(storage.map(({ what }) => what))).toEqual(
      new Set(['the journal', 'the checkpoint of outliers', 'the checkpoint of scaled']),
    )
    expect(storage.every(({ needed, problem }) => needed > 0 && problem.code === 'storage-full')).toBe(true)
  })

  it('for hidden states costs time, not the run', async () => {
    const host = memoryHost(session)
    const { edit } = host.journal
    const journal = { ...host.journal, edit: (path: string) => (path.startsWith('states') ? full() : edit(path)) }
    const report = await runJob({ ...job, runs: job.runs.slice(0, 1) }, { ...host.host, journal })
    expect(remains(report, host.sinks)).toEqual(whole.slice(0, 1))
    expect(of(host.events, 'notice').map(({ problem }) => problem.hint)).toEqual([expect.stringContaining('take a little longer')])
  })

  it('that stays full can be cancelled', async () => {
    const host = memoryHost(session, (event, control) => {
      if (event.type === 'paused') control.cancel()
    })
    const { sink } = host.host
    host.host.sink = async (id) => ({ ...(await sink(id)), create: full })
    const [result] = (await runJob({ ...job, runs: job.runs.slice(2, 3) }, host.host)).runs
    expect(result).toMatchObject({ state: 'cancelled', export: null })
  })
})

describe('a checkpoint that cannot be written at the end', () => {
  const failing = (after: number) => (sink: Sink) => {
    let writes = 0
    const write = async (work: () => Promise<void>) => {
      if (writes++ >= after) throw new WorkbenchError('storage-failed', 'The disk went away.', 'Bring it back.')
      await work()
    }
    return {
      ...sink,
      create: async (path: string, size: number) => {
        const file = await sink.create(path, size)
        return { ...file, write: (data: Uint8Array, at: number) => write(() => file.write(data, at)) }
      },
    }
  }

  it.each([0, 7, 12])('loses nothing: write number %i fails, and the file is written again without solving', async (after) => {
    const host = memoryHost(session)
    await session.open(await tinyFiles(undefined, config), 'tiny')
    const { sink } = host.host
    // A packed one with a transform, and a dense one whose outliers are added back.
    const some = { ...job, runs: [job.runs[1], job.runs[0]] }
    const report = await runJob(some, { ...host.host, sink: async (id) => failing(after)(await sink(id)) })
    expect(report.runs.map(({ state, export: made, exportError }) => [state, made, exportError?.code])).toEqual(
      some.runs.map(() => ['finished', null, 'storage-failed']),
    )
    expect((await readJournal(host.journal, false))!).toMatchObject({
      layers: { done: 28, all: 28 },
      report: { runs: JSON.parse(JSON.stringify(report.runs)) },
    })

    const stages: RunEvent[] = []
    const { host: second, sinks: written } = memoryHost(session, (event) => event.type === 'stage' && stages.push(event))
    const again = await runJob(some, { ...second, journal: host.journal }, { resume: true })
    expect(remains(again, written)).toEqual([whole[1], whole[0]])
    expect(stages.map((event) => (event as Extract<RunEvent, { type: 'stage' }>).stage)).toEqual(['write', 'write'])
    for (const [i, { seconds }] of again.runs.entries()) expect(seconds).toBeGreaterThanOrEqual(report.runs[i].seconds)
    expect(again.seconds).toBeGreaterThan(report.runs.reduce((sum, { seconds }) => sum + seconds, 0))
    // Now they are in the checkpoints, and nothing is left to be written.
    expect((await host.journal.list()).sort()).toEqual(['head', 'job', 'states-reference', 'text-0'])
    expect((await readJournal(host.journal, false))!.report!.runs.every(({ export: made }) => made)).toBe(true)
  })
})

it('a pause counts as time of no linear, run or job', async () => {
  await session.open(await tinyFiles(), 'tiny')
  const { host, events } = memoryHost(session, (event, control) => {
    // What is under way is finished first.
    const resumeOnceStill = (before: number) => {
      const still = control.clock === before
      setTimeout(() => (still ? control.resume() : resumeOnceStill(control.clock)), still ? 400 : 1)
    }
    if (event.type === 'layer' && of(events, 'layer').length === 1) control.pause()
    if (event.type === 'paused') resumeOnceStill(Number.NaN)
  })
  const begun = performance.now()
  const { runs, seconds } = await runJob({ ...job, runs: job.runs.slice(4) }, host)
  const wall = (performance.now() - begun) / 1000
  expect(of(events, 'paused')).toHaveLength(1)
  // Timers may end a millisecond early.
  expect(wall - seconds).toBeGreaterThan(0.39)
  expect(runs[0].seconds).toBeLessThanOrEqual(seconds)
  expect(runs[0].layers.reduce((sum, layer) => sum + layer.seconds, 0)).toBeLessThanOrEqual(runs[0].seconds)
  expect(of(events, 'progress').at(-1)!.elapsed).toBeLessThanOrEqual(seconds)
})

it('forgets checkpoints and what was solved to make room, and keeps every figure', async () => {
  const { host, journal } = memoryHost(session)
  const report = await runJob({ ...job, runs: job.runs.slice(2, 3), keepSolved: true }, host)
  expect(await journal.list()).toContain('run-0')
  await dropCheckpoints(journal)
  const summary = (await readJournal(journal, false))!
  const bare = ({ export: _, ...result }: RunResult) => result
  const [result] = summary.results
  expect(result).toEqual({ ...bare(report.runs[0]), export: null, dropped: expect.stringMatching(/^20\d\d-/) })
  expect(summary.report!.runs).toEqual([result])
  expect(await journal.list()).not.toContain('run-0')
  expect(keptJob('a', summary, false)).toMatchObject({
    id: 'a',
    finished: true,
    dropped: result.dropped,
    model: { sha256: report.model.sha256 },
    texts: report.texts,
    runs: [{ kl: report.runs[0].kl, written: false }],
  })
})

it('storage that fails in other ways ends the journal or the export, not the run', async () => {
  const failing = () => Promise.reject(new WorkbenchError('storage-failed', 'The disk is broken.', 'Replace it.'))
  const host = memoryHost(session)
  const sink = async () => ({ ...(await memoryHost(session).host.sink('x')), create: failing })
  const { edit } = host.journal
  const journal = {
    ...host.journal,
    edit: (path: string) => (path === 'run-0' ? edit(path).then((file) => ({ ...file, write: failing })) : edit(path)),
  }
  const report = await runJob({ ...job, runs: job.runs.slice(2, 3) }, { ...host.host, sink, journal })
  expect(report.runs[0]).toMatchObject({ state: 'finished', export: null, exportError: { code: 'storage-failed' } })
  expect(report.runs[0].perplexity).toBe(whole[2].perplexity)
  const hints = of(host.events, 'notice').map(({ problem }) => `${problem.message} ${problem.hint}`)
  expect(hints).toEqual([expect.stringContaining('The checkpoint was not saved'), expect.stringContaining('cannot be resumed')])

  const none = memoryHost(session)
  const { report: _, ...rest } = {
    report: await runJob({ ...job, runs: job.runs.slice(2, 3) }, { ...none.host, journal: { ...none.journal, list: failing } }),
    ...none,
  }
  expect(of(rest.events, 'notice')[0].problem.hint).toContain('cannot be resumed once')

  // Half a beginning does not stay: nobody could go on with it.
  const half = memoryHost(session)
  const { edit: editHalf } = half.host.journal
  const cut = { ...half.host.journal, edit: (path: string) => (path === 'job' ? failing() : editHalf(path)) }
  await runJob({ ...job, runs: job.runs.slice(2, 3) }, { ...half.host, journal: cut })
  expect(of(half.events, 'notice')[0].problem.hint).toContain('cannot be resumed once')
  expect(await half.host.journal.list()).toEqual([])
})
