/** `solve` and `assemble`: linears by the Gram matrices of a store, without the calibration text, and the checkpoint of all of them. */
import { formNamed } from '../gpu/ops/gemm-forms.ts'
import type { Given } from '../cli/arguments.ts'
import { UsageError } from '../cli/arguments.ts'
import type { Asked } from '../cli/asked.ts'
import { chooseTexts, openModel } from '../cli/inputs.ts'
import { jobOf } from '../cli/job.ts'
import { summary } from '../cli/result.ts'
import { fromErrorData, WorkbenchError } from '../errors.ts'
import type { Host } from '../engine/host.ts'
import type { Hub } from '../engine/hub.ts'
import { textFile } from '../engine/hosts/node.ts'
import type { Job } from '../engine/job/job.ts'
import type { Options } from '../options.ts'
import { fingerprintOf, modelDigest } from '../engine/keep/fingerprint.ts'
import { discardJournal, readHead } from '../engine/keep/journal-files.ts'
import { Journal } from '../engine/keep/journal.ts'
import { type Plan, type PlannedRun, planRun } from '../engine/plan/plan.ts'
import { type Part, PartLoop } from '../engine/run/elsewhere.ts'
import { linearNames } from '../engine/passes/restore.ts'
import { Pulse } from '../engine/passes/pulse.ts'
import { Recovery } from '../engine/run/recovery.ts'
import { runJob } from '../engine/run/run.ts'
import type { Session } from '../engine/session.ts'
import type { StoreMeta } from '../io/gram-store.ts'
import { memoryStore } from '../io/memory.ts'
import { blockName } from '../models/open.ts'
import { usePanel } from '../quant/descent.ts'
import { sliceProblem } from '../quant/slices.ts'
import { rowsOf } from './calibrate.ts'
import { GramStore, withWholeEnds } from './gram-store.ts'
import { localModel, originOf } from './open.ts'
import { type Rows, SolvedFolder } from './solved.ts'
import type { Worker } from './worker.ts'

/** Slices start and end at multiples of this: whole words of masks, whole runs of SpQR. */
const UNIT = 64

async function openStore(session: Session, hub: Hub, given: Given, { model }: Asked): Promise<GramStore> {
  const path = given.text('gram')
  if (!path) throw new UsageError('--gram STORE is needed: the folder of the Gram matrices.')
  const store = await GramStore.open(path)
  await openModel(session, hub, model)
  store.requireModel(await modelDigest(session.model, session.source))
  return store
}

/** Solves linears that are not solved yet. */
export async function solve(session: Session, hub: Hub, given: Given, asked: Asked, worker: Worker): Promise<void> {
  const store = await openStore(session, hub, given, asked)
  const planned = await plannedBy(session, store, asked)
  const rows = rangeOf(given)
  const parts = partsOf(session, given.text('linears') ?? '', rows, planned)
  const folder = new SolvedFolder(store.path, planned.spec.method, planned.options)
  const host: Host = { session, control: worker.control, emit: (event) => worker.hear(event), sink: noSink, journal: memoryStore() }
  const solver = await Solver.open(host, planned, store, folder)
  try {
    for (const part of parts) await solver.solve(part)
  } finally {
    await solver.end()
  }
  worker.tell({ type: 'solved', linears: parts.reduce((sum, { linears }) => sum + linears.length, 0), folder: folder.path })
}

const noSink = async () => {
  throw new Error('Solving writes no checkpoint.')
}

/** The run, with Σ as the store has it. @throws {WorkbenchError} `option-invalid`, `plan-invalid` */
async function plannedBy(session: Session, store: GramStore, { method, options, overrides }: Asked): Promise<PlannedRun> {
  const gpu = await session.gpu()
  const spec = { id: 'run', label: method, method, options: withInputs(store.meta, options), overrides }
  const fail = (_: string, message: string, hint = '') => {
    throw new WorkbenchError('option-invalid', message, hint)
  }
  const planned = planRun(spec, session.model, gpu.info.maxBinding, store.meta.heldOut !== null, [], fail)!
  if (planned.compared)
    throw new WorkbenchError(
      'plan-invalid',
      'A corrected target needs the inputs of the full-precision model beside those of the quantized one, which a Gram store does not hold.',
      'Set its strength (--target-alpha) to 0.',
    )
  if (planned.blocks > store.meta.blocks)
    throw new WorkbenchError(
      'plan-invalid',
      `The Gram store ${store.path} has the first ${store.meta.blocks} blocks, not all ${planned.blocks}.`,
      `Give --num-layers-to-quantize ${store.meta.blocks}, or calibrate the others, too.`,
    )
  return planned
}

/** Options of the run that the store's inputs decide. */
function withInputs({ inputs }: StoreMeta, given: Options): Options {
  const options = withWholeEnds(given)
  if (inputs.kind === 'full-precision') return { ...options, fullInputs: true }
  return inputs.kind === 'true-sequential' ? { ...options, trueSequential: true } : options
}

/** @throws {UsageError} */
function rangeOf(given: Given): Rows | null {
  const text = given.text('rows')
  if (text === undefined) return null
  const [, from, to] = /^(\d+):(\d+)$/.exec(text) ?? []
  if (from === undefined || Number(from) >= Number(to)) throw new UsageError(`--rows has to be A:B with A below B, not "${text}".`)
  return [Number(from), Number(to)]
}

/** The blocks and linears that a pattern names, of those blocks that the run quantizes. @throws {UsageError} */
function partsOf({ model: opened }: Session, pattern: string, rows: Rows | null, { solver, options, blocks }: PlannedRun): Part[] {
  if (!pattern) throw new UsageError('solve needs --linears PATTERN: full names, separated by commas; * stands for anything.')
  const wanted = pattern.split(',').map((one) => new RegExp(`^${one.trim().split('*').map(escaped).join('.*')}$`))
  const parts: Part[] = []
  let beyond = false
  for (const [k, { stages }] of opened.model.layouts.entries()) {
    const linears = stages.flat()
    const chosen = linears.filter(({ name }) => wanted.some((one) => one.test(blockName(opened, k, name))))
    beyond ||= chosen.length > 0 && k >= blocks
    if (!chosen.length || k >= blocks) continue
    if (solver.transform && (rows || chosen.length < linears.length))
      throw new UsageError(
        `${solver.label} rescales a whole block before it rounds any of it: solve all linears of a block, without --rows.`,
      )
    for (const { name, q, p } of rows ? chosen : []) judgeRows(rows!, q, sliceProblem(solver, q, p, options), blockName(opened, k, name))
    parts.push({ k, linears: chosen.map(({ name }) => name), rows })
  }
  // Those of later blocks stay in full precision with these options: there is nothing to solve of them.
  if (!parts.length && !beyond) throw new UsageError(`No linear is called "${pattern}"; the first is ${linearNames(opened, {}, 0)[0]}.`)
  return parts
}

function judgeRows([from, to]: Rows, q: number, problem: string | null, name: string): void {
  if (problem) throw new UsageError(`${name} cannot be solved in slices: ${problem}.`)
  if (to > q) throw new UsageError(`--rows ${from}:${to}: ${name} has ${q} rows.`)
  if (from % UNIT || (to % UNIT && to !== q))
    throw new UsageError(`--rows ${from}:${to}: slices begin and end at multiples of ${UNIT}, or at the last row of ${name}, ${q}.`)
}

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** Solves on a device that may have to be opened again. */
class Solver {
  private constructor(
    readonly host: Host,
    readonly planned: PlannedRun,
    readonly store: GramStore,
    readonly folder: SolvedFolder,
    readonly journal: Journal,
    readonly devices: Recovery<PartLoop>,
  ) {}

  static async open(host: Host, planned: PlannedRun, store: GramStore, folder: SolvedFolder): Promise<Solver> {
    const { session } = host
    const opened = session.model
    const { sweepPanel } = store.meta.device
    const gemmKernel = formNamed(store.meta.device.gemmKernel)
    const plan = planOf(planned, store)
    const fingerprint = await fingerprintOf(opened, session.source, plan, await session.adapterTraits())
    const started = new Date().toISOString()
    const origin = originOf(opened.folder.name, session.summary!)
    const journal = await Journal.begin(host, [], {
      started,
      fingerprint,
      job: plan.job,
      model: session.summary!,
      sweepPanel,
      gemmKernel,
      origin,
    })
    await journal.enter(planned.spec.id)
    const pulse = new Pulse(host, new Map())
    const devices = new Recovery(host, (gpu, halvings) => {
      pulse.attach(gpu)
      // As in the pass that made Σ, so that codes are those of one run.
      gpu.gemm = gemmKernel
      usePanel(gpu, sweepPanel)
      return new PartLoop(gpu, opened, plan, host, journal, pulse.progress, halvings)
    })
    return new Solver(host, planned, store, folder, journal, devices)
  }

  async solve({ k, linears, rows }: Part): Promise<void> {
    const { host, planned, store, folder, journal } = this
    const opened = host.session.model
    const fullName = (name: string) => blockName(opened, k, name)
    const open = planned.solver.transform ? linears : linears.filter((name) => !folder.has(fullName(name), rows))
    if (open.every((name) => folder.has(fullName(name), rows))) return
    const run = {
      plan: planned,
      id: planned.spec.id,
      seconds: 0,
      tell: () => true,
      tellEnd: () => {},
      output: { storesWeights: false, linear: async () => {}, vectors: async () => {} },
    }
    const sumsOf = (stage: number) => store.read(k, stage)
    const bases = await this.devices.do((loop) => loop.solve(run, { k, linears: open, rows }, store.meta.text.tokens, sumsOf))
    const solved = await journal.linears(open.map(fullName))
    const vectors = planned.solver.transform && (await journal.vectors(k))
    // Before its linears, which say that the block is done.
    if (vectors) await folder.writeVectors(k, vectors)
    for (const [name, linear] of solved) {
      await folder.write(linear, rows, bases.get(name) ?? null)
      host.emit({ type: 'layer', run: planned.spec.id, layer: linear.layer })
    }
  }

  async end(): Promise<void> {
    this.devices.drop()
    await this.journal.close()
  }
}

/** A plan without texts. */
function planOf(planned: PlannedRun, { meta }: GramStore): Plan {
  const { calibration } = meta
  const job: Job = {
    runs: [planned.spec],
    calibration,
    evaluation: { text: calibration.text, samples: 1, length: calibration.length },
    seed: meta.seed,
    perplexityEvery: 0,
    save: false,
  }
  const check = { problems: [], calibration: null, evaluation: null, runs: [] }
  return { job, calibration: [], heldOut: [], evaluation: [], passages: [], runs: [planned], check }
}

/** Writes the checkpoint of what is solved, and measures it. */
export async function assemble(session: Session, hub: Hub, given: Given, asked: Asked, worker: Worker): Promise<void> {
  const store = await openStore(session, hub, given, asked)
  if (!asked.saved) throw new UsageError('assemble needs --save DIR, the folder of the checkpoint.')
  const planned = await plannedBy(session, store, asked)
  const folder = new SolvedFolder(store.path, planned.spec.method, planned.options)
  const elsewhere = { solved: (names: string[]) => folder.solved(names, rowsOf(session)), vectors: (k: number) => folder.vectors(k) }
  await requireAll(session, planned.blocks, asked, elsewhere)
  const job = await assemblyJob(session, store, given, asked, worker)
  const target = await worker.claim({ path: asked.saved, model: localModel(asked.model), overwrite: given.on('overwrite') })
  const { journal } = target
  const host: Host = {
    session,
    control: worker.control,
    emit: (event) => worker.hear(event),
    sink: () => target.sink(),
    journal,
    elsewhere,
  }
  const resume = (await readHead(journal)) !== null
  const report = await runJob(job, host, { resume, rewrite: !(await target.whole()), origin: originOf(asked.model, session.summary!) })
  const failed = report.runs.at(0)?.error ?? report.runs.at(0)?.exportError
  if (failed) throw fromErrorData(failed)
  if (!report.runs.length) throw new WorkbenchError('cancelled', 'It was stopped.', 'It goes on when it is run again.')
  await discardJournal(journal)
  process.stderr.write(summary(report, asked.saved, null))
  worker.tell({ type: 'assembled', folder: asked.saved, report: { ...report, memory: [] } })
}

/** @throws {WorkbenchError} `file-missing` that names what is not solved */
async function requireAll(
  { model: opened }: Session,
  blocks: number,
  { overrides }: Asked,
  { solved }: Pick<Required<NonNullable<Host['elsewhere']>>, 'solved'>,
) {
  const lacking: string[] = []
  for (let k = 0; k < blocks; k++) {
    const names = linearNames(opened, { overrides }, k)
    const found = await solved(names)
    lacking.push(...names.filter((name) => !found.has(name)))
  }
  if (!lacking.length) return
  const some = lacking.slice(0, 3).join(', ') + (lacking.length > 3 ? ` and ${lacking.length - 3} more` : '')
  throw new WorkbenchError(
    'file-missing',
    `${lacking.length} linears are not solved with these options: ${some}.`,
    'Solve them (`solve --gram STORE --linears ...` with the same options), then assemble.',
  )
}

async function assemblyJob(session: Session, { meta }: GramStore, given: Given, asked: Asked, worker: Worker): Promise<Job> {
  const { calibration } = meta
  const { texts } = session
  if (!texts.file(calibration.text) && !texts.isRemote(calibration)) texts.add(await textFile(calibration.text))
  const { evaluation } = await chooseTexts(session, given, { ...asked, measureOnly: true })
  const options = withInputs(meta, asked.options)
  const note = (message: string) => worker.tell({ type: 'note', message })
  const job = await jobOf(session, given, { ...asked, options }, { calibration, evaluation }, session.summary!, { note })
  const length = asked.evalSeqlen ?? asked.seqlen ?? calibration.length
  return {
    ...job,
    calibration,
    evaluation: { ...job.evaluation, length },
    seed: meta.seed,
    ...(asked.formats && { formats: asked.formats }),
  }
}
