/** Streams the rows of .csv and .tsv files, with the columns of their header. */
import Papa from 'papaparse'
import { WorkbenchError } from '../errors.ts'
import { maxLine, tooLong } from '../io/lines.ts'
import type { Shape } from '../io/parquet.ts'
import { areFigures } from './figures.ts'
import { type Fields, isKnownName, shapeIn } from './rows.ts'

export interface TableRow {
  /** Empty cells are null, as in pandas and datasets. */
  value: Record<string, string | null>
  /** From 1, without the header. */
  row: number
}

/**
 * The rows of a table, streamed: RFC 4180, with the separator found in the header (a comma if it has one).
 * @throws WorkbenchError `text-invalid` for a row with more cells than the header, or an unclosed quote
 */
export async function* tableRows(text: AsyncIterable<string>, name: string): AsyncGenerator<TableRow> {
  let rest = ''
  let header: string[] | null = null
  let separator = ''
  let row = 0
  const take = function* (last: boolean): Generator<TableRow> {
    separator ||= separatorOf(rest, name)
    // Only the parser can split rows, since one may continue in the next piece.
    const parser = new Papa.Parser({ delimiter: separator, newline: '\n', quoteChar: '"' })
    const { data, errors, meta } = parser.parse(rest, 0, !last) as Papa.ParseResult<string[]>
    const wrong = errors.find(({ code }) => last || code !== 'MissingQuotes')
    if (wrong) {
      // The parser also counts the header and empty lines.
      const before = data.slice(0, wrong.row ?? 0).filter((cells) => !isBlank(cells)).length
      throw broken(name, row + before + Number(header !== null), wrong.message)
    }
    rest = last ? '' : rest.slice(meta.cursor)
    for (const cells of data) {
      if (isBlank(cells)) continue
      if (!header) {
        header = cells.map((cell) => cell.trim())
        if (areFigures(header)) throw notText(name)
        continue
      }
      row++
      if (cells.length > header.length) throw broken(name, row, `it has ${cells.length} cells where the header has ${header.length}`)
      yield { value: Object.fromEntries(header.map((field, i) => [field, cells[i] || null])), row }
    }
  }
  for await (const piece of text) {
    rest += piece
    if (rest.length > maxLine) throw tooLong(name, row + 2)
    // Waits for the whole header, which shows the separator.
    if (separator || rest.includes('\n')) yield* take(false)
  }
  yield* take(true)
}

const isBlank = (cells: string[]) => cells.length === 1 && !cells[0].trim()

function separatorOf(text: string, name: string): string {
  if (/\.tsv(\.\w+)?$/i.test(name)) return '\t'
  const header = text
    .trimStart()
    .split('\n', 1)[0]
    .replaceAll(/"[^"]*"/g, '')
  return [',', ';', '\t', '|'].find((one) => header.includes(one)) ?? ','
}

const notText = (name: string) =>
  new WorkbenchError(
    'text-invalid',
    `${name} holds the figures of a job, as this program saves them: it is no text.`,
    'To see those results again, open the saved report (JSON).',
  )

function broken(name: string, row: number, why: string): WorkbenchError {
  return new WorkbenchError(
    'text-invalid',
    `${row ? `Row ${row}` : 'The first line'} of ${name} is not a valid table row: ${why.replace(/\.$/, '')}.`,
    'Put cells that contain separators or line ends in double quotes. If the file is plain text, name it .txt.',
  )
}

/** The columns by their first cells: one whose cells are all numbers has no text. */
export function tableFields(rows: Record<string, unknown>[]): Fields {
  const shape = (column: string): Shape => {
    const cells = rows.map((row) => row[column]).filter((cell) => cell !== null)
    if (!cells.length) return { kind: 'nothing' }
    const numbers = cells.every((cell) => String(cell).trim() && Number.isFinite(Number(cell)))
    return numbers ? { kind: 'number' } : shapeIn(column, cells[0])
  }
  return new Map(Object.keys(rows[0] ?? {}).map((column) => [column, shape(column)]))
}

/** Whether column names are probably a row of data: none is a usual name, and one is a sentence or a number. */
export function doubtfulHeader(names: readonly string[]): boolean {
  if (names.some(isKnownName)) return false
  return names.some(
    (name) => name.split(/\s+/).length > 5 || name.length > 60 || /^[-+\d.,]*\d$/.test(name) || /\p{L}{2}[.!?]["”’]?$/u.test(name),
  )
}

/** Whether a text begins with column names, of which one is a usual name and none a sentence. */
export function hasHeader(head: string, name: string): boolean {
  const names = head
    .trimStart()
    .split('\n', 1)[0]
    .split(separatorOf(head, name))
    .map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'))
  return names.some(isKnownName) && names.every((cell) => cell.split(/\s+/).length < 4)
}
