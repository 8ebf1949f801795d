/** Whether a trace is asked for, and the names in it; the trace itself (trace.ts) comes only then. */
export type Print = (line: string) => void

/** Where a trace goes in Node, if one was asked for: standard error. */
export function debugPrint(): Print | null {
  return onNode && process.env.QE_DEBUG === '1' ? console.error : null
}

export const onNode = typeof process !== 'undefined' && typeof process.once === 'function'

/** Devices' own functions that make tensors for somebody. */
const makers = /\b(?:callSite|empty|zeros|upload|uploadBytes)\b/

/** Who makes a tensor: the function, file and line of the first caller outside of the device. */
export function callSite(): string {
  const frames = (new Error().stack ?? '').split('\n').filter((line) => /:\d+:\d+\)?$/.test(line))
  const frame = frames.find((line) => !makers.test(line.replace(/\(.*$/, '')))
  const place = frame?.match(/([^/\\\s(]+:\d+):\d+\)?$/)?.[1]
  const name = frame?.match(/at (?:async |new )?([\w$.#<>]+) \(/)?.[1]
  return [name, place && `(${place})`].filter(Boolean).join(' ') || 'A tensor'
}
