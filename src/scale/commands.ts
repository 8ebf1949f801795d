/** The commands for more than one machine. Each reads its own arguments; what they compute is said on stdout, the rest on stderr. */
import { parsed, readArguments, UsageError } from '../cli/arguments.ts'
import { understand } from '../cli/asked.ts'
import { withoutEffect } from '../cli/effect.ts'
import { openModel } from '../cli/inputs.ts'
import { dawn } from '../engine/hosts/node.ts'
import { WorkbenchError } from '../errors.ts'
import { filesOf, jobFolder, readPlan, type SweepPlan } from './job.ts'
import { planSweep } from './plan.ts'
import { markdownOf, reportSweep } from './report.ts'
import { calibrate, storeText } from './calibrate.ts'
import { openSession } from './open.ts'
import { runAll, runSweepJob, withoutGpu } from './run.ts'
import { assemble, solve } from './solve.ts'
import { Worker } from './worker.ts'
import { exampleSweep } from './sweep-file.ts'

type Command = (args: string[]) => Promise<void>
type Work = (...all: Parameters<typeof solve>) => Promise<void>

/** A job from a file, and options of single linears: a store knows one method with one set of options. */
const others = ['job', 'run', 'report', 'target-bpw', 'target-size', 'override']
const saving = ['push', 'public', 'format', 'overwrite', 'resume', 'keep-solved']
const calibrating = [
  'dataset',
  'nsamples',
  'seqlen',
  'sampling',
  'seed',
  'held-out',
  'chat-template',
  'date',
  'true-sequential',
  'full-inputs',
]

/** What `--help` says of each. */
const usage = `Commands for many jobs and many machines (src/scale/README.md):

  sweep example                              print a small sweep file over the demo model
  sweep plan SWEEP.json --out DIR            expand it into jobs, each with its forecast [--device NAME] [--json]
  sweep run DIR --index I | --job FILE       run one job of it, or go on with it [--software]
  sweep run DIR --all                        the same for all that are not done, one after the other
  sweep report DIR                           gather a table, and reports with all runs on one model [--json]

  calibrate --model M --save-gram STORE      keep the Gram matrices of all stages [--dry-run]; with --quantization-method
                                             from inputs quantized by it [--true-sequential] [--solve-elsewhere]
  solve --gram STORE --model M --linears P   solve linears by them: names, * for anything [--rows A:B]
  assemble --gram STORE --model M --save D   write and measure the checkpoint of what is solved [--format NAME,…]

Texts, methods and their options are given as without these words (--help); all take --software.
`

/** Arguments beside those of a run, and those of a run that say nothing here. */
const gramCommands: Record<string, { work: Work; more: Record<string, 'string' | 'boolean'>; idle: string[] }> = {
  calibrate: {
    work: async (...all) => {
      const [session, hub, given, asked] = all
      if (!given.on('dry-run')) return calibrate(...all)
      await openModel(session, hub, asked.model)
      process.stdout.write(storeText(session, asked))
    },
    more: { 'save-gram': 'string', 'solve-elsewhere': 'boolean' },
    idle: [...saving, 'save', 'lambada', 'lambada-passages'],
  },
  solve: {
    work: solve,
    more: { gram: 'string', linears: 'string', rows: 'string' },
    idle: [...saving, ...calibrating, 'save', 'eval', 'eval-samples', 'eval-seqlen', 'lambada', 'lambada-passages'],
  },
  assemble: { work: assemble, more: { gram: 'string' }, idle: ['push', 'public', 'keep-solved', 'resume', ...calibrating] },
}

/** @throws {UsageError} */
async function gramCommand(word: string, args: string[]): Promise<void> {
  const { work, more, idle } = gramCommands[word]
  const { session, hub } = openSession(dawn())
  const given = readArguments(session.catalog, args, { ...more, software: 'boolean' })
  if (given.on('help')) {
    process.stdout.write(usage)
    return
  }
  const useless = [...others, ...idle].filter((flag) => given.values[flag] !== undefined)
  if (useless.length) throw new UsageError(`${useless.map((flag) => `--${flag}`).join(', ')} cannot be given with ${word}.`)
  const worker = new Worker(null)
  try {
    const asked = understand(session.catalog, given)
    for (const message of withoutEffect(session.catalog, given, asked)) worker.tell({ type: 'note', message })
    await work(session, hub, given, asked, worker)
  } catch (error) {
    throw withoutGpu(error)
  } finally {
    worker.end()
  }
}

const sweep: Record<string, Command> = {
  async example() {
    process.stdout.write(`${JSON.stringify(exampleSweep, null, 2)}\n`)
  },
  async plan(args) {
    const { values, positionals } = parsed(args, { out: { type: 'string' }, device: { type: 'string' }, json: { type: 'boolean' } }, true)
    const [file, ...more] = positionals
    const { out, device, json } = values as { out?: string; device?: string; json?: boolean }
    if (!file || more.length || !out) throw new UsageError('sweep plan needs a sweep file and --out DIR.')
    const { plan, added, notes } = await planSweep(file, out, device)
    for (const note of notes) process.stderr.write(`Note: ${note}\n`)
    process.stdout.write(json ? `${JSON.stringify({ ...plan, added, notes })}\n` : planText(plan, added, out))
  },
  async run(args) {
    const flags = { index: { type: 'string' }, job: { type: 'string' }, all: { type: 'boolean' }, software: { type: 'boolean' } } as const
    const { values, positionals } = parsed(args, flags, true)
    if (values.all && positionals.length === 1) await runAll(positionals[0], await planIn(positionals[0]))
    else await runSweepJob(await jobPath(positionals, values as { index?: string; job?: string }))
  },
  async report(args) {
    const { values, positionals } = parsed(args, { json: { type: 'boolean' } }, true)
    if (positionals.length !== 1) throw new UsageError('sweep report needs the folder of one sweep.')
    const { rows, files } = await reportSweep(positionals[0])
    process.stdout.write(values.json ? `${JSON.stringify({ rows, files })}\n` : markdownOf(rows))
    process.stderr.write(`Written: ${files.join(', ')}\n`)
  },
}

/** By their first words. */
export const commands: Record<string, Command> = {
  async sweep([name = '', ...args]) {
    if ([name, ...args].includes('--help')) process.stdout.write(usage)
    else if (Object.hasOwn(sweep, name)) await sweep[name](args)
    else throw new UsageError(`sweep can be ${Object.keys(sweep).join(', ')}, not "${name}". sweep --help says what each does.`)
  },
  ...Object.fromEntries(Object.keys(gramCommands).map((word) => [word, (args: string[]) => gramCommand(word, args)])),
}

/** @throws {UsageError}; {WorkbenchError} `file-missing` without such a job */
async function jobPath(positionals: string[], { index, job }: { index?: string; job?: string }): Promise<string> {
  if (job !== undefined) {
    if (positionals.length || index !== undefined) throw new UsageError('sweep run takes --job FILE alone, or a folder with --index.')
    return job
  }
  const [dir, ...more] = positionals
  if (!dir || more.length || index === undefined)
    throw new UsageError('sweep run needs the folder of a sweep and --index I or --all, or --job FILE.')
  const { jobs } = await planIn(dir)
  const entry = /^\d+$/.test(index) ? jobs[Number(index)] : undefined
  if (!entry) throw new UsageError(`--index has to be a whole number from 0 to ${jobs.length - 1}, not "${index}".`)
  return filesOf(jobFolder(dir, entry.id)).job
}

/** @throws {WorkbenchError} `file-missing` */
async function planIn(dir: string): Promise<SweepPlan> {
  const plan = await readPlan(dir)
  if (plan) return plan
  throw new WorkbenchError('file-missing', `There is no plan in ${dir}.`, '`sweep plan SWEEP.json --out DIR` makes one.')
}

/** What a plan costs. */
function planText({ jobs }: SweepPlan, added: number, out: string): string {
  const gibi = (bytes: number) => `${(bytes / 2 ** 30).toPrecision(3)} GiB`
  const lines = jobs.map(({ label, price }, i) => {
    if (!price) return `${String(i).padStart(5)}  ${label}: no forecast`
    const time = price.seconds === null ? 'time unknown' : `${price.seconds.toPrecision(3)} s`
    return `${String(i).padStart(5)}  ${label}: ${(price.flops / 1e12).toPrecision(3)} TFLOP, ${time}, GPU ${gibi(price.gpuBytes)}, host ${gibi(price.hostBytes)}`
  })
  const known = jobs.flatMap(({ price }) => price ?? [])
  const seconds = known.map((price) => price.seconds)
  const devices = [...new Set(known.map(({ device }) => device))].join(', ')
  const total = seconds.every((one) => one !== null) ? `, ${seconds.reduce((a, b) => a + b!, 0).toPrecision(3)} s one after the other` : ''
  const work = known.reduce((sum, { flops }) => sum + flops, 0)
  return `${lines.join('\n')}\n${jobs.length} jobs (${added} new) in ${out}: ${(work / 1e12).toPrecision(3)} TFLOP${total}, on ${devices}.\n`
}
