/** For tests only: refused input and hand-made safetensors files. */
import { expect } from 'vitest'
import { WorkbenchError } from '../errors.ts'

/** The error with which the call refuses its input; anything but a WorkbenchError with a hint fails the test. */
export async function refusal(call: () => unknown): Promise<WorkbenchError> {
  let result: unknown
  try {
    result = await call()
  } catch (error) {
    if (!(error instanceof WorkbenchError)) throw error
    expect(error.hint).not.toBe('')
    expect(error.message).toMatch(/\.$/)
    return error
  }
  throw new Error(`Accepted, with ${JSON.stringify(result)}`)
}

/** A safetensors file with this header, be it right or wrong, and this many bytes of data. */
export function safetensors(header: unknown, dataBytes: number, length?: bigint): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header))
  const file = new Uint8Array(8 + json.length + dataBytes)
  new DataView(file.buffer).setBigUint64(0, length ?? BigInt(json.length), true)
  file.set(json, 8)
  for (let i = 0; i < dataBytes; i++) file[8 + json.length + i] = i
  return file
}
