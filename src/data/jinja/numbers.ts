/** Prints and rounds numbers as Python does: exact in decimal, ties to even. */
import { strip } from './text.ts'

/** As `repr(float)`: the shortest digits that read back as the same number, with an exponent below 1e-4 and from 1e16 on. */
export function floatRepr(value: number): string {
  if (!Number.isFinite(value)) return special(value)
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  const [mantissa, exponent] = value.toExponential().split('e')
  const power = Number(exponent)
  if (power < -4 || power >= 16) return `${mantissa}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`
  const digits = mantissa.replace(/[-.]/g, '')
  const sign = value < 0 ? '-' : ''
  if (power < 0) return `${sign}0.${'0'.repeat(-power - 1)}${digits}`
  const whole = digits.slice(0, power + 1).padEnd(power + 1, '0')
  return `${sign}${whole}.${digits.slice(power + 1) || '0'}`
}

const special = (value: number) => (Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf')

/** |value| = numerator / denominator, exactly. */
function ratio(value: number): [bigint, bigint] {
  const bits = new DataView(new ArrayBuffer(8))
  bits.setFloat64(0, Math.abs(value))
  const raw = bits.getBigUint64(0)
  const exponent = Number(raw >> 52n)
  const fraction = raw & ((1n << 52n) - 1n)
  const mantissa = exponent ? fraction | (1n << 52n) : fraction
  const power = (exponent || 1) - 1075
  return power < 0 ? [mantissa, 1n << BigInt(-power)] : [mantissa << BigInt(power), 1n]
}

/** numerator / denominator rounded to an integer, ties to even. */
function nearest(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator
  const twice = (numerator % denominator) * 2n
  return twice > denominator || (twice === denominator && quotient % 2n === 1n) ? quotient + 1n : quotient
}

const negative = (value: number) => value < 0 || Object.is(value, -0)

/** As `%.{digits}f`. */
export function fixed(value: number, digits: number): string {
  if (!Number.isFinite(value)) return special(value)
  const [numerator, denominator] = ratio(value)
  const whole = nearest(numerator * 10n ** BigInt(digits), denominator)
    .toString()
    .padStart(digits + 1, '0')
  const sign = negative(value) ? '-' : ''
  return digits ? `${sign}${whole.slice(0, -digits)}.${whole.slice(-digits)}` : `${sign}${whole}`
}

/** The first digits of a finite number other than 0 and its power of ten: 0.0123 to 2 digits is ['12', -2]. */
function leading(value: number, digits: number): [string, number] {
  const [numerator, denominator] = ratio(value)
  let power = Number(value.toExponential().split('e')[1])
  for (;;) {
    const shift = digits - 1 - power
    const scaled =
      shift >= 0 ? nearest(numerator * 10n ** BigInt(shift), denominator) : nearest(numerator, denominator * 10n ** BigInt(-shift))
    const text = scaled.toString()
    if (text.length <= digits) return [text, power]
    power++
  }
}

/** As `%.{digits}e`. */
export function exponential(value: number, digits: number): string {
  if (!Number.isFinite(value)) return special(value)
  const [text, power] = value === 0 ? ['0'.repeat(digits + 1), 0] : leading(value, digits + 1)
  const mantissa = digits ? `${text[0]}.${text.slice(1)}` : text
  return `${negative(value) ? '-' : ''}${mantissa}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`
}

/** `%.{digits}g`; `keep`: keeps trailing zeros, as `#` does. */
export function general(value: number, digits: number, keep = false): string {
  if (!Number.isFinite(value)) return special(value)
  const figures = digits || 1
  const power = value === 0 ? 0 : leading(value, figures)[1]
  const text = power < -4 || power >= figures ? exponential(value, figures - 1) : fixed(value, figures - 1 - power)
  const [mantissa, exponent] = text.split('e')
  const whole = !mantissa.includes('.')
  const short = keep ? mantissa + (whole ? '.' : '') : whole ? mantissa : mantissa.replace(/\.?0+$/, '')
  return exponent === undefined ? short : `${short}e${exponent}`
}

/** As `round(value, digits)` of a float. */
export function roundFloat(value: number, digits: number): number {
  if (!Number.isFinite(value) || digits > 323) return value
  if (digits < -308) return negative(value) ? -0 : 0
  if (digits >= 0) return Number(fixed(value, digits))
  const [numerator, denominator] = ratio(value)
  const unit = 10n ** BigInt(-digits)
  const rounded = Number(nearest(numerator, denominator * unit) * unit)
  return negative(value) ? -rounded : rounded
}

/** As `round(value, digits)` of an int. */
export function roundInt(value: bigint, digits: number): bigint {
  if (digits >= 0) return value
  const unit = 10n ** BigInt(-digits)
  const rounded = nearest(value < 0n ? -value : value, unit) * unit
  return value < 0n ? -rounded : rounded
}

/** `int(text, base)`; null for an invalid number. */
export function parseInteger(text: string, base = 10): bigint | null {
  const trimmed = asciiDigits(strip(text)).toLowerCase()
  const match = /^([-+]?)(0[box])?([0-9a-z]+(?:_[0-9a-z]+)*)$/.exec(trimmed)
  if (!match) return null
  let [, sign, prefix = '', digits] = match
  const named = { '0b': 2, '0o': 8, '0x': 16 }[prefix]
  if (named && base !== named && base !== 0) {
    if (prefix === '0b' && base > 11) [digits, prefix] = [prefix + digits, '']
    else return null
  }
  if (base === 0 && !named && /^0+[1-9]/.test(digits)) return null
  const actual = base || named || 10
  let value = 0n
  for (const digit of digits.replaceAll('_', '')) {
    const place = Number.parseInt(digit, 36)
    if (place >= actual) return null
    value = value * BigInt(actual) + BigInt(place)
  }
  return sign === '-' ? -value : value
}

/** `float(text)`; null for an invalid number. */
export function parseFloatText(text: string): number | null {
  const trimmed = asciiDigits(strip(text)).toLowerCase()
  const word = /^([-+]?)(inf|infinity|nan)$/.exec(trimmed)
  if (word) return word[2] === 'nan' ? Number.NaN : word[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  if (!/^[-+]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)(e[-+]?\d+(_\d+)*)?$/.test(trimmed)) return null
  return Number(trimmed.replaceAll('_', ''))
}

/** Unicode guarantees that decimal digits of a script are ten consecutive code points. */
function asciiDigits(text: string): string {
  return text.replace(/[^\0-\x7f]/gu, (one) => {
    if (!/\p{Nd}/u.test(one)) return one
    const point = one.codePointAt(0)!
    let zero = point
    while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero--
    return String((point - zero) % 10)
  })
}
