/**
 * Perplexity by the published protocol: one token stream, non-overlapping windows, exp of the mean next-token
 * cross-entropy. Within a window of n tokens the n − 1 later ones are predicted.
 */
import type { Gpu } from '../gpu/device.ts'
import { type Panels, crossEntropy } from '../gpu/ops.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { Model } from '../models/family.ts'

/** Windows stacked on the GPU: each takes `t` rows, of which the first `length` are tokens and the rest padding. */
export interface TokenBatch {
  ids: Int32Array[]
  windows: number
  length: number
  t: number
}

/** Windows in batches of at most `most`; `t` is the next multiple of 4, which the kernels need. */
export function batched(windows: Int32Array[], most: number): TokenBatch[] {
  const length = windows[0].length
  const batches: TokenBatch[] = []
  for (let at = 0; at < windows.length; at += most) {
    const ids = windows.slice(at, at + most)
    batches.push({ ids, windows: ids.length, length, t: Math.ceil(length / 4) * 4 })
  }
  return batches
}

/** Token ids with padding, `[windows · t]`. */
export function flatIds({ ids, t }: TokenBatch): Uint32Array<ArrayBuffer> {
  const flat = new Uint32Array(ids.length * t)
  ids.forEach((window, i) => flat.set(window, i * t))
  return flat
}

/** Mean cross-entropy of each window, in nats, from the hidden states after the last block `[windows · t, hidden]`. */
export async function windowLosses(
  gpu: Gpu,
  model: Model,
  outer: { norm: Tensor; head: Panels },
  hidden: Tensor,
  batch: TokenBatch,
): Promise<number[]> {
  const { t, length } = batch
  const targets = new Uint32Array(batch.windows * t)
  batch.ids.forEach((window, i) => targets.set(window.subarray(1), i * t))
  const normed = model.finish(gpu, outer.norm, hidden)
  const losses = await crossEntropy(gpu, normed, outer.head, targets)
  normed.dispose()
  return batch.ids.map((_, i) => {
    const row = losses.subarray(i * t, i * t + length - 1)
    return row.reduce((sum, loss) => sum + loss, 0) / row.length
  })
}

/** All windows have the same length, so the mean of their means is the mean over tokens. */
export function perplexityOf(losses: number[]): number {
  return Math.exp(losses.reduce((sum, loss) => sum + loss, 0) / losses.length)
}
