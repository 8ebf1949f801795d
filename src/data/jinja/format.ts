/** Python's string formatting: `%`, `format`, `json.dumps` and `strftime`. */
import { exponential, fixed, floatRepr, general } from './numbers.ts'
import { between, hex, length, pad, strRepr } from './text.ts'
import {
  Dict,
  isInteger,
  isNumber,
  Markup,
  number,
  pay,
  paid,
  Range,
  repr,
  sorted,
  str,
  TemplateError,
  Tuple,
  typeName,
  Undefined,
  Unsupported,
  type Value,
} from './values.ts'

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

// ---------------------------------------------------------------- str.format

/** How dots and brackets of a field access a value. */
export interface Reach {
  attribute(value: Value, name: string): Value
  item(value: Value, key: Value): Value
}

/** As `str.format` under the sandbox. */
export function strFormat(template: string, positional: Value[], named: (name: string) => Value, reach: Reach): string {
  const counter = { next: 0 as number | 'manual' }
  return formatFields(template, 2, counter)

  function formatFields(text: string, depth: number, counter: { next: number | 'manual' }): string {
    if (depth < 0) throw new TemplateError('Max string recursion exceeded')
    let result = ''
    for (let at = 0; at < text.length; ) {
      const one = text[at]
      if (one !== '{' && one !== '}') {
        const next = /[{}]/.exec(text.slice(at))
        const end = next ? at + next.index : text.length
        result += text.slice(at, end)
        at = end
      } else if (text[at + 1] === one) {
        result += one
        at += 2
      } else if (one === '}') throw new TemplateError("Single '}' encountered in format string")
      else {
        const end = closing(text, at)
        result += formatField(text.slice(at + 1, end), depth, counter)
        at = end + 1
      }
      pay()
    }
    return paid(result)
  }

  function closing(text: string, start: number): number {
    let open = 0
    for (let i = start; i < text.length; i++) {
      if (text[i] === '[') {
        const end = text.indexOf(']', i)
        if (end > 0 && open === 1 && !text.slice(start, i).includes(':')) i = end
      } else if (text[i] === '{') open++
      else if (text[i] === '}' && --open === 0) return i
    }
    throw new TemplateError(start + 1 === text.length ? "Single '{' encountered in format string" : "expected '}' before end of string")
  }

  function formatField(field: string, depth: number, counter: { next: number | 'manual' }): string {
    const [, name, conversion, spec = ''] = /^((?:\[[^\]]*\]|[^!:[])*)(?:!([^:]*))?(?::(.*))?$/s.exec(field) ?? []
    if (name === undefined) throw new TemplateError('Replacement field cannot be read')
    let value = fieldValue(name, counter)
    if (conversion === 's') value = str(value)
    else if (conversion === 'r') value = repr(value)
    else if (conversion === 'a') value = ascii(repr(value))
    else if (conversion !== undefined) throw new TemplateError(`Unknown conversion specifier ${conversion}`)
    return formatValue(value, formatFields(spec, depth - 1, counter))
  }

  function fieldValue(name: string, counter: { next: number | 'manual' }): Value {
    const [, first, rest] = /^([^.[]*)(.*)$/s.exec(name)!
    let value: Value
    if (first === '' || /^\d+$/.test(first)) {
      const manual = first !== ''
      if (manual ? typeof counter.next === 'number' && counter.next > 0 : counter.next === 'manual')
        throw new TemplateError('cannot switch between automatic field numbering and manual field specification')
      const index = manual ? Number(first) : (counter.next as number)
      counter.next = manual ? 'manual' : index + 1
      if (index >= positional.length) throw new TemplateError(`Replacement index ${index} out of range for positional args tuple`)
      value = positional[index]
    } else value = named(first)
    for (const [step, attribute, item] of rest.matchAll(/\.([^.[]*)|\[([^\]]*)\]|./gs)) {
      if (attribute === undefined && item === undefined)
        throw new TemplateError(`Only '.' or '[' may follow ']' in format field specifier, not ${step}`)
      if (attribute === '' || item === '') throw new TemplateError('Empty attribute in format string')
      value = attribute === undefined ? reach.item(value, /^\d+$/.test(item) ? BigInt(item) : item) : reach.attribute(value, attribute)
    }
    return value
  }
}

/** `ascii()`: non-ASCII characters as escapes. */
function ascii(text: string): string {
  return text.replace(/[^\0-\x7f]/gu, (one) => {
    const point = one.codePointAt(0)!
    return point < 0x100 ? `\\x${hex(point, 2)}` : point < 0x10000 ? `\\u${hex(point, 4)}` : `\\U${hex(point, 8)}`
  })
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

// ---------------------------------------------------------------- JSON

export interface JsonOptions {
  ascii: boolean
  /** One level; null: all on one line. */
  indent: string | null
  separators: [item: string, key: string]
  sortKeys: boolean
}

/** As `json.dumps`. */
export function dumps(value: Value, options: JsonOptions, level = 0): string {
  pay()
  if (value === null) return 'null'
  if (typeof value === 'boolean') return String(value)
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number') return floatJson(value)
  if (typeof value === 'string') return paid(quoted(value, options.ascii))
  if (value instanceof Markup) return paid(quoted(value.text, options.ascii))
  const { indent, separators } = options
  const [item, colon] = separators
  const list = Array.isArray(value) ? value : value instanceof Tuple ? value.items : null
  if (!list && !(value instanceof Dict)) throw new TemplateError(`Object of type ${typeName(value)} is not JSON serializable`)
  const inner = list
    ? list.map((one) => dumps(one, options, level + 1))
    : entries(value as Dict, options.sortKeys).map(
        ([key, one]) => `${quoted(keyText(key), options.ascii)}${colon}${dumps(one, options, level + 1)}`,
      )
  const [open, close] = list ? '[]' : '{}'
  if (!inner.length) return open + close
  if (indent === null) return paid(open + inner.join(item) + close)
  const line = `\n${indent.repeat(level + 1)}`
  return paid(`${open}${line}${inner.join(item + line)}\n${indent.repeat(level)}${close}`)
}

function entries(dict: Dict, sort: boolean): [Value, Value][] {
  const all = [...dict.entries()]
  if (!sort) return all
  return sorted(
    all.map(([key, value]) => new Tuple([key, value])),
    (pair) => (pair as Tuple).items[0],
  ).map((pair) => (pair as Tuple).items as [Value, Value])
}

function keyText(key: Value): string {
  if (typeof key === 'string') return key
  if (key instanceof Markup) return key.text
  if (key === null || typeof key === 'boolean') return key === null ? 'null' : String(key)
  if (typeof key === 'bigint') return key.toString()
  if (typeof key === 'number') return floatJson(key)
  throw new TemplateError(`keys must be str, int, float, bool or None, not ${typeName(key)}`)
}

function floatJson(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  return Number.isFinite(value) ? floatRepr(value) : value > 0 ? 'Infinity' : '-Infinity'
}

const jsonEscapes: Record<string, string> = { '"': '\\"', '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\f': '\\f', '\b': '\\b' }

function quoted(text: string, ascii: boolean): string {
  const escapeOf = (unit: string) => jsonEscapes[unit] ?? `\\u${hex(unit.charCodeAt(0), 4)}`
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what JSON escapes
  return `"${text.replace(ascii ? /["\\]|[^ -~]/g : /[\0-\x1f"\\]/g, escapeOf)}"`
}

// ---------------------------------------------------------------- strftime

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const months = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December']

/** As `datetime.strftime` in the C locale, at midnight of that day. */
export function strftime(format: string, year: number, month: number, day: number): string {
  const date = new Date(Date.UTC(year, month - 1, day))
  const weekday = date.getUTCDay()
  const ofYear = Math.round((date.getTime() - Date.UTC(year, 0, 1)) / 86_400_000) + 1
  const monday = (weekday + 6) % 7
  const thursday = new Date(Date.UTC(year, month - 1, day - monday + 3))
  const isoYear = thursday.getUTCFullYear()
  const isoWeek = Math.floor((thursday.getTime() - Date.UTC(isoYear, 0, 1)) / 86_400_000 / 7) + 1
  // A number with width and padding, or a text.
  const parts: Record<string, [number, number, string?] | string> = {
    a: days[weekday].slice(0, 3),
    A: days[weekday],
    b: months[month - 1].slice(0, 3),
    h: months[month - 1].slice(0, 3),
    B: months[month - 1],
    d: [day, 2],
    e: [day, 2, ' '],
    m: [month, 2],
    y: [year % 100, 2],
    Y: [year, 1],
    C: [Math.floor(year / 100), 2],
    j: [ofYear, 3],
    H: [0, 2],
    I: [12, 2],
    k: [0, 2, ' '],
    l: [12, 2, ' '],
    M: [0, 2],
    S: [0, 2],
    f: '000000',
    p: 'AM',
    P: 'am',
    Z: '',
    z: '',
    u: [monday + 1, 1],
    w: [weekday, 1],
    G: [isoYear, 1],
    g: [isoYear % 100, 2],
    V: [isoWeek, 2],
    U: [Math.floor((ofYear + 6 - weekday) / 7), 2],
    W: [Math.floor((ofYear + 6 - monday) / 7), 2],
    n: '\n',
    t: '\t',
    '%': '%',
  }
  const whole: Record<string, string> = {
    c: '%a %b %e %H:%M:%S %Y',
    x: '%m/%d/%y',
    X: '%H:%M:%S',
    D: '%m/%d/%y',
    F: '%Y-%m-%d',
    T: '%H:%M:%S',
    R: '%H:%M',
    r: '%I:%M:%S %p',
  }
  return paid(
    format.replace(/%([-_0^]?)(.?)/gsu, (found, flag: string, letter: string) => {
      if (whole[letter] && !flag) return strftime(whole[letter], year, month, day)
      const part = parts[letter]
      if (part === undefined || (typeof part === 'string' && flag && flag !== '^')) throw new Unsupported(`strftime_now with ${found}`)
      if (typeof part === 'string') return flag ? part.toUpperCase() : part
      const [value, width, fill = '0'] = part
      return flag === '-' ? String(value) : String(value).padStart(width, flag === '_' ? ' ' : flag === '0' ? '0' : fill)
    }),
  )
}
