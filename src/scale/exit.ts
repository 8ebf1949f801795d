/** What a worker's exit says: done, worth trying again, or, as sysexits.h numbers them, what no retry can mend. */
import { type ErrorCode, toErrorData } from '../errors.ts'
import { UsageError } from '../cli/arguments.ts'

/** The same job may come to its end at another time or on another worker. */
export const RETRY = 75

const usage = 64
const data = 65
const noInput = 66
const unavailable = 69
const software = 70
const cannotCreate = 73
const protocol = 76
const noPermission = 77

const codes: Record<ErrorCode, number> = {
  // Another worker may have what this one lacks, but trying again here does not help.
  'gpu-missing': unavailable,
  'gpu-too-small': unavailable,
  'gpu-lost': RETRY,
  // Other programs may have had the memory.
  'gpu-out-of-memory': RETRY,
  'gpu-shader': software,
  'gpu-failed': RETRY,
  'file-truncated': data,
  'file-header': data,
  'file-missing': noInput,
  'tensor-missing': data,
  'tensor-mismatch': data,
  'weights-not-finite': data,
  'activations-not-finite': data,
  'config-invalid': data,
  'config-unsupported': data,
  'tokenizer-invalid': data,
  'tokenizer-mismatch': data,
  'text-invalid': data,
  'text-short': data,
  offline: RETRY,
  'hub-unreachable': RETRY,
  'hub-busy': RETRY,
  'hub-denied': noPermission,
  'hub-missing': noInput,
  'hub-changed': data,
  'hub-answer': protocol,
  'option-invalid': usage,
  'plan-invalid': data,
  'chat-unsupported': unavailable,
  'storage-full': cannotCreate,
  'storage-failed': cannotCreate,
  'journal-mismatch': data,
  'journal-busy': RETRY,
  'journal-kept': data,
  cancelled: RETRY,
  internal: software,
}

export const exitCodeOf = (error: unknown): number => (error instanceof UsageError ? usage : codes[toErrorData(error).code])

/** An error as the terminal shows it: of wrong arguments a sentence, of a defect also where it happened. */
export function worded(error: unknown): string {
  const { code, message, hint, detail } = toErrorData(error)
  return error instanceof UsageError ? message : [`${message} (${code})`, hint, detail].filter(Boolean).join('\n')
}

/** Says what went wrong, and returns the exit code. */
export function tellAndExit(error: unknown): number {
  process.stderr.write(`${worded(error)}\n`)
  return exitCodeOf(error)
}
