/**
 * Reads columns of a parquet file, row group by row group: only the footer and the pages of the wanted column. hyparquet decodes them but
 * trusts the file, so every count, length and run that it would allocate or loop by is checked first, and it gets pages decompressed and
 * checked.
 */
import { type FileMetaData, parquetMetadata, parquetRead, parquetSchema, type SchemaTree } from 'hyparquet'
import { WorkbenchError } from '../errors.ts'
import { type Bytes, readRange } from './bytes.ts'
import { adviceFor, headBytes, kindOf } from './kinds.ts'
import { bounded, count, damaged, fail, Malformed, maxChunk, maxDepth, maxValues, other, skim } from './parquet/bounds.ts'
import { unpackPages } from './parquet/pages.ts'

/** Type of a column or field; `bytes`: binary that may be text without being declared as text; `nothing`: not seen yet. */
export interface Shape {
  kind: 'text' | 'bytes' | 'number' | 'boolean' | 'texts' | 'objects' | 'object' | 'list' | 'nothing'
  /** Field names of an object, or of the objects in a list. */
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

/** The cause of the error for a file without a parquet footer. */
export class NotParquet extends Malformed {}

/** The footer of a file of a thousand row groups and a hundred columns takes about 10 MB. */
const maxFooter = 64 << 20

/** Reads the footer. @throws WorkbenchError `text-invalid` for a file that is not parquet, or what reading the bytes throws */
export async function openParquet(file: Bytes, name: string): Promise<Parquet> {
  const { size } = file
  const metadata = await guard(name, async () => {
    if (size < 12) throw new NotParquet('it is too short')
    const end = await readRange(file, Math.max(0, size - (64 << 10)), size, name)
    const tail = new DataView(end.buffer)
    if (tail.getUint32(end.length - 4, true) !== 0x31524150) {
      const kind = kindOf(await readRange(file, 0, Math.min(size, headBytes), name))
      if (kind && kind.read !== 'parquet') throw new NotParquet(`it is ${kind.name}`, adviceFor(kind))
      throw new NotParquet('it has no parquet footer at its end')
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

/** Runs `work`; everything that can be wrong with the file becomes an error that names it. */
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
    // By the format's rules, a repeated group of one field contains the element; any other is the element (older writers).
    const [list] = children
    const own = list.children.length !== 1 || list.element.name === 'array' || list.element.name === `${element.name}_tuple`
    return own ? shapeOf(list, true) : shapeOf(list.children[0], true)
  }
  return { kind: 'object', members: children.map((child) => child.element.name) }
}

/** Every leaf below a column, with its definition and repetition levels. */
function leaves(tree: SchemaTree, repetition = 0, definition = 0): { path: string; repetition: number; definition: number }[] {
  const { repetition_type: type, logical_type: logical } = tree.element
  if (logical?.type === 'VARIANT') fail('columns of the type VARIANT cannot be read', other)
  const inner = [repetition + Number(type === 'REPEATED'), definition + Number(type !== 'REQUIRED')] as const
  if (inner[1] > maxDepth) fail(`its columns nest more than ${maxDepth} levels deep`)
  if (!tree.children.length) return [{ path: tree.path.join('.'), repetition: inner[0], definition: inner[1] }]
  return tree.children.flatMap((child) => leaves(child, ...inner))
}

async function readChunk(file: Bytes, name: string, metadata: FileMetaData, group: number, top: SchemaTree): Promise<unknown[]> {
  const { columns, num_rows: rows } = metadata.row_groups[group]
  const wanted = leaves(top).map((leaf) => {
    const column = columns.find(({ meta_data: meta }) => meta?.path_in_schema.join('.') === leaf.path)
    if (!column?.meta_data || column.file_path) fail(`row group ${group} lacks the column ${leaf.path}`)
    const meta = column.meta_data
    const values = bounded(meta.num_values, maxValues, `values of ${leaf.path}`)
    if (values < Number(rows)) fail(`${leaf.path} has ${values} values for ${rows} rows`)
    const from = count(meta.dictionary_page_offset || meta.data_page_offset, file.size, 'bytes before a column')
    const length = bounded(count(meta.total_compressed_size, file.size - from, `bytes of ${leaf.path}`), maxChunk, `bytes of ${leaf.path}`)
    return { ...leaf, meta, values, from, length }
  })
  // The library gets a virtual file of only these chunks, one after the other.
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
  // One codec per column, which returns its checked pages in their order.
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
      // JSON stays text, for a parser that keeps integers exact.
      parsers: { stringFromBytes, jsonFromBytes: stringFromBytes },
      onComplete,
    }).catch(reject)
  })
  return result.map((row) => row[top.element.name]).map((value) => typed(value, top))
}

/** Integer columns with another logical type: times and decimals. */
const notWhole = /DATE|TIME|DECIMAL/

/** A value with integers as bigint, by the type of the column, so that 1 and 1.0 stay distinct. */
function typed(value: unknown, tree: SchemaTree): unknown {
  if (value === null || value === undefined) return value
  const { element, children } = tree
  const kind = element.converted_type ?? element.logical_type?.type ?? ''
  if (Array.isArray(value)) {
    const [list] = children
    const inner = !/^LIST$/.test(kind) ? tree : list.children.length === 1 ? list.children[0] : list
    return value.map((one) => typed(one, inner))
  }
  if (!children.length) {
    const whole = (element.type === 'INT32' || element.type === 'INT64') && !notWhole.test(kind)
    return whole && typeof value === 'number' ? BigInt(value) : value
  }
  const pairs = /^MAP/.test(kind) ? children[0].children : null
  const inner = (name: string) => (pairs ? pairs[1] : children.find((child) => child.element.name === name))
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => {
      const below = inner(name)
      return [name, below ? typed(one, below) : one]
    }),
  )
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function stringFromBytes(bytes: Uint8Array): string {
  try {
    return bytes && strict.decode(bytes)
  } catch {
    return fail('a value is not UTF-8 text', 'Choose another column, or rewrite the file with UTF-8 texts.')
  }
}
