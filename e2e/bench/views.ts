/**
 * Benchmark of the page on a recorded job of 301 linears and 8 runs: how long its results take to open, and what a redraw costs the
 * main thread while the last run goes on. `--against FOLDER` names another checkout with a built page, which does the same in
 * alternating rounds.
 */
import { join } from 'node:path'
import type { Browser } from 'playwright'
import { launchChromium, openPage } from '../harness.ts'
import { recording } from '../views/recording.ts'
import { recordedSite } from '../views/site.ts'
import { median } from './measure.ts'
import { head, keep, row } from './report.ts'

const size = { blocks: 43, runs: 8 }
/** What a trace calls the work that a thread does in one go. */
const task = 'ThreadControllerImpl::RunTask'
/** Longer than the page waits between two redraws, so that each step is one. */
const every = 350
const steps = 30

interface TraceEvent {
  name: string
  ph: string
  pid: number
  tid: number
  tdur?: number
  args: { name?: string }
}

/** Milliseconds from the click to the frame in which the results are drawn. */
async function opening(browser: Browser, folder: string): Promise<number> {
  const site = await recordedSite(recording({ ...size, over: true }), folder)
  const { page, button } = await openPage(browser, site.url, { viewport: { width: 1440, height: 900 } })
  await button('Open the results').waitFor()
  // As after the first touch: what results need is loaded.
  await page.mouse.click(700, 20)
  await page.waitForLoadState('networkidle')
  const milliseconds = await page.evaluate(async () => {
    const open = [...document.querySelectorAll('button')].find(({ textContent }) => textContent === 'Open the results')!
    const start = performance.now()
    open.click()
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve))
    // The last chart of the page, with its lines.
    while (!document.querySelector('.results-charts > figure:last-of-type path')) await frame()
    await frame()
    await new Promise((resolve) => setTimeout(resolve))
    return performance.now() - start
  })
  await page.context().close()
  site.close()
  return milliseconds
}

/** Milliseconds of CPU of the main thread for each redraw while the last run goes on, from a trace. */
async function redrawing(browser: Browser, folder: string): Promise<number> {
  const site = await recordedSite(recording({ ...size, over: false }), folder)
  const { page, button } = await openPage(browser, site.url, { viewport: { width: 1440, height: 900 } })
  await button('Resume').click()
  await page.getByRole('heading', { name: 'Running on' }).waitFor()
  const play = (from: number, count: number) =>
    page.evaluate(
      async ([from, count, every]) => {
        const channel = new BroadcastChannel('steps')
        for (let step = from; step < from + count; step++) {
          channel.postMessage(step)
          await new Promise((resolve) => setTimeout(resolve, every))
        }
      },
      [from, count, every],
    )
  await play(0, 10)
  await browser.startTracing(page, { categories: ['devtools.timeline', 'toplevel', '__metadata'] })
  await play(10, steps)
  const trace = JSON.parse(String(await browser.stopTracing())) as { traceEvents: TraceEvent[] }
  const milliseconds = mainThread(trace.traceEvents) / 1000 / steps
  await page.context().close()
  site.close()
  return milliseconds
}

/** CPU time of the tasks of the page's main thread, µs: of the renderer that had most of them. */
function mainThread(events: TraceEvent[]): number {
  const threads = events.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain')
  const sums = threads.map(({ pid, tid }) =>
    events.reduce((sum, event) => {
      const counts = event.pid === pid && event.tid === tid && event.ph === 'X' && event.name === task
      return counts ? sum + (event.tdur ?? 0) : sum
    }, 0),
  )
  return Math.max(...sums)
}

/** Prints a table of this build, and of the other one where there is one. */
export async function reportViews(rounds: number, against: string | undefined): Promise<Record<string, number[][]>> {
  const folders = ['dist', ...(against ? [join(against, 'dist')] : [])]
  const browser = await launchChromium({ webgpu: false })
  const figures: Record<string, number[][]> = { opening: folders.map(() => []), redraw: folders.map(() => []) }
  try {
    for (let round = 0; round < rounds; round++) {
      for (const [i, folder] of folders.entries()) {
        figures.opening[i].push(await opening(browser, folder))
        figures.redraw[i].push(await redrawing(browser, folder))
      }
    }
  } finally {
    await browser.close()
  }
  head('301 linears × 8 runs, ms', ...['this build', 'the other', 'ratio'].slice(0, against ? 3 : 1))
  const names = { opening: 'from the click to the drawn results', redraw: 'main thread per redraw while running, CPU' }
  for (const [key, name] of Object.entries(names)) {
    const medians = figures[key].map((one) => median(one))
    row(name, ...medians.map((one) => one.toFixed(1)), ...(against ? [`${(medians[1] / medians[0]).toFixed(2)}×`] : []))
  }
  await keep('views')
  return figures
}
