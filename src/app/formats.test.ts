import { expect, test } from 'vitest'
import type { Catalog } from '../engine/job/catalog.ts'
import type { FormatCheck, JobCheck } from '../engine/job/check.ts'
import type { CacheInfo } from '../engine/job/hub.ts'
import type { Job } from '../engine/job/job.ts'
import type { JobReport } from '../engine/job/report.ts'
import { asWritten, chooseFormat, chosenFormats, commandFor, keepsSolved, loaders } from './formats.ts'

const format = (id: string) => ({ id, label: id, summary: '' })
const catalog = { formats: [format('a'), format('b')] } as Catalog
const job = { save: true, runs: ['x', 'y'].map((id) => ({ id, label: id.toUpperCase() })) } as Job
const able = (id: string, written: boolean): FormatCheck => ({ id, written, refusal: null, bytes: 1, loadsIn: [] })
const refused = (id: string): FormatCheck => ({
  ...able(id, false),
  refusal: { why: 'No outliers.', instead: 'Leave them out.' },
  bytes: null,
})
const figures = { bitsPerWeight: 3, weightBytes: 290, checkpointBytes: 300, solvedBytes: 100, forecast: null }
const check = {
  runs: [
    { ...figures, id: 'x', formats: [able('a', true), able('b', false)] },
    { ...figures, id: 'y', formats: [refused('a'), able('b', true)] },
  ],
} as unknown as JobCheck
const formats = (made: Job) => made.runs.map((run) => run.formats)

test('a format joins what a run would be written in anyway, in the order of the catalog', () => {
  expect(['x', 'y'].map((id) => chosenFormats(job, check, id))).toEqual([['a'], ['b']])
  expect(formats(chooseFormat(catalog, job, check, ['x'], 'b', true))).toEqual([['a', 'b'], undefined])
})

test('a run without a format is left to the engine again', () => {
  const one = chooseFormat(catalog, job, check, ['x'], 'b', true)
  const two = chooseFormat(catalog, one, check, ['x'], 'a', false)
  expect(formats(two)).toEqual([['b'], undefined])
  expect(formats(chooseFormat(catalog, two, check, ['x'], 'b', false))).toEqual([undefined, undefined])
})

test('chosen for every run, a format is left out where it cannot be, and can be taken back where it became impossible', () => {
  expect(formats(chooseFormat(catalog, job, check, ['x', 'y'], 'a', true))).toEqual([['a'], undefined])
  const stuck = { ...job, runs: [job.runs[0], { ...job.runs[1], formats: ['a', 'b'] }] }
  expect(formats(chooseFormat(catalog, stuck, check, ['y'], 'a', false))).toEqual([undefined, ['b']])
})

test('a job that was written is planned again as it was', () => {
  const report = {
    runs: [
      { run: 'x', export: { checkpoints: [{ format: 'b' }, { format: 'a' }] } },
      { run: 'y', export: null },
    ],
  }
  expect(formats(asWritten(job, report as unknown as JobReport))).toEqual([['b', 'a'], undefined])
})

test('commands name the folder, and programs are told without the workbench itself', () => {
  expect(commandFor('serve {folder} --at {folder}/x', 'model-RTN/gptq/')).toBe('serve model-RTN/gptq --at model-RTN/gptq/x')
  const loadsIn = [
    { runtime: 'QuantEase Workbench', loads: true, note: '' },
    { runtime: 'vLLM', loads: false, note: '' },
    { runtime: 'llama.cpp (convert_hf_to_gguf)', loads: true, note: '' },
  ]
  expect(loaders({ loadsIn })).toEqual(['llama.cpp'])
})

test('what is solved is kept where there is room for it, unless the person says otherwise', () => {
  const room = (free: number) => ({ usage: 1000, quota: 1000 + free }) as CacheInfo
  expect(keepsSolved(job, null, null)).toBe(true)
  expect(keepsSolved(job, check, room(1100))).toBe(true)
  expect(keepsSolved(job, check, room(900))).toBe(false)
  expect(keepsSolved({ ...job, keepSolved: true }, check, room(0))).toBe(true)
  expect(keepsSolved({ ...job, keepSolved: false }, check, room(1e9))).toBe(false)
  expect(keepsSolved({ ...job, save: false, keepSolved: true }, check, room(1e9))).toBe(false)
})
