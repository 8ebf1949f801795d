/** What another program made of a prompt, held against what our own forward pass says. */

/** What a model says next by our own forward pass. */
export interface NextToken {
  token: number
  /** By how many nats it is likelier than what was said instead; 0 where that is the same. */
  ahead: number
}

/** Held against what another program made of the same prompt. */
export interface Foretold {
  /** Tokens of the prompt by our own tokenizer, special ones included. */
  prompt: number
  /** What we would say in place of each token that was said. */
  next: NextToken[]
}
