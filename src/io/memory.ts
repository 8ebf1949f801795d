/** Folders in memory, for tests and small models. */
import type { Bytes, Files, Sink, SinkFile, Store } from './bytes.ts'

export interface MemorySink extends Sink {
  /** A sink that keeps everything in memory; it can be read at any time. */
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
    commit: async () => {},
    async remove() {
      files.clear()
    },
  }
}

export interface MemoryStore extends Store {
  readonly files: Map<string, Uint8Array<ArrayBuffer>>
}

/** A store in memory, which survives a failed run but not the process; `files` may be a copy of another store's. */
export function memoryStore(files = new Map<string, Uint8Array<ArrayBuffer>>()): MemoryStore {
  return {
    files,
    async edit(path) {
      const size = files.get(path)?.length ?? 0
      // Reserves room to grow, so that appending does not copy the file every time.
      let buffer = new Uint8Array(size)
      if (size) buffer.set(files.get(path)!)
      const resize = (length: number) => {
        if (length > buffer.length) {
          const larger = new Uint8Array(Math.max(length, 2 * buffer.length))
          larger.set(files.get(path)!)
          buffer = larger
        }
        files.set(path, buffer.subarray(0, length))
      }
      resize(size)
      return {
        size,
        read: async (begin, end) => files.get(path)!.slice(begin, end),
        async write(data, at) {
          resize(Math.max(files.get(path)!.length, at + data.length))
          buffer.set(data, at)
        },
        resize: async (length) => resize(length),
        flush: async () => {},
        close: async () => {},
      }
    },
    async remove(path) {
      files.delete(path)
    },
    list: async () => [...files.keys()],
  }
}

/** A folder from plain contents; strings become UTF-8. */
export function memoryFiles(contents: Iterable<readonly [string, string | Uint8Array<ArrayBuffer>]>): Files {
  return new Map(Array.from(contents, ([path, content]) => [path, new Blob([content])]))
}
