import fc from 'fast-check'
import { beforeAll, expect, it } from 'vitest'
import type { Device } from '../../gpu/device.ts'
import { testGpu } from '../../gpu/testing.ts'
import { rtn } from '../rtn.ts'
import { type GridOptions, maxCode } from './grid.ts'
import { searchNorm, shrinks } from './search.ts'
import { anyGrid, anyLayer, type Layer, solve } from '../testing.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

/** Half to even, as everywhere else. */
function rint(x: number): number {
  const near = Math.round(x)
  return near - x === 0.5 && near % 2 !== 0 ? near - 1 : near
}

/** Every candidate's scale, zero and weighted error for one row and group, in float64. */
function twin({ w, sigma, p }: Layer, row: number, columns: number[], { bits, symmetric }: Pick<GridOptions, 'bits' | 'symmetric'>) {
  const most = maxCode(bits)
  const x = columns.map((j) => w[row * p + j])
  let [lo, hi] = [Math.min(0, ...x), Math.max(0, ...x)]
  if (symmetric) {
    hi = Math.max(-lo, hi)
    if (lo < 0) lo = -hi
  }
  return shrinks({ grid: 'weighted', symmetric }).map(([a, b]) => {
    const scale = (b * hi - a * lo) / most
    const zero = symmetric ? (most + 1) / 2 : rint((-a * lo) / scale)
    const error = columns.reduce((sum, j, i) => {
      const code = Math.min(most, Math.max(0, rint(x[i] / scale) + zero))
      return sum + sigma[j * p + j] * (scale * (code - zero) - x[i]) ** 2
    }, 0)
    return { scale, zero, error }
  })
}

it('the weighted grid is the first of the best that float64 finds, except near ties', async () => {
  let [cells, ties] = [0, 0]
  await fc.assert(
    fc.asyncProperty(anyLayer, anyGrid, async (layer, { bits, groupSize, symmetric }) => {
      const got = await solve(gpu, rtn, layer, { bits, groupSize, symmetric, grid: 'weighted' })
      const groups = Math.max(...got.groupIndex) + 1
      for (let g = 0; g < groups; g++) {
        const columns = [...got.groupIndex.keys()].filter((j) => got.groupIndex[j] === g)
        for (let row = 0; row < layer.q; row++) {
          const all = twin(layer, row, columns, { bits: bits as GridOptions['bits'], symmetric })
          const best = all.reduce((least, one) => (one.error < least.error ? one : least))
          const [scale, zero] = [got.scales[g * layer.q + row], got.zeros[g * layer.q + row]]
          const chosen = all.find((one) => one.zero === zero && Math.abs(scale / one.scale - 1) < 1e-6)!
          cells++
          if (chosen !== best) {
            ties++
            expect(chosen.error).toBeLessThanOrEqual(best.error * (1 + 1e-3) + 1e-12)
          }
        }
      }
    }),
    { numRuns: 20, seed: 20260201 },
  )
  expect(cells).toBeGreaterThan(400)
  expect(ties / cells).toBeLessThan(0.05)
})

it('the power of the search is float64’s to 3e-7, without pow', async () => {
  const values = [0, 2 ** -42, 1e-12, 1e-7, 0.001, 0.3, 0.999999, 1, 1.5, 2, 3.9999998, 31, 1e4, 3e7].map(Math.fround)
  for (let i = 0; i < 2000; i++) values.push(Math.fround(1.0031 ** (i - 1000) * 1.1))
  const q = values.length
  const floats = (all: ArrayLike<number>, shape: number[]) => gpu.upload(Float32Array.from(all), shape)
  // One grid of the codes 0 and 1, so wide that every value is rounded to 0: the error is the value's power.
  const wide = 1e30
  const least = floats(new Array(q).fill(3e38), [1, q])
  const { powers, constants } = searchNorm(gpu, 'mse')
  gpu.run1d(
    'grid_search',
    {
      w: floats(values, [1, q]),
      order: gpu.upload(Uint32Array.of(0), [1]),
      weight: floats([1], [1]),
      range: floats(
        values.flatMap(() => [0, wide]),
        [1, q, 2],
      ),
      shrink: floats(new Array(40).fill(1), [20, 2]),
      powers,
      least,
      grid: gpu.empty([1, q, 2]),
    },
    { q, p: 1, size: 1, groups: 1, most: 1, symmetric: 0, half: 0, start: 0 },
    q,
    { constants },
  )
  const got = await gpu.read(least)
  values.forEach((value, i) => {
    if (value === 0) expect(got[i]).toBe(0)
    else expect(Math.abs(got[i] / value ** 2.4 - 1), String(value)).toBeLessThan(3e-7)
  })
})
