/**
 * Components and parameters of a tokenizer.json against the ids that the Rust library gives (e2e/oracle/make_tokenizers.py):
 * equal, or refused by name where the fixture says that this will do.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { WorkbenchError } from '../errors.ts'
import { memoryFiles } from '../io/memory.ts'
import { refusal } from '../io/testing.ts'
import { compilePattern } from './tokenizer/regex.ts'
import { readNormalizer } from './tokenizer/normalizers.ts'
import { readPreTokenizer } from './tokenizer/pretokenizers.ts'
import { loadTokenizer } from './tokenizer.ts'

interface Fixture {
  name: string
  texts: string[] | null
  /** Null where the library refuses the file itself. */
  ids: number[][] | null
  /** A word that a refusal has to hold; null where it has to be done. */
  may_refuse: string | null
}

const book: {
  texts: string[]
  models: Record<string, object>
  cases: (Fixture & { model: string | object; parts: object })[]
  sides: (Fixture & { definition: { model: string }; files: Record<string, object> })[]
  sets: { assigned: [number, number][]; bert: object } & Record<'member' | 'mapped' | 'cuts', Record<string, string>>
} = JSON.parse(readFileSync('src/data/fixtures/tokenizers/rust.json', 'utf8'))

const modelOf = (model: string | object) => (typeof model === 'string' ? book.models[model] : model)
const json = (value: unknown) => JSON.stringify(value)

async function check({ texts, ids, may_refuse }: Fixture, files: [string, string][]) {
  if (!ids) return void expect((await refusal(() => loadTokenizer(memoryFiles(files)))).code).toBe('tokenizer-invalid')
  let got: number[][]
  try {
    const tokenizer = await loadTokenizer(memoryFiles(files))
    got = (texts ?? book.texts).map((text) => Array.from(tokenizer.encode(text)))
  } catch (error) {
    if (!(error instanceof WorkbenchError) || !may_refuse) throw error
    expect(error.code).toBe('tokenizer-invalid')
    expect(error.message).toContain(may_refuse)
    return
  }
  expect(got).toEqual(ids)
}

test.each(book.cases)('$name', async (one) => {
  await check(one, [['tokenizer.json', json({ ...one.parts, model: modelOf(one.model) })]])
})

describe('files beside tokenizer.json', () => {
  test.each(book.sides)('$name', async (one) => {
    const files = Object.entries(one.files).map(([name, value]): [string, string] => [name, json(value)])
    await check(one, [['tokenizer.json', json({ ...one.definition, model: modelOf(one.definition.model) })], ...files])
  })
})

describe('character by character', () => {
  const { assigned, member, mapped, cuts, bert } = book.sets
  const chars = assigned.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => String.fromCodePoint(from + i)))
  const digest = (values: string[]) => createHash('sha256').update(values.join('\n')).digest('hex').slice(0, 16)

  test.each(Object.entries(member))('%s', (pattern, expected) => {
    const regex = compilePattern(pattern)
    expect(digest(chars.filter((char) => char.search(regex) >= 0))).toBe(expected)
  })

  test.each(Object.entries(mapped))('%s', (type, expected) => {
    const normalizer = readNormalizer(type === 'BertNormalizer' ? bert : { type })!
    const about = (char: string) => (type === 'BertNormalizer' ? char : `a${char}\u0334`)
    expect(digest(chars.map((char) => normalizer.apply(about(char))))).toBe(expected)
  })

  test.each(Object.entries(cuts))('%s', (type, expected) => {
    const fields = { Digits: { individual_digits: true }, Punctuation: { behavior: 'Isolated' } }[type]
    const cut = readPreTokenizer({ type, ...fields })
    expect(digest(chars.map((char) => cut(`a${char}b`, true).filter(Boolean).join(' ')))).toBe(expected)
  })
})
