/** What a result depends on, as digests: a journal is gone on with only where all of them are the same. */
import type { AdapterTraits } from '../session.ts'
import { readRange } from '../../io/bytes.ts'
import type { OpenModel } from '../../models/weights.ts'
import type { Plan } from '../plan/plan.ts'
import { sha256 } from '../../io/digest.ts'
import type { HubOrigin, UsedText, UsedTexts } from '../job.ts'

export interface Fingerprint {
  /** Configuration, headers of all tensors, and what the weights hold. */
  model: string
  /** The windows of tokens that were drawn, whatever text and seed they came from. */
  text: string
  /** Methods and their options, resolved. */
  options: string
  /** Other adapters round other products: all that one tells of itself, and bits of its arithmetic. */
  adapter: string
  /** Name and version of the browser: another one compiles kernels in another way. */
  browser: string
  /** Everything that is built from: see vite.config.ts. */
  code: string
}

declare const __CODE_VERSION__: string
declare const __VERSION__: string
export const codeVersion = __CODE_VERSION__
/** For people. */
export const version = __VERSION__

export async function fingerprintOf(opened: OpenModel, source: HubOrigin | null, plan: Plan, traits: AdapterTraits): Promise<Fingerprint> {
  const { runs, job } = plan
  const options = runs.map(({ spec, options, blocks }) => [spec.id, spec.method, options, blocks])
  return {
    model: await modelDigest(opened, source),
    text: await sha256(
      joinedTokens([...plan.calibration, ...plan.evaluation, ...plan.passages.flatMap(({ ids, word }) => [ids, Int32Array.of(word)])]),
    ),
    options: await digestOf([options, plan.calibration.length, plan.evaluation.length, job.perplexityEvery, job.save]),
    adapter: await digestOf([traits.told, traits.arithmetic]),
    browser: await digestOf(traits.browser),
    code: codeVersion,
  }
}

/** The texts of a plan by their names and the tokens that were drawn from them. */
export async function usedTexts({ job, calibration, evaluation, passages }: Plan, nameOf: (text: string) => string): Promise<UsedTexts> {
  const used = async (text: string, windows: Int32Array[]): Promise<UsedText> => ({
    name: nameOf(text),
    tokensSha256: await sha256(joinedTokens(windows, false)),
    tokens: windows.reduce((sum, { length }) => sum + length, 0),
  })
  return {
    ...(job.runs.length && { calibration: await used(job.calibration.text, calibration) }),
    evaluation: await used(job.evaluation.text, evaluation),
    ...(job.lambada && {
      lambada: await used(
        job.lambada.text,
        passages.map(({ ids }) => ids),
      ),
    }),
  }
}

const words: Record<keyof Fingerprint, string> = {
  model: 'the model holds other weights',
  text: 'the calibration or evaluation text gives other tokens',
  options: 'the methods or their options are others',
  adapter: 'the GPU, its driver or its arithmetic is another',
  browser: 'the browser is another, or another version of it',
  code: 'the workbench is another version',
}

/** What differs, in the order of `words`. */
export function differences(a: Fingerprint, b: Fingerprint): string[] {
  return (Object.keys(words) as (keyof Fingerprint)[]).filter((part) => a[part] !== b[part]).map((part) => words[part])
}

/** Read at the start, in the middle and at the end of each tensor: two trained models differ in all of these. */
const SAMPLE = 2 ** 16

/**
 * Small tensors are read whole, others in three places. That is megabytes for a model of gigabytes, and tells apart all
 * models but those that somebody made to be confused. What lies on the Hub is told apart by its commit, without a read.
 */
async function modelDigest({ folder }: OpenModel, source: HubOrigin | null): Promise<string> {
  if (source) return digestOf([source.repo, source.revision, folder.configText])
  const { checkpoint } = folder
  const parts: string[] = [folder.configText]
  for (const { name, dtype, shape, bytes } of checkpoint.tensors.values()) {
    const size = Math.min(SAMPLE, bytes)
    const places = bytes <= 3 * SAMPLE ? [[0, bytes]] : [0, Math.floor((bytes - size) / 2), bytes - size].map((at) => [at, at + size])
    const digests = await Promise.all(places.map(async ([begin, end]) => sha256(await checkpoint.readRange(name, begin, end))))
    parts.push(JSON.stringify([name, dtype, shape, digests]))
  }
  for (const { name } of folder.otherFiles) {
    const file = folder.files.get(name)!
    parts.push(JSON.stringify([name, file.size, await sha256(await readRange(file, 0, Math.min(file.size, SAMPLE), name))]))
  }
  return digestOf(parts)
}

const digestOf = (value: unknown) => sha256(new TextEncoder().encode(JSON.stringify(value)))

/** Windows one after the other, each behind its length where that counts. */
function joinedTokens(windows: Int32Array[], lengths = true): Int32Array {
  const extra = lengths ? 1 : 0
  const all = new Int32Array(windows.reduce((sum, { length }) => sum + length + extra, 0))
  let at = 0
  for (const window of windows) {
    if (lengths) all[at++] = window.length
    all.set(window, at)
    at += window.length
  }
  return all
}
