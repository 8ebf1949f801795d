/** Float64 twins of kernels, by name. Each computes the formula in the header of its WGSL file, on whole tensors and without blocking. */
import type { Params } from '../device.ts'
import * as ref from '../reference.ts'
import { deltaKernels } from './delta.ts'
import type { Kernel, Tensors, Values } from './kernel.ts'
import { divergence, logsumexp } from './losses.ts'

const over = (count: number, each: (i: number) => void) => {
  for (let i = 0; i < count; i++) each(i)
}

/** x[e] = f(x[e], …) over n elements. */
const inPlace =
  (target: string, f: (x: number, tensors: Tensors, e: number, params: Params) => number): Kernel =>
  (tensors, params) => {
    const x = tensors[target]
    over(params.n, (e) => (x[e] = f(x[e], tensors, e, params)))
  }

const matrix = (data: Values, rows: number, cols: number): ref.Matrix => ({ rows, cols, data: data.subarray(0, rows * cols) })

/** `tile`: outputs of a workgroup along either side, which symmetric products leave out as a whole. */
const gemm =
  (tile: number): Kernel =>
  ({ a, b, c, scales }, s, { constants: { TA, TB }, depth }) => {
    for (let z = 0; z < depth; z++) {
      const [outer, i] = [Math.floor(z / s.inner), z % s.inner]
      const a0 = s.a0 + outer * s.a_outer + i * s.a_inner
      const b0 = s.b0 + outer * s.b_outer + Math.floor(i / s.share) * s.b_inner
      const c0 = s.c0 + outer * s.c_outer + i * s.c_inner
      for (let row = 0; row < s.m; row++) {
        for (let col = 0; col < s.n; col++) {
          if (s.symmetric && (Math.floor(col / tile) + 1) * tile <= Math.floor(row / tile) * tile + s.symmetric - 1) continue
          const at = c0 + row * s.ldc + col
          const scale = scales ? scales[s.row0 + row] : 1
          let sum = s.carried ? c[at] / scale : 0
          for (let t = 0; t < s.k; t++) {
            sum += a[a0 + (TA ? t * s.lda + row : row * s.lda + t)] * b[b0 + (TB ? col * s.ldb + t : t * s.ldb + col)]
          }
          c[at] = s.alpha * scale * sum + (s.beta ? s.beta * c[at] : 0)
        }
      }
    }
  }

const softmaxCausal: Kernel = ({ s, alibi }, { rows, queries, keys, first, span, heads, head0 }, { constants: { ALIBI } }) => {
  for (let row = 0; row < rows; row++) {
    const i = first + (row % queries)
    const head = head0 + (Math.floor(row / queries) % heads)
    const visible = (j: number) => j > i - span && j <= i
    const scores = Array.from({ length: keys }, (_, j) => s[row * keys + j] + (ALIBI ? alibi[head * keys + j] : 0))
    const most = Math.max(...scores.filter((_, j) => visible(j)))
    const weights = scores.map((score, j) => (visible(j) ? Math.exp(score - most) : 0))
    const sum = weights.reduce((x, y) => x + y, 0)
    weights.forEach((weight, j) => (s[row * keys + j] = weight / sum))
  }
}

const rope: Kernel = ({ x, table }, { tokens, heads, d, rotating, window, first }) => {
  const half = rotating / 2
  over(tokens * heads * half, (at) => {
    const [i, token] = [at % half, Math.floor(at / (half * heads))]
    const entry = 2 * (((first + token) % window) * half + i)
    const [cos, sin] = [table[entry], table[entry + 1]]
    const low = Math.floor(at / half) * d + i
    const [u, v] = [x[low], x[low + half]]
    x[low] = u * cos - v * sin
    x[low + half] = v * cos + u * sin
  })
}

const splitQkv: Kernel = ({ x, q, k, v }, { rows, kv, share, d }) => {
  /** One head of x, by its key/value head g and its place r there, as head `to` of y. */
  const move = (g: number, r: number, y: Values, to: number, heads: number) =>
    over(rows, (t) => {
      const from = (t * kv * (share + 2) + g * (share + 2) + r) * d
      y.set(x.subarray(from, from + d), (t * heads + to) * d)
    })
  for (let g = 0; g < kv; g++) {
    for (let r = 0; r < share; r++) move(g, r, q, g * share + r, kv * share)
    move(g, share, k, g, kv)
    move(g, share + 1, v, g, kv)
  }
}

/** Weights as stored, by their bits; see `convert.wgsl`. */
const convert: Kernel = ({ x, y, bad }, { rows, cols, row0, col0, ld, to_row, total_rows, kind, transposed }) => {
  const view = new DataView(new ArrayBuffer(4))
  const value = (e: number) => {
    view.setUint32(0, kind === 2 ? x[e] : ((x[Math.floor(e / 2)] >>> (16 * (e % 2))) & 0xffff) << (kind === 0 ? 16 : 0))
    return kind === 1 ? halfFloat(view.getUint32(0)) : view.getFloat32(0)
  }
  over(rows * cols, (at) => {
    const [i, col] = [Math.floor(at / cols), at % cols]
    const stored = value((row0 + i) * ld + col0 + col)
    const finite = Number.isFinite(stored)
    if (!finite) bad[0]++
    y[transposed ? col * total_rows + to_row + i : (to_row + i) * cols + col] = finite ? stored : 0
  })
}

/** The number whose float16 bits these are. */
function halfFloat(bits: number): number {
  const [exponent, fraction] = [(bits >>> 10) & 31, bits & 0x3ff]
  const magnitude =
    exponent === 31 ? (fraction ? Number.NaN : Infinity) : exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24
  return bits & 0x8000 ? -magnitude : magnitude
}

/** Here nothing is rounded, and no row has a scale. */
const narrow: Kernel = ({ x, y, scales, factors }, { rows, cols }) => {
  over(rows * cols, (e) => (y[e] = x[e] * (factors?.[e % cols] ?? 1)))
  scales.fill(1, 0, rows)
}

/** A kernel with operands of any element type (lib/left.wgsl, lib/operand.wgsl): here all are numbers. */
const forOperands = (name: string, kernel: Kernel) =>
  Object.fromEntries(
    ['', ' (narrowed)', ...['bf16', 'f16'].flatMap((half) => [` (${half})`, ` (narrowed, ${half})`])].map((kind) => [name + kind, kernel]),
  )

export const kernels: Record<string, Kernel> = {
  ...deltaKernels,
  sigmoid_gate: inPlace('x', (x, { gate }, e) => x / (1 + Math.exp(-gate[e]))),
  ...forOperands('gemm_direct', gemm(32)),
  ...forOperands('gemm_tiled', gemm(64)),
  narrow,
  'narrow (factors)': narrow,
  add: inPlace('x', (x, { y }, e) => x + y[e]),
  subtract: inPlace('x', (x, { y }, e) => x - y[e]),
  multiply: inPlace('x', (x, { y }, e) => x * y[e]),
  relu: inPlace('x', ref.activations.relu),
  gelu: inPlace('x', ref.activations.gelu),
  gelu_tanh: inPlace('x', ref.activations.gelu_tanh),
  softcap: inPlace('x', (x, _, __, { cap }) => ref.softcap(x, cap)),
  swiglu: inPlace('gate', (x, { up }, e) => ref.silu(x) * up[e]),
  rmsnorm: ({ x, weight, y }, { rows, cols, eps }) => y.set(ref.rmsnorm(matrix(x, rows, cols), weight, eps).data),
  layernorm: ({ x, weight, bias, y }, { rows, cols, eps }) => y.set(ref.layernorm(matrix(x, rows, cols), weight, bias, eps).data),
  softmax_causal: softmaxCausal,
  rope,
  split_qkv: splitQkv,
  logsumexp,
  divergence,
  convert,
  stored: convert,
  add_rows: ({ x, table }, { rows, cols, first, window, offset, count }) =>
    over(rows * cols, (at) => {
      const entry = Math.min(offset + ((first + Math.floor(at / cols)) % window), count - 1)
      x[at] += table[entry * cols + (at % cols)]
    }),
  scale: ({ x, r, c }, { rows, cols, row0 }) => over(rows * cols, (at) => (x[at] *= r[row0 + Math.floor(at / cols)] * c[at % cols])),
  transpose: ({ x, y }, { rows, cols, row0, col0, ldx, ldy }) =>
    over(rows * cols, (at) => {
      const [i, j] = [at % rows, Math.floor(at / rows)]
      y[j * ldy + row0 + i] = x[i * ldx + col0 + j]
    }),
  gather_rows: ({ x, order, y }, { rows, cols }) =>
    over(rows * cols, (at) => (y[at] = x[order[Math.floor(at / cols)] * cols + (at % cols)])),
  copy_columns: ({ x, y }, { rows, cols, x0, ldx, y0, ldy }) =>
    over(rows * cols, (at) => {
      const [i, j] = [Math.floor(at / cols), at % cols]
      y[i * ldy + y0 + j] = x[i * ldx + x0 + j]
    }),
  pad: ({ x, y }, { rows, cols_in, cols_out }) =>
    over(rows * cols_out, (at) => {
      const [row, col] = [Math.floor(at / cols_out), at % cols_out]
      y[at] = col < cols_in ? x[row * cols_in + col] : 0
    }),
  ...forOperands('embed', ({ b, ids, y }, { tokens, d, first, count }) =>
    over(tokens * d, (at) => {
      const row = ids[Math.floor(at / d)] - first
      if (row >= 0 && row < count) y[at] = b[row * d + (at % d)]
    }),
  ),
  ...forOperands('widen', ({ b, y }, { n }) => over(4 * n, (at) => (y[at] = b[at]))),
  mirror: ({ s }, { p, row0, rows }) =>
    over(rows * rows, (at) => {
      const [i, j] = [Math.floor(at / rows), at % rows]
      if (j < i) s[i * p + row0 + j] = s[j * p + row0 + i]
    }),
  mirror_panels: ({ upper, lower }, { p, upper0, upper_rows, lower0, lower_rows }) =>
    over(upper_rows * lower_rows, (at) => {
      const [i, j] = [Math.floor(at / upper_rows), at % upper_rows]
      lower[i * p + upper0 + j] = upper[j * p + lower0 + i]
    }),
  diagonal: ({ s, d }, { p, row0, rows }) => over(rows, (i) => (d[row0 + i] = s[i * p + row0 + i])),
  abs_sum: ({ x, sums }, { first, count, cols }) => over(count * cols, (at) => (sums[at % cols] += Math.abs(x[first * cols + at]))),
  sum: ({ x, out }, { n, index }) => {
    out[index] = x.subarray(0, n).reduce((total, value) => total + value, 0)
  },
  dot_partial: ({ x, y, out }, { n, parts, further }) => {
    if (!further) out.fill(0, 0, parts)
    over(n, (e) => (out[Math.floor(e / 4) % parts] += x[e] * y[e]))
  },
}
