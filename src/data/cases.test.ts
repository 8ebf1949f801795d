/** What people's files hold, and what is read of them: every case of e2e/cases about texts and packing. */
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { type Case, caseFile, casesOf, names } from '../../e2e/cases/cases.ts'
import { WorkbenchError } from '../errors.ts'
import { documents, fileText } from './documents.ts'

const packed = casesOf('file').filter(({ files }) => files)

async function read({ files, as_name }: Case): Promise<{ documents: string[] } | { error: WorkbenchError; name: string }> {
  const [path] = files!
  const name = as_name ?? path.split('/').at(-1)!
  const found: string[] = []
  try {
    for await (const document of documents(fileText(name, await caseFile(path)))) found.push(document)
    return { documents: found }
  } catch (error) {
    if (error instanceof WorkbenchError) return { error, name }
    throw error
  }
}

test.each([...casesOf('text'), ...packed])('$id', async (one) => {
  const found = await read(one)
  if ('error' in found) {
    const { error, name } = found
    const refused = one.right.find((right) => right.refused)?.refused
    expect(refused, `${error.message} ${error.hint}`).toBeDefined()
    expect(names(refused!, `${error.message} ${error.hint}`, name), `${error.message} ${error.hint}`).toBe(true)
    expect(error.hint).not.toMatch(/download/i)
    return
  }
  const digests = found.documents.map((text) => createHash('sha256').update(text).digest('hex'))
  const right = one.right.flatMap((right) => (right.documents_sha256 ? [right.documents_sha256] : right.documents ? [right.documents] : []))
  const seen = one.right.some((right) => right.documents_sha256) ? digests : found.documents
  expect(right, JSON.stringify(found.documents).slice(0, 400)).toContainEqual(seen)
})

test('there are such cases', () => {
  expect([casesOf('text').length, packed.length]).toEqual([46, 7])
})
