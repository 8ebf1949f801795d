/** Starts a real Chromium with WebGPU on SwiftShader, with helpers that Playwright lacks. */
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AxeBuilder } from '@axe-core/playwright'
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright'
import type { JobReport } from '../src/engine/job/report.ts'
import { findChromium } from '../src/setup.mjs'

/** `software: false` takes the adapter that the page would get; `webgpu: false` is a browser without WebGPU. */
export async function launchChromium(adapter = {}): Promise<Browser> {
  return chromium.launch(await launchOptions(adapter))
}

/** A browser whose profile outlives it; `kill` ends all of it at once, as a crash or a power cut would. */
export async function launchProfile(folder: string) {
  const context = await chromium.launchPersistentContext(folder, { ...(await launchOptions()), viewport: { width: 1280, height: 900 } })
  const devtools = await context.browser()!.newBrowserCDPSession()
  const { processInfo } = await devtools.send('SystemInfo.getProcessInfo')
  const { id } = processInfo.find(({ type }) => type === 'browser')!
  return {
    context,
    async kill() {
      const closed = new Promise((resolve) => context.once('close', resolve))
      process.kill(id, 'SIGKILL')
      await closed
    },
  }
}

async function launchOptions({ software = true, webgpu = true } = {}) {
  const executablePath = await findChromium()
  if (!executablePath) throw new Error('There is no Chromium here; `npm test` installs one.')
  const adapter = software ? ['--use-webgpu-adapter=swiftshader'] : ['--enable-features=Vulkan', '--ignore-gpu-blocklist']
  return {
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
  }
}

/** A fresh profile with the page open in it. `errors` collects what the page and its workers report as an error. */
export async function openPage(browser: Browser, url: string, options: BrowserContextOptions = {}) {
  return openWorkbench(await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options }), url)
}

/** A page with the workbench in it. */
export async function openWorkbench(context: BrowserContext, url: string) {
  const page = await context.newPage()
  // Others may be at work on the same cores.
  page.setDefaultTimeout(60_000)
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
    /** Waits out the job and gives its report; `mouse: false` where a question of the browser itself keeps the mouse from the page. */
    async report(timeout: number, { mouse = true } = {}): Promise<JobReport> {
      const press = (name: string) => {
        const button = page.getByRole('button', { name })
        return mouse ? button.click() : button.dispatchEvent('click')
      }
      await page.getByRole('button', { name: 'See the results' }).waitFor({ timeout })
      await press('See the results')
      return JSON.parse(String(await download(page, press('Save report (JSON)'))))
    },
  }
}

export type Workbench = Awaited<ReturnType<typeof openPage>>

/** A plan that takes seconds. Without held-out windows nothing is chosen by them, for which linears would be solved several times. */
export async function fillSmallPlan({ field }: Workbench) {
  const calibration = { 'calibration.samples': 4, 'calibration.length': 64, 'calibration.heldOut': 0 }
  const numbers = { ...calibration, 'evaluation.samples': 4, 'evaluation.length': 64 }
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
export async function modelFolder(change: (files: Map<string, Buffer>) => void = () => {}, called = 'stories'): Promise<string> {
  const folder = join(await mkdtemp(join(tmpdir(), 'workbench-')), called)
  await mkdir(folder)
  const names = ['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']
  const files = new Map(await Promise.all(names.map(async (name) => [name, await readFile(join('public/demo', name))] as const)))
  change(files)
  for (const [name, bytes] of files) await writeFile(join(folder, name), bytes)
  return folder
}

/** Lays the weights of a model folder over three shards with an index. */
export function shard(files: Map<string, Buffer>) {
  const whole = files.get('model.safetensors')!
  files.delete('model.safetensors')
  const start = 8 + Number(whole.readBigUInt64LE(0))
  const entries = Object.entries(JSON.parse(whole.toString('utf8', 8, start)) as Record<string, { data_offsets: [number, number] }>).filter(
    ([name]) => name !== '__metadata__',
  )
  const weight_map: Record<string, string> = {}
  for (let i = 0; i < 3; i++) {
    const name = `model-0000${i + 1}-of-00003.safetensors`
    const parts: Buffer[] = []
    const header: Record<string, unknown> = {}
    let at = 0
    for (const [tensor, entry] of entries.filter((_, n) => n % 3 === i)) {
      const bytes = whole.subarray(start + entry.data_offsets[0], start + entry.data_offsets[1])
      header[tensor] = { ...entry, data_offsets: [at, at + bytes.length] }
      at += bytes.length
      parts.push(bytes)
      weight_map[tensor] = name
    }
    const text = Buffer.from(JSON.stringify(header))
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(text.length))
    files.set(name, Buffer.concat([length, text, ...parts]))
  }
  files.set('model.safetensors.index.json', Buffer.from(JSON.stringify({ metadata: {}, weight_map })))
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

/** The checkpoints of the newest kept job among them, as text: run/file -> base64. */
export async function exportedFiles(page: Page): Promise<Record<string, string>> {
  const files = [...(await privateFiles(page))].flatMap(([path, bytes]) => {
    const [, job, name] = /^jobs\/([^/]+)\/exports\/(.*)$/.exec(path) ?? []
    return name === undefined ? [] : [{ job, name, text: bytes.toString('base64') }]
  })
  // Ids begin with the time.
  const newest = files
    .map(({ job }) => job)
    .sort()
    .at(-1)
  return Object.fromEntries(files.filter(({ job }) => job === newest).map(({ name, text }) => [name, text]))
}

/** What axe-core finds at the levels that keep people out; one line each. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze()
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => `${node.target} ${node.html}`).join(' | ')}`)
}
