/** What a model and a run of it take. */
import type { ModelSummary } from '../engine/job/model.ts'
import { bitsPerWeight, countedIn } from '../engine/job/result.ts'
import type { RunView } from './reduce.ts'

/** Bits per weight of the matrices as the model stores them; null where that is unknown. */
export function storedBits({ quantized, tensors }: Pick<ModelSummary, 'quantized' | 'tensors'>): number | null {
  if (quantized) return quantized.bits
  const matrices = tensors.filter(({ shape }) => shape.length === 2)
  const weights = matrices.reduce((sum, { shape: [rows, columns] }) => sum + rows * columns, 0)
  return weights ? (8 * matrices.reduce((sum, { bytes }) => sum + bytes, 0)) / weights : null
}

/**
 * Bytes of a run's weights in the first of its formats. A result of an earlier version does not say: then what its linears store, and the
 * rest of the model as it is.
 */
export function sizeOf(
  { result, layers }: RunView,
  model: Pick<ModelSummary, 'bytes' | 'quantized' | 'tensors'> | null,
): { bytes: number; estimated: boolean } | null {
  if (result?.weightBytes) return { bytes: result.weightBytes, estimated: false }
  const before = model && !model.quantized ? storedBits(model) : null
  if (!result || !layers.length || !model || before === null) return null
  const stored = countedIn({ ...result, layers })
  const weights = stored.reduce((sum, { shape: [q, p] }) => sum + q * p, 0)
  return { bytes: Math.round(model.bytes - (weights * (before - bitsPerWeight(stored))) / 8), estimated: true }
}
