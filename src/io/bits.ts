/** Numbers of a few bits each, end to end in 32-bit words: a little-endian stream. */

/** 32-bit words that hold `count` values of `bits` each. */
export function words(count: number, bits: number): number {
  return Math.ceil((count * bits) / 32)
}

/** Puts a value where the stream, from bit `at` on, is still 0. */
export function putBits(stream: Uint32Array, at: number, bits: number, value: number): void {
  const word = at >>> 5
  const shift = at & 31
  stream[word] |= value << shift
  if (shift + bits > 32) stream[word + 1] |= value >>> (32 - shift)
}

export function getBits(stream: Uint32Array, at: number, bits: number): number {
  const word = at >>> 5
  const shift = at & 31
  let value = stream[word] >>> shift
  if (shift + bits > 32) value |= stream[word + 1] << (32 - shift)
  return value & (2 ** bits - 1)
}
