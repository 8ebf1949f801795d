/** Streams the documents of a text: plain text, JSON, tables and parquet, compressed or not; no more is read than is used. */
import { WorkbenchError } from '../errors.ts'
import type { Bytes } from '../io/bytes.ts'
import { isObject } from '../io/json.ts'
import { lines } from '../io/lines.ts'
import { openParquet, type Parquet } from '../io/parquet.ts'
import { jsonValues } from '../io/values.ts'
import { type ChatTemplate, conversationOf, unusualRoles } from './chat.ts'
import { openPart, type Part } from './forms.ts'
import {
  type Choice,
  chatHint,
  chatNames,
  chooseField,
  type Fields,
  fieldsOf,
  heard,
  holdsRows,
  plainChoice,
  shapeIn,
  shapeOf,
  subject,
  textOf,
} from './rows.ts'
import { doubtfulHeader, tableFields, tableRows } from './table.ts'
import { maxText, type TextFacts } from './text-facts.ts'

export interface Text {
  /** Its files, in order. The format of each is recognized by its first bytes; for tables as text (.csv, .tsv) the name counts. */
  parts: { name: string; bytes: Bytes }[]
  /** Field or column with the text; detected when not given. */
  column?: string
  /** What is written between documents. */
  join: string
  /** Most documents to read. */
  most?: number
  /** Each line of a plain text is a document; otherwise the whole text is one. */
  perLine?: boolean
  /** Remarks that the user should see before the text is used. */
  warning?: string
}

export const fileText = (name: string, bytes: Bytes): Text => ({ parts: [{ name, bytes }], join: '\n\n' })

/** Characters of `TextFacts.start`. */
const startLength = 60

/**
 * A text as one string, its documents joined. `cut`: it was cut off after `maxText` characters.
 * @throws WorkbenchError `text-invalid`, `text-short` when there is nothing in it
 */
export async function readText(text: Text, chat: ChatTemplate | null = null): Promise<{ text: string; cut: boolean; facts: TextFacts }> {
  const pieces: string[] = []
  let length = 0
  let cut = false
  const facts = noFacts(text)
  for await (const piece of joined(text, chat, facts)) {
    if (length === maxText && piece) cut = true
    if (cut) break
    pieces.push(piece.slice(0, maxText - length))
    length += pieces.at(-1)!.length
    if (pieces.at(-1)!.length < piece.length) cut = true
  }
  const whole = pieces.join('')
  if (!whole.trim()) throw empty(text, facts)
  facts.start ||= beginning(whole)
  return { text: whole, cut, facts }
}

/** Rows that are checked before a file is accepted; errors in later rows are reported when they are read. */
const triedRows = 10_000

/**
 * Checks that a file can be used as a text, with any of its columns.
 * @throws WorkbenchError `text-invalid`, `text-short` when there is nothing in it
 */
export async function tryText(name: string, bytes: Bytes): Promise<void> {
  const text = fileText(name, bytes)
  const part = await openPart(name, bytes)
  if (part.form === 'plain text') await readText(text)
  else if (part.form === 'parquet table') await (part.table ?? openParquet(bytes, name))
  else {
    let rows = 0
    for await (const _ of part.form === 'JSON rows' ? jsonRows(name, part.text) : cells(name, part.text)) if (++rows === triedRows) break
    if (!rows) throw empty(text, noFacts(text))
  }
}

/** Facts of a text that has not been read yet. */
export const noFacts = ({ parts, warning }: Text = { parts: [], join: '' }): TextFacts => ({
  files: parts.map(({ name }) => name),
  form: '',
  column: null,
  rows: 0,
  blank: 0,
  start: '',
  ...(warning !== undefined && { warning }),
})

function empty({ parts, column }: Text, { rows, form }: TextFacts): WorkbenchError {
  const name = parts[0]?.name ?? 'The text'
  const where = column === undefined ? '' : ` in its column ${column}`
  const count = rows > 1 ? `${rows} rows, all of them empty` : 'one row, which is empty'
  const what = `${name} has no text${where}: ${form === 'plain text' || !rows ? 'it is empty' : count}`
  return new WorkbenchError('text-short', `${what}.`, 'Choose a text of at least a few hundred words.')
}

const beginning = (text: string) =>
  text
    .slice(0, 40 * startLength)
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, startLength)

async function* joined(text: Text, chat: ChatTemplate | null, facts: TextFacts): AsyncGenerator<string> {
  const { parts } = text
  const only = parts.length === 1 ? await openPart(parts[0].name, parts[0].bytes) : undefined
  if (only?.form === 'plain text' && !chat) {
    note(facts, only)
    facts.rows = 1
    yield* only.text
    return
  }
  // Rendered conversations already end with their own tokens.
  const join = chat ? '' : text.join
  let first = true
  for await (const document of documentsFrom(text, chat, facts, only)) {
    if (!first) yield join
    yield document
    first = false
  }
}

/** The documents of a text, one by one; with a template, each has to be a conversation. `facts`: filled in while reading. */
export function documents(text: Text, chat: ChatTemplate | null = null, facts = noFacts(text)): AsyncGenerator<string> {
  return documentsFrom(text, chat, facts)
}

async function* documentsFrom(text: Text, chat: ChatTemplate | null, facts: TextFacts, first?: Part): AsyncGenerator<string> {
  let left = text.most ?? Number.POSITIVE_INFINITY
  // The column found in the first file is used for the others.
  let { column } = text
  let part = first
  for (const { name, bytes } of text.parts) {
    part ??= await openPart(name, bytes)
    for await (const document of documentsOf(part, { ...text, column }, chat, facts)) {
      if (left-- <= 0) return
      facts.rows++
      if (!document.trim()) facts.blank++
      else facts.start ||= beginning(document)
      yield document
    }
    column ??= facts.column ?? undefined
    part = undefined
  }
}

function note(facts: TextFacts, { form, packed }: Part): void {
  facts.form = packed ? `${form}, compressed with ${packed}` : form
}

async function* documentsOf(part: Part, { column, perLine }: Text, chat: ChatTemplate | null, facts: TextFacts): AsyncGenerator<string> {
  const { name, bytes, form, text, table } = part
  note(facts, part)
  if (form === 'plain text') {
    if (chat) throw noConversation(`${name} is plain text and`)
    yield* plainDocuments(part, perLine)
  } else if (form === 'parquet table') yield* columnDocuments(name, table ?? (await openParquet(bytes, name)), column, chat, facts)
  else if (form === 'JSON rows') yield* rowDocuments(name, jsonRows(name, text), column, chat, facts, fieldsOf)
  else yield* rowDocuments(name, cells(name, text), column, chat, facts, tableFields)
}

async function* plainDocuments({ name, text }: Part, perLine = false): AsyncGenerator<string> {
  if (perLine) {
    for await (const { line } of lines(text, name)) if (line.trim()) yield line
    return
  }
  let whole = ''
  for await (const piece of text) {
    whole += piece
    if (whole.length > maxText) break
  }
  yield whole
}

// ---------------------------------------------------------------- rows

interface Row {
  value: unknown
  /** Which row of which file, as the start of a sentence. */
  where: string
}

/** Rows that are inspected to decide which field is the text. */
const lookedAt = 64

async function* jsonRows(name: string, text: AsyncIterable<string>): AsyncGenerator<Row> {
  for await (const { value, line } of jsonValues(text, name, holdsRows)) yield { value, where: `Line ${line} of ${name}` }
}

async function* cells(name: string, text: AsyncIterable<string>): AsyncGenerator<Row> {
  for await (const { value, row } of tableRows(text, name)) yield { value, where: `Row ${row} of ${name}` }
}

async function* rowDocuments(
  name: string,
  rows: AsyncGenerator<Row>,
  column: string | undefined,
  chat: ChatTemplate | null,
  facts: TextFacts,
  fields: (rows: Record<string, unknown>[]) => Fields,
): AsyncGenerator<string> {
  let first: Row[] = []
  let ended = false
  try {
    while (first.length < lookedAt && !ended) {
      const { value, done } = await rows.next()
      if (done) ended = true
      else first.push(value)
    }
    const below = ended && first.length === 1 ? rowsBelow(first[0], column) : null
    if (below) first = below
    if (fields === tableFields) noteHeader(first, facts)
    const choice = choiceOf(name, first, column, chat, fields)
    const taken = new Set<string>()
    const read = (row: Row) => {
      const { text, field } = documentOf(row, choice, column === undefined, chat && { template: chat, facts })
      if (field !== null && !taken.has(field)) facts.column = [...taken.add(field)].join(', ')
      return text
    }
    for (const row of first) yield read(row)
    if (ended) return
    for await (const row of rows) yield read(row)
  } finally {
    await rows.return(undefined)
  }
}

/** Usual names of lists of rows. */
const listNames = ['data', 'rows', 'examples', 'instances', 'items', 'records', 'samples', 'train', 'validation', 'test']

/** A single object may contain the rows in its only list, as {"version": …, "data": […]} does. */
function rowsBelow({ value, where }: Row, column: string | undefined): Row[] | null {
  if (!isObject(value) || column !== undefined || plainChoice(value)) return null
  const lists = Object.entries(value).filter(([, field]) => ['objects', 'texts'].includes(shapeOf(field).kind))
  if (lists.length !== 1) return null
  const [[field, rows]] = lists as [string, unknown[]][]
  if (!listNames.includes(field) && !rows.some((row) => isObject(row) && plainChoice(row))) return null
  return (rows as unknown[]).map((row, i) => ({ value: row, where: `${where}: row ${i + 1} of its ${field}` }))
}

/** A first row that is probably data, not column names. */
function noteHeader(rows: Row[], facts: TextFacts): void {
  const names = Object.keys(isObject(rows[0]?.value) ? rows[0].value : {})
  if (doubtfulHeader(names)) facts.header = beginning(names.join(', '))
}

/** The fields of the first rows; null when no row is an object, so that each is itself a text. */
function choiceOf(
  name: string,
  rows: Row[],
  column: string | undefined,
  chat: ChatTemplate | null,
  fields: (rows: Record<string, unknown>[]) => Fields,
): Choice | null {
  const objects = rows.map(({ value }) => value).filter(isObject)
  if (objects.length) return chooseField(name, fields(objects), column, chat !== null)
  if (column === undefined || !rows.length) return null
  throw new WorkbenchError('text-invalid', `${name} has no columns: its rows are texts.`, 'Leave the column out.')
}

/** The text of a row and its field. If no field was requested, a row without the common field may have its text in another usual field. */
function documentOf(
  { value, where }: Row,
  choice: Choice | null,
  free: boolean,
  chat: Chat | null,
): { text: string; field: string | null } {
  const read = (one: unknown, field?: string) => (chat ? chatOf(one, chat, where, field) : textOf(one, where, field))
  if (!isObject(value)) {
    if (value === null) throw new WorkbenchError('text-invalid', `${where} is null, not a text.`, 'Remove that row.')
    return { text: read(value), field: null }
  }
  const own = free && (!choice || value[choice.field] === undefined) ? plainChoice(value) : null
  const chosen = own ?? choice
  if (!chosen) {
    const columns = Object.keys(value).slice(0, 12).join(', ') || 'no field'
    throw new WorkbenchError(
      'text-invalid',
      `${where} has no text: it has ${columns}.`,
      'All rows have to have their text in the same field.',
    )
  }
  const { field, second } = chosen
  const text = read(value[field], field)
  if (chat) noteBeside(chat.facts, value)
  return {
    text: second === undefined ? text : text + textOf(value[second], where, second),
    field: value[field] === undefined ? null : field,
  }
}

async function* columnDocuments(
  name: string,
  file: Parquet,
  column: string | undefined,
  chat: ChatTemplate | null,
  facts: TextFacts,
): AsyncGenerator<string> {
  const { field, second } = chooseField(name, await columnFields(file), column, chat !== null)
  facts.column = field
  const others = chat ? file.columns.filter((one) => besides.includes(one.name)) : []
  let row = 0
  for (const group of file.groups.keys()) {
    const values = await file.read(group, field)
    const more = second === undefined ? null : await file.read(group, second)
    const beside: [string, unknown[]][] = []
    for (const other of others) beside.push([other.name, await file.read(group, other.name)])
    for (const [i, value] of values.entries()) {
      const where = `Row ${++row} of ${name}`
      if (chat) {
        noteBeside(facts, Object.fromEntries(beside.map(([other, all]) => [other, all[i]])))
        yield chatOf(value, { template: chat, facts }, where, field)
      } else yield textOf(value, where, field) + (more ? textOf(more[i], where, second) : '')
    }
  }
}

/** The columns of a table; a column of texts or JSON with the name of a conversation is inspected. */
async function columnFields(file: Parquet): Promise<Fields> {
  const fields = new Map(file.columns.map((one) => [one.name, one]))
  for (const one of file.columns) {
    if (!['text', 'object'].includes(one.kind) || one.members || !chatNames.includes(one.name)) continue
    const group = file.groups.findIndex((rows) => rows > 0)
    const values = group < 0 ? [] : await file.read(group, one.name)
    const first = values.find((value) => value !== null && value !== undefined)
    const shape = shapeIn(one.name, first)
    if (shape.kind === 'objects') fields.set(one.name, { ...one, ...shape })
  }
  return fields
}

// ---------------------------------------------------------------- conversations

interface Chat {
  template: ChatTemplate
  facts: TextFacts
}

/** Fields next to a conversation that belong to it; they are not passed to the template. */
const besides = ['tools', 'functions', 'documents', 'system', 'system_prompt']

function noteBeside(facts: TextFacts, row: Record<string, unknown>): void {
  for (const field of besides) {
    const value = row[field]
    const nothing = typeof value === 'string' ? /^\s*(\[\s*\]|\{\s*\}|null)?\s*$/.test(value) : shapeOf(value).kind === 'nothing'
    if (nothing) continue
    facts.beside ??= {}
    facts.beside[field] = (facts.beside[field] ?? 0) + 1
  }
}

/** Most roles that are reported, and most characters of each. */
const mostRoles = 8
const roleLength = 40

/** An empty row is skipped. */
function chatOf(given: unknown, { template, facts }: Chat, row: string, field?: string): string {
  const value = heard(given, row, field)
  if (shapeOf(value).kind === 'nothing' || (typeof value === 'string' && !value.trim())) return ''
  const where = subject(row, field)
  const found = conversationOf(value)
  if (!found) throw noConversation(where)
  const others = unusualRoles(found).map((role) => role.slice(0, roleLength))
  if (others.length) facts.roles = [...new Set([...(facts.roles ?? []), ...others])].slice(0, mostRoles)
  return template(found, where)
}

function noConversation(where: string): WorkbenchError {
  return new WorkbenchError('text-invalid', `${where} is not a conversation, so the chat template cannot be applied to it.`, chatHint)
}
