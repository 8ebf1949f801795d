/** A quantized block from what was kept of it. */
import type { Device } from '../../gpu/device.ts'
import { floatsOf } from '../../io/half.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { type BlockWeights, linearsOf } from '../../models/family.ts'
import { blockName, type OpenModel } from '../../models/weights.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import { quantizedPaths } from '../../overrides.ts'
import type { RunSpec } from '../job.ts'
import type { KeptLinear, Vectors } from '../keep/solved.ts'

/** Where solved linears and changed vectors come from. */
export interface Kept {
  linears(names: string[]): Promise<Map<string, KeptLinear>>
  vectors(k: number): Promise<Vectors | null>
}

/** The linears of block k that a run solves, by module path. */
export const linearNames = (opened: OpenModel, { overrides = [] }: Pick<RunSpec, 'overrides'>, k: number) =>
  quantizedPaths(
    overrides,
    linearsOf(opened.model.layouts[k]).map(({ name }) => blockName(opened, k, name)),
  )

/** Puts the quantized weights of block k, and vectors that a transform changed, in place of the full ones. */
export async function restoreBlock(
  gpu: Device,
  opened: OpenModel,
  kept: Kept,
  { k, spec }: { k: number; spec: Pick<RunSpec, 'overrides'> },
  weights: BlockWeights,
  restored: (stored: SolvedLinear) => Tensor,
): Promise<void> {
  const names = linearNames(opened, spec, k)
  const linears = await kept.linears(names)
  for (const { name } of linearsOf(opened.model.layouts[k])) {
    const full = blockName(opened, k, name)
    if (names.includes(full)) weights.set(`${name}.weight`, restored(linears.get(full)!.stored))
  }
  const changed = await kept.vectors(k)
  for (const { name, plus = 0 } of opened.model.layouts[k].vectors) {
    const full = blockName(opened, k, name)
    const bytes = changed?.get(full)
    if (!bytes) continue
    const values = floatsOf(bytes, opened.folder.checkpoint.tensors.get(full)!.dtype).map((value) => value + plus)
    weights.set(name, gpu.upload(values, [values.length]))
  }
}
