/** What llama.cpp says after a fixed prompt, held against our own forward pass. Pure. */
import type { Foretold } from '../engine/job/foretold.ts'

export const recited = { prompt: 'Once upon a time', tokens: 24 }

/** Ids of the most likely tokens, one by one, and how many tokens the prompt had. */
export interface Recital {
  prompt: number
  said: number[]
}

export type Verdict =
  | { kind: 'same'; tokens: number }
  /** The first `tokens` are the same; then rounding decides. */
  | { kind: 'tie'; tokens: number; ahead: number }
  | { kind: 'other'; tokens: number; ahead: number }
  | { kind: 'prompt'; ours: number; theirs: number }

/**
 * Nats by which our token may be ahead of theirs and rounding still be the reason: llama.cpp rounds the inputs of each linear
 * to 8 bits in groups of 32, which moves a logit by about a hundredth of what logits differ by.
 */
const tie = 0.1

export function judge({ prompt, said }: Recital, ours: Foretold): Verdict {
  if (prompt !== ours.prompt) return { kind: 'prompt', ours: ours.prompt, theirs: prompt }
  const tokens = said.findIndex((token, i) => token !== ours.next[i].token)
  if (tokens < 0) return { kind: 'same', tokens: said.length }
  const { ahead } = ours.next[tokens]
  return { kind: ahead <= tie ? 'tie' : 'other', tokens, ahead }
}

/** The verdict in words; `wrong` is a warning. */
export function describeVerdict(verdict: Verdict): { wrong: boolean; text: string } {
  switch (verdict.kind) {
    case 'same':
      return {
        wrong: false,
        text: `Checked: the first ${verdict.tokens} tokens after “${recited.prompt}” are those of our own forward pass.`,
      }
    case 'tie':
      return {
        wrong: false,
        text: `Checked: the first ${verdict.tokens} tokens after “${recited.prompt}” are those of our own forward pass; the next two candidates are so close (${verdict.ahead.toFixed(2)} nats) that rounding decides.`,
      }
    case 'other':
      return {
        wrong: true,
        text: `llama.cpp departs from our own forward pass after ${verdict.tokens} tokens of “${recited.prompt}”: ours continues with a token that is ${verdict.ahead.toFixed(2)} nats more likely. Its answers may be wrong on this machine.`,
      }
    case 'prompt':
      return {
        wrong: true,
        text: `llama.cpp reads “${recited.prompt}” as ${verdict.theirs} tokens, the model’s own tokenizer as ${verdict.ours}. Its answers may be wrong.`,
      }
  }
}
