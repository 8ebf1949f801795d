/** The page's only door to the engine: a dedicated worker that owns the GPU, spoken to as plain async calls. */
import type { Catalog, GpuSummary, Job, JobCheck, JobReport, ModelSummary, RunEvent, TextSource } from './job.ts'

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
  /** Registers a .txt or .jsonl file as a text; the returned id goes into the Job. */
  addText(file: File): Promise<TextSource>
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
