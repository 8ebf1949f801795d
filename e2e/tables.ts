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
