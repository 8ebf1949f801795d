/**
 * GPTQ followed by QuantEase: keeps GPTQ's grid, starts the coordinate descent from its Ŵ, and uses the original W as target (arXiv
 * 2309.01885; the published code used GPTQ's weights as target, so that the second step did nothing). The start is on the grid, so no
 * unrelaxed sweep ends with a larger error.
 */
import { Reading } from '../gpu/reading.ts'
import { ridgeOption } from './aim.ts'
import { Descent, sweeps, sweepWork } from './descent.ts'
import { gptq, gptqOptions, PASS_PRODUCTS, solveGptq } from './gptq.ts'
import { gridOf } from './grids/index.ts'
import { layoutOf } from './layout.ts'
import { deadNote, finish } from './rounding.ts'
import { sweepOptions } from './quantease.ts'
import { ObjectiveReport } from './report.ts'
import { defineSolver } from './solver.ts'

/** Beside the damping of GPTQ's factor, which that adds to what this makes of Σ. */
const sweepRidge = { ...ridgeOption, flag: 'sweep-percdamp', label: 'Damping of the sweeps' } as const

export const gptqQuantease = defineSolver({
  id: 'gptq_quantease',
  label: 'GPTQ, then QuantEase',
  summary: 'Runs GPTQ, then improves its weights by QuantEase sweeps on the same grid.',
  advice:
    'For layers with a few very large inputs, where the start matters; with act-order and relaxed sweeps it is usually better than GPTQ or QuantEase alone.',
  options: [...gptqOptions, ...sweepOptions, sweepRidge],
  gridOf,
  work: (q, p, options) => gptq.work(q, p, options) + options.iterations * sweepWork(q, p) + 2 * q * p * p,
  sharedWork: gptq.sharedWork,
  products: ({ iterations }) => PASS_PRODUCTS + iterations,
  sweeps: ({ iterations }) => iterations,
  async solve(problem, options, hooks) {
    const { gpu, weight, gramDiagonal } = problem
    const grid = gridOf(options)
    const { result: start, trouble } = await solveGptq(problem, options)
    const layout = {
      ...layoutOf(gramDiagonal, options.groupSize, options.actOrder, options.staticGroups),
      groupIndex: start.groupIndex,
    }
    const from = gpu.empty(weight.shape)
    gpu.copy(start.what, from)
    // Dead inputs do not change the error; rounding their original weights, as QuantEase does, is better for other texts than 0.
    gramDiagonal.forEach((value, j) => {
      if (value <= 0) gpu.copy(weight, from, weight.cols, j * weight.cols, j * weight.cols)
    })
    const descent = new Descent(problem, layout, start.grid, grid, from)
    from.dispose()
    const report = new ObjectiveReport(gpu, hooks)
    await sweeps(descent, options.iterations, options.relax, report, start.error)
    const result = finish(problem, descent.what, layout, start.grid, grid)
    // Only relaxed sweeps can end with a larger error than they started with.
    const change = gpu.empty([1])
    gpu.run('sum', { x: descent.objective, out: change }, { n: weight.cols, index: 0 }, [1])
    if (options.relax) {
      for (const [x, y] of [
        [start.codes, result.codes],
        [start.what, result.what],
      ]) {
        const bits = { x: x.view(x.shape, 0, 'u32'), y: y.view(y.shape, 0, 'u32') }
        gpu.run1d('keep_better', { change, ...bits }, { n: y.size }, y.size)
      }
    }
    const notes = [...trouble, ...deadNote(gramDiagonal)]
    const ends = Reading.all([result.error, start.error, gpu.read(change)]).map(([after, before, [grown]]) => {
      if (!options.relax || grown <= 0) return after
      const kept = 'The sweeps ended with a larger error than GPTQ’s, so GPTQ’s weights were kept.'
      notes.splice(0, notes.length, ...start.notes, kept)
      return before
    })
    for (const tensor of [start.codes, start.what, descent.what, descent, change]) tensor.dispose()
    return { ...result, error: report.before(ends), iterations: options.iterations, notes }
  },
})
