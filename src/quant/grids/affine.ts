/**
 * Grids with a minimum of any value, W = scale · code + minimum, both float16 (shaders/lib/grid_affine.wgsl), and the types of ggml that
 * are such grids of 32 weights. Those named _0 have the minimum in the middle, but a scale of either sign, so that the longer end of a
 * block gets the code that the other end lacks.
 */
import { type CellKind, cellKind } from './cells.ts'
import { type Fixed, type GridKind, groupsOf } from './grid.ts'

const shared: Pick<CellKind, 'wgsl' | 'variant' | 'cellBits'> = {
  wgsl: '//#include lib/grid_affine',
  variant: 'affine',
  cellBits(q, p, { groupSize, symmetric }) {
    const bits = 16 * q * groupsOf(p, groupSize)
    return { scales: bits, zeros: symmetric ? 0 : bits }
  },
}

export const affine = cellKind({ ...shared, id: 'affine', label: 'real minimum', fixed: { symmetric: false } })
/** Sixteen levels from a table (shaders/lib/grid_iq4_nl.wgsl). */
const iq4nl = cellKind({
  ...shared,
  id: 'iq4_nl',
  label: 'IQ4_NL',
  variant: 'iq4_nl',
  wgsl: '//#include lib/grid_iq4_nl',
  fixed: { bits: 4, groupSize: 32, symmetric: true },
})
/** Minima in the middle. */
export const signed = cellKind({ ...shared, id: 'signed', fixed: { symmetric: true } })

const block = (id: string, fixed: Fixed) =>
  cellKind({
    ...shared,
    id,
    label: id.toUpperCase(),
    fixed: { ...fixed, groupSize: 32 },
    levels: fixed.symmetric ? signed.id : affine.id,
  })

export const affineKinds: GridKind[] = [
  affine,
  signed,
  block('q4_0', { bits: 4, symmetric: true }),
  block('q4_1', { bits: 4, symmetric: false }),
  block('q5_0', { bits: 5, symmetric: true }),
  block('q5_1', { bits: 5, symmetric: false }),
  block('q8_0', { bits: 8, symmetric: true }),
  iq4nl,
]
