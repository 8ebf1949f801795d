/** What a solved linear looks like: its levels, how often each code is used, its scales, and the weights kept beside the codes. */
import { getBits } from '../../io/bits.ts'
import { affine, signed } from '../../quant/grids/affine.ts'
import { uniform } from '../../quant/grids/uniform.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import type { TileMap } from './weights.ts'

/** A value at the middle of its distribution, and where its lower and upper tenth end. */
export interface Spread {
  low: number
  median: number
  high: number
}

export interface SolvedLook {
  bits: number
  groups: number
  groupSize: number
  /** Weight that each code stands for, over all cells; null for grids whose levels are no multiples of a scale. */
  levels: Spread[] | null
  /** How many weights have each code. */
  use: number[]
  /** Scales in turn: over the groups of columns, or over the rows where each row is one group. `from`: the first column or row. */
  scales: { along: 'columns' | 'rows'; parts: (Spread & { from: number })[] }
  outliers: OutlierLook | null
}

export interface OutlierLook {
  count: number
  /** How many in each tile. */
  map: TileMap
  /** Columns that are kept whole or nearly so: structured outliers. */
  columns: number[]
}

/** Cells whose levels are looked at, and parts that scales are told in, at most. */
const CELLS = 4096
const PARTS = 96
const TILES = 96
/** Share of a column's rows that makes it one that is kept. */
const WHOLE = 0.9

/** What a code stands for in a cell of each kind of grid. */
const weightOf: Record<string, (code: number, scale: number, second: number) => number> = {
  [uniform.id]: (code, scale, zero) => scale * (code - zero),
  [affine.id]: (code, scale, least) => scale * code + least,
  [signed.id]: (code, scale, least) => scale * code + least,
}

export function lookAtSolved(solved: SolvedLinear): SolvedLook {
  const { bits, groups, groupSize, levels = uniform.id } = solved
  return {
    bits,
    groups,
    groupSize,
    levels: weightOf[levels] ? levelsOf(solved, weightOf[levels]) : null,
    use: countsOf(solved),
    scales: scalesOf(solved),
    outliers: solved.outliers && outliersOf(solved, solved.outliers.at),
  }
}

/** Of cells spread evenly over the matrix. */
function levelsOf({ bits, grid }: SolvedLinear, weight: (code: number, scale: number, second: number) => number): Spread[] {
  const cells = grid.length / 2
  const step = Math.max(1, Math.floor(cells / CELLS))
  return Array.from({ length: 2 ** bits }, (_, code) => {
    const values: number[] = []
    for (let cell = 0; cell < cells; cell += step) values.push(weight(code, grid[2 * cell], grid[2 * cell + 1]))
    return spreadOf(values)
  })
}

function countsOf({ bits, q, p, codes }: SolvedLinear): number[] {
  const use = new Array<number>(2 ** bits).fill(0)
  // One stream down the inputs for each output, word by word across the outputs.
  const stream = new Uint32Array(codes.length / q)
  for (let row = 0; row < q; row++) {
    for (let word = 0; word < stream.length; word++) stream[word] = codes[word * q + row]
    for (let column = 0; column < p; column++) use[getBits(stream, column * bits, bits)]++
  }
  return use
}

function scalesOf({ grid, q, groups, groupSize }: SolvedLinear): SolvedLook['scales'] {
  // Of some types of ggml they have a sign.
  const scale = (group: number, row: number) => Math.abs(grid[2 * (group * q + row)])
  const many = groups > 1
  const length = many ? groups : q
  const each = Math.ceil(length / PARTS)
  const parts = Array.from({ length: Math.ceil(length / each) }, (_, part) => {
    const values: number[] = []
    for (let at = part * each; at < Math.min(length, (part + 1) * each); at++) {
      if (many) for (let row = 0; row < q; row++) values.push(scale(at, row))
      else values.push(scale(0, at))
    }
    return { ...spreadOf(values), from: part * each * (many ? groupSize : 1) }
  })
  return { along: many ? 'columns' : 'rows', parts }
}

/** Positions are those in `[p, q]`: input by input. */
function outliersOf({ q, p }: SolvedLinear, at: Uint32Array): OutlierLook {
  const [rows, columns] = [Math.min(TILES, q), Math.min(TILES, p)]
  const values = new Array<number>(rows * columns).fill(0)
  const perColumn = new Uint32Array(p)
  for (const place of at) {
    const [column, row] = [Math.floor(place / q), place % q]
    perColumn[column]++
    values[Math.floor((row * rows) / q) * columns + Math.floor((column * columns) / p)]++
  }
  const kept = [...perColumn.entries()].filter(([, count]) => count >= WHOLE * q).map(([column]) => column)
  return { count: at.length, map: { rows, columns, values }, columns: kept }
}

function spreadOf(values: number[]): Spread {
  const sorted = Float64Array.from(values).sort()
  const at = (share: number) => Number(sorted[Math.floor(share * (sorted.length - 1))].toPrecision(6))
  return { low: at(0.1), median: at(0.5), high: at(0.9) }
}
