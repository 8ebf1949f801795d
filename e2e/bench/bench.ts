/**
 * `npm run bench -- [--json FILE] [--svg FILE] [--rounds 5] [--sizes 256,512,1024]`: our kernels against jax-js, tfjs and
 * themselves, in a real Chromium on the adapter that a page gets there. `--svg` draws error against work.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { createServer } from 'vite'
import { launchChromium, openPage } from '../harness.ts'
import { median, ratio } from './measure.ts'
import type { WorkPoint } from './work.ts'
import type { BenchPage } from './page.ts'

declare const bench: BenchPage

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    svg: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    sizes: { type: 'string', default: '256,512,1024' },
  },
})
const rounds = Number(values.rounds)
const sizes = values.sizes.split(',').map(Number)

const row = (...cells: (string | number)[]) => console.log(`| ${cells.join(' | ')} |`)
const head = (...cells: string[]) => {
  row(...cells)
  row(...cells.map(() => '---'))
}
const short = (value: number) => String(Number(value.toPrecision(3)))
const ms = (samples: number[]) => `${short(median(samples))} ms`
const times = (value: number) => `${value.toFixed(2)}×`

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

  head('f32 GEMM, n', 'ours', 'jax-js', 'tfjs', 'ours / jax-js', 'ours / tfjs')
  const gemm = []
  for (const n of sizes) {
    const { ours, 'jax-js': jax, tfjs } = await page.evaluate(([n, rounds]) => bench.gemm(n, rounds), [n, rounds])
    const cell = (samples: number[]) => `${ms(samples)}, ${short((2 * n ** 3) / median(samples) / 1e6)} GFLOP/s`
    const faster = { jax: ratio(jax, ours), tfjs: ratio(tfjs, ours) }
    row(n, cell(ours), cell(jax), cell(tfjs), times(faster.jax), times(faster.tfjs))
    gemm.push({ n, milliseconds: { ours, jax, tfjs }, faster })
  }

  console.log()
  head(
    'QuantEase, p = q',
    'one iteration',
    'one GEMM',
    'iteration / GEMM',
    'with 1 % outliers / GEMM',
    'a dispatch per column',
    'the same, tuned',
  )
  const quantease = []
  for (const p of sizes.filter((size) => size >= 512)) {
    const samples = await page.evaluate(([p, rounds]) => bench.quantease(p, rounds), [p, rounds])
    const { iteration, outliers, gemm, plain, tuned } = samples
    const slower = {
      gemm: ratio(iteration, gemm),
      outliers: ratio(outliers, gemm),
      plain: ratio(plain, iteration),
      tuned: ratio(tuned, iteration),
    }
    const columns = [plain, tuned].map((each, i) => `${ms(each)}, ${times([slower.plain, slower.tuned][i])} slower`)
    row(p, ms(iteration), ms(gemm), times(slower.gemm), times(slower.outliers), ...columns)
    quantease.push({ p, milliseconds: samples, slower })
  }
  console.log()
  head('GPTQ factor, p', 'GPU, float32', 'host, float64', 'GPU / host')
  const gptq = []
  for (const p of sizes.filter((size) => size >= 512)) {
    const { gpu, host } = await page.evaluate(([p, rounds]) => bench.gptq(p, rounds), [p, rounds])
    row(p, ms(gpu), ms(host), times(ratio(gpu, host)))
    gptq.push({ p, milliseconds: { gpu, host }, slower: ratio(gpu, host) })
  }
  console.log()
  const p = Math.min(512, ...sizes.filter((size) => size >= 512))
  head(`Error against work, p = q = ${p}, 3 bits`, 'relative error', 'work, in GEMMs of the layer with Σ')
  const work = await page.evaluate((p) => bench.work(p), p)
  for (const { label, error, products } of work) row(label, error.toExponential(2), products.toFixed(1))
  if (values.svg) writeFileSync(values.svg, drawWork(work, p))
  if (errors.length) throw new Error(`The page reported errors:\n${errors.join('\n')}`)
  if (values.json)
    writeFileSync(values.json, `${JSON.stringify({ adapter, browser: browser.version(), rounds, gemm, quantease, gptq, work }, null, 2)}\n`)
} finally {
  await browser.close()
  await server.close()
}

/** Relative error over work, both on log axes, every point with its name. */
function drawWork(points: WorkPoint[], p: number): string {
  const [width, height, margin] = [860, 420, 60]
  const scale = (pick: (point: WorkPoint) => number, from: number, to: number) => {
    const logs = points.map((point) => Math.log10(pick(point)))
    const [low, high] = [Math.min(...logs) - 0.05, Math.max(...logs) + 0.05]
    return (point: WorkPoint) => from + ((Math.log10(pick(point)) - low) / (high - low)) * (to - from)
  }
  const x = scale(({ products }) => products, margin + 10, width - 200)
  const y = scale(({ error }) => error, height - margin, 30)
  // Names that would lie on each other move down, line by line.
  const taken: { left: number; top: number }[] = []
  const marks = points
    .toSorted((a, b) => y(a) - y(b))
    .map((point) => {
      const left = x(point) + 8
      let top = y(point) + 4
      while (taken.some((other) => Math.abs(other.top - top) < 13 && Math.abs(other.left - left) < 220)) top += 1
      taken.push({ left, top })
      const figures = `${point.error.toExponential(1)}, ${point.products.toFixed(0)} GEMMs`
      const dot = `<circle cx="${x(point).toFixed(1)}" cy="${y(point).toFixed(1)}" r="4" fill="#0072B2"/>`
      return `${dot}<text x="${left.toFixed(1)}" y="${top.toFixed(1)}">${point.label} (${figures})</text>`
    })
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="11">
<title>Relative error of each method over its work</title>
<rect width="100%" height="100%" fill="#fff"/>
<path d="M${margin} 20V${height - margin}H${width - 20}" fill="none" stroke="#444"/>
<text x="${width / 2}" y="${height - 20}" text-anchor="middle">Work, in GEMMs of the layer with Σ (log scale), p = q = ${p}, 3 bits</text>
<text transform="translate(20 ${height / 2}) rotate(-90)" text-anchor="middle">Relative error ‖(W−Ŵ)X‖² / ‖WX‖² (log scale)</text>
${marks.join('\n')}
</svg>
`
}
