/** Filters on sequences and mappings, and the attributes of their items by which they go. */
import * as text from './text.ts'
import { bind, flag, given } from './arguments.ts'
import { itemOf } from './access.ts'
import { paid, pay, payFor, TemplateError, Unsupported } from './meter.ts'
import { parseInteger } from './numbers.ts'
import { binary } from './operations.ts'
import {
  type Args,
  Dict,
  equal,
  hashOf,
  Instance,
  isIterable,
  Iter,
  iterate,
  lazily,
  Markup,
  sorted,
  str,
  truth,
  Tuple,
  typeName,
  Undefined,
  undefinedError,
  type Value,
} from './values.ts'
import { applyTest } from './tests.ts'

export type Filter = (value: Value, args: Args) => Value

export type Get = (item: Value) => Value

/** An attribute by path, `a.b.0`; the item itself when there is no path. */
export function getter(attribute: Value | undefined, postprocess: Get = (value) => value, otherwise: Value | undefined = null): Get {
  const steps: Value[] = !given(attribute)
    ? []
    : typeof attribute === 'string'
      ? attribute.split('.').map((step) => (text.is.digit(step) ? (parseInteger(step) ?? step) : step))
      : [attribute]
  return (item) => {
    let value = item
    for (const step of steps) {
      value = itemOf(value, step)
      if (given(otherwise) && value instanceof Undefined) value = otherwise
    }
    return postprocess(value)
  }
}

const lowered: Get = (value) => (typeof value === 'string' ? paid(text.lower(value)) : value)
export const casing = (sensitive: Value | undefined): Get | undefined => (flag(sensitive) ? undefined : lowered)

/** Several attributes, separated by commas. */
export function getters(attribute: Value | undefined, postprocess: Get | undefined): Get {
  const all = typeof attribute === 'string' ? attribute.split(',').map((one) => getter(one, postprocess)) : [getter(attribute, postprocess)]
  return (item) => all.map((get) => get(item))
}

export function selecting(wanted: boolean, byAttribute: boolean): Filter {
  return (value, { positional, named }) => {
    function* chosen(): Generator<Value, undefined> {
      if (!truth(value)) return
      const [attribute, ...after] = byAttribute ? positional : [null, ...positional]
      if (byAttribute && !positional.length) throw new TemplateError('Missing parameter for attribute name')
      const get = byAttribute ? getter(attribute) : (item: Value) => item
      const [name, ...others] = after
      const test = name === undefined ? truth : (item: Value) => applyTest(str(name), item, { positional: others, named })
      for (const item of iterate(value)) if (test(get(item)) === wanted) yield item
    }
    return lazily(chosen())
  }
}

export function* batches(value: Value, size: number, fill: Value | undefined): Generator<Value, undefined> {
  let batch: Value[] = []
  for (const item of iterate(value)) {
    if (batch.length === size) {
      yield batch
      batch = []
    }
    batch.push(item)
  }
  if (!batch.length) return
  if (given(fill)) {
    pay(size)
    while (batch.length < size) batch.push(fill)
  }
  yield batch
}

export function* columns(value: Value, count: number, fill: Value | undefined): Generator<Value, undefined> {
  const items = [...iterate(value)]
  const size = Math.floor(items.length / count)
  const larger = items.length % count
  let start = 0
  for (let i = 0; i < count; i++) {
    pay()
    const end = start + size + (i < larger ? 1 : 0)
    const column = items.slice(start, end)
    if (given(fill) && i >= larger) column.push(fill)
    start = end
    yield column
  }
}

export function* unique(value: Value, get: Get): Generator<Value, undefined> {
  const seen = new Set<unknown>()
  for (const item of iterate(value)) {
    const hash = hashOf(get(item))
    if (seen.has(hash)) continue
    seen.add(hash)
    yield item
  }
}

export function extreme(name: string, better: (a: Value, b: Value) => boolean): Filter {
  return (value, args) => {
    const [sensitive, attribute] = bind(name, ['case_sensitive', 'attribute'], args)
    const get = getter(attribute, casing(sensitive))
    let best: { item: Value; key: Value } | null = null
    for (const item of iterate(value)) {
      const key = get(item)
      if (!best || better(key, best.key)) best = { item, key }
    }
    return best ? best.item : new Undefined('No aggregated item, sequence was empty.')
  }
}

export function grouped(value: Value, args: Args): Value {
  const [attribute, otherwise, sensitive] = bind('groupby', ['attribute', 'default', 'case_sensitive'], args, 1)
  const get = getter(attribute, casing(sensitive), otherwise ?? null)
  const shown = getter(attribute, undefined, otherwise ?? null)
  const groups: { key: Value; items: Value[] }[] = []
  for (const item of sorted([...iterate(value)], get)) {
    const key = get(item)
    const last = groups.at(-1)
    if (last && equal(last.key, key)) last.items.push(item)
    else groups.push({ key, items: [item] })
  }
  return groups.map(({ key, items }) => new Tuple([flag(sensitive) ? key : shown(items[0]), items], ['grouper', 'list']))
}

export function reversed(value: Value): Value {
  if (typeof value === 'string') return paid(text.points(value).reverse().join(''))
  if (value instanceof Markup) throw new Unsupported('the filter reverse on a text that was marked as safe')
  if (!isIterable(value)) throw new TemplateError('argument must be iterable')
  const items = [...iterate(value)].reverse()
  return value instanceof Iter ? items : new Iter(items.values(), 'reversed')
}

export function last(value: Value): Value {
  if (value instanceof Iter || value instanceof Instance) throw new TemplateError(`'${typeName(value)}' object is not reversible`)
  const items = [...iterate(value)]
  return items.length ? items.at(-1)! : new Undefined('No last item, sequence was empty.')
}

export function first(value: Value): Value {
  const next = iterate(value).next()
  return next.done ? new Undefined('No first item, sequence was empty.') : next.value
}

export function join(value: Value, args: Args): Value {
  const [separator = '', attribute] = bind('join', ['d', 'attribute'], args)
  const get = getter(attribute)
  const by = str(separator)
  const items: string[] = []
  for (const item of iterate(value)) {
    const one = str(attribute === undefined ? item : get(item))
    payFor(one.length + by.length)
    items.push(one)
  }
  return items.join(by)
}

export function sum(value: Value, args: Args): Value {
  const [attribute, start = 0n] = bind('sum', ['attribute', 'start'], args)
  if (typeof start === 'string') throw new TemplateError("sum() can't sum strings [use ''.join(seq) instead]")
  const get = getter(attribute)
  let total: Value = start
  for (const item of iterate(value)) total = binary('+', total, get(item))
  return total
}

export function dictSorted(value: Value, args: Args): Value {
  const [sensitive, by = 'key', reverse] = bind('dictsort', ['case_sensitive', 'by', 'reverse'], args)
  if (by !== 'key' && by !== 'value') throw new TemplateError('You can only sort by either "key" or "value"')
  const items = dictOf(value, 'dictsort')
  const lower = casing(sensitive) ?? ((one: Value) => one)
  const pairs = Array.from(items.entries(), (pair) => new Tuple(pair))
  return sorted(pairs, (pair) => lower((pair as Tuple).items[by === 'key' ? 0 : 1]), flag(reverse))
}

export function dictOf(value: Value, name: string): Dict {
  if (value instanceof Undefined) throw undefinedError(value)
  if (!(value instanceof Dict)) throw new TemplateError(`${name} needs a dict, not ${typeName(value)}`)
  return value
}
