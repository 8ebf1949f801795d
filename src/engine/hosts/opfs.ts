/** The browser's origin-private file system (OPFS): kept jobs and the cache. Written by the worker, read by the page. */
import { WorkbenchError } from '../../errors.ts'
import type { Sink, SinkFile, Store, StoreFile } from '../../io/bytes.ts'
import type { CacheFolder } from '../../io/hub/cache.ts'
import { HOST_SHARE, Parking, type ScratchFile } from '../parking.ts'

/** Where a kept job lies: folders below the private root. */
export interface JobPlace {
  journal: string[]
  exports: string[]
}

/** Name of the Web Lock for solving. */
export const jobLock = 'quantease-job'
/** Name of the Web Lock for reading journals. */
export const readLock = 'quantease-journal'

/** Folder of all jobs, by their ids. */
export const jobsFolder = 'jobs'
/** Id of the one job of an earlier version, which had no folder of its own. */
export const earlierJob = 'earlier'

export function jobPlace(job: string): JobPlace {
  if (job === earlierJob) return { journal: ['journal'], exports: ['exports'] }
  return { journal: [jobsFolder, job, 'journal'], exports: [jobsFolder, job, 'exports'] }
}

/** TypeScript declares this part of the standard only in its worker library, which excludes the page's. */
interface SyncAccessHandle {
  getSize(): number
  truncate(size: number): void
  read(into: Uint8Array, options: { at: number }): number
  write(data: Uint8Array, options: { at: number }): number
  flush(): void
  close(): void
}
type SyncFileHandle = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncAccessHandle> }

/** Handles with a pending call. */
const asked = new Set<FileSystemHandle>()

/** Keeps a handle referenced until its call ends: in Chromium, the call never ends if the handle is garbage collected before. */
async function ask<H extends FileSystemHandle, T>(handle: H, what: (handle: H) => Promise<T>): Promise<T> {
  asked.add(handle)
  try {
    return await what(handle)
  } finally {
    asked.delete(handle)
  }
}

/** The folder `names` below the private root, created if missing. */
async function folder(names: string[], create: boolean): Promise<FileSystemDirectoryHandle> {
  let at = await navigator.storage.getDirectory()
  for (const name of names) at = await ask(at, (parent) => parent.getDirectoryHandle(name, { create }))
  return at
}

async function fileHandle(within: string[], path: string, create: boolean): Promise<FileSystemFileHandle> {
  const names = path.split('/')
  const file = names.pop()!
  return ask(await folder([...within, ...names], create), (parent) => parent.getFileHandle(file, { create }))
}

async function openSync(within: string[], path: string): Promise<SyncAccessHandle> {
  return ask((await fileHandle(within, path, true)) as SyncFileHandle, (file) => file.createSyncAccessHandle())
}

/** Retries for a file that is locked, and milliseconds between them. */
const tries = { most: 200, pause: 50 }

/** `openSync` with retries, for a file that another tab may be reading, or that was closed a moment ago. */
async function openPatiently(within: string[], path: string): Promise<SyncAccessHandle> {
  for (let left = tries.most; ; left--) {
    try {
      return await openSync(within, path)
    } catch (error) {
      if (!left || !(error instanceof DOMException && error.name === 'NoModificationAllowedError')) throw error
      await new Promise((resolve) => setTimeout(resolve, tries.pause))
    }
  }
}

function writeWhole(handle: SyncAccessHandle, data: Uint8Array, at: number): void {
  const written = handle.write(data, { at })
  if (written < data.length) throw new DOMException('Not all bytes could be written.', 'QuotaExceededError')
}

/** Removes a file or folder, if it exists. */
async function remove(within: string[], name: string): Promise<void> {
  try {
    await ask(await folder(within, false), (parent) => parent.removeEntry(name, { recursive: true }))
  } catch (error) {
    if (!(error instanceof DOMException && error.name === 'NotFoundError')) throw error
  }
}

/** A finished file of a job's checkpoint, not copied into memory. */
export async function exportedFile(job: string, run: string, path: string): Promise<File> {
  return guard(async () => ask(await fileHandle([...jobPlace(job).exports, run], path, false), (file) => file.getFile()))
}

/** Removes a folder below the private root with all that is in it, if it exists. */
export async function removeFolder(path: string[]): Promise<void> {
  await guard(() => remove(path.slice(0, -1), path.at(-1)!))
}

/** Names of what is in a folder; none where there is no such folder. */
export async function namesIn(path: string[]): Promise<string[]> {
  return guard(async () => {
    const names: string[] = []
    try {
      const within = await folder(path, false)
      return await ask(within, async (parent) => {
        for await (const name of parent.keys()) names.push(name)
        return names
      })
    } catch (error) {
      if (error instanceof DOMException && error.name === 'NotFoundError') return names
      throw error
    }
  })
}

/** A new folder for one run of a job; what an earlier run with the same id left there is removed. Only in a worker. */
export async function opfsSink(job: string, run: string): Promise<Sink> {
  const within = [...jobPlace(job).exports, run]
  await removeFolder(within)
  const handles = new Set<SyncAccessHandle>()
  return {
    async create(path: string, size: number): Promise<SinkFile> {
      return guard(async () => {
        const handle = await openSync(within, path)
        try {
          // Reserves the space now: better to fail here than after an hour of work.
          handle.truncate(size)
          if (handle.getSize() !== size) throw new DOMException('The file did not get its size.', 'QuotaExceededError')
        } catch (error) {
          // Chromium miscounts the size of a file after it once refused to grow it.
          handle.close()
          const names = path.split('/')
          await remove([...within, ...names.slice(0, -1)], names.at(-1)!)
          throw error
        }
        handles.add(handle)
        return {
          write: (data, at) => guard(async () => writeWhole(handle, data, at)),
          async close() {
            handles.delete(handle)
            await guard(async () => {
              handle.flush()
              handle.close()
            })
          },
        }
      })
    },
    open: (path) => exportedFile(job, run, path),
    // Only files listed in a result are offered, and there is no result before this.
    commit: async () => {},
    async remove() {
      for (const handle of handles) handle.close()
      handles.clear()
      await removeFolder(within)
    },
  }
}

/** A persistent store in one folder below the private root. Only in a worker. */
export function opfsStore(within: string[]): Store {
  return {
    edit: (path) =>
      guard(async (): Promise<StoreFile> => {
        const handle = await openPatiently(within, path)
        return {
          size: handle.getSize(),
          async read(begin, end) {
            const into = new Uint8Array(Math.max(0, Math.min(end, handle.getSize()) - begin))
            return into.subarray(0, handle.read(into, { at: begin }))
          },
          write: (data, at) => guard(async () => writeWhole(handle, data, at)),
          resize: (size) => guard(async () => handle.truncate(size)),
          flush: () => guard(async () => handle.flush()),
          close: async () => handle.close(),
        }
      }),
    remove: (path) => guard(() => remove(within, path)),
    list: () => namesIn(within),
  }
}

/** Folder below the private root for values that wait beside a run. */
export const scratchFolder = 'scratch'

/** Memory of the machine where the browser does not say, GiB. */
const USUAL_MEMORY = 8

/** Half of the memory that the browser tells of for what waits, of which it tells no more than 8 or 32 GiB; beyond that, a file. */
export function opfsParking(): Parking {
  const { deviceMemory = USUAL_MEMORY } = navigator as { deviceMemory?: number }
  const store = opfsStore([scratchFolder])
  const name = 'parked'
  const open = async (): Promise<ScratchFile> => {
    const file = await store.edit(name)
    // A tab that was closed may have left something.
    await file.resize(0)
    return {
      ...file,
      close: async () => {
        await file.close()
        await store.remove(name)
      },
    }
  }
  return new Parking(deviceMemory * HOST_SHARE * 2 ** 30, open)
}

/** A flat folder for the cache. Only in a worker. */
export function opfsCacheFolder(name: string): CacheFolder {
  const place = (create: boolean) => folder([name], create)
  return {
    list: () =>
      guard(async () => {
        const found: { name: string; bytes: number; modified: number }[] = []
        return ask(await place(true), async (parent) => {
          for await (const handle of parent.values()) {
            if (handle.kind !== 'file') continue
            const { size, lastModified } = await ask(handle as FileSystemFileHandle, (file) => file.getFile())
            found.push({ name: handle.name, bytes: size, modified: lastModified })
          }
          return found
        })
      }),
    open: (path) => guard(async () => ask(await fileHandle([name], path, false), (file) => file.getFile())),
    async write(file, data) {
      await guard(async () => {
        const handle = await openSync([name], file).catch((error) => {
          // Another tab is writing the same file.
          if (error instanceof DOMException && error.name === 'NoModificationAllowedError') return null
          throw error
        })
        if (!handle) return
        try {
          handle.truncate(0)
          writeWhole(handle, data, 0)
        } catch (error) {
          handle.close()
          await remove([name], file).catch(() => {})
          throw error
        }
        handle.close()
      })
    },
    async remove(file) {
      await guard(() =>
        remove([name], file).catch((error) => {
          // Another tab is writing it.
          if (!(error instanceof DOMException && error.name === 'NoModificationAllowedError')) throw error
        }),
      )
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
        usage > quota / 2
          ? `The browser’s private storage is full: ${mebibytes(usage)} of ${mebibytes(quota)} are used.`
          : `The browser’s private storage is full: it uses ${mebibytes(usage)} of ${mebibytes(quota)}, so the disk itself seems to be full.`,
        'Free disk space, remove earlier checkpoints, or quantize fewer runs at once.',
        { cause: error },
      )
    }
    throw new WorkbenchError(
      'storage-failed',
      `The browser’s private storage failed: ${error.message}`,
      'It may be unavailable in private windows; use a normal window.',
      { cause: error },
    )
  }
}

const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`
