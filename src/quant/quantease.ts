/**
 * QuantEase (arXiv 2309.01885), Algorithm 1: cyclic coordinate descent, each column taking its closed-form minimiser
 *   Ŵ_j ← Q(β_j),  β_j = Ŵ_j + [(W − Ŵ) Σ]_j / Σ_jj
 * No inverse, no damping. The sweeps are in descent.ts.
 */
import type { OptionSpec } from '../options.ts'
import { Descent, sweeps, sweepWork } from './descent.ts'
import { deadNote, finish, layoutOf, makeGrid } from './grid.ts'
import { type GridOptions, gridOptions, gridWork, type Solver } from './solver.ts'

export const orderOptions: OptionSpec[] = [
  {
    key: 'actOrder',
    flag: 'act-order',
    label: 'Act-order',
    type: 'bool',
    default: false,
    help: 'Process the columns by descending activation size (diagonal of Σ) instead of left to right.',
    cost: 'Free to compute. With groups that are not static, the file needs a group index and runs slower.',
    advanced: true,
  },
  {
    key: 'staticGroups',
    flag: 'static-groups',
    label: 'Static groups',
    type: 'bool',
    default: false,
    help: 'Keep groups as runs of the original columns, also under act-order.',
    cost: 'Free; makes act-order checkpoints as fast as others.',
    advanced: true,
  },
]

const options: OptionSpec[] = [
  ...gridOptions,
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
    help: 'Leave every third sweep up to the 26th unrounded, which helps the descent out of poor minima.',
    cost: 'Free; usually 2 to 12 % less error.',
  },
  ...orderOptions,
]

export interface QuantEaseOptions extends GridOptions {
  iterations: number
  relax: boolean
  actOrder: boolean
  staticGroups: boolean
}

export const quantease: Solver = {
  id: 'quantease',
  label: 'QuantEase',
  summary:
    'Coordinate descent on the error of the layer’s output: rounds one column at a time, again and again, each time making up for all the others.',
  advice: 'The method to start with: no matrix inverse, so it never breaks down, and it beats RTN and plain GPTQ at 2 to 4 bits.',
  options,
  work: (q, p, given) => gridWork(q, p, given) + (given.iterations as number) * sweepWork(q, p),
  async solve(problem, given, hooks) {
    const options = given as unknown as QuantEaseOptions
    const { gpu, weight, gramDiagonal } = problem
    const layout = layoutOf(gramDiagonal, options.groupSize, options.actOrder, options.staticGroups)
    const grid = makeGrid(gpu, weight, layout, options, problem.halfScales)
    const descent = new Descent(problem, layout, grid, options.bits)
    await sweeps(descent, options.iterations, options.relax, hooks)
    const result = await finish(problem, descent.what, layout, grid, options.bits)
    descent.what.dispose()
    descent.dispose()
    return { ...result, iterations: options.iterations, notes: deadNote(gramDiagonal) }
  },
}
