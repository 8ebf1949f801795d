/** What was read from a Hub once is not read again, and is never mixed with anything else. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type HubServer, startHub } from '../../../e2e/hub/server.ts'
import { WorkbenchError } from '../../errors.ts'
import { refusal } from '../testing.ts'
import { Cache, type CacheFolder } from './cache.ts'
import { openHub } from './hub.ts'
import type { Repo } from './answers.ts'
import type { NetworkEvent } from './traffic.ts'

const repo: Repo = { type: 'model', name: 'demo/noise' }
const noise = (seed: number) => Uint8Array.from({ length: 100_000 }, (_, i) => ((i + seed) * 2654435761) >>> 13)
const [first, second] = [noise(1), noise(2)]
let server: HubServer

beforeAll(async () => {
  const file = (content: Uint8Array) => new Map([['model.safetensors', content]])
  server = await startHub({
    repos: [
      { name: repo.name, revisions: { main: file(first), other: file(second) } },
      { name: 'demo/copy', revisions: { main: file(first) } },
    ],
  })
})
afterAll(() => server.close())
beforeEach(() => {
  server.log.length = 0
})

function memoryFolder() {
  const files = new Map<string, Uint8Array<ArrayBuffer>>()
  const store: CacheFolder = {
    list: async () => Array.from(files, ([name, { length }]) => ({ name, bytes: length, modified: 0 })),
    async open(name) {
      const content = files.get(name)
      if (!content) throw new Error(`No ${name}`)
      return new Blob([content])
    },
    write: async (name, data) => void files.set(name, Uint8Array.from(data)),
    remove: async (name) => void files.delete(name),
  }
  return { files, store, ranges: () => [...files.keys()].filter((name) => !name.endsWith('.json')) }
}

/** A fresh engine over a store that may have seen others. */
async function open(store: CacheFolder, { budget = 1e6, name = repo.name, revision = 'main', content = first } = {}) {
  const hub = openHub({ url: server.url, cache: { store, budget }, sleep: async () => {} })
  const notices: NetworkEvent[] = []
  hub.network.listen((event) => event.type === 'notice' && notices.push(event))
  const at = { ...repo, name }
  const { sha } = await hub.facts(at, revision)
  const file = hub.files(at, sha, await hub.list(at, sha)).get('model.safetensors')!
  server.log.length = 0
  return {
    hub,
    notices,
    /** Reads, checks, and says how many bytes came over the network. */
    async fetched(begin: number, end: number) {
      const before = server.sent()
      const bytes = new Uint8Array(await file.slice(begin, end).arrayBuffer())
      expect(Buffer.compare(bytes, content.subarray(begin, end))).toBe(0)
      return server.sent() - before
    },
  }
}

describe('the cache', () => {
  test('gives what it has, and only the gaps are fetched', async () => {
    const { store } = memoryFolder()
    const before = await open(store)
    expect(await before.fetched(1000, 2000)).toBe(1000)
    expect(await before.fetched(3000, 4000)).toBe(1000)
    const after = await open(store)
    expect(await after.fetched(1000, 2000)).toBe(0)
    expect(await after.fetched(1500, 1600)).toBe(0)
    expect(await after.fetched(500, 4500)).toBe(2000)
    expect(server.log.filter(({ host }) => host === 'storage').map(({ range }) => range)).toEqual([
      'bytes=500-999',
      'bytes=2000-2999',
      'bytes=4000-4499',
    ])
    expect(await after.fetched(0, 5000)).toBe(1000)
    expect(await after.fetched(0, 5000)).toBe(0)
    expect(after.hub.network.traffic.cached).toBe(1000 + 100 + 2000 + 4000 + 5000)
    expect(await after.hub.cache!.info()).toEqual({ bytes: 5000, budget: 1e6, full: null })
  })

  test('writes down what many questions at once bring, in one file and one write after the other', async () => {
    const { files, store } = memoryFolder()
    let writing = 0
    let most = 0
    const slow: CacheFolder = {
      ...store,
      async write(name, data) {
        most = Math.max(most, ++writing)
        await new Promise((done) => setImmediate(done))
        await store.write(name, data)
        writing--
      },
    }
    const cache = new Cache(slow, 1e6, () => {})
    await Promise.all(Array.from({ length: 9 }, (_, i) => cache.remember(`question ${i}`, i)))
    expect(most).toBe(1)
    expect(Object.keys(JSON.parse(new TextDecoder().decode(files.get('answers.json'))))).toHaveLength(9)
    expect(await new Cache(store, 1e6, () => {}).recall('question 8')).toBe(8)
  })

  test('answers for a Hub that cannot be reached, and says so once', async () => {
    const { files, store } = memoryFolder()
    const before = await open(store)
    await before.fetched(0, 1000)
    const { sha } = await before.hub.facts(repo)
    server.fault('refused', { match: '', times: 1000 })
    const later = await open(store)
    expect(await later.fetched(0, 1000)).toBe(0)
    expect(await (await open(store, { revision: sha, content: first })).fetched(0, 1000)).toBe(0)
    expect((await later.hub.refs(repo).catch(({ code }) => code)) as unknown).toBe('hub-unreachable')
    expect(later.notices).toMatchObject([{ message: expect.stringMatching(/from the last visit/) }])
    expect(await refusal(() => open(store, { revision: 'other' }))).toMatchObject({ code: 'hub-unreachable' })
    // What is kept is checked as an answer of the Hub would be.
    for (const text of ['{', '[]', JSON.stringify({ [`${server.url} facts of model ${repo.name} at main`]: { sha: '../x' } })]) {
      files.set('answers.json', new TextEncoder().encode(text))
      expect(await refusal(() => open(store))).toMatchObject({ code: 'hub-unreachable' })
    }
    server.clear()
    const back = await open(store)
    expect(back.notices).toEqual([])
    await back.hub.cache!.clear()
    expect([...files.keys()]).toEqual([])
  })

  test('knows equal content in another repository, and another revision from this one', async () => {
    const { store } = memoryFolder()
    await (await open(store)).fetched(0, 1000)
    expect(await (await open(store, { name: 'demo/copy' })).fetched(0, 1000)).toBe(0)
    expect(await (await open(store, { revision: 'other', content: second })).fetched(0, 1000)).toBe(1000)
  })

  test('never uses a file that was cut short, and takes it out', async () => {
    const { files, store, ranges } = memoryFolder()
    await (await open(store)).fetched(0, 1000)
    const [name] = ranges()
    files.set(name, files.get(name)!.slice(0, 999))
    expect(await (await open(store)).fetched(0, 1000)).toBe(1000)
    // Also when it happens while the page is open.
    const engine = await open(store)
    files.set(name, files.get(name)!.slice(0, 10))
    expect(await engine.fetched(100, 200)).toBe(100)
    expect(ranges()).not.toContain(name)
    files.set('../strange name', new Uint8Array(4))
    await (await open(store)).hub.cache!.info()
    expect(files.has('../strange name')).toBe(true)
  })

  test('leaves files alone that are not named like its own', async () => {
    const { files, store } = memoryFolder()
    const foreign = ['thesis.docx', 'photo.jpg', 'LICENSE', `${'a'.repeat(64)}-0-5.bak`, `x${'a'.repeat(64)}-0-5`]
    for (const name of foreign) files.set(name, new Uint8Array(4))
    const engine = await open(store, { budget: 1000 })
    await engine.fetched(0, 1000)
    await engine.fetched(1000, 2000)
    await engine.hub.cache!.clear()
    expect([...files.keys()].sort()).toEqual(foreign.sort())
  })

  test('two programs on one folder stay within the budget together, and find what the other one brought', async () => {
    const { files, store, ranges } = memoryFolder()
    const budget = 64_000
    const caches = [0, 1].map(() => new Cache(store, budget, () => {}))
    const key = (i: number) => i.toString(16).padStart(64, '0')
    for (let i = 0; i < 400; i++) {
      await caches[(i * 7 + 1) % 3 ? 0 : 1].write(key(i), 0, new Uint8Array(500))
      const kept = ranges().reduce((sum, name) => sum + files.get(name)!.length, 0)
      expect(kept, `after ${i}`).toBeLessThanOrEqual(budget * (1 + 2 / 64))
    }
    const [one, two] = await Promise.all(caches.map((cache) => cache.info()))
    expect(one).toEqual(two)
    expect(await caches[0].find(key(399), { begin: 0, end: 500 })).toHaveLength(1)
    expect(await caches[1].find(key(399), { begin: 0, end: 500 })).toHaveLength(1)
    await Promise.all([caches[0].remember('a', 1), caches[1].remember('b', 2)])
    await caches[0].remember('c', 3)
    const third = new Cache(store, budget, () => {})
    expect(await Promise.all(['b', 'c'].map((question) => third.recall(question)))).toEqual([2, 3])
    await caches[1].clear()
    expect([...files.keys()]).toEqual([])
  })

  test('forgets a file that turns out to have changed', async () => {
    const { store, ranges } = memoryFolder()
    const engine = await open(store)
    await engine.fetched(0, 1000)
    server.fault('etag', { match: '/files/', times: 5 })
    expect(await refusal(() => engine.fetched(1000, 2000))).toMatchObject({ code: 'hub-changed' })
    server.clear()
    expect(ranges()).toEqual([])
  })

  test('lets go what was used longest ago, but nothing that the open model has used', async () => {
    const { store, ranges } = memoryFolder()
    let now = 1
    const notices: string[] = []
    const cache = new Cache(
      store,
      3000,
      (_, message) => notices.push(message),
      () => now++,
    )
    const key = (letter: string) => letter.repeat(64)
    const put = (letter: string) => cache.write(key(letter), 0, new Uint8Array(1000))
    for (const letter of 'abc') await put(letter)
    await cache.read(key('a'), { begin: 0, end: 10 })
    cache.begin()
    await put('d')
    expect(ranges().map((name) => name[0])).toEqual(['a', 'c', 'd'])
    await put('e')
    await put('f')
    expect(ranges().map((name) => name[0])).toEqual(['d', 'e', 'f'])
    expect(notices).toEqual([])
    // Larger than the budget: its first part stays, so that the next pass finds something.
    await put('1')
    await put('2')
    expect(ranges().map((name) => name[0])).toEqual(['d', 'e', 'f'])
    expect(notices).toEqual(['The model is larger than the cache of 0 MB.'])
    await cache.setBudget(1000)
    expect(ranges().map((name) => name[0])).toEqual(['f'])
    await cache.clear()
    expect([...(await store.list())]).toEqual([])
  })

  test('remembers over visits what was used last', async () => {
    const { store, ranges } = memoryFolder()
    let now = 1e6
    const fresh = () =>
      new Cache(
        store,
        2000,
        () => {},
        () => (now += 10_000),
      )
    const before = fresh()
    await before.write('a'.repeat(64), 0, new Uint8Array(1000))
    await before.write('b'.repeat(64), 0, new Uint8Array(1000))
    await before.read('a'.repeat(64), { begin: 0, end: 1 })
    const after = fresh()
    after.begin()
    await after.write('c'.repeat(64), 0, new Uint8Array(1000))
    expect(ranges().map((name) => name[0])).toEqual(['a', 'c'])
  })

  test('full or forbidden storage ends the caching, not the reading, and is said once', async () => {
    const full = memoryFolder()
    full.store.write = async () => {
      throw new WorkbenchError('storage-full', 'The disk is full.', 'Free some space.')
    }
    const engine = await open(full.store)
    expect(await engine.fetched(0, 1000)).toBe(1000)
    expect(await engine.fetched(0, 1000)).toBe(1000)
    expect(engine.notices).toMatchObject([{ code: 'storage-full', message: 'The disk is full. Nothing more is cached.' }])
    expect((await engine.hub.cache!.info()).full).toBe('The disk is full.')

    const forbidden = memoryFolder()
    forbidden.store.list = async () => {
      throw new WorkbenchError('storage-failed', 'The browser forbids it.', 'Use a normal window.')
    }
    const other = await open(forbidden.store)
    expect(await other.fetched(0, 1000)).toBe(1000)
    expect(other.notices).toHaveLength(1)
  })

  test('refuses a budget that is none', async () => {
    const { hub } = await open(memoryFolder().store)
    for (const bytes of [-1, 1.5, Number.NaN])
      expect(await refusal(() => hub.cache!.setBudget(bytes))).toMatchObject({ code: 'option-invalid' })
  })
})
