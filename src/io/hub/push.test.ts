/** Against a Hub on this machine, over real HTTP: what arrives, what is sent twice, and what is refused. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type HubServer, startHub } from '../../../e2e/hub/server.ts'
import { WorkbenchError } from '../../errors.ts'
import { refusal } from '../testing.ts'
import { type Hub, openHub } from './hub.ts'
import { checkPush, type PushFile, type PushProgress, push } from './push.ts'

const token = 'hf_writer_token'
const fast = { sleep: async () => {}, random: () => 0 }

/** Bytes of which some compress and others do not. */
function noise(bytes: number, seed: number): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(bytes)
  let state = seed
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    data[i] = i % 300_000 < 150_000 ? state >>> 24 : i % 4
  }
  return data
}

const shard = (seed: number) => noise(11 << 20, seed)
const contents: [string, Uint8Array<ArrayBuffer>][] = [
  ['README.md', new TextEncoder().encode('# A checkpoint\n')],
  ['config.json', new TextEncoder().encode('{"model_type":"llama"}')],
  ['model-00001-of-00002.safetensors', shard(1)],
  ['model-00002-of-00002.safetensors', shard(2)],
  ['notes/extra.txt', new TextEncoder().encode('Grüße')],
  ['quantization_report.json', new TextEncoder().encode('{"perplexity":6.28}')],
]
const fileOf = ([path, data]: [string, Uint8Array<ArrayBuffer>]): PushFile => {
  const content = new Blob([data])
  return { path, bytes: content, content }
}
const files = contents.map(fileOf)

let byXet: HubServer
let byPut: HubServer
const open = (server: HubServer, as: string | null = token): Hub => {
  const hub = openHub({ url: server.url, ...fast })
  hub.network.setToken(as)
  return hub
}

beforeAll(async () => {
  const options = {
    repos: [{ name: 'demo/taken', private: true, revisions: { main: new Map([['notes.txt', new Uint8Array(3)]]) } }],
    tokens: { hf_reader_token: [] },
    writers: { [token]: ['demo'] },
  }
  byXet = await startHub(options)
  byPut = await startHub({ ...options, uploads: 'put' })
})
afterAll(() => Promise.all([byXet, byPut].map((server) => server.close())))
beforeEach(() => {
  for (const { log, commits } of [byXet, byPut]) log.length = commits.length = 0
})

/** The repository holds the files and nothing else but what the Hub makes itself. */
async function expectWhole(server: HubServer, repo: string): Promise<void> {
  const found = await server.pushed(repo)
  expect([...found!.files.keys()].sort()).toEqual(['.gitattributes', ...contents.map(([path]) => path)].sort())
  for (const [path, data] of contents) expect(found!.files.get(path)!.equals(data), path).toBe(true)
}

describe.each([
  ['Xet', () => byXet, /xorbs/],
  ['plain PUT', () => byPut, /^\/upload/],
] as const)('by %s', (name, at, sending) => {
  const repo = `demo/by-${name === 'Xet' ? 'xet' : 'put'}`

  test('every byte arrives in a private repository, the report first and the small files last', async () => {
    const told: PushProgress[] = []
    const pushed = await push(open(at()), { repo, public: false }, files, { tell: (progress) => told.push(progress) })
    expect(pushed).toEqual({ url: `${at().url}/${repo}`, sent: 6, kept: 0 })
    expect((await at().pushed(repo))!.private).toBe(true)
    await expectWhole(at(), repo)
    expect(at().commits.map(({ paths }) => paths)).toEqual([
      ['quantization_report.json'],
      ['model-00001-of-00002.safetensors'],
      ['model-00002-of-00002.safetensors'],
      ['README.md', 'config.json', 'notes/extra.txt'],
    ])
    const total = contents.reduce((sum, [, { length }]) => sum + length, 0)
    expect(told.at(-1)).toMatchObject({ done: total, total })
    for (const { done } of told) expect(done).toBeLessThanOrEqual(total)
    expect(new Set(told.map(({ phase }) => phase))).toEqual(new Set(['checking', 'hashing', 'sending', 'committing']))
    // The token is for the Hub alone.
    for (const { host, authorization, path } of at().log) {
      expect(authorization === `Bearer ${token}`, path).toBe(host === 'hub')
      expect(path).not.toContain(token)
    }
  })

  test('what is there already is not sent again', async () => {
    expect(await push(open(at()), { repo, public: false }, files)).toMatchObject({ sent: 0, kept: 6 })
    expect(at().commits).toEqual([])
    expect(at().received(sending)).toBe(0)
  })

  test('a connection that breaks in the middle is tried again, and an upload that ended goes on', async () => {
    const cut = `${repo}-cut`
    const fresh = contents.map(([path, data], i) => fileOf([path, path.endsWith('.safetensors') ? shard(10 + i) : data]))
    at().fault('refused', { match: sending.source, method: name === 'Xet' ? 'POST' : 'PUT' })
    // The answer is lost on its way; the commit was made.
    at().fault('reset', { match: '/commit/main', method: 'POST' })
    const stop = new AbortController()
    const cancelled = push(open(at()), { repo: cut, public: false }, fresh, {
      signal: stop.signal,
      tell: ({ path, phase }) => {
        if (phase === 'hashing' && path?.startsWith('model-00002'))
          stop.abort(new WorkbenchError('cancelled', 'It was cancelled.', 'Go on.'))
      },
    })
    expect(await refusal(() => cancelled)).toMatchObject({ code: 'cancelled' })
    const first = ['.gitattributes', 'quantization_report.json', 'model-00001-of-00002.safetensors']
    expect([...(await at().pushed(cut))!.files.keys()]).toEqual(first)
    const before = at().received(sending)
    expect(before).toBeGreaterThan(5 << 20)
    expect(await push(open(at()), { repo: cut, public: false }, fresh)).toMatchObject({ sent: 4, kept: 2 })
    // The second of two files of equal size, and not the first.
    expect(at().received(sending) / before).toBeCloseTo(2, 1)
    const found = (await at().pushed(cut))!.files
    for (const { path, bytes } of fresh) expect(found.get(path)!.equals(Buffer.from(await bytes.arrayBuffer())), path).toBe(true)
  })
})

test('files are read from the disk by their address', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'workbench-'))
  const fresh = contents.map(([path, data]): [string, Uint8Array<ArrayBuffer>] =>
    path.includes('00001') ? [path, shard(3)] : [path, data],
  )
  const onDisk = await Promise.all(
    fresh.map(async ([path, data], i) => {
      await writeFile(join(folder, String(i)), data)
      return { path, bytes: new Blob([data]), content: pathToFileURL(join(folder, String(i))) }
    }),
  )
  for (const server of [byXet, byPut]) {
    await push(open(server), { repo: 'demo/disk', public: true }, onDisk)
    const found = (await server.pushed('demo/disk'))!
    expect(found.private).toBe(false)
    for (const [path, data] of fresh) expect(found.files.get(path)!.equals(data), path).toBe(true)
    expect(server.received(/xorbs|^\/upload/)).toBeGreaterThan(5 << 20)
  }
  await rm(folder, { recursive: true })
})

describe('refused before anything is sent', () => {
  const cases: [string, string | null, string, boolean, RegExp][] = [
    ['without a token', null, 'demo/new', false, /^hub-denied: Uploading to \S+ needs an access token/],
    ['with a token that the Hub does not know', 'hf_of_nobody', 'demo/new', false, /^hub-denied: .*does not accept this token/],
    ['with a token for reading', 'hf_reader_token', 'demo/new', false, /^hub-denied: The access token of user-0 is for reading only/],
    ['for an owner that is somebody else', token, 'other/new', false, /^hub-denied: other is neither user-1 nor/],
    ['without an owner', token, 'new', false, /^option-invalid: “new” cannot be the name/],
    ['for a name that the Hub does not allow', token, 'demo/a--b', false, /^option-invalid: “demo\/a--b” cannot/],
    ['for a name that leads elsewhere', token, 'demo/../admin', false, /^option-invalid: /],
    [
      'for a repository that holds something else',
      token,
      'demo/taken',
      false,
      /^option-invalid: demo\/taken holds something else already: notes.txt/,
    ],
    ['for a repository of the other visibility', token, 'demo/taken', true, /^option-invalid: demo\/taken exists and is private/],
  ]
  test.each(cases)('%s', async (_, as, repo, everybody, message) => {
    const place = { repo, public: everybody }
    for (const attempt of [() => checkPush(open(byXet, as), place, false), () => push(open(byXet, as), place, files)]) {
      const { code, message: said } = await refusal(attempt)
      expect(`${code}: ${said}`).toMatch(message)
    }
    expect(byXet.commits).toEqual([])
    expect(byXet.log.filter(({ method }) => method !== 'GET')).toEqual([])
  })

  test('a checkpoint of another run is not mixed with this one', async () => {
    const other = contents.map(([path, data]) =>
      fileOf([path, path.includes('report') ? new TextEncoder().encode('{"perplexity":9.99}') : data]),
    )
    const { code, message } = await refusal(() => push(open(byXet), { repo: 'demo/by-xet', public: false }, other))
    expect(`${code}: ${message}`).toMatch(/^option-invalid: demo\/by-xet holds something else already: quantization_report.json/)
    expect(byXet.commits).toEqual([])
  })
})
