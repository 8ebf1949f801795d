/** Python's operators on template values. */
import { percent } from './format.ts'
import { paid, pay, payFor, TemplateError, Unsupported } from './meter.ts'
import { contains, defined, equal, isInteger, isNumber, less, Markup, number, str, Tuple, typeName, type Value } from './values.ts'

/** As `markupsafe.escape`. */
export function escaped(value: Value): Markup {
  if (value instanceof Markup) return value
  const signs: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&#39;', '"': '&#34;' }
  return new Markup(paid(str(value).replace(/[&<>'"]/g, (sign) => signs[sign])))
}

export function binary(sign: string, a: Value, b: Value): Value {
  if (sign === '%' && typeof a === 'string') return percent(a, b)
  if (sign === '%' && a instanceof Markup) throw new Unsupported('% on a text that was marked as safe')
  const [left, right] = [defined(a), defined(b)]
  if (isNumber(left) && isNumber(right)) return arithmetic(sign, number(left), number(right))
  if (sign === '+') return add(left, right)
  if (sign === '*') {
    if (isInteger(right)) return repeat(left, Number(right))
    if (isInteger(left)) return repeat(right, Number(left))
  }
  if (left instanceof Markup || right instanceof Markup) throw new Unsupported(`'${sign}' with a text that was marked as safe`)
  return unsupported(sign, left, right)
}

function unsupported(sign: string, a: Value, b: Value): never {
  throw new TemplateError(`unsupported operand types for ${sign}: '${typeName(a)}' and '${typeName(b)}'`)
}

function add(a: Value, b: Value): Value {
  if (a instanceof Markup || b instanceof Markup) {
    if (!isText(a) || !isText(b)) return unsupported('+', a, b)
    return new Markup(paid(escaped(a).text + escaped(b).text))
  }
  if (typeof a === 'string' && typeof b === 'string') return paid(a + b)
  if (Array.isArray(a) && Array.isArray(b)) return joined(a, b)
  if (a instanceof Tuple && b instanceof Tuple) return new Tuple(joined(a.items, b.items))
  if (typeof a === 'string') throw new TemplateError(`can only concatenate str (not "${typeName(b)}") to str`)
  return unsupported('+', a, b)
}

const isText = (value: Value) => typeof value === 'string' || value instanceof Markup

function joined(a: Value[], b: Value[]): Value[] {
  pay(a.length + b.length)
  return [...a, ...b]
}

function repeat(value: Value, times: number): Value {
  const most = Math.max(0, times)
  if (typeof value === 'string') {
    payFor(value.length * most)
    return value.repeat(most)
  }
  if (value instanceof Markup) return new Markup(repeat(value.text, times) as string)
  const items = Array.isArray(value) ? value : value instanceof Tuple ? value.items : null
  if (!items) return unsupported('*', value, times)
  pay(items.length * most)
  const repeated = Array.from({ length: items.length ? most : 0 }, () => items).flat()
  return Array.isArray(value) ? repeated : new Tuple(repeated)
}

/** Python, too, refuses to print longer integers. */
const largest = 10n ** 4300n

function arithmetic(sign: string, a: bigint | number, b: bigint | number): Value {
  if (typeof a === 'bigint' && typeof b === 'bigint') {
    const result = integers(sign, a, b)
    if (typeof result === 'bigint' && (result >= largest || result <= -largest))
      throw new TemplateError('a number has more than 4300 digits')
    return result
  }
  const [x, y] = [toFloat(a), toFloat(b)]
  if (sign === '+') return x + y
  if (sign === '-') return x - y
  if (sign === '*') return x * y
  if (sign === '**') return power(x, y)
  if (y === 0) throw new TemplateError('division by zero')
  if (sign === '/') return x / y
  return divideFloats(x, y)[sign === '//' ? 0 : 1]
}

function toFloat(value: bigint | number): number {
  const float = Number(value)
  if (typeof value === 'bigint' && !Number.isFinite(float)) throw new TemplateError('int too large to convert to float')
  return float
}

function integers(sign: string, a: bigint, b: bigint): bigint | number {
  if (sign === '+') return a + b
  if (sign === '-') return a - b
  if (sign === '*') return a * b
  if (sign === '**') {
    if (b < 0n) return power(toFloat(a), toFloat(b))
    if (a * a > 1n && b > 14_300n) throw new TemplateError('a number has more than 4300 digits')
    return a ** b
  }
  if (b === 0n) throw new TemplateError('division by zero')
  if (sign === '/') {
    if ([a, b].some((one) => BigInt.asIntN(54, one) !== one)) throw new Unsupported('the division of integers beyond 2^53')
    return Number(a) / Number(b)
  }
  const rest = a % b
  const wraps = rest !== 0n && rest < 0n !== b < 0n
  if (sign === '//') return a / b - (wraps ? 1n : 0n)
  return wraps ? rest + b : rest
}

function power(a: number, b: number): number {
  if (a === 0 && b < 0) throw new TemplateError('0.0 cannot be raised to a negative power')
  if (a < 0 && !Number.isInteger(b) && Number.isFinite(b)) throw new Unsupported('complex numbers')
  if (a === 1 || b === 0) return 1
  if (b === 0.5 && a >= 0) return Math.sqrt(a)
  const result = b < 0 && Number.isInteger(b) ? 1 / a ** -b : a ** b
  // JavaScript guarantees only a neighbour of the correct result, except that integers are exact.
  const exact = Number.isInteger(a) && Number.isInteger(b) && (b < 0 ? a ** -b : result)
  if (exact === false || Math.abs(exact) > 2 ** 53) throw new Unsupported('the power of such floats')
  return result
}

/** Quotient and remainder of floats, rounded down. */
function divideFloats(a: number, b: number): [number, number] {
  let rest = a % b
  if (Number.isNaN(rest)) return [rest, rest]
  let quotient = (a - rest) / b
  if (rest) {
    if (b < 0 !== rest < 0) {
      rest += b
      quotient -= 1
    }
  } else rest = b < 0 ? -0 : 0
  if (!quotient) return [a / b < 0 || Object.is(a / b, -0) ? -0 : 0, rest]
  const floor = Math.floor(quotient)
  return [quotient - floor > 0.5 ? floor + 1 : floor, rest]
}

export function unary(sign: string, value: Value): Value {
  const operand = defined(value)
  if (!isNumber(operand)) throw new TemplateError(`bad operand type for unary ${sign}: '${typeName(operand)}'`)
  const exact = number(operand)
  return sign === '-' ? -exact : exact
}

export function compare(sign: string, a: Value, b: Value): boolean {
  switch (sign) {
    case '==':
      return equal(a, b)
    case '!=':
      return !equal(a, b)
    case '<':
      return less(a, b)
    case '<=':
      return less(a, b, true)
    case '>':
      return less(b, a)
    case '>=':
      return less(b, a, true)
    case 'in':
      return contains(b, a)
    default:
      return !contains(b, a)
  }
}
