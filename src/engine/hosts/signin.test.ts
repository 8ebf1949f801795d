/** The way to the Hub and back, with a Hub on this machine and its person’s consent played by a redirect. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type HubServer, startHub } from '../../../e2e/hub/server.ts'
import { openHub } from '../../io/hub/hub.ts'
import { refusal } from '../../io/testing.ts'
import { finishSignIn, type SignIn, signInUrl } from './signin.ts'

const token = 'hf_oauth_reader'
const page = 'https://workbench.example/app/'
let server: HubServer
beforeAll(async () => {
  const main = new Map([['config.json', new TextEncoder().encode('{}')]])
  server = await startHub({ tokens: { [token]: ['demo/secret'] }, repos: [{ name: 'demo/secret', private: true, revisions: { main } }] })
})
afterAll(() => server.close())

function tab(): SignIn {
  const words = new Map<string, string>()
  const keep = {
    get: (key: string) => words.get(key) ?? null,
    set: (key: string, value: string) => words.set(key, value),
    remove: (key: string) => words.delete(key),
  }
  return { hubUrl: server.url, clientId: 'workbench', keep }
}

/** Where the Hub sends the browser once the person agreed. */
const consent = async (url: string) => (await fetch(url, { redirect: 'manual' })).headers.get('location')!

test('comes back with a token that opens what the account may read, and with the address as it was', async () => {
  const mine = tab()
  const url = await signInUrl(mine, `${page}?model=demo%2Fsecret#plan`)
  expect(new URL(url).searchParams.get('redirect_uri')).toBe(page)
  expect(new URL(url).searchParams.get('scope')).toContain('gated-repos')
  const back = await consent(url)
  expect(await finishSignIn(mine, back)).toEqual({ token, href: `${page}?model=demo%2Fsecret#plan` })
  const hub = openHub({ url: server.url })
  hub.network.setToken(token)
  expect((await hub.facts({ type: 'model', name: 'demo/secret' })).private).toBe(true)
  // A code is good once, in the tab that asked for it.
  expect(await finishSignIn(mine, back)).toBe(null)
  expect(await finishSignIn(tab(), back)).toBe(null)
  expect(server.log.map(({ path }) => path).join()).not.toContain(token)
})

test('is no business of an address that does not come from the Hub', async () => {
  for (const href of [page, `${page}?model=a/b`, `${page}?code=1`]) expect(await finishSignIn(tab(), href)).toBe(null)
})

test('that was declined, forged or cannot begin says so', async () => {
  const mine = tab()
  const back = new URL(await consent(await signInUrl(mine, page)))
  const declined = new URL(page)
  declined.search = `?error=access_denied&state=${encodeURIComponent(back.searchParams.get('state')!)}`
  expect(await refusal(() => finishSignIn(mine, declined.href))).toMatchObject({ code: 'hub-denied', message: /declined/ })

  const other = tab()
  const answer = new URL(await consent(await signInUrl(other, page)))
  answer.searchParams.set('state', back.searchParams.get('state')!)
  expect(await refusal(() => finishSignIn(other, answer.href))).toMatchObject({ code: 'hub-denied', message: /not confirm/ })

  expect(await refusal(() => signInUrl({ ...tab(), hubUrl: 'http://127.0.0.1:9' }, page))).toMatchObject({ message: /cannot be reached/ })
})
