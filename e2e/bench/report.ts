/** The report of `npm run bench`: tables, and all figures in one JSON file. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { GpuInfo } from '../../src/gpu/device.ts'
import type { WebGpuDevice } from '../../src/gpu/webgpu.ts'
import { measureForms } from './forms.ts'
import { median, ratio } from './measure.ts'
import { keepTable } from '../tables.ts'
import type { Benchmarks } from './suite.ts'
import type { WorkPoint } from './work.ts'

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    svg: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    sizes: { type: 'string', default: '256,512,1024' },
    against: { type: 'string' },
    only: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
})
export const { against } = values
/** Whether this part was asked for. */
export const wanted = (part: 'chromium' | 'forms' | 'node' | 'hub' | 'views' | 'models') => !values.only || values.only === part
export const rounds = Number(values.rounds)
const sizes = values.sizes.split(',').map(Number)
const large = sizes.filter((size) => size >= 512)

/** Lines of the report that is being made. */
let lines: string[] = []
const print = (line = '') => {
  lines.push(line)
  console.log(line)
}
export const row = (...cells: (string | number)[]) => print(`| ${cells.join(' | ')} |`)
export const head = (...cells: string[]) => {
  print()
  row(...cells)
  row(...cells.map(() => '---'))
}
const short = (value: number) => String(Number(value.toPrecision(3)))
const ms = (samples: number[]) => `${short(median(samples))} ms`
const times = (value: number) => `${value.toFixed(2)}×`

/** Runs everything on one host and prints it. `--json FILE` keeps the figures of each host under its name. */
export async function report(host: 'chromium' | 'node', title: string, bench: Benchmarks): Promise<void> {
  const { adapter } = bench
  print(`${adapter.name} (${adapter.kind}), ${title}, medians of ${rounds} interleaved rounds`)

  const gemm = []
  for (const n of sizes) {
    const samples = await bench.gemm(n, rounds)
    const [ours, ...others] = Object.keys(samples)
    const faster = others.map((other) => ratio(samples[other], samples[ours]))
    if (!gemm.length) head('f32 GEMM, n', ours, ...others, ...others.map((other) => `ours / ${other}`))
    const cell = (one: number[]) => `${ms(one)}, ${short((2 * n ** 3) / median(one) / 1e6)} GFLOP/s`
    row(n, ...Object.values(samples).map(cell), ...faster.map(times))
    gemm.push({ n, milliseconds: samples, faster })
  }

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
  for (const p of large) {
    const samples = await bench.quantease(p, rounds)
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

  const panels = []
  for (const p of large) {
    const samples = await bench.panels(p, rounds)
    const widths = Object.keys(samples)
    if (!panels.length) head('One sweep, p = q', ...widths.map((width, i) => (i ? `panels of ${width}` : `no panels, blocks of ${width}`)))
    row(p, ...widths.map((width, i) => ms(samples[width]) + (i ? `, ${times(ratio(samples[width], samples[widths[0]]))}` : '')))
    panels.push({ p, milliseconds: samples })
  }

  head('GPTQ factor, p', 'GPU, float32', 'host, float64', 'GPU / host')
  const gptq = []
  for (const p of large) {
    const { gpu, host } = await bench.gptq(p, rounds)
    row(p, ms(gpu), ms(host), times(ratio(gpu, host)))
    gptq.push({ p, milliseconds: { gpu, host }, slower: ratio(gpu, host) })
  }

  const p = Math.min(512, ...large)
  head(`Error against work, p = q = ${p}, 3 bits`, 'relative error', 'work, in GEMMs of the layer with Σ')
  const work = await bench.work(p)
  for (const { label, error, products } of work) row(label, error.toExponential(2), products.toFixed(1))
  if (values.svg) writeFileSync(values.svg, drawWork(work, p))
  await keep(`speed in ${host}`)
  keepFigures(host, { adapter, title, rounds, gemm, quantease, panels, gptq, work })
}

/** The forms of products on one adapter. */
export async function reportForms(gpu: WebGpuDevice): Promise<void> {
  const { info } = gpu
  const { chosen, searchSeconds, copyRate, products } = await measureForms(gpu, sizes, rounds, against)
  print(
    `${info.name} (${info.kind}): “${chosen}” is chosen, after ${searchSeconds.toFixed(1)} s; a copy reads and writes ${short(copyRate / 1e9)} GB/s`,
  )
  for (const { n, milliseconds, faster } of products) {
    const names = Object.keys(milliseconds)
    if (n === products[0].n) head(info.kind === 'software' ? 'f32 GEMM on one core, n' : 'f32 GEMM, n', ...names)
    const cells = names.map((name) => {
      const seconds = median(milliseconds[name]) / 1000
      const share = (3 * 4 * n ** 2) / seconds / copyRate
      const beside = name in faster ? `, ${times(faster[name])}` : ''
      return `${short((2 * n ** 3) / seconds / 1e9)} GFLOP/s, ${(100 * share).toPrecision(2)} % of copying${beside}`
    })
    row(n, ...cells)
  }
  await keep(`forms on ${lavapipe(info) ? 'lavapipe' : /swiftshader/i.test(info.name) ? 'SwiftShader' : 'a GPU'}`)
  keepFigures(`forms on ${info.name}`, { adapter: info, rounds, chosen, searchSeconds, copyRate, products })
}

const lavapipe = ({ name, architecture }: GpuInfo) => /llvmpipe|lavapipe/i.test(`${name} ${architecture}`)

/** Ends a report; with `--write` it goes into README.md beside this file. */
export async function keep(name: string): Promise<void> {
  const made = lines.join('\n').trim()
  lines = []
  if (values.write) await keepTable('e2e/bench/README.md', name, made)
}

/** Into the file of `--json`, where one was asked for. */
export function keepFigures(name: string, figures: unknown): void {
  if (!values.json) return
  const before = existsSync(values.json) ? JSON.parse(readFileSync(values.json, 'utf8')) : {}
  writeFileSync(values.json, `${JSON.stringify({ ...before, [name]: figures }, null, 2)}\n`)
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
