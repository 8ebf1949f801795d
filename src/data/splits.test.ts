import { expect, test } from 'vitest'
import { type Case, casesOf, names } from '../../e2e/cases/cases.ts'
import table from '../../e2e/oracle/splits.json' with { type: 'json' }
import { WorkbenchError } from '../errors.ts'
import { memoryFiles } from '../io/memory.ts'
import { openDataset, datasetPart, type ListDataset } from './datasets.ts'
import { isData, ofOneKind, splitsOf } from './splits.ts'

const sorted = (splits: Iterable<[string, string[]]>) =>
  Object.fromEntries(Array.from(splits, ([split, files]) => [split, [...files].sort()]))

test.each(table)('$listing', ({ listing, splits }) => {
  expect(sorted(splitsOf(listing.filter(isData)))).toEqual(sorted(Object.entries(splits as unknown as Record<string, string[]>)))
})

/** A repository without a conversion. */
const repository =
  (listing: string[]): ListDataset =>
  async (_, revision) =>
    revision === 'main' ? memoryFiles(listing.map((name) => [name, ''])) : null

async function taken(name: string, purpose: 'calibration' | 'evaluation', list: ListDataset) {
  const { parts, warning } = await openDataset(datasetPart(name, purpose)!, purpose, list)
  return { files: parts.map(({ name }) => name), warning }
}

test.each(casesOf('split'))('$id', async ({ listing, name, purpose, right }: Case) => {
  try {
    const { files, warning } = await taken(name!, purpose!, repository(listing!))
    const fitting = right.find((one) => JSON.stringify(one.files) === JSON.stringify(files))
    expect(fitting, files.join()).toBeDefined()
    if (fitting!.and) expect(warning).toContain('its split train')
    else expect(warning).toBeUndefined()
  } catch (error) {
    const refused = right.find((one) => one.refused)?.refused
    if (!refused || !(error instanceof WorkbenchError)) throw error
    expect(names(refused, `${error.message} ${error.hint}`)).toBe(true)
  }
})

const converted =
  (...splits: string[]): ListDataset =>
  async (_, revision) =>
    revision === 'main' ? memoryFiles([]) : memoryFiles(splits.map((split) => [`default/${split}/0000.parquet`, '']))

test.each<[string, string[], 'calibration' | 'evaluation', string]>([
  ['a/b', ['train', 'test'], 'evaluation', 'test'],
  ['a/b', ['train', 'validation'], 'evaluation', 'validation'],
  ['a/b', ['partial-train', 'partial-test'], 'evaluation', 'partial-test'],
  ['a/b', ['train_sft', 'test_sft'], 'evaluation', 'test_sft'],
  ['a/b', ['train_sft', 'test_sft'], 'calibration', 'train_sft'],
  ['a/b::val', ['train', 'validation'], 'evaluation', 'validation'],
  ['a/b::test_sft', ['train_sft', 'test_sft'], 'evaluation', 'test_sft'],
  ['a/b', ['everything'], 'calibration', 'everything'],
])('%s of %j for %s is %s', async (name, splits, purpose, split) => {
  const { files, warning } = await taken(name, purpose, converted(...splits))
  expect([files, warning]).toEqual([[`default/${split}/0000.parquet`], undefined])
})

test.each<[string[], 'calibration' | 'evaluation', RegExp]>([
  [['train'], 'evaluation', /no test or validation split: the evaluation text is its split train/],
  [['everything'], 'evaluation', /the evaluation text is its split everything, which is also the calibration text/],
  [['test'], 'calibration', /no train split: the calibration text is its split test/],
])('%j for %s comes with a warning', async (splits, purpose, warning) => {
  expect((await taken('a/b', purpose, converted(...splits))).warning).toMatch(warning)
})

test.each<[string, string[], 'calibration' | 'evaluation', RegExp]>([
  ['a/b::test', ['train'], 'evaluation', /no split test in default.*train/],
  ['a/b', ['test_sft', 'test_gen', 'train'], 'evaluation', /2 splits for test in default.*test_gen, test_sft/],
  ['a/b', ['red', 'green'], 'evaluation', /none that is clearly for evaluation.*green, red/],
])('%s of %j is refused for %s', async (name, splits, purpose, why) => {
  const { message, hint } = await taken(name, purpose, converted(...splits)).then(
    () => expect.fail('taken'),
    (error: WorkbenchError) => error,
  )
  expect(`${message} ${hint}`).toMatch(why)
})

test('what lies beside the data in another form is left out', () => {
  const of = (...names: string[]) => ofOneKind(names.map((name) => ({ name }))).map(({ name }) => name)
  expect(of('train.csv', 'train.parquet')).toEqual(['train.parquet'])
  expect(of('a.jsonl', 'b.jsonl.gz', 'c.json', 'd.csv')).toEqual(['a.jsonl', 'b.jsonl.gz', 'c.json'])
})
