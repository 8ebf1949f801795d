/**
 * The search of QuantEase+: rows are independent given Σ, so the best Ŵ and grid so far are kept row by row, whatever candidates come.
 *
 * Candidates come from a GPTQ pass for every multiple of a row's scale (half a product with Σ each, and their objective without another),
 * and from sweeps. With P = W Σ, one product for all, a row's best common multiple of its scales is known for every candidate
 * (plus_judge.wgsl), so passes are compared by what their codes can become, and grids are refitted by it without a product.
 */
import type { Device } from '../gpu/device.ts'
import { gatherRows, matmul } from '../gpu/ops.ts'
import { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { Descent, sweeps } from './descent.ts'
import { Pass } from './gptq.ts'
import type { Grid } from './grids/grid.ts'
import type { Layout } from './layout.ts'
import type { Support } from './outliers.ts'
import type { LinearProblem, Outliers } from './solver.ts'

/** Elements of Ŵ of all candidates that are computed together. */
const BATCH = 2 ** 24
/** Columns whose errors one product of a pass collects. */
const PASS_BLOCK = 128

/** Vᵀ of Σ + λI in the order of a layout; λ is `lambda`. */
export interface Feedback {
  layout: Layout
  vt: Tensor
  lambda: number
}

/** Candidates side by side: `copies` for every row. */
interface Candidates {
  layout: Layout
  /** Ŵ, and W − Ŵ `[p, copies · q]` in processing order */
  what: Tensor
  r: Tensor
  /** `[groups, copies · q, 2]` */
  cells: Tensor
  /** `[copies · q]` */
  objective: Tensor
  copies: number
}

/** What all searches in one linear share. */
export interface Task {
  problem: LinearProblem
  grid: Grid
  support: Support | null
  /** W Σ `[p, q]`; null with outliers, whose rows are not proportional to their scales. */
  product: Tensor | null
}

/** W Σ `[p, q]` */
export const weightTimesGram = ({ gpu, weight, gram }: LinearProblem) => matmul(gpu, gram, weight)

/** The best Ŵ (outliers included) and grid of every row so far. */
export class Best {
  /** `[p, q]` in the original order of the inputs */
  readonly what: Tensor
  /** What is compared, the objective, and the best common multiple of its scales, of every row: `[q, 4]` */
  #rows: Tensor

  /** Takes over nothing: `cells` `[groups, q, 2]`, where the search begins, stays the caller's, and is written to. */
  constructor(
    readonly task: Task,
    readonly cells: Tensor,
  ) {
    const { gpu, weight } = task.problem
    this.what = gpu.empty(weight.shape)
    const none = Float32Array.of(3e38, 3e38, 1, 0)
    this.#rows = gpu.upload(
      Float32Array.from({ length: 4 * weight.cols }, (_, i) => none[i & 3]),
      [weight.cols, 4],
    )
  }

  /** A new search from this one's grid. */
  again(): Best {
    const { gpu } = this.task.problem
    const cells = gpu.empty(this.cells.shape)
    gpu.copy(this.cells, cells)
    return new Best(this.task, cells)
  }

  /** Objective of the layer, summed in float64. */
  objective(): Reading<number> {
    const rows = this.task.problem.gpu.read(this.#rows) as Reading<Float32Array>
    return rows.map((values) => values.reduce((sum, value, i) => (i % 4 === 1 ? sum + value : sum), 0))
  }

  /** A pass over the columns for every multiple of the scales, compared by what their codes promise. */
  async starts({ layout, vt, lambda }: Feedback, multiples: number[]): Promise<void> {
    const { problem, grid } = this.task
    const { gpu, weight, halfScales } = problem
    const [p, q] = [weight.rows, weight.cols]
    const around = this.#rescaled()
    const order = gpu.upload(layout.order, [p])
    // Together the candidates are one tall matrix, which fills a GPU that the few rows of a layer would not.
    const most = Math.max(1, Math.floor(Math.min(BATCH, gpu.info.maxBinding / 4) / (p * q)))
    const together = Math.ceil(multiples.length / Math.ceil(multiples.length / most))
    for (let first = 0; first < multiples.length; first += together) {
      const some = multiples.slice(first, first + together)
      const copies = some.length
      const what = repeated(gpu, gatherRows(gpu, weight, order), copies)
      const cells = grid.multiples(gpu, around, some, halfScales)
      const mask = this.#mask(layout, copies)
      const pass = new Pass(gpu, layout, what, vt, PASS_BLOCK)
      await pass.round(cells, grid, { mask })
      const candidates = { layout, what, r: pass.r, cells, objective: pass.loss, copies }
      this.#keep(candidates, { lambda })
      for (const tensor of [what, cells, mask, pass.r, pass]) tensor?.dispose()
    }
    for (const tensor of [around, order]) tensor.dispose()
  }

  /**
   * Sweeps from the best so far, on its grid refitted to its codes; `exactly`: each group for itself, by a product with Σ. Returns how
   * many codes the last sweep changed, where that is known.
   */
  async descend(layout: Layout, iterations: number, relax: boolean, exactly: boolean): Promise<{ changed: Reading<number | undefined> }> {
    const { problem, grid } = this.task
    const cells = exactly ? await this.#refitted(layout) : this.#rescaled()
    // Ŵ is a little off the new grid; the first sweep rounds it, and counts from the error that Ŵ has.
    const mask = this.#mask(layout, 1)
    const descent = new Descent(problem, layout, cells, grid, this.what, mask)
    const { changed } = await sweeps(descent, iterations, relax)
    this.#keep({ layout, what: descent.what, r: descent.r, cells, objective: descent.objective, copies: 1 }, null)
    for (const tensor of [cells, descent.what, mask, descent]) tensor?.dispose()
    // One sweep rounded it to a grid that is not its own.
    return { changed: iterations > 1 ? changed : Reading.of(undefined) }
  }

  /** Takes over the rows that are better in `other`. `layout` is that of the original order. */
  take(other: Best, layout: Layout): void {
    this.#replace({ layout, what: other.what, cells: other.cells, copies: 1 }, other.#rows, false)
  }

  /** The cells with the scales of each row times their best common multiple. */
  #rescaled(): Tensor {
    const { gpu, halfScales } = this.task.problem
    return this.task.grid.rescaled(gpu, this.cells, this.#rows, halfScales)
  }

  /** The cells with the scales fitted to the codes by least squares. */
  async #refitted(layout: Layout): Promise<Tensor> {
    const { what, cells } = this
    const { problem, support, grid } = this.task
    const { gpu, weight, gram, halfScales } = problem
    const rest = difference(gpu, weight, what)
    const rounded = support ? gpu.empty(what.shape) : what
    if (support) gpu.run1d('plus_unmask', { x: what, h: support.h, y: rounded }, { n: what.size }, what.size)
    const refitted = await grid.refit({ gpu, gram, what: rounded, rest, halfScales }, cells, layout)
    rest.dispose()
    if (support) rounded.dispose()
    return refitted
  }

  /**
   * Takes over the rows in which one of the candidates is better: of a pass by what its codes promise, of sweeps by the objective, which
   * `Descent` counts from that of the best so far.
   */
  #keep(candidates: Candidates, pass: { lambda: number } | null): void {
    const { problem, product } = this.task
    const { gpu, weight } = problem
    const { layout, r, objective, copies } = candidates
    const [p, q] = [weight.rows, weight.cols]
    const order = gpu.upload(layout.order, [p])
    const judged = gpu.empty([copies * q, 4])
    const bindings = { r, order, w: weight, product: product ?? weight, objective, base: this.#rows, judged }
    const params = { q, p, copies, lambda: pass?.lambda ?? 0, continues: Number(!pass) }
    gpu.run1d('plus_judge', bindings, params, copies * q, { constants: { SCALES: Number(Boolean(product)) }, flops: 8 * p * copies * q })
    order.dispose()
    this.#replace(candidates, judged, Boolean(pass))
    judged.dispose()
  }

  #replace(
    { layout, what: fresh, cells: candidates, copies }: Omit<Candidates, 'r' | 'objective'>,
    judged: Tensor,
    promise: boolean,
  ): void {
    const { what, cells } = this
    const { gpu } = this.task.problem
    const [p, q] = [what.rows, what.cols]
    const order = gpu.upload(layout.order, [p])
    const next = gpu.empty([q, 4])
    const bindings = { fresh, order, candidates, judged, best: this.#rows, next, what, grid: cells }
    gpu.run1d('plus_keep', bindings, { q, p, groups: layout.groups, copies, promise: Number(promise) }, p * q)
    this.#rows.dispose()
    this.#rows = next
    order.dispose()
  }

  /** The bits that sweeps and passes take for weights that are not rounded, once per candidate. */
  #mask({ order }: Layout, copies: number): Tensor | undefined {
    const { problem, support } = this.task
    if (!support) return undefined
    const { gpu } = problem
    const [p, q] = [support.h.rows, copies * support.h.cols]
    const places = gpu.upload(order, [p])
    const tall = repeated(gpu, gatherRows(gpu, support.h, places), copies)
    const words = Math.ceil(q / 32)
    const mask = gpu.empty([p, words], 'u32')
    gpu.run1d('outlier_mask', { h: tall, mask }, { q, p, words }, p * words)
    for (const tensor of [places, tall]) tensor.dispose()
    return mask
  }

  /** The values of the outliers. `layout` is that of the original order. */
  outliers(layout: Layout): Outliers | null {
    const { cells } = this
    const { problem, support, grid } = this.task
    const mask = this.#mask(layout, 1)
    if (!support || !mask) return null
    const { gpu } = problem
    const [p, q] = [support.h.rows, support.h.cols]
    const h = gpu.empty([p, q])
    const columns = gpu.upload(
      Uint32Array.from({ length: 2 * p }, (_, i) => (i & 1 ? 0 : layout.groupIndex[i >> 1])),
      [p, 2],
    )
    const words = Math.ceil(q / 32)
    const bindings = { v: this.what, mask, columns, grid: cells, h }
    gpu.run1d(grid.kernel('outlier_split'), bindings, { q, p, words, most: grid.most }, q * p)
    for (const tensor of [mask, columns]) tensor.dispose()
    return { h, count: support.count, kind: support.kind }
  }

  /** Frees all but the cells. */
  dispose(): void {
    this.what.dispose()
    this.#rows.dispose()
  }
}

/** Copies of x `[p, q]` side by side, in its place: `[p, copies · q]`. */
function repeated(gpu: Device, x: Tensor, copies: number): Tensor {
  if (copies === 1) return x
  const [p, q] = [x.rows, x.cols]
  const y = gpu.empty([p, copies * q])
  gpu.run1d('plus_repeat', { x, y }, { q, p, copies }, y.size)
  x.dispose()
  return y
}

/** x − y */
function difference(gpu: Device, x: Tensor, y: Tensor): Tensor {
  const out = gpu.empty(x.shape)
  gpu.copy(x, out)
  gpu.run1d('subtract', { x: out, y }, { n: x.size }, x.size / 4)
  return out
}
