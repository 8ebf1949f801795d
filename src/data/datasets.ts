/** Data sets of the Hugging Face Hub as texts: the published ones by name, any other by id, config, split and column. */
import { WorkbenchError } from '../errors.ts'
import type { Files } from '../io/bytes.ts'
import type { Hub } from '../io/hub/hub.ts'
import type { Sampling } from './corpus.ts'
import type { Text } from './documents.ts'

export type Purpose = 'calibration' | 'evaluation'

/** What is needed of the Hub: the files of a data set repository below a folder, or null where there is no such revision. */
export type ListDataset = (repository: string, revision: string, folder: string) => Promise<Files | null>

/** Data sets of a Hub. Listings are kept, since each text of a plan asks for its own. */
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
    // What is not there may come, or be opened by a token.
    const forget = () => listed.delete(key)
    answer.then((files) => files ?? forget(), forget)
    return answer
  }
}

/** Where one text of a data set lies, and how it is put together. */
export interface DatasetPart {
  repository: string
  config?: string
  split?: string
  column?: string
  /** One file by its path, instead of those of a config and split. */
  file?: string
  join: string
  /** Documents at most. */
  most?: number
  /** Windows at most where all are asked for. */
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

/** As the published code has them: which split serves which purpose, and what stands between two documents. */
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
    about: 'Passages whose last word needs the whole of them.',
    sampling: 'random',
    parts: { calibration: lambada, evaluation: lambada },
  },
]

export const isDatasetId = (id: string) => /^[\w.-]+\/[\w.-]+(:[^:]*){0,3}$/.test(id)

/** `owner/name[:config[:split[:column]]]`; without a split, train calibrates and test evaluates. */
export function datasetPart(id: string, purpose: Purpose): DatasetPart | null {
  const known = datasets.find((one) => one.id === id)
  if (known) return known.parts[purpose]
  if (!isDatasetId(id)) return null
  const [repository, config, split, column] = id.split(':')
  return { repository, config: config || undefined, split: split || undefined, column: column || undefined, join: '\n\n' }
}

/** The Hub's own conversion of every data set that it can read: `config/split/0000.parquet`. */
const converted = 'refs/convert/parquet'

/** The files of a part. @throws WorkbenchError `text-invalid` that names what there is, or what listing throws */
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
    // Large ones are converted in part only, and say so.
    const split = chooseSplit(part.split, purpose, splits, (want, has) => has === want || has === `partial-${want}`)
    if (split === undefined) throw missing(`has no split ${part.split} in ${config}`, `Choose one: ${some(splits)}.`)
    return { parts: tables.filter(({ name }) => name.startsWith(`${config}/${split}/`)), column, join, most }
  }
  // No conversion: the repository's own files, by the names that data sets give them.
  const own = await list(repository, 'main', '')
  if (!own) throw missing('does not exist, or is not open to you', 'Check its name; private and gated data sets need a token.')
  const readable = paths(own, (path) => /\.(parquet|(jsonl?|ndjson|txt)(\.gz)?)$/i.test(path))
  // Without configurations a data set has one, by this name.
  const inConfig =
    part.config && part.config !== 'default'
      ? readable.filter(({ name }) => name.split(/[/.]/).some((piece) => piece.startsWith(part.config!)))
      : readable
  const splitOf = ({ name }: { name: string }) =>
    /(?:^|[/_.-])(train|validation|valid|val|dev|test)(?=[/_.-])/i.exec(name)?.[1].toLowerCase()
  const splits = [...new Set(inConfig.map(splitOf).filter((split) => split !== undefined))]
  const split = chooseSplit(part.split, purpose, splits, (want, has) => has === want)
  const parts = split === undefined && part.split === undefined ? inConfig : inConfig.filter((one) => splitOf(one) === split)
  // Beside `test.jsonl` a `test_de.jsonl` is another configuration, and `test-00000-of-00002` is not.
  const plain = parts.filter(({ name }) => /(train|validation|valid|val|dev|test)([-_]\d+(-of-\d+)?)?(\.\w+)+$/i.test(name))
  if (parts.length) return { parts: plain.length && inConfig === readable ? plain : parts, column, join, most }
  const asked = [part.config, part.split].filter(Boolean).join(', ')
  throw missing(
    readable.length ? `has no files for ${asked || 'this'}` : 'has no files that can be read here',
    readable.length
      ? `It has: ${some(readable.map(({ name }) => name))}.`
      : 'Data sets in .parquet, .jsonl and .txt can be read, and those that the Hub converts to parquet.',
  )
}

function chooseSplit(asked: string | undefined, purpose: Purpose, splits: string[], same: (want: string, has: string) => boolean) {
  const order = purpose === 'calibration' ? ['train', 'validation', 'test'] : ['test', 'validation', 'train']
  for (const want of asked === undefined ? order : [asked]) {
    const found = splits.find((has) => same(want, has))
    if (found !== undefined) return found
  }
  return asked === undefined ? splits[0] : undefined
}

function some(names: string[]): string {
  return names.length > 8 ? `${names.slice(0, 8).join(', ')} and ${names.length - 8} more` : names.join(', ')
}
