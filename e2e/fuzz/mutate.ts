/** Mutations of files, seeded: of JSON by its structure, of anything by its bytes. */
import { random } from '../../src/data/corpus.ts'

export type Bytes = Uint8Array<ArrayBuffer>

export class Dice {
  readonly #next: () => number

  constructor(seed: number) {
    this.#next = random(seed)
  }

  /** A whole number below n. */
  below(n: number): number {
    return Math.floor(this.#next() * n)
  }

  one<T>(items: readonly T[]): T {
    return items[this.below(items.length)]
  }

  chance(share: number): boolean {
    return this.#next() < share
  }
}

/** Share that stays as it is, so that what cannot even be read unchanged shows. */
const unchanged = 0.05

// ---------------------------------------------------------------- JSON

const numbers = [
  0,
  -0,
  1,
  -1,
  2,
  3,
  4,
  7,
  8,
  31,
  255,
  256,
  65535,
  65536,
  2 ** 20,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  1e18,
  1e308,
  0.5,
  -7.25,
]
const strings = [
  '',
  ' ',
  'F16',
  'BF16',
  'U64',
  'x'.repeat(3000),
  '\u0000',
  '\ud800',
  '😀',
  '__proto__',
  'constructor',
  '../../x',
  '9'.repeat(30),
  '-1',
  'NaN',
]

function oddValue(dice: Dice): unknown {
  switch (dice.below(7)) {
    case 0:
      return dice.one(numbers)
    case 1:
      return dice.one(strings)
    case 2:
      return dice.one([null, true, false])
    case 3:
      return []
    case 4:
      return {}
    case 5: {
      let nested: unknown = 1
      for (let depth = dice.below(100); depth > 0; depth--) nested = dice.chance(0.5) ? [nested] : { a: nested }
      return nested
    }
    default:
      return Array.from({ length: dice.below(2000) }, (_, i) => i)
  }
}

/** The places of a value: container and key of every member, a bounded number of them. */
function places(value: unknown, dice: Dice, most = 400): { of: Record<string, unknown> | unknown[]; key: string | number }[] {
  const found: { of: Record<string, unknown> | unknown[]; key: string | number }[] = []
  const walk = (node: unknown) => {
    if (typeof node !== 'object' || node === null || found.length >= most) return
    const keys: (string | number)[] = Array.isArray(node) ? [...node.keys()] : Object.keys(node)
    // Of a vocabulary or a list of merges some will do.
    const from = keys.length > 40 ? dice.below(keys.length - 40) : 0
    for (const key of keys.slice(from, from + 40)) {
      found.push({ of: node as unknown[], key })
      walk((node as Record<string | number, unknown>)[key])
    }
  }
  walk(value)
  return found
}

/** The same JSON with a few of its members changed, dropped, doubled or exchanged. */
export function mutateJson(text: string, dice: Dice): string {
  if (dice.chance(unchanged)) return text
  const root: { value: unknown } = { value: JSON.parse(text) }
  for (let left = 1 + dice.below(3); left > 0; left--) {
    const all = places(root, dice)
    const { of, key } = dice.one(all)
    const holder = of as Record<string | number, unknown>
    switch (dice.below(6)) {
      case 0:
        if (Array.isArray(of)) of.splice(Number(key), 1)
        else if (of !== root) delete holder[key]
        break
      case 1: {
        const other = dice.one(all)
        holder[key] = structuredClone((other.of as Record<string | number, unknown>)[other.key])
        break
      }
      case 2:
        if (typeof holder[key] === 'number') holder[key] = (holder[key] as number) + dice.one([-1, 1, -8, 8, 0.5, 2 ** 30])
        else if (typeof holder[key] === 'string') holder[key] = mutateText(holder[key] as string, dice)
        else holder[key] = oddValue(dice)
        break
      case 3:
        if (Array.isArray(of)) of.push(structuredClone(holder[key]))
        else holder[dice.one([...strings, `${key}x`])] = structuredClone(holder[key])
        break
      default:
        holder[key] = oddValue(dice)
    }
    if (JSON.stringify(root).length > 4 << 20) break
  }
  let raw = JSON.stringify(root.value) ?? 'null'
  // A name twice, which no parsed object can hold.
  if (dice.chance(0.05)) raw = raw.replace(/^\{("(?:[^"\\]|\\.)*":)/, '{$11,$1')
  if (dice.chance(0.1)) raw = mutateText(raw, dice)
  return raw
}

/** A few characters changed; `words` are put in too, where the text has a language. */
export function mutateText(text: string, dice: Dice, words: readonly string[] = strings): string {
  const at = dice.below(text.length + 1)
  const to = Math.min(text.length, at + dice.below(20))
  switch (dice.below(3)) {
    case 0:
      return text.slice(0, at) + dice.one(words) + text.slice(at)
    case 1:
      return text.slice(0, at) + text.slice(to)
    default:
      return text.slice(0, at) + String.fromCharCode(dice.below(0x10000)) + text.slice(at + 1)
  }
}

// ---------------------------------------------------------------- bytes

/** The same bytes with a few flipped, overwritten, cut out, put in or exchanged, between `from` and `to`. */
export function mutateBytes(bytes: Bytes, dice: Dice, from = 0, to = bytes.length): Bytes {
  let result = bytes.slice()
  if (dice.chance(unchanged)) return result
  if (dice.chance(0.5) && to > from) {
    // A single byte, most often by a little: what is around it stays well formed.
    const at = Math.min(result.length - 1, from + dice.below(to - from))
    result[at] = dice.one([result[at] + 1, result[at] - 1, result[at] ^ (1 << dice.below(8)), dice.below(256), 0x7f, 0xff])
    return result
  }
  for (let left = 1 + dice.below(4); left > 0; left--) {
    const span = Math.max(1, Math.min(to, result.length) - from)
    const at = Math.min(result.length, from + dice.below(span))
    const length = 1 + dice.below(dice.chance(0.8) ? 8 : 2000)
    switch (dice.below(8)) {
      case 0:
        if (at < result.length) result[at] ^= 1 << dice.below(8)
        break
      case 1:
        result.fill(dice.one([0, 1, 0x7f, 0x80, 0xff]), at, at + length)
        break
      case 2:
        for (let i = at; i < Math.min(result.length, at + length); i++) result[i] = dice.below(256)
        break
      case 3:
        result = joined(result.subarray(0, at), result.subarray(at + length))
        break
      case 4:
        result = joined(
          result.subarray(0, at),
          Uint8Array.from({ length }, () => dice.below(256)),
          result.subarray(at),
        )
        break
      case 5:
        // A piece of itself in another place.
        result = joined(result.subarray(0, at), result.slice(dice.below(result.length + 1)).subarray(0, length), result.subarray(at))
        break
      case 6:
        if (at + 8 <= result.length) {
          const value = BigInt.asUintN(64, BigInt(Math.trunc(dice.one(numbers.filter((n) => Math.abs(n) < 2 ** 63)))))
          new DataView(result.buffer).setBigUint64(at, value, true)
        }
        break
      default:
        if (dice.chance(0.3)) result = result.slice(0, at)
    }
  }
  return result
}

function joined(...parts: Uint8Array[]): Bytes {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    result.set(part, at)
    at += part.length
  }
  return result
}
