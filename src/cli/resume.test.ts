/** What a resumed job keeps, adds, and takes from its journal. */
import { describe, expect, it } from 'vitest'
import type { Job } from '../engine/job/job.ts'
import type { JournalSummary } from '../engine/job/kept.ts'
import type { RunResult } from '../engine/job/result.ts'
import { Given } from './arguments.ts'
import { checkPushed, chooseFormats, takesAll } from './resume.ts'

const journal = (result: Partial<RunResult>, formats?: string[]) =>
  ({ job: { formats } as Job, results: [result as RunResult] }) satisfies Pick<JournalSummary, 'job' | 'results'>
const written = (...formats: string[]) =>
  journal({ export: { files: [], bytes: 0, checkpoints: formats.map((format) => ({ format, folder: '', loadsIn: [] })) } })

describe('formats of a resumed job', () => {
  it.each([
    ['one', ['gptq'], ['dense'], ['gptq', 'dense'], 'The checkpoint that is there moves into the subfolder gptq, beside dense.'],
    ['five', ['a', 'b', 'c', 'd', 'e'], ['f'], ['a', 'b', 'c', 'd', 'e', 'f'], 'that are there (a, b, c, d, e) stay beside f.'],
    ['two, and two at once', ['a', 'b'], ['c', 'd'], ['a', 'b', 'c', 'd'], 'stay beside c, d.'],
  ])('come beside what is there: %s', (_, there, asked, formats, said) => {
    const choice = chooseFormats(asked, written(...there), true)
    expect(choice.formats).toEqual(formats)
    expect(choice.note).toContain(said)
  })

  it('are those that are there, where nothing new is asked for', () => {
    for (const asked of [undefined, ['b'], ['b', 'a']])
      expect(chooseFormats(asked, written('a', 'b'), true)).toEqual({ formats: ['a', 'b'], note: null })
  })

  it('are remembered where writing them again was interrupted', () => {
    const broken = journal({ export: null, earlierFormats: ['a', 'b'] }, ['a'])
    expect(chooseFormats(['c'], broken, true).formats).toEqual(['a', 'b', 'c'])
    expect(chooseFormats(undefined, broken, true).formats).toEqual(['a', 'b'])
  })

  it('replace what is there only with --overwrite, or where nothing is there', () => {
    expect(chooseFormats(['c'], written('a', 'b'), false)).toEqual({ formats: ['c'], note: null })
    expect(chooseFormats(undefined, journal({ export: null }, ['a']), false).formats).toEqual(['a'])
    expect(chooseFormats(undefined, null, true).formats).toBeUndefined()
  })

  it('are not uploaded together', () => {
    expect(() => checkPushed(true, chooseFormats(['b'], written('a'), true))).toThrow(/would hold several: a, b\..*--overwrite/)
    expect(() => checkPushed(true, chooseFormats(['b'], written('a'), false))).not.toThrow()
    expect(() => checkPushed(false, chooseFormats(['b'], written('a'), true))).not.toThrow()
  })
})

it('a job is taken from the journal unless something of it is given', () => {
  const where = { model: 'demo', save: 'out', format: 'gguf', json: true, 'compute-quantization-recon-error': true }
  expect(takesAll(new Given({ ...where, resume: true }))).toBe(true)
  expect(takesAll(new Given(where))).toBe(false)
  for (const flag of ['wbits', 'dataset', 'seed', 'quantization-method', 'chat-template'])
    expect(takesAll(new Given({ ...where, resume: true, [flag]: '4' })), flag).toBe(false)
})
