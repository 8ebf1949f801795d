/**
 * Perplexity by the published protocol: one token stream, non-overlapping windows, exp of the mean next-token
 * cross-entropy. Within a window of n tokens the n − 1 later ones are predicted.
 */
import type { Device } from '../gpu/device.ts'
import { applyHead } from '../gpu/head.ts'
import type { Panels } from '../gpu/ops.ts'
import type { Products } from '../gpu/products.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { Model } from '../models/family.ts'
import type { Outer } from '../models/weights.ts'

/** Windows stacked on the GPU: each takes `t` rows, of which the first `length` are tokens and the rest padding. */
export interface TokenBatch {
  ids: Int32Array[]
  windows: number
  length: number
  t: number
  /** As of `Windows`. */
  products?: Products
  /** Of models with per-layer embeddings (`Windows.inputs`). */
  inputs?(k: number): Float32Array<ArrayBuffer>
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

/** Means over the predicted positions of one window. */
export interface WindowScore {
  /** Cross-entropy, nats. */
  loss: number
  /** KL(full precision ‖ model), nats; NaN without a reference. */
  kl: number
  /** Share of positions where both predict the same token; NaN without a reference. */
  top1: number
  /** KL at each predicted position, nats. Only with a reference. */
  kls?: Float64Array
}

/**
 * Scores each window from the hidden states after the last block `[windows · t, hidden]`; `reference` are those of the
 * full-precision model, which has a head of its own where the model's is quantized, and may be computed in another way.
 */
export async function scoreWindows(
  gpu: Device,
  model: Model,
  outer: Outer,
  hidden: Tensor,
  batch: TokenBatch,
  reference: Tensor | null = null,
  referenceHead: Panels = outer.head,
  referenceProducts = batch.products,
): Promise<WindowScore[]> {
  const { t, length, products } = batch
  const targets = new Uint32Array(batch.windows * t)
  batch.ids.forEach((window, i) => targets.set(window.subarray(1), i * t))
  const normed = model.finish(gpu, outer.weights, hidden)
  const full = reference && model.finish(gpu, outer.weights, reference)
  const { losses, divergence, agreement } = await applyHead(gpu, normed, outer.head, targets, full, model.logitCap, referenceHead, {
    own: products,
    reference: referenceProducts,
  })
  normed.dispose()
  full?.dispose()
  return batch.ids.map((_, i) => {
    const mean = (values: ArrayLike<number> | undefined) => {
      if (!values) return Number.NaN
      let sum = 0
      for (let row = i * t; row < i * t + length - 1; row++) sum += values[row]
      return sum / (length - 1)
    }
    const kls = divergence?.subarray(i * t, i * t + length - 1)
    return { loss: mean(losses), kl: mean(divergence), top1: mean(agreement), kls }
  })
}

/** How KL is distributed. */
export interface KlSpread {
  /** Standard error of the mean over windows; null with a single one. */
  error: number | null
  /** Over all predicted positions, nats; quantiles interpolate between order statistics, as NumPy does. */
  median: number
  p99: number
  max: number
}

/** Means of each window, in order: two models measured on the same windows are compared pair by pair. */
export interface WindowMeans {
  /** Cross-entropy, nats. */
  loss: number[]
  /** KL(full precision ‖ model), nats. Only with a reference. */
  kl?: number[]
}

export interface Score {
  perplexity: number
  /** Standard error of the perplexity over windows; NaN with a single one. */
  perplexityError: number
  kl: number
  top1: number
  windows: WindowMeans
  /** Only with a reference. */
  klSpread?: KlSpread
}

/** All windows have the same length, so the mean of their means is the mean over tokens. */
export function scoreOf(windows: WindowScore[]): Score {
  const meanOf = (key: 'loss' | 'kl' | 'top1') => mean(windows.map((window) => window[key]))
  const losses = windows.map(({ loss }) => loss)
  const kls = windows.flatMap(({ kl, kls }) => (kls ? [kl] : []))
  const compared = kls.length === windows.length
  const perplexity = Math.exp(meanOf('loss'))
  return {
    perplexity,
    perplexityError: perplexity * errorOfMean(losses),
    kl: meanOf('kl'),
    top1: meanOf('top1'),
    windows: { loss: losses.map(brief), ...(compared && { kl: kls.map(brief) }) },
    ...(compared && { klSpread: spreadOf(windows, errorOfMean(kls)) }),
  }
}

/** Eight digits: far below what windows differ by, and half the size in a journal. */
const brief = (value: number) => Number(value.toPrecision(8))

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

function errorOfMean(values: number[]): number {
  const middle = mean(values)
  const variance = values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1)
  return Math.sqrt(variance / values.length)
}

function spreadOf(windows: WindowScore[], error: number): KlSpread {
  const all = new Float64Array(windows.reduce((sum, { kls }) => sum + kls!.length, 0))
  let at = 0
  for (const { kls } of windows) {
    all.set(kls!, at)
    at += kls!.length
  }
  all.sort()
  return { error: Number.isFinite(error) ? error : null, median: quantile(all, 0.5), p99: quantile(all, 0.99), max: all[all.length - 1] }
}

/** Of ascending values, interpolated linearly. */
function quantile(sorted: Float64Array, share: number): number {
  const place = (sorted.length - 1) * share
  const below = Math.floor(place)
  const above = Math.min(below + 1, sorted.length - 1)
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below)
}
