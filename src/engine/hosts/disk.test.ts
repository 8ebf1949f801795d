/** The cache's folder on a disk. */
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { Cache } from '../../io/hub/cache.ts'
import { diskCacheFolder } from './disk.ts'

const key = 'c'.repeat(64)
const made: string[] = []
afterAll(() => Promise.all(made.map((path) => rm(path, { recursive: true, force: true }))))
const folder = async () => {
  const path = await mkdtemp(join(tmpdir(), 'workbench-cache-'))
  made.push(path)
  return path
}

function cacheIn(parent: string, budget = 1e6) {
  const notices: string[] = []
  return { notices, cache: new Cache(diskCacheFolder(parent), budget, (_, message) => notices.push(message)) }
}

test('lies in a folder of its own with a tag, and everything around it is left alone', async () => {
  const parent = await folder()
  // As an earlier version kept its ranges, and what somebody may have there.
  const others = ['LICENSE', 'answers.json', `${key}-0-9`, 'photo.jpg', 'thesis.docx', 'uses.json']
  for (const name of others) await writeFile(join(parent, name), name)
  const { cache } = cacheIn(parent)
  await cache.write(key, 0, new Uint8Array([1, 2, 3]))
  await cache.remember('question', 'answer')
  const inside = join(parent, 'quantease-hub')
  expect((await readdir(inside)).sort()).toEqual(['CACHEDIR.TAG', 'answers.json', `${key}-0-3`, 'uses.json'])
  expect(await readFile(join(inside, 'CACHEDIR.TAG'), 'utf8')).toMatch(/^Signature: 8a477f597d28d172789f06886806bc55\n/)

  await writeFile(join(inside, 'mine.txt'), 'mine')
  await writeFile(join(inside, `${key}-3-4.1-1.tmp`), 'left by a killed program')
  await utimes(join(inside, `${key}-3-4.1-1.tmp`), 0, 0)
  const later = cacheIn(parent).cache
  expect(await later.info()).toMatchObject({ bytes: 3, full: null })
  expect(await later.read(key, { begin: 1, end: 3 })).toEqual(new Uint8Array([2, 3]))
  expect(await later.recall('question')).toBe('answer')
  await later.clear()
  expect((await readdir(inside)).sort()).toEqual(['CACHEDIR.TAG', 'mine.txt'])
  for (const name of others) expect(await readFile(join(parent, name), 'utf8')).toBe(name)
})

test('a folder of that name that is somebody else’s is not used, and that is said', async () => {
  const parent = await folder()
  const theirs = join(parent, 'elsewhere')
  await mkdir(theirs)
  for (const name of ['answers.json', `${key}-0-9`, 'CACHEDIR.TAG']) await writeFile(join(theirs, name), name)
  await symlink('elsewhere', join(parent, 'quantease-hub'))
  const { cache, notices } = cacheIn(parent)
  await cache.write(key, 0, new Uint8Array([1, 2, 3]))
  await cache.remember('question', 'answer')
  await expect(cache.clear()).rejects.toThrow('did not write')
  for (const name of ['answers.json', `${key}-0-9`, 'CACHEDIR.TAG']) expect(await readFile(join(theirs, name), 'utf8')).toBe(name)
  expect((await readdir(theirs)).length).toBe(3)
  expect(notices).toEqual([expect.stringContaining('contains files that this program did not write. Nothing more is cached.')])
})

test('two programs may make it at the same time', async () => {
  const parent = await folder()
  const caches = Array.from({ length: 5 }, () => cacheIn(parent))
  await Promise.all(caches.map(({ cache }, i) => cache.write(key, i, new Uint8Array([i]))))
  expect(caches.flatMap(({ notices }) => notices)).toEqual([])
  expect(await cacheIn(parent).cache.info()).toMatchObject({ bytes: 5 })
})
