/** Limits for parquet files, and the errors when they are exceeded; shared by all parquet modules. */

/** Most bytes of a column chunk: writers make row groups of 64 to 512 MB over all columns. */
export const maxChunk = 512 << 20
/** Most bytes of a page: usual pages have 1 MB, one with a long document may be larger. */
export const maxPage = 256 << 20
/** Most rows or values of a row group: usual ones have 1,000 to 1,000,000 rows, conversations several turns each. */
export const maxValues = 16 << 20
export const maxDepth = 16

export const damaged = 'Download the file again, or convert it to .jsonl or .txt.'
export const smaller = 'Rewrite it with smaller row groups, or convert it to .jsonl or .txt.'
export const other = 'The file is not damaged; rewrite it with zstd or snappy and the usual encodings, or convert it to .jsonl or .txt.'

/** An error of the checks or of the library; becomes a WorkbenchError with the file's name. */
export class Malformed extends Error {
  constructor(
    why: string,
    readonly hint = damaged,
  ) {
    super(why)
  }
}

export function fail(why: string, hint = damaged): never {
  throw new Malformed(why, hint)
}

/** Checks a number that may be valid but is too large to handle. */
export function bounded(value: number | bigint | undefined, most: number, what: string): number {
  const n = count(value, Number.MAX_SAFE_INTEGER, what)
  if (n > most) fail(`${n} ${what}, where at most ${most} are read here`, smaller)
  return n
}

/** Checks that a number is whole and from 0 to `most`. */
export function count(value: number | bigint | undefined, most: number, what: string): number {
  const n = Number(value ?? Number.NaN)
  if (!(Number.isInteger(n) && n >= 0 && n <= most)) fail(`${value} ${what}, where at most ${most} can be`)
  return n
}

/**
 * Skips a struct in Thrift's compact protocol, checking that no list claims more elements than there are bytes.
 * @returns the offset after it
 */
export function skim(view: DataView, from: number, depth = 0): number {
  if (depth > maxDepth) fail(`a header that nests more than ${maxDepth} levels deep`)
  let at = from
  const skip = (type: number): void => {
    if (type === 1 || type === 2) return
    if (type === 3) at += 1
    else if (type <= 6) at = varint(view, at).at
    else if (type === 7) at += 8
    else if (type === 8) {
      const length = varint(view, at)
      at = length.at + length.value
    } else if (type === 9) {
      const head = view.getUint8(at++)
      let size = head >> 4
      if (size === 15) {
        const long = varint(view, at)
        size = long.value
        at = long.at
      }
      if (size > view.byteLength - at) fail(`a list of ${size} in ${view.byteLength - at} bytes`)
      const type = head & 15
      for (let i = 0; i < size; i++) skip(type === 1 || type === 2 ? 3 : type)
    } else if (type === 12) at = skim(view, at, depth + 1)
    else fail(`a header field of type ${type}`)
    if (at > view.byteLength) fail('a header that ends early')
  }
  for (;;) {
    if (at >= view.byteLength) fail('a header that ends early')
    const head = view.getUint8(at++)
    if ((head & 15) === 0) return at
    if (head >> 4 === 0) at = varint(view, at).at
    skip(head & 15)
  }
}

/** Reads an unsigned LEB128 number; lengths and counts have to be below 2^31, larger numbers are only skipped. */
export function varint(view: DataView, from: number): { value: number; at: number } {
  let value = 0
  for (let i = 0; i < 10; i++) {
    if (from + i >= view.byteLength) fail('a number that ends early')
    const byte = view.getUint8(from + i)
    value += (byte & 127) * 2 ** (7 * i)
    if (byte < 128) return { value, at: from + i + 1 }
  }
  return fail('a number of more than ten bytes')
}
