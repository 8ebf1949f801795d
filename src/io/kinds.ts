/** Recognizes the kind of a file by its first bytes, whatever its name. */

/** A kind of file: `name` with its article ("a zip archive"); `read`: how it is read, if it can be. */
export interface Kind {
  name: string
  read?: 'gzip' | 'zstd' | 'parquet'
}

/** Bytes that `kindOf` needs; fewer only if the file is shorter. */
export const headBytes = 512

const ascii = (text: string) => Array.from(text, (letter) => letter.charCodeAt(0))
const signature = (name: string, bytes: number[] | string, at = 0, read?: Kind['read']) => ({
  kind: { name, ...(read && { read }) },
  bytes: typeof bytes === 'string' ? ascii(bytes) : bytes,
  at,
})

/** Where one signature begins with another, the longer comes first (UTF-32 before UTF-16). */
const signatures = [
  signature('a gzip file', [0x1f, 0x8b], 0, 'gzip'),
  signature('a zstd file', [0x28, 0xb5, 0x2f, 0xfd], 0, 'zstd'),
  signature('a parquet file', 'PAR1', 0, 'parquet'),
  signature('an encrypted parquet file', 'PARE'),
  signature('an Arrow file', 'ARROW1'),
  signature('an Arrow stream', [0xff, 0xff, 0xff, 0xff]),
  signature('an ORC file', 'ORC'),
  signature('an Avro file', [...ascii('Obj'), 1]),
  signature('UTF-32 text', [0xff, 0xfe, 0, 0]),
  signature('UTF-32 text', [0, 0, 0xfe, 0xff]),
  signature('UTF-16 text', [0xff, 0xfe]),
  signature('UTF-16 text', [0xfe, 0xff]),
  signature('a PDF document', '%PDF-'),
  signature('a zip archive (as .xlsx, .docx, .epub and .npz files are too)', [...ascii('PK'), 3, 4]),
  signature('a zip archive', [...ascii('PK'), 5, 6]),
  signature('an SQLite database', 'SQLite format 3\0'),
  signature('a bzip2 file', 'BZh'),
  signature('an xz file', [0xfd, ...ascii('7zXZ'), 0]),
  signature('a 7z archive', [...ascii('7z'), 0xbc, 0xaf, 0x27, 0x1c]),
  signature('an LZ4 file', [0x04, 0x22, 0x4d, 0x18]),
  signature('a RAR archive', [...ascii('Rar!'), 0x1a, 0x07]),
  signature('a tar archive', 'ustar', 257),
  signature('an old Office document (.doc, .xls)', [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1]),
  signature('an RTF document', '{\\rtf'),
  signature('an HDF5 file', [0x89, ...ascii('HDF\r\n')]),
  signature('a NumPy array', [0x93, ...ascii('NUMPY')]),
  signature('a Python pickle', [0x80, 2]),
  signature('a Python pickle', [0x80, 3]),
  signature('a Python pickle', [0x80, 4]),
  signature('a Python pickle', [0x80, 5]),
  signature('a GGUF model', 'GGUF'),
  signature('a DuckDB database', 'DUCK', 8),
  signature('a PNG picture', [0x89, ...ascii('PNG')]),
  signature('a JPEG picture', [0xff, 0xd8, 0xff]),
  signature('a GIF picture', 'GIF8'),
  signature('a WebP picture', 'WEBP', 8),
  signature('a WAV recording', 'WAVE', 8),
  signature('a Git LFS pointer instead of the file itself', 'version https://git-lfs.github.com/spec/'),
]

/** A hint for a kind of file that cannot be read. */
export function adviceFor({ name }: Kind): string {
  if (name.startsWith('UTF')) return 'Save it as plain text in UTF-8.'
  if (name.includes('Git LFS')) return 'Download the file itself (git lfs pull).'
  return 'Choose a text: plain in UTF-8, .jsonl, .json, .csv or .parquet; convert this one first.'
}

/** The kind of a file that begins with these bytes; null for what is or may be text. */
export function kindOf(head: Uint8Array): Kind | null {
  const begins = signatures.find(({ bytes, at }) => bytes.every((byte, i) => head[at + i] === byte))
  if (begins) return begins.kind
  // A skippable frame of zstd, in front of others.
  if (head[0] >> 4 === 5 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18) return { name: 'a zstd file', read: 'zstd' }
  if (wide(head)) return { name: 'UTF-16 text' }
  // A safetensors file: the length of its header, and the header.
  if (head.length > 16 && head[8] === 0x7b && head.subarray(4, 8).every((byte) => !byte)) return { name: 'a safetensors file' }
  return head.includes(0) ? { name: 'a binary file of an unknown kind' } : null
}

/**
 * What lies in the place of a model's file whose first bytes are not those of its format, and what to do about it; null where they do not
 * tell. Most often a download that failed: a pointer, or a page about an error.
 */
export function insteadOf(head: Uint8Array): { what: string; hint: string } | null {
  if (/^\s*<(!doctype\s+html|html)\b/i.test(new TextDecoder().decode(head)))
    return {
      what: 'a web page instead of the file itself',
      hint: 'Download the file again: a page about an error or a sign-in came instead.',
    }
  const kind = kindOf(head)
  if (!kind || /safetensors|unknown/.test(kind.name)) return null
  return { what: kind.name, hint: /^UTF|LFS/.test(kind.name) ? adviceFor(kind) : 'Download or convert the file again.' }
}

/** UTF-16 without a mark: every other byte of Latin text is zero. */
function wide(head: Uint8Array): boolean {
  const pairs = head.length >> 1
  if (pairs < 2) return false
  const zeros = [0, 0]
  for (let i = 0; i < 2 * pairs; i++) if (!head[i]) zeros[i & 1]++
  return zeros.some((count, side) => count > 0.6 * pairs && zeros[1 - side] < 0.1 * pairs)
}
