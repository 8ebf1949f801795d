/** Pure functions on the job that is being planned: defaults, names and edits of runs. The engine decides what is valid. */
import type { Catalog } from '../engine/job/catalog.ts'
import { type EvaluationSpec, type Job, type RunSpec, heldOutShare } from '../engine/job/job.ts'
import type { ModelSummary } from '../engine/job/model.ts'
import { type TextSource, storyVocabulary } from '../engine/job/texts.ts'
import { type OptionSpec, type Options, type OptionValue, type SolverInfo, fixedBy, optionProblem } from '../options.ts'
import { type Override, claims } from '../overrides.ts'
import * as format from './format.ts'

/** Sizes at which the demo shows its point within a minute on a software adapter. */
export const demoSizes = { calibration: { samples: 16, length: 128 }, evaluation: { samples: 12, length: 128 } }

/** A first answer within minutes; the published 128 × 2048 is there for who wants to wait. */
const quickSizes = { calibration: { samples: 32, length: 512 }, evaluation: { samples: 32, length: 512 } }

/** The solver's options, then those that every run has. */
export function optionsOf(catalog: Catalog, method: string): readonly OptionSpec[] {
  const solver = catalog.solvers.find((each) => each.id === method)
  return [...(solver?.options ?? []), ...catalog.runOptions]
}

export function optionValue(spec: OptionSpec, options: Options): OptionValue {
  return options[spec.key] ?? spec.default
}

/** A number between 0 and 1 that people think of in percent. */
export function isFraction(spec: OptionSpec): boolean {
  return spec.type === 'number' && spec.min >= 0 && spec.max <= 1 && /\bfraction\b/i.test(`${spec.label} ${spec.help}`)
}

/** What one press of an arrow key changes: fine enough for the range as well as for the default. */
export function stepOf(spec: OptionSpec): number {
  if (spec.type !== 'number') return 1
  const power = (value: number) => Math.floor(Math.log10(value) + 1e-9)
  return 10 ** Math.min(power(spec.max - spec.min) - 1, spec.default > 0 ? power(spec.default) : 0)
}

export interface OptionGroup {
  /** Empty where there is only one. */
  title: string
  specs: readonly OptionSpec[]
}

/** Those that no other option of the run decides. */
function openOptions(catalog: Catalog, { method, options }: NewRun): readonly OptionSpec[] {
  const specs = optionsOf(catalog, method)
  const fixed = fixedBy(specs, options)
  return specs.filter(({ key }) => !fixed.has(key))
}

/** A run's options in two groups, what most methods have and what is its own: common ones, then the advanced. */
export function optionGroups(catalog: Catalog, run: NewRun): { common: OptionGroup[]; advanced: OptionGroup[] } {
  const { method } = run
  const solver = catalog.solvers.find((each) => each.id === method)
  const usual = (key: string) =>
    catalog.runOptions.some((spec) => spec.key === key) ||
    catalog.solvers.filter(({ options }) => options.some((spec) => spec.key === key)).length > catalog.solvers.length / 2
  const specs = openOptions(catalog, run)
  const grouped = (advanced: boolean) => {
    const some = specs.filter((spec) => (spec.advanced ?? false) === advanced)
    const groups = [
      { title: 'Shared by most methods', specs: some.filter(({ key }) => usual(key)) },
      { title: solver?.label ?? method, specs: some.filter(({ key }) => !usual(key)) },
    ].filter((group) => group.specs.length)
    return groups.length > 1 ? groups : groups.map((group) => ({ ...group, title: '' }))
  }
  return { common: grouped(false), advanced: grouped(true) }
}

/** What sets a run apart, in words: "2-bit, full row, asymmetric", then whatever is not at its default. */
export function describeRun(catalog: Catalog, run: RunSpec): string {
  const told = (spec: OptionSpec) => {
    const usual = optionValue(spec, run.options) === spec.default
    const always = spec.type === 'choice' && !spec.advanced && spec.key !== 'kind' && !catalog.runOptions.includes(spec)
    return !usual || spec.key === 'bits' || spec.key === 'symmetric' || always
  }
  return [inRunWords(openOptions(catalog, run).filter(told), run), ownWords(run)].filter(Boolean).join(', ')
}

/** What differs from the first run: options of both with other values, and those of its own that are not at their default. */
export function describeDifference(catalog: Catalog, first: RunSpec, run: RunSpec): string {
  const shared = openOptions(catalog, first)
  const differs = (spec: OptionSpec) => {
    const other = shared.find(({ key }) => key === spec.key)
    return optionValue(spec, run.options) !== (other ? optionValue(other, first.options) : spec.default)
  }
  // Of another method, its name stands for what it does otherwise by itself.
  const method = run.method === first.method ? '' : (catalog.solvers.find(({ id }) => id === run.method)?.label ?? run.method)
  const words = [method, inRunWords(openOptions(catalog, run).filter(differs), run), ownWords(run)].filter(Boolean).join(', ')
  return words ? `unlike the first run: ${words}` : 'otherwise as the first run'
}

const ownWords = ({ overrides = [] }: RunSpec) => (overrides.length ? format.plural(overrides.length, 'override') : '')

const inRunWords = (specs: readonly OptionSpec[], { options }: RunSpec) =>
  specs.map((spec) => inOptionWords(spec, optionValue(spec, options))).join(', ')

function inOptionWords(spec: OptionSpec, value: OptionValue): string {
  if (spec.key === 'bits') return `${value}-bit`
  if (spec.key === 'symmetric') return value ? 'symmetric' : 'asymmetric'
  if (spec.type === 'bool') return `${value ? '' : 'no '}${lower(spec.label)}`
  if (spec.type !== 'choice') return `${lower(spec.label)} ${isFraction(spec) ? percentOf(Number(value)) : value}`
  const label = spec.choices.find((choice) => choice.value === value)?.label ?? String(value)
  // A number or a lone word says nothing by itself, nor does what embedding or head is stored as.
  const bare = /^(\d|[a-z]+$)/.test(label) || /.Type$/.test(spec.key)
  return bare ? `${lower(spec.label)} ${label}` : lower(label)
}

/** "GPTQ v2" stays, "Full row" becomes "full row". */
export function lower(label: string): string {
  return /^[A-Z][a-z]/.test(label) ? label[0].toLowerCase() + label.slice(1) : label
}

/** The baseline, and the method to start with. */
export function firstMethods({ solvers }: Pick<Catalog, 'solvers'>): SolverInfo[] {
  return solvers.filter(({ recommended }, i) => recommended || i === 0)
}

/** The methods under what they are: published ones, and our own. */
export function methodGroups({ solvers }: Pick<Catalog, 'solvers'>): { title: string; solvers: SolverInfo[] }[] {
  return [
    { title: 'Our own', solvers: solvers.filter(({ own }) => own) },
    { title: 'Published', solvers: solvers.filter(({ own }) => !own) },
  ].filter((group) => group.solvers.length)
}

/** "QuantEase+ (recommended)". */
export const methodName = ({ label, recommended }: SolverInfo) => `${label}${recommended ? ' (recommended)' : ''}`

export function firstJob(catalog: Catalog, texts: TextSource[], model: ModelSummary, demo: boolean): Job {
  const sizes = demo ? demoSizes : quickSizes
  const fits = (length: number) => Math.min(length, model.maxPositions ?? length)
  // What a checkpoint was quantized from knows more than the demo's stories, unless its vocabulary is a child's.
  const knowsMore = model.quantized !== null && model.vocab > storyVocabulary
  const fit = knowsMore ? texts.filter(({ origin }) => origin !== 'builtin') : texts
  const text = (word: RegExp, position: number) =>
    (fit.find(({ id }) => word.test(id)) ?? fit[knowsMore ? 0 : position] ?? fit[0])?.id ?? ''
  const job: Job = {
    runs: [],
    calibration: {
      text: text(/calib/i, 0),
      samples: sizes.calibration.samples,
      length: fits(sizes.calibration.length),
      sampling: 'random',
      heldOut: heldOutShare,
    },
    evaluation: { text: text(/eval/i, 1), samples: sizes.evaluation.samples, length: fits(sizes.evaluation.length) },
    seed: 0,
    perplexityEvery: Math.max(1, Math.round(model.blocks / 8)),
    save: true,
  }
  if (model.quantized) return { ...job, save: false }
  return firstMethods(catalog).reduce((made, { id }) => addRun(catalog, made, id, demo ? { bits: 2 } : {}), job)
}

/** Measured as before, so that a checkpoint loaded back can be compared with what it came from. */
export function measureLike(job: Job, evaluation: EvaluationSpec, model: ModelSummary): Job {
  return { ...job, evaluation: { ...evaluation, length: Math.min(evaluation.length, model.maxPositions ?? evaluation.length) } }
}

export function addRun(catalog: Catalog, job: Job, method: string, options: Options = {}): Job {
  return { ...job, runs: [...job.runs, named(catalog, job.runs, { id: freshId(job), label: '', method, options })] }
}

export interface NewRun {
  method: string
  options: Options
}

/** Several runs to add by one click. */
export interface Preset {
  label: string
  summary: string
  /** Null: every method that there is. */
  method: string | null
  /** Options of one run each. */
  variants: Options[]
}

export const presets: Preset[] = [
  {
    label: 'The paper’s table',
    summary: 'QuantEase at 4 bits, at 3 bits, and at 3 bits with 1 % of the weights kept as outliers: whole columns, then single weights.',
    method: 'quantease',
    variants: [{ bits: 4 }, { bits: 3 }, { bits: 3, outlier: 0.01, structureOutlier: true }, { bits: 3, outlier: 0.01 }],
  },
  { label: 'Every method at 3 bits', summary: 'Each with its own defaults.', method: null, variants: [{ bits: 3 }] },
]

/** Those runs of a preset that the methods at hand can do. */
export function presetRuns(catalog: Catalog, { method, variants }: Preset): NewRun[] {
  return catalog.solvers
    .filter(({ id }) => method === null || id === method)
    .flatMap(({ id }) => variants.map((options) => ({ method: id, options })))
    .filter((run) => {
      const specs = optionsOf(catalog, run.method)
      return Object.entries(run.options).every(([key, value]) => {
        const spec = specs.find((each) => each.key === key)
        return spec && !optionProblem(spec, value)
      })
    })
}

/** The choices that a comparison shares between its methods: bits and group size, where there are such. */
export function sharedSpecs(catalog: Catalog): Extract<OptionSpec, { type: 'choice' }>[] {
  return ['bits', 'groupSize'].flatMap((key) => {
    const spec = catalog.solvers.flatMap(({ options }) => options).find((each) => each.key === key)
    return spec?.type === 'choice' ? [spec] : []
  })
}

/** With what suits these bits, where an option says so and none was given. */
function suited(specs: readonly OptionSpec[], options: Options): Options {
  const fitting = specs.flatMap(({ key, byBits }) => {
    const value = byBits?.[Number(options.bits)]
    return value === undefined || key in options ? [] : [[key, value]]
  })
  return { ...options, ...Object.fromEntries(fitting) }
}

/** One run for each method, with those of the shared options that it can do. */
export function comparison(catalog: Catalog, methods: string[], shared: Options): NewRun[] {
  return methods.map((method) => {
    const specs = optionsOf(catalog, method)
    const takes = ([key, value]: [string, OptionValue]) => specs.some((spec) => spec.key === key && !optionProblem(spec, value))
    return { method, options: suited(specs, Object.fromEntries(Object.entries(shared).filter(takes))) }
  })
}

/** What a method has in place of shared options that it cannot do: "group size 16 instead of full row". */
export function otherwise(catalog: Catalog, method: string, shared: Options): string[] {
  return optionsOf(catalog, method).flatMap((spec) => {
    const asked = shared[spec.key]
    if (asked === undefined || !optionProblem(spec, asked)) return []
    const wanted = sharedSpecs(catalog).find(({ key }) => key === spec.key)
    const label = wanted?.choices.find(({ value }) => value === asked)?.label ?? String(asked)
    return `${lower(spec.label)} ${spec.default} instead of ${lower(label)}`
  })
}

/** Which of these the plan does not hold yet, whatever its runs are called. */
export function missingRuns(catalog: Catalog, job: Job, wanted: NewRun[]): NewRun[] {
  const known = new Set(job.runs.map((run) => fingerprint(catalog, run)))
  return wanted.filter((run) => !known.has(fingerprint(catalog, run)))
}

function fingerprint(catalog: Catalog, { method, options }: NewRun): string {
  return JSON.stringify([method, ...optionsOf(catalog, method).map((spec) => optionValue(spec, options))])
}

/** Behind the runs that are there, which stay as they are. */
export function addRuns(catalog: Catalog, job: Job, runs: NewRun[]): Job {
  return runs.reduce((made, { method, options }) => addRun(catalog, made, method, options), job)
}

export function duplicateRun(job: Job, id: string): Job {
  const at = job.runs.findIndex((run) => run.id === id)
  const copy = { ...job.runs[at], id: freshId(job), label: apart(job.runs[at].label.replace(/ \(\d+\)$/, ''), job.runs) }
  return { ...job, runs: job.runs.toSpliced(at + 1, 0, copy) }
}

export function removeRun(job: Job, id: string): Job {
  return { ...job, runs: job.runs.filter((run) => run.id !== id) }
}

/** An edited run takes a new name along, unless the user gave it one. */
export function editRun(catalog: Catalog, job: Job, id: string, change: Partial<Pick<RunSpec, 'method' | 'options' | 'label'>>): Job {
  return {
    ...job,
    runs: job.runs.map((run) => {
      if (run.id !== id) return run
      const next = { ...run, ...change }
      if (change.method) {
        const keys = new Set(optionsOf(catalog, change.method).map((spec) => spec.key))
        next.options = Object.fromEntries(Object.entries(next.options).filter(([key]) => keys.has(key)))
      }
      // What another choice decides now is not an option of the run any more.
      const open = new Set(openOptions(catalog, next).map((spec) => spec.key))
      next.options = Object.fromEntries(Object.entries(next.options).filter(([key]) => open.has(key)))
      const others = job.runs.filter((other) => other.id !== id)
      if (change.label === undefined) return isNamedByUs(catalog, run) ? named(catalog, others, next) : next
      const label = change.label.trim()
      return label ? { ...next, label: apart(label, others) } : named(catalog, others, next)
    }),
  }
}

/** A run without any is as it was before there were some. */
export function setOverrides(job: Job, id: string, overrides: Override[]): Job {
  const changed = ({ overrides: _, ...run }: RunSpec): RunSpec => (overrides.length ? { ...run, overrides } : run)
  return { ...job, runs: job.runs.map((run) => (run.id === id ? changed(run) : run)) }
}

/** Gives one linear of a run the grid of a setting; before other overrides, so that it counts. */
export function overrideLinear(catalog: Catalog, job: Job, id: string, name: string, options: Options): Job {
  const run = job.runs.find((each) => each.id === id)!
  const own = optionsOf(catalog, run.method).filter((spec) => spec.perLinear)
  const others = (run.overrides ?? []).filter(({ pattern }) => pattern !== name)
  const given = Object.fromEntries(own.map((spec) => [spec.key, optionValue(spec, options)]))
  return setOverrides(job, id, [{ pattern: name, options: given }, ...others])
}

/** Whether a linear would have another grid in a run by a setting. */
export function changesLinear(catalog: Catalog, { method, options, overrides = [] }: RunSpec, name: string, setting: Options): boolean {
  const [claimed] = claims(overrides, [name])
  const own = claimed === null ? {} : overrides[claimed].options
  const specs = optionsOf(catalog, method).filter((spec) => spec.perLinear)
  return !own || specs.some((spec) => optionValue(spec, { ...options, ...own }) !== optionValue(spec, setting))
}

/** Another method with the bits and the group size of a run. */
export function alike(catalog: Catalog, run: NewRun, method: string): NewRun {
  const shared = sharedSpecs(catalog).map(({ key }) => key)
  const specs = optionsOf(catalog, run.method).filter(({ key }) => shared.includes(key))
  return comparison(catalog, [method], Object.fromEntries(specs.map((spec) => [spec.key, optionValue(spec, run.options)])))[0]
}

function ourName(catalog: Catalog, run: RunSpec): string {
  const solver = catalog.solvers.find(({ id }) => id === run.method)
  const specs = openOptions(catalog, run)
  const spec = (key: string) => specs.find((each) => each.key === key)
  const value = (key: string) => spec(key) && optionValue(spec(key)!, run.options)
  const changed = (key: string) => spec(key) && value(key) !== spec(key)!.default
  const bits = value('bits')
  return [
    `${solver?.label ?? run.method}${bits === undefined ? '' : ` ${bits}-bit`}${changed('kind') ? ` ${labelOf(spec('kind')!, value('kind')!)}` : ''}`,
    // What a person compares most often, beside the bits.
    changed('groupSize') && `group ${value('groupSize')}`,
    changed('outlier') &&
      isFraction(spec('outlier')!) &&
      `${percentOf(Number(value('outlier')))} ${value('structureOutlier') ? 'outlier columns' : 'outliers'}`,
  ]
    .filter(Boolean)
    .join(', ')
}

function labelOf(spec: OptionSpec, value: OptionValue): string {
  return (spec.type === 'choice' && spec.choices.find((choice) => choice.value === value)?.label) || String(value)
}

/** Names go into files and reports: a plain space before the unit. */
function percentOf(value: number): string {
  return format.fraction(value).replace('\u202f', ' ')
}

function isNamedByUs(catalog: Catalog, run: RunSpec): boolean {
  return run.label.replace(/ \(\d+\)$/, '') === ourName(catalog, run)
}

function named(catalog: Catalog, others: RunSpec[], run: RunSpec): RunSpec {
  return { ...run, label: apart(ourName(catalog, run), others) }
}

function apart(name: string, others: RunSpec[]): string {
  const taken = new Set(others.map((other) => other.label))
  let label = name
  for (let n = 2; taken.has(label); n++) label = `${name} (${n})`
  return label
}

/** Never used before in this job; the engine names folders after it. */
function freshId(job: Job): string {
  return `run-${Math.max(0, ...job.runs.map((run) => Number(run.id.match(/\d+$/)?.[0] ?? 0))) + 1}`
}
