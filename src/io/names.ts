/** File names from strangers: which ones lead out of their folder, and which ones some system cannot hold. */

/**
 * Why a path `a/b/c` does not stay inside the folder that it is relative to, on any system and in any spelling (percent-encoded,
 * full-width, with the dots and spaces that Windows drops); null when it stays. "it has a backslash"
 */
export function escapes(path: string): string | null {
  const spellings = [path, path.normalize('NFKC'), unescaped(path), unescaped(unescaped(path)).normalize('NFKC')]
  for (const spelling of spellings) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    if (/[\u0000-\u001f\u007f]/.test(spelling)) return 'it has a control character'
    if (spelling.includes('\\')) return 'it has a backslash'
    for (const part of spelling.split('/')) {
      if (/^[a-z]:/i.test(part)) return 'it has the letter of a drive'
      if (/^[. ]*$/.test(part)) return part ? 'one of its parts is only dots' : 'one of its parts is empty'
    }
  }
  return null
}

/** Why a path cannot be written everywhere, the reasons of `escapes` included; null when it can. */
export function unwritable(path: string): string | null {
  const why = escapes(path)
  if (why) return why
  for (const part of path.normalize('NFKC').split('/')) {
    if (reserved.test(part)) return 'Windows has that name for a device'
    if (/[. ]$/.test(part)) return 'it ends in a dot or a space'
  }
  return null
}

/** With any extension, and with the spaces that are dropped before it. */
const reserved = /^(con|prn|aux|nul|conin\$|conout\$|com\d|lpt\d) *(\.|$)/i

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
