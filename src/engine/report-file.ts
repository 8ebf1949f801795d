/** Reads reports whose results the page shows: of a job, and of a sweep, which are the runs of many jobs on one model. */
import { WorkbenchError } from '../errors.ts'
import { parseJson } from '../io/json.ts'
import { z } from '../io/zod.ts'
import type { JobReport } from './job/report.ts'
import { jobFileCap, readJobFile } from './job-file.ts'

const text = z.string().max(4096)
const number = z.number()
const maybe = number.nullable()
const counts = z.looseObject({ windows: number, length: number })
const error = z.looseObject({ code: text, message: text, hint: z.string().max(4096) })
const shape = z.tuple([number, number])
const bits = z.looseObject({ codes: number, scales: number, zeros: number, groupIndex: number, outliers: number })

const curve = z.looseObject({
  iterations: z.array(number).max(4096),
  values: z.array(number).max(4096),
  relaxed: z.array(number).max(4096),
  changed: z.array(maybe).max(4096).optional(),
})

const layer = z.looseObject({
  name: text,
  block: z.int().min(0),
  shape,
  relativeError: number,
  heldOutError: number.optional(),
  seconds: number,
  iterations: number,
  bits,
  objective: curve.optional(),
  notes: z.array(z.string().max(4096)).max(64),
})

const run = z.looseObject({
  run: text,
  state: z.enum(['finished', 'cancelled', 'failed']),
  error: error.optional(),
  perplexity: maybe,
  perplexityError: maybe,
  kl: maybe,
  top1: maybe,
  perplexities: z.array(z.strictObject({ blocks: number, value: number })).max(4096),
  bitsPerWeight: number,
  meanRelativeError: maybe,
  worst: z.strictObject({ name: text, relativeError: number }).nullable(),
  seconds: number,
  layers: z.array(layer).max(2 ** 16),
  weightBytes: number.optional(),
  ends: z
    .array(z.looseObject({ name: text, shape, bits }))
    .max(64)
    .optional(),
  kept: z
    .array(z.looseObject({ name: text, shape, bits }))
    .max(2 ** 16)
    .optional(),
})

/** What the page takes from a report without asking whether it is there. */
const shown = z.looseObject({
  workbench: z.looseObject({ version: text }),
  adapter: z.looseObject({ name: text }),
  model: z.looseObject({
    name: text,
    family: text,
    parameters: number,
    bytes: number,
    quantized: z.looseObject({ bits: number, format: text }).nullable(),
    source: z.looseObject({ repo: text, ref: text, revision: text }).nullable(),
  }),
  calibration: counts,
  evaluation: counts,
  blocks: z.int().min(0),
  linears: z.array(text).max(2 ** 16),
  fpPerplexity: maybe,
  runs: z.array(run).max(1024),
  memory: z.array(z.looseObject({ seconds: number, held: number })).max(4096),
  started: z.iso.datetime(),
  seconds: number,
})

const gathered = shown.extend({
  runs: z.array(run).min(1).max(1024),
  memory: z.array(z.unknown()).max(0),
  gathered: z.strictObject({
    jobs: z.int().min(0),
    open: z.array(z.strictObject({ label: text, state: z.enum(['failed', 'missing']), error: text.nullable() })).max(1_000_000),
  }),
})

/**
 * The report that a file holds, of a job or of a sweep; null for the file of a job, and for the report in a checkpoint, which says less.
 * @throws {WorkbenchError} `plan-invalid`
 */
export function readReport(data: Uint8Array, fileName: string): JobReport | null {
  if (data.length > jobFileCap) return null
  const hint = 'Give a report as it was saved: from the results in the page, by --report, or by `sweep report`.'
  const { value } = parseJson(data, fileName, { code: 'plan-invalid', hint, unique: true })
  const swept = 'gathered' in value
  if (!swept && !('runs' in value && 'started' in value)) return null
  // Its job is held to the same rules as that of any report.
  const { job } = readJobFile(data, fileName)
  const read = (swept ? gathered : shown).safeParse(value)
  const wrong = (why: string) =>
    new WorkbenchError('plan-invalid', `${fileName} is no report of a ${swept ? 'sweep' : 'job'}: ${why}.`, hint)
  if (!read.success) {
    const [{ path, message }] = read.error.issues
    throw wrong(`${path.map(String).join('.').slice(0, 200)}: ${message.slice(0, 300)}`)
  }
  const known = new Set(job.runs.map(({ id }) => id))
  const stray = read.data.runs.find(({ run }) => !known.has(run))
  if (stray) throw wrong(`it has a result of ${stray.run}, which its job does not have`)
  return value as unknown as JobReport
}
