/** The arguments of the command line: their declaration, parsing, and the text of --help. */
import { parseArgs, type ParseArgsConfig } from 'node:util'
import { dryDevices } from '../engine/devices.ts'
import { defaultCacheBudget, publicHub } from '../engine/hub.ts'
import { mostTokens } from '../engine/inspect/text.ts'
import type { Catalog } from '../engine/job/catalog.ts'
import type { OptionSpec } from '../options.ts'

/** Arguments that are wrong or contradict each other. */
export class UsageError extends Error {}

export type Values = Readonly<Record<string, string | boolean | string[] | undefined>>

/** Flags that say where a job is, what becomes of its result and what is asked of it later, and nothing of the job itself. */
export const outsideJob: readonly string[] = [
  ...['model', 'hub-url', 'cache', 'cache-gb', 'save', 'push', 'public', 'format', 'overwrite', 'resume', 'keep-solved', 'json', 'report'],
  ...['host-memory', 'prompt', 'prompt-tokens', 'temperature', 'compute-quantization-recon-error'],
]

/** What a text argument may name. */
export const textHelpOf = (texts: Catalog['texts']) =>
  `a file (plain text, .json, .jsonl, .csv, .tsv, .parquet; .gz and .zst too; FILE:COLUMN names a column or field), ${datasetsOf(texts).join(', ')}, or any data set of the Hub as owner/name[:config[:split[:column]]]`

/** Data sets with a short name. */
export const datasetsOf = (texts: Catalog['texts']) => texts.filter(({ origin }) => origin === 'dataset').map(({ id }) => id)

/** The method that is taken where none is named. */
export const recommendedOf = ({ solvers }: Pick<Catalog, 'solvers'>) => (solvers.find(({ recommended }) => recommended) ?? solvers[0]).id

/** Options of all methods; two methods may share a flag, whose meaning then depends on the chosen method. */
export const specsOf = ({ solvers, runOptions }: Catalog): Set<OptionSpec> =>
  new Set([...solvers.flatMap((solver) => solver.options), ...runOptions])

/** Tokens of a continuation where `--prompt-tokens` names no number. */
export const usualTokens = 64

type Flags = Record<string, [value: string, help: string]>

const modelFlags: Flags = {
  model: ['DIR', 'folder with config.json, tokenizer.json and .safetensors files; owner/name[@revision] on the Hub; or "demo"'],
  'hub-url': ['URL', `the Hub or a mirror of it (default ${publicHub}); an access token is taken from $HF_TOKEN`],
  cache: ['DIR', 'folder of the cache for files of the Hub (default ~/.cache/quantease-workbench)'],
  'cache-gb': ['N', `largest size of that cache in gigabytes (default ${defaultCacheBudget / 1e9}; 0 keeps nothing)`],
}

const textFlags = (texts: Catalog['texts']): Flags => {
  const textHelp = textHelpOf(texts)
  return {
    dataset: ['TEXT', `calibration text: ${textHelp} (default for the demo: its own)`],
    eval: ['TEXT', 'evaluation text, given in the same way (default: for the demo its own; wikitext2 if --dataset names a data set above)'],
    lambada: ['TEXT', 'also measure last-word accuracy: lambada for the published passages, or a text with one passage per row'],
    'lambada-passages': ['N', 'most passages (default 0 = all)'],
    nsamples: ['N', 'calibration samples (default 128)'],
    seqlen: ['N', 'tokens per sample (default 2048, or the model’s positions if fewer)'],
    sampling: [
      'HOW',
      'random: seeded random windows of the joined text; consecutive: its first windows; documents: one window from each of some documents (default: as published for the data set, else random)',
    ],
  }
}

const widthFlags: Flags = {
  'target-bpw': [
    'B',
    'choose the bits (or, with a --type of GGUF, the type) of every linear so that all take at most B bits per weight together: by held-out errors at each width, and what they cost at the model’s end; the mixture is measured beside the uniform runs of the nearest sizes',
  ],
  'target-size': ['MIB', 'the same for a checkpoint of at most so many MiB, in the first of its formats'],
  override: [
    'PATTERN:WHAT',
    'other bits, group size or symmetry for some linears, as in down_proj:bits=4,group-size=32, or full precision, as in layers.0:keep; the pattern names whole parts of a module path, {0..3} is a range, {q,k} a choice, * stands for anything. Repeatable: the first that matches a linear counts',
  ],
}

const windowFlags: Flags = {
  'held-out': [
    'SHARE',
    'windows drawn beside the calibration samples, from other places of the text, as a share of their number (default 1/6, at least one; 0 = none): the methods do not see them, and errors are measured on them too',
  ],
  'eval-samples': ['N', 'most evaluation windows (default 0 = all)'],
  'eval-seqlen': ['N', 'tokens per evaluation window (default: same as --seqlen)'],
  products: [
    'f32|f16',
    'how passes over evaluation texts take the inputs of linears and head: f16 halves what they read, and is used if the model as it is diverges from itself by no more than 1e-5 nats; calibration and solvers stay in f32 (default f32)',
  ],
  seed: ['N', 'seed of the sampling (default 0)'],
  date: ['YYYY-MM-DD', 'today’s date for chat templates that write it (default: the day of the start)'],
}

const fileFlags: Flags = {
  job: [
    'FILE',
    'repeat the job of a job file, of a report, or of the quantization_report.json of a checkpoint: model, texts and all options are taken from it; --model, --dataset, --eval and --lambada say where those are that only a folder or a file holds',
  ],
  run: ['NAME', 'with --job: only the run with this id or name'],
  report: ['FILE', 'write the report of the job, which --job repeats and whose results the page shows'],
  save: [
    'DIR',
    'write the quantized checkpoint into this folder, which has to be new or empty; until it is complete, DIR.partial and a journal are next to it',
  ],
  push: [
    'OWNER/NAME',
    'upload the checkpoint to this repository of the Hub, which has to be new; private unless --public; the token ($HF_TOKEN) needs write access. With --resume, an upload that broke goes on, and a finished checkpoint in the folder of --save is uploaded without computing anything',
  ],
}

const promptFlags: Flags = {
  prompt: [
    'TEXT',
    'print how the model continues this text, as it is stored and quantized, after everything else; with --wbits 16 and no --eval, nothing else is done',
  ],
  'prompt-tokens': ['N', `tokens to continue it by (default ${usualTokens}, at most ${mostTokens})`],
  temperature: ['T', 'of that text: 0 always takes the likeliest token; above, tokens are drawn by --seed (default 0)'],
}

const deviceFlags: Flags = {
  device: [
    'NAME',
    `with --dry-run: a device with published figures, ${dryDevices.map(({ id }) => id).join(', ')} (default: the present one)`,
  ],
  'device-memory': ['GIB', 'with --dry-run: memory of the device'],
  'device-binding': ['MIB', 'with --dry-run: largest binding of the device'],
  'device-gflops': ['N', 'with --dry-run: its rate of f32 matrix products'],
}

const hostFlags: Flags = {
  'host-memory': [
    'GIB',
    'most of this machine’s memory for what waits there until the GPU needs it again; beyond that it goes to a file in the folder of --cache (default: half of the memory). Results are the same',
  ],
}

export const deviceFlagNames: readonly string[] = Object.keys(deviceFlags)

/** Flags that are not options of a method: [value, help]; in the order in which the help lists them. */
const flagsOf = ({ solvers, formats, texts }: Catalog): Flags => ({
  ...modelFlags,
  ...textFlags(texts),
  ...widthFlags,
  ...windowFlags,
  'quantization-method': ['NAME', `${solvers.map(({ id }) => id).join(', ')} (default ${recommendedOf({ solvers })})`],
  ...fileFlags,
  format: [
    'NAME,…',
    `formats of the checkpoint: ${formats.map(({ id }) => id).join(', ')}; with several, each goes into its own subfolder of --save (default: the first that can store the result)`,
  ],
  ...promptFlags,
  ...hostFlags,
  ...deviceFlags,
})
const switches = {
  'compute-quantization-recon-error': 'print the relative error of each layer as it is solved',
  'chat-template': 'apply the model’s chat template to the conversations of the calibration text',
  overwrite: 'replace an earlier checkpoint of this program in the folder of --save',
  resume:
    'go on with the job whose journal is next to the folder of --save; with no more than --model, --save and --format, all other options are taken from there. For a solved job, write the checkpoint that could not be written or, after --keep-solved, those of --format beside the ones that are there, of which a single one moves into a subfolder of its own',
  public: 'with --push: everybody may see the repository',
  'keep-solved': 'keep the journal after everything is written, so that --resume can write the checkpoint in other formats without solving',
  'dry-run':
    'forecast time and memory of every algorithm, from the config.json in --model (a folder or a path) alone; with --job, of its runs',
  json: 'print one JSON object to stdout; with --job one a line for each run',
  help: 'print this help',
} as const

/** Flags that may be given several times. */
const repeatable = ['override']

/** What was given, by the names of the flags. */
export class Given {
  constructor(readonly values: Values) {}

  on(name: string): boolean {
    return this.values[name] === true
  }

  text(name: string): string | undefined {
    return this.values[name] as string | undefined
  }

  /** All values of a flag that may be repeated. */
  texts(name: string): string[] {
    return (this.values[name] as string[] | undefined) ?? []
  }

  whole(name: string, otherwise: number, min: number): number {
    const text = this.text(name)
    const value = text === undefined ? otherwise : Number(text)
    if (!Number.isInteger(value) || value < min)
      throw new UsageError(`--${name} has to be a whole number of at least ${min}, not "${text}".`)
    return value
  }

  /** A number above 0, null where none was given. */
  measure(name: string): number | null {
    const text = this.text(name)
    if (text === undefined) return null
    const value = Number(text)
    if (!(value > 0 && value < 1e9)) throw new UsageError(`--${name} has to be a number above 0, not "${text}".`)
    return value
  }
}

/** `more`: arguments of another command beside these. @throws {UsageError} */
export function readArguments(catalog: Catalog, argv: string[], more: Record<string, 'string' | 'boolean'> = {}): Given {
  const known = Object.fromEntries([
    ...Object.entries(more).map(([name, type]) => [name, { type }] as const),
    ...Object.keys(flagsOf(catalog)).map((name) => [name, { type: 'string' as const, multiple: repeatable.includes(name) }]),
    ...Object.keys(switches).map((name) => [name, { type: 'boolean' as const }]),
    ...[...specsOf(catalog)].map(({ flag, type }) => [flag, { type: type === 'bool' ? ('boolean' as const) : ('string' as const) }]),
  ])
  return new Given(parsed(argv, known).values as Values)
}

/** Reads arguments strictly. @throws {UsageError} */
export function parsed(argv: string[], options: NonNullable<ParseArgsConfig['options']>, allowPositionals = false) {
  // As in Python's argparse, a negative number is a value, not a flag: `--groupsize -1`.
  const args: string[] = []
  for (const arg of argv) {
    if (/^-\d/.test(arg) && /^--[^=]+$/.test(args.at(-1) ?? '')) args.push(`${args.pop()}=${arg}`)
    else args.push(arg)
  }
  try {
    return parseArgs({ args, options, strict: true, allowNegative: true, allowPositionals })
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split(/\.(?:\s|$)/)[0]}. --help lists the arguments.`)
  }
}

/** Columns of --help, and of its texts' indent. */
const COLUMNS = 80
const INDENT = 6

/** The text of --help. */
export function help(catalog: Catalog): string {
  const entries: [name: string, texts: string[]][] = [
    ...Object.entries(flagsOf(catalog)).map(([flag, [value, text]]): [string, string[]] => [`--${flag} ${value}`, [text]]),
    ...optionEntries(catalog),
    ...Object.entries(switches).map(([flag, text]): [string, string[]] => [`--${flag}`, [text]]),
  ]
  const lines = entries.flatMap(([name, texts]) => [...wrapped(name, 2), ...texts.flatMap((text) => wrapped(text, INDENT))])
  return `Quantizes a language model on the local GPU.\n\n${lines.join('\n')}\n`
}

/** Lines of so many columns; what is longer than one, e.g. an address, is left whole. */
function wrapped(text: string, indent: number): string[] {
  const lines: string[] = []
  for (const word of text.replaceAll('|', '|\u200b').split(/[ \u200b]/)) {
    const last = lines.at(-1)
    const glue = last?.endsWith('|') ? '' : ' '
    if (last !== undefined && indent + last.length + glue.length + word.length <= COLUMNS) lines[lines.length - 1] = last + glue + word
    else lines.push(word)
  }
  return lines.map((line) => ' '.repeat(indent) + line)
}

/** Of --help: every flag once, and what it does in each method that has it. */
function optionEntries(catalog: Catalog): [name: string, texts: string[]][] {
  return Array.from(
    grouped([...specsOf(catalog)], ({ flag }) => flag),
    ([flag, specs]) => {
      const values = [...new Set(specs.flatMap(valuesOf))].join('|')
      const name = specs[0].type === 'bool' && specs[0].default ? `--no-${flag}` : `--${flag}${values && ` ${values}`}`
      return [name, Array.from(grouped(specs, textOf), ([text, same]) => `${text}${methodsOf(same, catalog)}`)]
    },
  )
}

function grouped(specs: OptionSpec[], by: (spec: OptionSpec) => string): Map<string, OptionSpec[]> {
  const groups = new Map<string, OptionSpec[]>()
  for (const spec of specs) groups.set(by(spec), [...(groups.get(by(spec)) ?? []), spec])
  return groups
}

function valuesOf(spec: OptionSpec): (string | number)[] {
  if (spec.type === 'bool') return []
  if (spec.type === 'auto') return ['auto', 'N']
  return spec.type === 'choice' ? spec.choices.map(({ value }) => value) : ['N']
}

function textOf(spec: OptionSpec): string {
  if (spec.type === 'bool') return spec.default ? `turn off: ${spec.help}` : spec.help
  return `${spec.help} (default ${spec.default}${spec.flag === 'wbits' ? '; 16 only evaluates' : ''})`
}

/** ` [methods]` where not all have the option. */
function methodsOf(specs: OptionSpec[], { solvers }: Catalog): string {
  const of = solvers.filter(({ options }) => specs.some((spec) => options.includes(spec))).map(({ id }) => id)
  return of.length && of.length < solvers.length ? ` [${of.join(', ')}]` : ''
}
