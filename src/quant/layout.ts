/** The order in which columns are processed, and their groups. */

/** Which group each column belongs to, and the order in which columns are processed. */
export interface Layout {
  /** Column processed i-th. `[p]` */
  order: Uint32Array<ArrayBuffer>
  /** Group of column j, in the original order. `[p]` */
  groupIndex: Int32Array
  groupSize: number
  groups: number
  /** Σ_jj of column j, in the original order. */
  diagonal: Float32Array
}

/**
 * Order by descending Σ_jj (stable) under act-order; groups are runs of the original columns when `staticGroups`, else
 * runs of the processing order.
 */
export function layoutOf(diagonal: Float32Array, groupSize: number, actOrder: boolean, staticGroups: boolean): Layout {
  const p = diagonal.length
  const order = Uint32Array.from(diagonal, (_, j) => j)
  if (actOrder) order.sort((i, j) => diagonal[j] - diagonal[i] || i - j)
  const size = groupSize === -1 ? p : groupSize
  const groupIndex = new Int32Array(p)
  for (let i = 0; i < p; i++) groupIndex[staticGroups ? i : order[i]] = Math.floor(i / size)
  return { order, groupIndex, groupSize: size, groups: Math.ceil(p / size), diagonal }
}

/** Columns sorted by group: runs of this list are the groups. */
export function byGroup({ groupIndex }: Layout): Uint32Array<ArrayBuffer> {
  return Uint32Array.from(groupIndex, (_, j) => j).sort((i, j) => groupIndex[i] - groupIndex[j] || i - j)
}
