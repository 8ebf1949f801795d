/**
 * The interface of an algorithm: a function from one linear's weights and Gram matrix to a quantized linear, with a label and typed
 * options. No model, no files, no progress display.
 */
import type { Grid } from './grids/grid.ts'
import { gridKinds } from './grids/index.ts'
import { type OptionSpec, type Options, type OptionsOf, type SolverInfo, choices } from '../options.ts'
import type { Device } from '../gpu/device.ts'
import type { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'

/** Whether a Σ is so large that what is not needed of it at the moment should not take room: 32 MiB, or less where there is little. */
export const isLarge = ({ memoryBudget }: Pick<Device, 'memoryBudget'>, p: number) => 4 * p * p >= Math.min(2 ** 25, memoryBudget / 64)

/** Whether several matrices of the size of a Σ are too much at once: four of them would take more than half of the memory. */
export const isTight = ({ memoryBudget }: Pick<Device, 'memoryBudget'>, p: number) => 32 * p * p > memoryBudget

export interface LinearProblem {
  gpu: Device
  /** W transposed, `[p, q]` = [in, out], f32. Not modified. */
  weight: Tensor
  /** Σ = X Xᵀ, `[p, p]`, f32, symmetric. */
  gram: Tensor
  /** diag Σ on the host, `[p]`. */
  gramDiagonal: Float32Array
  /** Values already derived from this Σ; owned by the owner of Σ. */
  derived: Derived
  /** Round scales to float16, as checkpoints store them, before anything is rounded to them. */
  halfScales: boolean
  /** No other linear with this Σ is solved after it: what only it needs of `derived` may be given up on the way. */
  last?: boolean
  /** A query or key projection: errors of its outputs are multiplied in the attention scores. */
  scoring?: boolean
}

/** Cache of values that solvers derive from one Σ, freed with it; shared by the linears with the same input. */
export class Derived {
  readonly #kept = new Map<string, { dispose(): void }>()

  /** The cached value of this name, or else the result of `make`; the caller must not dispose it. */
  async get<T extends { dispose(): void }>(name: string, make: () => T | Promise<T>): Promise<T> {
    const kept = this.#kept.get(name) ?? (await make())
    this.#kept.set(name, kept)
    return kept as T
  }

  /** Disposes one of the values before the others. */
  drop(value: { dispose(): void }): void {
    for (const [name, kept] of this.#kept) if (kept === value) this.#kept.delete(name)
    value.dispose()
  }

  dispose(): void {
    for (const kept of this.#kept.values()) kept.dispose()
    this.#kept.clear()
  }
}

/** Linears with the same input, before any linear of their block is solved. */
export interface StageProblem {
  gpu: Device
  /** W transposed of each linear, `[p, q]`, f32. Not modified. */
  weights: Tensor[]
  /** Σ `[p, p]` */
  gram: Tensor
  /** Mean |x_j| of each input. `[p]` */
  meanAbs: Float32Array
  halfScales: boolean
}

/** Rescales a block, without changing its output, before anything of it is rounded. */
export interface Transform<O = Options> {
  /**
   * Scales c of a stage's inputs, all above 0: its linears become W diag(c), and the preceding norm or linear is divided by c. Requested
   * for all stages of a block before the first is solved, and awaited together; in full precision the block's output does not change.
   */
  scales(stage: StageProblem, options: O): Promise<{ scales: Reading<Float32Array<ArrayBuffer>> }>
  /** Floating-point operations of `scales` for one linear `[q, p]`. */
  work(q: number, p: number, options: O): number
}

export interface SolverHooks {
  /** Objective after some iterations, in their order, each f(Ŵ) = tr((W−Ŵ) Σ (W−Ŵ)ᵀ). */
  report?: (points: ObjectivePoint[]) => void | PromiseLike<void>
}

export interface ObjectivePoint {
  iteration: number
  value: number
  relaxed: boolean
  /** Codes that the last sweep changed, where it began and ended on the grid. */
  changed?: number
}

/** The outliers H of a result; the weight used is Ŵ + H. */
export interface Outliers {
  /** H `[p, q]` f32, 0 elsewhere; float16 numbers where scales are. In the original order of the inputs. */
  h: Tensor
  /** Entries or whole columns (inputs) kept, as they are stored; a number found on the GPU is read with the result. */
  count: number | Reading<number>
  kind: OutlierKind
}

export type OutlierKind = 'entries' | 'columns'

/** Codes on a grid, still on the GPU. All in the original order of the inputs. */
export interface QuantizedLinear {
  /** `[p, q]` u32 */
  codes: Tensor
  /** Ŵ = scale · (code − zero), `[p, q]` f32: exactly what the codes stand for. */
  what: Tensor
  /** (scale, zero) `[groups, q, 2]` f32 */
  grid: Tensor
  groupSize: number
  groups: number
  /** `[p]`, group of each input. */
  groupIndex: Int32Array
  /** Kept separate from `what`, which is on the grid. */
  outliers?: Outliers | null
  /** ‖(W−Ŵ−H)X‖² */
  error: Reading<number>
  iterations: number
  /** Complete once the error is read. */
  notes: string[]
}

/** `O`: its options by key. The engine knows solvers by `Options`; `defineSolver` gives each one its own type. */
export interface Solver<O = Options> extends SolverInfo {
  /** The grid for these options. */
  gridOf(options: O): Grid
  /** Floating-point operations to solve one linear `[q, p]`, for estimates and progress. */
  work(q: number, p: number, options: O): number
  /** The part of it that is done once for all linears with the same Σ `[p, p]`. */
  sharedWork?(p: number, options: O): number
  /**
   * Products of a linear with its Σ, 2 q p² operations each, that `solve` takes, or a factor of Σ in its place (half a product): most of
   * its work on a large linear. Missing: none.
   */
  products?(options: O): number
  /** Number of sweeps that `solve` reports; missing: none. */
  sweeps?(options: O): number
  /** Outliers that a linear `[q, p]` will keep, for sizes and for the choice of a checkpoint format; null = none. */
  outliers?(q: number, p: number, options: O): { count: number; kind: OutlierKind } | null
  /** Runs before `solve`, block by block; such a solver is never true-sequential within a block. */
  transform?: Transform<O>
  solve(problem: LinearProblem, options: O, hooks: SolverHooks): Promise<QuantizedLinear>
}

/** A solver typed by the options that it declares; callers check options against `specs` first. */
export function defineSolver<const Specs extends readonly OptionSpec[]>(
  solver: Omit<Solver<OptionsOf<Specs>>, 'options'> & { options: Specs },
): Solver {
  return solver as unknown as Solver
}

/** Frees what the GPU holds of a result. */
export function disposeQuantized(result: QuantizedLinear): void {
  for (const tensor of [result.codes, result.what, result.grid, result.outliers?.h]) tensor?.dispose()
}

/** Options of every method that rounds to a grid. */
export const gridOptions = [
  {
    key: 'kind',
    perLinear: true,
    flag: 'type',
    label: 'Type',
    type: 'choice',
    default: 'uniform',
    choices: gridKinds.flatMap(({ id, label, fixed }) =>
      label === undefined ? [] : [{ value: id, label, ...(fixed && { fixes: { ...fixed, staticGroups: true } }) }],
    ),
    help: 'What weights are rounded to: integers times a scale (uniform), the same above a minimum of any value (affine; GGUF and MLX), or a type of GGUF, which has its own bits and groups; MXFP4 and NVFP4 are types of compressed-tensors too.',
    cost: 'The types of GGUF cannot be stored in other formats, but for these two, or as plain weights.',
  },
  {
    key: 'bits',
    perLinear: true,
    flag: 'wbits',
    label: 'Bits',
    type: 'choice',
    default: 3,
    choices: choices([2, 3, 4, 8]),
    help: 'Bits per weight.',
    cost: 'Fewer bits: a smaller file and a larger error.',
    symbol: 'b',
  },
  {
    key: 'groupSize',
    perLinear: true,
    flag: 'groupsize',
    label: 'Group size',
    type: 'choice',
    default: -1,
    choices: choices([-1, 32, 64, 128], (value) => (value === -1 ? 'full row' : String(value))),
    help: 'How many weights of a row share one scale and zero point.',
    cost: 'Smaller groups: a smaller error and more bits (16 + b per group).',
    symbol: 'g',
  },
  {
    key: 'symmetric',
    perLinear: true,
    flag: 'sym',
    label: 'Symmetric grid',
    type: 'bool',
    default: false,
    help: 'Centre the grid on zero, so that no zero point has to be stored.',
    cost: 'Loads in more runtimes; usually a larger error.',
  },
  {
    key: 'grid',
    perLinear: true,
    flag: 'grid',
    label: 'Grid',
    type: 'choice',
    default: 'minmax',
    choices: choices(['minmax', 'mse', 'weighted']),
    help: 'Let the grid span the extreme weights (minmax), or shrink it to the smallest error of the weights (mse) or of the weights weighted by their inputs (weighted).',
    cost: 'No extra time for minmax; 80 or 289 roundings of the weights for the others, less than one sweep on a large layer.',
    advanced: true,
  },
] as const satisfies readonly OptionSpec[]
