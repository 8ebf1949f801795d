/**
 * A run's checkpoint, written while the run goes on: copied tensors at the start, each quantized linear as it is solved,
 * small files at the end; then read back and compared. A full disk is waited for; other trouble with storage ends the
 * export, not the run.
 */
import { type ErrorData, WorkbenchError, toErrorData } from '../../errors.ts'
import type { Files, Sink } from '../../io/bytes.ts'
import { openFolder } from '../../io/folder.ts'
import { readDenseLinear } from '../../io/formats/dense.ts'
import { readPackedLinear } from '../../io/formats/read-gptq.ts'
import { CheckpointWriter } from '../../io/safetensors.ts'
import type { OpenModel } from '../../models/weights.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import type { Plan, PlannedRun } from '../plan/check.ts'
import { sha256 } from '../digest.ts'
import type { RunResult } from '../job.ts'
import { patient, withRoom } from './room.ts'
import type { Host } from '../host.ts'

/** Bytes copied at a time. */
const PIECE = 16 * 2 ** 20

export class CheckpointExport {
  /** Why there is no checkpoint, once something went wrong. */
  error: ErrorData | null = null
  #sink: Sink | null = null
  #writer: CheckpointWriter | null = null
  readonly #vectors = new Map<string, Uint8Array>()
  readonly #digests = new Map<string, { digest: string; q: number; p: number }>()

  constructor(
    readonly run: PlannedRun,
    readonly opened: OpenModel,
    readonly plan: Plan,
    readonly host: Host,
    /** The largest hidden state that was seen. */
    readonly peak: number,
  ) {}

  /** Claims the room and copies what stays as it is, where the job asks for a checkpoint. */
  async begin(): Promise<void> {
    if (this.plan.job.save) await this.#guard(() => this.#copy())
  }

  async #copy(): Promise<void> {
    const { checkpoint } = this.opened.folder
    const { spec } = this.run
    const { checkpointBytes } = this.plan.check.runs.find(({ id }) => id === spec.id)!
    const what = `the checkpoint of ${spec.label}`
    const open = () => this.host.sink(spec.id)
    this.#sink = patient(await withRoom(this.host, what, () => checkpointBytes, open), this.host, what, checkpointBytes)
    const writer = new CheckpointWriter(this.#sink, this.run.tensors)
    this.#writer = writer
    checkpoint.ahead(this.run.copied.map(({ name }) => name))
    for (const { name } of this.run.copied) {
      const { bytes } = checkpoint.tensors.get(name)!
      for (let at = 0; at < bytes; at += PIECE) {
        await this.host.control.check()
        await writer.write(name, await checkpoint.readRange(name, at, Math.min(bytes, at + PIECE)), at)
      }
    }
  }

  /** Whether linears are written as plain weights. */
  get dense(): boolean {
    return this.#writer !== null && this.run.format.stores === 'dense'
  }

  /** Writes one solved linear, if it is not there yet; `weights`: Ŵ + H as the run used it, `[q, p]`, where that is asked for. */
  async linear(name: string, solved: SolvedLinear, weights: () => PromiseLike<Float32Array<ArrayBuffer>>): Promise<void> {
    const writer = this.#writer
    const { format, settings } = this.run
    const { q, p } = solved
    if (!writer || this.#digests.has(name)) return
    const values = format.stores === 'dense' ? await weights() : null
    await this.#guard(async () => {
      const tensors = format.stores === 'dense' ? format.encode(name, values!, settings) : format.encode(name, solved, settings)
      for (const [tensor, bytes] of tensors) await writer.write(tensor, bytes)
      this.#digests.set(name, { digest: await digestOf(values ? [...tensors.values()] : partsOf(solved)), q, p })
    })
  }

  /** Writes norm weights and biases that a transform changed, by full name, as far as they are not there yet. */
  async vectors(changed: Iterable<[string, Uint8Array]>): Promise<void> {
    const writer = this.#writer
    if (!writer) return
    await this.#guard(async () => {
      for (const [name, bytes] of changed) {
        if (this.#vectors.has(name)) continue
        await writer.write(name, bytes)
        this.#vectors.set(name, bytes)
      }
    })
  }

  /** Writes what is left, reads everything back, and says what came out. */
  async finish(between: () => Promise<void>): Promise<RunResult['export']> {
    const writer = this.#writer
    const sink = this.#sink
    if (!writer || !sink) return null
    const { folder } = this.opened
    const { format } = this.run
    let done: RunResult['export'] = null
    await this.#guard(async () => {
      const { settings } = this.run
      const declared = format.declares(settings.dtype, this.peak)
      for (const { path, text } of format.configFiles(folder.configText, format.configFor(settings), declared)) {
        await writer.writeFile(path, new Blob([text]))
      }
      for (const { name } of folder.otherFiles) await writer.writeFile(name, folder.files.get(name)!)
      const files = await writer.finish()
      await this.#verify(sink, files, between)
      await sink.commit()
      const shapes = [...this.#digests].map(([name, { q, p }]) => ({ name, q, p }))
      done = {
        format: format.id,
        files,
        bytes: files.reduce((sum, file) => sum + file.bytes, 0),
        loadsIn: format.compatibility(settings, shapes, this.opened.model.notLoaded),
      }
    })
    return done
  }

  /** Opens the folder as a stranger would and compares everything that is new with what the run computed. */
  async #verify(sink: Sink, written: { path: string }[], between: () => Promise<void>): Promise<void> {
    const files: Files = new Map(await Promise.all(written.map(async ({ path }) => [path, await sink.open(path)] as const)))
    const folder = await openFolder(files)
    const { gptq, checkpoint } = folder
    if ((gptq !== null) !== (this.run.format.stores === 'packed')) {
      throw new Error(`The exported folder is ${gptq ? '' : 'not '}recognized as a quantized checkpoint.`)
    }
    const failed = (name: string) =>
      new WorkbenchError(
        'storage-failed',
        `${name} reads back differently from what was written.`,
        'The disk may be failing; free some space and run again.',
      )
    for (const [name, bytes] of this.#vectors) {
      const stored = await checkpoint.readRange(name, 0, bytes.length)
      if (bytes.some((byte, i) => byte !== stored[i])) throw failed(name)
    }
    for (const [name, { digest, q, p }] of this.#digests) {
      await between()
      const stored = gptq
        ? partsOf(await readPackedLinear(checkpoint, name, gptq, { q, p }))
        : [await readDenseLinear(checkpoint, name, { q, p, dtype: this.run.settings.dtype })].filter((bytes) => bytes !== null)
      if ((await digestOf(stored)) !== digest) throw failed(name)
    }
  }

  /** Removes what was written of a run that did not finish. */
  async abandon(): Promise<void> {
    this.#writer = null
    const sink = this.#sink
    this.#sink = null
    await sink?.remove().catch((error) => {
      this.error ??= toErrorData(error)
    })
  }

  /** Trouble with files stops the export and is kept for the result; what stops the run goes through. */
  async #guard(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      const data = toErrorData(error)
      if (this.host.control.stopped || data.code.startsWith('gpu-')) throw error
      this.error = data
      this.host.emit({
        type: 'notice',
        run: this.run.spec.id,
        problem: { severity: 'error', code: data.code, message: `The checkpoint is not saved: ${data.message}`, hint: data.hint },
      })
      await this.abandon()
    }
  }
}

/** A kernel may leave −0 for a zero point, which is stored as 0. */
const partsOf = ({ codes, grid, groupIndex }: SolvedLinear) => [codes, grid.map((value) => value + 0), groupIndex]

async function digestOf(contents: ArrayBufferView[]): Promise<string> {
  return (await Promise.all(contents.map(sha256))).join('-')
}
