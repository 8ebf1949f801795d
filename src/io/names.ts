/** Checks untrusted file names: which ones lead out of their folder, and which ones some system cannot store. */

/**
 * Why a relative path `a/b/c` could lead out of its folder on some system or in some spelling (percent-encoded, full-width, with dots and
 * spaces that Windows drops), e.g. "it has a backslash"; null when it cannot.
 */
export function escapes(path: string): string | null {
  const spellings = [path, path.normalize('NFKC'), unescaped(path), unescaped(unescaped(path)).normalize('NFKC')]
  for (const spelling of spellings) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this tests for
    if (/[\u0000-\u001f\u007f]/.test(spelling)) return 'it has a control character'
    if (spelling.includes('\\')) return 'it has a backslash'
    for (const part of spelling.split('/')) {
      if (/^[a-z]:/i.test(part)) return 'it has a drive letter'
      if (/^[. ]*$/.test(part)) return part ? 'one of its parts is only dots' : 'one of its parts is empty'
    }
  }
  return null
}

/** Why a path cannot be written on every system, including the reasons of `escapes`; null when it can. */
export function unwritable(path: string): string | null {
  const why = escapes(path)
  if (why) return why
  for (const part of path.normalize('NFKC').split('/')) {
    if (reserved.test(part)) return 'Windows reserves that name for a device'
    if (/[. ]$/.test(part)) return 'it ends in a dot or a space'
  }
  return null
}

/** Device names of Windows, with any extension and with spaces before it, which are dropped. */
const reserved = /^(con|prn|aux|nul|conin\$|conout\$|com\d|lpt\d) *(\.|$)/i

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
