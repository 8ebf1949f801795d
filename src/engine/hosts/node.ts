/** The engine's host in Node: WebGPU by Dawn, files from disk, and process exit. */
import { readdir, realpath, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { toErrorData, WorkbenchError } from '../../errors.ts'
import type { Bytes, Files } from '../../io/bytes.ts'
import { diskFile } from './disk.ts'
import type { TextFile } from '../texts.ts'

export { dawn } from '../../gpu/dawn.ts'
export { memoryStore } from '../../io/memory.ts'
export { diskFile } from './disk.ts'

/**
 * Runs a program and exits explicitly, since Dawn keeps the process alive while it has devices. `fail` reports an error and returns the
 * exit code.
 */
export function headless(main: () => Promise<void>, fail: (error: unknown) => number = tell): void {
  const end = (error: unknown) => process.exit(fail(error))
  // What is thrown beside `main`, as by a timer, for which Node's own exit code is 1, whatever `fail` says.
  process.once('uncaughtException', end)
  main().then(() => process.exit(0), end)
}

function tell(error: unknown): number {
  const { message, hint, detail } = toErrorData(error)
  console.error([message, hint, detail].filter(Boolean).join('\n'))
  return 1
}

/** A model folder has dozens of files; for a home directory, an error is better than hours of listing. */
const maxFiles = 5000

/**
 * A folder with everything below it, or a single file. Links are followed, as needed for snapshots of the Hub's own cache; broken ones
 * are left out, and a folder is entered once. Hidden folders are left out.
 * @throws WorkbenchError `file-missing` when it cannot be read
 */
export async function diskFolder(path: string): Promise<Files> {
  const info = await stat(path).catch(() => null)
  if (info?.isFile()) return new Map([[basename(path), await diskFile(path)]])
  const files = new Map<string, Bytes>()
  const entered = new Set<string>()
  const enter = async (folder: string, prefix: string) => {
    const real = await realpath(folder)
    if (entered.has(real)) return
    entered.add(real)
    for (const name of (await readdir(folder)).sort()) {
      const full = join(folder, name)
      const found = await stat(full).catch(() => null)
      if (found?.isDirectory() && !name.startsWith('.')) await enter(full, `${prefix}${name}/`)
      else if (found?.isFile()) files.set(prefix + name, await diskFile(full))
      if (files.size > maxFiles) {
        throw new WorkbenchError(
          'file-missing',
          `There are more than ${maxFiles} files in ${path}, too many for one model.`,
          'Give the folder that contains config.json and the safetensors files.',
        )
      }
    }
  }
  await enter(path, '').catch((cause) => {
    if (cause instanceof WorkbenchError) throw cause
    throw new WorkbenchError('file-missing', `The folder ${path} cannot be read.`, 'Check the path given with --model.', { cause })
  })
  return files
}

export async function textFile(path: string): Promise<TextFile> {
  const hint = 'Give the path of a text (.txt, .json, .jsonl, .csv, .tsv, .parquet; .gz and .zst too), or the name of a data set.'
  const info = await stat(path).catch((cause) => {
    throw new WorkbenchError('file-missing', `The text ${path} cannot be read.`, hint, { cause })
  })
  if (!info.isFile())
    throw new WorkbenchError('file-missing', `${path} is ${info.isDirectory() ? 'a folder' : 'not a regular file'}, not a text.`, hint)
  const fileName = basename(path)
  return { id: path, label: fileName, fileName, bytes: info.size, origin: 'file', open: () => diskFile(path) }
}
