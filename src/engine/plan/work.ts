/** Floating-point operations of a job, by the formulas that the GPU operations use for counting. */
import type { Passage } from '../../data/lambada.ts'
import { type BlockLayout, type LinearShape, linearsOf, keptOf, type ModelShape, stateWidth } from '../../models/family.ts'
import type { OpenModel } from '../../models/open.ts'
import { solveWork } from '../../quant/slices.ts'
import { choiceWork } from '../../quant/choice.ts'
import { errorsWork, linearWork, ownWay, quickWay } from '../../quant/widths.ts'
import { sharedTargetWork, targetWork } from '../../quant/target.ts'
import type { PlannedRun } from './plan.ts'

/** Floating-point operations of a run or of the baseline. */
export interface PlannedWork {
  forward: number
  solve: number
}

export interface RunWork extends PlannedWork {
  /** Blocks after which perplexity is measured. */
  measured: number[]
  /** Part of the forward work: measuring perplexity when the first `k` blocks are quantized. */
  measure(k: number): number
}

/** Work of the forward pass of blocks for `tokens` tokens. */
function blocksWork({ heads, headDim }: ModelShape, layouts: BlockLayout[], tokens: number, t: number): number {
  const attention = t * heads * (4 * headDim + 6)
  return layouts.reduce((sum, layout) => {
    const shapes = [...linearsOf(layout).map(({ q, p }) => [q, p]), ...keptOf(layout).map(({ shape }) => shape)]
    const weights = shapes.reduce((all, shape) => all + shape.reduce((a, b) => a * b), 0)
    return sum + tokens * (2 * weights + (layout.mixing?.(t) ?? attention))
  }, 0)
}

/** The head once, or twice when compared with full-precision states. */
export function headWork({ vocab, embedWidth }: ModelShape, tokens: number, compared: boolean): number {
  return tokens * vocab * (compared ? 4 * embedWidth + 12 : 2 * embedWidth + 4)
}

interface Counts {
  windows: number
  length: number
  heldOut?: number
}

const padded = ({ windows, length }: Counts) => ({ t: Math.ceil(length / 4) * 4, tokens: windows * Math.ceil(length / 4) * 4 })

/** Blocks after which perplexity is measured; always after the last. */
export function measuredBlocks(blocks: number, every: number): number[] {
  return every ? Array.from({ length: blocks }, (_, i) => i + 1).filter((k) => k % every === 0 || k === blocks) : [blocks]
}

/** Operations of solving linears of one stage of block k, when others of it are already solved: shared work counts for the first. */
export function stageWork(
  { solver, linears: planned, options, maxBinding, aim, compared }: PlannedRun,
  k: number,
  all: LinearShape[],
): number {
  const linears = all.filter(({ name }) => planned[k].has(name))
  const shared = linears.length ? (linears.length - 1) * (solver.sharedWork?.(linears[0].p, options) ?? 0) : 0
  const target = compared && linears.length ? sharedTargetWork(linears[0].p) : 0
  const each = (q: number, p: number) => (compared ? targetWork(q, p) : 0) + 2 * q * p * p * (aim ? 2 : 1)
  const own = ({ name, q, p }: LinearShape) => solveWork(solver, q, p, planned[k].get(name)!.options, maxBinding) + each(q, p)
  return linears.reduce((sum, linear) => sum + own(linear), target - shared)
}

/** Operations of choosing the aim of a stage, and of measuring what is solved on held-out tokens. */
function heldOutWork({ aim, compared, linears: planned }: PlannedRun, k: number, all: LinearShape[], heldOut: number): number {
  const linears = all.filter(({ name }) => planned[k].has(name))
  if (!heldOut || !linears.length) return 0
  const { p } = linears[0]
  const outputs = linears.map(({ q }) => q)
  const each = (compared ? 9 : 3) * 2 * p * p
  return outputs.reduce((sum, q) => sum + q * each, 0) + (aim ? choiceWork(outputs, p, aim) : 0)
}

/** Work of one run. */
export function runWork(run: PlannedRun, { model }: OpenModel, calibration: Counts, evaluation: Counts, every: number): RunWork {
  const { shape, layouts } = model
  const own = layouts.slice(0, run.blocks)
  const stages = own.flatMap((layout) => layout.stages)
  const { heldOut = 0 } = calibration
  const seen = padded({ ...calibration, windows: calibration.windows + heldOut })
  const judged = padded(evaluation)
  const squares = stages.reduce((sum, stage) => sum + stage[0].p ** 2, 0)
  const windows = calibration.windows + heldOut
  // Beside Σ, the product with the difference, which is not symmetric, and its own over what is held out.
  const grams = squares * calibration.length * (run.compared ? 3 * windows + heldOut : windows)
  const passes = (run.trueSequential || run.fullInputs ? 1 : 2) + Number(run.compared)
  const forwardCalibration = passes * blocksWork(shape, own, seen.tokens, seen.t) + grams
  const judging = (some: BlockLayout[]) => blocksWork(shape, some, judged.tokens, judged.t)
  const measure = (k: number) => judging(layouts.slice(k)) + headWork(shape, judged.tokens, true)
  const measured = measuredBlocks(run.blocks, every)
  const rest = measured.reduce((sum, k) => sum + measure(k), 0)
  const transforms = run.solver.transform
    ? own.flatMap(({ stages, before }) => stages.filter((_, stage) => before[stage].kind !== 'none').flat())
    : []
  const each = ({ stages }: BlockLayout, k: number) =>
    stages.reduce((sum, stage) => sum + stageWork(run, k, stage) + heldOutWork(run, k, stage, heldOut), 0)
  const solve =
    own.reduce((sum, layout, k) => sum + each(layout, k), 0) +
    transforms.reduce((sum, { q, p }) => sum + run.solver.transform!.work(q, p, run.options), 0)
  const ends = endsWork(run, model, seen, calibration)
  return { forward: forwardCalibration + judging(own) + rest + ends.forward, solve: solve + ends.solve, measured, measure }
}

/**
 * Windows that a probe measures divergences on, tokens of each, and the bytes that the states of all its texts may take for more than the
 * fewest. Divergence is that of a few tokens, so with few the mixture is chosen for what they happen to say: on the demo by RTN, 3.25 bits
 * have 2.1 times the divergence that 4 windows foresee, and 1.1 times that of 16.
 */
const PRICED = { fewest: 4, most: 16, length: 128, bytes: 2 ** 30 }

/** The model as it is, with all rounded, and two texts for each stage. */
const pricedTexts = (layouts: BlockLayout[]) => layouts.reduce((sum, { stages }) => sum + 2 * stages.length, 2)

/** Windows that a probe measures divergences on, and tokens of each, as far as there are that many. */
export function pricedCounts({ shape, layouts }: OpenModel['model']): { windows: number; length: number } {
  const { fewest, most, length, bytes } = PRICED
  const room = Math.floor(bytes / (pricedTexts(layouts) * length * 4 * stateWidth(shape)))
  return { windows: Math.max(fewest, Math.min(most, room)), length }
}

/** Work of a probe of all linears of a run, at some `widths` of the run: see `engine/run/probe.ts`. */
export function probeWork(run: PlannedRun, { model }: OpenModel, widths: readonly PlannedRun[], calibration: Counts): PlannedWork {
  const { shape, layouts } = model
  const { heldOut = 0, windows, length } = calibration
  const seen = padded({ ...calibration, windows: windows + heldOut })
  const priced = pricedCounts(model)
  const few = padded({ windows: Math.min(priced.windows, heldOut + windows), length: Math.min(priced.length, length) })
  const [own, quick] = [ownWay(run), quickWay(run)]
  const grids = widths.map(({ options }) => options)
  const work = { forward: 0, solve: 0 }
  let streams = pricedTexts([])
  for (const [k, layout] of layouts.entries()) {
    if (k < run.blocks) {
      streams += 2 * layout.stages.length
      work.forward += blocksWork(shape, [layout], seen.tokens, seen.t)
      for (const stage of layout.stages) {
        work.forward += stage[0].p ** 2 * length * (windows + heldOut)
        for (const [i, { q, p }] of stage.entries())
          work.solve += errorsWork(q, p, grids, own, i === 0) + linearWork(q, p, grids[0], quick, i === 0, run.maxBinding)
      }
    }
    work.forward += streams * blocksWork(shape, [layout], few.tokens, few.t)
  }
  work.forward += (streams - 1) * headWork(shape, few.tokens, true)
  return work
}

/** Work of embedding and head, where they are rounded: passes of the calibration text, `seen`, to the end of the model, and solving. */
function endsWork(
  run: PlannedRun,
  { shape, layouts }: OpenModel['model'],
  seen: { t: number; tokens: number },
  { windows, heldOut = 0, length }: Counts,
): PlannedWork {
  const work = { forward: 0, solve: 0 }
  for (const { use, q, p, options } of run.ends) {
    const loss = 2 * q * p * p
    if (use === 'embedding') {
      work.solve += loss
      continue
    }
    const compared = use === 'head' && run.compared
    work.forward += blocksWork(shape, use === 'head' ? layouts.slice(run.blocks) : layouts, seen.tokens, seen.t) * (compared ? 2 : 1)
    work.forward += p * p * length * (compared ? 3 * (windows + heldOut) + heldOut : windows + heldOut)
    work.solve += solveWork(run.solver, q, p, options, run.maxBinding) + loss * (heldOut ? 4 : 2)
    if (compared) work.solve += sharedTargetWork(p) + targetWork(q, p)
    if (use === 'head' && run.aim && heldOut) work.solve += choiceWork([q], p, run.aim)
  }
  return work
}

/** Work of measuring the model as it is. */
export function baselineWork({ model }: OpenModel, evaluation: Counts): PlannedWork {
  const { t, tokens } = padded(evaluation)
  return {
    forward: blocksWork(model.shape, model.layouts, tokens, t) + headWork(model.shape, tokens, false),
    solve: 0,
  }
}

/** Operations of scoring the last words of passages with one model. */
export function passagesWork({ model }: OpenModel, passages: Passage[]): number {
  return passages.reduce((sum, { ids, word }) => {
    const { t, tokens } = padded({ windows: 1, length: ids.length })
    return sum + blocksWork(model.shape, model.layouts, tokens, t) + headWork(model.shape, ids.length - word, false)
  }, 0)
}
