/** Against a Hub on this machine, over real HTTP: what is found and read, by which requests, and with whose token. */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Contents, folderContents, type HubServer, startHub } from '../../../e2e/hub/server.ts'
import { openFolder } from '../folder.ts'
import { memorySink } from '../memory.ts'
import { CheckpointWriter, openCheckpoint } from '../safetensors.ts'
import { refusal } from '../testing.ts'
import { type Hub, openHub } from './hub.ts'
import { parseRepo } from './addresses.ts'
import type { Repo } from './answers.ts'
import type { NetworkEvent } from './traffic.ts'

const stories: Repo = { type: 'model', name: 'demo/stories' }
const gated: Repo = { type: 'model', name: 'demo/gated' }
const secret: Repo = { type: 'model', name: 'demo/secret' }
const fast = { sleep: async () => {}, random: () => 0 }

let server: HubServer
let demo: Map<string, Uint8Array>

/** The demo model over three shards, as our own writer lays them out. */
async function shards(folder: Contents): Promise<Map<string, Uint8Array>> {
  const whole = await openCheckpoint(
    new Map([['model.safetensors', new Blob([folder.get('model.safetensors') as Uint8Array<ArrayBuffer>])]]),
  )
  const sink = memorySink()
  const writer = new CheckpointWriter(sink, whole.tensors.values(), { shardBytes: 700_000 })
  for (const name of whole.tensors.keys()) await writer.write(name, await whole.read(name))
  await writer.finish()
  return new Map([...(folder as Map<string, Uint8Array>)].filter(([name]) => name !== 'model.safetensors').concat([...sink.files]))
}

beforeAll(async () => {
  demo = await folderContents('public/demo')
  const bin = new Map<string, Uint8Array>([
    ['config.json', demo.get('config.json')!],
    ['pytorch_model.bin', new Uint8Array(1000)],
  ])
  server = await startHub({
    pageSize: 4,
    tokens: { hf_reader_token: ['demo/gated', 'demo/secret'], hf_other_token: [] },
    repos: [
      {
        name: 'demo/stories',
        revisions: { main: demo, 'refs/pr/2': bin },
        tags: { 'v1.0': demo },
        license: 'mit',
        downloads: 5,
        parameters: 1,
      },
      { name: 'demo/shards', revisions: { main: await shards(demo) }, downloads: 9 },
      { name: 'demo/gated', revisions: { main: demo }, gated: 'manual' },
      { name: 'demo/secret', revisions: { main: demo }, private: true },
      { name: 'demo/hostile', revisions: { main: new Map([...demo, ['..\\..\\Startup\\evil.json', new Uint8Array(9)]]) } },
      { name: 'demo/xet', revisions: { main: demo }, xet: true },
      {
        name: 'demo/bin',
        revisions: { main: bin, 'refs/pr/1': bin, 'refs/pr/2': new Map([...bin, ...demo]), 'refs/pr/10': new Map([...bin, ...demo]) },
      },
      {
        type: 'dataset',
        name: 'demo/texts',
        revisions: { main: demo, 'refs/convert/parquet': new Map([['default/train/0000.parquet', demo.get('calibration.txt')!]]) },
      },
    ],
  })
})
afterAll(() => server.close())
beforeEach(() => {
  server.log.length = 0
})

test('a listing with a name that leads out of its folder is refused, and the name is told', async () => {
  const hub = openHub({ url: server.url })
  const repo: Repo = { type: 'model', name: 'demo/hostile' }
  const { sha } = await hub.facts(repo)
  const error = await refusal(() => hub.list(repo, sha))
  expect(error).toMatchObject({ code: 'hub-answer', message: expect.stringContaining('evil.json') })
  expect(error.message).toContain('backslash')
})

async function filesOf(hub: Hub, repo: Repo, revision?: string) {
  const { sha } = await hub.facts(repo, revision)
  return hub.files(repo, sha, await hub.list(repo, sha))
}

const digest = (bytes: ArrayBuffer | Uint8Array) => createHash('sha256').update(new Uint8Array(bytes)).digest('hex')

describe('a repository', () => {
  test('is found by a part of its name, the most downloaded first', async () => {
    const hub = openHub({ url: server.url })
    expect((await hub.search('DEMO/s')).map(({ name }) => name)).toEqual(['demo/shards', 'demo/stories'])
    expect(await hub.search('nothing like it')).toEqual([])
  })

  test('tells its facts, refs and files at a commit', async () => {
    const hub = openHub({ url: `${server.url}/` })
    const facts = await hub.facts(stories)
    expect(facts).toMatchObject({ name: 'demo/stories', gated: false, license: 'mit', modelType: 'llama', parameters: 1, downloads: 5 })
    const refs = await hub.refs(stories)
    expect(refs.branches).toEqual([{ name: 'main', sha: facts.sha }])
    expect(refs.tags).toEqual([{ name: 'v1.0', sha: facts.sha }])
    expect(refs.pulls.map(({ name }) => name)).toEqual(['refs/pr/2'])
    expect((await hub.facts(stories, 'refs/pr/2')).sha).toBe(refs.pulls[0].sha)
    // Over two pages.
    const listed = await hub.list(stories, facts.sha)
    expect(listed.map(({ path, size }) => [path, size])).toEqual([...demo].map(([path, { length }]) => [path, length]))
    expect(listed.find(({ path }) => path === 'model.safetensors')?.hash).toBe(digest(demo.get('model.safetensors')!))
  })

  test('may be a data set, with its parquet conversion', async () => {
    const hub = openHub({ url: server.url })
    const repo: Repo = { type: 'dataset', name: 'demo/texts' }
    const { sha } = await hub.facts(repo, 'refs/convert/parquet')
    const files = hub.files(repo, sha, await hub.list(repo, sha, { path: 'default/train' }))
    expect([...files.keys()]).toEqual(['default/train/0000.parquet'])
    expect(digest(await files.get('default/train/0000.parquet')!.arrayBuffer())).toBe(digest(demo.get('calibration.txt')!))
  })

  test('with pickled weights only has its conversions found among the pull requests', async () => {
    const hub = openHub({ url: server.url })
    const repo: Repo = { type: 'model', name: 'demo/bin' }
    const found = await hub.conversions(repo, (await hub.refs(repo)).pulls)
    expect(found.map(({ name, bytes }) => [name, bytes])).toEqual([
      ['refs/pr/10', demo.get('model.safetensors')!.length],
      ['refs/pr/2', demo.get('model.safetensors')!.length],
    ])
  })

  test('that is not there, or at no such revision, is said to be missing', async () => {
    const hub = openHub({ url: server.url })
    expect(await refusal(() => hub.facts({ type: 'model', name: 'demo/nothing' }))).toMatchObject({
      code: 'hub-missing',
      message: /demo\/nothing/,
    })
    expect(await refusal(() => hub.facts(stories, 'v9'))).toMatchObject({ code: 'hub-missing', message: /no such revision/ })
  })

  test('is named as owner/name, with a revision, or by the address of its page', () => {
    const cases: [string, string, string | null][] = [
      ['demo/stories', 'demo/stories', null],
      [' demo/stories@v1.0 ', 'demo/stories', 'v1.0'],
      ['demo/stories@refs/pr/3', 'demo/stories', 'refs/pr/3'],
      ['gpt2', 'gpt2', null],
      ['https://huggingface.co/demo/stories', 'demo/stories', null],
      ['https://huggingface.co/demo/stories/tree/v1.0', 'demo/stories', 'v1.0'],
      ['https://huggingface.co/demo/stories/blob/refs%2Fpr%2F3/config.json', 'demo/stories', 'refs/pr/3'],
    ]
    for (const [text, name, revision] of cases) expect(parseRepo(text)).toEqual({ name, revision })
    for (const text of ['', 'a/b/c', '../etc', 'a/..', 'a b', 'demo/stories@../x', 'demo/stories@', 'https://huggingface.co/'])
      expect(() => parseRepo(text), text).toThrow(expect.objectContaining({ code: 'option-invalid' }))
  })
})

describe('a file', () => {
  test('of a folder on the Hub equals the folder on disk', async () => {
    const files = await filesOf(openHub({ url: server.url }), stories)
    for (const [path, content] of demo) expect(digest(await files.get(path)!.arrayBuffer()), path).toBe(digest(content))
  })

  test('gives any part of itself by one request of exactly that range', async () => {
    const file = (await filesOf(openHub({ url: server.url }), stories)).get('model.safetensors')!
    server.log.length = 0
    const part = file.slice(1000, 5000).slice(10, 20)
    expect(part.size).toBe(10)
    expect(new Uint8Array(await part.arrayBuffer())).toEqual(new Uint8Array(demo.get('model.safetensors')!.subarray(1010, 1020)))
    expect(server.log.map(({ host, range }) => [host, range])).toEqual([
      ['hub', 'bytes=1010-1019'],
      ['storage', 'bytes=1010-1019'],
    ])
    expect(server.log[1].sent).toBe(10)
    expect((await file.slice(50, 50).arrayBuffer()).byteLength).toBe(0)
  })

  test('of announced tensors is read in merged requests, exactly and once', async () => {
    const hub = openHub({ url: server.url })
    const { checkpoint } = await openFolder(await filesOf(hub, { type: 'model', name: 'demo/shards' }))
    const local = await openCheckpoint(
      new Map([['model.safetensors', new Blob([demo.get('model.safetensors') as Uint8Array<ArrayBuffer>])]]),
    )
    const names = [...checkpoint.tensors.keys()].filter((name) => name.startsWith('model.layers.1.'))
    server.log.length = 0
    checkpoint.ahead(names)
    for (const name of names) expect(digest(await checkpoint.read(name)), name).toBe(digest(await local.read(name)))
    const needed = names.reduce((sum, name) => sum + local.tensors.get(name)!.bytes, 0)
    const requests = server.log.filter(({ host }) => host === 'storage')
    expect(requests.length).toBeLessThanOrEqual(3)
    expect(server.sent()).toBe(needed)
    // Read a second time, they come a second time: nothing is kept in memory once it was read.
    await checkpoint.read(names[0])
    expect(server.sent()).toBe(needed + local.tensors.get(names[0])!.bytes)
  })

  test('that is not wanted any more gives back its memory', async () => {
    const { checkpoint } = await openFolder(await filesOf(openHub({ url: server.url }), stories))
    const [first, second] = [...checkpoint.tensors.keys()].filter((name) => name.endsWith('mlp.up_proj.weight'))
    checkpoint.ahead([first])
    await checkpoint.readRange(first, 0, 10)
    checkpoint.ahead([second])
    server.log.length = 0
    await checkpoint.read(second)
    await checkpoint.readRange(first, 0, 10)
    expect(server.log.filter(({ host, range }) => host === 'storage' && range?.match(/-/)).at(-1)?.sent).toBe(10)
  })
})

describe('Xet', () => {
  test('serves the file, and equals it', async () => {
    const hub = openHub({ url: server.url })
    const events: NetworkEvent[] = []
    hub.network.listen((event) => events.push(event))
    const file = (await filesOf(hub, { type: 'model', name: 'demo/xet' })).get('model.safetensors')!
    const content = demo.get('model.safetensors')!
    expect(digest(await file.slice(100_000, 300_001).arrayBuffer())).toBe(digest(content.subarray(100_000, 300_001)))
    expect(digest(await file.arrayBuffer())).toBe(digest(content))
    expect(server.log.some(({ path }) => path.startsWith('/xorbs/'))).toBe(true)
    expect(server.log.some(({ path }) => path.startsWith('/files/'))).toBe(false)
    expect(events.filter(({ type }) => type === 'notice')).toEqual([])
    expect(hub.network.traffic.fetched).toBe(server.sent())
    // Its transfers go past the Hub, and are under way all the same: until they end, and no longer.
    expect(events.some((event) => event.type === 'traffic' && event.traffic.underWay > 0)).toBe(true)
    expect(hub.network.traffic.underWay).toBe(0)
  })

  test('that fails gives way to plain ranges, with a notice, once', async () => {
    const hub = openHub({ url: server.url, ...fast })
    const notices: NetworkEvent[] = []
    hub.network.listen((event) => event.type === 'notice' && notices.push(event))
    const file = (await filesOf(hub, { type: 'model', name: 'demo/xet' })).get('model.safetensors')!
    server.fault('broken', { match: '^/v2/reconstructions', times: 20 })
    const content = demo.get('model.safetensors')!
    for (const at of [0, 1000]) expect(digest(await file.slice(at, at + 500).arrayBuffer())).toBe(digest(content.subarray(at, at + 500)))
    expect(notices).toMatchObject([{ message: expect.stringMatching(/^model.safetensors could not be read through Xet/) }])
    expect(JSON.stringify(notices)).not.toMatch(/https?:|signature/)
    server.clear()
  })
})

describe('the token', () => {
  test('opens gated and private repositories, and goes to the Hub alone', async () => {
    const hub = openHub({ url: server.url })
    hub.network.setToken('hf_reader_token')
    expect(await hub.account()).toEqual({ name: 'user-0', organizations: [], readOnly: true })
    for (const repo of [gated, secret]) {
      const file = (await filesOf(hub, repo)).get('model.safetensors')!
      expect(digest(await file.arrayBuffer())).toBe(digest(demo.get('model.safetensors')!))
      expect((await file.slice(5, 9).arrayBuffer()).byteLength).toBe(4)
    }
    const { log } = server
    expect(log.filter(({ host }) => host === 'storage').length).toBeGreaterThan(2)
    for (const { host, path, authorization } of log) {
      expect(authorization).toBe(host === 'hub' ? 'Bearer hf_reader_token' : null)
      expect(path).not.toContain('hf_reader_token')
    }
  })

  test('goes to Xet’s storage no more than to any other', async () => {
    const hub = openHub({ url: server.url })
    hub.network.setToken('hf_reader_token')
    await (await filesOf(hub, { type: 'model', name: 'demo/xet' })).get('model.safetensors')!.slice(0, 100).arrayBuffer()
    const storage = server.log.filter(({ host }) => host === 'storage')
    expect(storage.length).toBeGreaterThan(1)
    for (const { authorization } of storage) expect(authorization ?? '').not.toContain('hf_reader')
  })

  test('missing, foreign or wrong ends in a sentence that says what to do and never names it', async () => {
    const hub = openHub({ url: server.url })
    const read = async (repo: Repo) => (await filesOf(hub, repo)).get('config.json')!.arrayBuffer()
    expect(await refusal(() => read(gated))).toMatchObject({ code: 'hub-denied', message: /gated/, hint: /Sign in/ })
    expect(await refusal(() => read(secret))).toMatchObject({ code: 'hub-missing', message: /private/, hint: /token/ })
    hub.network.setToken('hf_other_token')
    expect(await refusal(() => read(gated))).toMatchObject({ code: 'hub-denied', message: /no access yet/ })
    expect(await refusal(() => read(secret))).toMatchObject({ code: 'hub-missing' })
    hub.network.setToken('hf_unknown_token')
    const error = await refusal(() => hub.account())
    expect(error).toMatchObject({ code: 'hub-denied', message: /does not accept/ })
    expect(JSON.stringify([error.message, error.hint, error.stack, String(error.cause)])).not.toContain('hf_unknown')
    expect(() => hub.network.setToken('two words')).toThrow(expect.objectContaining({ code: 'hub-denied' }))
    expect(() => openHub({ url: 'http://mirror.example' }).network.setToken('hf_reader_token')).toThrow(/sent over HTTPS only/)
    hub.network.setToken(null)
    expect(hub.network.signedIn).toBe(false)
  })
})
