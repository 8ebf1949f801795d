/** The views of a job, from a recording: their figures are those of the report, and they can be read and worked at every width. */
import type { Browser } from 'playwright'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as format from '../src/app/format.ts'
import { perplexityChange } from '../src/app/judge.ts'
import { shortName } from '../src/app/charts/names.ts'
import type { JobReport } from '../src/engine/job/report.ts'
import type { RunResult } from '../src/engine/job/result.ts'
import { accessibilityProblems, download, launchChromium, openPage, type Workbench } from './harness.ts'
import { recording } from './views/recording.ts'
import { recordedSite } from './views/site.ts'

let site: Awaited<ReturnType<typeof recordedSite>>
let browser: Browser
let workbench: Workbench
let report: JobReport
const recorded = recording({ blocks: 3, runs: 3, over: true })

beforeAll(async () => {
  site = await recordedSite(recorded)
  browser = await launchChromium({ webgpu: false })
  workbench = await openPage(browser, site.url)
})
afterAll(async () => {
  await browser.close()
  site.close()
})

const figure = (name: RegExp) => workbench.page.getByRole('figure', { name })

/** Cells of a chart's table, row by row. */
async function tableOf(name: RegExp): Promise<string[][]> {
  const toggle = figure(name).getByRole('button', { name: 'Show as table' })
  await toggle.click()
  const rows = await figure(name)
    .locator('tr')
    .evaluateAll((found) => found.map((row) => [...row.querySelectorAll('th, td')].map((cell) => (cell as HTMLElement).innerText)))
  await toggle.click()
  return rows
}

function changeOf(result: Pick<RunResult, 'perplexity' | 'windows'>): string {
  const { text, verdict } = perplexityChange(report, result)!
  return text + { worse: ' ↑', better: ' ↓', tie: '' }[verdict]
}

/** What the columns of the result table have to say of a run. */
const told = ({ bitsPerWeight, perplexity, kl, klSpread, top1, meanRelativeError, worst, seconds, windows }: RunResult) => ({
  'Bits per weight': format.bitsPerWeight(bitsPerWeight),
  Perplexity: format.perplexity(perplexity) + changeOf({ perplexity, windows }),
  'KL from full precision, nats': format.divergence(kl),
  'KL median': format.divergence(klSpread!.median),
  'KL 99th percentile': format.divergence(klSpread!.p99),
  'KL maximum': format.divergence(klSpread!.max),
  'Same top token': format.share(top1),
  'Mean layer error': format.relativeError(meanRelativeError, 'fraction'),
  'Worst layer error': format.relativeError(worst!.relativeError, 'fraction'),
  Time: format.duration(seconds),
})

test('the figures of the result table are those of the report', async () => {
  const { page, button } = workbench
  await button('Open the results').click()
  report = JSON.parse(String(await download(page, button('Save report (JSON)').click())))
  expect(report.runs).toEqual(recorded.summary.report!.runs)
  const rows = await page
    .getByRole('region', { name: 'Result table' })
    .locator('tr')
    .evaluateAll((found) => found.map((row) => [...row.querySelectorAll('th, td')].map((cell) => (cell as HTMLElement).innerText)))
  const [names, full, ...runs] = rows
  const at = (row: string[], name: string) => row[names.indexOf(name)].split(/[\n\t ]/)[0]
  expect(at(full, 'Perplexity')).toBe(format.perplexity(report.fpPerplexity))
  for (const [i, run] of report.runs.entries())
    for (const [name, text] of Object.entries(told(run))) expect(at(runs[i], name), `${run.run}, ${name}`).toBe(text.split(' ')[0])
})

test('the figures of the charts are those of the report', async () => {
  const linears = report.linears.map((name, i) => [name, ...report.runs.map(({ layers }) => layers[i].relativeError)] as const)
  const errors = linears.map(([name, ...values]) => [
    shortName(name as string),
    ...values.map((value) => format.relativeError(value as number, 'fraction')),
  ])
  const bare = (rows: string[][]) => rows.slice(1).map((row) => row.slice(0, 4).map((cell) => cell.replace(' !', '')))
  expect(bare(await tableOf(/^Relative error by block/))).toEqual(errors)
  expect(bare(await tableOf(/^Relative error of each linear/))).toEqual(errors)
  const perplexities = report.runs[0].perplexities.map(({ blocks }, i) => [
    String(blocks),
    ...report.runs.map((run) => format.perplexity(run.perplexities[i].value)),
  ])
  expect((await tableOf(/^Perplexity with/)).slice(2)).toEqual(perplexities)
  const kls = report.runs.map(({ bitsPerWeight, kl, klSpread }) => [
    format.bitsPerWeight(bitsPerWeight),
    format.divergence(kl),
    format.divergence(klSpread!.error),
  ])
  expect((await tableOf(/^KL from full precision/)).slice(1).map((row) => row.slice(1))).toEqual(kls)
})

test('the table of all figures holds the numbers of the report, digit for digit', async () => {
  const { page, button } = workbench
  const csv = String(await download(page, button('Save figures (CSV)').click())).split('\r\n')
  for (const { run, layers, kl, perplexities } of report.runs) {
    const { label } = report.job.runs.find(({ id }) => id === run)!
    const start = `${run},${label.includes(',') ? `"${label}"` : label}`
    expect(csv).toContain(`${start},,"KL, nats",,${kl}`)
    expect(csv).toContain(`${start},,perplexity by blocks quantized,2,${perplexities[1].value}`)
    for (const { name, relativeError } of layers) expect(csv).toContain(`${start},${name},relative error of the linear,,${relativeError}`)
  }
})

test('runs are hidden and put first, and pointing at a line dims the others everywhere', async () => {
  const { page, button } = workbench
  const [first, second, third] = report.job.runs
  const lines = (run: string) => figure(/^Perplexity with/).locator(`.trace[data-run="${run}"]`)
  const listed = () =>
    page.locator('.results tbody tr[data-run]').evaluateAll((rows) => rows.map((row) => (row as HTMLElement).dataset.run))
  expect(await lines(second.id).count()).toBe(1)
  await button(`Hide ${second.label} in charts`).click()
  expect(await lines(second.id).count()).toBe(0)
  expect(await listed()).toEqual([first.id, second.id, third.id])
  await button(`Hide ${second.label} in charts`).click()
  await button(`Put ${third.label} first`).click()
  expect(await listed()).toEqual([third.id, first.id, second.id])
  expect(
    await figure(/^Relative error of each linear/)
      .locator('.maps > [data-run]')
      .first()
      .getAttribute('data-run'),
  ).toBe(third.id)
  await button(`Put ${third.label} first`).click()

  await lines(first.id).scrollIntoViewIfNeeded()
  const mark = (await lines(first.id).locator('g').last().boundingBox())!
  await page.mouse.move(mark.x + mark.width / 2, mark.y + mark.height / 2)
  const opacity = (run: string) => page.locator(`.results tr[data-run="${run}"]`).evaluate((row) => getComputedStyle(row).opacity)
  await expect.poll(async () => [await opacity(first.id), await opacity(second.id)]).toEqual(['1', '0.65'])
  await figure(/^Perplexity with/)
    .locator('.reading')
    .waitFor()
  await page.mouse.move(1, 1)
  await expect.poll(() => opacity(second.id)).toBe('1')
})

test('maps stand side by side with the ratio of two runs, and a cell opens its linear by key and by click', async () => {
  const { page } = workbench
  const maps = figure(/^Relative error of each linear/)
  expect(await maps.locator('.map-name').allInnerTexts()).toEqual(['RTN', 'QuantEase', 'GPTQ', 'GPTQ as a multiple of RTN'])
  await maps.getByLabel('Ratio:').selectOption('QuantEase')
  const [, ...rows] = await tableOf(/^Relative error of each linear/)
  const ratios = report.linears.map((_, i) => format.ratio(report.runs[1].layers[i].relativeError / report.runs[0].layers[i].relativeError))
  expect(rows.map((row) => row[4])).toEqual(ratios)
  await maps.getByLabel('Quantity shown in the maps').selectOption('Bits per weight')
  await figure(/^Bits per weight of each linear/).waitFor()
  const map = page.getByRole('application', { name: /^Map of QuantEase\./ })
  await map.focus()
  for (const key of ['ArrowRight', 'ArrowRight', 'ArrowDown']) await page.keyboard.press(key)
  await page.getByText('Block 1, self_attn.k_proj').first().waitFor()
  await page.keyboard.press('Enter')
  const drawer = page.getByRole('dialog')
  await drawer.getByRole('heading', { name: 'layers.1.self_attn.k_proj' }).waitFor()
  expect(await accessibilityProblems(page)).toEqual([])
  await page.keyboard.press('Escape')
  await drawer.waitFor({ state: 'detached' })
  // The drawer is loaded now, so it opens within the same press.
  await page.keyboard.press('Enter')
  await drawer.getByRole('heading', { name: 'layers.1.self_attn.k_proj' }).waitFor()
  await page.keyboard.press('Escape')
  await drawer.waitFor({ state: 'detached' })
  const box = (await map.boundingBox())!
  await map.click({ position: { x: box.width / 2, y: box.height - 4 } })
  await drawer.getByRole('heading', { name: /^layers\.2\./ }).waitFor()
  // Of the run whose map it was.
  expect(await drawer.getByRole('radio', { name: 'QuantEase', exact: true }).isChecked()).toBe(true)
  await page.keyboard.press('Escape')
})

test('menus, forced colours and narrow windows are accessible, and nothing is wider than the window', async () => {
  const { page, step } = workbench
  await figure(/^Perplexity with/)
    .getByRole('button', { name: 'Save chart' })
    .click()
  await page.getByRole('menuitem', { name: 'Save as SVG' }).waitFor()
  expect(await accessibilityProblems(page)).toEqual([])
  await page.keyboard.press('Escape')
  for (const width of [1440, 1024, 390, 320]) {
    await page.setViewportSize({ width, height: 900 })
    for (const name of ['Model', 'Run', 'Results']) {
      await step(name).click()
      await page.getByRole('heading', { level: 1 }).waitFor()
      expect(await page.evaluate(() => document.documentElement.scrollWidth), `${name} at ${width}`).toBe(width)
    }
  }
  await page.emulateMedia({ forcedColors: 'active', colorScheme: 'dark' })
  expect(await accessibilityProblems(page)).toEqual([])
  // Where colours are the system's, dashes tell the lines of runs apart.
  await page.setViewportSize({ width: 1280, height: 900 })
  const dashes = await figure(/^Perplexity with/)
    .locator('.trace .line')
    .evaluateAll((lines) => lines.map((line) => getComputedStyle(line).strokeDasharray))
  expect(new Set(dashes).size).toBe(3)
  expect(workbench.errors).toEqual([])
})
