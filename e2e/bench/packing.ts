/**
 * `npm run packing -- [--write]`: what writing costs. The demo is quantized at 4 bits in groups of 32 by RTN and by QuantEase, and written
 * in every format that packs codes at once; then a layer of 2048 × 2048 is packed in each, against QuantEase's 30 sweeps of it.
 * `--write` puts the tables into e2e/bench/README.md.
 */
import { join } from 'node:path'
import { Control } from '../../src/engine/control.ts'
import { demoFiles, demoTexts } from '../../src/engine/hosts/demo.ts'
import { dawn, diskFile, headless } from '../../src/engine/hosts/node.ts'
import type { RunResult } from '../../src/engine/job/result.ts'
import { runJob } from '../../src/engine/run/run.ts'
import { Session } from '../../src/engine/session.ts'
import { WebGpuDevice } from '../../src/gpu/webgpu.ts'
import { type CheckpointStream, type ExportFormat, formats } from '../../src/io/formats/index.ts'
import { awqLayout } from '../../src/io/formats/awq.ts'
import { compressedLayout } from '../../src/io/formats/compressed-tensors.ts'
import { packBlocks } from '../../src/io/formats/gguf/blocks.ts'
import { encodeLinear } from '../../src/io/formats/gptq.ts'
import { encodeMlx } from '../../src/io/formats/mlx.ts'
import { blocksOf, encodeBlocks } from '../../src/io/formats/onnx/nbits.ts'
import { memorySink, memoryStore } from '../../src/io/memory.ts'
import type { SolvedLinear } from '../../src/quant/linear.ts'
import { keepTable, markdown } from '../tables.ts'
import { median } from './measure.ts'
import { disposeProblem, makeProblem, solveTask } from './quantease.ts'

const ids = ['gptq', 'compressed-tensors', 'gguf', 'mlx', 'awq', 'onnx']
const demo = (name: string) => diskFile(join('public', 'demo', name))

/** Milliseconds spent in each format's stream. */
const spent = new Map<string, { writing: number; verifying: number }>()

/** The format, with a clock. `between` waits for the rest of the job, which is not its time. */
function timed(format: ExportFormat): ExportFormat {
  const clock = { writing: 0, verifying: 0 }
  spent.set(format.id, clock)
  const time = async <T>(key: keyof typeof clock, work: (between: (other: () => Promise<void>) => () => Promise<void>) => Promise<T>) => {
    const start = performance.now()
    let away = 0
    const apart = (other: () => Promise<void>) => async () => {
      const left = performance.now()
      await other()
      away += performance.now() - left
    }
    const result = await work(apart)
    clock[key] += performance.now() - start - away
    return result
  }
  return {
    ...format,
    write(...given) {
      const stream = format.write(...given)
      return {
        copy: (between) => time('writing', (apart) => stream.copy(apart(between))),
        linear: (...linear) => time('writing', () => stream.linear(...linear)),
        vector: (...vector) => time('writing', () => stream.vector(...vector)),
        finish: (peak) => time('writing', () => stream.finish(peak)),
        verify: (between) => time('verifying', (apart) => stream.verify(apart(between))),
      } satisfies CheckpointStream
    },
  }
}

/** A run of the demo: seconds in all, and by format. */
async function runDemo(method: string) {
  const session = new Session(dawn(), demoTexts(demo))
  await session.open(await demoFiles(demo), 'demo model')
  for (const clock of spent.values()) Object.assign(clock, { writing: 0, verifying: 0 })
  const report = await runJob(
    {
      runs: [{ id: 'run', label: method, method, options: { bits: 4, groupSize: 32 }, formats: ids }],
      calibration: { text: 'demo-calibration', samples: 16, length: 128, sampling: 'consecutive' },
      evaluation: { text: 'demo-evaluation', samples: 16, length: 256 },
      seed: 0,
      perplexityEvery: 0,
      save: true,
    },
    { session, control: new Control(), emit: () => {}, sink: async () => memorySink(), journal: memoryStore() },
  )
  const [run] = report.runs as RunResult[]
  if (!run.export) throw new Error(run.exportError?.message ?? run.error?.message)
  return { all: 1000 * report.seconds, clocks: ids.map((id) => ({ ...spent.get(id)! })) }
}

/** What packs a layer of 2048 × 2048 in each format. */
function packers(random: (length: number) => Float32Array<ArrayBuffer>): { name: string; pack(): unknown }[] {
  const [q, p, bits, groupSize] = [2048, 2048, 4, 32] as const
  const groups = p / groupSize
  const solved: SolvedLinear = {
    ...{ q, p, bits, groupSize, groups, outliers: null },
    codes: Uint32Array.from(random((q * p) / 8), (value) => (value * 2 ** 31) >>> 0),
    // Scales that are float16 numbers, and zeros from 0 to 15.
    grid: random(groups * q * 2).map((value, i) => (i & 1 ? Math.floor(8 + 8 * value) : Math.ceil(512 + 511 * value) / 2 ** 14)),
    groupIndex: Int32Array.from({ length: p }, (_, k) => Math.floor(k / groupSize)),
  }
  const linear = { name: 'layer', solved, weights: () => Promise.reject(new Error('No weights are needed.')) }
  const settings = {
    ...{ bits, groupSize, actOrder: false, symmetric: false, trueSequential: false, method: 'rtn', iterations: 0, mse: 0 },
    ...{ staticGroups: false, dynamicSkips: [], dtype: 'F16' as const },
  }
  return [
    { name: 'GPTQ', pack: () => encodeLinear('layer', solved, settings) },
    { name: 'compressed-tensors', pack: () => compressedLayout.encode(linear, settings) },
    { name: 'GGUF', pack: () => packBlocks(solved, false, null, 'layer') },
    { name: 'MLX', pack: () => encodeMlx('layer', solved, settings) },
    { name: 'AWQ', pack: () => awqLayout.encode(linear, settings) },
    { name: 'ONNX', pack: () => encodeBlocks(solved, blocksOf(solved, settings)!) },
  ]
}

const short = (value: number) => `${Number(value.toPrecision(2))} ms`
const share = (part: number, all: number) => `${((100 * part) / all).toFixed(1)} %`

async function main(): Promise<void> {
  const list = formats as ExportFormat[]
  list.forEach((format, i) => {
    list[i] = timed(format)
  })
  await runDemo('rtn') // compiles kernels, and loads what is loaded late
  const methods = ['rtn', 'quantease']
  const runs = []
  for (const method of methods) runs.push(await runDemo(method))
  const sum = (clocks: { writing: number; verifying: number }[], key: 'writing' | 'verifying') =>
    clocks.reduce((total, clock) => total + clock[key], 0)
  const demoTable = markdown(
    ['the demo, 4 bits, groups of 32', 'the whole job', 'writing six formats', 'reading them back', 'share'],
    runs.map(({ all, clocks }, i) => {
      const [writing, verifying] = [sum(clocks, 'writing'), sum(clocks, 'verifying')]
      return [
        { rtn: 'RTN', quantease: 'QuantEase' }[methods[i]]!,
        short(all),
        short(writing),
        short(verifying),
        share(writing + verifying, all),
      ]
    }),
  )
  const gpu = await WebGpuDevice.open(dawn())
  let state = 1
  const random = (length: number) =>
    Float32Array.from({ length }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return state / 2 ** 31 - 1
    })
  const problem = await makeProblem(gpu, 2048, random)
  const solve = async (sweeps: number) => {
    const start = performance.now()
    await solveTask(problem, sweeps).run(1)
    return performance.now() - start
  }
  await solve(1) // compiles
  const [one, three] = [await solve(1), await solve(3)]
  disposeProblem(problem)
  const solving = one + (29 * (three - one)) / 2
  const packing = packers(random)
  const samples = packing.map((): number[] => [])
  for (let round = 0; round < 9; round++) {
    for (const [i, { pack }] of packing.entries()) {
      const start = performance.now()
      await pack()
      samples[i].push(performance.now() - start)
    }
  }
  const layerTable = markdown(
    ['2048 × 2048, 4 bits, groups of 32', 'packing', 'share of 30 sweeps'],
    [...packing.map(({ name }) => name), 'all six'].map((name, i) => {
      const time = samples[i] ? median(samples[i]) : samples.reduce((total, some) => total + median(some), 0)
      return [name, short(time), share(time, solving)]
    }),
  )
  const made = `${gpu.info.name} (${gpu.info.kind}), Dawn in Node ${process.version}\n\n${demoTable}\n\n${layerTable}`
  console.log(made)
  if (process.argv.includes('--write')) await keepTable('e2e/bench/README.md', 'packing', made)
}

headless(main)
