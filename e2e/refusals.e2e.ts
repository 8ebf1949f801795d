/** Invalid input is refused with a code, a sentence and a hint, and the page continues to work. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Browser } from 'playwright'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { accessibilityProblems, drop, launchChromium, modelFolder, openPage, type Workbench } from './harness.ts'
import type { Recording } from './recording.ts'

type Files = Map<string, Buffer>

let browser: Browser
let workbench: Workbench
beforeAll(async () => {
  browser = await launchChromium()
  workbench = await openPage(browser, inject('url'))
})
afterAll(() => browser.close())

const config = (files: Files) => JSON.parse(String(files.get('config.json')))
const weights = (files: Files) => files.get('model.safetensors')!

const cases: { title: string; change: (files: Files) => void; code: string; says: RegExp }[] = [
  {
    title: 'a folder without config.json',
    change: (files) => files.delete('config.json'),
    code: 'file-missing',
    says: /config\.json/,
  },
  {
    title: 'a config.json that is no JSON',
    change: (files) => files.set('config.json', Buffer.from('{ "model_type": ')),
    code: 'config-invalid',
    says: /config\.json/,
  },
  {
    title: 'an architecture that is not known',
    change: (files) => files.set('config.json', Buffer.from(JSON.stringify({ ...config(files), model_type: 'rwkv' }))),
    code: 'config-unsupported',
    says: /rwkv.*llama/is,
  },
  {
    title: 'a truncated weight file',
    change: (files) => files.set('model.safetensors', weights(files).subarray(0, 100_000)),
    code: 'file-truncated',
    says: /model\.safetensors/,
  },
  {
    title: 'a header longer than its file',
    change: (files) => files.set('model.safetensors', Buffer.concat([Buffer.from([255, 255, 255, 127, 0, 0, 0, 0]), weights(files)])),
    code: 'file-header',
    says: /model\.safetensors/,
  },
  {
    title: 'a malformed tokenizer',
    change: (files) => files.set('tokenizer.json', Buffer.from('{}')),
    code: 'tokenizer-invalid',
    says: /tokenizer\.json/,
  },
]

for (const { title, change, code, says } of cases) {
  test(`refuses ${title}`, async () => {
    const { page } = workbench
    await drop(page, 'main', [await modelFolder(change)])
    const note = page.locator(`.error-note[data-code="${code}"]`)
    await note.waitFor({ timeout: 10_000 })
    expect(await note.innerText()).toMatch(says)
    expect((await note.locator('.hint').innerText()).length).toBeGreaterThan(10)
  })
}

test('shows a refusal without an accessibility problem, and opens a good folder after it', async () => {
  const { page, button } = workbench
  expect(await accessibilityProblems(page)).toEqual([])
  const folder = await modelFolder()
  await drop(page, 'main', [folder])
  await page.getByRole('heading', { name: 'stories', exact: true }).waitFor()

  await button('Plan runs').click()
  await writeFile(join(folder, 'short.txt'), 'Once upon a time.')
  await drop(page, 'main', [join(folder, 'short.txt')])
  await page.getByRole('list', { name: 'Problems of the plan' }).getByText('Calibration').first().waitFor({ timeout: 10_000 })
  expect(await page.getByRole('button', { name: /^Start/ }).isDisabled()).toBe(true)
})

test('names the tensor that holds a NaN', async () => {
  const { page, step, field } = workbench
  await step('Model').click()
  const infect = (files: Files) => {
    const bytes = Buffer.from(weights(files))
    const start = 8 + Number(bytes.readBigUInt64LE(0))
    const header = JSON.parse(bytes.toString('utf8', 8, start))
    bytes.writeUInt16LE(0x7e00, start + header['model.layers.1.mlp.up_proj.weight'].data_offsets[0] + 200)
    files.set('model.safetensors', bytes)
  }
  await drop(page, 'main', [await modelFolder(infect, 'infected')])
  // Until then the button leads to a plan for the model before.
  await page.getByRole('heading', { name: 'infected', exact: true }).waitFor()
  await page.getByRole('button', { name: 'Plan runs' }).click()
  for (const path of ['calibration', 'evaluation']) {
    await field(`${path}.text`)
      .getByRole('combobox')
      .selectOption({ index: path === 'calibration' ? 0 : 1 })
    await field(`${path}.length`).getByRole('textbox').fill('64')
    await field(`${path}.samples`).getByRole('textbox').fill('2')
  }
  const start = page.getByRole('button', { name: /^Start/ })
  await expect.poll(() => start.isEnabled(), { timeout: 60_000 }).toBe(true)
  await start.click()
  const note = page.locator('.error-note[data-code="weights-not-finite"]').first()
  await note.waitFor({ timeout: 60_000 })
  expect(await note.innerText()).toContain('model.layers.1.mlp.up_proj')
})

test('a browser without a WebGPU adapter gets a page that says what to do', async () => {
  const without = await launchChromium({ webgpu: false })
  try {
    const { page } = await openPage(without, inject('url'))
    await page.getByRole('heading', { name: 'There is no GPU to work with' }).waitFor()
    expect(await page.getByRole('main').innerText()).toMatch(/Chrome.*Firefox.*Safari/s)
    expect(await accessibilityProblems(page)).toEqual([])
    // What the demo found elsewhere is shown as such.
    await page.getByRole('button', { name: 'See a recorded run' }).click()
    await page.getByRole('heading', { name: 'Results for Demo model' }).waitFor({ timeout: 60_000 })
    expect(await page.getByText('A recording.').locator('..').innerText()).toMatch(/ran on .*Nothing of\s+it was computed here/s)
    const { report }: Recording = JSON.parse(await readFile('public/demo/recording.json', 'utf8'))
    const shown = await page.getByRole('region', { name: 'Result table' }).innerText()
    for (const { perplexity } of report.runs) expect(shown).toContain(perplexity!.toFixed(2))
    expect(await accessibilityProblems(page)).toEqual([])
    await page.getByRole('navigation', { name: 'Steps' }).getByRole('link', { name: 'Model' }).click()
    // A model can be looked at all the same, and checked for a device that is not here.
    await drop(page, 'main', [await modelFolder()])
    await page.getByRole('heading', { name: 'stories', exact: true }).waitFor()
    expect(await page.getByRole('region', { name: 'Tensor table' }).getByRole('row').count()).toBeGreaterThan(30)
    const devices = page.getByRole('combobox', { name: 'Device' })
    expect(await devices.locator('option').allInnerTexts()).not.toContainEqual(expect.stringMatching(/^This one/))
    await page.getByRole('button', { name: 'Check', exact: true }).click()
    const table = page.getByRole('region', { name: 'Forecast for each algorithm' })
    await table.waitFor({ timeout: 60_000 })
    expect(
      await table
        .getByRole('row', { name: /^QuantEase/ })
        .first()
        .innerText(),
    ).toMatch(/GFLOP.*MiB/s)
    expect(await page.getByRole('button', { name: 'Plan runs' }).isDisabled()).toBe(true)
    expect(await accessibilityProblems(page)).toEqual([])
  } finally {
    await without.close()
  }
})

test('no refusal put an error on the console', () => {
  expect(workbench.errors).toEqual([])
})
