/** Renders conversations as text with the model's own chat template. */
import { WorkbenchError } from '../errors.ts'
import { type Bytes, type Files, readRange } from '../io/bytes.ts'
import { isObject, type JsonObject, readJson } from '../io/json.ts'
import { type Day, Raised, Template, TemplateError } from './jinja/template.ts'
import { Dict, type Value } from './jinja/values.ts'
import { specialTokens } from './special.ts'

/** One turn, with all fields that the data set gives. */
export interface Message {
  role: string
  content?: unknown
  [field: string]: unknown
}

/**
 * `where`: which conversation, as the start of a sentence.
 * @throws WorkbenchError `text-invalid` for a conversation that the template rejects, and for a template that fails
 */
export type ChatTemplate = (messages: Message[], where: string) => string

export interface ChatTemplateFile {
  /** Whether the text depends on the date passed to `on`. */
  usesDate: boolean
  /** @param date as `2026-11-30` */
  on(date: string): ChatTemplate
}

/** Long templates with tools take about 20 kB. */
const maxTemplateBytes = 1 << 20
const maxConfigBytes = 64 << 20
const hint = 'Turn the chat template off, or correct the template.'

/**
 * The chat template beside a tokenizer, as transformers chooses it: chat_template.jinja (and chat_templates/*.jinja with their
 * names), else the one in tokenizer_config.json, else chat_template.json; null where there is none.
 * @throws WorkbenchError `tokenizer-invalid` for one that cannot be read, and for several of which none is the default
 */
export async function loadChatTemplate(files: Files): Promise<ChatTemplateFile | null> {
  const config = (await jsonFile(files, 'tokenizer_config.json')) ?? {}
  const found = await chosenSource(files, config)
  if (!found) return null
  const { source, name } = found
  const invalid = (cause: unknown) =>
    new WorkbenchError('tokenizer-invalid', `The chat template in ${name} cannot be used: ${wordsOf(cause)}.`, hint, { cause })
  if (source.length > maxTemplateBytes) throw invalid(new Error(`it is ${source.length} characters long`))
  let template: Template
  try {
    template = new Template(source)
  } catch (cause) {
    throw invalid(cause)
  }
  const tokens = specialTokens({
    config,
    map: await jsonFile(files, 'special_tokens_map.json'),
    tokenizer: await jsonFile(files, 'tokenizer.json'),
    modelType: (await jsonFile(files, 'config.json'))?.model_type,
  })
  const fixed: [string, Value][] = [...tokens, ['tools', null], ['documents', null], ['add_generation_prompt', false]]
  const render = (messages: Message[], where: string, day: Day) => {
    try {
      return template.render(new Map([...fixed, ['messages', normalized(messages)]]), day)
    } catch (cause) {
      if (!(cause instanceof TemplateError)) throw cause
      throw failure(cause, where)
    }
  }
  return {
    usesDate: template.names.has('strftime_now'),
    on: (date) => {
      const day = dayOf(date)
      return (messages, where) => render(messages, where, day)
    },
  }
}

/** A message that no template could render. */
class Unfit extends TemplateError {}

/** An error as a fault of one conversation or of the template itself. */
function failure(cause: TemplateError, where: string): WorkbenchError {
  const why = wordsOf(cause)
  const [message, advice] =
    cause instanceof Raised
      ? [
          `${where}: the model's chat template rejects the conversation: ${why}.`,
          'Turn the chat template off, or remove that conversation.',
        ]
      : cause instanceof Unfit
        ? [`${where}: a chat template cannot render the conversation: ${why}.`, 'Turn the chat template off, or remove that conversation.']
        : [`The chat template of the model cannot be used: ${why}. It failed for: ${where}.`, hint]
  return new WorkbenchError('text-invalid', message, advice, { cause })
}

/** @throws WorkbenchError `option-invalid` for what is not a calendar date */
export function dayOf(date: string): Day {
  const [, year, month, day] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(date)?.map(Number) ?? []
  const parsed = new Date(Date.UTC(year, month - 1, day))
  if (!(parsed.getUTCMonth() === month - 1 && parsed.getUTCDate() === day && year >= 1000))
    throw new WorkbenchError(
      'option-invalid',
      `The date has to look like 2026-11-30, not "${date}".`,
      'Write year, month and day in digits.',
    )
  return { year, month, day }
}

async function jsonFile(files: Files, name: string): Promise<JsonObject | null> {
  const file = files.get(name)
  return file ? (await readJson(file, name, { cap: maxConfigBytes, code: 'tokenizer-invalid', hint })).value : null
}

// ---------------------------------------------------------------- which template

/** The source of the template that `loadChatTemplate` takes. @throws WorkbenchError `tokenizer-invalid` likewise */
export async function chatTemplateSource(files: Files): Promise<string | null> {
  return (await chosenSource(files, (await jsonFile(files, 'tokenizer_config.json')) ?? {}))?.source ?? null
}

interface Source {
  source: string
  /** Name of the file. */
  name: string
}

async function chosenSource(files: Files, config: JsonObject): Promise<Source | null> {
  const single = 'chat_template.jinja'
  const own = files.get(single)
  if (own) return { source: await readSource(own, single), name: single }
  const others = [...files.keys()].flatMap((path) => /^chat_templates\/([^/]+)\.jinja$/.exec(path)?.[1] ?? [])
  if (others.length) {
    if (!others.includes('default')) throw withoutDefault('chat_templates', others)
    const name = 'chat_templates/default.jinja'
    return { source: await readSource(files.get(name)!, name), name }
  }
  const name = 'tokenizer_config.json'
  const inConfig = named(config.chat_template, name)
  if (inConfig !== null) return { source: inConfig, name }
  const legacy = 'chat_template.json'
  const beside = named((await jsonFile(files, legacy))?.chat_template, legacy)
  return beside === null ? null : { source: beside, name: legacy }
}

async function readSource(file: Bytes, name: string): Promise<string> {
  const bytes = await readRange(file, 0, Math.min(file.size, maxTemplateBytes + 1), name)
  try {
    // As in transformers, a byte order mark is a character of the template.
    return new TextDecoder('utf-8', { fatal: file.size <= maxTemplateBytes, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new WorkbenchError('tokenizer-invalid', `The chat template in ${name} is not UTF-8 text.`, hint, { cause })
  }
}

/** The template, or the default one of several named ones. */
function named(value: unknown, file: string): string | null {
  if (value === undefined || value === null) return null
  if (typeof value === 'string') return value
  const several = Array.isArray(value)
    ? value.map((one) => (isObject(one) ? [one.name, one.template] : []))
    : isObject(value)
      ? Object.entries(value)
      : null
  if (!several?.every(([name, template]) => typeof name === 'string' && typeof template === 'string'))
    throw new WorkbenchError('tokenizer-invalid', `The chat_template of ${file} is neither a text nor a list of named texts.`, hint)
  const found = several.findLast(([name]) => name === 'default')
  if (!found) {
    throw withoutDefault(
      file,
      several.map(([name]) => String(name)),
    )
  }
  return found[1] as string
}

function withoutDefault(where: string, names: string[]): WorkbenchError {
  return new WorkbenchError(
    'tokenizer-invalid',
    `${where} contains several chat templates (${names.toSorted().join(', ').slice(0, 200)}), and none of them is called default.`,
    'Put the template that is meant into chat_template.jinja, or turn the chat template off.',
  )
}

function wordsOf(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).replace(/\.$/, '')
}

// ---------------------------------------------------------------- conversations

/**
 * A list of messages in one of the two usual forms: `role` and `content` (or `tool_calls`), or `from` and `value`, whose roles have other
 * names. Other fields are kept. Null for anything else.
 */
export function conversationOf(value: unknown): Message[] | null {
  if (!Array.isArray(value) || !value.length) return null
  const messages = value.map(messageOf)
  return messages.includes(null) ? null : (messages as Message[])
}

/** Role names of ShareGPT and similar formats, mapped to those that templates read; tool calls are turns of the assistant. */
const roles = new Map(
  Object.entries({
    user: ['human', 'prompter'],
    assistant: ['gpt', 'chatgpt', 'bot', 'model', 'function_call', 'tool_call'],
    tool: ['observation', 'function_response', 'tool_response', 'function'],
  }).flatMap(([role, others]) => others.map((other) => [other, role] as const)),
)

/** Roles that templates know; they often ignore others. */
const usualRoles = ['system', 'developer', 'user', 'assistant', 'tool']

/** Unusual roles in a conversation. */
export function unusualRoles(messages: readonly Message[]): string[] {
  return messages.map(({ role }) => role).filter((role) => !usualRoles.includes(role))
}

function messageOf(one: unknown): Message | null {
  if (!isObject(one)) return null
  if (typeof one.role === 'string') return one.content === undefined && one.tool_calls === undefined ? null : (one as Message)
  if (typeof one.from !== 'string' || (one.value === undefined && one.content === undefined)) return null
  const { from, value, content = value, role: _, ...others } = one
  return { role: roles.get(one.from) ?? one.from, content, ...others }
}

/** Field names of a message's reasoning; the first is the one that templates read. */
const reasoningFields = ['reasoning_content', 'thinking', 'reasoning']

/** A message as transformers passes it on: without null fields, and with the reasoning under the names that templates read. */
function normalized(messages: Message[]): Value {
  return messages.map((message) => {
    const fields = new Map<string, unknown>(Object.entries(message).filter(([, value]) => value !== null && value !== undefined))
    const reasoning = reasoningFields.map((name) => fields.get(name)).find((value) => value !== undefined)
    const all = reasoning === undefined ? fields : new Map([['thinking', reasoning], ...fields, ['reasoning_content', reasoning]])
    checkParts(fields.get('content'))
    return Dict.of(Array.from(all, ([name, value]): [Value, Value] => [name, pythonValue(value, 1)]))
  })
}

/** Parts that are not text would leave only a placeholder in the result. */
function checkParts(content: unknown): void {
  if (!Array.isArray(content)) return
  const other = content.find((part) => isObject(part) && /image|audio|video|file/i.test(String(part.type)))
  if (other) throw new Unfit(`it contains a part of the type ${(other as JsonObject).type}, which is not text`)
}

const deepest = 64

/** Converts a value of JSON or parquet, with integers as bigint, to a Python value. @throws Unfit for one without a Python equivalent */
function pythonValue(value: unknown, depth: number): Value {
  if (depth > deepest) throw new Unfit(`a message is nested more than ${deepest} levels deep`)
  if (value === null || value === undefined) return null
  if (['string', 'boolean', 'bigint', 'number'].includes(typeof value)) return value as Value
  if (Array.isArray(value)) return value.map((one) => pythonValue(one, depth + 1))
  if (isObject(value) && (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null))
    return Dict.of(Object.entries(value).map(([name, one]): [Value, Value] => [name, pythonValue(one, depth + 1)]))
  throw new Unfit(`a message contains a ${(value as object).constructor?.name ?? typeof value}, which no template reads`)
}
