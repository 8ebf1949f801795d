/**
 * Last-word accuracy: a passage counts as correct when the model, given the true text before it, greedily predicts every token of the
 * last word. One forward pass scores all of them, since each token sees the true ones before it.
 */
import type { Passage } from '../data/lambada.ts'
import type { Device } from '../gpu/device.ts'
import { applyHead } from '../gpu/head.ts'
import { gatherRows } from '../gpu/ops.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { Model } from '../models/family.ts'
import type { Outer } from '../models/weights.ts'
import type { TokenBatch } from './perplexity.ts'

export interface PassageBatch extends TokenBatch {
  /** Where the last word of each passage begins, and the position after it. */
  words: { begin: number; end: number }[]
}

/** Batches of passages of similar length, padded at the end; `rows`: most rows of a batch, including padding. */
export function batchedPassages(passages: Passage[], rows: number): PassageBatch[] {
  const batches: PassageBatch[] = []
  const longestFirst = [...passages].sort((a, b) => b.ids.length - a.ids.length)
  for (let at = 0; at < longestFirst.length; ) {
    const length = longestFirst[at].ids.length
    const t = Math.ceil(length / 4) * 4
    const some = longestFirst.slice(at, at + Math.max(1, Math.floor(rows / t)))
    batches.push({
      ids: some.map(({ ids }) => ids),
      words: some.map(({ word, end }) => ({ begin: word, end })),
      windows: some.length,
      length,
      t,
    })
    at += some.length
  }
  return batches
}

/**
 * How many passages of a batch are predicted correctly, NaN when a loss is not finite; from the hidden states after the last block
 * `[windows · t, hidden]`.
 */
export async function countRight(
  gpu: Device,
  model: Model,
  outer: Outer,
  hidden: Tensor,
  { ids, words, t, products }: PassageBatch,
): Promise<number> {
  // The states before each token of each last word; only they need the head.
  const places = ids.flatMap((passage, i) =>
    Array.from(passage.subarray(words[i].begin, words[i].end), (token, k) => ({ row: i * t + words[i].begin + k - 1, token, i })),
  )
  const order = gpu.upload(
    Uint32Array.from(places, ({ row }) => row),
    [places.length],
  )
  const before = gatherRows(gpu, hidden, order)
  order.dispose()
  const normed = model.finish(gpu, outer.weights, before)
  before.dispose()
  const { top, losses } = await applyHead(
    gpu,
    normed,
    outer.head,
    Uint32Array.from(places, ({ token }) => token),
    null,
    model.logitCap,
    outer.head,
    { own: products },
  )
  normed.dispose()
  if (!losses.every(Number.isFinite)) return Number.NaN
  const wrong = new Set(places.filter(({ token }, at) => top[at] !== token).map(({ i }) => i))
  return ids.length - wrong.size
}
