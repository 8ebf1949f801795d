/** A job of many runs on a model of many blocks, as its journal would hold it, and the events by which it goes on: made up, without a solver. */
import { random } from '../../src/data/corpus.ts'
import type { GpuSummary } from '../../src/engine/job/device.ts'
import type { RunEvent } from '../../src/engine/job/events.ts'
import type { Job } from '../../src/engine/job/job.ts'
import type { JournalSummary } from '../../src/engine/job/kept.ts'
import type { ModelSummary } from '../../src/engine/job/model.ts'
import type { JobReport } from '../../src/engine/job/report.ts'
import type { LayerResult, RunResult } from '../../src/engine/job/result.ts'

/** Seven linears per block; with 43 blocks they are 301. */
const modules = [
  ...['q', 'k', 'v', 'o'].map((name) => ({ name: `self_attn.${name}_proj`, shape: [1024, 1024] as [number, number] })),
  ...['gate', 'up'].map((name) => ({ name: `mlp.${name}_proj`, shape: [2816, 1024] as [number, number] })),
  { name: 'mlp.down_proj', shape: [1024, 2816] as [number, number] },
]

/** Methods of different kinds: how far each falls, and whether it iterates. */
const kinds = [
  { method: 'rtn', label: 'RTN', level: 1, iterates: false, bits: 3.125 },
  { method: 'quantease', label: 'QuantEase', level: 0.55, iterates: true, bits: 3.125 },
  { method: 'gptq', label: 'GPTQ', level: 0.62, iterates: false, bits: 3.125 },
  { method: 'awq', label: 'AWQ', level: 0.7, iterates: false, bits: 3.13 },
  { method: 'spqr', label: 'SpQR', level: 0.21, iterates: false, bits: 4.63 },
  { method: 'quantease-outliers', label: 'QuantEase, 1 % outliers', level: 0.4, iterates: true, bits: 3.9 },
  { method: 'gptq-quantease', label: 'GPTQ, then QuantEase', level: 0.5, iterates: true, bits: 3.125 },
  { method: 'quantease-plus', label: 'QuantEase+', level: 0.38, iterates: true, bits: 3.125 },
]
const kindOf = (run: number) => kinds[run % kinds.length]

export interface Recording {
  summary: JournalSummary
  /** One at a time, what happens while the last run goes on after half of its linears. */
  steps: RunEvent[][]
}

/** The first runs are finished, the last is half done, or is finished with a report where `over`. */
export function recording({ blocks, runs, over, seed = 1 }: { blocks: number; runs: number; over: boolean; seed?: number }): Recording {
  const draw = random(seed)
  const linears = Array.from({ length: blocks }, (_, block) => modules.map(({ name }) => `model.layers.${block}.${name}`)).flat()
  const job = jobOf(runs)
  const full = 12.3
  const windows = { loss: series(16, () => Math.log(full) + 0.2 * (draw() - 0.5)), kl: series(16, () => 0) }
  const results = job.runs.map((_, run) => resultOf(run, linears, blocks, full, windows, draw))
  const last = results[runs - 1]
  const half = over ? linears.length : Math.floor(blocks / 2) * modules.length
  const finished = over ? results : results.slice(0, -1)
  const beginning = beginningOf(linears, blocks, full, windows)
  const events: RunEvent[] = [
    ...beginning,
    ...finished.flatMap((result): RunEvent[] => [
      { type: 'run-start', run: result.run, blocks },
      { type: 'run-end', result },
    ]),
    ...(over
      ? []
      : [{ type: 'run-start', run: last.run, blocks } as const, ...last.layers.slice(0, half).flatMap((_, i) => solved(last, i))]),
  ]
  const started = '2026-01-05T10:00:00.000Z'
  const report = over ? reportOf(job, results, linears, blocks, full, windows, started) : null
  const model = modelOf(blocks)
  return {
    summary: {
      job,
      model,
      origin: { kind: 'demo' },
      started,
      layers: { done: finished.length * linears.length + (over ? 0 : half), all: runs * linears.length },
      results: finished,
      events,
      bytes: 3e8,
      report,
      problem: null,
      modelSha256: '0'.repeat(64),
    },
    steps: last.layers.slice(half).map((_, i) => stepOf(last, half + i, runs * linears.length, runs - 1)),
  }
}

const series = <T>(length: number, make: (i: number) => T): T[] => Array.from({ length }, (_, i) => make(i))

function jobOf(runs: number): Job {
  return {
    runs: series(runs, (i) => i).map((i) => {
      const { method, label } = kindOf(i)
      return { id: `run-${i + 1}`, label: i < kinds.length ? label : `${label} again`, method, options: { bits: 3 } }
    }),
    calibration: { text: 'stories', samples: 16, length: 128, sampling: 'random' },
    evaluation: { text: 'stories', samples: 16, length: 128 },
    seed: 0,
    perplexityEvery: 1,
    save: false,
  }
}

function resultOf(
  run: number,
  linears: string[],
  blocks: number,
  full: number,
  windows: { loss: number[] },
  draw: () => number,
): RunResult {
  const { level, iterates, bits } = kindOf(run)
  const layers = linears.map((name, i) => layerOf(name, i, level * (0.8 + 0.4 * draw()), iterates, bits))
  const perplexities = series(blocks, (k) => ({ blocks: k + 1, value: full * (1 + (0.9 * level * (k + 1)) / blocks + 0.01 * draw()) }))
  const kl = 0.8 * level
  const mean = layers.reduce((sum, { relativeError }) => sum + relativeError, 0) / layers.length
  const worst = layers.reduce((a, b) => (a.relativeError > b.relativeError ? a : b))
  return {
    run: `run-${run + 1}`,
    options: { bits: 3 },
    state: 'finished',
    fpPerplexity: full,
    perplexity: perplexities.at(-1)!.value,
    perplexityError: 0.4,
    kl,
    klSpread: { error: 0.03 * kl, median: 0.6 * kl, p99: 5 * kl, max: 12 * kl },
    windows: { loss: windows.loss.map((loss) => loss + kl * (0.8 + 0.4 * draw())), kl: series(16, () => kl * (0.9 + 0.2 * draw())) },
    top1: 1 - 0.3 * level,
    perplexities,
    bitsPerWeight: bits,
    meanRelativeError: mean,
    worst: { name: worst.name, relativeError: worst.relativeError },
    seconds: 61 + 40 * run,
    layers,
    export: null,
  }
}

function layerOf(name: string, index: number, level: number, iterates: boolean, bits: number): LayerResult {
  const [block, module] = [Math.floor(index / modules.length), index % modules.length]
  const [q, p] = modules[module].shape
  const start = 1 + 0.3 * ((index * 7) % 5)
  return {
    name,
    block,
    shape: [q, p],
    relativeError: level * 0.01 * (1 + module) * (1 + block / 12),
    seconds: 0.21,
    iterations: iterates ? 30 : 0,
    bits: { codes: 3 * q * p, scales: 0.1 * q * p, zeros: (bits - 3.1) * q * p, groupIndex: 0, outliers: 0 },
    ...(iterates && {
      objective: {
        iterations: series(31, (i) => i),
        values: series(31, (i) => start * level * (0.4 + 0.6 * Math.exp(-i / 5))),
        relaxed: [10, 20],
      },
    }),
    notes: index % 97 === 5 ? ['2 dead columns were left as they are.'] : [],
  }
}

function beginningOf(linears: string[], blocks: number, full: number, windows: { loss: number[]; kl: number[] }): RunEvent[] {
  return [
    {
      type: 'job-start',
      calibration: { text: 50_000, windows: 16, length: 128 },
      evaluation: { text: 50_000, windows: 16, length: 128 },
      blocks,
      layers: linears,
      texts: textsOf(),
      notices: [],
      resumed: null,
    },
    { type: 'baseline', perplexity: full, perplexityError: 0.35, windows },
  ]
}

const textsOf = () => {
  const text = { name: 'Stories', tokensSha256: '0'.repeat(64), tokens: 2048 }
  return { calibration: text, evaluation: text }
}

/** A linear that is there, and what is measured after a block. */
function solved({ run, layers, perplexities }: RunResult, i: number): RunEvent[] {
  const block = Math.floor(i / modules.length)
  return [
    { type: 'layer', run, layer: layers[i] },
    ...(i % modules.length === modules.length - 1
      ? [{ type: 'perplexity', run, blocks: block + 1, value: perplexities[block].value } as const]
      : []),
  ]
}

/** All that the engine says while it solves one linear. */
function stepOf(result: RunResult, i: number, all: number, before: number): RunEvent[] {
  const { run, layers } = result
  const layer = layers[i]
  const elapsed = 300 + 0.3 * i
  const done = (before * layers.length + i) / all
  const points = layer.objective?.iterations.map((iteration, at) => ({ iteration, value: layer.objective!.values[at], relaxed: false }))
  return [
    { type: 'stage', run, stage: 'solve', block: layer.block, linear: layer.name },
    ...(points ? [{ type: 'objective', run, linear: layer.name, points, iterations: 30 } as const] : []),
    { type: 'memory', held: 2e8 + 1e6 * (i % 9), most: 3e8 + 1e6 * (i % 7), holdings: [] },
    { type: 'progress', done, elapsed, eta: 120 - 0.2 * i, run, runDone: i / layers.length },
    ...solved(result, i),
  ]
}

function reportOf(
  job: Job,
  runs: RunResult[],
  linears: string[],
  blocks: number,
  full: number,
  fpWindows: { loss: number[]; kl: number[] },
  started: string,
) {
  const model = modelOf(blocks)
  const counts = { text: 50_000, windows: 16, length: 128 }
  return {
    workbench: { version: '0.1.0', code: '0'.repeat(64) },
    adapter: gpu,
    model: {
      name: model.name,
      family: 'llama',
      parameters: model.parameters,
      bytes: model.bytes,
      sha256: '0'.repeat(64),
      quantized: null,
      source: null,
    },
    job,
    texts: textsOf(),
    calibration: counts,
    evaluation: counts,
    blocks,
    linears,
    fpPerplexity: full,
    fpPerplexityError: 0.35,
    fpWindows,
    started,
    ended: '2026-01-05T10:20:00.000Z',
    runs,
    memory: series(300, (i) => ({ seconds: 4 * i, held: 2e8 + 1e7 * (i % 13) })),
    seconds: 1200,
    network: null,
  } as JobReport
}

function modelOf(blocks: number): ModelSummary {
  const weights = blocks * modules.reduce((sum, { shape: [q, p] }) => sum + q * p, 0)
  return {
    name: 'Demo model',
    family: 'llama',
    familyLabel: 'LLaMA',
    source: null,
    parameters: weights,
    quantizable: weights,
    dtype: 'F16',
    blocks,
    hidden: 1024,
    heads: 16,
    kvHeads: 16,
    ffn: 2816,
    vocab: 32_000,
    maxPositions: 2048,
    tiedHead: true,
    bytes: 2 * weights,
    tokenizer: { kind: 'BPE', vocab: 32_000 },
    chatTemplate: false,
    license: null,
    quantized: null,
    linears: modules,
    tensors: modules.map(({ name, shape }) => ({
      name: `model.layers.0.${name}.weight`,
      shape,
      dtype: 'F16',
      bytes: 2 * shape[0] * shape[1],
      file: 'model.safetensors',
    })),
    otherFiles: [],
    problems: [],
  }
}

export const gpu: GpuSummary = {
  vendor: '',
  architecture: '',
  name: 'Recording',
  kind: 'gpu',
  f16: true,
  subgroups: true,
  maxBinding: 2 ** 31,
  maxBuffer: 2 ** 31,
  memoryBudget: 8 * 2 ** 30,
  fitsParameters: 7e9,
  hourParameters: null,
  gflops: 1000,
  gemmKernel: 'tiled',
  gemmLabel: 'tiles of 64 × 64 in workgroup memory',
  sweepPanel: 256,
}
