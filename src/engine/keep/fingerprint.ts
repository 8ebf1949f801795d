/** Digests of everything that a result depends on; a journal is resumed only if all of them are equal. */
import type { AdapterTraits } from '../session.ts'
import { readRange } from '../../io/bytes.ts'
import type { OpenModel } from '../../models/open.ts'
import type { Plan } from '../plan/plan.ts'
import { sha256 } from '../../io/digest.ts'
import type { HubOrigin } from '../job/model.ts'
import type { UsedText, UsedTexts } from '../job/texts.ts'

export interface Fingerprint {
  /** Configuration, headers of all tensors, and samples of the weights. */
  model: string
  /** The drawn windows of tokens, independent of text and seed. */
  text: string
  /** Methods and their resolved options. */
  options: string
  /** The adapter, since arithmetic differs between adapters: its description, and bits of its arithmetic. */
  adapter: string
  /** Name and version of the browser: others compile kernels differently. */
  browser: string
  /** Digest of the sources: see vite.config.ts. */
  code: string
}

declare const __CODE_VERSION__: string
declare const __VERSION__: string
export const codeVersion = __CODE_VERSION__
/** For messages. */
export const version = __VERSION__

export async function fingerprintOf(opened: OpenModel, source: HubOrigin | null, plan: Plan, traits: AdapterTraits): Promise<Fingerprint> {
  const { runs, job } = plan
  const options = runs.map(({ spec, options, blocks }) => [spec.id, spec.method, options, blocks, spec.overrides ?? []])
  return {
    model: await modelDigest(opened, source),
    text: await sha256(
      joinedTokens([
        ...plan.calibration,
        ...plan.heldOut,
        ...plan.evaluation,
        ...plan.passages.flatMap(({ ids, word }) => [ids, Int32Array.of(word)]),
      ]),
    ),
    options: await digestOf([
      options,
      ...[plan.calibration, plan.heldOut, plan.evaluation].map(({ length }) => length),
      job.evaluation.products ?? 'f32',
      job.perplexityEvery,
      job.save,
    ]),
    adapter: await digestOf([traits.told, traits.arithmetic]),
    browser: await digestOf(traits.browser),
    code: codeVersion,
  }
}

/** The texts of a plan by name, with digests of the drawn tokens. */
export async function usedTexts(
  { job, calibration, heldOut, evaluation, passages }: Plan,
  textOf: (text: string) => Pick<UsedText, 'name' | 'origin'>,
): Promise<UsedTexts> {
  const used = async (text: string, windows: Int32Array[]): Promise<UsedText> => ({
    ...textOf(text),
    tokensSha256: await sha256(joinedTokens(windows, false)),
    tokens: windows.reduce((sum, { length }) => sum + length, 0),
  })
  return {
    ...(job.runs.length && { calibration: await used(job.calibration.text, calibration) }),
    ...(heldOut.length && { heldOut: await used(job.calibration.text, heldOut) }),
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
  model: 'the model has other weights',
  text: 'the calibration or evaluation text has other tokens',
  options: 'the methods or their options differ',
  adapter: 'the GPU, its driver or its arithmetic differs',
  browser: 'the browser or its version differs',
  code: 'the version of the workbench differs',
}

/** What differs, in the order of `words`. */
export function differences(a: Fingerprint, b: Fingerprint): string[] {
  return (Object.keys(words) as (keyof Fingerprint)[]).filter((part) => a[part] !== b[part]).map((part) => words[part])
}

/** Bytes read at the start, in the middle and at the end of each tensor: two trained models differ in all of these. */
const SAMPLE = 2 ** 16

/**
 * Digest of the weights: small tensors are read whole, others in three places. That is megabytes for a model of gigabytes, and
 * distinguishes all models but deliberately similar ones. A model on the Hub is identified by its commit, without reading.
 */
export async function modelDigest({ folder }: OpenModel, source: HubOrigin | null): Promise<string> {
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

/** Windows one after the other, each after its length if lengths matter. */
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
