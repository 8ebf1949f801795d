/** From a Job to a plan: tokens drawn, options resolved, sizes and times predicted, and everything wrong with it found. */
import { evaluationWindows, overlap, sampleWindows } from '../../data/corpus.ts'
import { maxText, type TextFacts } from '../../data/documents.ts'
import type { Passage } from '../../data/lambada.ts'
import { WorkbenchError, toErrorData } from '../../errors.ts'
import {
  type ExportFormat,
  type ExportPlan,
  type ExportSettings,
  type Remark,
  dtypeNames,
  formats,
  formatsFor,
  modelDtype,
} from '../../io/formats/index.ts'
import { type OpenModel, blockName } from '../../models/weights.ts'
import type { LinearShape, ModelShape } from '../../models/family.ts'
import { solvers } from '../../quant/index.ts'
import { outlierOptions } from '../../quant/outliers.ts'
import { sliceProblem, slices, solveWork } from '../../quant/slices.ts'
import type { GridOptions, OutlierKind, Solver } from '../../quant/solver.ts'
import {
  type BitsBreakdown,
  type Job,
  type JobCheck,
  type Options,
  type Problem,
  type RunSpec,
  bitsPerWeight,
  resolveOptions,
  storyVocabulary,
} from '../job.ts'
import { runOptions } from '../run-options.ts'
import type { Session } from '../session.ts'
import { today } from '../texts.ts'
import { foldedVectors } from './folded.ts'

/** Floating-point operations of a run or of the baseline. */
export interface PlannedWork {
  forward: number
  solve: number
}

export interface RunWork extends PlannedWork {
  /** Blocks after which perplexity is measured. */
  measured: number[]
  /** Of the forward work, measuring once the first `k` blocks are quantized. */
  measure(k: number): number
}

export interface PlannedRun {
  spec: RunSpec
  solver: Solver
  options: Options
  grid: GridOptions
  trueSequential: boolean
  /** Blocks to quantize, the first ones. */
  blocks: number
  /** Largest binding of the device: larger linears are solved in slices. */
  maxBinding: number
  output: ExportPlan
  /** Those that the checkpoint is written in. */
  formats: ExportFormat[]
  /** The format whose weights are measured: of some, files hold rounded ones. */
  measured: ExportFormat
}

export interface Plan {
  job: Job
  calibration: Int32Array[]
  evaluation: Int32Array[]
  /** For last-word accuracy; none when it is not measured. */
  passages: Passage[]
  runs: PlannedRun[]
  check: JobCheck
}

/**
 * Bits that a linear takes: a symmetric grid needs no zero points, runs of columns no group index. Outliers are float16
 * with a column index each and a pointer per row, or whole columns with one index each.
 */
export function linearBits(
  { q, p }: { q: number; p: number },
  groups: number,
  grid: GridOptions,
  trivialIndex: boolean,
  outliers: { count: number; kind: OutlierKind } | null,
): BitsBreakdown {
  const index = p < 65536 ? 16 : 32
  return {
    codes: q * p * grid.bits,
    scales: q * groups * 16,
    zeros: grid.symmetric ? 0 : q * groups * grid.bits,
    groupIndex: trivialIndex ? 0 : p * 32,
    outliers: !outliers ? 0 : outliers.kind === 'columns' ? outliers.count * (16 * q + 32) : outliers.count * (16 + index) + 32 * q,
  }
}

/** Work of the forward pass of one block for so many tokens, as the operations count it. */
export function blockWork({ heads, headDim }: ModelShape, linears: LinearShape[], tokens: number, t: number): number {
  const weights = linears.reduce((sum, { q, p }) => sum + q * p, 0)
  return tokens * (2 * weights + t * heads * (4 * headDim + 6))
}

/** The head once, or twice beside the full-precision states. */
export function headWork({ vocab, embedWidth }: ModelShape, tokens: number, compared: boolean): number {
  return tokens * vocab * (compared ? 4 * embedWidth + 12 : 2 * embedWidth + 4)
}

/** Looks at a job from all sides but that of time and memory (dry.ts). `plan` is there when nothing stands against it. */
export async function examine(job: Job, session: Session): Promise<{ check: JobCheck; plan: Plan | null }> {
  const problems: Problem[] = []
  const fail = (field: string, code: Problem['code'], message: string, hint = '') =>
    problems.push({ severity: 'error', code, message, hint, field })
  const warn = (field: string, message: string, hint = '', severity: 'warning' | 'note' = 'warning') =>
    problems.push({ severity, code: 'note', message, hint, field })
  const opened = session.model
  const { shape } = opened.model
  for (const { message, hint } of opened.remarks) warn('model', message, hint)

  const whole = (field: string, label: string, value: number, min: number, max: number) => {
    if (Number.isInteger(value) && value >= min && value <= max) return true
    fail(field, 'option-invalid', `${label} is a whole number from ${min} to ${max}, not ${value}.`)
    return false
  }
  const lengthFits = (field: string, value: number) => {
    if (!whole(field, 'The window length', value, 2, 2 ** 20)) return false
    if (shape.maxPositions === null || value <= shape.maxPositions) return true
    fail(
      field,
      'option-invalid',
      `The model has ${shape.maxPositions} positions, but windows of ${value} tokens were asked for.`,
      `Choose ${shape.maxPositions} or less.`,
    )
    return false
  }
  const { texts } = session
  const { date = today() } = job
  const read = async <T>(part: 'calibration' | 'evaluation' | 'lambada', work: () => Promise<T>): Promise<T | null> => {
    try {
      return await work()
    } catch (error) {
      const { code, message, hint } = toErrorData(error)
      if (code === 'internal') throw error
      fail(`${part}.${code === 'text-short' && part !== 'lambada' ? 'length' : 'text'}`, code, message, hint)
      return null
    }
  }
  const caution = (part: 'calibration' | 'evaluation' | 'lambada', { warning, rows, blank, column }: TextFacts) => {
    if (blank > rows / 2 && column !== null)
      warn(`${part}.text`, `${blank} of ${rows} rows have no text in ${column}.`, 'Perhaps another column is the text.')
    if (warning !== undefined) warn(`${part}.text`, warning, 'Name the split to take: owner/name:configuration:split.')
  }
  const drawn = (windows: Int32Array[], text: number | null, from: TextFacts) => ({
    windows,
    counts: { text, windows: windows.length, length: windows[0].length, from },
  })
  const stream = async (part: 'calibration' | 'evaluation') => {
    const { tokens, cut, facts } = await texts.tokens({ ...job[part], date }, part)
    caution(part, facts)
    if (cut) {
      warn(
        `${part}.text`,
        `The text is long: only its first ${maxText >> 20} million characters are used, ${tokens.length} tokens.`,
        '',
        'note',
      )
    }
    return { tokens, facts }
  }

  const seedFits = whole('seed', 'The seed', job.seed, 0, 2 ** 32 - 1)
  whole('perplexityEvery', 'Measuring perplexity every so many blocks', job.perplexityEvery, 0, 1024)

  // Without runs, a job only measures the model as it is: no calibration text is needed.
  const calibrates =
    job.runs.length > 0 &&
    whole('calibration.samples', 'The number of samples', job.calibration.samples, 1, 2 ** 20) &&
    lengthFits('calibration.length', job.calibration.length)
  const { sampling } = job.calibration
  const calibration =
    calibrates && seedFits
      ? await read('calibration', async () => {
          if (sampling === 'documents') {
            const { windows, facts } = await texts.samples({ ...job.calibration, date }, job.seed)
            caution('calibration', facts)
            return drawn(windows, null, facts)
          }
          const { tokens, facts } = await stream('calibration')
          return drawn(sampleWindows(tokens, { ...job.calibration, sampling, seed: job.seed }), tokens.length, facts)
        })
      : null
  const evaluates =
    whole('evaluation.samples', 'The number of windows', job.evaluation.samples, 0, 2 ** 20) &&
    lengthFits('evaluation.length', job.evaluation.length)
  const evaluation = evaluates
    ? await read('evaluation', async () => {
        const { tokens, facts } = await stream('evaluation')
        const samples = job.evaluation.samples || texts.windows(job.evaluation)
        return drawn(evaluationWindows(tokens, { ...job.evaluation, samples }).windows, tokens.length, facts)
      })
    : null
  const lastWords =
    job.lambada && whole('lambada.passages', 'The number of passages', job.lambada.passages, 0, 2 ** 20)
      ? await read('lambada', () => texts.passages({ ...job.lambada!, date }, shape.maxPositions ?? Number.POSITIVE_INFINITY))
      : null
  if (lastWords) caution('lambada', lastWords.facts)
  const passages = job.lambada ? (lastWords?.passages ?? null) : []

  const dated = (['calibration', 'evaluation', 'lambada'] as const).find((part) => job[part] && texts.usesDate(job[part]))
  if (dated) warn(`${dated}.chat`, `The chat template writes the date into the text; this job takes ${date} for today.`, '', 'note')

  if (evaluation && evaluation.counts.length < job.evaluation.length) {
    warn(
      'evaluation.length',
      `The evaluation text has only ${evaluation.counts.text} tokens: perplexity is measured over one window of ${evaluation.counts.length} tokens.`,
      'Choose a longer text for a figure that means more.',
    )
  } else if (evaluation && job.evaluation.samples > evaluation.counts.windows) {
    warn(
      'evaluation.samples',
      `The evaluation text holds ${evaluation.counts.windows} windows of ${evaluation.counts.length} tokens; all of them are used.`,
      '',
      'note',
    )
  }
  const widest = Math.max(...opened.model.stages.flat().map(({ p }) => p))
  if (calibration) {
    const tokens = calibration.counts.windows * calibration.counts.length
    if (tokens < widest) {
      warn(
        'calibration.samples',
        `${tokens} calibration tokens are fewer than the widest layer has inputs (${widest}): the Gram matrix cannot have full rank.`,
        'Take more or longer samples.',
      )
    }
    if (texts.file(job.calibration.text)?.origin === 'builtin' && shape.vocab > storyVocabulary) {
      warn(
        'calibration.text',
        'These are stories in a small child’s words, made for the demo: little of what this model knows is felt in them.',
        'Calibrate on C4, WikiText-2, or text like that which the model will read.',
        'note',
      )
    }
    const shared = evaluation ? overlap(calibration.windows, evaluation.windows) : 0
    if (shared >= 0.001) {
      warn(
        'evaluation.text',
        `${percent(shared)} of the evaluation tokens stand in the calibration samples too, so perplexity will look better than it is.`,
        'Evaluate on a text that was not used to calibrate.',
      )
    }
  }

  if (opened.folder.gptq && job.runs.length) {
    fail(
      'runs',
      'plan-invalid',
      `${opened.folder.name} is quantized already (${opened.folder.gptq.bits} bits).`,
      'Open the full-precision model to quantize it; here only its perplexity can be measured.',
    )
  }
  const gpu = await session.gpu()
  const asked = job.formats?.filter((id) => formats.some((format) => format.id === id)) ?? []
  for (const id of job.formats ?? []) {
    if (asked.includes(id)) continue
    const ids = formats.map((format) => format.id).join(', ')
    fail('formats', 'option-invalid', `There is no format ${JSON.stringify(id)}.`, `Choose of ${ids}.`)
  }
  const runs: PlannedRun[] = []
  job.runs.forEach((spec, i) => {
    if (opened.folder.gptq) return
    const run = planRun(spec, opened, gpu.info.maxBinding, asked, (key, message, hint) =>
      fail(`runs.${i}.${key}`, 'option-invalid', message, hint),
    )
    if (!run) return
    runs.push(run)
    for (const format of run.formats) {
      const refusal = format.accepts(run.output)
      if (refusal)
        fail(`formats.${format.id}`, 'option-invalid', `${format.label} cannot hold ${spec.label}: ${refusal.why}`, refusal.instead)
    }
    for (const { field, message, hint, severity } of remarks(run, opened, job.save))
      warn(field === 'formats' ? field : `runs.${i}.options.${field}`, message, hint, severity)
  })
  if (new Set(job.runs.map((run) => run.id)).size !== job.runs.length) fail('runs', 'plan-invalid', 'Two runs have the same id.')

  const largest = [
    ...opened.model.stages.flat().flatMap(({ name, q, p }) => [
      { what: `The weight matrix of ${name}`, bytes: q * p * 4 },
      { what: `The Gram matrix of ${name}`, bytes: p * p * 4 },
    ]),
  ].reduce((most, one) => (one.bytes > most.bytes ? one : most))
  try {
    gpu.require(largest.bytes, largest.what)
  } catch (error) {
    const { code, message, hint } = toErrorData(error)
    fail('runs', code, message, hint)
  }
  runs.forEach(({ spec, solver, options }) => {
    const sliced = opened.model.stages.flat().filter(({ q, p }) => slices(q, p, gpu.info.maxBinding).length > 1)
    const stuck = sliced.find(({ q, p }) => sliceProblem(solver, q, p, options))
    if (!stuck) return
    const { name, q, p } = stuck
    fail(
      `runs.${job.runs.indexOf(spec)}.method`,
      'gpu-too-small',
      `${solver.label} cannot quantize ${name} this way: its weights take ${gibibytes(q * p * 4)}, more than a binding of this GPU, so it is solved in slices of rows, and ${sliceProblem(solver, q, p, options)}.`,
      'Leave whole columns off, choose another method, or a GPU (or browser) with a larger binding limit.',
    )
  })

  const check: JobCheck = {
    problems,
    calibration: calibration?.counts ?? null,
    evaluation: evaluation?.counts ?? null,
    ...(lastWords && { passages: lastWords.passages.length, passagesFrom: lastWords.facts }),
    runs: runs.map((run) => ({
      id: run.spec.id,
      bitsPerWeight: bitsPerWeight(plannedBits(run, opened)),
      checkpointBytes: run.formats.reduce((sum, format) => sum + checkpointBytes(run, format, opened), 0),
      formats: formats.map((format) => ({ id: format.id, refusal: format.accepts(run.output), written: run.formats.includes(format) })),
      forecast: null,
    })),
  }
  const sound = !problems.some((problem) => problem.severity === 'error') && evaluation && passages && (calibration || !job.runs.length)
  return {
    check,
    plan: sound ? { job, calibration: calibration?.windows ?? [], evaluation: evaluation.windows, passages, runs, check } : null,
  }
}

function planRun(
  spec: RunSpec,
  opened: OpenModel,
  maxBinding: number,
  ids: readonly string[],
  fail: (key: string, message: string, hint?: string) => void,
): PlannedRun | null {
  const solver = solvers.find((one) => one.id === spec.method)
  if (!solver) {
    fail('method', `There is no method ${JSON.stringify(spec.method)}.`, `Choose one of ${solvers.map((one) => one.id).join(', ')}.`)
    return null
  }
  const { options, problems } = resolveOptions([...solver.options, ...runOptions], spec.options)
  for (const { key, message } of problems) fail(`options.${key}`, message)
  const all = opened.model.shape.blocks
  const { blocks: asked, trueSequential } = resolveOptions(runOptions, spec.options).options
  if (asked > all) fail('options.blocks', `The model has ${all} blocks, not ${asked}.`, `Choose 1 to ${all}, or 0 for all.`)
  if (problems.length || asked > all) return null
  const grid = solver.gridOf(options)
  const blocks = asked || all
  // Not every method offers these.
  const { actOrder, staticGroups } = { actOrder: options.actOrder === true, staticGroups: options.staticGroups === true }
  const stored = opened.folder.checkpoint.tensors.get(opened.embedding)!.dtype
  const settings: ExportSettings = {
    bits: grid.bits,
    groupSize: grid.groupSize,
    // What the file has to say is whether the group index is out of order.
    actOrder: actOrder && !staticGroups && grid.groupSize !== -1,
    symmetric: grid.symmetric,
    trueSequential: trueSequential && !solver.transform,
    method: solver.id,
    iterations: Number(options.iterations ?? 0),
    mse: grid.grid === 'mse' ? 2.4 : 0,
    staticGroups,
    damping: options.damping as number | undefined,
    dtype: modelDtype(opened.folder.configText, stored),
    dynamicSkips: Array.from({ length: all - blocks }, (_, i) => `${opened.prefix}${opened.model.blockPath(blocks + i)}`),
  }
  const outliers = opened.model.stages.flat().some(({ q, p }) => solver.outliers?.(q, p, options))
  const output = { settings, outliers, ...contentOf(solver, blocks, settings, opened) }
  const chosen = formatsFor(output, ids)
  const { trueSequential: sequential } = settings
  return { spec, solver, options, grid, trueSequential: sequential, blocks, maxBinding, output, formats: chosen, measured: chosen[0] }
}

/** Of a format's files and of those that travel along. */
function checkpointBytes({ output }: PlannedRun, format: ExportFormat, { folder }: OpenModel): number {
  return format.bytes(output) + folder.otherFiles.reduce((sum, file) => sum + file.bytes, 0)
}

/** What a checkpoint holds: quantized linears in place of their weights, all else as it is, or as a transform leaves it. */
function contentOf(
  solver: Solver,
  blocks: number,
  settings: ExportSettings,
  opened: OpenModel,
): Pick<ExportPlan, 'linears' | 'copied' | 'changed'> {
  const { bits, groupSize, dtype } = settings
  const vectors = new Set<string>()
  const linears: ExportPlan['linears'] = []
  for (let k = 0; k < blocks; k++) {
    for (const { name, q, p } of opened.model.stages.flat())
      linears.push({ name: blockName(opened, k, name), q, p, bits, groups: groupsOf(p, groupSize), dtype })
    if (solver.transform) for (const name of foldedVectors(opened.model)) vectors.add(blockName(opened, k, name))
  }
  const replaced = new Set(linears.map(({ name }) => `${name}.weight`))
  const kept = [...opened.folder.checkpoint.tensors.values()]
    .filter(({ name }) => !replaced.has(name))
    .map(({ name, dtype, shape, bytes }) => ({ name, dtype, shape, bytes }))
  const copied = kept.filter(({ name }) => !vectors.has(name))
  return { linears, copied, changed: kept.filter(({ name }) => vectors.has(name)) }
}

export const groupsOf = (p: number, groupSize: number) => (groupSize === -1 ? 1 : Math.ceil(p / groupSize))

/** The blocks are alike, so one stands for all. */
function plannedBits({ grid, output, solver, options }: PlannedRun, opened: OpenModel) {
  return opened.model.stages.flat().map(({ q, p }) => {
    const outliers = solver.outliers?.(q, p, options) ?? null
    const bits = linearBits({ q, p }, groupsOf(p, grid.groupSize), grid, !output.settings.actOrder, outliers)
    return { shape: [q, p] as [number, number], bits: { ...bits, ...solver.gridBits?.(q, p, options) } }
  })
}

/** What is unusual about a run but not wrong. */
function remarks(run: PlannedRun, opened: OpenModel, save: boolean): Remark[] {
  const { options, solver, output } = run
  const { settings } = output
  const found = run.formats.flatMap((format) => format.remarks(output))
  if (solver.transform && options.trueSequential) {
    found.push({
      field: 'trueSequential',
      message: `${solver.label} scales a whole block before it rounds any of it, so true-sequential changes nothing within a block.`,
      hint: '',
      severity: 'note',
    })
  }
  if (settings.staticGroups && !options.actOrder) {
    found.push({ field: 'staticGroups', message: 'Static groups change nothing without act-order.', hint: '', severity: 'note' })
  }
  if (save) found.push(...storageRemarks(run, opened))
  if (options.outlier === 0) {
    for (const { key, label } of outlierOptions) {
      const spec = solver.options.find((one) => one.key === key)
      if (!spec || key === 'outlier' || options[key] === spec.default) continue
      found.push({ field: key, message: `${label} changes nothing without outliers.`, hint: 'Ask for some, e.g. 0.01.', severity: 'note' })
    }
  } else if (options.outlierMode === 'masked' && options.alpha !== 1) {
    found.push({ field: 'alpha', message: 'Masked outliers take no steps, so their length changes nothing.', hint: '', severity: 'note' })
  }
  return found
}

/** What files hold otherwise than one would think: plain weights for want of a packed format, and weights that are rounded. */
function storageRemarks(run: PlannedRun, opened: OpenModel): Remark[] {
  const { options, solver, output, measured } = run
  const { settings } = output
  const found: Remark[] = []
  if (measured.stores === 'weights' && output.outliers) {
    const bits = bitsPerWeight(plannedBits(run, opened))
    // Not every method can do without.
    const off = options.outlier === undefined ? 'choose another method' : 'leave outliers out'
    found.push({
      field: solver.options.find(({ flag }) => flag === 'outlier')?.key ?? 'method',
      message: `Packed formats have no place for outliers, so the checkpoint will hold plain weights in ${dtypeNames[settings.dtype]}: ${mebibytes(measured.bytes(output))}, no less than the model itself, although the result itself takes only ${bits.toFixed(2)} bits per weight.`,
      hint: `It loads anywhere and keeps the accuracy. For a small file, ${off}.`,
      severity: 'note',
    })
  }
  return [...found, ...roundingRemarks(run)]
}

/** Where a file holds other weights than those that are measured. */
export function roundingRemarks({ formats, measured, output: { settings } }: PlannedRun): Remark[] {
  const held = (format: ExportFormat) => {
    const dtype = format.rounds(settings)
    return dtype ? `rounded to ${dtypeNames[dtype]}` : 'as they were solved'
  }
  return formats
    .filter((format) => format.rounds(settings) !== measured.rounds(settings))
    .map((format) => ({
      field: 'formats',
      message: `Figures are measured with the weights of ${measured.label}, ${held(measured)}; those of ${format.label} are ${held(format)}.`,
      hint: '',
      severity: 'note',
    }))
}

interface Counts {
  windows: number
  length: number
}

const padded = ({ windows, length }: Counts) => ({ t: Math.ceil(length / 4) * 4, tokens: windows * Math.ceil(length / 4) * 4 })

/** Blocks after which perplexity is measured on the way; the last is always measured. */
export function measuredBlocks(blocks: number, every: number): number[] {
  return every ? Array.from({ length: blocks }, (_, i) => i + 1).filter((k) => k % every === 0 || k === blocks) : [blocks]
}

/**
 * Operations of solving linears of one stage, beside others of it that were solved before: what they share is done for the
 * first of them.
 */
export function stageWork({ solver, options, maxBinding }: PlannedRun, linears: LinearShape[]): number {
  const shared = linears.length ? (linears.length - 1) * (solver.sharedWork?.(linears[0].p, options) ?? 0) : 0
  return linears.reduce((sum, { q, p }) => sum + solveWork(solver, q, p, options, maxBinding) + 2 * q * p * p, -shared)
}

/** Work of one run. */
export function runWork(run: PlannedRun, { model }: OpenModel, calibration: Counts, evaluation: Counts, every: number): RunWork {
  const linears = model.stages.flat()
  const { shape } = model
  const seen = padded(calibration)
  const judged = padded(evaluation)
  const grams = model.stages.reduce((sum, stage) => sum + stage[0].p ** 2, 0) * calibration.windows * calibration.length
  const passes = run.trueSequential ? 1 : 2
  const forwardCalibration = run.blocks * (passes * blockWork(shape, linears, seen.tokens, seen.t) + grams)
  const perBlock = blockWork(shape, linears, judged.tokens, judged.t)
  const measure = (k: number) => (shape.blocks - k) * perBlock + headWork(shape, judged.tokens, true)
  const measured = measuredBlocks(run.blocks, every)
  const rest = measured.reduce((sum, k) => sum + measure(k), 0)
  const transformed = run.solver.transform ? model.stages.filter((_, stage) => model.before[stage].kind !== 'none').flat() : []
  const solve =
    model.stages.reduce((sum, stage) => sum + stageWork(run, stage), 0) +
    transformed.reduce((sum, { q, p }) => sum + run.solver.transform!.work(q, p, run.options), 0)
  return { forward: forwardCalibration + run.blocks * perBlock + rest, solve: solve * run.blocks, measured, measure }
}

/** Work of measuring the model as it is. */
export function baselineWork({ model }: OpenModel, evaluation: Counts): PlannedWork {
  const { t, tokens } = padded(evaluation)
  return {
    forward: model.shape.blocks * blockWork(model.shape, model.stages.flat(), tokens, t) + headWork(model.shape, tokens, false),
    solve: 0,
  }
}

/** Operations of judging the last words of passages, with one model. */
export function passagesWork({ model }: OpenModel, passages: Passage[]): number {
  const linears = model.stages.flat()
  return passages.reduce((sum, { ids, word }) => {
    const { t, tokens } = padded({ windows: 1, length: ids.length })
    return sum + model.shape.blocks * blockWork(model.shape, linears, tokens, t) + headWork(model.shape, ids.length - word, false)
  }, 0)
}

const percent = (share: number) => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`
const mebibytes = (bytes: number) => (bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : gibibytes(bytes))
export const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`

/** The plan, or the first thing that stands against it as an error. */
export async function planJob(job: Job, session: Session): Promise<Plan> {
  const { check, plan } = await examine(job, session)
  const problem = check.problems.find((one) => one.severity === 'error')
  if (problem) throw new WorkbenchError(problem.code === 'note' ? 'plan-invalid' : problem.code, problem.message, problem.hint)
  if (!plan) throw new Error('A plan without problems is no plan.')
  return plan
}
