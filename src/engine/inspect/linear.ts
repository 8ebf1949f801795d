/** Everything about one linear that can still be seen: its weights, what each run made of them, and Σ while it is in memory. */
import { type ErrorData, toErrorData, WorkbenchError } from '../../errors.ts'
import type { Store } from '../../io/bytes.ts'
import { floatsOf } from '../../io/half.ts'
import { type LinearShape, linearsOf } from '../../models/family.ts'
import { blockName, type OpenModel } from '../../models/open.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import { modelDigest } from '../keep/fingerprint.ts'
import { type JournalHead, readHead } from '../keep/journal-files.ts'
import { SolvedBlocks } from '../keep/solved.ts'
import type { Session } from '../session.ts'
import { type GramCache, type KeptStage, runKey } from '../grams.ts'
import { lookAtSolved, type SolvedLook } from './solved.ts'
import { WeightSketch, type WeightsLook } from './weights.ts'

/** What there is to see, or why there is nothing. */
export type Seen<T> = { seen: T } | { missing: ErrorData }

/** The diagonal of Σ, in parts of so many inputs: their mean and their largest. */
export interface SigmaLook {
  inputs: number
  each: number
  mean: number[]
  largest: number[]
}

export interface LinearLook {
  /** How its weights are stored; null where they are not there. */
  dtype: string | null
  weights: Seen<WeightsLook>
  /** Of a linear that is stored as codes: those codes. */
  stored: SolvedLook | null
  /** Of the Gram store that is open; null without one. */
  store: Seen<SigmaLook> | null
  /** By run. */
  runs: Record<string, { solved: Seen<SolvedLook>; sigma: Seen<SigmaLook> }>
}

/** Bytes that are read at a time. */
const PIECE = 8 * 2 ** 20
const PARTS = 192

/** Where what a job solved may still be. `started`: of the job. */
export interface KeptJournal {
  journal: Store
  started: string
}

/** @param job where the runs' codes are; null when there is none, or it cannot be read now, for the reason `why` */
export async function lookAtLinear(
  session: Session,
  name: string,
  runs: string[],
  { job, why, grams }: { job: KeptJournal | null; why: ErrorData; grams: GramCache },
): Promise<LinearLook> {
  const head = job && (await readHead(job.journal))
  const kept = job && head?.started === job.started ? { ...job, head } : null
  const solved = kept ? await solvedOf(kept, name, runs) : new Map()
  const look = (run: string) => {
    const stage = job && grams.of(runKey(job.started, run), name)
    const codes = solved.get(run)
    return [
      run,
      {
        solved: codes ? { seen: codes } : { missing: kept ? toErrorData(notKept()) : why },
        sigma: stage ? { seen: lookAtSigma(stage) } : { missing: toErrorData(notInMemory()) },
      },
    ] as const
  }
  return { ...(await ownOf(session, name, kept?.head.fingerprint.model ?? null)), store: null, runs: Object.fromEntries(runs.map(look)) }
}

type Own = Pick<LinearLook, 'dtype' | 'weights' | 'stored'>

/** What the open model holds of it; `digest`: of the model that it has to be. */
async function ownOf(session: Session, name: string, digest: string | null): Promise<Own> {
  try {
    const opened = session.model
    if (digest !== null && digest !== (await modelDigest(opened, session.source)))
      throw new WorkbenchError('journal-mismatch', 'The model that is open holds other weights.', 'Open the model of these results.')
    return await weightsOf(opened, name, placeOf(opened, name).linear)
  } catch (thrown) {
    return { dtype: null, weights: { missing: toErrorData(thrown) }, stored: null }
  }
}

export const notInMemory = () =>
  new WorkbenchError(
    'journal-mismatch',
    'Σ of these inputs is no longer in memory.',
    'The page keeps the latest 256 MiB of them, until it is closed or another model is opened. A duplicate of the job, run again, brings them back.',
  )

/** Block and shape of the linear of this full name. @throws WorkbenchError `plan-invalid` */
export function placeOf(opened: OpenModel, name: string): { k: number; linear: LinearShape } {
  const { model } = opened
  for (let k = 0; k < model.shape.blocks; k++) {
    const linear = linearsOf(model.layouts[k]).find((one) => blockName(opened, k, one.name) === name)
    if (linear) return { k, linear }
  }
  throw new WorkbenchError('plan-invalid', `The model that is open has no linear ${name}.`, 'Open the model that these results are of.')
}

async function weightsOf(opened: OpenModel, name: string, { q, p }: { q: number; p: number }): Promise<Own> {
  const { checkpoint, packing } = opened.folder
  const sketch = new WeightSketch(q, p)
  if (packing?.holds(checkpoint, name)) {
    const codes = await packing.read(checkpoint, name, { q, p })
    return { dtype: packing.label, weights: { missing: toErrorData(storedAsCodes()) }, stored: lookAtSolved(codes) }
  }
  const { dtype } = checkpoint.tensors.get(`${name}.weight`)!
  const rowBytes = p * (dtype === 'F32' ? 4 : 2)
  const rows = Math.max(1, Math.floor(PIECE / rowBytes))
  for (let row = 0; row < q; row += rows) {
    const bytes = await checkpoint.readRange(`${name}.weight`, row * rowBytes, Math.min(q, row + rows) * rowBytes)
    sketch.add(floatsOf(bytes, dtype))
  }
  return { dtype, weights: { seen: sketch.look() }, stored: null }
}

const storedAsCodes = () =>
  new WorkbenchError('config-unsupported', 'This linear is stored as codes; its full-precision weights are not in this model.')

async function solvedOf({ journal, head }: KeptJournal & { head: JournalHead }, name: string, runs: string[]) {
  const found = new Map<string, SolvedLook>()
  for (const [i, { id }] of head.job.runs.entries()) {
    const solved = runs.includes(id) ? await keptOf(journal, i, name) : null
    if (solved) found.set(id, lookAtSolved(solved))
  }
  return found
}

/** What run i of the job in the journal made of a linear; null when that was not kept. */
export async function keptOf(journal: Store, i: number, name: string): Promise<SolvedLinear | null> {
  if (!(await journal.list()).includes(`run-${i}`)) return null
  const kept = await SolvedBlocks.open(journal, i)
  try {
    return (await kept.linears([name])).get(name)?.stored ?? null
  } finally {
    await kept.log.close()
  }
}

const notKept = () =>
  new WorkbenchError(
    'journal-mismatch',
    'The codes of this run were not kept.',
    'The plan has a switch that keeps what is solved, beside the formats.',
  )

export function lookAtSigma({ p, seen: { gram } }: KeptStage): SigmaLook {
  const each = Math.ceil(p / PARTS)
  const parts = Math.ceil(p / each)
  const [mean, largest] = [new Array<number>(parts).fill(0), new Array<number>(parts).fill(0)]
  for (let j = 0; j < p; j++) {
    const part = Math.floor(j / each)
    const value = gram[j * p + j]
    mean[part] += value / Math.min(each, p - part * each)
    largest[part] = Math.max(largest[part], value)
  }
  return { inputs: p, each, mean, largest }
}
