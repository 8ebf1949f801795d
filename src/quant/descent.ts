/**
 * Cyclic coordinate descent over the columns of W on f(Ŵ) = tr((W − Ŵ) Σ (W − Ŵ)ᵀ), in blocks of 32 columns, left-looking: a GEMM
 * computes [(W − Ŵ) Σ] for the block, then one kernel processes its columns in order. The iterates are those of the column-by-column
 * algorithm (arXiv 2309.01885, Algorithm 1). Shared by every solver that descends.
 *
 * With column panels of several blocks, one tall GEMM computes the contribution of all columns outside the panel, and each block adds
 * that of its panel: the same operations, most of them in products with enough rows to fill a GPU.
 */
import type { Device } from '../gpu/device.ts'
import { secondsOf } from '../gpu/measure.ts'
import { gatherRows, gemm } from '../gpu/ops.ts'
import { elementsOf, panelPairs, rowsOf } from '../gpu/panels.ts'
import { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { Grid } from './grids/grid.ts'
import { gridOf } from './grids/index.ts'
import { type Layout, layoutOf } from './layout.ts'
import type { ObjectiveReport } from './report.ts'
import { Derived, type LinearProblem } from './solver.ts'

/** Columns per column block; fixed by `lib/walk.wgsl`. */
export const BLOCK = 32
/** Operations per weight of the in-block walk: half a block of updates, and the rounding itself. */
export const SWEEP_FLOPS = BLOCK + 16
/** Iterations between two reports of the objective. */
export const REPORT_EVERY = 5

/** Widths of column panels that are timed on a GPU; a panel of one block means no panels. */
export const PANELS = [BLOCK, 256, 512]
/** Rows and columns of the layer used for timing: 9 GFLOP per sweep. */
const TRIAL = { q: 1024, p: 2048 }

const panels = new WeakMap<Device, number>()

/** Width of the column panels on this device: one block unless `choosePanel` found a faster one. */
export const panelOf = (gpu: Device) => panels.get(gpu) ?? BLOCK

/**
 * Chooses the width of column panels on this device by timing. On a software adapter it stays one block without timing, since there all
 * widths take the same time within a few per cent.
 */
export async function choosePanel(gpu: Device): Promise<number> {
  if (!panels.has(gpu)) panels.set(gpu, gpu.info.kind === 'software' ? BLOCK : await fastestPanel(gpu, TRIAL))
  return panelOf(gpu)
}

/** Float sums depend on the panels, so a job keeps the width that it began with, also on another device. */
export function usePanel(gpu: Device, columns: number): void {
  panels.set(gpu, columns)
}

/** The panel width of the fastest sweep on a random layer with Σ = 1 + noise. */
export async function fastestPanel(gpu: Device, { q, p }: { q: number; p: number }): Promise<number> {
  const noise = (length: number) => Float32Array.from({ length }, () => Math.random() - 0.5)
  const weight = gpu.upload(noise(q * p), [p, q])
  const sigma = noise(p * p)
  for (let j = 0; j < p; j++) sigma[j * p + j] = 1
  const gram = gpu.upload(sigma, [p, p])
  const gramDiagonal = new Float32Array(p).fill(1)
  const derived = new Derived()
  const problem = { gpu, weight, gram, gramDiagonal, derived, halfScales: false }
  const layout = layoutOf(gramDiagonal, -1, false, true)
  const grid = gridOf({ bits: 3, groupSize: -1, symmetric: false, grid: 'minmax' })
  const cells = grid.make(gpu, weight, layout, false)
  const descent = new Descent(problem, layout, cells, grid)
  const times: number[] = []
  for (const panel of PANELS) times.push(await secondsOf(gpu, async () => void (await descent.sweep(false, panel))))
  for (const tensor of [weight, gram, cells, descent.what, descent]) tensor.dispose()
  gpu.trim()
  return PANELS[times.indexOf(Math.min(...times))]
}

/** Work of one sweep. */
export const sweepWork = (q: number, p: number) => 2 * q * p * p + q * p * SWEEP_FLOPS

/** Sweep t (from 0) skips rounding iff t mod 3 = 1, t ≤ 25 and it is not the last. */
export const isRelaxed = (t: number, iterations: number) => t % 3 === 1 && t <= 25 && t !== iterations - 1

/** What a walk over the columns of one block reads and writes; `quantease_sweep.wgsl` gives the shapes. */
export interface Walked {
  what: Tensor
  r: Tensor
  /** G of the block, `[width, q]` or more. */
  g: Tensor
  /** `[p, p]` */
  n: Tensor
  columns: Tensor
  grid: Tensor
  objective: Tensor
  /** Whether every column block is within one group. */
  oneGroup: boolean
  mask?: Tensor
  /** One pass with N = Vᵀ, √D on its diagonal: `objective` adds up D_j (v − β)². */
  sequential?: boolean
  /** `objective` has a second part, which counts the weights that took another value. */
  counted?: boolean
}

/** Position of a walk: column j0 of `what` and `r`, column `at` of `n`, and how many columns, a multiple of 4 up to 32. */
export interface Place {
  j0: number
  at: number
  width: number
}

/** Walks over the columns of one block; relaxed, without a grid, it rounds none of them. */
export function walk(
  gpu: Device,
  { n, mask, oneGroup, sequential, counted, ...state }: Walked,
  { j0, at, width }: Place,
  grid: Grid | null,
): void {
  const [p, q] = [n.rows, state.what.cols]
  const rows = rowsFrom(gpu, n, at, width)
  const place = { q, p, j0, n0: rows.n0, width, most: grid?.most ?? 0, relaxed: Number(!grid) }
  gpu.run1d(grid?.kernel('quantease_sweep') ?? 'quantease_sweep', { ...state, n: rows.n, mask: mask ?? state.columns }, place, q / 4, {
    flops: q * width * SWEEP_FLOPS,
    constants: {
      ONE_GROUP: Number(oneGroup),
      MASKED: Number(Boolean(mask)),
      SEQUENTIAL: Number(Boolean(sequential)),
      COUNTED: Number(Boolean(counted)),
    },
  })
}

/** What a binding needs to hold of `n` `[p, p]` for a walk over `width` columns, and where N[at, at] stands in it. */
export function rowsFrom(gpu: Device, n: Tensor, at: number, width: number): { n: Tensor; n0: number } {
  const { tensor, start } = elementsOf(gpu, n, at * n.cols, (at + width) * n.cols)
  return { n: tensor, n0: at * n.cols + at - start }
}

export class Descent {
  /** Ŵ `[p, q]` in processing order; `dispose` does not free it. */
  readonly what: Tensor
  /** W − Ŵ `[p, q]` in processing order. */
  readonly r: Tensor
  /** Change of f since the start, row by row of W: `[q]`. */
  readonly objective: Tensor
  /** Codes that rounded sweeps changed since the start, row by row: `[q]`. */
  readonly changed: Tensor
  /** Both of them, in one binding. */
  readonly #sums: Tensor
  /** Whether Ŵ is on the grid. */
  #rounded: boolean
  /** Σ in processing order, every row divided by its Σ_jj: `[p, p]`. */
  readonly normalised: Tensor
  /** Group and bits of Σ_jj per processed column: `[p, 2]`. */
  readonly columns: Tensor
  readonly #oneGroup: boolean

  /**
   * Starts from Ŵ = W (infeasible, f = 0), or from `start` `[p, q]` in the original order. Entries whose bit of `mask` is
   * set (`outlier_mask.wgsl`) are never rounded.
   */
  constructor(
    readonly problem: LinearProblem,
    readonly layout: Layout,
    /** `[groups, q, 2]` */
    readonly cells: Tensor,
    readonly grid: Grid,
    start?: Tensor,
    readonly mask?: Tensor,
  ) {
    const { gpu, weight, gram } = problem
    const [p, q] = [weight.rows, weight.cols]
    const order = gpu.upload(layout.order, [p])
    this.normalised = gpu.empty([p, p], 'f32', 'The Gram matrix')
    for (const [from, to] of panelPairs(gpu, gram, this.normalised)) {
      const bindings = { sigma: rowsOf(gram, from), order, n: rowsOf(this.normalised, to) }
      const shape = { p, sigma0: from.first, sigma_rows: from.count, row0: to.first, rows: to.count }
      gpu.run2d('quantease_setup', bindings, shape, [p / 4, to.count])
    }
    this.columns = gpu.upload(columnTable(layout), [p, 2])
    this.#oneGroup = hasWholeBlocks(layout)
    this.what = gatherRows(gpu, start ?? weight, order)
    if (start) {
      this.r = gatherRows(gpu, weight, order)
      gpu.run1d('subtract', { x: this.r, y: this.what }, { n: p * q }, (p * q) / 4)
    } else this.r = gpu.zeros([p, q])
    const second = 64 * Math.ceil(q / 64)
    this.#sums = gpu.zeros([second + q])
    this.objective = this.#sums.view([q])
    this.changed = this.#sums.view([q], second)
    this.#rounded = Boolean(start)
    order.dispose()
  }

  /** Forgets the changes counted so far. */
  restart(): void {
    this.problem.gpu.clear(this.#sums)
  }

  /** One pass over all columns, in panels of `panel` columns, a multiple of 32. Whether what it counts as changed are codes. */
  async sweep(relaxed: boolean, panel = panelOf(this.problem.gpu)): Promise<boolean> {
    const { gpu, weight } = this.problem
    const [p, q] = [weight.rows, weight.cols]
    const { what, r, cells, columns, normalised: n, mask } = this
    const objective = this.#sums
    const g = gpu.empty([Math.min(panel, p), q])
    for (let p0 = 0; p0 < p; p0 += panel) {
      const p1 = Math.min(p0 + panel, p)
      /** G of the columns from .. to takes in R of the columns k0 .. k1. */
      const gather = (from: number, to: number, k0: number, k1: number, beta: number) => {
        const shape = { m: to - from, n: q, k: k1 - k0, lda: p, ldb: q, ldc: q }
        gemm(gpu, { a: n, b: r, c: g, ...shape, a0: from * p + k0, b0: k0 * q, c0: (from - p0) * q, beta })
      }
      // R of the panel changes from block to block; that of all others is as it will be.
      if (panel > BLOCK) {
        if (p0) gather(p0, p1, 0, p0, 0)
        if (p1 < p) gather(p0, p1, p1, p, Number(p0 > 0))
      }
      for (let j0 = p0; j0 < p1; j0 += BLOCK) {
        const j1 = Math.min(j0 + BLOCK, p1)
        if (panel > BLOCK) gather(j0, j1, p0, p1, Number(p1 - p0 < p))
        else gather(j0, j1, 0, p, 0)
        const width = j1 - j0
        const part = g.view([width, q], (j0 - p0) * q)
        const block = { what, r, g: part, n, columns, grid: cells, objective, oneGroup: this.#oneGroup, mask, counted: true }
        walk(gpu, block, { j0, at: j0, width }, relaxed ? null : this.grid)
        await gpu.pace()
      }
    }
    g.dispose()
    const began = this.#rounded
    this.#rounded = !relaxed
    return began && !relaxed
  }

  dispose(): void {
    for (const tensor of [this.r, this.#sums, this.normalised, this.columns]) tensor.dispose()
  }
}

/**
 * `iterations` sweeps, relaxed by the paper's schedule when asked; `report` receives f after each, starting from `f0`, and the codes that
 * it changed. Does not wait for the GPU. Returns what the last one changed, when it began and ended on the grid.
 */
export async function sweeps(
  descent: Descent,
  iterations: number,
  relax: boolean,
  report?: ObjectiveReport,
  f0: Reading<number> = Reading.of(0),
): Promise<{ changed: Reading<number | undefined> }> {
  const { gpu, weight } = descent.problem
  const [history, changes] = [gpu.zeros([iterations]), gpu.zeros([iterations])]
  const counts: boolean[] = []
  let reported = 0
  for (let t = 0; t < iterations; t++) {
    counts.push(await descent.sweep(relax && isRelaxed(t, iterations)))
    gpu.run('sum', { x: descent.objective, out: history }, { n: weight.cols, index: t }, [1])
    gpu.run('sum', { x: descent.changed, out: changes }, { n: weight.cols, index: t }, [1])
    if (report?.wanted && ((t + 1) % REPORT_EVERY === 0 || t === iterations - 1)) {
      const since = Array.from({ length: t + 1 - reported }, (_, i) => reported + i)
      report.add(
        Reading.all([gpu.read(history), gpu.read(changes), f0]).map(([values, changed, start]) =>
          // The recurrence only adds differences, so rounding may leave it slightly below 0.
          since.map((iteration) => ({
            iteration,
            value: Math.max(0, start + values[iteration]),
            relaxed: relax && isRelaxed(iteration, iterations),
            ...(counts[iteration] && { changed: changed[iteration] - (changed[iteration - 1] ?? 0) }),
          })),
        ),
      )
      reported = t + 1
    }
  }
  const changed = gpu.read(changes).map((all) => (counts.at(-1) ? all.at(-1)! - (all.at(-2) ?? 0) : undefined))
  for (const tensor of [history, changes]) tensor.dispose()
  return { changed }
}

/** Per processed column: its group, and Σ_jj as bits; `[p, 2]` */
export function columnTable({ order, groupIndex, diagonal }: Layout): Uint32Array<ArrayBuffer> {
  const table = new Uint32Array(order.length * 2)
  const floats = new Float32Array(table.buffer)
  order.forEach((column, i) => {
    table[2 * i] = groupIndex[column]
    floats[2 * i + 1] = diagonal[column]
  })
  return table
}

/** Whether every column block is within one group: always, except for act-order with static groups. */
export function hasWholeBlocks({ order, groupIndex }: Layout): boolean {
  return order.every((column, i) => groupIndex[column] === groupIndex[order[i - (i % BLOCK)]])
}
