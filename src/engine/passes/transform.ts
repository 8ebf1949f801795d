/**
 * Folds the scales of a solver's transform into a block before any of it is rounded: a stage's linears become W diag(c),
 * and the norm or the linear before them is divided by c, so that the block puts out what it did before. Weights stay as they are
 * stored until one is needed (`foldedWeight`), for in f32 they would take twice the room.
 */
import { vectorsOf } from '../plan/folded.ts'
import type { Device } from '../../gpu/device.ts'
import { inFloats, scale } from '../../gpu/ops.ts'
import { Reading } from '../../gpu/reading.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../io/half.ts'
import type { Before, BlockWeights, LinearShape, BlockLayout } from '../../models/family.ts'

/** The vectors that will change, on the host: read in one wait. */
async function readVectors(
  gpu: Device,
  { before, vectors }: Pick<BlockLayout, 'before' | 'vectors'>,
  weights: BlockWeights,
  scales: readonly unknown[],
): Promise<Map<string, Float32Array>> {
  const names = before.flatMap((one, stage) => (scales[stage] && one.kind !== 'none' ? vectorsOf(one.name, vectors) : []))
  const values = await Reading.all(names.map((name) => gpu.read(weights.get(name)!) as Reading<Float32Array>))
  return new Map(names.map((name, i) => [name, values[i]]))
}

/** By what the rows and the columns of a weight `[p, q]` are multiplied. */
export interface Fold {
  rows?: Tensor
  cols?: Tensor
  /** What that divides the outputs by, `[q]`: to measure them as they were. */
  outputs?: Tensor
}

export interface Folded {
  /** Norm weights and biases that changed, by their name inside the block, as the checkpoint stores them. */
  vectors: Map<string, Uint8Array>
  /** Of linears, by name. The tensors are the caller's. */
  folds: Map<string, Fold>
}

/** A weight `[p, q]` as stored, in f32 and with its fold: a tensor of the caller's. */
export function foldedWeight(gpu: Device, weight: Tensor, { rows, cols }: Fold): Tensor {
  const wide = inFloats(gpu, weight)
  const own = wide === weight ? gpu.empty(weight.shape) : wide
  if (wide === weight) gpu.copy(weight, own)
  if (rows) scale(gpu, own, { rows })
  if (cols) scale(gpu, own, { cols })
  return own
}

export function disposeFolds(folds: ReadonlyMap<string, Fold>): void {
  for (const { rows, cols, outputs } of folds.values()) for (const tensor of [rows, cols, outputs]) tensor?.dispose()
}

/**
 * Applies `scales`, one per stage or null, to the vectors in `weights` (those that change are replaced by new tensors), and says what becomes
 * of the linears. `stored` tells the dtype of a vector; `rescale` multiplies the inputs of a stage in its sums by `[p]`.
 */
export async function fold(
  gpu: Device,
  layout: Pick<BlockLayout, 'stages' | 'before' | 'vectors'>,
  weights: BlockWeights,
  scales: (Float32Array<ArrayBuffer> | null)[],
  stored: (vector: string) => string,
  rescale: (stage: number, by: Tensor) => Promise<void>,
): Promise<Folded> {
  const folding = new Folding(gpu, weights)
  const values = await readVectors(gpu, layout, weights, scales)
  for (const [stage, wanted] of scales.entries()) {
    const before = layout.before[stage]
    if (!wanted || before.kind === 'none') continue
    const taking = vectorsOf(before.name, layout.vectors).map((name): StoredVector => {
      const { plus = 0 } = layout.vectors.find((vector) => vector.name === name)!
      return { name, values: values.get(name)!, dtype: stored(name), plus }
    })
    const over = folding.stage(layout.stages[stage], before, wanted, taking)
    await rescale(stage, over)
    over.dispose()
    await gpu.pace()
  }
  return folding
}

/** A block on its way to other scales. */
class Folding implements Folded {
  readonly vectors = new Map<string, Uint8Array>()
  readonly folds = new Map<string, Fold>()

  constructor(
    readonly gpu: Device,
    readonly weights: BlockWeights,
  ) {}

  /**
   * Gives a stage's inputs the scales `wanted`, or what the vectors before it, `taking`, can stand for; returns what that multiplies
   * the inputs by.
   */
  stage(
    linears: LinearShape[],
    before: Exclude<Before, { kind: 'none' }>,
    wanted: Float32Array<ArrayBuffer>,
    taking: StoredVector[],
  ): Tensor {
    const { gpu } = this
    const length = before.kind === 'linear' ? this.weights.get(`${before.name}.weight`)!.cols : wanted.length
    const output = (before.kind === 'linear' && before.output) || ((j: number) => j)
    /** Scales by output of what comes before, from those by input of the stage. */
    const spread = (scales: Float32Array) => {
      const all = new Float32Array(length).fill(1)
      scales.forEach((value, j) => {
        all[output(j)] = value
      })
      return all
    }
    const divided = taking.length ? this.#divide(taking, spread(wanted)) : null
    const c = divided ? wanted.map((_, j) => divided[output(j)]) : wanted
    const rows = gpu.upload(c, [c.length])
    for (const { name } of linears) this.#add(name, { rows })
    if (before.kind === 'linear') {
      const outputs = spread(c)
      this.#add(before.name, { cols: gpu.upload(reciprocals(outputs), [length]), outputs: gpu.upload(outputs, [length]) })
    }
    return gpu.upload(reciprocals(c), [c.length])
  }

  #add(linear: string, fold: Fold): void {
    this.folds.set(linear, { ...this.folds.get(linear), ...fold })
  }

  /** Divides vectors by `wanted`, and returns the scales that they stand for then. */
  #divide(taking: StoredVector[], wanted: Float32Array<ArrayBuffer>): Float32Array {
    const divided = divide(taking, wanted)
    for (const [i, { name }] of taking.entries()) {
      this.vectors.set(name, divided.vectors[i].bytes)
      this.weights.set(name, this.gpu.upload(divided.vectors[i].values, [wanted.length]))
    }
    return divided.c
  }
}

const reciprocals = (values: Float32Array<ArrayBuffer>) => values.map((value) => 1 / value)

interface StoredVector {
  name: string
  values: Float32Array
  /** F32, F16 or BF16. */
  dtype: string
  /** Added to what is stored. */
  plus: number
}

/**
 * v / c of a module's vectors as their dtype stores it, and the scales that the first of them stands for exactly: rounding
 * it moves c a little instead of the block's output. A second one (the bias of a norm) is rounded once more.
 */
function divide(vectors: StoredVector[], wanted: Float32Array<ArrayBuffer>) {
  const [first] = vectors
  const exact = rounded(
    first.values.map((value, i) => value / wanted[i]),
    first,
  )
  const c = wanted.map((value, i) => (first.values[i] === 0 ? value : first.values[i] / exact[i]))
  const quotients = vectors.map(({ values }, n) =>
    n === 0
      ? exact
      : rounded(
          values.map((value, i) => value / c[i]),
          vectors[n],
        ),
  )
  for (let i = 0; i < c.length; i++) {
    if (Number.isFinite(c[i]) && c[i] > 0 && quotients.every((values) => Number.isFinite(values[i]))) continue
    // Out of the dtype's range: this input keeps its scale.
    c[i] = 1
    quotients.forEach((values, n) => {
      values[i] = vectors[n].values[i]
    })
  }
  return { c, vectors: quotients.map((values, n) => ({ values, bytes: bytesOf(values, vectors[n]) })) }
}

/** What is used when the nearest that can be stored is. */
function rounded(values: Float32Array<ArrayBuffer>, { dtype, plus }: StoredVector): Float32Array<ArrayBuffer> {
  const less = values.map((value) => value - plus)
  const kept = dtype === 'F32' ? less : Float32Array.from(dtype === 'F16' ? f16ToF32(f32ToF16(less)) : bf16ToF32(f32ToBf16(less)))
  return kept.map((value) => value + plus)
}

function bytesOf(values: Float32Array<ArrayBuffer>, { dtype, plus }: StoredVector): Uint8Array {
  const less = values.map((value) => value - plus)
  return new Uint8Array((dtype === 'F16' ? f32ToF16(less) : dtype === 'BF16' ? f32ToBf16(less) : less).buffer)
}
