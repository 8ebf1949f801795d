/** Tests of a full private file system in the real browser. */
import type { Browser } from 'playwright'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { accessibilityProblems, drop, fillSmallPlan, launchChromium, modelFolder, openPage, privateFiles } from './harness.ts'

let browser: Browser
beforeAll(async () => {
  browser = await launchChromium()
})
afterAll(() => browser.close())

test('a full disk makes the job wait, with the bytes that it needs, and go on when there is room', async () => {
  const workbench = await openPage(browser, inject('url'))
  const { page, button, step, report } = workbench
  const devtools = await page.context().newCDPSession(page)
  const note = page.getByRole('region', { name: 'The storage is full' })
  const offer = note.getByRole('button', { name: 'Delete them and continue' })
  const quota = (quotaSize?: number) =>
    devtools.send('Storage.overrideQuotaForOrigin', { origin: new URL(page.url()).origin, ...(quotaSize && { quotaSize }) })
  await quota(400_000)
  await drop(page, 'main', [await modelFolder()])
  await button('Plan runs').click()
  await page.getByRole('button', { name: /^Remove QuantEase/ }).click()
  await fillSmallPlan(workbench)
  const start = page.getByRole('button', { name: /^Start/ })
  await expect.poll(() => start.isEnabled(), { timeout: 60_000 }).toBe(true)
  await start.click()

  await note.waitFor({ timeout: 60_000 })
  expect(await note.innerText()).toMatch(/no space for the checkpoint of RTN.*[\d.]+\s[KM]iB are still needed.*private storage is full/s)
  expect(await page.getByTestId('announcer').innerText()).toContain('storage is full')
  expect(await accessibilityProblems(page)).toEqual([])
  expect(await offer.count()).toBe(0)
  await quota()
  await button('Try again').click()
  const { runs, started } = await report(120_000)
  expect(runs[0].exportError).toBeUndefined()
  expect(runs[0].export!.files.map(({ path }) => path)).toContain('model.safetensors')
  expect([...(await privateFiles(page)).keys()].filter((path) => path.endsWith('model.safetensors'))).toHaveLength(1)

  // Another job, with half of the room that it takes: the first one's checkpoint, which is named, would make enough.
  await step('Plan').click()
  await expect.poll(() => start.isEnabled(), { timeout: 60_000 }).toBe(true)
  const usage = await page.evaluate(async () => (await navigator.storage.estimate()).usage!)
  await start.click()
  await page.getByRole('button', { name: 'Pause' }).waitFor()
  await quota(Math.round(1.5 * usage))
  await offer.waitFor({ timeout: 60_000 })
  expect(await note.getByRole('listitem').allInnerTexts()).toEqual([expect.stringMatching(/\(RTN[^)]*\): [\d.]+\s[KM]iB$/)])
  expect(await accessibilityProblems(page)).toEqual([])
  await offer.click()
  const second = await report(120_000)
  expect(second.started).not.toBe(started)
  expect(second.runs[0].export!.files.map(({ path }) => path)).toContain('model.safetensors')
  expect([...(await privateFiles(page)).keys()].filter((path) => path.endsWith('model.safetensors'))).toHaveLength(1)
})
