/**
 * A cache on disk for ranges of remote files. Each range is one file, named by the hash of the whole remote file (the Hub's entity tag)
 * and its position there, so versions of a file never mix, and equal files of different repositories share their ranges. A file whose
 * length does not match its name is never used. When the budget is exceeded, the least recently used ranges are removed, but none that
 * the open model has used: of a model larger than the budget the first part then stays, where plain LRU would keep nothing for the next
 * pass.
 *
 * Several tabs or programs may share a folder: each lists the folder again before it removes anything, and whenever it has written a 64th
 * of the budget. Files that are not named like ranges are left alone.
 *
 * It also keeps the Hub's last answers about opened repositories, so that they open without a network.
 */
import { type ErrorCode, WorkbenchError } from '../../errors.ts'
import { type ByteRange, type Bytes, readRange } from '../bytes.ts'
import { isObject } from '../json.ts'

/** Default size in bytes. */
export const defaultCacheBudget = 10e9

/** A flat folder. */
export interface CacheFolder {
  list(): Promise<{ name: string; bytes: number; modified: number }[]>
  open(name: string): Promise<Bytes>
  /** Writes a whole file. @throws WorkbenchError `storage-full`, `storage-failed` */
  write(name: string, data: Uint8Array): Promise<void>
  remove(name: string): Promise<void>
}

export interface CacheInfo {
  /** Kept now. */
  bytes: number
  budget: number
  /** Why nothing is added any more; null while the cache works. Clearing it or changing its budget resets this. */
  full: string | null
}

interface Entry extends ByteRange {
  name: string
  key: string
  used: number
}

/** When each range was last used; browsers do not record that. */
const usesName = 'uses.json'
const saveEvery = 5000
const maxUses = 16 << 20
/** The last answer to each question; the oldest is removed first. */
const answersName = 'answers.json'
const maxAnswers = 200
const maxAnswer = 256 << 10

export class Cache {
  readonly #entries = new Map<string, Entry>()
  #ready: Promise<void> | null = null
  #bytes = 0
  /** Bytes written since the folder was last listed. */
  #unseen = 0
  #budget: number
  #full: string | null = null
  #overflowed = false
  /** Ranges used since then are not removed to make room for new ones. */
  #epoch = Number.POSITIVE_INFINITY
  #saved = 0
  #answers: Promise<Map<string, unknown>> | null = null
  #unsaved = false
  #saving: Promise<void> | null = null

  constructor(
    readonly store: CacheFolder,
    budget: number,
    /** Called once when the cache stops storing what is read. */
    readonly onFull: (code: ErrorCode, message: string, hint: string) => void,
    readonly clock: () => number = Date.now,
  ) {
    this.#budget = budget
  }

  async info(): Promise<CacheInfo> {
    await this.#look()
    return { bytes: this.#bytes, budget: this.#budget, full: this.#full }
  }

  async setBudget(bytes: number): Promise<void> {
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      throw new WorkbenchError(
        'option-invalid',
        `The size of the cache cannot be ${bytes} bytes.`,
        'Give a whole number of bytes; 0 keeps nothing.',
      )
    }
    this.#budget = bytes
    this.#full = null
    await this.#look()
    await this.#shrink(bytes, Number.POSITIVE_INFINITY)
  }

  async clear(): Promise<void> {
    await this.#look()
    for (const entry of [...this.#entries.values()]) {
      await this.store.remove(entry.name)
      this.#forget(entry)
    }
    await this.store.remove(usesName)
    await this.#saving
    await this.store.remove(answersName)
    this.#answers = null
    this.#full = null
    this.#overflowed = false
  }

  /** Called when files are opened: ranges used from now on have priority over those used before. */
  begin(): void {
    this.#epoch = this.clock()
    this.#overflowed = false
  }

  /** The cached parts of a range, sorted and disjoint; each can be read by one `read`. */
  async find(key: string, { begin, end }: ByteRange): Promise<ByteRange[]> {
    await this.#load()
    const parts: ByteRange[] = []
    let at = begin
    for (const entry of this.#of(key)) {
      const part = { begin: Math.max(at, entry.begin), end: Math.min(end, entry.end) }
      if (part.begin >= part.end) continue
      parts.push(part)
      at = part.end
    }
    return parts
  }

  /** Null when it is no longer in the cache. */
  async read(key: string, { begin, end }: ByteRange): Promise<Uint8Array<ArrayBuffer> | null> {
    const entry = this.#of(key).find((one) => one.begin <= begin && one.end >= end)
    if (!entry) return null
    try {
      const file = await this.store.open(entry.name)
      if (file.size !== entry.end - entry.begin) throw new Error('Its length is wrong.')
      const bytes = await readRange(file, begin - entry.begin, end - entry.begin, entry.name)
      entry.used = this.clock()
      await this.#saveUses().catch(() => {}) // this only affects the order of eviction
      return bytes
    } catch {
      // Evicted by another tab, cut short by a crash, cleared by the browser: it is simply not there.
      await this.#remove(entry)
      return null
    }
  }

  async write(key: string, begin: number, bytes: Uint8Array): Promise<void> {
    await this.#load()
    if (this.#full !== null || bytes.length > this.#budget) return
    const name = `${key}-${begin}-${begin + bytes.length}`
    if (this.#entries.has(name) || !namePattern.test(name)) return
    try {
      const room = this.#budget - bytes.length
      if (this.#bytes > room || this.#unseen > this.#budget / 64) await this.#look()
      if (!(await this.#shrink(room, this.#epoch))) {
        if (!this.#overflowed)
          this.onFull(
            'storage-full',
            `The model is larger than the cache of ${megabytes(this.#budget)}.`,
            'What does not fit is read from the network each time it is needed; a larger cache saves that.',
          )
        this.#overflowed = true
        return
      }
      await this.store.write(name, bytes)
      this.#unseen += bytes.length
      this.#add({ name, key, begin, end: begin + bytes.length, used: this.clock() })
      await this.#saveUses()
    } catch (error) {
      this.#stop(error)
    }
  }

  /** Removes all ranges of a file that turned out to be of another version. */
  async drop(key: string): Promise<void> {
    await this.#load()
    for (const entry of this.#of(key)) await this.#remove(entry)
  }

  /** Keeps an answer as JSON; one that is too long or cannot be stored is dropped. */
  async remember(question: string, answer: unknown): Promise<void> {
    if (this.#budget === 0 || JSON.stringify(answer).length > maxAnswer) return
    const answers = await this.#recall()
    answers.delete(question)
    answers.set(question, answer)
    for (const oldest of answers.keys()) if (answers.size > maxAnswers) answers.delete(oldest)
    this.#unsaved = true
    this.#saving ??= this.#saveAnswers(answers).finally(() => {
      this.#saving = null
    })
    await this.#saving
  }

  /** The answer given to `remember`, unchecked; undefined when there is none. */
  async recall(question: string): Promise<unknown> {
    return (await this.#recall()).get(question)
  }

  // ---------------------------------------------------------------- inside

  #recall(): Promise<Map<string, unknown>> {
    this.#answers ??= this.#readAnswers()
    return this.#answers
  }

  async #readAnswers(): Promise<Map<string, unknown>> {
    return new Map(Object.entries(await this.#readJson(answersName, maxAnswers * maxAnswer)))
  }

  /** One write at a time; answers that arrive meanwhile share the next one. */
  async #saveAnswers(answers: Map<string, unknown>): Promise<void> {
    while (this.#unsaved) {
      this.#unsaved = false
      // Merged with those that another tab or program has written meanwhile.
      const others = [...(await this.#readAnswers())].filter(([question]) => !answers.has(question))
      const text = JSON.stringify(Object.fromEntries([...others, ...answers].slice(-maxAnswers)))
      await this.store.write(answersName, new TextEncoder().encode(text)).catch(() => {}) // the caller has the answer in any case
    }
  }

  /** Storage failed: go on without a cache. */
  #stop(error: unknown): void {
    if (!(error instanceof WorkbenchError)) throw error
    if (this.#full !== null) return
    this.#full = error.message
    this.onFull(
      error.code,
      `${error.message} Nothing more is cached.`,
      `What is needed again is read from the network again. ${error.hint}`,
    )
  }

  #load(): Promise<void> {
    this.#ready ??= (async () => {
      const files = await this.store.list().catch((error) => {
        this.#stop(error)
        return []
      })
      // Without it, the time of writing is used.
      const uses = files.some(({ name }) => name === usesName) ? await this.#readJson(usesName, maxUses) : {}
      for (const { name, bytes, modified } of files) {
        const entry = entryOf(name, typeof uses[name] === 'number' ? uses[name] : modified)
        if (!entry) continue
        // A crash while writing leaves a shorter file.
        if (entry.end - entry.begin !== bytes) await this.store.remove(name).catch((error) => this.#stop(error))
        else this.#add(entry)
      }
    })()
    return this.#ready
  }

  /** Lists the folder again, for what other tabs and programs have written and removed. */
  async #look(): Promise<void> {
    if (!this.#ready) return this.#load()
    await this.#ready
    this.#unseen = 0
    const known = [...this.#entries.values()]
    const files = await this.store.list().catch((error) => {
      this.#stop(error)
      return null
    })
    if (!files) return
    const there = new Set<string>()
    for (const { name, bytes, modified } of files) {
      const entry = entryOf(name, modified)
      // One of another length is being written now.
      if (!entry || entry.end - entry.begin !== bytes) continue
      there.add(name)
      this.#add(entry)
    }
    for (const entry of known) if (!there.has(entry.name)) this.#forget(entry)
  }

  #add(entry: Entry): void {
    if (this.#entries.has(entry.name)) return
    this.#entries.set(entry.name, entry)
    this.#bytes += entry.end - entry.begin
  }

  #forget(entry: Entry): void {
    if (this.#entries.delete(entry.name)) this.#bytes -= entry.end - entry.begin
  }

  async #remove(entry: Entry): Promise<void> {
    this.#forget(entry)
    await this.store.remove(entry.name).catch((error) => this.#stop(error))
  }

  /** Removes ranges until at most `bytes` are left, but none used since `epoch`. Returns whether that was enough. */
  async #shrink(bytes: number, epoch: number): Promise<boolean> {
    if (this.#bytes <= bytes) return true
    const old = [...this.#entries.values()].filter(({ used }) => used < epoch).sort((a, b) => a.used - b.used)
    for (const entry of old) {
      if (this.#bytes <= bytes) break
      await this.#remove(entry)
    }
    return this.#bytes <= bytes
  }

  #of(key: string): Entry[] {
    return [...this.#entries.values()].filter((entry) => entry.key === key).sort((a, b) => a.begin - b.begin)
  }

  /** The object in one of our JSON files; an empty one when it is missing or unreadable. */
  async #readJson(name: string, cap: number): Promise<Record<string, unknown>> {
    try {
      const file = await this.store.open(name)
      if (file.size > cap) return {}
      const value: unknown = JSON.parse(new TextDecoder().decode(await readRange(file, 0, file.size, name)))
      return isObject(value) ? value : {}
    } catch {
      return {}
    }
  }

  async #saveUses(): Promise<void> {
    const now = this.clock()
    if (now - this.#saved < saveEvery) return
    this.#saved = now
    const uses = Object.fromEntries(Array.from(this.#entries.values(), ({ name, used }) => [name, used]))
    await this.store.write(usesName, new TextEncoder().encode(JSON.stringify(uses)))
  }
}

const namePattern = /^([0-9a-f]{40,64})-(\d{1,15})-(\d{1,15})$/

/** The range that a file name stands for; null for other files. */
function entryOf(name: string, used: number): Entry | null {
  const [, key, from, to] = namePattern.exec(name) ?? []
  return key ? { name, key, begin: Number(from), end: Number(to), used } : null
}

const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`
