/**
 * `npm run methods -- [--model DIR --dataset FILE --eval FILE] [--bits 2,3,4] [--json FILE] [--write]`: every method on one model in
 * one table, by mean layer error, KL divergence and perplexity. Without a model it takes the embedded demo. `--write` puts the
 * tables into src/quant/README.md, and what the README shows of them into README.md.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Control } from '../src/engine/control.ts'
import type { JobReport } from '../src/engine/job/report.ts'
import type { RunResult } from '../src/engine/job/result.ts'
import type { Options } from '../src/options.ts'
import { headless } from '../src/engine/hosts/node.ts'
import { runJob } from '../src/engine/run/run.ts'
import { memorySink, memoryStore } from '../src/io/memory.ts'
import { openAsked } from './asked.ts'
import { keepTable, markdown } from './tables.ts'

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    dataset: { type: 'string' },
    eval: { type: 'string' },
    bits: { type: 'string', default: '2,3,4' },
    json: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
})

/** The compared methods, in the order of the table. */
const methods: { label: string; method: string; options: Options }[] = [
  { label: 'RTN', method: 'rtn', options: {} },
  { label: 'AWQ', method: 'awq', options: {} },
  { label: 'AWQ, weighted grid', method: 'awq', options: { grid: 'weighted' } },
  { label: 'GPTQ', method: 'gptq', options: {} },
  { label: 'GPTQ, act-order', method: 'gptq', options: { actOrder: true, staticGroups: true } },
  { label: 'GPTQ, weighted grid', method: 'gptq', options: { grid: 'weighted' } },
  { label: 'SpQR, groups of 16', method: 'spqr', options: {} },
  { label: 'SpQR, weighted grid', method: 'spqr', options: { grid: 'weighted' } },
  { label: 'QuantEase', method: 'quantease', options: {} },
  { label: 'GPTQ + QuantEase', method: 'gptq_quantease', options: {} },
  { label: 'QuantEase, 1 % structured outliers', method: 'quantease', options: { outlier: 0.01, structureOutlier: true } },
  { label: 'QuantEase, 1 % unstructured outliers', method: 'quantease', options: { outlier: 0.01 } },
  { label: 'QuantEase, weighted grid', method: 'quantease', options: { grid: 'weighted' } },
  { label: 'QuantEase+, no refits', method: 'quantease_plus', options: { rounds: 0 } },
  { label: 'QuantEase+', method: 'quantease_plus', options: {} },
  { label: 'QuantEase+, not quick', method: 'quantease_plus', options: { quick: false } },
  { label: 'QuantEase+, 1 % unstructured outliers', method: 'quantease_plus', options: { outlier: 0.01 } },
]

/** The steps of quantease_plus, each upon the one before. */
const steps = [
  ['QuantEase', 'QuantEase'],
  ['on a grid weighted by the inputs', 'QuantEase, weighted grid'],
  ['with a search for the scale of every row', 'QuantEase+, no refits'],
  ['with scales refitted to the codes', 'QuantEase+'],
  ['with 1 % of the weights kept as outliers', 'QuantEase+, 1 % unstructured outliers'],
]

/** AWQ scales a whole block before it rounds; SpQR's threshold is relative to an error that depends on the bits. */
function perBits(method: string, bits: number): Options {
  if (method === 'awq') return {}
  if (method === 'spqr') return { trueSequential: true, threshold: { 2: 1, 3: 0.2 }[bits] ?? 0.05 }
  return { trueSequential: true }
}

async function main(): Promise<void> {
  const { session, calibration, evaluation } = await openAsked(values)
  const reports: { bits: number; report: JobReport }[] = []
  for (const bits of values.bits.split(',').map(Number)) {
    const report = await runJob(
      {
        runs: methods.map(({ label, method, options }, i) => ({
          id: `run-${i}`,
          label,
          method,
          options: { ...options, ...perBits(method, bits), bits },
        })),
        calibration: { text: calibration, samples: 16, length: 128, sampling: 'consecutive' },
        evaluation: { text: evaluation, samples: 16, length: 256 },
        seed: 0,
        perplexityEvery: 0,
        save: false,
      },
      {
        session,
        control: new Control(),
        emit: (event) => {
          if (event.type === 'run-end')
            console.error(`${bits} bits: ${methods[Number(event.result.run.slice(4))].label}, ${event.result.state}`)
        },
        sink: async () => memorySink(),
        journal: memoryStore(),
      },
    )
    reports.push({ bits, report })
  }
  const made = { methods: methodTable(reports), steps: stepTable(reports) }
  console.log(`${made.methods}\n\n${made.steps}`)
  if (values.write) {
    const model = values.model ? reports[0].report.model.name : 'demo'
    await keepTable('src/quant/README.md', `methods on ${model}`, made.methods)
    if (values.model) {
      await keepTable('src/quant/README.md', 'steps of QuantEase+', made.steps)
      await keepTable('README.md', 'results', resultTable(reports))
    }
  }
  if (values.json) writeFileSync(values.json, `${JSON.stringify(reports, null, 2)}\n`)
}

interface Reported {
  bits: number
  report: JobReport
}

const setting = ({ model, calibration, evaluation, fpPerplexity, adapter }: JobReport) =>
  `${model.name}, full row, ${calibration.windows} × ${calibration.length} calibration tokens, ${evaluation.windows} × ${evaluation.length} evaluation tokens; full-precision perplexity ${fpPerplexity?.toFixed(3)}; ${adapter.name}`

function methodTable(reports: Reported[]): string {
  const cell = (run: RunResult) =>
    run.state === 'finished'
      ? `${run.meanRelativeError?.toPrecision(3)}, ${run.kl?.toPrecision(3)}, ${run.perplexity?.toFixed(3)} (${run.bitsPerWeight.toFixed(2)} bpw)`
      : (run.error?.message ?? run.state)
  const head = ['mean layer error, KL (nats), perplexity', ...reports.map(({ bits }) => `${bits} bits`)]
  const rows = methods.map(({ label }, i) => [label, ...reports.map(({ report }) => cell(report.runs[i]))])
  return `${setting(reports[0].report)}\n\n${markdown(head, rows)}`
}

function stepTable(reports: Reported[]): string {
  const errorOf = (report: JobReport, label: string) => report.runs[methods.findIndex((method) => method.label === label)].meanRelativeError
  const rows = steps.map(([step, label], i) => {
    const cells = reports.map(({ report }) => {
      const [error, before] = [errorOf(report, label), i ? errorOf(report, steps[i - 1][1]) : null]
      const change = error && before ? ` (${error < before ? '−' : '+'}${Math.abs(100 * (error / before - 1)).toFixed(1)} %)` : ''
      return `${error?.toPrecision(3)}${change}`
    })
    return [step, ...cells]
  })
  return markdown(['mean layer error', ...reports.map(({ bits }) => `${bits} bits`)], rows)
}

/** The plain form of each method at 3 bits. */
function resultTable(reports: Reported[]): string {
  const { report } = reports.find(({ bits }) => bits === 3)!
  const shown = ['RTN', 'AWQ', 'GPTQ, act-order', 'SpQR, groups of 16', 'QuantEase', 'QuantEase, 1 % unstructured outliers', 'QuantEase+']
  const rows = shown.map((label) => {
    const run = report.runs[methods.findIndex((method) => method.label === label)]
    const { bitsPerWeight, meanRelativeError, kl, perplexity } = run
    return [label, bitsPerWeight.toFixed(2), meanRelativeError!.toPrecision(3), kl!.toPrecision(3), perplexity!.toFixed(3)]
  })
  return `${setting(report)}; 3 bits\n\n${markdown(['', 'bits per weight', 'mean layer error', 'KL (nats)', 'perplexity'], rows)}`
}

headless(main)
