/** `--job`: what is run comes from a job file or a report, not from flags. */
import { existsSync, rmSync, statSync } from 'node:fs'
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { isPublicText, type JobFile, jobFileCap, ownFileOf, readJobFile } from '../engine/job-file.ts'
import type { Job } from '../engine/job/job.ts'
import type { JobReport } from '../engine/job/report.ts'
import type { TextChoice } from '../engine/job/texts.ts'
import { compareWithFile } from '../engine/keep/replay.ts'
import type { Session } from '../engine/session.ts'
import { WorkbenchError } from '../errors.ts'
import { deviceFlagNames, Given, outsideJob, UsageError } from './arguments.ts'
import { namedText } from './inputs.ts'
import type { Speaker } from './speaker.ts'

/** Flags that have a meaning beside --job. */
const beside = [...outsideJob, ...['job', 'run', 'dataset', 'eval', 'lambada', 'dry-run', ...deviceFlagNames]]

/** A job file, and the arguments with the model that it names. */
export interface Replay {
  path: string
  file: JobFile
  given: Given
}

/** What `--job` names; null without it. @throws {UsageError} @throws {WorkbenchError} `plan-invalid`, `file-missing` */
export async function replayOf(given: Given): Promise<Replay | null> {
  const path = given.text('job')
  if (path === undefined) {
    if (given.text('run') !== undefined) throw new UsageError('--run chooses a run of the file of --job.')
    return null
  }
  const strange = Object.keys(given.values).find((flag) => given.values[flag] !== undefined && !beside.includes(flag))
  if (strange) throw new UsageError(`--${strange} has no place beside --job, which takes it from its file.`)
  const file = readJobFile(await contentOf(path), basename(path))
  const runs = chosenRuns(file.job, given.text('run'))
  const several = runs.length > 1 && ['save', 'push'].find((flag) => given.text(flag) !== undefined)
  if (several)
    throw new UsageError(
      `--${several} takes one run: choose it by --run, one of ${file.job.runs.map(({ id, label }) => `${id} (${label})`).join(', ')}.`,
    )
  const chosen = { ...file, job: { ...file.job, runs } }
  return { path, file: chosen, given: new Given({ ...given.values, model: modelOf(given, file) }) }
}

async function contentOf(path: string): Promise<Uint8Array> {
  const handle = await open(path).catch((cause) => {
    throw new WorkbenchError('file-missing', `The job file ${path} cannot be read.`, 'Give the path of a job file or of a report.', {
      cause,
    })
  })
  try {
    const { size } = await handle.stat()
    if (size > jobFileCap) throw new WorkbenchError('plan-invalid', `${path} has ${size} bytes; a job file has at most ${jobFileCap}.`)
    return await readFile(handle)
  } finally {
    await handle.close()
  }
}

function chosenRuns({ runs }: Job, which: string | undefined): Job['runs'] {
  if (which === undefined) return runs
  const found = runs.filter(({ id, label }) => id === which || label === which)
  if (found.length === 1) return found
  throw new UsageError(`--run can be ${runs.map(({ id, label }) => `${id} (${label})`).join(', ')}, not "${which}".`)
}

function modelOf(given: Given, { model: { origin } }: JobFile): string {
  const own = given.text('model')
  if (own) return own
  if (origin.kind === 'demo') return 'demo'
  if (origin.kind === 'hub') return `${origin.repo}@${origin.revision}`
  throw new UsageError(`--model is needed: the folder “${origin.name}” that the job file names.`)
}

/** The job with texts that the session can read, once the model is open; refused where they or the model are others. */
export async function replayed({ path, file, given }: Replay, session: Session, say: Speaker): Promise<Job> {
  const choose = (flag: string, choice: TextChoice) => localText(session, given, flag, choice, path)
  const { calibration, evaluation, lambada, ...rest } = file.job
  const job: Job = {
    ...rest,
    calibration: rest.runs.length ? { ...calibration, ...(await choose('dataset', calibration)) } : calibration,
    evaluation: { ...evaluation, ...(await choose('eval', evaluation)) },
    ...(lambada && { lambada: { ...lambada, ...(await choose('lambada', lambada)) } }),
    save: given.text('save') !== undefined,
  }
  if (given.text('format') !== undefined) job.runs = job.runs.map(({ formats: _, ...run }) => run)
  const problems = await compareWithFile(file, job, session)
  for (const { severity, message, hint } of problems) if (severity === 'note') say.note(`Note: ${message}`, hint)
  const wrong = problems.find(({ severity }) => severity === 'warning')
  if (wrong)
    throw new WorkbenchError(
      'plan-invalid',
      wrong.message,
      `${wrong.hint} To run it on others all the same, remove the digests (sha256, texts) from the job file.`,
    )
  return job
}

/** A text of the job: by its id, from the file that was given for it, or from one of its name beside the job file. */
async function localText(session: Session, given: Given, flag: string, { text, column }: TextChoice, path: string): Promise<TextChoice> {
  const named = given.text(flag)
  if (named !== undefined) return { column, ...(await namedText(session, named)) }
  const own = ownFileOf(text)
  if (own === null) {
    if (isPublicText(text, session.catalog.texts)) return { text }
    throw new WorkbenchError('text-invalid', `There is no text “${text}”, which the job file names.`, `Give one by --${flag}.`)
  }
  const beside = /[\\/]/.test(own) ? null : join(dirname(path), own)
  if (beside === null || !existsSync(beside)) throw new UsageError(`--${flag} is needed: the text “${own}” is not beside the job file.`)
  return { text: (await namedText(session, beside)).text }
}

/**
 * Writes the report of a job, from which it can be repeated. The file is claimed before the job begins; where no report comes of it, an
 * earlier one stays as it is, and no empty file.
 */
export async function reportFile(given: Given): Promise<((report: JobReport) => Promise<void>) | null> {
  const path = given.text('report')
  if (path === undefined) return null
  const file = await claimed(path, given.on('overwrite'))
  const release = () => {
    if (statSync(path, { throwIfNoEntry: false })?.size === 0) rmSync(path)
  }
  process.once('exit', release)
  return async (report) => {
    await file.truncate()
    await file.writeFile(`${JSON.stringify(report, null, 2)}\n`)
    await file.close()
    process.off('exit', release)
  }
}

/** A new file, or one that may be written over: an empty one is what a program leaves that was killed. */
async function claimed(path: string, overwrite: boolean): Promise<FileHandle> {
  const refusal = (message: string, hint: string, cause?: unknown) => new WorkbenchError('storage-failed', message, hint, { cause })
  try {
    return await open(path, 'wx')
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code !== 'EEXIST') throw refusal(`${path} cannot be written: ${message}.`, 'Give a path in a folder that exists.', cause)
  }
  const info = statSync(path, { throwIfNoEntry: false })
  if (!info?.isFile()) throw refusal(`${path} is there already, and is no file.`, 'Give another name.')
  if (info.size && !overwrite) throw refusal(`${path} is there already.`, 'Give another name, or --overwrite.')
  return open(path, 'r+').catch((cause) => {
    throw refusal(`${path} cannot be written: ${cause.message}.`, 'Give another name.', cause)
  })
}
