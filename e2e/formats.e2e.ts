/** Tests of choosing checkpoint formats, in the plan and again when all is solved. */
import type { Browser } from 'playwright'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import {
  accessibilityProblems,
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
let folder: string
beforeAll(async () => {
  browser = await launchChromium()
  workbench = await openPage(browser, inject('url'))
  folder = await modelFolder()
})
afterAll(() => browser.close())

const box = (name: string) => workbench.page.getByRole('checkbox', { name, exact: true })
const start = () => workbench.page.getByRole('button', { name: /^Start/ })
const sparse = 'QuantEase+ 3-bit, 1 % outliers'
/** In an expression. */
const literal = sparse.replace('+', '\\+')

test('every format says of every run whether it can hold it, why not, how large it is and what loads it', async () => {
  const { page, field, button } = workbench
  await drop(page, 'main', [folder])
  await button('Plan runs').click()
  await fillSmallPlan(workbench)
  await page.getByRole('button', { name: /^QuantEase\+ 3-bit/ }).click()
  expect(await box('GPTQ for QuantEase+ 3-bit').isChecked()).toBe(true)
  const outliers = field('runs.1.options.outlier').getByRole('textbox')
  await outliers.fill('0.01')
  await page.getByRole('button', { name: new RegExp(`^GPTQ for ${literal}: not possible\\. .*outliers`) }).waitFor()
  expect(await box(`GPTQ for ${sparse}`).count()).toBe(0)
  expect(await box(`Plain weights for ${sparse}`).isChecked()).toBe(true)
  const loaders = page.getByRole('button', { name: `Plain weights for ${sparse} loads in: vLLM, transformers, llama.cpp` })
  await loaders.hover()
  await page.getByRole('tooltip').getByText('with its size and speed').first().waitFor()
  expect(await accessibilityProblems(page)).toEqual([])
})

test('a format that cannot hold a run any more says so until it is taken back', async () => {
  const { page, field } = workbench
  const outliers = field('runs.1.options.outlier').getByRole('textbox')
  await outliers.fill('0')
  // What is taken where nothing was chosen moves with the plan; what was chosen stays.
  await expect.poll(() => box('GPTQ for QuantEase+ 3-bit').isChecked(), { timeout: 60_000 }).toBe(true)
  await box('Plain weights for QuantEase+ 3-bit').check()
  await outliers.fill('0.01')
  const problems = page.getByRole('list', { name: 'Problems of the formats' })
  await problems.getByText(new RegExp(`GPTQ cannot .*${literal}`)).waitFor()
  expect(await start().isDisabled()).toBe(true)
  await box(`GPTQ for ${sparse}`).click()
  await expect.poll(() => start().isEnabled(), { timeout: 60_000 }).toBe(true)
  await outliers.fill('0')
  await box('GPTQ for QuantEase+ 3-bit').check()
  await box('Plain weights for QuantEase+ 3-bit').uncheck()
})

test('a box for all runs chooses where it can, and the room for what is solved is told', async () => {
  const { field } = workbench
  await box('Plain weights for every run that can be written in it').check()
  expect(await box('Plain weights for RTN 3-bit').isChecked()).toBe(true)
  await box('Plain weights for every run that can be written in it').uncheck()
  for (const run of ['RTN 3-bit', 'QuantEase+ 3-bit']) expect(await box(`GPTQ for ${run}`).isChecked()).toBe(true)
  const keep = field('keepSolved')
  expect(await keep.getByRole('switch').isChecked()).toBe(true)
  await keep.getByText(/takes [\d.]+\s(KiB|MiB) of this browser’s storage/).waitFor()
})

let before: Record<string, string>

test('a finished job is written in other formats later, without solving', async () => {
  const { page, button } = workbench
  await expect.poll(() => start().isEnabled(), { timeout: 60_000 }).toBe(true)
  await start().click()
  const report = await workbench.report(120_000)
  before = await exportedFiles(page)
  expect(Object.keys(before)).toContain('run-2/model.safetensors')
  const card = page.getByRole('region', { name: 'Export QuantEase+ 3-bit', exact: true })
  await page.getByRole('button', { name: /^QuantEase\+ 3-bit loads in transformers/ }).click()
  await page.getByText(/^python -c .*stories-QuantEase-plus-3-bit/).waitFor()
  await button('Write in other formats').click()
  await box('Plain weights for QuantEase+ 3-bit').check()
  expect(await accessibilityProblems(page)).toEqual([])
  await button('Write 3 checkpoints').click()
  const again = await workbench.report(120_000)
  expect(again.runs.map(({ perplexity }) => perplexity)).toEqual(report.runs.map(({ perplexity }) => perplexity))
  expect(again.runs[1].export?.checkpoints.map(({ folder }) => folder)).toEqual(['gptq/', 'dense/'])
  const after = await exportedFiles(page)
  expect(after['run-1/model.safetensors']).toBe(before['run-1/model.safetensors'])
  expect(after['run-2/gptq/model.safetensors']).toBe(before['run-2/model.safetensors'])
  await card.getByText(/^Plain weights, /).click()
  await page.getByRole('button', { name: /^QuantEase\+ 3-bit loads in vLLM/ }).click()
  await page.getByText('vllm serve stories-QuantEase-plus-3-bit/dense').waitFor()
  expect(await accessibilityProblems(page)).toEqual([])
})

test('after a reload the folder is asked for, and the results are written again from what is kept', async () => {
  const { page, button } = workbench
  await page.reload()
  await button('Open the results').click({ timeout: 60_000 })
  // Whether a remembered folder can be opened without the person is the browser's choice; a forgotten one never can.
  await page.evaluate(
    () =>
      new Promise((resolve) => {
        indexedDB.deleteDatabase('quantease-workbench').onsuccess = resolve
      }),
  )
  await button('Write in other formats').click()
  await page.getByText('Choose or drop the folder “stories” again').waitFor()
  await drop(page, 'main', [folder])
  await box('Plain weights for QuantEase+ 3-bit').uncheck({ timeout: 60_000 })
  await button('Write 2 checkpoints').click()
  await workbench.report(120_000)
  await page.getByRole('region', { name: 'Other formats' }).waitFor()
})

test('what is solved is given up where the person says so', async () => {
  const { page, button, step, field } = workbench
  await step('Plan').click()
  await fillSmallPlan(workbench)
  await button('Remove QuantEase+ 3-bit').click()
  await field('keepSolved').getByRole('switch').uncheck()
  await expect.poll(() => start().isEnabled(), { timeout: 60_000 }).toBe(true)
  await start().click()
  await workbench.report(120_000)
  await page.getByText('The solved layers were not kept').waitFor()
  const files = [...(await privateFiles(page)).keys()].sort()
  const newest = files.at(-1)!.split('/')[1]
  expect(files.filter((path) => path.startsWith(`jobs/${newest}/journal/run-`))).toEqual([])
})

test('came about without an error on the console', () => {
  expect(workbench.errors).toEqual([])
})
