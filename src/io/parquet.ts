/**
 * Columns of a parquet file, row group by row group: only the footer and the pages of the wanted column are read.
 * hyparquet does the decoding, but trusts its file; so every count, length and run that it would allocate or loop by is
 * walked over first, and pages reach it decompressed and checked.
 */
import { decompress as unzstd } from 'fzstd'
import { type FileMetaData, parquetMetadata, parquetRead, parquetSchema, type SchemaTree, snappyUncompress } from 'hyparquet'
import { parquetHeader } from 'hyparquet/src/column.js'
import { WorkbenchError } from '../errors.ts'
import { type Bytes, readRange } from './bytes.ts'

export interface Parquet {
  /** Top-level columns; `text`: plain strings, `nested`: lists and structs. */
  columns: { name: string; kind: 'text' | 'nested' | 'other' }[]
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
/** Usual row groups hold 1,000 to 1,000,000 rows. */
const maxValues = 4 << 20
/** Deflate shrinks 1032 times at most, and the other codecs hardly more on what is still worth a page. */
const maxRatio = 1100
const maxDepth = 16

const hint = 'Download the file again, or convert it to .jsonl or .txt.'

/** What the checks and the library complain about; becomes a WorkbenchError with the file's name. */
class Malformed extends Error {}

function fail(why: string): never {
  throw new Malformed(why)
}

export async function openParquet(file: Bytes, name: string): Promise<Parquet> {
  const { size } = file
  const metadata = await guard(name, async () => {
    if (size < 12) fail('it is too short')
    const end = await readRange(file, Math.max(0, size - (64 << 10)), size, name)
    const tail = new DataView(end.buffer)
    if (tail.getUint32(end.length - 4, true) !== 0x31524150) fail('it does not end as one')
    const length = tail.getUint32(end.length - 8, true)
    if (length > Math.min(size - 12, maxFooter)) fail(`its footer of ${length} bytes does not fit`)
    const footer = length + 8 <= end.length ? end.subarray(end.length - 8 - length) : await readRange(file, size - 8 - length, size, name)
    skim(new DataView(footer.buffer, footer.byteOffset, length), 0)
    return parquetMetadata(footer, { geoparquet: false })
  })
  const { tree, columns } = await guard(name, async () => {
    const tree = parquetSchema(metadata)
    return { tree, columns: tree.children.map((child) => ({ name: child.element.name, kind: kindOf(child) })) }
  })
  const groups = await guard(name, async () =>
    metadata.row_groups.map(({ num_rows: rows }) => count(rows, maxValues, 'rows in a row group')),
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
    throw new WorkbenchError('text-invalid', `${name} cannot be read as a parquet file: ${why}.`, hint, { cause })
  }
}

function kindOf({ element, children }: SchemaTree): 'text' | 'nested' | 'other' {
  if (children.length) return 'nested'
  const text = element.converted_type === 'UTF8' || element.logical_type?.type === 'STRING'
  return element.type === 'BYTE_ARRAY' && text && element.repetition_type !== 'REPEATED' ? 'text' : 'other'
}

/** Every leaf below a column, with the levels that its values carry. */
function leaves(tree: SchemaTree, repetition = 0, definition = 0): { path: string; repetition: number; definition: number }[] {
  const { repetition_type: type, logical_type: logical } = tree.element
  if (logical?.type === 'VARIANT') fail('columns of variants are not read')
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
    const values = count(meta.num_values, maxValues, `values of ${leaf.path}`)
    if (values < Number(rows)) fail(`${leaf.path} has ${values} values for ${rows} rows`)
    const from = count(meta.dictionary_page_offset || meta.data_page_offset, file.size, 'bytes before a column')
    const length = count(meta.total_compressed_size, Math.min(file.size - from, maxChunk), `bytes of ${leaf.path}`)
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
      parsers: { stringFromBytes: (bytes: Uint8Array) => bytes && strict.decode(bytes) },
      onComplete,
    }).catch(reject)
  })
  return result.map((row) => row[top.element.name])
}

const strict = new TextDecoder('utf-8', { fatal: true })

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
    const size = count(header.uncompressed_page_size, Math.min(maxPage, (2 << 20) + packed * maxRatio), 'bytes in an unpacked page')
    unpacked += size
    if (unpacked > maxChunk) fail(`more than ${maxChunk} bytes in one column of a row group`)
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
  } else fail(`values in the encoding ${encoding}, which is not read here`)
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
      if (packed - here >= 8 || at + Math.ceil((here * width) / 8) > bytes.length) fail('a run that is longer than its page')
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
  if (codec === 'GZIP') {
    const page = new Uint8Array(size)
    let at = 0
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip')) as unknown as AsyncIterable<Uint8Array>
    for await (const piece of stream) {
      if (at + piece.length > size) fail(`a page of more bytes than the ${size} that it should have`)
      page.set(piece, at)
      at += piece.length
    }
    if (at !== size) fail(`a page of ${at} bytes where ${size} should be`)
    return page
  }
  return fail(`the compression ${codec}, which is not read here`)
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
