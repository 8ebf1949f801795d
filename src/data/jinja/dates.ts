/** Python's `strftime` in the C locale. */
import { paid, Unsupported } from './meter.ts'

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const months = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December']

/** Formats that stand for others. */
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

/** What a letter stands for: a number with its width and padding, or a text. */
type Part = [value: number, width: number, fill?: string] | string

/** As `datetime.strftime` in the C locale, at midnight of that day. */
export function strftime(format: string, year: number, month: number, day: number): string {
  const parts = partsOf(year, month, day)
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

function partsOf(year: number, month: number, day: number): Record<string, Part> {
  const date = new Date(Date.UTC(year, month - 1, day))
  const weekday = date.getUTCDay()
  const ofYear = Math.round((date.getTime() - Date.UTC(year, 0, 1)) / 86_400_000) + 1
  const monday = (weekday + 6) % 7
  const thursday = new Date(Date.UTC(year, month - 1, day - monday + 3))
  const isoYear = thursday.getUTCFullYear()
  const isoWeek = Math.floor((thursday.getTime() - Date.UTC(isoYear, 0, 1)) / 86_400_000 / 7) + 1
  return {
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
}
