/** Pure functions on kept jobs: which can stand beside each other, how they do, and which make room. */
import type { Job } from '../engine/job/job.ts'
import type { KeptJob } from '../engine/job/kept.ts'
import { inWords } from '../errors.ts'
import * as format from './format.ts'
import type { JobView } from './reduce.ts'
import type { Question, Shown } from './store/state.ts'

/** The results of one kept job: every run is its own. */
export function shownOf(id: string, { runs }: Job): Shown {
  return { jobs: [id], runs: Object.fromEntries(runs.map(({ id: run }) => [run, { job: id, run }])) }
}

/** "30 Nov 2026, 09:12", in the person's own manner. */
export const when = (iso: string) => new Date(iso).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })

/** The run that a job is best known by: of the least KL, or the least perplexity where that was not measured. */
export function bestRun({ runs }: Pick<KeptJob, 'runs'>): KeptJob['runs'][number] | null {
  const loss = ({ kl, perplexity }: KeptJob['runs'][number]) => kl ?? perplexity ?? Number.POSITIVE_INFINITY
  const measured = runs.filter((run) => Number.isFinite(loss(run)))
  return measured.reduce<KeptJob['runs'][number] | null>((best, run) => (best && loss(best) <= loss(run) ? best : run), null)
}

/** Why the figures of these jobs cannot stand in one table; null where they can. */
export function whyNotCompared(jobs: KeptJob[]): string | null {
  const [first, ...others] = jobs
  const differing = (of: (job: KeptJob) => string | number | undefined) => others.some((job) => of(job) !== of(first))
  const open = jobs.filter(({ texts }) => !texts)
  if (open.length) return `The job of ${when(open[0].started)} has no results yet.`
  const found = [
    differing(({ model }) => model.sha256) && `the models (${names(jobs.map(({ model }) => model.name))})`,
    differing(({ texts }) => texts!.evaluation.tokensSha256) &&
      `the evaluation windows (${names(jobs.map(({ texts }) => `${texts!.evaluation.name}, ${format.count(texts!.evaluation.tokens)} tokens`))})`,
    differing(({ texts }) => texts!.lambada?.tokensSha256) && 'the passages for last words',
  ].filter((part) => part !== false)
  return found.length ? `They cannot stand in one table: ${inWords(found, 'and')} differ.` : null
}

/** What differs between jobs that can be compared, and has to be known to read their figures. */
export function differencesOf(jobs: KeptJob[]): string | null {
  const [first, ...others] = jobs
  const same = others.every(({ texts }) => texts?.calibration?.tokensSha256 === first.texts?.calibration?.tokensSha256)
  if (same) return null
  const texts = jobs.map(({ texts }) =>
    texts?.calibration ? `${texts.calibration.name}, ${format.count(texts.calibration.tokens)} tokens` : 'none',
  )
  return `They were calibrated on other windows (${names(texts)}).`
}

const names = (all: string[]) => {
  const each = [...new Set(all)]
  return each.length > 1 ? each.join('; ') : `both ${each[0]}`
}

/** The runs of several jobs in one view: numbered anew, so that each has looks of its own, and named apart. */
export function beside(jobs: { id: string; view: JobView }[]): { view: JobView; shown: Shown } {
  const [{ view: first }] = jobs
  const shown: Shown = { jobs: jobs.map(({ id }) => id), runs: {} }
  const specs: Job['runs'] = []
  const runs: JobView['runs'] = []
  const days = new Set(jobs.map(({ view }) => new Date(view.report?.started ?? 0).toDateString())).size
  const labels = jobs.flatMap(({ view }) => view.job.runs.map(({ label }) => label))
  for (const { id: job, view } of jobs) {
    const started = startOf(view, days)
    for (const run of view.runs) {
      const id = `run-${runs.length + 1}`
      const shared = labels.filter((label) => label === run.label).length > 1
      const label = apart(shared && started ? `${run.label}, ${started}` : run.label, runs)
      shown.runs[id] = { job, run: run.id }
      specs.push({ ...view.job.runs.find((spec) => spec.id === run.id)!, id, label })
      runs.push({ ...run, id, label, result: run.result && { ...run.result, run: id } })
    }
  }
  const layers = jobs.reduce((most, { view }) => (view.layers.length > most.length ? view.layers : most), first.layers)
  const view: JobView = {
    ...first,
    job: { ...first.job, runs: specs },
    runs,
    layers,
    blocks: Math.max(...jobs.map(({ view }) => view.blocks)),
    notices: [],
    memory: { held: 0, holdings: [], peak: 0, series: [] },
    // No single report tells of all of them.
    report: null,
    error: null,
    announcement: `${format.plural(runs.length, 'run')} of ${format.plural(jobs.length, 'job')}.`,
  }
  return { view, shown }
}

/** What tells a job from others of the same day, or of several. */
function startOf({ report }: JobView, days: number): string | null {
  const short: Intl.DateTimeFormatOptions =
    days > 1 ? { month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' } : { timeStyle: 'medium' }
  return report && new Date(report.started).toLocaleString(undefined, short)
}

function apart(name: string, others: { label: string }[]): string {
  let label = name
  for (let n = 2; others.some((other) => other.label === label); n++) label = `${name} (${n})`
  return label
}

/** Of the room that the browser grants, what may be counted on: what it says is a guess. */
const roomShare = 0.9

export const roomIn = ({ quota, usage }: { quota: number; usage: number }) => Math.max(0, roomShare * quota - usage)

/** Finished jobs whose checkpoints make so many bytes of room, the oldest first; all of them where that is not enough. */
export function oldestCheckpoints(jobs: KeptJob[], bytes: number): KeptJob[] {
  const going: KeptJob[] = []
  let room = 0
  for (const job of jobs.toSorted((a, b) => (a.started < b.started ? -1 : 1))) {
    if (room >= bytes) break
    if (!job.finished || job.busy || !(job.runs.some(({ written }) => written) || job.keepsSolved) || job.bytes === 0) continue
    going.push(job)
    room += job.bytes
  }
  return going
}

export function askForRoom(going: KeptJob[], bytes: number): Question {
  const freed = going.reduce((sum, job) => sum + job.bytes, 0)
  return {
    title: 'Delete old checkpoints to make room?',
    action: `Delete them and start`,
    lines: [
      `This job writes about ${format.bytes(bytes)}, and this browser has no room for it.`,
      `The oldest checkpoints take ${format.bytes(freed)}: ${going.map((job) => `${job.model.name}, ${when(job.started)} (${job.runs.map(({ label }) => `“${label}”`).join('; ')}; ${format.bytes(job.bytes)})`).join('. ')}.`,
      'Their figures and charts stay. Save the checkpoints first if they are still needed.',
    ],
  }
}
