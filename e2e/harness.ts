/** A real Chromium with WebGPU on SwiftShader, and what a test does in it that Playwright has no word for. */
import { AxeBuilder } from '@axe-core/playwright'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright'
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
  return { page, errors }
}

/** Drops files and folders by the operating system's own kind of event, so that the page gets real directory entries. */
export async function drop(page: Page, selector: string, paths: string[]) {
  const box = await page.locator(selector).boundingBox()
  if (!box) throw new Error(`Nothing visible to drop onto at ${selector}.`)
  const at = { x: box.x + box.width / 2, y: box.y + box.height / 2 }
  const devtools = await page.context().newCDPSession(page)
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await devtools.send('Input.dispatchDragEvent', { type, ...at, data: { items: [], files: paths, dragOperationsMask: 1 } })
  }
  await devtools.detach()
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
