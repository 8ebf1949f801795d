/** Causal attention, in parts whose scores fit the memory limit. */
import type { Device } from '../device.ts'
import type { Tensor } from '../tensor.ts'
import { applyCap } from './elementwise.ts'
import { gemm } from './gemm.ts'

const SCRATCH_BYTES = 96 * 2 ** 20

/** Largest scratch for attention scores and logits; more is done in turns. */
export const scratchBytes = (gpu: Device) => Math.min(SCRATCH_BYTES, gpu.info.maxBinding)

export interface AttentionShape {
  windows: number
  /** Tokens per window, a multiple of 4. */
  t: number
  heads: number
  kvHeads: number
  d: number
  /** Keys that a query sees, itself included; `t` or more = all before it. */
  span: number
  /** Added to the scores of each key, `[heads, t]`. */
  alibi?: Tensor
  /** What the scores are multiplied by, instead of 1/√d. */
  scale?: number
  /** Scores s become cap · tanh(s / cap). */
  cap?: number
}

/** Some heads of some windows, whose scores are there at once. */
interface Turn {
  window: number
  windows: number
  head: number
  heads: number
}

type Heads = Pick<AttentionShape, 'windows' | 'heads' | 'kvHeads'>

/**
 * Windows and heads of the largest turn, where the scores of `fit` heads are there at once: whole groups of heads that share
 * a key/value head, or a part of one where a group does not fit (falcon-7b shares among 71).
 */
function largestTurn(fit: number, { windows, heads, kvHeads }: Heads): Pick<Turn, 'windows' | 'heads'> {
  const share = heads / kvHeads
  return {
    windows: Math.min(windows, Math.max(1, Math.floor(fit / heads))),
    heads: Math.min(heads, fit < share ? fit : Math.floor(fit / share) * share),
  }
}

function turns(fit: number, shape: Heads): Turn[] {
  const { windows, heads, kvHeads } = shape
  const share = heads / kvHeads
  const largest = largestTurn(fit, shape)
  const all: Turn[] = []
  for (let window = 0; window < windows; window += largest.windows) {
    for (let head = 0, some = 0; head < heads; head += some) {
      some = Math.min(largest.heads, fit < share ? share - (head % share) : heads - head)
      all.push({ window, windows: Math.min(largest.windows, windows - window), head, heads: some })
    }
  }
  return all
}

/**
 * Causal attention softmax(cap(scale · q kᵀ) + alibi) v within each window, query head h reading key/value head ⌊h · kvHeads / heads⌋.
 * q: `[windows · t, heads · d]`, k and v: `[windows · t, kvHeads · d]`; returns `[windows · t, heads · d]`.
 */
export async function attention(gpu: Device, q: Tensor, k: Tensor, v: Tensor, shape: AttentionShape): Promise<Tensor> {
  const { t, alibi } = shape
  const out = gpu.empty(q.shape)
  const fit = Math.max(1, Math.floor(scratchBytes(gpu) / (t * t * 4)))
  const largest = largestTurn(fit, shape)
  const scores = gpu.empty([largest.windows * largest.heads, t, t], 'f32', 'The attention scores')
  const bias = alibi ?? gpu.empty([4])
  for (const turn of turns(fit, shape)) {
    attend(gpu, { q, k, v, scores, bias, out }, shape, turn)
    await gpu.pace()
  }
  scores.dispose()
  if (!alibi) bias.dispose()
  return out
}

function attend(
  gpu: Device,
  { q, k, v, scores, bias, out }: Record<'q' | 'k' | 'v' | 'scores' | 'bias' | 'out', Tensor>,
  { t, heads, kvHeads, d, span, alibi, scale = 1 / Math.sqrt(d), cap }: AttentionShape,
  { window, windows: outer, head, heads: inner }: Turn,
): void {
  const share = heads / kvHeads
  const [ldq, ldk] = [heads * d, kvHeads * d]
  const query = { at: window * t * ldq + head * d, stride: [t * ldq, d] as [number, number] }
  const key = { at: window * t * ldk + Math.floor(head / share) * d, stride: [t * ldk, d] as [number, number] }
  const square: [number, number] = [inner * t * t, t * t]
  const batch = { outer, inner, share }
  gemm(gpu, {
    ...{ a: q, b: k, c: scores, m: t, n: t, k: d, tb: true, lda: ldq, ldb: ldk, ldc: t, a0: query.at, b0: key.at, alpha: scale },
    batch: { ...batch, a: query.stride, b: key.stride, c: square },
  })
  const rows = outer * inner * t
  if (cap !== undefined) applyCap(gpu, scores, rows * t, cap)
  gpu.run1d('softmax_causal', { s: scores, alibi: bias }, { rows, t, span: Math.min(span, t), heads: inner, head0: head }, rows, {
    constants: { ALIBI: Number(alibi !== undefined) },
    flops: 6 * rows * t,
  })
  gemm(gpu, {
    ...{ a: scores, b: v, c: out, m: t, n: d, k: t, lda: t, ldb: ldk, ldc: ldq, b0: key.at, c0: query.at },
    batch: { ...batch, a: square, b: key.stride, c: query.stride },
  })
}
