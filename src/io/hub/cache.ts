/**
 * Ranges of remote files, kept between visits. A range is one file named after the hash of the content that it is part of
 * (what the Hub calls the file's entity tag) and its place there, so a new version of a file never meets parts of the old
 * one, and equal files of different repositories share theirs. A file whose length does not fit its name is never used.
 * Beyond the budget the ranges used longest ago go first, but none that the open model has used: of a model larger than
 * the budget the first part then stays, where plain LRU would keep nothing for the next pass.
 *
 * Several tabs or programs may share a folder: each looks again at what the others have written before it gives anything
 * up, and whenever it has itself written a 64th of the budget. Files that are not named like ranges are left alone.
 *
 * Beside them it keeps the last answers about what was opened, for visits without a network.
 */
import { type ErrorCode, WorkbenchError } from '../../errors.ts'
import { type ByteRange, type Bytes, readRange } from '../bytes.ts'
import { isObject } from '../json.ts'

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
  /** Why nothing is added any more, until the cache is cleared or its budget changed. */
  full: string | null
}

interface Entry extends ByteRange {
  name: string
  key: string
  used: number
}

/** When which range was used last; a browser does not keep that of its own. */
const usesName = 'uses.json'
const saveEvery = 5000
const maxUses = 16 << 20
/** What was last said about which question; the one heard longest ago goes first. */
const answersName = 'answers.json'
const maxAnswers = 200
const maxAnswer = 256 << 10

export class Cache {
  readonly #entries = new Map<string, Entry>()
  #ready: Promise<void> | null = null
  #bytes = 0
  /** Written since the folder was last looked at. */
  #unseen = 0
  #budget: number
  #full: string | null = null
  #overflowed = false
  /** What was used since then is not given up for something new. */
  #epoch = Number.POSITIVE_INFINITY
  #saved = 0
  #answers: Promise<Map<string, unknown>> | null = null
  #unsaved = false
  #saving: Promise<void> | null = null

  constructor(
    readonly store: CacheFolder,
    budget: number,
    /** Told once when the cache stops taking in what is read. */
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
      throw new WorkbenchError('option-invalid', `The cache cannot take ${bytes} bytes.`, 'Give a whole number of bytes; 0 keeps nothing.')
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

  /** Files are opened: what is used from now on matters more than what was before. */
  begin(): void {
    this.#epoch = this.clock()
    this.#overflowed = false
  }

  /** Those parts of a range that are there, sorted and apart; each can be read by itself. */
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

  /** Null when it is not there after all. */
  async read(key: string, { begin, end }: ByteRange): Promise<Uint8Array<ArrayBuffer> | null> {
    const entry = this.#of(key).find((one) => one.begin <= begin && one.end >= end)
    if (!entry) return null
    try {
      const file = await this.store.open(entry.name)
      if (file.size !== entry.end - entry.begin) throw new Error('Its length is wrong.')
      const bytes = await readRange(file, begin - entry.begin, end - entry.begin, entry.name)
      entry.used = this.clock()
      await this.#saveUses().catch(() => {}) // only the order of eviction suffers
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
            `The model is larger than the cache, which holds ${megabytes(this.#budget)}.`,
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

  /** What is known of a file turned out to be of another version. */
  async drop(key: string): Promise<void> {
    await this.#load()
    for (const entry of this.#of(key)) await this.#remove(entry)
  }

  /** Keeps an answer that fits JSON; one that is too long, or that cannot be stored, is not kept. */
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

  /** What `remember` was told, as stored and unchecked; undefined when it is not there. */
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

  /** One write at a time, and one for all that was told meanwhile. */
  async #saveAnswers(answers: Map<string, unknown>): Promise<void> {
    while (this.#unsaved) {
      this.#unsaved = false
      // Beside those that another tab or program has written down meanwhile.
      const others = [...(await this.#readAnswers())].filter(([question]) => !answers.has(question))
      const text = JSON.stringify(Object.fromEntries([...others, ...answers].slice(-maxAnswers)))
      await this.store.write(answersName, new TextEncoder().encode(text)).catch(() => {}) // whoever asked has the answer
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
      // Without it the order of writing counts.
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

  /** Learns what other tabs and programs have written and removed. */
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

  /** Makes room: down to so many bytes, without what was used since `epoch`. Whether that was enough. */
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

  /** An object of ours; an empty one when there is none, or none that can be read. */
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

/** The range that a file of this name is; null for a file that is none of ours. */
function entryOf(name: string, used: number): Entry | null {
  const [, key, from, to] = namePattern.exec(name) ?? []
  return key ? { name, key, begin: Number(from), end: Number(to), used } : null
}

const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`
