import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import react from '@vitejs/plugin-react'
import { type Plugin, runnerImport } from 'vite'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import packageJson from './package.json' with { type: 'json' }
import { findChromium, shortSelection, softwareVulkan, suiteAdapter } from './src/setup.mjs'

/**
 * The built page may speak to where it came from and to the Hub, and to nobody else: a leak of weights or text is then
 * impossible, not only absent. A mirror of the Hub names itself and the places it redirects to when the page is built.
 */
function contentSecurityPolicy(): Plugin {
  const { VITE_HUB_URL: mirror, VITE_HUB_STORAGE: storage = '' } = process.env
  const hub = mirror
    ? [mirror, ...storage.split(' ').filter(Boolean)].map((address) => new URL(address).origin)
    : ['https://huggingface.co', 'https://*.huggingface.co', 'https://*.hf.co']
  const policy = [
    `default-src 'none'`,
    // llama.cpp is WebAssembly, which is compiled by this word; it runs no text as a script.
    `script-src 'self' 'wasm-unsafe-eval'`,
    // The engine's worker starts from a blob, so that this policy binds it too (see engine/hosts/client.ts).
    `worker-src 'self' blob:`,
    // The accessible primitives lock scrolling by a style element.
    `style-src 'self' 'unsafe-inline'`,
    `img-src 'self' data: blob:`,
    `connect-src ${["'self'", ...hub].join(' ')}`,
    `base-uri 'none'`,
    `form-action 'none'`,
  ].join('; ')
  return {
    name: 'content-security-policy',
    apply: 'build',
    transformIndexHtml: () => [
      { tag: 'meta', attrs: { 'http-equiv': 'Content-Security-Policy', content: policy }, injectTo: 'head-prepend' },
    ],
  }
}

/** Shaders without their comments and indents (`//#include` is none), line by line, so that messages of the compiler still name the right one. */
function bareShaders(): Plugin {
  return {
    name: 'bare-shaders',
    apply: 'build',
    transform(code, id) {
      const text = id.endsWith('.wgsl?raw') && /^export default (".*");?$/s.exec(code.trim())?.[1]
      return text ? `export default ${JSON.stringify(JSON.parse(text).replace(/[ \t]*\/\/(?!#).*|^[ \t]+/gm, ''))}` : null
    },
  }
}

/** The catalogue as the data that it is: its file evaluated now, so that the worker begins without all that it lists. */
function catalogAhead(): Plugin {
  return {
    name: 'catalog-ahead',
    apply: 'build',
    load: {
      filter: { id: /\/src\/engine\/catalog\.ts$/ },
      async handler(id) {
        const { module } = await runnerImport<typeof import('./src/engine/catalog.ts')>(id, { configFile: false, logLevel: 'warn' })
        return `const text = ${JSON.stringify(JSON.stringify(module.catalog()))}\nexport const catalog = () => JSON.parse(text)`
      },
    },
  }
}

/** The catalogue takes seconds to evaluate, which the build need not warn of. */
const untimed = { checks: { pluginTimings: false } }

/**
 * Test files at a time, of all kinds. Three keep two cores busy: where Dawn computes, the float64 twin waits, and where a page is
 * driven, both do.
 */
const maxWorkers = 3

/** Takes from every project in turn, so that what computes runs beside what waits, and all of them end together. */
class Mixed extends BaseSequencer {
  override async sort(files: TestSpecification[]) {
    const sorted = await super.sort(files)
    const places = new Map<TestSpecification, number>()
    for (const file of sorted) {
      const own = sorted.filter(({ project }) => project.name === file.project.name)
      places.set(file, (own.indexOf(file) + 0.5) / own.length)
    }
    return sorted.sort((a, b) => places.get(a)! - places.get(b)!)
  }
}

/** Changes whenever anything changes that a result may depend on; see engine/keep/fingerprint.ts. */
function codeVersion(): string {
  const hash = createHash('sha256')
  const sources = ['src', 'shaders'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
  )
  for (const path of [...sources, 'package-lock.json'].sort()) {
    if (/\.(ts|wgsl|json)$/.test(path) && !/\.test\.ts$|^src\/app\/|\/golden\/|\/fixtures\//.test(path))
      hash.update(path).update(readFileSync(path))
  }
  return hash.digest('hex')
}

export default defineConfig(async ({ isSsrBuild }) => {
  const onGpu = {
    pool: 'forks' as const,
    maxWorkers,
    setupFiles: 'src/gpu/testing.ts',
    env: process.env.VITEST ? await suiteAdapter() : {},
    // On a fresh machine, whichever test comes first compiles the kernels: half a minute of a processor on lavapipe.
    testTimeout: 240_000,
    hookTimeout: 240_000,
  }
  const inBrowser = {
    globalSetup: 'e2e/serve.ts',
    pool: 'forks' as const,
    maxWorkers,
    testTimeout: 300_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
  }
  const onLavapipe = process.env.QUANTEASE_ADAPTER === 'lavapipe'
  // Results are recorded on SwiftShader; and ONNX Runtime's kernels, which nothing else needs, take lavapipe's compiler a minute and a half.
  const notOnLavapipe = ['src/engine/run/recorded.gpu.test.ts', 'src/engine/keep/onnx.gpu.test.ts']
  // Where the suite computes on lavapipe, every kernel is to be right on SwiftShader too.
  const onSwiftShader = {
    ...onGpu,
    name: 'gpu-swiftshader',
    env: onLavapipe ? softwareVulkan(await findChromium()) : {},
    include: [...notOnLavapipe, ...shortSelection.map((path) => (path.endsWith('.ts') ? path : `${path}/*.gpu.test.ts`))],
  }
  // The second suite reads real models beside the checkout.
  const shared = { ...onGpu, name: 'shared', include: ['{src,e2e}/**/*.shared.test.ts'], testTimeout: 600_000 }

  return {
    plugins: [react(), contentSecurityPolicy()],
    base: './',
    define: { __CODE_VERSION__: JSON.stringify(codeVersion()), __VERSION__: JSON.stringify(packageJson.version) },
    worker: { format: 'es' as const, plugins: () => [bareShaders(), catalogAhead()], rolldownOptions: untimed },
    // Found at the start, so that the first visit to the development server is not reloaded for the worker's packages.
    optimizeDeps: { entries: ['index.html', 'src/engine/hosts/worker.ts'] },
    // Every browser with WebGPU preloads modules by itself.
    build: {
      target: 'es2023',
      modulePreload: { polyfill: false },
      chunkSizeWarningLimit: 2000,
      copyPublicDir: !isSsrBuild,
      rolldownOptions: untimed,
    },
    test: {
      reporters: ['default', './e2e/reporter.ts'],
      sequence: { sequencer: Mixed },
      projects: [
        {
          name: 'unit',
          include: ['src/**/*.test.{ts,tsx}'],
          exclude: ['**/*.gpu.test.ts', '**/*.shared.test.ts'],
          setupFiles: ['e2e/safari.ts', 'src/gpu/closeness.ts'],
          testTimeout: 60_000,
          maxWorkers,
        },
        { ...onGpu, name: 'gpu', include: ['src/**/*.gpu.test.ts'], exclude: onLavapipe ? notOnLavapipe : [] },
        ...(onLavapipe ? [onSwiftShader] : []),
        { ...inBrowser, name: 'e2e', include: ['e2e/**/*.e2e.ts'] },
        // Another browser on another adapter. Node 20 has WebSocket, but only if asked.
        { ...inBrowser, name: 'firefox', include: ['e2e/firefox/**/*.firefox.ts'], execArgv: ['--experimental-websocket'] },
        ...(existsSync('../shared') ? [shared] : []),
      ].map((test) => ({ extends: true as const, test })),
    },
  }
})
