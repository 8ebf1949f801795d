/**
 * Writes a run's checkpoint in each of its formats during the run: copied tensors at the start, each quantized linear when it is solved,
 * small files at the end; then reads it back and compares. When the disk is full, the run waits; other storage errors end the export, not
 * the run.
 */
import { type ErrorData, toErrorData } from '../../errors.ts'
import type { Sink } from '../../io/bytes.ts'
import { type CheckpointStream, type ExportFormat, withCommands } from '../../io/formats/index.ts'
import type { OpenModel } from '../../models/open.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import type { Plan, PlannedRun } from '../plan/plan.ts'
import type { ReportHead } from '../job/report.ts'
import type { RunResult } from '../job/result.ts'
import { checkpointReport, modelCard } from './card.ts'
import { patient, withRoom } from './room.ts'
import type { Host } from '../host.ts'

/** One of the formats, and its folder. */
interface Output {
  format: ExportFormat
  folder: string
  stream: CheckpointStream
}

export class CheckpointExport {
  /** Why there is no checkpoint, after an error. */
  error: ErrorData | null = null
  #sink: Sink | null = null
  #outputs: Output[] = []
  readonly #written = new Set<string>()

  constructor(
    readonly run: PlannedRun,
    readonly opened: OpenModel,
    readonly plan: Plan,
    readonly host: Host,
    /** The largest absolute hidden state seen. */
    readonly peak: number,
    readonly head: ReportHead,
  ) {}

  /** If the job writes a checkpoint, reserves space and copies unchanged tensors. */
  async begin(): Promise<void> {
    if (this.plan.job.save) await this.#guard(() => this.#copy())
  }

  async #copy(): Promise<void> {
    const { spec, output, formats } = this.run
    const { checkpointBytes } = this.plan.check.runs.find(({ id }) => id === spec.id)!
    const what = `the checkpoint of ${spec.label}`
    const open = () => this.host.sink(spec.id)
    const sink = patient(await withRoom(this.host, what, () => checkpointBytes, open), this.host, what, checkpointBytes)
    this.#sink = sink
    this.#outputs = formats.map((format) => {
      const folder = formats.length > 1 ? `${format.id}/` : ''
      return { format, folder, stream: format.write(output, this.opened.folder, below(sink, folder)) }
    })
    for (const { stream } of this.#outputs) await stream.copy(() => this.host.control.check())
  }

  /** Whether a format stores weights, not only codes. */
  get storesWeights(): boolean {
    return this.#outputs.some(({ format }) => format.stores === 'weights')
  }

  /** Writes one solved linear, if not yet written; `weights`: Ŵ + H as the run used it, `[q, p]`, called when a format needs it. */
  async linear(name: string, solved: SolvedLinear, weights: () => PromiseLike<Float32Array<ArrayBuffer>>): Promise<void> {
    if (!this.#outputs.length || this.#written.has(name)) return
    // Errors of reading the GPU are not storage errors.
    const values = this.storesWeights ? await weights() : null
    await this.#each(({ stream }) => stream.linear(name, solved, async () => values!))
    this.#written.add(name)
  }

  /** Writes norm weights and biases that a transform changed, by full name, if not yet written. */
  async vectors(changed: Iterable<[string, Uint8Array]>): Promise<void> {
    for (const [name, bytes] of changed) {
      if (this.#written.has(name)) continue
      await this.#each(({ stream }) => stream.vector(name, bytes))
      this.#written.add(name)
    }
  }

  /** Writes the rest, reads everything back, and returns the result. */
  async finish(figures: RunResult, between: () => Promise<void>): Promise<RunResult['export']> {
    const sink = this.#sink
    if (!sink) return null
    const files: { path: string; bytes: number }[] = []
    await this.#each(async ({ folder, stream }) => {
      for (const { path, bytes } of await stream.finish(this.peak)) files.push({ path: folder + path, bytes })
    })
    await this.#each(async (output) => {
      for (const [path, text] of this.#documents(output, figures)) files.push({ path, bytes: await writeText(sink, path, text) })
    })
    await this.#each(({ stream }) => stream.verify(between))
    await this.#guard(() => sink.commit())
    if (this.error) return null
    const checkpoints = this.#outputs.map(({ format, folder }) => ({
      format: format.id,
      folder,
      loadsIn: this.#loadsIn(format),
    }))
    return { files, bytes: files.reduce((sum, file) => sum + file.bytes, 0), checkpoints }
  }

  /** Model card and report, by path. */
  #documents({ format, folder }: Output, figures: RunResult): [path: string, text: string][] {
    const report = checkpointReport(this.head, figures)
    const card = modelCard({ report, run: this.run, opened: this.opened, format, loadsIn: this.#loadsIn(format) })
    return [
      [`${folder}README.md`, card],
      [`${folder}quantization_report.json`, `${JSON.stringify(report, null, 2)}\n`],
    ]
  }

  #loadsIn(format: ExportFormat) {
    return withCommands(format.compatibility(this.run.output, this.opened.model.notLoaded))
  }

  /** Removes the files of an unfinished run. */
  async abandon(): Promise<void> {
    this.#outputs = []
    const sink = this.#sink
    this.#sink = null
    await sink?.remove().catch((error) => {
      this.error ??= toErrorData(error)
    })
  }

  #each(work: (output: Output) => Promise<void>): Promise<void> {
    return this.#guard(async () => {
      for (const output of this.#outputs) await work(output)
    })
  }

  /** A storage error ends the export and is kept for the result; errors that stop the run are rethrown. */
  async #guard(work: () => Promise<void>): Promise<void> {
    if (this.error) return
    try {
      await work()
    } catch (error) {
      const data = toErrorData(error)
      if (this.host.control.stopped || data.code.startsWith('gpu-')) throw error
      this.error = data
      this.host.emit({
        type: 'notice',
        run: this.run.spec.id,
        problem: { severity: 'error', code: data.code, message: `The checkpoint was not saved: ${data.message}`, hint: data.hint },
      })
      await this.abandon()
    }
  }
}

/** A folder inside a sink, created with its first file; '' is the sink itself. */
function below(sink: Sink, folder: string): Sink {
  if (!folder) return sink
  return {
    create: (path, size) => sink.create(folder + path, size),
    open: (path) => sink.open(folder + path),
    commit: () => sink.commit(),
    remove: () => sink.remove(),
  }
}

async function writeText(sink: Sink, path: string, text: string): Promise<number> {
  const bytes = new TextEncoder().encode(text)
  const file = await sink.create(path, bytes.length)
  await file.write(bytes, 0)
  await file.close()
  return bytes.length
}
