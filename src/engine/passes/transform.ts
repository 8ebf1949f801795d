/**
 * Folds the scales of a solver's transform into a block before any of it is rounded: a stage's linears become W diag(c),
 * and the norm or the linear before them is divided by c, so that the block puts out what it did before.
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

export interface Folded {
  /** Norm weights and biases that changed, by their name inside the block, as the checkpoint stores them. */
  vectors: Map<string, Uint8Array>
  /** Scales that the outputs of a linear were divided by, `[q]`, by its name: to measure it as it was. The caller's. */
  outputs: Map<string, Tensor>
}

/**
 * Applies `scales`, one per stage or null, in `weights` (changed tensors are replaced by new ones) and `grams`, those of each stage (in place).
 * `stored` tells the dtype of a vector.
 */
export async function fold(
  gpu: Device,
  layout: Pick<BlockLayout, 'stages' | 'before' | 'vectors'>,
  weights: BlockWeights,
  grams: Tensor[][],
  scales: (Float32Array<ArrayBuffer> | null)[],
  stored: (vector: string) => string,
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
    folding.stage(layout.stages[stage], before, grams[stage], wanted, taking)
    await gpu.pace()
  }
  return folding
}

/** A block on its way to other scales. */
class Folding implements Folded {
  readonly vectors = new Map<string, Uint8Array>()
  readonly outputs = new Map<string, Tensor>()
  /** Weights that are this run's own by now. */
  readonly #own = new Map<string, Tensor>()

  constructor(
    readonly gpu: Device,
    readonly weights: BlockWeights,
  ) {}

  /** Gives a stage's inputs the scales `wanted`, or what the vectors before it, `taking`, can stand for. */
  stage(
    linears: LinearShape[],
    before: Exclude<Before, { kind: 'none' }>,
    grams: Tensor[],
    wanted: Float32Array<ArrayBuffer>,
    taking: StoredVector[],
  ): void {
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
    const times = gpu.upload(c, [c.length])
    const over = gpu.upload(reciprocals(c), [c.length])
    for (const { name } of linears) this.#change(name, { rows: times })
    for (const gram of grams) scale(gpu, gram, { rows: over, cols: over })
    if (before.kind === 'linear') {
      const outputs = spread(c)
      const less = gpu.upload(reciprocals(outputs), [length])
      this.#change(before.name, { cols: less })
      less.dispose()
      this.outputs.set(before.name, gpu.upload(outputs, [length]))
    }
    times.dispose()
    over.dispose()
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

  #change(linear: string, by: { rows?: Tensor; cols?: Tensor }): void {
    const name = `${linear}.weight`
    let tensor = this.#own.get(name)
    if (!tensor) {
      const full = this.weights.get(name)!
      tensor = inFloats(this.gpu, full)
      if (tensor === full) {
        tensor = this.gpu.empty(full.shape)
        this.gpu.copy(full, tensor)
      }
      this.#own.set(name, tensor)
      this.weights.set(name, tensor)
    }
    scale(this.gpu, tensor, by)
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
