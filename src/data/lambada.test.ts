import { expect, test } from 'vitest'
import { refusal } from '../io/testing.ts'
import { readPassage } from './lambada.ts'

/** One token per word, a space belonging to the word behind it, and 9 in front. */
const encode = (text: string) => Int32Array.from([9, ...(text.match(/ ?[^ ]+/g) ?? []).map((piece) => piece.length)])

test('the last word is what the tokens of the rest do not cover', () => {
  const { ids, word } = readPassage('It is in the well \n', encode, 100, 1)
  expect(Array.from(ids)).toEqual([9, 2, 3, 3, 4, 5])
  expect(word).toBe(5)
  const parts = readPassage('a b-c-d', (text) => Int32Array.from(text.split(/[ -]/), (piece) => piece.length), 100, 1)
  expect(parts.word).toBe(1)
  expect(parts.ids).toHaveLength(4)
})

test('what the tokenizer puts behind a text is not part of the last word', () => {
  const withEnd = (text: string) => Int32Array.from([...encode(text), 7])
  const { ids, word, end } = readPassage('It is in the well', withEnd, 4, 1, 1)
  expect([Array.from(ids), word, end]).toEqual([[3, 4, 5, 7], 2, 3])
})

test('of a passage longer than the model the end is kept', () => {
  const { ids, word } = readPassage('It is in the well', encode, 3, 1)
  expect([Array.from(ids), word]).toEqual([[3, 4, 5], 2])
})

test.each(['', 'well', ' well '])('refuses %j, which has no last word', async (text) => {
  const error = await refusal(() => readPassage(text, encode, 100, 7))
  expect(error.code).toBe('text-invalid')
  expect(error.message).toContain('Passage 7')
})

test('refuses a last word that takes the whole model', async () => {
  expect((await refusal(() => readPassage('a well', encode, 1, 1))).message).toContain('not separate')
})
