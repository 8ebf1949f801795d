/** Added tokens: found literally in the text before the model encodes the rest. */
import { isObject, type JsonObject } from '../../io/json.ts'
import { fieldsOf, flag, invalid, shown, text } from './fields.ts'
import { checkedId } from './models.ts'
import type { Normalizer } from './normalizers.ts'
import { classes } from './unicode.ts'

export interface AddedToken {
  content: string
  /** Matches only when no letter, digit or the like is next to it. */
  single_word: boolean
  /** Includes the white space before it. */
  lstrip: boolean
  rstrip: boolean
  /** Is normalized itself and searched in the normalized text. */
  normalized: boolean
  special: boolean
}

const fields = {
  content: text(),
  single_word: flag(false),
  lstrip: flag(false),
  rstrip: flag(false),
  normalized: flag(),
  special: flag(false),
}

/** One entry of an added_tokens or added_tokens_decoder list. @throws WorkbenchError `tokenizer-invalid` */
export function readAddedToken({ id: _, __type, ...entry }: JsonObject, name: string): AddedToken {
  return fieldsOf({ normalized: entry.special !== true, ...entry }, name, fields)
}

/** Assigns ids to tokens as the library does: the id in the vocabulary, or the next free one. */
export class AddedTokens {
  readonly #tokens = new Map<string, { token: AddedToken; id: number }>()
  #highest = -1

  constructor(readonly vocab: ReadonlyMap<string, number>) {}

  get(content: string): { token: AddedToken; id: number } | undefined {
    return this.#tokens.get(content)
  }

  /**
   * Adds tokens, or changes how existing ones are matched.
   * @param declared the id that a file gives for each; undefined if none
   * @throws WorkbenchError `tokenizer-invalid` when that is not the id that the token gets
   */
  add(tokens: AddedToken[], declared: (number | undefined)[], file: string): void {
    let next = Math.max(this.vocab.size, this.#highest + 1)
    for (const [i, token] of tokens.entries()) {
      if (!token.content) continue
      const id = this.#tokens.get(token.content)?.id ?? this.vocab.get(token.content) ?? next++
      const stated = declared[i]
      if (stated !== undefined && stated !== id) {
        throw invalid(`${file} gives the added token ${shown(token.content)} the id ${stated}, but the id that it gets is ${id}`)
      }
      this.#tokens.set(token.content, { token, id: checkedId(id, token.content) })
      this.#highest = Math.max(this.#highest, id)
    }
  }

  *[Symbol.iterator](): Iterator<{ token: AddedToken; id: number }> {
    yield* this.#tokens.values()
  }
}

/** The added_tokens of a tokenizer.json. */
export function readAddedTokens(value: unknown, vocab: ReadonlyMap<string, number>): AddedTokens {
  const added = new AddedTokens(vocab)
  if (value !== undefined && value !== null && !Array.isArray(value)) throw invalid('its added_tokens are not a list')
  const entries: unknown[] = value ?? []
  const ids = entries.map((entry) => checkedId(isObject(entry) ? entry.id : undefined, isObject(entry) ? entry.content : entry))
  const tokens = entries.map((entry) => readAddedToken(entry as JsonObject, `the added token ${shown((entry as JsonObject).content)}`))
  added.add(tokens, ids, 'its list')
  return added
}

/** A segment of a text: an added token, or text for the model. */
export interface Section {
  text: string
  start: number
  id: number | null
}

interface Node {
  found: { token: AddedToken; id: number } | null
  next: Map<number, Node>
}

const startsWithWord = new RegExp(`^${classes.rustWord}`, 'v')
const endsWithWord = new RegExp(`${classes.rustWord}$`, 'v')
const isSpace = new RegExp(`^${classes.space}$`, 'v')

/**
 * Repeatedly finds the longest token at the leftmost position. @param normalizer applied to the tokens themselves first
 * @throws WorkbenchError `tokenizer-invalid` for two tokens with the same text
 */
export function finder(tokens: Iterable<{ token: AddedToken; id: number }>, normalizer: Normalizer | null): (text: string) => Section[] {
  const root: Node = { found: null, next: new Map() }
  const begins = new Uint8Array(0x10000)
  let any = false
  for (const one of tokens) {
    const content = normalizer ? normalizer.apply(one.token.content) : one.token.content
    if (!content) throw invalid(`its added token ${shown(one.token.content)} is empty after normalization`)
    let node = root
    for (let i = 0; i < content.length; i++) {
      const code = content.charCodeAt(i)
      const child: Node = node.next.get(code) ?? { found: null, next: new Map() }
      node.next.set(code, child)
      node = child
    }
    if (node.found)
      throw invalid(`its added tokens ${shown(node.found.token.content)} and ${shown(one.token.content)} are alike after normalization`)
    node.found = one
    begins[content.charCodeAt(0)] = 1
    any = true
  }
  return (text) => (any ? sections(text, root, begins) : [{ text, start: 0, id: null }])
}

function sections(text: string, root: Node, begins: Uint8Array): Section[] {
  const result: Section[] = []
  let done = 0
  const plain = (end: number) => {
    if (done < end) result.push({ text: text.slice(done, end), start: done, id: null })
  }
  for (let at = 0; at < text.length; ) {
    const match = begins[text.charCodeAt(at)] ? longest(text, at, root) : null
    if (!match) {
      at++
      continue
    }
    const { token, id, end } = match
    at = end
    if (
      token.single_word &&
      (endsWithWord.test(text.slice(Math.max(0, match.start - 2), match.start)) || startsWithWord.test(text.slice(end)))
    ) {
      continue
    }
    let [from, to] = [match.start, end]
    if (token.lstrip) while (from > done && isSpace.test(text[from - 1])) from--
    if (token.rstrip) while (to < text.length && isSpace.test(text[to])) to++
    // White space that the previous token already includes.
    if (token.lstrip && from < done) from = Math.min(done, to)
    if (from === to) continue
    plain(from)
    result.push({ text: text.slice(from, to), start: from, id })
    done = to
  }
  plain(text.length)
  return result
}

function longest(text: string, start: number, root: Node) {
  let best: { token: AddedToken; id: number; start: number; end: number } | null = null
  let node: Node | undefined = root
  for (let end = start; end < text.length; ) {
    node = node.next.get(text.charCodeAt(end++))
    if (!node) break
    if (node.found) best = { ...node.found, start, end }
  }
  return best
}
