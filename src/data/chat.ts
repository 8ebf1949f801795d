/** Conversations as text: by the model's own chat template, or plainly. */
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja'
import { WorkbenchError } from '../errors.ts'
import { type Files, readRange } from '../io/bytes.ts'
import { isObject, type JsonObject, readJson } from '../io/json.ts'

export interface Message {
  role: string
  content: string
}

/** @throws WorkbenchError `text-invalid` for a conversation that the template refuses */
export type ChatTemplate = (messages: Message[]) => string

/** Long templates with tools take about 20 kB. */
const maxTemplateBytes = 1 << 20
const maxConfigBytes = 16 << 20
const hint = 'Turn the chat template off, or download the tokenizer files again.'

/**
 * The chat template beside a tokenizer: chat_template.jinja, or the one in tokenizer_config.json; null where there is
 * none. @throws WorkbenchError `tokenizer-invalid` for one that cannot be read
 */
export async function loadChatTemplate(files: Files): Promise<ChatTemplate | null> {
  const configFile = files.get('tokenizer_config.json')
  const config: JsonObject = configFile
    ? (await readJson(configFile, 'tokenizer_config.json', { cap: maxConfigBytes, code: 'tokenizer-invalid', hint })).value
    : {}
  const own = files.get('chat_template.jinja')
  const name = own ? 'chat_template.jinja' : 'tokenizer_config.json'
  const source = own ? await readSource(own, name) : inConfig(config.chat_template)
  if (source === null) return null
  const invalid = (cause: unknown) =>
    new WorkbenchError('tokenizer-invalid', `The chat template in ${name} cannot be used: ${wordsOf(cause)}.`, hint, { cause })
  if (source.length > maxTemplateBytes) throw invalid(new Error(`it has ${source.length} characters`))
  let template: ReturnType<typeof parse>
  try {
    template = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }))
  } catch (cause) {
    throw invalid(cause)
  }
  const special = Object.fromEntries(['bos_token', 'eos_token', 'unk_token', 'pad_token'].map((key) => [key, tokenOf(config[key])]))
  return (messages) => {
    try {
      return render(template, { ...special, messages, add_generation_prompt: false })
    } catch (cause) {
      const why = `The chat template of the model refuses a conversation: ${wordsOf(cause)}.`
      throw new WorkbenchError('text-invalid', why, 'Turn the chat template off, or remove that conversation.', { cause })
    }
  }
}

/** Numbers that one rendering may count through: a stranger's template must not count for ever. */
const mostCounted = 100_000

/** As transformers renders, but without the date of today, so that the same text comes out tomorrow. */
function render(template: ReturnType<typeof parse>, values: Record<string, unknown>): string {
  let counted = 0
  const range = (start: number, stop?: number, step = 1): number[] => {
    const [from, to] = stop === undefined ? [0, start] : [start, stop]
    const length = Math.max(0, Math.ceil((to - from) / step))
    counted += length
    if (!(counted <= mostCounted)) throw new Error(`it counts through more than ${mostCounted} numbers`)
    return Array.from({ length }, (_, i) => from + i * step)
  }
  const raise = (message: unknown) => {
    throw new Error(String(message))
  }
  const constants = { true: true, false: false, none: null, True: true, False: false, None: null }
  const environment = new Environment()
  for (const [name, value] of Object.entries({ ...constants, range, raise_exception: raise, ...values })) environment.set(name, value)
  return String(new Interpreter(environment).run(template).value)
}

async function readSource(file: Parameters<typeof readRange>[0], name: string): Promise<string> {
  return new TextDecoder().decode(await readRange(file, 0, Math.min(file.size, maxTemplateBytes + 1), name))
}

/** A string, or several with names, of which `default` counts. */
function inConfig(value: unknown): string | null {
  if (typeof value === 'string') return value
  if (!Array.isArray(value)) return null
  const named = value.filter(isObject)
  const chosen = named.find(({ name }) => name === 'default') ?? named[0]
  return typeof chosen?.template === 'string' ? chosen.template : null
}

function tokenOf(value: unknown): string | null {
  if (typeof value === 'string') return value
  return isObject(value) && typeof value.content === 'string' ? value.content : null
}

function wordsOf(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).replace(/\.$/, '')
}

/**
 * A list of messages in one of the two usual forms, `role` and `content` or `from` and `value`; null for anything else.
 * Content in parts is put together from its texts.
 */
export function conversationOf(value: unknown): Message[] | null {
  if (!Array.isArray(value) || !value.length) return null
  const messages: Message[] = []
  for (const one of value) {
    if (!isObject(one)) return null
    const role = one.role ?? one.from
    const content = contentOf(one.content ?? one.value)
    if (typeof role !== 'string' || content === null) return null
    messages.push({ role: roles[role] ?? role, content })
  }
  return messages
}

const roles: Record<string, string> = { human: 'user', gpt: 'assistant', bot: 'assistant' }

function contentOf(value: unknown): string | null {
  if (typeof value === 'string') return value
  if (!Array.isArray(value)) return null
  const parts = value.map((part) => (isObject(part) && typeof part.text === 'string' ? part.text : null))
  return parts.includes(null) ? null : parts.join('')
}
