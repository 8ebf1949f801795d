/** Decompresses the pages of a parquet column and checks every count, length and run in them before the library sees it. */
import { parquetHeader } from 'hyparquet/src/column.js'
import { bounded, count, fail, maxChunk, maxPage, maxValues, other, skim, smaller, varint } from './bounds.ts'
import { unpack } from './codecs.ts'

/** The largest compression ratio of each codec; zstd and Brotli have no limit. */
const maxRatio: Record<string, number> = { SNAPPY: 64, GZIP: 1032, LZ4: 255, LZ4_RAW: 255 }

export interface Leaf {
  path: string
  repetition: number
  definition: number
  values: number
  meta: { codec: string; type: string }
}

/** The compressed pages of a column chunk, each decompressed and checked. */
export async function unpackPages(data: Uint8Array<ArrayBuffer>, leaf: Leaf): Promise<Uint8Array[]> {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const pages: Uint8Array[] = []
  let at = 0
  let values = 0
  let unpacked = 0
  // The library also stops at the last byte but one.
  while (at < data.length - 1 && values < leaf.values) {
    skim(view, at)
    const reader = { view, offset: at }
    const header = parquetHeader(reader)
    const packed = count(header.compressed_page_size, data.length - reader.offset, 'bytes in a page')
    const size = bounded(header.uncompressed_page_size, maxPage, 'bytes in an unpacked page')
    const most = packed * (maxRatio[leaf.meta.codec] ?? Number.POSITIVE_INFINITY)
    if (size > (2 << 20) + most) fail(`${size} bytes in an unpacked page, where at most ${most} can be`)
    unpacked += size
    if (unpacked > maxChunk) fail(`more than ${maxChunk} bytes in one column of a row group`, smaller)
    const body = data.subarray(reader.offset, reader.offset + packed)
    at = reader.offset + packed
    const page = { header, body, size, leaf, left: leaf.values - values }
    if (header.type === 'DICTIONARY_PAGE') pages.push(await dictionary(page))
    else {
      const { held, bytes } = header.type === 'DATA_PAGE' ? await dataPage(page) : await dataPageV2(page)
      values += held
      if (bytes) pages.push(bytes)
    }
  }
  return pages
}

interface Page {
  header: ReturnType<typeof parquetHeader>
  /** As it lies in the file. */
  body: Uint8Array<ArrayBuffer>
  /** Bytes once unpacked. */
  size: number
  leaf: Leaf
  /** Values that the column still has. */
  left: number
}

/** Values in a page, and what was unpacked for them. */
interface Unpacked {
  held: number
  bytes: Uint8Array | null
}

async function dictionary({ header, body, size, leaf }: Page): Promise<Uint8Array> {
  const page = await unpack(body, size, leaf.meta.codec)
  const entries = count(header.dictionary_page_header?.num_values, maxValues, 'entries of a dictionary')
  if (leaf.meta.type === 'BYTE_ARRAY' && entries * 4 > page.length) fail(`a dictionary of ${entries} entries in ${page.length} bytes`)
  return page
}

async function dataPage({ header, body, size, leaf, left }: Page): Promise<Unpacked> {
  const { num_values, encoding } = header.data_page_header ?? fail('a page without a header')
  const n = count(num_values, left, 'values in a page')
  const page = await unpack(body, size, leaf.meta.codec)
  let from = 0
  const levels = (most: number) => {
    if (!most) return n
    if (from + 4 > page.length) fail('a page ends in its levels')
    const length = new DataView(page.buffer, page.byteOffset).getUint32(from, true)
    if (length > page.length - from - 4) fail('levels that are longer than their page')
    const top = runs(page.subarray(from + 4), 32 - Math.clz32(most), n, most)
    from += 4 + length
    return top
  }
  levels(leaf.repetition)
  const present = levels(leaf.definition)
  checkValues(page, from, present, encoding, leaf)
  return { held: n, bytes: page }
}

async function dataPageV2({ header, body, size, leaf, left }: Page): Promise<Unpacked> {
  if (header.type !== 'DATA_PAGE_V2') fail(`a page of kind ${header.type}`)
  const v2 = header.data_page_header_v2 ?? fail('a page without a header')
  const n = count(v2.num_values, left, 'values in a page')
  count(v2.num_rows, n, 'rows in a page')
  const nulls = count(v2.num_nulls, n, 'nulls in a page')
  const before = count(v2.repetition_levels_byte_length, body.length, 'bytes of levels')
  const levels = before + count(v2.definition_levels_byte_length, body.length - before, 'bytes of levels')
  if (leaf.repetition) runs(body, 32 - Math.clz32(leaf.repetition), n, leaf.repetition)
  if (leaf.definition) runs(body.subarray(before), 32 - Math.clz32(leaf.definition), n, leaf.definition)
  const rest = body.subarray(levels)
  const packed = v2.is_compressed !== false
  const page = packed ? await unpack(rest, count(size - levels, size, 'bytes of values'), leaf.meta.codec) : rest
  checkValues(page, 0, n - nulls, v2.encoding, leaf)
  return { held: n, bytes: packed ? page : null }
}

/** Checks the values of a page: their encoding, and that it has bytes or runs for all of them. */
function checkValues(page: Uint8Array, from: number, n: number, encoding: string | undefined, leaf: Leaf): void {
  if (encoding === 'PLAIN') {
    if (leaf.meta.type === 'BYTE_ARRAY' && n * 4 > page.length - from) fail(`${n} texts in ${page.length - from} bytes`)
  } else if (encoding === 'PLAIN_DICTIONARY' || encoding === 'RLE_DICTIONARY') {
    if (from >= page.length) {
      if (n) fail('a page without its values')
      return
    }
    const width = page[from]
    if (width > 32) fail(`indices of ${width} bits`)
    if (width) runs(page.subarray(from + 1), width, n)
  } else if (encoding === 'RLE' && leaf.meta.type === 'BOOLEAN') {
    runs(page.subarray(from + 4), 1, n)
  } else if (encoding === 'DELTA_BINARY_PACKED' && /^INT/.test(leaf.meta.type)) {
    if (n) deltas(page, from, n)
  } else if (encoding === 'DELTA_LENGTH_BYTE_ARRAY' && leaf.meta.type === 'BYTE_ARRAY') {
    if (n) checkLengths(deltas(page, from, n), page)
  } else if (encoding === 'DELTA_BYTE_ARRAY' && leaf.meta.type === 'BYTE_ARRAY') {
    if (!n) return
    const shared = deltas(page, from, n)
    checkPrefixes(shared.values, checkLengths(deltas(page, shared.end, n), page))
  } else if (encoding === 'BYTE_STREAM_SPLIT') {
    if (n > page.length - from) fail(`${n} values in ${page.length - from} bytes`)
  } else fail(`values in the encoding ${encoding}, which is not supported`, other)
}

/**
 * Walks the run-length and bit-packed hybrid encoding of n values.
 * @returns how many of the values equal `most`, the largest allowed
 */
function runs(bytes: Uint8Array, width: number, n: number, most?: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  let seen = 0
  let top = 0
  while (seen < n) {
    const header = varint(view, at)
    at = header.at
    if (header.value >= 2 ** 31) fail('a run of more values than fit')
    if (header.value & 1) {
      const packed = (header.value >>> 1) * 8
      const here = Math.min(packed, n - seen)
      // DuckDB writes runs of 256 values for a handful, with all their bytes.
      const bits = packed - here < 8 ? here * width : packed * width
      if (at + Math.ceil(bits / 8) > bytes.length) fail('a run that is longer than its page')
      for (let i = 0; most !== undefined && i < here; i++) {
        let value = 0
        for (let bit = i * width; bit < (i + 1) * width; bit++) value |= ((bytes[at + (bit >> 3)] >> (bit & 7)) & 1) << (bit - i * width)
        if (value > most) fail(`a level of ${value}`)
        if (value === most) top++
      }
      at += Math.ceil((packed * width) / 8)
      seen += here
    } else {
      const repeated = header.value >>> 1
      if (repeated > n - seen) fail('a run that is longer than its page')
      let value = 0
      for (let i = 0; i < Math.ceil(width / 8); i++) {
        if (at >= bytes.length) fail('a run that ends early')
        value |= bytes[at++] << (8 * i)
      }
      if (most !== undefined && value > most) fail(`a level of ${value}`)
      if (value === most) top += repeated
      seen += repeated
    }
  }
  return top
}

/**
 * The n numbers of a run of DELTA_BINARY_PACKED, as lengths; the library allocates and copies by them.
 * @returns the numbers modulo 2^32, and the offset after them
 */
function deltas(page: Uint8Array, from: number, n: number): { values: Int32Array; end: number } {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
  let at = from
  const number = () => {
    const read = varint(view, at)
    at = read.at
    return read.value
  }
  const zigzag = () => {
    const value = BigInt(number())
    return Number(BigInt.asIntN(32, (value >> 1n) ^ -(value & 1n)))
  }
  const block = number()
  const minis = number()
  if (!minis || minis > 1024 || !block || block % (8 * minis) || block > 1 << 20) fail(`blocks of ${block} numbers in ${minis} parts`)
  const total = number()
  if (total !== n) fail(`${total} numbers where ${n} should be`)
  const values = new Int32Array(n)
  const per = block / minis
  let value = zigzag()
  let done = 1
  values[0] = value
  while (done < n) {
    const least = zigzag()
    const widths = page.subarray(at, at + minis)
    if (widths.length < minis) fail('a block of numbers that ends early')
    at += minis
    for (let mini = 0; mini < minis && done < n; mini++) {
      const width = widths[mini]
      if (width > 64) fail(`numbers of ${width} bits`)
      const bytes = (per * width) / 8
      if (at + bytes > page.length) fail('a block of numbers that ends early')
      for (let i = 0; i < per && done < n; i++) {
        value = (value + least + bitsAt(page, at, i * width, Math.min(width, 32))) | 0
        values[done++] = value
      }
      at += bytes
    }
  }
  return { values, end: at }
}

/** Reads a number of up to 32 bits, lowest bit first, modulo 2^32. */
function bitsAt(bytes: Uint8Array, from: number, bit: number, width: number): number {
  let value = 0
  for (let i = 0; i < width; ) {
    const place = bit + i
    const take = Math.min(8 - (place & 7), width - i)
    value |= ((bytes[from + (place >> 3)] >> (place & 7)) & ((1 << take) - 1)) << i
    i += take
  }
  return value
}

/** Checks that lengths together take no more than the rest of the page. */
function checkLengths({ values, end }: { values: Int32Array; end: number }, page: Uint8Array): Int32Array {
  let left = page.length - end
  for (const length of values) {
    left -= length
    if (length < 0 || left < 0) fail('texts that are longer than their page')
  }
  return values
}

/**
 * Checks texts that share a prefix with the one before: no prefix longer than that text, and all together within the limit of a column.
 */
function checkPrefixes(shared: Int32Array, own: Int32Array): void {
  let before = 0
  let all = 0
  for (const [i, prefix] of shared.entries()) {
    if (prefix < 0 || prefix > before) fail('a text with a longer prefix than the text before it')
    before = prefix + own[i]
    all += before
    if (all > maxChunk) fail(`more than ${maxChunk} bytes in one column of a row group`, smaller)
  }
}
