/**
 * The journal: what a job has done so far, so that after a closed tab, a killed process or a lost device only the current layer is
 * repeated. Each job has its own, also when it is finished.
 *
 *     head the job, its model, and the fingerprint of everything its results depend on
 *     job         full-precision score, result of each finished run, report
 *     run-i of a run whose checkpoint is not written: solved linears with results, vectors changed by a transform, scores
 *     states-… hidden states between two blocks; if too large to be written repeatedly, they are computed again
 *     text-i the user's own texts
 */
import { WorkbenchError, toErrorData } from '../../errors.ts'
import type { Store } from '../../io/bytes.ts'
import { memoryStore } from '../../io/memory.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import { sha256 } from '../../io/digest.ts'
import { type Fingerprint, differences } from './fingerprint.ts'
import type { Hidden } from '../passes/hidden.ts'
import type { RunEvent } from '../job/events.ts'
import type { JobReport } from '../job/report.ts'
import type { EndResult, LayerResult, RunResult } from '../job/result.ts'
import { type Arrays, Log } from './log.ts'
import { withRoom } from './room.ts'
import { type KeptEnd, type KeptLinear, SolvedBlocks, type Vectors } from './solved.ts'
import type { Baseline, Host, Judgement } from '../host.ts'
import type { TextFile } from '../texts.ts'
import { type JournalHead, write, readHead, discardJournal, countLinears } from './journal-files.ts'
import { mismatch } from './journal-summary.ts'

/** Most bytes of hidden states that a run writes in total: more would wear out the disk, and computing them again costs less. */
const STATES_BYTES = 8 * 2 ** 30

export class Journal {
  #run: { id: string; log: Log } | null = null
  /** Seconds of the run up to its last linear before the interruption. */
  secondsBefore = 0
  /** Seconds of the job before the interruption. */
  #jobSecondsBefore = 0
  readonly #opened: number
  #broken = false
  #keepsStates = true

  private constructor(
    readonly host: Pick<Host, 'control' | 'emit' | 'keepsSolved'>,
    readonly store: Store,
    readonly head: JournalHead,
    readonly log: Log,
  ) {
    this.#opened = host.control.clock
    this.#jobSecondsBefore = log.get('seconds') ?? 0
  }

  /** Starts a new journal, replacing any other; without storage, one in memory. */
  static async begin(host: Host, texts: TextFile[], given: Omit<JournalHead, 'texts'>): Promise<Journal> {
    const kept = texts.filter(({ origin }) => origin === 'file' || origin === 'paste')
    const head = { ...given, texts: kept.map(({ id, label, origin, fileName }) => ({ id, label, origin, fileName })) }
    try {
      return new Journal(host, host.journal, head, await write(host.journal, head, kept))
    } catch (error) {
      const { code, message } = toErrorData(error)
      if (!code.startsWith('storage-')) throw error
      // An incomplete start cannot be resumed.
      await discardJournal(host.journal).catch(() => {})
      const store = memoryStore()
      const journal = new Journal(host, store, head, await write(store, head, []))
      journal.#note('warning', message, 'The job continues, but it cannot be resumed once this page or program is closed.')
      return journal
    }
  }

  /** Resumes the existing journal. @throws WorkbenchError `journal-mismatch` */
  static async resume(host: Host, fingerprint: Fingerprint): Promise<Journal> {
    const head = await readHead(host.journal)
    if (!head) throw new WorkbenchError('journal-mismatch', 'There is no unfinished job to resume.', 'Start it from the beginning.')
    const found = differences(head.fingerprint, fingerprint)
    if (found.length) throw mismatch(found)
    return new Journal(host, host.journal, head, await Log.open(host.journal, 'job'))
  }

  // ---------------------------------------------------------------- the whole job

  /** The job's first events, for later views. */
  keepBeginning(event: RunEvent): Promise<void> {
    return this.#put(this.log, 'beginning', event)
  }

  get baseline(): Baseline | null {
    return this.log.get('baseline') ?? null
  }

  async keepBaseline(score: Baseline): Promise<void> {
    await this.#put(this.log, 'baseline', score)
    await this.#put(this.log, 'seconds', this.seconds)
  }

  /** Seconds of the job so far, including those before an interruption, without pauses. */
  get seconds(): number {
    return this.#jobSecondsBefore + this.host.control.clock - this.#opened
  }

  /** The result of a run finished earlier; with an `exportError`, its linears are still here to be written again. */
  result(run: string): RunResult | null {
    return this.log.get(`result:${run}`) ?? null
  }

  /** Records a finished run. Its linears are dropped once its checkpoint is written, or if it has none, unless the job keeps them. */
  async keepResult(result: RunResult): Promise<void> {
    await this.#put(this.log, `result:${result.run}`, result)
    await this.#put(this.log, 'seconds', this.seconds)
    await this.leave()
    const stays = result.exportError || this.head.job.keepSolved || this.host.keepsSolved
    const done = ['states-0', 'states-1', ...(stays ? [] : [this.#fileOf(result.run)])]
    if (!this.#broken) for (const name of done) await this.store.remove(name)
  }

  /** Records the end of the job; nothing is left to resume. */
  keepReport(report: JobReport): Promise<void> {
    return this.#put(this.log, 'report', report)
  }

  async close(): Promise<void> {
    await this.leave()
    await this.log.close()
  }

  // ---------------------------------------------------------------- one run

  #fileOf(run: string): string {
    return `run-${this.head.job.runs.findIndex(({ id }) => id === run)}`
  }

  /** Selects the run that the following calls are about. */
  async enter(run: string): Promise<void> {
    await this.leave()
    let log: Log | null = null
    await this.#keep(0, async () => {
      log = await Log.open(this.store, this.#fileOf(run))
    })
    // Without storage, the run is kept in memory.
    log ??= await Log.open(memoryStore(), this.#fileOf(run))
    this.#run = { id: run, log }
    this.secondsBefore = this.result(run)?.seconds ?? 0
    for (const key of log.keys()) {
      const { seconds = 0, jobSeconds = 0 } = log.get<{ seconds?: number; jobSeconds?: number } | null>(key) ?? {}
      this.secondsBefore = Math.max(this.secondsBefore, seconds)
      this.#jobSecondsBefore = Math.max(this.#jobSecondsBefore, jobSeconds)
    }
  }

  /** Number of solved linears of all runs. */
  async solved(): Promise<number> {
    let count = 0
    for (const { id } of this.head.job.runs) {
      const result = this.result(id)
      if (!result) await this.enter(id)
      count += result ? result.layers.length : countLinears(this.#run!.log)
    }
    await this.leave()
    return count
  }

  /** @throws WorkbenchError `journal-mismatch` when the linears of a finished run were dropped */
  async requireLinears({ run, layers }: RunResult, label: string): Promise<void> {
    await this.enter(run)
    if (countLinears(this.#run!.log) >= layers.length) return
    throw new WorkbenchError(
      'journal-mismatch',
      `${label} is finished, and its solved layers were dropped when its checkpoint was written, so it cannot be written again.`,
      'Run it again with the option to keep solved layers (--keep-solved).',
    )
  }

  async leave(): Promise<void> {
    await this.#run?.log.close()
    this.#run = null
  }

  /** Those of `names` that are solved in the journal and readable. */
  linears(names: string[]): Promise<Map<string, KeptLinear>> {
    return new SolvedBlocks(this.#run!.log).linears(names)
  }

  /** Records `seconds` of the run so far. */
  keepLinear(layer: LayerResult, { codes, grid, groupIndex, outliers, ...stored }: SolvedLinear, seconds: number): Promise<void> {
    const arrays: Arrays = { codes, grid, groupIndex, ...outliers }
    const value = { layer, stored, seconds, jobSeconds: this.seconds }
    return this.#put(this.#run!.log, `linear:${layer.name}`, value, arrays)
  }

  /** Embedding and head of the run, by module path, as far as they are solved. */
  ends(): Promise<Map<string, KeptEnd>> {
    return new SolvedBlocks(this.#run!.log).ends()
  }

  keepEnd(end: EndResult, { codes, grid, groupIndex, ...stored }: SolvedLinear, seconds: number): Promise<void> {
    const value = { end, stored, seconds, jobSeconds: this.seconds }
    return this.#put(this.#run!.log, `end:${end.name}`, value, { codes, grid, groupIndex } as Arrays)
  }

  /** Vectors of block k that a transform changed, by full name; null when not recorded yet. */
  vectors(k: number): Promise<Vectors | null> {
    return new SolvedBlocks(this.#run!.log).vectors(k)
  }

  keepVectors(k: number, vectors: Map<string, Uint8Array>): Promise<void> {
    return this.#put(this.#run!.log, `vectors:${k}`, null, Object.fromEntries(vectors) as Arrays)
  }

  /** Scores with the first `blocks` blocks quantized. */
  score(blocks: number): Judgement | null {
    return this.#run!.log.get(`score:${blocks}`) ?? null
  }

  keepScore(blocks: number, score: Judgement): Promise<void> {
    return this.#put(this.#run!.log, `score:${blocks}`, score)
  }

  // ---------------------------------------------------------------- hidden states

  /** Reads the full-precision states after the last block into `hidden`. */
  async reference(hidden: Hidden): Promise<boolean> {
    const digests = this.log.get<string[]>('reference')
    return digests !== undefined && (await this.#load('states-reference', digests, [hidden]))
  }

  async keepReference(hidden: Hidden): Promise<void> {
    if (hidden.bytes > STATES_BYTES) return
    const digests = await this.#save('states-reference', [hidden])
    if (digests) await this.#put(this.log, 'reference', digests)
  }

  /** Reads the latest kept states, and returns how many blocks they have passed; 0 when there are none. */
  async states(states: Hidden[]): Promise<number> {
    const kept = this.#run!.log.get<{ blocks: number; path: string; digests: string[] }>('states')
    return kept && (await this.#load(kept.path, kept.digests, states)) ? kept.blocks : 0
  }

  /** Keeps the states after `blocks` of `all` blocks, within the limit on written bytes. */
  async keepStates(blocks: number, all: number, states: Hidden[]): Promise<void> {
    const bytes = states.reduce((sum, hidden) => sum + hidden.bytes, 0)
    if (bytes > STATES_BYTES || blocks % Math.ceil((bytes * all) / STATES_BYTES)) return
    const log = this.#run!.log
    // Never overwrites the current ones.
    const path = log.get<{ path: string }>('states')?.path === 'states-0' ? 'states-1' : 'states-0'
    const digests = await this.#save(path, states)
    if (digests) await this.#put(log, 'states', { blocks, path, digests })
  }

  /** Written window by window, so that the batch size may change. Null when there was no space. */
  async #save(path: string, states: Hidden[]): Promise<string[] | null> {
    if (this.#broken || !this.#keepsStates) return null
    const digests: string[] = []
    try {
      const file = await this.store.edit(path)
      try {
        let at = 0
        for (const hidden of states) {
          for await (const window of hidden.windows()) {
            // What a device that only counts would read has no digest.
            digests.push(hidden.gpu.computes ? await sha256(window) : '')
            await file.write(new Uint8Array(window.buffer, window.byteOffset, window.byteLength), at)
            at += window.byteLength
          }
        }
        await file.resize(at)
        await file.flush()
      } finally {
        await file.close()
      }
      return digests
    } catch (error) {
      const { code, message } = toErrorData(error)
      if (!code.startsWith('storage-')) throw error
      this.#keepsStates = false
      await this.store.remove(path).catch(() => {})
      this.#note('note', message, 'The hidden states are not kept, so resuming after an interruption will take a little longer.')
      return null
    }
  }

  async #load(path: string, digests: string[], states: Hidden[]): Promise<boolean> {
    const file = await this.store.edit(path)
    let [at, next] = [0, 0]
    const read = async (bytes: number) => {
      const window = await file.read(at, at + bytes)
      at += bytes
      return window.byteLength === bytes && (await sha256(window)) === digests[next++] ? new Float32Array(window.buffer) : null
    }
    try {
      for (const hidden of states) if (!(await hidden.fill(read))) return false
      return next === digests.length
    } finally {
      await file.close()
    }
  }

  // ---------------------------------------------------------------- storage errors

  #put(log: Log, key: string, value: unknown, arrays: Arrays = {}): Promise<void> {
    return this.#keep(sizeOf(value, arrays), () => log.put(key, value, arrays))
  }

  /** Waits for free space; any other error ends the journal, not the job. */
  async #keep(bytes: number, work: () => Promise<void>): Promise<void> {
    if (this.#broken) return
    try {
      await withRoom(this.host, 'the journal', () => bytes, work)
    } catch (error) {
      const { code, message } = toErrorData(error)
      if (code !== 'storage-failed') throw error
      this.#broken = true
      this.#note('warning', message, 'The run continues, but what it does from now on cannot be resumed after an interruption.')
    }
  }

  #note(severity: 'note' | 'warning', message: string, hint: string): void {
    this.host.emit({ type: 'notice', run: null, problem: { severity, code: 'note', message, hint } })
  }
}

/** Approximate size of a record in bytes. */
const sizeOf = (value: unknown, arrays: Arrays) =>
  JSON.stringify(value).length + Object.values(arrays).reduce((sum, { byteLength }) => sum + byteLength, 0)
