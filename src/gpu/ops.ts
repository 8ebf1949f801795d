/**
 * Operations on tensors: each picks a kernel and a grid. Activations are `[tokens, features]`, weights of linears lie
 * input-major `[in, out]` (so y = x · W is a plain product), the embedding and head `[vocabulary, features]`.
 */
import type { Gpu } from './device.ts'
import type { Tensor } from './tensor.ts'

/** Largest scratch for attention scores and logits; more is done in turns. */
const SCRATCH_BYTES = 96 * 2 ** 20
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

/** C = alpha · op(A) op(B) + beta · C; `gemm_direct.wgsl` states the rules on shapes and offsets. */
export function gemm(gpu: Gpu, spec: GemmSpec): void {
  const { a, b, c, m, n, k, ta = false, tb = false, lda, ldb, ldc, a0 = 0, b0 = 0, c0 = 0, batch, symmetric, alpha = 1, beta = 0 } = spec
  for (const [name, value] of Object.entries({ n, lda, ldb, ldc, a0, b0, c0, ...(ta ? {} : { k }) })) {
    if (value % 4) throw new Error(`GEMM: ${name} = ${value} is no multiple of 4.`)
  }
  const tile = gpu.gemm === 'direct' ? 32 : 64
  const depth = (batch?.outer ?? 1) * (batch?.inner ?? 1)
  // One dispatch must fit one submit, so tall products are cut into row panels.
  const panel = Math.max(tile, Math.floor(gpu.submitFlops / (2 * n * k * depth) / tile) * tile)
  for (let row = 0; row < m; row += panel) {
    const rows = Math.min(panel, m - row)
    gpu.run(
      `gemm_${gpu.gemm}`,
      { a, b, c },
      {
        m: rows,
        n,
        k,
        lda,
        ldb,
        ldc,
        a0: a0 + row * (ta ? 1 : lda),
        b0,
        c0: c0 + row * ldc,
        a_outer: batch?.a[0] ?? 0,
        a_inner: batch?.a[1] ?? 0,
        b_outer: batch?.b[0] ?? 0,
        b_inner: batch?.b[1] ?? 0,
        c_outer: batch?.c[0] ?? 0,
        c_inner: batch?.c[1] ?? 0,
        inner: batch?.inner ?? 1,
        share: batch?.share ?? 1,
        symmetric: symmetric ? 1 + row / tile : 0,
        alpha,
        beta,
      },
      [Math.ceil(n / tile), Math.ceil(rows / tile), depth],
      { constants: { TA: Number(ta), TB: Number(tb) }, flops: 2 * rows * n * k * depth * (symmetric ? 0.5 : 1) },
    )
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
  gpu.run1d('pad', { x, y: out }, { rows: x.rows, cols_in: x.cols, cols_out: cols }, x.rows * cols)
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
  gpu.run1d('mirror', { s }, { p: s.rows }, s.size)
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
  gpu.run1d(
    'convert',
    { x: raw, y: out, bad },
    { rows, cols, row0, total_rows: totalRows, kind, transposed: Number(transposed) },
    rows * cols,
  )
}

/** A packed linear as checkpoints store it; see `PackedLinear`, which satisfies this. */
export interface PackedWeights {
  bits: number
  q: number
  p: number
  groups: number
  codes: Uint32Array
  scales: Float32Array
  zeros: Uint8Array
  groupIndex: Int32Array
}

/** W = scale · (code − zero), input-major `[p, q]` f32. */
export function unpack(gpu: Gpu, linear: PackedWeights): Tensor {
  const { bits, q, p, groups } = linear
  const packed = gpu.upload(linear.codes as Uint32Array<ArrayBuffer>, [linear.codes.length])
  const group = gpu.upload(Uint32Array.from(linear.groupIndex), [p])
  const cells = new Float32Array(groups * q * 2)
  linear.scales.forEach((scale, i) => {
    cells[2 * i] = scale
    cells[2 * i + 1] = linear.zeros[i]
  })
  const grid = gpu.upload(cells, [groups, q, 2])
  const w = gpu.empty([p, q])
  gpu.run1d('unpack', { packed, group, grid, w }, { q, p, bits }, p * q)
  for (const tensor of [packed, group, grid]) tensor.dispose()
  return w
}

export function transpose(gpu: Gpu, x: Tensor): Tensor {
  const y = gpu.empty([x.cols, x.rows])
  gpu.run1d('transpose', { x, y }, { rows: x.rows, cols: x.cols }, x.size)
  return y
}

/** Rows `order` of x: `[order, cols]`. */
export function gatherRows(gpu: Gpu, x: Tensor, order: Tensor): Tensor {
  const y = gpu.empty([order.size, x.cols])
  gpu.run1d('gather_rows', { x, order, y }, { rows: y.rows, cols: y.cols }, y.size)
  return y
}

/** y = x + bias for every row, in place. */
export function addBias(gpu: Gpu, x: Tensor, bias: Tensor): void {
  gpu.run1d('add_bias', { x, bias }, { rows: x.rows, cols: x.cols }, x.size / 4)
}

export function rmsnorm(gpu: Gpu, x: Tensor, weight: Tensor, eps: number, y = gpu.empty(x.shape)): Tensor {
  gpu.run1d('rmsnorm', { x, weight, y }, { rows: x.rows, cols: x.cols, eps }, x.rows, { flops: 4 * x.size })
  return y
}

/** Rotates x `[tokens, heads · d]` in place; `table` holds (cos, sin) `[window, d/2, 2]`. */
export function rope(gpu: Gpu, x: Tensor, table: Tensor, heads: number, d: number, window: number): void {
  gpu.run1d('rope', { x, table }, { tokens: x.rows, heads, d, window }, x.size / 2)
}

/** gate = silu(gate) ⊙ up, in place. */
export function swiglu(gpu: Gpu, gate: Tensor, up: Tensor): void {
  gpu.run1d('swiglu', { gate, up }, { n: gate.size }, gate.size / 4, { flops: 8 * gate.size })
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
}

/**
 * Causal attention softmax(q kᵀ / √d) v within each window, query head h reading key/value head ⌊h · kvHeads / heads⌋.
 * q: `[windows · t, heads · d]`, k and v: `[windows · t, kvHeads · d]`; returns `[windows · t, heads · d]`.
 */
export async function attention(
  gpu: Gpu,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { windows, t, heads, kvHeads, d, span }: AttentionShape,
): Promise<Tensor> {
  const out = gpu.empty(q.shape)
  const share = heads / kvHeads
  const fit = Math.max(1, Math.floor(Math.min(SCRATCH_BYTES, gpu.info.maxBinding) / (t * t * 4)))
  const manyWindows = Math.min(windows, Math.max(1, Math.floor(fit / heads)))
  const manyHeads = Math.min(heads, Math.max(share, Math.floor(fit / share) * share))
  const scores = gpu.empty([manyWindows * manyHeads, t, t], 'f32', 'The attention scores')
  const [ldq, ldk] = [heads * d, kvHeads * d]
  for (let w = 0; w < windows; w += manyWindows) {
    for (let h = 0; h < heads; h += manyHeads) {
      const outer = Math.min(manyWindows, windows - w)
      const inner = Math.min(manyHeads, heads - h)
      const query = { at: w * t * ldq + h * d, stride: [t * ldq, d] as [number, number] }
      const key = { at: w * t * ldk + (h / share) * d, stride: [t * ldk, d] as [number, number] }
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
        alpha: 1 / Math.sqrt(d),
        batch: { outer, inner, share, a: query.stride, b: key.stride, c: square },
      })
      gpu.run1d('softmax_causal', { s: scores }, { rows: outer * inner * t, t, span: Math.min(span, t) }, outer * inner * t, {
        flops: 6 * outer * inner * t * t,
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

export interface HeadResult {
  /** Cross-entropy of each row against its target, in nats. */
  losses: Float64Array
  /** The token that each row would pick. */
  top: Uint32Array
  /** KL(reference ‖ hidden) of each row, in nats. Only with a reference. */
  divergence?: Float64Array
  /** 1 where both would pick the same token. Only with a reference. */
  agreement?: Uint8Array
}

/**
 * What the head makes of each row, without ever holding all logits: panels of the head times turns of rows.
 * hidden, reference: `[rows, d]` after the final norm; targets: `[rows]`.
 */
export async function applyHead(
  gpu: Gpu,
  hidden: Tensor,
  head: Panels,
  targets: Uint32Array<ArrayBuffer>,
  reference: Tensor | null = null,
): Promise<HeadResult> {
  const rows = hidden.rows
  const d = hidden.cols
  // Views start at multiples of 64 elements: turns of 512 rows of anything do.
  const turn = Math.min(rows, 512)
  const width = Math.min(Math.ceil(head.rows / 4) * 4, Math.max(64, Math.floor(SCRATCH_BYTES / 4 / turn / 64) * 64))
  const cells = reference ? 8 : 4
  const state = gpu.empty([rows, cells])
  const wanted = gpu.upload(targets, [rows])
  const logits = gpu.empty([turn, width])
  const full = reference && gpu.empty([turn, width])
  for (let row = 0; row < rows; row += turn) {
    const m = Math.min(turn, rows - row)
    const some = { logits, targets: wanted.view([m], row), state: state.view([m, cells], row * cells) }
    for (const { first, tensor } of head.parts) {
      for (let from = 0; from < tensor.rows; from += width) {
        const count = Math.min(width, tensor.rows - from)
        const n = Math.ceil(count / 4) * 4
        const product = (a: Tensor, c: Tensor) =>
          gemm(gpu, { a, b: tensor, c, m, n, k: d, tb: true, lda: d, ldb: d, ldc: width, a0: row * d, b0: from * d })
        product(hidden, logits)
        const params = { rows: m, ld: width, first: first + from, count }
        if (reference && full) {
          product(reference, full)
          gpu.run1d('divergence', { ...some, full }, params, m, { flops: 12 * m * count })
        } else gpu.run1d('logsumexp', some, params, m, { flops: 4 * m * count })
        await gpu.pace()
      }
    }
  }
  const sums = await gpu.read(state)
  for (const tensor of [logits, full, state, wanted]) tensor?.dispose()
  const each = (value: (at: number) => number) => Float64Array.from({ length: rows }, (_, row) => value(row * cells))
  const model = cells - 4
  const lse = (at: number) => sums[at] + Math.log(sums[at + 1])
  const losses = each((at) => lse(at + model) - sums[at + model + 2])
  const top = Uint32Array.from({ length: rows }, (_, row) => sums[row * cells + model + 3])
  if (!reference) return { losses, top }
  return {
    losses,
    top,
    divergence: each((at) => sums[at + 2] / sums[at + 1] - (lse(at) - lse(at + 4))),
    agreement: Uint8Array.from(each((at) => Number(sums[at + 3] === sums[at + 7]))),
  }
}

/** Σ x ⊙ y, finished in float64. */
export async function dot(gpu: Gpu, x: Tensor, y: Tensor): Promise<number> {
  const out = gpu.empty([PARTS])
  dotParts(gpu, x, y, out)
  const parts = (await gpu.read(out)) as Float32Array
  out.dispose()
  return parts.reduce((sum, part) => sum + part, 0)
}

/** The partial sums of Σ x ⊙ y, left on the GPU in `out` `[PARTS]`. */
export function dotParts(gpu: Gpu, x: Tensor, y: Tensor, out: Tensor): void {
  gpu.run('dot_partial', { x, y, out }, { n: x.size, parts: PARTS }, [PARTS / 64], { flops: 2 * x.size })
}

/** sums += Σ_t |x_t| over `count` rows of x from row `first`. x: [.., p], sums: [p] */
export function absSum(gpu: Gpu, x: Tensor, sums: Tensor, first: number, count: number): void {
  gpu.run1d('abs_sum', { x, sums }, { first, count, cols: x.cols }, x.cols, { flops: 2 * count * x.cols })
}

/** x ← diag(rows) x diag(cols), in place; without one of them that side stays. */
export function scale(gpu: Gpu, x: Tensor, { rows, cols }: { rows?: Tensor; cols?: Tensor }): void {
  const ones = (n: number) => gpu.upload(new Float32Array(n).fill(1), [n])
  const r = rows ?? ones(x.rows)
  const c = cols ?? ones(x.cols)
  gpu.run1d('scale', { x, r, c }, { rows: x.rows, cols: x.cols }, x.size, { flops: 2 * x.size })
  if (!rows) r.dispose()
  if (!cols) c.dispose()
}

/** The diagonal of a square matrix, on the host. */
export async function diagonal(gpu: Gpu, s: Tensor): Promise<Float32Array> {
  const d = gpu.empty([s.rows])
  gpu.run1d('diagonal', { s, d }, { p: s.rows }, s.rows)
  const values = await gpu.read(d)
  d.dispose()
  return values as Float32Array
}
