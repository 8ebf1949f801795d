/** Mixtures of widths in the plan. Pure. */
import type { Catalog } from '../engine/job/catalog.ts'
import type { Job, RunSpec } from '../engine/job/job.ts'
import type { Mix } from '../engine/job/mix.ts'
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

/** Options of a run that no type of its own decides. */
function withoutFixed(catalog: Catalog, { method, options }: RunSpec): Options {
  const kinds = optionsOf(catalog, method).find(({ key }) => key === 'kind')
  const fixed = new Set(kinds?.type === 'choice' ? kinds.choices.flatMap(({ fixes }) => Object.keys(fixes ?? {})) : [])
  return Object.fromEntries(Object.entries(options).filter(([key]) => !fixed.has(key)))
}
