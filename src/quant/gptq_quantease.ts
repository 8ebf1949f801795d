/**
 * GPTQ, then QuantEase from there: GPTQ's grid is kept, its Ŵ is where the coordinate descent starts, and the target is the
 * original W (arXiv 2309.01885; the published code aimed at GPTQ's own weights, which makes the second stage idle). The
 * start is feasible, so no sweep without relaxation ends above it.
 */
import { Reading } from '../gpu/reading.ts'
import { Descent, sweeps, sweepWork } from './descent.ts'
import { gptq, gptqOptions, solveGptq } from './gptq.ts'
import { gridOf } from './grids/index.ts'
import { layoutOf } from './layout.ts'
import { deadNote, finish } from './rounding.ts'
import { sweepOptions } from './quantease.ts'
import { ObjectiveReport } from './report.ts'
import { defineSolver } from './solver.ts'

export const gptqQuantease = defineSolver({
  id: 'gptq_quantease',
  label: 'GPTQ, then QuantEase',
  summary: 'Runs GPTQ, then improves its weights by the sweeps of QuantEase on the same grid.',
  advice:
    'For layers with a few huge inputs, where the start matters; with act-order and relaxed sweeps it usually beats both of its parts.',
  options: [...gptqOptions, ...sweepOptions],
  gridOf,
  work: (q, p, options) => gptq.work(q, p, options) + options.iterations * sweepWork(q, p) + 2 * q * p * p,
  sharedWork: gptq.sharedWork,
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
    // Dead inputs change nothing: rounded from their own weights, as QuantEase does, they serve other texts better than 0.
    gramDiagonal.forEach((value, j) => {
      if (value <= 0) gpu.copy(weight, from, weight.cols, j * weight.cols, j * weight.cols)
    })
    const descent = new Descent(problem, layout, start.grid, grid, from)
    from.dispose()
    const report = new ObjectiveReport(gpu, hooks)
    await sweeps(descent, options.iterations, options.relax, report, start.error)
    const result = finish(problem, descent.what, layout, start.grid, grid)
    // Only relaxed sweeps can end above their start: the rounding after them may not find back.
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
      const kept = 'The sweeps ended above where GPTQ had started them, so GPTQ’s weights were kept.'
      notes.splice(0, notes.length, ...start.notes, kept)
      return before
    })
    for (const tensor of [start.codes, start.what, descent.what, descent, change]) tensor.dispose()
    return { ...result, error: report.before(ends), iterations: options.iterations, notes }
  },
})
