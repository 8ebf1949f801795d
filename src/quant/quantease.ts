/**
 * QuantEase (arXiv 2309.01885), Algorithm 1: cyclic coordinate descent, each column takes its closed-form minimizer, rounded:
 *   Ŵ_j ← Q(β_j),  β_j = Ŵ_j + [(W − Ŵ) Σ]_j / Σ_jj
 * It needs no inverse and no damping. The sweeps are in descent.ts; with outliers (Algorithm 3) in outliers.ts.
 */
import type { OptionSpec, OptionsOf } from '../options.ts'
import { ridgeOption, targetOptions } from './aim.ts'
import { Descent, sweeps, sweepWork } from './descent.ts'
import { gridOf } from './grids/index.ts'
import { type Layout, layoutOf } from './layout.ts'
import { deadNote, finish } from './rounding.ts'
import {
  disposeSupport,
  eigenvalueWork,
  largestWeights,
  outlierCount,
  outlierOptions,
  outlierWork,
  spanned,
  sweepsWithOutliers,
} from './outliers.ts'
import { ObjectiveReport } from './report.ts'
import { defineSolver, gridOptions, type LinearProblem, type OutlierKind, type QuantizedLinear, type SolverHooks } from './solver.ts'

export const orderOptions = [
  {
    key: 'actOrder',
    flag: 'act-order',
    label: 'Act-order',
    type: 'bool',
    default: false,
    help: 'Process the columns by descending activation size (diagonal of Σ) instead of left to right.',
    cost: 'No extra time. Without static groups, the file needs a group index and inference is slower.',
    advanced: true,
  },
  {
    key: 'staticGroups',
    flag: 'static-groups',
    label: 'Static groups',
    type: 'bool',
    default: false,
    help: 'Keep groups as runs of the original columns, also under act-order.',
    cost: 'No extra time; makes inference with act-order as fast as without.',
    idle: [
      { key: 'actOrder', is: [false] },
      { key: 'groupSize', is: [-1] },
    ],
    advanced: true,
  },
] as const satisfies readonly OptionSpec[]

export const sweepOptions = [
  {
    key: 'iterations',
    flag: 'num-iter',
    label: 'Iterations',
    type: 'int',
    default: 30,
    min: 1,
    max: 1000,
    help: 'Sweeps over all columns. 15 come within 1 % of 30.',
    cost: 'Each costs one matrix product of the layer with Σ.',
    symbol: 'T',
  },
  {
    key: 'relax',
    flag: 'relax',
    label: 'Relaxed sweeps',
    type: 'bool',
    default: true,
    help: 'Do not round in the second sweep and every third after it, up to the 26th, but never in the last, which helps the descent out of poor local minima.',
    cost: 'No extra time; usually 2 to 12 % less error.',
    idle: [{ key: 'iterations', below: 3 }],
  },
] as const satisfies readonly OptionSpec[]

const quanteaseOptions = [...gridOptions, ...sweepOptions, ...orderOptions, ...outlierOptions, ridgeOption, ...targetOptions] as const

export const quantease = defineSolver({
  id: 'quantease',
  label: 'QuantEase',
  summary:
    'Coordinate descent on the error of the layer’s output: rounds one column at a time, in repeated sweeps, each time compensating for the errors of all other columns.',
  advice:
    'The published method: no matrix inverse that could fail. Where a few inputs are huge, as in the first blocks of large models, 30 sweeps do not converge, and GPTQ with act-order has the smaller error.',
  options: quanteaseOptions,
  gridOf,
  work: (q, p, options) =>
    gridOf(options).work(q, p) + options.iterations * sweepWork(q, p) + outlierWork(q, p, options.iterations, options),
  sharedWork: eigenvalueWork,
  products: ({ iterations, outlier, outlierMode }) => iterations * (outlier && outlierMode === 'iht' ? 2 : 1),
  sweeps: ({ iterations }) => iterations,
  outliers: outlierCount,
  async solve(problem, options, hooks) {
    const { gpu, weight, gramDiagonal } = problem
    const layout = layoutOf(gramDiagonal, options.groupSize, options.actOrder, options.staticGroups)
    const outliers = outlierCount(weight.cols, weight.rows, options)
    if (outliers) return withOutliers(problem, layout, outliers, options, hooks)
    const grid = gridOf(options)
    const cells = grid.make(gpu, weight, layout, problem.halfScales)
    const descent = new Descent(problem, layout, cells, grid)
    const report = new ObjectiveReport(gpu, hooks)
    await sweeps(descent, options.iterations, options.relax, report)
    descent.dispose()
    const result = finish(problem, descent.what, layout, cells, grid, null, [descent.what])
    return { ...result, error: report.before(result.error), iterations: options.iterations, notes: deadNote(gramDiagonal) }
  },
})

async function withOutliers(
  problem: LinearProblem,
  layout: Layout,
  { count, kind }: { count: number; kind: OutlierKind },
  options: OptionsOf<typeof quanteaseOptions>,
  hooks: SolverHooks,
): Promise<QuantizedLinear> {
  const { gpu, weight, gramDiagonal, halfScales } = problem
  const { iterations } = options
  const support = largestWeights(problem, { count, kind })
  const range = spanned(problem, support, layout, options)
  const grid = gridOf(options)
  const cells = grid.make(gpu, range, layout, halfScales)
  if (range !== weight && range !== support.rest) range.dispose()
  const report = new ObjectiveReport(gpu, hooks)
  const { what, h } = await sweepsWithOutliers(problem, layout, cells, grid, support, options, report)
  disposeSupport(support)
  const result = finish(problem, what, layout, cells, grid, { h, count, kind }, [what, h])
  if (options.outlierMode === 'iht') report.add(result.error.map((value) => [{ iteration: iterations - 1, value, relaxed: false }]))
  return { ...result, error: report.before(result.error), iterations, notes: deadNote(gramDiagonal) }
}
