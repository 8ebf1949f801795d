/** Actions on running jobs: start, resume, pause and cancel. */
import type { Job, JobReport, ModelOrigin, ModelSummary, RunEvent } from '../../engine/job.ts'
import { type ErrorData, toErrorData } from '../../errors.ts'
import { pickAgain } from '../files.ts'
import { asWritten, chooseFormat, keepsSolved } from '../formats.ts'
import { abort, begin, end, type JobView, reduce } from '../reduce.ts'
import { type Core, redrawEvery } from './core.ts'
import { bringTexts, mayDelete, readJournal } from './journal.ts'
import { open } from './model.ts'
import { check } from './planning.ts'
import { firstLook, isBusy, type State } from './state.ts'

/** What refuses a job before it touches what is kept. */
const notBegun = new Set<ErrorData['code']>(['journal-busy', 'journal-mismatch', 'journal-kept'])

/** A measurement leaves the last job alone; any other job takes its place. */
async function start(core: Core) {
  const { job } = core.get()
  const agreed = job?.runs.length ? await mayDelete(core, 'Replace the last job?', 'Start and delete it') : { named: null }
  if (agreed) await beginJob(core, agreed.named)
}

/** `replacing`: start of the job in the journal that may go. */
async function beginJob(core: Core, replacing: string | null) {
  const { job: planned, model, check, cache, journal } = core.get()
  if (!planned || model.state !== 'ready' || isBusy(core.get())) return
  const done = check.state === 'done' ? check.result : null
  const { keepSolved: _, ...rest } = planned
  const job = keepsSolved(planned, done, cache, journal?.summary ?? null) ? { ...rest, keepSolved: true } : rest
  await launch(core, job, model.summary, (hear) => core.engine.start(job, hear, replacing))
}

async function launch(core: Core, job: Job, model: ModelSummary, run: (hear: (event: RunEvent) => void) => Promise<JobReport>) {
  clearTimeout(core.checkDue)
  const { view: before, ran, saving, uploads, step } = core.get()
  // How large the model is decides how much room the charts take.
  const first = { ...begin(job), blocks: model.blocks }
  core.set({
    fault: null,
    dropped: null,
    again: null,
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
    if (notBegun.has(error.code)) core.set({ view: before, ran, saving, uploads, step, spoken: error.message, fault: error, asked: null })
    else conclude(core, (view) => abort(view, error))
  }
  await readJournal(core)
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
  const agreed = await mayDelete(core, 'Replace the last job?', 'Start the demo and delete it')
  if (agreed && (await open(core, { kind: 'demo' }))) await beginJob(core, agreed.named)
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

const pause = (core: Core) => ask(core, 'pause')
const resume = (core: Core) => ask(core, 'resume')
const cancel = (core: Core) => ask(core, 'cancel')

// ---------------------------------------------------------------- again

/** Whether the model that is open may be the one that a job ran on; the engine compares what it holds. */
function isOf(model: State['model'], origin: ModelOrigin): boolean {
  if (model.state !== 'ready') return false
  const { source, name } = model.summary
  if (origin.kind === 'demo') return model.demo
  if (origin.kind === 'hub') return source?.repo === origin.repo && source.revision === origin.revision
  return !source && !model.demo && name === origin.name
}

/** Opens the model that a job ran on, if it is not open, to do something with it. False when the person has to bring it. */
async function reopen(core: Core, origin: ModelOrigin, wanted: 'resume' | 'formats'): Promise<boolean> {
  if (isOf(core.get().model, origin)) return true
  if (origin.kind === 'demo') return open(core, { kind: 'demo' })
  if (origin.kind === 'hub') return open(core, { kind: 'hub', repo: origin.repo, revision: origin.revision })
  // Said before the browser asks: its question may go unnoticed, or never come.
  const known = core.get().journal
  if (known) core.set({ journal: { ...known, lacks: wanted }, spoken: `Choose or drop the folder ${origin.name} again to resume.` })
  const picked = await pickAgain(origin.name)
  return picked !== null && open(core, { kind: 'files', ...picked })
}

/** Goes on with the job in the journal. */
export async function goOn(core: Core) {
  const { journal } = core.get()
  if (!journal || isBusy(core.get())) return
  const { job, origin } = journal.summary
  if (!(await reopen(core, origin, 'resume'))) return
  const { model } = core.get()
  if (model.state === 'ready' && !isBusy(core.get()) && (await bringTexts(core)))
    await launch(core, job, model.summary, (hear) => core.engine.goOn(job, hear))
}

// ---------------------------------------------------------------- other formats

/** Looks at what the finished job in the journal could be written in, on its model. */
export async function planFormats(core: Core) {
  const { journal, step } = core.get()
  if (!journal?.summary.report || isBusy(core.get())) return
  const { job, origin, report } = journal.summary
  if (!(await reopen(core, origin, 'formats')) || !(await bringTexts(core))) return
  core.set({ step, again: { job: asWritten(job, report), check: null }, journal: { ...journal, lacks: null } })
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
  if (!again || model.state !== 'ready' || isBusy(core.get())) return
  await launch(core, again.job, model.summary, (hear) => core.engine.goOn(again.job, hear))
}

/** The actions of this file. */
export const actions = { planFormats, chooseAgain, dropFormats, writeFormats, start, tryDemo, goOn, pause, resume, cancel }
