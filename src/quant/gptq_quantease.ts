/**
 * GPTQ, then QuantEase from there: GPTQ's grid is kept, its Ŵ is where the coordinate descent starts, and the target is the
 * original W (arXiv 2309.01885; the published code aimed at GPTQ's own weights, which makes the second stage idle). The
 * start is feasible, so no sweep without relaxation ends above it.
 */
import { Descent, sweeps, sweepWork } from './descent.ts'
import { gptq, gptqOptions, solveGptq } from './gptq.ts'
import { deadNote, finish, layoutOf } from './grid.ts'
import { sweepOptions } from './quantease.ts'
import { defineSolver } from './solver.ts'

export const gptqQuantease = defineSolver({
  id: 'gptq_quantease',
  label: 'GPTQ, then QuantEase',
  summary: 'Runs GPTQ, then improves its weights by the sweeps of QuantEase on the same grid.',
  advice:
    'For layers with a few huge inputs, where the start matters; with act-order and relaxed sweeps it usually beats both of its parts.',
  options: [...gptqOptions, ...sweepOptions],
  gridOf: (options) => options,
  work: (q, p, options) => gptq.work(q, p, options) + options.iterations * sweepWork(q, p) + 2 * q * p * p,
  sharedWork: gptq.sharedWork,
  sweeps: ({ iterations }) => iterations,
  async solve(problem, options, hooks) {
    const { gpu, weight, gramDiagonal } = problem
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
    const descent = new Descent(problem, layout, start.grid, options.bits, from)
    from.dispose()
    await sweeps(descent, options.iterations, options.relax, hooks, start.error)
    const result = await finish(problem, descent.what, layout, start.grid, options.bits)
    descent.what.dispose()
    descent.dispose()
    // Only relaxed sweeps can do that: the rounding after them may not find back.
    const worse = result.error > start.error
    const [best, dropped] = worse ? [start, result] : [result, start]
    for (const tensor of [dropped.codes, dropped.what]) tensor.dispose()
    const kept = 'The sweeps ended above where GPTQ had started them, so GPTQ’s weights were kept.'
    const notes = worse ? [...start.notes, kept] : [...trouble, ...deadNote(gramDiagonal)]
    return { ...best, iterations: options.iterations, notes }
  },
})
