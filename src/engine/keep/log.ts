/**
 * An append-only file of values by key. Each record has its length and a digest; whatever follows the last complete record (an
 * interrupted write) is dropped when the file is opened.
 */
import type { Store, StoreFile } from '../../io/bytes.ts'
import { hex, sha256, unhex } from '../../io/digest.ts'

type Words = Uint8Array | Uint32Array | Int32Array | Float32Array
export type Arrays = Record<string, Words>

/** Magic, length of head and of payload, SHA-256 of the head. */
const PREFIX = 4 + 4 + 4 + 32
const MAGIC = 0x314a4551 // QEJ1
/** Size limits: a head is names and figures, a payload one linear. */
const MOST = { head: 2 ** 24, payload: 2 ** 31 }

const types = { u8: Uint8Array, u32: Uint32Array, i32: Int32Array, f32: Float32Array }

interface Head {
  key: string
  value: unknown
  /** Name, type and element count of each array, in the order of the payload. */
  arrays: [name: string, type: keyof typeof types, count: number][]
  /** SHA-256 of the payload, checked when it is read. */
  payload: string
}

export class Log {
  readonly #records = new Map<string, { head: Head; at: number; bytes: number }>()
  #end = 0

  private constructor(readonly file: StoreFile) {}

  static async open(store: Store, path: string): Promise<Log> {
    const log = new Log(await store.edit(path))
    const { file } = log
    for (;;) {
      const prefix = await file.read(log.#end, log.#end + PREFIX)
      if (prefix.length < PREFIX) break
      const [magic, headBytes, payloadBytes] = new Uint32Array(prefix.buffer, 0, 3)
      const at = log.#end + PREFIX
      if (magic !== MAGIC || headBytes > MOST.head || payloadBytes > MOST.payload || at + headBytes + payloadBytes > file.size) break
      const text = await file.read(at, at + headBytes)
      if ((await sha256(text)) !== hex(prefix.subarray(12))) break
      log.#add(JSON.parse(new TextDecoder().decode(text)), headBytes, payloadBytes)
    }
    if (log.#end < file.size) await file.resize(log.#end)
    return log
  }

  get bytes(): number {
    return this.#end
  }

  has(key: string): boolean {
    return this.#records.has(key)
  }

  keys(): string[] {
    return [...this.#records.keys()]
  }

  /** The value last put under this key. */
  get<T>(key: string): T | undefined {
    return this.#records.get(key)?.head.value as T | undefined
  }

  /** The arrays of a record; null when there is no such record or they are damaged. */
  async arrays(key: string): Promise<Arrays | null> {
    const record = this.#records.get(key)
    if (!record) return null
    const payload = await this.file.read(record.at, record.at + record.bytes)
    if ((await sha256(payload)) !== record.head.payload) return null
    const found: Arrays = {}
    let at = 0
    for (const [name, type, count] of record.head.arrays) {
      const size = count * types[type].BYTES_PER_ELEMENT
      found[name] = new types[type](payload.buffer.slice(at, at + size))
      at += size
    }
    return found
  }

  /** Appends a record; returns once it is durable. After an error nothing has changed, and the call may be repeated. */
  async put(key: string, value: unknown, arrays: Arrays = {}): Promise<void> {
    const payload = joined(Object.values(arrays))
    const head: Head = {
      key,
      value,
      arrays: Object.entries(arrays).map(([name, array]) => [name, typeOf(array), array.length]),
      payload: await sha256(payload),
    }
    const text = new TextEncoder().encode(JSON.stringify(head))
    const prefix = new Uint8Array(PREFIX)
    new Uint32Array(prefix.buffer, 0, 3).set([MAGIC, text.length, payload.length])
    prefix.set(unhex(await sha256(text)), 12)
    await this.file.write(joined([prefix, text, payload]), this.#end)
    await this.file.flush()
    this.#add(head, text.length, payload.length)
  }

  close(): Promise<void> {
    return this.file.close()
  }

  #add(head: Head, headBytes: number, payloadBytes: number): void {
    this.#records.set(head.key, { head, at: this.#end + PREFIX + headBytes, bytes: payloadBytes })
    this.#end += PREFIX + headBytes + payloadBytes
  }
}

function typeOf(array: Words): keyof typeof types {
  return (Object.keys(types) as (keyof typeof types)[]).find((type) => array instanceof types[type])!
}

function joined(parts: Words[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0))
  let at = 0
  for (const part of parts) {
    all.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at)
    at += part.byteLength
  }
  return all
}
