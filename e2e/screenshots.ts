/**
 * `npm run screenshots [-- --views FOLDER]`: the pictures of the README, taken from the real page at work on the demo; then every view at
 * three widths, light and dark, into a folder that is not kept (`screenshots`): the demo's, those of a large recorded job while it runs
 * and when it is over, and a linear's.
 */
import { mkdirSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Browser, Page } from 'playwright'
import { launchChromium, openPage, type Workbench } from './harness.ts'
import { serveSite } from './serve.ts'
import { recording } from './views/recording.ts'
import { recordedSite } from './views/site.ts'

const { values } = parseArgs({ options: { views: { type: 'string', default: 'screenshots' } } })
const pictures = 'e2e/screenshots'
const widths = [1440, 1024, 390]
const schemes = ['light', 'dark'] as const
for (const folder of [pictures, values.views]) mkdirSync(folder, { recursive: true })

async function shoot(page: Page, path: string) {
  await page.screenshot({ path, animations: 'disabled' })
  console.log(path)
}

/** The page as it is, at every width and in every theme. */
async function shootAll(page: Page, name: string, whole = true) {
  for (const width of widths) {
    await page.setViewportSize({ width, height: 900 })
    // In a window as high as the page, so that bars that stick to an edge of it are where they belong.
    if (whole) await page.setViewportSize({ width, height: await page.evaluate(() => document.documentElement.scrollHeight) })
    for (const colorScheme of schemes) {
      await page.emulateMedia({ colorScheme })
      await shoot(page, `${values.views}/${name}-${width}-${colorScheme}.png`)
    }
  }
  await page.setViewportSize({ width: 1440, height: 1000 })
}

/** The demo from its start to its results; on the way the pictures of the README. */
async function shootDemo(browser: Browser) {
  const site = await serveSite()
  const { page, button, step } = await openPage(browser, site.url, { viewport: { width: 1440, height: 1000 }, colorScheme: 'light' })
  await button('Try the demo').click({ trial: true, timeout: 60_000 })
  await shootAll(page, 'start')
  await page.emulateMedia({ colorScheme: 'light' })
  await button('Try the demo').click()
  // Both runs on the charts, the second still at work.
  await page.getByRole('region', { name: 'Runs' }).getByRole('listitem').nth(1).getByText('of 28').waitFor({ timeout: 240_000 })
  await page.getByText('3 of 4', { exact: true }).waitFor({ timeout: 240_000 })
  await shoot(page, `${pictures}/run.png`)
  await button('See the results').click({ timeout: 240_000 })
  await page.emulateMedia({ colorScheme: 'dark' })
  await shoot(page, `${pictures}/results.png`)
  for (const name of ['Model', 'Plan', 'Run', 'Results']) {
    await step(name).click()
    await page.getByRole('heading', { level: 1 }).waitFor()
    await shootAll(page, name.toLowerCase())
  }
  await shootLinear(page)
  await site.close()
}

async function shootLinear(page: Page) {
  const map = page.getByRole('application', { name: /^Map of/ }).first()
  await map.focus()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').getByRole('figure').first().waitFor({ timeout: 30_000 })
  await shootAll(page, 'linear', false)
  await page.keyboard.press('Escape')
}

/** A job of 301 linears and 8 runs. */
async function shootRecorded(browser: Browser, over: boolean) {
  const site = await recordedSite(recording({ blocks: 43, runs: 8, over }))
  const { page, button }: Workbench = await openPage(browser, site.url, { viewport: { width: 1440, height: 1000 } })
  await button(over ? 'Open the results' : 'Resume').click()
  await page.getByRole('figure').first().waitFor()
  if (!over) await page.evaluate(() => new BroadcastChannel('steps').postMessage(0))
  await shootAll(page, over ? 'results-large' : 'run-large')
  site.close()
}

const browser = await launchChromium()
try {
  await shootDemo(browser)
  for (const over of [false, true]) await shootRecorded(browser, over)
} finally {
  await browser.close()
}
