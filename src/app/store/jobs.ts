/** Actions on the jobs that the browser keeps: list, open, delete, restore, and make room. */
import type { JobFile } from '../../engine/hosts/client.ts'
import type { KeptJob } from '../../engine/job/kept.ts'
import type { ModelSummary } from '../../engine/job/model.ts'
import type { JobReport } from '../../engine/job/report.ts'
import { toErrorData, WorkbenchError } from '../../errors.ts'
import * as kept from '../kept.ts'
import { abort, begin, end, type JobView, reduce } from '../reduce.ts'
import * as textsOf from '../texts.ts'
import type { Core } from './core.ts'
import { open } from './model.ts'
import { firstLook, isBusy, nothingShown, type Ran, type Recorded, type Shown } from './state.ts'

/** Reads the list anew, and once more when no tab is at work any longer. */
export async function readJobs(core: Core) {
  try {
    await list(core)
    if (!core.get().jobs.some(({ busy }) => busy)) return
    await core.engine.idle()
    await list(core)
  } catch {
    // Where nothing can be kept, there is nothing to go on with.
    core.set({ jobs: [], discarded: [] })
  }
}

async function list(core: Core) {
  const all = await core.engine.jobs()
  core.set({ jobs: all.filter(({ deleted }) => !deleted), discarded: all.filter(({ deleted }) => deleted) })
}

/** Takes the texts of a kept job among those that can be chosen. */
export async function bringTexts(core: Core, id: string): Promise<boolean> {
  try {
    const { summary } = await core.engine.journal(id)
    if (!summary) return false
    const { job } = summary
    const named = [job.calibration, job.evaluation, ...(job.lambada ? [job.lambada] : [])].map(({ text }) => text)
    addTexts(core, [...(await core.engine.journalTexts(id)), ...textsOf.namedDatasets(named)])
    return true
  } catch (thrown) {
    core.fail(thrown)
    return false
  }
}

export function addTexts(core: Core, brought: ReturnType<typeof textsOf.namedDatasets>) {
  const known = new Set(core.get().texts.map(({ id }) => id))
  core.set({ texts: [...core.get().texts, ...brought.filter(({ id }) => !known.has(id))] })
}

/** A kept job as it was shown before the page was closed. Null where it is gone, or a tab is at work on it. */
async function look(core: Core, id: string): Promise<{ view: JobView; model: ModelSummary } | null> {
  const { busy, summary } = await core.engine.journal(id)
  if (!summary || busy) return null
  const { job, model, events, report } = summary
  const done = events.reduce<JobView>(reduce, begin(job))
  const view = report ? end(done, report) : abort(done, toErrorData(new WorkbenchError('cancelled', 'The job was interrupted.')))
  return { view, model }
}

const show = (core: Core, view: JobView, ran: Ran, shown: Shown, recorded: Recorded | null = null) => {
  const rest = { saving: {}, uploads: {}, again: null, lacks: null, fault: null }
  core.set({ ...firstLook, ...rest, view, ran, shown, recorded, spoken: view.announcement, step: 'results' })
}

/** Shows what a job or a sweep came to elsewhere: its runs, but not their checkpoints, which are where they were made. */
export function showReport(core: Core, report: JobReport, from: { name: string; file: JobFile }) {
  // Looks go by the number of a run; a sweep calls its runs by digests.
  const numbers = new Map(report.job.runs.map(({ id }, i) => [id, `run-${i + 1}`]))
  const job = { ...report.job, runs: report.job.runs.map((run) => ({ ...run, id: numbers.get(run.id)! })) }
  const here = { ...report, job, runs: report.runs.map((run) => ({ ...run, run: numbers.get(run.run)!, export: null })) }
  const { family, ...model } = report.model
  const familyLabel = core.get().catalog?.families.find(({ id }) => id === family)?.label ?? family
  const view = reduce(begin(job), { type: 'job-end', report: here })
  show(core, view, { ...model, familyLabel, tensors: [] }, nothingShown, { kind: 'report', ...from })
}

/** Shows what a kept job has done. */
async function openResults(core: Core, id: string) {
  if (isBusy(core.get()) || !(await bringTexts(core, id))) return
  try {
    const found = await look(core, id)
    if (found) show(core, found.view, found.model, kept.shownOf(id, found.view.job))
    else await readJobs(core)
  } catch (thrown) {
    core.fail(thrown)
  }
}

/** Shows the runs of several kept jobs beside each other. */
async function compareJobs(core: Core, ids: string[]) {
  const { jobs } = core.get()
  const chosen = ids.flatMap((id) => jobs.find((job) => job.id === id) ?? [])
  if (isBusy(core.get()) || chosen.length < 2 || kept.whyNotCompared(chosen)) return
  try {
    const views: { id: string; view: JobView; model: ModelSummary }[] = []
    for (const { id } of chosen) {
      const found = (await bringTexts(core, id)) && (await look(core, id))
      if (found) views.push({ id, ...found })
    }
    if (views.length < 2) return await readJobs(core)
    const { view, shown } = kept.beside(views)
    show(core, view, views[0].model, shown)
  } catch (thrown) {
    core.fail(thrown)
  }
}

/** Deletes a job, which can be brought back until its storage is freed. */
async function discard(core: Core, id: string) {
  const going = core.get().jobs.find((job) => job.id === id)
  if (!going) return
  try {
    await core.engine.discard(id)
    const { shown, view, jobs, discarded } = core.get()
    const gone = shown.jobs.includes(id) && !isBusy(core.get())
    core.set({
      discarded: [going, ...discarded],
      jobs: jobs.filter((job) => job.id !== id),
      spoken: `The job on ${going.model.name} was deleted. It can be brought back.`,
      ...(gone && view && { view: null, ran: null, shown: nothingShown, again: null, step: 'model' }),
    })
  } catch (thrown) {
    core.fail(thrown)
  }
}

async function restore(core: Core, id: string) {
  const back = core.get().discarded.find((job) => job.id === id)
  if (!back) return
  try {
    await core.engine.restore(id)
    core.set({ spoken: `The job on ${back.model.name} is back.` })
    await readJobs(core)
  } catch (thrown) {
    core.fail(thrown)
  }
}

/** Frees what these discarded jobs take. */
async function sweep(core: Core, ids: string[]) {
  core.set({ discarded: core.get().discarded.filter(({ id }) => !ids.includes(id)) })
  await core.engine.sweep(ids).catch(core.fail)
}

const sweepAll = (core: Core) =>
  sweep(
    core,
    core.get().discarded.map(({ id }) => id),
  )

/**
 * Makes room for a job that will write so many bytes, as far as the person agrees: what was discarded goes first, then checkpoints, the
 * oldest first. False where the person would rather keep them.
 */
export async function makeRoom(core: Core, bytes: number): Promise<boolean> {
  const free = async () => {
    const { quota, usage } = await core.engine.cacheInfo()
    return quota ? kept.roomIn({ quota, usage }) : Number.POSITIVE_INFINITY
  }
  try {
    if ((await free()) >= bytes) return true
    await sweepAll(core)
    const missing = bytes - (await free())
    const going = missing > 0 ? kept.oldestCheckpoints(core.get().jobs, missing) : []
    if (!going.length) return true
    if (!(await core.confirm(kept.askForRoom(going, bytes)))) return false
    await freeCheckpoints(
      core,
      going.map(({ id }) => id),
    )
    await readJobs(core)
    return true
  } catch (thrown) {
    core.fail(thrown)
    return false
  }
}

/** Frees what was discarded before, and then what the checkpoints of these jobs take; one that another tab needs stays. */
export async function freeCheckpoints(core: Core, ids: string[]) {
  await sweepAll(core)
  for (const id of ids) await core.engine.dropCheckpoints(id).catch(core.fail)
}

/** Looks at what is kept when the page is opened, says so of what is not finished, and frees what never came to be a job. */
export async function findJobs(core: Core) {
  await readJobs(core)
  const unfinished = core.get().jobs.find(({ finished, busy }) => !finished && !busy)
  if (unfinished) core.set({ spoken: `An unfinished job on ${unfinished.model.name} can be resumed.` })
  await core.engine.sweep([]).catch(() => {})
}

/** The job that is shown alone, in the list. */
export function shownJob({ jobs, shown }: { jobs: KeptJob[]; shown: Shown }): KeptJob | null {
  return (shown.jobs.length === 1 && jobs.find(({ id }) => id === shown.jobs[0])) || null
}

/** Shows what the demo did on another machine, and opens its model to be looked at. */
async function openRecording(core: Core) {
  if (isBusy(core.get())) return
  try {
    const answer = await fetch('demo/recording.json')
    if (!answer.ok) throw new WorkbenchError('file-missing', `The recording could not be fetched: the server answered ${answer.status}.`)
    const { model, report }: { model: ModelSummary; report: JobReport } = await answer.json()
    if (core.get().model.state === 'none') await open(core, { kind: 'demo' })
    show(core, reduce(begin(report.job), { type: 'job-end', report }), model, nothingShown, { kind: 'demo' })
  } catch (thrown) {
    core.fail(thrown)
  }
}

/** The actions of this file. */
export const actions = { openResults, compareJobs, openRecording, discard, restore, sweep }
