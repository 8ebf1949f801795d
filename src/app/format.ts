/** Formats numbers for display. Units follow a narrow no-break space, so that figures align and never wrap. */
import { figure } from '../figure.ts'

const space = '\u202f'
const none = '–'

export type ErrorUnit = 'fraction' | 'percent'

/** Three significant digits, without an exponent: 0.918, 9.18, 91.8, 918. */
function significant(value: number): string {
  const size = Math.abs(value)
  return value.toFixed(size >= 100 || value === 0 ? 0 : size >= 10 ? 1 : 2)
}

export function bytes(value: number | null): string {
  if (value === null) return none
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  let size = value
  let unit = 0
  while (Math.abs(size) >= 1000 && unit < units.length - 1) {
    size /= 1024
    unit++
  }
  return `${unit ? significant(size) : size}${space}${units[unit]}`
}

/** Two sizes that share a unit where they can: "1.20 of 8.00 GiB". */
export function bytesOf(part: number, whole: number): string {
  const [left, unit] = bytes(part).split(space)
  const right = bytes(whole)
  if (part === 0) return `0 of ${right}`
  return right.endsWith(unit) ? `${left} of ${right}` : `${bytes(part)} of ${right}`
}

export function flops(value: number): string {
  const [size, unit] = value < 1e12 ? [value / 1e9, 'GFLOP'] : value < 1e15 ? [value / 1e12, 'TFLOP'] : [value / 1e15, 'PFLOP']
  return `${significant(size)}${space}${unit}`
}

export function duration(seconds: number | null): string {
  if (seconds === null || !Number.isFinite(seconds)) return none
  if (seconds < 10) return `${seconds.toFixed(seconds < 1 ? 2 : 1)}${space}s`
  const whole = Math.round(seconds)
  const two = (value: number) => String(value).padStart(2, '0')
  if (whole < 60) return `${whole}${space}s`
  if (whole < 3600) return `${Math.floor(whole / 60)}${space}m ${two(whole % 60)}${space}s`
  return `${Math.floor(whole / 3600)}${space}h ${two(Math.floor((whole % 3600) / 60))}${space}m`
}

/** Time on a clock that ticks: whole seconds, always with minutes, so that it keeps its width. */
export function clock(seconds: number | null): string {
  if (seconds === null || !Number.isFinite(seconds)) return none
  return seconds < 59.5 ? `0${space}m ${String(Math.round(seconds)).padStart(2, '0')}${space}s` : duration(seconds)
}

export function perplexity(value: number | null): string {
  if (value === null) return none
  return value >= 1e5 ? figure(value) : value.toFixed(value >= 1e4 ? 0 : 2)
}

/**
 * A change of perplexity and its standard error, as far as two digits of that: "+0.0049" and "0.0021". Two decimals are the least, and all
 * where the error is unknown.
 */
export function perplexityChange(value: number, error: number | null): { text: string; error: string | null } {
  const decimals = error ? Math.min(8, Math.max(2, 1 - Math.floor(Math.log10(error)))) : 2
  const show = (size: number) => (size >= 1e4 ? perplexity(size) : size.toFixed(decimals))
  const size = show(Math.abs(value))
  const sign = Number(size) === 0 ? '' : value > 0 ? '+' : '−'
  return { text: sign + size, error: error === null ? null : show(error) }
}

/** Along a logarithmic axis, where every tick has one digit. */
export const tick = (value: number) => figure(value, 1)

export function relativeError(value: number | null, unit: ErrorUnit): string {
  if (value === null) return none
  return unit === 'percent' ? `${figure(value * 100, 3)}${space}%` : figure(value)
}

/** KL divergence, which rounding may leave slightly below 0. */
export function divergence(value: number | null): string {
  return value === null ? none : figure(Math.max(0, value))
}

/** A share of all positions: 93.4 %. */
export function share(value: number | null): string {
  return value === null ? none : `${(value * 100).toFixed(1)}${space}%`
}

/** "61.2 %", and the standard error of a share of independent passages. */
export function accuracy(words: { passages: number; right: number } | undefined): { text: string; error: string } | null {
  if (!words) return null
  const value = words.right / words.passages
  return { text: share(value), error: share(Math.sqrt((value * (1 - value)) / words.passages)) }
}

/** A fraction as it was entered, in percent and without zeros at the end: 1 %, 0.5 %. */
export function fraction(value: number): string {
  return `${Number((value * 100).toPrecision(3))}${space}%`
}

/** How many times as much. */
export function ratio(value: number): string {
  return `×${space}${figure(value)}`
}

/** What people type for a number: also 1 %, and a comma where a point would be. Null where it is none. */
export function parseNumber(text: string): number | null {
  const match = text.trim().match(/^([-+]?[\d.,]+(?:e[-+]?\d+)?)\s*(%?)$/i)
  const value = match ? Number(match[1].replace(/^([^,]*),([^,]*)$/, '$1.$2')) : Number.NaN
  if (!Number.isFinite(value)) return null
  return match![2] ? Number((value / 100).toPrecision(12)) : value
}

/** A whole number, whose thousands a comma, an apostrophe or a space may set apart. Null for anything else: 1.000 could be either. */
export function parseWhole(text: string): number | null {
  const value = text
    .trim()
    .replace(/^([-+]?[1-9]\d{0,2})([,'’ \u00a0\u202f])\d{3}(?:\2\d{3})*$/, (grouped) => grouped.replace(/[^-+\d]/g, ''))
  const number = /^[-+]?\d+(?:e\+?\d+)?$/i.test(value) ? Number(value) : Number.NaN
  return Number.isFinite(number) ? number : null
}

export function bitsPerWeight(value: number | null): string {
  return value === null ? none : value.toFixed(2)
}

export function count(value: number): string {
  return value.toLocaleString('en-US')
}

export function parameters(value: number): string {
  if (value >= 999.5e6) return `${significant(value / 1e9)}${space}B`
  return value >= 999.5e3 || value >= 1e5 ? `${significant(value / 1e6)}${space}M` : count(value)
}

export function percent(fraction: number): string {
  return `${Math.floor(Math.min(1, Math.max(0, fraction)) * 100)}${space}%`
}

export function shape(dimensions: readonly number[]): string {
  return dimensions.length ? dimensions.join('\u2009×\u2009') : 'scalar'
}

/** "1 window", "3 windows". */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`
}
