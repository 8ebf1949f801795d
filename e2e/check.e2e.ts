/** Single files that are no model: a config.json, checked for forecasts of time and memory, and a report, shown as its results. */
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { accessibilityProblems, drop, launchChromium, openPage } from './harness.ts'

const config = {
  model_type: 'llama',
  hidden_size: 128,
  num_hidden_layers: 5,
  num_attention_heads: 4,
  intermediate_size: 384,
  vocab_size: 1000,
  max_position_embeddings: 256,
  torch_dtype: 'bfloat16',
}

let browser: Browser
beforeAll(async () => {
  browser = await launchChromium()
})
afterAll(() => browser.close())

it('a config.json dropped alone is checked for this device and for others, and cannot be run', async () => {
  const file = join(await mkdtemp(join(tmpdir(), 'workbench-')), 'config.json')
  await writeFile(file, JSON.stringify(config))
  const { page, errors, button } = await openPage(browser, inject('url'))
  await button('Try the demo').and(page.locator(':enabled')).waitFor()
  await drop(page, '.drop-zone', [file])
  await page.getByText('No weights: check only.').waitFor()
  const table = page.getByRole('region', { name: 'Forecast for each algorithm' })
  await table.getByRole('rowheader', { name: 'QuantEase', exact: true }).waitFor({ timeout: 60_000 })
  const row = () => table.getByRole('row', { name: /^QuantEase / }).innerText()
  const here = await row()
  expect(here).toMatch(/GFLOP.*s.*MiB/)
  await page.getByLabel('Device').selectOption('rtx-4090')
  await button('Check').click()
  await page.getByText('24 GB').last().waitFor()
  await expect.poll(row, { timeout: 60_000 }).not.toBe(here)
  expect(await accessibilityProblems(page)).toEqual([])
  await button('Plan runs').click()
  await page.getByText('No weights, so nothing can be run: check only.').waitFor()
  expect(await page.getByRole('button', { name: /^Start/ }).isDisabled()).toBe(true)
  expect(errors).toEqual([])
  await page.context().close()
})

it('a config under another name is one by what it holds', async () => {
  const { page, button } = await openPage(browser, inject('url'))
  await button('Try the demo').and(page.locator(':enabled')).waitFor()
  await drop(page, '.drop-zone', ['e2e/dry-runs/Qwen2.5-0.5B.json'])
  await page.getByText('No weights: check only.').waitFor()
  await page.getByRole('heading', { level: 1, name: /Qwen2\.5-0\.5B/ }).waitFor()
  await page.context().close()
})

it('a saved report shows its results, and plans the same job', async () => {
  const { page, errors, button } = await openPage(browser, inject('url'))
  await button('Try the demo').and(page.locator(':enabled')).waitFor()
  const { report } = JSON.parse(await readFile('public/demo/recording.json', 'utf8'))
  const file = join(await mkdtemp(join(tmpdir(), 'workbench-')), 'saved-report.json')
  await writeFile(file, JSON.stringify({ ...report, origin: { kind: 'demo' } }))
  await drop(page, 'main', [file])
  await page.getByRole('heading', { level: 1, name: `Results for ${report.model.name}` }).waitFor()
  expect(await page.getByRole('region', { name: 'The report' }).innerText()).toContain(report.adapter.name)
  const table = page.getByRole('region', { name: 'Result table' })
  for (const { label } of report.job.runs) await table.getByText(label, { exact: true }).first().waitFor()
  await button('Plan the same job').click()
  await page.getByRole('heading', { level: 1, name: /^Plan for/ }).waitFor()
  const cards = page.getByRole('region', { name: 'Runs' }).getByRole('listitem')
  expect(await cards.locator('b').allInnerTexts()).toEqual(report.job.runs.map(({ label }: { label: string }) => label))
  expect(errors).toEqual([])
  await page.context().close()
})
