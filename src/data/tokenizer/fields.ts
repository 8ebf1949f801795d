/** Reads the components of a tokenizer.json; a component with an unknown field or value is refused by name. */
import { WorkbenchError } from '../../errors.ts'
import { isObject, type JsonObject } from '../../io/json.ts'

const brokenHint =
  'Save the tokenizer again with transformers, AutoTokenizer.from_pretrained(folder).save_pretrained(folder), or use the files of another copy of the model.'
const unknownHint =
  'The file is valid, but the workbench accepts only tokenizers whose ids it reproduces exactly. Use a model with another tokenizer, or report this one.'

/** The error for a tokenizer.json that is invalid, or contradicts itself or the files next to it. */
export function invalid(why: string, cause?: unknown): WorkbenchError {
  return new WorkbenchError('tokenizer-invalid', `tokenizer.json cannot be used: ${why}.`, brokenHint, { cause })
}

/** The error for a valid tokenizer.json with an unsupported feature. */
export function unsupported(what: string, file = 'tokenizer.json'): WorkbenchError {
  return new WorkbenchError('tokenizer-invalid', `${file} cannot be used: ${what}, which is not supported.`, unknownHint)
}

/** A value as in the file, shortened for a sentence. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 60 ? `${text.slice(0, 57)}…` : text
}

/** The component at a path of the file, with its type. @throws WorkbenchError `tokenizer-invalid` when it is not one */
export function componentOf(value: unknown, place: string): { component: JsonObject; type: string } {
  if (!isObject(value)) throw invalid(`its ${place} is ${shown(value)}`)
  if (typeof value.type !== 'string') throw invalid(`its ${place} has the type ${shown(value.type)}`)
  return { component: value, type: value.type }
}

/** What a field may be: a test, and the default. */
export interface Field<T> {
  fits(value: unknown): value is T
  /** Without it the field is required. */
  otherwise?: T
}

const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean'
const isString = (value: unknown): value is string => typeof value === 'string'

export const flag = (otherwise?: boolean): Field<boolean> => ({ fits: isBoolean, otherwise })
export const text = (otherwise?: string): Field<string> => ({ fits: isString, otherwise })
export const textOrNull: Field<string | null> = {
  fits: (value): value is string | null => value === null || isString(value),
  otherwise: null,
}
export const oneOf = <T extends string>(values: readonly T[], otherwise?: T): Field<T> => ({
  fits: (value): value is T => values.includes(value as T),
  otherwise,
})
/** A single character. */
export const character = (): Field<string> => ({ fits: (value): value is string => isString(value) && Array.from(value).length === 1 })
export const positive: Field<number> = {
  fits: (value): value is number => Number.isInteger(value) && (value as number) > 0 && (value as number) < 1000,
}
export const anything: Field<unknown> = { fits: (value): value is unknown => value !== undefined, otherwise: null }
export const list: Field<unknown[]> = { fits: Array.isArray }
export const object: Field<JsonObject> = { fits: isObject }

/** Most characters of a replacement: real ones have one or two, and each character of a text may be replaced. */
const maxInserted = 64

/** A replacement text, limited so that a text cannot grow a thousandfold. */
export const inserted: Field<string> = {
  fits: (value): value is string => {
    if (isString(value) && value.length <= maxInserted) return true
    throw invalid(`it inserts ${JSON.stringify(value)?.slice(0, 40)} into the text, where at most ${maxInserted} characters are allowed`)
  },
}

/** Limits the growth of a text over all steps together. */
export function checkGrowth(before: number, after: number): void {
  if (after > 64 * before + 1024) throw invalid(`its steps turn ${before} characters into ${after}`)
}

type Values<F> = { [K in keyof F]: F[K] extends Field<infer T> ? T : never }

/**
 * The fields of a component, each checked.
 * @throws WorkbenchError `tokenizer-invalid` that names an unknown field or value
 */
export function fieldsOf<F extends Record<string, Field<unknown>>>(component: JsonObject, name: string, fields: F): Values<F> {
  for (const key in component) {
    if (key !== 'type' && !Object.hasOwn(fields, key)) throw unsupported(`${name} has the field ${shown(key)}`)
  }
  const values: Record<string, unknown> = {}
  for (const [key, { fits, otherwise }] of Object.entries(fields)) {
    const value = Object.hasOwn(component, key) ? component[key] : otherwise
    if (value === undefined) throw invalid(`${name} lacks the field ${key}`)
    if (value !== otherwise && !fits(value)) throw unsupported(`${name} has ${key} ${shown(value)}`)
    values[key] = value
  }
  return values as Values<F>
}
