/** What the check of a plan says, and where. */
import type { Catalog } from '../engine/job/catalog.ts'
import type { JobCheck } from '../engine/job/check.ts'
import type { Job } from '../engine/job/job.ts'
import type { Problem } from '../engine/job/model.ts'
import { optionsOf, lower } from './plan.ts'

export type Check = { state: 'pending' } | { state: 'done'; result: JobCheck } | { state: 'failed'; problem: Problem }

/** What a check of an earlier state of the plan found of a run, if that run is still the same; the texts may be others. */
export function knownOf(last: { job: Job; result: JobCheck } | null, job: Job, id: string): JobCheck['runs'][number] | null {
  const facts = ({ formats, runs }: Job) => {
    const { label: _, ...run } = runs.find((one) => one.id === id) ?? { label: '' }
    return JSON.stringify([formats, run])
  }
  return last && facts(last.job) === facts(job) ? (last.result.runs.find((run) => run.id === id) ?? null) : null
}

/** What may be otherwise at the next check, though the plan stays as it is. */
const passing = new Set<Problem['code']>(['cancelled', 'offline', 'hub-unreachable', 'hub-busy', 'hub-answer'])

export const mayPass = (check: Check) => problemsOf(check).some(({ code }) => passing.has(code))

export function problemsOf(check: Check): Problem[] {
  if (check.state === 'done') return check.result.problems
  return check.state === 'failed' ? [check.problem] : []
}

/** "QuantEase 2-bit, group size": where a problem is, for a list that stands apart from the field. */
export function placeOf(catalog: Catalog, job: Job, field: string): string {
  const [part, index, , key] = field.split('.')
  if (part !== 'runs')
    return { calibration: 'Calibration', evaluation: 'Evaluation', lambada: 'Last words', seed: 'Seed', formats: 'Checkpoint' }[part] ?? ''
  const run = job.runs[Number(index)]
  if (!run) return ''
  const spec = optionsOf(catalog, run.method).find((each) => each.key === key)
  return spec ? `${run.label}, ${lower(spec.label)}` : run.label
}

/** Whether a problem is in sight at its field: of the texts and formats, and of the run that is chosen. */
export function isAtField(job: Job, chosen: string | null, field = ''): boolean {
  const own = job.runs.findIndex(({ id }) => id === chosen)
  return /^(calibration|evaluation|lambada|seed|formats)\b/.test(field) || (own >= 0 && field.startsWith(`runs.${own}.`))
}

/** A problem that several runs share is told once, with the places where it is. */
export function mergeProblems(problems: (Problem & { place: string })[]): (Problem & { place: string })[] {
  const merged = new Map<string, { problem: Problem; places: Set<string> }>()
  for (const { place, ...problem } of problems) {
    const key = JSON.stringify([problem.severity, problem.message, problem.hint])
    const known = merged.get(key) ?? { problem, places: new Set<string>() }
    merged.set(key, { ...known, places: place ? known.places.add(place) : known.places })
  }
  return [...merged.values()].map(({ problem, places }) => {
    const all = [...places]
    return { ...problem, place: all.length > 3 ? `${all.slice(0, 2).join('; ')} and ${all.length - 2} more` : all.join('; ') }
  })
}
