/** The browser is killed and its GPU lost repeatedly, and the job still writes the same files as an uninterrupted one. */
import { mkdtemp, readFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import type { Page } from 'playwright'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { random } from '../src/data/corpus.ts'
import {
  accessibilityProblems,
  drop,
  exportedFiles,
  fillSmallPlan,
  launchProfile,
  modelFolder,
  openWorkbench,
  privateFiles,
  shard,
} from './harness.ts'

const SEED = 11
const KILLS = 4

/** What is done to a session of the browser, by the number of an event that depends on the work alone. */
interface Harm {
  lose?: number[]
  stop?: number
}

/**
 * Serves the built page with a few lines before the worker's own: they count the events that it reports once it has begun to
 * solve, and at some of them destroy the device or stop the worker, saying so to this server.
 */
async function harmfulSite() {
  let harm: Harm = {}
  let stopped = () => {}
  let waiting: ServerResponse | null = null
  const hook = (harm: Harm) => `{
    const harm = ${JSON.stringify(harm)}, devices = []
    const request = GPUAdapter.prototype.requestDevice
    GPUAdapter.prototype.requestDevice = async function (...given) {
      devices.push(await request.apply(this, given))
      return devices.at(-1)
    }
    const post = MessagePort.prototype.postMessage
    let count = 0, lost = 0, solving = false
    MessagePort.prototype.postMessage = function (message, ...rest) {
      post.call(this, message, ...rest)
      const event = message?.argumentList?.[0]?.value
      if (event?.type === 'stage' && event.stage === 'solve') solving = true
      if (!solving || !event?.type || /progress|memory|device/.test(event.type)) return
      count++
      if (harm.lose?.includes(count)) {
        devices.at(-1).destroy()
        lost++
      }
      if (harm.stop === count) {
        const call = new XMLHttpRequest()
        call.open('GET', new URL('/stopped?lost=' + lost, self.name), false)
        call.send()
      }
    }
  }\n`
  const types: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json' }
  const server = createServer(async (request, response) => {
    const { pathname: path, searchParams } = new URL(request.url!, 'http://x')
    if (path === '/stopped') {
      site.losses += Number(searchParams.get('lost'))
      // No answer yet: the worker waits for it.
      waiting = response
      return stopped()
    }
    const file = path === '/' ? '/index.html' : path
    const body = await readFile(join('dist', file)).catch(() => null)
    response.writeHead(body ? 200 : 404, {
      'content-type': types[extname(file)] ?? 'application/octet-stream',
      'cache-control': 'no-store',
    })
    response.end(body && /^\/assets\/worker-.*\.js$/.test(file) ? hook(harm) + body : body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const site = {
    /** Devices lost in sessions that were stopped. */
    losses: 0,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    /** For the pages that are opened from now on; resolves when a worker has stopped. */
    harm(next: Harm): Promise<void> {
      harm = next
      return new Promise((resolve) => {
        stopped = resolve
      })
    },
    /** Lets the worker that was stopped last go on. */
    release: () => waiting!.end(),
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
  return site
}

let site: Awaited<ReturnType<typeof harmfulSite>>
let profile: string
let folder: string
beforeAll(async () => {
  site = await harmfulSite()
  profile = await mkdtemp(join(tmpdir(), 'workbench-profile-'))
  folder = await modelFolder(shard)
})
afterAll(() => site.close())

async function begin(workbench: Awaited<ReturnType<typeof openWorkbench>>) {
  const { page, button } = workbench
  await expect.poll(() => page.getByRole('button', { name: 'Try the demo' }).isEnabled(), { timeout: 60_000 }).toBe(true)
  await drop(page, 'main', [folder])
  await button('Plan runs').click({ timeout: 60_000 })
  await fillSmallPlan(workbench)
  const start = page.getByRole('button', { name: /^Start/ })
  await expect.poll(() => start.isEnabled(), { timeout: 60_000 }).toBe(true)
  await start.click()
}

/** A worker beside the page's own that keeps a file of the private file system to itself. */
function holdFile(page: Page, folders: string[], file: string) {
  return page.evaluateHandle(
    async ([folders, file]) => {
      const script = `navigator.storage.getDirectory()
${folders.map((name) => `        .then((within) => within.getDirectoryHandle('${name}'))\n`).join('')}        .then((within) => within.getFileHandle('${file}'))
        .then(async (handle) => {
          self.access = await handle.createSyncAccessHandle()
          postMessage('held')
        })`
      const worker = new Worker(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })))
      await new Promise((resolve) => worker.addEventListener('message', resolve))
      return worker
    },
    [folders, file] as const,
  )
}

let whole: Record<string, string>

test('a job over the sharded demo model, undisturbed', async () => {
  const browser = await launchProfile(profile)
  const workbench = await openWorkbench(browser.context, site.url)
  await begin(workbench)
  const { runs } = await workbench.report(240_000)
  expect(runs.map(({ state }) => state)).toEqual(['finished', 'finished'])
  whole = await exportedFiles(workbench.page)
  expect(Object.keys(whole).filter((path) => path.endsWith('model.safetensors'))).toHaveLength(2)
  await browser.context.close()
})

test(`the same, killed ${KILLS} times and with ${KILLS} losses of the GPU (seed ${SEED})`, { timeout: 500_000 }, async () => {
  const draw = random(SEED)
  for (let kill = 0; kill <= KILLS; kill++) {
    const stop = 4 + Math.floor(draw() * 32)
    const harm = kill < KILLS ? { stop, lose: [1 + Math.floor(draw() * (stop - 1))] } : {}
    const stopped = site.harm(harm)
    const browser = await launchProfile(profile)
    const workbench = await openWorkbench(browser.context, site.url)
    const { page, button, report } = workbench
    if (kill === 0) await begin(workbench)
    else {
      await button('Resume').click({ timeout: 60_000 })
      // Whether a folder can be opened again without the person is the browser's choice.
      const asks = page.getByText('Choose or drop the folder “stories” again')
      await asks
        .or(page.getByRole('heading', { name: 'Running on stories' }))
        .first()
        .waitFor({ timeout: 60_000 })
      if (await asks.isVisible()) await drop(page, 'main', [folder])
    }
    if (kill < KILLS) {
      await stopped
      await browser.kill()
      continue
    }
    // The browser still asks whether the folder may be opened, and nobody answers.
    const { runs } = await report(240_000, { mouse: false })
    expect(runs.map(({ state, exportError }) => [state, exportError])).toEqual([
      ['finished', undefined],
      ['finished', undefined],
    ])
    expect(await exportedFiles(page)).toEqual(whole)
    expect(site.losses).toBe(KILLS)
    await browser.context.close()
  }
})

test('what is finished is there after a restart; one tab works at a time; three losses stop the job', async () => {
  site.harm({})
  const browser = await launchProfile(profile)
  const first = await openWorkbench(browser.context, site.url)
  await first.button('Open the results').first().click({ timeout: 60_000 })
  await first.page
    .getByRole('region', { name: /^Export/ })
    .first()
    .waitFor()
  expect(await accessibilityProblems(first.page)).toEqual([])

  const stopped = site.harm({ stop: 1, lose: [6, 12, 18] })
  const second = await openWorkbench(browser.context, site.url)
  await begin(second)
  await stopped
  const third = await openWorkbench(browser.context, site.url)
  await third.page.getByRole('heading', { name: 'Another tab is running a job on stories' }).waitFor({ timeout: 60_000 })
  expect(await accessibilityProblems(third.page)).toEqual([])
  site.release()

  const { runs } = await second.report(120_000)
  expect(runs.at(-1)).toMatchObject({ state: 'failed', error: { code: 'gpu-lost' } })
  // The other tab may go on with it now.
  await third.page.getByRole('heading', { name: 'A job on stories is not finished' }).waitFor({ timeout: 60_000 })

  // Somebody else looks into the same file.
  const newest = [...(await privateFiles(second.page)).keys()]
    .map((path) => path.split('/')[1])
    .sort()
    .at(-1)!
  const holder = await holdFile(second.page, ['jobs', newest, 'journal'], 'head')
  await third.page.reload()
  const reading = () => third.page.evaluate(async () => (await navigator.locks.query()).held!.map(({ name }) => name))
  await expect.poll(reading, { timeout: 60_000 }).toContain('quantease-journal')
  await holder.evaluate((worker) => worker.terminate())
  await third.page.getByRole('heading', { name: 'A job on stories is not finished' }).waitFor({ timeout: 60_000 })

  await third.button('Delete').click()
  await third.button('Close this message').click()
  const left = async () => [...(await privateFiles(third.page)).keys()].filter((path) => path.startsWith(`jobs/${newest}/`))
  await expect.poll(left, { timeout: 60_000 }).toEqual([])
  await browser.context.close()
})
