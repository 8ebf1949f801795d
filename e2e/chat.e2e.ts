/** A checkpoint that was quantized on this page speaks on this page. */
import type { Browser } from 'playwright'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { accessibilityProblems, drop, fillSmallPlan, launchChromium, modelFolder, openPage, type Workbench } from './harness.ts'

let browser: Browser
let workbench: Workbench
const hosts = new Set<string>()
const loaded: string[] = []
beforeAll(async () => {
  browser = await launchChromium()
  workbench = await openPage(browser, inject('url'))
  workbench.page.context().on('request', (request) => {
    loaded.push(request.url())
    if (!request.url().startsWith('blob:')) hosts.add(new URL(request.url()).origin)
  })
})
afterAll(() => browser.close())

const chat = () => workbench.page.getByRole('region', { name: 'Chat', exact: true })

test('llama.cpp opens the GGUF file from the page’s own storage and says what our forward pass says', async () => {
  const { page, button, field } = workbench
  await drop(page, 'main', [await modelFolder()])
  await button('Plan runs').click()
  await fillSmallPlan(workbench)
  await button('Remove QuantEase+ 3-bit').click()
  await page.getByRole('radio', { name: '8', exact: true }).check()
  await page.getByRole('radio', { name: '32', exact: true }).check()
  await field('runs.0.options.symmetric').getByRole('switch').check()
  await page.getByRole('checkbox', { name: /^GGUF for / }).check({ timeout: 60_000 })
  const start = page.getByRole('button', { name: /^Start/ })
  await expect.poll(() => start.isEnabled(), { timeout: 60_000 }).toBe(true)
  await start.click()
  await workbench.report(120_000)
  expect(loaded.filter((url) => /llama|\.wasm/.test(url))).toEqual([])
  await button('Chat with it').click()
  await chat().getByText('tokens after “Once upon a time” are those of our own forward pass').waitFor({ timeout: 60_000 })
  expect(await accessibilityProblems(page)).toEqual([])
})

test('it continues a text, and says how fast', async () => {
  const { page } = workbench
  await chat().getByRole('button', { name: 'Continue', exact: true }).click()
  await expect.poll(() => page.getByTestId('chat-rate').innerText(), { timeout: 60_000 }).toMatch(/^\d+ tokens?, \d+\.\d per second$/)
  await expect.poll(() => page.getByTestId('chat-answer').innerText(), { timeout: 60_000 }).toMatch(/^Once upon a time[\s\S]{40}/)
  const stop = chat().getByRole('button', { name: 'Stop' })
  if (await stop.isVisible()) await stop.click()
  await chat().getByRole('button', { name: 'Continue', exact: true }).waitFor()
  await chat().getByRole('button', { name: 'Close the chat' }).click()
})

test('nothing of it came from anywhere else, and nothing was refused by the policy', async () => {
  expect([...hosts]).toEqual([new URL(inject('url')).origin])
  expect(workbench.errors).toEqual([])
})
