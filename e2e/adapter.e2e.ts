import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { launchChromium, openPage } from './harness.ts'

let browser: Awaited<ReturnType<typeof launchChromium>>
beforeAll(async () => {
  browser = await launchChromium()
})
afterAll(() => browser.close())

const describeAdapter = `navigator.gpu?.requestAdapter().then((adapter) => adapter?.info.architecture ?? null) ?? null`

test('the page and its workers have a WebGPU adapter', async () => {
  const { page } = await openPage(browser, inject('url'))
  const missing = 'This Chromium gave no WebGPU adapter; without one no end-to-end test means anything.'
  expect(await page.evaluate(describeAdapter), missing).toBe('swiftshader')
  const inWorker = await page.evaluate(async (code) => {
    const worker = new Worker(URL.createObjectURL(new Blob([`Promise.resolve(${code}).then(postMessage)`])))
    const { data } = await new Promise<MessageEvent>((resolve) => worker.addEventListener('message', resolve, { once: true }))
    return data
  }, describeAdapter)
  expect(inWorker, missing).toBe('swiftshader')
})
