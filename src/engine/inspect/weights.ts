/** What the weights of one linear look like: a histogram, a map of the largest, and the columns that stand out. */

/** A histogram over equal steps from `from` to `to`. */
export interface Histogram {
  from: number
  to: number
  counts: number[]
}

/** A matrix reduced to tiles, row by row; `values[r · columns + c]` is the largest in its tile. */
export interface TileMap {
  rows: number
  columns: number
  values: number[]
}

export interface WeightsLook {
  /** [out, in] */
  shape: [number, number]
  histogram: Histogram
  mean: number
  deviation: number
  smallest: number
  largest: number
  /** Largest |w| of rows × columns (outputs × inputs). */
  map: TileMap
  /** Columns (inputs) whose root mean square is at least `STANDS_OUT` times the median column's, and how many times; the largest first. */
  columns: { column: number; times: number }[]
}

const BINS = 121
/** Tiles of a map, along each side at most. */
const TILES = 96
const STANDS_OUT = 3
/** Columns that are named, at most. */
const NAMED = 24

/** Collects rows of a matrix with `q` rows of `p` columns. */
export class WeightSketch {
  /** By the upper half of the float32: sign, exponent and 7 bits, which is all of a bfloat16. */
  readonly #fine = new Float64Array(2 ** 16)
  readonly #map: TileMap
  readonly #squares: Float64Array
  #sum = 0
  #smallest = Number.POSITIVE_INFINITY
  #largest = Number.NEGATIVE_INFINITY
  #rows = 0

  constructor(
    readonly q: number,
    readonly p: number,
  ) {
    const [rows, columns] = [Math.min(TILES, q), Math.min(TILES, p)]
    this.#map = { rows, columns, values: new Array<number>(rows * columns).fill(0) }
    this.#squares = new Float64Array(p)
  }

  /** The next rows, `[rows, p]`. */
  add(values: Float32Array): void {
    const { p, q } = this
    const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
    const { columns, rows, values: tiles } = this.#map
    for (let at = 0; at < values.length; at += p) {
      const tileRow = Math.floor((this.#rows++ * rows) / q) * columns
      for (let j = 0; j < p; j++) {
        const value = values[at + j]
        this.#fine[bits[at + j] >>> 16]++
        this.#sum += value
        this.#squares[j] += value * value
        if (value < this.#smallest) this.#smallest = value
        if (value > this.#largest) this.#largest = value
        const tile = tileRow + Math.floor((j * columns) / p)
        const size = Math.abs(value)
        if (size > tiles[tile]) tiles[tile] = size
      }
    }
  }

  look(): WeightsLook {
    const { q, p } = this
    const count = q * p
    const mean = this.#sum / count
    const squares = this.#squares.reduce((sum, value) => sum + value, 0)
    return {
      shape: [q, p],
      histogram: this.#histogram(),
      mean,
      deviation: Math.sqrt(Math.max(0, squares / count - mean * mean)),
      smallest: this.#smallest,
      largest: this.#largest,
      map: this.#map,
      columns: outstanding(this.#squares.map((value) => Math.sqrt(value / q))),
    }
  }

  /** Symmetric around 0; what the fine bins hold is spread evenly over what they span. */
  #histogram(): Histogram {
    const end = Math.max(Math.abs(this.#smallest), Math.abs(this.#largest)) || 1
    const step = (2 * end) / BINS
    const counts = new Array<number>(BINS).fill(0)
    const bits = new Uint32Array(2)
    const floats = new Float32Array(bits.buffer)
    for (const [key, count] of this.#fine.entries()) {
      if (!count) continue
      bits[0] = key << 16
      bits[1] = (key << 16) | 0xffff
      const [low, high] = floats[0] < floats[1] ? [floats[0], floats[1]] : [floats[1], floats[0]]
      spread(counts, (low + end) / step, (high + end) / step, count)
    }
    return { from: -end, to: end, counts: counts.map((value) => Number(value.toPrecision(6))) }
  }
}

/** Adds `count` to the bins between two places, in proportion to how much of each lies between them. */
function spread(counts: number[], low: number, high: number, count: number): void {
  const within = (place: number) => Math.min(counts.length - 1, Math.max(0, Math.floor(place)))
  const [first, last] = [within(low), within(high)]
  for (let bin = first; bin <= last; bin++) {
    const part = first === last ? 1 : (Math.min(high, bin + 1) - Math.max(low, bin)) / (high - low)
    counts[bin] += count * part
  }
}

function outstanding(sizes: Float64Array): WeightsLook['columns'] {
  const median = sizes.toSorted()[Math.floor(sizes.length / 2)]
  if (!(median > 0)) return []
  return [...sizes]
    .map((size, column) => ({ column, times: size / median }))
    .filter(({ times }) => times >= STANDS_OUT)
    .sort((a, b) => b.times - a.times)
    .slice(0, NAMED)
}
