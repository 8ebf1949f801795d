/** `sweep run`: one job from its file to its result, by one worker; what another worker did of it is gone on with. */
import { rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { WorkbenchError, fromErrorData, toErrorData } from '../errors.ts'
import type { Target } from '../engine/hosts/target.ts'
import type { Hub } from '../engine/hub.ts'
import type { RunEvent } from '../engine/job/events.ts'
import type { Job } from '../engine/job/job.ts'
import type { JobReport } from '../engine/job/report.ts'
import { discardJournal, readHead } from '../engine/keep/journal-files.ts'
import { runJob } from '../engine/run/run.ts'
import type { Session } from '../engine/session.ts'
import { dawn } from '../engine/hosts/node.ts'
import { exitCodeOf, RETRY } from './exit.ts'
import { readSmall, writeJson } from './files.ts'
import { filesOf, jobFolder, readSweepJob, type SweepJob, type SweepPlan } from './job.ts'
import { agree, localModel, openJob, openSession, originOf } from './open.ts'
import { Worker } from './worker.ts'

/** Largest result that is read again. */
const most = 256 * 2 ** 20

const resultFormat = 'quantease-sweep-result'

/** What a job that is done leaves. */
export interface SweepResult {
  format: typeof resultFormat
  version: 1
  id: string
  label: string
  report: JobReport
}

/** The result in a job's folder; null where it is not done. @throws {WorkbenchError} `plan-invalid` */
export async function readResult(path: string): Promise<SweepResult | null> {
  const data = await readSmall(path, most)
  if (!data) return null
  try {
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data)) as Partial<SweepResult>
    if (value.format === resultFormat && typeof value.report === 'object') return value as SweepResult
  } catch {
    // Said below.
  }
  throw new WorkbenchError('plan-invalid', `${path} is no result of a job.`, 'Remove it: the job is then run again.')
}

/**
 * Runs a job, or goes on with it. Returns at once when it is done.
 * @throws {WorkbenchError} what it failed of; `journal-busy` while another worker has it. `exitCodeOf` tells what can be tried again
 */
export async function runSweepJob(path: string, open: () => Opened = () => openSession(dawn())): Promise<void> {
  const folder = dirname(path)
  const files = filesOf(folder)
  const job = await readSweepJob(path)
  if (await readResult(files.result)) return
  const attempt = new Attempt(job, folder, open)
  try {
    await attempt.run()
    attempt.worker.tell({ type: 'exit', code: 0 })
  } catch (thrown) {
    const error = withoutGpu(thrown)
    await attempt.fail(error)
    throw error
  } finally {
    attempt.worker.end()
  }
}

/**
 * Runs all jobs of a plan that are not done, one after the other on one device.
 * @throws {WorkbenchError} the first that a job failed of, after the others
 */
export async function runAll(dir: string, { jobs }: SweepPlan): Promise<void> {
  const opened = openSession(dawn())
  await each(jobs, ({ id }) => runSweepJob(filesOf(jobFolder(dir, id)).job, () => opened))
}

/**
 * One after the other. Jobs that other workers are at come once again when the rest is done: those workers may have died.
 * @throws {WorkbenchError} at once what another attempt may mend, as for all; else the first that a job failed of, after the others
 */
export async function each<T>(jobs: readonly T[], run: (job: T) => Promise<void>): Promise<void> {
  const failed: unknown[] = []
  const busy: T[] = []
  for (const job of jobs)
    await run(job).catch((error) => {
      if (isBusy(error)) busy.push(job)
      else if (exitCodeOf(error) === RETRY) throw error
      else failed.push(error)
    })
  for (const job of busy)
    await run(job).catch((error) => {
      if (exitCodeOf(error) === RETRY && !isBusy(error)) throw error
      failed.push(error)
    })
  if (failed.length) throw failed[0]
}

const isBusy = (error: unknown) => error instanceof WorkbenchError && error.code === 'journal-busy'

/** Says what to do about a worker without GPU. */
export function withoutGpu(error: unknown): unknown {
  if (!(error instanceof WorkbenchError) || error.code !== 'gpu-missing') return error
  const hint = 'Run it on a machine with a GPU and its Vulkan driver, or with --software, which takes hundreds of times as long.'
  return new WorkbenchError('gpu-missing', 'This worker has no GPU that WebGPU can use.', hint, { cause: error })
}

type Opened = ReturnType<typeof openSession>

/** What one worker does about a job. */
class Attempt {
  readonly worker: Worker
  readonly #files: ReturnType<typeof filesOf>

  constructor(
    readonly job: SweepJob,
    folder: string,
    readonly open: () => Opened,
  ) {
    this.#files = filesOf(folder)
    this.worker = new Worker(this.#files.events)
  }

  async run(): Promise<void> {
    const { id, label, model } = this.job
    const target = await this.worker.claim({ path: this.#files.checkpoint, model: localModel(model), overwrite: true })
    this.worker.tell({ type: 'attempt', id, pid: process.pid, host: hostname() })
    // Another worker may have ended it while this one waited for the lock.
    if (await readResult(this.#files.result)) return
    const { session, hub } = this.open()
    await agree(session, join(dirname(this.#files.job), '..', '..'))
    const asked = await openJob(session, hub, this.job)
    const report = await this.#solve(session, hub, asked, target)
    const run = report.runs.at(0)
    const failed = run?.error ?? run?.exportError
    if (failed) throw fromErrorData(failed)
    if (report.runs.length < asked.runs.length)
      throw new WorkbenchError('cancelled', 'The job was stopped.', 'It goes on when it is run again.')
    await writeJson(this.#files.result, { format: resultFormat, version: 1, id, label, report } satisfies SweepResult)
    await rm(this.#files.failure, { force: true })
    await discardJournal(target.journal)
  }

  /** Writes down why it ended, where there is room for that. */
  async fail(error: unknown): Promise<void> {
    const code = exitCodeOf(error)
    const { detail: _, ...told } = toErrorData(error)
    try {
      this.worker.tell({ type: 'exit', code, error: told })
      // Of another worker's job nothing is said beside it.
      if (told.code !== 'journal-busy') await writeJson(this.#files.failure, { code, time: new Date().toISOString(), error: told })
    } catch {
      // The error itself says more.
    }
  }

  async #solve(session: Session, hub: Hub, asked: Job, target: Target): Promise<JobReport> {
    const { job, worker } = this
    const { journal } = target
    const online = session.source || [asked.calibration, asked.evaluation].some((choice) => session.texts.isRemote(choice))
    const emit = (event: RunEvent) => worker.hear(event)
    const host = { session, control: worker.control, emit, sink: () => target.sink(), journal, network: online ? hub.network : undefined }
    const origin = originOf(job.model, session.summary!)
    const resume = (await readHead(journal)) !== null
    try {
      return await runJob(asked, host, { resume, rewrite: !(await target.whole()), origin })
    } catch (error) {
      if (!resume || !(error instanceof WorkbenchError) || error.code !== 'journal-mismatch') throw error
      // Another kind of device or another version: their bits do not mix. What is lost is time.
      worker.tell({ type: 'note', message: `${error.message} It begins anew.` })
      return await runJob(asked, host, { origin })
    }
  }
}
