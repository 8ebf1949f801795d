import { describe, expect, it } from 'vitest'
import { putBits, words } from '../../io/bits.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import { lookAtSolved } from './solved.ts'
import { WeightSketch } from './weights.ts'

const seed = 20261130

/** Numbers in [0, 1), the same every time. */
function noise() {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

describe('weights', () => {
  const [q, p] = [60, 200]
  const next = noise()
  const values = Float32Array.from({ length: q * p }, (_, i) => (next() - 0.5) * (i % p === 7 ? 10 : 1))
  const sketch = new WeightSketch(q, p)
  for (let row = 0; row < q; row += 16) sketch.add(values.subarray(row * p, Math.min(q, row + 16) * p))
  const look = sketch.look()

  it('are all in the histogram, where they belong', () => {
    const { from, to, counts } = look.histogram
    expect(counts.reduce((sum, count) => sum + count, 0)).toBeCloseTo(q * p, 1)
    const step = (to - from) / counts.length
    // A fine bin spans at most 1/128 of its values.
    const exact = counts.map((_, bin) => values.filter((value) => Math.min(120, Math.floor((value - from) / step)) === bin).length)
    const off = counts.reduce((sum, count, bin) => sum + Math.abs(count - exact[bin]), 0)
    expect(off / (q * p), `seed ${seed}`).toBeLessThan(0.05)
  })

  it('have the extremes, the mean and the deviation that they have', () => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    expect(look.mean).toBeCloseTo(mean, 6)
    expect(look.deviation).toBeCloseTo(Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length), 6)
    expect([look.smallest, look.largest]).toEqual([Math.min(...values), Math.max(...values)])
  })

  it('name the column that stands out, and its tile is the largest', () => {
    expect(look.columns.map(({ column }) => column)).toEqual([7])
    expect(look.columns[0].times).toBeGreaterThan(7)
    const { rows, columns, values: tiles } = look.map
    expect([rows, columns]).toEqual([60, 96])
    const largest = tiles.indexOf(Math.max(...tiles))
    expect(largest % columns).toBe(Math.floor((7 * columns) / p))
    expect(Math.max(...tiles)).toBe(Math.max(...values.map(Math.abs)))
  })
})

describe('a solved linear', () => {
  const [q, p, bits, groupSize] = [5, 70, 3, 32] as const
  const next = noise()
  const code = Uint8Array.from({ length: p * q }, () => Math.floor(next() * 2 ** bits))
  const perRow = words(p, bits)
  const codes = new Uint32Array(perRow * q)
  for (let row = 0; row < q; row++) {
    const stream = new Uint32Array(perRow)
    for (let column = 0; column < p; column++) putBits(stream, column * bits, bits, code[column * q + row])
    stream.forEach((word, i) => {
      codes[i * q + row] = word
    })
  }
  const groups = 3
  const grid = Float32Array.from({ length: 2 * groups * q }, (_, i) => (i % 2 ? 3 : 1 + Math.floor(i / 2 / q)))
  const groupIndex = Int32Array.from({ length: p }, (_, j) => Math.floor(j / groupSize))
  // Column 4 whole, and one weight of column 60.
  const at = Uint32Array.from([...Array.from({ length: q }, (_, row) => 4 * q + row), 60 * q + 2])
  const solved: SolvedLinear = { bits, q, p, groupSize, groups, codes, grid, groupIndex, outliers: { at, values: new Float32Array(6) } }
  const look = lookAtSolved(solved)

  it('tells how often each code is used', () => {
    expect(look.use).toEqual(Array.from({ length: 8 }, (_, c) => code.filter((one) => one === c).length))
  })

  it('tells its levels and scales', () => {
    // Scales 1, 2 and 3 with zero 3: the middle one is that of the median.
    expect(look.levels!.map(({ median }) => median)).toEqual([-6, -4, -2, 0, 2, 4, 6, 8])
    expect(look.levels![7]).toEqual({ low: 4, median: 8, high: 12 })
    expect(look.scales).toEqual({
      along: 'columns',
      parts: [1, 2, 3].map((scale, i) => ({ from: 32 * i, low: scale, median: scale, high: scale })),
    })
  })

  it('tells which columns are kept whole', () => {
    expect(look.outliers).toMatchObject({ count: 6, columns: [4] })
  })

  it('tells no levels of a grid that it does not know', () => {
    expect(lookAtSolved({ ...solved, levels: 'another' }).levels).toBeNull()
  })
})
