/** W = scale · (code − zero) as with uniform integers, but the zero point is any number, and zero need not be on the grid. */
import { cellKind } from './cells.ts'
import { groupsOf } from './grid.ts'
import { uniform } from './uniform.ts'

export const real = cellKind({
  id: 'real',
  wgsl: '//#include lib/grid_real',
  // Whoever only goes from codes to weights need not know what kind of number the zero point is.
  levels: uniform.id,
  cellBits(q, p, { groupSize }) {
    const bits = 16 * q * groupsOf(p, groupSize)
    return { scales: bits, zeros: bits }
  },
})
