/** Turns a Job into a plan: draws tokens, resolves options, predicts sizes, and finds everything wrong with it. */
import { overlap } from '../../data/corpus.ts'
import { type ErrorData, WorkbenchError, toErrorData } from '../../errors.ts'
import type { Device } from '../../gpu/device.ts'
import { type ExportFormat, formats, withCommands } from '../../io/formats/index.ts'
import { kindsOf, linearsOf } from '../../models/family.ts'
import type { OpenModel } from '../../models/open.ts'
import { sliceProblem, slices } from '../../quant/slices.ts'
import type { FormatCheck, JobCheck } from '../job/check.ts'
import type { Job } from '../job/job.ts'
import type { Problem } from '../job/model.ts'
import { bitsPerWeight } from '../job/result.ts'
import { storyVocabulary, type TokenCounts } from '../job/texts.ts'
import type { Session } from '../session.ts'
import { drawTexts, type DrawnTexts } from './draw.ts'
import { Findings } from './findings.ts'
import { type PlannedRun, type Plan, ownGrids, planRun, plannedBits, checkpointBytes, solvedBytes, weightBytes } from './plan.ts'
import { remarks, gibibytes } from './remarks.ts'

/** Checks a job in every respect but time and memory (dry.ts). `plan` is set when there are no errors. */
export async function examine(job: Job, session: Session): Promise<{ check: JobCheck; plan: Plan | null }> {
  const found = new Findings()
  const { problems } = found
  const opened = session.model
  for (const { message, hint, severity } of opened.remarks) found.warn('model', message, hint, severity)
  const drawn = await drawTexts(job, session, found)
  judgeTexts(job, session, drawn, found)
  const gpu = await session.gpu()
  judgeProducts(job, gpu.info, found)
  const runs = planRuns(job, opened, gpu, (drawn.calibration?.heldOut.length ?? 0) > 0, found)
  judgeSizes(job, opened, gpu, runs, found)
  const deepest = Math.max(0, ...runs.map(({ blocks }) => blocks))
  if (runs.length && job.perplexityEvery > deepest) {
    const when = `once, when all ${deepest} blocks are quantized`
    found.warn('perplexityEvery', `Perplexity every ${job.perplexityEvery} blocks: it is measured ${when}.`, '', 'note')
  }
  const { calibration, evaluation, lastWords, passages } = drawn

  const check: JobCheck = {
    problems,
    calibration: calibration?.counts ?? null,
    evaluation: evaluation?.counts ?? null,
    ...(lastWords && { passages: lastWords.passages.length, passagesFrom: lastWords.facts }),
    runs: runs.map((run) => ({
      id: run.spec.id,
      bitsPerWeight: bitsPerWeight(plannedBits(run, opened)),
      own: ownGrids(run, opened),
      weightBytes: weightBytes(run, run.formats[0]),
      checkpointBytes: run.formats.reduce((sum, format) => sum + checkpointBytes(run, format, opened), 0),
      solvedBytes: solvedBytes(run),
      formats: formats.map((format) => judgeFormat(format, run, opened)),
      forecast: null,
    })),
  }
  const sound = !problems.some((problem) => problem.severity === 'error') && evaluation && passages && (calibration || !job.runs.length)
  return {
    check,
    plan: sound
      ? {
          job,
          calibration: calibration?.windows ?? [],
          heldOut: calibration?.heldOut ?? [],
          evaluation: evaluation.windows,
          passages,
          runs,
          check,
        }
      : null,
  }
}

/** What is wrong with the runs of a job and their formats, found without reading a text. */
export async function refusalsOf(job: Job, session: Session): Promise<ErrorData[]> {
  const found = new Findings()
  const gpu = await session.gpu()
  judgeProducts(job, gpu.info, found)
  planRuns(job, session.model, gpu, true, found)
  return errorsOf(found.problems)
}

function judgeProducts({ evaluation }: Job, { f16, name }: Device['info'], found: Findings): void {
  if (evaluation.products !== 'f16' || f16) return
  const hint = 'Leave products in f32, or use another GPU.'
  found.fail(
    'evaluation.products',
    'plan-invalid',
    `${name} has no 16-bit floats (shader-f16), so evaluation cannot take inputs in f16.`,
    hint,
  )
}

const errorsOf = (problems: readonly Problem[]): ErrorData[] =>
  problems.flatMap(({ severity, code, message, hint }) =>
    severity === 'error' ? [{ code: code === 'note' ? 'plan-invalid' : code, message, hint }] : [],
  )

function judgeFormat(format: ExportFormat, run: PlannedRun, opened: OpenModel): FormatCheck {
  const refusal = format.accepts(run.output)
  return {
    id: format.id,
    written: run.formats.includes(format),
    refusal,
    bytes: refusal ? null : weightBytes(run, format),
    loadsIn: refusal ? [] : withCommands(format.compatibility(run.output, opened.model.notLoaded)),
  }
}

/** Remarks on the texts: too short, too few, unsuitable, or overlapping. */
function judgeTexts(job: Job, session: Session, { calibration, evaluation }: DrawnTexts, found: Findings): void {
  const { texts, model: opened } = session
  const { shape } = opened.model
  if (evaluation && evaluation.counts.length < job.evaluation.length) {
    found.warn(
      'evaluation.length',
      `The evaluation text has only ${evaluation.counts.text} tokens: perplexity is measured over one window of ${evaluation.counts.length} tokens.`,
      'Choose a longer text for a more reliable figure.',
    )
  } else if (evaluation && job.evaluation.samples > evaluation.counts.windows) {
    found.warn(
      'evaluation.samples',
      `The evaluation text has only ${evaluation.counts.windows} windows of ${evaluation.counts.length} tokens; all of them are used.`,
      '',
      'note',
    )
  }
  const widest = Math.max(...opened.model.layouts.flatMap(linearsOf).map(({ p }) => p))
  if (calibration) {
    judgeAmount(calibration.counts, widest, found)
    if (texts.file(job.calibration.text)?.origin === 'builtin' && shape.vocab > storyVocabulary) {
      found.warn(
        'calibration.text',
        'These are stories in a small child’s vocabulary, made for the demo model: they use little of what this model can do.',
        'Calibrate on C4, WikiText-2, or on text like that which the model will process.',
        'note',
      )
    }
    const shared = evaluation ? overlap(calibration.windows, evaluation.windows) : 0
    if (shared >= 0.001) {
      found.warn(
        'evaluation.text',
        `${percent(shared)} of the evaluation tokens also occur in the calibration samples, so perplexity will look better than it is.`,
        'Evaluate on a text that is not used for calibration.',
      )
    }
  }
}

/** Windows that hold each token more often than this are told of. */
const REPEATED = 2

/** Calibration tokens against the inputs of the widest layer, each counted once. */
function judgeAmount({ windows, length, text, distinct = windows * length }: TokenCounts, widest: number, found: Findings): void {
  const drawn = windows * length
  const say = (message: string, hint: string, severity?: 'note') => found.warn('calibration.samples', message, hint, severity)
  if (drawn > REPEATED * distinct) {
    const each = Math.round(drawn / distinct)
    say(
      `The ${windows} windows overlap: their ${grouped(drawn)} tokens are ${grouped(distinct)} of a text of ${grouped(text ?? distinct)}, each about ${each} times, and tell the methods little more than these.`,
      `Use a longer text, or ${Math.max(1, Math.floor(distinct / length))} samples of this length.`,
    )
  }
  if (drawn < widest) {
    say(
      `${grouped(drawn)} calibration tokens are fewer than the widest layer has inputs (${grouped(widest)}): the Gram matrix cannot have full rank.`,
      'Use more or longer samples.',
    )
  } else if (distinct < 10 * widest) {
    say(
      `${grouped(distinct)} calibration tokens are ${(distinct / widest).toFixed(1)} times the inputs of the widest layer (${grouped(widest)}): methods fit them more closely than other tokens of the text.`,
      `Compare the errors on held-out tokens; use ${grouped(10 * widest)} tokens or more, or damping.`,
      'note',
    )
  }
}

/** The runs of a job, with their formats. */
function planRuns(job: Job, opened: OpenModel, gpu: Device, heldOut: boolean, found: Findings): PlannedRun[] {
  if (opened.folder.packing && job.runs.length) {
    found.fail(
      'runs',
      'plan-invalid',
      `${opened.folder.name} is quantized already (${opened.folder.packing.bits} bits).`,
      'Open the full-precision model to quantize it; of this one, only the perplexity can be measured.',
    )
  }
  const known = (ids: readonly string[], field: string) =>
    ids.filter((id) => {
      if (formats.some((format) => format.id === id)) return true
      const all = formats.map((format) => format.id).join(', ')
      found.fail(field, 'option-invalid', `There is no format ${JSON.stringify(id)}.`, `Choose of ${all}.`)
      return false
    })
  const asked = known(job.formats ?? [], 'formats')
  const runs: PlannedRun[] = []
  job.runs.forEach((spec, i) => {
    if (opened.folder.packing) return
    const ids = spec.formats ? known(spec.formats, `runs.${i}.formats`) : asked
    const run = planRun(spec, opened, gpu.info.maxBinding, heldOut, ids, (key, message, hint) =>
      found.fail(`runs.${i}.${key}`, 'option-invalid', message, hint),
    )
    if (!run) return
    runs.push(run)
    for (const format of run.formats) {
      const refusal = format.accepts(run.output)
      if (!refusal) continue
      const why = `${format.label} cannot store the result of ${spec.label} as it is planned: ${refusal.why}`
      found.fail(spec.formats ? `runs.${i}.formats` : `formats.${format.id}`, 'option-invalid', why, refusal.instead)
    }
    const autos = heldOut ? [] : run.solver.options.filter(({ key }) => spec.options[key] === 'auto')
    for (const { key, label } of autos)
      found.warn(
        `runs.${i}.options.${key}`,
        `${label} is auto, but no windows are held out to choose it by: it is 0.`,
        'Hold some windows out.',
        'note',
      )
    for (const { field, message, hint, severity } of remarks(run, opened, job.save))
      found.warn(`runs.${i}.${field === 'formats' || field === 'overrides' ? field : `options.${field}`}`, message, hint, severity)
  })
  if (new Set(job.runs.map((run) => run.id)).size !== job.runs.length) found.fail('runs', 'plan-invalid', 'Two runs have the same id.')
  return runs
}

/** Whether the largest matrices fit the device, whole or in slices of rows. */
function judgeSizes(job: Job, opened: OpenModel, gpu: Device, runs: PlannedRun[], found: Findings): void {
  const largest = [
    ...kindsOf(opened.model)
      .flatMap(linearsOf)
      .flatMap(({ name, q, p }) => [
        { what: `The weight matrix of ${name}`, bytes: q * p * 4 },
        { what: `The Gram matrix of ${name}`, bytes: p * p * 4 },
      ]),
  ].reduce((most, one) => (one.bytes > most.bytes ? one : most))
  try {
    gpu.require(largest.bytes, largest.what)
  } catch (error) {
    const { code, message, hint } = toErrorData(error)
    found.fail('runs', code, message, hint)
  }
  runs.forEach(({ spec, solver, options }) => {
    const sliced = kindsOf(opened.model)
      .flatMap(linearsOf)
      .filter(({ q, p }) => slices(q, p, gpu.info.maxBinding).length > 1)
    const stuck = sliced.find(({ q, p }) => sliceProblem(solver, q, p, options))
    if (!stuck) return
    const { name, q, p } = stuck
    found.fail(
      `runs.${job.runs.indexOf(spec)}.method`,
      'gpu-too-small',
      `${solver.label} cannot quantize ${name} this way: its weights take ${gibibytes(q * p * 4)}, more than a binding of this GPU, so it is solved in slices of rows, and ${sliceProblem(solver, q, p, options)}.`,
      'Turn structured outliers off, choose another method, or a GPU (or browser) with a larger binding limit.',
    )
  })
}

/** Several errors as one, with the code of the first. */
export function together(errors: readonly ErrorData[]): WorkbenchError {
  const messages = new Set(errors.map(({ message }) => message))
  const hints = new Set(errors.flatMap(({ hint }) => hint || []))
  return new WorkbenchError(errors[0].code, [...messages].join(' '), [...hints].join(' '))
}

/** The plan. @throws the errors found, as one */
export async function planJob(job: Job, session: Session): Promise<Plan> {
  const { check, plan } = await examine(job, session)
  const errors = errorsOf(check.problems)
  if (errors.length) throw together(errors)
  if (!plan) throw new Error('There is no plan, although no error was found.')
  return plan
}

const percent = (share: number) => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`
const grouped = (count: number) => count.toLocaleString('en')
