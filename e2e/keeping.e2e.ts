/** The user's work is kept: a plan after a wrong drop, checkpoints next to each other, results after a reload. */
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import type { JobReport } from '../src/engine/job/report.ts'
import {
  accessibilityProblems,
  download,
  drop,
  exportedFiles,
  fillSmallPlan,
  launchChromium,
  modelFolder,
  openPage,
  privateFiles,
  type Workbench,
} from './harness.ts'

let browser: Browser
let workbench: Workbench
let loose: string
beforeAll(async () => {
  browser = await launchChromium()
  workbench = await openPage(browser, inject('url'))
  loose = await mkdtemp(join(tmpdir(), 'workbench-loose-'))
})
afterAll(() => browser.close())

const chosenText = (purpose: string) => workbench.field(`${purpose}.text`).getByRole('combobox').locator('option:checked').innerText()
const runNames = () => workbench.page.getByRole('region', { name: 'Runs' }).locator('.card-title b').allInnerTexts()

/** Runs in the page. */
function isInView(element: Element): boolean {
  const { top, bottom } = element.getBoundingClientRect()
  return top >= 0 && bottom <= innerHeight
}

async function looseFile(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(loose, name)
  await writeFile(path, content)
  return path
}

test('a drop that is no model leaves the model and its plan as they were, and is told where it happened', async () => {
  const { page, button } = workbench
  await expect.poll(() => button('Try the demo').isEnabled(), { timeout: 60_000 }).toBe(true)
  await drop(page, 'main', [await modelFolder()])
  await button('Plan runs').click({ timeout: 60_000 })
  await fillSmallPlan(workbench)
  const before = await runNames()
  await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight))
  await drop(page, 'main', [await looseFile('photo.png', Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13))])
  await expect.poll(() => page.getByRole('region', { name: /^Cannot use/ }).evaluate(isInView)).toBe(true)
  expect(await page.getByRole('heading', { level: 1 }).innerText()).toBe('Plan for stories')
  expect(await runNames()).toEqual(before)
  expect(await workbench.field('calibration.samples').getByRole('textbox').inputValue()).toBe('4')
  await button('Close this message').click()
})

test('a text dropped anywhere says what it is used for, and can be used for the other thing', async () => {
  const { page, button } = workbench
  const calibration = await chosenText('calibration')
  await drop(page, 'main', [await looseFile('mine.txt', (await readFile('public/demo/evaluation.txt', 'utf8')).slice(5000, 25_000))])
  await page.getByText('mine.txt is the calibration text now.').first().waitFor()
  expect(await chosenText('calibration')).toContain('mine.txt')
  await button('Evaluate on it instead').click()
  expect(await chosenText('evaluation')).toContain('mine.txt')
  expect(await chosenText('calibration')).toBe(calibration)
  await button('Close this message').click()
})

test('options stay open while they are mended, and what is no number is said to be none', async () => {
  const { page, field } = workbench
  await page.getByRole('button', { name: /^QuantEase/ }).click()
  await page.locator('summary', { hasText: 'More' }).click()
  const rounds = page.locator('[data-field$="options.rounds"]').getByRole('textbox')
  await rounds.fill('-1')
  await page.locator('[data-field$="options.rounds"] .field-problem.error').waitFor({ timeout: 60_000 })
  await rounds.fill('-')
  await page.locator('[data-field$="options.rounds"]').getByText('“-” is not a whole number.').waitFor()
  expect(await page.locator('[data-field$="options.rounds"] .field-problem').count()).toBe(1)
  await rounds.fill('1')
  await page.locator('[data-field$="options.rounds"] .field-problem.error').waitFor({ state: 'detached', timeout: 60_000 })
  expect(await rounds.evaluate((element) => element === document.activeElement)).toBe(true)
  const seed = field('seed').getByRole('textbox')
  await seed.fill('abc')
  await field('seed').getByText('“abc” is not a whole number.').waitFor()
  await seed.blur()
  expect(await seed.inputValue()).toBe('abc')
  const start = page.getByRole('button', { name: /^Start/ })
  expect(await start.isEnabled()).toBe(false)
  await field('seed').getByRole('button', { name: 'Back to 0' }).click()
  expect(await seed.inputValue()).toBe('0')
  await expect.poll(() => start.isEnabled(), { timeout: 60_000 }).toBe(true)
})

test('nothing that has the focus hides under the start bar', async () => {
  const { page } = workbench
  await page.getByRole('heading', { level: 1 }).focus()
  const seen: string[] = []
  for (let i = 0; i < 80; i++) {
    await page.keyboard.press('Tab')
    const [name, hidden] = await page.evaluate(() => {
      const at = document.activeElement!
      const box = at.getBoundingClientRect()
      const bar = document.querySelector('.start-bar')!
      const covered = !bar.contains(at) && box.bottom > bar.getBoundingClientRect().top + 1 && box.top < bar.getBoundingClientRect().bottom
      return [at === document.body ? '' : at.outerHTML.slice(0, 100), covered] as const
    })
    if (!name) break
    seen.push(name)
    expect(hidden, name).toBe(false)
  }
  expect(seen.length).toBeGreaterThan(20)
})

test('every control that is pressed is at least 24 pixels wide and high', async () => {
  const small = await workbench.page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>('button, select, input, summary')]
      .map((element) => (element.closest('.choice label') ?? element).getBoundingClientRect())
      .filter(({ width, height }) => width > 1 && (width < 24 || height < 24))
      .map(({ width, height }) => `${width} × ${height}`),
  )
  expect(small).toEqual([])
})

test('runs keep their looks where others are removed; two are never called the same', async () => {
  const { page, button } = workbench
  const looks = async (name: string) =>
    page
      .getByRole('region', { name: 'Runs' })
      .locator('li', { has: page.getByText(name, { exact: true }) })
      .locator('.run-mark path')
      .evaluate((path) => [path.getAttribute('d'), path.getAttribute('fill')])
  const rename = async (from: string, to: string) => {
    await page.getByRole('region', { name: 'Runs' }).getByText(from, { exact: true }).click()
    const name = page.getByRole('textbox', { name: 'Name' })
    await name.fill(to)
    await name.press('Enter')
  }
  const [rtn, quantease] = await runNames()
  const before = await looks(quantease)
  await button(`Duplicate ${quantease}`).click()
  await button(`Remove ${rtn}`).click()
  expect(await looks(quantease)).toEqual(before)
  const [first, second] = await runNames()
  await rename(first, 'A')
  await rename(second, 'A')
  expect(await runNames()).toEqual(['A', 'A (2)'])
})

let report: JobReport
/** Charts as tables, and as they are drawn, by title. */
let before: Record<string, Drawn>

interface Drawn {
  table: string
  paths: (string | null)[]
}

async function charts(page: Page): Promise<Record<string, Drawn>> {
  const found: Record<string, Drawn> = {}
  // Charts are loaded when they are needed.
  await page.getByRole('heading', { name: /^Relative error by block/ }).waitFor()
  // Each is drawn once its width is known.
  await page.waitForFunction(() => [...document.querySelectorAll('figure.chart .chart-area')].every((area) => area.childElementCount > 0))
  for (const figure of await page.locator('figure.chart').all()) {
    const title = await figure.getByRole('heading').innerText()
    const toggle = figure.getByRole('button', { name: 'Show as table' })
    const paths = await figure.locator('svg[data-plot] path').evaluateAll((paths) => paths.map((path) => path.getAttribute('d')))
    await toggle.click()
    found[title] = { table: await figure.locator('.chart-area').innerText(), paths }
    await toggle.click()
  }
  return found
}

test('results name the texts and everything that a figure takes to be made again', async () => {
  const { page } = workbench
  const start = page.getByRole('button', { name: /^Start/ })
  await expect.poll(() => start.isEnabled(), { timeout: 60_000 }).toBe(true)
  // One press of the mouse, from the field of the name that is still being edited.
  await page.getByRole('region', { name: 'Runs' }).getByText('A (2)', { exact: true }).click()
  await page.getByRole('textbox', { name: 'Name' }).fill('A+')
  const { x, y, width, height } = (await start.boundingBox())!
  await page.mouse.click(x + width / 2, y + height / 2, { delay: 100 })
  report = await workbench.report(240_000)
  expect(report.runs.map(({ state }) => state)).toEqual(['finished', 'finished'])
  expect(report.texts.evaluation).toMatchObject({ name: 'mine.txt', tokens: 4 * 64, tokensSha256: expect.stringMatching(/^[0-9a-f]{64}$/) })
  expect(report.texts.calibration).toMatchObject({ tokens: 4 * 64 })
  expect(report.model).toMatchObject({ name: 'stories', quantized: null, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) })
  expect(report.workbench.version).toMatch(/^\d+\.\d+\.\d+$/)
  expect(Date.parse(report.ended)).toBeGreaterThanOrEqual(Date.parse(report.started))
  for (const { options, perplexities, layers } of report.runs) {
    expect(options).toMatchObject({ bits: 3, groupSize: -1, symmetric: false, trueSequential: false })
    expect(perplexities.at(-1)?.blocks).toBe(report.blocks)
    expect(layers.map(({ name }) => name)).toEqual(report.linears)
    for (const { objective } of layers) expect(objective!.values).toHaveLength(objective!.iterations.length)
  }
  expect(report.memory.length).toBeGreaterThan(1)
  await page.getByText(/Calibrated on 4 windows of 64 tokens of Demo stories/).waitFor()
  await page.getByText(/Perplexity over 4 windows of 64 tokens of mine\.txt/).waitFor()
  before = await charts(page)
  expect(Object.keys(before)).toHaveLength(6)
  for (const { table } of Object.values(before)) expect(table.split('\n').length).toBeGreaterThan(2)
})

test('two runs are saved side by side, and a folder that is there is asked about and left alone', async () => {
  const { page } = workbench
  // The picker is the system's own window: a folder of the private file system stands in for the one that is picked.
  await page.evaluate(() => {
    window.showDirectoryPicker = async () => (await navigator.storage.getDirectory()).getDirectoryHandle('picked', { create: true })
  })
  const save = (label: string) =>
    page
      .getByRole('region', { name: `Export ${label}`, exact: true })
      .getByRole('button', { name: 'Save to a folder' })
      .click()
  const folders = async () =>
    Object.fromEntries(
      [...(await privateFiles(page))]
        .filter(([path]) => /^picked\/.*model\.safetensors$/.test(path))
        .map(([path, bytes]) => [path.split('/')[1], bytes.toString('base64')]),
    )
  for (const [label, name] of [
    ['A', 'stories-A'],
    ['A+', 'stories-A-plus'],
  ]) {
    await save(label)
    await page.getByText(`Saved as ${name}/`).waitFor({ timeout: 60_000 })
  }
  const first = await folders()
  expect(Object.keys(first).sort()).toEqual(['stories-A', 'stories-A-plus'])
  await save('A')
  const dialog = page.getByRole('alertdialog')
  await dialog.getByRole('heading', { name: 'There is a “stories-A” already' }).waitFor()
  expect(await accessibilityProblems(page)).toEqual([])
  await dialog.getByRole('button', { name: 'Save as “stories-A-2”' }).click()
  await page.getByText('Saved as stories-A-2/').waitFor({ timeout: 60_000 })
  expect(await folders()).toEqual({ ...first, 'stories-A-2': first['stories-A'] })
})

test('results that are opened after a reload draw the same charts', async () => {
  const { page, button, step } = workbench
  await page.reload()
  await button('Open the results').click({ timeout: 60_000 })
  await page.getByRole('heading', { name: 'Results for stories' }).waitFor()
  expect(await charts(page)).toEqual(before)
  const again = JSON.parse(String(await download(page, button('Save report (JSON)').click())))
  expect(again).toEqual(report)
  await page.getByText(/tokens of mine\.txt/).waitFor()
  await step('Run').click()
  const shared = Object.entries(await charts(page)).filter(([title]) => title in before)
  expect(shared).not.toEqual([])
  for (const [title, { table }] of shared) expect(table, title).toBe(before[title].table)
  expect(await page.getByRole('region', { name: 'Layers' }).getByRole('row').count()).toBe(1 + report.linears.length)
  // The weights are in the folder; one that was not kept in the browser has to be brought.
  await page.evaluate(
    () =>
      new Promise((resolve) => {
        indexedDB.deleteDatabase('quantease-workbench').onsuccess = resolve
      }),
  )
  await button('Open layers.0.mlp.up_proj').click()
  const drawer = page.getByRole('dialog', { name: 'layers.0.mlp.up_proj' })
  await drawer.getByRole('button', { name: 'Open the folder “stories”' }).waitFor()
  expect(await accessibilityProblems(page)).toEqual([])
  await page.keyboard.press('Escape')
})

test('a checkpoint is measured on the text that the field names, beside what it came from', async () => {
  const { page, button } = workbench
  const folder = await modelFolder()
  for (const [path, content] of Object.entries(await exportedFiles(page))) {
    if (path.startsWith('run-2/')) await writeFile(join(folder, path.slice('run-2/'.length)), Buffer.from(content, 'base64'))
  }
  await drop(page, 'main', [folder])
  await button('Measure perplexity').click({ timeout: 60_000 })
  expect(await chosenText('evaluation')).toContain('mine.txt')
  await expect.poll(() => button('Measure perplexity').isEnabled(), { timeout: 60_000 }).toBe(true)
  expect(await page.locator('#start-why').innerText()).not.toMatch(/^\s*·|discard|delete/)
  await button('Measure perplexity').click()
  const measured = await workbench.report(120_000)
  expect(measured.model.quantized).toMatchObject({ bits: 3 })
  expect(Math.abs(measured.fpPerplexity! / report.runs[0].perplexity! - 1)).toBeLessThan(0.001)
  expect(measured.fpPerplexityError).toBeGreaterThan(0)
  const main = await page.getByRole('main').innerText()
  expect(main).toContain('mine.txt')
  expect(main).toContain('standard error')
  expect(main).not.toMatch(/^Full precision(?! and up to)/m)
  const beside = page.getByRole('region', { name: 'The last job on the same windows' }).first()
  expect(await beside.innerText()).toContain(report.fpPerplexity!.toFixed(2))
})

test('came about without an error on the console', () => {
  expect(workbench.errors).toEqual([])
})
