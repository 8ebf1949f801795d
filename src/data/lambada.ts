/** LAMBADA: passages whose last word has to be predicted from the whole text before it (Paperno et al., arXiv 1606.06031). */
import { WorkbenchError } from '../errors.ts'

/** A passage as tokens; those from `word` to `end` are its last word. */
export interface Passage {
  ids: Int32Array
  word: number
  /** Only tokens that the tokenizer itself adds follow it; they are not predicted. */
  end: number
}

/**
 * Splits a passage at its last space and tokenizes it as a whole, as the usual evaluation harness does: the last word's tokens are those
 * after the tokens of the text before it. Passages of more than `most` tokens are cut at their beginning.
 * @param after how many tokens `encode` appends to a text
 * @throws WorkbenchError `text-invalid` when there is no last word with text before it
 */
export function readPassage(text: string, encode: (text: string) => Int32Array, most: number, number: number, after = 0): Passage {
  const passage = text.trimEnd()
  const before = passage.slice(0, Math.max(0, passage.lastIndexOf(' '))).trimEnd()
  if (!before) {
    throw new WorkbenchError(
      'text-invalid',
      `Passage ${number} is a single word: “${passage.slice(0, 60)}”.`,
      'Each passage needs a last word with text before it.',
    )
  }
  const ids = encode(passage)
  const word = encode(before).length - after
  const end = ids.length - after
  const cut = Math.max(0, ids.length - most)
  if (word >= end || word - cut < 1) {
    throw new WorkbenchError(
      'text-invalid',
      `In this model’s tokens, the last word of passage ${number} is not separate from the text before it.`,
      'Remove that passage, or choose another text.',
    )
  }
  return { ids: ids.subarray(cut), word: word - cut, end: end - cut }
}
