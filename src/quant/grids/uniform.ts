/** Uniform integers: W = scale · (code − zero), codes 0 .. 2^bits − 1, the zero point is one of them; lib/grid.wgsl unchanged. */
import { cellKind } from './cells.ts'
import { groupsOf } from './grid.ts'

export const uniform = cellKind({
  id: 'uniform',
  label: 'uniform integers',
  cellBits(q, p, { bits, groupSize, symmetric }) {
    const cells = q * groupsOf(p, groupSize)
    // A symmetric grid has its zero point in the middle, so it need not be stored.
    return { scales: 16 * cells, zeros: symmetric ? 0 : bits * cells }
  },
})
