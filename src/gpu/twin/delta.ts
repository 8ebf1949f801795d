/** Float64 twins of the kernels of gated delta nets; the plain recurrence that they add up to is in reference.ts. */
import { silu, softplus } from '../reference.ts'
import type { Kernel } from './kernel.ts'

const each = (counts: number[], visit: (...at: number[]) => void, at: number[] = []): void => {
  if (at.length === counts.length) visit(...at)
  else for (let i = 0; i < counts[at.length]; i++) each(counts, visit, [...at, i])
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))

const shortConv: Kernel = ({ x, w, y }, { rows, cols, window }) =>
  each([rows, cols], (i, c) => {
    let sum = 0
    for (let j = 0; j < 4; j++) if ((i % window) - 3 + j >= 0) sum += w[4 * c + j] * x[(i - 3 + j) * cols + c]
    y[i * cols + c] = silu(sum)
  })

const gates: Kernel = ({ a, b, decay, bias, beta, total }, { windows, t, chunks, chunk, heads }) =>
  each([windows, chunks, heads], (window, part, head) => {
    let sum = 0
    for (let i = 0; i < chunk; i++) {
      const at = part * chunk + i
      const from = (window * t + at) * heads + head
      const to = (window * chunks * chunk + at) * heads + head
      if (at < t) sum -= Math.exp(decay[head]) * softplus(a[from] + bias[head])
      beta[to] = at < t ? sigmoid(b[from]) : 0
      total[to] = sum
    }
  })

const headsOf: Kernel = ({ x, q, k, v }, { windows, t, padded, key_heads, heads, dk, dv }) => {
  const width = 2 * key_heads * dk + heads * dv
  each([windows, padded, heads], (window, i, head) => {
    const row = (window * padded + i) * heads + head
    const from = (window * t + i) * width
    const keyHead = Math.floor((head * key_heads) / heads)
    const part = (start: number, count: number) => (i < t ? x.slice(from + start, from + start + count) : new Float64Array(count))
    const unit = (values: Float64Array) => {
      const norm = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) + 1e-6)
      return values.map((value) => value / norm)
    }
    q.set(
      unit(part(keyHead * dk, dk)).map((value) => value / Math.sqrt(dk)),
      row * dk,
    )
    k.set(unit(part((key_heads + keyHead) * dk, dk)), row * dk)
    v.set(part(2 * key_heads * dk + head * dv, dv), row * dv)
  })
}

const mask: Kernel = ({ kk, qk, beta, total }, { matrices, chunk, heads }) =>
  each([matrices, chunk, chunk], (matrix, i, j) => {
    const at = (matrix * chunk + i) * chunk + j
    const gate = (position: number) => (Math.floor(matrix / heads) * chunk + position) * heads + (matrix % heads)
    const decay = Math.exp(total[gate(i)] - total[gate(j)])
    kk[at] = j < i ? beta[gate(i)] * decay * kk[at] : 0
    qk[at] = j <= i ? decay * qk[at] : 0
  })

const inverse: Kernel = ({ l, beta, total, u, w }, { matrices, chunk, heads }) =>
  each([matrices, chunk], (matrix, j) => {
    const x = new Float64Array(chunk)
    const gate = (Math.floor(matrix / heads) * chunk + j) * heads + (matrix % heads)
    for (let i = 0; i < chunk; i++) {
      const at = (matrix * chunk + i) * chunk
      x[i] = Number(i === j)
      for (let m = j; m < i; m++) x[i] -= l[at + m] * x[m]
      u[at + j] = x[i] * beta[gate]
      w[at + j] = x[i] * beta[gate] * Math.exp(total[gate])
    }
  })

const scaled: Kernel = ({ q, k, total }, { rows, chunk, heads, dk }) =>
  each([rows, heads, dk], (row, head, c) => {
    const at = (row * heads + head) * dk + c
    const own = total[row * heads + head]
    q[at] *= Math.exp(own)
    k[at] *= Math.exp(total[((Math.floor(row / chunk) + 1) * chunk - 1) * heads + head] - own)
  })

const decayed: Kernel = ({ s, total }, { windows, heads, size, padded, end }) =>
  each([windows, heads, size], (window, head, e) => {
    s[(window * heads + head) * size + e] *= Math.exp(total[(window * padded + end) * heads + head])
  })

const gatedNorm: Kernel = ({ x, weight, z }, { windows, t, padded, heads, d, eps }) =>
  each([windows, t, heads], (window, i, head) => {
    const from = ((window * padded + i) * heads + head) * d
    const to = ((window * t + i) * heads + head) * d
    const own = x.slice(from, from + d)
    const scale = 1 / Math.sqrt(own.reduce((sum, value) => sum + value * value, 0) / d + eps)
    own.forEach((value, c) => (z[to + c] = value * scale * weight[c] * silu(z[to + c])))
  })

export const deltaKernels: Record<string, Kernel> = {
  short_conv: shortConv,
  delta_gates: gates,
  delta_heads: headsOf,
  delta_mask: mask,
  delta_inverse: inverse,
  delta_scale: scaled,
  delta_decay: decayed,
  gated_norm: gatedNorm,
}
