/** Assigns the files of a data set to splits by their names, with the rules of the datasets library (`get_data_patterns`). */

export type Split = 'train' | 'validation' | 'test'

const keywords: Record<Split, string[]> = {
  train: ['train', 'training'],
  validation: ['validation', 'valid', 'dev', 'val'],
  test: ['test', 'testing', 'eval', 'evaluation'],
}
const splits = Object.keys(keywords) as Split[]

/** A keyword at the start or after a separator, and before a separator or, with `end`, at the end. */
const pattern = (split: Split, end: boolean) => new RegExp(`(?:^|[-._ 0-9])(?:${keywords[split].join('|')})(?:[-._ 0-9]${end ? '|$' : ''})`)
const inFolder = Object.fromEntries(splits.map((split) => [split, pattern(split, true)])) as Record<Split, RegExp>
const inName = Object.fromEntries(splits.map((split) => [split, pattern(split, false)])) as Record<Split, RegExp>

/** File names of `push_to_hub`, for any split. */
const sharded = /^data\/(\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*$/

/** Other files of a repository. */
const beside = new Set(['README.md', 'config.json', 'dataset_info.json', 'dataset_infos.json', 'dummy_data.zip', 'dataset_dict.json'])

const parts = (path: string) => ({ folders: path.split('/').slice(0, -1), name: path.slice(path.lastIndexOf('/') + 1) })

/** Whether a path is neither hidden, nor in a tool's folder, nor a description. */
export function isData(path: string): boolean {
  const { folders, name } = parts(path)
  const { length } = folders.filter((folder) => folder.startsWith('__'))
  return !beside.has(name) && !length && ![...folders, name].some((part) => part.startsWith('.'))
}

/**
 * The splits of some files. Shard names take precedence over folder names, and those over file names; when nothing names a split, all
 * files are train. A file may belong to two splits.
 */
export function splitsOf(paths: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>()
  const add = (split: string, path: string) => found.set(split, [...(found.get(split) ?? []), path])
  for (const path of paths) {
    const shard = sharded.exec(path)
    if (shard) add(shard[1], path)
  }
  if (found.size) return found
  const levels = [
    { names: (path: string) => parts(path).folders, patterns: inFolder },
    { names: (path: string) => [parts(path).name], patterns: inName },
  ]
  for (const { names, patterns } of levels) {
    for (const split of splits) for (const path of paths) if (names(path).some((name) => patterns[split].test(name))) add(split, path)
    if (found.size) return found
  }
  return new Map(paths.length ? [['train', [...paths]]] : [])
}

/** The purpose of a split, by the same keywords in its name; null when there is none. */
export function purposeOf(name: string): Split | null {
  const plain = name.replace(/^partial-/, '')
  const meant = splits.filter((split) => inFolder[split].test(plain))
  return meant.length === 1 ? meant[0] : null
}

/** Readable file extensions; the most frequent wins, and of equals the first. */
const endings: Record<string, string> = {
  parquet: 'parquet',
  jsonl: 'json',
  json: 'json',
  csv: 'csv',
  ndjson: 'json',
  tsv: 'tsv',
  txt: 'text',
}
const ending = (path: string) => /\.([a-z]+)(?:\.(?:gz|zst))?$/i.exec(path)?.[1].toLowerCase() ?? ''

export const isReadable = (path: string) => ending(path) in endings

/** The files of the most frequent kind; others are the same data in another format, or something else. */
export function ofOneKind<T extends { name: string }>(files: T[]): T[] {
  const counts = new Map<string, number>()
  for (const { name } of files) counts.set(ending(name), (counts.get(ending(name)) ?? 0) + 1)
  const order = Object.keys(endings)
  const [most] = [...counts].sort((a, b) => b[1] - a[1] || order.indexOf(a[0]) - order.indexOf(b[0]))[0] ?? []
  return most === undefined ? [] : files.filter(({ name }) => endings[ending(name)] === endings[most])
}
