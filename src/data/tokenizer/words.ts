/** What tokens stand for in a text, for display: the bytes of each, by the way in which the vocabulary spells them. */
import { isObject } from '../../io/json.ts'
import type { TextTokenizer } from '../tokenizer.ts'
import { bytesOfLevel } from './bytes.ts'

const encoder = new TextEncoder()

/** The pieces of text of these tokens, one each; a character whose bytes are spread over several comes with its last. */
export function wordsOf(tokenizer: Pick<TextTokenizer, 'tables' | 'tokenOf'>, ids: readonly number[]): string[] {
  const { definition, added } = tokenizer.tables
  const spelling = spellingOf(definition.decoder)
  const special = new Map(added.map(({ id, content }) => [id, content]))
  const decoder = new TextDecoder()
  return ids.map((id, i) => {
    const token = tokenizer.tokenOf(id)
    const bytes = special.has(id) ? encoder.encode(special.get(id)) : token === undefined ? new Uint8Array() : spelling(token)
    return decoder.decode(bytes, { stream: i < ids.length - 1 })
  })
}

/** Bytes of a token in a vocabulary whose texts are put together by `decoder` of tokenizer.json. */
function spellingOf(decoder: unknown): (token: string) => Uint8Array {
  const steps = stepsOf(decoder)
  if (steps.includes('ByteLevel')) return bytesOfLevel
  if (steps.includes('WordPiece')) return (token) => encoder.encode(token.startsWith('##') ? token.slice(2) : ` ${token}`)
  return (token) => {
    const byte = /^<0x([0-9A-F]{2})>$/.exec(token)
    return byte ? Uint8Array.of(Number.parseInt(byte[1], 16)) : encoder.encode(token.replaceAll('▁', ' '))
  }
}

function stepsOf(decoder: unknown): string[] {
  if (!isObject(decoder)) return []
  return [String(decoder.type), ...(Array.isArray(decoder.decoders) ? decoder.decoders.flatMap(stepsOf) : [])]
}
