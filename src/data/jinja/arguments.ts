import { TemplateError, Unsupported } from './meter.ts'
import { type Args, isInteger, truth, Markup, typeName, Undefined, undefinedError, type Value } from './values.ts'

/** Binds arguments to parameter names, as Python does. @throws TemplateError for too many, too few, unknown ones */
export function bind(what: string, parameters: string[], { positional, named }: Args, needed = 0): (Value | undefined)[] {
  if (positional.length > parameters.length)
    throw new TemplateError(`${what} takes at most ${parameters.length} arguments (${positional.length} given)`)
  const values: (Value | undefined)[] = parameters.map((_, i) => positional[i])
  for (const [name, value] of named) {
    const at = parameters.indexOf(name)
    if (at < 0) throw new TemplateError(`${what} got an unexpected keyword argument '${name}'`)
    if (values[at] !== undefined) throw new TemplateError(`${what} got multiple values for argument '${name}'`)
    values[at] = value
  }
  const absent = parameters.slice(0, needed).find((_, i) => values[i] === undefined)
  if (absent !== undefined) throw new TemplateError(`${what} missing required argument '${absent}'`)
  return values
}

export function integer(value: Value, what: string): number {
  if (value instanceof Undefined) throw undefinedError(value)
  if (!isInteger(value)) throw new TemplateError(`${what}: '${typeName(value)}' object cannot be interpreted as an integer`)
  return Number(value)
}

export function string(value: Value, what: string): string {
  if (typeof value === 'string') return value
  if (value instanceof Markup) throw new Unsupported(`${what} with a text that was marked as safe`)
  throw new TemplateError(`${what} takes a str, not ${typeName(value)}`)
}

/** Whether an argument was given, and is not None. */
export const given = (value: Value | undefined): value is Exclude<Value, null> => value !== undefined && value !== null
/** The truth of an argument; `otherwise` where it was not given. */
export const flag = (value: Value | undefined, otherwise = false) => (value === undefined ? otherwise : truth(value))
