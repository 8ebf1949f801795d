/** The content security policy: the built page and its worker can connect only to their own host and the Hub. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser } from 'playwright'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { drop, fillSmallPlan, launchChromium, modelFolder, openPage, type Workbench } from './harness.ts'

let browser: Browser
let workbench: Workbench
beforeAll(async () => {
  browser = await launchChromium()
  workbench = await openPage(browser, inject('url'))
})
afterAll(() => browser.close())

test('a request to any other host is refused, in the page and in the worker', async () => {
  const { page, errors } = workbench
  const heard: string[] = []
  const stranger = createServer((request, response) => {
    heard.push(String(request.url))
    response.setHeader('Access-Control-Allow-Origin', '*').end('hello')
  })
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve))
  const address = `http://127.0.0.1:${(stranger.address() as AddressInfo).port}/`
  // The server answers: what keeps the page away is the policy alone.
  expect(await (await fetch(address)).text()).toBe('hello')
  expect(heard).toHaveLength(1)
  const ask = (url: string) => fetch(url).then(String, (error: Error) => error.name)
  await expect.poll(() => page.workers().length).toBe(1)
  expect(await page.evaluate(ask, address)).toBe('TypeError')
  expect(await page.workers()[0].evaluate(ask, address)).toBe('TypeError')
  expect(heard).toHaveLength(1)
  await new Promise((resolve) => stranger.close(resolve))
  // The page said so twice, and said nothing else: its own scripts, styles and libraries stay within the policy.
  expect(errors.splice(0).filter((error) => !error.includes(address))).toEqual([])
})

test('WebAssembly is compiled, and text is never run as a script', async () => {
  const { page, errors } = workbench
  const tried = await page.evaluate(
    () =>
      // Later, since what the test itself evaluates is spared by the policy.
      new Promise<string[]>((resolve) => {
        setTimeout(async () => {
          const text = await Promise.resolve()
            .then(() => String(new Function('return 1')()))
            .catch((error: Error) => error.name)
          const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])
          resolve([text, String(await WebAssembly.compile(bytes))])
        })
      }),
  )
  expect(tried).toEqual(['EvalError', '[object WebAssembly.Module]'])
  errors.splice(0)
})

test('a dropped model is quantized offline, without a single request', async () => {
  const { page, button, errors, report } = workbench
  await expect.poll(() => button('Try the demo').isEnabled(), { timeout: 60_000 }).toBe(true)
  await drop(page, 'main', [await modelFolder()])
  await button('Plan runs').click()
  await fillSmallPlan(workbench)
  const start = page.getByRole('button', { name: /^Start/ })
  // By now the built-in texts were read, from the page's own host.
  await expect.poll(() => start.isEnabled(), { timeout: 60_000 }).toBe(true)
  const requests: string[] = []
  page.context().on('request', (request) => requests.push(request.url()))
  await page.context().setOffline(true)
  await start.click()
  const { runs } = await report(120_000)
  expect(runs.map(({ state }) => state)).toEqual(['finished', 'finished'])
  // What the page offers for download it makes itself.
  expect(requests.filter((url) => !url.startsWith('blob:'))).toEqual([])
  expect(errors).toEqual([])
})
