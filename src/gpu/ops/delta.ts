/**
 * Gated delta nets (arXiv 2412.06464): attention without a softmax, whose memory is one matrix S `[dk, dv]` for each head. A token
 * lets it decay, corrects what it recalls for its key towards its value, and reads it by its query:
 *   S ← e^g S;   S ← S + k (beta (v − Sᵀ k))ᵀ;   o = Sᵀ q
 * with q and k normalized, g < 0 and 0 < beta < 1. That is computed in chunks of positions, as products of matrices. With G_i the
 * sum of g from the chunk's start to i, and D_ij = e^(G_i − G_j):
 *   X = (1 + strictly lower(beta_i D_ij k_i·k_j))⁻¹;   U = X diag(beta) V;   W = X diag(beta e^G) K      what each token writes
 *   N = U − W S;   O = diag(e^G) Q S + lower(D_ij q_i·k_j) N;   S ← e^(G_end) S + (diag(e^(G_end − G)) K)ᵀ N
 */
import type { Device } from '../device.ts'
import { alignedRows, byRows, type RowPanel, rowsOf } from '../panels.ts'
import type { Tensor } from '../tensor.ts'
import { scratchBytes } from './attention.ts'
import { gemm } from './gemm.ts'

export interface DeltaShape {
  windows: number
  /** Tokens per window, a multiple of 4. */
  t: number
  /** Heads of queries and keys, each of which serves heads / keyHeads heads of values. */
  keyHeads: number
  heads: number
  /** Width of a key and of a value, multiples of 4. */
  dk: number
  dv: number
}

/** What a delta net reads of each token. */
export interface DeltaInputs {
  /** Queries, keys and values `[tokens, 2 · keyHeads · dk + heads · dv]`. */
  qkv: Tensor
  /** Of the decay, `[tokens, heads]`: g = −e^decay · log(1 + e^(a + bias)). */
  a: Tensor
  /** Of how much is written, `[tokens, heads]`: beta = 1 / (1 + e^−b). */
  b: Tensor
}

export interface DeltaWeights {
  /** `[heads]` each. */
  decay: Tensor
  bias: Tensor
  /** Of the norm of what a head reads, `[dv]`. */
  norm: Tensor
  eps: number
}

/** The widest chunk; delta_inverse.wgsl holds as many rows. */
const WIDEST = 64

interface Chunks {
  chunk: number
  chunks: number
  /** Positions of a window with those that fill up its last chunk. */
  padded: number
}

function chunksOf(t: number): Chunks {
  const chunks = Math.ceil(t / WIDEST)
  const chunk = Math.ceil(t / chunks / 4) * 4
  return { chunk, chunks, padded: chunk * chunks }
}

/** Operations of a delta net for a token in windows of `t`. */
export function deltaWork({ heads, dk, dv }: Pick<DeltaShape, 'heads' | 'dk' | 'dv'>, t: number): number {
  const { chunk } = chunksOf(t)
  return heads * (6 * dk * dv + chunk * (6 * dk + 4 * dv))
}

/** y[i] = silu(Σ_j w[·, j] x[i − 3 + j]), `w` `[channels, 4]`: a causal convolution along windows of `t` rows. */
export function shortConv(gpu: Device, x: Tensor, w: Tensor, t: number): Tensor {
  const y = gpu.empty(x.shape)
  const shape = ({ count }: RowPanel) => ({ rows: count, cols: x.cols, window: t })
  const flops = (rows: number) => 16 * rows * x.cols
  byRows(gpu, 'short_conv', { x, y }, { w }, shape, (rows) => (rows * x.cols) / 4, { unit: t, flops })
  return y
}

/** z ← RMS norm of what a gated delta net puts out ⊙ silu(z), in place; z `[tokens, heads · dv]`. */
export async function gatedDelta(
  gpu: Device,
  { qkv, a, b }: DeltaInputs,
  z: Tensor,
  weights: DeltaWeights,
  shape: DeltaShape,
): Promise<void> {
  const { windows, t, heads, dk, dv } = shape
  const { padded, chunk } = chunksOf(t)
  const bytes = 4 * padded * heads * (3 * dk + 3 * dv + 4 * chunk)
  const widths = [qkv.cols, z.cols, heads]
  for (const { first, count } of alignedRows(windows * t, widths, t, Math.floor(scratchBytes(gpu) / bytes) * t)) {
    const some = { first, count }
    const own = { ...shape, windows: count / t }
    const o = recall(gpu, { qkv: rowsOf(qkv, some), a: rowsOf(a, some), b: rowsOf(b, some) }, weights, own)
    const sizes = { windows: own.windows, t, padded, heads, d: dv, eps: weights.eps }
    gpu.run1d('gated_norm', { x: o, weight: weights.norm, z: rowsOf(z, some) }, sizes, count * heads, { flops: 20 * count * heads * dv })
    o.dispose()
    await gpu.pace()
  }
}

/** O of some windows, `[windows · padded, heads · dv]`. */
function recall(gpu: Device, { qkv, a, b }: DeltaInputs, { decay, bias }: DeltaWeights, shape: DeltaShape): Tensor {
  const { windows, t, keyHeads, heads, dk, dv } = shape
  const { chunk, chunks, padded } = chunksOf(t)
  const rows = windows * padded
  const [beta, total] = [gpu.empty([rows, heads]), gpu.empty([rows, heads])]
  const parts = windows * chunks
  gpu.run1d('delta_gates', { a, b, decay, bias, beta, total }, { windows, t, chunks, chunk, heads }, parts * heads)
  const [q, k, v] = [dk, dk, dv].map((width) => gpu.empty([rows, heads * width]))
  gpu.run1d('delta_heads', { x: qkv, q, k, v }, { windows, t, padded, key_heads: keyHeads, heads, dk, dv }, rows * heads)
  const { scores, u, w } = within(gpu, { q, k, v, beta, total }, shape)
  gpu.run1d('delta_scale', { q, k, total }, { rows, chunk, heads, dk }, (rows * heads * dk) / 4)
  // v is used up, and is where O goes.
  acrossChunks(gpu, { q, k, u, w, total, o: v }, shape)
  const square = chunk * chunk
  gemm(gpu, {
    ...{ a: scores, b: u, c: v, m: chunk, n: dv, k: chunk, lda: chunk, ldb: heads * dv, ldc: heads * dv, beta: 1 },
    batch: { outer: parts, inner: heads, share: 1, a: [heads * square, square], b: [chunk * heads * dv, dv], c: [chunk * heads * dv, dv] },
  })
  for (const tensor of [beta, total, q, k, u, w, scores]) tensor.dispose()
  return v
}

/** What the tokens of each chunk are to each other: lower(D q·k), U and W. */
function within(
  gpu: Device,
  { q, k, v, beta, total }: Record<'q' | 'k' | 'v' | 'beta' | 'total', Tensor>,
  { windows, t, heads, dk, dv }: DeltaShape,
): Record<'scores' | 'u' | 'w', Tensor> {
  const { chunk, chunks } = chunksOf(t)
  const matrices = windows * chunks * heads
  const square = chunk * chunk
  const squares: [number, number] = [heads * square, square]
  const batch = { outer: windows * chunks, inner: heads, share: 1 }
  const keys: [number, number] = [chunk * heads * dk, dk]
  const [kk, scores, xu, xw] = Array.from({ length: 4 }, () => gpu.empty([matrices, chunk, chunk]))
  for (const [left, c] of [
    [k, kk],
    [q, scores],
  ]) {
    gemm(gpu, {
      ...{ a: left, b: k, c, m: chunk, n: chunk, k: dk, tb: true, lda: heads * dk, ldb: heads * dk, ldc: chunk },
      batch: { ...batch, a: keys, b: keys, c: squares },
    })
  }
  gpu.run1d('delta_mask', { kk, qk: scores, beta, total }, { matrices, chunk, heads }, (matrices * square) / 4)
  gpu.run1d('delta_inverse', { l: kk, beta, total, u: xu, w: xw }, { matrices, chunk, heads }, (matrices * chunk) / 4, {
    flops: (matrices * chunk ** 3) / 3,
  })
  const [u, w] = [gpu.empty(v.shape), gpu.empty(k.shape)]
  for (const [left, right, c, d] of [
    [xu, v, u, dv],
    [xw, k, w, dk],
  ] as const) {
    const strides: [number, number] = [chunk * heads * d, d]
    gemm(gpu, {
      ...{ a: left, b: right, c, m: chunk, n: d, k: chunk, lda: chunk, ldb: heads * d, ldc: heads * d },
      batch: { ...batch, a: squares, b: strides, c: strides },
    })
  }
  for (const tensor of [kk, xu, xw]) tensor.dispose()
  return { scores, u, w }
}

/** One chunk after the other: u becomes N, and o what is read of the state before each chunk. */
function acrossChunks(
  gpu: Device,
  { q, k, u, w, total, o }: Record<'q' | 'k' | 'u' | 'w' | 'total' | 'o', Tensor>,
  { windows, t, heads, dk, dv }: DeltaShape,
): void {
  const { chunk, chunks, padded } = chunksOf(t)
  const state = gpu.zeros([windows * heads, dk, dv])
  const [keyWidth, valueWidth] = [heads * dk, heads * dv]
  const batch = { outer: windows, inner: heads, share: 1 }
  const keys: [number, number] = [padded * keyWidth, dk]
  const values: [number, number] = [padded * valueWidth, dv]
  const states: [number, number] = [heads * dk * dv, dk * dv]
  for (let c = 0; c < chunks; c++) {
    const [key0, value0] = [c * chunk * keyWidth, c * chunk * valueWidth]
    for (const [left, out, alpha, beta] of [
      [w, u, -1, 1],
      [q, o, 1, 0],
    ] as const) {
      gemm(gpu, {
        ...{
          a: left,
          b: state,
          c: out,
          m: chunk,
          n: dv,
          k: dk,
          lda: keyWidth,
          ldb: dv,
          ldc: valueWidth,
          a0: key0,
          c0: value0,
          alpha,
          beta,
        },
        batch: { ...batch, a: keys, b: states, c: values },
      })
    }
    if (c === chunks - 1) break
    const end = (c + 1) * chunk - 1
    gpu.run1d('delta_decay', { s: state, total }, { windows, heads, size: dk * dv, padded, end }, state.size / 4)
    gemm(gpu, {
      ...{ a: k, b: u, c: state, m: dk, n: dv, k: chunk, ta: true, lda: keyWidth, ldb: valueWidth, ldc: dv, a0: key0, b0: value0, beta: 1 },
      batch: { ...batch, a: keys, b: values, c: states },
    })
  }
  state.dispose()
}
