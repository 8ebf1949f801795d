/**
 * Columns of a parquet file, row group by row group: only the footer and the pages of the wanted column are read.
 * hyparquet does the decoding, but trusts its file; so every count, length and run that it would allocate or loop by is
 * walked over first, and pages reach it decompressed and checked.
 */
import { decompress as unzstd } from 'fzstd'
import { type FileMetaData, parquetMetadata, parquetRead, parquetSchema, type SchemaTree, snappyUncompress } from 'hyparquet'
import { parquetHeader } from 'hyparquet/src/column.js'
import { decompressBrotli } from 'hyparquet-compressors/src/brotli.js'
import { decompressLz4, decompressLz4Raw } from 'hyparquet-compressors/src/lz4.js'
import { Inflate } from 'pako'
import { WorkbenchError } from '../errors.ts'
import { type Bytes, readRange } from './bytes.ts'
import { adviceFor, headBytes, kindOf } from './kinds.ts'

/** What the values of a column or field are; `bytes`: such as may be text without saying so; `nothing`: not seen yet. */
export interface Shape {
  kind: 'text' | 'bytes' | 'number' | 'boolean' | 'texts' | 'objects' | 'object' | 'list' | 'nothing'
  /** Names of the fields of an object, or of those in a list. */
  members?: string[]
}

export interface Parquet {
  /** Top-level columns. */
  columns: ({ name: string } & Shape)[]
  rows: number
  /** Rows of each row group. */
  groups: number[]
  /** The values of one column in one row group. @throws WorkbenchError `text-invalid`, or what reading the bytes throws */
  read(group: number, column: string): Promise<unknown[]>
}

/** The footer of a file of a thousand row groups and a hundred columns takes about 10 MB. */
const maxFooter = 64 << 20
/** Writers make row groups of 64 to 512 MB over all columns. */
const maxChunk = 512 << 20
/** Usual pages hold 1 MB; a page with one long document may be larger. */
const maxPage = 256 << 20
/** Usual row groups hold 1,000 to 1,000,000 rows, and of a conversation several turns each. */
const maxValues = 16 << 20
/** How far a codec can shrink what is all alike; zstd and Brotli do without a bound. */
const maxRatio: Record<string, number> = { SNAPPY: 64, GZIP: 1032, LZ4: 255, LZ4_RAW: 255 }
const maxDepth = 16

const damaged = 'Download the file again, or convert it to .jsonl or .txt.'
const smaller = 'Write it again with smaller row groups, or convert it to .jsonl or .txt.'
const other = 'The file is whole; write it again with zstd or snappy and the usual encodings, or convert it to .jsonl or .txt.'

/** What the checks and the library complain about; becomes a WorkbenchError with the file's name. */
class Malformed extends Error {
  constructor(
    why: string,
    readonly hint = damaged,
  ) {
    super(why)
  }
}

function fail(why: string, hint = damaged): never {
  throw new Malformed(why, hint)
}

export async function openParquet(file: Bytes, name: string): Promise<Parquet> {
  const { size } = file
  const metadata = await guard(name, async () => {
    if (size < 12) fail('it is too short')
    const end = await readRange(file, Math.max(0, size - (64 << 10)), size, name)
    const tail = new DataView(end.buffer)
    if (tail.getUint32(end.length - 4, true) !== 0x31524150) {
      const kind = kindOf(await readRange(file, 0, Math.min(size, headBytes), name))
      if (kind && kind.read !== 'parquet') fail(`it holds ${kind.name}`, adviceFor(kind))
      fail('it does not end as one')
    }
    const length = tail.getUint32(end.length - 8, true)
    if (length > Math.min(size - 12, maxFooter)) fail(`its footer of ${length} bytes does not fit`)
    const footer = length + 8 <= end.length ? end.subarray(end.length - 8 - length) : await readRange(file, size - 8 - length, size, name)
    skim(new DataView(footer.buffer, footer.byteOffset, length), 0)
    return parquetMetadata(footer, { geoparquet: false })
  })
  const { tree, columns } = await guard(name, async () => {
    const tree = parquetSchema(metadata)
    return { tree, columns: tree.children.map((child) => ({ name: child.element.name, ...shapeOf(child) })) }
  })
  const groups = await guard(name, async () =>
    metadata.row_groups.map(({ num_rows: rows }) => bounded(rows, maxValues, 'rows in a row group')),
  )
  return {
    columns,
    rows: groups.reduce((sum, rows) => sum + rows, 0),
    groups,
    read: (group, column) =>
      guard(name, async () => {
        const top = tree.children.find(({ element }) => element.name === column)
        if (!top) fail(`it has no column ${column}`)
        return readChunk(file, name, metadata, group, top)
      }),
  }
}

/** All that the file can do wrong, as an error that names it. */
async function guard<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof WorkbenchError) throw cause
    const why = cause instanceof Error ? cause.message.replace(/\.$/, '') : String(cause)
    const hint = cause instanceof Malformed ? cause.hint : damaged
    throw new WorkbenchError('text-invalid', `${name} cannot be read as a parquet file: ${why}.`, hint, { cause })
  }
}

function shapeOf(tree: SchemaTree, repeated = tree.element.repetition_type === 'REPEATED'): Shape {
  const { element, children } = tree
  if (repeated) {
    const inner = shapeOf(tree, false)
    return inner.kind === 'text' ? { kind: 'texts' } : inner.kind === 'object' ? { ...inner, kind: 'objects' } : { kind: 'list' }
  }
  if (!children.length) {
    if (element.type === 'BOOLEAN') return { kind: 'boolean' }
    if (element.type !== 'BYTE_ARRAY') return { kind: 'number' }
    const text = ['UTF8', 'ENUM'].includes(element.converted_type ?? '') || ['STRING', 'ENUM'].includes(element.logical_type?.type ?? '')
    return { kind: text ? 'text' : element.converted_type || element.logical_type ? 'object' : 'bytes' }
  }
  if (element.converted_type === 'LIST' || element.logical_type?.type === 'LIST') {
    // As the format has it: a repeated group of one field holds the element, any other is the element (older writers).
    const [list] = children
    const own = list.children.length !== 1 || list.element.name === 'array' || list.element.name === `${element.name}_tuple`
    return own ? shapeOf(list, true) : shapeOf(list.children[0], true)
  }
  return { kind: 'object', members: children.map((child) => child.element.name) }
}

/** Every leaf below a column, with the levels that its values carry. */
function leaves(tree: SchemaTree, repetition = 0, definition = 0): { path: string; repetition: number; definition: number }[] {
  const { repetition_type: type, logical_type: logical } = tree.element
  if (logical?.type === 'VARIANT') fail('columns of variants are not read here', other)
  const inner = [repetition + Number(type === 'REPEATED'), definition + Number(type !== 'REQUIRED')] as const
  if (inner[1] > maxDepth) fail(`its columns nest more than ${maxDepth} levels deep`)
  if (!tree.children.length) return [{ path: tree.path.join('.'), repetition: inner[0], definition: inner[1] }]
  return tree.children.flatMap((child) => leaves(child, ...inner))
}

async function readChunk(file: Bytes, name: string, metadata: FileMetaData, group: number, top: SchemaTree): Promise<unknown[]> {
  const { columns, num_rows: rows } = metadata.row_groups[group]
  const wanted = leaves(top).map((leaf) => {
    const column = columns.find(({ meta_data: meta }) => meta?.path_in_schema.join('.') === leaf.path)
    if (!column?.meta_data || column.file_path) fail(`row group ${group} does not hold the column ${leaf.path}`)
    const meta = column.meta_data
    const values = bounded(meta.num_values, maxValues, `values of ${leaf.path}`)
    if (values < Number(rows)) fail(`${leaf.path} has ${values} values for ${rows} rows`)
    const from = count(meta.dictionary_page_offset || meta.data_page_offset, file.size, 'bytes before a column')
    const length = bounded(count(meta.total_compressed_size, file.size - from, `bytes of ${leaf.path}`), maxChunk, `bytes of ${leaf.path}`)
    return { ...leaf, meta, values, from, length }
  })
  // The library gets a file of these chunks alone, one after the other.
  const stored: Uint8Array<ArrayBuffer>[] = []
  const pages = new Map<string, Uint8Array[]>()
  let at = 0
  const places = new Map<string, number>()
  for (const leaf of wanted) {
    const data = await readRange(file, leaf.from, leaf.from + leaf.length, name)
    pages.set(leaf.path, await unpackPages(data, leaf))
    stored.push(data)
    places.set(leaf.path, at)
    at += data.length
  }
  const bytes = await new Blob(stored).arrayBuffer()
  // A codec of each column's own: it is asked for the pages in their order.
  const codec = (path: string) => `own:${path}`
  const result = await new Promise<Record<string, unknown>[]>((onComplete, reject) => {
    parquetRead({
      file: bytes,
      metadata: {
        ...metadata,
        row_groups: [
          {
            ...metadata.row_groups[group],
            columns: wanted.map(({ meta, path }) => ({
              file_offset: 0n,
              meta_data: {
                ...meta,
                codec: codec(path) as typeof meta.codec,
                data_page_offset: BigInt(places.get(path)!),
                dictionary_page_offset: undefined,
              },
            })),
          },
        ],
      },
      columns: [top.element.name],
      rowFormat: 'object',
      compressors: Object.fromEntries(wanted.map(({ path }) => [codec(path), () => pages.get(path)!.shift()!])),
      parsers: { stringFromBytes },
      onComplete,
    }).catch(reject)
  })
  return result.map((row) => row[top.element.name])
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function stringFromBytes(bytes: Uint8Array): string {
  try {
    return bytes && strict.decode(bytes)
  } catch {
    return fail('a value is not UTF-8 text', 'Choose another column, or write the file again with texts in UTF-8.')
  }
}

interface Leaf {
  path: string
  repetition: number
  definition: number
  values: number
  meta: { codec: string; type: string }
}

/** The pages of a column chunk that are stored compressed, each decompressed and found harmless. */
async function unpackPages(data: Uint8Array<ArrayBuffer>, leaf: Leaf): Promise<Uint8Array[]> {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const pages: Uint8Array[] = []
  let at = 0
  let values = 0
  let unpacked = 0
  // The library stops at the last byte but one, too.
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
    if (header.type === 'DICTIONARY_PAGE') {
      const page = await unpack(body, size, leaf.meta.codec)
      const entries = count(header.dictionary_page_header?.num_values, maxValues, 'entries of a dictionary')
      if (leaf.meta.type === 'BYTE_ARRAY' && entries * 4 > page.length) fail(`a dictionary of ${entries} entries in ${page.length} bytes`)
      pages.push(page)
    } else if (header.type === 'DATA_PAGE') {
      const { num_values, encoding } = header.data_page_header ?? fail('a page without a header')
      const n = count(num_values, leaf.values - values, 'values in a page')
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
      values += n
      pages.push(page)
    } else if (header.type === 'DATA_PAGE_V2') {
      const v2 = header.data_page_header_v2 ?? fail('a page without a header')
      const n = count(v2.num_values, leaf.values - values, 'values in a page')
      count(v2.num_rows, n, 'rows in a page')
      const nulls = count(v2.num_nulls, n, 'nulls in a page')
      const before = count(v2.repetition_levels_byte_length, body.length, 'bytes of levels')
      const levels = before + count(v2.definition_levels_byte_length, body.length - before, 'bytes of levels')
      if (leaf.repetition) runs(body, 32 - Math.clz32(leaf.repetition), n, leaf.repetition)
      if (leaf.definition) runs(body.subarray(before), 32 - Math.clz32(leaf.definition), n, leaf.definition)
      const rest = body.subarray(levels)
      const page = v2.is_compressed === false ? rest : await unpack(rest, count(size - levels, size, 'bytes of values'), leaf.meta.codec)
      checkValues(page, 0, n - nulls, v2.encoding, leaf)
      values += n
      if (v2.is_compressed !== false) pages.push(page)
    } else fail(`a page of kind ${header.type}`)
  }
  return pages
}

/** The values of a page: their encoding, and that there are bytes or runs for as many as it says. */
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
  } else fail(`values in the encoding ${encoding}, which is not read here`, other)
}

/**
 * Walks the run-length and bit-packed hybrid encoding of n values.
 * @returns how many of the values are `most`, the highest that they may have
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
      // DuckDB writes runs of 256 for a handful of values, and all of their bytes.
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
 * @returns the numbers modulo 2^32, and the offset behind them
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

/** A number of up to 32 bits, the lowest first, modulo 2^32. */
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

/** Lengths that together take no more than the rest of the page. */
function checkLengths({ values, end }: { values: Int32Array; end: number }, page: Uint8Array): Int32Array {
  let left = page.length - end
  for (const length of values) {
    left -= length
    if (length < 0 || left < 0) fail('texts that are longer than their page')
  }
  return values
}

/** Each text begins as the one before it does, as far as that goes; together they take no more than a column may. */
function checkPrefixes(shared: Int32Array, own: Int32Array): void {
  let before = 0
  let all = 0
  for (const [i, prefix] of shared.entries()) {
    if (prefix < 0 || prefix > before) fail('a text that begins as more of the one before it than there is')
    before = prefix + own[i]
    all += before
    if (all > maxChunk) fail(`more than ${maxChunk} bytes in one column of a row group`, smaller)
  }
}

async function unpack(packed: Uint8Array<ArrayBuffer>, size: number, codec: string): Promise<Uint8Array<ArrayBuffer>> {
  if (codec === 'UNCOMPRESSED') {
    if (packed.length !== size) fail(`a page of ${packed.length} bytes where ${size} should be`)
    return packed
  }
  if (codec === 'SNAPPY') {
    const page = new Uint8Array(size)
    snappyUncompress(packed, page)
    return page
  }
  if (codec === 'ZSTD') {
    const page = unzstd(packed, new Uint8Array(size))
    if (page.length !== size) fail(`a page of ${page.length} bytes where ${size} should be`)
    return page as Uint8Array<ArrayBuffer>
  }
  if (codec === 'GZIP') return inflate(packed, size)
  if (codec === 'BROTLI') return decompressBrotli(packed, size)
  if (codec === 'LZ4_RAW' || codec === 'LZ4') {
    // What is missing at the end would come as zeros.
    const blocks = codec === 'LZ4' ? hadoopBlocks(packed) : null
    const length = (blocks ?? [packed]).reduce((sum, block) => sum + lz4Length(block), 0)
    if (length !== size) fail(`a page of ${length} bytes where ${size} should be`)
    return (codec === 'LZ4' ? decompressLz4 : decompressLz4Raw)(packed, size)
  }
  return fail(`the compression ${codec}, which is not read here`, other)
}

/** The blocks of the older framing, each behind its two sizes; null where there is none. */
function hadoopBlocks(packed: Uint8Array): Uint8Array[] | null {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength)
  const blocks: Uint8Array[] = []
  let at = 0
  while (at + 8 < packed.length) {
    const [unpacked, length] = [view.getUint32(at), view.getUint32(at + 4)]
    const block = packed.subarray(at + 8, at + 8 + length)
    if (block.length !== length || lz4Length(block) !== unpacked) return null
    blocks.push(block)
    at += 8 + length
  }
  return at === packed.length ? blocks : null
}

/** Bytes that an LZ4 block unpacks to; -1 where it does not end as one. */
function lz4Length(block: Uint8Array): number {
  let at = 0
  let length = 0
  const extended = (nibble: number) => {
    let sum = nibble
    for (let byte = nibble === 15 ? 255 : 0; byte === 255; sum += byte) byte = block[at++] ?? 0
    return sum
  }
  while (at < block.length) {
    const token = block[at++]
    const literals = extended(token >> 4)
    at += literals
    length += literals
    if (at === block.length) return length
    at += 2
    length += extended(token & 15) + 4
  }
  return -1
}

function inflate(packed: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const page = new Uint8Array(size)
  let at = 0
  const stream = new Inflate()
  stream.onData = (piece) => {
    if (at + piece.length > size) fail(`a page of more bytes than the ${size} that it should have`)
    page.set(piece as Uint8Array, at)
    at += piece.length
  }
  stream.onEnd = () => {}
  stream.push(packed, true)
  if (stream.err) fail(`a page that is not gzip: ${stream.msg}`)
  if (at !== size) fail(`a page of ${at} bytes where ${size} should be`)
  return page
}

/** A whole number that may be right, but is more than is held here. */
function bounded(value: number | bigint | undefined, most: number, what: string): number {
  const n = count(value, Number.MAX_SAFE_INTEGER, what)
  if (n > most) fail(`${n} ${what}, where at most ${most} are read here`, smaller)
  return n
}

/** A whole number from 0 to `most`. */
function count(value: number | bigint | undefined, most: number, what: string): number {
  const n = Number(value ?? Number.NaN)
  if (!(Number.isInteger(n) && n >= 0 && n <= most)) fail(`${value} ${what}, where at most ${most} can be`)
  return n
}

/**
 * Walks over a struct in Thrift's compact protocol, so that no list claims more elements than there are bytes.
 * @returns the offset behind it
 */
function skim(view: DataView, from: number, depth = 0): number {
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
function varint(view: DataView, from: number): { value: number; at: number } {
  let value = 0
  for (let i = 0; i < 10; i++) {
    if (from + i >= view.byteLength) fail('a number that ends early')
    const byte = view.getUint8(from + i)
    value += (byte & 127) * 2 ** (7 * i)
    if (byte < 128) return { value, at: from + i + 1 }
  }
  return fail('a number of more than ten bytes')
}
