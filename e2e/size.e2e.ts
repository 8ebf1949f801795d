/** What a visit loads before anything is touched, and that the rest follows as soon as something is. */
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { Browser } from 'playwright'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { drop, launchChromium, modelFolder, openPage, openWorkbench } from './harness.ts'

/** Scripts of the page and its worker, as a host sends them, bytes. */
const most = 270_000

let browser: Browser
beforeAll(async () => {
  browser = await launchChromium()
})
afterAll(() => browser.close())

test('a visit begins with at most 270 KB of compressed scripts, and is whole after the first touch', async () => {
  const context = await browser.newContext()
  const scripts = new Set<string>()
  context.on('request', (request) => {
    const name = basename(new URL(request.url()).pathname)
    if (name.endsWith('.js')) scripts.add(name)
  })
  const { page, button, errors } = await openWorkbench(context, inject('url'))
  // By then the engine has opened the device, the last thing that happens by itself.
  await expect.poll(() => button('Try the demo').isEnabled(), { timeout: 60_000 }).toBe(true)
  const sizes = await Promise.all(
    [...scripts].map(async (name) => [name, gzipSync(await readFile(`dist/assets/${name}`), { level: 9 }).length]),
  )
  const first = Object.fromEntries(sizes) as Record<string, number>
  const sum = Object.values(first).reduce((all, size) => all + size, 0)
  console.log(`first load: ${Math.round(sum / 1000)} KB of ${most / 1000} KB`)
  expect(Object.keys(first)).toContainEqual(expect.stringMatching(/^worker-/))
  expect(sum, JSON.stringify(first)).toBeLessThan(most)
  const before = scripts.size
  await page.mouse.click(1, 400)
  // Plan, run and results; texts, planning, running and the Hub's library in the worker.
  await expect.poll(() => scripts.size, { timeout: 60_000 }).toBeGreaterThanOrEqual(before + 7)
  expect(errors).toEqual([])
  await context.close()
})

test('a narrow window has the rules for narrow windows, in whatever order style sheets come', async () => {
  const { page } = await openPage(browser, inject('url'), { viewport: { width: 390, height: 800 } })
  await drop(page, 'main', [await modelFolder()])
  await page.getByRole('button', { name: 'Plan runs' }).click()
  await page.getByRole('button', { name: /^Start/ }).waitFor()
  const columns = () => page.locator('.plan-grid').evaluate((grid) => getComputedStyle(grid).gridTemplateColumns.split(' ').length)
  expect(await columns()).toBe(1)
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390)
  await page.close()
})
