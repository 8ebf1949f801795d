/** Where bytes come from and where they go, without saying whether that is a browser file, a disk or a network. */

/** The part of `Blob` that readers need; a `File`, a Node file handle and a remote range all satisfy it. */
export interface Bytes {
  readonly size: number
  slice(start: number, end: number): Bytes
  arrayBuffer(): Promise<ArrayBuffer>
}

/** A folder, flat: path inside the folder -> bytes. */
export type Files = ReadonlyMap<string, Bytes>

/** A place for a new folder of files, written piecewise and at any position. */
export interface Sink {
  /** Creates the file at its final size. Throws `storage-full` when there is no room for it. */
  create(path: string, size: number): Promise<SinkFile>
  /** Reads a finished file back, for the check after writing. */
  open(path: string): Promise<Bytes>
  /** Removes everything written so far. */
  remove(): Promise<void>
}

export interface SinkFile {
  write(data: Uint8Array, at: number): Promise<void>
  close(): Promise<void>
}
