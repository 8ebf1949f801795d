/** The losses of the vocabulary in float64: what `logsumexp.wgsl` and `divergence.wgsl` leave of each row and block. */
import type { Kernel, Values } from './kernel.ts'

/** Entries of the vocabulary in a block. */
const BLOCK = 1024

/** Each row and each block that a call is about: its first logit, its number of entries, and where its four results go. */
function blocksOf(
  { rows, ld, count, some, blocks, block0 }: Record<string, number>,
  each: (place: { row: number; at: number; begin: number; length: number; to: number }) => void,
): void {
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < some; block++) {
      const begin = block * BLOCK
      const length = Math.min(BLOCK, count - begin)
      each({ row, begin, length, at: row * ld + begin, to: 4 * (row * blocks + block0 + block) })
    }
  }
}

const largest = (values: Values) => values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY)
const total = (values: Values) => values.reduce((sum, value) => sum + value, 0)

export const logsumexp: Kernel = ({ logits, targets, parts }, params) =>
  blocksOf(params, ({ row, begin, length, at, to }) => {
    const x = logits.subarray(at, at + length)
    const most = largest(x)
    const target = targets[row] - params.first - begin
    const hit = target >= 0 && target < length ? x[target] : 0
    parts.set([most, total(x.map((value) => Math.exp(value - most))), params.first + begin + x.indexOf(most), hit], to)
  })

export const divergence: Kernel = ({ full, logits, reference, model, terms }, params) =>
  blocksOf(params, ({ length, at, to }) => {
    const [f, x] = [full, logits].map((values) => values.subarray(at, at + length))
    const [away, mostF] = [model[to] - reference[to], reference[to]]
    const p = f.map((value) => Math.exp(value - mostF))
    const mean = total(p.map((weight, v) => weight * (x[v] - f[v] - away))) / total(p)
    const r = away + Math.min(8, Math.max(-8, mean))
    const u = f.map((value, v) => x[v] - value - r)
    const a = total(p.map((weight, v) => weight * (Math.expm1(u[v]) - u[v])))
    terms.set([a, total(p.map((weight, v) => weight * u[v])), r, 0], to)
  })
