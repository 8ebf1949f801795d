/** The command line: the same engine in a terminal, with progress on stderr and the result on stdout. */
import { join } from 'node:path'
import { Control } from './engine/control.ts'
import type { NoteStore } from './engine/device-notes.ts'
import { demoTexts } from './engine/hosts/demo.ts'
import { dawn, headless, memoryStore } from './engine/hosts/node.ts'
import type { Target } from './engine/hosts/target.ts'
import { type Hub, hubDatasets, loadPushing } from './engine/hub.ts'
import type { RunEvent } from './engine/job/events.ts'
import type { Job } from './engine/job/job.ts'
import type { Budget } from './engine/job/mix.ts'
import type { ModelSummary } from './engine/job/model.ts'
import type { JobReport } from './engine/job/report.ts'
import type { Override } from './overrides.ts'
import { discardJournal, journalTexts } from './engine/keep/journal-files.ts'
import { readJournal } from './engine/keep/journal-summary.ts'
import { refusalsOf, together } from './engine/plan/check.ts'
import { checkJob, memoryProblem } from './engine/plan/dry.ts'
import { runJob } from './engine/run/run.ts'
import { Session } from './engine/session.ts'
import { type ErrorData, WorkbenchError, toErrorData } from './errors.ts'
import { type Given, help, readArguments, UsageError } from './cli/arguments.ts'
import { type Asked, understand } from './cli/asked.ts'
import { budgetOf, budgetText, labelWithin, mixed, type Mixed, reportWith } from './cli/budget.ts'
import { dryText, foresee, refuse } from './cli/dry-run.ts'
import { withoutEffect } from './cli/effect.ts'
import { chooseTexts, connect, demo as demoFile, isRemote, notesPlace, openModel, parkingPlace } from './cli/inputs.ts'
import { jobOf } from './cli/job.ts'
import { claim, stopOnSignals, waitForRoom } from './cli/process.ts'
import { checkPrompt, continuationOf, continuationText, type Continued, continued } from './cli/prompt.ts'
import { replayed, replayOf, reportFile } from './cli/replay.ts'
import { resultOf, summary } from './cli/result.ts'
import { checkPushed, chooseFormats, differing, takesAll } from './cli/resume.ts'
import { Speaker } from './cli/speaker.ts'
import { upload } from './cli/upload.ts'
import { commands } from './scale/commands.ts'
import { tellAndExit, worded } from './scale/exit.ts'

/** The data sets of the Hub, whose address is among the arguments. */
let datasets: ReturnType<typeof hubDatasets>
/** Notes on devices, in a folder that is among them too. */
let notes: NoteStore | null = null
const session = new Session(dawn(), demoTexts(demoFile), (...which) => datasets(...which), undefined, {
  get: async (device) => notes?.get(device),
  set: async (device, note) => notes?.set(device, note),
})
const { catalog } = session

async function main(): Promise<void> {
  const typed = readArguments(catalog, process.argv.slice(2))
  if (typed.on('help')) {
    process.stdout.write(help(catalog))
    return
  }
  const replay = await replayOf(typed)
  const given = replay?.given ?? typed
  notes = notesPlace(given)
  session.parking = parkingPlace(given)
  const asked = understand(catalog, given)
  const say = new Speaker(given.on('compute-quantization-recon-error'))
  for (const note of withoutEffect(catalog, given, asked)) say.note(note)
  if (given.on('dry-run')) {
    const run = await foresee(session, given, asked, replay?.file.job ?? null, (progress) => say.foresee(progress))
    say.done()
    process.stdout.write(given.on('json') ? `${JSON.stringify(run)}\n` : dryText(run))
    refuse(run, replay?.file.job ?? null)
    return
  }
  if (asked.promptOnly && !replay) {
    await promptAlone(given, asked)
    return
  }
  await carryOut(given, asked, replay, say)
}

/** A job from its texts to its checkpoint and its result. */
async function carryOut(given: Given, asked: Asked, replay: Awaited<ReturnType<typeof replayOf>>, say: Speaker): Promise<void> {
  // Before anything is claimed or computed; those of a job that the journal describes are in it.
  const texts = replay || takesAll(given) ? null : await chooseTexts(session, given, asked)
  setInterval(() => say.tick(), 5000).unref()
  const local = isRemote(asked.model) ? null : asked.model === 'demo' ? join('public', 'demo') : asked.model
  const hub = connect(given, say)
  const { saved, pushed: place } = asked
  const refused = async (taken: unknown): Promise<never> => {
    throw texts ? await withRefusals(taken, given, asked, texts, await openModel(session, hub, asked.model), say) : taken
  }
  const target = saved === undefined ? null : await claim(requestOf(saved, local, given), say).catch(refused)
  if (place) await (await loadPushing()).checkPush(hub, place, given.on('resume'))
  datasets = hubDatasets(hub)
  const journal = target?.journal ?? memoryStore()
  const unfinished = await readJournal(journal, false)
  if (target && place && given.on('resume') && !unfinished && (await target.whole())) {
    const { url } = await upload(hub, target, place, say)
    process.stdout.write(given.on('json') ? `${JSON.stringify({ pushed: url })}\n` : `Uploaded to: ${url}\n`)
    return
  }
  const keepReport = await reportFile(given)
  const model = await openModel(session, hub, asked.model)
  const choice = await formatChoice(given, asked, unfinished, target, say)
  const described = replay
    ? await replayed(replay, session, say)
    : !texts && unfinished
      ? await withTexts(unfinished.job, journal)
      : await jobOf(session, given, asked, texts ?? (await chooseTexts(session, given, asked)), model, say)
  let job: Job = { ...described, ...choice }
  if (target) standing(target, unfinished, given.on('resume'))
  const surroundings = { target, hub, journal, say, resume: unfinished !== null, remote: local === null, demo: asked.model === 'demo' }
  const found =
    asked.budget && job.runs.length && !unfinished ? await mixed(session, job, asked.budget, networkFor(job, surroundings), say) : null
  // A job of the journal goes on with the mixture that it began with.
  if (asked.budget) job = withMixture(job, asked.budget, found?.mix.overrides ?? unfinished?.job.runs.at(0)?.overrides ?? [])
  const prompt = asked.prompt && { ...asked.prompt, seed: job.seed }
  if (prompt) await checkPrompt(session, prompt, job.runs)
  const report = await perform(job, surroundings, prompt !== null).catch((error) => {
    throw unfinished ? otherwiseAsked(error, job, unfinished.job) : error
  })
  await keepReport?.(found ? reportWith(report, found) : report)
  const written = report.runs.at(0)?.export
  const uploaded = target && place && written ? await upload(hub, target, place, say).catch((error: Error) => error) : null
  const said = prompt && (await continued(session, prompt, journal, solvedOf(report)).catch((error: Error) => error))
  const more = { found, said: said instanceof Error ? null : said, pushed: uploaded && 'url' in uploaded ? uploaded.url : null }
  await tell(report, given, asked, journal, more)
  if (!job.keepSolved) await discardJournal(journal)
  for (const failed of [uploaded, said]) if (failed instanceof Error) throw failed
}

/** Runs that came to an end. */
const solvedOf = ({ runs }: JobReport) => runs.filter(({ state }) => state === 'finished').map(({ run }) => run)

/** Nothing but the text of `--prompt`. */
async function promptAlone(given: Given, { model, prompt, seed }: Asked): Promise<void> {
  const { name } = await openModel(session, connect(given), model)
  const said = await continued(session, { ...prompt!, seed }, memoryStore(), [])
  process.stdout.write(given.on('json') ? `${JSON.stringify({ model: name, ...continuationOf(said) })}\n` : continuationText(said))
}

/** `--push --resume` uploads a finished checkpoint. */
const requestOf = (path: string, model: string | null, given: Given) => ({
  path,
  model,
  overwrite: given.on('overwrite'),
  finished: given.on('resume') && given.text('push') !== undefined,
})

/** Why the folder cannot be written to, after what the formats and methods themselves refuse: both have to be mended. */
async function withRefusals(
  taken: unknown,
  given: Given,
  asked: Asked,
  texts: Awaited<ReturnType<typeof chooseTexts>>,
  model: ModelSummary,
  say: Speaker,
): Promise<unknown> {
  const job = { ...(await jobOf(session, given, asked, texts, model, say)), ...(asked.formats && { formats: asked.formats }) }
  return taken instanceof WorkbenchError ? together([...(await refusalsOf(job, session)), taken]) : taken
}

type Store = Target['journal']
type Unfinished = Awaited<ReturnType<typeof readJournal>>

/** In what the job is written, and whether it is kept. @throws {UsageError} */
async function formatChoice(
  given: Given,
  { formats, pushed }: Asked,
  unfinished: Unfinished,
  target: Target | null,
  say: Speaker,
): Promise<Pick<Job, 'formats' | 'keepSolved'>> {
  const before = given.on('resume') ? unfinished : null
  const stays = !given.on('overwrite') && target !== null && (await target.files()).length > 0
  const choice = chooseFormats(formats, before, stays)
  checkPushed(pushed !== undefined, choice)
  if (choice.note) say.note(choice.note)
  const keep = given.on('keep-solved') || before?.job.keepSolved
  return { ...(choice.formats && { formats: choice.formats }), ...(keep && { keepSolved: true }) }
}

/** A job of the journal, once the session has its texts. */
async function withTexts(job: Job, journal: Store): Promise<Job> {
  for (const text of await journalTexts(journal)) session.texts.add(text)
  return job
}

/** Says what was asked for otherwise than in the journal. */
function otherwiseAsked(error: unknown, job: Job, before: Job): unknown {
  const flags = differing(catalog, job, before)
  if (!(error instanceof WorkbenchError) || error.code !== 'journal-mismatch' || !flags.length) return error
  const hint = `Different from the job in the journal: ${flags.join(', ')}. With only --model, --save, --resume and --format, --resume takes all options from there.`
  return new WorkbenchError(error.code, error.message, hint)
}

/**
 * Looks whether the journal beside the target may be there.
 * @throws {WorkbenchError} `plan-invalid`
 */
function standing({ path }: Target, unfinished: Unfinished, resume: boolean): void {
  if (resume && !unfinished) process.stderr.write(`There is nothing to resume in ${path}.journal; starting from the beginning.\n`)
  if (!unfinished || resume) return
  const { done, all } = unfinished.layers
  throw new WorkbenchError(
    'plan-invalid',
    unfinished.report
      ? `${path}.journal contains a solved job ${unfinished.results.some(({ exportError }) => exportError) ? 'whose checkpoint was not written' : 'that was kept'}.`
      : `${path}.journal contains an unfinished job (${done} of ${all} linears are solved).`,
    'Add --resume to continue it, or remove that folder to start over.',
  )
}

/** What a job runs on beside the session. */
interface Surroundings {
  target: Target | null
  hub: Hub
  journal: Store
  say: Speaker
  /** There is a journal to go on with. */
  resume: boolean
  /** The model is on the Hub. */
  remote: boolean
  /** It is the demo's. */
  demo: boolean
}

/** The network where model or texts are far. */
function networkFor(job: Job, { hub, remote }: Pick<Surroundings, 'hub' | 'remote'>) {
  const online = remote || [job.calibration, job.evaluation, job.lambada].some((choice) => choice && session.texts.isRemote(choice))
  return online ? hub.network : undefined
}

const withMixture = (job: Job, budget: Budget, overrides: Override[]): Job => ({
  ...job,
  runs: job.runs.map((run) => ({ ...run, label: labelWithin(run.label, budget), overrides })),
})

/** Checks the job, and runs it. */
async function perform(
  job: Job,
  { target, hub, journal, say, resume, remote, demo }: Surroundings,
  keepsSolved: boolean,
): Promise<JobReport> {
  const control = new Control()
  stopOnSignals(control)
  const refusals = await refusalsOf(job, session)
  if (refusals.length) throw together(refusals)
  const check = await checkJob(job, session)
  say.texts(check)
  const heavy = memoryProblem(check.runs, await session.gpuSummary())
  if (heavy?.severity === 'error') throw new WorkbenchError('gpu-too-small', heavy.message, heavy.hint)
  if (heavy) say.hear({ type: 'notice', run: null, problem: heavy })
  const emit = (event: RunEvent) => {
    if (event.type === 'run-start' && job.runs.length > 1) say.note(`Run ${job.runs.find(({ id }) => id === event.run)!.label}`)
    say.hear(event)
    if (event.type === 'paused' && event.storage) waitForRoom(control, event.storage)
  }
  const host = { session, control, emit, sink: () => target!.sink(), journal, keepsSolved, network: networkFor(job, { hub, remote }) }
  const report = await runJob(job, host, {
    resume,
    rewrite: target !== null && !(await target.whole()),
    ...(demo && { origin: { kind: 'demo' as const } }),
  })
  say.done()
  if (control.cancelled) throw new WorkbenchError('cancelled', 'The run was cancelled.', await later(journal, report))
  return report
}

/** What --resume will find of a job that did not come to its end. */
const later = async (journal: Store, { job }: JobReport) =>
  job.save && (await readJournal(journal, false)) ? 'Finished layers are kept: the same command with --resume continues.' : ''

/** Prints the result. @throws {WorkbenchError} what the run or its export failed of */
async function tell(
  report: JobReport,
  given: Given,
  { saved }: Asked,
  journal: Store,
  { found, said, pushed }: { found: Mixed | null; said: Continued | null; pushed: string | null },
): Promise<void> {
  const goOn = await later(journal, report)
  const { error } = report.runs.find((run) => run.error) ?? {}
  if (error) throw new WorkbenchError(error.code, error.message, `${error.hint} ${goOn}`.trim())
  for (const one of runByRun(report)) {
    const more = { ...(found && { budget: budgetOf(found, one.runs[0]) }), ...(said && continuationOf(said, one.runs.at(0)?.run)) }
    process.stdout.write(given.on('json') ? `${JSON.stringify({ ...resultOf(one, pushed), ...more })}\n` : summary(one, saved, pushed))
    if (found && !given.on('json')) process.stdout.write(budgetText(found, one))
    if (said && !given.on('json')) process.stdout.write(continuationText(said, one.runs.at(0)?.run))
  }
  const run = report.runs.at(0)
  if (!run?.exportError) return
  const kept = saved === undefined ? null : await readJournal(journal, false)
  const again = kept?.results.some(({ exportError }) => exportError)
    ? 'Solved layers are kept: the same command with --resume writes the checkpoint again, without solving.'
    : goOn
  throw new ExportFailure(run.exportError, again)
}

/** The reports of single runs; of a measurement, the report itself. */
function runByRun(report: JobReport): JobReport[] {
  if (report.job.runs.length < 2) return [report]
  return report.runs.map((run) => ({
    ...report,
    job: { ...report.job, runs: report.job.runs.filter(({ id }) => id === run.run) },
    runs: [run],
  }))
}

/** The result is valid, but its checkpoint could not be written. */
class ExportFailure extends WorkbenchError {
  constructor({ code, message, hint }: ErrorData, again: string) {
    super(code, `The checkpoint was not saved: ${message}`, `${hint} ${again}`.trim())
  }
}

// Who started this has died, and would have passed on a signal.
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))

const [word = '', ...rest] = process.argv.slice(2)
if (Object.hasOwn(commands, word)) headless(() => commands[word](rest), tellAndExit)
else headless(main, failure)

function failure(error: unknown): number {
  process.stderr.write(`${worded(error)}\n`)
  const usage = error instanceof UsageError || (toErrorData(error).code === 'option-invalid' && !(error instanceof ExportFailure))
  return usage ? 2 : 1
}
