/** Actions on the job that is being planned: the engine checks every change once the user pauses. */
import type { Catalog } from '../../engine/job/catalog.ts'
import type { JobCheck } from '../../engine/job/check.ts'
import type { DryProgress, DryRunSpec } from '../../engine/job/forecast.ts'
import type { Job, RunSpec } from '../../engine/job/job.ts'
import type { Problem } from '../../engine/job/model.ts'
import type { TextChoice, TextSource } from '../../engine/job/texts.ts'
import type { OptionValue, Options } from '../../options.ts'
import type { Override } from '../../overrides.ts'
import { toErrorData } from '../../errors.ts'
import type { Check } from '../check.ts'
import * as formats from '../formats.ts'
import * as plan from '../plan.ts'
import * as textsOf from '../texts.ts'
import type { Core } from './core.ts'
import { forgetPlan, keepPlan } from './plans.ts'

/** Milliseconds without a change. */
const checkAfter = 300

/** Another plan; `own`: by somebody's edit, which is kept for the next visit. */
export function edit(core: Core, job: Job, own = true) {
  core.set({ job, check: { state: 'pending' }, refusedText: null })
  if (own) keepPlan(core.get(), job)
  clearTimeout(core.checkDue)
  core.checkDue = setTimeout(() => check(core), checkAfter)
}

/** A field holds, or no longer holds, what cannot be read. */
function holdStart(core: Core, field: string, held: boolean) {
  const others = core.get().unread.filter((each) => each !== field)
  core.set({ unread: held ? [...others, field] : others })
}

export async function check(core: Core) {
  const { job } = core.get()
  if (!job) return
  const mine = ++core.checking
  let answer: Check
  try {
    answer = { state: 'done', result: await core.engine.check(job) }
  } catch (thrown) {
    const { code, message, hint } = toErrorData(thrown)
    answer = { state: 'failed', problem: { severity: 'error', code, message, hint } }
  }
  // An answer to an older question is worth nothing.
  if (mine !== core.checking || core.get().job !== job) return
  core.set({ check: answer })
  // Decides what is kept; where the browser does not tell, it is found out on the way.
  core.engine.cacheInfo().then(
    (cache) => core.set({ cache }),
    () => {},
  )
}

function editWith(core: Core, change: (catalog: Catalog, job: Job) => Job) {
  const { catalog, job } = core.get()
  if (catalog && job) edit(core, change(catalog, job))
}

export async function addText(core: Core, file: File, purpose: textsOf.TextPurpose, origin: 'file' | 'paste' = 'file') {
  const text = await core.engine.addText(file, origin)
  offer(core, text, purpose)
  return text
}

/** Adds what was given for a purpose; what cannot be a text is told at its field, and the text before stays. */
export async function addTextsFor(core: Core, files: File[], purpose: textsOf.TextPurpose, origin: 'file' | 'paste' = 'file') {
  let refusedText: Problem | null = null
  for (const file of files) {
    try {
      await addText(core, file, purpose, origin)
    } catch (thrown) {
      const { code, message, hint } = toErrorData(thrown)
      if (code === 'internal') throw thrown
      refusedText = { severity: 'error', code, message, hint, field: `${purpose}.text` }
    }
  }
  core.set({ refusedText, ...(refusedText && { spoken: refusedText.message }) })
}

/** Adds a text to the choices, and chooses it. */
function offer(core: Core, text: TextSource, purpose: textsOf.TextPurpose) {
  const { texts, job } = core.get()
  if (!texts.some(({ id }) => id === text.id)) core.set({ texts: [...texts, text] })
  core.set({ removed: null })
  if (job) edit(core, textsOf.chooseText(job, purpose, text))
}

/** The text that was dropped last is for evaluation, and the one that it took the place of is back. */
function evaluateOnDropped(core: Core) {
  const { dropped, job } = core.get()
  if (!dropped?.before || !job) return
  edit(core, textsOf.chooseText({ ...job, calibration: dropped.before }, 'evaluation', dropped.text))
  core.set({ dropped: { ...dropped, before: null }, spoken: `${dropped.text.label} is the evaluation text now.` })
}

function chooseText(core: Core, purpose: textsOf.TextPurpose, id: string) {
  const text = core.get().texts.find((each) => each.id === id)
  if (text) offer(core, text, purpose)
}

/** Takes a text of one's own off the list; `restoreText` brings it back. */
function removeText(core: Core, id: string) {
  const { texts, job } = core.get()
  const text = texts.find((each) => each.id === id)
  if (!text || !job) return
  edit(core, textsOf.withoutText(job, texts, id))
  core.set({ texts: texts.filter((each) => each !== text), removed: { text, job }, dropped: null, spoken: `${text.label} was removed.` })
}

/** Back on the list, and to what used it. */
function restoreText(core: Core) {
  const { texts, job, removed } = core.get()
  if (!removed || !job) return
  const { calibration, evaluation, lambada } = removed.job
  core.set({ texts: [...texts, removed.text], removed: null, spoken: `${removed.text.label} is back.` })
  edit(core, { ...job, calibration, evaluation, ...(job.lambada && lambada && { lambada }) })
}

function setText(core: Core, purpose: textsOf.TextPurpose, part: Partial<TextChoice>) {
  editWith(core, (_, job) => textsOf.setText(job, purpose, part))
}

function addDataset(core: Core, id: string, purpose: textsOf.TextPurpose) {
  offer(core, { id, label: id, bytes: null, origin: 'dataset' }, purpose)
}

function paste(core: Core, text: string, purpose: textsOf.TextPurpose) {
  const file = textsOf.pastedFile(text, 1 + core.get().texts.filter(({ origin }) => origin === 'paste').length)
  return addTextsFor(core, [new File([file.text], file.name)], purpose, 'paste').catch(core.fail)
}

function measureLastWords(core: Core, on: boolean) {
  editWith(core, (_, job) => textsOf.measureLastWords(job, core.get().texts, on))
}

/** The plan that a model begins with, in place of the one that was left for it. */
function planAnew(core: Core) {
  const { catalog, texts, model } = core.get()
  if (!catalog || model.state !== 'ready') return
  forgetPlan(model.summary)
  const job = plan.firstJob(catalog, texts, model.summary, model.demo)
  core.set({ recalled: false, chosen: job.runs[0]?.id ?? null, spoken: 'The plan begins anew.' })
  edit(core, job, false)
}

function setJob(core: Core, change: Partial<Job>) {
  editWith(core, (_, job) => ({ ...job, ...change }))
}

/** `known`: the check that was looked at. */
function chooseFormat(core: Core, known: JobCheck | null, runs: string[], format: string, on: boolean) {
  editWith(core, (catalog, job) => formats.chooseFormat(catalog, job, known, runs, format, on))
}

// ---------------------------------------------------------------- runs

function choose(core: Core, run: string) {
  core.set({ chosen: run })
}

function addRun(core: Core, method: string) {
  editWith(core, (catalog, job) => plan.addRun(catalog, job, method))
  core.set({ chosen: core.get().job?.runs.at(-1)?.id ?? null })
}

/** Behind those that are there. */
function addRuns(core: Core, runs: plan.NewRun[]) {
  const before = core.get().job?.runs.length ?? 0
  editWith(core, (catalog, job) => plan.addRuns(catalog, job, runs))
  const added = core.get().job?.runs.slice(before) ?? []
  core.set({ chosen: added[0]?.id ?? core.get().chosen, spoken: `Added ${added.map(({ label }) => label).join('; ')}.` })
}

function duplicateRun(core: Core, id: string) {
  const at = core.get().job!.runs.findIndex((run) => run.id === id)
  editWith(core, (_, job) => plan.duplicateRun(job, id))
  core.set({ chosen: core.get().job!.runs[at + 1].id })
}

function removeRun(core: Core, id: string) {
  const at = core.get().job!.runs.findIndex((run) => run.id === id)
  editWith(core, (_, job) => plan.removeRun(job, id))
  const { job, chosen } = core.get()
  if (chosen === id) core.set({ chosen: (job!.runs[at] ?? job!.runs.at(-1))?.id ?? null })
}

function renameRun(core: Core, id: string, label: string) {
  const { check } = core.get()
  editWith(core, (catalog, job) => plan.editRun(catalog, job, id, { label }))
  // A name changes no figure and makes nothing wrong: the press on Start that leaves the field must not find it closed.
  if (check.state === 'done') core.set({ check })
}

/** Options of a run that its method or a type decides now, or does not have: they count again when another one does. */
const setAside = new WeakMap<RunSpec, Options>()

/** A run with another method or option, and with what counted before the one that is left now. */
function changeRun(core: Core, id: string, change: { method?: string; options?: Options }) {
  editWith(core, (catalog, job) => {
    const of = (one: Job) => one.runs.find((each) => each.id === id)!
    const run = of(job)
    const options = { ...setAside.get(run), ...run.options, ...change.options }
    const next = plan.editRun(catalog, job, id, { ...change, options })
    setAside.set(of(next), options)
    return next
  })
}

const setMethod = (core: Core, id: string, method: string) => changeRun(core, id, { method })

const setOption = (core: Core, id: string, key: string, value: OptionValue) => changeRun(core, id, { options: { [key]: value } })

function setOverrides(core: Core, id: string, overrides: Override[]) {
  editWith(core, (_, job) => plan.setOverrides(job, id, overrides))
}

/** The linear of this name gets the grid of a setting in a run of the plan. */
function overrideLinear(core: Core, run: string, name: string, options: Options) {
  editWith(core, (catalog, job) => plan.overrideLinear(catalog, job, run, name, options))
}

/** What runs that are not in the plan would cost. Null when that cannot be told. */
async function quote(core: Core, runs: RunSpec[]): Promise<JobCheck | null> {
  const { job } = core.get()
  return job && core.engine.check({ ...job, runs }).catch(() => null)
}

function dryRun(core: Core, spec: DryRunSpec, hear: (progress: DryProgress) => void) {
  return core.engine.dryRun(spec, hear)
}

/** The actions of this file. */
export const actions = {
  holdStart,
  evaluateOnDropped,
  chooseText,
  removeText,
  restoreText,
  setText,
  addDataset,
  paste,
  measureLastWords,
  planAnew,
  setJob,
  chooseFormat,
  choose,
  addRun,
  addRuns,
  duplicateRun,
  removeRun,
  renameRun,
  setMethod,
  setOption,
  setOverrides,
  overrideLinear,
  quote,
  dryRun,
}
