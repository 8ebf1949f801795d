/** Tests of models from a local Hub in the page, built for that Hub. */
import type { Browser } from 'playwright'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  accessibilityProblems,
  exportedFiles,
  fillSmallPlan,
  launchChromium,
  openPage,
  openWorkbench,
  privateFiles,
  type Workbench,
} from './harness.ts'
import { folderContents, type HubServer, startHub } from './hub/server.ts'
import { serveSiteOf } from './hub/site.ts'

const token = 'hf_secret_reader'
const writer = 'hf_secret_writer'
let server: HubServer
let site: Awaited<ReturnType<typeof serveSiteOf>>
let browser: Browser
let workbench: Workbench

beforeAll(async () => {
  const main = await folderContents('public/demo')
  const pickled = new Map([
    ['config.json', main.get('config.json')!],
    ['tokenizer.json', main.get('tokenizer.json')!],
    ['pytorch_model.bin', new Uint8Array(1000)],
  ])
  // What is in the cache already would not be read through Xet.
  const other = Buffer.from(main.get('model.safetensors')!)
  other[other.length - 1] ^= 1
  const config = { ...JSON.parse(String(main.get('config.json'))), _name_or_path: 'demo/gated' }
  const secret = new Map([...main, ['config.json', Buffer.from(JSON.stringify(config))]])
  const foreign = new Map([...main, ['config.json', Buffer.from('{"model_type": "rwkv"}')]])
  server = await startHub({
    tokens: { [token]: ['demo/gated'] },
    writers: { [writer]: ['pushed'] },
    repos: [
      {
        name: 'demo/stories',
        revisions: { main, draft: foreign },
        tags: { 'v1.0': main },
        license: 'mit',
        downloads: 1_234_567,
        parameters: 920_000,
      },
      { name: 'demo/gated', revisions: { main: secret }, gated: 'manual', license: 'other', downloads: 99, parameters: 920_000 },
      { name: 'demo/pickled', revisions: { main: pickled, 'refs/pr/7': new Map([...pickled, ...main]) } },
      { name: 'demo/xet', revisions: { main: new Map([...main, ['model.safetensors', other]]) }, xet: true },
      { name: 'demo/forbidden', revisions: { main } },
    ],
  })
  site = await serveSiteOf(server)
  browser = await launchChromium()
  workbench = await openPage(browser, site.url)
})
afterAll(async () => {
  await browser.close()
  await site.close()
  await server.close()
})

const field = ({ page }: Workbench) => page.getByRole('combobox', { name: /Search/ })
const card = ({ page }: Workbench, repo: string) => page.getByRole('region', { name: repo, exact: true })
const place = ({ page }: Workbench) => new URL(page.url()).search + new URL(page.url()).hash

async function lookAt(at: Workbench, text: string) {
  await field(at).fill(text)
  await field(at).press('Enter')
}

async function openFromHub(at: Workbench, repo: string) {
  await lookAt(at, repo)
  await card(at, repo).getByRole('button', { name: 'Open this model' }).click()
  await at.page.getByRole('heading', { name: repo.split('/')[1], exact: true }).waitFor()
}

/** RTN alone, over a few tokens. */
async function planRtn(at: Workbench) {
  await at.button('Plan runs').click()
  await at.page.getByRole('button', { name: /^Remove QuantEase/ }).click()
  await fillSmallPlan(at)
  const start = at.page.getByRole('button', { name: /^Start/ })
  await expect.poll(() => start.isEnabled(), { timeout: 60_000 }).toBe(true)
  return start
}

describe('a model on the Hub', () => {
  test('is found by typing, with the keyboard alone', async () => {
    const { page } = workbench
    await field(workbench).pressSequentially('DEMO/')
    const options = page.getByRole('listbox', { name: 'Models found' }).getByRole('option')
    await expect.poll(() => options.count()).toBe(5)
    expect(await options.first().innerText()).toMatch(/demo\/stories\s+3\.51\u202fMiB\s+1\.23\u202fM downloads/)
    expect(await options.nth(1).innerText()).toMatch(/demo\/gated\s+gated/)
    expect(await accessibilityProblems(page)).toEqual([])
    await field(workbench).press('ArrowDown')
    await field(workbench).press('ArrowDown')
    await field(workbench).press('ArrowUp')
    const active = await field(workbench).getAttribute('aria-activedescendant')
    expect(await page.locator('#root [role=option][aria-selected=true]').getAttribute('id')).toBe(active)
    await field(workbench).press('Enter')
    const facts = card(workbench, 'demo/stories')
    await facts.waitFor()
    expect(await options.count()).toBe(0)
    expect((await facts.innerText()).replace(/\s+/g, ' ')).toMatch(
      /Family LLaMA Parameters 0\.92 M Safetensors 1\.76 MiB Licence mit Access open to all Downloads 1,234,567/,
    )
  })

  test('may be chosen at another revision, and says why one cannot be opened', async () => {
    const facts = card(workbench, 'demo/stories')
    const revision = facts.getByRole('combobox', { name: 'Revision' })
    expect(await revision.locator('option').allInnerTexts()).toEqual(['main', 'draft', 'v1.0'])
    await revision.selectOption('draft')
    await facts.getByText('rwkv (not supported)').waitFor()
    expect(await facts.getByRole('button', { name: 'Open this model' }).isDisabled()).toBe(true)
    expect(await facts.getByRole('list').innerText()).toMatch(/rwkv.*llama/is)
  })

  test('that is pickled is opened from the pull request that converts it', async () => {
    const { page, button } = workbench
    await lookAt(workbench, `${server.url}/demo/pickled`)
    const facts = card(workbench, 'demo/pickled')
    await facts.getByText('none at this revision').waitFor()
    expect(await facts.getByRole('list').innerText()).toMatch(/only as pytorch_model\.bin/)
    await facts.getByRole('button', { name: /^Use the conversion in refs\/pr\/7, 1\.76/ }).click()
    await expect.poll(() => facts.getByRole('button', { name: 'Open this model' }).isEnabled()).toBe(true)
    await button('Open this model').click()
    await page.getByRole('heading', { name: 'pickled', exact: true }).waitFor()
    expect(place(workbench)).toBe('?model=demo/pickled&revision=refs/pr/7#model')
  })

  test('is in the address, which can be gone back and forth', async () => {
    const { page, button, step } = workbench
    await button('Plan runs').click()
    expect(place(workbench)).toBe('?model=demo/pickled&revision=refs/pr/7#plan')
    await step('Model').click()
    await button('Choose from the Hub').click()
    await openFromHub(workbench, 'demo/stories')
    expect(place(workbench)).toBe('?model=demo/stories#model')
    await page.goBack()
    await page.getByRole('heading', { name: 'pickled', exact: true }).waitFor()
    await page.goBack()
    await page.getByRole('heading', { name: 'Plan for pickled' }).waitFor()
    await page.goBack()
    await page.goBack()
    await page.getByRole('heading', { name: 'Drop a model folder' }).waitFor()
    expect(place(workbench)).toBe('#model')
    await page.goForward()
    await page.getByRole('heading', { name: 'pickled', exact: true }).waitFor()
    expect(await page.evaluate(() => window.history.length)).toBeLessThan(9)
  })

  test('is opened by a link, at its revision, with its plan', async () => {
    const linked = await openPage(browser, `${site.url}?model=demo%2Fstories&revision=v1.0`)
    await linked.page.getByRole('heading', { name: 'Plan for stories' }).waitFor()
    expect(place(linked)).toBe('?model=demo/stories&revision=v1.0#plan')
    await linked.page.goto(`${site.url}?model=demo/nothing`)
    const note = linked.page.locator('.error-note[data-code="hub-missing"]')
    expect(await note.innerText()).toMatch(/demo\/nothing.*private/s)
    expect(place(linked)).toBe('?model=demo/nothing#model')
    expect(await accessibilityProblems(linked.page)).toEqual([])
    await linked.page.context().close()
  })
})

describe('a run', () => {
  test('waits out a lost network, shows what it reads, and leaves a checkpoint', async () => {
    const { page, report } = workbench
    const start = await planRtn(workbench)
    // To be opened and planned, a model is asked for its headers only.
    expect(server.sent(/^\/files\//)).toBeLessThan(100_000)
    await page.context().setOffline(true)
    await start.click()
    await page.getByRole('heading', { name: 'Waiting for the network' }).waitFor()
    expect(await page.getByLabel('Details of now').innerText()).toContain('There is no network')
    expect(await page.getByTestId('announcer').innerText()).toContain('There is no network')
    await page.context().setOffline(false)
    server.log.length = 0
    const { model, network, runs } = await report(120_000)
    expect(model.source).toMatchObject({ repo: 'demo/pickled', ref: 'refs/pr/7' })
    expect(runs).toMatchObject([{ state: 'finished', export: { files: expect.any(Array) } }])
    expect(network!.fetched).toBeGreaterThan(1_800_000)
    expect(network!.fetched).toBe(server.sent())
    expect([...(await privateFiles(page)).keys()].filter((path) => path.endsWith('.safetensors'))).toHaveLength(1)
  })

  test('says in its results where the model came from and what was read', async () => {
    const { page, step } = workbench
    await step('Run').click()
    expect(await page.getByLabel('Details of now').innerText()).toMatch(/Network\s+\d[\d.]*\u202f[KM]iB read/)
  })
})

/** The page's Hub panel with the cache in it shown; both are closed at first. */
async function showCache({ page, step, button }: Workbench) {
  await step('Model').click()
  await button('Choose from the Hub').click()
  const cache = page.locator('details.cache')
  await cache.locator('summary').click()
  return cache
}

async function emptyCache(at: Workbench) {
  const cache = await showCache(at)
  await at.button('Clear the cache').click()
  await cache.getByText('0 bytes', { exact: true }).waitFor()
  return cache
}

describe('an interrupted job', () => {
  const link = () => `${site.url}?model=demo/stories`
  let whole: Record<string, string>
  let at: Workbench
  let commit: string
  let moved: string

  /** Two runs of QuantEase: long enough for a page to be left in the middle of each. */
  async function begin(from: Workbench) {
    await from.page.getByRole('heading', { name: 'Plan for stories' }).waitFor()
    await from.page.getByRole('button', { name: /^Remove RTN/ }).click()
    // The rest needs two runs, and no more than that of what they compute.
    await from.field('runs.0.method').getByRole('combobox').selectOption('quantease')
    await from.field('runs.0.options.iterations').getByRole('textbox').fill('4')
    await from.page.getByRole('button', { name: /^Duplicate QuantEase/ }).click()
    await fillSmallPlan(from)
    const start = from.page.getByRole('button', { name: /^Start/ })
    await expect.poll(() => start.isEnabled(), { timeout: 60_000 }).toBe(true)
    await start.click()
  }

  /** The linears of a run that are solved, once there are any. */
  const solving = ({ page }: Workbench, run: number) =>
    page
      .getByRole('region', { name: 'Runs' })
      .getByRole('listitem')
      .nth(run)
      .getByText(/error .* \d+ of \d+/)
      .waitFor({ timeout: 60_000 })

  const interrupted = ({ page }: Workbench) => page.getByRole('region', { name: 'A job on stories is not finished' })

  test('on a model of the Hub asks before it is left, and is offered again', async () => {
    const undisturbed = await openPage(browser, link())
    await begin(undisturbed)
    const { runs, model } = await undisturbed.report(120_000)
    expect(runs.map(({ state }) => state)).toEqual(['finished', 'finished'])
    commit = model.source!.revision
    whole = await exportedFiles(undisturbed.page)
    expect(Object.keys(whole).filter((path) => path.endsWith('model.safetensors'))).toHaveLength(2)
    await undisturbed.page.context().close()

    at = await openPage(browser, link())
    const asked: string[] = []
    at.page.on('dialog', (dialog) => {
      asked.push(dialog.type())
      dialog.accept()
    })
    await begin(at)
    await solving(at, 0)
    await at.page.reload()
    expect(asked).toEqual(['beforeunload'])
    expect(await interrupted(at).innerText()).toMatch(new RegExp(`commit ${commit.slice(0, 7)} of demo/stories.*0 of 2 runs finished`, 's'))
  })

  test('says so when the commit that it began with is gone', async () => {
    // Other weights in the same place.
    const files = await folderContents('public/demo')
    const weights = Buffer.from(files.get('model.safetensors')!)
    for (let i = weights.length - 1; i > weights.length / 2; i -= 64) weights[i] ^= 1
    moved = server.push('demo/stories', 'main', new Map([...files, ['model.safetensors', weights]]))
    server.forget('demo/stories', commit)
    await at.page.reload()
    await at.page.getByRole('heading', { name: 'Plan for stories' }).waitFor()
    await at.button('Resume').click()
    await at.page.locator('.error-note[data-code="hub-missing"]').waitFor()
    expect(await interrupted(at).innerText()).toMatch(/only with the commit that it began with.*could not be opened/s)
    expect(await accessibilityProblems(at.page)).toEqual([])
    // A tag still leads to it.
    server.push('demo/stories', 'v1.0', files)
  })

  test('goes on with that commit though the branch has moved on', async () => {
    server.log.length = 0
    await at.button('Resume').click()
    await solving(at, 1)
    await at.page.close({ runBeforeUnload: true })

    at = await openWorkbench(at.page.context(), link())
    await at.page.getByRole('heading', { name: 'Plan for stories' }).waitFor()
    expect(await interrupted(at).innerText()).toContain('1 of 2 runs finished')
    server.log.length = 0
    await at.button('Resume').click()
    const { runs, model } = await at.report(120_000)
    expect(model.source!.revision).toBe(commit)
    expect(runs.map(({ state, exportError }) => [state, exportError])).toEqual([
      ['finished', undefined],
      ['finished', undefined],
    ])
    expect(await exportedFiles(at.page)).toEqual(whole)
    expect(server.log.filter(({ path }) => path.includes(moved))).toEqual([])
    expect(server.sent(/^\/files\//)).toBe(0)
  })
})

describe('a finished checkpoint', () => {
  test('is uploaded by who may write, goes on after an error, and is private', async () => {
    const at = await openPage(browser, `${site.url}?model=demo/stories`)
    const { page, button, errors } = at
    await page.getByRole('heading', { name: 'Plan for stories' }).waitFor()
    await page.getByRole('button', { name: /^Remove QuantEase/ }).click()
    await fillSmallPlan(at)
    const start = page.getByRole('button', { name: /^Start/ })
    await expect.poll(() => start.isEnabled(), { timeout: 60_000 }).toBe(true)
    await start.click()
    await at.report(120_000)
    const part = page.getByRole('region', { name: /^Upload .* to the Hub$/ })
    await part.getByRole('button', { name: 'Upload to the Hub' }).click()
    await part.getByRole('button', { name: 'Sign in', exact: true }).click()
    await part.getByLabel('Access token').fill(token)
    await button('Use this token').click()
    const repository = part.getByRole('textbox', { name: 'Repository' })
    expect(await repository.inputValue()).toBe('user-0/stories-RTN-3-bit')
    expect(await part.getByRole('switch', { name: 'Private' }).isChecked()).toBe(true)
    const send = part.getByRole('button', { name: 'Upload', exact: true })
    await send.click()
    await part.getByRole('alert').getByText('The access token of user-0 is for reading only.').waitFor()
    await button('Sign out').click()
    await part.getByRole('button', { name: 'Sign in', exact: true }).click()
    await part.getByLabel('Access token').fill(writer)
    await button('Use this token').click()
    await repository.fill('pushed/stories')
    server.fault('expired', { match: '/info/lfs/objects/batch', method: 'POST' })
    await send.click()
    await part
      .getByRole('alert')
      .getByText(/denies access to the upload to pushed\/stories/i)
      .waitFor()
    expect(server.commits.map(({ paths }) => paths)).toEqual([['quantization_report.json']])
    expect(await accessibilityProblems(page)).toEqual([])
    await send.click()
    const link = part.getByRole('link', { name: 'pushed/stories' })
    await link.waitFor()
    expect(await link.getAttribute('href')).toBe(`${server.url}/pushed/stories`)
    expect(await part.innerText()).toMatch(/pushed\/stories, private\./)
    const { files, ...pushed } = (await server.pushed('pushed/stories'))!
    expect(pushed.private).toBe(true)
    files.delete('.gitattributes')
    const exported = Object.entries(await exportedFiles(page)).map(([path, base64]) => [path.replace(/^[^/]+\//, ''), base64])
    expect(Object.fromEntries([...files].map(([path, bytes]) => [path, bytes.toString('base64')]))).toEqual(Object.fromEntries(exported))
    expect(await accessibilityProblems(page)).toEqual([])
    // Chromium itself reports what was refused.
    expect(errors.splice(0).filter((line) => !/Failed to load resource/.test(line))).toEqual([])
    await page.context().close()
  })
})

describe('the cache', () => {
  test('shows what it holds, and is emptied by a button', async () => {
    const { page, button } = workbench
    const cache = await showCache(workbench)
    await cache.getByText(/^\d\.\d+\sMiB$/).waitFor()
    expect(await cache.getByRole('combobox', { name: 'Cache at most' }).inputValue()).toBe(String(10e9))
    expect(await accessibilityProblems(page)).toEqual([])
    await button('Clear the cache').click()
    await cache.getByText('0 bytes', { exact: true }).waitFor()
    await cache.getByRole('combobox', { name: 'Cache at most' }).selectOption({ label: '4.00\u202fGiB' })
    await cache.getByText('0 of 4.00\u202fGiB', { exact: true }).waitFor()
    await page.reload()
    await page.getByRole('heading', { name: 'pickled', exact: true }).waitFor()
    await (await showCache(workbench)).getByText(/of 4\.00\sGiB$/).waitFor()
  })
})

describe('a gated model', () => {
  test('says how to get in', async () => {
    const { page, button } = workbench
    await lookAt(workbench, 'demo/gated')
    const facts = card(workbench, 'demo/gated')
    await facts.getByText('gated: its owner decides who may read it').waitFor()
    expect(await facts.getByRole('button', { name: 'Open this model' }).isDisabled()).toBe(true)
    expect(await facts.getByRole('link', { name: /^Request access/ }).getAttribute('href')).toBe(`${server.url}/demo/gated`)
    await facts.getByRole('button', { name: 'Sign in' }).click()
    await page.getByLabel('Access token').fill('hf_of_nobody')
    await button('Use this token').click()
    await page.getByRole('alert').getByText('does not accept this token').waitFor()
    expect(await accessibilityProblems(page)).toEqual([])
  })

  test('opens with a token, which goes to the Hub alone and is shown nowhere', async () => {
    const { page, button } = workbench
    server.log.length = 0
    await page.getByLabel('Access token').fill(token)
    expect(await page.getByRole('checkbox', { name: /^Remember/ }).isChecked()).toBe(false)
    await button('Use this token').click()
    const facts = card(workbench, 'demo/gated')
    await facts.getByText('gated, you have access').waitFor()
    await button('Open this model').click()
    await page.getByRole('heading', { name: 'gated', exact: true }).waitFor()
    const start = await planRtn(workbench)
    await start.click()
    const report = await workbench.report(120_000)
    expect(report.runs[0].state).toBe('finished')
    expect(server.log.some(({ host, authorization }) => host === 'hub' && authorization === `Bearer ${token}`)).toBe(true)
    expect(server.log.filter(({ host }) => host === 'storage').length).toBeGreaterThan(2)
    for (const { host, path, authorization } of server.log) {
      if (host === 'storage') expect(authorization).toBeNull()
      expect(path).not.toContain(token)
    }
    const kept = await page.evaluate(() =>
      JSON.stringify([localStorage, sessionStorage, document.cookie, document.documentElement.outerHTML]),
    )
    for (const text of [JSON.stringify(report), kept, page.url()]) expect(text).not.toContain(token)
    for (const [path, bytes] of await privateFiles(page)) expect(bytes.includes(token), path).toBe(false)
  })

  test('is forgotten with the page, unless the browser is asked to remember', async () => {
    const { page, button, step } = workbench
    const signedIn = page.getByText(/^Signed in as user-0/).first()
    // Whoever has read it has it.
    await emptyCache(workbench)
    await page.reload()
    await page.getByRole('heading', { name: 'Cannot use demo/gated' }).waitFor()
    expect(await signedIn.isVisible()).toBe(false)
    await page.getByRole('main').getByRole('button', { name: 'Sign in' }).first().click()
    await page.getByLabel('Access token').fill(token)
    await page.getByRole('checkbox', { name: /^Remember/ }).check()
    await button('Use this token').click()
    // What was refused is opened again.
    await page.getByRole('heading', { name: 'gated', exact: true }).waitFor()
    await page.reload()
    await page.getByRole('heading', { name: /gated$/ }).waitFor()
    await step('Model').click()
    await button('Choose from the Hub').click()
    expect(await signedIn.innerText()).toContain('remembered in this browser')
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('button', { name: 'Sign in', exact: true }).waitFor()
    expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain(token)
  })
})

describe('trouble', () => {
  test('with Xet is told, and plain ranges take its place', async () => {
    const { page } = workbench
    server.fault('broken', { match: '^/v2/reconstructions', times: 20 })
    await openFromHub(workbench, 'demo/xet')
    await page.getByRole('list', { name: 'Problems of the model' }).getByText('could not be read through Xet').waitFor()
    server.clear()
  })

  test('offline is shown as such, and the Hub comes back with the connection', async () => {
    const { page, button } = workbench
    await button('Choose from the Hub').click()
    await page.context().setOffline(true)
    await page.getByText('There is no network connection, so the Hub cannot be reached.').waitFor()
    await lookAt(workbench, 'demo/stories')
    await page.locator('.error-note[data-code="offline"]').waitFor()
    await page.context().setOffline(false)
    await button('Try again').click()
    await card(workbench, 'demo/stories').waitFor()
  })

  test('with CORS ends in a sentence that names it', async () => {
    const { page } = workbench
    server.fault('cors', { match: 'demo/forbidden', times: 100 })
    await lookAt(workbench, 'demo/forbidden')
    await page.getByText(/trying again in/).waitFor()
    const note = page.locator('.error-note[data-code="hub-unreachable"]')
    await note.waitFor({ timeout: 60_000 })
    expect(await note.innerText()).toMatch(/cannot be reached.*CORS/s)
    server.clear()
  })
})
