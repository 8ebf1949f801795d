/**
 * H = V D Vᵀ with V unit upper triangular and D diagonal, stored as Vᵀ with √D on its diagonal: what GPTQ feeds the error
 * of a column into the later ones by (Chee et al., arXiv 2307.13304, theorem 6). No inverse is formed: turned round in both
 * directions, H is factored as RᵀR, which turned back is V √D; 1/3 p³ operations. Scaling to unit diagonal first keeps
 * float32 honest whatever the sizes of the inputs.
 */
import type { Device } from './device.ts'
import { gemm } from './ops.ts'
import { elementsOf, panelPairs, rowPanels, rowsOf } from './panels.ts'
import type { Tensor } from './tensor.ts'

/** Columns per block; fixed by the shaders. */
const BLOCK = 64
/** Rows that are turned round together take so many bytes at most, and their copies as much. */
const TURNED = 2 ** 25
/** Columns whose blocks update only each other's rows until all of them are done: then one deep GEMM does for the rest. */
const OUTER = 256
/**
 * Least pivot of the unit-diagonal matrix: the part of an input's variance that the others do not explain. Each pivot is
 * off by a few roundings of 1 (6e-8), so below this a fair share of it would be noise. Measured on low-rank inputs,
 * p = 256 and 512: with pivots down to 5e-6 GPTQ ends within 5 % of float64, at 5e-7 up to 50 % above it.
 */
const LEAST_PIVOT = 2e-6

/** The symmetric matrix H with H[i, j] = gram[order[i], order[j]] off the diagonal, and a diagonal of its own. */
export interface Symmetric {
  /** `[p, p]` f32, p a multiple of 4 */
  gram: Tensor
  /** `[p]` */
  order: Uint32Array
  /** H[i, i], all positive; `[p]`, by position like `order`. */
  diagonal: Float64Array
}

/** Floating-point operations of `feedback`. */
export const factorWork = (p: number) => p ** 3 / 3

/**
 * Vᵀ `[p, p]` on the GPU in float32, √D on its diagonal and zeros above; null when a pivot is not safely positive. One
 * readback.
 */
export async function feedback(gpu: Device, h: Symmetric): Promise<Tensor | null> {
  const p = h.order.length
  const work = startFactor(gpu, h)
  const { a, failed } = work
  for (let k0 = 0; k0 < p; k0 += BLOCK) {
    factorBlock(gpu, work, k0)
    if (k0 + BLOCK >= p) break
    updateAfter(gpu, work, k0)
    await gpu.pace()
  }
  const bad = (await gpu.read(failed))[0] > 0
  for (const tensor of [work.columns, work.rt, work.panel, work.left, failed]) tensor.dispose()
  if (bad) {
    a.dispose()
    return null
  }
  turn(gpu, a)
  return a
}

/** Floating-point operations of `solveFactored` for `[p, q]`. */
export const solveFactoredWork = (q: number, p: number) => 2 * q * p * p

/** x `[p, q]` becomes H⁻¹ x in place, H = V D Vᵀ in its own order by the `vt` of `feedback`: V first, last rows first, then D Vᵀ. */
export async function solveFactored(gpu: Device, vt: Tensor, x: Tensor): Promise<void> {
  const [p, q] = [x.rows, x.cols]
  const g = gpu.zeros([BLOCK, q])
  const solveRows = (k0: number, rows: number, down: boolean) => {
    const { tensor: n, start } = elementsOf(gpu, vt, k0 * p, (k0 + rows) * p)
    const shape = { q, p, rows, n0: k0 * p + k0 - start, down: Number(down) }
    gpu.run1d('triangular_block', { x: rowsOf(x, { first: k0, count: rows }), g, n }, shape, q, { flops: q * rows * rows })
  }
  for (let k0 = Math.floor((p - 1) / BLOCK) * BLOCK; k0 >= 0; k0 -= BLOCK) {
    const k1 = Math.min(k0 + BLOCK, p)
    const rest = { m: k1 - k0, n: q, k: p - k1, lda: p, ldb: q, ldc: q, a0: k1 * p + k0, b0: k1 * q }
    if (k1 < p) gemm(gpu, { a: vt, b: x, c: g, ta: true, ...rest })
    solveRows(k0, k1 - k0, false)
    await gpu.pace()
  }
  gpu.clear(g)
  for (let k0 = 0; k0 < p; k0 += BLOCK) {
    const rows = Math.min(BLOCK, p - k0)
    if (k0) gemm(gpu, { a: vt, b: x, c: g, m: rows, n: q, k: k0, lda: p, ldb: q, ldc: q, a0: k0 * p })
    solveRows(k0, rows, true)
    await gpu.pace()
  }
  g.dispose()
}

/** What a factorization works on. */
interface Factor {
  p: number
  /** Per column, last first: where it is in the Gram matrix, and its scale. `[p, 2]` */
  columns: Tensor
  /** The reversed matrix of unit diagonal, of which the rows not done yet are kept up to date; those that are done are of Vᵀ. `[p, p]` */
  a: Tensor
  /** The factor of the block on the diagonal, transposed. `[BLOCK, BLOCK]` */
  rt: Tensor
  /** Finished rows of the outer panel, and the same transposed. `[OUTER, p]`, `[p, OUTER]` */
  panel: Tensor
  left: Tensor
  /** How many pivots were not safely positive. */
  failed: Tensor
}

function startFactor(gpu: Device, { gram, order, diagonal }: Symmetric): Factor {
  const p = order.length
  const columns = gpu.upload(reversedColumns(order, diagonal), [p, 2])
  const a = gpu.empty([p, p], 'f32', 'The factor of the Gram matrix')
  const rt = gpu.empty([BLOCK, BLOCK])
  const panel = gpu.empty([OUTER, p])
  const left = gpu.empty([p, OUTER])
  const failed = gpu.zeros([1], 'u32')
  for (const [from, to] of panelPairs(gpu, gram, a)) {
    const shape = { p, g0: from.first, g_rows: from.count, row0: to.first, rows: to.count }
    gpu.run2d('cholesky_setup', { g: rowsOf(gram, from), columns, a: rowsOf(a, to) }, shape, [p / 4, Math.ceil(to.count / 4)])
  }
  return { p, columns, a, rt, panel, left, failed }
}

/** The rows k0 … k0 + BLOCK of the factor. */
function factorBlock(gpu: Device, { p, columns, a, rt, panel, left, failed }: Factor, k0: number): void {
  const k1 = Math.min(k0 + BLOCK, p)
  const block = rowsOf(a, { first: k0, count: k1 - k0 })
  gpu.run('cholesky_diagonal', { a: block, columns, rt, failed }, { p, k0, least: LEAST_PIVOT }, [1], { flops: (k1 - k0) ** 3 / 3 })
  if (k1 === p) return
  const at = k0 % OUTER
  const rows = panel.view([BLOCK, p], at * p)
  for (const part of rowPanels(gpu, p, [OUTER], 4)) {
    const [c0, c1] = [Math.max(k1, part.first), part.first + part.count]
    if (c0 >= c1) continue
    const bindings = { a: block, rt, columns, panel: rows, left: rowsOf(left, part) }
    const shape = { p, k1, c0, c1, left0: part.first, ld: OUTER, l0: at }
    gpu.run1d('cholesky_panel', bindings, shape, (c1 - c0) / 4, { flops: (c1 - c0) * BLOCK * BLOCK })
  }
}

/** What the rows after a block owe to it: within the outer panel at once, beyond it when the panel is full. */
function updateAfter(gpu: Device, { p, a, panel, left }: Factor, k0: number): void {
  const k1 = k0 + BLOCK
  const at = k0 % OUTER
  const p1 = Math.min(k0 - at + OUTER, p)
  /** A[i0 .. i1, i0 ..] −= what the rows `from` .. `from` + k of the outer panel say. */
  const update = (i0: number, i1: number, from: number, k: number) => {
    const operands = { a: left, b: panel, c: a, lda: OUTER, ldb: p, ldc: p, a0: i0 * OUTER + from, b0: from * p + i0, c0: i0 * p + i0 }
    gemm(gpu, { ...operands, m: i1 - i0, n: p - i0, k, symmetric: true, alpha: -1, beta: 1 })
  }
  if (k1 < p1) update(k1, p1, at, BLOCK)
  else update(p1, p, 0, OUTER)
}

/** Turns the rows of a finished factor round in place, some and those that mirror them at a time. */
function turn(gpu: Device, a: Tensor): void {
  const p = a.rows
  // What is bound may begin a little before the first row.
  const most = Math.max(1, Math.floor(Math.min(TURNED, gpu.info.maxBinding - 512) / 4 / p))
  const copied = (first: number, count: number) => {
    const rows = gpu.empty([count, p])
    gpu.copy(a, rows, rows.size, first * p)
    return rows
  }
  const put = (rows: Tensor, row0: number) => {
    const { tensor: n, start } = elementsOf(gpu, a, row0 * p, (row0 + rows.rows) * p)
    gpu.run1d('cholesky_turn', { a: rows, n }, { p, row0, rows: rows.rows, n0: row0 * p - start }, rows.size / 4)
    rows.dispose()
  }
  for (let first = 0; 2 * first < p; ) {
    const left = p - 2 * first
    const middle = left <= most
    const count = middle ? left : Math.min(most, left / 2)
    const last = p - first - count
    const [top, bottom] = [copied(first, count), middle ? null : copied(last, count)]
    put(top, last)
    if (bottom) put(bottom, first)
    first += middle ? left : count
  }
}

/** Per column, last first: where it is in the Gram matrix, and 1/√H_jj as bits. */
function reversedColumns(order: Uint32Array, diagonal: Float64Array): Uint32Array<ArrayBuffer> {
  const p = order.length
  const table = new Uint32Array(2 * p)
  const floats = new Float32Array(table.buffer)
  for (let i = 0; i < p; i++) {
    table[2 * i] = order[p - 1 - i]
    floats[2 * i + 1] = 1 / Math.sqrt(diagonal[p - 1 - i])
  }
  return table
}

/**
 * The same on the host in float64, `[p, p]`, or null when a pivot is not positive. `pace` is awaited once a block. `gram`
 * are the values of `Symmetric.gram`.
 */
export async function feedback64(
  gram: ArrayLike<number>,
  order: Uint32Array,
  diagonal: Float64Array,
  pace: () => Promise<void>,
): Promise<Float64Array | null> {
  const p = order.length
  const scale = Float64Array.from({ length: p }, (_, i) => 1 / Math.sqrt(diagonal[p - 1 - i]))
  const a = new Float64Array(p * p)
  for (let i = 0; i < p; i++) {
    const row = order[p - 1 - i] * p
    a[i * p + i] = 1
    for (let j = i + 1; j < p; j++) a[i * p + j] = gram[row + order[p - 1 - j]] * scale[i] * scale[j]
  }
  for (let k0 = 0; k0 < p; k0 += BLOCK) {
    const k1 = Math.min(k0 + BLOCK, p)
    if (!eliminateRows(a, p, k0, k1)) return null
    updateRest(a, p, k0, k1)
    await pace()
  }
  const n = new Float64Array(p * p)
  for (let k = 0; k < p; k++) {
    const row = a.subarray((p - 1 - k) * p, (p - k) * p)
    const root = row[p - 1 - k]
    const s = scale[p - 1 - k]
    for (let i = 0; i < k; i++) n[k * p + i] = (row[p - 1 - i] * s) / (root * scale[p - 1 - i])
    n[k * p + k] = root / s
  }
  return n
}

/** Rows k0 .. k1 of the factor, from the diagonal on. */
function eliminateRows(a: Float64Array, p: number, k0: number, k1: number): boolean {
  for (let j = k0; j < k1; j++) {
    const row = a.subarray(j * p, (j + 1) * p)
    const pivot = row[j]
    if (!(pivot > 0 && pivot < Infinity)) return false
    const reciprocal = 1 / Math.sqrt(pivot)
    for (let c = j; c < p; c++) row[c] *= reciprocal
    for (let i = j + 1; i < k1; i++) {
      const target = a.subarray(i * p, (i + 1) * p)
      const factor = row[i]
      for (let c = i; c < p; c++) target[c] -= factor * row[c]
    }
  }
  return true
}

/** A[i, c] −= Σ_b A[b, i] A[b, c] over the rows b = k0 .. k1, for k1 ≤ i ≤ c. */
function updateRest(a: Float64Array, p: number, k0: number, k1: number): void {
  const depth = k1 - k0
  // Four neighbouring columns together, row by row: the inner loop below runs straight through both its operands.
  const packed = new Float64Array(depth * p)
  for (let b = 0; b < depth; b++) {
    for (let c = k1; c < p; c++) packed[((c >> 2) * depth + b) * 4 + (c & 3)] = a[(k0 + b) * p + c]
  }
  for (let i = k1; i < p; i += 4) for (let c = i; c < p; c += 4) subtractTile(a, p, packed, depth, i, c)
}

/** One 4 × 4 tile of `updateRest`. */
function subtractTile(a: Float64Array, p: number, packed: Float64Array, depth: number, i: number, c: number): void {
  let s00 = 0
  let s01 = 0
  let s02 = 0
  let s03 = 0
  let s10 = 0
  let s11 = 0
  let s12 = 0
  let s13 = 0
  let s20 = 0
  let s21 = 0
  let s22 = 0
  let s23 = 0
  let s30 = 0
  let s31 = 0
  let s32 = 0
  let s33 = 0
  let x = i * depth
  let y = c * depth
  for (const end = x + depth * 4; x < end; x += 4, y += 4) {
    const x0 = packed[x]
    const x1 = packed[x + 1]
    const x2 = packed[x + 2]
    const x3 = packed[x + 3]
    const y0 = packed[y]
    const y1 = packed[y + 1]
    const y2 = packed[y + 2]
    const y3 = packed[y + 3]
    s00 += x0 * y0
    s01 += x0 * y1
    s02 += x0 * y2
    s03 += x0 * y3
    s10 += x1 * y0
    s11 += x1 * y1
    s12 += x1 * y2
    s13 += x1 * y3
    s20 += x2 * y0
    s21 += x2 * y1
    s22 += x2 * y2
    s23 += x2 * y3
    s30 += x3 * y0
    s31 += x3 * y1
    s32 += x3 * y2
    s33 += x3 * y3
  }
  const at = i * p + c
  a[at] -= s00
  a[at + 1] -= s01
  a[at + 2] -= s02
  a[at + 3] -= s03
  a[at + p] -= s10
  a[at + p + 1] -= s11
  a[at + p + 2] -= s12
  a[at + p + 3] -= s13
  a[at + 2 * p] -= s20
  a[at + 2 * p + 1] -= s21
  a[at + 2 * p + 2] -= s22
  a[at + 2 * p + 3] -= s23
  a[at + 3 * p] -= s30
  a[at + 3 * p + 1] -= s31
  a[at + 3 * p + 2] -= s32
  a[at + 3 * p + 3] -= s33
}
