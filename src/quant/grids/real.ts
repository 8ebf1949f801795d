/**
 * Grids with real zero points: W = scale · (code − zero) as for uniform integers, but the zero point is any number, so 0 need not be on
 * the grid.
 */
import { cellKind } from './cells.ts'
import { groupsOf } from './grid.ts'
import { uniform } from './uniform.ts'

export const real = cellKind({
  id: 'real',
  wgsl: '//#include lib/grid_real',
  // Dequantization is the same for integer and real zero points.
  levels: uniform.id,
  cellBits(q, p, { groupSize }) {
    const bits = 16 * q * groupsOf(p, groupSize)
    return { scales: bits, zeros: bits }
  },
})
