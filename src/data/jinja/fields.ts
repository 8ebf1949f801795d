/** Python's `str.format`. */
import { ascii, formatValue } from './format.ts'
import { paid, pay, TemplateError } from './meter.ts'
import { repr, str, type Value } from './values.ts'

/** How dots and brackets of a field access a value. */
export interface Reach {
  attribute(value: Value, name: string): Value
  item(value: Value, key: Value): Value
}

/** As `str.format` under the sandbox. */
export function strFormat(template: string, positional: Value[], named: (name: string) => Value, reach: Reach): string {
  return new Fields(positional, named, reach).formatFields(template, 2)
}

class Fields {
  /** Of the fields without a number, the next. */
  #next: number | 'manual' = 0

  constructor(
    readonly positional: Value[],
    readonly named: (name: string) => Value,
    readonly reach: Reach,
  ) {}

  formatFields(text: string, depth: number): string {
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
        const end = this.#closing(text, at)
        result += this.#formatField(text.slice(at + 1, end), depth)
        at = end + 1
      }
      pay()
    }
    return paid(result)
  }

  #closing(text: string, start: number): number {
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

  #formatField(field: string, depth: number): string {
    const [, name, conversion, spec = ''] = /^((?:\[[^\]]*\]|[^!:[])*)(?:!([^:]*))?(?::(.*))?$/s.exec(field) ?? []
    if (name === undefined) throw new TemplateError('Replacement field cannot be read')
    let value = this.#fieldValue(name)
    if (conversion === 's') value = str(value)
    else if (conversion === 'r') value = repr(value)
    else if (conversion === 'a') value = ascii(repr(value))
    else if (conversion !== undefined) throw new TemplateError(`Unknown conversion specifier ${conversion}`)
    return formatValue(value, this.formatFields(spec, depth - 1))
  }

  #fieldValue(name: string): Value {
    const [, first, rest] = /^([^.[]*)(.*)$/s.exec(name)!
    let value: Value
    if (first === '' || /^\d+$/.test(first)) {
      const manual = first !== ''
      if (manual ? typeof this.#next === 'number' && this.#next > 0 : this.#next === 'manual')
        throw new TemplateError('cannot switch between automatic field numbering and manual field specification')
      const index = manual ? Number(first) : (this.#next as number)
      this.#next = manual ? 'manual' : index + 1
      if (index >= this.positional.length) throw new TemplateError(`Replacement index ${index} out of range for positional args tuple`)
      value = this.positional[index]
    } else value = this.named(first)
    for (const [step, attribute, item] of rest.matchAll(/\.([^.[]*)|\[([^\]]*)\]|./gs)) {
      if (attribute === undefined && item === undefined)
        throw new TemplateError(`Only '.' or '[' may follow ']' in format field specifier, not ${step}`)
      if (attribute === '' || item === '') throw new TemplateError('Empty attribute in format string')
      value =
        attribute === undefined ? this.reach.item(value, /^\d+$/.test(item) ? BigInt(item) : item) : this.reach.attribute(value, attribute)
    }
    return value
  }
}
