/** Where bytes come from and where they go, without saying whether that is a browser file, a disk or a network. */
import { WorkbenchError } from '../errors.ts'

/** The part of `Blob` that readers need; a `File`, a Node file handle and a remote range all satisfy it. */
export interface Bytes {
  readonly size: number
  slice(start: number, end: number): Bytes
  arrayBuffer(): Promise<ArrayBuffer>
  /** Says which ranges will be read soon, so that a file that is far away can be ahead of its reader. Replaces what was said before. */
  ahead?(ranges: readonly AheadRange[]): void
}

/** Bytes `[begin, end)`. */
export interface ByteRange {
  begin: number
  end: number
}

/** A range that will be read. */
export interface AheadRange extends ByteRange {
  /** Its place in the order of reading, across all files that were announced together. */
  turn: number
}

/** A folder, flat: path inside the folder -> bytes. */
export type Files = ReadonlyMap<string, Bytes>

/** A place for a new folder of files, written piecewise and at any position. */
export interface Sink {
  /** Creates the file at its final size. Throws `storage-full` when there is no room for it. */
  create(path: string, size: number): Promise<SinkFile>
  /** Reads a finished file back, for the check after writing. */
  open(path: string): Promise<Bytes>
  /** All is written and has been read back: gives the folder its place. */
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
  /** Opens a file, made empty when there is none; nobody else may have it open. Throws `storage-full`, `storage-failed`. */
  edit(path: string): Promise<StoreFile>
  /** Removes a file, or does nothing when there is none. */
  remove(path: string): Promise<void>
  /** Names of all files. */
  list(): Promise<string[]>
}

export interface StoreFile extends SinkFile {
  /** Bytes it had when it was opened. */
  readonly size: number
  /** Bytes `[begin, end)`, fewer where the file ends. */
  read(begin: number, end: number): Promise<Uint8Array<ArrayBuffer>>
  resize(size: number): Promise<void>
  /** Returns when what was written is safe from a power cut. */
  flush(): Promise<void>
}

/** Bytes `[begin, end)` of a file, all of them or a `file-truncated` that names it. */
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
 * Gives the memory of bytes back at once, where that can be said (browsers since 2024): waiting for the collector, a page that
 * reads quickly holds hundreds of megabytes that nobody uses. Nobody may use them afterwards.
 */
export function discard({ buffer }: Uint8Array<ArrayBuffer>): void {
  ;(buffer as ArrayBuffer & { transfer?(bytes: number): ArrayBuffer }).transfer?.(0)
}

function describe(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).replace(/\.$/, '')
}
