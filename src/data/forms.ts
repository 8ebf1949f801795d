/** Recognizes the format of a text file by its first bytes; its name counts only when they are ambiguous. */
import { WorkbenchError } from '../errors.ts'
import type { Bytes } from '../io/bytes.ts'
import { type Opened, openText } from '../io/lines.ts'
import { NotParquet, openParquet, type Parquet } from '../io/parquet.ts'
import { hasHeader } from './table.ts'

export type Form = 'plain text' | 'JSON rows' | 'CSV table' | 'TSV table' | 'parquet table'

/** A text file and its format. */
export interface Part {
  name: string
  bytes: Bytes
  form: Form
  packed: Opened['packed']
  text: AsyncGenerator<string>
  /** A parquet table whose footer has been read already. */
  table?: Parquet
}

/** @throws WorkbenchError `text-invalid` for a kind that cannot be read, and for plain text under another extension */
export async function openPart(name: string, bytes: Bytes): Promise<Part> {
  // For a remote .parquet file the beginning is not requested: its footer shows whether it is one.
  if (/\.parquet$/i.test(name)) {
    const table = await openParquet(bytes, name).catch((error: WorkbenchError) => {
      if (error.cause instanceof NotParquet) return null
      throw error
    })
    if (table) return { name, bytes, form: 'parquet table', packed: null, text: nothing(), table }
  }
  const { packed, head, text } = await openText(bytes, name)
  return { name, bytes, form: head === null ? 'parquet table' : formOf(name, head), packed, text }
}

async function* nothing(): AsyncGenerator<string> {}

/** A JSON object, or an array of objects, cannot be mistaken for plain text. */
const jsonStart = /^\s*(\[\s*){0,2}\{\s*"(?:[^"\\\n]|\\.)*"\s*:/
/** A beginning that is not JSON: two words, the first possibly in quotes. */
const proseStart = /^\s*(?!(?:null|true|false|NaN|Infinity)\b)(?:"[^"\n]*"[^\S\n]*\p{L}|[^\s"[\]{},\d-]\S*\s+\S)/u

function formOf(name: string, head: string): Form {
  const ending = /\.([a-z]+)(\.(gz|zst|zstd))?$/i.exec(name)?.[1].toLowerCase() ?? ''
  if (jsonStart.test(head)) return 'JSON rows'
  if (ending === 'csv') return 'CSV table'
  if (ending === 'tsv') return 'TSV table'
  const named = ['json', 'jsonl', 'ndjson'].includes(ending) ? 'JSON' : ending === 'parquet' ? 'a parquet table' : null
  if (!named || !head.trim()) return 'plain text'
  if (hasHeader(head, name)) return 'CSV table'
  if (named === 'JSON' && !proseStart.test(head)) return 'JSON rows'
  throw new WorkbenchError(
    'text-invalid',
    `${name} looks like plain text, not like ${named}.`,
    'If it is plain text, rename it to end in .txt; otherwise choose another file.',
  )
}
