/** A full private file system: the run goes on, the checkpoint does not, and the page says why and how much there is. */
import type { Browser } from 'playwright'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { drop, fillSmallPlan, launchChromium, modelFolder, openPage, privateFiles } from './harness.ts'

let browser: Browser
beforeAll(async () => {
  browser = await launchChromium()
})
afterAll(() => browser.close())

test('a full disk costs the checkpoint, not the figures', async () => {
  const workbench = await openPage(browser, inject('url'))
  const { page, button, report } = workbench
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('Storage.overrideQuotaForOrigin', { origin: new URL(page.url()).origin, quotaSize: 200_000 })
  await drop(page, 'main', [await modelFolder()])
  await button('Plan runs').click()
  await page.getByRole('button', { name: /^Remove QuantEase/ }).click()
  await fillSmallPlan(workbench)
  const start = page.getByRole('button', { name: /^Start/ })
  await expect.poll(() => start.isEnabled(), { timeout: 20_000 }).toBe(true)
  await start.click()
  const { runs } = await report(60_000)
  expect(runs[0]).toMatchObject({ state: 'finished', export: null, exportError: { code: 'storage-full' } })
  expect(runs[0].layers).toHaveLength(28)
  expect(runs[0].perplexity).toBeGreaterThan(1)
  await page.getByText(/No checkpoint: .*private storage is full/).waitFor()
  expect((await privateFiles(page)).size).toBe(0)
})
