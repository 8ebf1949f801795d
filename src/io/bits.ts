/** Bit packing: numbers of a few bits each, end to end in 32-bit words, as a little-endian bit stream; and bytes of a file as memory has them. */

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

/** A matrix of so many rows with its rows as columns, in tiles that stay in the cache. */
export function transposed<T extends Uint32Array | Uint16Array>(matrix: T, rows: number): T {
  const columns = matrix.length / rows
  const result = matrix.slice() as T
  const TILE = 32
  for (let top = 0; top < rows; top += TILE) {
    for (let left = 0; left < columns; left += TILE) {
      const [bottom, right] = [Math.min(rows, top + TILE), Math.min(columns, left + TILE)]
      for (let row = top; row < bottom; row++)
        for (let column = left; column < right; column++) result[column * rows + row] = matrix[row * columns + column]
    }
  }
  return result
}

/** The same memory as bytes of a file. Typed arrays stand for little-endian ones here: there is no WebGPU on a big-endian machine. */
export function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
