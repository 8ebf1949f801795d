/**
 * What an algorithm is to the engine: a function from one linear's weights and Gram matrix to a quantized linear, with a
 * label and typed options on it. No model, no files, no progress bar.
 */
import type { OptionSpec, Options, SolverInfo } from '../options.ts'
import type { Gpu } from '../gpu/device.ts'
import type { Tensor } from '../gpu/tensor.ts'

export interface LinearProblem {
  gpu: Gpu
  /** W transposed, `[p, q]` = [in, out], f32. Left as it is. */
  weight: Tensor
  /** Σ = X Xᵀ, `[p, p]`, f32, symmetric. */
  gram: Tensor
  /** diag Σ on the host, `[p]`. */
  gramDiagonal: Float32Array
  /** Round scales to float16, as checkpoints store them, before anything is rounded to them. */
  halfScales: boolean
}

export interface SolverHooks {
  /** Objective after iterations `from ..`, each f(Ŵ) = tr((W−Ŵ) Σ (W−Ŵ)ᵀ). */
  report?: (points: { iteration: number; value: number; relaxed: boolean }[]) => void
}

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
  /** ‖(W−Ŵ)X‖² */
  error: number
  iterations: number
  notes: string[]
}

export interface Solver extends SolverInfo {
  /** Floating-point operations to solve one linear `[q, p]`, for estimates and progress. */
  work(q: number, p: number, options: Options): number
  solve(problem: LinearProblem, options: Options, hooks: SolverHooks): Promise<QuantizedLinear>
}

/** Frees what the GPU holds of a result. */
export function disposeQuantized(result: QuantizedLinear): void {
  for (const tensor of [result.codes, result.what, result.grid]) tensor.dispose()
}

const choices = (values: number[], label: (value: number) => string = String) => values.map((value) => ({ value, label: label(value) }))

/** Options of every method that rounds to a uniform grid. */
export const gridOptions: OptionSpec[] = [
  {
    key: 'bits',
    flag: 'wbits',
    label: 'Bits',
    type: 'choice',
    default: 3,
    choices: choices([2, 3, 4, 8]),
    help: 'How many bits each weight keeps.',
    cost: 'Fewer bits: a smaller file and a larger error.',
    symbol: 'b',
  },
  {
    key: 'groupSize',
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
    flag: 'sym',
    label: 'Symmetric grid',
    type: 'bool',
    default: false,
    help: 'Centre the grid on zero, so that no zero point has to be stored.',
    cost: 'Loads in more runtimes; usually a larger error.',
  },
  {
    key: 'mse',
    flag: 'mse',
    label: 'Search the range (MSE)',
    type: 'bool',
    default: false,
    help: 'Shrink each range to where rounding hurts least, instead of spanning the extremes.',
    cost: '80 roundings of the weights; seconds on large layers.',
    advanced: true,
  },
]

/** Typed view of `gridOptions`. */
export interface GridOptions {
  bits: 2 | 3 | 4 | 8
  groupSize: number
  symmetric: boolean
  mse: boolean
}

/** Work of `makeGrid` and `finish`. */
export const gridWork = (q: number, p: number, options: Options) => q * p * (options.mse ? 480 * 4 : 4) + 2 * q * p * p

/** Largest code. */
export const maxCode = (bits: number) => 2 ** bits - 1
