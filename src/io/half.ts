/**
 * Exact conversions between float32 and the bit patterns of float16, bfloat16 and FP8. They work on bits, so NaN payloads survive and no
 * JavaScript engine's own rounding matters.
 */

let halves: Uint32Array | undefined // float32 bits of every float16, built on first use

/** float16 bits -> float32, exact. */
export function f16ToF32(source: Uint16Array): Float32Array<ArrayBuffer> {
  halves ??= Uint32Array.from({ length: 0x10000 }, (_, half) => halfToFloatBits(half))
  const bits = new Uint32Array(source.length)
  for (let i = 0; i < source.length; i++) bits[i] = halves[source[i]]
  return new Float32Array(bits.buffer)
}

/** bfloat16 bits -> float32, exact: the upper half of the same number. */
export function bf16ToF32(source: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(source.length)
  for (let i = 0; i < source.length; i++) bits[i] = source[i] << 16
  return new Float32Array(bits.buffer)
}

/** What a checkpoint stores as F32, F16 or BF16 in float32, exact. */
export function floatsOf(stored: Uint8Array<ArrayBuffer>, dtype: string): Float32Array<ArrayBuffer> {
  if (dtype === 'F32') return new Float32Array(stored.slice().buffer)
  const halves = new Uint16Array(stored.slice().buffer)
  return dtype === 'F16' ? f16ToF32(halves) : bf16ToF32(halves)
}

/** float32 -> float16 bits, rounded to nearest, ties to even; infinite above 65519.99, zero below 2^-25. */
export function f32ToF16(source: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length)
  const result = new Uint16Array(source.length)
  for (let i = 0; i < bits.length; i++) result[i] = floatToHalfBits(bits[i])
  return result
}

/** float32 -> bfloat16 bits, rounded to nearest, ties to even. */
export function f32ToBf16(source: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length)
  // Rounding must not turn a NaN whose payload lies in the lower half into infinity.
  return Uint16Array.from(bits, (word) =>
    (word & 0x7fffffff) > 0x7f800000 ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16,
  )
}

function halfToFloatBits(half: number): number {
  const sign = (half & 0x8000) << 16
  const exponent = (half >> 10) & 31
  const mantissa = half & 0x3ff
  if (exponent === 31) return (sign | 0x7f800000 | (mantissa << 13)) >>> 0
  if (exponent) return (sign | ((exponent + 112) << 23) | (mantissa << 13)) >>> 0
  if (!mantissa) return sign >>> 0
  // Subnormal: value = mantissa · 2^-24; shift the leading one into the implicit place.
  const shift = Math.clz32(mantissa) - 21
  return (sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13)) >>> 0
}

function floatToHalfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7c00 | ((magnitude >> 13) & 0x3ff || 0x200) // NaN; with an empty payload it would be infinity
  if (magnitude >= 0x477ff000) return sign | 0x7c00 // 65520, half way between the largest half and 65536
  if (magnitude >= 0x38800000) {
    // Normal. Adding just under half a unit, plus the last kept bit, rounds ties to even; a carry moves the exponent.
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13)
  }
  if (magnitude <= 0x33000000) return sign // up to 2^-25, the tie that goes to even zero
  const shift = 126 - (magnitude >> 23) // 14 .. 24: value = (mantissa >> shift) · 2^-24
  const mantissa = (magnitude & 0x7fffff) | 0x800000
  const kept = mantissa >> shift
  const rest = mantissa & ((1 << shift) - 1)
  const half = 1 << (shift - 1)
  return sign | (kept + (rest > half || (rest === half && kept & 1) ? 1 : 0))
}

/** float32 -> e8m0, the exponents of powers of two with a bias of 127. @throws Error for another number; `name`: whose they are */
export function powersOfTwo(name: string, source: Float32Array): Uint8Array<ArrayBuffer> {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length)
  return Uint8Array.from(bits, (word, i) => {
    if (word & 0x807fffff || !word) throw new Error(`Scale ${source[i]} of ${name} is no power of two`)
    return word >>> 23
  })
}

/** FP8 of the kind E4M3 (4 bits of exponent, 3 of mantissa, no infinities) -> float32, exact. */
export function e4m3ToF32(source: Uint8Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(source, (byte) => {
    const [exponent, mantissa] = [(byte >> 3) & 15, byte & 7]
    if (exponent === 15 && mantissa === 7) return Number.NaN
    const size = exponent ? (8 + mantissa) * 2 ** (exponent - 10) : mantissa * 2 ** -9
    return byte & 128 ? -size : size
  })
}

/** float32 -> E4M3 of positive numbers. @throws Error for a number that it does not have; `name`: whose they are */
export function f32ToE4m3(name: string, source: Float32Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(source, (value) => {
    const exponent = Math.max(-6, Math.floor(Math.log2(value)))
    const eighths = value * 2 ** (3 - exponent)
    if (!(value > 0 && value <= 448 && Number.isInteger(eighths))) throw new Error(`Scale ${value} of ${name} is no number of FP8 (E4M3)`)
    // Of numbers below 2⁻⁶ eighths are less than 8, and their exponent is 0.
    return eighths < 8 ? eighths : ((exponent + 7) << 3) | (eighths - 8)
  })
}
