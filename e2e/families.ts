/**
 * `npm run families [-- NAME ...] [--write]`: every fixture of the model families in one table: how far our forward pass is from
 * what transformers computes, and what a whole run makes of it: calibrated on the demo's text, true-sequential, written as
 * a GPTQ checkpoint with the family's own names, opened again and measured once more. `--write` puts the table into
 * e2e/oracle/README.md.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Control } from '../src/engine/control.ts'
import { demoTexts } from '../src/engine/hosts/demo.ts'
import type { Job } from '../src/engine/job/job.ts'
import { dawn, diskFile, headless } from '../src/engine/hosts/node.ts'
import { runJob } from '../src/engine/run/run.ts'
import { Session } from '../src/engine/session.ts'
import { type MemorySink, memoryFiles, memorySink, memoryStore } from '../src/io/memory.ts'
import { compare } from '../src/models/fixtures/compare.ts'
import { expectedOf, type Fixture, fixtureFiles, fixtures } from '../src/models/fixtures/fixtures.ts'
import { keepTable, markdown } from './tables.ts'

const demo = (name: string) => diskFile(join('public', 'demo', name))
const session = new Session(dawn(), demoTexts(demo))

const methods = ['rtn', 'quantease']
const job: Job = {
  runs: methods.map((method) => ({ id: method, label: method, method, options: { bits: 3, trueSequential: true } })),
  calibration: { text: 'demo-calibration', samples: 16, length: 64, sampling: 'consecutive' },
  evaluation: { text: 'demo-evaluation', samples: 16, length: 64 },
  seed: 0,
  perplexityEvery: 0,
  save: true,
}

async function measure(fixture: Fixture): Promise<string[]> {
  const { familyLabel } = await session.open(new Map([...(await fixtureFiles(fixture)), ['tokenizer.json', await demo('tokenizer.json')]]))
  const { logits, inputs, grams } = await compare(await session.gpu(), session.model, await expectedOf(fixture))
  const sinks = new Map<string, MemorySink>()
  const host = {
    session,
    control: new Control(),
    emit: () => {},
    journal: memoryStore(),
    sink: async (run: string) => {
      const sink = memorySink()
      sinks.set(run, sink)
      return sink
    },
  }
  const { runs } = await runJob(job, host)
  let away = 0
  for (const run of runs) {
    const problem = run.error ?? run.exportError
    if (problem) throw new Error(`${fixture.name}, ${run.run}: ${problem.message}`)
    await session.open(memoryFiles(sinks.get(run.run)!.files))
    const { fpPerplexity } = await runJob({ ...job, runs: [], save: false }, host)
    away = Math.max(away, Math.abs(fpPerplexity! / run.perplexity! - 1))
  }
  return [
    fixture.name,
    familyLabel,
    ...[logits, Math.max(...inputs.values()), Math.max(...grams.values())].map((far) => far.toExponential(1)),
    ...runs.map(({ meanRelativeError }) => meanRelativeError!.toPrecision(3)),
    away.toExponential(1),
  ]
}

async function main(names: string[]): Promise<void> {
  const unknown = names.find((name) => !fixtures.some((fixture) => fixture.name === name))
  if (unknown) throw new Error(`There is no fixture ${unknown}; there are ${fixtures.map(({ name }) => name).join('; ')}.`)
  await session.gpu()
  const head = ['variant', 'family', 'logits', 'inputs', 'Σ', 'RTN, 3 bits', 'QuantEase, 3 bits', 'perplexity after loading back']
  const rows: string[][] = []
  for (const fixture of fixtures) {
    if (names.length && !names.includes(fixture.name)) continue
    rows.push(await measure(fixture))
    console.error(fixture.name)
  }
  const made = markdown(head, rows)
  console.log(made)
  if (values.write) await keepTable('e2e/oracle/README.md', 'families', made)
}

const { values, positionals } = parseArgs({ options: { write: { type: 'boolean', default: false } }, allowPositionals: true })
headless(() => main(positionals))
