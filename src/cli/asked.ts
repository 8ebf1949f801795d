/** Turns the arguments into a job, and checks them. */
import type { PushPlace } from '../engine/hub.ts'
import type { Catalog } from '../engine/job/catalog.ts'
import { heldOutShare, productTypes } from '../engine/job/job.ts'
import type { Budget } from '../engine/job/mix.ts'
import type { Sampling } from '../engine/job/texts.ts'
import { type OptionSpec, type OptionValue, optionProblem } from '../options.ts'
import { type Override, parseOverride } from '../overrides.ts'
import { toErrorData } from '../errors.ts'
import { type Prompt, promptOf } from './prompt.ts'
import { type Given, recommendedOf, specsOf, UsageError } from './arguments.ts'

export interface Asked {
  model: string
  method: string
  options: Record<string, OptionValue>
  overrides: Override[]
  budget: Budget | null
  /** Options of other methods, which this one does not know. */
  strange: string[]
  /** Nothing is quantized. */
  measureOnly: boolean
  /** Folder of the checkpoint. */
  saved: string | undefined
  formats: string[] | undefined
  /** Repository of the Hub that the checkpoint is uploaded to. */
  pushed: PushPlace | undefined
  sampling: Sampling | undefined
  samples: number
  /** Tokens per window; null: as many as suit the model. */
  seqlen: number | null
  evalSamples: number
  evalSeqlen: number | null
  passages: number
  products: (typeof productTypes)[number]
  seed: number
  /** Share of the calibration windows to hold out beside them. */
  heldOut: number
  /** A text to be continued. */
  prompt: Prompt | null
  /** Nothing else is asked of the model. */
  promptOnly: boolean
}

/** A fraction, as `1/6` or `0.1`. */
function shareOf(given: Given): number {
  const text = given.text('held-out')
  if (text === undefined) return heldOutShare
  const [over, under = '1', ...more] = text.split('/')
  const share = more.length || !over.trim() || !under.trim() ? Number.NaN : Number(over) / Number(under)
  if (!(share >= 0 && share <= 1)) throw new UsageError(`--held-out has to be a fraction from 0 to 1, like 1/6 or 0.1, not "${text}".`)
  return share
}

/** @throws {UsageError} */
export function understand(catalog: Catalog, given: Given): Asked {
  const { solvers } = catalog
  const model = given.text('model')
  if (!model) throw new UsageError('--model is needed: a model folder, owner/name on the Hub, or "demo".')
  const method = given.text('quantization-method') ?? recommendedOf(catalog)
  const solver = solvers.find(({ id }) => id === method)
  if (!solver) throw new UsageError(`--quantization-method can be ${solvers.map(({ id }) => id).join(', ')}, not "${method}".`)
  const samplings = ['random', 'consecutive', 'documents'] as const
  const sampling = samplings.find((one) => one === given.text('sampling'))
  if (given.text('sampling') !== undefined && !sampling)
    throw new UsageError(`--sampling can be ${samplings.join(', ')}, not "${given.text('sampling')}".`)
  const products = productTypes.find((one) => one === (given.text('products') ?? 'f32'))
  if (!products) throw new UsageError(`--products can be ${productTypes.join(', ')}, not "${given.text('products')}".`)
  const measureOnly = given.text('wbits') === '16'
  return {
    model,
    method,
    sampling,
    products,
    measureOnly,
    ...optionsOf(catalog, given, [...solver.options, ...catalog.runOptions], measureOnly),
    overrides: overridesOf(given, solver.options),
    budget: budgetOf(given),
    ...saving(catalog, given, measureOnly),
    samples: given.whole('nsamples', 128, 1),
    seqlen: given.text('seqlen') ? given.whole('seqlen', 0, 2) : null,
    evalSamples: given.whole('eval-samples', 0, 0),
    evalSeqlen: given.text('eval-seqlen') ? given.whole('eval-seqlen', 0, 2) : null,
    passages: given.whole('lambada-passages', 0, 0),
    seed: given.whole('seed', 0, 0),
    heldOut: shareOf(given),
    prompt: promptOf(given),
    promptOnly: measureOnly && given.text('prompt') !== undefined && given.text('eval') === undefined,
  }
}

/** Values for the options of the method and of every run, `own`. */
function optionsOf(catalog: Catalog, { values }: Given, own: readonly OptionSpec[], measureOnly: boolean) {
  const options: Record<string, OptionValue> = {}
  const strange: string[] = []
  const specs = [...specsOf(catalog)]
  for (const flag of new Set(specs.map((spec) => spec.flag))) {
    if (values[flag] === undefined || (flag === 'wbits' && measureOnly)) continue
    const mine = own.find((one) => one.flag === flag)
    const spec = mine ?? specs.find((one) => one.flag === flag)!
    const value = optionValue(spec, values[flag])
    const problem = optionProblem(spec, value)
    if (problem) throw new UsageError(`--${flag}: ${problem}`)
    if (mine) options[spec.key] = value
    else strange.push(flag)
  }
  return { options, strange }
}

/** @throws {UsageError} */
function budgetOf(given: Given): Budget | null {
  const [bits, size] = [given.measure('target-bpw'), given.measure('target-size')]
  if (bits === null && size === null) return null
  if (bits !== null && size !== null) throw new UsageError('--target-bpw and --target-size cannot both be met: give one of them.')
  const flag = bits === null ? 'target-size' : 'target-bpw'
  if (given.texts('override').length)
    throw new UsageError(`--${flag} chooses the widths of all linears, and --override too: give one of them.`)
  if (given.on('dry-run')) throw new UsageError(`--${flag} needs the weights of the model, which --dry-run does not read.`)
  return bits === null ? { bytes: size! * 2 ** 20 } : { bitsPerWeight: bits }
}

/** @throws {UsageError} */
function overridesOf(given: Given, specs: readonly OptionSpec[]): Override[] {
  return given.texts('override').map((text) => {
    try {
      return parseOverride(text, specs)
    } catch (error) {
      const { message, hint } = toErrorData(error)
      throw new UsageError(`--override: ${message} ${hint}`.trim())
    }
  })
}

/** Where the checkpoint goes, and in which formats. */
function saving(catalog: Catalog, given: Given, measureOnly: boolean): Pick<Asked, 'saved' | 'formats' | 'pushed'> {
  const saved = given.text('save')
  if (given.on('resume') && !saved) throw new UsageError('--resume needs the folder of --save: the journal is next to it.')
  if (given.on('overwrite') && !saved) throw new UsageError('--overwrite needs the folder of --save.')
  if (given.on('keep-solved') && !saved) throw new UsageError('--keep-solved needs the folder of --save: the journal is next to it.')
  const format = given.text('format')
  const formats = format === undefined ? undefined : formatIds(catalog, format)
  if (formats && !saved && !given.on('dry-run')) throw new UsageError('--format needs the folder of --save.')
  if (measureOnly && saved) throw new UsageError('--save has nothing to write: --wbits 16 only evaluates.')
  const pushed = given.text('push')
  if (pushed !== undefined && !saved) throw new UsageError('--push needs the folder of --save, which is uploaded.')
  if (pushed !== undefined && formats && formats.length > 1)
    throw new UsageError('--push uploads one checkpoint into one repository: give one --format.')
  if (given.on('public') && pushed === undefined) throw new UsageError('--public needs the repository of --push.')
  return { saved, formats, pushed: pushed === undefined ? undefined : { repo: pushed, public: given.on('public') } }
}

function optionValue(spec: OptionSpec, given: Given['values'][string]): OptionValue {
  if (spec.type === 'bool') return given === true
  if (spec.type === 'choice' && typeof spec.default === 'string') return String(given)
  if (spec.type === 'auto' && given === 'auto') return given
  // What is no number is told in its own words.
  return String(given).trim() === '' || Number.isNaN(Number(given)) ? String(given) : Number(given)
}

/** Ids of formats, separated by commas. */
function formatIds({ formats }: Catalog, given: string): string[] {
  const ids = given.split(',').map((id) => id.trim())
  const unknown = ids.find((id) => !formats.some((format) => format.id === id))
  if (unknown !== undefined) throw new UsageError(`--format can be ${formats.map(({ id }) => id).join(', ')}, not "${unknown}".`)
  const twice = ids.find((id, i) => ids.indexOf(id) < i)
  if (twice !== undefined) throw new UsageError(`--format names ${twice} twice.`)
  return ids
}
