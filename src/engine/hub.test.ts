/** What is said of repositories that hold no model that can be read, against a Hub on this machine. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type HubServer, folderContents, startHub } from '../../e2e/hub/server.ts'
import { type Hub, openHub } from '../io/hub/hub.ts'
import { refusal } from '../io/testing.ts'
import { hubModel, openHubModel } from './hub.ts'
import { Session } from './session.ts'

let server: HubServer
let hub: Hub

beforeAll(async () => {
  const demo = await folderContents('public/demo')
  const named = (name: string) => new Map([...demo, [name, new Uint8Array(5)]])
  const only = (...names: string[]) => new Map(names.map((name) => [name, new Uint8Array(100)]))
  server = await startHub({
    tokens: {},
    repos: [
      { name: 'demo/gguf', revisions: { main: only('README.md', 'tiny.Q4_K_M.gguf', 'tiny.Q8_0.gguf') } },
      { name: 'demo/pickle', revisions: { main: only('README.md', 'pytorch_model.bin', 'tiny.gguf') } },
      { name: 'demo/nothing', revisions: { main: only('README.md') } },
      { name: 'demo/device', revisions: { main: named('aux.md') } },
      { name: 'demo/pictures', revisions: { main: named('con.png') } },
    ],
  })
  hub = openHub({ url: server.url })
})
afterAll(() => server.close())

test.each([
  ['demo/gguf', /weights only as tiny\.Q4_K_M\.gguf \(GGUF, the format of llama\.cpp\), which cannot be read\.$/, /made from/],
  ['demo/pickle', /pytorch_model\.bin \(a PyTorch pickle.*No pull request/, /converter/],
  ['demo/nothing', /no weights at this revision/, /another revision/],
])('%s is told by its weights, and by nothing else', async (name, message, hint) => {
  const { problems } = await hubModel(hub, name)
  expect(problems).toEqual([
    { severity: 'error', code: 'file-missing', message: expect.stringMatching(message), hint: expect.stringMatching(hint) },
  ])
  const refused = await refusal(() => openHubModel(hub, new Session(undefined), name))
  expect([refused.message, refused.hint]).toEqual([problems[0].message, problems[0].hint])
})

test('a companion with a name that not every system can hold is refused', async () => {
  const error = await refusal(() => openHubModel(hub, new Session(undefined), 'demo/device'))
  expect(error.message).toMatch(/aux\.md.*Windows/)
  // What is not opened may be called anything.
  expect((await openHubModel(hub, new Session(undefined), 'demo/pictures')).blocks).toBe(4)
})
