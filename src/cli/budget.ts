/** `--target-bpw` and `--target-size`: the mixture of widths that fills a budget, and how it does beside uniform runs. */
import { Control } from '../engine/control.ts'
import type { Host } from '../engine/host.ts'
import { memoryStore } from '../engine/hosts/node.ts'
import type { Job } from '../engine/job/job.ts'
import type { Budget, Mix } from '../engine/job/mix.ts'
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

/** A mixture, and the uniform runs that it is measured beside. */
export interface Mixed {
  mix: Mix
  uniform: RunResult[]
}

/** Chooses the mixture of a job's run, and measures the uniform runs of the nearest sizes. */
export async function mixed(session: Session, job: Job, budget: Budget, network: Host['network'], say: Speaker): Promise<Mixed> {
  const control = new Control()
  stopOnSignals(control)
  const host: Host = {
    session,
    control,
    emit: (event) => say.hear(event),
    sink: () => Promise.reject(new Error('Nothing is written here.')),
    journal: memoryStore(),
    network,
  }
  say.note('Measuring what each width costs, linear by linear.')
  const mix = await chooseMix(job, budget, host)
  say.done()
  for (const line of mixText(mix)) say.note(line)
  const [spec] = job.runs
  const runs = mix.uniform.map(({ options }, i) => {
    const label = `${spec.label}, all linears at ${gridText(options)}`
    return {
      ...spec,
      id: `uniform-${i}`,
      label,
      options: { ...withoutFixed(spec.options, options), ...options, ...mix.ends },
      overrides: [],
    }
  })
  say.note(`Measuring beside it: ${runs.map(({ label }) => label).join('; ')}.`)
  const report = await runJob({ ...job, runs, save: false, keepSolved: false }, { ...host, journal: memoryStore() })
  say.done()
  if (control.cancelled) throw new WorkbenchError('cancelled', 'The run was cancelled.')
  const failed = report.runs.find(({ error }) => error)?.error
  if (failed) throw fromErrorData(failed)
  return { mix, uniform: report.runs }
}

/** A type of GGUF says itself what bits it has. */
function withoutFixed(options: Options, given: Options): Options {
  if (given.kind === undefined) return options
  return Object.fromEntries(Object.entries(options).filter(([key]) => !['bits', 'groupSize', 'symmetric', 'grid'].includes(key)))
}

const gridText = ({ kind, bits }: Options) => (kind === undefined ? `${bits} bits` : String(kind).toUpperCase())
const sizeText = ({ bytes }: Budget, size: number) =>
  bytes === undefined ? `${size.toFixed(3)} bits per weight` : `${(size / 2 ** 20).toFixed(2)} MiB`

/** The mixture in lines: its size, and what it gives to which linears. */
function mixText({ budget, parts, size, overrides }: Mix): string[] {
  const counts = new Map<string, number>()
  for (const { linears, options } of parts) counts.set(gridText(options), (counts.get(gridText(options)) ?? 0) + linears.length)
  return [
    `The best mixture within ${sizeText(budget, budget.bytes ?? budget.bitsPerWeight!)} takes ${sizeText(budget, size)}: ${[...counts].map(([grid, count]) => `${count} linears at ${grid}`).join(', ')}.`,
    ...overrides.map((override) => `  --override '${overrideText(override)}'`),
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

/**
 * What prices foretell is too low by about the same factor for the mixture and for the uniform runs beside it: what these were measured at,
 * over what was foreseen for them, their geometric mean. 1 where nothing can be compared.
 */
export function measuredOver({ mix, uniform }: Pick<Mixed, 'uniform'> & { mix: Pick<Mix, 'uniform' | 'foreseen'> }): number {
  const same = (a: Options, b: Options) => a.kind === b.kind && a.bits === b.bits
  const logs = uniform.flatMap(({ kl }, i) => {
    const foreseen = mix.foreseen.find(({ options }) => same(options, mix.uniform[i].options))?.kl ?? 0
    return (kl ?? 0) > 0 && foreseen > 0 ? [Math.log(kl! / foreseen)] : []
  })
  return logs.length ? Math.exp(logs.reduce((sum, one) => sum + one, 0) / logs.length) : 1
}

/** For `--json`; what is foreseen is by the measured uniform runs. */
export function budgetOf(found: Mixed, run: RunResult) {
  const { budget, parts, size, predicted, bound, uniform } = found.mix
  const factor = measuredOver(found)
  return {
    ...(budget.bytes === undefined ? { target_bpw: budget.bitsPerWeight } : { target_bytes: budget.bytes }),
    size,
    predicted_kl: factor * predicted,
    predicted_bound: factor * bound,
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
  const lines = uniform.map((one, i) => {
    const { kl, error } = apart(one, run)
    const more = `${kl < 0 ? 'less' : 'more'} than the mixture by ${Math.abs(kl).toExponential(2)}${error === null ? '' : ` ± ${error.toExponential(1)}`}`
    return `All linears at ${gridText(mix.uniform[i].options)}: ${sizeText(mix.budget, mix.uniform[i].size)}, KL ${one.kl?.toExponential(2)} nats, ${more}; perplexity ${one.perplexity?.toFixed(3)}`
  })
  const uniformly = better(found, run)
  if (uniformly) lines.push('That uniform run is better than the mixture here: leave the target out, and ask for its width.')
  return `${lines.join('\n')}\n`
}
