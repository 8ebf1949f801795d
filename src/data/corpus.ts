/** Calibration and evaluation texts: reading them, and cutting token streams into windows. */
import { WorkbenchError } from '../errors.ts'
import { type Bytes, readRange } from '../io/bytes.ts'
import { isObject } from '../io/json.ts'

/** Well under the longest string that engines allow (about 512 MB), and far more than calibration can use. */
const maxTextBytes = 256 << 20

/**
 * A text file as one string. `.jsonl` holds one document per line: a JSON string, or an object with `text`, with
 * `prefix` and `gold_completion`, or with a single text field; documents are joined by an empty line. Any other name
 * is plain UTF-8, taken as it is.
 */
export async function readText(name: string, bytes: Bytes): Promise<string> {
  if (bytes.size > maxTextBytes) {
    throw new WorkbenchError(
      'text-invalid',
      `${name} has ${bytes.size} bytes; ${maxTextBytes} is the most a text may have.`,
      'Use a part of it: a few MB are plenty.',
    )
  }
  const data = await readRange(bytes, 0, bytes.size, name)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(data)
  } catch (cause) {
    throw new WorkbenchError(
      'text-invalid',
      `${name} is not UTF-8 text.`,
      'Save it as plain text in UTF-8, or choose a .txt or .jsonl file.',
      { cause },
    )
  }
  if (/\.(jsonl|ndjson)$/i.test(name)) text = readLines(name, text)
  if (!text.trim()) throw new WorkbenchError('text-short', `${name} is empty.`, 'Choose a text of at least a few hundred words.')
  return text
}

function readLines(name: string, text: string): string {
  const documents: string[] = []
  text.split('\n').forEach((line, i) => {
    if (!line.trim()) return
    const document = documentOf(line)
    if (document === null) {
      throw new WorkbenchError(
        'text-invalid',
        `Line ${i + 1} of ${name} is not a JSON text, or an object with one.`,
        'Each line has to look like {"text": "..."}; remove or correct that line.',
      )
    }
    documents.push(document)
  })
  return documents.join('\n\n')
}

function documentOf(line: string): string | null {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return null
  }
  if (typeof value === 'string') return value
  if (!isObject(value)) return null
  if (typeof value.text === 'string') return value.text
  if (typeof value.prefix === 'string' && typeof value.gold_completion === 'string') return value.prefix + value.gold_completion
  const texts = Object.values(value).filter((field) => typeof field === 'string')
  return texts.length === 1 ? texts[0] : null
}

/**
 * A small seeded generator (mulberry32): numbers in [0, 1) with 32 bits each, the same on every machine. Seeds count
 * modulo 2^32.
 */
export function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export interface Sampling {
  samples: number
  /** Tokens per sample. */
  length: number
  sampling: 'random' | 'consecutive'
  seed: number
}

/**
 * Calibration windows of `length` tokens. Random windows start anywhere and may overlap, as in GPTQ's own code;
 * consecutive ones are the first of the text, end to end.
 */
export function sampleWindows(tokens: Int32Array, { samples, length, sampling, seed }: Sampling): Int32Array[] {
  const needed = sampling === 'random' ? length : samples * length
  if (tokens.length < needed) {
    const fit = Math.floor(tokens.length / length)
    const wanted = sampling === 'random' ? `one sample of ${length}` : `${samples} samples of ${length} end to end (${needed})`
    throw new WorkbenchError(
      'text-short',
      `The calibration text has ${tokens.length} tokens, too few for ${wanted}.`,
      fit
        ? `Choose a longer text, random sampling, or ${fit} sample${fit > 1 ? 's' : ''} of ${length}.`
        : `Choose a longer text, or samples of ${tokens.length} tokens or less.`,
    )
  }
  const next = random(seed)
  const start = (i: number) => (sampling === 'random' ? Math.floor(next() * (tokens.length - length + 1)) : i * length)
  return Array.from({ length: samples }, (_, i) => {
    const at = start(i)
    return tokens.slice(at, at + length)
  })
}

/**
 * Evaluation windows: the first `samples` (0 = all) of `length` tokens, end to end; a rest too short for a window is
 * left out. A text shorter than one window becomes a single window of what there is, and `shortened` says so.
 */
export function evaluationWindows(
  tokens: Int32Array,
  { samples, length }: { samples: number; length: number },
): { windows: Int32Array[]; length: number; shortened: boolean } {
  if (tokens.length < 2) {
    throw new WorkbenchError(
      'text-short',
      `The evaluation text has ${tokens.length} tokens; perplexity needs at least 2.`,
      'Choose a longer text.',
    )
  }
  const shortened = tokens.length < length
  const actual = shortened ? tokens.length : length
  const fit = Math.floor(tokens.length / actual)
  const windows = Array.from({ length: samples ? Math.min(samples, fit) : fit }, (_, i) => tokens.slice(i * actual, (i + 1) * actual))
  return { windows, length: actual, shortened }
}
