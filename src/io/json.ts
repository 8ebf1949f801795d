/** Reads untrusted JSON: limited size and depth, strict UTF-8, and no silently dropped duplicate members. */
import { type ErrorCode, WorkbenchError } from '../errors.ts'
import { type Bytes, readRange } from './bytes.ts'
import { headBytes, insteadOf } from './kinds.ts'

export type JsonObject = Record<string, unknown>

export interface JsonRules {
  /** Bytes at most. */
  cap: number
  /** Error code when a rule is violated. */
  code: ErrorCode
  hint: string
  /** Reject an object with two members of one name; `JSON.parse` would silently keep the last. */
  unique?: boolean
}

/** Real files nest about five deep; recursive code downstream (zod, JSON.stringify) must not run out of stack. */
const maxDepth = 64

/** The object in a JSON file, with its text. */
export async function readJson(file: Bytes, name: string, rules: JsonRules): Promise<{ value: JsonObject; text: string }> {
  if (file.size > rules.cap) {
    throw new WorkbenchError(rules.code, `${name} has ${file.size} bytes; at most ${rules.cap} are allowed for this file.`, rules.hint)
  }
  const data = await readRange(file, 0, file.size, name)
  const instead = insteadOf(data.subarray(0, headBytes))
  if (instead) throw new WorkbenchError(rules.code, `${name} is ${instead.what}.`, instead.hint)
  return parseJson(data, name, rules)
}

export function parseJson(data: Uint8Array, name: string, rules: Omit<JsonRules, 'cap'>): { value: JsonObject; text: string } {
  let text: string
  let value: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(data)
    value = JSON.parse(text)
  } catch (cause) {
    const why = cause instanceof SyntaxError ? cause.message : 'it is not UTF-8 text'
    throw new WorkbenchError(rules.code, `${name} is not JSON: ${why}.`, rules.hint, { cause })
  }
  if (!isObject(value)) throw new WorkbenchError(rules.code, `${name} does not contain a JSON object.`, rules.hint)
  const { duplicate, depth } = outline(text)
  if (depth > maxDepth)
    throw new WorkbenchError(rules.code, `${name} is nested ${depth} levels deep; at most ${maxDepth} are allowed.`, rules.hint)
  if (rules.unique && duplicate !== null) throw new WorkbenchError(rules.code, `${name} contains the key "${duplicate}" twice.`, rules.hint)
  return { value, text }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * The same JSON text with top-level members replaced in place, or added at the end. All other text stays unchanged, since `JSON.parse`
 * would turn `10000.0` into `10000`, and strict readers distinguish the two.
 */
export function withMembers(text: string, changes: JsonObject): string {
  const { members } = outline(text)
  const edits = members
    .filter(({ key }) => Object.hasOwn(changes, key))
    .map(({ key, begin, end }) => ({ begin, end, text: print(changes[key]) }))
  const added = Object.keys(changes).filter((key) => !members.some((member) => member.key === key))
  if (added.length) {
    const at = members.at(-1)?.end ?? text.indexOf('{') + 1
    const lines = added.map((key) => `\n  ${JSON.stringify(key)}: ${print(changes[key])}`)
    const tail = members.length ? '' : '\n'
    edits.push({ begin: at, end: at, text: (members.length ? ',' : '') + lines.join(',') + tail })
  }
  let result = ''
  let at = 0
  for (const edit of edits) {
    result += text.slice(at, edit.begin) + edit.text
    at = edit.end
  }
  return result + text.slice(at)
}

function print(value: unknown): string {
  return JSON.stringify(value, null, 2).replaceAll('\n', '\n  ')
}

/**
 * One pass over JSON text that `JSON.parse` has accepted: top-level members with the positions of their values, the first duplicate key,
 * and the depth.
 */
function outline(text: string) {
  const members: { key: string; begin: number; end: number }[] = []
  const open: (Set<string> | null)[] = [] // member names per open object; null for an array
  let duplicate: string | null = null
  let depth = 0
  let wantsKey = false
  let last = 0 // just after the last character that is not white space
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (char === ' ' || char === '\n' || char === '\r' || char === '\t') continue
    const names = open.at(-1)
    if (char === '"') {
      let end = i + 1
      while (text[end] !== '"') end += text[end] === '\\' ? 2 : 1
      if (wantsKey && names) {
        const raw = text.slice(i, end + 1)
        const key: string = raw.includes('\\') ? JSON.parse(raw) : raw.slice(1, -1)
        if (names.has(key)) duplicate ??= key
        names.add(key)
        if (open.length === 1) members.push({ key, begin: -1, end: -1 })
        wantsKey = false
      } else if (open.length === 1) startValue(i)
      i = end
    } else if (char === '{' || char === '[') {
      if (open.length === 1) startValue(i)
      open.push(char === '{' ? new Set() : null)
      depth = Math.max(depth, open.length)
      wantsKey = char === '{'
    } else if (char === ',') {
      if (open.length === 1) endValue()
      wantsKey = names !== null
    } else if (char === '}' || char === ']') {
      if (open.length === 1) endValue()
      open.pop()
      wantsKey = false
    } else if (char !== ':' && open.length === 1) startValue(i)
    last = i + 1
  }
  return { members, duplicate, depth }

  function startValue(at: number) {
    const member = members.at(-1)
    if (member && member.begin < 0) member.begin = at
  }
  function endValue() {
    const member = members.at(-1)
    if (member && member.end < 0) member.end = last
  }
}
