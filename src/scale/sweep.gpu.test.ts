/** The contract of files: planning, running by several workers, what each ending leaves, and the table of what came of it. */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { thisProcess } from '../engine/hosts/lock.ts'
import { readReport } from '../engine/report-file.ts'
import type { Files } from '../io/bytes.ts'
import { tinyFiles } from '../engine/testing.ts'
import { refusal } from '../io/testing.ts'
import { exitCodeOf } from './exit.ts'
import { filesOf, jobFolder, readPlan } from './job.ts'
import { openSession } from './open.ts'
import { planSweep } from './plan.ts'
import { reportSweep } from './report.ts'
import { readResult, runSweepJob } from './run.ts'

let base: string
let dir: string
const lines: string[] = []
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'workbench-sweep-'))
  dir = join(base, 'sweep')
  await writeFolder(join(base, 'tiny'), await tinyFiles())
  await cp('public/demo/calibration.txt', join(base, 'text.txt'))
  vi.spyOn(process.stdout, 'write').mockImplementation((line) => lines.push(String(line)) > 0)
})
afterAll(() => rm(base, { recursive: true, force: true }))

async function writeFolder(path: string, files: Files): Promise<void> {
  await cp('public/demo/tokenizer.json', join(path, 'tokenizer.json'))
  for (const [name, file] of files) if (!name.includes('/')) await writeFile(join(path, name), new Uint8Array(await file.arrayBuffer()))
}

const sweep = {
  format: 'quantease-sweep',
  version: 1,
  models: [] as string[],
  calibration: { text: '', samples: 2, length: 32, sampling: 'consecutive', heldOut: 0 },
  evaluation: { text: 'demo-evaluation', samples: 2, length: 32 },
  methods: ['rtn', 'gptq'] as unknown[],
  options: { bits: 4, groupSize: 32 } as object,
  save: true,
  device: 'rtx-4090',
}
async function plan(changes: Partial<typeof sweep> & { formats?: string[] } = {}, into = dir) {
  const path = join(base, 'sweep.json')
  const calibration = { ...sweep.calibration, text: join(base, 'text.txt') }
  await writeFile(path, JSON.stringify({ ...sweep, models: [join(base, 'tiny')], calibration, ...changes }))
  return planSweep(path, into)
}
const pathsOf = (id: string) => filesOf(jobFolder(dir, id))
const told = () => lines.splice(0).map((line) => JSON.parse(line))

test('planning again adds jobs and disturbs none; a job that comes up twice is planned once', async () => {
  const first = await plan()
  expect(first).toMatchObject({ added: 2, notes: [] })
  expect(first.plan.jobs[0]).toMatchObject({
    label: 'tiny: RTN, bits 4, groupSize 32',
    price: { device: 'rtx-4090', seconds: expect.any(Number) },
  })
  const before = await readFile(pathsOf(first.plan.jobs[0].id).job)
  const again = await plan({
    methods: ['rtn', { method: 'rtn', options: { bits: 4, symmetric: false } }, { method: 'gptq', options: { bits: 3 } }],
  })
  expect(again.added).toBe(1)
  expect(again.notes).toEqual([expect.stringContaining('Two settings come to one job')])
  expect(again.plan.jobs.slice(0, 2)).toEqual(first.plan.jobs)
  expect(await readFile(pathsOf(first.plan.jobs[0].id).job)).toEqual(before)
})

test('what cannot be is refused before anything is written', async () => {
  const impossible = await refusal(() => plan({ formats: ['gptq'], methods: ['spqr'], options: { bits: 3 } }, join(base, 'none')))
  expect(`${impossible.code}: ${impossible.message}`).toMatch(/option-invalid: tiny: SpQR, bits 3: .*cannot store/)
  const textless = await refusal(() => plan({ calibration: { ...sweep.calibration, text: 'nowhere' } }, join(base, 'none')))
  expect([textless.code, exitCodeOf(textless)]).toEqual(['file-missing', 66])
  const long = await refusal(() =>
    plan({ calibration: { ...sweep.calibration, text: join(base, 'text.txt'), length: 100_000 } }, join(base, 'none')),
  )
  expect(`${exitCodeOf(long)} ${long.message}`).toMatch(
    /^64 .*tiny: calibration\.length: The model has \d+ positions, but windows of 100000/,
  )
  await mkdir(join(base, 'empty'), { recursive: true })
  const damaged = await refusal(() => plan({ models: [join(base, 'tiny'), join(base, 'empty')] }, join(base, 'none')))
  expect([damaged.message.startsWith(`${join(base, 'empty')}: `), exitCodeOf(damaged)]).toEqual([true, 66])
  const blocked = await refusal(() => plan({}, join(base, 'text.txt')))
  expect(exitCodeOf(blocked)).toBe(73)
  expect(await readdir(base)).not.toContain('none')
})

test('a job runs to a result that is written once, and then is done at once', async () => {
  const [{ id }] = (await readPlan(dir))!.jobs
  const files = pathsOf(id)
  await runSweepJob(files.job)
  const events = told()
  expect(events[0]).toMatchObject({ type: 'attempt', id, pid: process.pid })
  expect(events.at(-1)).toMatchObject({ type: 'exit', code: 0 })
  expect(await readdir(jobFolder(dir, id))).toEqual(['checkpoint', 'events.jsonl', 'job.json', 'result.json'])
  expect((await readResult(files.result))?.report.runs[0].state).toBe('finished')
  const before = await readFile(files.result)
  await runSweepJob(files.job)
  expect([told(), await readFile(files.result)]).toEqual([[], before])
})

test('a lock keeps a second worker off, one that has ended does not; another text or a damaged file is refused', async () => {
  const [, { id }] = (await readPlan(dir))!.jobs
  const files = pathsOf(id)
  const lock = `${files.checkpoint}.lock`
  await writeFile(lock, JSON.stringify({ ...thisProcess(), host: 'elsewhere' }))
  const busy = await refusal(() => runSweepJob(files.job))
  expect([busy.message, exitCodeOf(busy)]).toEqual([expect.stringContaining(`Another run is writing to ${files.checkpoint}: process`), 75])
  expect(`${busy.message} ${busy.hint}`).not.toContain('--save')
  await writeFile(lock, JSON.stringify({ ...thisProcess(), birth: 'earlier pid:[1] 2' }))

  const text = await readFile(join(base, 'text.txt'))
  await writeFile(join(base, 'text.txt'), 'other')
  const changed = await refusal(() => runSweepJob(files.job))
  expect([changed.message, exitCodeOf(changed)]).toEqual([expect.stringContaining('has changed since the sweep was planned'), 65])
  await writeFile(join(base, 'text.txt'), text)

  const job = await readFile(files.job, 'utf8')
  await writeFile(files.job, job.replace('"samples": 2', '"samples": 3'))
  expect((await refusal(() => runSweepJob(files.job))).message).toContain('is damaged: its content is not that of its name')
  await writeFile(files.job, job)
})

test('a full disk ends an attempt with a sentence, and the next one goes on', async () => {
  const [, { id }] = (await readPlan(dir))!.jobs
  const files = pathsOf(id)
  await rm(files.events, { force: true })
  await symlink('/dev/full', files.events)
  const full = await refusal(() => runSweepJob(files.job))
  expect(exitCodeOf(full)).toBe(73)
  await rm(files.events)
  await runSweepJob(files.job)
  expect((await readResult(files.result))?.id).toBe(id)
})

test('without a GPU a worker says so, and the report tells what is done, failed and missing', async () => {
  const [first, second, third] = (await readPlan(dir))!.jobs
  const none = await refusal(() => runSweepJob(pathsOf(third.id).job, () => openSession(undefined)))
  expect([none.message, exitCodeOf(none)]).toEqual(['This worker has no GPU that WebGPU can use.', 69])
  await plan({ options: { bits: 8, groupSize: 32 }, methods: ['rtn'] })
  const { rows, files } = await reportSweep(dir)
  expect(rows.map(({ id, state, error }) => [id, state, error])).toEqual([
    [first.id, 'done', null],
    [second.id, 'done', null],
    [third.id, 'failed', 'This worker has no GPU that WebGPU can use. (exit 69)'],
    [expect.any(String), 'missing', null],
  ])
  const report = JSON.parse(await readFile(join(dir, 'report.json'), 'utf8'))
  expect(report.runs.map(({ run }: { run: string }) => run)).toEqual([first.id, second.id])
  expect(report.job.runs.map(({ id }: { id: string }) => id)).toEqual([first.id, second.id])
  // As the page reads it.
  const text = await readFile(join(dir, 'report.json'), 'utf8')
  const read = (value: string) => readReport(new TextEncoder().encode(value), 'report.json')
  expect(read(text)).toEqual(report)
  expect(report.gathered).toEqual({
    jobs: 4,
    open: [
      { label: third.label, state: 'failed', error: 'This worker has no GPU that WebGPU can use. (exit 69)' },
      { label: expect.any(String), state: 'missing', error: null },
    ],
  })
  // Without what was gathered it is that of a job.
  expect(read(JSON.stringify({ ...report, gathered: undefined }))).toEqual({ ...report, gathered: undefined })
  expect(() => read(JSON.stringify({ ...report, runs: [{ ...report.runs[0], kl: 'small' }] }))).toThrow('no report of a sweep: runs.0.kl')
  expect(() => read(JSON.stringify({ ...report, runs: [{ ...report.runs[0], run: 'other' }] }))).toThrow('a result of other')
  expect(files.map((path) => path.slice(dir.length + 1))).toEqual(['table.json', 'table.csv', 'table.md', 'report.json'])
  expect(await readFile(join(dir, 'table.md'), 'utf8')).toMatch(/2 of 4 jobs are done\.\n- failed: 2, .*\n- missing: 3, /)
})
