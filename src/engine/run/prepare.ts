/** What a job stands on before its first block: its plan, its journal, the work ahead and what its beginning tells. */
import { formatsFor } from '../../io/formats/index.ts'
import type { Store } from '../../io/bytes.ts'
import { linearsOf } from '../../models/family.ts'
import { blockName, type OpenModel } from '../../models/open.ts'
import type { Host } from '../host.ts'
import type { GpuSummary } from '../job/device.ts'
import type { RunEvent } from '../job/events.ts'
import type { Job } from '../job/job.ts'
import type { ModelOrigin, Problem } from '../job/model.ts'
import type { TokenCounts } from '../job/texts.ts'
import { fingerprintOf, usedTexts } from '../keep/fingerprint.ts'
import { Journal } from '../keep/journal.ts'
import { readJournal } from '../keep/journal-summary.ts'
import { planJob } from '../plan/check.ts'
import type { Plan } from '../plan/plan.ts'
import { roundingRemarks } from '../plan/remarks.ts'
import { baselineWork, passagesWork, type PlannedWork, type RunWork, runWork } from '../plan/work.ts'
import type { Session } from '../session.ts'
import { today } from '../texts.ts'
import { FORWARD } from '../passes/pulse.ts'

type JobStart = Extract<RunEvent, { type: 'job-start' }>

export interface Prepared {
  job: Job
  plan: Plan
  opened: OpenModel
  /** SHA-256 of the model's files, as far as they were read. */
  sha256: string
  adapter: GpuSummary
  journal: Journal
  calibration: TokenCounts
  evaluation: TokenCounts
  work: JobWork
  beginning: JobStart
  /** Seconds that this took. */
  seconds: number
}

/** Operations of the parts of a job, and of all of it by kind. */
export interface JobWork {
  baseline: PlannedWork
  runs: RunWork[]
  planned: Map<string, number>
}

/**
 * Plans a job and opens its journal.
 * @param origin where the open model came from, when that was not the Hub
 * @throws {WorkbenchError} `plan-invalid` and what else stands against the plan; `journal-mismatch`
 */
export async function prepare(asked: Job, host: Host, resume: boolean, origin?: ModelOrigin): Promise<Prepared> {
  const { session, control } = host
  const begun = control.clock
  const started = new Date().toISOString()
  const job = await withDate(asked, session, resume ? host.journal : null)
  const planned = await planJob(job, session)
  const opened = session.model
  const evaluation = planned.check.evaluation!
  const calibration = planned.check.calibration ?? { text: 0, windows: 0, length: 0 }
  const adapter = await session.gpuSummary()
  const fingerprint = await fingerprintOf(opened, session.source, planned, await session.adapterTraits())
  const journal = resume
    ? await Journal.resume(host, fingerprint)
    : await Journal.begin(host, broughtTexts(job, session), {
        started,
        fingerprint,
        job,
        model: session.summary!,
        sweepPanel: adapter.sweepPanel,
        gemmKernel: adapter.gemmKernel,
        linears: planned.runs.reduce((sum, { output, ends }) => sum + output.linears.length - ends.length, 0),
        origin: session.source ? { kind: 'hub', ...session.source } : (origin ?? { kind: 'files', name: opened.folder.name }),
      })
  const { plan, remarks } = asBegun(planned, journal.head.job)
  const seconds = control.clock - begun
  const beginning: JobStart = {
    type: 'job-start',
    calibration,
    evaluation,
    blocks: opened.model.shape.blocks,
    layers: layerNames(opened, plan),
    texts: await usedTexts(plan, (id) => session.texts.named(id)),
    notices: [...plan.check.problems, ...remarks],
    resumed: null,
  }
  const work = workOf(plan, opened, calibration, evaluation)
  return { job, plan, opened, sha256: fingerprint.model, adapter, journal, calibration, evaluation, work, beginning, seconds }
}

const textsOf = ({ calibration, evaluation, lambada }: Job) => [calibration, evaluation, ...(lambada ? [lambada] : [])]

/** One day for a whole job, though it may be resumed on another. */
async function withDate(job: Job, { texts }: Session, resumed: Store | null): Promise<Job> {
  if (job.date !== undefined || !textsOf(job).some((choice) => texts.usesDate(choice))) return job
  return { ...job, date: (resumed && (await readJournal(resumed, false))?.job.date) ?? today() }
}

/** Files that the person brought, each once. */
const broughtTexts = (job: Job, { texts }: Session) =>
  [...new Set(textsOf(job).map(({ text }) => text))].flatMap((id) => texts.file(id) ?? [])

/**
 * What was begun with the weights of one format is measured with them to the end, whatever formats it is then written in;
 * where that makes a difference, a remark says so.
 */
function asBegun(plan: Plan, first: Job): { plan: Plan; remarks: Problem[] } {
  const begunWith = (id: string) => first.runs.find((run) => run.id === id)?.formats ?? first.formats
  const runs = plan.runs.map((run) => ({ ...run, measured: formatsFor(run.output, begunWith(run.spec.id))[0] }))
  const moved = runs.filter(({ measured }, i) => measured !== plan.runs[i].measured)
  return { plan: { ...plan, runs }, remarks: moved.flatMap(roundingRemarks).map((remark): Problem => ({ code: 'note', ...remark })) }
}

function workOf(plan: Plan, opened: OpenModel, calibration: TokenCounts, evaluation: TokenCounts): JobWork {
  const runs = plan.runs.map((run) => runWork(run, opened, calibration, evaluation, plan.job.perplexityEvery))
  const baseline = baselineWork(opened, evaluation)
  const words = passagesWork(opened, plan.passages)
  for (const part of [baseline, ...runs]) part.forward += words
  const planned = new Map([[FORWARD, baseline.forward]])
  for (const [i, run] of plan.runs.entries()) {
    planned.set(FORWARD, planned.get(FORWARD)! + runs[i].forward)
    planned.set(run.solver.id, (planned.get(run.solver.id) ?? 0) + runs[i].solve)
  }
  return { baseline, runs, planned }
}

/** All linears that a run solves. */
function layerNames(opened: OpenModel, { runs }: Plan): string[] {
  const blocks = Math.max(0, ...runs.map((run) => run.blocks))
  const solvedOf = (k: number) => linearsOf(opened.model.layouts[k]).filter(({ name }) => runs.some(({ linears }) => linears[k]?.has(name)))
  return Array.from({ length: blocks }, (_, k) => solvedOf(k).map(({ name }) => blockName(opened, k, name))).flat()
}
