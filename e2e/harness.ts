/** A real Chromium with WebGPU on SwiftShader, and what a test does in it that Playwright has no word for. */
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AxeBuilder } from '@axe-core/playwright'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright'
import type { JobReport } from '../src/engine/job.ts'
import { findChromium } from '../src/setup.mjs'

/** `software: false` takes the adapter that the page would get; `webgpu: false` is a browser without WebGPU. */
export async function launchChromium({ software = true, webgpu = true } = {}): Promise<Browser> {
  const executablePath = await findChromium()
  if (!executablePath) throw new Error('There is no Chromium here; `npm test` installs one.')
  const adapter = software ? ['--use-webgpu-adapter=swiftshader'] : ['--enable-features=Vulkan', '--ignore-gpu-blocklist']
  return chromium.launch({
    executablePath,
    args: [
      ...(webgpu ? ['--enable-unsafe-webgpu', ...adapter] : ['--disable-features=WebGPUService', '--disable-gpu']),
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-quic',
      '--disable-sync',
      '--no-first-run',
    ],
  })
}

/** A fresh profile with the page open in it. `errors` collects what the page and its workers report as an error. */
export async function openPage(browser: Browser, url: string, options: BrowserContextOptions = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
  const page = await context.newPage()
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(String(error.stack)))
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text())
  })
  await page.goto(url)
  return {
    page,
    errors,
    button: (name: string) => page.getByRole('button', { name, exact: true }),
    /** The link to one of the four steps. */
    step: (name: string) => page.getByRole('navigation', { name: 'Steps' }).getByRole('link', { name }),
    /** An option or setting, by its place in the Job. */
    field: (path: string) => page.locator(`[data-field="${path}"]`),
    /** Waits out the job and gives its report. */
    async report(timeout: number): Promise<JobReport> {
      const results = page.getByRole('button', { name: 'See the results' })
      await results.waitFor({ timeout })
      await results.click()
      return JSON.parse(String(await download(page, page.getByRole('button', { name: 'Save report (JSON)' }).click())))
    },
  }
}

export type Workbench = Awaited<ReturnType<typeof openPage>>

/** A plan that takes seconds. */
export async function fillSmallPlan({ field }: Workbench) {
  const numbers = { 'calibration.samples': 4, 'calibration.length': 64, 'evaluation.samples': 4, 'evaluation.length': 64 }
  for (const [path, value] of Object.entries(numbers)) await field(path).getByRole('textbox').fill(String(value))
}

/** What a click makes the browser save. */
export async function download(page: Page, click: Promise<void>): Promise<Buffer> {
  const [saved] = await Promise.all([page.waitForEvent('download', { timeout: 30_000 }), click])
  return readFile(await saved.path())
}

/** Drops files and folders by the operating system's own kind of event, so that the page gets real directory entries. */
export async function drop(page: Page, selector: string, paths: string[]) {
  const box = await page.locator(selector).boundingBox()
  if (!box) throw new Error(`Nothing visible to drop onto at ${selector}.`)
  // The middle of what is in view of it.
  const middle = (from: number, size: number, edge: number) => (Math.max(from, 0) + Math.min(from + size, edge)) / 2
  const { width, height } = page.viewportSize()!
  const at = { x: middle(box.x, box.width, width), y: middle(box.y, box.height, height) }
  const devtools = await page.context().newCDPSession(page)
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await devtools.send('Input.dispatchDragEvent', { type, ...at, data: { items: [], files: paths, dragOperationsMask: 1 } })
  }
  await devtools.detach()
}

/** A copy of the demo model's folder; `change` gets its files and may put, replace and remove some. */
export async function modelFolder(change: (files: Map<string, Buffer>) => void = () => {}): Promise<string> {
  const folder = join(await mkdtemp(join(tmpdir(), 'workbench-')), 'stories')
  await mkdir(folder)
  const names = ['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']
  const files = new Map(await Promise.all(names.map(async (name) => [name, await readFile(join('public/demo', name))] as const)))
  change(files)
  for (const [name, bytes] of files) await writeFile(join(folder, name), bytes)
  return folder
}

/** Every file in the page's private file system: path -> bytes. */
export async function privateFiles(page: Page): Promise<Map<string, Buffer>> {
  const files = await page.evaluate(async () => {
    const found: [string, string][] = []
    const walk = async (folder: FileSystemDirectoryHandle, prefix: string) => {
      for await (const [name, handle] of folder) {
        if (handle.kind === 'directory') await walk(handle as FileSystemDirectoryHandle, `${prefix}${name}/`)
        else {
          const reader = new FileReader()
          reader.readAsDataURL(await (handle as FileSystemFileHandle).getFile())
          await new Promise((resolve) => reader.addEventListener('loadend', resolve))
          found.push([prefix + name, (reader.result as string).split(',')[1] ?? ''])
        }
      }
    }
    await walk(await navigator.storage.getDirectory(), '')
    return found
  })
  return new Map(files.map(([path, base64]) => [path, Buffer.from(base64, 'base64')]))
}

/** What axe-core finds at the levels that keep people out; one line each. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze()
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => `${node.target} ${node.html}`).join(' | ')}`)
}
