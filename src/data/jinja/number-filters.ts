/** Filters that make a number. */
import { bind, integer } from './arguments.ts'
import { TemplateError } from './meter.ts'
import { parseFloatText, parseInteger, roundFloat, roundInt } from './numbers.ts'
import { type Args, isInteger, isNumber, Markup, number, typeName, Undefined, undefinedError, type Value } from './values.ts'

/** `float(value)`; null when that raises an error. */
export function toFloat(value: Value): number | null {
  if (value instanceof Undefined) throw undefinedError(value)
  if (isNumber(value)) return Number(number(value))
  if (value instanceof Markup) return parseFloatText(value.text)
  return typeof value === 'string' ? parseFloatText(value) : null
}

export function toInt(value: Value, args: Args): Value {
  const [otherwise = 0n, base = 10n] = bind('int', ['default', 'base'], args)
  const exact = typeof value === 'string' ? parseInteger(value, integer(base, 'int')) : isInteger(value) ? BigInt(value) : null
  if (exact !== null) return exact
  if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY)
    throw new TemplateError('cannot convert float infinity to integer')
  const float = toFloat(value)
  return float === null || !Number.isFinite(float) ? otherwise : BigInt(Math.trunc(float))
}

export function rounded(value: Value, args: Args): Value {
  const [precision = 0n, method = 'common'] = bind('round', ['precision', 'method'], args)
  if (method !== 'common' && method !== 'ceil' && method !== 'floor') throw new TemplateError('method must be common, ceil or floor')
  if (!isNumber(value)) {
    if (value instanceof Undefined) throw new TemplateError('Undefined cannot be rounded')
    throw new TemplateError(`type ${typeName(value)} doesn't define __round__ method`)
  }
  const digits = precision === null ? 0 : integer(precision, 'round')
  const exact = number(value)
  if (method === 'common') {
    // `round(x, None)` returns an int.
    if (typeof exact === 'bigint') return roundInt(exact, digits)
    return precision === null ? BigInt(roundFloat(exact, 0)) : roundFloat(exact, digits)
  }
  const scale = 10 ** digits
  return (Math[method](Number(exact) * scale) + 0) / scale
}

export function absolute(value: Value): Value {
  if (!isNumber(value)) throw new TemplateError(`bad operand type for abs(): '${typeName(value)}'`)
  const exact = number(value)
  return typeof exact === 'bigint' ? (exact < 0n ? -exact : exact) : Math.abs(exact)
}
