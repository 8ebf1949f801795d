/** Remarks on a run: unusual, but not errors. */
import { inWords } from '../../errors.ts'
import { type ExportFormat, type Remark, dtypeNames } from '../../io/formats/index.ts'
import { linearsOf } from '../../models/family.ts'
import type { OpenModel } from '../../models/open.ts'
import type { Grid } from '../../quant/grids/grid.ts'
import { gridKind } from '../../quant/grids/index.ts'
import { type Options, withoutEffect } from '../../options.ts'
import { runOptions } from '../run-options.ts'
import { bitsPerWeight, type EndUse } from '../job/result.ts'
import { type PlannedRun, plannedBits, solvedBits } from './plan.ts'

/** Remarks on a run: unusual, but not errors. */
export function remarks(run: PlannedRun, opened: OpenModel, save: boolean): Remark[] {
  const { options, solver, output } = run
  const found = save ? run.formats.flatMap((format) => format.remarks(output)) : []
  found.push(...replacements(run, opened))
  const large = oversized(bitsPerWeight(solvedBits(run, opened)))
  if (large) found.push({ field: 'method', ...large, severity: 'note' })
  else if (Number(options.threshold) < surelySmall && Number(options.bits) < 4) {
    found.push({
      field: 'threshold',
      message: `Below ${surelySmall} the threshold may keep so many outliers that the result takes more than ${PLAIN_BITS} bits per weight, like unquantized weights.`,
      hint: 'Their number is known at the end.',
      severity: 'note',
    })
  }
  if (solver.transform && options.trueSequential) {
    found.push({
      field: 'trueSequential',
      message: `${solver.label} scales a whole block before it rounds any of it, so true-sequential has no effect within a block.`,
      hint: '',
      severity: 'note',
    })
  }
  if (save) found.push(...storageRemarks(run, opened))
  found.push(...idle(run, save))
  return found
}

/** Options that were changed, and change nothing. */
function idle({ solver, spec, formats }: PlannedRun, save: boolean): Remark[] {
  const specs = [...solver.options, ...runOptions]
  const written = save ? formats.map(({ id }) => id) : []
  return specs.flatMap((one) => {
    if ((spec.options[one.key] ?? one.default) === one.default) return []
    const why = withoutEffect(one, specs, spec.options, written)
    return why === null ? [] : { field: one.key, message: `${one.label} has no effect ${why}.`, hint: '', severity: 'note' as const }
  })
}

/** Types that were asked for, and those that linears, embedding and head have instead, whose rows they do not divide. */
function replacements({ linears, ends }: PlannedRun, { model }: OpenModel): Remark[] {
  const solved = linears.flatMap((of, k) =>
    linearsOf(model.layouts[k]).flatMap(({ name, q, p }) => {
      const planned = of.get(name)
      return planned ? [{ ...planned, q, p, use: '' as const }] : []
    }),
  )
  const changes = new Map<string, Replaced[]>()
  for (const one of [...solved, ...ends]) {
    if (one.replaced === undefined) continue
    const key = [one.replaced, one.options.kind, one.use].join()
    changes.set(key, [...(changes.get(key) ?? []), { ...one, replaced: one.replaced }])
  }
  return Array.from(changes.values(), (some) => {
    const what = some[0].use ? `the ${endWords[some[0].use]}` : `${some.length} of ${solved.length} linears`
    return { field: 'kind', message: replacement(some, what), hint: '', severity: 'note' }
  })
}

type Replaced = { replaced: string; options: Options; grid: Grid; q: number; p: number; use: EndUse | '' }

function replacement(some: Replaced[], what: string): string {
  const [{ replaced, options, grid, q, p }] = some
  const [asked, taken] = [gridKind(replaced), gridKind(String(options.kind))]
  const { scales, zeros } = grid.cellBits(q, p)
  const bits = (grid.bits + (scales + zeros) / (q * p)).toFixed(2)
  const widths = inWords([...new Set(some.map((one) => String(one.p)))], 'and')
  return `${taken.label} (${bits} bits per weight) in place of ${asked.label} for ${what}, as in llama.cpp: ${asked.label} takes rows of whole multiples of ${asked.divides!.by} weights, not of ${widths}.`
}

const endWords: Record<EndUse, string> = { embedding: 'embedding', head: 'head', both: 'embedding and head' }

/** Bits of an unquantized weight. */
const PLAIN_BITS = 16
/** With SpQR thresholds from this on, results were measured to stay below that. */
const surelySmall = 0.05

/** A warning where solved linears take more than unquantized ones, `bits` per weight; null when they take less. */
export function oversized(bits: number): { message: string; hint: string } | null {
  if (bits <= PLAIN_BITS) return null
  return {
    message: `The result takes ${bits.toFixed(2)} bits per weight, more than the ${PLAIN_BITS} of weights in plain float16.`,
    hint: 'Keep fewer outliers, e.g. by a higher threshold.',
  }
}

/** Remarks on formats: dense weights when no packed format fits, and rounded weights. */
function storageRemarks(run: PlannedRun, opened: OpenModel): Remark[] {
  const { options, solver, output, measured } = run
  const { settings } = output
  const found: Remark[] = []
  if (measured.stores === 'weights' && output.outliers) {
    const bits = bitsPerWeight(plannedBits(run, opened))
    // Not every method can do without outliers.
    const off = options.outlier === undefined ? 'choose another method' : 'turn outliers off'
    found.push({
      field: solver.options.find(({ flag }) => flag === 'outlier')?.key ?? 'method',
      message: `Packed formats cannot store outliers, so the checkpoint will store plain weights in ${dtypeNames[settings.dtype]}: ${mebibytes(measured.bytes(output))}, as large as the model itself, although the result takes only ${bits.toFixed(2)} bits per weight.`,
      hint: `It loads anywhere and keeps the accuracy. For a small file, ${off}, or write codes and outliers, which need a loader of their own.`,
      severity: 'note',
    })
  }
  return [...found, ...roundingRemarks(run)]
}

/** A remark when a file stores other weights than the measured ones. */
export function roundingRemarks({ formats, measured, output: { settings } }: PlannedRun): Remark[] {
  const held = (format: ExportFormat) => {
    const dtype = format.rounds(settings)
    return dtype ? `rounded to ${dtypeNames[dtype]}` : 'stored exactly'
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

export const mebibytes = (bytes: number) => (bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : gibibytes(bytes))
export const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`
