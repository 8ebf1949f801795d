/** Interfaces for reading and writing bytes, the same for browser files, disk and network. */
import { WorkbenchError } from '../errors.ts'

/** The part of `Blob` that readers need; a `File`, a Node file handle and a remote range all satisfy it. */
export interface Bytes {
  readonly size: number
  slice(start: number, end: number): Bytes
  arrayBuffer(): Promise<ArrayBuffer>
  /** Announces which ranges will be read soon, so that a remote file can prefetch them. Replaces earlier announcements. */
  ahead?(ranges: readonly AheadRange[]): void
}

/** Bytes `[begin, end)`. */
export interface ByteRange {
  begin: number
  end: number
}

/** A range that will be read soon. */
export interface AheadRange extends ByteRange {
  /** Its position in the reading order, across all files announced together. */
  turn: number
}

/** A folder as a flat map: path inside the folder -> bytes. */
export type Files = ReadonlyMap<string, Bytes>

/** Destination for a new folder of files, written in pieces and at any position. */
export interface Sink {
  /** Creates the file at its final size. Throws `storage-full` when there is no room for it. */
  create(path: string, size: number): Promise<SinkFile>
  /** Reads a finished file back, for the check after writing. */
  open(path: string): Promise<Bytes>
  /** Everything is written and verified: moves the folder to its final place. */
  commit(): Promise<void>
  /** Removes everything written so far. */
  remove(): Promise<void>
}

export interface SinkFile {
  write(data: Uint8Array, at: number): Promise<void>
  close(): Promise<void>
}

/** A folder that outlives the process: its files are read, appended to and removed one by one. */
export interface Store {
  /** Opens a file, creating an empty one if there is none; nobody else may have it open. Throws `storage-full`, `storage-failed`. */
  edit(path: string): Promise<StoreFile>
  /** Removes a file, or does nothing when there is none. */
  remove(path: string): Promise<void>
  /** Names of all files. */
  list(): Promise<string[]>
}

export interface StoreFile extends SinkFile {
  /** Its size in bytes when it was opened. */
  readonly size: number
  /** Bytes `[begin, end)`; fewer if the file ends before. */
  read(begin: number, end: number): Promise<Uint8Array<ArrayBuffer>>
  resize(size: number): Promise<void>
  /** Returns once everything written would survive a power cut. */
  flush(): Promise<void>
}

/** All bytes `[begin, end)` of a file. @throws {WorkbenchError} `file-truncated` that names the file */
export async function readRange(file: Bytes, begin: number, end: number, name: string): Promise<Uint8Array<ArrayBuffer>> {
  let buffer: ArrayBuffer
  try {
    buffer = await file.slice(begin, end).arrayBuffer()
  } catch (cause) {
    if (cause instanceof WorkbenchError) throw cause
    // Browsers refuse to read a file that was moved or changed since it was chosen.
    throw new WorkbenchError(
      'file-truncated',
      `${name} could not be read: ${describe(cause)}.`,
      'Choose the folder again; the file may have changed.',
      {
        cause,
      },
    )
  }
  if (buffer.byteLength !== end - begin) {
    throw new WorkbenchError(
      'file-truncated',
      `${name} ends early: bytes ${begin} to ${end} were wanted, ${buffer.byteLength} of ${end - begin} came.`,
      'Download or copy the file again, then choose the folder again.',
    )
  }
  return new Uint8Array(buffer)
}

/**
 * Frees the memory of an array at once, where the platform allows it (browsers since 2024). Left to the garbage collector, a page that
 * reads quickly keeps hundreds of unused megabytes. The array must not be used afterwards.
 */
export function discard({ buffer }: Uint8Array<ArrayBuffer>): void {
  ;(buffer as ArrayBuffer & { transfer?(bytes: number): ArrayBuffer }).transfer?.(0)
}

function describe(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).replace(/\.$/, '')
}
