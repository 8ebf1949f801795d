/** A manifest in each folder that the command line writes. Files that it lists may be replaced and removed; no others ever are. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { lstat, mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Hidden, so that readers of checkpoints ignore it. */
export const manifestName = '.quantease-workbench.json'

export interface Manifest {
  writtenBy: 'QuantEase Workbench'
  holds: 'checkpoint' | 'journal'
  /** By path inside the folder, with `/`. In an unfinished folder: without sizes. */
  files: Record<string, { bytes: number; sha256?: string } | null>
  /** In a journal: SHA-256 of the manifest of the checkpoint that its job was about to move to its place. */
  placed?: string
}

/** Small files are identified by content, since a user may have edited them; larger ones by size. */
const digestBelow = 64 << 20
/** The temporary file of `writeManifest`, which a full disk may leave behind. */
const draftName = `${manifestName}.new`
/** Size cap; a manifest is a list of names. */
const largest = 16 << 20

/** The folder's manifest; null when there is none or it was not written by this program. */
export async function readManifest(folder: string): Promise<Manifest | null> {
  const path = join(folder, manifestName)
  try {
    const info = await lstat(path)
    if (!info.isFile() || info.size > largest) return null
    const value = JSON.parse(await readFile(path, 'utf8')) as Partial<Manifest> | null
    if (value?.writtenBy !== 'QuantEase Workbench' || typeof value.files !== 'object' || value.files === null) return null
    return Object.keys(value.files).every(isPlainPath) ? (value as Manifest) : null
  } catch {
    return null
  }
}

/** Writes the manifest atomically. */
export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  await mkdir(folder, { recursive: true })
  const draft = join(folder, draftName)
  try {
    await writeFile(draft, manifestText(manifest), { flush: true })
    await rename(draft, join(folder, manifestName))
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {})
    throw error
  }
}

export function manifestText({ files, ...rest }: Manifest): string {
  const sorted = Object.fromEntries(Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1)))
  return `${JSON.stringify({ ...rest, files: sorted }, null, 1)}\n`
}

/** Whether a path stays inside its folder on every system: no drive, no `..`, no other separator. */
export const isPlainPath = (path: string) =>
  /^[^\\\0]+$/.test(path) && !/^[a-z]:/i.test(path) && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')

/** Size and, for small files, digest. */
export async function describeFile(path: string): Promise<{ bytes: number; sha256?: string }> {
  const { size } = await lstat(path)
  return size < digestBelow ? { bytes: size, sha256: await digestOf(path) } : { bytes: size }
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/** Added to the name of a file that was written here and then changed or damaged. */
export const changedSince = ' (changed since)'

/** Contents of the folder that the manifest does not cover: other files and links, and listed files changed since. */
export async function foreignTo(folder: string, manifest: Manifest | null): Promise<string[]> {
  const found: string[] = []
  const listed = Object.keys(manifest?.files ?? {})
  const walk = async (prefix: string) => {
    for (const entry of await readdir(join(folder, prefix), { withFileTypes: true })) {
      const path = prefix + entry.name
      if (entry.isDirectory()) {
        if (listed.some((file) => file.startsWith(`${path}/`))) await walk(`${path}/`)
        else found.push(`${path}/`)
      } else if (manifest && path === manifestName) continue
      // Written by this program, even before its first manifest.
      else if (path === draftName && entry.isFile()) continue
      else if (!entry.isFile() || !manifest || !Object.hasOwn(manifest.files, path)) found.push(path)
      else {
        const written = manifest.files[path]
        if (!written) continue
        const now = await describeFile(join(folder, path))
        if (now.bytes !== written.bytes || (written.sha256 && now.sha256 !== written.sha256)) found.push(path + changedSince)
      }
    }
  }
  await walk('')
  return found
}

/** Removes the listed files, then the manifest and empty folders. */
export async function removeListed(folder: string, { files }: Manifest): Promise<void> {
  for (const path of Object.keys(files)) await rm(join(folder, path), { force: true })
  const parents = new Set<string>()
  for (const path of Object.keys(files)) for (let at = dirname(path); at !== '.'; at = dirname(at)) parents.add(at)
  // The deepest first.
  for (const parent of [...parents].sort((a, b) => b.length - a.length)) await rmdir(join(folder, parent)).catch(() => {})
  for (const name of [draftName, manifestName]) await rm(join(folder, name), { force: true })
  await rmdir(folder).catch(() => {}) // contains other files, or does not exist
}
