/** Folders and texts on a disk, with the links that the Hub's own cache is made of. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { type Case, casesOf, layOut } from '../../../e2e/cases/cases.ts'
import { openFolder } from '../../io/folder.ts'
import { refusal } from '../../io/testing.ts'
import { diskFolder, textFile } from './node.ts'

const made: string[] = []
afterAll(() => Promise.all(made.map((folder) => rm(folder, { recursive: true }))))
async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'folder-'))
  made.push(path)
  return path
}

test.each(casesOf('file').filter(({ open }) => open))('$id opens', async (one: Case) => {
  const files = await diskFolder(await layOut(one, await folder()))
  expect([...files.keys()]).toEqual(['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'])
  const { checkpoint } = await openFolder(files)
  expect((await checkpoint.read([...checkpoint.tensors.keys()][0])).byteLength).toBeGreaterThan(0)
})

test('links to folders are entered once, links to nowhere and hidden folders are left out', async () => {
  const path = await folder()
  await mkdir(join(path, 'deep/.git'), { recursive: true })
  await mkdir(join(path, '.cache'))
  for (const name of ['a.txt', 'deep/b.txt', 'deep/.git/c', '.cache/d', '.hidden']) await writeFile(join(path, name), name)
  await symlink('..', join(path, 'deep/round'))
  await symlink('.', join(path, 'self'))
  await symlink('nowhere', join(path, 'gone'))
  await symlink('a.txt', join(path, 'also'))
  expect([...(await diskFolder(path)).keys()].sort()).toEqual(['.hidden', 'a.txt', 'also', 'deep/b.txt'])
})

test('what is no folder and what is no text are refused as what they are', async () => {
  const path = await folder()
  expect((await refusal(() => diskFolder(join(path, 'nothing')))).message).toContain('nothing cannot be read')
  expect((await refusal(() => textFile(path))).message).toContain('is a folder, not a text')
  expect((await refusal(() => textFile(join(path, 'nothing')))).message).toContain('cannot be read')
})
