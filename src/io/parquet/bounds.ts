/** What a parquet file may claim, and what is said when it claims more: shared by all that look at one. */

/** Writers make row groups of 64 to 512 MB over all columns. */
export const maxChunk = 512 << 20
/** Usual pages hold 1 MB; a page with one long document may be larger. */
export const maxPage = 256 << 20
/** Usual row groups hold 1,000 to 1,000,000 rows, and of a conversation several turns each. */
export const maxValues = 16 << 20
export const maxDepth = 16

export const damaged = 'Download the file again, or convert it to .jsonl or .txt.'
export const smaller = 'Write it again with smaller row groups, or convert it to .jsonl or .txt.'
export const other = 'The file is whole; write it again with zstd or snappy and the usual encodings, or convert it to .jsonl or .txt.'

/** What the checks and the library complain about; becomes a WorkbenchError with the file's name. */
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

/** A whole number that may be right, but is more than is held here. */
export function bounded(value: number | bigint | undefined, most: number, what: string): number {
  const n = count(value, Number.MAX_SAFE_INTEGER, what)
  if (n > most) fail(`${n} ${what}, where at most ${most} are read here`, smaller)
  return n
}

/** A whole number from 0 to `most`. */
export function count(value: number | bigint | undefined, most: number, what: string): number {
  const n = Number(value ?? Number.NaN)
  if (!(Number.isInteger(n) && n >= 0 && n <= most)) fail(`${value} ${what}, where at most ${most} can be`)
  return n
}

/**
 * Walks over a struct in Thrift's compact protocol, so that no list claims more elements than there are bytes.
 * @returns the offset behind it
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

/** An unsigned LEB128 number; lengths and counts have to stay below 2^31, larger ones are only walked over. */
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
