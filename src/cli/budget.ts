/** `--target-bpw` and `--target-size`: the mixture of widths that fills a budget, and how it does beside uniform runs. */
import { Control } from '../engine/control.ts'
import type { Host } from '../engine/host.ts'
import { memoryStore } from '../engine/hosts/node.ts'
import type { RunEvent } from '../engine/job/events.ts'
import type { Job, RunSpec } from '../engine/job/job.ts'
import { type Budget, type ForeseenKl, foreseenKl, type Mix, mixInWords, widthInWords } from '../engine/job/mix.ts'
import type { JobReport } from '../engine/job/report.ts'
import type { RunResult } from '../engine/job/result.ts'
import type { Options } from '../options.ts'
import { overrideText } from '../overrides.ts'
import { chooseMix } from '../engine/run/mix.ts'
import { runJob } from '../engine/run/run.ts'
import type { Session } from '../engine/session.ts'
import { fromErrorData, WorkbenchError } from '../errors.ts'
import { stopOnSignals } from './process.ts'
import type { Speaker } from './speaker.ts'
import { figure } from '../figure.ts'
import { shown } from './result.ts'

/** The probe, the uniform runs, the mixture. */
const STEPS = 3

/** A mixture, and the uniform runs that it is measured beside. */
export interface Mixed {
  mix: Mix
  uniform: RunResult[]
  /** Of these, as they were asked for. */
  specs: RunSpec[]
}

/** How a run that fills a budget is called. */
export const labelWithin = (label: string, budget: Budget) => `${label}, at most ${sizeText(budget, budget.bytes ?? budget.bitsPerWeight!)}`

/** The report of a budget's job: of the mixture and of the uniform runs beside it, so that repeating it repeats all of them. */
export const reportWith = (report: JobReport, { specs, uniform }: Pick<Mixed, 'specs' | 'uniform'>): JobReport => ({
  ...report,
  job: { ...report.job, runs: [...report.job.runs, ...specs] },
  runs: [...report.runs, ...uniform],
})

/** Chooses the mixture of a job's run, and measures the uniform runs of the nearest sizes. */
export async function mixed(session: Session, job: Job, budget: Budget, network: Host['network'], say: Speaker): Promise<Mixed> {
  const control = new Control()
  const undo = stopOnSignals(control)
  const host = {
    session,
    control,
    emit: (event: RunEvent) => say.hear(event),
    sink: () => Promise.reject(new Error('Nothing is written here.')),
    journal: memoryStore(),
    network,
  } satisfies Host
  try {
    say.step(1, STEPS, 'what each width costs, linear by linear.')
    const mix = await chooseMix(job, budget, host)
    for (const line of mixText(mix)) say.note(line)
    const specs = uniformRuns(job, mix)
    const uniform = await measured({ ...job, runs: specs }, host, say)
    say.step(STEPS, STEPS, 'the mixture.')
    return { mix, uniform, specs }
  } finally {
    undo()
  }
}

/** The uniform runs beside a mixture. */
function uniformRuns({ runs: [spec] }: Job, mix: Mix): RunSpec[] {
  return mix.uniform.map(({ options }, i) => {
    const label = `${spec.label}, all linears at ${widthInWords(options)}`
    const own = { ...withoutFixed(spec.options, options), ...options, ...mix.ends }
    return { ...spec, id: `uniform-${i}`, label, options: own, overrides: [] }
  })
}

/** @throws {WorkbenchError} what a run failed of, `cancelled` */
async function measured(job: Job, host: Host, say: Speaker): Promise<RunResult[]> {
  say.step(2, STEPS, `uniform runs to measure it beside: ${job.runs.map(({ label }) => label).join('; ')}.`)
  const report = await runJob({ ...job, save: false, keepSolved: false }, { ...host, journal: memoryStore() })
  if (host.control.cancelled) throw new WorkbenchError('cancelled', 'The run was cancelled.')
  const failed = report.runs.find(({ error }) => error)?.error
  if (failed) throw fromErrorData(failed)
  return report.runs
}

/** A type of GGUF says itself what bits it has. */
function withoutFixed(options: Options, given: Options): Options {
  if (given.kind === undefined) return options
  return Object.fromEntries(Object.entries(options).filter(([key]) => !['bits', 'groupSize', 'symmetric', 'grid'].includes(key)))
}

const sizeText = ({ bytes }: Budget, size: number) =>
  bytes === undefined ? `${size.toFixed(3)} bits per weight` : `${(size / 2 ** 20).toFixed(2)} MiB`

/** The mixture in lines: its size, what it gives to which linears, and what is foreseen of it. */
export function mixText(mix: Mix): string[] {
  const { budget, size, overrides } = mix
  const asked = sizeText(budget, budget.bytes ?? budget.bitsPerWeight!)
  const which = mix.largest ? `The largest mixture, which ${asked} is more than,` : `The best mixture within ${asked}`
  return [
    `${which} takes ${sizeText(budget, size)}: ${mixInWords(mix)}.`,
    ...overrides.map((override) => `  --override '${overrideText(override)}'`),
    `Foreseen: ${foreseenText(foreseenKl(mix, mix.predicted))}.`,
  ]
}

/** How much more divergence the first has than the second, over the windows that both were measured on; with its standard error. */
function apart(a: RunResult, b: RunResult): { kl: number; error: number | null } {
  const kl = (a.kl ?? 0) - (b.kl ?? 0)
  const [mine, theirs] = [a.windows?.kl, b.windows?.kl]
  if (!mine || !theirs || mine.length < 2) return { kl, error: null }
  const each = mine.map((value, i) => value - theirs[i])
  const mean = each.reduce((sum, value) => sum + value, 0) / each.length
  const squares = each.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { kl, error: Math.sqrt(squares / (each.length - 1) / each.length) }
}

/** The uniform run within the budget that does better than the mixture; null where none does. */
function better({ mix: { uniform: sizes, budget }, uniform }: Mixed, run: RunResult): RunResult | null {
  const asked = budget.bytes ?? budget.bitsPerWeight!
  return uniform.find((one, i) => sizes[i].size <= asked && (one.kl ?? 0) < (run.kl ?? 0)) ?? null
}

const measuredOf = ({ mix, uniform }: Mixed) => uniform.map(({ kl }, i) => ({ options: mix.uniform[i].options, kl }))

const foreseenText = ({ kl, by }: ForeseenKl) =>
  `KL about ${figure(kl)} nats${by === 'prices' ? ', an estimate that may be off by a factor of two' : ', by the measured uniform runs'}`

/** For `--json`. */
export function budgetOf(found: Mixed, run: RunResult) {
  const { budget, parts, size, predicted, bound, uniform } = found.mix
  const measured = measuredOf(found)
  const foreseen = foreseenKl(found.mix, predicted, measured)
  return {
    ...(budget.bytes === undefined ? { target_bpw: budget.bitsPerWeight } : { target_bytes: Math.floor(budget.bytes) }),
    size,
    predicted_kl: foreseen.kl,
    predicted_by: foreseen.by,
    predicted_bound: foreseenKl(found.mix, bound, measured).kl,
    predicted_kl_by_prices: predicted,
    parts: parts.map(({ linears, options, errors, price }) => ({
      linears,
      ...options,
      price,
      errors: errors.map(({ options: of, error }) => ({ ...of, error })),
    })),
    uniform: found.uniform.map((one, i) => ({
      ...uniform[i].options,
      size: uniform[i].size,
      bits_per_weight: one.bitsPerWeight,
      kl: one.kl,
      perplexity: one.perplexity,
      kl_more_than_mixture: apart(one, run),
    })),
    better: better(found, run) === null ? 'mixture' : 'uniform',
  }
}

/** How the mixture did, in lines. */
export function budgetText(found: Mixed, { runs: [run] }: JobReport): string {
  const { mix, uniform } = found
  const foreseen = foreseenKl(mix, mix.predicted, measuredOf(found))
  const lines = [`Foreseen for the mixture: ${foreseenText(foreseen)}; measured: ${shown(run.kl)}`]
  lines.push(
    ...uniform.map((one, i) => {
      const { kl, error } = apart(one, run)
      const more = `${kl < 0 ? 'less' : 'more'} than the mixture by ${shown(Math.abs(kl))}${error === null ? '' : ` ± ${figure(error)}`}`
      return `All linears at ${widthInWords(mix.uniform[i].options)}: ${sizeText(mix.budget, mix.uniform[i].size)}, KL ${shown(one.kl)} nats, ${more}; perplexity ${one.perplexity?.toFixed(3)}`
    }),
  )
  const uniformly = better(found, run)
  if (uniformly) lines.push('That uniform run is better than the mixture here: leave the target out, and ask for its width.')
  return `${lines.join('\n')}\n`
}
