/** `npm run screenshots`: the pictures of the README, taken from the real page at work on the demo. */
import { mkdirSync } from 'node:fs'
import { launchChromium, openPage } from './harness.ts'
import { serveSite } from './serve.ts'

const folder = 'e2e/screenshots'
mkdirSync(folder, { recursive: true })
const site = await serveSite()
const browser = await launchChromium()
try {
  const { page, button } = await openPage(browser, site.url, { viewport: { width: 1440, height: 1000 }, colorScheme: 'light' })
  const shoot = async (name: string) => {
    await page.screenshot({ path: `${folder}/${name}.png` })
    console.log(`${folder}/${name}.png`)
  }
  await button('Try the demo').click()
  // Both runs on the charts, the second still at work.
  await page.getByRole('region', { name: 'Runs' }).getByRole('listitem').nth(1).getByText('of 28').waitFor({ timeout: 120_000 })
  await page.getByText('3 of 4', { exact: true }).waitFor({ timeout: 120_000 })
  await shoot('run')
  await button('See the results').click({ timeout: 120_000 })
  await page.emulateMedia({ colorScheme: 'dark' })
  await shoot('results')
} finally {
  await browser.close()
  await site.close()
}
