/** The list of grid kinds. A new kind is one file and one line here. */
import { affineKinds } from './affine.ts'
import { fp4Kinds } from './fp4.ts'
import type { Grid, GridKind, GridOptions } from './grid.ts'
import { real } from './real.ts'
import { superKinds } from './super.ts'
import { uniform } from './uniform.ts'

export const gridKinds: GridKind[] = [uniform, real, ...affineKinds, ...fp4Kinds, ...superKinds]

/** The kind of this id. */
export function gridKind(id: string): GridKind {
  const kind = gridKinds.find((one) => one.id === id)
  if (!kind) throw new Error(`There is no grid "${id}".`)
  return kind
}

/** The options of a linear with rows of `p`: where its kind does not take those, with the one that does. */
export function optionsFor<O extends { kind?: unknown }>(options: O, p: number): O {
  const { divides } = gridKind(String(options.kind ?? uniform.id))
  if (!divides || p % divides.by === 0) return options
  const { id, fixed } = gridKind(divides.fallback)
  return { ...options, kind: id, ...fixed }
}

export const gridOf = (options: GridOptions): Grid => gridKind(options.kind ?? uniform.id).of(options)
