/**
 * Cyclic coordinate descent over the columns of W on f(Ŵ) = tr((W − Ŵ) Σ (W − Ŵ)ᵀ), in blocks of 32 columns,
 * left-looking: a GEMM forms [(W − Ŵ) Σ] for the block afresh, one kernel walks the block. The iterates are those of the
 * column-by-column algorithm (arXiv 2309.01885, Algorithm 1). Shared by every solver that descends.
 */
import { gatherRows, gemm } from '../gpu/ops.ts'
import { panelPairs, rowsOf } from '../gpu/panels.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { Layout } from './grid.ts'
import { type LinearProblem, maxCode, type SolverHooks } from './solver.ts'

/** Columns per block; fixed by `quantease_sweep.wgsl`. */
export const BLOCK = 32
/** Operations per weight of the in-block walk: half a block of updates, and the rounding itself. */
const SWEEP_FLOPS = BLOCK + 16
/** Iterations between two reports of the objective; a report waits for the GPU but never inside an iteration. */
export const REPORT_EVERY = 5

/** Work of one sweep. */
export const sweepWork = (q: number, p: number) => 2 * q * p * p + q * p * SWEEP_FLOPS

/** Sweep t (from 0) skips rounding iff t mod 3 = 1, t ≤ 25 and it is not the last. */
export const isRelaxed = (t: number, iterations: number) => t % 3 === 1 && t <= 25 && t !== iterations - 1

export class Descent {
  /** Ŵ `[p, q]` in processing order; `dispose` leaves it to the caller. */
  readonly what: Tensor
  /** W − Ŵ `[p, q]` in processing order. */
  readonly r: Tensor
  /** Change of f since the start, row by row of W: `[q]`. */
  readonly objective: Tensor
  /** Σ in processing order, every row divided by its Σ_jj: `[p, p]`. */
  readonly normalised: Tensor
  /** Group and bits of Σ_jj per processed column: `[p, 2]`. */
  readonly columns: Tensor
  readonly #triangle: Tensor
  readonly #g: Tensor

  /**
   * Starts from Ŵ = W (infeasible, f = 0), or from `start` `[p, q]` in the original order. Entries whose bit of `mask` is
   * set (`outlier_mask.wgsl`) are never rounded.
   */
  constructor(
    readonly problem: LinearProblem,
    readonly layout: Layout,
    readonly grid: Tensor,
    readonly bits: number,
    start?: Tensor,
    readonly mask?: Tensor,
  ) {
    const { gpu, weight, gram, gramDiagonal } = problem
    const [p, q] = [weight.rows, weight.cols]
    const order = gpu.upload(layout.order, [p])
    this.normalised = gpu.empty([p, p], 'f32', 'The Gram matrix')
    this.#triangle = gpu.empty([p, BLOCK])
    for (const [from, to] of panelPairs(gpu, gram, this.normalised)) {
      const bindings = { sigma: rowsOf(gram, from), order, n: rowsOf(this.normalised, to), triangle: this.#triangle }
      const shape = { p, sigma0: from.first, sigma_rows: from.count, row0: to.first, rows: to.count }
      gpu.run1d('quantease_setup', bindings, shape, to.count * p)
    }
    this.columns = gpu.upload(columnTable(layout, gramDiagonal), [p, 2])
    this.what = gatherRows(gpu, start ?? weight, order)
    if (start) {
      this.r = gatherRows(gpu, weight, order)
      gpu.run1d('subtract', { x: this.r, y: this.what }, { n: p * q }, (p * q) / 4)
    } else this.r = gpu.zeros([p, q])
    this.#g = gpu.empty([BLOCK, q])
    this.objective = gpu.zeros([q])
    order.dispose()
  }

  /** One pass over all columns. */
  async sweep(relaxed: boolean): Promise<void> {
    const { gpu, weight } = this.problem
    const [p, q] = [weight.rows, weight.cols]
    const { what, r, objective, grid } = this
    const { columns, normalised, mask } = this
    const state = { what, r, g: this.#g, triangle: this.#triangle, columns, grid, objective, mask: mask ?? columns }
    const constants = mask && { MASKED: 1 }
    for (let j0 = 0; j0 < p; j0 += BLOCK) {
      const m = Math.min(BLOCK, p - j0)
      gemm(gpu, { a: normalised, b: r, c: this.#g, m, n: q, k: p, lda: p, ldb: q, ldc: q, a0: j0 * p })
      gpu.run1d('quantease_sweep', state, { q, p, j0, most: maxCode(this.bits), relaxed: Number(relaxed) }, q, {
        flops: q * m * SWEEP_FLOPS,
        constants,
      })
      await gpu.pace()
    }
  }

  dispose(): void {
    for (const tensor of [this.r, this.objective, this.normalised, this.#triangle, this.columns, this.#g]) tensor.dispose()
  }
}

/** `iterations` sweeps, relaxed by the paper's schedule when asked; reports f after each, starting from `f0`. */
export async function sweeps(descent: Descent, iterations: number, relax: boolean, { report }: SolverHooks, f0 = 0): Promise<void> {
  const { gpu, weight } = descent.problem
  const history = gpu.zeros([iterations])
  let reported = 0
  for (let t = 0; t < iterations; t++) {
    await descent.sweep(relax && isRelaxed(t, iterations))
    gpu.run('sum', { x: descent.objective, out: history }, { n: weight.cols, index: t }, [1])
    if (report && ((t + 1) % REPORT_EVERY === 0 || t === iterations - 1)) {
      const values = await gpu.read(history)
      report(
        Array.from({ length: t + 1 - reported }, (_, i) => {
          const iteration = reported + i
          // The recurrence only adds differences: rounding may leave it a hair below 0.
          return { iteration, value: Math.max(0, f0 + values[iteration]), relaxed: relax && isRelaxed(iteration, iterations) }
        }),
      )
      reported = t + 1
    }
  }
  history.dispose()
}

/** Per processed column: its group, and Σ_jj as bits. */
function columnTable(layout: Layout, diagonal: Float32Array): Uint32Array<ArrayBuffer> {
  const table = new Uint32Array(layout.order.length * 2)
  const floats = new Float32Array(table.buffer)
  layout.order.forEach((column, i) => {
    table[2 * i] = layout.groupIndex[column]
    floats[2 * i + 1] = diagonal[column]
  })
  return table
}
