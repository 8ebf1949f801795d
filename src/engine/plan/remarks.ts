/** What is unusual about a run but not wrong. */
import { type ExportFormat, type Remark, dtypeNames } from '../../io/formats/index.ts'
import type { OpenModel } from '../../models/weights.ts'
import { outlierOptions } from '../../quant/outliers.ts'
import { bitsPerWeight } from '../job.ts'
import { type PlannedRun, plannedBits } from './plan.ts'

/** What is unusual about a run but not wrong. */
export function remarks(run: PlannedRun, opened: OpenModel, save: boolean): Remark[] {
  const { options, solver, output } = run
  const { settings } = output
  const found = save ? run.formats.flatMap((format) => format.remarks(output)) : []
  const large = oversized(bitsPerWeight(plannedBits(run, opened)))
  if (large) found.push({ field: 'method', ...large, severity: 'note' })
  else if (Number(options.threshold) < surelySmall && Number(options.bits) < 4) {
    found.push({
      field: 'threshold',
      message: `Below ${surelySmall} the threshold may leave so many outliers that the result takes more than ${PLAIN_BITS} bits per weight, as plain weights would.`,
      hint: 'How many there are is known at the end.',
      severity: 'note',
    })
  }
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

/** Of a weight that is not quantized. */
const PLAIN_BITS = 16
/** Thresholds of SpQR from here on were measured to stay below that. */
const surelySmall = 0.05

/** What there is to say of a result that takes more than plain weights; null when it takes less. */
export function oversized(bits: number): { message: string; hint: string } | null {
  if (bits <= PLAIN_BITS) return null
  return {
    message: `The result takes ${bits.toFixed(2)} bits per weight, more than the ${PLAIN_BITS} of weights in plain float16.`,
    hint: 'Keep fewer outliers, e.g. by a higher threshold.',
  }
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

const mebibytes = (bytes: number) => (bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : gibibytes(bytes))
export const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`
