/** The same engine from a terminal: progress on stderr, the result on stdout. */
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Control } from './engine/control.ts'
import { demoFiles, demoTexts } from './engine/hosts/demo.ts'
import {
  type DryDevice,
  type DryRun,
  type Job,
  type JobReport,
  type LastWords,
  type LayerResult,
  type Options,
  type OptionSpec,
  type OptionValue,
  type RunEvent,
  type StorageNeed,
  type TextChoice,
  bitsByContent,
  isDatasetId,
  optionProblem,
} from './engine/job.ts'
import { defaultCacheBudget, type Hub, hubDatasets, openHub, openHubModel, publicHub } from './engine/hub.ts'
import { dryDevices } from './engine/devices.ts'
import { checkJob, dryRun, memoryProblem } from './engine/plan/dry.ts'
import { discardJournal, readJournal } from './engine/keep/journal.ts'
import { Target } from './engine/hosts/target.ts'
import { diskCacheFolder } from './engine/hosts/disk.ts'
import { dawn, diskFile, diskFolder, headless, memoryStore, textFile } from './engine/hosts/node.ts'
import { runJob } from './engine/run/run.ts'
import { Session } from './engine/session.ts'
import { Speaker } from './cli/speaker.ts'
import { type ErrorData, WorkbenchError, toErrorData } from './errors.ts'

const demo = (name: string) => diskFile(join('public', 'demo', name))

class UsageError extends Error {}

/** Those of the Hub, whose address is among the arguments. */
let datasets: ReturnType<typeof hubDatasets>
const session = new Session(dawn(), demoTexts(demo), (...which) => datasets(...which))
const { solvers, runOptions, formats, texts } = session.catalog
/** Options of all methods; two of them may share a flag, and then the chosen method says what it means. */
const specs = new Set([...solvers.flatMap((solver) => solver.options), ...runOptions])

/** Data sets that have a name of their own. */
const named = texts.filter(({ origin }) => origin === 'dataset').map(({ id }) => id)
const textHelp = `a file (plain text, .json, .jsonl, .csv, .tsv, .parquet; .gz and .zst too; FILE:COLUMN names a column or field), ${named.join(', ')}, or any data set of the Hub as owner/name[:config[:split[:column]]]`

/** Options that the published script takes with every method, whether the method knows them or not. */
const publishedFlags = ['num-iter', 'groupsize', 'sym', 'outlier', 'alpha', 'act-order', 'static-groups', 'structure-outlier']

/** What only calibrating and solving look at, beside those options. */
const calibrationFlags = [
  'dataset',
  'nsamples',
  'sampling',
  'seed',
  'date',
  'chat-template',
  'quantization-method',
  'compute-quantization-recon-error',
]

/** Flags that are not options of a method: [value, help]. */
const flags = {
  model: ['DIR', 'folder with config.json, tokenizer.json and .safetensors files; owner/name[@revision] on the Hub; or "demo"'],
  'hub-url': ['URL', `the Hub or a mirror of it (default ${publicHub}); an access token is taken from $HF_TOKEN`],
  cache: ['DIR', 'where files of the Hub are kept (default ~/.cache/quantease-workbench)'],
  'cache-gb': ['N', `gigabytes of them at most (default ${defaultCacheBudget / 1e9}; 0 keeps nothing)`],
  dataset: ['TEXT', `calibration text: ${textHelp} (demo: its own)`],
  eval: ['TEXT', 'evaluation text, named likewise (demo: its own; default wikitext2 where --dataset names a data set above)'],
  lambada: ['TEXT', 'measure last-word accuracy too: lambada for the published passages, or a text of one passage a row'],
  'lambada-passages': ['N', 'passages at most (default 0 = all)'],
  nsamples: ['N', 'calibration samples (default 128)'],
  seqlen: ['N', 'tokens per sample (default 2048, or what the model has)'],
  sampling: [
    'HOW',
    'random: seeded random windows of the joined text; consecutive: its first windows; documents: a window from each of some documents (default: as published for the data set, else random)',
  ],
  'eval-samples': ['N', 'evaluation windows at most (default 0 = all)'],
  'eval-seqlen': ['N', 'tokens per window (default: as --seqlen)'],
  seed: ['N', 'seed of the sampling (default 0)'],
  date: ['YYYY-MM-DD', 'what a chat template takes for today, where it writes the date (default: the day of the start)'],
  'quantization-method': ['NAME', `${solvers.map(({ id }) => id).join(', ')} (default quantease)`],
  save: [
    'DIR',
    'write the quantized checkpoint into this folder, a new or empty one; until it is whole, DIR.partial and a journal lie beside it',
  ],
  format: [
    'NAME,…',
    `formats of the checkpoint: ${formats.map(({ id }) => id).join(', ')}; several go into a subfolder of --save each (default: the first that can hold the result)`,
  ],
  device: [
    'NAME',
    `with --dry-run: a device by its published figures, ${dryDevices.map(({ id }) => id).join(', ')} (default: the one here)`,
  ],
  'device-memory': ['GIB', 'with --dry-run: memory of the device'],
  'device-binding': ['MIB', 'with --dry-run: largest binding of the device'],
  'device-gflops': ['N', 'with --dry-run: rate of its f32 matrix products'],
} as const
const switches = {
  'compute-quantization-recon-error': 'print the relative error of each layer as it is solved',
  'chat-template': 'apply the model’s chat template to the conversations of the calibration text',
  overwrite: 'replace an earlier checkpoint of this program in the folder of --save',
  resume:
    'go on with the unfinished job whose journal lies beside the folder of --save; of a solved one write the checkpoint that could not be written, or those of --format after --keep-solved',
  'keep-solved': 'keep the journal when all is written, so that --resume can write the checkpoint in other formats without solving',
  'dry-run': 'say what every algorithm would take, from the config.json in --model (its folder or its path) alone',
  json: 'print one JSON object to stdout',
  help: 'print this',
} as const

async function main(): Promise<void> {
  const { values } = read()
  if (values.help) {
    process.stdout.write(help())
    return
  }
  const text = (name: string) => values[name] as string | undefined
  const whole = (name: string, otherwise: number, min: number) => {
    const value = text(name) === undefined ? otherwise : Number(text(name))
    if (!Number.isInteger(value) || value < min) throw new UsageError(`--${name} takes a whole number from ${min} on, not "${text(name)}".`)
    return value
  }
  const measure = (name: string) => {
    if (text(name) === undefined) return null
    const value = Number(text(name))
    if (!(value > 0 && value < 1e9)) throw new UsageError(`--${name} takes a number above 0, not "${text(name)}".`)
    return value
  }
  const path = text('model')
  if (!path) throw new UsageError('--model is needed: a model folder, owner/name on the Hub, or "demo".')
  const method = text('quantization-method') ?? 'quantease'
  const solver = solvers.find(({ id }) => id === method)
  if (!solver) throw new UsageError(`--quantization-method can be ${solvers.map(({ id }) => id).join(', ')}, not "${method}".`)
  const samplings = ['random', 'consecutive', 'documents'] as const
  const sampling = samplings.find((one) => one === text('sampling'))
  if (text('sampling') !== undefined && !sampling)
    throw new UsageError(`--sampling can be ${samplings.join(', ')}, not "${text('sampling')}".`)

  const measureOnly = text('wbits') === '16'
  const options: Record<string, OptionValue> = {}
  const strange: string[] = []
  const own = [...solver.options, ...runOptions]
  for (const flag of new Set([...specs].map((spec) => spec.flag))) {
    if (values[flag] === undefined || (flag === 'wbits' && measureOnly)) continue
    const mine = own.find((one) => one.flag === flag)
    if (!mine && !publishedFlags.includes(flag)) throw new UsageError(`--${flag} is no option of ${method}.`)
    const spec = mine ?? [...specs].find((one) => one.flag === flag)!
    const value = optionValue(spec, values[flag] as string | boolean)
    const problem = optionProblem(spec, value)
    if (problem) throw new UsageError(`--${flag}: ${problem}`)
    if (mine) options[spec.key] = value
    else strange.push(flag)
  }
  const saved = text('save')
  if (values.resume && !saved) throw new UsageError('--resume needs the folder of --save: the journal lies beside it.')
  if (values.overwrite && !saved) throw new UsageError('--overwrite needs the folder of --save.')
  if (values['keep-solved'] && !saved) throw new UsageError('--keep-solved needs the folder of --save: the journal lies beside it.')
  const asked = text('format') === undefined ? undefined : formatIds(text('format')!)
  if (asked && !saved) throw new UsageError('--format needs the folder of --save.')
  if (measureOnly && saved) throw new UsageError('--save needs something to save: --wbits 16 only evaluates.')

  const numbers = {
    samples: whole('nsamples', 128, 1),
    seqlen: text('seqlen') ? whole('seqlen', 0, 2) : null,
    evalSamples: whole('eval-samples', 0, 0),
    evalSeqlen: text('eval-seqlen') ? whole('eval-seqlen', 0, 2) : null,
    passages: whole('lambada-passages', 0, 0),
    seed: whole('seed', 0, 0),
  }
  if (values['dry-run']) {
    const run = await foresee(path, options, numbers, device(text, measure))
    process.stdout.write(values.json ? `${JSON.stringify(run)}\n` : dryText(run))
    return
  }
  const source = async (flag: 'dataset' | 'eval', builtin: string): Promise<TextChoice> => {
    const given = text(flag)
    if (given) return namedText(given)
    if (path === 'demo') return { text: builtin }
    if (flag === 'dataset' && measureOnly) return { text: '' }
    // The published script names no evaluation text either: it measures on WikiText-2.
    if (flag === 'eval' && named.includes(text('dataset') ?? '')) return { text: 'wikitext2' }
    throw new UsageError(`--${flag} is needed: ${textHelp}.`)
  }
  const evaluationText = await source('eval', 'demo-evaluation')
  const calibrationText = await source('dataset', 'demo-calibration')
  const passages = text('lambada')
  const published = texts.find(({ id }) => id === calibrationText.text)?.sampling

  const say = new Speaker(values['compute-quantization-recon-error'] === true)
  setInterval(() => say.tick(), 5000).unref()
  for (const note of withoutEffect(values, method, strange)) say.note(note)
  const control = new Control()
  const remote = path !== 'demo' && !existsSync(path)
  if (remote && (!/^[^/\\]+\/[^/\\@]+(@.+)?$/.test(path) || path.startsWith('.')))
    throw new WorkbenchError(
      'file-missing',
      `There is no folder ${resolve(path)}.`,
      'Give a model folder, or owner/name[@revision] on the Hub.',
    )
  const local = path === 'demo' ? join('public', 'demo') : remote ? null : path
  const target = saved === undefined ? null : await claim(saved, local, values.overwrite === true, say)
  const hub = connect({ url: text('hub-url'), cache: text('cache'), budget: whole('cache-gb', defaultCacheBudget / 1e9, 0) }, say)
  datasets = hubDatasets(hub)
  const model = remote
    ? await openHubModel(hub, session, path)
    : path === 'demo'
      ? await session.open(await demoFiles(demo), 'Demo model')
      : await session.open(await diskFolder(path), basename(resolve(path)))
  const length = numbers.seqlen ?? Math.min(2048, model.maxPositions ?? 2048)
  // As in the published script, whose default is 1000: the first so many blocks, if there are so many.
  if (Number(options.blocks) > model.blocks) {
    say.note(`Note: --num-layers-to-quantize ${options.blocks}: the model has ${model.blocks} blocks, and all of them are quantized.`)
    options.blocks = 0
  }
  const journal = target?.journal ?? memoryStore()
  const unfinished = await readJournal(journal, false)
  const job: Job = {
    runs: measureOnly ? [] : [{ id: 'run', label: method, method, options }],
    calibration: {
      ...calibrationText,
      ...(values['chat-template'] === true && { chat: true }),
      samples: numbers.samples,
      length,
      sampling: sampling ?? published ?? 'random',
    },
    evaluation: { ...evaluationText, samples: numbers.evalSamples, length: numbers.evalSeqlen ?? length },
    ...(passages !== undefined && { lambada: { ...(await namedText(passages)), passages: numbers.passages } }),
    seed: numbers.seed,
    ...(text('date') !== undefined && { date: text('date') }),
    perplexityEvery: 0,
    save: saved !== undefined,
    ...formatChoice(asked, values['keep-solved'] === true, values.resume ? unfinished?.job : undefined),
  }
  if (unfinished && !values.resume) {
    const { done, all } = unfinished.layers
    throw new WorkbenchError(
      'plan-invalid',
      unfinished.report
        ? `${target!.path}.journal holds a solved job ${unfinished.results.some(({ exportError }) => exportError) ? 'whose checkpoint was not written' : 'that was kept'}.`
        : `${target!.path}.journal holds an unfinished job (${done} of ${all} linears are solved).`,
      'Add --resume to go on with it, or remove that folder to start over.',
    )
  }
  if (values.resume && !unfinished)
    process.stderr.write(`There is nothing to resume in ${target!.path}.journal; starting from the beginning.\n`)
  stopOnSignals(control)
  const check = await checkJob(job, session)
  say.texts(check)
  const heavy = memoryProblem(check.runs, (await session.gpuSummary()).memoryBudget)
  if (heavy) say.hear({ type: 'notice', run: null, problem: heavy })
  const emit = (event: RunEvent) => {
    say.hear(event)
    if (event.type === 'paused' && event.storage) waitForRoom(control, event.storage)
  }
  const online = remote || [job.calibration, job.evaluation, job.lambada].some((choice) => choice && session.texts.isRemote(choice))
  const host = { session, control, emit, sink: () => target!.sink(), journal, network: online ? hub.network : undefined }
  const report = await runJob(job, host, { resume: unfinished !== null, rewrite: target !== null && !(await target.whole()) })
  say.done()
  const run = report.runs.at(0)
  const kept = saved === undefined ? null : await readJournal(journal, false)
  const later = kept ? 'What was finished is kept: the same command with --resume goes on.' : ''
  if (control.cancelled) throw new WorkbenchError('cancelled', 'The run was cancelled.', later)
  if (run?.error) throw new WorkbenchError(run.error.code, run.error.message, `${run.error.hint} ${later}`.trim())
  process.stdout.write(values.json ? `${JSON.stringify(resultOf(report))}\n` : summary(report, saved))
  if (run?.exportError) {
    const again = kept?.results.some(({ exportError }) => exportError)
      ? 'What was solved is kept: the same command with --resume writes the checkpoint again, without solving.'
      : later
    throw new ExportFailure(run.exportError, again)
  }
  if (!job.keepSolved) await discardJournal(journal)
}

/** Which of the given flags change nothing. `strange`: those that the method does not know. */
function withoutEffect(values: Record<string, string | boolean | undefined>, method: string, strange: string[]): string[] {
  const note = (flags: string[], why: string) => {
    const given = flags.filter((flag) => values[flag] !== undefined).map((flag) => `--${flag}`)
    return given.length ? [`Note: ${given.join(', ')} ${given.length > 1 ? 'have' : 'has'} no effect ${why}.`] : []
  }
  if (values.wbits !== '16')
    return [...note(strange, `with ${method}`), ...(values['chat-template'] ? [] : note(['date'], 'without --chat-template'))]
  // Where no text is named for it, the data set of the calibration says what is measured on.
  const chooses = values.eval === undefined && named.includes(String(values.dataset))
  const solving = [...new Set([...specs].map(({ flag }) => flag))].filter((flag) => flag !== 'wbits')
  return note([...solving, ...calibrationFlags.filter((flag) => flag !== 'dataset' || !chooses)], 'with --wbits 16, which only measures')
}

/** Ids of formats, by commas. */
function formatIds(given: string): string[] {
  const ids = [...new Set(given.split(',').map((id) => id.trim()))]
  const unknown = ids.find((id) => !formats.some((format) => format.id === id))
  if (unknown !== undefined) throw new UsageError(`--format can be ${formats.map(({ id }) => id).join(', ')}, not "${unknown}".`)
  return ids
}

/** What was asked for, and else what the job in the journal had. */
function formatChoice(asked: string[] | undefined, keep: boolean, before: Job | undefined): Pick<Job, 'formats' | 'keepSolved'> {
  const chosen = asked ?? before?.formats
  return { ...(chosen && { formats: chosen }), ...((keep || before?.keepSolved) && { keepSolved: true }) }
}

/** The result stands, but its checkpoint could not be written. */
class ExportFailure extends WorkbenchError {
  constructor({ code, message, hint }: ErrorData, again: string) {
    super(code, `The checkpoint was not saved: ${message}`, `${hint} ${again}`.trim())
  }
}

/** The place of the checkpoint, for this process alone until it ends. */
async function claim(saved: string, model: string | null, overwrite: boolean, say: Speaker): Promise<Target> {
  const target = await Target.claim({ path: saved, model, overwrite, say: (sentence) => say.note(sentence) })
  process.once('exit', target.release)
  for (const signal of signals) process.once(signal, leave)
  return target
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** By way of the exit, which gives the lock back. */
const leave = () => process.exit(130)

/** The first signal ends the job in order, with what it has; another one ends the program. */
function stopOnSignals(control: Control): void {
  const stop = () => {
    control.cancel()
    for (const signal of signals) process.off(signal, stop).once(signal, leave)
  }
  for (const signal of signals) process.off(signal, leave).on(signal, stop)
}

/** A data set by its name, or a file, perhaps with the column or field that holds the text behind a colon. */
async function namedText(given: string): Promise<TextChoice> {
  if (named.includes(given)) return { text: given }
  const [, before, after] = /^(.+):([^:]+)$/.exec(given) ?? []
  const [file, column] = before !== undefined && !existsSync(given) && existsSync(before) ? [before, after] : [given]
  if (isDatasetId(given) && !existsSync(file)) return { text: given }
  return { text: session.texts.add(await textFile(file)).id, column }
}

/** The Hub; nothing is asked of it yet. */
function connect({ url, cache, budget }: { url?: string; cache?: string; budget: number }, say: Speaker): Hub {
  const folder = cache ?? join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'quantease-workbench')
  const hub = openHub({ url, cache: budget ? { store: diskCacheFolder(folder), budget: budget * 1e9 } : undefined })
  hub.network.setToken(process.env.HF_TOKEN ?? null)
  hub.network.listen((event) => say.network(event))
  return hub
}

/** On a terminal somebody can make room and say so; a script has to be told by the exit code. */
function waitForRoom(control: Control, { what, needed, problem }: StorageNeed): void {
  const size = needed < 2 ** 20 ? `${Math.ceil(needed / 2 ** 10)} KiB` : `${(needed / 2 ** 20).toFixed(1)} MiB`
  const missing = `There is no room for ${what}${needed > 0 ? `, which still takes ${size}` : ''}. ${problem.message}`
  if (!process.stdin.isTTY) {
    control.stop(new WorkbenchError('storage-full', missing, problem.hint))
    return
  }
  process.stderr.write(`\n${missing}\nMake room and press Enter to go on, or Ctrl-C to stop.\n`)
  process.stdin.once('data', () => {
    process.stdin.pause()
    control.resume()
  })
}

/** The device that the flags describe; null for the one that is here. */
function device(text: (name: string) => string | undefined, measure: (name: string) => number | null): DryDevice | null {
  const [memory, binding, gflops] = ['device-memory', 'device-binding', 'device-gflops'].map(measure)
  const name = text('device')
  const base = dryDevices.find(({ id }) => id === (name ?? 'webgpu'))
  if (!base) throw new UsageError(`--device can be ${dryDevices.map(({ id }) => id).join(', ')}, not "${name}".`)
  if (memory === null && binding === null && gflops === null) return name === undefined ? null : base
  const maxBinding = binding === null ? base.maxBinding : binding * 2 ** 20
  return {
    ...base,
    label: name === undefined ? 'a device as given' : `${base.label}, changed`,
    maxBinding,
    maxBuffer: Math.max(base.maxBuffer, maxBinding),
    memoryBudget: memory === null ? base.memoryBudget : memory * 2 ** 30,
    gflops: gflops ?? base.gflops,
    from: `As given; what was not given: ${base.from}`,
  }
}

async function foresee(
  path: string,
  options: Options,
  { samples, seqlen, evalSamples, evalSeqlen }: { samples: number; seqlen: number | null; evalSamples: number; evalSeqlen: number | null },
  on: DryDevice | null,
): Promise<DryRun> {
  if (path === 'demo') await session.open(new Map([['config.json', await demo('config.json')]]), 'Demo model')
  else {
    const alone = path.endsWith('.json')
    const file = alone ? path : join(path, 'config.json')
    const bytes = await diskFile(file).catch((cause) => {
      throw new WorkbenchError('file-missing', `${file} cannot be read.`, 'Give a config.json, or a folder that has one, with --model.', {
        cause,
      })
    })
    const name = alone && basename(path) !== 'config.json' ? basename(path, '.json') : basename(dirname(resolve(file)))
    await session.open(new Map([['config.json', bytes]]), name)
  }
  const length = seqlen ?? Math.min(2048, session.model.model.shape.maxPositions ?? 2048)
  const spec = { options, calibration: { samples, length }, evaluation: { samples: evalSamples, length: evalSeqlen ?? length }, device: on }
  return dryRun(session.model, spec, session)
}

function dryText({ model, device, tensors, largest, calibration, evaluation, baseline, methods }: DryRun): string {
  const size = (bytes: number) => (bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toPrecision(3)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`)
  const time = (seconds: number | null) =>
    seconds === null ? '–' : seconds < 120 ? `${seconds.toFixed(1)} s` : `${(seconds / 60).toFixed(0)} min`
  const work = (flops: number) => `${(flops / 1e12).toPrecision(3)} TFLOP`
  const lines = [
    `${model.name}: ${model.family}, ${(model.parameters / 1e6).toPrecision(4)} million parameters, ${model.blocks} blocks; ${tensors.count} tensors in ${model.dtype}, ${size(tensors.bytes)}.`,
    `Largest matrices in f32: weights ${largest.weight.name}, ${size(largest.weight.bytes)}; Gram matrix of ${largest.gram.name}, ${size(largest.gram.bytes)}.`,
    `On ${device.label}: bindings up to ${size(device.maxBinding)}, ${size(device.memoryBudget)} of memory, ${device.gflops === null ? 'rate unknown' : `${Math.round(device.gflops)} GFLOP/s`}. ${device.from}`,
    `Calibration ${calibration.windows} × ${calibration.length} tokens, evaluation ${evaluation.windows} × ${evaluation.length}. No weights were read: a check only.`,
    `The model as it is: ${work(baseline.flops)}, ${size(baseline.readBytes)} read, ${time(baseline.seconds)}.`,
  ]
  for (const { label, forecast, problem, bitsPerWeight } of methods) {
    if (!forecast) {
      lines.push(`${label}: not here. ${problem?.message} ${problem?.hint}`)
      continue
    }
    const { flops, readBytes, seconds, gpuBytes, hostBytes, stages } = forecast
    lines.push(
      `${label}: ${work(flops.forward)} forward and ${work(flops.solve)} solving, ${size(readBytes)} read, ${time(seconds)}; ${bitsPerWeight?.toFixed(2)} bits per weight; GPU ${size(gpuBytes)}${gpuBytes > device.memoryBudget ? ' (more than there is)' : ''}, host ${size(hostBytes)}`,
      `  ${stages.map((one) => `${one.stage} ${size(one.gpuBytes)}`).join(', ')}`,
    )
  }
  return `${lines.join('\n')}\n`
}

function read(): { values: Record<string, string | boolean | undefined> } {
  const known = Object.fromEntries([
    ...Object.keys(flags).map((name) => [name, { type: 'string' as const }]),
    ...Object.keys(switches).map((name) => [name, { type: 'boolean' as const }]),
    ...[...specs].map(({ flag, type }) => [flag, { type: type === 'bool' ? ('boolean' as const) : ('string' as const) }]),
  ])
  // A number below zero is a value, as for Python's argparse, and no flag: `--groupsize -1`.
  const args: string[] = []
  for (const arg of process.argv.slice(2)) {
    if (/^-\d/.test(arg) && /^--[^=]+$/.test(args.at(-1) ?? '')) args.push(`${args.pop()}=${arg}`)
    else args.push(arg)
  }
  try {
    return parseArgs({ args, options: known, strict: true, allowNegative: true }) as ReturnType<typeof read>
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split('. ')[0]}. --help lists the arguments.`)
  }
}

function optionValue(spec: OptionSpec, given: string | boolean): OptionValue {
  if (spec.type === 'bool') return given === true
  if (spec.type === 'choice' && typeof spec.default === 'string') return String(given)
  return String(given).trim() === '' ? String(given) : Number(given)
}

/** What `--json` prints. */
function resultOf(report: JobReport) {
  const run = report.runs.at(0)
  const { method = null, options = null } = report.job.runs.at(0) ?? {}
  return {
    adapter: report.adapter.name,
    model: report.model.name,
    source: report.model.source,
    method,
    options: {
      ...options,
      calibration: report.job.calibration,
      evaluation: { ...report.job.evaluation, samples: report.evaluation.windows, length: report.evaluation.length },
      seed: report.job.seed,
      ...(report.job.date !== undefined && { date: report.job.date }),
    },
    fp_perplexity: report.fpPerplexity,
    perplexity: run ? run.perplexity : report.fpPerplexity,
    perplexity_se: run ? run.perplexityError : report.fpPerplexityError,
    kl: run?.kl ?? null,
    top1: run?.top1 ?? null,
    fp_lambada: accuracyOf(report.fpLambada),
    lambada: accuracyOf(run ? run.lambada : report.fpLambada),
    mean_relative_error: run?.meanRelativeError ?? null,
    bits_per_weight: run ? run.bitsPerWeight : null,
    bits: run ? bitsOf(run.layers) : null,
    seconds: run ? run.seconds : report.seconds,
    network: report.network,
    export_error: run?.exportError ?? null,
    layers: (run?.layers ?? []).map((layer) => ({
      name: layer.name,
      relative_error: layer.relativeError,
      seconds: layer.seconds,
      iterations: layer.iterations,
      bits: bitsOf([layer]),
      notes: layer.notes,
    })),
  }
}

/** Bits per weight by what they hold; they add up to `bits_per_weight`. */
function bitsOf(layers: LayerResult[]) {
  const { groupIndex, ...others } = bitsByContent(layers)
  return { ...others, group_index: groupIndex }
}

/** With its standard error, that of a share of independent passages. */
function accuracyOf(words: LastWords | undefined) {
  if (!words) return null
  const accuracy = words.right / words.passages
  return { accuracy, se: Math.sqrt((accuracy * (1 - accuracy)) / words.passages), passages: words.passages }
}

function summary(report: JobReport, saved: string | undefined): string {
  const run = report.runs.at(0)
  const { name, quantized } = report.model
  const kind = quantized ? `quantized to ${quantized.bits} bits` : 'full precision'
  const spread = (error: number | null) => (error === null ? '' : ` ± ${error.toFixed(3)} (standard error over windows)`)
  const lines = [`Perplexity of ${name}, ${kind} as stored: ${report.fpPerplexity?.toFixed(3)}${spread(report.fpPerplexityError)}`]
  const words = (what: string, measured: LastWords | undefined) => {
    const found = accuracyOf(measured)
    if (!found) return
    const [accuracy, se] = [found.accuracy, found.se].map((share) => (share * 100).toFixed(1))
    lines.push(`Last-word accuracy ${what}: ${accuracy} ± ${se} % of ${found.passages} passages`)
  }
  words('as stored', report.fpLambada)
  if (run) {
    lines.push(`Perplexity quantized: ${run.perplexity?.toFixed(3)}${spread(run.perplexityError)}`)
    lines.push(
      `KL divergence from full precision: ${run.kl?.toExponential(2)} nats; same top token: ${((run.top1 ?? 0) * 100).toFixed(1)} %`,
    )
    words('quantized', run.lambada)
    lines.push(`Bits per weight: ${run.bitsPerWeight.toFixed(2)}`)
    lines.push(
      `Mean relative error of the layers: ${run.meanRelativeError?.toExponential(2)}, worst ${run.worst?.relativeError.toExponential(2)} (${run.worst?.name})`,
    )
  }
  if (run?.export) lines.push(`Checkpoint: ${saved}`)
  return `${lines.join('\n')}\n`
}

function help(): string {
  const rows: [string, string][] = Object.entries(flags).map(([flag, [value, text]]) => [`--${flag} ${value}`, text])
  for (const spec of specs) {
    const of = solvers.filter(({ options }) => options.includes(spec)).map(({ id }) => id)
    const some = of.length && of.length < solvers.length ? ` [${of.join(', ')}]` : ''
    const [name, values] =
      spec.type === 'bool'
        ? [spec.default ? `--no-${spec.flag}` : `--${spec.flag}`, spec.default ? `turn off: ${spec.help}` : spec.help]
        : spec.type === 'choice'
          ? [
              `--${spec.flag} ${spec.choices.map(({ value }) => value).join('|')}`,
              `${spec.help} (default ${spec.default}${spec.flag === 'wbits' ? '; 16 only evaluates' : ''})`,
            ]
          : [`--${spec.flag} N`, `${spec.help} (default ${spec.default})`]
    rows.push([name, values + some])
  }
  for (const [flag, text] of Object.entries(switches)) rows.push([`--${flag}`, text])
  const width = Math.max(...rows.map(([name]) => name.length)) + 2
  return `Quantizes a language model on the local GPU.\n\n${rows.map(([name, text]) => `  ${name.padEnd(width)}${text}`).join('\n')}\n`
}

headless(main, (error) => {
  const { code, message, hint, detail } = toErrorData(error)
  const usage = error instanceof UsageError
  process.stderr.write(`${usage ? message : [`${message} (${code})`, hint, detail].filter(Boolean).join('\n')}\n`)
  return usage || (code === 'option-invalid' && !(error instanceof ExportFailure)) ? 2 : 1
})
