/**
 * The door behind every npm script. Plain Node without packages, so that `npm start` and `npm test` work in a fresh
 * checkout: it installs what is missing first, then hands over to the tools.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { lavapipe, quickLavapipe, unpackAdapters } from './adapters.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = {
  vite: 'node_modules/vite/bin/vite.js',
  vitest: 'node_modules/vitest/vitest.mjs',
  tsc: 'node_modules/typescript/bin/tsc',
  biome: 'node_modules/@biomejs/biome/bin/biome',
}
/** What stands for the GPU suite on another adapter: every kernel and operation, one whole solver, and the forward passes. */
export const shortSelection = ['src/gpu', 'src/quant/quantease.gpu.test.ts', 'src/models/fixtures.gpu.test.ts']

const tasks = {
  async start(args) {
    await buildSite()
    await run(bin.vite, 'preview', ...args)
  },
  dev: (args) => run(bin.vite, ...args),
  async build() {
    await run(bin.tsc)
    await run(bin.vite, 'build')
  },
  async check() {
    await run(bin.biome, 'check', '--error-on-warnings', '.')
    await run(bin.tsc)
  },
  async test(args) {
    await installChromium()
    await buildSite()
    process.env.QUANTEASE_ADAPTER ??= bestAdapter()
    await run(bin.vitest, 'run', ...['unit', 'gpu*', 'e2e*', 'firefox'].flatMap((name) => ['--project', name]), ...args)
  },
  /** The whole GPU suite on each software adapter that is here, as the adapter is. */
  async 'test:adapters'(args) {
    await installChromium()
    process.env.LP_NATIVE_VECTOR_WIDTH ??= '256'
    for (const adapter of new Set(['swiftshader', bestAdapter()])) {
      console.error(`On ${adapter}:`)
      process.env.QUANTEASE_ADAPTER = adapter
      await run(bin.vitest, 'run', '--project', 'gpu', ...args)
    }
  },
  async 'test:shared'(args) {
    if (!existsSync(join(root, '../shared')))
      fail('The second suite reads models from a folder "shared" beside this checkout, and there is none.')
    await installChromium()
    process.env.QUANTEASE_ADAPTER ??= bestAdapter()
    await run(bin.vitest, 'run', '--project', 'shared', ...args)
  },
  async bench(args) {
    await installChromium()
    await buildSite()
    await script('e2e/bench/bench.ts', args)
    await headless('e2e/bench/node.ts', args)
    const asked = !args.includes('--only') || args.includes('forms')
    const second = asked && !unpackAdapters() ? lavapipe() : null
    if (second) await headless('e2e/bench/node.ts', [...args, '--only', 'forms'], second)
  },
  /** All measurements for a machine with a GPU. */
  'gpu-machine': (args) => run('e2e/bench/gpu-machine.mjs', ...args),
  async screenshots(args) {
    await installChromium()
    await buildSite()
    await script('e2e/screenshots.ts', args)
  },
  house: (args) => run('e2e/house.mjs', ...args),
  quantize: (args) => headless('src/cli.ts', args),
  methods: (args) => headless('e2e/methods.ts', args),
  'held-out': (args) => headless('e2e/held-out.ts', args),
  budgets: (args) => headless('e2e/budgets.ts', args),
  fuzz: (args) => headless('e2e/fuzz/fuzz.ts', args),
  families: (args) => headless('e2e/families.ts', args),
  interop: (args) => headless('e2e/interop/interop.ts', args),
  peers: (args) => headless('e2e/peers/peers.ts', args),
  profile: (args) => headless('e2e/profile.ts', args),
  packing: (args) => headless('e2e/bench/packing.ts', args),
  recording: (args) => headless('e2e/recording.ts', args),
  /** Ray in an environment of its own; not a part of `npm test`. */
  async 'scale:test'(args) {
    const environment = join(root, 'node_modules/.cache/scale')
    const python = join(environment, 'bin/python')
    const steps = existsSync(join(environment, 'bin/ray'))
      ? []
      : [
          ['-m', 'venv', environment],
          ['-m', 'pip', 'install', '-q', '-r', 'src/scale/requirements.txt'],
        ]
    for (const [i, step] of steps.entries())
      if (spawnSync(i ? python : 'python3', step, toStderr).status !== 0) fail('Python 3.10 or newer with venv and pip is needed.')
    await bundled('src/cli.ts')
    const env = { ...process.env, ...softwareVulkan(await installChromium()), QUANTEASE_SOFTWARE: '1' }
    process.exitCode = spawnSync(python, ['src/scale/ray_test.py', ...args], { cwd: root, stdio: 'inherit', env }).status ?? 1
  },
  'gguf-perplexity': (args) => headless('e2e/gguf-perplexity.ts', args),
  'dry-runs': (args) => headless('e2e/dry-runs.ts', args),
  'scale:paper': (args) => headless('e2e/scale-paper.ts', args),
}

/** A program as one file for Node, built where that is stale. */
export async function bundled(entry) {
  const name = basename(entry, '.ts')
  const bundle = `dist-cli/${name}/${name}.js`
  await alone(async () => {
    if (stale(bundle, ['e2e'])) await quietly(bin.vite, 'build', '--ssr', entry, '--outDir', dirname(bundle), '--logLevel', 'error')
  })
  return bundle
}

/** Runs the engine in Node on the GPU that is there; without one, says so and takes the software adapter. */
async function headless(entry, args, adapter = null) {
  const bundle = await bundled(entry)
  let software = adapter ?? {}
  if (!adapter && takesSoftware(args) && !process.env.QUANTEASE_SOFTWARE && !hasAdapter()) {
    console.error('No GPU adapter found; using the SwiftShader software adapter (slow).')
    software = { ...softwareVulkan(await installChromium()), QUANTEASE_SOFTWARE: '1' }
  }
  // By the channel it hears at once when this process is gone, whatever it died of.
  const stdio = ['inherit', 'inherit', 'inherit', 'ipc']
  process.exitCode = await status([bundle, ...args], { stdio, env: { ...process.env, ...software } })
}

/**
 * Whether a program may compute without a GPU. To print its arguments, or files, it needs none; a worker that nobody watches has to be
 * told, since it would take hundreds of times as long.
 */
function takesSoftware([word, name, ...more]) {
  const args = [name, ...more]
  if (word === '--help' || args.includes('--help')) return false
  if (word === 'sweep') return name === 'run' && more.includes('--software')
  return !['calibrate', 'solve', 'assemble'].includes(word) || args.includes('--software')
}

/** Asked in a process of its own, since Dawn complains on stderr, in words of its own, where there is no Vulkan. */
function hasAdapter(environment = {}) {
  const ask = `import('webgpu').then(async ({ create }) => process.exit((await create([]).requestAdapter()) ? 0 : 1))`
  const env = { ...process.env, ...environment }
  return spawnSync(process.execPath, ['-e', ask], { cwd: root, stdio: 'ignore', env }).status === 0
}

/** The faster of the software adapters that can be had: lavapipe computes in a half to a third of SwiftShader's time. */
function bestAdapter() {
  const missing = unpackAdapters()
  const found = quickLavapipe()
  if (found && hasAdapter(found)) return 'lavapipe'
  console.error(`All tests run on SwiftShader: ${missing ?? 'Dawn takes no adapter of the lavapipe that is here.'}`)
  return 'swiftshader'
}

// ---------------------------------------------------------------- packages and builds

/**
 * One process at a time installs or builds in this checkout: two at once would write the same files. One that died in between does
 * not hold up the next.
 */
export async function alone(work, lock = lockOf(root)) {
  for (let told = false; !taken(lock); told = true) {
    if (!told) console.error('Waiting for another process that installs or builds here ...')
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  try {
    return await work()
  } finally {
    rmSync(lock, { force: true })
  }
}

/** Outside of the checkout, where an installation clears nothing away. */
const lockOf = (folder) => join(tmpdir(), `quantease-setup-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}.lock`)

function taken(lock) {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
  }
  if (isGone(lock)) {
    try {
      // Of several that find it left behind, one can move it away.
      renameSync(lock, `${lock}.${process.pid}`)
      rmSync(`${lock}.${process.pid}`)
    } catch {
      // Another one did.
    }
  }
  return false
}

/** Whether the process that took it is no more. */
function isGone(lock) {
  try {
    const holder = Number(readFileSync(lock, 'utf8'))
    // Empty for a moment, until it is written.
    if (holder) process.kill(holder, 0)
    return false
  } catch (error) {
    return error.code === 'ESRCH'
  }
}

/** Installs the packages unless those of this very lock file are there. */
function installPackages() {
  const stamp = join(root, 'node_modules/.installed')
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return
  console.error('Installing packages (once) ...')
  const options = { ...toStderr, shell: process.platform === 'win32' }
  // Its script would fetch CUDA libraries from elsewhere. Newer versions of npm do not run it: package.json says so in allowScripts.
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' }
  const npm = spawnSync('npm', ['ci', '--include=dev', '--no-audit', '--no-fund'], { ...options, env })
  if (npm.status !== 0) fail('npm could not install the packages; its own words are above.')
  writeFileSync(stamp, lock)
}

/** Whether something that the build reads is newer than what it wrote. */
function stale(output, more = []) {
  if (!existsSync(join(root, output))) return true
  const newest = (path) => {
    const info = statSync(path)
    return info.isDirectory() ? Math.max(info.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name)))) : info.mtimeMs
  }
  const inputs = ['src', 'shaders', 'public', 'index.html', 'vite.config.ts', 'package-lock.json', ...more]
  const times = inputs
    .map((path) => join(root, path))
    .filter(existsSync)
    .map(newest)
  return Math.max(...times) > statSync(join(root, output)).mtimeMs
}

async function buildSite() {
  await alone(async () => {
    if (stale('dist/index.html')) await quietly(bin.vite, 'build', '--logLevel', 'error')
  })
}

// ---------------------------------------------------------------- Chromium and the software adapter

/** Path of a Chromium or Chrome that is here already, or null. */
export async function findChromium() {
  const { chromium } = await import('playwright')
  const names = process.platform === 'win32' ? [] : ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
  const folders = (process.env.PATH ?? '').split(':')
  const candidates = [
    chromium.executablePath(),
    ...names.flatMap((name) => folders.map((folder) => join(folder, name))),
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  ]
  return process.env.CHROMIUM ?? candidates.find((path) => path && existsSync(path)) ?? null
}

/** Path of a Chromium; installs one when there is none. Says what it does on stderr. */
async function installChromium() {
  const found = await findChromium()
  if (found) return found
  console.error('No Chromium found; installing one (once) ...')
  const attempts = ['npx playwright install chromium']
  if (process.platform === 'linux') {
    const sudo = process.getuid() === 0 ? '' : 'sudo -n '
    attempts.push(`${sudo}apt-get update && ${sudo}apt-get install -y --no-install-recommends chromium`)
  }
  for (const attempt of attempts) {
    console.error(`> ${attempt}`)
    spawnSync(attempt, { ...toStderr, shell: true })
    const installed = await findChromium()
    if (installed) return installed
  }
  fail('There is no Chromium here and none could be installed. Install Chromium or Chrome, or name its program in $CHROMIUM.')
}

/**
 * Environment that gives Dawn in Node the SwiftShader adapter: on Linux its driver and the Vulkan loader ship beside
 * the Chromium program. Empty where they do not.
 */
export function softwareVulkan(chromium) {
  if (!chromium) return {}
  const folders = [dirname(realpathSync(chromium)), '/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome']
  const folder = folders.find((path) => existsSync(join(path, 'vk_swiftshader_icd.json')) && existsSync(join(path, 'libvulkan.so.1')))
  if (!folder) return {}
  const library = [folder, process.env.LD_LIBRARY_PATH].filter(Boolean).join(':')
  return { LD_LIBRARY_PATH: library, VK_DRIVER_FILES: join(folder, 'vk_swiftshader_icd.json') }
}

/**
 * Environment that gives Dawn in Node the adapter that QUANTEASE_ADAPTER names: `lavapipe`, `gpu` (what the machine has) or
 * `swiftshader`, the default, whatever GPU there is, so that tests compute the same everywhere.
 * @returns {Promise<Record<string, string>>}
 */
export async function suiteAdapter() {
  const { QUANTEASE_ADAPTER: name = 'swiftshader' } = process.env
  if (name === 'gpu') return {}
  if (name === 'swiftshader') return softwareVulkan(await findChromium())
  if (name !== 'lavapipe') fail(`QUANTEASE_ADAPTER is swiftshader, lavapipe or gpu, not ${name}.`)
  return quickLavapipe() ?? fail('lavapipe is not at hand: `npm test` fetches it.')
}

// ---------------------------------------------------------------- processes

/** Where children speak when stdout belongs to somebody else. */
const toStderr = { cwd: root, stdio: ['ignore', 2, 2] }

/** Who started this. npm's shell dies of a signal without passing it on; this process then has another parent. */
const starter = process.ppid

/** Runs a Node program to its end; resolves to its exit code: 128 and the number of the signal, as shells count, where it died of one. */
export function status(args, options) {
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit', ...options })
  const pass = (signal) => child.kill(signal)
  const watch = setInterval(() => {
    if (process.ppid === starter || !process.env.npm_lifecycle_event) return
    clearInterval(watch)
    pass('SIGTERM')
  }, 500).unref()
  // The terminal interrupts the whole group; this process only waits for the child's own way out.
  const wait = () => clearInterval(watch)
  const heard = { SIGINT: wait, SIGTERM: pass, SIGHUP: pass }
  for (const [signal, act] of Object.entries(heard)) process.on(signal, act)
  return new Promise((resolve) =>
    child.on('exit', (code, signal) => {
      clearInterval(watch)
      for (const [signal, act] of Object.entries(heard)) process.off(signal, act)
      resolve(code ?? 128 + constants.signals[signal])
    }),
  )
}

async function run(...args) {
  const code = await status(args, {})
  if (code) process.exit(code)
}

async function quietly(...args) {
  const code = await status(args, toStderr)
  if (code) process.exit(code)
}

/** Runs a TypeScript file in this process, through Vite. */
async function script(file, args) {
  process.chdir(root)
  process.argv = [process.execPath, file, ...args]
  const { runnerImport } = await import('vite')
  await runnerImport(`./${file}`)
}

function fail(sentence) {
  console.error(sentence)
  process.exit(1)
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19)) fail(`This needs Node 20.19 or newer; this is ${process.versions.node}.`)
  const [task, ...args] = process.argv.slice(2)
  if (!tasks[task]) fail(`Tasks: ${Object.keys(tasks).join(', ')}.`)
  await alone(async () => installPackages())
  await tasks[task](args)
}
