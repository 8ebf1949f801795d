/** Reference implementations of the GPU operations in float64, which the kernels are tested against. Row-major. */

export type Matrix = { rows: number; cols: number; data: Float64Array }

export function matrix(rows: number, cols: number, at: (row: number, col: number) => number): Matrix {
  const data = new Float64Array(rows * cols)
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) data[i * cols + j] = at(i, j)
  return { rows, cols, data }
}

export function transposed(x: Matrix): Matrix {
  return matrix(x.cols, x.rows, (i, j) => x.data[j * x.cols + i])
}

export function product(a: Matrix, b: Matrix): Matrix {
  const out = matrix(a.rows, b.cols, () => 0)
  for (let i = 0; i < a.rows; i++) {
    for (let k = 0; k < a.cols; k++) {
      const x = a.data[i * a.cols + k]
      for (let j = 0; j < b.cols; j++) out.data[i * b.cols + j] += x * b.data[k * b.cols + j]
    }
  }
  return out
}

export function rmsnorm(x: Matrix, weight: ArrayLike<number>, eps: number): Matrix {
  return matrix(x.rows, x.cols, (i, j) => {
    let square = 0
    for (let k = 0; k < x.cols; k++) square += x.data[i * x.cols + k] ** 2
    return (x.data[i * x.cols + j] / Math.sqrt(square / x.cols + eps)) * weight[j]
  })
}

export function layernorm(x: Matrix, weight: ArrayLike<number>, bias: ArrayLike<number>, eps: number): Matrix {
  return matrix(x.rows, x.cols, (i, j) => {
    const row = x.data.subarray(i * x.cols, (i + 1) * x.cols)
    const mean = row.reduce((a, b) => a + b, 0) / x.cols
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.cols
    return ((row[j] - mean) / Math.sqrt(variance + eps)) * weight[j] + bias[j]
  })
}

/** erf by its Taylor series, or for |x| > 5, where it is ±1 to 1e-12, that. */
export function erf(x: number): number {
  if (Math.abs(x) > 5) return Math.sign(x)
  let [term, sum] = [x, x]
  for (let n = 1; n < 200; n++) {
    term *= (-x * x) / n
    sum += term / (2 * n + 1)
  }
  return (2 / Math.sqrt(Math.PI)) * sum
}

export const activations = {
  relu: (x: number) => Math.max(x, 0),
  gelu: (x: number) => (x / 2) * (1 + erf(x / Math.SQRT2)),
  gelu_tanh: (x: number) => (x / 2) * (1 + Math.tanh(0.79788456 * x * (1 + 0.044715 * x * x))),
}

/** `angles`: [window, rotating / 2] in radians; other dimensions of a head stay. */
export function rope(x: Matrix, angles: Matrix, d: number, window: number): Matrix {
  const half = angles.cols
  return matrix(x.rows, x.cols, (t, c) => {
    const head = Math.floor(c / d)
    const i = c % d
    if (i >= 2 * half) return x.data[t * x.cols + c]
    const angle = angles.data[(t % window) * half + (i % half)]
    const low = x.data[t * x.cols + head * d + (i % half)]
    const high = x.data[t * x.cols + head * d + (i % half) + half]
    return i < half ? low * Math.cos(angle) - high * Math.sin(angle) : high * Math.cos(angle) + low * Math.sin(angle)
  })
}

export const silu = (x: number) => x / (1 + Math.exp(-x))

export function swiglu(gate: Matrix, up: Matrix): Matrix {
  return matrix(gate.rows, gate.cols, (i, j) => silu(gate.data[i * gate.cols + j]) * up.data[i * up.cols + j])
}

export const softcap = (x: number, cap: number) => cap * Math.tanh(x / cap)

export function attention(
  q: Matrix,
  k: Matrix,
  v: Matrix,
  {
    windows,
    t,
    heads,
    kvHeads,
    d,
    span,
    scale = 1 / Math.sqrt(d),
    cap,
  }: { windows: number; t: number; heads: number; kvHeads: number; d: number; span: number; scale?: number; cap?: number },
  alibi?: Matrix,
): Matrix {
  const out = matrix(q.rows, q.cols, () => 0)
  for (let w = 0; w < windows; w++) {
    for (let h = 0; h < heads; h++) {
      const kv = Math.floor((h * kvHeads) / heads)
      for (let i = 0; i < t; i++) {
        const first = Math.max(0, i - span + 1)
        const scores: number[] = []
        for (let j = first; j <= i; j++) {
          let s = 0
          for (let c = 0; c < d; c++) s += q.data[(w * t + i) * q.cols + h * d + c] * k.data[(w * t + j) * k.cols + kv * d + c]
          scores.push((cap ? softcap(s * scale, cap) : s * scale) + (alibi?.data[h * t + j] ?? 0))
        }
        const most = Math.max(...scores)
        const weights = scores.map((s) => Math.exp(s - most))
        const sum = weights.reduce((a, b) => a + b, 0)
        weights.forEach((weight, index) => {
          for (let c = 0; c < d; c++) {
            out.data[(w * t + i) * q.cols + h * d + c] += (weight / sum) * v.data[(w * t + first + index) * v.cols + kv * d + c]
          }
        })
      }
    }
  }
  return out
}

export const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))

/** What a gated delta net reads of its state: token by token, as its recurrence says. Sizes and gates as in ops/delta.ts. */
export function gatedDelta(
  { qkv, a, b }: { qkv: Matrix; a: Matrix; b: Matrix },
  { decay, bias }: { decay: ArrayLike<number>; bias: ArrayLike<number> },
  { t, keyHeads, heads, dk, dv }: { t: number; keyHeads: number; heads: number; dk: number; dv: number },
): Matrix {
  const out = matrix(qkv.rows, heads * dv, () => 0)
  for (let h = 0; h < heads; h++) {
    const keyHead = Math.floor((h * keyHeads) / heads)
    const state = matrix(dk, dv, () => 0)
    for (let i = 0; i < qkv.rows; i++) {
      if (i % t === 0) state.data.fill(0)
      const part = (from: number, width: number) => qkv.data.subarray(i * qkv.cols + from, i * qkv.cols + from + width)
      const unit = (x: Float64Array) => x.map((value) => value / Math.sqrt(x.reduce((sum, one) => sum + one * one, 0) + 1e-6))
      const [q, k] = [unit(part(keyHead * dk, dk)), unit(part((keyHeads + keyHead) * dk, dk))]
      const v = part(2 * keyHeads * dk + h * dv, dv)
      const keeps = Math.exp(-Math.exp(decay[h]) * softplus(a.data[i * heads + h] + bias[h]))
      const writes = 1 / (1 + Math.exp(-b.data[i * heads + h]))
      state.data.forEach((value, e) => (state.data[e] = value * keeps))
      for (let c = 0; c < dv; c++) {
        let recalled = 0
        for (let r = 0; r < dk; r++) recalled += state.data[r * dv + c] * k[r]
        let read = 0
        for (let r = 0; r < dk; r++) {
          state.data[r * dv + c] += k[r] * writes * (v[c] - recalled)
          read += state.data[r * dv + c] * q[r]
        }
        out.data[i * out.cols + h * dv + c] = read / Math.sqrt(dk)
      }
    }
  }
  return out
}

export function crossEntropy(hidden: Matrix, head: Matrix, targets: ArrayLike<number>, cap?: number): number[] {
  const logits = product(hidden, transposed(head))
  if (cap) logits.data.forEach((x, i) => (logits.data[i] = softcap(x, cap)))
  return Array.from({ length: hidden.rows }, (_, i) => {
    const row = logits.data.subarray(i * logits.cols, (i + 1) * logits.cols)
    const most = Math.max(...row)
    return most + Math.log(row.reduce((sum, x) => sum + Math.exp(x - most), 0)) - row[targets[i]]
  })
}

/** KL(full ‖ model) of each row, from the logits. */
export function divergence(full: Matrix, model: Matrix): number[] {
  const logSoftmax = (x: Matrix, i: number) => {
    const row = Array.from(x.data.subarray(i * x.cols, (i + 1) * x.cols))
    const most = row.reduce((a, b) => Math.max(a, b))
    const lse = most + Math.log(row.reduce((sum, value) => sum + Math.exp(value - most), 0))
    return row.map((value) => value - lse)
  }
  return Array.from({ length: full.rows }, (_, i) => {
    const [p, q] = [logSoftmax(full, i), logSoftmax(model, i)]
    return p.reduce((sum, value, v) => sum + Math.exp(value) * (value - q[v]), 0)
  })
}

/** The nearest bfloat16 or float16 as the stored 16 bits would give it back, for making test weights. */
export function roundBf16(x: number): number {
  const view = new DataView(new ArrayBuffer(4))
  view.setFloat32(0, x)
  const bits = view.getUint32(0)
  view.setUint32(0, (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000)
  return view.getFloat32(0)
}
