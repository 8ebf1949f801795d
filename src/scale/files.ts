/** Files that other programs read while they are written: each appears once and whole. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { WorkbenchError } from '../errors.ts'
import { storageError, storageOf, writeFully } from '../engine/hosts/disk.ts'
import type { RunEvent } from '../engine/job/events.ts'

/**
 * Writes beside the file, flushes, and renames.
 * @throws {WorkbenchError} `storage-full`, `storage-failed`; then the file is as it was
 */
export async function writeWhole(path: string, content: string | Uint8Array | readonly Uint8Array[]): Promise<void> {
  const parts = typeof content === 'string' ? [new TextEncoder().encode(content)] : content instanceof Uint8Array ? [content] : content
  const draft = `${path}.${process.pid}.tmp`
  const write = async () => {
    await mkdir(dirname(path), { recursive: true })
    const file = await open(draft, 'w')
    try {
      let at = 0
      for (const part of parts) {
        await writeFully(file, part, at)
        at += part.byteLength
      }
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, path)
  }
  await storageOf(path)(
    write().catch(async (error) => {
      await rm(draft, { force: true }).catch(() => {})
      throw error
    }),
  )
}

export const writeJson = (path: string, value: unknown) => writeWhole(path, `${JSON.stringify(value, null, 1)}\n`)

/** The bytes of a small file; null where there is none. @throws {WorkbenchError} `file-truncated` where it is larger */
export async function readSmall(path: string, cap: number): Promise<Uint8Array<ArrayBuffer> | null> {
  const info = await stat(path).catch(() => null)
  if (!info?.isFile()) return null
  if (info.size > cap) throw new WorkbenchError('file-truncated', `${path} has ${info.size} bytes; at most ${cap} are read.`, '')
  return new Uint8Array(await readFile(path))
}

/** SHA-256 of a file's bytes. @throws {WorkbenchError} `file-missing` */
export function digestOfFile(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const hash = createHash('sha256')
    createReadStream(path)
      .on('data', (chunk) => hash.update(chunk))
      .on('end', () => resolve(hash.digest('hex')))
      .on('error', (cause) => reject(new WorkbenchError('file-missing', `${path} cannot be read.`, 'Check the path.', { cause })))
  })
}

/** Seconds between two lines about the progress of one job. */
const PROGRESS = 1

/** Events of one worker as JSON lines: on stdout, and at the end of a file, which all attempts at a job share. */
export class EventLines {
  #toldProgress = Number.NEGATIVE_INFINITY

  /** `path`: null for stdout alone. */
  constructor(readonly path: string | null) {
    if (path === null) return
    mkdirSync(dirname(path), { recursive: true })
    // An attempt that was killed may have left half a line.
    if (existsSync(path) && statSync(path).size && readFileSync(path).at(-1) !== 10) appendFileSync(path, '\n')
  }

  tell(event: { type: string; [member: string]: unknown }): void {
    const line = `${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`
    try {
      if (this.path !== null) appendFileSync(this.path, line)
    } catch (error) {
      throw storageError(error, this.path!)
    }
    process.stdout.write(line)
  }

  /** What the engine says, but for figures of the moment and the report, which is the result. */
  hear(event: RunEvent): void {
    if (event.type === 'memory' || event.type === 'job-end' || event.type === 'run-end') return
    if (event.type === 'progress') {
      const now = performance.now() / 1000
      if (now - this.#toldProgress < PROGRESS) return
      this.#toldProgress = now
    }
    this.tell(event)
  }
}
