/** Actions on running jobs: start, resume, pause and cancel. */
import type { RunEvent } from '../../engine/job/events.ts'
import type { Job } from '../../engine/job/job.ts'
import { newJobId, type JournalSummary, type KeptJob } from '../../engine/job/kept.ts'
import type { ModelOrigin, ModelSummary } from '../../engine/job/model.ts'
import type { JobReport } from '../../engine/job/report.ts'
import type { ModelSource } from '../../engine/hosts/client.ts'
import { type ErrorData, toErrorData } from '../../errors.ts'
import { pickAgain } from '../files.ts'
import { asWritten, chooseFormat, keepsSolved } from '../formats.ts'
import { shownOf } from '../kept.ts'
import { abort, begin, end, type JobView, reduce } from '../reduce.ts'
import { type Core, redrawEvery } from './core.ts'
import { bringTexts, freeCheckpoints, makeRoom, readJobs, shownJob } from './jobs.ts'
import { open } from './model.ts'
import { check, edit } from './planning.ts'
import { firstLook, isBusy, type Lack, nothingShown, type Shown, type State, type Step } from './state.ts'

/** What refuses a job before it touches what is kept. */
const notBegun = new Set<ErrorData['code']>(['journal-busy', 'journal-mismatch', 'journal-kept'])

/** Every job is kept beside the others, and a measurement is soon made again. */
async function start(core: Core) {
  const { job: planned, model, check, cache } = core.get()
  if (!planned || model.state !== 'ready' || isBusy(core.get())) return
  const done = check.state === 'done' ? check.result : null
  const { keepSolved: _, ...rest } = planned
  const kept = keepsSolved(planned, done, cache)
  const written = done?.runs.reduce((sum, run) => sum + (planned.save ? run.checkpointBytes : 0) + (kept ? run.solvedBytes : 0), 0) ?? 0
  if (written && !(await makeRoom(core, written))) return
  const job = kept ? { ...rest, keepSolved: true } : rest
  const id = newJobId()
  const shown = job.runs.length ? shownOf(id, job) : nothingShown
  await launch(core, job, model.summary, shown, (hear) => core.engine.start(id, job, hear))
}

async function launch(
  core: Core,
  job: Job,
  model: ModelSummary,
  shown: Shown,
  run: (hear: (event: RunEvent) => void) => Promise<JobReport>,
) {
  clearTimeout(core.checkDue)
  const { view: before, ran, shown: shownBefore, saving, uploads, step } = core.get()
  // How large the model is decides how much room the charts take.
  const first = { ...begin(job), blocks: model.blocks }
  core.set({
    fault: null,
    dropped: null,
    again: null,
    lacks: null,
    recorded: null,
    shown,
    view: first,
    spoken: first.announcement,
    ran: model,
    ...firstLook,
    step: 'run',
    asked: null,
    saving: {},
    uploads: {},
  })

  let queue: RunEvent[] = []
  let due: ReturnType<typeof setTimeout> | undefined
  const flush = () => {
    clearTimeout(due)
    due = undefined
    const events = queue
    queue = []
    hear(core, events)
  }
  try {
    const report = await run((event) => {
      queue.push(event)
      due ??= setTimeout(flush, redrawEvery)
    })
    flush()
    conclude(core, (view) => end(view, report))
  } catch (thrown) {
    const error = toErrorData(thrown)
    flush()
    // Nothing has begun, so the page is as it was.
    if (notBegun.has(error.code))
      core.set({ view: before, ran, shown: shownBefore, saving, uploads, step, spoken: error.message, fault: error, asked: null })
    else conclude(core, (view) => abort(view, error))
  }
  await readJobs(core)
  // The demo starts before its plan is checked; and what a job took tells better what the next one will.
  check(core)
}

/** What happened since the page was last redrawn. */
function hear(core: Core, events: RunEvent[]) {
  const { view } = core.get()
  if (!view || !events.length) return
  const said: string[] = []
  const next = events.reduce((before, event) => {
    const after = reduce(before, event)
    if (after.announcement !== before.announcement) said.push(after.announcement)
    return after
  }, view)
  // A disk that is still full brings a job back to where it was.
  const moved = next.phase !== view.phase || events.some(({ type }) => type === 'paused' || type === 'resumed')
  const settled = moved && core.get().asked !== 'cancel'
  core.set({ view: next, ...(settled && { asked: null }), ...(said.length && { spoken: said.join(' ') }) })
}

function conclude(core: Core, change: (view: JobView) => JobView) {
  const { view: before, spoken } = core.get()
  const view = change(before!)
  core.set({ view, spoken: view.announcement === before!.announcement ? spoken : `${spoken} ${view.announcement}`, asked: null })
}

/** One click from nothing to moving charts. */
async function tryDemo(core: Core) {
  if (await open(core, { kind: 'demo' }, 'model', false)) await start(core)
}

async function ask(core: Core, what: 'pause' | 'resume' | 'cancel') {
  core.set({ asked: what })
  try {
    await core.engine[what]()
  } catch (thrown) {
    core.set({ asked: null })
    core.fail(thrown)
  }
}

/** Deletes the checkpoints of these jobs, and goes on with the job that waits for room. */
async function freeAndGoOn(core: Core, ids: string[]) {
  core.set({ asked: 'resume' })
  await freeCheckpoints(core, ids)
  // Ends when no tab is at work.
  readJobs(core)
  await ask(core, 'resume')
}

const pause = (core: Core) => ask(core, 'pause')
const resume = (core: Core) => ask(core, 'resume')
const cancel = (core: Core) => ask(core, 'cancel')

// ---------------------------------------------------------------- again

/** Whether the model that is open may be the one that a job ran on; the engine compares what it holds. */
export function isOf(model: State['model'], origin: ModelOrigin): boolean {
  if (model.state !== 'ready') return false
  const { source, name } = model.summary
  if (origin.kind === 'demo') return model.demo
  if (origin.kind === 'hub') return source?.repo === origin.repo && source.revision === origin.revision
  return !source && !model.demo && name === origin.name
}

/**
 * Opens the model that a kept job ran on, if it is not open, to do something with it. False when the person has to bring it. `next`: as
 * `open` has it.
 */
export async function reopen(
  core: Core,
  job: string | null,
  origin: ModelOrigin,
  wanted: Lack['wanted'],
  next: Step | null = 'model',
): Promise<boolean> {
  if (isOf(core.get().model, origin)) return true
  if (origin.kind !== 'files') return open(core, sourceOf(origin), next)
  // Said before the browser asks: its question may go unnoticed, or never come.
  const lack: Lack = { job, name: origin.name, wanted }
  core.set({ lacks: lack, spoken: `Choose or drop the folder ${origin.name} again.` })
  const picked = await pickAgain(origin.name, true)
  // It may have been dropped meanwhile.
  if (core.get().lacks !== lack) return false
  return picked !== null && open(core, { kind: 'files', ...picked }, next)
}

const sourceOf = (origin: Exclude<ModelOrigin, { kind: 'files' }>): ModelSource =>
  origin.kind === 'demo' ? { kind: 'demo' } : { kind: 'hub', repo: origin.repo, revision: origin.revision }

/** Of the jobs that are shown, which are of one model, the first. */
export const firstShown = ({ jobs, shown }: State): KeptJob | null => jobs.find(({ id }) => id === shown.jobs[0]) ?? null

/** Opens the model of the results that are shown, where none is open and nothing has to be asked; what is shown stays. */
export async function bringModel(core: Core): Promise<void> {
  const { origin } = firstShown(core.get()) ?? {}
  if (!origin || !['none', 'refused'].includes(core.get().model.state) || isBusy(core.get())) return
  const picked = origin.kind === 'files' ? await pickAgain(origin.name, false) : null
  if (origin.kind !== 'files') await open(core, sourceOf(origin), null)
  else if (picked) await open(core, { kind: 'files', ...picked }, null)
}

/** The same where that has to be asked, or another model is open: in a click. */
async function openShownModel(core: Core) {
  const { id, origin } = firstShown(core.get()) ?? {}
  if (id && origin && !isBusy(core.get()) && (await reopen(core, id, origin, 'look', null))) core.set({ lacks: null })
}

/** A kept job that no tab is at work on; the list is read anew where there is none. */
async function keptOf(core: Core, id: string): Promise<JournalSummary | null> {
  try {
    const { busy, summary } = await core.engine.journal(id)
    if (summary && !busy) return summary
    await readJobs(core)
  } catch (thrown) {
    core.fail(thrown)
  }
  return null
}

/** Goes on with a kept job. `opened`: its model was opened for this. */
export async function goOn(core: Core, id: string, opened = false) {
  const kept = isBusy(core.get()) ? null : await keptOf(core, id)
  const { job: planned } = core.get()
  if (!kept || !(await reopen(core, id, kept.origin, 'resume'))) return
  const { model } = core.get()
  if (model.state !== 'ready' || isBusy(core.get()) || !(await bringTexts(core, id))) return
  // A model that was opened for this has no plan of the person's own.
  if (opened || core.get().job !== planned) {
    core.set({ chosen: kept.job.runs[0]?.id ?? null })
    edit(core, kept.job, false)
  }
  await launch(core, kept.job, model.summary, shownOf(id, kept.job), (hear) => core.engine.goOn(id, kept.job, hear))
}

// ---------------------------------------------------------------- other formats

/** Looks at what a finished job could be written in, on its model. */
export async function planFormats(core: Core, id: string) {
  const { step } = core.get()
  const kept = isBusy(core.get()) ? null : await keptOf(core, id)
  if (!kept?.report) return
  const { job, origin, report } = kept
  if (!(await reopen(core, id, origin, 'formats')) || !(await bringTexts(core, id))) return
  core.set({ step, again: { job: asWritten(job, report), check: null }, lacks: null })
  try {
    const check = await core.engine.check(job)
    const { again } = core.get()
    if (again) core.set({ again: { ...again, check } })
  } catch (thrown) {
    core.set({ again: null })
    core.fail(thrown)
  }
}

function chooseAgain(core: Core, runs: string[], format: string, on: boolean) {
  const { again, catalog } = core.get()
  if (again?.check && catalog) core.set({ again: { ...again, job: chooseFormat(catalog, again.job, again.check, runs, format, on) } })
}

function dropFormats(core: Core) {
  core.set({ again: null })
}

/** Writes what a finished job keeps in the formats that were chosen now; nothing is solved. */
async function writeFormats(core: Core) {
  const { again, model } = core.get()
  const kept = shownJob(core.get())
  if (!again || !kept || model.state !== 'ready' || isBusy(core.get())) return
  await launch(core, again.job, model.summary, shownOf(kept.id, again.job), (hear) => core.engine.goOn(kept.id, again.job, hear))
}

/** The actions of this file. */
export const actions = {
  planFormats,
  chooseAgain,
  dropFormats,
  writeFormats,
  start,
  tryDemo,
  goOn,
  openShownModel,
  freeAndGoOn,
  pause,
  resume,
  cancel,
}
