/** Smoke test in Firefox: the demo from one click to a checkpoint. Firefox polls GPU work every 100 ms, and does not name the adapter. */
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { firefox, lavapipe } from '../../src/adapters.mjs'
import type { JobReport } from '../../src/engine/job/report.ts'
import { readSafetensors } from '../checkpoint.ts'
import { Firefox } from './bidi.ts'

const here = firefox() !== null && lavapipe() !== null
if (!here) console.warn('There is no Firefox or no lavapipe here: its smoke test is skipped.')

describe.skipIf(!here)('the demo in Firefox', () => {
  let browser: Firefox
  let report: JobReport

  beforeAll(async () => {
    browser = await Firefox.launch()
  }, 120_000)
  afterAll(() => browser?.end())

  test('runs to its end on lavapipe', { timeout: 600_000 }, async () => {
    await browser.open(inject('url'))
    // The report is saved by a link to a blob: kept here instead of in a file of the browser's.
    await browser.evaluate(
      `void (URL.createObjectURL = ((make) => (blob) => { globalThis.saved = blob; return make.call(URL, blob) })(URL.createObjectURL))`,
    )
    await browser.click('Try the demo')
    const started = performance.now()
    await browser.click('See the results', 480_000)
    const seconds = (performance.now() - started) / 1000
    await browser.evaluate('delete globalThis.saved')
    await browser.click('Save report (JSON)')
    report = JSON.parse(await browser.until<string>('globalThis.saved?.text()', 30_000, 'the report'))
    console.info(`Firefox: the demo took ${seconds.toFixed(0)} s at ${report.adapter.gflops.toFixed(1)} GFLOP/s.`)
    expect(report.runs.map(({ state, error }) => [state, error])).toEqual(report.runs.map(() => ['finished', undefined]))
    expect(browser.errors).toEqual([])
  })

  test('measures the rate of the adapter, not that of the timer', () => {
    expect(report.adapter.kind).toBe('software')
    // One product of 256 in 100 ms would be 0.34 GFLOP/s. Other tests compute beside it, so the bound is not far above that.
    expect(report.adapter.gflops).toBeGreaterThan(0.5)
  })

  test('tells the methods apart as every adapter does', () => {
    const [rtn, quantease] = report.runs
    for (const [i, layer] of quantease.layers.entries()) expect(layer.relativeError).toBeLessThan(rtn.layers[i].relativeError)
    expect(report.fpPerplexity).toBeCloseTo(1.848, 2)
    expect(quantease.perplexity).toBeLessThan(rtn.perplexity!)
  })

  test('leaves a checkpoint whose tensors are all there', async () => {
    const [, { run, export: made }] = report.runs
    const base64 = await browser.evaluate<string>(`(async () => {
      const root = await navigator.storage.getDirectory()
      const jobs = await root.getDirectoryHandle('jobs')
      const { value: job } = await jobs.values().next()
      const folder = await (await job.getDirectoryHandle('exports')).getDirectoryHandle(${JSON.stringify(run)})
      const file = await (await folder.getFileHandle('model.safetensors')).getFile()
      const bytes = new Uint8Array(await file.arrayBuffer())
      let text = ''
      for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768))
      return btoa(text)
    })()`)
    const bytes = Buffer.from(base64, 'base64')
    expect(bytes.length).toBe(made!.files.find(({ path }) => path === 'model.safetensors')!.bytes)
    const tensors = readSafetensors(bytes)
    expect([...tensors.keys()].filter((name) => name.endsWith('.qweight'))).toHaveLength(4 * 7)
  })
})
