import { expect, test } from 'vitest'
import type { Job } from '../engine/job/job.ts'
import type { TextSource } from '../engine/job/texts.ts'
import { chooseText, coverage, isOwn, isStructured, measureLastWords, pastedFile, setText, textGroups, withoutText } from './texts.ts'

const first: Job = {
  runs: [],
  calibration: { text: '', samples: 32, length: 512, sampling: 'random' },
  evaluation: { text: '', samples: 32, length: 512 },
  seed: 0,
  perplexityEvery: 1,
  save: true,
}
const source = (id: string, more: Partial<TextSource> = {}): TextSource => ({ id, label: id, bytes: 1, origin: 'file', ...more })

test('another text forgets the column and template of the one before, and takes its published sampling', () => {
  const job = first
  const chosen = setText(chooseText(job, 'calibration', source('a')), 'calibration', { column: 'body', chat: true })
  expect(chosen.calibration).toMatchObject({ text: 'a', column: 'body', chat: true, sampling: 'random' })
  const c4 = chooseText(chosen, 'calibration', source('c4', { origin: 'dataset', sampling: 'documents' }))
  expect(c4.calibration).toEqual({ text: 'c4', samples: job.calibration.samples, length: job.calibration.length, sampling: 'documents' })
  expect(chooseText(c4, 'calibration', source('a')).calibration.sampling).toBe('random')
  const kept = { ...job, calibration: { ...job.calibration, sampling: 'consecutive' as const } }
  expect(chooseText(kept, 'calibration', source('a')).calibration.sampling).toBe('consecutive')
  expect(chooseText(kept, 'evaluation', source('a')).evaluation).toEqual({ ...job.evaluation, text: 'a' })
})

test('last words start with the published passages, and leave nothing behind', () => {
  const job = first
  const texts = [source('stories', { origin: 'builtin' }), source('lambada', { origin: 'dataset' })]
  const on = measureLastWords(job, texts, true)
  expect(on.lambada).toEqual({ text: 'lambada', passages: 500 })
  expect(chooseText({ ...on, lambada: { text: 'lambada', passages: 7 } }, 'lambada', source('a')).lambada).toEqual({
    text: 'a',
    passages: 7,
  })
  expect(measureLastWords(on, texts, false)).toEqual(job)
})

test('texts stand in groups by where they come from', () => {
  const texts = [source('a'), source('wikitext2', { origin: 'dataset' }), source('b', { origin: 'builtin' }), source('c')]
  expect(textGroups(texts).map(({ title, texts }) => [title, texts.map(({ id }) => id)])).toEqual([
    ['Built in', ['b']],
    ['Data sets of the Hub', ['wikitext2']],
    ['Your files', ['a', 'c']],
  ])
})

test('columns are asked for where there are some', () => {
  expect(['a.txt', 'a.jsonl', 'a.json.gz', 'a.parquet'].map((label) => isStructured(source(label)))).toEqual([false, true, true, true])
  expect(isStructured(source('x/y', { origin: 'dataset' }))).toBe(true)
  expect(isStructured(source('c4', { origin: 'dataset', about: 'As published.' }))).toBe(false)
})

test('pasted JSON lines are read as such', () => {
  expect(pastedFile('{"text":"one"}\n\n{"text":"two"}', 2).name).toBe('Pasted text 2.jsonl')
  expect(pastedFile('Once upon a time', 1).name).toBe('Pasted text 1')
  expect(pastedFile('1\n2', 1).name).toBe('Pasted text 1')
})

test('coverage stands on a scale around once as many tokens as inputs', () => {
  expect(coverage(100, 100)).toEqual({ ratio: 1, place: 1 / 3 })
  expect([coverage(1, 100).place, coverage(1e9, 100).place]).toEqual([0, 1])
})

test('a text of one’s own can be taken off, and what used it uses one that is always there', () => {
  const own = [source('a'), source('b', { origin: 'paste' }), source('x/y', { origin: 'dataset' })]
  expect(own.map(isOwn)).toEqual([true, true, true])
  const built = ['demo-calibration', 'demo-evaluation'].map((id) => source(id, { origin: 'builtin' }))
  const published = source('c4', { origin: 'dataset', about: 'As published.' })
  expect([...built, published].map(isOwn)).toEqual([false, false, false])
  const texts = [...built, ...own]
  const job = chooseText(chooseText(first, 'calibration', own[0]), 'evaluation', own[0])
  const left = withoutText(job, texts, 'a')
  expect([left.calibration.text, left.evaluation.text]).toEqual(['demo-calibration', 'demo-evaluation'])
  expect(left.lambada).toBeUndefined()
  expect(withoutText(job, texts, 'b')).toEqual(job)
})
