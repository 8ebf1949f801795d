/**
 * GPTQ followed by QuantEase: keeps GPTQ's grid, starts the coordinate descent from its Ŵ, and uses the original W as target (arXiv
 * 2309.01885; the published code used GPTQ's weights as target, so that the second step did nothing). The start is on the grid, so no
 * unrelaxed sweep ends with a larger error.
 */
import type { Device } from '../gpu/device.ts'
import { packCodes } from '../gpu/ops.ts'
import { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { ridgeOption } from './aim.ts'
import { Descent, sweeps, sweepWork } from './descent.ts'
import { gptq, gptqOptions, PASS_PRODUCTS, solveGptq } from './gptq.ts'
import type { Grid } from './grids/grid.ts'
import { gridOf } from './grids/index.ts'
import { layoutOf } from './layout.ts'
import { deadNote, finish } from './rounding.ts'
import { sweepOptions } from './quantease.ts'
import { ObjectiveReport } from './report.ts'
import { defineSolver, type QuantizedLinear } from './solver.ts'

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
    const earlier = new Packed(gpu, start, grid)
    const from = start.what
    // Dead inputs do not change the error; rounding their original weights, as QuantEase does, is better for other texts than 0.
    gramDiagonal.forEach((value, j) => {
      if (value <= 0) gpu.copy(weight, from, weight.cols, j * weight.cols, j * weight.cols)
    })
    const descent = new Descent(problem, layout, start.grid, grid, from)
    from.dispose()
    const report = new ObjectiveReport(gpu, hooks)
    await sweeps(descent, options.iterations, options.relax, report, start.error)
    const change = gpu.empty([1])
    gpu.run('sum', { x: descent.objective, out: change }, { n: weight.cols, index: 0 }, [1])
    descent.dispose()
    const result = finish(problem, descent.what, layout, start.grid, grid, null, [descent.what])
    // Only relaxed sweeps can end with a larger error than they started with.
    if (options.relax) earlier.replace(result, change)
    const notes = [...trouble, ...deadNote(gramDiagonal)]
    const ends = Reading.all([result.error, start.error, gpu.read(change)]).map(([after, before, [grown]]) => {
      if (!options.relax || grown <= 0) return after
      const kept = 'The sweeps ended with a larger error than GPTQ’s, so GPTQ’s weights were kept.'
      notes.splice(0, notes.length, ...start.notes, kept)
      return before
    })
    for (const tensor of [earlier, change]) tensor.dispose()
    return { ...result, error: report.before(ends), iterations: options.iterations, notes }
  },
})

/** A result that may be wanted again, in the bits of its codes. */
class Packed {
  readonly #words: Tensor
  readonly #groups: Tensor

  /** Takes over the codes. */
  constructor(
    readonly gpu: Device,
    { codes, groupIndex }: QuantizedLinear,
    readonly grid: Grid,
  ) {
    this.#words = packCodes(gpu, codes, grid.bits)
    this.#groups = gpu.upload(Uint32Array.from(groupIndex), [groupIndex.length])
    codes.dispose()
  }

  /** Takes the place of a result on the same cells if `change` `[1]` is above 0, as only the GPU knows. */
  replace({ codes, what, grid: cells }: Pick<QuantizedLinear, 'codes' | 'what' | 'grid'>, change: Tensor): void {
    const { gpu, grid } = this
    const [p, q] = [what.rows, what.cols]
    const bindings = { change, packed: this.#words, group: this.#groups, grid: cells, codes, what }
    gpu.run1d(grid.kernel('keep_packed'), bindings, { q, p, bits: grid.bits }, p * q)
  }

  dispose(): void {
    for (const tensor of [this.#words, this.#groups]) tensor.dispose()
  }
}
