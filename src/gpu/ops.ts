/**
 * Operations on tensors: each picks a kernel and a grid. Activations are `[tokens, features]`, weights of linears lie
 * input-major `[in, out]` (so y = x · W is a plain product), the embedding and head `[vocabulary, features]`.
 */
import type { Gpu } from './device.ts'
import { byRows, elementsOf, panelPairs, type RowPanel, rowPanels, rowsOf } from './panels.ts'
import type { Reading } from './reading.ts'
import type { Tensor } from './tensor.ts'

const SCRATCH_BYTES = 96 * 2 ** 20
/** Largest scratch for attention scores and logits; more is done in turns. */
export const scratchBytes = (gpu: Gpu) => Math.min(SCRATCH_BYTES, gpu.info.maxBinding)
/** Partial sums of a dot product. */
export const PARTS = 1024

export interface GemmSpec {
  a: Tensor
  b: Tensor
  c: Tensor
  m: number
  n: number
  k: number
  /** A is stored [k, m]. */
  ta?: boolean
  /** B is stored [n, k]. */
  tb?: boolean
  lda: number
  ldb: number
  ldc: number
  a0?: number
  b0?: number
  c0?: number
  /** outer × inner products; strides in elements. */
  batch?: { outer: number; inner: number; share: number; a: [number, number]; b: [number, number]; c: [number, number] }
  /** C is known to be symmetric: only tiles on and above the diagonal are computed. */
  symmetric?: boolean
  alpha?: number
  beta?: number
}

/**
 * C = alpha · op(A) op(B) + beta · C; `gemm_direct.wgsl` states the rules on shapes and offsets. Operands larger than a
 * binding are cut: rows of A and C, rows of B when it is stored [n, k], and k where a whole operand would be needed for it.
 * Parts of k leave every sum as it is without them, unless beta adds to C what is larger than a binding itself.
 */
export function gemm(gpu: Gpu, spec: GemmSpec): void {
  const { a, b, c, m, n, k, ta = false, tb = false, lda, ldb, ldc, a0 = 0, b0 = 0, c0 = 0, batch, symmetric, alpha = 1, beta = 0 } = spec
  for (const [name, value] of Object.entries({ n, lda, ldb, ldc, a0, b0, c0, ...(ta ? {} : { k }) })) {
    if (value % 4) throw new Error(`GEMM: ${name} = ${value} is no multiple of 4.`)
  }
  if (ta && tb) throw new Error('GEMM: Aᵀ · Bᵀ has no kernel.')
  const { maxBinding } = gpu.info
  const [cutA, cutB, cutC] = [a, b, c].map((x) => x.bytes > maxBinding)
  if (batch && (cutA || cutB || cutC)) {
    oneByOne(gpu, spec, batch)
    return
  }
  const tile = gpu.gemm === 'direct' ? 32 : 64
  const depth = (batch?.outer ?? 1) * (batch?.inner ?? 1)
  /** Rows of a large operand that fit, although a view may have to start up to 64 elements before them. */
  const fitting = (cut: boolean, ld: number, unit: number) =>
    cut ? Math.max(unit, Math.floor((maxBinding / 4 - 64) / ld / unit) * unit) : Number.POSITIVE_INFINITY
  // One dispatch must fit one submit, so tall products are cut into row panels.
  const affordable = Math.max(tile, Math.floor(gpu.submitFlops / (2 * n * k * depth) / tile) * tile)
  const height = Math.min(affordable, fitting(cutA && !ta, lda, symmetric ? tile : 4), fitting(cutC, ldc, symmetric ? tile : 4))
  const width = fitting(cutB && tb, ldb, 4)
  const parts = (unit: number) => Math.min(fitting(cutA && ta, lda, unit), fitting(cutB && !tb, ldb, unit))
  // Where not even a block fits, steps do, and the sum comes out a little otherwise than whole.
  const whole = parts(K_PART)
  const part = whole * Math.max(cutA && ta ? lda : 0, cutB && !tb ? ldb : 0) * 4 > maxBinding - 256 ? parts(K_STEP) : whole
  if (symmetric && width < n) throw new Error('GEMM: a symmetric product cannot be cut by columns.')
  for (let row = 0; row < m; row += height) {
    const rows = Math.min(height, m - row)
    for (let col = 0; col < n; col += width) {
      const cols = Math.min(width, n - col)
      const entries = rows * cols - (symmetric ? rows * (row + rows / 2) : 0)
      for (let t = 0; t < k; t += part) {
        const some = Math.min(part, k - t)
        const at = { a: a0 + (ta ? t * lda + row : row * lda + t), b: b0 + (tb ? col * ldb + t : t * ldb + col), c: c0 + row * ldc + col }
        const [pa, pb, pc] = [
          elementsOf(gpu, a, at.a, at.a + (ta ? (some - 1) * lda + rows : (rows - 1) * lda + some)),
          elementsOf(gpu, b, at.b, at.b + (tb ? (cols - 1) * ldb + some : (some - 1) * ldb + cols)),
          elementsOf(gpu, c, at.c, at.c + (rows - 1) * ldc + cols),
        ]
        // Adding to C, each part is a product of its own; else C carries the sum, which is scaled in the end.
        const last = t + some === k
        const scaled = beta ? { carried: 0, alpha, beta: t ? 1 : beta } : { carried: Number(t > 0), alpha: last ? alpha : 1, beta: 0 }
        gpu.run(
          `gemm_${gpu.gemm}`,
          { a: pa.tensor, b: pb.tensor, c: pc.tensor },
          {
            m: rows,
            n: cols,
            k: some,
            lda,
            ldb,
            ldc,
            a0: at.a - pa.start,
            b0: at.b - pb.start,
            c0: at.c - pc.start,
            a_outer: batch?.a[0] ?? 0,
            a_inner: batch?.a[1] ?? 0,
            b_outer: batch?.b[0] ?? 0,
            b_inner: batch?.b[1] ?? 0,
            c_outer: batch?.c[0] ?? 0,
            c_inner: batch?.c[1] ?? 0,
            inner: batch?.inner ?? 1,
            share: batch?.share ?? 1,
            symmetric: symmetric ? 1 + row / tile : 0,
            ...scaled,
          },
          [Math.ceil(cols / tile), Math.ceil(rows / tile), depth],
          { constants: { TA: Number(ta), TB: Number(tb) }, flops: 2 * entries * some * depth },
        )
      }
    }
  }
}

/** Parts of k begin where both kernels begin a block of their sums (lib/gemm.wgsl). */
const K_PART = 64
/** Rows of k that both kernels take at a time. */
const K_STEP = 16

/** The products of a batch as single ones. */
function oneByOne(gpu: Gpu, spec: GemmSpec, { outer, inner, share, a, b, c }: NonNullable<GemmSpec['batch']>): void {
  const { a0 = 0, b0 = 0, c0 = 0 } = spec
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      gemm(gpu, {
        ...spec,
        batch: undefined,
        a0: a0 + o * a[0] + i * a[1],
        b0: b0 + o * b[0] + Math.floor(i / share) * b[1],
        c0: c0 + o * c[0] + i * c[1],
      })
    }
  }
}

/**
 * op(a) · op(b) for matrices of any shape; shapes that 4 does not divide go through padded copies.
 * @returns `out` when given (then `out = alpha · product + beta · out`), else a new tensor `[m, n]`
 */
export function matmul(
  gpu: Gpu,
  a: Tensor,
  b: Tensor,
  { ta = false, tb = false, alpha = 1, beta = 0, out }: { ta?: boolean; tb?: boolean; alpha?: number; beta?: number; out?: Tensor } = {},
): Tensor {
  const [m, k] = ta ? [a.cols, a.rows] : [a.rows, a.cols]
  const [n, kb] = tb ? [b.rows, b.cols] : [b.cols, b.rows]
  if (k !== kb) throw new Error(`Cannot multiply ${ta ? 'Aᵀ' : 'A'} [${m}, ${k}] by ${tb ? 'Bᵀ' : 'B'} [${kb}, ${n}].`)
  const c = out ?? gpu.empty([m, n])
  if (c.rows !== m || c.cols !== n) throw new Error(`The product is [${m}, ${n}], not [${c.shape}].`)
  const four = (x: number) => Math.ceil(x / 4) * 4
  if (a.cols % 4 === 0 && b.cols % 4 === 0 && n % 4 === 0) {
    if (beta === 1 && (ta ? a : b).bytes > gpu.info.maxBinding && !tb) {
      // In parts of k the sum would be rounded to C between them.
      const product = matmul(gpu, a, b, { ta, alpha })
      add(gpu, c, product)
      product.dispose()
      return c
    }
    gemm(gpu, { a, b, c, m, n, k, ta, tb, lda: a.cols, ldb: b.cols, ldc: n, alpha, beta })
    return c
  }
  const widened = (x: Tensor) => (x.cols % 4 ? pad(gpu, x, four(x.cols)) : x)
  // Rows of B beyond k meet zero columns of A; they only have to be finite.
  const [wa, tight, wc] = [widened(a), widened(b), widened(c)]
  const kb4 = four(k)
  const wb = !ta && !tb && kb4 !== k ? padRows(gpu, tight, kb4) : tight
  gemm(gpu, { a: wa, b: wb, c: wc, m, n: wc.cols, k: ta ? k : kb4, ta, tb, lda: wa.cols, ldb: wb.cols, ldc: wc.cols, alpha, beta })
  if (wc !== c) pad(gpu, wc, n, c)
  for (const [wide, narrow] of [
    [wa, a],
    [tight, b],
    [wc, c],
  ]) {
    if (wide !== narrow) wide.dispose()
  }
  if (wb !== tight) wb.dispose()
  return c
}

function pad(gpu: Gpu, x: Tensor, cols: number, out = gpu.empty([Math.ceil(x.rows / 4) * 4, cols])): Tensor {
  const rows = Math.min(x.rows, out.rows)
  const [from, to] = [x, out].map((one) => rowsOf(one, { first: 0, count: rows }))
  const shape = ({ count }: RowPanel) => ({ rows: count, cols_in: x.cols, cols_out: cols })
  byRows(gpu, 'pad', { x: from, y: to }, {}, shape, (count) => count * cols)
  return out
}

function padRows(gpu: Gpu, x: Tensor, rows: number): Tensor {
  const out = gpu.zeros([rows, x.cols])
  gpu.copy(x, out, Math.min(x.size, out.size))
  return out
}

/** sigma += xᵀ x over `tokens` rows of x from row `first`; only the upper tiles, see `mirror`. x: [.., p], sigma: [p, p] */
export function gramUpper(gpu: Gpu, x: Tensor, sigma: Tensor, first: number, tokens: number): void {
  const p = x.cols
  gemm(gpu, {
    a: x,
    b: x,
    c: sigma,
    m: p,
    n: p,
    k: tokens,
    ta: true,
    lda: p,
    ldb: p,
    ldc: p,
    a0: first * p,
    b0: first * p,
    symmetric: true,
    beta: 1,
  })
}

/** Completes a symmetric matrix from its upper tiles. */
export function mirror(gpu: Gpu, s: Tensor): void {
  const p = s.rows
  const panels = rowPanels(gpu, p, [p])
  for (const [i, lower] of panels.entries()) {
    for (const upper of panels.slice(0, i)) {
      const shape = { p, upper0: upper.first, upper_rows: upper.count, lower0: lower.first, lower_rows: lower.count }
      gpu.run1d('mirror_panels', { upper: rowsOf(s, upper), lower: rowsOf(s, lower) }, shape, upper.count * lower.count)
    }
    gpu.run1d('mirror', { s: rowsOf(s, lower) }, { p, row0: lower.first, rows: lower.count }, lower.count * p)
  }
}

export type StoredDType = 'F32' | 'F16' | 'BF16'

/**
 * Weights as stored to f32 in `out` (`[rows, cols]`, or `[cols, rows]` when transposed), `raw` holding the rows from
 * `row0` on. `bad[0]` counts the Inf and NaN met.
 */
export function convert(
  gpu: Gpu,
  raw: Tensor,
  dtype: StoredDType,
  out: Tensor,
  {
    rows,
    cols,
    row0,
    totalRows,
    transposed,
    bad,
  }: { rows: number; cols: number; row0: number; totalRows: number; transposed: boolean; bad: Tensor },
): void {
  const kind = { BF16: 0, F16: 1, F32: 2 }[dtype]
  // The columns (or rows, when not transposed) that each panel of `out` takes.
  for (const { first, count } of rowPanels(gpu, out.rows, [out.size / out.rows])) {
    const y = rowsOf(out, { first, count })
    const from = transposed ? { row: 0, col: first } : { row: Math.max(0, first - row0), col: 0 }
    const some = transposed ? { rows, cols: count } : { rows: Math.min(rows, first + count - row0) - from.row, cols }
    if (some.rows <= 0) continue
    const place = { to_row: transposed ? row0 : row0 + from.row - first, total_rows: totalRows, kind, transposed: Number(transposed) }
    const shape = { ...some, row0: from.row, col0: from.col, ld: cols }
    gpu.run1d('convert', { x: raw, y, bad }, { ...shape, ...place }, some.rows * some.cols)
  }
}

/** Codes `[p, q]` u32 as a stream of `bits` each down the inputs, one stream per output: `[ceil(p·bits/32), q]` u32. */
export function packCodes(gpu: Gpu, codes: Tensor, bits: number): Tensor {
  const [p, q] = [codes.rows, codes.cols]
  const packed = gpu.empty([Math.ceil((p * bits) / 32), q], 'u32')
  // 32 codes fill whole words, whatever their bits.
  for (const panel of rowPanels(gpu, p, [q], 32)) {
    const first = (panel.first / 32) * bits
    const words = Math.ceil((panel.count * bits) / 32)
    const to = elementsOf(gpu, packed, first * q, (first + words) * q)
    const shape = { q, p: panel.count, bits, words, start: first * q - to.start }
    gpu.run1d('pack', { codes: rowsOf(codes, panel), packed: to.tensor }, shape, words * q)
  }
  return packed
}

/**
 * W = scale · (code − zero), input-major `[p, q]` f32, from host arrays: codes as `packCodes` leaves them, the grid
 * `[groups, q, 2]`, the group of each input `[p]`.
 */
export function unpack(
  gpu: Gpu,
  linear: { bits: number; q: number; p: number; groups: number; codes: Uint32Array; grid: Float32Array; groupIndex: Int32Array },
): Tensor {
  const { bits, q, p, groups } = linear
  const packed = gpu.upload(linear.codes as Uint32Array<ArrayBuffer>, [linear.codes.length])
  const group = gpu.upload(Uint32Array.from(linear.groupIndex), [p])
  const grid = gpu.upload(linear.grid as Float32Array<ArrayBuffer>, [groups, q, 2])
  const w = gpu.empty([p, q])
  byRows(
    gpu,
    'unpack',
    { w },
    { packed, group, grid },
    ({ first, count }) => ({ q, rows: count, bits, row0: first }),
    (rows) => rows * q,
  )
  for (const tensor of [packed, group, grid]) tensor.dispose()
  return w
}

export function transpose(gpu: Gpu, x: Tensor): Tensor {
  const y = gpu.empty([x.cols, x.rows])
  for (const [from, to] of panelPairs(gpu, x, y)) {
    const shape = { rows: from.count, cols: to.count, row0: from.first, col0: to.first, ldx: x.cols, ldy: x.rows }
    gpu.run1d('transpose', { x: rowsOf(x, from), y: rowsOf(y, to) }, shape, from.count * to.count)
  }
  return y
}

/** `count` columns of x from column `x0` on become those of y from `y0` on; same number of rows, any element type. */
export function copyColumns(gpu: Gpu, x: Tensor, x0: number, y: Tensor, y0: number, count: number): void {
  const words = { x: x.view(x.shape, 0, 'u32'), y: y.view(y.shape, 0, 'u32') }
  const shape = ({ count: rows }: RowPanel) => ({ rows, cols: count, x0, ldx: x.cols, y0, ldy: y.cols })
  byRows(gpu, 'copy_columns', words, {}, shape, (rows) => rows * count)
}

/** Rows `order` of x: `[order, cols]`. */
export function gatherRows(gpu: Gpu, x: Tensor, order: Tensor): Tensor {
  const y = gpu.empty([order.size, x.cols])
  gpu.run1d('gather_rows', { x, order, y }, { rows: y.rows, cols: y.cols }, y.size)
  return y
}

/** x += bias in every row, in place. */
export function addBias(gpu: Gpu, x: Tensor, bias: Tensor): void {
  addRows(gpu, x, bias.view([1, bias.size]), { window: 1, from: 0 })
}

/** x[t] += table[from + t mod window], in place; rows past the end of the table (padding) take its last. */
export function addRows(gpu: Gpu, x: Tensor, table: Tensor, { window, from }: { window: number; from: number }): void {
  const used = table.view([Math.min(table.rows, from + window), x.cols])
  const shape = ({ first, count }: RowPanel) => ({ rows: count, cols: x.cols, first, window, offset: from, count: used.rows })
  byRows(gpu, 'add_rows', { x }, { table: used }, shape, (rows) => (rows * x.cols) / 4)
}

/** x += y */
export function add(gpu: Gpu, x: Tensor, y: Tensor): void {
  elementwise(gpu, 'add', { x, y })
}

/** x −= y */
export function subtract(gpu: Gpu, x: Tensor, y: Tensor): void {
  elementwise(gpu, 'subtract', { x, y })
}

/** x ⊙= y */
export function multiply(gpu: Gpu, x: Tensor, y: Tensor): void {
  elementwise(gpu, 'multiply', { x, y })
}

/** A kernel over the elements of matrices of one shape, four at a time. */
function elementwise(gpu: Gpu, name: string, tensors: Record<string, Tensor>, flops = 1): void {
  const [{ rows, size }] = Object.values(tensors)
  const width = size / rows
  byRows(
    gpu,
    name,
    tensors,
    {},
    ({ count }) => ({ n: count * width }),
    (count) => (count * width) / 4,
    {
      flops: (count) => flops * count * width,
    },
  )
}

export function rmsnorm(gpu: Gpu, x: Tensor, weight: Tensor, eps: number, y = gpu.empty(x.shape)): Tensor {
  byRows(
    gpu,
    'rmsnorm',
    { x, y },
    { weight },
    ({ count }) => ({ rows: count, cols: x.cols, eps }),
    (rows) => rows,
    {
      flops: (rows) => 4 * rows * x.cols,
    },
  )
  return y
}

export function layernorm(gpu: Gpu, x: Tensor, weight: Tensor, bias: Tensor, eps: number, y = gpu.empty(x.shape)): Tensor {
  byRows(
    gpu,
    'layernorm',
    { x, y },
    { weight, bias },
    ({ count }) => ({ rows: count, cols: x.cols, eps }),
    (rows) => rows,
    { flops: (rows) => 8 * rows * x.cols },
  )
  return y
}

/** Exact GELU, its approximation by tanh, or ReLU. */
export type Activation = 'gelu' | 'gelu_tanh' | 'relu'

/** In place. */
export function activate(gpu: Gpu, kind: Activation, x: Tensor): void {
  elementwise(gpu, kind, { x }, kind === 'relu' ? 1 : 20)
}

/**
 * Takes the output of a fused projection apart: `x` `[tokens, kvHeads · (heads / kvHeads + 2) · d]` holds per key/value
 * head its query heads, its key and its value.
 * @returns q `[tokens, heads · d]`, k and v `[tokens, kvHeads · d]`
 */
export function splitQkv(gpu: Gpu, x: Tensor, heads: number, kvHeads: number, d: number): [Tensor, Tensor, Tensor] {
  const [q, k, v] = [heads, kvHeads, kvHeads].map((count) => gpu.empty([x.rows, count * d]))
  const shape = ({ count }: RowPanel) => ({ rows: count, kv: kvHeads, share: heads / kvHeads, d })
  byRows(gpu, 'split_qkv', { x, q, k, v }, {}, shape, (rows) => (rows * x.cols) / 4)
  return [q, k, v]
}

/** Rotates x `[tokens, heads · d]` in place; `table` holds (cos, sin) `[window, d/2, 2]`. */
export function rope(gpu: Gpu, x: Tensor, table: Tensor, heads: number, d: number, window: number): void {
  const shape = ({ first, count }: RowPanel) => ({ tokens: count, heads, d, window, first })
  byRows(gpu, 'rope', { x }, { table }, shape, (rows) => (rows * x.cols) / 2)
}

/** gate = silu(gate) ⊙ up, in place. */
export function swiglu(gpu: Gpu, gate: Tensor, up: Tensor): void {
  elementwise(gpu, 'swiglu', { gate, up }, 8)
}

/** x = cap · tanh(x / cap) for the first n elements, in place; n a multiple of 4. */
export function applyCap(gpu: Gpu, x: Tensor, n: number, cap: number): void {
  gpu.run1d('softcap', { x }, { n, cap }, n / 4, { flops: 10 * n })
}

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

/**
 * Causal attention softmax(cap(scale · q kᵀ) + alibi) v within each window, query head h reading key/value head ⌊h · kvHeads / heads⌋.
 * q: `[windows · t, heads · d]`, k and v: `[windows · t, kvHeads · d]`; returns `[windows · t, heads · d]`.
 */
export async function attention(
  gpu: Gpu,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { windows, t, heads, kvHeads, d, span, alibi, scale = 1 / Math.sqrt(d), cap }: AttentionShape,
): Promise<Tensor> {
  const out = gpu.empty(q.shape)
  const share = heads / kvHeads
  const fit = Math.max(1, Math.floor(scratchBytes(gpu) / (t * t * 4)))
  const manyWindows = Math.min(windows, Math.max(1, Math.floor(fit / heads)))
  // Whole groups of heads that share a key/value head, or a part of one where a group does not fit (falcon-7b shares among 71).
  const manyHeads = Math.min(heads, fit < share ? fit : Math.floor(fit / share) * share)
  const scores = gpu.empty([manyWindows * manyHeads, t, t], 'f32', 'The attention scores')
  const bias = alibi ?? gpu.empty([4])
  const [ldq, ldk] = [heads * d, kvHeads * d]
  for (let w = 0; w < windows; w += manyWindows) {
    for (let h = 0, inner = 0; h < heads; h += inner) {
      const outer = Math.min(manyWindows, windows - w)
      inner = Math.min(manyHeads, fit < share ? share - (h % share) : heads - h)
      const query = { at: w * t * ldq + h * d, stride: [t * ldq, d] as [number, number] }
      const key = { at: w * t * ldk + Math.floor(h / share) * d, stride: [t * ldk, d] as [number, number] }
      const square: [number, number] = [inner * t * t, t * t]
      gemm(gpu, {
        a: q,
        b: k,
        c: scores,
        m: t,
        n: t,
        k: d,
        tb: true,
        lda: ldq,
        ldb: ldk,
        ldc: t,
        a0: query.at,
        b0: key.at,
        alpha: scale,
        batch: { outer, inner, share, a: query.stride, b: key.stride, c: square },
      })
      const rows = outer * inner * t
      if (cap !== undefined) applyCap(gpu, scores, rows * t, cap)
      gpu.run1d('softmax_causal', { s: scores, alibi: bias }, { rows, t, span: Math.min(span, t), heads: inner, head0: h }, rows, {
        constants: { ALIBI: Number(alibi !== undefined) },
        flops: 6 * rows * t,
      })
      gemm(gpu, {
        a: scores,
        b: v,
        c: out,
        m: t,
        n: d,
        k: t,
        lda: t,
        ldb: ldk,
        ldc: ldq,
        b0: key.at,
        c0: query.at,
        batch: { outer, inner, share, a: square, b: key.stride, c: query.stride },
      })
      await gpu.pace()
    }
  }
  scores.dispose()
  if (!alibi) bias.dispose()
  return out
}

/** A matrix `[rows, cols]` cut into panels of whole rows that each fit a binding. */
export interface Panels {
  rows: number
  cols: number
  parts: { first: number; tensor: Tensor }[]
}

/** Rows `ids` of the embedding: `[ids, d]`. */
export function embed(gpu: Gpu, table: Panels, ids: Uint32Array<ArrayBuffer>): Tensor {
  const index = gpu.upload(ids, [ids.length])
  const y = gpu.empty([ids.length, table.cols])
  for (const { first, tensor } of table.parts) {
    gpu.run1d('embed', { table: tensor, ids: index, y }, { tokens: ids.length, d: table.cols, first, count: tensor.rows }, y.size)
  }
  index.dispose()
  return y
}

/** Σ x ⊙ y, finished in float64. */
export function dot(gpu: Gpu, x: Tensor, y: Tensor): Reading<number> {
  const out = gpu.empty([PARTS])
  dotParts(gpu, x, y, out)
  const parts = gpu.read(out) as Reading<Float32Array>
  out.dispose()
  return parts.map((values) => values.reduce((sum, part) => sum + part, 0))
}

/** The partial sums of Σ x ⊙ y, left on the GPU in `out` `[PARTS]`. */
export function dotParts(gpu: Gpu, x: Tensor, y: Tensor, out: Tensor): void {
  for (const panel of rowPanels(gpu, x.rows, [x.size / x.rows])) {
    const some = { x: rowsOf(x, panel), y: rowsOf(y, panel), out }
    const n = some.x.size
    gpu.run('dot_partial', some, { n, parts: PARTS, further: Number(panel.first > 0) }, [PARTS / 64], { flops: 2 * n })
  }
}

/** sums += Σ_t |x_t| over `count` rows of x from row `first`. x: [.., p], sums: [p] */
export function absSum(gpu: Gpu, x: Tensor, sums: Tensor, first: number, count: number): void {
  for (const panel of rowPanels(gpu, x.rows, [x.cols])) {
    const from = Math.max(first, panel.first)
    const some = Math.min(first + count, panel.first + panel.count) - from
    if (some <= 0) continue
    const shape = { first: from - panel.first, count: some, cols: x.cols }
    gpu.run1d('abs_sum', { x: rowsOf(x, panel), sums }, shape, x.cols, { flops: 2 * some * x.cols })
  }
}

/** x = the nearest that 16 bits hold, in place; beyond the range of float16 it stays. */
export function roundTo(gpu: Gpu, dtype: 'F16' | 'BF16', x: Tensor): void {
  const width = x.size / x.rows
  const size = ({ count }: RowPanel) => ({ n: count * width, bf16: Number(dtype === 'BF16') })
  byRows(gpu, 'round_stored', { x }, {}, size, (rows) => rows * width)
}

/** peaks[slot] = max(peaks[slot], max |x|), as the bits of an f32. x: [.., a multiple of 4]; peaks: [..] u32 */
export function maxAbs(gpu: Gpu, x: Tensor, peaks: Tensor, slot: number): void {
  for (const panel of rowPanels(gpu, x.rows, [x.cols])) {
    const some = rowsOf(x, panel)
    // Not counted as work: it reads once what products read many times.
    gpu.run('max_abs', { x: some, peaks }, { n: some.size, lanes: PARTS, slot }, [PARTS / 64], { flops: 0 })
  }
}

/** x ← diag(rows) x diag(cols), in place; without one of them that side stays. */
export function scale(gpu: Gpu, x: Tensor, { rows, cols }: { rows?: Tensor; cols?: Tensor }): void {
  const ones = (n: number) => gpu.upload(new Float32Array(n).fill(1), [n])
  const r = rows ?? ones(x.rows)
  const c = cols ?? ones(x.cols)
  const shape = ({ first, count }: RowPanel) => ({ rows: count, cols: x.cols, row0: first })
  byRows(gpu, 'scale', { x }, { r, c }, shape, (count) => count * x.cols, { flops: (count) => 2 * count * x.cols })
  if (!rows) r.dispose()
  if (!cols) c.dispose()
}

/** d = diag(s) */
export function diagonalOf(gpu: Gpu, s: Tensor, d: Tensor): void {
  byRows(
    gpu,
    'diagonal',
    { s },
    { d },
    ({ first, count }) => ({ p: s.cols, row0: first, rows: count }),
    (rows) => rows,
  )
}

/** The diagonal of a square matrix, on the host. */
export function diagonal(gpu: Gpu, s: Tensor): Reading<Float32Array> {
  const d = gpu.empty([s.rows])
  diagonalOf(gpu, s, d)
  const values = gpu.read(d)
  d.dispose()
  return values as Reading<Float32Array>
}
