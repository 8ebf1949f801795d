/**
 * Folds the scales of a solver's transform into a block before any of it is rounded: a stage's linears become W diag(c),
 * and the norm or the linear before them is divided by c, so that the block puts out what it did before.
 */
import type { Gpu } from '../gpu/device.ts'
import { scale } from '../gpu/ops.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../io/half.ts'
import type { BlockWeights, Model } from '../models/family.ts'

export interface Folded {
  /** Norm weights and biases that changed, by their name inside the block, as the checkpoint stores them. */
  vectors: Map<string, Uint8Array>
  /** Scales that the outputs of a linear were divided by, `[q]`, by its name: to measure it as it was. The caller's. */
  outputs: Map<string, Tensor>
}

/** Norm weights and biases that a transform may change, by their name inside the block. */
export function foldedVectors({ before, vectors }: Pick<Model, 'before' | 'vectors'>): string[] {
  const taking = before.map((one) => (one.kind === 'norm' ? one.name : one.kind === 'linear' ? `${one.name}.bias` : ''))
  return vectors.map(({ name }) => name).filter((name) => taking.includes(name))
}

/**
 * Applies `scales`, one per stage or null, in `weights` (changed tensors are replaced by new ones) and `grams` (in place).
 * `stored` tells the dtype of a vector.
 */
export async function fold(
  gpu: Gpu,
  model: Pick<Model, 'stages' | 'before' | 'vectors'>,
  weights: BlockWeights,
  grams: Tensor[],
  scales: (Float32Array<ArrayBuffer> | null)[],
  stored: (vector: string) => string,
): Promise<Folded> {
  const folded: Folded = { vectors: new Map(), outputs: new Map() }
  const own = new Map<string, Tensor>()
  const change = (linear: string, by: { rows?: Tensor; cols?: Tensor }) => {
    const name = `${linear}.weight`
    let tensor = own.get(name)
    if (!tensor) {
      tensor = gpu.empty(weights.get(name)!.shape)
      gpu.copy(weights.get(name)!, tensor)
      own.set(name, tensor)
      weights.set(name, tensor)
    }
    scale(gpu, tensor, by)
  }
  for (const [stage, wanted] of scales.entries()) {
    const before = model.before[stage]
    if (!wanted || before.kind === 'none') continue
    let c = wanted
    const vector = before.kind === 'norm' ? before.name : `${before.name}.bias`
    if (foldedVectors(model).includes(vector)) {
      const divided = divide((await gpu.read(weights.get(vector)!)) as Float32Array, wanted, stored(vector))
      c = divided.c
      folded.vectors.set(vector, divided.bytes)
      weights.set(vector, gpu.upload(divided.values, [c.length]))
    }
    const times = gpu.upload(c, [c.length])
    const over = gpu.upload(
      c.map((value) => 1 / value),
      [c.length],
    )
    for (const { name } of model.stages[stage]) change(name, { rows: times })
    scale(gpu, grams[stage], { rows: over, cols: over })
    if (before.kind === 'linear') {
      change(before.name, { cols: over })
      folded.outputs.set(before.name, times)
    } else times.dispose()
    over.dispose()
    await gpu.pace()
  }
  return folded
}

/**
 * v / c as `dtype` stores it, and the scales that this stands for exactly: rounding the vector moves c a little instead of
 * the block's output.
 */
function divide(v: Float32Array, wanted: Float32Array, dtype: string) {
  const values = v.map((value, i) => value / wanted[i])
  const rounded = dtype === 'F16' ? f16ToF32(f32ToF16(values)) : dtype === 'BF16' ? bf16ToF32(f32ToBf16(values)) : values
  const c = wanted.map((value, i) => {
    if (v[i] === 0) return value
    const exact = v[i] / rounded[i]
    if (Number.isFinite(exact) && exact > 0) return exact
    // Out of the dtype's range: this input keeps its scale.
    rounded[i] = v[i]
    return 1
  })
  const kept = dtype === 'F16' ? f32ToF16(rounded) : dtype === 'BF16' ? f32ToBf16(rounded) : rounded
  return { values: rounded, c, bytes: new Uint8Array(kept.buffer) }
}
