/** Python's strings: indexed by code points, with Python's white space, line ends and letter cases. */

const space = '\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'
/** `str.isspace`, and `\s` of Python's regular expressions: U+0085 and U+001C to U+001F are in it, U+FEFF is not. */
export const whiteSpace = new RegExp(`[${space}]`)
const spaces = new RegExp(`[${space}]+`)
const onlySpaces = new RegExp(`^[${space}]+$`)
const spacesBefore = new RegExp(`^[${space}]+`)

const simple = (text: string) => !/[\ud800-\udfff]/.test(text)

export function length(text: string): number {
  if (simple(text)) return text.length
  let count = 0
  for (const _ of text) count++
  return count
}

export const points = (text: string): string[] => Array.from(text)

/** Code points from `start` up to `stop`, both at least 0. */
export function between(text: string, start: number, stop: number): string {
  return simple(text) ? text.slice(start, stop) : points(text).slice(start, stop).join('')
}

/** Index of the code point that begins at this UTF-16 unit. */
const pointAt = (text: string, unit: number) => (simple(text) ? unit : length(text.slice(0, unit)))

// ---------------------------------------------------------------- searching

/** As `text[start:stop].find(part)` counted from the start of the text; -1 when it is not found. `last`: `rfind`. */
export function find(text: string, part: string, last = false): number {
  const unit = last ? text.lastIndexOf(part) : text.indexOf(part)
  return unit < 0 ? -1 : pointAt(text, unit)
}

export function count(text: string, part: string): number {
  if (!part) return length(text) + 1
  return text.split(part).length - 1
}

export function replace(text: string, old: string, by: string, most = -1): string {
  if (most === 0) return text
  if (!old) {
    const characters = points(text)
    const places = most < 0 ? characters.length + 1 : Math.min(most, characters.length + 1)
    return characters.map((one, i) => (i < places ? by : '') + one).join('') + (places > characters.length ? by : '')
  }
  if (most < 0) return text.replaceAll(old, () => by)
  return splitBy(text, old, most).join(by)
}

// ---------------------------------------------------------------- stripping

export function strip(text: string, chars: string | null = null, left = true, right = true): string {
  if (chars === null) {
    let end = text.length
    while (right && end > 0 && whiteSpace.test(text[end - 1])) end--
    const ended = text.slice(0, end)
    return left ? ended.replace(spacesBefore, '') : ended
  }
  const characters = points(text)
  const dropped = new Set(points(chars))
  let [start, end] = [0, characters.length]
  while (left && start < end && dropped.has(characters[start])) start++
  while (right && end > start && dropped.has(characters[end - 1])) end--
  return characters.slice(start, end).join('')
}

// ---------------------------------------------------------------- splitting

function splitBy(text: string, separator: string, most: number): string[] {
  const parts = text.split(separator)
  if (most < 0 || parts.length <= most + 1) return parts
  return [...parts.slice(0, most), parts.slice(most).join(separator)]
}

/** `str.split`; without a separator, splits at runs of white space. `most` < 0: no limit. */
export function split(text: string, separator: string | null, most: number): string[] {
  if (separator !== null) return splitBy(text, separator, most)
  const parts: string[] = []
  let rest = strip(text, null, true, false)
  while (rest && (most < 0 || parts.length < most)) {
    const gap = spaces.exec(rest)
    if (!gap) break
    parts.push(rest.slice(0, gap.index))
    rest = rest.slice(gap.index + gap[0].length)
  }
  if (rest) parts.push(rest)
  return parts
}

/** As `str.rsplit`. */
export function rsplit(text: string, separator: string | null, most: number): string[] {
  if (most < 0) return split(text, separator, most)
  if (separator !== null) {
    // Separators are searched from the right.
    const parts: string[] = []
    let rest = text
    for (let at = rest.lastIndexOf(separator); at >= 0 && parts.length < most; at = rest.lastIndexOf(separator)) {
      parts.unshift(rest.slice(at + separator.length))
      rest = rest.slice(0, at)
    }
    return [rest, ...parts]
  }
  const parts: string[] = []
  let rest = strip(text, null, false, true)
  while (rest && parts.length < most) {
    let start = rest.length
    while (start > 0 && !whiteSpace.test(rest[start - 1])) start--
    if (start === 0) break
    parts.unshift(rest.slice(start))
    rest = strip(rest.slice(0, start), null, false, true)
  }
  return rest ? [rest, ...parts] : parts
}

/** As `str.splitlines`. */
export function splitLines(text: string, keepEnds = false): string[] {
  const lines: string[] = []
  let start = 0
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are line ends in Python
  for (const end of text.matchAll(/\r\n|[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]/g)) {
    const after = end.index + end[0].length
    lines.push(text.slice(start, keepEnds ? after : end.index))
    start = after
  }
  if (start < text.length) lines.push(text.slice(start))
  return lines
}

export function partition(text: string, separator: string, last = false): [string, string, string] {
  const at = last ? text.lastIndexOf(separator) : text.indexOf(separator)
  if (at < 0) return last ? ['', '', text] : [text, '', '']
  return [text.slice(0, at), separator, text.slice(at + separator.length)]
}

// ---------------------------------------------------------------- cases

export const upper = (text: string) => text.toUpperCase()
export const lower = (text: string) => text.toLowerCase()

/** Title case of a letter, which differs from upper case for a few letters. */
function titleCase(letter: string): string {
  const point = letter.codePointAt(0)!
  // Dž, Lj, Nj and Dz, each in three forms.
  if ((point >= 0x1c4 && point <= 0x1cc) || (point >= 0x1f1 && point <= 0x1f3)) {
    const middle = point >= 0x1f1 ? 0x1f2 : point - ((point - 0x1c4) % 3) + 1
    return String.fromCodePoint(middle)
  }
  // Georgian has no title case.
  if (point >= 0x10d0 && point <= 0x10ff) return letter
  const capital = upper(letter)
  if (point >= 0x1f80 && point <= 0x1faf) return String.fromCodePoint(point | 8)
  if (/[\u1fbc\u1fcc\u1ffc]/.test(letter)) return letter
  if (/[\u1fb3\u1fc3\u1ff3]/.test(letter)) return String.fromCodePoint(point + 9)
  if (point >= 0x1fb0 && point <= 0x1fff && capital.endsWith('Ι') && capital.length > 1) return `${capital.slice(0, -1)}\u0345`
  if (point === 0x149) return capital
  const [first, ...others] = points(capital)
  return first + lower(others.join(''))
}

/** As `str.capitalize`. */
export function capitalize(text: string): string {
  if (!text) return text
  const first = points(text)[0]
  return titleCase(first) + lower(text).slice(lower(first).length)
}

/** `str.title`: every run of letters separately, so "it's" becomes "It'S". */
export function title(text: string): string {
  // Lower case may depend on neighbours (final sigma).
  let result = ''
  let inside = false
  let at = 0
  for (const one of text) {
    const isCased = /\p{Cased}/u.test(one)
    result += !inside ? titleCase(one) : one === 'Σ' ? sigmaAt(text, at) : lower(one)
    inside = isCased
    at += one.length
  }
  return result
}

const sigmaAt = (text: string, at: number) =>
  lower(text.slice(0, at + 1)).at(-1)! === 'ς' && lower(text).length === text.length ? lower(text)[at] : 'σ'

export function swapCase(text: string): string {
  let result = ''
  let at = 0
  for (const one of text) {
    result += /\p{Lu}/u.test(one) ? (one === 'Σ' ? sigmaAt(text, at) : lower(one)) : isLower(one) ? upper(one) : one
    at += one.length
  }
  return result
}

// ---------------------------------------------------------------- kinds

const isLetter = /^\p{L}+$/u
const isDecimalDigit = /^\p{Nd}+$/u
/** Digits that are not decimal digits: superscripts, circled digits and the like. */
const isAnyDigit =
  /^[\p{Nd}\xb2\xb3\xb9\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u2474-\u247c\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792\u{10a40}-\u{10a43}\u{10e60}-\u{10e68}\u{11052}-\u{1105a}\u{1f100}-\u{1f10a}]+$/u
/** Ideographs that are numbers. */
const ideographs =
  '㐅㒃㠪㭍一七万三九二五亖亿什仟仨伍佰億兆兩八六十千卄卅卌叁参參叄四壱壹幺廾廿弌弍弎弐拾捌柒漆玖百肆萬貮貳贰阡陆陌陸零\\uf96b\\uf973\\uf978\\uf9b2\\uf9d1\\uf9d3\\uf9fd\\u{20001}\\u{20064}\\u{200e2}\\u{20121}\\u{2092a}\\u{20983}\\u{2098c}\\u{2099c}\\u{20aea}\\u{20afd}\\u{20b19}\\u{22390}\\u{22998}\\u{23b1b}\\u{2626d}\\u{2f890}'
const isNumber = new RegExp(`^[\\p{N}${ideographs}]+$`, 'u')

export const is = {
  alpha: (text: string) => isLetter.test(text),
  decimal: (text: string) => isDecimalDigit.test(text),
  digit: (text: string) => isAnyDigit.test(text),
  numeric: (text: string) => isNumber.test(text),
  alnum: (text: string) => text !== '' && points(text).every((one) => isLetter.test(one) || isNumber.test(one)),
  ascii: (text: string) => /^[\0-\x7f]*$/.test(text),
  space: (text: string) => onlySpaces.test(text),
  lower: isLower,
  upper: isUpper,
  title: isTitle,
  identifier: (text: string) => /^[\p{XID_Start}_]\p{XID_Continue}*$/u.test(text),
  printable: (text: string) => !unprintable.test(text),
}

const unprintable = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u

function isLower(text: string): boolean {
  return /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text)
}

function isUpper(text: string): boolean {
  return /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text)
}

function isTitle(text: string): boolean {
  let [inside, any] = [false, false]
  for (const one of text) {
    if (/[\p{Uppercase}\p{Lt}]/u.test(one)) {
      if (inside) return false
      inside = any = true
    } else if (/\p{Lowercase}/u.test(one)) {
      if (!inside) return false
    } else inside = false
  }
  return any
}

// ---------------------------------------------------------------- filling

export function pad(text: string, width: number, side: 'left' | 'right' | 'both', fill = ' '): string {
  const missing = width - length(text)
  if (missing <= 0) return text
  // As in `str.center`, the larger half of an odd remainder is on the left when the width is odd.
  const left = side === 'left' ? missing : side === 'right' ? 0 : Math.floor(missing / 2) + (missing & width & 1)
  return fill.repeat(left) + text + fill.repeat(missing - left)
}

export function zeroFill(text: string, width: number): string {
  const [, sign, rest] = /^([-+]?)(.*)$/s.exec(text)!
  return sign + pad(rest, width - sign.length, 'left', '0')
}

export function expandTabs(text: string, size: number): string {
  let column = 0
  let result = ''
  for (const one of text) {
    const width = one === '\t' ? (size > 0 ? size - (column % size) : 0) : 1
    result += one === '\t' ? ' '.repeat(width) : one
    column = one === '\n' || one === '\r' ? 0 : column + width
  }
  return result
}

// ---------------------------------------------------------------- printing

const escapes: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** As `repr(str)`. */
export function strRepr(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  let inner = ''
  for (const one of text) {
    const point = one.codePointAt(0)!
    if (one === quote) inner += `\\${one}`
    else if (escapes[one]) inner += escapes[one]
    else if (point >= 0x20 && point < 0x7f) inner += one
    else if (!unprintable.test(one)) inner += one
    else if (point < 0x100) inner += `\\x${hex(point, 2)}`
    else inner += point < 0x10000 ? `\\u${hex(point, 4)}` : `\\U${hex(point, 8)}`
  }
  return quote + inner + quote
}

export const hex = (point: number, width: number) => point.toString(16).padStart(width, '0')
