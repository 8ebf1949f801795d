/** What comes from other machines into the page: a Gram store, on which any setting is tried without running the model, and a sweep's report. */
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { quantize } from './command-line.ts'
import { accessibilityProblems, drop, launchChromium, modelFolder, openPage } from './harness.ts'

let browser: Browser
let store: string
beforeAll(async () => {
  store = join(await mkdtemp(join(tmpdir(), 'workbench-')), 'sums')
  const text = ['--dataset', 'public/demo/calibration.txt', '--nsamples', '2', '--seqlen', '32', '--held-out', '0']
  const words = ['calibrate', '--model', 'demo', '--save-gram', store, '--software', ...text]
  const { status, stderr } = await quantize(words)
  expect(status, stderr).toBe(0)
  browser = await launchChromium()
})
afterAll(() => browser.close())

/** A copy of the store whose index is changed. */
async function copied(change: (metadata: { model: { sha256: string } }) => void): Promise<string> {
  const to = join(await mkdtemp(join(tmpdir(), 'workbench-')), 'others')
  await cp(store, to, { recursive: true })
  const index = join(to, 'gram.safetensors.index.json')
  const read = JSON.parse(await readFile(index, 'utf8'))
  change(read.metadata)
  await writeFile(index, JSON.stringify(read))
  return to
}

test('a dropped Gram store solves linears by any setting, beside each other and in the layer lab; another model’s is refused', async () => {
  const { page, errors, button } = await openPage(browser, inject('url'))
  await button('Try the demo').and(page.locator(':enabled')).waitFor()
  await drop(page, 'main', [store])
  await page.getByRole('region', { name: 'Cannot use sums' }).getByText('A Gram store belongs to a model, and none is open.').waitFor()
  await drop(page, 'main', [await modelFolder()])
  await page.getByRole('heading', { level: 1, name: 'stories', exact: true }).waitFor()
  await drop(page, 'main', [store])
  const panel = page.getByRole('region', { name: 'Gram store sums' })
  await panel.getByText('28 linears, 16 stages').waitFor()

  await panel.getByLabel('Linears').selectOption('self_attn.k_proj')
  for (const method of ['rtn', 'quantease']) {
    await panel.getByLabel('Method').selectOption(method)
    await panel.getByRole('button', { name: 'Solve 4 linears' }).click()
    await panel.getByRole('button', { name: 'Stop' }).waitFor({ state: 'detached' })
  }
  const rows = await panel.locator('tbody tr').evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent!)))
  expect(rows.map(([name]) => name)).toContain('layers.1.self_attn.k_proj')
  expect(rows).toHaveLength(4)
  for (const [name, rtn, quantease] of rows) expect(Number(quantease), name).toBeLessThan(Number(rtn))
  expect(await accessibilityProblems(page)).toEqual([])

  await panel.getByRole('button', { name: 'layers.1.self_attn.k_proj' }).click()
  const drawer = page.getByRole('dialog', { name: 'layers.1.self_attn.k_proj' })
  await drawer.getByRole('figure', { name: 'Diagonal of Σ, log scale' }).waitFor()
  const lab = drawer.getByRole('region', { name: 'Layer lab' })
  await lab.getByRole('radio', { name: '4', exact: true }).check()
  await lab.getByRole('button', { name: 'Solve this linear' }).click()
  await lab.getByRole('button', { name: 'Add as a run' }).click()
  await lab.getByRole('button', { name: 'In the plan' }).waitFor()
  await page.keyboard.press('Escape')

  const other = await copied((metadata) => {
    metadata.model.sha256 = '0'.repeat(64)
  })
  await drop(page, 'main', [other])
  await page
    .getByRole('region', { name: 'Cannot use others' })
    .getByText(/The Gram store others belongs to .* not to this model/)
    .waitFor()
  await panel.waitFor({ state: 'detached' })
  expect(errors).toEqual([])
})

test('a sweep’s report shows its runs beside each other, and which jobs are not done', async () => {
  const { page, errors, button } = await openPage(browser, inject('url'))
  await button('Try the demo').and(page.locator(':enabled')).waitFor()
  const { report } = JSON.parse(await readFile('public/demo/recording.json', 'utf8'))
  const open = [
    { label: 'demo: GPTQ, bits 3', state: 'failed', error: 'The disk is full: sweep. (exit 73)' },
    { label: 'demo: AWQ, bits 3', state: 'missing', error: null },
  ]
  const file = join(await mkdtemp(join(tmpdir(), 'workbench-')), 'report.json')
  await writeFile(file, JSON.stringify({ ...report, memory: [], gathered: { jobs: report.runs.length + 2, open } }))
  await drop(page, 'main', [file])
  await page.getByRole('heading', { level: 1, name: `Results for ${report.model.name}` }).waitFor()
  const notice = page.getByRole('region', { name: 'The sweep' })
  expect(await notice.innerText()).toContain(`${report.runs.length} of ${report.runs.length + 2} jobs are done, 1 failed, 1 missing.`)
  await notice.getByText('Jobs without a result (2)').click()
  await notice.getByText('demo: GPTQ, bits 3: failed, The disk is full: sweep. (exit 73)').waitFor()
  const table = page.getByRole('region', { name: 'Result table' })
  for (const { label } of report.job.runs) await table.getByText(label, { exact: true }).first().waitFor()
  expect(await page.getByRole('button', { name: /Continue the text/ }).count()).toBe(0)
  expect(await page.getByRole('heading', { name: 'Export' }).count()).toBe(0)
  expect(errors).toEqual([])
})
