/** The engine's host in Node: WebGPU by Dawn, files from disk, and how a program ends. */
import { readdir, stat } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { toErrorData, WorkbenchError } from '../errors.ts'
import type { Bytes, Files } from '../io/bytes.ts'
import { diskFile } from './disk.ts'
import type { TextFile } from './texts.ts'

export { dawn } from '../gpu/dawn.ts'
export { memoryStore } from '../io/memory.ts'
export { diskFile } from './disk.ts'

/**
 * Runs a program and leaves with an exit code, since Dawn keeps the process alive while its devices live. `fail` tells of an
 * error and gives the code.
 */
export function headless(main: () => Promise<void>, fail: (error: unknown) => number = tell): void {
  main().then(
    () => process.exit(0),
    (error) => process.exit(fail(error)),
  )
}

function tell(error: unknown): number {
  const { message, hint, detail } = toErrorData(error)
  console.error([message, hint, detail].filter(Boolean).join('\n'))
  return 1
}

/** A folder with everything below it; a file stands for a folder that holds it alone. */
export async function diskFolder(path: string): Promise<Files> {
  if ((await stat(path).catch(() => null))?.isFile()) return new Map([[basename(path), await diskFile(path)]])
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch((cause) => {
    throw new WorkbenchError('file-missing', `The folder ${path} cannot be read.`, 'Check the path given with --model.', { cause })
  })
  const files = new Map<string, Bytes>()
  for (const entry of entries) {
    if (!entry.isFile()) continue
    const full = join(entry.parentPath, entry.name)
    files.set(relative(path, full).replaceAll('\\', '/'), await diskFile(full))
  }
  return files
}

export async function textFile(path: string): Promise<TextFile> {
  const bytes = await diskFile(path).catch((cause) => {
    throw new WorkbenchError(
      'file-missing',
      `The text ${path} cannot be read.`,
      'Give the path of a .txt, .jsonl or .parquet file, or the name of a data set.',
      { cause },
    )
  })
  const fileName = basename(path)
  return { id: path, label: fileName, fileName, bytes: bytes.size, origin: 'file', open: () => diskFile(path) }
}
