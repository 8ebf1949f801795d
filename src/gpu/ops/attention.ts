/** Causal attention, in parts whose scores fit the memory limit, and over the keys and values of the tokens before. */
import type { Device } from '../device.ts'
import type { Tensor } from '../tensor.ts'
import { applyCap } from './elementwise.ts'
import { gemm } from './gemm.ts'

const SCRATCH_BYTES = 96 * 2 ** 20

/** Largest scratch for attention scores and logits; more is done in turns. */
export const scratchBytes = (gpu: Device) => Math.min(SCRATCH_BYTES, gpu.info.maxBinding)

export interface AttentionShape {
  windows: number
  /** Tokens per window, a multiple of 4; with a past, those that continue it. */
  t: number
  heads: number
  kvHeads: number
  d: number
  /** Keys that a query sees, itself included; as many as there are, or more = all before it. */
  span: number
  /** Added to the scores of each key, `[heads, keys]`: those of the past and these, together a multiple of 4. */
  alibi?: Tensor
  /** What the scores are multiplied by, instead of 1/√d. */
  scale?: number
  /** Scores s become cap · tanh(s / cap). */
  cap?: number
  /** The tokens before these, of one window. */
  past?: Past
}

/** What attention keeps of a text that is continued. Made with no tensors; `disposePast` frees those that came. */
export interface Past {
  /** Tokens so far. The caller counts on once all blocks have seen them. */
  length: number
  /** Positions that there is room for, a multiple of 4; padding included. */
  room: number
  /** Length of the whole text, padded to a multiple of 4: some families turn positions by other angles in long ones. */
  whole: number
  /** `[room, kvHeads · d]` */
  keys?: Tensor
  values?: Tensor
}

export function disposePast(past: Past): void {
  past.keys?.dispose()
  past.values?.dispose()
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
 * q: `[windows · t, heads · d]`, k and v: `[windows · t, kvHeads · d]`; returns `[windows · t, heads · d]`. With a past, they continue it.
 */
export async function attention(gpu: Device, q: Tensor, k: Tensor, v: Tensor, shape: AttentionShape): Promise<Tensor> {
  const { t, alibi, past } = shape
  const out = gpu.empty(q.shape)
  if (past) append(gpu, past, k, v)
  const first = past?.length ?? 0
  const seen: Seen = { k: past?.keys ?? k, v: past?.values ?? v, keys: Math.ceil((first + t) / 4) * 4, first }
  const fit = Math.max(1, Math.floor(scratchBytes(gpu) / (t * seen.keys * 4)))
  const largest = largestTurn(fit, shape)
  const scores = gpu.empty([largest.windows * largest.heads, t, seen.keys], 'f32', 'The attention scores')
  const bias = alibi ?? gpu.empty([4])
  for (const turn of turns(fit, shape)) {
    attend(gpu, { q, ...seen, scores, bias, out }, shape, turn)
    await gpu.pace()
  }
  scores.dispose()
  if (!alibi) bias.dispose()
  return out
}

/** What queries look at: the first `keys` rows of k and v; the first query is at position `first`. */
interface Seen {
  k: Tensor
  v: Tensor
  keys: number
  first: number
}

/** Puts keys and values behind those of the past. What is not there yet is 0, since it is multiplied by 0. */
function append(gpu: Device, past: Past, k: Tensor, v: Tensor): void {
  if (past.length + k.rows > past.room) throw new Error(`There is room for ${past.room} positions, not for ${past.length + k.rows}.`)
  past.keys ??= gpu.zeros([past.room, k.cols])
  past.values ??= gpu.zeros([past.room, v.cols])
  gpu.copy(k, past.keys, k.size, 0, past.length * k.cols)
  gpu.copy(v, past.values, v.size, 0, past.length * v.cols)
}

function attend(
  gpu: Device,
  { q, k, v, keys, first, scores, bias, out }: Seen & Record<'q' | 'scores' | 'bias' | 'out', Tensor>,
  { t, heads, kvHeads, d, span, alibi, scale = 1 / Math.sqrt(d), cap }: AttentionShape,
  { window, windows: outer, head, heads: inner }: Turn,
): void {
  const share = heads / kvHeads
  const [ldq, ldk] = [heads * d, kvHeads * d]
  const query = { at: window * t * ldq + head * d, stride: [t * ldq, d] as [number, number] }
  const key = { at: window * t * ldk + Math.floor(head / share) * d, stride: [t * ldk, d] as [number, number] }
  const square: [number, number] = [inner * t * keys, t * keys]
  const batch = { outer, inner, share }
  gemm(gpu, {
    ...{ a: q, b: k, c: scores, m: t, n: keys, k: d, tb: true, lda: ldq, ldb: ldk, ldc: keys, a0: query.at, b0: key.at, alpha: scale },
    batch: { ...batch, a: query.stride, b: key.stride, c: square },
  })
  const rows = outer * inner * t
  if (cap !== undefined) applyCap(gpu, scores, rows * keys, cap)
  const params = { rows, queries: t, keys, first, span: Math.min(span, keys), heads: inner, head0: head }
  gpu.run1d('softmax_causal', { s: scores, alibi: bias }, params, rows, {
    constants: { ALIBI: Number(alibi !== undefined) },
    flops: 6 * rows * keys,
  })
  gemm(gpu, {
    ...{ a: scores, b: v, c: out, m: t, n: d, k: keys, lda: keys, ldb: ldk, ldc: ldq, b0: key.at, c0: query.at },
    batch: { ...batch, a: square, b: key.stride, c: query.stride },
  })
}
