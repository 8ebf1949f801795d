/** A model as it was opened, where it came from, and what is wrong with it. */
import type { ErrorCode } from '../../errors.ts'

/** An error, a warning or a note about a model, a plan or a result. */
export interface Problem {
  severity: 'error' | 'warning' | 'note'
  code: ErrorCode | 'note'
  message: string
  hint: string
  /** Path of the offending field in the Job, e.g. `runs.0.options.groupSize`, or the file name. */
  field?: string
}

export interface TensorInfo {
  name: string
  dtype: string
  shape: number[]
  bytes: number
  file: string
}

/** Where a model came from, when that was the Hub. */
export interface HubOrigin {
  repo: string
  /** The requested revision: a branch, a tag, `refs/pr/3`, a commit. */
  ref: string
  /** The commit that it pointed to. */
  revision: string
}

/** Where a model came from, if it can be opened again from there. */
export type ModelOrigin = { kind: 'demo' } | { kind: 'files'; name: string } | ({ kind: 'hub' } & HubOrigin)

export interface ModelSummary {
  name: string
  source: HubOrigin | null
  family: string
  familyLabel: string
  parameters: number
  /** Parameters of the linears of the blocks, which are quantized. */
  quantizable: number
  dtype: string
  blocks: number
  hidden: number
  heads: number
  kvHeads: number
  ffn: number
  vocab: number
  /** Longest window; null: no limit. */
  maxPositions: number | null
  tiedHead: boolean
  bytes: number
  /** Null for a config.json alone, without weights: it can be checked, but not run. */
  tokenizer: { kind: string; vocab: number } | null
  /** The tokenizer's files contain a usable chat template. */
  chatTemplate: boolean
  license: string | null
  /** Set when the folder is an already quantized checkpoint. */
  quantized: { format: string; bits: number; groupSize: number; symmetric: boolean; actOrder: boolean; method: string | null } | null
  /** Linears of one block with `[out, in]`, in the order in which they are solved. */
  linears: { name: string; shape: [number, number] }[]
  tensors: TensorInfo[]
  /** Files that an export copies unchanged. */
  otherFiles: { name: string; bytes: number }[]
  problems: Problem[]
}

/** A dropped or picked file with its path inside the folder. */
export interface NamedFile {
  path: string
  file: Blob
}
