/** Finds the text of a row: which field has it, and how it is read. The same rules for JSON, tables and parquet. */
import { WorkbenchError } from '../errors.ts'
import type { Shape } from '../io/parquet.ts'
import { isObject } from '../io/json.ts'
import { exactJson } from '../io/values.ts'

/** The fields of a table's rows, in order. */
export type Fields = ReadonlyMap<string, Shape>

/** Where the text of a row is. */
export interface Choice {
  field: string
  /** A second field, whose text is appended directly to that of the first. */
  second?: string
}

/** Usual names of text fields. */
export const textNames = ['text', 'sentence', 'content', 'document', 'article', 'story']
export const chatNames = ['messages', 'conversations', 'conversation']
/** Fields that are strings but not text for a model. */
const labelWords =
  'id|idx|index|uuid|guid|key|hash|sha\\d*|md5|url|uri|link|source|origin|domain|lang|language|locale|license|date|time|timestamp|created|updated|label|category|split|model|path|file|filename|name|type|version'
const labels = new RegExp(`^(.*[_-])?(${labelWords})$|[a-z](Id|Url|Hash|Date|Name)$`)

/** Field names of a turn: the role, and what was said. */
const roleKeys = ['role', 'from']
const contentKeys = ['content', 'value']

/** Whether a name is a usual one for a column of texts, conversations or labels. */
export const isKnownName = (name: string) => textNames.includes(name) || chatNames.includes(name) || labels.test(name)

const isTurn = (members: readonly string[]) =>
  roleKeys.some((key) => members.includes(key)) && contentKeys.some((key) => members.includes(key))
const isConversation = ({ kind, members = [] }: Shape) => kind === 'objects' && isTurn(members)

/** Whether a top-level array of a JSON file contains rows; the turns of one conversation are one row. */
export const holdsRows = (first: unknown) => !(isObject(first) && isTurn(Object.keys(first)))

/** A list of objects as JSON, or as Python prints it. */
const listStart = /^\s*(?:array\(\s*)?\[\s*\{\s*["']/
const roleKey = new RegExp(`["'](${roleKeys.join('|')})["']\\s*:`)

/** The conversation that a string contains as JSON, as in tables, or why it cannot be read; null for other strings. */
export function writtenConversation(text: string): { turns: unknown[] } | { problem: string } | null {
  if (!listStart.test(text)) return null
  const turns = exactJson(text)
  if (Array.isArray(turns)) return isConversation(shapeOf(turns)) ? { turns } : null
  if (!roleKey.test(text.slice(0, 1 << 16))) return null
  const python = /^[^{]*\{\s*'/.test(text)
  return { problem: python ? 'a conversation as Python prints it, not as JSON' : 'a conversation in incomplete JSON' }
}

const notJsonHint = 'Write such conversations as JSON (in Python json.dumps), or the whole file as .jsonl or .parquet.'

/**
 * The value of a field; a conversation written as a JSON string is parsed. `row`: which row, as the start of a sentence.
 * @throws WorkbenchError `text-invalid` for a conversation in a string that is not JSON
 */
export function heard(value: unknown, row: string, field?: string): unknown {
  const written = typeof value === 'string' ? writtenConversation(value) : null
  if (!written) return value
  if ('turns' in written) return written.turns
  throw new WorkbenchError('text-invalid', `${subject(row, field)} contains ${written.problem}.`, notJsonHint)
}

/**
 * The shape of a field by its value: a JSON string of a conversation counts as a conversation, unless the field has the name of a text.
 */
export function shapeIn(field: string, value: unknown): Shape {
  if (typeof value === 'string' && !textNames.includes(field) && writtenConversation(value))
    return { kind: 'objects', members: [roleKeys[0], contentKeys[0]] }
  return shapeOf(value)
}

/** The shape of a JSON value; NaN is a missing value, as in pandas. */
export function shapeOf(value: unknown): Shape {
  if (value === null || value === undefined || Number.isNaN(value)) return { kind: 'nothing' }
  if (typeof value === 'string') return { kind: 'text' }
  if (typeof value === 'number' || typeof value === 'bigint') return { kind: 'number' }
  if (typeof value === 'boolean') return { kind: 'boolean' }
  if (!Array.isArray(value)) return { kind: 'object', members: isObject(value) ? Object.keys(value) : [] }
  const elements = value.filter((one) => one !== null && one !== undefined)
  if (!elements.length) return { kind: 'nothing' }
  if (elements.every((one) => typeof one === 'string')) return { kind: 'texts' }
  if (elements.every(isObject)) return { kind: 'objects', members: [...new Set(elements.flatMap((one) => Object.keys(one)))] }
  return { kind: 'list' }
}

/** The fields of some rows, each with the first shape found. */
export function fieldsOf(rows: readonly Record<string, unknown>[]): Fields {
  const fields = new Map<string, Shape>()
  for (const row of rows) {
    for (const [name, value] of Object.entries(row)) {
      const known = fields.get(name)
      if (!known || known.kind === 'nothing') fields.set(name, shapeIn(name, value))
    }
  }
  return fields
}

/**
 * The field with the text: a conversation, else a text with a usual name, else the only text there is; several candidates are an error.
 * @throws WorkbenchError `text-invalid` that lists the fields
 */
export function chooseField(name: string, fields: Fields, asked: string | undefined, chat: boolean): Choice {
  if (asked !== undefined) return { field: checked(name, fields, asked) }
  const plain = plainly(fields)
  const of = (is: (shape: Shape) => boolean) => [...fields].filter(([, shape]) => is(shape)).map(([field]) => field)
  const talks = of(isConversation)
  if (plain && (!chat || talks.includes(plain.field))) return plain
  if (talks.length > 1) throw unclear(name, 'several fields with conversations', talks)
  if (chat) throw new WorkbenchError('text-invalid', `${name} has no conversations; its fields are ${some([...fields.keys()])}.`, chatHint)
  const texts = of(({ kind }) => kind === 'text')
  const candidates = texts.filter((field) => !labels.test(field))
  if (candidates.length > 1) {
    throw unclear(name, 'several fields of text, and no column that is clearly the text', suggested(fields))
  }
  // A field with the name of a text, or a list, may be the text as well.
  const lists = of(({ kind }) => kind === 'texts' || kind === 'objects' || kind === 'list')
  const named = [...textNames, ...chatNames].find((one) => fields.has(one) && !['text', 'nothing'].includes(fields.get(one)!.kind))
  const other = named ?? (texts.length ? undefined : lists[0])
  if (other !== undefined) throw wrongKind(name, other, fields.get(other)!, suggested(fields))
  if (candidates.length === 1 && !lists.length) return { field: candidates[0] }
  throw unclear(name, 'no column that is clearly the text', suggested(fields), [...fields.keys()])
}

/** A conversation, or a text by its name. */
function plainly(fields: Fields): Choice | null {
  const talks = [...fields].filter(([, shape]) => isConversation(shape)).map(([field]) => field)
  const talk = chatNames.find((one) => talks.includes(one)) ?? (talks.length === 1 ? talks[0] : undefined)
  if (talk !== undefined) return { field: talk }
  if (talks.length) return null
  const holds = (field: string) => ['text', 'bytes'].includes(fields.get(field)?.kind ?? '')
  const text = textNames.find(holds)
  if (text !== undefined) return { field: text }
  return holds('prefix') && holds('gold_completion') ? { field: 'prefix', second: 'gold_completion' } : null
}

const usable = (shape: Shape) => shape.kind === 'text' || shape.kind === 'bytes' || isConversation(shape)

/** Columns that the user may have meant. */
const suggested = (fields: Fields) => [...fields].filter(([field, shape]) => usable(shape) && !labels.test(field)).map(([field]) => field)

function checked(name: string, fields: Fields, asked: string): string {
  const shape = fields.get(asked)
  const others = suggested(fields)
  if (!shape) throw unclear(name, `no column ${asked} of texts`, others, [...fields.keys()])
  if (shape.kind !== 'nothing' && !usable(shape)) throw wrongKind(name, asked, shape, others)
  return asked
}

/** Error: a chat template is on, but there are no conversations. */
export const chatHint =
  'Turn the chat template off (in the terminal leave out --chat-template), or choose a text whose rows look like {"messages": [{"role": "user", "content": "..."}]}.'

const kinds: Record<Shape['kind'], string> = {
  text: 'texts',
  bytes: 'bytes',
  number: 'numbers',
  boolean: 'true and false',
  texts: 'lists of texts',
  objects: 'lists of objects that are not conversations',
  object: 'objects',
  list: 'lists',
  nothing: 'nothing',
}

function wrongKind(name: string, field: string, shape: Shape, others: string[]): WorkbenchError {
  const inside = shape.members?.length ? ` (with ${some(shape.members)})` : ''
  return new WorkbenchError(
    'text-invalid',
    `The column ${field} of ${name} does not contain texts, but ${kinds[shape.kind]}${inside}.`,
    hintFor(others.filter((other) => other !== field)),
  )
}

function unclear(name: string, what: string, usable: string[], all: string[] = usable): WorkbenchError {
  const has = all.length ? `: it has ${some(all)}` : ''
  return new WorkbenchError('text-invalid', `${name} has ${what}${has}.`, hintFor(usable))
}

function hintFor(usable: string[]): string {
  return usable.length
    ? `Choose a column: ${some(usable)} (in the terminal, FILE:COLUMN).`
    : 'It has no column of texts or conversations; choose another file.'
}

function some(names: readonly string[]): string {
  return names.length > 12 ? `${names.slice(0, 12).join(', ')} and ${names.length - 12} more` : names.join(', ')
}

/** Where a row clearly has its text: a conversation, or a text with a usual name; null when it has neither. */
export function plainChoice(row: Record<string, unknown>): Choice | null {
  return plainly(fieldsOf([row]))
}

/**
 * The text of a row or of one of its fields: a string, or a conversation as its turns joined by an empty line; a missing value is an
 * empty text, as in datasets and pandas. `row`: which row, as the start of a sentence.
 * @throws WorkbenchError `text-invalid` that says what the value is instead
 */
export function textOf(given: unknown, row: string, field?: string): string {
  const value = field === undefined || textNames.includes(field) ? given : heard(given, row, field)
  if (typeof value === 'string') return value
  const shape = shapeOf(value)
  if (shape.kind === 'nothing') return ''
  if (isConversation(shape)) {
    const turns = (value as unknown[]).filter(isObject)
    const whose = (i: number) => `${row}: ${field === undefined ? `its turn ${i}` : `turn ${i} of its ${field}`}`
    return turns.map((turn, i) => contentOf(turn, whose(i + 1))).join('\n\n')
  }
  throw new WorkbenchError(
    'text-invalid',
    `${subject(row, field)} is not a text, but ${single[shape.kind]}.`,
    'A row looks like {"text": "..."} or {"messages": [{"role": "user", "content": "..."}]}; correct or remove this one.',
  )
}

/** A row or its field as the subject of a sentence. */
export const subject = (row: string, field?: string) => (field === undefined ? row : `${row}: its field ${field}`)

const single: Record<Shape['kind'], string> = {
  text: 'a text',
  bytes: 'bytes',
  number: 'a number',
  boolean: 'true or false',
  texts: 'a list of texts',
  objects: 'a list of objects that are not turns of a conversation',
  object: 'an object',
  list: 'a list',
  nothing: 'nothing',
}

/** The text of a turn; empty for one that only calls tools. */
function contentOf(turn: Record<string, unknown>, where: string): string {
  const content = contentKeys.map((key) => turn[key]).find((value) => shapeOf(value).kind !== 'nothing')
  const wrong = (why: string) =>
    new WorkbenchError('text-invalid', `${where} ${why}.`, 'Remove such conversations, or choose a data set of text only.')
  if (content === undefined) return ''
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) throw wrong(`has ${single[shapeOf(content).kind]} as its content`)
  return content
    .map((part) => {
      if (typeof part === 'string') return part
      const { type, text } = isObject(part) ? part : {}
      // When all parts have all fields, the text of an image is null.
      if (typeof text === 'string' && (type === undefined || type === null || /text/.test(String(type)))) return text
      throw wrong(
        `contains ${typeof type === 'string' ? `a part of the type “${type.slice(0, 40)}”` : 'a part without text'}, which is not text`,
      )
    })
    .join('')
}
