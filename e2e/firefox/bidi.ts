/**
 * A headless Firefox with WebGPU on lavapipe, driven by WebDriver BiDi (https://w3c.github.io/webdriver-bidi): Playwright supports only
 * its own builds of Firefox. Needs Node's WebSocket.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { firefox, quickLavapipe } from '../../src/adapters.mjs'

const preferences = {
  'dom.webgpu.enabled': true,
  'gfx.webgpu.ignore-blocklist': true,
  // No first-run pages, updates or reports.
  'app.normandy.enabled': false,
  'app.update.enabled': false,
  'browser.aboutwelcome.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'remote.prefs.recommended': true,
}

/** How long Firefox may take to start, and a command to be answered, ms. */
const PATIENCE = 60_000

interface Answer {
  id: number
  type: 'success' | 'error'
  result: Record<string, unknown>
  error?: string
  message?: string
}

export class Firefox {
  #last = 0
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  /** What the page and its workers report as an error. */
  readonly errors: string[] = []
  #context = ''

  private constructor(
    readonly socket: WebSocket,
    readonly end: () => Promise<void>,
  ) {
    socket.onmessage = ({ data }) => {
      const answer = JSON.parse(String(data)) as Answer & { method?: string; params?: { level?: string; text?: string } }
      if (answer.method === 'log.entryAdded' && answer.params?.level === 'error') this.errors.push(answer.params.text ?? '')
      this.#waiting.get(answer.id)?.(answer)
    }
  }

  static async launch(): Promise<Firefox> {
    const profile = await mkdtemp(join(tmpdir(), 'firefox-'))
    const lines = Object.entries(preferences).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`)
    await writeFile(join(profile, 'user.js'), lines.join('\n'))
    const args = ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0']
    const child = spawn(firefox()!, args, { env: { ...process.env, ...quickLavapipe() }, stdio: ['ignore', 'ignore', 'pipe'] })
    const end = async () => {
      const gone = child.exitCode === null ? new Promise((resolve) => child.once('exit', resolve)) : null
      child.kill('SIGKILL')
      await gone
      await rm(profile, { recursive: true, force: true, maxRetries: 5 })
    }
    let said = ''
    const address = await new Promise<string>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`Firefox did not start:\n${said}`)), PATIENCE)
      child.once('exit', (code) => reject(new Error(`Firefox ended with ${code}:\n${said}`)))
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text
        const found = /WebDriver BiDi listening on (ws:\S+)/.exec(said)?.[1]
        if (!found) return
        clearTimeout(late)
        resolve(found)
      })
    }).catch(async (error) => {
      await end()
      throw error
    })
    const socket = new WebSocket(`${address}/session`)
    await new Promise((resolve, reject) => {
      socket.onopen = resolve
      socket.onerror = () => reject(new Error(`${address} cannot be reached.`))
    })
    const browser = new Firefox(socket, end)
    await browser.send('session.new', { capabilities: {} })
    await browser.send('session.subscribe', { events: ['log.entryAdded'] })
    const { contexts } = (await browser.send('browsingContext.getTree')) as { contexts: { context: string }[] }
    browser.#context = contexts[0].context
    return browser
  }

  async send(method: string, params: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    const id = ++this.#last
    const answer = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve)
      this.socket.send(JSON.stringify({ id, method, params }))
    })
    this.#waiting.delete(id)
    if (answer.type === 'error') throw new Error(`${method}: ${answer.error}: ${answer.message}`)
    return answer.result
  }

  async open(url: string): Promise<void> {
    await this.send('browsingContext.navigate', { context: this.#context, url, wait: 'complete' })
  }

  /** What an expression in the page, or the promise that it is, comes to, by way of JSON. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = (await this.send('script.evaluate', {
      expression: `(async () => JSON.stringify(await (${expression})))()`,
      awaitPromise: true,
      target: { context: this.#context },
    })) as { result?: { value: string }; exceptionDetails?: { text: string } }
    if (!result) throw new Error(`In the page: ${exceptionDetails?.text}`)
    return JSON.parse(result.value ?? 'null')
  }

  /** Waits until the button of that name is there and enabled, and clicks it by the pointer, as a person would. */
  async click(name: string, timeout = PATIENCE): Promise<void> {
    const find = `(() => {
      const button = [...document.querySelectorAll('button')].find((one) => one.textContent.trim().startsWith(${JSON.stringify(name)}) && !one.disabled)
      if (!button) return null
      button.scrollIntoView({ block: 'center' })
      const { x, y, width, height } = button.getBoundingClientRect()
      return [Math.round(x + width / 2), Math.round(y + height / 2)]
    })()`
    const [x, y] = await this.until<[number, number]>(find, timeout, `the button “${name}”`)
    const pointer = {
      type: 'pointer',
      id: 'mouse',
      actions: [
        { type: 'pointerMove', x, y },
        { type: 'pointerDown', button: 0 },
        { type: 'pointerUp', button: 0 },
      ],
    }
    await this.send('input.performActions', { context: this.#context, actions: [pointer] })
  }

  /** The first value of an expression that is not null or false, looked for four times a second. */
  async until<T>(expression: string, timeout: number, what = expression): Promise<T> {
    for (const end = performance.now() + timeout; performance.now() < end; ) {
      const value = await this.evaluate<T | null | false>(expression)
      if (value) return value
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
    throw new Error(`${what} was not there after ${timeout / 1000} s; the page says:\n${await this.evaluate('document.body.innerText')}`)
  }
}
