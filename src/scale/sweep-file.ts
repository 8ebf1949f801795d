/** A sweep as a file: which models, methods and options to combine. Plain JSON, read strictly; one setting of it is one job. */
import { WorkbenchError } from '../errors.ts'
import type { Catalog } from '../engine/job/catalog.ts'
import { type Job, heldOutShare } from '../engine/job/job.ts'
import { type Options, type OptionValue, optionProblem } from '../options.ts'
import { type JsonObject, parseJson } from '../io/json.ts'
import { z } from '../io/zod.ts'

const sweepFormat = 'quantease-sweep'
/** Bytes of a sweep file, and jobs that it may expand to. */
const most = { bytes: 4 * 2 ** 20, jobs: 10_000 }

const word = z.string().min(1).max(512)
const count = (least: number) =>
  z
    .int()
    .min(least)
    .max(2 ** 31)
const value = z.union([z.number(), z.string().max(200), z.boolean()])
const oneOrMore = z.union([value, z.array(value).min(1).max(1000)])
const axes = z.record(z.string().max(64), oneOrMore)
const text = { text: word.optional(), column: z.string().min(1).max(200).optional(), chat: z.boolean().optional() }
const calibration = z.strictObject({
  ...text,
  samples: count(1).optional(),
  length: count(2).optional(),
  sampling: z.enum(['random', 'consecutive', 'documents']).optional(),
  heldOut: z.number().min(0).max(1).optional(),
})
const evaluation = z.strictObject({ ...text, samples: count(0).optional(), length: count(2).optional() })
const texts = { calibration: calibration.optional(), evaluation: evaluation.optional() }

const ownModel = z.strictObject({ model: word, ...texts })
const ownMethod = z.strictObject({ method: word, presets: z.array(word).max(100).optional(), options: axes.optional() })

const schema = z.strictObject({
  format: z.literal(sweepFormat),
  version: z.literal(1),
  /** Words for people; nothing depends on it. */
  about: z.string().max(10_000).optional(),
  /** A folder, `owner/name[@revision]`, or `demo`; texts given with a model stand before those of the sweep. */
  models: z
    .array(z.union([word, ownModel]))
    .min(1)
    .max(1000),
  ...texts,
  seed: z.union([count(0), z.array(count(0)).min(1).max(1000)]).optional(),
  /** Named sets of options. */
  presets: z.record(z.string().regex(/^[\w.-]{1,64}$/), axes).optional(),
  methods: z
    .array(z.union([word, ownMethod]))
    .min(1)
    .max(1000),
  /** Values of options by key, for each method that has them. */
  options: axes.optional(),
  /** A setting that agrees with all members of one of these is left out. */
  exclude: z.array(axes).max(1000).optional(),
  /** Whether checkpoints are written, and in which formats. */
  save: z.boolean().optional(),
  formats: z.array(z.string().max(64)).max(64).optional(),
  /** The device of the forecast: an id of `--device`. */
  device: word.optional(),
})

export type Sweep = z.infer<typeof schema>

/** One setting of a sweep, in the place of the model's and the texts' contents. */
export interface Setting {
  model: string
  method: string
  options: Options
  job: Omit<Job, 'runs' | 'calibration' | 'evaluation'> & {
    /** A length of null is as many tokens as suit the model. */
    calibration: Omit<Job['calibration'], 'text' | 'length'> & { text: string | null; length: number | null }
    evaluation: Omit<Job['evaluation'], 'text' | 'length'> & { text: string | null; length: number | null }
  }
}

const hint = '`sweep example` prints a sweep file to start from.'
const wrong = (message: string, more = hint) => new WorkbenchError('option-invalid', message, more)

/** @throws {WorkbenchError} `option-invalid` that names the member */
export function readSweep(data: Uint8Array, fileName: string): Sweep {
  if (data.length > most.bytes) throw wrong(`${fileName} has ${data.length} bytes; a sweep file has at most ${most.bytes}.`)
  const { value } = parseJson(data, fileName, { code: 'option-invalid', hint, unique: true })
  if ((value as JsonObject).format !== sweepFormat) throw wrong(`${fileName} is no sweep file: its "format" is not "${sweepFormat}".`)
  const read = schema.safeParse(value)
  if (read.success) return read.data
  const [first] = read.error.issues
  // Of what may be a name or an object, an object was given where the name alone is told to be of another type.
  const inner = first.code === 'invalid_union' ? first.errors.find(([one]) => one.path.length || one.code === 'unrecognized_keys') : null
  const issue = inner ? { ...inner[0], path: [...first.path, ...inner[0].path] } : first
  const { code, message, path } = issue
  const members = code === 'unrecognized_keys' ? membersOf(path.findLast((part) => typeof part === 'string')) : null
  const more = members ? `It can have ${members.join(', ')}.` : hint
  throw wrong(`${fileName} is no valid sweep file: ${path.length ? `${path.map(String).join('.')}: ` : ''}${message}.`, more)
}

/** Members that an object of a sweep file can have; `name`: of the member that it is, or is an item of. */
const membersOf = (name: PropertyKey | undefined) =>
  Object.keys({ calibration, evaluation, models: ownModel, methods: ownMethod }[String(name)]?.shape ?? schema.shape)

/** A small sweep over the demo model, which is also what the documents show. */
export const exampleSweep: Sweep = {
  format: sweepFormat,
  version: 1,
  about: 'Three methods at 3 and 4 bits on the demo model; QuantEase also with 1 % of outliers.',
  models: ['demo'],
  calibration: { samples: 8, length: 64, heldOut: 0 },
  evaluation: { samples: 4, length: 64 },
  presets: { few: { iterations: 5 }, outliers: { outlier: 0.01 } },
  methods: ['rtn', 'gptq', { method: 'quantease', presets: ['few'] }, { method: 'quantease', presets: ['few', 'outliers'] }],
  options: { bits: [3, 4], groupSize: 32 },
  exclude: [{ method: 'rtn', bits: 3 }],
  save: true,
  device: 'rtx-4090',
}

/**
 * All settings, in the order of models, seeds, methods and options. `note` hears of entries of `exclude` that take none out.
 * @throws {WorkbenchError} `option-invalid` for names and values that do not exist
 */
export function expand(sweep: Sweep, catalog: Catalog, note: (message: string) => void = () => {}): Setting[] {
  checkNames(sweep, catalog)
  const settings: Setting[] = []
  for (const model of sweep.models) {
    const { model: name, ...own } = typeof model === 'string' ? { model } : model
    for (const seed of listOf(sweep.seed ?? 0)) {
      const job = jobOf(sweep, own, seed)
      for (const { method, options } of combinations(sweep, catalog)) settings.push({ model: name, method, options, job })
    }
  }
  const { exclude = [] } = sweep
  const idle = exclude.filter((rule) => !settings.some((setting) => agrees(rule, setting)))
  for (const rule of idle) note(`The entry ${JSON.stringify(rule)} of "exclude" takes nothing out: no setting agrees with all of it.`)
  const kept = settings.filter((setting) => !exclude.some((rule) => agrees(rule, setting)))
  if (!kept.length) throw wrong('Nothing is left of the sweep: "exclude" takes out every setting.', 'Exclude less.')
  return kept
}

const listOf = <T>(value: T | T[]): T[] => (Array.isArray(value) ? value : [value])

/** What methods and options come to, for one model and seed. */
function combinations(sweep: Sweep, catalog: Catalog): { method: string; options: Options }[] {
  const found: { method: string; options: Options }[] = []
  for (const entry of sweep.methods) {
    const { method, presets = [], options: own = {} } = typeof entry === 'string' ? { method: entry } : entry
    const specs = specsFor(catalog, method)
    // Of what holds for all methods, each takes what it has.
    const shared = Object.entries(sweep.options ?? {}).filter(([key]) => specs.some((spec) => spec.key === key))
    const merged = Object.assign({}, Object.fromEntries(shared), ...presets.map((name) => sweep.presets![name]), own) as Record<
      string,
      OptionValue | OptionValue[]
    >
    let some: Options[] = [{}]
    for (const [key, values] of Object.entries(merged)) {
      some = some.flatMap((options) => listOf(values).map((one) => ({ ...options, [key]: one })))
      if (some.length * sweep.models.length > most.jobs)
        throw wrong(`The sweep comes to more than ${most.jobs} jobs.`, 'Give fewer values, or several sweeps.')
    }
    found.push(...some.map((options) => ({ method, options })))
  }
  return found
}

/** @throws {WorkbenchError} `option-invalid` */
function specsFor({ solvers, runOptions }: Catalog, method: string) {
  const solver = solvers.find(({ id }) => id === method)
  if (!solver) throw wrong(`There is no method "${method}".`, `Methods are ${solvers.map(({ id }) => id).join(', ')}.`)
  return [...solver.options, ...runOptions]
}

/** Every name and value, whether or not a setting comes of it. */
function checkNames(sweep: Sweep, catalog: Catalog): void {
  const all = [...new Set([...catalog.solvers.flatMap(({ options }) => options), ...catalog.runOptions])]
  const inAny = (where: string, key: string) => {
    if (all.some((spec) => spec.key === key)) return
    const named = all.find(({ flag }) => flag === key)
    const keys = named ? `It is called "${named.key}".` : `Options are ${[...new Set(all.map((spec) => spec.key))].join(', ')}.`
    throw wrong(`${where} names an option "${key}", which no method has.`, keys)
  }
  for (const key of Object.keys(sweep.options ?? {})) inAny('"options"', key)
  for (const rule of sweep.exclude ?? [])
    for (const key of Object.keys(rule)) if (!['method', 'model', 'seed'].includes(key)) inAny('"exclude"', key)
  for (const [name, preset] of Object.entries(sweep.presets ?? {}))
    for (const key of Object.keys(preset)) inAny(`The preset "${name}"`, key)
  for (const entry of sweep.methods) checkMethod(sweep, catalog, typeof entry === 'string' ? { method: entry } : entry)
  for (const id of sweep.formats ?? [])
    if (!catalog.formats.some((format) => format.id === id))
      throw wrong(`There is no format "${id}".`, `Formats are ${catalog.formats.map((format) => format.id).join(', ')}.`)
  if (sweep.device !== undefined && !catalog.devices.some(({ id }) => id === sweep.device))
    throw wrong(`There is no device "${sweep.device}".`, `Devices are ${catalog.devices.map(({ id }) => id).join(', ')}.`)
}

function checkMethod(
  sweep: Sweep,
  catalog: Catalog,
  { method, presets = [], options = {} }: Exclude<Sweep['methods'][number], string>,
): void {
  const specs = specsFor(catalog, method)
  const check = (where: string, given: Sweep['options'], strict: boolean) => {
    for (const [key, values] of Object.entries(given ?? {})) {
      const spec = specs.find((one) => one.key === key)
      if (!spec && !strict) continue
      if (!spec) throw wrong(`${where} gives ${method} an option "${key}", which it does not have.`, 'Leave it out for this method.')
      for (const one of listOf(values)) {
        const problem = optionProblem(spec, one)
        if (problem) throw wrong(`${where}, ${key} of ${method}: ${problem}`, 'Correct the value.')
      }
    }
  }
  check('"options"', sweep.options, false)
  for (const name of presets) {
    const preset = sweep.presets && Object.hasOwn(sweep.presets, name) ? sweep.presets[name] : null
    if (!preset) throw wrong(`"methods" names a preset "${name}", which "presets" does not define.`, 'Define it, or correct the name.')
    check(`The preset "${name}"`, preset, true)
  }
  check('"methods"', options, true)
}

/** Whether a setting has one of the values of each member of a rule. */
function agrees(rule: NonNullable<Sweep['options']>, { model, method, options, job }: Setting): boolean {
  const own: Options = { ...options, method, model, seed: job.seed }
  return Object.entries(rule).every(([key, values]) => Object.hasOwn(own, key) && listOf(values).includes(own[key]))
}

function jobOf(sweep: Sweep, own: Pick<Sweep, 'calibration' | 'evaluation'>, seed: number): Setting['job'] {
  const calibrated = { ...sweep.calibration, ...own.calibration }
  const evaluated = { ...sweep.evaluation, ...own.evaluation }
  return {
    calibration: {
      samples: 128,
      sampling: 'random',
      heldOut: heldOutShare,
      ...calibrated,
      text: calibrated.text ?? null,
      length: calibrated.length ?? null,
    },
    evaluation: { samples: 0, ...evaluated, text: evaluated.text ?? null, length: evaluated.length ?? calibrated.length ?? null },
    seed,
    perplexityEvery: 0,
    save: sweep.save ?? false,
    ...(sweep.formats && { formats: sweep.formats }),
  }
}
