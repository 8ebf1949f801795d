/** Draws calibration and evaluation windows from token streams and documents, by seed. */
import { WorkbenchError } from '../errors.ts'

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
  /** Windows wanted beside these, from other places of the text; default 0. */
  heldOut?: number
  /** Tokens per sample. */
  length: number
  /** Random windows of the joined text, its first windows end to end, or one window from each of some documents. */
  sampling: 'random' | 'consecutive' | 'documents'
  seed: number
}

export interface Drawn {
  windows: Int32Array[]
  /** As many of those wanted as the text has room for. They leave `windows` as they are without. */
  heldOut: Int32Array[]
  /** Tokens of the text that `windows` cover: fewer than they hold where they overlap. */
  distinct: number
}

/**
 * Calibration windows of `length` tokens. Random windows start anywhere and may overlap, as in GPTQ's own code;
 * consecutive ones are the first of the text, end to end.
 */
export function sampleWindows(
  tokens: Int32Array,
  { samples, length, sampling, seed, heldOut = 0 }: Sampling & { sampling: 'random' | 'consecutive' },
): Drawn {
  const needed = sampling === 'random' ? length : samples * length
  if (tokens.length < needed) {
    const fit = Math.floor(tokens.length / length)
    const counted = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`
    const wanted = sampling === 'random' ? `one sample of ${length}` : `${counted(samples, 'sample')} of ${length} end to end (${needed})`
    throw new WorkbenchError(
      'text-short',
      `The calibration text has ${counted(tokens.length, 'token')}, too few for ${wanted}.`,
      fit
        ? `Choose a longer text, random sampling, or at most ${counted(fit, 'sample')} of ${length}.`
        : `Choose a longer text, or samples of ${counted(tokens.length, 'token')} or less.`,
    )
  }
  const next = random(seed)
  const starts = Array.from({ length: samples }, (_, i) =>
    sampling === 'random' ? Math.floor(next() * (tokens.length - length + 1)) : i * length,
  )
  const others =
    sampling === 'random' ? elsewhere(starts, tokens.length, length, heldOut, next) : after(samples, tokens.length, length, heldOut)
  const windowAt = (at: number) => tokens.slice(at, at + length)
  return { windows: starts.map(windowAt), heldOut: others.map(windowAt), distinct: covered(starts, length) }
}

/** Places inside windows of `length` at these starts, each counted once. */
function covered(starts: number[], length: number): number {
  let [count, until] = [0, 0]
  for (const start of [...starts].sort((a, b) => a - b)) {
    count += start + length - Math.max(start, until)
    until = start + length
  }
  return count
}

/** Starts of the windows that follow `samples` ones end to end. */
function after(samples: number, tokens: number, length: number, wanted: number): number[] {
  const fit = Math.floor(tokens / length) - samples
  return Array.from({ length: Math.max(0, Math.min(wanted, fit)) }, (_, i) => (samples + i) * length)
}

/** Starts of random windows that share no token with those at `taken`, nor with each other; as many as there is room for. */
function elsewhere(taken: number[], tokens: number, length: number, wanted: number, next: () => number): number[] {
  const all = [...taken]
  const found: number[] = []
  while (found.length < wanted) {
    const gaps: { from: number; count: number }[] = []
    let from = 0
    for (const start of [...all].sort((a, b) => a - b)) {
      if (start - length >= from) gaps.push({ from, count: start - length - from + 1 })
      from = Math.max(from, start + length)
    }
    if (tokens - length >= from) gaps.push({ from, count: tokens - length - from + 1 })
    let rank = Math.floor(next() * gaps.reduce((sum, { count }) => sum + count, 0))
    const gap = gaps.find(({ count }) => {
      if (rank < count) return true
      rank -= count
      return false
    })
    if (!gap) break
    found.push(gap.from + rank)
    all.push(gap.from + rank)
  }
  return found
}

/**
 * One window from each of `samples` documents of more than `length` tokens, at a random position, as C4 is sampled in GPTQ's own code.
 * That code draws documents from the whole set; here a coin flip selects each document as it is read, so that reading stops with the last
 * sample. Documents that were skipped are used if the text ends too soon.
 */
export async function sampleDocuments(
  documents: () => AsyncIterable<string>,
  encode: (document: string) => Int32Array,
  { samples, length, seed, heldOut = 0 }: Omit<Sampling, 'sampling'>,
): Promise<Drawn> {
  const windows: Int32Array[] = []
  let tried = 0
  const next = random(seed)
  for (const side of [true, false]) {
    const coin = random(seed ^ 0x5bd1e995)
    for await (const document of documents()) {
      if (coin() < 0.5 !== side) continue
      tried++
      // A token takes at least one byte, except a few that the tokenizer adds.
      if (utf8.encode(document).length + 16 <= length) continue
      const tokens = encode(document)
      if (tokens.length <= length) continue
      const at = Math.floor(next() * (tokens.length - length))
      windows.push(tokens.slice(at, at + length))
      if (windows.length === samples + heldOut) break
    }
    if (windows.length === samples + heldOut) break
  }
  if (windows.length >= samples) return { windows: windows.slice(0, samples), heldOut: windows.slice(samples), distinct: samples * length }
  throw new WorkbenchError(
    'text-short',
    `Of ${tried} documents in the calibration text ${windows.length} are longer than ${length} tokens; ${samples} samples need as many documents.`,
    windows.length
      ? `Use ${windows.length} sample${windows.length > 1 ? 's' : ''} or shorter ones, or random sampling of the joined text.`
      : 'Use shorter samples, or random sampling of the joined text.',
  )
}

const utf8 = new TextEncoder()

/** Consecutive tokens that two texts have to share to count as overlap: longer than any common phrase. */
const copied = 32

/**
 * Share of the evaluation tokens inside a run of 32 or more that also occurs in the calibration samples; shorter windows are compared as
 * a whole.
 */
export function overlap(calibration: Int32Array[], evaluation: Int32Array[]): number {
  const run = Math.min(copied, ...calibration.map(({ length }) => length), ...evaluation.map(({ length }) => length))
  const known = new Map<number, Int32Array>()
  for (const window of calibration) {
    for (const { at, hash } of hashes(window, run)) if (!known.has(hash)) known.set(hash, window.subarray(at, at + run))
  }
  let shared = 0
  let all = 0
  for (const window of evaluation) {
    let until = 0
    for (const { at, hash } of hashes(window, run)) {
      const candidate = known.get(hash)
      if (!candidate?.every((id, i) => id === window[at + i])) continue
      shared += at + run - Math.max(until, at)
      until = at + run
    }
    all += window.length
  }
  return all ? shared / all : 0
}

/** A rolling polynomial hash modulo 2^32 of every run of `length` tokens. */
function* hashes(tokens: Int32Array, run: number): Generator<{ at: number; hash: number }> {
  const base = 0x01000193
  let first = 1
  for (let i = 0; i < run; i++) first = Math.imul(first, base)
  let hash = 0
  for (let i = 0; i < tokens.length; i++) {
    hash = (Math.imul(hash, base) + tokens[i] + 1) | 0
    if (i >= run) hash = (hash - Math.imul(first, tokens[i - run] + 1)) | 0
    if (i >= run - 1) yield { at: i - run + 1, hash }
  }
}

/**
 * Evaluation windows: the first `samples` (0 = all) of `length` tokens, end to end; a remainder shorter than a window is left out. A text
 * shorter than one window becomes a single shorter window, and `shortened` says so.
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
