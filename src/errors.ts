/**
 * The one error class for problems that a user can act on: a code, a sentence that says what is wrong, and a hint that says what to do.
 * Anything else that is thrown is a bug and keeps its stack trace.
 */

export const errorCodes = [
  // GPU
  'gpu-missing', // no WebGPU, or no adapter
  'gpu-too-small', // a tensor needs a larger binding or buffer than the device has
  'gpu-lost', // the device was lost during a run
  'gpu-out-of-memory',
  'gpu-shader', // this adapter's compiler rejected a kernel
  'gpu-failed', // any other device error; a new device is opened after it
  // files
  'file-truncated',
  'file-header', // an invalid safetensors header
  'file-missing', // config, tokenizer, shard
  'tensor-missing',
  'tensor-mismatch', // wrong shape or dtype
  'weights-not-finite',
  'activations-not-finite', // the weights are finite, but hidden states or losses overflow
  'config-invalid',
  'config-unsupported', // readable, but an unknown model or feature
  'tokenizer-invalid',
  'tokenizer-mismatch', // more tokens than embedding rows
  'text-invalid',
  'text-short',
  // network
  'offline',
  'hub-unreachable', // refused, reset, stalled, or forbidden to pages (CORS)
  'hub-busy', // 429 or 5xx after all retries
  'hub-denied', // gated, private, or the token gives no access
  'hub-missing', // no such repository, revision or file
  'hub-changed', // a file changed while it was being read
  'hub-answer', // an invalid answer: a wrong range, not JSON
  // plan
  'option-invalid',
  'plan-invalid',
  'chat-unsupported', // the browser cannot run llama.cpp
  // results
  'storage-full',
  'storage-failed',
  'journal-mismatch', // the model, a text or an option differs from the unfinished job
  'journal-busy', // another tab or program is running the job
  'journal-kept', // a kept job would be overwritten
  // control
  'cancelled',
  'internal',
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** An error as plain data: sent by the worker, shown by the page or printed to stderr. */
export interface ErrorData {
  code: ErrorCode
  /** What happened and why, in one or two sentences. */
  message: string
  /** What the user can do now. */
  hint: string
  /** Stack trace of a bug; absent for errors that a user can act on. */
  detail?: string
}

export class WorkbenchError extends Error {
  override readonly name = 'WorkbenchError'

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly hint = '',
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** Any thrown value as plain data; anything but a WorkbenchError becomes `internal` and keeps its stack trace. */
export function toErrorData(thrown: unknown): ErrorData {
  if (thrown instanceof WorkbenchError) return { code: thrown.code, message: thrown.message, hint: thrown.hint }
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  return {
    code: 'internal',
    message: error.message || 'Something went wrong inside the workbench.',
    hint: 'This is a bug: please report it with the details below.',
    detail: error.stack,
  }
}

/** The error that `toErrorData` described, on the other side of a worker. */
export function fromErrorData(data: ErrorData): Error {
  if (data.code !== 'internal') return new WorkbenchError(data.code, data.message, data.hint)
  const error = new Error(data.message)
  if (data.detail) error.stack = data.detail
  return error
}

/** Items as a list in a sentence: "a, b and c". */
export function inWords(items: readonly string[], word: 'and' | 'or'): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} ${word} ${items.at(-1)}`
}
