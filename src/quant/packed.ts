/** A quantized linear as it leaves the GPU: the only thing that checkpoint formats know of quantization. */

export interface PackedLinear {
  bits: 2 | 3 | 4 | 8
  /** Output features (rows of W) and input features (columns of W). */
  q: number
  p: number
  /** Columns per group; `p` for one group per row. The last group may be short. */
  groupSize: number
  /** ceil(p / groupSize) */
  groups: number
  /**
   * Codes as a little-endian bit stream down the input dimension, one stream per output:
   * `[ceil(p·bits/32), q]`, word r of output n at `r·q + n`, code k at bit `bits·k` of the stream.
   * Unused high bits of the last word are 0.
   */
  codes: Uint32Array
  /** `[groups, q]`, each exactly representable in float16. */
  scales: Float32Array
  /** `[groups, q]`, integers in 0 .. 2^bits − 1 (2^(bits−1) when symmetric). */
  zeros: Uint8Array
  /** `[p]`, the group of each input feature in its original order. */
  groupIndex: Int32Array
  symmetric: boolean
}
