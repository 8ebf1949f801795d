/** Tests of choosing checkpoint formats in the plan. */
import type { Browser } from 'playwright'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { accessibilityProblems, drop, fillSmallPlan, launchChromium, modelFolder, openPage, type Workbench } from './harness.ts'

let browser: Browser
let workbench: Workbench
beforeAll(async () => {
  browser = await launchChromium()
  workbench = await openPage(browser, inject('url'))
})
afterAll(() => browser.close())

test('a format that cannot hold a run says why before and after it is chosen', async () => {
  const { page, field, button } = workbench
  await drop(page, 'main', [await modelFolder()])
  await button('Plan runs').click()
  await fillSmallPlan(workbench)
  await page.getByRole('button', { name: /^QuantEase 3-bit/ }).click()
  const outliers = field('runs.1.options.outlier').getByRole('textbox')
  await outliers.fill('0.01')
  const gptq = field('formats.gptq')
  await gptq.getByText(/^Not for QuantEase 3-bit, 1 % outliers: GPTQ files cannot store outliers/).waitFor()
  await gptq.getByRole('switch').click()
  await gptq.getByText('GPTQ cannot store QuantEase 3-bit, 1 % outliers').waitFor()
  const start = page.getByRole('button', { name: /^Start/ })
  expect(await start.isDisabled()).toBe(true)
  expect(await accessibilityProblems(page)).toEqual([])
  await gptq.getByRole('switch').click()
  await expect.poll(() => start.isEnabled(), { timeout: 20_000 }).toBe(true)
})
