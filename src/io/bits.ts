/** Bit packing: numbers of a few bits each, end to end in 32-bit words, as a little-endian bit stream. */

/** Number of 32-bit words that `count` values of `bits` each take. */
export function words(count: number, bits: number): number {
  return Math.ceil((count * bits) / 32)
}

/** Writes a value at bit `at`; the bits there have to be 0. */
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
