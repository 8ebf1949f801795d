/** Plans how a matrix product is split into dispatches. Nothing is run here. */
import type { Device } from '../device.ts'
import type { Tensor } from '../tensor.ts'
import { gemmForms } from './gemm-forms.ts'

export interface GemmSpec {
  a: Tensor
  /** A is f16, and this is what its rows are to be multiplied by, `[m]` (narrow.ts); not for batches. */
  scales?: Tensor
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

/** One dispatch: a piece of C, over a part of k. */
export interface GemmPiece {
  row: number
  rows: number
  col: number
  cols: number
  /** The first of `terms` along k. */
  term: number
  terms: number
  /** C already holds the sum over earlier terms, without alpha. */
  carried: boolean
  alpha: number
  beta: number
}

/** What decides how products are cut. */
export type GemmDevice = Pick<Device, 'gemm' | 'submitFlops'> & { info: Pick<Device['info'], 'maxBinding'> }

/** Parts of k begin where all kernels begin a block of their sums (lib/gemm.wgsl). */
const K_PART = 64

/** Rows of k that kernels take at a time. */
const K_STEP = 16

/** @throws when no kernel takes such a product */
export function checkGemm({ n, k, ta, tb, lda, ldb, ldc, a0 = 0, b0 = 0, c0 = 0, scales, batch }: GemmSpec): void {
  for (const [name, value] of Object.entries({ n, lda, ldb, ldc, a0, b0, c0, ...(ta ? {} : { k }) })) {
    if (value % 4) throw new Error(`GEMM: ${name} = ${value} is no multiple of 4.`)
  }
  if (ta && tb) throw new Error('GEMM: Aᵀ · Bᵀ has no kernel.')
  if (scales && (ta || batch)) throw new Error('GEMM: narrowed rows are those of one product.')
}

/** Whether an operand is larger than a binding. */
export const isCut = ({ info }: GemmDevice, { bytes }: Tensor) => bytes > info.maxBinding

/**
 * The pieces of a product, row by row of C and, within, along k. Operands larger than a binding are cut: rows of A and C, rows
 * of B when it is stored [n, k], and k where a whole operand would be needed for it. Parts of k leave every sum as it is
 * without them, unless beta adds to C what is larger than a binding itself.
 */
export function gemmPieces(device: GemmDevice, spec: GemmSpec): GemmPiece[] {
  const { m, n, k, symmetric, alpha = 1, beta = 0 } = spec
  const { height, width, depth } = pieceSize(device, spec)
  if (symmetric && width < n) throw new Error('GEMM: a symmetric product cannot be cut by columns.')
  return spans(m, height).flatMap(([row, rows]) =>
    spans(n, width).flatMap(([col, cols]) =>
      spans(k, depth).map(([term, terms]): GemmPiece => {
        // Adding to C, each part is a product of its own; else C carries the sum, which is scaled in the end.
        const scaled = beta
          ? { carried: false, alpha, beta: term ? 1 : beta }
          : { carried: term > 0, alpha: term + terms === k ? alpha : 1, beta: 0 }
        return { row, rows, col, cols, term, terms, ...scaled }
      }),
    ),
  )
}

/** The largest piece: rows and columns of C, and terms of its sums. */
function pieceSize(device: GemmDevice, { a, b, c, n, k, ta, tb, lda, ldb, ldc, batch, symmetric }: GemmSpec) {
  const { maxBinding } = device.info
  const [cutA, cutB, cutC] = [a, b, c].map((operand) => isCut(device, operand))
  const tile = gemmForms[device.gemm].rows
  const unit = symmetric ? tile : 4
  /** Rows of a large operand that fit, although a view may have to start up to 64 elements before them. */
  const fitting = (cut: boolean | undefined, ld: number, unit: number) =>
    cut ? Math.max(unit, Math.floor((maxBinding / 4 - 64) / ld / unit) * unit) : Number.POSITIVE_INFINITY
  // One dispatch must fit one submit, so tall products are cut into row panels.
  const products = (batch?.outer ?? 1) * (batch?.inner ?? 1)
  const affordable = Math.max(tile, Math.floor(device.submitFlops / (2 * n * k * products) / tile) * tile)
  const height = Math.min(affordable, fitting(cutA && !ta, lda, unit), fitting(cutC, ldc, unit))
  const width = fitting(cutB && tb, ldb, 4)
  const depthBy = (unit: number) => Math.min(fitting(cutA && ta, lda, unit), fitting(cutB && !tb, ldb, unit))
  const depth = depthBy(K_PART)
  const widest = Math.max(cutA && ta ? lda : 0, cutB && !tb ? ldb : 0)
  // Where not even a block fits, steps do, and the sum comes out a little otherwise than whole.
  const tooDeep = widest > 0 && depth * widest * 4 > maxBinding - 256
  return { height, width, depth: tooDeep ? depthBy(K_STEP) : depth }
}

/** 0 … total in steps: where each begins, and how long it is. */
function spans(total: number, step: number): [from: number, count: number][] {
  if (total <= step) return total ? [[0, total]] : []
  return Array.from({ length: Math.ceil(total / step) }, (_, i) => [i * step, Math.min(step, total - i * step)])
}
