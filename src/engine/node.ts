/** The engine's host in Node: WebGPU by Dawn, files from disk, and how a program ends. */
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rm, rmdir, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { toErrorData, WorkbenchError } from '../errors.ts'
import type { Bytes, Files, Sink, SinkFile, Store } from '../io/bytes.ts'
import { memoryStore } from '../io/memory.ts'
import type { CacheFolder } from '../io/hub/cache.ts'
import type { TextFile } from './texts.ts'

export { dawn } from '../gpu/dawn.ts'

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

class DiskBytes implements Bytes {
  constructor(
    readonly path: string,
    readonly size: number,
    readonly from = 0,
  ) {}

  slice(start: number, end: number): Bytes {
    const [a, b] = [Math.min(start, this.size), Math.min(end, this.size)]
    return new DiskBytes(this.path, Math.max(0, b - a), this.from + a)
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    const file = await open(this.path)
    try {
      const buffer = new ArrayBuffer(this.size)
      // A file that shrank since it was listed gives fewer bytes: the reader notices.
      const { bytesRead } = await readFully(file, new Uint8Array(buffer), this.from)
      return bytesRead === this.size ? buffer : buffer.slice(0, bytesRead)
    } finally {
      await file.close()
    }
  }
}

async function readFully(file: FileHandle, into: Uint8Array, from: number): Promise<{ bytesRead: number }> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await file.read(into, done, into.length - done, from + done)
    if (!bytesRead) break
    done += bytesRead
  }
  return { bytesRead: done }
}

export async function diskFile(path: string): Promise<Bytes> {
  return new DiskBytes(path, (await stat(path)).size)
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

/** Names what went wrong with files below `path`. */
function storageOf(path: string, flag = '--save') {
  return <T>(work: Promise<T>): Promise<T> =>
    work.catch((cause) => {
      if (cause instanceof Error && 'code' in cause && (cause.code === 'ENOSPC' || cause.code === 'EDQUOT')) {
        throw new WorkbenchError('storage-full', `The disk is full: ${path}.`, 'Free some space, or use another disk.', { cause })
      }
      throw new WorkbenchError('storage-failed', `${path} cannot be written: ${cause.message}.`, `Choose another folder with ${flag}.`, {
        cause,
      })
    })
}

async function writeFully(file: FileHandle, data: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesWritten } = await file.write(data, done, data.length - done, at + done)
    done += bytesWritten
  }
}

/** Without a folder, a journal that serves this process alone. */
export const journalBeside = (path: string | undefined): Store => (path ? diskStore(path) : memoryStore())

/** The files of one folder, which goes when the last of them is removed. */
function diskStore(path: string): Store {
  const storage = storageOf(path)
  return {
    async edit(name) {
      await storage(mkdir(path, { recursive: true }))
      const file = await storage(open(join(path, name), constants.O_RDWR | constants.O_CREAT))
      return {
        size: (await file.stat()).size,
        async read(begin, end) {
          const into = new Uint8Array(end - begin)
          return into.subarray(0, (await readFully(file, into, begin)).bytesRead)
        },
        write: (data, at) => storage(writeFully(file, data, at)),
        resize: (size) => storage(file.truncate(size)),
        flush: () => storage(file.datasync()),
        close: () => storage(file.close()),
      }
    },
    async remove(name) {
      await storage(rm(join(path, name), { force: true }))
      await rmdir(path).catch(() => {}) // not empty, or not there
    },
    list: () => readdir(path).catch(() => []),
  }
}

/** A flat folder for the cache. */
export function diskCacheFolder(path: string): CacheFolder {
  const storage = storageOf(path, '--cache')
  return {
    async list() {
      const names = await readdir(path).catch(() => [])
      const found = await Promise.all(names.map(async (name) => ({ name, info: await stat(join(path, name)).catch(() => null) })))
      return found.flatMap(({ name, info }) => (info?.isFile() ? [{ name, bytes: info.size, modified: info.mtimeMs }] : []))
    },
    open: (name) => diskFile(join(path, name)),
    async write(name, data) {
      await storage(mkdir(path, { recursive: true }))
      await storage(writeFile(join(path, name), data))
    },
    remove: (name) => storage(rm(join(path, name), { force: true })),
  }
}

/** Writes a checkpoint into a folder of its own. */
export async function diskSink(path: string): Promise<Sink> {
  const storage = storageOf(path)
  const handles = new Set<FileHandle>()
  const written = new Set<string>()
  await storage(mkdir(path, { recursive: true }))
  return {
    async create(name: string, size: number): Promise<SinkFile> {
      const full = join(path, name)
      await storage(mkdir(dirname(full), { recursive: true }))
      const file = await storage(open(full, 'w+'))
      handles.add(file)
      written.add(full)
      await storage(file.truncate(size))
      return {
        write: (data, at) => storage(writeFully(file, data, at)),
        async close() {
          handles.delete(file)
          await storage(file.close())
        },
      }
    },
    open: (name) => diskFile(join(path, name)),
    async remove() {
      for (const file of handles) await file.close()
      handles.clear()
      // Only what this run wrote: the folder may have held other files before.
      for (const full of written) await rm(full, { force: true })
    },
  }
}
