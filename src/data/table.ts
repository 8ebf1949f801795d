/** Tables as text: rows of .csv and .tsv, by their header. */
import Papa from 'papaparse'
import { WorkbenchError } from '../errors.ts'
import { maxLine, tooLong } from '../io/lines.ts'
import type { Shape } from '../io/parquet.ts'
import { type Fields, isKnownName, shapeIn } from './rows.ts'

export interface TableRow {
  /** Empty cells are null, as pandas and datasets have it. */
  value: Record<string, string | null>
  /** From 1, without the header. */
  row: number
}

/**
 * The rows of a table as it streams by: RFC 4180, with the separator that the header shows (a comma where it has one).
 * @throws WorkbenchError `text-invalid` for a row with more cells than the header, or a quote without an end
 */
export async function* tableRows(text: AsyncIterable<string>, name: string): AsyncGenerator<TableRow> {
  let rest = ''
  let header: string[] | null = null
  let separator = ''
  let row = 0
  const take = function* (last: boolean): Generator<TableRow> {
    separator ||= separatorOf(rest, name)
    // By the parser alone, since a row may go on in the next piece.
    const parser = new Papa.Parser({ delimiter: separator, newline: '\n', quoteChar: '"' })
    const { data, errors, meta } = parser.parse(rest, 0, !last) as Papa.ParseResult<string[]>
    const wrong = errors.find(({ code }) => last || code !== 'MissingQuotes')
    if (wrong) {
      // The parser counts what it was given: the header too, and empty lines.
      const before = data.slice(0, wrong.row ?? 0).filter((cells) => !isBlank(cells)).length
      throw broken(name, row + before + Number(header !== null), wrong.message)
    }
    rest = last ? '' : rest.slice(meta.cursor)
    for (const cells of data) {
      if (isBlank(cells)) continue
      if (!header) {
        header = cells.map((cell) => cell.trim())
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
    // Not before the header is there, by which the separator is told.
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

function broken(name: string, row: number, why: string): WorkbenchError {
  return new WorkbenchError(
    'text-invalid',
    `${row ? `Row ${row}` : 'The first line'} of ${name} is not one of a table: ${why.replace(/\.$/, '')}.`,
    'Cells with separators or line ends in them stand in double quotes. Prose has to be in a .txt file.',
  )
}

/** The columns by what their first cells hold: one whose cells are all numbers holds no text. */
export function tableFields(rows: Record<string, unknown>[]): Fields {
  const shape = (column: string): Shape => {
    const cells = rows.map((row) => row[column]).filter((cell) => cell !== null)
    if (!cells.length) return { kind: 'nothing' }
    const numbers = cells.every((cell) => String(cell).trim() && Number.isFinite(Number(cell)))
    return numbers ? { kind: 'number' } : shapeIn(column, cells[0])
  }
  return new Map(Object.keys(rows[0] ?? {}).map((column) => [column, shape(column)]))
}

/** Whether names of columns are rather the first row of a table without any: none is known, and one is a sentence or a number. */
export function doubtfulHeader(names: readonly string[]): boolean {
  if (names.some(isKnownName)) return false
  return names.some(
    (name) => name.split(/\s+/).length > 5 || name.length > 60 || /^[-+\d.,]*\d$/.test(name) || /\p{L}{2}[.!?]["”’]?$/u.test(name),
  )
}

/** Whether a text begins with names of columns of which one is known, and none is a sentence. */
export function hasHeader(head: string, name: string): boolean {
  const names = head
    .trimStart()
    .split('\n', 1)[0]
    .split(separatorOf(head, name))
    .map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'))
  return names.some(isKnownName) && names.every((cell) => cell.split(/\s+/).length < 4)
}
