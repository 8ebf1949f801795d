/** One job of a sweep as a file: a job file, with where its model and texts are. Its name is a digest of what it asks for. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { WorkbenchError } from '../errors.ts'
import { type JobFile, readJobFile } from '../engine/job-file.ts'
import { parseJson } from '../io/json.ts'
import { z } from '../io/zod.ts'
import { readSmall } from './files.ts'

const jobFormat = 'quantease-sweep-job'
const most = 4 * 2 ** 20
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const jobId = z.string().regex(/^[0-9a-f]{16}$/)

const schema = z.strictObject({
  format: z.literal(jobFormat),
  version: z.literal(1),
  id: jobId,
  label: z.string().min(1).max(1000),
  /** A job file, with the digest of its model. */
  job: z.record(z.string(), z.unknown()),
  /** `demo`, a folder, or owner/name@revision. */
  model: z.string().min(1).max(4096),
  /** Files of those texts that are files. */
  texts: z.partialRecord(z.enum(['calibration', 'evaluation']), z.strictObject({ path: z.string().min(1).max(4096), sha256 })),
})

export interface SweepJob extends Omit<z.infer<typeof schema>, 'job'> {
  job: JobFile
}

/** Files of one job. */
export const jobFolder = (dir: string, id: string) => join(dir, 'jobs', id)
export const filesOf = (folder: string) => ({
  job: join(folder, 'job.json'),
  result: join(folder, 'result.json'),
  failure: join(folder, 'failure.json'),
  events: join(folder, 'events.jsonl'),
  checkpoint: join(folder, 'checkpoint'),
})

/** A job by what it asks for: not by its words, and not by where its files are. */
export function sweepJob(job: JobFile, label: string, model: string, texts: SweepJob['texts']): SweepJob {
  return { format: jobFormat, version: 1, id: idOf({ job, texts }), label, job, model, texts }
}

function idOf({ job: { job, model }, texts }: Pick<SweepJob, 'job' | 'texts'>): string {
  const runs = job.runs.map(({ label: _, ...run }) => run)
  const digests = [texts.calibration?.sha256 ?? null, texts.evaluation?.sha256 ?? null]
  return createHash('sha256')
    .update(canonical([{ ...job, runs }, model.sha256 ?? model.origin, digests]))
    .digest('hex')
    .slice(0, 16)
}

/** JSON with the members of objects in order. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, one) =>
    typeof one === 'object' && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  )
}

const hint = 'Plan the sweep again: what is missing or damaged is written again, and nothing else is touched.'

/** @throws {WorkbenchError} `file-missing`; `plan-invalid` where it is damaged */
export async function readSweepJob(path: string): Promise<SweepJob> {
  const data = await readSmall(path, most)
  if (!data) throw new WorkbenchError('file-missing', `There is no job file ${path}.`, hint)
  const { value } = parseJson(data, path, { code: 'plan-invalid', hint, unique: true })
  const read = schema.safeParse(value)
  if (!read.success) throw damaged(path, read.error.issues[0].message)
  const job = readJobFile(new TextEncoder().encode(JSON.stringify(read.data.job)), path)
  const found = { ...read.data, job }
  if (idOf(found) !== found.id) throw damaged(path, 'its content is not that of its name')
  if (job.job.runs.length !== 1) throw damaged(path, `a job of a sweep has one run, not ${job.job.runs.length}`)
  return found
}

const damaged = (path: string, why: string) => new WorkbenchError('plan-invalid', `${path} is damaged: ${why}.`, hint)

const planFormat = 'quantease-sweep-plan'

/** What the dry run foresees of a job; null where it does not know. */
export interface Price {
  device: string
  /** Floating-point operations. */
  flops: number
  seconds: number | null
  gpuBytes: number
  hostBytes: number
  checkpointBytes: number
  bitsPerWeight: number
}

const figure = z.number().min(0)
const planSchema = z.strictObject({
  format: z.literal(planFormat),
  version: z.literal(1),
  /** In the order of their index, which never changes: planning again adds at the end. */
  jobs: z
    .array(
      z.strictObject({
        id: jobId,
        label: z.string().max(1000),
        model: z.string().max(4096),
        price: z
          .strictObject({
            device: z.string(),
            flops: figure,
            seconds: figure.nullable(),
            gpuBytes: figure,
            hostBytes: figure,
            checkpointBytes: figure,
            bitsPerWeight: figure,
          })
          .nullable(),
      }),
    )
    .max(1_000_000),
})

export type SweepPlan = z.infer<typeof planSchema>
export const emptyPlan: SweepPlan = { format: planFormat, version: 1, jobs: [] }
export const planPath = (dir: string) => join(dir, 'plan.json')

/** The plan in a folder; null where there is none. @throws {WorkbenchError} `plan-invalid` */
export async function readPlan(dir: string): Promise<SweepPlan | null> {
  const path = planPath(dir)
  const data = await readSmall(path, 512 * 2 ** 20)
  if (!data) return null
  const again = 'Move it away and plan the sweep again: its jobs keep their names and results.'
  const { value } = parseJson(data, path, { code: 'plan-invalid', hint: again, unique: true })
  const read = planSchema.safeParse(value)
  if (read.success) return read.data
  throw new WorkbenchError('plan-invalid', `${path} is no plan of a sweep: ${read.error.issues[0].message}.`, again)
}
