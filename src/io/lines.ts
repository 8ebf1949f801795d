/** Text from files of any size, piece by piece and no further than it is read; gzip is undone on the way. */
import { WorkbenchError } from '../errors.ts'
import { type Bytes, readRange } from './bytes.ts'

/** Bytes read at a time: few requests where the file is remote, and little read too much where reading stops early. */
const step = 1 << 20
/** Packed bytes undone at a time: 1 MB of them may hold 1 GB. */
const packedStep = 32 << 10
/** Documents of a few MB are known; one line of more is no text to calibrate on. */
const maxLine = 64 << 20

/** Strict UTF-8 text of a file in pieces. @throws WorkbenchError `text-invalid` when it is not UTF-8 or not gzip */
export async function* textPieces(file: Bytes, name: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const decode = (piece?: Uint8Array) => {
    try {
      return decoder.decode(piece, { stream: piece !== undefined })
    } catch (cause) {
      throw new WorkbenchError('text-invalid', `${name} is not UTF-8 text.`, 'Save it as plain text in UTF-8, or choose another file.', {
        cause,
      })
    }
  }
  for await (const piece of /\.gz$/i.test(name) ? gunzip(file, name) : pieces(file, name)) yield decode(piece)
  yield decode()
}

/** Lines without their ends, with their number from 1. */
export async function* lines(file: Bytes, name: string): AsyncGenerator<{ line: string; number: number }> {
  let rest: string[] = []
  let length = 0
  let number = 0
  for await (const piece of textPieces(file, name)) {
    let from = 0
    for (let end = piece.indexOf('\n'); end >= 0; end = piece.indexOf('\n', from)) {
      yield { line: rest.join('') + piece.slice(from, end), number: ++number }
      rest = []
      length = 0
      from = end + 1
    }
    if (from < piece.length) rest.push(piece.slice(from))
    length += piece.length - from
    if (length > maxLine) {
      throw new WorkbenchError(
        'text-invalid',
        `Line ${number + 1} of ${name} is longer than ${maxLine} characters.`,
        'Put each document on a line of its own.',
      )
    }
  }
  if (length) yield { line: rest.join(''), number: ++number }
}

async function* pieces(file: Bytes, name: string): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let at = 0; at < file.size; at += step) yield readRange(file, at, Math.min(file.size, at + step), name)
}

/**
 * By the platform's own stream, fed only when it has nothing left to give: piped into it, Node would unpack the whole
 * file ahead of its reader.
 */
async function* gunzip(file: Bytes, name: string): AsyncGenerator<Uint8Array> {
  const stream = new DecompressionStream('gzip')
  const [writer, reader] = [stream.writable.getWriter(), stream.readable.getReader()]
  const source = pieces(file, name)
  let piece = new Uint8Array()
  const broken = (cause: unknown) =>
    new WorkbenchError(
      'text-invalid',
      `${name} is not a whole gzip file: ${cause instanceof Error ? cause.message : cause}.`,
      'Download the file again.',
      { cause },
    )
  const read = () => {
    const next = reader.read()
    next.catch(() => {}) // whoever awaits it hears of it
    return next
  }
  let wanted = read()
  let fed: Promise<void> | null = null
  let ended = false
  try {
    for (;;) {
      if (!fed && !ended) {
        if (!piece.length) piece = (await source.next()).value ?? new Uint8Array()
        ended = !piece.length
        const feeding: Promise<void> = (ended ? writer.close() : writer.write(piece.slice(0, packedStep))).then(() => {
          if (fed === feeding) fed = null
        })
        feeding.catch(() => {})
        fed = feeding
        piece = piece.subarray(packedStep)
      }
      const next = await Promise.race(fed ? [wanted, fed] : [wanted]).catch((cause) => {
        throw broken(cause)
      })
      if (!next) continue
      if (next.done) return
      wanted = read()
      yield next.value
    }
  } finally {
    // Reading stops here: nothing more is asked of the file.
    await Promise.allSettled([writer.abort(), reader.cancel()])
  }
}
