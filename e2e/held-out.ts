/**
 * `npm run held-out -- [--model DIR --dataset FILE --eval FILE] [--bits 3] [--group -1] [--blocks 0] [--samples 16 --length 128]
 * [--eval-samples 32 --eval-length 256] [--draws 2] [--only WORDS …] [--write NAME]`: what damping and a corrected target do to the error on
 * the calibration tokens, on held-out ones, and to the KL divergence, over several draws of the calibration windows. Without a model it
 * takes the embedded demo. `--write` puts the table into src/quant/README.md.
 */
import { parseArgs } from 'node:util'
import { Control } from '../src/engine/control.ts'
import { headless } from '../src/engine/hosts/node.ts'
import { heldOutShare } from '../src/engine/job/job.ts'
import type { JobReport } from '../src/engine/job/report.ts'
import type { Options } from '../src/options.ts'
import { runJob } from '../src/engine/run/run.ts'
import { memorySink, memoryStore } from '../src/io/memory.ts'
import { openAsked } from './asked.ts'
import { keepTable, markdown } from './tables.ts'

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    dataset: { type: 'string' },
    eval: { type: 'string' },
    bits: { type: 'string', default: '3' },
    group: { type: 'string', default: '-1' },
    blocks: { type: 'string', default: '0' },
    samples: { type: 'string', default: '16' },
    length: { type: 'string', default: '128' },
    'eval-samples': { type: 'string', default: '32' },
    'eval-length': { type: 'string', default: '256' },
    draws: { type: 'string', default: '2' },
    only: { type: 'string', multiple: true, default: [''] },
    write: { type: 'string' },
  },
})

const plain = { ridge: 0, target: 'original' }
const all: { label: string; method: string; options: Options }[] = [
  { label: 'RTN, weighted grid', method: 'rtn', options: { grid: 'weighted' } },
  { label: 'GPTQ, act-order', method: 'gptq', options: { actOrder: true, staticGroups: true } },
  { label: 'GPTQ, act-order, weighted grid', method: 'gptq', options: { actOrder: true, staticGroups: true, grid: 'weighted' } },
  { label: 'QuantEase, weighted grid', method: 'quantease', options: { grid: 'weighted' } },
  { label: 'QuantEase, weighted grid, damping auto', method: 'quantease', options: { grid: 'weighted', ridge: 'auto' } },
  { label: 'QuantEase+, undamped, original target', method: 'quantease_plus', options: plain },
  { label: 'QuantEase+, damping auto, original target', method: 'quantease_plus', options: { ...plain, ridge: 'auto' } },
  { label: 'QuantEase+, λ = 0.1, α = ½', method: 'quantease_plus', options: { ridge: 0.1, target: 'corrected', targetAlpha: 0.5 } },
  { label: 'QuantEase+, λ = 0.1, α = 1', method: 'quantease_plus', options: { ridge: 0.1, target: 'corrected', targetAlpha: 1 } },
  { label: 'QuantEase+ (both auto)', method: 'quantease_plus', options: {} },
]
const methods = all.filter(({ label }) => values.only.some((words) => label.includes(words)))

async function main(): Promise<void> {
  const { session, calibration, evaluation } = await openAsked(values)
  const reports: JobReport[] = []
  for (let seed = 0; seed < Number(values.draws); seed++) {
    const runs = methods.map(({ label, method, options }, i) => {
      const common = { bits: Number(values.bits), groupSize: Number(values.group), blocks: Number(values.blocks), trueSequential: true }
      return { id: `run-${i}`, label, method, options: { ...options, ...common } }
    })
    const sizes = { samples: Number(values.samples), length: Number(values.length) }
    const report = await runJob(
      {
        runs,
        calibration: { text: calibration, ...sizes, sampling: 'random', heldOut: heldOutShare },
        evaluation: { text: evaluation, samples: Number(values['eval-samples']), length: Number(values['eval-length']) },
        seed,
        perplexityEvery: 0,
        save: false,
      },
      {
        session,
        control: new Control(),
        emit: (event) => {
          if (event.type !== 'run-end') return
          const { run, state, kl, error } = event.result
          console.error(`draw ${seed}: ${methods[Number(run.slice(4))].label}, ${state}, KL ${kl?.toPrecision(4)} ${error?.message ?? ''}`)
        },
        sink: async () => memorySink(),
        journal: memoryStore(),
      },
    )
    reports.push(report)
  }
  const table = tableOf(reports)
  console.log(table)
  if (values.write) await keepTable('src/quant/README.md', values.write, table)
}

function tableOf(reports: JobReport[]): string {
  const [{ model, calibration, evaluation, fpPerplexity, adapter, job }] = reports
  const group = values.group === '-1' ? 'full row' : `groups of ${values.group}`
  const blocks = values.blocks === '0' ? '' : `, the first ${values.blocks} blocks`
  const setting = `${model.name}, ${values.bits} bits, ${group}${blocks}, ${calibration.windows} × ${calibration.length} calibration tokens and ${calibration.heldOut} windows held out, ${evaluation.windows} × ${evaluation.length} evaluation tokens; mean ± standard deviation over ${reports.length} draws; full-precision perplexity ${fpPerplexity?.toFixed(3)}; ${adapter.name}`
  const rows = job.runs.map(({ label }, i) => {
    const runs = reports.map(({ runs }) => runs[i])
    const seconds = runs.reduce((sum, run) => sum + run.seconds, 0) / runs.length
    return [
      label,
      spread(runs.map((run) => run.meanRelativeError ?? Number.NaN)),
      spread(runs.map((run) => run.meanHeldOutError ?? Number.NaN)),
      spread(runs.map((run) => run.kl ?? Number.NaN)),
      spread(runs.map((run) => run.perplexity ?? Number.NaN)),
      seconds.toFixed(0),
    ]
  })
  return `${setting}\n\n${markdown(['', 'mean layer error', 'held out', 'KL, nats', 'perplexity', 'seconds'], rows)}`
}

function spread(values: number[]): string {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)
  return `${mean.toPrecision(3)} ± ${deviation.toPrecision(1)}`
}

headless(main)
