/** Everything that goes wrong between here and a Hub, over real HTTP, ends in the right bytes or the right words. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Fault, type HubServer, startHub } from '../../../e2e/hub/server.ts'
import { refusal } from '../testing.ts'
import { openHub } from './hub.ts'
import type { Repo } from './answers.ts'
import type { NetworkOptions } from './network.ts'
import type { NetworkEvent } from './traffic.ts'

const repo: Repo = { type: 'model', name: 'demo/noise' }
const content = Uint8Array.from({ length: 1_500_000 }, (_, i) => (i * 2654435761) >>> 13)
const token = 'hf_secret_reader'
let server: HubServer

beforeAll(async () => {
  server = await startHub({
    tokens: { [token]: [] },
    repos: [{ name: repo.name, revisions: { main: new Map([['model.safetensors', content]]) } }],
  })
})
afterAll(() => server.close())
beforeEach(() => {
  server.log.length = 0
})
afterEach(() => server.clear())

/** A Hub with one file of it, the waits that it would have made, and what it said meanwhile. */
async function open(options: NetworkOptions = {}) {
  const waits: number[] = []
  const said: string[] = []
  const hub = openHub({
    url: server.url,
    random: () => 1,
    sleep: async (ms) => {
      waits.push(ms)
    },
    ...options,
  })
  hub.network.listen((event: NetworkEvent) => {
    if (event.type === 'traffic' && event.traffic.waiting && event.traffic.waiting !== said.at(-1)) said.push(event.traffic.waiting)
  })
  const { sha } = await hub.facts(repo)
  const file = hub.files(repo, sha, await hub.list(repo, sha)).get('model.safetensors')!
  server.log.length = 0
  return {
    hub,
    file,
    waits,
    said,
    read: async (begin = 1000, end = 1_401_000) => new Uint8Array(await file.slice(begin, end).arrayBuffer()),
  }
}

const same = (bytes: Uint8Array, begin = 1000) => Buffer.compare(bytes, content.subarray(begin, begin + bytes.length)) === 0

describe('once, and then all is well:', () => {
  const cases: [Fault, number, RegExp][] = [
    ['refused', 1, /closed the connection|cannot be reached/],
    ['reset', 1, /closed the connection|cannot be reached/],
    ['broken', 2, /internal problem \(500\)/],
    ['busy', 1, /limits the rate of requests \(429\)/],
    ['whole', 1, /with status 200/],
    ['shifted', 1, /sent bytes 1001 to 1400999 of a file instead of 1000 to/],
    ['short', 1, /less than the 1400000 bytes/],
    ['etag', 1, /another version/],
    ['stall', 1, /sent nothing for a second/],
  ]
  // A large file comes from the storage: there is where most things break.
  for (const where of ['/resolve/', '/files/']) {
    test.each(cases)(`%s (${where})`, async (fault, times, why) => {
      // Short only where it is waited for: on a busy machine, a good answer may take as long.
      const { hub, read, waits, said } = await open({ stall: fault === 'stall' ? 900 : 30_000 })
      // The tag that later ranges have to agree with.
      expect(same(await read(0, 10), 0)).toBe(true)
      // The storage is asked directly after that, until its address has expired.
      if (where === '/resolve/') server.fault('expired', { match: '/files/' })
      server.fault(fault, { match: where, times, retryAfter: '7' })
      const bytes = await read()
      expect(bytes.length).toBe(1_400_000)
      expect(same(bytes)).toBe(true)
      expect(waits.length).toBe(times)
      expect(said.join()).toMatch(why)
      if (fault === 'busy') expect(waits).toEqual([7000])
      else expect(waits).toEqual([500, 1000].slice(0, times))
      expect(hub.network.traffic.waiting).toBe(null)
    })
  }

  test('the storage is asked directly, and the Hub again once that address has expired', async () => {
    const { read } = await open()
    const asked = () => server.log.splice(0).map(({ host }) => host)
    expect(same(await read(1000, 2000))).toBe(true)
    expect(asked()).toEqual(['hub', 'storage'])
    expect(same(await read(1000, 3000))).toBe(true)
    expect(asked()).toEqual(['storage'])
    server.fault('expired', { match: '/files/' })
    expect(same(await read(1000, 4000))).toBe(true)
    expect(asked()).toEqual(['storage', 'hub', 'storage'])
  })

  test('a connection that trickles is slow, not broken', async () => {
    const { read, waits } = await open({ stall: 300 })
    server.fault('slow', { match: '/files/' })
    expect(same(await read())).toBe(true)
    expect(waits).toEqual([])
  })

  test('a transfer that broke off goes on where it was', async () => {
    const { read } = await open()
    server.fault('reset', { match: '/files/' })
    expect(same(await read())).toBe(true)
    const ranges = server.log.filter(({ host }) => host === 'storage').map(({ range }) => Number(/\d+/.exec(range!)![0]))
    expect(ranges[0]).toBe(1000)
    // How much arrived before the break is the network's choice, but not all of it is fetched again.
    expect(ranges[1]).toBeGreaterThan(1000)
    expect(server.sent(/files/)).toBeLessThan(1.6 * 1_400_000)
  })

  test('API answers are tried again, too', async () => {
    const { hub, waits } = await open()
    for (const fault of ['reset', 'broken', 'busy'] as const) server.fault(fault, { match: '^/api/models$' })
    expect((await hub.search('noise')).map(({ name }) => name)).toEqual([repo.name])
    expect(waits.length).toBe(3)
  })
})

describe('for good:', () => {
  const cases: [Fault, string, RegExp, number][] = [
    ['refused', 'hub-unreachable', /closed the connection|cannot be reached/, 3],
    ['reset', 'hub-unreachable', /closed the connection|cannot be reached/, 3],
    ['broken', 'hub-busy', /internal problem \(500\)/, 6],
    ['busy', 'hub-busy', /limits the rate/, 6],
    ['whole', 'hub-answer', /with status 200/, 3],
    ['shifted', 'hub-answer', /instead of 5000 to 5999/, 3],
    ['short', 'hub-answer', /less than the 1000 bytes/, 3],
    ['etag', 'hub-changed', /another version/, 3],
  ]
  test.each(cases)('%s ends as %s', async (fault, code, message, tries) => {
    const { read, waits } = await open()
    await read(0, 10)
    server.fault(fault, { match: '/files/', times: 1000 })
    const error = await refusal(() => read(5000, 6000))
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) })
    expect(waits.length).toBe(tries - 1)
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000].map((ms) => (fault === 'busy' ? 1000 : ms)).slice(0, tries - 1))
    // The storage's address is signed: it is a secret.
    expect(`${error.message} ${error.hint} ${error.stack}`).not.toMatch(/signature|secret|https?:/)
  })

  test('a job is more patient with a connection that breaks again and again', async () => {
    const { hub, read, waits } = await open()
    hub.network.patient = true
    server.fault('refused', { match: '/files/', times: 1000 })
    expect(await refusal(() => read(5000, 6000))).toMatchObject({ code: 'hub-unreachable' })
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000])
  })

  test('a server that wants a long rest is not waited for', async () => {
    const { read, waits } = await open()
    server.fault('busy', { match: '/resolve/', retryAfter: '3600' })
    expect(await refusal(() => read())).toMatchObject({ code: 'hub-busy', message: /60 min of rest/ })
    expect(waits).toEqual([])
  })

  test('an answer that is no Hub’s is called so', async () => {
    const { hub } = await open()
    for (const ask of [() => hub.search('x'), () => hub.facts(repo), () => hub.refs(repo), () => hub.list(repo, 'main')]) {
      server.fault('nonsense', { match: '^/api/' })
      expect(await refusal(ask)).toMatchObject({ code: 'hub-answer', message: /is not that of a Hub/ })
    }
  })

  test('nobody listens', async () => {
    const closed = createServer()
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve))
    const { port } = closed.address() as AddressInfo
    await new Promise((resolve) => closed.close(resolve))
    const hub = openHub({ url: `http://127.0.0.1:${port}`, sleep: async () => {} })
    hub.network.setToken(token)
    const error = await refusal(() => hub.search('x'))
    expect(error).toMatchObject({ code: 'hub-unreachable', message: `The Hub at 127.0.0.1:${port} refuses the connection.` })
    expect(`${error.message} ${error.hint} ${error.stack} ${JSON.stringify(error)}`).not.toContain(token)
  })
})

describe('without a network', () => {
  const down: typeof fetch = async () => {
    throw new TypeError('fetch failed', { cause: Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' }) })
  }

  test('a question is answered at once, by saying so', async () => {
    const waits: number[] = []
    const hub = openHub({ url: server.url, fetch: down, sleep: async (ms) => void waits.push(ms) })
    expect(await refusal(() => hub.search('x'))).toMatchObject({ code: 'offline', message: 'There is no network connection.' })
    expect(waits).toEqual([])
    let online = false
    const other = openHub({
      url: server.url,
      online: () => online,
      fetch: (...call) => (online ? fetch(...call) : Promise.reject(new TypeError('Failed to fetch'))),
    })
    expect(await refusal(() => other.search('x'))).toMatchObject({ code: 'offline' })
    online = true
    expect(await other.search('noise')).toHaveLength(1)
  })

  test('a job waits for it, and goes on', async () => {
    let online = true
    let waited = 0
    const { hub, read, said } = await open({
      online: () => online,
      fetch: (...call) => (online ? fetch(...call) : Promise.reject(new TypeError('Failed to fetch'))),
      sleep: async () => {
        if (++waited === 20) online = true
      },
    })
    hub.network.patient = true
    online = false
    expect(same(await read())).toBe(true)
    expect(waited).toBe(20)
    expect(said[0]).toBe('There is no network; trying again in a second.')
  })
})

describe('everything in flight', () => {
  test('ends when it is interrupted, while it waits as well as while it reads', async () => {
    const { hub, read } = await open({ sleep: undefined })
    server.fault('stall', { match: '/files/' })
    server.fault('busy', { match: '/files/', retryAfter: '60' })
    const both = [refusal(() => read(0, 1_000_000)), refusal(() => read(1_000_000, 1_400_000))]
    while (server.log.filter(({ host }) => host === 'storage').length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
    hub.network.interrupt()
    for (const error of await Promise.all(both)) expect(error.code).toBe('cancelled')
    expect(same(await read())).toBe(true)
  })

  test('takes turns: no more than six connections at a time', async () => {
    let now = 0
    let most = 0
    const { read } = await open({
      fetch: async (...call) => {
        most = Math.max(most, ++now)
        return fetch(...call).finally(() => {
          now--
        })
      },
    })
    const parts = await Promise.all(Array.from({ length: 20 }, (_, i) => read(i * 1000, i * 1000 + 1000)))
    expect(parts.every((part, i) => same(part, i * 1000))).toBe(true)
    expect(most).toBe(6)
  })

  test('is counted: what came equals what was sent', async () => {
    const { hub, read } = await open()
    const before = hub.network.traffic.fetched
    await read(0, 1_000_000)
    expect(hub.network.traffic.fetched - before).toBe(1_000_000)
    expect(server.sent()).toBe(1_000_000)
    expect(hub.network.traffic.rate).toBeGreaterThan(0)
  })
})
