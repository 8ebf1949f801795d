/** Actions on the job in the journal: resume and discard. */
import type { JournalSummary } from '../../engine/job.ts'
import { toErrorData, WorkbenchError } from '../../errors.ts'
import { isShown } from '../formats.ts'
import * as plan from '../plan.ts'
import * as textsOf from '../texts.ts'
import { abort, begin, end, type JobView, reduce } from '../reduce.ts'
import type { Core } from './core.ts'
import { firstLook, isBusy, uploadKey } from './state.ts'

export async function readJournal(core: Core) {
  try {
    const { busy, summary } = await core.engine.journal()
    core.set({ journal: summary && { busy, summary, lacks: null } })
    if (!busy) return
    await core.engine.idle()
    await readJournal(core)
  } catch {
    // Where nothing can be kept, there is nothing to go on with.
    core.set({ journal: null })
  }
}

/** Takes the texts of the job in the journal among those that can be chosen. */
export async function bringTexts(core: Core): Promise<boolean> {
  try {
    const { job } = core.get().journal!.summary
    const named = [job.calibration, job.evaluation, ...(job.lambada ? [job.lambada] : [])].map(({ text }) => text)
    const brought = [...(await core.engine.journalTexts()), ...textsOf.namedDatasets(named)]
    const known = new Set(core.get().texts.map(({ id }) => id))
    core.set({ texts: [...core.get().texts, ...brought.filter(({ id }) => !known.has(id))] })
    return true
  } catch (thrown) {
    core.fail(thrown)
    return false
  }
}

/** Shows what the job in the journal has done, as it was shown before the page was closed. */
async function openResults(core: Core) {
  const { journal } = core.get()
  if (!journal || isBusy(core.get()) || !(await bringTexts(core))) return
  const { job, model, events, report } = journal.summary
  const finished = events.reduce<JobView>(reduce, begin(job))
  const view = report ? end(finished, report) : abort(finished, toErrorData(new WorkbenchError('cancelled', 'The job was interrupted.')))
  core.set({ view, ran: model, ...firstLook, spoken: view.announcement, saving: {}, uploads: {}, again: null, step: 'results' })
}

/**
 * Names what the journal holds, as far as it cost time, and asks whether it may go. Null when it may not; otherwise the
 * start of the job that was looked at, null where there is none: the engine deletes no other.
 */
export async function mayDelete(core: Core, title: string, action: string): Promise<{ named: string | null } | null> {
  const { summary, busy } = await core.engine.journal().catch(() => ({ summary: null, busy: false }))
  const named = summary?.started ?? null
  // The engine refuses what another tab is at work on.
  const nothing = !summary || busy || (summary.layers.done === 0 && summary.results.length === 0)
  return nothing || (await core.confirm({ title, action, lines: plan.losses(summary, savedRuns(core, summary)) })) ? { named } : null
}

/** Runs of this job whose checkpoints were saved or uploaded since the page was opened. */
function savedRuns(core: Core, summary: JournalSummary): Set<string> {
  const { view, saving, uploads } = core.get()
  if (!isShown(view, summary)) return new Set()
  const runs = view!.runs.map(({ id }) => id)
  return new Set(runs.filter((run) => saving[run]?.state === 'saved' || uploads[uploadKey(run, '')]?.state === 'sent'))
}

async function discard(core: Core) {
  const agreed = await mayDelete(core, 'Discard this job?', 'Discard it')
  if (!agreed) return
  try {
    if (agreed.named) await core.engine.discard(agreed.named)
    core.set({ journal: null, spoken: 'The job was discarded.' })
  } catch (thrown) {
    core.fail(thrown)
  }
}

/** Looks for an unfinished job when the page is opened, and says so. */
export async function findJournal(core: Core) {
  await readJournal(core)
  const found = core.get().journal
  if (found && !found.busy && !found.summary.report)
    core.set({ spoken: `An unfinished job on ${found.summary.model.name} can be resumed.` })
}

/** The actions of this file. */
export const actions = { openResults, discard }
