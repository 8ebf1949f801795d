import { expect, test } from 'vitest'
import { jobFileOf, looksLikeJob, ownFileOf, plannedJobFile, readJobFile } from './job-file.ts'
import type { Job } from './job/job.ts'

const digest = 'a'.repeat(64)
const job: Job = {
  runs: [
    { id: 'run-1', label: 'RTN 3-bit', method: 'rtn', options: { bits: 3, symmetric: false, damping: 'auto' }, formats: ['gptq'] },
    { id: 'run-2', label: 'QuantEase 3-bit', method: 'quantease', options: {} },
  ],
  calibration: { text: 'file-1234', column: 'text', chat: true, samples: 4, length: 64, sampling: 'random', heldOut: 1 / 6 },
  evaluation: { text: 'demo-evaluation', samples: 0, length: 64 },
  lambada: { text: 'lambada', passages: 10 },
  seed: 7,
  date: '2026-11-30',
  perplexityEvery: 1,
  save: true,
  formats: ['gptq'],
  keepSolved: true,
}
const text = (name: string, origin: 'file' | 'builtin') => ({ name, origin, tokensSha256: digest, tokens: 256 })
const report = {
  workbench: { version: '0.1.0', code: digest },
  adapter: { name: 'an adapter' },
  model: { name: 'stories', sha256: digest, source: null },
  job,
  texts: { calibration: text('mine.txt', 'file'), heldOut: text('mine.txt', 'file'), evaluation: text('Stories', 'builtin') },
  started: '2026-11-30T09:00:00.000Z',
  origin: { kind: 'files' as const, name: 'stories' },
  runs: [],
}
const bytes = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
const read = (value: unknown) => readJobFile(bytes(value), 'x.json')

test('a job file holds the whole job, and names texts of one’s own by their names', () => {
  const file = jobFileOf(report)
  expect(file.job).toEqual({ ...job, calibration: { ...job.calibration, text: 'file:mine.txt' } })
  expect(ownFileOf(file.job.calibration.text)).toBe('mine.txt')
  expect(ownFileOf(file.job.evaluation.text)).toBeNull()
  expect(read(file)).toEqual(file)
})

test('a report is read as the file of its job, also one of a checkpoint or of an earlier version', () => {
  expect([looksLikeJob(bytes(report)), looksLikeJob(bytes({ model_type: 'llama' })), looksLikeJob(bytes('[1'))]).toEqual([
    true,
    false,
    false,
  ])
  expect(read(report)).toEqual(jobFileOf(report))
  const { started: _, origin: __, ...bare } = report
  expect(read(bare)).toEqual({ ...jobFileOf(bare), model: { origin: { kind: 'files', name: 'stories' }, sha256: digest } })
  const source = { repo: 'owner/name', ref: 'main', revision: '0'.repeat(40) }
  expect(read({ ...bare, model: { ...report.model, source } }).model.origin).toEqual({ kind: 'hub', ...source })
})

test('a plan is a job file before it is run', () => {
  const file = plannedJobFile(job, { kind: 'demo' }, (id) => (id === 'file-1234' ? { name: 'mine.txt', origin: 'file' } : undefined))
  expect(file.job.calibration.text).toBe('file:mine.txt')
  expect(read(file)).toEqual(file)
})

test('a file that was cut off is still meant as a job, and said to be no JSON', () => {
  for (const whole of [JSON.stringify(jobFileOf(report), null, 2), JSON.stringify(report)]) {
    const cut = bytes(whole.slice(0, whole.length / 2))
    expect(looksLikeJob(cut)).toBe(true)
    expect(() => readJobFile(cut, 'cut.json')).toThrow(/cut\.json is not JSON/)
  }
})

test.each<[string, unknown, RegExp]>([
  ['no JSON', '{', /is not JSON/],
  ['another format', { format: 'other' }, /is no job file/],
  ['a member twice', '{"format":"quantease-job","format":"quantease-job"}', /twice/],
  ['a member that it does not know', { ...jobFileOf(report), more: 1 }, /Unrecognized key/],
  ['an option of the job that it does not know', { ...jobFileOf(report), job: { ...job, more: 1 } }, /Unrecognized key/],
  ['a newer version', { format: 'quantease-job', version: 99 }, /of version 99, made by a newer workbench; this one reads version 1/],
  ['a version that is none', { ...jobFileOf(report), version: 0 }, /version/],
  ['a run whose id leads elsewhere', withRun({ id: '../x' }), /letters, digits/],
  ['two runs of one id', withRun({ id: 'run-2' }), /two runs with the id/],
  ['two runs of one name', withRun({ label: 'QuantEase 3-bit' }), /two runs with the label/],
  ['a name of several lines', withRun({ label: 'a\nb' }), /control characters/],
  ['an option that is a list', withRun({ options: { bits: [3] } }), /runs\.0\.options\.bits/],
  ['an option without a plain name', withRun({ options: { __proto__x: 1 } }), /options/],
  ['half a sample', { ...jobFileOf(report), job: { ...job, calibration: { ...job.calibration, samples: 0.5 } } }, /calibration\.samples/],
  ['a digest that is none', { ...jobFileOf(report), model: { origin: { kind: 'demo' }, sha256: 'x' } }, /SHA-256/],
  [
    'a repository elsewhere',
    { ...jobFileOf(report), model: { origin: { kind: 'hub', repo: 'a/b/c', ref: 'main', revision: 'x' } } },
    /owner\/name/,
  ],
  ['a report without figures of a model', { ...report, origin: undefined, model: {} }, /model/],
  ['a report without texts', { ...report, texts: [], job: { runs: [] } }, /no report|invalid|no valid/],
])('refuses %s by a sentence', (_, value, words) => {
  expect(() => read(value)).toThrow(words)
  expect(() => read(value)).toThrow(expect.objectContaining({ code: 'plan-invalid' }))
})

function withRun(change: object) {
  const file = jobFileOf(report)
  return { ...file, job: { ...file.job, runs: [{ ...job.runs[0], ...change }, job.runs[1]] } }
}
