/**
 * Where the command line writes a checkpoint NAME. Next to it, until the job is finished:
 *
 *     NAME.partial    the unfinished checkpoint; renamed to NAME after all of it has been read back
 *     NAME.journal the solved linears
 *     NAME.replaced   an earlier checkpoint, while the new one takes its place
 *     NAME.lock the process that is using them
 *
 * Everything is checked before anything is computed, and only files written by this program are ever removed.
 */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readdir, realpath, rename, rm, rmdir, stat } from 'node:fs/promises'
import nodePath, { basename, dirname, join, resolve } from 'node:path'
import { WorkbenchError } from '../../errors.ts'
import type { Sink, SinkFile, Store, StoreFile } from '../../io/bytes.ts'
import { diskFile, readFully, storageOf, writeFully } from './disk.ts'
import { type Lock, takeLock } from './lock.ts'
import {
  changedSince,
  describeFile,
  foreignTo,
  isPlainPath,
  type Manifest,
  manifestName,
  manifestText,
  readManifest,
  removeListed,
  writeManifest,
} from './manifest.ts'

export interface TargetRequest {
  /** As given, with `--save` or as a part of a larger folder: what is said of it names no flag. */
  path: string
  /** Folder of the model; null for a model from elsewhere. */
  model: string | null
  /** Replace an earlier checkpoint of this program. */
  overwrite: boolean
  /** A finished checkpoint without a journal beside it may stand there: it is to be read. */
  finished?: boolean
  /** Seconds after which another machine may take over, unless the lock is renewed; missing: never. */
  lease?: number
  /** Called with messages about what was found and repaired. */
  say(sentence: string): void
}

export class Target {
  readonly journal: Store
  readonly #storage: ReturnType<typeof storageOf>
  /** Releases the lock; may be called at any time, also while the process exits. */
  readonly release = () => this.lock.release()

  private constructor(
    /** Links resolved. */
    readonly path: string,
    readonly overwrite: boolean,
    readonly lock: Lock,
  ) {
    this.journal = journalStore(this.#beside('journal'))
    this.#storage = storageOf(path)
  }

  /** @throws WorkbenchError `option-invalid` for a path with other contents, `journal-busy`, `storage-failed` */
  static async claim({ path: given, model, overwrite, finished = false, lease, say }: TargetRequest): Promise<Target> {
    if (!given) throw refusal('The checkpoint needs the name of a folder.', '')
    const path = await resolved(given)
    const ending = /\.(partial|journal|replaced|lock)$/i.exec(path)?.[0]
    if (ending)
      throw refusal(
        `${given} ends in ${ending}, which is reserved for files next to a checkpoint while it is written.`,
        'Choose another name.',
      )
    if (model !== null) await keepApart(path, model)
    await storageOf(path)(mkdir(dirname(path), { recursive: true }))
    const target = new Target(path, overwrite, takeLock(`${path}.lock`, say, undefined, lease))
    try {
      await target.#settle(say)
      await target.#check(finished)
      return target
    } catch (error) {
      target.release()
      throw error
    }
  }

  #beside(what: 'partial' | 'journal' | 'replaced'): string {
    return `${this.path}.${what}`
  }

  /** Completes or undoes an interrupted replacement of an earlier checkpoint. */
  async #settle(say: (sentence: string) => void): Promise<void> {
    const replaced = this.#beside('replaced')
    if (!(await exists(replaced))) return
    const manifest = await ownFolder(replaced, 'checkpoint')
    if (await exists(this.path)) await this.#storage(removeListed(replaced, manifest))
    else {
      await this.#storage(rename(replaced, this.path))
      say(`Restored the earlier checkpoint ${this.path}, which was about to be replaced when the program ended.`)
    }
  }

  async #check(finished: boolean): Promise<void> {
    await this.#checkPlace(finished && !(await exists(this.#beside('journal'))))
    for (const [what, holds] of [
      ['partial', 'checkpoint'],
      ['journal', 'journal'],
    ] as const)
      if (await exists(this.#beside(what))) await ownFolder(this.#beside(what), holds)
  }

  /** Checks that the path is free, or has an earlier checkpoint that may be replaced (or `mayStay`), which is returned. */
  async #checkPlace(mayStay = false): Promise<Manifest | null> {
    const { path } = this
    const info = await lstatOf(path)
    if (!info) return null
    if (!info.isDirectory()) throw refusal(`${path} is a file.`, 'Choose the name of a folder.')
    if (info.dev !== (await lstat(dirname(path))).dev) {
      throw refusal(
        `${path} is a mount point, so a finished folder cannot be renamed to it.`,
        `Choose a folder inside it, e.g. ${join(path, 'model')}.`,
      )
    }
    if (!(await readdir(path)).length) return null
    const manifest = await ownFolder(path, 'checkpoint')
    // The checkpoint that the job in the journal was moving here when it was killed.
    const own = (await readManifest(this.#beside('journal')))?.placed === digest(manifestText(manifest))
    const lost = await lostFrom(path, manifest)
    if (!this.overwrite && lost.length) {
      throw refusal(
        `${path} contains an earlier checkpoint that is incomplete: ${listOf(lost)} ${lost.length > 1 ? 'are' : 'is'} missing.`,
        own
          ? 'Add --overwrite to --resume to write it again from its journal, or choose another folder.'
          : 'Nothing is left to resume: add --overwrite to replace it by a new run, or choose another folder.',
      )
    }
    if (!this.overwrite && !own && !mayStay) {
      throw refusal(`${path} contains an earlier checkpoint.`, 'Choose another folder, or add --overwrite to replace it.')
    }
    return manifest
  }

  /** Whether the path has a checkpoint with all its files. */
  async whole(): Promise<boolean> {
    const manifest = await readManifest(this.path)
    return manifest !== null && !(await lostFrom(this.path, manifest)).length
  }

  /** Paths of the files of the checkpoint there. */
  async files(): Promise<string[]> {
    return Object.keys((await readManifest(this.path))?.files ?? {})
  }

  /** An empty folder for the checkpoint; remains of an earlier attempt are removed. */
  async sink(): Promise<Sink> {
    const partial = this.#beside('partial')
    const storage = this.#storage
    if (await exists(partial)) await storage(removeListed(partial, await ownFolder(partial, 'checkpoint')))
    const manifest: Manifest = { writtenBy: 'QuantEase Workbench', holds: 'checkpoint', files: {} }
    await storage(writeManifest(partial, manifest))
    const handles = new Set<FileHandle>()
    return {
      async create(name: string, size: number): Promise<SinkFile> {
        if (!isPlainPath(name)) throw new Error(`${name} leads out of the folder.`)
        const full = join(partial, name)
        manifest.files[name] = null
        // Listed in the manifest before it is written, so every file there is known to be ours.
        await storage(writeManifest(partial, manifest))
        await storage(mkdir(dirname(full), { recursive: true }))
        const file = await storage(open(full, 'w+'))
        handles.add(file)
        await storage(file.truncate(size))
        return {
          write: (data, at) => storage(writeFully(file, data, at)),
          async close() {
            handles.delete(file)
            await storage(file.datasync().finally(() => file.close()))
          },
        }
      },
      open: (name) => diskFile(join(partial, name)),
      commit: () => this.#place(manifest),
      async remove() {
        for (const file of handles) await file.close()
        handles.clear()
        await removeListed(partial, manifest)
      },
    }
  }

  /** Renames the finished folder to its final name. */
  async #place(manifest: Manifest): Promise<void> {
    const [partial, replaced, journal] = (['partial', 'replaced', 'journal'] as const).map((what) => this.#beside(what))
    await this.#storage(
      (async () => {
        for (const name of Object.keys(manifest.files)) manifest.files[name] = await describeFile(join(partial, name))
        await writeManifest(partial, manifest)
        // Hours may have passed since the path was checked.
        const earlier = await this.#checkPlace()
        const marker = await readManifest(journal)
        if (marker) await writeManifest(journal, { ...marker, placed: digest(manifestText(manifest)) })
        if (earlier) await renamePatiently(this.path, replaced)
        else await rmdir(this.path).catch(() => {}) // an empty folder, or none
        await renamePatiently(partial, this.path)
        await syncFolder(dirname(this.path))
        if (earlier) await removeListed(replaced, earlier)
      })(),
    )
  }
}

const listOf = (names: string[]) => names.slice(0, 3).join(', ') + (names.length > 3 ? ` and ${names.length - 3} more` : '')
const digest = (text: string) => createHash('sha256').update(text).digest('hex')
const refusal = (message: string, hint: string) => new WorkbenchError('option-invalid', message, hint)
const lstatOf = (path: string) => lstat(path).catch(() => null)
const exists = async (path: string) => (await lstatOf(path)) !== null

/** Listed files that are missing. */
async function lostFrom(path: string, { files }: Manifest): Promise<string[]> {
  const lost: string[] = []
  for (const name of Object.keys(files)) if (!(await exists(join(path, name)))) lost.push(name)
  return lost
}

/** The manifest of a folder that this program wrote. @throws WorkbenchError `option-invalid` when it contains anything else */
async function ownFolder(path: string, holds: Manifest['holds']): Promise<Manifest> {
  const info = await lstat(path)
  if (!info.isDirectory()) throw refusal(`${path} already exists and is not a folder of this program.`, 'Choose another folder.')
  const found = await readManifest(path)
  const manifest = found?.holds === holds ? found : null
  // The file names of a journal are known.
  const foreign = manifest && holds === 'journal' ? [] : await foreignTo(path, manifest)
  if (!foreign.length) return manifest ?? { writtenBy: 'QuantEase Workbench', holds, files: {} }
  if (foreign.every((name) => name.endsWith(changedSince))) {
    throw refusal(
      `${path} contains an earlier checkpoint that was changed since it was written: ${listOf(foreign)}.`,
      'Move it, or choose another folder: only unchanged checkpoints of this program are ever replaced.',
    )
  }
  throw refusal(
    `${path} contains files that this program did not write: ${listOf(foreign)}.`,
    `Choose another folder, or move ${path}: only an earlier checkpoint of this program is ever replaced.`,
  )
}

// ---------------------------------------------------------------- relations of paths

/** The absolute path with links resolved in its existing part. @throws WorkbenchError `option-invalid` for a broken link */
async function resolved(given: string): Promise<string> {
  let at = resolve(given)
  const rest: string[] = []
  for (;;) {
    try {
      return join(await realpath(at), ...rest)
    } catch {
      if (await exists(at)) throw refusal(`${at} is a broken link.`, 'Choose another folder.')
      const parent = dirname(at)
      if (parent === at) return join(at, ...rest)
      rest.unshift(basename(at))
      at = parent
    }
  }
}

/** The relation of folder `a` to folder `b`, by names only; `path`: path functions of their system. */
export function relation(a: string, b: string, { path = nodePath, ignoreCase = caseless } = {}): 'same' | 'inside' | 'around' | null {
  const plain = (name: string) => (ignoreCase ? path.resolve(name).normalize('NFC').toLowerCase() : path.resolve(name))
  const [from, to] = [plain(b), plain(a)]
  if (from === to) return 'same'
  const below = (outer: string, inner: string) => inner.startsWith(outer.endsWith(path.sep) ? outer : outer + path.sep)
  return below(from, to) ? 'inside' : below(to, from) ? 'around' : null
}

/** Systems where names that differ only in case usually mean the same file. */
const caseless = process.platform === 'win32' || process.platform === 'darwin'

/** @throws WorkbenchError `option-invalid` when the target is the model's folder, inside or around it, or contains one of its files */
async function keepApart(target: string, model: string): Promise<void> {
  const folder = await realpath(model).catch(() => resolve(model))
  const found = (await placed(target, folder)) ?? null
  if (found) {
    const how = { same: 'is the model’s own folder', inside: 'is inside the model’s folder', around: 'contains the model’s folder' }[found]
    throw refusal(`${target} ${how}${found === 'same' ? '' : ` ${folder}`}.`, 'The model is never changed: choose a folder elsewhere.')
  }
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  for (const entry of entries.filter((entry) => entry.isSymbolicLink())) {
    const link = join(entry.parentPath, entry.name)
    const file = await realpath(link).catch(() => null)
    const where = file && (await placed(target, file))
    if (where) throw refusal(`${target} would change the model: its ${link} is a link to ${file}.`, 'Choose a folder elsewhere.')
  }
}

/** Like `relation`, but also by the identity of files in the file system. */
async function placed(target: string, other: string): Promise<ReturnType<typeof relation>> {
  const [a, b] = await Promise.all([identities(target), identities(other)])
  const [here, there] = [a.get(target), b.get(other)]
  if (there && there === here) return 'same'
  if (there && [...a.values()].includes(there)) return 'inside'
  if (here && [...b.values()].includes(here)) return 'around'
  return relation(target, other)
}

/** Device and inode numbers of a path and of the folders above it, as far as they exist. */
async function identities(path: string): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (let at = path; ; at = dirname(at)) {
    const info = await stat(at, { bigint: true }).catch(() => null)
    // Some file systems have no inode numbers.
    if (info?.ino) found.set(at, `${info.dev}:${info.ino}`)
    if (dirname(at) === at) return found
  }
}

// ---------------------------------------------------------------- renaming

/** Retried, since Windows refuses while a virus scanner reads a new file. */
const busy = new Set(['EPERM', 'EACCES', 'EBUSY'])
const patience = { tries: process.platform === 'win32' ? 40 : 1, pause: 50 }

async function renamePatiently(from: string, to: string): Promise<void> {
  for (let left = patience.tries; ; left--) {
    try {
      return await rename(from, to)
    } catch (error) {
      if (left <= 1 || !busy.has((error as NodeJS.ErrnoException).code ?? '')) throw error
      await new Promise((resolve) => setTimeout(resolve, patience.pause))
    }
  }
}

/** So that a power cut does not undo a rename; Windows has no such call. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY).catch(() => null)
  await folder?.sync().catch(() => {})
  await folder?.close()
}

// ---------------------------------------------------------------- the journal

/** A store in one folder with a manifest; the folder is removed with its last file. */
function journalStore(path: string): Store {
  const storage = storageOf(path)
  const list = async () => (await readdir(path).catch(() => [])).filter((name) => !name.startsWith(manifestName))
  return {
    async edit(name): Promise<StoreFile> {
      if (!(await readManifest(path))) await storage(writeManifest(path, { writtenBy: 'QuantEase Workbench', holds: 'journal', files: {} }))
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
      if ((await list()).length) return
      await rm(join(path, manifestName), { force: true })
      await rmdir(path).catch(() => {}) // not there
    },
    list,
  }
}
