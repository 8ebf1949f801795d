/**
 * Writes generated tables into documents, each between `<!-- NAME -->` and `<!-- end of NAME -->`. Only the script's own lines are
 * written, nothing that a tool prints.
 */
import { readFile, writeFile } from 'node:fs/promises'

const marks = (name: string) => [`<!-- ${name} -->\n`, `\n<!-- end of ${name} -->`] as const

/** A table in Markdown. */
export function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** Column titles and rows of a table in Markdown. */
function cellsOf(table: string): string[][] {
  const rows = table.split('\n').filter((line) => line.startsWith('|'))
  return rows.filter((_, i) => i !== 1).map((line) => line.slice(2, -2).split(' | '))
}

/**
 * Two tables of the same kind as one: a cell of `made` stands before that of `before`, unless it says `missing`. Rows and columns, known by
 * their first cells, keep their order; new ones follow.
 */
export function mergedTable(before: string, made: string, missing: string): string {
  const tables = [before, made].map(cellsOf).filter(({ length }) => length)
  const titles = [...new Set(tables.flatMap(([head]) => head.slice(1)))]
  const labels = [...new Set(tables.flatMap(([, ...rows]) => rows.map(([label]) => label)))]
  const cell = (label: string, title: string) => {
    const found = tables.flatMap(([head, ...rows]) => rows.find((row) => row[0] === label)?.[head.indexOf(title)] ?? [])
    return found.filter((one) => one !== missing).at(-1) ?? missing
  }
  return markdown(
    [tables[0][0][0], ...titles],
    labels.map((label) => [label, ...titles.map((title) => cell(label, title))]),
  )
}

/** A table with the lowest figure of each column in bold; the first column is left as it is. */
export function boldLowest(table: string): string {
  const [head, ...rows] = cellsOf(table).map((cells) => cells.map((cell, i) => (i ? cell.replaceAll('**', '') : cell)))
  const lowest = head.map((_, i) => Math.min(...rows.map((row) => Number.parseFloat(row[i])).filter((value) => !Number.isNaN(value))))
  return markdown(
    head,
    rows.map((row) => row.map((cell, i) => (i && Number.parseFloat(cell) === lowest[i] ? `**${cell}**` : cell))),
  )
}

/** What stands between the marks of a document. */
export function tableIn(document: string, name: string): string {
  const [begin, end] = marks(name)
  const [, rest] = document.split(begin)
  if (rest === undefined || !rest.includes(end)) throw new Error(`The document keeps no table named "${name}".`)
  return rest.split(end)[0]
}

/** Puts `made` between the marks of a file. */
export async function keepTable(file: string, name: string, made: string): Promise<void> {
  const document = await readFile(file, 'utf8')
  const [begin, end] = marks(name)
  const before = tableIn(document, name)
  await writeFile(
    file,
    document.replace(`${begin}${before}${end}`, () => `${begin}${made}${end}`),
  )
  console.error(`${file}: "${name}" is made anew.`)
}
