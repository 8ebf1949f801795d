/** Node's file access: ranges of files, atomic writes, and errors that name the folder. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { WorkbenchError } from '../../errors.ts'
import type { Bytes } from '../../io/bytes.ts'
import type { CacheFolder } from '../../io/hub/cache.ts'
import type { NoteStore } from '../device-notes.ts'
import { HOST_SHARE, Parking, type ScratchFile } from '../parking.ts'

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
      // A file that has shrunk since it was listed returns fewer bytes, which the reader detects.
      const { bytesRead } = await readFully(file, new Uint8Array(buffer), this.from)
      return bytesRead === this.size ? buffer : buffer.slice(0, bytesRead)
    } finally {
      await file.close()
    }
  }
}

export async function readFully(file: FileHandle, into: Uint8Array, from: number): Promise<{ bytesRead: number }> {
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

/** An error of the file system as an error about `path`. */
export function storageError(cause: unknown, path: string, flag?: string): unknown {
  if (cause instanceof WorkbenchError || !(cause instanceof Error)) return cause
  if ('code' in cause && (cause.code === 'ENOSPC' || cause.code === 'EDQUOT'))
    return new WorkbenchError('storage-full', `The disk is full: ${path}.`, 'Free some space, or use another disk.', { cause })
  const hint = flag ? `Choose another folder with ${flag}.` : 'Choose another folder.'
  return new WorkbenchError('storage-failed', `${path} cannot be written: ${cause.message}.`, hint, { cause })
}

export function storageOf(path: string, flag?: string) {
  return <T>(work: Promise<T>): Promise<T> =>
    work.catch((cause) => {
      throw storageError(cause, path, flag)
    })
}

export async function writeFully(file: FileHandle, data: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesWritten } = await file.write(data, done, data.length - done, at + done)
    done += bytesWritten
  }
}

/** A subfolder of the folder given for the cache, so that it contains no files of others. */
const cacheName = 'quantease-hub'
/** Marks a cache folder (https://bford.info/cachedir/), which backup programs skip; also shows that the folder is ours. */
const cacheTag = {
  name: 'CACHEDIR.TAG',
  text: 'Signature: 8a477f597d28d172789f06886806bc55\n# Files of the Hugging Face Hub, kept by QuantEase Workbench; may be deleted at any time.\n',
}
const draftPattern = /^(?:[0-9a-f]{40,64}-\d+-\d+|[a-z]+\.json|CACHEDIR\.TAG)\.\d+-\d+\.tmp$/
/** A temporary file older than this, in ms, was left by a killed program. */
const draftAge = 3600e3
let drafts = 0

/** A flat folder for the cache in `parent`. Files are written atomically, since other programs may read at any time. */
export function diskCacheFolder(parent: string): CacheFolder {
  const path = join(parent, cacheName)
  const storage = storageOf(path, '--cache')
  const writeWhole = async (name: string, data: Uint8Array | string) => {
    const draft = join(path, `${name}.${process.pid}-${++drafts}.tmp`)
    try {
      await writeFile(draft, data)
      await rename(draft, join(path, name))
    } catch (error) {
      await rm(draft, { force: true }).catch(() => {})
      throw error
    }
  }
  /** Whether it exists. @throws WorkbenchError `storage-failed` when it was not written by this program */
  const isOurs = async (): Promise<boolean> => {
    const tag = await readFile(join(path, cacheTag.name), 'utf8').catch(() => null)
    if (tag === cacheTag.text) return true
    const names = await readdir(path).catch((error) => {
      if (error.code === 'ENOENT') return []
      throw error
    })
    if (names.every((name) => draftPattern.test(name))) return false
    throw new WorkbenchError(
      'storage-failed',
      `${path} contains files that this program did not write.`,
      'Choose another folder with --cache, or move this one.',
    )
  }
  const make = async () => {
    if (await isOurs()) return
    await mkdir(path, { recursive: true })
    await writeWhole(cacheTag.name, cacheTag.text)
  }
  return {
    async list() {
      if (!(await storage(isOurs()))) return []
      const names = (await storage(readdir(path))).filter((name) => name !== cacheTag.name)
      const found = await Promise.all(names.map(async (name) => ({ name, info: await stat(join(path, name)).catch(() => null) })))
      const files = found.flatMap(({ name, info }) => (info?.isFile() ? [{ name, bytes: info.size, modified: info.mtimeMs }] : []))
      for (const { name, modified } of files)
        if (draftPattern.test(name) && Date.now() - modified > draftAge) await rm(join(path, name), { force: true }).catch(() => {})
      return files.filter(({ name }) => !draftPattern.test(name))
    },
    async open(name) {
      if (!(await storage(isOurs()))) throw new Error(`No ${name}`)
      return diskFile(join(path, name))
    },
    async write(name, data) {
      await storage(make())
      await storage(writeWhole(name, data))
    },
    async remove(name) {
      if (await storage(isOurs())) await storage(rm(join(path, name), { force: true }))
    },
  }
}

/** `limit` bytes, or half of the machine's memory or of what this process may have of it, for what waits; beyond that, a file in `folder`. */
export function diskParking(folder: string, limit = usualLimit()): Parking {
  return new Parking(limit, () => scratchFile(folder))
}

function usualLimit(): number {
  // 0, or more than there is, where nothing is said.
  const allowed = process.constrainedMemory?.() || Number.POSITIVE_INFINITY
  return Math.min(totalmem(), allowed) * HOST_SHARE
}

/** A file without a name, so that nothing of it is left, however the program ends. */
export async function scratchFile(folder: string): Promise<ScratchFile> {
  const path = join(folder, `scratch.${process.pid}-${++drafts}.tmp`)
  const storage = storageOf(folder, '--cache')
  await storage(mkdir(folder, { recursive: true }))
  const file = await storage(open(path, 'wx+'))
  await storage(rm(path))
  return {
    async read(begin, end) {
      const into = new Uint8Array(end - begin)
      return into.subarray(0, (await storage(readFully(file, into, begin))).bytesRead)
    },
    write: (data, at) => storage(writeFully(file, data, at)),
    close: () => storage(file.close()),
  }
}

/** A larger file of notes is not ours. */
const NOTE_BYTES = 1 << 18

/** Notes on devices, one small file each in `parent`. */
export function diskNotes(parent: string): NoteStore {
  const folder = join(parent, 'devices')
  return {
    async get(device) {
      const path = join(folder, `${device}.json`)
      return (await stat(path)).size <= NOTE_BYTES ? JSON.parse(await readFile(path, 'utf8')) : null
    },
    // At once, since the program may end next, and whole, whoever else writes at the same time.
    async set(device, note) {
      mkdirSync(folder, { recursive: true })
      const draft = join(folder, `${device}.${process.pid}.tmp`)
      writeFileSync(draft, JSON.stringify(note))
      renameSync(draft, join(folder, `${device}.json`))
    },
  }
}
