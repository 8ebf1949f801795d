/**
 * `npm run bench -- [--json FILE] [--rounds 5] [--sizes 256,512,1024]`: our kernels against jax-js, tfjs and themselves,
 * in a real Chromium on the adapter that a page gets there.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { createServer } from 'vite'
import { launchChromium, openPage } from '../harness.ts'
import type { BenchPage } from './page.ts'

declare const bench: BenchPage

const { values } = parseArgs({
  options: { json: { type: 'string' }, rounds: { type: 'string', default: '5' }, sizes: { type: 'string', default: '256,512,1024' } },
})
const rounds = Number(values.rounds)
const sizes = values.sizes.split(',').map(Number)

const short = (value: number) => String(Number(value.toPrecision(3)))

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
  const adapter = await page.evaluate(() => bench.adapter)
  console.log(`Adapter: ${adapter.name} (${adapter.kind}), Chromium ${browser.version()}, medians of ${rounds} interleaved rounds\n`)

  console.log('| f32 GEMM, n | ours | jax-js | tfjs | ours / jax-js | ours / tfjs |\n|---|---|---|---|---|---|')
  const gemm = []
  for (const n of sizes) {
    const ms = await page.evaluate(([n, rounds]) => bench.gemm(n, rounds), [n, rounds])
    const gflops = Object.fromEntries(Object.entries(ms).map(([name, value]) => [name, (2 * n ** 3) / value / 1e6]))
    const speed = (name: string) => `${short(ms[name])} ms, ${short(gflops[name])} GFLOP/s`
    const against = (name: string) => `${(gflops.ours / gflops[name]).toFixed(2)}×`
    console.log(`| ${n} | ${['ours', 'jax-js', 'tfjs'].map(speed).join(' | ')} | ${against('jax-js')} | ${against('tfjs')} |`)
    gemm.push({ n, milliseconds: ms, gflops })
  }

  console.log(
    '\n| QuantEase, p = q | one iteration | one GEMM | iteration / GEMM | per column | per column / blocks |\n|---|---|---|---|---|---|',
  )
  const quantease = []
  for (const p of sizes.filter((size) => size >= 512)) {
    const ms = await page.evaluate(([p, rounds]) => bench.quantease(p, rounds), [p, rounds])
    const [overGemm, faster] = [ms.iteration / ms.gemm, ms.perColumn / ms.iteration]
    const times = [ms.iteration, ms.gemm].map((value) => `${short(value)} ms`).join(' | ')
    console.log(`| ${p} | ${times} | ${overGemm.toFixed(2)} | ${short(ms.perColumn)} ms | ${faster.toFixed(1)}× |`)
    quantease.push({ p, milliseconds: ms, overGemm, perColumnOverBlocks: faster })
  }
  if (errors.length) throw new Error(`The page reported errors:\n${errors.join('\n')}`)
  if (values.json)
    writeFileSync(values.json, `${JSON.stringify({ adapter, browser: browser.version(), rounds, gemm, quantease }, null, 2)}\n`)
} finally {
  await browser.close()
  await server.close()
}
