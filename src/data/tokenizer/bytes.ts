/** GPT-2's mapping of bytes to visible characters: printable Latin-1 maps to itself, other bytes to U+0100 and up. */

const visible = (() => {
  const table: string[] = []
  let next = 256
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
    table.push(String.fromCharCode(printable ? byte : next++))
  }
  return table
})()

const encoder = new TextEncoder()

/** A text with every byte of its UTF-8 as one character. */
export function byteLevel(text: string): string {
  let result = ''
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 127) return result + spelled(text.slice(i))
    result += visible[code]
  }
  return result
}

function spelled(text: string): string {
  let result = ''
  for (const byte of encoder.encode(text)) result += visible[byte]
  return result
}

/** The tokens `<0x00>` … for the bytes of a piece. */
export function byteTokens(piece: string): string[] {
  return Array.from(encoder.encode(piece), (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
}

const byteOf = new Map(visible.map((character, byte) => [character, byte]))

/** The bytes that such a text spells; characters of no byte stand for themselves. */
export function bytesOfLevel(text: string): Uint8Array {
  return Uint8Array.from([...text].flatMap((character) => byteOf.get(character) ?? [...encoder.encode(character)]))
}
