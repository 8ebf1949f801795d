/** A plan: runs with resolved options, and the sizes of what they will write. */
import type { Passage } from '../../data/lambada.ts'
import {
  formatsFor,
  modelDtype,
  type ExportFormat,
  type ExportPlan,
  type ExportSettings,
  type ModelFacts,
  type ModelPart,
} from '../../io/formats/index.ts'
import { keptOf, linearsOf } from '../../models/family.ts'
import { type OpenModel, blockName } from '../../models/open.ts'
import { solvers } from '../../quant/index.ts'
import { type AskedAim, askedAim } from '../../quant/aim.ts'
import { type Grid, groupsOf } from '../../quant/grids/grid.ts'
import type { OutlierKind, Solver } from '../../quant/solver.ts'
import { type Options, resolveOptions } from '../../options.ts'
import type { JobCheck, OwnGrid } from '../job/check.ts'
import type { Job, RunSpec } from '../job/job.ts'
import type { BitsBreakdown } from '../job/result.ts'
import { runOptions } from '../run-options.ts'
import { foldedVectors } from './folded.ts'
import { type PlannedEnd, planEnds } from './ends.ts'
import { type PlannedLinear, type PlannedLinears, planLinears } from './own.ts'

export interface PlannedRun {
  spec: RunSpec
  solver: Solver
  options: Options
  /** What each linear is solved with. */
  linears: PlannedLinears
  /** Embedding and head, where they are rounded. */
  ends: PlannedEnd[]
  trueSequential: boolean
  /** Σ is that of the full-precision model. */
  fullInputs: boolean
  /** Damping and target beside the published ones; null where nothing of that kind is asked for. */
  aim: AskedAim | null
  /** The calibration text goes through the full-precision blocks too. */
  compared: boolean
  /** Number of blocks to quantize, from the first. */
  blocks: number
  /** Largest binding of the device: larger linears are solved in slices. */
  maxBinding: number
  output: ExportPlan
  /** Formats of the checkpoint. */
  formats: ExportFormat[]
  /** The format whose weights are measured, since some formats store rounded ones. */
  measured: ExportFormat
}

export interface Plan {
  job: Job
  calibration: Int32Array[]
  /** Windows of the calibration text that stay out of Σ. */
  heldOut: Int32Array[]
  evaluation: Int32Array[]
  /** For last-word accuracy; none when it is not measured. */
  passages: Passage[]
  runs: PlannedRun[]
  check: JobCheck
}

/**
 * Bits of a linear: a symmetric grid needs no zero points, consecutive groups no group index. Outliers are float16 with a column index
 * each and a pointer per row, or whole columns with one index each.
 */
export function linearBits(
  { q, p }: { q: number; p: number },
  grid: Grid,
  trivialIndex: boolean,
  outliers: { count: number; kind: OutlierKind } | null,
): BitsBreakdown {
  const index = p < 65536 ? 16 : 32
  return {
    codes: q * p * grid.bits,
    ...grid.cellBits(q, p),
    groupIndex: trivialIndex ? 0 : p * 32,
    outliers: !outliers ? 0 : outliers.kind === 'columns' ? outliers.count * (16 * q + 32) : outliers.count * (16 + index) + 32 * q,
  }
}

/** What files say of a run: how its linears are stored, and how they were found. */
function settingsOf(
  solver: Solver,
  options: Options,
  run: { trueSequential: boolean; fullInputs: boolean; groupIndex: boolean },
  linears: PlannedRun['linears'],
  blocks: number,
  opened: OpenModel,
): ExportSettings {
  const stored = opened.folder.checkpoint.tensors.get(opened.embedding)!.dtype
  const solved = linears.flatMap((of) => [...of.values()])
  const grid = solved[0].grid
  return {
    ...mostFrequent(solved.map((one) => one.grid)),
    // The file has to record whether columns are out of order.
    actOrder: solved.some(reordered),
    symmetric: solved.every((one) => one.grid.symmetric),
    trueSequential: run.trueSequential && !solver.transform && !run.fullInputs,
    method: solver.id,
    iterations: Number(options.iterations ?? 0),
    mse: grid.grid === 'mse' ? 2.4 : 0,
    // Not every method has this option.
    staticGroups: options.staticGroups === true,
    groupIndex: run.groupIndex,
    damping: options.damping as number | undefined,
    dtype: modelDtype(opened.folder.configText, stored),
    // Names that could mean something else in a pattern are no names of modules.
    otherModules: opened.otherModules.filter((name) => /^\w+$/.test(name)),
    dynamicSkips: skipped(linears, blocks, opened),
  }
}

/** Modules by their paths that stay as they are. */
function skipped(linears: PlannedRun['linears'], blocks: number, opened: OpenModel): string[] {
  const all = opened.model.shape.blocks
  return [
    ...opened.model.outer.flatMap(({ name, linear }) => (linear ? [`${opened.prefix}${name.replace(/\.weight$/, '')}`] : [])),
    ...opened.model.layouts
      .slice(0, blocks)
      .flatMap((layout, k) =>
        keptOf(layout).flatMap(({ name, linear }) => (linear ? [blockName(opened, k, name.replace(/\.weight$/, ''))] : [])),
      ),
    ...keptLinears(linears, opened, blocks).map(({ name }) => name),
    ...Array.from({ length: all - blocks }, (_, i) => `${opened.prefix}${opened.model.blockPath(blocks + i)}`),
  ]
}

export function planRun(
  spec: RunSpec,
  opened: OpenModel,
  maxBinding: number,
  heldOut: boolean,
  ids: readonly string[],
  fail: (key: string, message: string, hint?: string) => void,
): PlannedRun | null {
  const solver = solvers.find((one) => one.id === spec.method)
  if (!solver) {
    fail('method', `There is no algorithm ${JSON.stringify(spec.method)}.`, `Choose one of ${solvers.map((one) => one.id).join(', ')}.`)
    return null
  }
  const { options, problems } = resolveOptions([...solver.options, ...runOptions], spec.options)
  for (const { key, message } of problems) fail(`options.${key}`, message)
  const all = opened.model.shape.blocks
  const { blocks: asked, trueSequential, fullInputs, groupIndex } = resolveOptions(runOptions, spec.options).options
  if (asked > all) fail('options.blocks', `The model has ${all} blocks, not ${asked}.`, `Choose 1 to ${all}, or 0 for all.`)
  if (problems.length || asked > all) return null
  const blocks = asked || all
  const linears = planLinears(spec, solver, options, opened, blocks, fail)
  if (!linears) return null
  const ends = planEnds(spec, solver, options, opened, fail)
  const settings = settingsOf(solver, options, { trueSequential, fullInputs, groupIndex }, linears, blocks, opened)
  const outliers = opened.model.layouts.flatMap(linearsOf).some(({ q, p }) => solver.outliers?.(q, p, options))
  const output = {
    settings,
    levels: linears.flatMap((of) => [...of.values()])[0].grid.levels,
    outliers,
    ...contentOf(solver, linears, ends, settings, opened),
    decoder: decoderOf(opened),
    model: factsOf(opened),
  }
  const chosen = formatsFor(output, ids)
  const { trueSequential: sequential } = settings
  const aim = askedAim(options, heldOut)
  // Then the inputs do not differ.
  const compared = aim !== null && aim.alpha !== 0 && !fullInputs
  return {
    spec,
    solver,
    options,
    linears,
    ends,
    trueSequential: sequential,
    fullInputs,
    aim,
    compared,
    blocks,
    maxBinding,
    output,
    formats: chosen,
    measured: chosen[0],
  }
}

function decoderOf({ model: { decoder }, prefix, embedding, head }: OpenModel): ExportPlan['decoder'] {
  return decoder ? { ...decoder, prefix, embedding, head } : null
}

/** What formats may know of a model. */
export function factsOf(opened: OpenModel): ModelFacts {
  const { folder, family, model, prefix, embedding, head, vocabulary } = opened
  const { shape, logitCap, attention, architecture } = model
  const parts: ModelPart[] = [{ name: embedding, block: null, part: 'embedding', plus: 0 }]
  if (head !== embedding) parts.push({ name: head, block: null, part: 'head', plus: 0 })
  const { perLayer } = model
  for (const { name, plus = 0 } of [...model.outer, ...(perLayer ? [{ name: perLayer.table }] : [])] as { name: string; plus?: number }[])
    parts.push({ name: `${prefix}${name}`, block: null, part: name, plus })
  for (let k = 0; k < shape.blocks; k++) {
    const layout = model.layouts[k]
    const matrices = [...keptOf(layout), ...linearsOf(layout).map(({ name }) => ({ name: `${name}.weight` }))].map((one) => ({
      ...one,
      plus: 0,
    }))
    for (const { name, plus = 0 } of [...layout.vectors, ...matrices])
      parts.push({ name: blockName(opened, k, name), block: k, part: name, plus })
  }
  const { hidden, blocks, heads, kvHeads, headDim, ffn, vocab, maxPositions } = shape
  return {
    ...{ hidden, blocks, heads, kvHeads, headDim, ffn, vocab, maxPositions, logitCap, parts },
    name: folder.name,
    license: folder.license,
    multipliers: architecture?.multipliers ?? { embedding: 1, residual: 1, logits: 1 },
    family: family.id,
    label: family.label,
    attention: attention ?? null,
    vocabulary: vocabulary ?? null,
  }
}

/** Bytes of the weights in a format, all that a program reads of them; 0 where it cannot store the result. */
export const weightBytes = ({ output }: PlannedRun, format: ExportFormat): number => (format.accepts(output) ? 0 : format.bytes(output))

/** Bytes of a format's files and of the copied files; 0 where the format cannot store the result. */
export function checkpointBytes(run: PlannedRun, format: ExportFormat, { folder }: OpenModel): number {
  if (format.accepts(run.output)) return 0
  return weightBytes(run, format) + (format.alone ? 0 : folder.otherFiles.reduce((sum, file) => sum + file.bytes, 0))
}

/** What the solved linears of a run take in the journal, but for outliers. */
export function solvedBytes({ output: { linears } }: PlannedRun): number {
  // Words of codes, scales and zeros as float32, and a group index.
  return linears.reduce((sum, { q, p, bits, groups }) => sum + 4 * (q * Math.ceil((p * bits) / 32) + 2 * groups * q + p), 0)
}

/** The grid that most of these are; the first of several. */
function mostFrequent(grids: Grid[]): Pick<ExportSettings, 'bits' | 'groupSize'> {
  const counts = new Map<string, number>()
  const key = ({ bits, groupSize, symmetric }: Grid) => [bits, groupSize, symmetric].join()
  for (const grid of grids) counts.set(key(grid), (counts.get(key(grid)) ?? 0) + 1)
  const { bits, groupSize } = grids.reduce((most, grid) => (counts.get(key(grid))! > counts.get(key(most))! ? grid : most))
  return { bits, groupSize }
}

/** Linears that stay in full precision, by an override or with their block, and the bits that they take: of the first `blocks` blocks. */
export function keptLinears(linears: PlannedLinears, opened: OpenModel, blocks = opened.model.shape.blocks) {
  return opened.model.layouts.slice(0, blocks).flatMap((layout, k) =>
    linearsOf(layout).flatMap(({ name, q, p }) => {
      if (linears[k]?.has(name)) return []
      const full = blockName(opened, k, name)
      const kept = 8 * opened.folder.checkpoint.tensors.get(`${full}.weight`)!.bytes
      return [{ name: full, shape: [q, p] as [number, number], bits: { codes: 0, scales: 0, zeros: 0, groupIndex: 0, outliers: 0, kept } }]
    }),
  )
}

/** Contents of a checkpoint: quantized linears instead of their weights, everything else unchanged, or as a transform changed it. */
function contentOf(
  solver: Solver,
  planned: PlannedLinears,
  ends: PlannedEnd[],
  { dtype }: ExportSettings,
  opened: OpenModel,
): Pick<ExportPlan, 'linears' | 'ends' | 'copied' | 'changed'> {
  const vectors = new Set<string>()
  const linears: ExportPlan['linears'] = []
  for (const [k, of] of planned.entries()) {
    for (const { name, q, p } of linearsOf(opened.model.layouts[k])) {
      const one = of.get(name)
      if (!one) continue
      const found = solver.outliers?.(q, p, one.options)
      const outliers = found ? found.count * (found.kind === 'columns' ? q : 1) : 0
      const { bits, groupSize, symmetric, levels } = one.grid
      const groups = groupsOf(p, groupSize)
      linears.push({ name: blockName(opened, k, name), q, p, bits, groupSize, symmetric, levels, groups, outliers, dtype })
    }
    if (solver.transform) for (const name of foldedVectors(opened.model.layouts[k])) vectors.add(blockName(opened, k, name))
  }
  for (const { use, name, q, p, grid } of ends) {
    const { bits, groupSize, symmetric, levels } = grid
    const picked = use !== 'head'
    linears.push({ name, q, p, bits, groupSize, symmetric, levels, picked, groups: groupsOf(p, groupSize), outliers: 0, dtype })
  }
  const replaced = new Set(linears.map(({ name }) => `${name}.weight`))
  const kept = [...opened.folder.checkpoint.tensors.values()]
    .filter(({ name }) => !replaced.has(name))
    .map(({ name, dtype, shape, bytes }) => ({ name, dtype, shape, bytes }))
  const copied = kept.filter(({ name }) => !vectors.has(name))
  return { linears, ends: ends.map(({ name }) => name), copied, changed: kept.filter(({ name }) => vectors.has(name)) }
}

/** Of every linear of the blocks, those that stay in full precision included; of embedding and head, where they are rounded. */
export const plannedBits = (run: PlannedRun, opened: OpenModel) => [
  ...solvedBits(run, opened),
  ...keptLinears(run.linears, opened),
  ...run.ends.map(endBits),
]

/** Of the linears that are solved. */
export function solvedBits({ linears, solver }: PlannedRun, opened: OpenModel) {
  return linears.flatMap((of, k) =>
    linearsOf(opened.model.layouts[k]).flatMap(({ name, q, p }) => {
      const one = of.get(name)
      const outliers = one ? (solver.outliers?.(q, p, one.options) ?? null) : null
      return one ? [{ shape: [q, p] as [number, number], bits: linearBits({ q, p }, one.grid, !reordered(one), outliers) }] : []
    }),
  )
}

/** The shape of an embedding or head, and the bits that it takes. */
export const endBits = ({ q, p, grid }: PlannedEnd) => ({ shape: [q, p] as [number, number], bits: linearBits({ q, p }, grid, true, null) })

/** Whether its groups follow the order in which inputs were solved, so that a file has to store the group of each. */
export const reordered = ({ options, grid }: Pick<PlannedLinear, 'options' | 'grid'>) =>
  options.actOrder === true && options.staticGroups !== true && grid.groupSize !== -1

/** The linears of a run that overrides give something else than the rest. */
export function ownGrids({ linears }: PlannedRun, opened: OpenModel): OwnGrid[] {
  return linears.flatMap((of, k) =>
    linearsOf(opened.model.layouts[k]).flatMap(({ name }): OwnGrid[] => {
      const one = of.get(name)
      return one?.own === null ? [] : [{ name: blockName(opened, k, name), options: one?.own ?? null }]
    }),
  )
}
