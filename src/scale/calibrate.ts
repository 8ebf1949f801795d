/** `calibrate`: one pass of a model over the calibration text, block by block, that keeps Σ of every stage as files. */
import { formNamed } from '../gpu/ops/gemm-forms.ts'
import { join } from 'node:path'
import { Given, UsageError } from '../cli/arguments.ts'
import type { Asked } from '../cli/asked.ts'
import { chooseTexts, openModel } from '../cli/inputs.ts'
import { jobOf } from '../cli/job.ts'
import { WorkbenchError, fromErrorData } from '../errors.ts'
import type { Host, SummedStage } from '../engine/host.ts'
import type { Hub } from '../engine/hub.ts'
import type { Job } from '../engine/job/job.ts'
import { codeVersion, modelDigest, usedTexts } from '../engine/keep/fingerprint.ts'
import { discardJournal, readHead } from '../engine/keep/journal-files.ts'
import { SolvedBlocks } from '../engine/keep/solved.ts'
import { planJob } from '../engine/plan/check.ts'
import type { Plan } from '../engine/plan/plan.ts'
import { linearNames } from '../engine/passes/restore.ts'
import { PartLoop } from '../engine/run/elsewhere.ts'
import { prepare } from '../engine/run/prepare.ts'
import { Pulse } from '../engine/passes/pulse.ts'
import { Recovery } from '../engine/run/recovery.ts'
import { runJob } from '../engine/run/run.ts'
import type { Session } from '../engine/session.ts'
import { sha256 } from '../io/digest.ts'
import { storeBytes, type StoreMeta } from '../io/gram-store.ts'
import { blockName } from '../models/open.ts'
import { usePanel } from '../quant/descent.ts'
import type { Worker } from './worker.ts'
import { GramStore, usedText, withWholeEnds } from './gram-store.ts'
import { localModel, originOf } from './open.ts'
import { SolvedFolder } from './solved.ts'

/** Between two looks for what others have solved, ms. */
const LOOK = 250

/** What a store of a model will take, as a sentence. */
export function storeText({ model }: Pick<Session, 'model'>, { heldOut, options: { blocks } }: Pick<Asked, 'heldOut' | 'options'>): string {
  const layouts = model.model.layouts.slice(0, Number(blocks) || undefined)
  const widths = layouts.flatMap(({ stages }) => stages.map(([{ p }]) => p))
  const bytes = storeBytes(widths, heldOut > 0)
  const largest = storeBytes([Math.max(...widths)], heldOut > 0)
  const size = (value: number) => (value < 2 ** 30 ? `${(value / 2 ** 20).toPrecision(3)} MiB` : `${(value / 2 ** 30).toPrecision(4)} GiB`)
  return `The Gram store takes ${size(bytes)} for ${widths.length} stages (f32, upper triangles${heldOut > 0 ? ', also of the held-out windows' : ''}), the largest ${size(largest)}.\n`
}

/** Makes a store, or what is missing of it. */
export async function calibrate(session: Session, hub: Hub, given: Given, asked: Asked, worker: Worker): Promise<void> {
  const path = given.text('save-gram')
  if (!path) throw new UsageError('calibrate needs --save-gram STORE, the folder of the Gram matrices.')
  if (given.on('solve-elsewhere') && given.text('quantization-method') === undefined)
    throw new UsageError('--solve-elsewhere needs --quantization-method: full-precision inputs do not wait for what is solved.')
  const { job, carried } = await calibrationJob(session, hub, given, asked, worker)
  const target = await worker.claim({ path: join(path, 'calibration'), model: localModel(asked.model), overwrite: true })
  const plan = await planJob(job, session)
  const store = await GramStore.begin(path, await metaOf(session, plan, carried))
  for (const { block, stage } of [...store.meta.stages]) if (!(await store.holds(block, stage))) await store.forget(block, stage)
  const elsewhere = { keep: keeper(session, store) }
  const host: Host = {
    session,
    control: worker.control,
    emit: (event) => worker.hear(event),
    sink: noSink,
    journal: target.journal,
    elsewhere,
  }
  const resume = await resumable(host, store)
  if (!carried) await gather(job, host, resume, store, originOf(asked.model, session.summary!))
  else {
    const solved = new SolvedFolder(path, plan.runs[0].spec.method, plan.runs[0].options)
    if (given.on('solve-elsewhere')) host.elsewhere!.wait = (names) => waiting(session, solved, names, worker)
    await carry(job, host, resume, solved, originOf(asked.model, session.summary!))
  }
  await discardJournal(target.journal)
  worker.tell({ type: 'calibrated', store: path, stages: store.meta.stages.length })
}

const noSink = async () => {
  throw new Error('A calibration writes no checkpoint.')
}

async function calibrationJob(session: Session, hub: Hub, given: Given, asked: Asked, worker: Worker) {
  const carried = given.text('quantization-method') !== undefined
  const model = await openModel(session, hub, asked.model)
  // Without a method nothing is measured: any text will do.
  const any = carried || given.text('eval') !== undefined ? given : new Given({ ...given.values, eval: given.text('dataset') })
  const texts = await chooseTexts(session, any, asked)
  const note = (message: string) => worker.tell({ type: 'note', message })
  const options = carried ? withWholeEnds(asked.options) : asked.options
  const job = await jobOf(session, given, { ...asked, options }, texts, model, { note })
  if (carried) return { job: { ...job, save: false, keepSolved: true } as Job, carried }
  const { blocks } = asked.options
  const run = { id: 'run', label: 'Calibration', method: 'rtn', options: { fullInputs: true, ...(blocks && { blocks }) } }
  const { length } = job.calibration
  return { job: { ...job, runs: [run], evaluation: { ...job.evaluation, samples: 1, length }, save: false } as Job, carried }
}

async function metaOf(
  session: Session,
  { job, runs: [run], ...plan }: Plan,
  carried: boolean,
): Promise<Parameters<typeof GramStore.begin>[1]> {
  const texts = await usedTexts({ job, runs: [run], ...plan }, (id) => ({ name: session.texts.file(id)?.label ?? id }))
  const { name, gemmKernel, sweepPanel } = await session.gpuSummary()
  const traits = await session.adapterTraits()
  const inputs: StoreMeta['inputs'] =
    carried && !run.fullInputs
      ? { kind: run.trueSequential ? 'true-sequential' : 'quantized', method: run.spec.method, options: run.options }
      : { kind: 'full-precision' }
  return {
    model: { name: session.model.folder.name, sha256: await modelDigest(session.model, session.source) },
    code: codeVersion,
    inputs,
    calibration: { ...job.calibration },
    seed: job.seed,
    text: usedText(texts.calibration!),
    heldOut: texts.heldOut ? usedText(texts.heldOut) : null,
    device: {
      name,
      sha256: await sha256(new TextEncoder().encode(JSON.stringify([traits.told, traits.arithmetic]))),
      gemmKernel,
      sweepPanel,
    },
    blocks: run.blocks,
  }
}

/** Writes the sums of a stage to the store. */
function keeper({ model: opened }: Session, store: GramStore) {
  return async (block: number, stage: number, { gpu, seen, heldOut, sizes }: SummedStage) => {
    if (store.stage(block, stage)) return
    const values = async (tensor: typeof sizes) => (tensor ? ((await gpu.read(tensor)) as Float32Array<ArrayBuffer>) : null)
    const linears = opened.model.layouts[block].stages[stage].map(({ name }) => blockName(opened, block, name))
    const sums = { gram: (await values(seen.gram))!, heldOut: await values(heldOut?.gram ?? null), sizes: await values(sizes) }
    await store.write({ block, stage, linears }, sums)
  }
}

/** Whether there is a journal to go on with; one without its stages is not. */
async function resumable(host: Host, store: GramStore): Promise<boolean> {
  if (!(await readHead(host.journal))) return false
  if (store.meta.stages.length) return true
  await discardJournal(host.journal)
  return false
}

async function gather(job: Job, host: Host, resume: boolean, store: GramStore, origin: Parameters<typeof prepare>[3]): Promise<void> {
  const { plan, opened, journal, work } = await prepare(job, host, resume, origin)
  const { sweepPanel } = store.meta.device
  const gemmKernel = formNamed(store.meta.device.gemmKernel)
  const pulse = new Pulse(host, work.planned)
  const devices = new Recovery(host, (gpu, halvings) => {
    pulse.attach(gpu)
    gpu.gemm = gemmKernel
    usePanel(gpu, sweepPanel)
    return new PartLoop(gpu, opened, plan, host, journal, pulse.progress, halvings)
  })
  try {
    await journal.enter(plan.runs[0].spec.id)
    await devices.do((loop) => loop.gather(plan.runs[0], (k, stage) => store.stage(k, stage) !== undefined))
  } finally {
    devices.drop()
    await journal.close()
  }
}

/** A whole run that carries its own codes along; what it solves is left for `assemble`. */
async function carry(job: Job, host: Host, resume: boolean, solved: SolvedFolder, origin: Parameters<typeof prepare>[3]): Promise<void> {
  const report = await runJob(job, host, { resume, origin })
  const run = report.runs.at(0)
  if (run?.error) throw fromErrorData(run.error)
  if (!run) throw new WorkbenchError('cancelled', 'The calibration was stopped.', 'It goes on when it is run again.')
  const kept = await SolvedBlocks.open(host.journal, 0)
  const opened = host.session.model
  for (let k = 0; k < opened.model.shape.blocks; k++) {
    for (const linear of (await kept.linears(linearNames(opened, job.runs[0], k))).values())
      if (!solved.has(linear.layer.name, null)) await solved.write(linear, null, null)
    const vectors = await kept.vectors(k)
    if (vectors) await solved.writeVectors(k, vectors)
  }
  await kept.log.close()
}

/** Says which linears are wanted, and waits until other programs have solved them. */
async function waiting(session: Session, solved: SolvedFolder, names: string[], worker: Worker) {
  const rows = rowsOf(session)
  let told = false
  for (;;) {
    const found = await solved.solved(names, rows)
    if (found.size === names.length) return found
    if (!told) worker.tell({ type: 'wanted', linears: names.filter((name) => !found.has(name)) })
    told = true
    await worker.control.check()
    await new Promise((resolve) => setTimeout(resolve, LOOK))
  }
}

/** Rows of W of a linear by its full name. */
export function rowsOf({ model: opened }: Session): (name: string) => number {
  const rows = new Map(
    opened.model.layouts.flatMap(({ stages }, k) => stages.flat().map(({ name, q }) => [blockName(opened, k, name), q] as const)),
  )
  return (name) => rows.get(name) ?? 0
}
