/**
 * The one error class that people can act on: a code, a sentence in their words, and what to do about it.
 * Everything else that is thrown is a bug and keeps its stack.
 */

export const errorCodes = [
  // GPU
  'gpu-missing', // no WebGPU, or no adapter
  'gpu-too-small', // a tensor needs a larger binding or buffer than the device has
  'gpu-lost', // the device was lost in mid-run
  'gpu-out-of-memory',
  'gpu-shader', // a kernel that this adapter's compiler refuses
  'gpu-failed', // any other error of the device, which is then replaced
  // files
  'file-truncated',
  'file-header', // a safetensors header that breaks its own rules
  'file-missing', // config, tokenizer, shard
  'tensor-missing',
  'tensor-mismatch', // wrong shape or dtype
  'weights-not-finite',
  'activations-not-finite', // finite weights, but hidden states or losses overflow
  'config-invalid',
  'config-unsupported', // readable, but a model or a feature we do not know
  'tokenizer-invalid',
  'tokenizer-mismatch', // more tokens than embedding rows
  'text-invalid',
  'text-short',
  // network
  'offline',
  'hub-unreachable', // refused, reset, stalled, or forbidden to pages (CORS)
  'hub-busy', // 429 or 5xx, again and again
  'hub-denied', // gated, private, or a token that is not good for it
  'hub-missing', // no such repository, revision or file
  'hub-changed', // a file is not what it was when reading began
  'hub-answer', // an answer that makes no sense: a wrong range, no JSON
  // plan
  'option-invalid',
  'plan-invalid',
  // results
  'storage-full',
  'storage-failed',
  'journal-mismatch', // an unfinished job that something of has changed
  'journal-busy', // another tab or program is at work
  'journal-kept', // a job is kept that nobody asked to give up
  // control
  'cancelled',
  'internal',
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** What crosses the worker and lands on the page or on stderr. */
export interface ErrorData {
  code: ErrorCode
  /** What happened and why, one or two sentences. */
  message: string
  /** What the person can do now. */
  hint: string
  /** Stack of a bug; absent for errors that people can act on. */
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

/** Any thrown value as plain data; unknown ones become `internal` and keep their stack. */
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

/** Back from plain data, on the other side of a worker. */
export function fromErrorData(data: ErrorData): Error {
  if (data.code !== 'internal') return new WorkbenchError(data.code, data.message, data.hint)
  const error = new Error(data.message)
  if (data.detail) error.stack = data.detail
  return error
}

/** Things as a sentence lists them: "a, b and c". */
export function inWords(items: readonly string[], word: 'and' | 'or'): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} ${word} ${items.at(-1)}`
}
