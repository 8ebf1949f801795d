/** Memory of the page with a large checkpoint: network traffic, and the JavaScript heap. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchProfile, openWorkbench } from './harness.ts'
import { folderContents, type HubServer, startHub } from './hub/server.ts'
import { serveSiteOf } from './hub/site.ts'
import { syntheticCheckpoint } from './hub/synthetic.ts'

/** 1 GB, half of it in the embedding. */
const shape = { blocks: 44, hidden: 512, ffn: 1024, heads: 8, vocab: 262_144, shards: 4 }
const { blocks, hidden, ffn, vocab } = shape
/** Bytes of all its tensors: measuring perplexity needs every block, the two that are quantized and the others. */
const needed = 4 * (vocab * hidden + blocks * (4 * hidden ** 2 + 3 * hidden * ffn + 2 * hidden) + hidden)

let server: HubServer
let site: Awaited<ReturnType<typeof serveSiteOf>>
let profile: string
let context: Awaited<ReturnType<typeof launchProfile>>['context']
beforeAll(async () => {
  const demo = await folderContents('public/demo')
  const tokenizer = new Map([...demo].filter(([name]) => name.startsWith('tokenizer')))
  server = await startHub({ repos: [{ name: 'synthetic/large', revisions: { main: syntheticCheckpoint(shape, tokenizer) } }] })
  site = await serveSiteOf(server)
  profile = await mkdtemp(join(tmpdir(), 'workbench-'))
  context = (await launchProfile(profile)).context
})
afterAll(async () => {
  await context.close()
  await site.close()
  await server.close()
  await rm(profile, { recursive: true, force: true })
})

test('1 GB goes through the page and into two checkpoints in less than 300 MB of its heap, every tensor over the network once', async () => {
  expect(needed).toBeGreaterThan(0.99e9)
  const { page, field, report } = await openWorkbench(context, `${site.url}?model=synthetic/large`)
  await page.getByRole('heading', { name: 'Plan for large' }).waitFor()
  await page.getByRole('button', { name: /^Remove QuantEase/ }).click()
  await page.getByText(/^More \(\d+\)$/).click()
  // Every pass reads the whole model; the windows are as short as they may be, since it is memory that is measured.
  const numbers = {
    'runs.0.options.blocks': 2,
    'calibration.samples': 1,
    'calibration.length': 16,
    'calibration.heldOut': 0,
    'evaluation.samples': 1,
    'evaluation.length': 4,
    perplexityEvery: 0,
  }
  for (const [path, value] of Object.entries(numbers)) await field(path).getByRole('textbox').fill(String(value))
  const box = (format: string) => page.getByRole('checkbox', { name: `${format} for RTN 3-bit`, exact: true })
  for (const format of ['GGUF', 'compressed-tensors']) await box(format).check()
  await box('GPTQ').uncheck()
  const start = page.getByRole('button', { name: /^Start/ })
  await expect.poll(() => start.isEnabled(), { timeout: 60_000 }).toBe(true)
  const heap = await watchHeap(page)
  await start.click()
  const { network, runs } = await report(500_000)
  const most = await heap.most()
  expect(runs.map(({ state, layers, exportError }) => [state, layers.length, exportError])).toEqual([['finished', 2 * 7, undefined]])
  const { checkpoints, files } = runs[0].export!
  for (const { format, folder } of checkpoints) {
    const bytes = files.reduce((sum, { path, bytes }) => sum + (path.startsWith(folder) ? bytes : 0), 0)
    // Two blocks of codes are smaller, and all else is as large as it was.
    expect(bytes, format).toBeGreaterThan(0.97 * needed)
  }
  expect(checkpoints.map(({ format }) => format).sort()).toEqual(['compressed-tensors', 'gguf'])
  expect(server.sent(/^\/files\//)).toBeGreaterThanOrEqual(needed)
  expect(server.sent()).toBeLessThan(1.05 * needed)
  // The second pass came from the cache.
  expect(network!.cached).toBeGreaterThan(0.4 * needed)
  console.log(`The heap had at most ${Math.round(most / 1e6)} MB while ${(network!.fetched / 1e9).toFixed(2)} GB were read.`)
  expect(most).toBeLessThan(300e6)
}, 550_000)

/**
 * The most that the JavaScript heaps of the page and its worker hold together, sampled four times a second, as V8 counts
 * it: objects, and the array buffers that live outside of its own heap.
 */
async function watchHeap(page: Page) {
  interface Usage {
    usedSize: number
    embedderHeapUsedSize: number
    backingStorageSize: number
  }
  const total = ({ usedSize, embedderHeapUsedSize, backingStorageSize }: Usage) => usedSize + embedderHeapUsedSize + backingStorageSize
  const devtools = await page.context().browser()!.newBrowserCDPSession()
  const { targetInfos } = await devtools.send('Target.getTargets')
  const worker = targetInfos.find(({ type, url }) => type === 'worker' && url.startsWith(`blob:${new URL(page.url()).origin}`))!
  const { sessionId } = await devtools.send('Target.attachToTarget', { targetId: worker.targetId, flatten: false })
  const ofPage = await page.context().newCDPSession(page)
  let inPage = 0
  let most = 0
  devtools.on('Target.receivedMessageFromTarget', ({ message }) => {
    const { result } = JSON.parse(message) as { result?: Usage }
    if (result) most = Math.max(most, inPage + total(result))
  })
  const sample = async () => {
    inPage = total((await ofPage.send('Runtime.getHeapUsage')) as Usage)
    await devtools.send('Target.sendMessageToTarget', { sessionId, message: JSON.stringify({ id: 1, method: 'Runtime.getHeapUsage' }) })
  }
  const timer = setInterval(() => sample().catch(() => {}), 250)
  return {
    async most() {
      clearInterval(timer)
      await Promise.all([ofPage.detach(), devtools.detach()])
      if (!most) throw new Error('The heap of the worker was never seen.')
      return most
    },
  }
}
