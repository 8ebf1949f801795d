/** The jobs that the browser keeps, each in a folder of its own, and the Web Locks by which tabs share them. Only in a worker. */
import { WorkbenchError } from '../../errors.ts'
import type { Sink, Store } from '../../io/bytes.ts'
import type { JournalSummary, KeptJob } from '../job/kept.ts'
import { dropCheckpoints, readHead } from '../keep/journal-files.ts'
import { readJournal } from '../keep/journal-summary.ts'
import { keptJob } from '../keep/kept-job.ts'
import { earlierJob, jobLock, jobPlace, jobsFolder, namesIn, opfsSink, opfsStore, readLock, removeFolder, scratchFolder } from './opfs.ts'

/** Name of the Web Lock for changing one job: this and its id. */
const oneJob = 'quantease-job:'
/** In the journal of a job that is to be deleted. */
const tombstone = 'deleted'

/** The journal of a kept job. @throws WorkbenchError `journal-mismatch` for what is no id */
export function journalOf(job: string): Store {
  // Becomes the name of a folder.
  if (!/^[\w-]{1,64}$/.test(job)) throw new WorkbenchError('journal-mismatch', 'There is no such job.')
  return opfsStore(jobPlace(job).journal)
}

export const sinkOf =
  (job: string) =>
  (run: string): Promise<Sink> =>
    opfsSink(job, run)

/**
 * Runs work that changes a job, in one tab at a time, and not while another reads it; `solving`: on the GPU, of which one tab has all.
 * @throws WorkbenchError `journal-busy`
 */
export function alone<T>(job: string, work: () => Promise<T>, solving = false): Promise<T> {
  return new Promise((resolve, reject) => {
    const names = solving ? [jobLock, oneJob + job] : [oneJob + job]
    const begin = () =>
      new Promise<void>((begun) => {
        const take = ([name, ...more]: string[]): Promise<T> =>
          navigator.locks.request(name, { ifAvailable: true }, async (lock) => {
            if (!lock) throw await busy().finally(begun)
            if (more.length) return take(more)
            begun()
            return work()
          })
        take(names).then(resolve, reject)
      })
    navigator.locks.request(readLock, begin).catch(reject)
  })
}

/** The same with several jobs at once. @throws WorkbenchError `journal-busy` */
export function aloneWith<T>([job, ...others]: string[], work: () => Promise<T>): Promise<T> {
  return job === undefined ? work() : alone(job, () => aloneWith(others, work))
}

/** Runs work that reads journals, while no tab begins to change one. */
export function looking<T>(work: (atWork: Set<string>) => Promise<T>): Promise<T> {
  return navigator.locks.request(readLock, async () => work(await atWork()))
}

/** Jobs that a tab is changing. */
async function atWork(): Promise<Set<string>> {
  const { held = [] } = await navigator.locks.query()
  return new Set(held.flatMap(({ name, mode }) => (mode === 'exclusive' && name?.startsWith(oneJob) ? [name.slice(oneJob.length)] : [])))
}

async function busy(): Promise<WorkbenchError> {
  const [job] = await atWork()
  const head = job === undefined ? null : await readHead(journalOf(job)).catch(() => null)
  const what = head ? ` on ${head.model.name} (${head.job.runs.map(({ label }) => label).join(', ')}) since ${when(head.started)}` : ''
  return new WorkbenchError(
    'journal-busy',
    `Another tab of the workbench is running a job${what}.`,
    'Wait until it has finished, or cancel it in that tab.',
  )
}

const when = (iso: string) => new Date(iso).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' })

async function ids(): Promise<string[]> {
  const own = await namesIn([jobsFolder])
  return (await namesIn(jobPlace(earlierJob).journal)).length ? [earlierJob, ...own] : own
}

const isDeleted = async (job: string) => (await namesIn(jobPlace(job).journal)).includes(tombstone)

/** All jobs, those included that can be brought back, the newest first. One whose journal cannot be read is left out. */
export function keptJobs(): Promise<KeptJob[]> {
  return looking(async (atWork) => {
    const found: KeptJob[] = []
    for (const id of await ids()) {
      const summary = await readJournal(journalOf(id), atWork.has(id)).catch(() => null)
      if (summary) found.push(keptJob(id, summary, atWork.has(id), await isDeleted(id)))
    }
    return found.sort((a, b) => (a.started < b.started ? 1 : -1))
  })
}

/** One of them whole. */
export function keptJournal(job: string): Promise<{ busy: boolean; summary: JournalSummary | null }> {
  return looking(async (atWork) => {
    const busy = atWork.has(job)
    return { busy, summary: (await isDeleted(job)) ? null : await readJournal(journalOf(job), busy) }
  })
}

/** Marks a job as deleted; it can be restored until it is swept away. */
export const deleteJob = (job: string) =>
  alone(job, async () => {
    const file = await journalOf(job).edit(tombstone)
    await file.close()
  })

export const restoreJob = (job: string) => alone(job, () => journalOf(job).remove(tombstone))

/** Frees what these jobs take, if they are deleted, and all that never came as far as a journal. */
export async function sweepJobs(deleted: string[]): Promise<void> {
  // Where a run is under way in another tab, it is in use, and stays.
  await removeFolder([scratchFolder]).catch(() => {})
  for (const job of await ids()) {
    const names = await namesIn(jobPlace(job).journal)
    if (names.includes('head') && !(deleted.includes(job) && names.includes(tombstone))) continue
    // One that a tab is about to begin is left to it.
    await alone(job, () => removeJob(job)).catch(() => {})
  }
}

async function removeJob(job: string): Promise<void> {
  const { journal, exports } = jobPlace(job)
  if (job === earlierJob) {
    await removeFolder(exports)
    await removeFolder(journal)
  } else await removeFolder([jobsFolder, job])
}

/** Frees what a finished job's checkpoints and solved linears take; its figures stay. */
export const dropJobCheckpoints = (job: string) =>
  alone(job, async () => {
    await dropCheckpoints(journalOf(job))
    await removeFolder(jobPlace(job).exports)
  })
