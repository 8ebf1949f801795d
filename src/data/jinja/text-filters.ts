/** Filters that make a text. */
import * as text from './text.ts'
import { bind, integer, flag, given } from './arguments.ts'
import { percent } from './format.ts'
import { dumps } from './json.ts'
import { paid, payFor, TemplateError, Unsupported } from './meter.ts'
import { fixed } from './numbers.ts'
import { escaped } from './operations.ts'
import { type Args, Dict, isIterable, iterate, len, Markup, str, Tuple, typeName, Undefined, undefinedError, type Value } from './values.ts'
import { dictOf } from './sequence-filters.ts'
import { toFloat } from './number-filters.ts'

/** `soft_str`, for filters that make a new text. */
export function plainText(value: Value, name: string): string {
  if (value instanceof Markup) throw new Unsupported(`the filter ${name} on a text that was marked as safe`)
  return str(value)
}

export function indented(value: Value, args: Args): Value {
  const [width = 4n, first, blank] = bind('indent', ['width', 'first', 'blank'], args)
  if (value instanceof Undefined) throw undefinedError(value)
  if (typeof value !== 'string') {
    if (value instanceof Markup) throw new Unsupported('the filter indent on a text that was marked as safe')
    throw new TemplateError(`indent needs a str, not ${typeName(value)}`)
  }
  const step = typeof width === 'string' ? width : ' '.repeat(Math.max(0, Math.min(integer(width, 'indent'), 1 << 16)))
  const lines = text.splitLines(`${value}\n`)
  payFor(value.length + lines.length * step.length)
  const shown = flag(blank) ? lines.join(`\n${step}`) : lines.map((line, i) => (i && line ? step + line : line)).join('\n')
  return flag(first) ? step + shown : shown
}

export function truncated(value: Value, args: Args): Value {
  const [size = 255n, kill, end = '...', leeway] = bind('truncate', ['length', 'killwords', 'end', 'leeway'], args)
  const most = integer(size, 'truncate')
  const ending = str(end)
  const slack = given(leeway) ? integer(leeway, 'truncate') : 5
  const room = most - text.length(ending)
  if (room < 0) throw new TemplateError(`expected length >= ${text.length(ending)}, got ${most}`)
  if (slack < 0) throw new TemplateError(`expected leeway >= 0, got ${slack}`)
  if (len(value) <= most + slack) return value
  if (value instanceof Markup) throw new Unsupported('the filter truncate on a text that was marked as safe')
  if (typeof value !== 'string') throw new TemplateError(`truncate needs a str, not ${typeName(value)}`)
  const cut = text.between(value, 0, room)
  return flag(kill) ? cut + ending : text.rsplit(cut, ' ', 1)[0] + ending
}

/** Starts of words by the characters before them, unlike `str.title`. */
export function titled(value: Value): Value {
  const parts = plainText(value, 'title').split(new RegExp(`([-${text.whiteSpace.source.slice(1, -1)}({[<]+)`))
  return parts
    .map((part) => {
      const [head = ''] = text.points(part)
      return text.upper(head) + text.lower(part.slice(head.length))
    })
    .join('')
}

function urlQuoted(value: Value, forQuery = false): string {
  const bytes = new TextEncoder().encode(str(value))
  const safe = forQuery ? /[\w.~-]/ : /[\w.~/-]/
  const quoted = Array.from(bytes, (byte) => {
    const sign = String.fromCharCode(byte)
    return byte < 0x80 && safe.test(sign) ? sign : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }).join('')
  return paid(forQuery ? quoted.replaceAll('%20', '+') : quoted)
}

export function urlEncoded(value: Value): Value {
  if (typeof value === 'string' || value instanceof Markup || !isIterable(value)) return urlQuoted(value)
  const pairs = value instanceof Dict ? [...value.entries()] : Array.from(iterate(value), (pair) => [...iterate(pair)])
  return pairs
    .map((pair) => {
      if (pair.length !== 2) throw new TemplateError('urlencode needs pairs')
      return pair.map((one) => urlQuoted(one, true)).join('=')
    })
    .join('&')
}

export function fileSize(value: Value, args: Args): Value {
  const [binary] = bind('filesizeformat', ['binary'], args)
  const bytes = toFloat(value)
  if (bytes === null) throw new TemplateError('filesizeformat needs a number')
  const base = flag(binary) ? 1024 : 1000
  if (bytes === 1) return '1 Byte'
  if (bytes < base) return `${Math.trunc(bytes)} Bytes`
  const prefixes = 'kMGTPEZY'
  for (let i = 0; ; i++) {
    const unit = base ** (i + 2)
    if (bytes < unit || i === prefixes.length - 1) {
      const letter = flag(binary) ? `${prefixes[i].toUpperCase()}iB` : `${prefixes[i]}B`
      return `${fixed((base * bytes) / unit, 1)} ${letter}`
    }
  }
}

export function attributes(value: Value, args: Args): Value {
  const [space] = bind('xmlattr', ['autospace'], args)
  const items: string[] = []
  for (const [key, one] of dictOf(value, 'xmlattr').entries()) {
    if (one === null || one instanceof Undefined) continue
    if (typeof key !== 'string' || /[\t-\r />=]/.test(key)) throw new TemplateError(`Invalid character in attribute name: ${str(key)}`)
    items.push(`${escaped(key).text}="${escaped(one).text}"`)
  }
  return paid((items.length && flag(space, true) ? ' ' : '') + items.join(' '))
}

export function toJson(value: Value, args: Args): Value {
  const [ascii, indent, separators, sortKeys] = bind('tojson', ['ensure_ascii', 'indent', 'separators', 'sort_keys'], args)
  const step = !given(indent)
    ? null
    : typeof indent === 'string'
      ? indent
      : ' '.repeat(Math.max(0, Math.min(integer(indent, 'indent'), 1024)))
  const pair = given(separators) ? [...iterate(separators)].map(str) : [step === null ? ', ' : ',', ': ']
  if (pair.length !== 2) throw new TemplateError('separators have to be two texts')
  return dumps(value, { ascii: flag(ascii), indent: step, separators: [pair[0], pair[1]], sortKeys: flag(sortKeys) })
}

export function centered(value: Value, width: Value | undefined): Value {
  const columns = width === undefined ? 80 : integer(width, 'center')
  payFor(columns)
  return text.pad(plainText(value, 'center'), columns, 'both')
}

export function formatted(value: Value, { positional, named }: Args): Value {
  if (positional.length && named.size) throw new TemplateError("can't handle positional and keyword arguments at the same time")
  return percent(plainText(value, 'format'), named.size ? Dict.of(named) : new Tuple(positional))
}

export function wordCount(value: string): Value {
  return BigInt(value.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)
}
