/** The list of grid kinds. A new kind is one file and one line here. */
import { affineKinds } from './affine.ts'
import type { Grid, GridKind, GridOptions } from './grid.ts'
import { real } from './real.ts'
import { uniform } from './uniform.ts'

export const gridKinds: GridKind[] = [uniform, real, ...affineKinds]

/** The kind of this id. */
export function gridKind(id: string): GridKind {
  const kind = gridKinds.find((one) => one.id === id)
  if (!kind) throw new Error(`There is no grid "${id}".`)
  return kind
}

export const gridOf = (options: GridOptions): Grid => gridKind(options.kind ?? uniform.id).of(options)
