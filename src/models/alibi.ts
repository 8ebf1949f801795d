/**
 * Attention with linear biases (ALiBi; Press et al., arXiv 2108.12409): each head penalizes keys by their distance, with its own slope.
 */
import { bf16ToF32, f32ToBf16 } from '../io/half.ts'

/** 2^(−8 i / p) for i = 1 … p, the largest power of two below or at `heads`; then every other slope of twice as many. */
export function alibiSlopes(heads: number): number[] {
  const power = 2 ** Math.floor(Math.log2(heads))
  return Array.from({ length: heads }, (_, h) => (h < power ? 2 ** ((-8 * (h + 1)) / power) : 2 ** ((-4 * (2 * (h - power) + 1)) / power)))
}

/** A table that is made again only for another length: every block asks for the same one. To be read only. */
export function lastOf(make: (t: number) => Float32Array<ArrayBuffer>): (t: number) => Float32Array<ArrayBuffer> {
  let last: { t: number; table: Float32Array<ArrayBuffer> } | null = null
  return (t) => {
    if (last?.t !== t) last = { t, table: make(t) }
    return last.table
  }
}

/** slope · position of the key, `[heads, t]`: softmax does not see that the distance to the query is meant. */
export function alibiTable(heads: number, t: number): Float32Array<ArrayBuffer> {
  const slopes = Float32Array.from(alibiSlopes(heads))
  return Float32Array.from({ length: heads * t }, (_, at) => slopes[Math.floor(at / t)] * (at % t))
}

/** The same as Falcon has it: in bfloat16, whatever the model's dtype, and divided by √d as the scores are. */
export function falconAlibiTable(heads: number, t: number, d: number): Float32Array<ArrayBuffer> {
  const rounded = (values: Float32Array) => bf16ToF32(f32ToBf16(values))
  const slopes = rounded(Float32Array.from(alibiSlopes(heads)))
  const positions = rounded(Float32Array.from({ length: t }, (_, j) => j))
  return rounded(Float32Array.from({ length: heads * t }, (_, at) => slopes[Math.floor(at / t)] * positions[at % t])).map(
    (bias) => bias / Math.sqrt(d),
  )
}
