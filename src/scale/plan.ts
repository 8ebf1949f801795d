/** `sweep plan`: a sweep file into job files, each with what the dry run foresees of it. Planning again adds, and changes nothing. */
import { existsSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { type ErrorData, WorkbenchError } from '../errors.ts'
import { isRemote, namedText } from '../cli/inputs.ts'
import { dryDevices } from '../engine/devices.ts'
import { storageOf } from '../engine/hosts/disk.ts'
import type { Hub } from '../engine/hub.ts'
import type { DryDevice } from '../engine/job/catalog.ts'
import type { Job, RunSpec } from '../engine/job/job.ts'
import { type Options, resolveOptions } from '../options.ts'
import { plannedJobFile } from '../engine/job-file.ts'
import { tooLong } from '../engine/plan/draw.ts'
import { dryRun } from '../engine/plan/dry.ts'
import type { Session } from '../engine/session.ts'
import { digestOfFile, writeJson } from './files.ts'
import { emptyPlan, filesOf, jobFolder, planPath, type Price, readPlan, sweepJob, type SweepJob, type SweepPlan } from './job.ts'
import { openNamed, openSession, originOf } from './open.ts'
import { expand, readSweep, type Setting } from './sweep-file.ts'

export interface Planned {
  plan: SweepPlan
  /** Jobs that were not there before. */
  added: number
  /** What the person should know: settings that come to the same job, forecasts above the device. */
  notes: string[]
}

/** @throws {WorkbenchError} for a setting that cannot be run, before anything is written */
export async function planSweep(path: string, dir: string, device?: string): Promise<Planned> {
  const data = await readFile(path).catch((cause) => {
    throw new WorkbenchError('file-missing', `The sweep file ${path} cannot be read.`, '`sweep example` prints one.', { cause })
  })
  const { session, hub } = openSession(undefined)
  const sweep = readSweep(data, basename(path))
  const idle: string[] = []
  const settings = expand(sweep, session.catalog, (note) => idle.push(note))
  const named = device ?? sweep.device ?? 'webgpu'
  const on = dryDevices.find(({ id }) => id === named)
  if (!on) throw wrong(`There is no device "${named}".`, `Devices are ${dryDevices.map(({ id }) => id).join(', ')}.`)
  const before = (await readPlan(dir)) ?? emptyPlan
  const planner = new Planner(session, hub, on)
  planner.notes.push(...idle)
  for (const model of new Set(settings.map((setting) => setting.model)))
    await planner.model(
      model,
      settings.filter((setting) => setting.model === model),
    )
  return write(dir, before, planner)
}

async function write(dir: string, before: SweepPlan, { jobs, notes }: Planner): Promise<Planned> {
  await storageOf(dir, '--out')(mkdir(dir, { recursive: true }))
  const known = new Set(before.jobs.map(({ id }) => id))
  const added = [...jobs.values()].filter(({ job }) => !known.has(job.id))
  for (const { job } of jobs.values()) {
    const { job: file } = filesOf(jobFolder(dir, job.id))
    if (!existsSync(file)) await writeJson(file, job)
  }
  const rows = added.map(({ job: { id, label, model }, price }) => ({ id, label, model, price }))
  const plan: SweepPlan = { ...before, jobs: [...before.jobs, ...rows] }
  // After the jobs, so that what the plan names is there.
  if (rows.length || !known.size) await writeJson(planPath(dir), plan)
  return { plan, added: rows.length, notes }
}

/** How a job names a text, and the file that it is, if any. */
interface OwnText {
  choice: { text: string; column?: string }
  file: NonNullable<SweepJob['texts']['calibration']> | null
}

const wrong = (message: string, hint: string) => new WorkbenchError('option-invalid', message, hint)

/** An error with what it belongs to. */
const of = (what: string, { code, message, hint }: ErrorData) => new WorkbenchError(code, `${what}: ${message}`, hint)

/** The name of a person's own file. */
function ownNamed(session: Session, id: string) {
  return session.texts.file(id)?.origin === 'file' ? { name: basename(id), origin: 'file' as const } : undefined
}

class Planner {
  readonly jobs = new Map<string, { job: SweepJob; price: Price | null }>()
  readonly notes: string[] = []
  readonly #texts = new Map<string, OwnText>()

  constructor(
    readonly session: Session,
    readonly hub: Hub,
    readonly device: DryDevice,
  ) {}

  /** The settings of one model, which is opened once. */
  async model(model: string, settings: Setting[]): Promise<void> {
    const { session, hub } = this
    const { summary, sha256 } = await openNamed(session, hub, model).catch((error) => {
      throw error instanceof WorkbenchError ? of(model, error) : error
    })
    const place = model === 'demo' ? model : isRemote(model) ? `${session.source!.repo}@${session.source!.revision}` : resolve(model)
    const positions = summary.maxPositions
    for (const setting of settings) {
      for (const part of ['calibration', 'evaluation'] as const) {
        const beyond = tooLong({ maxPositions: positions }, setting.job[part].length ?? 0)
        if (beyond) throw wrong(`${model}: ${part}.length: ${beyond.message}`, beyond.hint)
      }
      const texts = {
        calibration: await this.#text(setting, 'calibration'),
        evaluation: await this.#text(setting, 'evaluation'),
      }
      const job = this.#job(setting, texts, Math.min(2048, positions ?? 2048))
      const label = `${summary.name}: ${labelOf(setting, session)}`
      const file = plannedJobFile(job, originOf(model, summary), (id) => ownNamed(session, id))
      file.model.sha256 = sha256
      const own = Object.entries(texts).flatMap(([part, { file }]) => (file ? [[part, file]] : []))
      const planned = sweepJob(file, label, place, Object.fromEntries(own))
      if (this.jobs.has(planned.id)) this.notes.push(`Two settings come to one job, which is planned once: ${label}.`)
      else this.jobs.set(planned.id, { job: planned, price: await this.#price(job, label) })
    }
  }

  #job({ method, options, job }: Setting, texts: Record<'calibration' | 'evaluation', OwnText>, length: number): Job {
    const { solvers, runOptions } = this.session.catalog
    // With its defaults, so that a setting is one job however it is written.
    const whole = resolveOptions([...solvers.find(({ id }) => id === method)!.options, ...runOptions], options).options as Options
    const { formats, ...rest } = job
    const run: RunSpec = { id: 'run', label: method, method, options: whole, ...(job.save && formats && { formats }) }
    const { calibration, evaluation } = job
    return {
      ...rest,
      runs: [run],
      calibration: { ...calibration, ...texts.calibration.choice, length: calibration.length ?? length },
      evaluation: { ...evaluation, ...texts.evaluation.choice, length: evaluation.length ?? length },
    }
  }

  /** A text of a setting, and what tells its file apart. */
  async #text({ model, job }: Setting, part: 'calibration' | 'evaluation'): Promise<OwnText> {
    const { session } = this
    const { text, column } = job[part]
    const given = text ?? (model === 'demo' ? `demo-${part}` : null)
    if (given === null) throw wrong(`The sweep names no ${part} text for ${model}.`, `Give ${part}.text, of the sweep or of the model.`)
    const known = this.#texts.get(given)
    if (known) return known
    const isBuiltin = session.texts.file(given)?.origin === 'builtin'
    const choice = isBuiltin ? { text: given } : await namedText(session, given)
    const path = session.texts.file(choice.text)?.origin === 'file' ? resolve(choice.text) : null
    const found = {
      choice: { text: choice.text, ...((choice.column ?? column) !== undefined && { column: choice.column ?? column }) },
      file: path ? { path, sha256: await digestOfFile(path) } : null,
    }
    this.#texts.set(given, found)
    return found
  }

  /** @throws {WorkbenchError} for a combination that cannot be run */
  async #price(job: Job, label: string): Promise<Price | null> {
    const { calibration, evaluation, runs } = job
    const spec = { options: {}, calibration, evaluation, device: this.device, runs }
    const { methods } = await dryRun(this.session.model, spec, this.session)
    const [{ forecast, problem, bitsPerWeight, checkpointBytes }] = methods
    if (problem) throw of(label, problem)
    if (!forecast) return null
    const { flops, seconds, gpuBytes, hostBytes } = forecast
    if (gpuBytes > this.device.memoryBudget)
      this.notes.push(
        `${label} needs about ${gibi(gpuBytes)} of GPU memory; ${this.device.label} has about ${gibi(this.device.memoryBudget)}.`,
      )
    return {
      device: this.device.id,
      flops: flops.forward + flops.solve,
      seconds,
      gpuBytes,
      hostBytes,
      checkpointBytes: job.save ? (checkpointBytes ?? 0) : 0,
      bitsPerWeight: bitsPerWeight ?? 0,
    }
  }
}

const gibi = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`

/** The method, and what differs from its defaults. */
function labelOf({ method, options, job }: Setting, { catalog }: Session): string {
  const solver = catalog.solvers.find(({ id }) => id === method)!
  const specs = [...solver.options, ...catalog.runOptions]
  const own = Object.entries(options).filter(([key, value]) => key === 'bits' || specs.find((spec) => spec.key === key)?.default !== value)
  return [solver.label, ...own.map(([key, value]) => `${key} ${value}`), ...(job.seed ? [`seed ${job.seed}`] : [])].join(', ')
}
