/** How products are cut: every entry of C is made once from all terms, and no piece sees more than a binding holds. */
import { expect, test } from 'vitest'
import { TwinDevice } from '../twin.ts'
import { type GemmDevice, type GemmSpec, gemmPieces } from './gemm-plan.ts'

const device = new TwinDevice()

function product(m: number, n: number, k: number, options: Partial<GemmSpec> = {}): GemmSpec {
  const { ta, tb } = options
  const [a, b, c] = [device.empty(ta ? [k, m] : [m, k]), device.empty(tb ? [n, k] : [k, n]), device.empty([m, n])]
  return { a, b, c, m, n, k, lda: a.cols, ldb: b.cols, ldc: n, ...options }
}

const on = (maxBinding: number, submitFlops = Number.POSITIVE_INFINITY): GemmDevice => ({
  gemm: 'direct',
  submitFlops,
  info: { maxBinding },
})

test.each([
  { ta: false, tb: false },
  { ta: true, tb: false },
  { ta: false, tb: true },
  { ta: false, tb: false, beta: 1 },
  { ta: true, tb: false, symmetric: true },
])('pieces make every entry of C once (%o)', (options) => {
  const n = options.symmetric ? 160 : 96
  const spec = product(160, n, 200, { ...options, alpha: 0.5 })
  for (const limits of [on(2 ** 30), on(2 ** 30, 2e6), on(50_000), on(50_000, 1e6)]) {
    const made = new Float64Array(160 * n)
    for (const { row, rows, col, cols, term, terms, carried, alpha, beta } of gemmPieces(limits, spec)) {
      for (let i = row; i < row + rows; i++) for (let j = col; j < col + cols; j++) made[i * n + j] += terms
      expect(carried).toBe(!options.beta && term > 0)
      expect(alpha).toBe(options.beta || term + terms === 200 ? 0.5 : 1)
      expect(beta).toBe(options.beta ?? 0)
      const sizes = { a: options.ta ? terms * 160 : rows * 200, b: options.tb ? cols * 200 : terms * n, c: rows * n }
      for (const [name, size] of Object.entries(sizes)) expect(size * 4, name).toBeLessThanOrEqual(limits.info.maxBinding)
    }
    expect(made).toBeClose(new Float64Array(160 * n).fill(200))
  }
})

test('nothing is cut where all fits, and deep sums are cut where they keep their bits', () => {
  expect(gemmPieces(on(2 ** 30), product(160, 96, 200))).toHaveLength(1)
  const depths = gemmPieces(on(50_000), product(96, 96, 400, { ta: true })).map(({ terms }) => terms)
  expect(depths.slice(0, -1).every((depth) => depth % 64 === 0)).toBe(true)
})

test('a symmetric product is not cut by columns', () => {
  expect(() => gemmPieces(on(20_000), product(96, 96, 200, { tb: true, symmetric: true }))).toThrow('cannot be cut by columns')
})
