/** The page's only door to the engine: a dedicated worker that owns the GPU, spoken to as plain async calls. */
import * as Comlink from 'comlink'
import { type ErrorData, fromErrorData } from '../errors.ts'
import type { Catalog, GpuSummary, Job, JobCheck, JobReport, ModelSummary, RunEvent, TextSource } from './job.ts'
import { exportedFile, removeExports } from './opfs.ts'
import type { WorkerApi } from './worker.ts'
import workerUrl from './worker.ts?worker&url'

/** A dropped or picked file with its path inside the folder. */
export interface NamedFile {
  path: string
  file: Blob
}

/** `name`: of the folder, where there was one; paths do not repeat it. */
export type ModelSource = { kind: 'demo' } | { kind: 'files'; name?: string; files: NamedFile[] }

/** Every call may reject with a WorkbenchError (code, message, hint). */
export interface Engine {
  catalog(): Promise<Catalog>
  /** Opens the device on first use. */
  gpu(): Promise<GpuSummary>
  /** Reads headers and configuration only; replaces the model opened before. */
  open(source: ModelSource): Promise<ModelSummary>
  /** Registers a .txt, .jsonl or .parquet file as a text; the returned id goes into the Job. */
  addText(file: File, origin?: 'file' | 'paste'): Promise<TextSource>
  /** Tokenizes, counts, predicts, and finds what is wrong, before anything is started. */
  check(job: Job): Promise<JobCheck>
  /** Runs the job; resolves when it is over, cancelled or not. Failed runs are in the report. */
  start(job: Job, onEvent: (event: RunEvent) => void): Promise<JobReport>
  pause(): Promise<void>
  resume(): Promise<void>
  /** Takes effect within one GPU submit. */
  cancel(): Promise<void>
  /** A file of a finished run's checkpoint, from the private file system, without a copy in memory. */
  exportFile(run: string, path: string): Promise<File>
  /** Frees the storage of all checkpoints written so far. */
  clearExports(): Promise<void>
}

/** Starts the engine. The page has one for its whole life. */
export function connect(): Engine {
  // From a blob, because a worker with an address of its own is not bound by the page's content security policy.
  const script = new Blob([`import ${JSON.stringify(new URL(workerUrl, document.baseURI).href)}`], { type: 'text/javascript' })
  // The worker's name tells it where the page lies; its own address does not, once it is built.
  const worker = new Worker(URL.createObjectURL(script), { type: 'module', name: document.baseURI })
  const remote = Comlink.wrap<WorkerApi>(worker)
  const dead = new Promise<never>((_, reject) => {
    worker.onerror = (event) => {
      event.preventDefault()
      reject(new Error(`The engine stopped: ${event.message || 'its worker could not be loaded'}.`))
    }
  })
  dead.catch(() => {}) // reported by whichever call is waiting, or the next one
  const call = async <T>(answer: Promise<T>): Promise<T> => {
    try {
      return await Promise.race([answer, dead])
    } catch (error) {
      throw error instanceof Error ? error : fromErrorData(error as ErrorData)
    }
  }
  return {
    catalog: () => call(remote.catalog()),
    gpu: () => call(remote.gpu()),
    open: (source) => call(source.kind === 'demo' ? remote.openDemo() : remote.open(source.files, source.name)),
    addText: (file, origin) => call(remote.addText(file, origin)),
    check: (job) => call(remote.check(job)),
    start: (job, onEvent) => call(remote.start(job, Comlink.proxy(onEvent))),
    pause: () => call(remote.pause()),
    resume: () => call(remote.resume()),
    cancel: () => call(remote.cancel()),
    exportFile: exportedFile,
    clearExports: () => removeExports(),
  }
}
