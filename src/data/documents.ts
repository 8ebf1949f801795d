/** Texts as documents: from .txt, .jsonl and .parquet, gzip or not, read no further than they are used. */
import { WorkbenchError } from '../errors.ts'
import type { Bytes } from '../io/bytes.ts'
import { isObject } from '../io/json.ts'
import { lines, textPieces } from '../io/lines.ts'
import { openParquet, type Parquet } from '../io/parquet.ts'
import { type ChatTemplate, conversationOf } from './chat.ts'

export interface Text {
  /** Its files, in their order. The name says how each is read: .jsonl, .json, .ndjson, .parquet, else plain; .gz on top. */
  parts: { name: string; bytes: Bytes }[]
  /** Field or column that holds the text; found when not given. */
  column?: string
  /** Between documents. */
  join: string
  /** Documents at most. */
  most?: number
  /** Each line of a plain text is a document; otherwise all of it is one. */
  perLine?: boolean
}

export const fileText = (name: string, bytes: Bytes): Text => ({ parts: [{ name, bytes }], join: '\n\n' })

/** Characters of a text that are read at most: three times WikiText-2, and what a page can hold as tokens. */
export const maxText = 32 << 20

/** Fields and columns that hold text, by the names that data sets give them. */
const textNames = ['text', 'sentence', 'content', 'document', 'article', 'story']
const chatNames = ['messages', 'conversations', 'conversation']

/**
 * A text as one string, its documents joined. `cut`: it goes on after `maxText` characters.
 * @throws WorkbenchError `text-invalid`, `text-short` when there is nothing in it
 */
export async function readText(text: Text, chat: ChatTemplate | null = null): Promise<{ text: string; cut: boolean }> {
  const pieces: string[] = []
  let length = 0
  let cut = false
  for await (const piece of joined(text, chat)) {
    if (length === maxText && piece) cut = true
    if (cut) break
    pieces.push(piece.slice(0, maxText - length))
    length += pieces.at(-1)!.length
    if (pieces.at(-1)!.length < piece.length) cut = true
  }
  const whole = pieces.join('')
  if (!whole.trim()) throw new WorkbenchError('text-short', `${nameOf(text)} is empty.`, 'Choose a text of at least a few hundred words.')
  return { text: whole, cut }
}

const nameOf = ({ parts }: Text) => parts[0]?.name ?? 'The text'

async function* joined(text: Text, chat: ChatTemplate | null): AsyncGenerator<string> {
  if (text.parts.length === 1 && isPlain(text.parts[0].name) && !chat) {
    yield* textPieces(text.parts[0].bytes, text.parts[0].name)
    return
  }
  // Conversations bring their own ends.
  const join = chat ? '' : text.join
  let first = true
  for await (const document of documents(text, chat)) {
    if (!first) yield join
    yield document
    first = false
  }
}

/** The documents of a text one by one; with a template, each has to be a conversation. */
export async function* documents(text: Text, chat: ChatTemplate | null = null): AsyncGenerator<string> {
  let left = text.most ?? Number.POSITIVE_INFINITY
  for (const { name, bytes } of text.parts) {
    for await (const document of documentsOf(name, bytes, text, chat)) {
      if (left-- <= 0) return
      yield document
    }
  }
}

const format = (name: string) => /\.(jsonl|ndjson|json|parquet)(\.gz)?$/i.exec(name)?.[1].toLowerCase()
const isPlain = (name: string) => format(name) === undefined

async function* documentsOf(name: string, bytes: Bytes, { column, perLine }: Text, chat: ChatTemplate | null): AsyncGenerator<string> {
  if (format(name) === 'parquet') yield* rowsOf(name, await openParquet(bytes, name), column, chat)
  else if (isPlain(name)) {
    if (chat) throw noConversation(`${name} is plain text and`)
    if (perLine) {
      for await (const { line } of lines(bytes, name)) if (line.trim()) yield line
      return
    }
    let whole = ''
    for await (const piece of textPieces(bytes, name)) {
      whole += piece
      if (whole.length > maxText) break
    }
    yield whole
  } else {
    for await (const { line, number } of lines(bytes, name)) {
      if (!line.trim()) continue
      const value = parsed(line)
      const document = chat ? chatOf(value, column, chat) : documentOf(value, column)
      if (document === null) {
        const where = `Line ${number} of ${name}`
        if (chat) throw noConversation(where)
        const wanted = column === undefined ? 'an object with one' : `an object with one in "${column}"`
        throw new WorkbenchError(
          'text-invalid',
          `${where} is not a JSON text, or ${wanted}.`,
          'Each line has to look like {"text": "..."}; remove or correct that line.',
        )
      }
      yield document
    }
  }
}

async function* rowsOf(name: string, file: Parquet, column: string | undefined, chat: ChatTemplate | null): AsyncGenerator<string> {
  const chosen = chooseColumn(name, file, column, chat !== null)
  for (const group of file.groups.keys()) {
    for (const value of await file.read(group, chosen)) {
      // A missing text is an empty one, as pandas and datasets have it.
      const document = chat ? chatOf(value, undefined, chat) : value === null || value === undefined ? '' : documentOf(value, undefined)
      if (document !== null) yield document
      else if (chat) throw noConversation(`A row of ${name}`)
      else throw new WorkbenchError('text-invalid', `The column ${chosen} of ${name} does not hold texts.`, columnHint(file))
    }
  }
}

function chooseColumn(name: string, file: Parquet, column: string | undefined, chat: boolean): string {
  const { columns } = file
  const named = (names: string[], kind: string) => names.find((one) => columns.some((each) => each.name === one && each.kind === kind))
  const texts = columns.filter(({ kind }) => kind === 'text')
  const found =
    column ??
    (chat ? named(chatNames, 'nested') : (named(textNames, 'text') ?? (texts.length === 1 ? texts[0].name : named(chatNames, 'nested'))))
  if (found !== undefined && columns.some((each) => each.name === found && each.kind !== 'other')) return found
  const what = column === undefined ? `no column that is plainly ${chat ? 'conversations' : 'the text'}` : `no column ${column} of texts`
  throw new WorkbenchError('text-invalid', `${name} has ${what}.`, columnHint(file))
}

function columnHint({ columns }: Parquet): string {
  const names = columns.filter(({ kind }) => kind !== 'other').map(({ name }) => name)
  return names.length ? `Name one of its columns: ${names.slice(0, 12).join(', ')}.` : 'It has no columns of text; choose another file.'
}

function noConversation(where: string): WorkbenchError {
  return new WorkbenchError(
    'text-invalid',
    `${where} is no conversation, so the chat template cannot be applied to it.`,
    'Turn the chat template off, or choose a text whose lines look like {"messages": [{"role": "user", "content": "..."}]}.',
  )
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/** The text of a row, or null when it has none. */
function documentOf(value: unknown, column: string | undefined): string | null {
  if (typeof value === 'string') return value
  const conversation = conversationOf(value)
  if (conversation) return conversation.map(({ content }) => content).join('\n\n')
  if (!isObject(value)) return null
  if (column !== undefined) return documentOf(value[column], undefined)
  for (const name of textNames) if (typeof value[name] === 'string') return value[name]
  if (typeof value.prefix === 'string' && typeof value.gold_completion === 'string') return value.prefix + value.gold_completion
  const texts = Object.values(value).filter((field) => typeof field === 'string')
  if (texts.length === 1) return texts[0]
  const name = chatNames.find((one) => conversationOf(value[one]))
  return name === undefined ? null : documentOf(value[name], undefined)
}

function chatOf(value: unknown, column: string | undefined, chat: ChatTemplate): string | null {
  const names = column === undefined ? chatNames : [column]
  const found = conversationOf(value) ?? names.map((name) => (isObject(value) ? conversationOf(value[name]) : null)).find(Boolean)
  return found ? chat(found) : null
}
