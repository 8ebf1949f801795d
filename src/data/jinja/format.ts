/** Python's string formatting: `format` and `%`. */
import { paid, pay, TemplateError, Unsupported } from './meter.ts'
import { exponential, fixed, floatRepr, general } from './numbers.ts'
import { between, hex, length, pad, strRepr } from './text.ts'
import { Dict, isInteger, isNumber, Markup, number, Range, repr, str, Tuple, typeName, Undefined, type Value } from './values.ts'

/** Largest width and precision, so that a template cannot fill the memory. */
const widest = 1 << 16

const size = (digits: string | undefined): number => {
  const value = Number(digits ?? 0)
  if (!(value <= widest)) throw new TemplateError(`a width of ${digits} is too large`)
  return value
}

// ---------------------------------------------------------------- format()

interface Spec {
  fill: string
  align: string
  sign: string
  alternate: boolean
  zero: boolean
  width: number
  grouping: string
  precision: number | null
  type: string
}

function readSpec(spec: string): Spec {
  const match = /^(?:(.)?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/su.exec(spec)
  if (!match) throw new TemplateError('Invalid format specifier')
  const [, fill, align = '', sign = '-', z, alternate, zero, width, grouping = '', precision, type = ''] = match
  if (z) throw new Unsupported('the format option z')
  return {
    fill: fill ?? (zero ? '0' : ' '),
    align: align || (zero ? '=' : ''),
    sign,
    alternate: Boolean(alternate),
    zero: Boolean(zero),
    width: size(width),
    grouping,
    precision: precision === undefined ? null : size(precision),
    type,
  }
}

/** As `format(value, spec)`. */
export function formatValue(value: Value, spec: string): string {
  if (value instanceof Markup) throw new Unsupported('the formatting of a text that was marked as safe')
  if (!spec) return str(value)
  if (typeof value === 'string') return formatString(value, readSpec(spec))
  if (typeof value === 'boolean' && !/[a-zA-Z%]$/.test(spec)) return formatInteger(BigInt(value), readSpec(spec))
  if (isInteger(value)) return formatInteger(BigInt(value), readSpec(spec))
  if (typeof value === 'number') return formatFloat(value, readSpec(spec))
  throw new TemplateError(`unsupported format string passed to ${typeName(value)}.__format__`)
}

function formatString(text: string, { fill, align, width, precision, type, sign, alternate, grouping, zero }: Spec): string {
  if ((type && type !== 's') || sign !== '-' || alternate || grouping || (align === '=' && !zero))
    throw new TemplateError('Unknown or misplaced format option for a string')
  const shown = precision === null ? text : between(text, 0, precision)
  // For strings, a 0 before the width pads on the right (Python 3.10 and later).
  return aligned('', shown, align === '=' ? '<' : align || '<', fill, width)
}

function aligned(sign: string, body: string, align: string, fill: string, width: number): string {
  if (align === '=') return paid(sign + pad(body, width - length(sign), 'left', fill))
  const whole = sign + body
  const missing = width - length(whole)
  if (missing <= 0) return whole
  const left = align === '>' ? missing : align === '^' ? Math.floor(missing / 2) : 0
  return paid(fill.repeat(left) + whole + fill.repeat(missing - left))
}

const bases: Record<string, number> = { b: 2, o: 8, x: 16, X: 16 }

function formatInteger(value: bigint, spec: Spec): string {
  const { type, alternate, precision } = spec
  if (type && 'eEfFgG%'.includes(type)) return formatFloat(Number(value), spec)
  if (precision !== null) throw new TemplateError('Precision not allowed in integer format specifier')
  if (type === 'n') throw new Unsupported('the format type n')
  const magnitude = value < 0n ? -value : value
  if (type === 'c') return aligned('', String.fromCodePoint(Number(value)), spec.align || '<', spec.fill, spec.width)
  if (type && type !== 'd' && !(type in bases)) throw new TemplateError(`Unknown format code '${type}' for object of type 'int'`)
  const base = bases[type] ?? 10
  if (spec.grouping === ',' && base !== 10) throw new TemplateError(`Cannot specify ',' with '${type}'.`)
  let digits = magnitude.toString(base)
  const prefix = alternate && base !== 10 ? `0${type}` : ''
  if (type === 'X') digits = digits.toUpperCase()
  return numeric(value < 0n, prefix, digits, '', spec, base === 10 ? 3 : 4)
}

function formatFloat(value: number, spec: Spec): string {
  const { type, alternate } = spec
  const digits = spec.precision ?? 6
  const magnitude = Math.abs(value)
  if (type === 'n') throw new Unsupported('the format type n')
  let text: string
  if (!type) text = spec.precision === null ? floatRepr(magnitude) : shortGeneral(magnitude, spec.precision)
  else if (type === 'e' || type === 'E') text = exponential(magnitude, digits)
  else if (type === 'f' || type === 'F') text = fixed(magnitude, digits)
  else if (type === 'g' || type === 'G') text = general(magnitude, digits, alternate)
  else if (type === '%') text = `${fixed(magnitude * 100, digits)}%`
  else throw new TemplateError(`Unknown format code '${type}' for object of type 'float'`)
  if (alternate && type !== 'g' && type !== 'G') throw new Unsupported('the format option # for a float')
  if (type === type.toUpperCase() && type !== '%' && type) text = text.toUpperCase()
  const [, whole, rest] = /^(\d*)(.*)$/s.exec(text)!
  return numeric(value < 0 || Object.is(value, -0), '', whole, rest, spec, 3)
}

/** Like `g`, but with at least one digit after the point, and an exponent one digit earlier. */
function shortGeneral(value: number, precision: number): string {
  const text = general(value, precision)
  if (!Number.isFinite(value) || /[.e]/.test(text)) return text
  return text.length >= Math.max(precision, 1) && value >= 1 ? exponentialOf(value, precision) : `${text}.0`
}

const exponentialOf = (value: number, precision: number) => {
  const [mantissa, exponent] = exponential(value, Math.max(precision - 1, 0)).split('e')
  return `${mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa}e${exponent}`
}

function numeric(isNegative: boolean, prefix: string, digits: string, rest: string, spec: Spec, group: number): string {
  const sign = (isNegative ? '-' : spec.sign === '-' ? '' : spec.sign) + prefix
  const { grouping, fill, width } = spec
  const align = spec.align || '>'
  let whole = digits
  if (grouping && digits) {
    // Padding zeros are grouped as well.
    const room = align === '=' && fill === '0' ? width - sign.length - rest.length : 0
    for (let filled = digits; ; filled = `0${filled}`) {
      whole = filled.replace(new RegExp(`\\B(?=(\\w{${group}})+$)`, 'g'), grouping)
      if (whole.length >= room) break
    }
  }
  return aligned(sign, whole + rest, align, fill, width)
}

// ---------------------------------------------------------------- %

/** As `template % values`. */
export function percent(template: string, values: Value): string {
  const list = values instanceof Tuple ? values.items : [values]
  let used = 0
  let byName = false
  const next = (): Value => {
    if (used >= list.length) throw new TemplateError('not enough arguments for format string')
    return list[used++]
  }
  const whole = (): number => {
    const value = next()
    if (!isInteger(value)) throw new TemplateError('* needs an int')
    return size(String(value).replace('-', ''))
  }
  const result = template.replace(
    /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?(.)?/gsu,
    (_, name, flags, width, precision, type) => {
      pay()
      if (type === undefined) throw new TemplateError('incomplete format')
      if (type === '%') {
        if (flags || width !== undefined || precision !== undefined) throw new Unsupported('%% with a width')
        return '%'
      }
      if (name !== undefined) {
        if (!(values instanceof Dict)) throw new TemplateError('format requires a mapping')
        byName = true
      }
      if (width === '*' || precision === '*') if (name !== undefined) throw new TemplateError('* with a name')
      const wide = width === '*' ? whole() : size(width)
      const digits = precision === undefined ? null : precision === '*' ? whole() : size(precision || '0')
      const found = name === undefined ? next() : (values as Dict).get(name)
      const value = found === undefined ? missing(name) : found
      return percentValue(value, type, flags, wide, digits)
    },
  )
  if (used < list.length && !byName && !(values instanceof Dict) && (values instanceof Tuple || used === 0)) {
    // As in Python, anything that can be subscripted counts as a mapping and may stay unused.
    const mapping = Array.isArray(values) || values instanceof Range || values instanceof Undefined
    if (!mapping) throw new TemplateError('not all arguments converted during string formatting')
  }
  return paid(result)
}

function missing(name: string): never {
  throw new TemplateError(`KeyError: ${strRepr(name)}`)
}

function percentValue(value: Value, type: string, flags: string, width: number, precision: number | null): string {
  const fill = flags.includes('0') && !flags.includes('-') ? '0' : ' '
  const align = flags.includes('-') ? '<' : fill === '0' ? '=' : '>'
  const sign = flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '-'
  const spec = { fill, align, sign, alternate: flags.includes('#'), zero: false, width, grouping: '', precision, type }
  if (type === 's' || type === 'r' || type === 'a') {
    if (value instanceof Markup) throw new Unsupported('% with a text that was marked as safe')
    const text = type === 's' ? str(value) : type === 'r' ? repr(value) : ascii(repr(value))
    return aligned('', precision === null ? text : between(text, 0, precision), flags.includes('-') ? '<' : '>', ' ', width)
  }
  if (type === 'c') {
    const text = isInteger(value) ? String.fromCodePoint(Number(value)) : typeof value === 'string' && length(value) === 1 ? value : null
    if (text === null) throw new TemplateError('%c requires int or char')
    return aligned('', text, flags.includes('-') ? '<' : '>', ' ', width)
  }
  if (!isNumber(value)) throw new TemplateError(`%${type} format: a real number is required, not ${typeName(value)}`)
  const exact = number(value)
  if ('eEfFgG'.includes(type)) return formatFloat(Number(exact), spec)
  if (!'diuxXo'.includes(type)) throw new TemplateError(`unsupported format character '${type}'`)
  if ('xXo'.includes(type) && typeof exact !== 'bigint') throw new TemplateError(`%${type} format: an integer is required, not float`)
  if (!Number.isFinite(Number(exact))) throw new TemplateError('cannot convert float infinity or NaN to integer')
  const integer = typeof exact === 'bigint' ? exact : BigInt(Math.trunc(exact))
  const kind = 'diu'.includes(type) ? 'd' : type
  if (precision === null) return formatInteger(integer, { ...spec, type: kind })
  const base = bases[kind] ?? 10
  const digits = (integer < 0n ? -integer : integer).toString(base).padStart(precision, '0')
  return numeric(integer < 0n, spec.alternate && base !== 10 ? `0${kind}` : '', kind === 'X' ? digits.toUpperCase() : digits, '', spec, 3)
}

/** `ascii()`: non-ASCII characters as escapes. */
export function ascii(text: string): string {
  return text.replace(/[^\0-\x7f]/gu, (one) => {
    const point = one.codePointAt(0)!
    return point < 0x100 ? `\\x${hex(point, 2)}` : point < 0x10000 ? `\\u${hex(point, 4)}` : `\\U${hex(point, 8)}`
  })
}
