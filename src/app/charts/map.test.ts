import { expect, test } from 'vitest'
import type { LayerResult } from '../../engine/job/result.ts'
import * as map from './map.ts'
import { placeIn, shortName } from './names.ts'

const names = [0, 1].flatMap((block) => ['self_attn.q_proj', 'mlp.down_proj'].map((module) => `model.layers.${block}.${module}`))
const grid = map.gridOf(names)
const layer = (name: string, relativeError: number) => ({ name, relativeError }) as LayerResult

test('linears stand in rows of blocks and columns of modules', () => {
  expect(grid.blocks).toEqual([0, 1])
  expect(grid.modules).toEqual(['self_attn.q_proj', 'mlp.down_proj'])
  expect(grid.names).toEqual([names.slice(0, 2), names.slice(2)])
  expect(map.gridOf([names[0], names[3]]).names).toEqual([
    [names[0], null],
    [null, names[3]],
  ])
})

test('paths are shortened, and columns only where that keeps them apart', () => {
  expect(shortName(names[1])).toBe('layers.0.mlp.down_proj')
  expect(placeIn('transformer.h.11.attn.c_attn')).toEqual({ block: 11, module: 'attn.c_attn' })
  expect(placeIn('lm_head')).toEqual({ block: 0, module: 'lm_head' })
  expect(map.columnLabels(grid.modules)).toEqual(['q_proj', 'down_proj'])
  expect(map.columnLabels(['self.out', 'cross.out'])).toEqual(['self.out', 'cross.out'])
})

test('values are errors, or multiples of another run’s where that has one', () => {
  const run = [layer('a', 0.02), layer('b', 0.03), layer('c', 0.01)]
  expect([...map.mapValues(run, null)]).toEqual([
    ['a', 0.02],
    ['b', 0.03],
    ['c', 0.01],
  ])
  expect([...map.mapValues(run, [layer('a', 0.04), layer('b', 0)])]).toEqual([['a', 0.5]])
})

test('a share is of its block, bits are of the linear, and ratios are around one', () => {
  const bits = { codes: 300, scales: 12, zeros: 4, groupIndex: 0, outliers: 4 }
  const layers = [
    { ...layer('a', 0.01), block: 0, shape: [10, 10], bits },
    { ...layer('b', 0.03), block: 0, shape: [10, 10], bits },
    { ...layer('c', 0.2), block: 1, shape: [10, 10], bits },
  ] as LayerResult[]
  expect([...map.quantities(layers, 'share').values()]).toEqual([0.25, 0.75, 1])
  expect([...map.quantities(layers, 'bits').values()]).toEqual([3.2, 3.2, 3.2])
  const ratios = map.ratios(
    new Map([
      ['a', 2],
      ['b', 1],
    ]),
    new Map([
      ['a', 1],
      ['c', 1],
    ]),
  )
  expect([...ratios]).toEqual([['a', 2]])
  const scale = map.ratioScale([0.25, 1.5])
  expect(scale.domain).toEqual([0.2, 5])
  expect(map.position(1, scale)).toBeCloseTo(0.5)
  expect(map.diverging(0.5)).toEqual([247, 247, 247])
})

test('colours run from dark to light over a log scale, with ink that can be read on them', () => {
  expect([0, 0.001, 0.01, 0.1, 1, 9].map((value) => map.position(value, { domain: [0.01, 1], log: true }))).toEqual([0, 0, 0, 0.5, 1, 1])
  const colours = Array.from({ length: 11 }, (_, i) => map.cividis(i / 10))
  const brightness = colours.map(([r, g, b]) => 0.3 * r + 0.6 * g + 0.1 * b)
  expect(brightness).toEqual([...brightness].sort((a, b) => a - b))
  expect(colours.flat().every((part) => part >= 0 && part <= 255)).toBe(true)
  expect([map.inkOn(colours[0]), map.inkOn(colours[10])]).toEqual(['#fff', '#000'])
})

test('arrow keys move within the map, other keys do not', () => {
  const walk = (...keys: string[]) => keys.reduce((at, key) => map.moved(key, at, grid)!, { row: 0, column: 0 })
  expect(walk('ArrowDown', 'ArrowRight')).toEqual({ row: 1, column: 1 })
  expect(walk('ArrowUp', 'ArrowLeft')).toEqual({ row: 0, column: 0 })
  expect(walk('End', 'ArrowRight', 'ArrowDown', 'ArrowDown')).toEqual({ row: 1, column: 1 })
  expect(walk('End', 'Home')).toEqual({ row: 0, column: 0 })
  expect(map.moved('x', { row: 0, column: 0 }, grid)).toBeNull()
})

test('the layout fills its width, and the pointer finds the cell that is drawn there', () => {
  for (const width of [120, 900]) {
    const layout = map.layoutMap(width, 220, grid)
    expect(layout.left + 2 * layout.cellWidth + layout.right).toBeCloseTo(width)
    expect(layout.slanted).toBe(width === 120)
    const middle = [layout.left + 1.5 * layout.cellWidth, layout.top + 0.5 * layout.cellHeight] as const
    expect(map.cellAt(...middle, layout, grid)).toEqual({ row: 0, column: 1 })
    expect(map.cellAt(2, 2, layout, grid)).toBeNull()
  }
})
