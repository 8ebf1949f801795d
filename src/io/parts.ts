/** Files whose parts are all known up front: what a checkpoint of any format is written into while its parts are still to come. */
import { type Bytes, readRange, type Sink, type SinkFile } from './bytes.ts'
import { unwritable } from './names.ts'

export interface PartedFile {
  path: string
  /** All of it. What belongs to no part stays 0. */
  size: number
  /** Its first bytes. */
  head: Uint8Array
  /** Places apart from each other and from the head; names are unique across files. */
  parts: { name: string; offset: number; bytes: number }[]
}

const copyChunk = 8 << 20

/** Writes parts in any order and in pieces, straight into the sink: each goes where the plan says, so no file is ever held in memory. */
export class PartWriter {
  readonly #sink: Sink
  readonly #files: readonly PartedFile[]
  readonly #slots = new Map<string, Slot>()
  readonly #open = new Map<PartedFile, OpenFile>()
  readonly #written: { path: string; bytes: number }[] = []

  constructor(sink: Sink, files: readonly PartedFile[]) {
    this.#sink = sink
    this.#files = files
    for (const file of files) {
      for (const { name, offset, bytes } of file.parts) {
        if (this.#slots.has(name)) throw new Error(`${name} is planned twice`)
        this.#slots.set(name, { file, offset, bytes, done: [] })
      }
    }
  }

  /** Writes `data` at `byteOffset` of a part. A file is created with its first write. */
  async write(name: string, data: Uint8Array, byteOffset = 0): Promise<void> {
    const slot = this.#slots.get(name)
    if (!slot) throw new Error(`Tensor ${name} was not planned`)
    const end = byteOffset + data.length
    if (byteOffset < 0 || end > slot.bytes) throw new Error(`Bytes ${byteOffset} to ${end} of ${name}, which has ${slot.bytes}`)
    const open = this.#openFile(slot.file)
    await (await open.file).write(data, slot.offset + byteOffset)
    open.missing -= cover(slot.done, byteOffset, end)
    if (open.missing === 0 && !open.closed) await this.#close(open)
  }

  /** Copies a file that has no parts, byte for byte. */
  async writeFile(path: string, content: Bytes): Promise<void> {
    const why = unwritable(path)
    if (why) throw new Error(`${JSON.stringify(path)} is not written: ${why}`)
    if (this.#written.some((file) => file.path === path) || this.#files.some((file) => file.path === path)) {
      throw new Error(`${path} is written twice`)
    }
    this.#written.push({ path, bytes: content.size })
    const file = await this.#sink.create(path, content.size)
    for (let at = 0; at < content.size; at += copyChunk) {
      await file.write(await readRange(content, at, Math.min(content.size, at + copyChunk), path), at)
    }
    await file.close()
  }

  /** Closes all files with parts. Throws when a part is not all there. */
  protected async complete(): Promise<void> {
    for (const [name, { bytes, done }] of this.#slots) {
      const written = done.reduce((sum, [begin, end]) => sum + end - begin, 0)
      if (written !== bytes) throw new Error(`Tensor ${name} is incomplete: ${written} of ${bytes} bytes were written`)
    }
    for (const file of this.#files) {
      const open = this.#openFile(file) // a file of empty parts only is created here
      if (!open.closed) await this.#close(open)
    }
  }

  /** Closes all files and returns what was written. Throws when a part is not all there. */
  async finish(): Promise<{ path: string; bytes: number }[]> {
    await this.complete()
    return [...this.#files.map(({ path, size }) => ({ path, bytes: size })), ...this.#written]
  }

  #openFile(file: PartedFile): OpenFile {
    let open = this.#open.get(file)
    if (!open) {
      const create = async () => {
        const created = await this.#sink.create(file.path, file.size)
        await created.write(file.head, 0)
        return created
      }
      open = { file: create(), missing: file.parts.reduce((sum, { bytes }) => sum + bytes, 0), closed: false }
      this.#open.set(file, open)
    }
    return open
  }

  async #close(open: OpenFile): Promise<void> {
    open.closed = true
    await (await open.file).close()
  }
}

interface Slot {
  file: PartedFile
  offset: number
  bytes: number
  /** Byte ranges written so far: sorted, apart from each other. */
  done: [number, number][]
}

interface OpenFile {
  file: Promise<SinkFile>
  /** Bytes of parts not yet written. */
  missing: number
  closed: boolean
}

/** Adds a range to sorted, disjoint ranges and returns how many bytes of it are new. */
function cover(done: [number, number][], begin: number, end: number): number {
  if (begin === end) return 0
  const first = done.findIndex((range) => range[1] >= begin)
  const from = first < 0 ? done.length : first
  let to = from
  let known = 0
  const merged: [number, number] = [begin, end]
  while (to < done.length && done[to][0] <= end) {
    known += Math.max(0, Math.min(end, done[to][1]) - Math.max(begin, done[to][0]))
    merged[0] = Math.min(merged[0], done[to][0])
    merged[1] = Math.max(merged[1], done[to][1])
    to++
  }
  done.splice(from, to - from, merged)
  return end - begin - known
}
