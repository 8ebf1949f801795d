/** Whether a job file's model and texts are those at hand: the same figures can be expected only then. */
import { type JobFile, ownFileOf, withTexts } from '../job-file.ts'
import type { Job } from '../job/job.ts'
import type { Problem } from '../job/model.ts'
import { planJob } from '../plan/check.ts'
import type { Session } from '../session.ts'
import { codeVersion, modelDigest, usedTexts, version } from './fingerprint.ts'

const words = {
  calibration: ['calibration.text', 'The calibration text'],
  heldOut: ['calibration.text', 'The held-out part of the calibration text'],
  evaluation: ['evaluation.text', 'The evaluation text'],
  lambada: ['lambada.text', 'The text for last words'],
} as const

/**
 * Compares what a job file says of its model, texts and program with what is open; `job`: its job, with the ids of the texts here.
 * Warnings where the figures will be others, notes where they may.
 * @throws {WorkbenchError} `plan-invalid` and what else stands against the plan
 */
export async function compareWithFile({ model, texts = {}, made }: JobFile, job: Job, session: Session): Promise<Problem[]> {
  const problems: Problem[] = []
  const differ = (severity: 'warning' | 'note', message: string, hint: string, field?: string) =>
    problems.push({ severity, code: 'note', message, hint, field })
  if (model.sha256 && model.sha256 !== (await modelDigest(session.model, session.source)))
    differ('warning', 'The model that is open has other weights or files than that of the job file.', 'Open the model that it names.')
  const drawn = await usedTexts(await planJob(job, session), (id) => session.texts.named(id))
  for (const part of ['calibration', 'heldOut', 'evaluation', 'lambada'] as const) {
    const [expected, found] = [texts[part], drawn[part]]
    if (!expected || expected.tokensSha256 === found?.tokensSha256) continue
    const [field, what] = words[part]
    const counts = found && found.tokens !== expected.tokens ? ` (${found.tokens} instead of ${expected.tokens})` : ''
    differ('warning', `${what} gives other tokens than in the job file${counts}.`, `There it was ${expected.name}.`, field)
  }
  if (made && made.code !== codeVersion)
    differ('note', `The job file is of version ${made.workbench} with another engine; this is ${version}.`, 'Figures may differ slightly.')
  const { name } = await session.gpuSummary()
  if (made && made.adapter !== name)
    differ('note', `The job file was run on ${made.adapter}; this is ${name}.`, 'Figures may differ in their last digits.')
  return problems
}

export interface PlanOfFile {
  job: Job
  missing: string[]
  problems: Problem[]
  compared: boolean
}

/**
 * The job of a file with the texts of the session: a file of the person's own is found by its name. `missing`: names of those that are not
 * there; without any, `problems` says in what things are not as in the file. `compared`: whether that could be seen, as it cannot while
 * the plan is wrong.
 */
export async function planOfFile(file: JobFile, session: Session): Promise<PlanOfFile> {
  const missing = new Set<string>()
  const own = session.texts.sources.filter(({ origin }) => origin === 'file' || origin === 'paste')
  const job = withTexts(file.job, ({ text }) => {
    const name = ownFileOf(text)
    // The one that was brought last.
    const found = own.findLast(({ label }) => label === name)
    if (name !== null && !found) missing.add(name)
    return found?.id ?? text
  })
  // What else is wrong with the plan is said where it is checked.
  const problems = missing.size ? null : await compareWithFile(file, job, session).catch(() => null)
  return { job, missing: [...missing], problems: problems ?? [], compared: problems !== null }
}
