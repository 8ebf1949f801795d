/** Round to nearest: every weight to the nearest level of its own grid. No data, one pass. */
import { gridOf } from './grids/index.ts'
import { layoutOf } from './layout.ts'
import { deadNote, finish } from './rounding.ts'
import { defineSolver, gridOptions } from './solver.ts'

export const rtn = defineSolver({
  id: 'rtn',
  label: 'RTN',
  summary: 'Rounds every weight to the nearest level of its grid, without calibration.',
  advice: 'The baseline: instant, fine at 8 bits, the first to break below 4.',
  options: gridOptions,
  gridOf,
  work: (q, p, options) => gridOf(options).work(q, p),
  async solve(problem, options) {
    const layout = layoutOf(problem.gramDiagonal, options.groupSize, false, true)
    const grid = gridOf(options)
    const cells = grid.make(problem.gpu, problem.weight, layout, problem.halfScales)
    const result = finish(problem, problem.weight, layout, cells, grid)
    return { ...result, iterations: 0, notes: deadNote(problem.gramDiagonal) }
  },
})
