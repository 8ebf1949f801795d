/**
 * What stands in front of a solver: damping, and a target other than W. With X the inputs in the full-precision model, X̃ those that the
 * linear really gets, E = X − X̃ and Σ̃ = X̃X̃ᵀ, it asks for the Ŵ with the least
 *   ‖ŴX̃ − (WX̃ + αWE)‖² + λ‖Ŵ − W‖²
 * which, up to a constant, is ‖(T − Ŵ) (Σ̃ + λI)^½‖² with T = W + α W E X̃ᵀ (Σ̃ + λI)⁻¹. So every solver works as it does on W and Σ, with
 * T and Σ̃ + λI in their place. α = 0 asks for the outputs of W on the inputs as they are, α = 1 for the full-precision outputs (GPTAQ,
 * arXiv 2504.02692); full strength overfits the calibration text (CoreQ, arXiv 2602.05902).
 */
import type { Device } from '../gpu/device.ts'
import { factorWork, solveFactored, solveFactoredWork } from '../gpu/linalg.ts'
import { add, addDiagonal, diagonalOf, dot, matmul, putDiagonal, scale } from '../gpu/ops.ts'
import { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { Aim } from './aim.ts'
import { factor } from './gptq.ts'
import { objective } from './rounding.ts'
import { Derived, type LinearProblem } from './solver.ts'

/** Sums over the inputs of a stage. */
export interface InputSums {
  /** Σ̃ = X̃X̃ᵀ, `[p, p]` */
  gram: Tensor
  /** X̃Eᵀ, `[p, p]`, where the full-precision inputs are known. */
  cross: Tensor | null
  /** EEᵀ, `[p, p]`, where outputs are to be compared with those of the full-precision model. */
  drift: Tensor | null
}

/** Floating-point operations of `aimed` for a linear `[q, p]`, and what linears with the same inputs share. */
export const targetWork = (q: number, p: number) => 2 * q * p * p + solveFactoredWork(q, p)
export const sharedTargetWork = factorWork

const meanOf = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / values.length

/** What solvers derive from Σ̃ + λI. */
interface Damped {
  ridge: number
  gramDiagonal: Float32Array
  derived: Derived
  dispose(): void
}

function damped({ gramDiagonal, derived }: LinearProblem, damping: number): Promise<Damped> {
  return derived.get(`damped ${damping}`, () => {
    const ridge = damping * meanOf(gramDiagonal)
    const ofOwn = new Derived()
    return { ridge, gramDiagonal: gramDiagonal.map((value) => value + ridge), derived: ofOwn, dispose: () => ofOwn.dispose() }
  })
}

/** Σ̃ becomes Σ̃ + λI in place, a copy being as large as it; the returned function makes it what it was, to the bit. */
function raise({ gpu, gram }: LinearProblem, ridge: number): () => void {
  const before = gpu.empty([gram.rows])
  diagonalOf(gpu, gram, before)
  addDiagonal(gpu, gram, ridge)
  return () => {
    putDiagonal(gpu, gram, before)
    before.dispose()
  }
}

/** Least damping of the inverse in the target, which is a float32 factorization. */
const LEAST_DAMPING = 1e-4

/** T `[p, q]` of a problem's weight, or null where Σ̃ cannot be factored, and why. */
async function targetOf(
  problem: LinearProblem,
  sums: Pick<InputSums, 'cross'>,
  { damping, alpha }: Aim,
  shelf?: Shelf,
): Promise<{ target: Tensor | null; trouble: string[] }> {
  const { gpu, weight, gramDiagonal } = problem
  const order = Uint32Array.from(gramDiagonal, (_, j) => j)
  const mean = meanOf(gramDiagonal)
  if (!(mean > 0)) return { target: null, trouble: [] }
  const diagonal = (share: number) => Float64Array.from(gramDiagonal, (value) => value + share * mean)
  const made = await factor(problem, order, diagonal, Math.max(LEAST_DAMPING, damping), 'The target')
  const { vt, trouble } = made
  if (!vt) return { target: null, trouble: ['The Gram matrix cannot be factored, so the target is the original one.'] }
  await shelf?.fetch('cross')
  const target = matmul(gpu, sums.cross!, weight)
  await shelf?.shelve('gram')
  await solveFactored(gpu, vt, target)
  if (problem.last) problem.derived.drop(made)
  const strength = gpu.upload(new Float32Array(weight.rows).fill(alpha), [weight.rows])
  scale(gpu, target, { rows: strength })
  strength.dispose()
  add(gpu, target, weight)
  return { target, trouble }
}

/**
 * The problem with T and Σ̃ + λI in the place of W and Σ̃; itself where nothing is asked for. Until it is disposed, Σ̃ is damped itself.
 * What it makes besides T belongs to `problem.derived`. `damps`: as in `AskedAim`. `shelf`: has what `sums` are, and brings the cross
 * products once Σ̃ is factored.
 */
export async function aimed(
  problem: LinearProblem,
  sums: Pick<InputSums, 'cross'> | null,
  aim: Aim,
  damps: boolean,
  shelf?: Shelf,
): Promise<{ problem: LinearProblem; trouble: string[]; dispose(): void }> {
  const { target, trouble } = aim.alpha && sums?.cross ? await targetOf(problem, sums, aim, shelf) : { target: null, trouble: [] }
  const own = aim.damping && damps ? await damped(problem, aim.damping) : null
  const { gramDiagonal, derived } = own ?? problem
  const restore = own && raise(problem, own.ridge)
  return {
    problem: { ...problem, weight: target ?? problem.weight, gramDiagonal, derived },
    trouble,
    dispose: () => {
      restore?.()
      target?.dispose()
    },
  }
}

/**
 * Of each Ŵ of some, ‖WX − ŴX̃‖² where the full-precision inputs are known, else ‖(W − Ŵ)X̃‖². `weight`, `whats`: `[p, q]`. `shelf`: has
 * the sums, which are those of held-out windows, brought one after another.
 */
export async function outputLosses(
  gpu: Device,
  weight: Tensor,
  whats: Tensor[],
  sums: InputSums,
  shelf?: Shelf,
): Promise<Reading<number>[]> {
  const bring = async (part: SumsPart) => {
    await shelf?.shelve(part)
    await shelf?.fetch(part)
  }
  const ofEach = (judge: (d: Tensor) => Reading<number>) =>
    whats.map((what) => {
      const d = gpu.empty(weight.shape)
      gpu.copy(weight, d)
      gpu.run1d('subtract', { x: d, y: what }, { n: d.size }, d.size / 4)
      const value = judge(d)
      d.dispose()
      return value
    })
  await bring('heldOut.gram')
  const own = ofEach((d) => objective(gpu, d, sums.gram))
  if (sums.cross) await bring('heldOut.cross')
  const moved = sums.cross && matmul(gpu, sums.cross, weight)
  const mixed = moved ? ofEach((d) => dot(gpu, moved, d)) : []
  moved?.dispose()
  if (sums.drift) await bring('heldOut.drift')
  const still = sums.drift ? objective(gpu, weight, sums.drift) : Reading.of(0)
  return own.map((one, i) => Reading.all([one, mixed.at(i) ?? Reading.of(0), still]).map(([a, b, c]) => a + 2 * b + c))
}

/** Sums of a stage, or those over its held-out windows, all or one. */
export type SumsPart = 'gram' | 'cross' | 'heldOut' | `heldOut.${'gram' | 'cross' | 'drift'}`

/** Large sums wait on the host: `shelve` moves all there but some, `fetch` brings some back. */
export interface Shelf {
  shelve(...keeping: SumsPart[]): Promise<void>
  fetch(...parts: SumsPart[]): Promise<void>
}
