/** Tests of the plan's texts in the page: data sets of a local Hub, pasted text, and their messages. */
import { readFileSync } from 'node:fs'
import { parquetWriteBuffer } from 'hyparquet-writer'
import type { Browser } from 'playwright'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { accessibilityProblems, drop, launchChromium, modelFolder, openPage, type Workbench } from './harness.ts'
import { type HubServer, startHub } from './hub/server.ts'
import { serveSiteOf } from './hub/site.ts'

const stories = readFileSync('public/demo/calibration.txt', 'utf8').split(/\n+/).filter(Boolean)
const table = (data: string[]) => new Uint8Array(parquetWriteBuffer({ columnData: [{ name: 'text', data, type: 'STRING' }] }))
const converted = (files: [string, string[]][]) => ({
  main: new Map([['README.md', new Uint8Array(1)]]),
  'refs/convert/parquet': new Map(files.map(([path, data]) => [path, table(data)])),
})

let server: HubServer
let site: Awaited<ReturnType<typeof serveSiteOf>>
let browser: Browser
let workbench: Workbench
beforeAll(async () => {
  server = await startHub({
    repos: [
      {
        type: 'dataset',
        name: 'Salesforce/wikitext',
        // The test split repeats a part of the other, as careless ones do.
        revisions: converted([
          ['wikitext-2-raw-v1/train/0000.parquet', stories.slice(0, 300)],
          ['wikitext-2-raw-v1/test/0000.parquet', stories.slice(250, 350)],
        ]),
      },
      {
        type: 'dataset',
        name: 'EleutherAI/lambada_openai',
        revisions: converted([['default/test/0000.parquet', stories.slice(400, 420)]]),
      },
    ],
  })
  site = await serveSiteOf(server)
  browser = await launchChromium()
  workbench = await openPage(browser, site.url)
  await drop(workbench.page, 'main', [await modelFolder()])
  await workbench.button('Plan runs').click()
})
afterAll(async () => {
  await browser.close()
  await site.close()
  await server.close()
})

const choose = (purpose: string, id: string) => workbench.field(`${purpose}.text`).getByRole('combobox').selectOption(id)

test('reading a data set of the Hub can be stopped, and the plan checked again', async () => {
  const { button, field, page } = workbench
  server.fault('stall', { match: '', times: 100 })
  await choose('calibration', 'wikitext2')
  await button('Stop reading').click({ timeout: 60_000 })
  await field('calibration.text').getByText('The transfer was cancelled').waitFor()
  expect(await page.getByRole('meter', { name: /Calibration tokens/ }).count()).toBe(0)
  expect(await accessibilityProblems(page)).toEqual([])
  server.clear()
  await button('Check again').click()
  await page.getByRole('meter', { name: /Calibration tokens/ }).waitFor({ timeout: 60_000 })
  expect(await button('Check again').count()).toBe(0)
})

test('a data set of the Hub is read, counted, and compared with the evaluation text', async () => {
  const { page, field } = workbench
  await choose('calibration', 'wikitext2')
  await choose('evaluation', 'wikitext2')
  await field('evaluation.text').getByText('of the evaluation tokens also occur in the calibration samples').waitFor({ timeout: 60_000 })
  await page.getByRole('meter', { name: /Calibration tokens/ }).waitFor()
  expect(server.log.some(({ host }) => host === 'storage')).toBe(true)
})

test('a name that is no data set is refused as typed, and one that is not there where it was chosen', async () => {
  const { page, button, field } = workbench
  await button('Use a data set of the Hub for calibration').click()
  const name = page.getByRole('textbox', { name: 'Data set of the Hub' })
  await name.fill('https://x')
  expect(await button('Use this data set').isDisabled()).toBe(true)
  await name.fill('someone/nothing')
  await button('Use this data set').click()
  await field('calibration.text').getByText('The data set someone/nothing does not exist').waitFor({ timeout: 60_000 })
  await choose('calibration', 'demo-calibration')
})

test('a picked file is read as what its bytes say, and refused at its field', async () => {
  const { page, button, field } = workbench
  const pick = async (path: string) => {
    const chooser = page.waitForEvent('filechooser')
    await button('Add a text file for evaluation').click()
    await (await chooser).setFiles(path)
  }
  await pick('e2e/cases/text/table.arrow')
  await field('evaluation.text').getByText('table.arrow is an Arrow file, which cannot be read as text').waitFor({ timeout: 60_000 })
  await pick('e2e/cases/text/two-members.jsonl.gz')
  await page.getByText('two-members.jsonl.gz: JSON rows, compressed with gzip; column text; 3 rows; begins “The rope was long.”').waitFor()
  await pick('e2e/cases/text/brotli.parquet')
  await page.getByText('brotli.parquet: parquet table; column text').waitFor()
  await pick('README.md')
  await page.getByText('README.md: plain text; begins “# QuantEase Workbench').waitFor({ timeout: 60_000 })
  expect(await page.getByText('That did not work').count()).toBe(0)
  await choose('evaluation', 'demo-evaluation')
})

test('pasted text is evaluated, and last words are measured beside it', async () => {
  const { page, button, field, report } = workbench
  await button('Paste a text for evaluation').click()
  await page.getByRole('textbox', { name: 'Text for evaluation' }).fill(stories.slice(500, 540).join('\n'))
  await button('Use this text').click()
  await field('lambada').getByRole('switch').click()
  await page.getByText('20 passages', { exact: false }).waitFor({ timeout: 60_000 })
  for (const [path, value] of Object.entries({
    'calibration.samples': 4,
    'calibration.length': 64,
    'evaluation.samples': 2,
    'evaluation.length': 64,
  }))
    await field(path).getByRole('textbox').fill(String(value))
  expect(await accessibilityProblems(page)).toEqual([])
  await button('Remove QuantEase+ 3-bit').click()
  await expect.poll(() => page.getByRole('button', { name: /^Start/ }).isEnabled(), { timeout: 60_000 }).toBe(true)
  await page.getByRole('button', { name: /^Start/ }).click()
  const { fpLambada, runs } = await report(90_000)
  expect(fpLambada?.passages).toBe(20)
  expect(runs[0].lambada?.passages).toBe(20)
  await page.getByRole('columnheader', { name: 'Last-word accuracy' }).waitFor()
})
