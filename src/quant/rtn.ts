/** Round to nearest: every weight to the nearest level of its own grid. No data, one pass. */
import { deadNote, finish, layoutOf, makeGrid } from './grid.ts'
import { defineSolver, gridOptions, gridWork } from './solver.ts'

export const rtn = defineSolver({
  id: 'rtn',
  label: 'RTN',
  summary: 'Rounds every weight to the nearest level of its grid, without looking at any text.',
  advice: 'The baseline: instant, fine at 8 bits, the first to break below 4.',
  options: gridOptions,
  gridOf: (options) => options,
  work: gridWork,
  async solve(problem, options) {
    const layout = layoutOf(problem.gramDiagonal, options.groupSize, false, true)
    const grid = makeGrid(problem.gpu, problem.weight, layout, options, problem.halfScales)
    const result = finish(problem, problem.weight, layout, grid, options.bits)
    return { ...result, iterations: 0, notes: deadNote(problem.gramDiagonal) }
  },
})
