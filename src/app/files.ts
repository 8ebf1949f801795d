/**
 * Reads files into the page (drag and drop, file pickers) and saves files from it (folders, zip, single files), without loading them into
 * memory.
 */
import { createStore, get, set } from 'idb-keyval'
import type { NamedFile } from '../engine/job/model.ts'
import { WorkbenchError } from '../errors.ts'

export const loadZip = () => import('client-zip')

// Not in every browser, so not in the standard library's types either.
declare global {
  interface Window {
    showDirectoryPicker?: (options?: { mode?: 'read' | 'readwrite'; id?: string }) => Promise<FileSystemDirectoryHandle>
  }
  interface FileSystemHandle {
    queryPermission?: (options: { mode: 'read' }) => Promise<PermissionState>
    requestPermission?: (options: { mode: 'read' }) => Promise<PermissionState>
  }
  interface DataTransferItem {
    getAsFileSystemHandle?: () => Promise<FileSystemHandle | null>
  }
}

/** What was dropped or picked: the files of one folder (paths inside it) or loose files. */
export interface Picked {
  name?: string
  files: NamedFile[]
  /** Of the folder, where the browser has such: the way to open it again another day. */
  handle?: FileSystemDirectoryHandle
}

/** A model folder has dozens of files; whoever drops a home directory gets a sentence instead of a frozen page. */
const maxFiles = 5000

class Collector {
  readonly files: NamedFile[] = []

  add(path: string, file: File) {
    if (this.files.length >= maxFiles) {
      throw new WorkbenchError(
        'file-missing',
        `There are more than ${maxFiles} files in this folder, too many for one model.`,
        'Drop the folder that contains config.json and the safetensors files.',
      )
    }
    this.files.push({ path, file })
  }
}

/** Folders such as .git or .cache are never part of a model. */
const hidden = (name: string) => name.startsWith('.')

/** Must be called in the drop event itself: the browser takes the items back when the event is over. @throws WorkbenchError `file-missing` */
export const filesOfDrop = (transfer: DataTransfer): Promise<Picked> => readable(dropped(transfer))

async function dropped(transfer: DataTransfer): Promise<Picked> {
  const items = [...transfer.items].filter((item) => item.kind === 'file')
  const roots = items.map((item) => ({
    handle: item.getAsFileSystemHandle?.().catch(() => null),
    entry: item.webkitGetAsEntry?.(),
    file: item.getAsFile(),
  }))
  const collector = new Collector()
  let name: string | undefined
  let folder: FileSystemDirectoryHandle | undefined
  for (const root of roots) {
    const handle = await root.handle
    const alone = roots.length === 1
    if (handle?.kind === 'directory') {
      if (alone) {
        name = handle.name
        folder = handle as FileSystemDirectoryHandle
      }
      await walkHandle(handle as FileSystemDirectoryHandle, alone ? '' : `${handle.name}/`, collector)
    } else if (!handle && root.entry?.isDirectory) {
      if (alone) name = root.entry.name
      await walkEntry(root.entry as FileSystemDirectoryEntry, alone ? '' : `${root.entry.name}/`, collector)
    } else {
      const file = handle ? await (handle as FileSystemFileHandle).getFile() : root.file
      if (file) collector.add(file.name, file)
    }
  }
  return { name, files: collector.files, handle: folder }
}

/** Between the drop and the reading, what was dropped may be gone. @throws WorkbenchError `file-missing` */
async function readable<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading
  } catch (cause) {
    if (!(cause instanceof DOMException) || cause.name === 'AbortError') throw cause
    throw new WorkbenchError(
      'file-missing',
      `The chosen files could not be read: ${cause.message.replace(/\.$/, '')}.`,
      'They may have been moved, renamed or deleted meanwhile. Choose them again.',
      { cause },
    )
  }
}

async function walkHandle(folder: FileSystemDirectoryHandle, path: string, collector: Collector): Promise<void> {
  for await (const handle of folder.values()) {
    if (hidden(handle.name)) continue
    if (handle.kind === 'directory') await walkHandle(handle as FileSystemDirectoryHandle, `${path}${handle.name}/`, collector)
    else collector.add(path + handle.name, await (handle as FileSystemFileHandle).getFile())
  }
}

async function walkEntry(folder: FileSystemDirectoryEntry, path: string, collector: Collector): Promise<void> {
  const reader = folder.createReader()
  for (;;) {
    // Hands out 100 at a time, then none.
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject))
    if (!entries.length) return
    for (const entry of entries) {
      if (hidden(entry.name)) continue
      if (entry.isDirectory) await walkEntry(entry as FileSystemDirectoryEntry, `${path}${entry.name}/`, collector)
      else {
        const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))
        collector.add(path + entry.name, file)
      }
    }
  }
}

/** Null when the person closed the picker. */
export async function pickFolder(): Promise<Picked | null> {
  const folder = await orNull(window.showDirectoryPicker!({ mode: 'read', id: 'model' }))
  return folder && filesOfFolder(folder)
}

async function filesOfFolder(folder: FileSystemDirectoryHandle): Promise<Picked> {
  const collector = new Collector()
  await readable(walkHandle(folder, '', collector))
  return { name: folder.name, files: collector.files, handle: folder }
}

// ---------------------------------------------------------------- the same folder again

/** A handle cannot be written down as text: this is what IndexedDB is for. */
const folders = createStore('quantease-workbench', 'folders')

/** Private windows may refuse at once, others later. */
async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch {
    return undefined
  }
}

/** Keeps the way to the folder of the model; a browser that refuses will have to ask for the folder. */
export async function rememberFolder(folder: FileSystemDirectoryHandle): Promise<void> {
  await attempt(() => set('model', folder, folders))
}

/**
 * The folder remembered last, if it has this name and may be read again; `asking`: the person may be asked, for which this has to be called
 * in a click.
 */
export async function pickAgain(name: string, asking: boolean): Promise<Picked | null> {
  const folder = await attempt(() => get<FileSystemDirectoryHandle>('model', folders))
  if (folder?.name !== name) return null
  const how = { mode: 'read' } as const
  const allowed = await (asking ? folder.requestPermission?.(how) : folder.queryPermission?.(how))
  return allowed === 'granted' ? filesOfFolder(folder) : null
}

/** Of an `<input type="file">`, with or without `webkitdirectory`. */
export function filesOfInput(list: FileList): Picked {
  const files = [...list]
  const root = files[0]?.webkitRelativePath.split('/')[0]
  const collector = new Collector()
  for (const file of files) {
    const path = file.webkitRelativePath ? file.webkitRelativePath.slice(root.length + 1) : file.name
    if (!path.split('/').some(hidden)) collector.add(path, file)
  }
  return { name: root || undefined, files: collector.files }
}

const textName = /\.(txt|text|raw|md|jsonl|ndjson|csv|tsv|parquet)(\.(gz|zst))?$|\.json\.(gz|zst)$/i
const weightsName = /\.(safetensors|bin|pth?|ckpt|pkl|gguf|ggml|onnx|onnx_data|h5|msgpack|npz|model)$/i
/** Of config.json, tokenizer.json and the like; a vocabulary is an object of numbers. */
const modelKey =
  /"(architectures|model_type|transformers_version|weight_map|added_tokens|tokenizer_class|peft_type|[beu]os_token|unk_token)"\s*:/
const rowsOfJson = /^\s*\[|\}\s*\{|:\s*\[\s*\{|"(text|content|messages|conversations|prompt)"\s*:/

/**
 * Whether loose files that were dropped are texts rather than pieces of a model: by their names, and a .json by what it holds.
 * `anything`: so is all else that no model has, to be refused as a text.
 */
export async function areTexts(files: NamedFile[], anything: boolean): Promise<boolean> {
  for (const { path, file } of files) {
    if (textName.test(path)) continue
    if (/\.json$/i.test(path)) {
      const head = await readable(file.slice(0, 1 << 16).text())
      if (path === 'config.json' || modelKey.test(head) || !(rowsOfJson.test(head) || (anything && !head.trim()))) return false
    } else if (!anything || weightsName.test(path) || path.includes('/')) return false
  }
  return true
}

// ---------------------------------------------------------------- out

export interface Source {
  path: string
  bytes: number
  open: () => Promise<File>
}

/** Offers a blob as a download; blobs that are files on disk are never read into memory. */
export function download(name: string, blob: Blob) {
  const url = URL.createObjectURL(blob)
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  // The browser reads the blob after the click; a minute is plenty to begin.
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}

export const canPickFolders = () => typeof window.showDirectoryPicker === 'function'

/**
 * Writes the files into a new folder inside one that the person picks, and returns what it is called; null when they closed
 * the picker. Nothing that is there is written over: `beside` is asked whether another name will do.
 */
export async function saveToFolder(
  name: string,
  sources: Source[],
  progress: (bytes: number) => void,
  beside: (free: string) => Promise<boolean>,
): Promise<string | null> {
  const parent = await orNull(window.showDirectoryPicker!({ mode: 'readwrite', id: 'export' }))
  if (!parent) return null
  let free = name
  for (let n = 2; await isThere(parent, free); n++) free = `${name}-${n}`
  if (free !== name && !(await beside(free))) return null
  const folder = await parent.getDirectoryHandle(free, { create: true })
  try {
    await writeInto(folder, sources, progress)
  } catch (thrown) {
    // Half a checkpoint looks like a whole one. The folder is our own.
    await parent.removeEntry(free, { recursive: true }).catch(() => {})
    throw thrown
  }
  return free
}

/** Whether a folder or file has this name. */
async function isThere(parent: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  try {
    await parent.getDirectoryHandle(name)
    return true
  } catch (thrown) {
    if (thrown instanceof DOMException && thrown.name === 'NotFoundError') return false
    if (thrown instanceof DOMException && thrown.name === 'TypeMismatchError') return true
    throw thrown
  }
}

async function writeInto(folder: FileSystemDirectoryHandle, sources: Source[], progress: (bytes: number) => void): Promise<void> {
  let written = 0
  for (const source of sources) {
    const parts = source.path.split('/')
    let place = folder
    for (const part of parts.slice(0, -1)) place = await place.getDirectoryHandle(part, { create: true })
    const target = await place.getFileHandle(parts.at(-1)!, { create: true })
    const counting = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        written += chunk.length
        progress(written)
        controller.enqueue(chunk)
      },
    })
    const file = await source.open()
    try {
      await file
        .stream()
        .pipeThrough(counting)
        .pipeTo(await target.createWritable())
    } catch (thrown) {
      if (!(thrown instanceof DOMException && thrown.name === 'QuotaExceededError')) throw thrown
      throw new WorkbenchError('storage-full', `The disk is full: ${source.path} could not be written.`, 'Free some space and save again.')
    }
  }
}

/** One zip, made while it streams; the browser keeps the blob on disk once it is large. */
export async function saveAsZip(name: string, sources: Source[], progress: (bytes: number) => void): Promise<void> {
  let read = 0
  async function* files() {
    for (const source of sources) {
      const file = await source.open()
      yield { name: `${name}/${source.path}`, input: file, lastModified: new Date(file.lastModified) }
      read += source.bytes
      progress(read)
    }
  }
  const { downloadZip } = await loadZip()
  download(`${name}.zip`, await downloadZip(files()).blob())
}

async function orNull<T>(picking: Promise<T>): Promise<T | null> {
  try {
    return await picking
  } catch (thrown) {
    if (thrown instanceof DOMException && thrown.name === 'AbortError') return null
    throw thrown
  }
}
