/** As Python's `json.dumps` writes values. */
import { paid, pay, TemplateError } from './meter.ts'
import { floatRepr } from './numbers.ts'
import { hex } from './text.ts'
import { Dict, Markup, sorted, Tuple, typeName, type Value } from './values.ts'

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
