/** Data sets of the Hugging Face Hub as texts: the usual benchmarks by name, any other by id, config, split and column. */
import { WorkbenchError } from '../errors.ts'
import type { Files } from '../io/bytes.ts'
import type { Hub } from '../io/hub/hub.ts'
import type { Sampling } from './corpus.ts'
import type { Text } from './documents.ts'
import { isData, isReadable, ofOneKind, purposeOf, type Split, splitsOf } from './splits.ts'

export type Purpose = 'calibration' | 'evaluation'

/**
 * The part of the Hub client that is needed here: lists the files of a data set repository below a folder; null when there is no such
 * revision.
 */
export type ListDataset = (repository: string, revision: string, folder: string) => Promise<Files | null>

/** The data sets of a Hub. Listings are cached, since every text of a plan requests one. */
export function hubDatasets(hub: Hub): ListDataset {
  const listed = new Map<string, Promise<Files | null>>()
  const list = async (name: string, revision: string, folder: string): Promise<Files | null> => {
    const repo = { type: 'dataset', name } as const
    try {
      const { sha } = await hub.facts(repo, revision)
      return hub.files(repo, sha, await hub.list(repo, sha, folder ? { path: folder } : {}))
    } catch (error) {
      if (error instanceof WorkbenchError && error.code === 'hub-missing') return null
      throw error
    }
  }
  return (...which) => {
    const key = JSON.stringify(which)
    const known = listed.get(key)
    if (known) return known
    const answer = list(...which)
    listed.set(key, answer)
    // Failures are not cached: a repository may appear, or a token may open it.
    const forget = () => listed.delete(key)
    answer.then((files) => files ?? forget(), forget)
    return answer
  }
}

/** Where one text of a data set is stored, and how its documents are joined. */
export interface DatasetPart {
  repository: string
  config?: string
  split?: string
  column?: string
  /** One file by its path, instead of the files of a config and split. */
  file?: string
  join: string
  /** Most documents to read. */
  most?: number
  /** Most windows when all are requested. */
  windows?: number
}

export interface Dataset {
  id: string
  label: string
  about: string
  /** How calibration samples are drawn from it in the published code. */
  sampling: Sampling['sampling']
  parts: Record<Purpose, DatasetPart>
}

const wikitext = { repository: 'Salesforce/wikitext', config: 'wikitext-2-raw-v1', column: 'text', join: '\n\n' }
const ptb = { repository: 'ptb-text-only/ptb_text_only', config: 'penn_treebank', column: 'sentence' }
const c4 = { repository: 'allenai/c4', column: 'text', join: ' ' }
const lambada = { repository: 'EleutherAI/lambada_openai', config: 'default', split: 'test', column: 'text', join: '\n\n' }

/** The data sets as the published GPTQ code uses them: the split for each purpose, and what separates documents. */
export const datasets: Dataset[] = [
  {
    id: 'wikitext2',
    label: 'WikiText-2 (raw)',
    about: 'Calibrates on train, evaluates on test; rows joined by an empty line.',
    sampling: 'random',
    parts: { calibration: { ...wikitext, split: 'train' }, evaluation: { ...wikitext, split: 'test' } },
  },
  {
    id: 'ptb',
    label: 'Penn Treebank',
    about: 'Calibrates on train, evaluates on validation; sentences joined by an empty line.',
    sampling: 'random',
    parts: { calibration: { ...ptb, split: 'train', join: '\n\n' }, evaluation: { ...ptb, split: 'validation', join: '\n\n' } },
  },
  {
    id: 'ptb-new',
    label: 'Penn Treebank, joined by spaces',
    about: 'Calibrates on train, evaluates on test; sentences joined by a space.',
    sampling: 'random',
    parts: { calibration: { ...ptb, split: 'train', join: ' ' }, evaluation: { ...ptb, split: 'test', join: ' ' } },
  },
  {
    id: 'c4',
    label: 'C4 (English)',
    about: 'Calibrates on windows from single documents of the first training shard; evaluates on the first 1,100 of validation.',
    sampling: 'documents',
    parts: {
      calibration: { ...c4, file: 'en/c4-train.00000-of-01024.json.gz' },
      evaluation: { ...c4, file: 'en/c4-validation.00000-of-00008.json.gz', most: 1100, windows: 256 },
    },
  },
  {
    id: 'lambada',
    label: 'LAMBADA',
    about: 'Passages whose last word can be predicted only from the whole passage.',
    sampling: 'random',
    parts: { calibration: lambada, evaluation: lambada },
  },
]

export const isDatasetId = (id: string) => /^[\w.-]+\/[\w.-]+(:[^:]*){0,3}$/.test(id)

/** `owner/name[:config[:split[:column]]]`; without a split, train is used for calibration and test for evaluation. */
export function datasetPart(id: string, purpose: Purpose): DatasetPart | null {
  const known = datasets.find((one) => one.id === id)
  if (known) return known.parts[purpose]
  if (!isDatasetId(id)) return null
  const [repository, config, split, column] = id.split(':')
  return { repository, config: config || undefined, split: split || undefined, column: column || undefined, join: '\n\n' }
}

/** Branch of the Hub's automatic parquet conversion: `config/split/0000.parquet`. */
const converted = 'refs/convert/parquet'

/** The files of one split. @throws WorkbenchError `text-invalid` that lists the choices, or what listing throws */
export async function openDataset(part: DatasetPart, purpose: Purpose, list: ListDataset): Promise<Text> {
  const { repository, file, column, join, most } = part
  const paths = (files: Files, keep: (path: string) => boolean) =>
    Array.from(files, ([name, bytes]) => ({ name, bytes }))
      .filter(({ name }) => keep(name))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  const missing = (what: string, hint: string) => new WorkbenchError('text-invalid', `The data set ${repository} ${what}.`, hint)
  if (file !== undefined) {
    const files = await list(repository, 'main', file.slice(0, file.lastIndexOf('/')))
    const parts = paths(files ?? new Map(), (path) => path === file)
    if (!parts.length) throw missing(`has no file ${file}`, 'Choose another data set.')
    return { parts, column, join, most }
  }
  const inHub = await list(repository, converted, '')
  const tables = paths(inHub ?? new Map(), (path) => /\.parquet$/i.test(path) && path.split('/').length === 3)
  if (tables.length) {
    const configs = [...new Set(tables.map(({ name }) => name.split('/')[0]))]
    const config = part.config ?? (configs.includes('default') ? 'default' : configs.length === 1 ? configs[0] : undefined)
    if (config === undefined || !configs.includes(config)) {
      throw missing(
        config === undefined ? `has ${configs.length} configurations` : `has no configuration ${config}`,
        `Choose one: ${some(configs)}.`,
      )
    }
    const splits = [...new Set(tables.filter(({ name }) => name.startsWith(`${config}/`)).map(({ name }) => name.split('/')[1]))]
    const { split, warning } = chooseSplit(part, purpose, splits, ` in ${config}`)
    return { parts: tables.filter(({ name }) => name.startsWith(`${config}/${split}/`)), column, join, most, warning }
  }
  // No conversion: use the repository's own files, by the usual file names.
  const own = await list(repository, 'main', '')
  if (!own) throw missing('does not exist, or you have no access to it', 'Check its name; private and gated data sets need a token.')
  const readable = paths(own, (path) => isReadable(path) && isData(path))
  if (!readable.length) {
    throw missing(
      'has no readable files',
      'Data sets in .parquet, .jsonl, .json, .csv, .tsv and .txt can be read, and those that the Hub converts to parquet.',
    )
  }
  const { config } = part
  // A data set without configurations has one of this name.
  const inConfig =
    config && config !== 'default' ? readable.filter(({ name }) => name.split(/[/.]/).some((piece) => piece.startsWith(config))) : readable
  const files = splitsOf(inConfig.map(({ name }) => name))
  if (!files.size) throw missing(`has no files for ${config}`, `It has: ${some(readable.map(({ name }) => name))}.`)
  const { split, warning } = chooseSplit(part, purpose, [...files.keys()])
  const parts = ofOneKind(inConfig.filter(({ name }) => files.get(split)!.includes(name)))
  // Next to `test.jsonl`, `test_de.jsonl` is another configuration, but `test-00000-of-00002` is not.
  const plain = config === 'default' ? parts.filter(({ name }) => endsInSplit(name)) : []
  return { parts: plain.length ? plain : parts, column, join, most, warning }
}

/** Whether a file name is only the name of its split, optionally with a shard number. */
function endsInSplit(path: string): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1).replace(/([-_]\d+(-of-\d+)?)?(\.\w+)+$/, '')
  return purposeOf(name.split(/[-._ ]/).at(-1)!) !== null
}

/**
 * The requested split, or the one for the purpose. One meant for another purpose is used with a warning: perplexity on calibration data
 * is misleading.
 */
function chooseSplit(
  { repository, split: asked }: DatasetPart,
  purpose: Purpose,
  splits: string[],
  where = '',
): { split: string; warning?: string } {
  const refuse = (what: string) =>
    new WorkbenchError('text-invalid', `The data set ${repository} ${what}${where}.`, `Choose one: ${some(splits)}.`)
  // Large splits are converted only in part, which their name says.
  const exactly = (name: string) => splits.find((has) => has === name || has === `partial-${name}`)
  if (asked !== undefined) {
    const meant = purposeOf(asked)
    const found = exactly(asked) ?? (meant && splitWords.test(asked) ? exactly(meant) : undefined)
    if (found === undefined) throw refuse(`has no split ${asked}`)
    return { split: found }
  }
  const order: Split[] = purpose === 'calibration' ? ['train', 'validation', 'test'] : ['test', 'validation', 'train']
  for (const want of order) {
    const fitting = splits.filter((has) => purposeOf(has) === want)
    const found = exactly(want) ?? (fitting.length === 1 ? fitting[0] : undefined)
    if (found === undefined && fitting.length) throw refuse(`has ${fitting.length} splits for ${want}`)
    if (found === undefined) continue
    if (purpose === 'evaluation' && want === 'train') return { split: found, warning: onlySplit(repository, found, 'test or validation') }
    if (purpose === 'calibration' && want !== 'train') return { split: found, warning: onlySplit(repository, found, 'train') }
    return { split: found }
  }
  if (splits.length > 1) throw refuse(`has ${splits.length} splits, and none that is clearly for ${purpose}`)
  return { split: splits[0], ...(purpose === 'evaluation' && { warning: onlySplit(repository, splits[0], 'test or validation') }) }
}

/** Whether a text is only the name of a split. */
const splitWords = /^[a-z]+$/

const onlySplit = (repository: string, split: string, lacks: string) =>
  lacks === 'train'
    ? `The data set ${repository} has no train split: the calibration text is its split ${split}, which is meant for evaluation.`
    : `The data set ${repository} has no ${lacks} split: the evaluation text is its split ${split}, which is also the calibration text.`

function some(names: string[]): string {
  return names.length > 8 ? `${names.slice(0, 8).join(', ')} and ${names.length - 8} more` : names.join(', ')
}
