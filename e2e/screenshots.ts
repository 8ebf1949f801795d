/**
 * `npm run screenshots [-- --views FOLDER] [--recorded]`: the pictures of the README, taken from the real page at work on the demo; then
 * every view at four widths, light, dark and in forced colours, into a folder that is not kept (`screenshots`): the demo's, a linear's,
 * those of recorded jobs while they run and when they are over, and those of a browser without WebGPU. `--recorded`: without the demo,
 * which computes for minutes.
 */
import { mkdirSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Browser, Page } from 'playwright'
import { launchChromium, openPage, type Workbench } from './harness.ts'
import { serveSite } from './serve.ts'
import { recording } from './views/recording.ts'
import { recordedSite } from './views/site.ts'

const { values } = parseArgs({ options: { views: { type: 'string', default: 'screenshots' }, recorded: { type: 'boolean' } } })
const pictures = 'e2e/screenshots'
const widths = [1440, 1024, 390, 320]
const looks = [
  { name: 'light', colorScheme: 'light', forcedColors: 'none' },
  { name: 'dark', colorScheme: 'dark', forcedColors: 'none' },
  { name: 'forced', colorScheme: 'light', forcedColors: 'active' },
] as const
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
    for (const { name: look, ...media } of looks) {
      await page.emulateMedia(media)
      await shoot(page, `${values.views}/${name}-${width}-${look}.png`)
    }
  }
  await page.emulateMedia({ colorScheme: 'light', forcedColors: 'none' })
  await page.setViewportSize({ width: 1440, height: 1000 })
}

/** The demo from its start to its results; on the way the pictures of the README. */
async function shootDemo(browser: Browser) {
  const site = await serveSite()
  const { page, button, step } = await openPage(browser, site.url, { viewport: { width: 1440, height: 1000 }, colorScheme: 'light' })
  await button('Try the demo').click({ trial: true, timeout: 60_000 })
  await shootAll(page, 'start')
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
  await shootLinear(page, 'linear')
  await site.close()
}

async function shootLinear(page: Page, name: string) {
  const map = page.getByRole('application', { name: /^Map of/ }).first()
  await map.focus()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').getByRole('figure').first().waitFor({ timeout: 30_000 })
  await shootAll(page, name, false)
  await page.keyboard.press('Escape')
}

/** A small job from its plan to a linear, as it was recorded. */
async function shootSmall(browser: Browser) {
  const site = await recordedSite(recording({ blocks: 4, runs: 2, over: true }))
  const { page, button, step }: Workbench = await openPage(browser, site.url, { viewport: { width: 1440, height: 1000 } })
  await button('Open the results').waitFor()
  await shootAll(page, 'start-small')
  await page.getByRole('button', { name: /^Plan the job on/ }).click()
  await page.getByRole('heading', { level: 1, name: /^Plan/ }).waitFor()
  await shootAll(page, 'plan-small')
  await shootAll(page, 'plan-small-fold', false)
  await step('Model').click()
  await button('Open the results').click()
  await page.getByRole('figure').first().waitFor()
  await shootAll(page, 'results-small')
  await step('Run').click()
  await page.getByRole('figure').first().waitFor()
  await shootAll(page, 'run-small')
  await step('Results').click()
  await shootLinear(page, 'linear-small')
  site.close()
}

/** A job of 301 linears and 8 runs. */
async function shootLarge(browser: Browser, over: boolean) {
  const site = await recordedSite(recording({ blocks: 43, runs: 8, over }))
  const { page, button }: Workbench = await openPage(browser, site.url, { viewport: { width: 1440, height: 1000 } })
  await button(over ? 'Open the results' : 'Resume').click()
  await page.getByRole('figure').first().waitFor()
  if (!over) await page.evaluate(() => new BroadcastChannel('steps').postMessage(0))
  await shootAll(page, over ? 'results-large' : 'run-large')
  site.close()
}

/** What a browser without WebGPU has to show. */
async function shootWithoutGpu() {
  const browser = await launchChromium({ webgpu: false })
  const site = await serveSite()
  const { page, button } = await openPage(browser, site.url, { viewport: { width: 1440, height: 1000 } })
  await button('See a recorded run').waitFor({ timeout: 60_000 })
  await shootAll(page, 'no-gpu')
  await site.close()
  await browser.close()
}

const browser = await launchChromium()
try {
  if (!values.recorded) await shootDemo(browser)
  await shootSmall(browser)
  for (const over of [false, true]) await shootLarge(browser, over)
  await shootWithoutGpu()
} finally {
  await browser.close()
}
