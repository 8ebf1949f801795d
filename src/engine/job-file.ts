/**
 * A job as a file: plain JSON without weights or texts, from which somebody else repeats it. It says what to run, on which model and
 * texts, and by digests how to tell whether these are the same. A report holds all of that too, and is read as the file of its job.
 */
import { isDatasetId } from '../data/datasets.ts'
import { WorkbenchError } from '../errors.ts'
import { isObject, parseJson } from '../io/json.ts'
import { z } from '../io/zod.ts'
import { type Job, productTypes, type RunSpec } from './job/job.ts'
import type { ModelOrigin } from './job/model.ts'
import type { JobReport } from './job/report.ts'
import type { TextChoice, UsedText } from './job/texts.ts'

/** The member `format` of every job file. */
export const jobFileFormat = 'quantease-job'
const jobFileVersion = 1
/** In place of a text's id: the person's own file of this name, which is not in the job file. */
const ownFile = 'file:'
/** Bytes at most; a report with the errors of every linear is the largest. */
export const jobFileCap = 64 * 2 ** 20
// A model of a hundred blocks may have an override for each of its linears.
const most = { runs: 1024, formats: 64, options: 128, overrides: 4096 }

const name = (length: number) =>
  z
    .string()
    .min(1)
    .max(length)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be in it
    .regex(/^[^\u0000-\u001f\u007f\u2028\u2029]*$/, 'has control characters')
const count = (least: number) =>
  z
    .int()
    .min(least)
    .max(2 ** 32 - 1)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'is no SHA-256 in hexadecimal')
const textChoice = { text: name(512), column: name(200).optional(), chat: z.boolean().optional() }
const formats = z.array(name(64)).max(most.formats).optional()

const options = z
  .record(z.string().regex(/^[A-Za-z][A-Za-z0-9]{0,63}$/), z.union([z.number(), z.string().max(200), z.boolean()]))
  .refine((given) => Object.keys(given).length <= most.options, 'has too many options')

const runSpec = z.strictObject({
  // Folders are named after it.
  id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, 'has to be letters, digits, - and _'),
  label: name(200),
  method: name(64),
  options,
  overrides: z
    .array(z.strictObject({ pattern: name(300), options: options.optional() }))
    .max(most.overrides)
    .optional(),
  formats,
})

const job = z.strictObject({
  runs: z.array(runSpec).max(most.runs),
  calibration: z.strictObject({
    ...textChoice,
    text: name(512).or(z.literal('')),
    samples: count(1),
    length: count(2),
    sampling: z.enum(['random', 'consecutive', 'documents']),
    heldOut: z.number().min(0).max(1).optional(),
  }),
  evaluation: z.strictObject({ ...textChoice, samples: count(0), length: count(2), products: z.enum(productTypes).optional() }),
  lambada: z.strictObject({ ...textChoice, passages: count(0) }).optional(),
  seed: count(0),
  date: z.iso.date().optional(),
  perplexityEvery: count(0),
  save: z.boolean(),
  formats,
  keepSolved: z.boolean().optional(),
})

const origin = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('demo') }),
  z.strictObject({ kind: z.literal('files'), name: name(512) }),
  z.strictObject({
    kind: z.literal('hub'),
    repo: z
      .string()
      .max(200)
      .regex(/^[\w.-]+\/[\w.-]+$/, 'is no owner/name'),
    ref: name(200),
    revision: name(200),
  }),
])

const usedText = z.strictObject({
  name: name(512),
  origin: z.enum(['builtin', 'dataset', 'file', 'paste']).optional(),
  tokensSha256: sha256,
  tokens: count(0),
})

const parts = ['calibration', 'heldOut', 'evaluation', 'lambada'] as const

const jobFile = z.strictObject({
  format: z.literal(jobFileFormat),
  version: z.literal(jobFileVersion),
  job,
  /** `sha256`: as in a report. */
  model: z.strictObject({ origin, sha256: sha256.optional() }),
  /** What its texts were, where it has been run. */
  texts: z.partialRecord(z.enum(parts), usedText).optional(),
  /** By what it was run, and when. */
  made: z.strictObject({ workbench: name(64), code: sha256, adapter: name(200), date: z.iso.datetime() }).optional(),
})

/** A job with what tells whether its model and texts are at hand. */
export type JobFile = z.infer<typeof jobFile>

/** Members of the plain types that the schema does not have: a job file would lose them, so there may be none. */
type Lost<Plain, Read> = Exclude<keyof Plain, keyof Read>
const _complete: [
  Lost<Job, JobFile['job']> | Lost<RunSpec, JobFile['job']['runs'][number]> | Lost<TextChoice, JobFile['job']['evaluation']>,
] extends [never]
  ? true
  : never = true
void _complete

/** A text as a job file names it: by its id where anybody can read it by that, by its name where it is the person's own. */
function asNamed(choice: TextChoice, used: UsedText | undefined): string {
  const own = used?.origin
    ? used.origin === 'file' || used.origin === 'paste'
    : used !== undefined && used.name !== choice.text && /^file-/.test(choice.text)
  return own ? `${ownFile}${used!.name}` : choice.text
}

type Repeatable = Pick<JobReport, 'job' | 'texts'> &
  Partial<Pick<JobReport, 'started' | 'origin'>> & {
    model: Pick<JobReport['model'], 'name' | 'sha256' | 'source'>
    workbench: JobReport['workbench']
    adapter: Pick<JobReport['adapter'], 'name'>
  }

/** The job of a report. Only what decides figures is taken along: where checkpoints went is the reader's own matter. */
export function jobFileOf({ job, model, texts, workbench, adapter, started, origin }: Repeatable): JobFile {
  return {
    format: jobFileFormat,
    version: jobFileVersion,
    job: withTexts(job, (choice, part) => asNamed(choice, texts[part])),
    model: {
      origin: origin ?? (model.source ? { kind: 'hub', ...model.source } : { kind: 'files', name: model.name }),
      sha256: model.sha256,
    },
    texts,
    ...(started && { made: { workbench: workbench.version, code: workbench.code, adapter: adapter.name, date: started } }),
  }
}

/** The file of a job that has not been run. `texts`: what its ids stand for. */
export function plannedJobFile(
  planned: Job,
  from: ModelOrigin,
  texts: (id: string) => Pick<UsedText, 'name' | 'origin'> | undefined,
): JobFile {
  const named = withTexts(planned, (choice) => {
    const known = texts(choice.text)
    return known && (known.origin === 'file' || known.origin === 'paste') ? `${ownFile}${known.name}` : choice.text
  })
  return { format: jobFileFormat, version: jobFileVersion, job: named, model: { origin: from } }
}

/** The same job with other ids of its texts. */
export function withTexts(given: Job, idOf: (choice: TextChoice, part: 'calibration' | 'evaluation' | 'lambada') => string): Job {
  const { calibration, evaluation, lambada } = given
  return {
    ...given,
    calibration: { ...calibration, text: idOf(calibration, 'calibration') },
    evaluation: { ...evaluation, text: idOf(evaluation, 'evaluation') },
    ...(lambada && { lambada: { ...lambada, text: idOf(lambada, 'lambada') } }),
  }
}

/** The name of a file of the person's own that a job file's text stands for; null for a text that everybody has. */
export const ownFileOf = (text: string): string | null => (text.startsWith(ownFile) ? text.slice(ownFile.length) : null)

/** Whether a text can be read by this id alone. */
export const isPublicText = (text: string, known: readonly { id: string }[]) => known.some(({ id }) => id === text) || isDatasetId(text)

const rules = {
  code: 'plan-invalid' as const,
  hint: 'Give a job file or a report as the page or --report saves it.',
  unique: true,
}

/**
 * Reads a job file, or the job of a report (also of one in a checkpoint's folder).
 * @throws {WorkbenchError} `plan-invalid`
 */
export function readJobFile(data: Uint8Array, fileName: string): JobFile {
  if (data.length > jobFileCap)
    throw new WorkbenchError('plan-invalid', `${fileName} has ${data.length} bytes; a job file has at most ${jobFileCap}.`, rules.hint)
  const { value } = parseJson(data, fileName, rules)
  const known = isReport(value) ? reportAsFile(value, fileName) : value
  if ((known as { format?: unknown }).format !== jobFileFormat)
    throw new WorkbenchError('plan-invalid', `${fileName} is no job file.`, rules.hint)
  const { version: written } = known as { version?: unknown }
  if (Number.isInteger(written) && Number(written) > jobFileVersion)
    throw new WorkbenchError(
      'plan-invalid',
      `${fileName} is a job file of version ${written}, made by a newer workbench; this one reads version ${jobFileVersion}.`,
      'Open it in the version that made it, or in a newer one.',
    )
  const read = jobFile.safeParse(known)
  if (!read.success) throw invalid(read.error, fileName)
  judgeRuns(read.data.job.runs, fileName)
  return read.data
}

/** Whether a file is meant as a job file or a report, from the members of its JSON alone. */
export function looksLikeJob(data: Uint8Array): boolean {
  const text = new TextDecoder().decode(data)
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) && (value.format === jobFileFormat || isReport(value))
  } catch {
    // Cut off or edited, which is said when it is read: by how the page and the command line begin either.
    return /^\s*\{\s*"(format"\s*:\s*"quantease-job"|workbench"\s*:\s*\{)/.test(text)
  }
}

const isReport = (value: unknown): value is Repeatable =>
  isObject(value) && ['workbench', 'adapter', 'model', 'job', 'texts', 'runs'].every((key) => typeof value[key] === 'object')

/** @throws {WorkbenchError} `plan-invalid` where a report is not built as one */
function reportAsFile(report: Repeatable, fileName: string): unknown {
  try {
    return jobFileOf(report)
  } catch (cause) {
    throw new WorkbenchError('plan-invalid', `${fileName} is no report of a job.`, rules.hint, { cause })
  }
}

function invalid(error: z.ZodError, fileName: string): WorkbenchError {
  const [{ path, message }] = error.issues
  const place = path.length ? `${path.map(String).join('.').slice(0, 200)}: ` : ''
  return new WorkbenchError('plan-invalid', `${fileName} is no valid job file: ${place}${message.slice(0, 300)}.`, rules.hint)
}

/** Two runs of one name would share a folder or a line of a table. */
function judgeRuns(runs: readonly RunSpec[], fileName: string): void {
  for (const key of ['id', 'label'] as const) {
    const seen = new Set<string>()
    for (const run of runs) {
      if (seen.has(run[key]))
        throw new WorkbenchError('plan-invalid', `${fileName} has two runs with the ${key} “${run[key]}”.`, 'Give each run its own.')
      seen.add(run[key])
    }
  }
}
