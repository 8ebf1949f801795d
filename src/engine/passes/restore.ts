/** A quantized block, embedding or head from what was kept of it. */
import type { Device } from '../../gpu/device.ts'
import { type Panels, transpose } from '../../gpu/ops.ts'
import { floatsOf } from '../../io/half.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { type BlockWeights, linearsOf } from '../../models/family.ts'
import { blockName, type OpenModel } from '../../models/open.ts'
import { loadOutside, loadPanels, type Outer, panelHeight } from '../../models/weights.ts'
import { outputsOf, restore, type SolvedLinear } from '../../quant/linear.ts'
import { quantizedPaths } from '../../overrides.ts'
import type { RunSpec } from '../job/job.ts'
import type { KeptEnd, KeptLinear, Vectors } from '../keep/solved.ts'

/** Where solved linears and changed vectors come from. */
export interface Kept {
  linears(names: string[]): Promise<Map<string, KeptLinear>>
  vectors(k: number): Promise<Vectors | null>
  ends(): Promise<Map<string, KeptEnd>>
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
  kept: Pick<Kept, 'linears' | 'vectors'>,
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

/** An embedding or head from what was solved of it: panels of rows, as `loadPanels` makes them of the model's own. */
export function tableOf(gpu: Device, stored: SolvedLinear, restored = (part: SolvedLinear) => restore(gpu, part)): Panels {
  const { q: rows, p: cols } = stored
  const height = panelHeight(gpu, cols)
  const panels: Panels = { rows, cols, parts: [] }
  for (let first = 0; first < rows; first += height) {
    const what = restored(outputsOf(stored, first, Math.min(height, rows - first)))
    panels.parts.push({ first, tensor: transpose(gpu, what) })
    what.dispose()
  }
  return panels
}

/** What scores hidden states, and the token table, with what was kept in the place of embedding and head. */
export async function endsOf(gpu: Device, opened: OpenModel, kept: Pick<Kept, 'ends'> | null): Promise<{ outer: Outer; table: Panels }> {
  const found = await kept?.ends()
  const panels = async (name: string) => {
    const rounded = found?.get(name.replace(/\.weight$/, ''))
    return rounded ? tableOf(gpu, rounded.stored) : loadPanels(gpu, opened, name)
  }
  const outer = { weights: await loadOutside(gpu, opened), head: await panels(opened.head) }
  return { outer, table: opened.embedding === opened.head ? outer.head : await panels(opened.embedding) }
}
