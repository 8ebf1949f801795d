/** Folders that live in memory: for tests, and for models small enough not to need a disk. */
import type { Bytes, Files, Sink, SinkFile } from './bytes.ts'

export interface MemorySink extends Sink {
  /** What was written, readable at any time. */
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>
}

export function memorySink(): MemorySink {
  const files = new Map<string, Uint8Array<ArrayBuffer>>()
  return {
    files,
    async create(path: string, size: number): Promise<SinkFile> {
      const content = new Uint8Array(size)
      files.set(path, content)
      return {
        write: async (data, at) => content.set(data, at),
        close: async () => {},
      }
    },
    async open(path: string): Promise<Bytes> {
      const content = files.get(path)
      if (!content) throw new Error(`No file ${path} was written`)
      return new Blob([content])
    },
    async remove() {
      files.clear()
    },
  }
}

/** A folder from plain contents; strings become UTF-8. */
export function memoryFiles(contents: Iterable<readonly [string, string | Uint8Array<ArrayBuffer>]>): Files {
  return new Map(Array.from(contents, ([path, content]) => [path, new Blob([content])]))
}
