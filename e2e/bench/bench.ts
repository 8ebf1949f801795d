/**
 * `npm run bench -- [--json FILE] [--svg FILE] [--rounds 5] [--sizes 256,512,1024] [--against FOLDER] [--only PART] [--write]`: our
 * kernels against jax-js, tfjs and themselves, in a real Chromium on the adapter that a page gets there (part `chromium`), then (node.ts,
 * `forms` and `node`) in Node on Dawn, the forms of products also on lavapipe, reading from a far Hub (`hub`), the page on a large
 * recorded job (`views`), and beside another build whole models (`models`). `--svg` draws error against work; `--against` names a checkout of another build with a built page, which then
 * does all but `chromium` and `node` in the same run; `--write` puts the tables into README.md beside this file.
 */
import { createServer } from 'vite'
import { launchChromium, openPage } from '../harness.ts'
import { reportHub } from './hub.ts'
import { reportModels } from './models.ts'
import { against, keepFigures, report, rounds, wanted } from './report.ts'
import type { Benchmarks } from './suite.ts'
import { reportViews } from './views.ts'

declare const bench: Benchmarks

async function kernels() {
  const server = await createServer({
    configFile: false,
    cacheDir: 'node_modules/.cache/bench',
    logLevel: 'warn',
    server: { port: 4400, hmr: false, watch: null },
    optimizeDeps: { noDiscovery: true, include: ['@jax-js/jax', '@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-webgpu'] },
  })
  await server.listen()
  const browser = await launchChromium({ software: false })
  try {
    const { page, errors } = await openPage(browser, `${server.resolvedUrls!.local[0]}e2e/bench/index.html`)
    await page.waitForFunction(() => 'bench' in globalThis)
    await report('chromium', `Chromium ${browser.version()}`, {
      adapter: await page.evaluate(() => bench.adapter),
      gemm: (n, rounds) => page.evaluate(([n, rounds]) => bench.gemm(n, rounds), [n, rounds]),
      quantease: (p, rounds) => page.evaluate(([p, rounds]) => bench.quantease(p, rounds), [p, rounds]),
      panels: (p, rounds) => page.evaluate(([p, rounds]) => bench.panels(p, rounds), [p, rounds]),
      gptq: (p, rounds) => page.evaluate(([p, rounds]) => bench.gptq(p, rounds), [p, rounds]),
      work: (p) => page.evaluate((p) => bench.work(p), p),
    })
    if (errors.length) throw new Error(`The page reported errors:\n${errors.join('\n')}`)
  } finally {
    await browser.close()
    await server.close()
  }
}

if (wanted('chromium')) await kernels()
if (wanted('hub')) keepFigures('hub', await reportHub(rounds, against))
if (wanted('views')) keepFigures('views', await reportViews(rounds, against))
if (against && wanted('models')) keepFigures('models', await reportModels(rounds, against))
