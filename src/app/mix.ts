/** Mixtures of widths in the plan. Pure. */
import type { Catalog } from '../engine/job/catalog.ts'
import type { Job, RunSpec } from '../engine/job/job.ts'
import type { Mix, MixWidths } from '../engine/job/mix.ts'
import type { Options } from '../options.ts'
import * as format from './format.ts'
import { addRuns, editRun, missingRuns, optionsOf, setOverrides } from './plan.ts'

/** A run with a mixture in place of its overrides, and the uniform runs of the nearest sizes behind it, as far as they are not there. */
export function withMix(catalog: Catalog, job: Job, id: string, { overrides, budget, size, uniform, ends }: Mix): Job {
  const run = job.runs.find((each) => each.id === id)!
  const taken = budget.bytes === undefined ? `${format.bitsPerWeight(size)} bits` : format.bytes(size)
  const label = `${catalog.solvers.find(({ id: method }) => method === run.method)?.label ?? run.method} mixed, ${taken}`
  const mixed = setOverrides(editRun(catalog, job, id, { label, options: { ...run.options, ...ends } }), id, overrides)
  const beside = uniform.map(({ options }) => {
    const given = options.kind === undefined ? run.options : withoutFixed(catalog, run)
    return { method: run.method, options: { ...given, ...options, ...ends } }
  })
  // A run with overrides is none of these.
  const plain = { ...mixed, runs: mixed.runs.filter(({ overrides: own }) => !own?.length) }
  return addRuns(catalog, mixed, missingRuns(catalog, plain, beside))
}

/** Steps of the slider over its range, of sizes; bits per weight go by hundredths. */
const STEPS = 500

/**
 * A slider of budgets whose ends are all linears at the smallest width and all at the largest: its steps reach to both or just beyond.
 * `value`: the budget that was wished for, or one in the middle, as near as the widths allow; a wish may be of widths that are not there any
 * more. `at`: the step that stands for it.
 */
export function sliderOf(unit: keyof MixWidths, widths: MixWidths[keyof MixWidths], wished: number | undefined) {
  const [least, most] = [widths[0].size, widths.at(-1)!.size]
  const middle = Math.max(0, Math.floor(widths.length / 2) - 1)
  const between = (widths[middle].size + (widths[middle + 1] ?? widths[middle]).size) / 2
  const step = unit === 'bytes' ? Math.max(1, Math.round((most - least) / STEPS)) : 0.01
  const near = wished ?? (unit === 'bytes' ? Math.round(between) : Math.round(between * 100) / 100)
  const value = Math.min(most, Math.max(least, near))
  const stepped = (size: number, round: (steps: number) => number) =>
    unit === 'bytes' ? round(size / step) * step : round(size * 100) / 100
  const [low, high] = [stepped(least, Math.floor), stepped(most, Math.ceil)]
  return { low, high, step, at: value === least ? low : value === most ? high : stepped(value, Math.round), value }
}

/** Whether a mixture that was found for the run of one job is for the plan as it is. */
export function isMixOf(of: Job, job: Job | null): boolean {
  const [asked] = of.runs
  const facts = ({ calibration, seed, formats }: Job, { method, options }: RunSpec) =>
    JSON.stringify([calibration, seed, formats, method, options])
  const run = job?.runs.find(({ id }) => id === asked.id)
  return run !== undefined && facts(of, asked) === facts(job!, run)
}

/** Options of a run that no type of its own decides. */
function withoutFixed(catalog: Catalog, { method, options }: RunSpec): Options {
  const kinds = optionsOf(catalog, method).find(({ key }) => key === 'kind')
  const fixed = new Set(kinds?.type === 'choice' ? kinds.choices.flatMap(({ fixes }) => Object.keys(fixes ?? {})) : [])
  return Object.fromEntries(Object.entries(options).filter(([key]) => !fixed.has(key)))
}
