/** Kept jobs: several beside each other, compared, deleted and brought back, planned again, and repeated from their file elsewhere. */
import { execFile } from 'node:child_process'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Browser } from 'playwright'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import type { JobReport } from '../src/engine/job/report.ts'
import {
  accessibilityProblems,
  download,
  drop,
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

const reports: JobReport[] = []
const rows = () => workbench.page.getByRole('region', { name: 'Kept jobs' }).locator('tbody tr')

async function runWithSeed(seed: string) {
  const { page, field } = workbench
  await field('seed').getByRole('textbox').fill(seed)
  const start = page.getByRole('button', { name: /^Start/ })
  await expect.poll(() => start.isEnabled(), { timeout: 60_000 }).toBe(true)
  await start.click()
  reports.push(await workbench.report(120_000))
}

test('jobs are kept beside each other, without a question', async () => {
  const { page, button, step } = workbench
  await expect.poll(() => button('Try the demo').isEnabled(), { timeout: 60_000 }).toBe(true)
  await drop(page, 'main', [folder])
  await button('Plan runs').click({ timeout: 60_000 })
  await fillSmallPlan(workbench)
  await button('Remove QuantEase+ 3-bit').click()
  await runWithSeed('0')
  await step('Plan').click()
  await button('Add a run').click()
  await page.getByRole('menuitem', { name: /^QuantEase\+/ }).click()
  await runWithSeed('1')
  await step('Model').click()
  await expect.poll(() => rows().count(), { timeout: 60_000 }).toBe(2)
  const best = Math.min(...reports[1].runs.map(({ kl }) => kl!))
  expect(await rows().first().innerText()).toContain(`KL ${best.toPrecision(2)}`)
  expect(await accessibilityProblems(page)).toEqual([])
})

test('runs of both stand in one table, with what they were calibrated on', async () => {
  const { page, button } = workbench
  for (const box of await page.getByRole('checkbox', { name: /^Compare the job/ }).all()) await box.check()
  await page.getByText('They were calibrated on other windows').waitFor()
  await button('Compare').click()
  const table = page.getByRole('region', { name: 'Result table' })
  await expect.poll(() => table.locator('tr[data-run]').count(), { timeout: 60_000 }).toBe(3)
  const shown = await table.innerText()
  for (const { runs } of reports) for (const { perplexity } of runs) expect(shown).toContain(perplexity!.toFixed(2))
})

test('a job of an earlier version opens, and is compared and deleted like others', async () => {
  const { page, button } = workbench
  await page.evaluate(async () => {
    const root = await navigator.storage.getDirectory()
    const jobs = await root.getDirectoryHandle('jobs')
    const copy = async (from: FileSystemDirectoryHandle, to: FileSystemDirectoryHandle) => {
      for await (const [name, handle] of from) {
        if (handle.kind === 'directory')
          await copy(handle as FileSystemDirectoryHandle, await to.getDirectoryHandle(name, { create: true }))
        else {
          const file = await to.getFileHandle(name, { create: true })
          const out = await file.createWritable()
          await out.write(await (handle as FileSystemFileHandle).getFile())
          await out.close()
        }
      }
    }
    const ids: string[] = []
    for await (const id of jobs.keys()) ids.push(id)
    const oldest = ids.sort()[0]
    const from = await jobs.getDirectoryHandle(oldest)
    for (const name of ['journal', 'exports'])
      await copy(await from.getDirectoryHandle(name), await root.getDirectoryHandle(name, { create: true }))
    await jobs.removeEntry(oldest, { recursive: true })
  })
  await page.reload()
  await expect.poll(() => rows().count(), { timeout: 60_000 }).toBe(2)
  await rows().nth(1).getByRole('button', { name: 'Open the results' }).click()
  const again = JSON.parse(String(await download(page, button('Save report (JSON)').click())))
  expect(again).toEqual(reports[0])
})

test('a deleted job can be brought back; what it took is freed when nobody wants it back', async () => {
  const { page, button, step } = workbench
  await step('Model').click()
  const before = [...(await privateFiles(page)).keys()].sort()
  const erase = () =>
    rows()
      .nth(1)
      .getByRole('button', { name: /^Delete the job/ })
      .click()
  await erase()
  await expect.poll(() => rows().count(), { timeout: 60_000 }).toBe(1)
  await button('Undo').click()
  await expect.poll(() => rows().count(), { timeout: 60_000 }).toBe(2)
  expect([...(await privateFiles(page)).keys()].sort()).toEqual(before)
  await erase()
  await button('Close this message').click()
  await expect.poll(async () => [...(await privateFiles(page)).keys()].filter((path) => !path.startsWith('jobs/'))).toEqual([])
  expect(await rows().count()).toBe(1)
})

test('the file of a job makes its figures again, in a terminal and as a plan of this page', async () => {
  const { page, step } = workbench
  const path = join(await mkdtemp(join(tmpdir(), 'workbench-job-')), 'stories.job.json')
  const saved = await download(
    page,
    rows()
      .first()
      .getByRole('button', { name: /^Save the job file/ })
      .click(),
  )
  await writeFile(path, saved)
  const args = ['run', '--silent', 'quantize', '--', '--job', path, '--run', 'run-2', '--model', folder, '--json']
  const { stdout } = await promisify(execFile)('npm', args, { timeout: 240_000, maxBuffer: 2 ** 26 })
  const made = JSON.parse(stdout)
  const [, run] = reports[1].runs
  expect(made.run).toBe(reports[1].job.runs[1].label)
  const close = (value: number, expected: number) => expect(Math.abs(value / expected - 1)).toBeLessThan(1e-4)
  close(made.fp_perplexity, reports[1].fpPerplexity!)
  close(made.perplexity, run.perplexity!)
  close(made.kl, run.kl!)
  expect(made.layers).toHaveLength(run.layers.length)
  for (const [i, layer] of run.layers.entries()) close(made.layers[i].relative_error, layer.relativeError)

  await page.reload()
  await expect.poll(() => workbench.button('Try the demo').isEnabled(), { timeout: 60_000 }).toBe(true)
  await drop(page, 'main', [path])
  await page.getByText('Choose or drop the folder “stories” again').waitFor()
  await drop(page, 'main', [folder])
  await page.getByText('The model and the texts are the same.').waitFor({ timeout: 60_000 })
  expect(await workbench.field('seed').getByRole('textbox').inputValue()).toBe('1')
  expect(await accessibilityProblems(page)).toEqual([])
  await step('Model').click()
  await expect.poll(() => rows().count(), { timeout: 60_000 }).toBe(1)
})

test('came about without an error on the console', () => {
  expect(workbench.errors).toEqual([])
})
