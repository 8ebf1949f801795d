/** Checkpoints in the origin's private file system: written in the worker, read by the page. */
import { WorkbenchError } from '../errors.ts'
import type { Sink, SinkFile } from '../io/bytes.ts'

const top = 'exports'

/** TypeScript keeps this part of the standard in its worker library, which excludes the page's. */
interface SyncAccessHandle {
  truncate(size: number): void
  write(data: Uint8Array, options: { at: number }): number
  close(): void
}
type SyncFileHandle = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncAccessHandle> }

/** The folder `names` below the private root, made when it is not there. */
async function folder(names: string[], create: boolean): Promise<FileSystemDirectoryHandle> {
  let at = await navigator.storage.getDirectory()
  for (const name of names) at = await at.getDirectoryHandle(name, { create })
  return at
}

async function fileHandle(run: string, path: string, create: boolean): Promise<FileSystemFileHandle> {
  const names = path.split('/')
  const file = names.pop()!
  return (await folder([top, run, ...names], create)).getFileHandle(file, { create })
}

/** A finished file; reading it copies nothing. */
export async function exportedFile(run: string, path: string): Promise<File> {
  return guard(async () => (await fileHandle(run, path, false)).getFile())
}

/** Removes all checkpoints, or those of one run. */
export async function removeExports(run?: string): Promise<void> {
  await guard(async () => {
    try {
      if (run) await (await folder([top], false)).removeEntry(run, { recursive: true })
      else await (await folder([], false)).removeEntry(top, { recursive: true })
    } catch (error) {
      if (!(error instanceof DOMException && error.name === 'NotFoundError')) throw error
    }
  })
}

/** A fresh folder for one run; what an earlier run of the same id left there is gone. Only in a worker. */
export async function opfsSink(run: string): Promise<Sink> {
  await removeExports(run)
  const handles = new Set<SyncAccessHandle>()
  return {
    async create(path: string, size: number): Promise<SinkFile> {
      return guard(async () => {
        const handle = await ((await fileHandle(run, path, true)) as SyncFileHandle).createSyncAccessHandle()
        handles.add(handle)
        // Claims the space now: better here than after an hour of work.
        handle.truncate(size)
        return {
          async write(data, at) {
            await guard(async () => {
              const written = handle.write(data, { at })
              if (written < data.length) throw new DOMException('The file could not take all of it.', 'QuotaExceededError')
            })
          },
          async close() {
            handles.delete(handle)
            await guard(async () => handle.close())
          },
        }
      })
    },
    open: (path) => exportedFile(run, path),
    async remove() {
      for (const handle of handles) handle.close()
      handles.clear()
      await removeExports(run)
    },
  }
}

async function guard<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof DOMException)) throw error
    if (error.name === 'QuotaExceededError') {
      const { usage = 0, quota = 0 } = await navigator.storage.estimate()
      throw new WorkbenchError(
        'storage-full',
        `The browser’s private storage is full: ${mebibytes(usage)} of ${mebibytes(quota)} are used.`,
        'Free disk space, remove earlier checkpoints, or quantize fewer runs at once.',
        { cause: error },
      )
    }
    throw new WorkbenchError(
      'storage-failed',
      `The browser’s private storage failed: ${error.message}`,
      'Private windows may forbid it; use a normal window.',
      { cause: error },
    )
  }
}

const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`
