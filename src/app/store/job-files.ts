/** Actions on job files: plan by one, plan by a kept job, save one. */
import type { JobFile } from '../../engine/hosts/client.ts'
import type { NamedFile } from '../../engine/job/model.ts'
import type { TextSource } from '../../engine/job/texts.ts'
import { toErrorData, WorkbenchError } from '../../errors.ts'
import { download } from '../files.ts'
import * as textsOf from '../texts.ts'
import type { Core } from './core.ts'
import { addTexts, bringTexts, showReport } from './jobs.ts'
import { edit } from './planning.ts'
import { reopen } from './run.ts'
import { isBusy, isOpen } from './state.ts'

/** Plans by a dropped file if it is a job file, and shows it if it is a report; false where it is neither. */
export async function takeJobFile(core: Core, { path, file }: NamedFile): Promise<boolean> {
  if (!/\.json$/i.test(path) || /(^|\/)(config|tokenizer\w*|generation_config)\.json$/i.test(path)) return false
  try {
    const read = await core.engine.readJobFile(file, path)
    if (!read) return false
    if (isBusy(core.get())) throw new WorkbenchError('plan-invalid', 'A job is running.', 'Open the file again when it is over.')
    core.set({ fault: null })
    const report = await core.engine.readReport(file, path)
    if (report) showReport(core, report, { name: path, file: read })
    else await planFromFile(core, path, read)
  } catch (thrown) {
    const error = toErrorData(thrown)
    core.set({ fault: { ...error, title: `Cannot use ${path}` }, spoken: error.message })
  }
  return true
}

/** Opens the model of a job file, and plans by it as soon as that is there. */
async function planFromFile(core: Core, name: string, file: JobFile) {
  if (isBusy(core.get())) return
  core.set({ replay: null })
  const { origin } = file.model
  const replay = { name, file, missing: [], problems: [], compared: false }
  if (origin.kind === 'files') core.set({ replay })
  if (!(await reopen(core, null, origin, 'plan'))) return
  core.set({ replay })
  await planReplay(core)
}

/** Makes the plan that the job file describes, with the texts that are here. */
export async function planReplay(core: Core) {
  const { replay } = core.get()
  if (!replay) return
  const { job, missing, problems, compared } = await core.engine.planOfFile(replay.file)
  const named = [job.calibration, job.evaluation, ...(job.lambada ? [job.lambada] : [])].map(({ text }) => text)
  const lacking = missing.map((name): TextSource => ({ id: `file:${name}`, label: `${name} (not here yet)`, bytes: null, origin: 'file' }))
  const others = core.get().texts.filter(({ id }) => !id.startsWith('file:'))
  core.set({
    texts: [...others, ...lacking],
    replay: { ...replay, missing, problems, compared },
    lacks: null,
    chosen: job.runs[0]?.id ?? null,
  })
  addTexts(core, textsOf.namedDatasets(named))
  edit(core, job, false)
  if (isOpen(core.get(), 'plan')) core.set({ step: 'plan' })
  core.set({ spoken: `The plan is that of ${replay.name}.` })
}

/** Takes a dropped text that the job file lacks; false where it lacks none of this name. */
export async function takeMissing(core: Core, file: File): Promise<boolean> {
  if (!core.get().replay?.missing.includes(file.name)) return false
  const text = await core.engine.addText(file, 'file')
  addTexts(core, [text])
  await planReplay(core)
  return true
}

/** Plans the job of the report that is shown. */
async function planReport(core: Core) {
  const { recorded } = core.get()
  if (recorded?.kind === 'report') await planFromFile(core, recorded.name, recorded.file).catch(core.fail)
}

function dismissReplay(core: Core) {
  core.set({ replay: null, lacks: null })
}

/** Plans what a kept job did once more. */
async function duplicateJob(core: Core, id: string) {
  try {
    const name = core.get().jobs.find((job) => job.id === id)?.model.name ?? ''
    const file = await core.engine.jobFile({ kept: id })
    if (await bringTexts(core, id)) await planFromFile(core, `the job on ${name}`, file)
  } catch (thrown) {
    core.fail(thrown)
  }
}

/** Saves the file of the plan, or of a kept job. */
async function saveJobFile(core: Core, kept: string | null) {
  const { job, model, jobs } = core.get()
  try {
    const name = kept ? jobs.find(({ id }) => id === kept)?.model.name : model.state === 'ready' ? model.summary.name : undefined
    if (!kept && !job) return
    const file = await core.engine.jobFile(kept ? { kept } : job!)
    download(jobFileName(name), new Blob([`${JSON.stringify(file, null, 2)}\n`], { type: 'application/json' }))
  } catch (thrown) {
    core.fail(thrown)
  }
}

/** A name that a shell takes as one word. */
export const fileNameOf = (model = 'model') => model.replace(/[^A-Za-z0-9._]+/g, '-').replace(/^[-.]+|-+$/g, '') || 'model'

export const jobFileName = (model?: string) => `${fileNameOf(model)}.job.json`

/** The actions of this file. */
export const actions = { planReport, dismissReplay, duplicateJob, saveJobFile }
