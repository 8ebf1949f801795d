/** Matrix products of any shape and size. */
import type { Device } from '../device.ts'
import { byRows, elementsOf, type RowPanel, rowPanels, rowsOf } from '../panels.ts'
import type { Tensor } from '../tensor.ts'
import { add } from './elementwise.ts'
import { gemmForms, gemmKernel } from './gemm-forms.ts'
import { checkGemm, type GemmPiece, type GemmSpec, gemmPieces, isCut } from './gemm-plan.ts'

/** C = alpha · op(A) op(B) + beta · C; `gemm_direct.wgsl` states the rules on shapes and offsets, gemm-plan.ts how it is cut. */
export function gemm(gpu: Device, spec: GemmSpec): void {
  checkGemm(spec)
  const { a, b, c, batch } = spec
  if (batch && [a, b, c].some((operand) => isCut(gpu, operand))) oneByOne(gpu, spec, batch)
  else for (const piece of gemmPieces(gpu, spec)) multiplyPiece(gpu, spec, piece)
}

function multiplyPiece(gpu: Device, spec: GemmSpec, piece: GemmPiece): void {
  const { ta = false, tb = false, batch, symmetric } = spec
  const { row, rows, cols, terms } = piece
  const form = gemmForms[gpu.gemm]
  const products = (batch?.outer ?? 1) * (batch?.inner ?? 1)
  const entries = rows * cols - (symmetric ? rows * (row + rows / 2) : 0)
  const seen = operandsOf(gpu, spec, piece)
  gpu.run(
    gemmKernel(gpu.gemm, spec.b.dtype, spec.scales !== undefined),
    { a: seen.a.tensor, b: seen.b.tensor, c: seen.c.tensor, ...(spec.scales && { scales: spec.scales }) },
    gemmParams(spec, piece, seen, symmetric ? 1 + row : 0),
    [Math.ceil(cols / form.cols), Math.ceil(rows / form.rows), products],
    { constants: { TA: Number(ta), TB: Number(tb) }, flops: 2 * entries * terms * products },
  )
}

/** `Params` of the kernels, as one literal: it is made for every product. */
function gemmParams({ lda, ldb, ldc, batch }: GemmSpec, piece: GemmPiece, seen: ReturnType<typeof operandsOf>, symmetric: number) {
  const [[a_outer, a_inner], [b_outer, b_inner], [c_outer, c_inner]] = [batch?.a ?? NONE, batch?.b ?? NONE, batch?.c ?? NONE]
  return {
    m: piece.rows,
    n: piece.cols,
    k: piece.terms,
    lda,
    ldb,
    ldc,
    a0: seen.a.start,
    b0: seen.b.start,
    c0: seen.c.start,
    a_outer,
    a_inner,
    b_outer,
    b_inner,
    c_outer,
    c_inner,
    inner: batch?.inner ?? 1,
    share: batch?.share ?? 1,
    symmetric,
    carried: Number(piece.carried),
    row0: piece.row,
    alpha: piece.alpha,
    beta: piece.beta,
  }
}

const NONE: [number, number] = [0, 0]

/** What a piece sees of each operand, and where in it its first element is. */
function operandsOf(gpu: Device, spec: GemmSpec, { row, rows, col, cols, term, terms }: GemmPiece) {
  const { ta, tb, lda, ldb, ldc, a0 = 0, b0 = 0, c0 = 0 } = spec
  /** From an element on, `height` rows of `width`. */
  const seen = (x: Tensor, from: number, ld: number, height: number, width: number) => {
    const { tensor, start } = elementsOf(gpu, x, from, from + (height - 1) * ld + width)
    return { tensor, start: from - start }
  }
  return {
    a: ta ? seen(spec.a, a0 + term * lda + row, lda, terms, rows) : seen(spec.a, a0 + row * lda + term, lda, rows, terms),
    b: tb ? seen(spec.b, b0 + col * ldb + term, ldb, cols, terms) : seen(spec.b, b0 + term * ldb + col, ldb, terms, cols),
    c: seen(spec.c, c0 + row * ldc + col, ldc, rows, cols),
  }
}

/** The products of a batch as single ones. */
function oneByOne(gpu: Device, spec: GemmSpec, { outer, inner, share, a, b, c }: NonNullable<GemmSpec['batch']>): void {
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

export interface MatmulOptions {
  /** A, or B, is stored transposed. */
  ta?: boolean
  tb?: boolean
  alpha?: number
  beta?: number
  out?: Tensor
  /** As of a `GemmSpec`; all extents are multiples of 4 then. */
  scales?: Tensor
}

/**
 * op(a) · op(b) for matrices of any shape; shapes that 4 does not divide go through padded copies.
 * @returns `out` when given (then `out = alpha · product + beta · out`), else a new tensor `[m, n]`
 */
export function matmul(
  gpu: Device,
  a: Tensor,
  b: Tensor,
  { ta = false, tb = false, alpha = 1, beta = 0, out, scales }: MatmulOptions = {},
): Tensor {
  const [m, k] = ta ? [a.cols, a.rows] : [a.rows, a.cols]
  const [n, kb] = tb ? [b.rows, b.cols] : [b.cols, b.rows]
  if (k !== kb) throw new Error(`Cannot multiply ${ta ? 'Aᵀ' : 'A'} [${m}, ${k}] by ${tb ? 'Bᵀ' : 'B'} [${kb}, ${n}].`)
  const c = out ?? gpu.empty([m, n])
  if (c.rows !== m || c.cols !== n) throw new Error(`The product is [${m}, ${n}], not [${c.shape}].`)
  if (a.cols % 4 === 0 && b.cols % 4 === 0 && n % 4 === 0) {
    if (beta === 1 && (ta ? a : b).bytes > gpu.info.maxBinding && !tb) {
      // In parts of k the sum would be rounded to C between them.
      const product = matmul(gpu, a, b, { ta, alpha, scales })
      add(gpu, c, product)
      product.dispose()
      return c
    }
    gemm(gpu, { a, scales, b, c, m, n, k, ta, tb, lda: a.cols, ldb: b.cols, ldc: n, alpha, beta })
    return c
  }
  return paddedMatmul(gpu, a, b, c, { ta, tb, alpha, beta })
}

/** The same through copies whose columns are multiples of 4. */
function paddedMatmul(
  gpu: Device,
  a: Tensor,
  b: Tensor,
  c: Tensor,
  { ta, tb, alpha, beta }: Required<Omit<MatmulOptions, 'out' | 'scales'>>,
): Tensor {
  const [m, n] = c.shape
  const k = ta ? a.rows : a.cols
  const four = (x: number) => Math.ceil(x / 4) * 4
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

function pad(gpu: Device, x: Tensor, cols: number, out = gpu.empty([Math.ceil(x.rows / 4) * 4, cols])): Tensor {
  const rows = Math.min(x.rows, out.rows)
  const [from, to] = [x, out].map((one) => rowsOf(one, { first: 0, count: rows }))
  const shape = ({ count }: RowPanel) => ({ rows: count, cols_in: x.cols, cols_out: cols })
  byRows(gpu, 'pad', { x: from, y: to }, {}, shape, (count) => count * cols)
  return out
}

function padRows(gpu: Device, x: Tensor, rows: number): Tensor {
  const out = gpu.zeros([rows, x.cols])
  gpu.copy(x, out, Math.min(x.size, out.size))
  return out
}

/** sigma += xᵀ x over `tokens` rows of x from row `first`; only the upper tiles, see `mirror`. x: [.., p], sigma: [p, p] */
export function gramUpper(gpu: Device, x: Tensor, sigma: Tensor, first: number, tokens: number): void {
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
export function mirror(gpu: Device, s: Tensor): void {
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
