/** Jinja's tests, `value is name`. */
import * as text from './text.ts'
import { bind } from './arguments.ts'
import { pay, TemplateError, Unsupported } from './meter.ts'
import { binary, compare } from './operations.ts'
import {
  type Args,
  Callable,
  contains,
  Dict,
  equal,
  hashOf,
  Instance,
  isIterable,
  isNumber,
  lengthOf,
  Markup,
  str,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.ts'

type Test = (value: Value, args: Args) => boolean

const fixedNumber = (value: Value, by: bigint, rest: bigint) => equal(binary('%', value, by), rest)

function isSame(value: Value, other: Value): boolean {
  const interned = (one: Value) => one === null || typeof one === 'boolean' || (typeof one === 'bigint' && one >= -5n && one <= 256n)
  if (typeof value !== typeof other) return false
  if (interned(value) || interned(other)) return value === other
  if (typeof value !== 'object') throw new Unsupported(`the test sameas between two ${typeName(value)}`)
  return value === other
}

function isCallable(value: Value): boolean {
  return value instanceof Callable || value instanceof Undefined || (value instanceof Instance && value.options.call !== undefined)
}

function isSequence(value: Value): boolean {
  return lengthOf(value) !== null && !(value instanceof View) && !(value instanceof Instance)
}

export function isKey(value: Value, names: { has(name: string): boolean }): boolean {
  hashOf(value)
  return (typeof value === 'string' || value instanceof Markup) && names.has(str(value))
}

export const alone =
  (name: string, work: (value: Value) => boolean): Test =>
  (value, args) => {
    bind(name, [], args)
    return work(value)
  }

const against =
  (name: string, parameter: string, work: (value: Value, other: Value) => boolean): Test =>
  (value, args) =>
    work(value, bind(name, [parameter], args, 1)[0]!)

const comparing = (sign: string) => against(sign, 'b', (a, b) => compare(sign, a, b))

export const tests: Map<string, Test> = new Map(
  Object.entries<Test>({
    odd: alone('odd', (value) => fixedNumber(value, 2n, 1n)),
    even: alone('even', (value) => fixedNumber(value, 2n, 0n)),
    divisibleby: against('divisibleby', 'num', (value, by) => equal(binary('%', value, by), 0n)),
    defined: alone('defined', (value) => !(value instanceof Undefined)),
    undefined: alone('undefined', (value) => value instanceof Undefined),
    test: alone('test', (value): boolean => isKey(value, tests)),
    none: alone('none', (value) => value === null),
    boolean: alone('boolean', (value) => typeof value === 'boolean'),
    false: alone('false', (value) => value === false),
    true: alone('true', (value) => value === true),
    integer: alone('integer', (value) => typeof value === 'bigint'),
    float: alone('float', (value) => typeof value === 'number'),
    lower: alone('lower', (value) => text.is.lower(str(value))),
    upper: alone('upper', (value) => text.is.upper(str(value))),
    string: alone('string', (value) => typeof value === 'string' || value instanceof Markup),
    mapping: alone('mapping', (value) => value instanceof Dict),
    number: alone('number', isNumber),
    sequence: alone('sequence', isSequence),
    iterable: alone('iterable', (value) => isIterable(value) || (value instanceof Instance && value.type === 'LoopContext')),
    callable: alone('callable', isCallable),
    sameas: against('sameas', 'other', isSame),
    escaped: alone('escaped', (value) => value instanceof Markup),
    in: against('in', 'seq', (value, container) => contains(container, value)),
    '==': comparing('=='),
    eq: comparing('=='),
    equalto: comparing('=='),
    '!=': comparing('!='),
    ne: comparing('!='),
    '>': comparing('>'),
    gt: comparing('>'),
    greaterthan: comparing('>'),
    ge: comparing('>='),
    '>=': comparing('>='),
    '<': comparing('<'),
    lt: comparing('<'),
    lessthan: comparing('<'),
    '<=': comparing('<='),
    le: comparing('<='),
  }),
)

export const unknownTest = (name: string) => new TemplateError(`there is no test named '${name}'`)

export function applyTest(name: string, value: Value, args: Args): boolean {
  const test = tests.get(name)
  if (!test) throw unknownTest(name)
  pay()
  return test(value, args)
}
