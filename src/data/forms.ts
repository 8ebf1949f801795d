/** What form a file of a text has, by how it begins; its name counts only where text may be several things. */
import { WorkbenchError } from '../errors.ts'
import type { Bytes } from '../io/bytes.ts'
import { type Opened, openText } from '../io/lines.ts'
import { NotParquet, openParquet, type Parquet } from '../io/parquet.ts'
import { hasHeader } from './table.ts'

export type Form = 'plain text' | 'JSON rows' | 'CSV table' | 'TSV table' | 'parquet table'

/** A file of a text, looked into. */
export interface Part {
  name: string
  bytes: Bytes
  form: Form
  packed: Opened['packed']
  text: AsyncGenerator<string>
  /** A parquet table whose footer has been read already. */
  table?: Parquet
}

/** @throws WorkbenchError `text-invalid` for a kind that cannot be read, and for prose under the name of something else */
export async function openPart(name: string, bytes: Bytes): Promise<Part> {
  // Of a table that lies far away its beginning is not asked for: its end says whether it is one.
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

/** An object of JSON, or an array of them, cannot be mistaken for prose. */
const jsonStart = /^\s*(\[\s*){0,2}\{\s*"(?:[^"\\\n]|\\.)*"\s*:/
/** What no JSON begins with: two words, the first perhaps in quotes. */
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
    'If it is meant to be plain text, let its name end in .txt; otherwise choose another file.',
  )
}
