/**
 * Realistic inputs with their correct outcomes (see README.md), as tests read them: `casesOf` lists the cases of one kind, `caseFile` and
 * `caseFiles` give their bytes, `layOut` puts a case on disk as a folder.
 */
import { copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Files } from '../../src/io/bytes.ts'
import book from './cases.json' with { type: 'json' }

const here = dirname(fileURLToPath(import.meta.url))

export interface Right {
  documents?: string[]
  documents_sha256?: string[]
  lengths?: number[]
  files?: string[]
  ids?: number[][]
  /** First judged token of each text, and the one after the last. */
  judged_from?: number[]
  judged_to?: number[]
  text?: string
  /** A regular expression. */
  text_pattern?: string
  perplexity?: number
  input_perplexity?: number
  relative_tolerance?: number
  layer_error?: { name: string; below: number }
  /** What the checkpoint has to be, in words. */
  export?: string
  refused?: { names_one_of: string[] }
  /** A sentence of this sense. */
  warned?: string
  /** What has to be said beside the result. */
  and?: string
  names?: string[]
}

export interface Case {
  id: string
  kind: string
  do: string
  /** Any of them is right; the best first. */
  right: Right[]
  source: string
  files?: string[]
  as_name?: string
  folder?: Record<string, string | { link: string } | { content: string }>
  open?: string
  text?: string
  texts?: string[]
  messages?: unknown
  tokenizer_config?: unknown
  listing?: string[]
  name?: string
  purpose?: 'calibration' | 'evaluation'
}

export function casesOf(...kinds: string[]): Case[] {
  return (book as { cases: unknown[] }).cases.map((one) => one as Case).filter(({ kind }) => kinds.includes(kind))
}

/** A file by its path beside cases.json. */
export async function caseFile(path: string): Promise<Blob> {
  return new Blob([new Uint8Array(await readFile(join(here, path)))])
}

/** The folder of a model case, without symbolic links. */
export async function caseFiles({ folder = {} }: Case): Promise<Files> {
  const files = new Map<string, Blob>()
  for (const [name, what] of Object.entries(folder)) {
    if (typeof what === 'string') files.set(name, await caseFile(what))
    else if ('content' in what) files.set(name, new Blob([what.content]))
  }
  return files
}

/** Puts a case into a new folder, symbolic links included; resolves to the path to open. */
export async function layOut({ folder = {}, files = [], as_name, open = '' }: Case, target: string): Promise<string> {
  await mkdir(target, { recursive: true })
  for (const [name, what] of Object.entries(folder)) {
    const to = join(target, name)
    await mkdir(dirname(to), { recursive: true })
    if (typeof what === 'string') await copyFile(join(here, what), to)
    else if ('link' in what) await symlink(what.link, to)
    else await writeFile(to, what.content)
  }
  for (const path of files) await copyFile(join(here, path), join(target, as_name ?? basename(path)))
  return join(target, open)
}

/** Whether what was said names one of the words that a refusal has to hold; the file's own name does not count. */
export function names({ names_one_of }: { names_one_of: string[] }, said: string, fileName = ''): boolean {
  const text = (fileName ? said.replaceAll(fileName, '') : said).toLowerCase()
  return names_one_of.some((word) => text.includes(word.toLowerCase()))
}
