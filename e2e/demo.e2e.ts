/** The demo from one click to a checkpoint that loads again: steps in order on one page. */
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Browser } from 'playwright'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { JobReport } from '../src/engine/job/report.ts'
import { dequantize, floats, readSafetensors, type StoredTensor, unzip } from './checkpoint.ts'
import { accessibilityProblems, download, drop, launchChromium, openPage, privateFiles, type Workbench } from './harness.ts'

let browser: Browser
let workbench: Workbench
let clicked: number
/** Told, and not judged: how long it takes is the machine's. */
const since = () => ((performance.now() - clicked) / 1000).toFixed(1)
const requests: string[] = []
let demo: JobReport
/** The checkpoints as downloaded, by run label. */
const folders = new Map<string, { name: string; files: Map<string, Buffer> }>()

beforeAll(async () => {
  browser = await launchChromium()
  workbench = await openPage(browser, inject('url'))
  workbench.page.on('request', (request) => requests.push(request.url()))
})
afterAll(() => browser.close())

describe('the demo', () => {
  test('starts by one click, and charts move long before it is over', async () => {
    const { page, button } = workbench
    await expect.poll(() => button('Try the demo').isEnabled(), { timeout: 30_000 }).toBe(true)
    clicked = performance.now()
    await page.evaluate(watchStalls)
    await button('Try the demo').click()
    await page.locator('figure.chart .trace g').first().waitFor({ timeout: 30_000 })
    await page.getByRole('button', { name: /^Cancel/ }).waitFor({ timeout: 1000 })
    console.log(`Charts moved ${since()} s after the click.`)
  })

  test('finishes both runs', async () => {
    demo = await workbench.report(180_000)
    console.log(`The demo was over ${since()} s after the click.`)
    expect(demo.adapter.architecture).toBe('swiftshader')
    expect(demo.runs.map(({ state }) => state)).toEqual(['finished', 'finished'])
  })

  test('asks nobody but the host that the page came from', () => {
    const { origin } = new URL(workbench.page.url())
    expect(requests.length).toBeGreaterThan(0)
    expect(requests.filter((url) => new URL(url).origin !== origin)).toEqual([])
  })

  test('leaves the page responsive while it runs', async () => {
    const longest = await workbench.page.evaluate(() => stall)
    console.info(`The page was held up for ${longest.toFixed(0)} ms at most.`)
    // Other tests compute beside it; a page that computed itself would be held up far longer.
    expect(longest).toBeLessThan(5000)
  })

  test('tells the methods apart, layer by layer and by perplexity', async () => {
    const [rtn, quantease] = demo.runs
    expect(quantease.layers).toHaveLength(4 * 7)
    for (const [i, layer] of quantease.layers.entries()) expect(layer.relativeError).toBeLessThan(rtn.layers[i].relativeError)
    expect(demo.fpPerplexity).toBeLessThan(quantease.perplexity!)
    expect(quantease.perplexity).toBeLessThan(rtn.perplexity!)
    const row = workbench.page.getByRole('row', { name: /QuantEase/ }).first()
    expect(await row.innerText()).toContain(quantease.perplexity!.toFixed(2))
  })

  test('opens the results with what they come to, and the table sorts', async () => {
    const { page, button } = workbench
    const [rtn, quantease] = demo.runs
    expect(rtn.windows!.kl).toHaveLength(demo.evaluation.windows)
    const answer = await page.locator('.answer').innerText()
    expect(answer).toContain(`KL ${Math.min(rtn.kl!, quantease.kl!).toPrecision(2)}`)
    const table = page.getByRole('region', { name: 'Result table' })
    expect(await table.getByRole('row', { name: /^Full precision/ }).innerText()).toContain(demo.fpPerplexity!.toFixed(2))
    const row = await table.getByRole('row', { name: /RTN/ }).innerText()
    for (const value of [rtn.kl!, rtn.klSpread!.p99, rtn.klSpread!.max]) expect(row).toContain(value.toPrecision(2))
    const first = () => table.locator('tbody tr').nth(1).getAttribute('data-run')
    await button('KL from full precision, nats').click()
    expect(await first()).toBe(quantease.run)
    await button('KL from full precision, nats').click()
    expect(await first()).toBe(rtn.run)
    await button('KL from full precision, nats').click()
    expect(await first()).toBe(rtn.run)
  })

  test('draws the front and each kind of linear, and focus on a run dims the others everywhere', async () => {
    const { page } = workbench
    const [rtn, quantease] = demo.runs
    const front = page.getByRole('figure', { name: /^KL from full precision/ })
    expect(await front.locator('[data-run]').count()).toBe(2)
    await page.mouse.move(1, 1)
    await front.getByLabel('Storage').focus()
    await page.keyboard.press('Tab')
    const opacity = (run: string) => page.locator(`.results tr[data-run="${run}"]`).evaluate((row) => getComputedStyle(row).opacity)
    await expect.poll(() => opacity(quantease.run)).toBe('0.65')
    expect(await opacity(rtn.run)).toBe('1')
    await page.keyboard.press('Shift+Tab')
    await expect.poll(() => opacity(quantease.run)).toBe('1')
    await front.getByLabel('Loss').selectOption('Perplexity')
    await page
      .getByText(`full precision ${demo.fpPerplexity!.toFixed(2)}`)
      .first()
      .waitFor()
    const errors = page.getByRole('figure', { name: /^Relative error by block/ })
    expect(await errors.locator(`svg[data-plot] [data-run="${rtn.run}"]`).count()).toBeGreaterThanOrEqual(7)
    await errors.getByLabel('Errors are shown as').selectOption(`Ratio to ${demo.job.runs[0].label}`)
    await page.getByRole('figure', { name: /^Relative error by block, as a multiple of RTN/ }).waitFor()
  })

  for (const colorScheme of ['light', 'dark'] as const) {
    for (const name of ['Model', 'Plan', 'Run', 'Results']) {
      test(`leaves the step ${name} accessible, ${colorScheme}`, async () => {
        const { page, step } = workbench
        await page.emulateMedia({ colorScheme })
        await step(name).click()
        expect(await accessibilityProblems(page)).toEqual([])
      })
    }
  }

  test('fits on every step into a width of 390 pixels', async () => {
    const { page, step } = workbench
    await page.setViewportSize({ width: 390, height: 844 })
    for (const name of ['Model', 'Plan', 'Run', 'Results']) {
      await step(name).click()
      expect(await page.evaluate(() => document.documentElement.scrollWidth), name).toBe(390)
      expect(await accessibilityProblems(page), name).toEqual([])
    }
    await page.setViewportSize({ width: 1280, height: 900 })
  })

  test('opens a linear with its weights, codes and Σ, and tries another setting on it', async () => {
    const { page, step, button } = workbench
    await step('Run').click()
    await button('Open layers.0.mlp.down_proj').click()
    const drawer = page.getByRole('dialog', { name: 'layers.0.mlp.down_proj' })
    for (const name of [/^Objective/, /^Weights/, /^Largest/, /^How often each code/, /^Scales/, /^Diagonal of Σ/])
      await drawer.getByRole('figure', { name }).waitFor()
    const lab = drawer.getByRole('region', { name: 'Layer lab' })
    await lab.getByLabel('Method').selectOption('quantease')
    await lab.getByRole('radio', { name: '2', exact: true }).check()
    await lab.getByRole('button', { name: 'Solve this linear' }).click()
    await lab.getByRole('button', { name: 'Add as a run' }).click()
    await lab.getByRole('button', { name: 'In the plan' }).waitFor()
    expect(await accessibilityProblems(page)).toEqual([])
    await page.keyboard.press('Escape')
    await drawer.waitFor({ state: 'detached' })
    await expect.poll(() => button('Open layers.0.mlp.down_proj').evaluate((one) => one === document.activeElement)).toBe(true)
  })

  test('continues a text beside full precision, and says where they part', async () => {
    const { page, step } = workbench
    await step('Results').click()
    const side = page.getByRole('region', { name: 'Side-by-side text' })
    await side.getByLabel('Tokens').fill('12')
    await side.getByRole('button', { name: 'Continue the text' }).click()
    for (const name of ['Full precision', ...demo.job.runs.map(({ label }) => label)])
      await side
        .getByRole('region', { name })
        .getByText(/geometric mean|The same 12 tokens/)
        .waitFor()
    expect(await accessibilityProblems(page)).toEqual([])
  })
})

describe('the checkpoint', () => {
  test('is downloaded as one zip, equal to what was written while the run went on', async () => {
    const { page, step } = workbench
    await step('Results').click()
    const written = await privateFiles(page)
    for (const { run, export: made } of demo.runs) {
      const { label } = demo.job.runs.find(({ id }) => id === run)!
      const card = page.getByRole('region', { name: `Export ${label}` })
      const entries = unzip(await download(page, card.getByRole('button', { name: 'Download as one zip' }).click()))
      const name = [...entries.keys()][0].split('/')[0]
      const files = new Map([...entries].map(([path, bytes]) => [path.slice(name.length + 1), bytes]))
      expect(Object.fromEntries([...files].map(([path, { length }]) => [path, length]))).toEqual(
        Object.fromEntries(made!.files.map(({ path, bytes }) => [path, bytes])),
      )
      for (const [path, bytes] of files) {
        const stored = [...written].filter(([key]) => key.endsWith(`/${path}`)).map(([, value]) => value)
        expect(stored.some((value) => value.equals(bytes))).toBe(true)
      }
      folders.set(label, { name, files })
    }
    expect(folders.size).toBe(2)
  })

  test('carries the tokenizer and every other file byte for byte', async () => {
    for (const { files } of folders.values()) {
      for (const name of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json']) {
        expect(files.get(name)!.equals(await readFile(`public/demo/${name}`))).toBe(true)
      }
    }
  })

  test('says the same in config.json and quantize_config.json, and changes nothing else', async () => {
    const original = JSON.parse(await readFile('public/demo/config.json', 'utf8'))
    for (const { files } of folders.values()) {
      const { quantization_config: quantization, ...config } = JSON.parse(String(files.get('config.json')))
      expect(config).toEqual({ ...original, torch_dtype: 'float16' })
      expect(JSON.parse(String(files.get('quantize_config.json')))).toEqual(quantization)
      expect(quantization).toMatchObject({
        quant_method: 'gptq',
        checkpoint_format: 'gptq_v2',
        bits: 2,
        group_size: -1,
        sym: false,
        desc_act: false,
        lm_head: false,
      })
    }
  })

  test('holds the packed linears and, untouched, everything else', async () => {
    const original = readSafetensors(await readFile('public/demo/model.safetensors'))
    for (const { files } of folders.values()) {
      const tensors = readSafetensors(files.get('model.safetensors')!)
      const expected = new Map<string, string>()
      for (const [name, { dtype, shape }] of original) {
        if (!isLinear(name)) {
          expected.set(name, `${dtype} ${shape}`)
          expect(tensors.get(name)!.bytes.equals(original.get(name)!.bytes)).toBe(true)
          continue
        }
        const [outputs, inputs] = shape
        const module = name.replace('.weight', '')
        expected.set(`${module}.qweight`, `I32 ${[inputs / 16, outputs]}`)
        expected.set(`${module}.qzeros`, `I32 ${[1, outputs / 16]}`)
        expected.set(`${module}.scales`, `F16 ${[1, outputs]}`)
        expected.set(`${module}.g_idx`, `I32 ${[inputs]}`)
      }
      expect(Object.fromEntries([...tensors].map(([name, { dtype, shape }]) => [name, `${dtype} ${shape}`]))).toEqual(
        Object.fromEntries(expected),
      )
    }
  })

  test('decodes, by a reader of our own, to weights rounded as RTN rounds', async () => {
    const original = readSafetensors(await readFile('public/demo/model.safetensors'))
    const tensors = readSafetensors(folders.get('RTN 2-bit')!.files.get('model.safetensors')!)
    for (const [name, tensor] of original) if (isLinear(name)) expectRounded(name, tensor, tensors)
  })

  test('loads back, recognized, with the perplexity measured before', async () => {
    for (const [label, { name, files }] of folders) {
      const folder = join(await mkdtemp(join(tmpdir(), 'workbench-')), name)
      for (const [path, bytes] of files) {
        await mkdir(dirname(join(folder, path)), { recursive: true })
        await writeFile(join(folder, path), bytes)
      }
      const { page, step, button, report } = workbench
      await step('Model').click()
      await drop(page, 'main', [folder])
      await page.getByText('Already quantized: 2-bit').waitFor()
      await button('Measure perplexity').click()
      await expect.poll(() => button('Measure perplexity').isEnabled(), { timeout: 20_000 }).toBe(true)
      await button('Measure perplexity').click()
      const before = demo.runs.find(({ run }) => demo.job.runs.find(({ id }) => id === run)!.label === label)!.perplexity!
      const after = (await report(60_000)).fpPerplexity!
      expect(Math.abs(after / before - 1)).toBeLessThan(0.001)
    }
  })

  test('came about without an error on the console', () => {
    expect(workbench.errors).toEqual([])
  })
})

declare let stall: number

/** Runs in the page: keeps the longest time that its thread was held up, in milliseconds. */
function watchStalls() {
  Object.assign(globalThis, { stall: 0 })
  let last = performance.now()
  setInterval(() => {
    stall = Math.max(stall, performance.now() - last - 50)
    last = performance.now()
  }, 50)
}

function isLinear(name: string): boolean {
  return /\.(self_attn|mlp)\.\w+_proj\.weight$/.test(name)
}

/** Rounding to nearest moves a weight by half a step; at the ends of the range, where the zero point was rounded too, by one. */
function expectRounded(name: string, original: StoredTensor, tensors: Map<string, StoredTensor>) {
  const { weight, scale, inputs } = dequantize(tensors, name.replace('.weight', ''), 2, 'gptq_v2')
  const wanted = floats(original)
  let beyondHalf = 0
  for (let i = 0; i < weight.length; i++) {
    const steps = Math.abs(weight[i] - wanted[i]) / scale[Math.floor(i / inputs)]
    if (steps > 1.01) throw new Error(`${name}: weight ${i} is ${weight[i]}, ${steps} steps from ${wanted[i]}.`)
    if (steps > 0.501) beyondHalf++
  }
  expect(beyondHalf).toBeLessThan(weight.length / 20)
}
