import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import react from '@vitejs/plugin-react'
import { type Plugin, runnerImport } from 'vite'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import packageJson from './package.json' with { type: 'json' }
import { lavapipe } from './src/adapters.mjs'
import { findChromium, softwareVulkan } from './src/setup.mjs'

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
      places.set(file, file.project.config.sequence.groupOrder + (own.indexOf(file) + 0.5) / own.length)
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
  // Tests run Dawn on SwiftShader, whatever GPU there is, so that they measure the same thing everywhere; or on the second
  // software adapter, or on the GPU, where QUANTEASE_ADAPTER asks for it.
  const onLavapipe = process.env.QUANTEASE_ADAPTER === 'lavapipe'
  const software =
    !process.env.VITEST || process.env.QUANTEASE_ADAPTER === 'gpu' ? {} : onLavapipe ? lavapipe() : softwareVulkan(await findChromium())
  if (!software) throw new Error('lavapipe is not at hand: npm run test:adapters fetches it.')
  const onGpu = {
    pool: 'forks' as const,
    maxWorkers,
    setupFiles: 'src/gpu/testing.ts',
    env: software,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  }
  const inChromium = {
    globalSetup: 'e2e/serve.ts',
    pool: 'forks' as const,
    maxWorkers,
    testTimeout: 300_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
  }
  // The page's pace is that of a machine that does nothing else.
  const timed = ['e2e/demo.e2e.ts']

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
          extends: true as const,
          test: {
            name: 'unit',
            include: ['src/**/*.test.{ts,tsx}'],
            exclude: ['**/*.gpu.test.ts', '**/*.shared.test.ts'],
            setupFiles: ['e2e/safari.ts', 'src/gpu/closeness.ts'],
            testTimeout: 60_000,
            maxWorkers,
            sequence: { groupOrder: 0 },
          },
        },
        { extends: true as const, test: { ...onGpu, name: 'gpu', include: ['src/**/*.gpu.test.ts'], sequence: { groupOrder: 0 } } },
        {
          extends: true as const,
          test: {
            ...inChromium,
            name: 'e2e',
            include: ['e2e/**/*.e2e.ts'],
            exclude: timed,
            sequence: { groupOrder: 0 },
          },
        },
        {
          extends: true as const,
          test: { ...inChromium, name: 'e2e-timed', include: timed, maxWorkers: 1, sequence: { groupOrder: 1 } },
        },
        // Another browser on another adapter: a part of `npm run test:adapters`.
        {
          extends: true as const,
          test: {
            name: 'firefox',
            include: ['e2e/firefox/**/*.firefox.ts'],
            globalSetup: 'e2e/serve.ts',
            pool: 'forks' as const,
            // Node 20 has it, but only if asked.
            execArgv: ['--experimental-websocket'],
            sequence: { groupOrder: 2 },
          },
        },
        // The second suite reads real models beside the checkout.
        ...(existsSync('../shared')
          ? [
              {
                extends: true as const,
                test: {
                  ...onGpu,
                  name: 'shared',
                  // Each holds a real model.
                  maxWorkers: 2,
                  include: ['{src,e2e}/**/*.shared.test.ts'],
                  testTimeout: 600_000,
                  sequence: { groupOrder: 3 },
                },
              },
            ]
          : []),
      ],
    },
  }
})
