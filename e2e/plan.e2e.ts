/** A user's model: dropped as a folder, planned, run, paused, cancelled. */
import type { Browser } from 'playwright'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { drop, fillSmallPlan, launchChromium, modelFolder, openPage, type Workbench } from './harness.ts'

let browser: Browser
let workbench: Workbench
beforeAll(async () => {
  browser = await launchChromium()
  workbench = await openPage(browser, inject('url'))
})
afterAll(() => browser.close())

const startButton = () => workbench.page.getByRole('button', { name: /^Start/ })

test('a dropped folder is opened under its own name', async () => {
  const { page, step, button } = workbench
  await drop(page, 'main', [await modelFolder()])
  await page.getByRole('heading', { name: 'stories', exact: true }).waitFor()
  expect(await page.getByRole('main').innerText()).toMatch(/Family\s+LLaMA/)
  await page.getByRole('searchbox', { name: 'Search tensors' }).fill('layers.3 down_proj')
  await page.getByRole('cell', { name: 'model.layers.3.mlp.down_proj.weight' }).waitFor()
  await button('Plan runs').click()
  expect(await step('Plan').getAttribute('aria-current')).toBe('step')
})

test('an option out of range is explained before the start', async () => {
  const { page, field } = workbench
  await fillSmallPlan(workbench)
  await page.getByRole('button', { name: /^QuantEase\+ 3-bit/ }).click()
  const iterations = field('runs.1.options.iterations')
  await iterations.getByRole('textbox').fill('0')
  await iterations.getByText('from 1 to 1000').waitFor()
  expect(await startButton().isDisabled()).toBe(true)
  await iterations.getByRole('textbox').fill('8')
  await expect.poll(() => startButton().isEnabled(), { timeout: 60_000 }).toBe(true)
})

test('two queued runs go one after the other, and can be paused and resumed', async () => {
  const { page, button, report } = workbench
  await startButton().click()
  const runs = page.getByRole('region', { name: 'Runs' }).getByRole('listitem')
  await runs.nth(0).getByText('running').waitFor()
  expect(await runs.nth(1).innerText()).toContain('waiting')
  await button('Pause').click()
  await page.getByRole('heading', { name: 'Paused', exact: true }).waitFor()
  const shown = await runs.allInnerTexts()
  // Thirty frames of a page that would redraw four times a second.
  await page.evaluate(
    () =>
      new Promise<void>((done) => {
        let frames = 0
        const tick = () => (++frames < 30 ? requestAnimationFrame(tick) : done())
        tick()
      }),
  )
  expect(await runs.allInnerTexts()).toEqual(shown)
  await button('Resume').click()
  await runs.nth(0).getByText('finished').waitFor({ timeout: 60_000 })
  const { runs: results } = await report(120_000)
  expect(results.map(({ state, layers }) => [state, layers.length])).toEqual([
    ['finished', 28],
    ['finished', 28],
  ])
})

test('cancel takes effect at once, keeps what was solved, and leaves the page ready for the next job', async () => {
  const { page, step, button, report } = workbench
  await step('Plan').click()
  await workbench.field('runs.1.options.iterations').getByRole('textbox').fill('1000')
  await expect.poll(() => startButton().isEnabled(), { timeout: 60_000 }).toBe(true)
  await startButton().click()
  const runs = page.getByRole('region', { name: 'Runs' }).getByRole('listitem')
  await runs.nth(1).getByText('running').waitFor({ timeout: 60_000 })
  await runs.nth(1).getByText('of 28').waitFor({ timeout: 60_000 })
  const asked = performance.now()
  await button('Cancel').click()
  await page.getByRole('heading', { name: 'Cancelled', exact: true }).waitFor({ timeout: 5000 })
  expect(performance.now() - asked).toBeLessThan(3000)
  const { runs: results } = await report(5000)
  expect(results.map(({ state }) => state)).toEqual(['finished', 'cancelled'])
  expect(results[1].layers.length).toBeGreaterThan(0)
  await step('Plan').click()
  await expect.poll(() => startButton().isEnabled(), { timeout: 60_000 }).toBe(true)
})

test('a budget is filled with a mixture of widths, which is taken beside the uniform runs', async () => {
  const { page, button } = workbench
  const cards = page.getByRole('region', { name: 'Runs' }).getByRole('listitem')
  await cards.nth(0).getByRole('button', { pressed: false }).first().click()
  await page.getByText('Bits within a budget').click()
  const slider = page.getByRole('slider')
  await slider.fill('3.4')
  await button('Find the mixture').click()
  const table = page.getByRole('table', { name: 'The mixture and uniform widths' })
  await table.waitFor({ timeout: 120_000 })
  const taken = async () => Number.parseFloat(await table.locator('tbody td').first().innerText())
  expect(await taken()).toBeGreaterThan(3.3)
  expect(await taken()).toBeLessThanOrEqual(3.4)
  // Another budget takes no further measurement.
  await slider.fill('2.7')
  await expect.poll(taken, { timeout: 10_000 }).toBeLessThanOrEqual(2.7)
  await page.getByRole('button', { name: 'Take it, beside 2 uniform runs' }).click()
  await expect
    .poll(async () => (await cards.locator('b').allInnerTexts()).slice(2), { timeout: 10_000 })
    .toEqual(['RTN 2-bit', 'RTN 3-bit'])
  expect(await cards.nth(0).innerText()).toMatch(/RTN mixed, 2\.\d+ bits[\s\S]*overrides/)
})

test('nothing of this put an error on the console', () => {
  expect(workbench.errors).toEqual([])
})
