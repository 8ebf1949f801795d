/** Every tokenizer of e2e/cases gives the ids of the reference, or is refused by the name of what is not done. */
import { expect, test } from 'vitest'
import { type Case, caseFile, casesOf, names } from '../../e2e/cases/cases.ts'
import { WorkbenchError } from '../errors.ts'
import { readPassage } from './lambada.ts'
import { loadTokenizer, type TextTokenizer } from './tokenizer.ts'

async function open({ files = [], as_name }: Case) {
  const blobs = await Promise.all(files.map(async (path) => [as_name ?? path.split('/').at(-1)!, await caseFile(path)] as const))
  return loadTokenizer(new Map(blobs))
}

async function refusedOr<T>(work: () => Promise<T>): Promise<T | WorkbenchError> {
  return work().catch((error) => {
    if (error instanceof WorkbenchError) return error
    throw error
  })
}

const isPassage = ({ right }: Case) => right.some(({ judged_from }) => judged_from)
const cases = casesOf('tokenizer')

test.each(cases.filter((one) => !isPassage(one)))('$id', async (one) => {
  const got = await refusedOr(async () => {
    const tokenizer = await open(one)
    return one.texts!.map((text) => Array.from(tokenizer.encode(text)))
  })
  if (got instanceof WorkbenchError) {
    const refused = one.right.find((right) => right.refused)?.refused
    expect(refused && names(refused, `${got.message} ${got.hint}`), `${one.id}: ${got.message}`).toBe(true)
    expect(got.hint).not.toMatch(/download/i)
  } else expect(got).toEqual(one.right.find(({ ids }) => ids)!.ids)
})

test.each(cases.filter(isPassage))('$id', async (one) => {
  const tokenizer: TextTokenizer = await open(one)
  const encode = (text: string) => tokenizer.encode(text)
  const passages = one.texts!.map((text, i) => readPassage(text, encode, 100, i + 1, tokenizer.after))
  expect({
    ids: passages.map(({ ids }) => Array.from(ids)),
    judged_from: passages.map(({ word }) => word),
    judged_to: passages.map(({ end }) => end),
  }).toEqual(one.right[0])
})
