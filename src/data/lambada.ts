/** LAMBADA: passages whose last word has to be told from all that goes before (Paperno et al., arXiv 1606.06031). */
import { WorkbenchError } from '../errors.ts'

/** A passage as tokens, of which those from `word` to `end` are its last word. */
export interface Passage {
  ids: Int32Array
  word: number
  /** Behind it stand only tokens that the tokenizer adds by itself, which nobody has to tell. */
  end: number
}

/**
 * Splits a passage at its last space and tokenizes it as a whole, as the usual evaluation harness does: the last word's
 * tokens are those beyond the tokens of what goes before it. Passages of more than `most` tokens lose their beginning.
 * @param after how many tokens `encode` puts behind a text by itself
 * @throws WorkbenchError `text-invalid` when there is no last word with something before it
 */
export function readPassage(text: string, encode: (text: string) => Int32Array, most: number, number: number, after = 0): Passage {
  const passage = text.trimEnd()
  const before = passage.slice(0, Math.max(0, passage.lastIndexOf(' '))).trimEnd()
  if (!before) {
    throw new WorkbenchError(
      'text-invalid',
      `Passage ${number} is a single word: “${passage.slice(0, 60)}”.`,
      'Each passage needs a last word with something before it.',
    )
  }
  const ids = encode(passage)
  const word = encode(before).length - after
  const end = ids.length - after
  const cut = Math.max(0, ids.length - most)
  if (word >= end || word - cut < 1) {
    throw new WorkbenchError(
      'text-invalid',
      `The last word of passage ${number} is not apart from the rest in this model’s tokens.`,
      'Remove that passage, or choose another text.',
    )
  }
  return { ids: ids.subarray(cut), word: word - cut, end: end - cut }
}
