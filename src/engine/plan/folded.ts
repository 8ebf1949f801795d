/** The norms and linears before a stage, into which a transform folds its scales. */
import type { BlockLayout } from '../../models/family.ts'

/** Norm weights and biases that a transform may change, by their name inside the block. */
export function foldedVectors({ before, vectors }: Pick<BlockLayout, 'before' | 'vectors'>): string[] {
  return before.flatMap((one) => (one.kind === 'none' ? [] : vectorsOf(one.name, vectors)))
}

/** The weight (of a norm) and the bias of a module, in this order, if they are vectors. */
export function vectorsOf(module: string, vectors: BlockLayout['vectors']): string[] {
  return ['weight', 'bias'].map((part) => `${module}.${part}`).filter((name) => vectors.some((vector) => vector.name === name))
}
