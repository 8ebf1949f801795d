/** The job while it is being made: defaults, names and edits of runs. Pure; what is valid is the engine's to say. */
import type {
  Catalog,
  EvaluationSpec,
  Job,
  JobCheck,
  ModelSummary,
  OptionSpec,
  Options,
  OptionValue,
  Problem,
  RunSpec,
  TextSource,
} from '../engine/job.ts'

/** Sizes at which the demo shows its point within a minute on a software adapter. */
export const demoSizes = { calibration: { samples: 16, length: 128 }, evaluation: { samples: 12, length: 128 } }
/** A first answer within minutes; the published 128 × 2048 is there for who wants to wait. */
const quickSizes = { calibration: { samples: 32, length: 512 }, evaluation: { samples: 32, length: 512 } }

/** The solver's options, then those that every run has. */
export function optionsOf(catalog: Catalog, method: string): OptionSpec[] {
  const solver = catalog.solvers.find((each) => each.id === method)
  return [...(solver?.options ?? []), ...catalog.runOptions]
}

export function optionValue(spec: OptionSpec, options: Options): OptionValue {
  return options[spec.key] ?? spec.default
}

/** What sets a run apart, in words: "2-bit, full row, asymmetric", then whatever is not at its default. */
export function describeRun(catalog: Catalog, run: RunSpec): string {
  const parts: string[] = []
  for (const spec of optionsOf(catalog, run.method)) {
    const value = optionValue(spec, run.options)
    if (spec.key === 'bits') parts.push(`${value}-bit`)
    else if (spec.key === 'symmetric') parts.push(value ? 'symmetric' : 'asymmetric')
    else if (spec.type === 'choice') {
      if (!spec.advanced || value !== spec.default) {
        const label = spec.choices.find((choice) => choice.value === value)?.label ?? String(value)
        parts.push(/^\d/.test(label) ? `${lower(spec.label)} ${label}` : lower(label))
      }
    } else if (value !== spec.default) {
      parts.push(spec.type === 'bool' ? `${value ? '' : 'no '}${lower(spec.label)}` : `${lower(spec.label)} ${value}`)
    }
  }
  return parts.join(', ')
}

/** "GPTQ v2" stays, "Full row" becomes "full row". */
function lower(label: string): string {
  return /^[A-Z][a-z]/.test(label) ? label[0].toLowerCase() + label.slice(1) : label
}

export function firstJob(catalog: Catalog, texts: TextSource[], model: ModelSummary, demo: boolean): Job {
  const sizes = demo ? demoSizes : quickSizes
  const fits = (length: number) => Math.min(length, model.maxPositions || length)
  const text = (word: RegExp, position: number) => (texts.find(({ id }) => word.test(id)) ?? texts[position] ?? texts[0])?.id ?? ''
  const job: Job = {
    runs: [],
    calibration: {
      text: text(/calib/i, 0),
      samples: sizes.calibration.samples,
      length: fits(sizes.calibration.length),
      sampling: 'random',
    },
    evaluation: { text: text(/eval/i, 1), samples: sizes.evaluation.samples, length: fits(sizes.evaluation.length) },
    seed: 0,
    perplexityEvery: Math.max(1, Math.round(model.blocks / 8)),
    save: true,
  }
  if (model.quantized) return { ...job, save: false }
  const methods = catalog.solvers.filter(({ id }) => id === 'rtn' || id === 'quantease')
  return methods.reduce((made, { id }) => addRun(catalog, made, id, demo ? { bits: 2 } : {}), job)
}

/** Measured as before, so that a checkpoint loaded back can be compared with what it came from. */
export function measureLike(job: Job, evaluation: EvaluationSpec, model: ModelSummary): Job {
  return { ...job, evaluation: { ...evaluation, length: Math.min(evaluation.length, model.maxPositions || evaluation.length) } }
}

export function addRun(catalog: Catalog, job: Job, method: string, options: Options = {}): Job {
  return { ...job, runs: [...job.runs, named(catalog, job.runs, { id: freshId(job), label: '', method, options })] }
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
        next.options = Object.fromEntries(Object.entries(run.options).filter(([key]) => keys.has(key)))
      }
      const others = job.runs.filter((other) => other.id !== id)
      if (change.label === undefined) return isNamedByUs(catalog, run) ? named(catalog, others, next) : next
      return change.label.trim() ? next : named(catalog, others, next)
    }),
  }
}

function ourName(catalog: Catalog, run: RunSpec): string {
  const solver = catalog.solvers.find(({ id }) => id === run.method)
  const bits = optionsOf(catalog, run.method).find((spec) => spec.key === 'bits')
  return `${solver?.label ?? run.method}${bits ? ` ${optionValue(bits, run.options)}-bit` : ''}`
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

// ---------------------------------------------------------------- what the check says

export type Check = { state: 'pending' } | { state: 'done'; result: JobCheck } | { state: 'failed'; problem: Problem }

export function problemsOf(check: Check): Problem[] {
  if (check.state === 'done') return check.result.problems
  return check.state === 'failed' ? [check.problem] : []
}

/** "QuantEase 2-bit, group size": where a problem is, for a list that stands apart from the field. */
export function placeOf(catalog: Catalog, job: Job, field: string): string {
  const [part, index, , key] = field.split('.')
  if (part !== 'runs') return { calibration: 'Calibration', evaluation: 'Evaluation', seed: 'Seed' }[part] ?? ''
  const run = job.runs[Number(index)]
  if (!run) return ''
  const spec = optionsOf(catalog, run.method).find((each) => each.key === key)
  return spec ? `${run.label}, ${lower(spec.label)}` : run.label
}
